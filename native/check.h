// Every argument that comes from Python, checked in one place before a kernel sees it.
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "api.h"
#include "linear.h"
#include "region.h"
#include "rows.h"
#include "windows.h"

namespace unspool {

enum class Kind { absent, float32, int64, int32, boolean, other };

// What is known of a tensor argument. `data` counts only when kind, cpu and dense are right.
struct Tensor {
  const char* name = "";
  Kind kind = Kind::absent;
  std::string kind_name;
  bool cpu = true, dense = true;
  int rank = 0;
  Size shape[4] = {};
  void* data = nullptr;
};

struct Arguments {
  std::string cell;
  Tensor x, lengths, tokens, w_ih, w_hh, b_ih, b_hh, extra, h, c, mask, keep, norm, norm_memory;
  double keep_share = 0.0;
  bool reverse = false;
  Size threads = 1;
  Tensor y, final_h, final_c, saved;
};

struct GradientArguments {
  Tensor y, final_h, final_c;
  Tensor x, w_ih, w_hh, b_ih, b_hh, extra, h, c, norm, norm_memory;
};

struct WrongType : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The call as plain pointers and sizes. Throws WrongType or std::invalid_argument naming the argument.
// With `gradients`, checks those too, fills `g`, and demands `saved`.
Sequence check(const Arguments& a, const GradientArguments* gradients, Gradients* g);
// Throws where it is of another kind, not dense on the CPU, or of another shape.
void check_tensor(const Tensor& t, Kind kind, std::initializer_list<Size> shape);
// Throws where a size is negative or their product too large.
Size product(const char* name, std::initializer_list<Size> factors);
// No output may share memory with any other argument.
void check_apart(const std::vector<const Tensor*>& outputs, const std::vector<const Tensor*>& inputs);
Cell cell_named(const std::string& name);
// saved_floats() of run.h for sizes that come from Python.
Size checked_saved_floats(const std::string& cell, Size rows, Size real_steps, Size hidden, bool norm);

struct RegionArguments {
  Tensor x, lengths, weight, bias, y, winner;
  Tensor d_y, d_x, d_weight, d_bias;  // of the backward pass
  Size threads = 1;
};

// The same for the region convolution; with `g`, the gradients too, and winners are checked to lie in their texts.
RegionCall check_region(const RegionArguments& a, RegionGradients* g);

struct WindowArguments {
  Tensor x, lengths, weight, bias, y;
  Tensor d_y, d_x, d_weight, d_bias;  // of the backward pass
  Size threads = 1;
};

// The same for all windows; with `g`, the gradients in place of y.
WindowCall check_windows(const WindowArguments& a, WindowGradients* g);

struct LinearArguments {
  Tensor x, weight, bias, y;
  Tensor d_y, d_x, d_weight, d_bias;  // of the backward pass
  Size threads = 1;
};

// The same for the dense layer; with `g`, the gradients in place of y.
LinearCall check_linear(const LinearArguments& a, LinearGradients* g);

struct CrossEntropyArguments {
  Tensor logits, targets, losses;
  double smoothing = 0.0, scale = 1.0;
  Size threads = 1;
};

// The same for a loss; its targets are checked, too.
CrossEntropy check_cross_entropy(const CrossEntropyArguments& a);

struct RowArguments {
  Tensor weight, first, second, clock, ahead, ids, gradient, slots, distinct, sums;
  Size place = 0, size = 0, threads = 1;
  double rate = 0.0, kept = 1.0, beta1 = 0.0, beta2 = 0.0, scale = 1.0, eps = 0.0;
};

// The same for a table that is updated by rows: clocks and ids are checked, too.
RowTable check_catch_up(const RowArguments& a);
RowTable check_update(const RowArguments& a, RowStep& step);
void check_distinct(const RowArguments& a);
// And for the sums of equal rows.
void check_sums(const RowArguments& a);

}  // namespace unspool
