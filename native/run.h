// One layer, one direction, on the best instruction set present.
#pragma once

#include <string>

#include "api.h"

namespace unspool {

// "scalar", "avx2", "avx512", or "" for the best present. Throws std::invalid_argument for one that is unknown or not present.
void choose_target(const std::string& name);
// The name of the one in use.
std::string target_name();

const CellLayout& layout_of(Cell cell);
// Size of `saved` for a batch of `real_steps` (the sum of its lengths). Throws std::bad_alloc beyond 2^58.
Size saved_floats(Cell cell, Size rows, Size real_steps, Size hidden, bool norm = false);

void forward(const Sequence& s);
// Two of which neither writes what the other touches, at once where both are of few rows: each by a thread of its own,
// whose second-level cache keeps its weights.
void forward_pair(const Sequence& a, const Sequence& b);
void backward(const Sequence& s, const Gradients& g);
// y = sigmoid(x) (which 0) or tanh(x) (1), n numbers; for tests of math.h.
void activate(int which, const float* x, float* y, Size n);
// Multiply-adds in registers on so many threads at once, for benchmarks: what the machine can. Returns how many.
Size multiply_adds(Size rounds, int threads);

}  // namespace unspool
