#include "linear.h"

#include "linear_kernels.h"
#include "planning.h"
#include "runtime.h"

namespace unspool {
namespace {

// The right side of a product: element (k, j) is source[k·by_depth + j·by_column].
struct Matrix {
  const float* source;
  Size by_depth, by_column;
};

// Packs `right` where it has to be, then computes p's `rows` rows, each thread its share of both.
void multiply_all(MatrixProduct p, const Matrix& right, const float* bias, Size rows, int threads) {
  const Size whole = padded(p.columns, kPanel), parts = std::clamp<Size>(threads, 1, std::max<Size>(1, rows));
  p.packed = right.by_column != 1 || p.columns % kHalf > 0;
  float *panels = nullptr, *start = nullptr, *tiles = nullptr;
  with_workspace([&](Pieces& pieces) {
    panels = pieces.take(p.packed ? whole * p.depth : 0);
    start = pieces.take(bias ? whole : 0);
    tiles = pieces.take(parts * kTileRows * kBlock);
  });
  const Target& target = chosen_target();
  if (p.packed)
    parallel(threads, whole / kPanel, [&](Size number) {
      target.pack_matrix(right.source, right.by_depth, right.by_column, p.depth, p.columns, number, panels);
    });
  for (Size j = 0; bias && j < whole; ++j) start[j] = j < p.columns ? bias[j] : 0.0f;
  p.right = p.packed ? panels : right.source;
  p.start = bias ? start : nullptr;
  parallel(threads, parts, [&](Size part) {
    target.matrix_product(p, rows * part / parts, rows * (part + 1) / parts, tiles + part * kTileRows * kBlock);
  });
}

constexpr Size kLossRows = 64;  // rows of a loss for a thread at a time

}  // namespace

void linear_forward(const LinearCall& call) {
  const MatrixProduct p{call.depth, call.outputs, call.x, call.depth, false, nullptr, true, nullptr, call.y};
  multiply_all(p, {call.weight, 1, call.depth}, call.bias, call.rows, call.threads);
  workspace().release_beyond_bound();
}

void linear_backward(const LinearCall& call, const LinearGradients& g) {
  const Size n = call.rows, d = call.depth, o = call.outputs;
  if (g.x) multiply_all({o, d, g.y, o, false, nullptr, true, nullptr, g.x}, {call.weight, d, 1}, nullptr, n, call.threads);
  if (g.weight) multiply_all({n, d, g.y, o, true, nullptr, true, nullptr, g.weight}, {call.x, d, 1}, nullptr, o, call.threads);
  if (g.bias) std::fill(g.bias, g.bias + o, 0.0f);
  for (Size i = 0; g.bias && i < n; ++i)
    for (Size j = 0; j < o; ++j) g.bias[j] += g.y[i * o + j];
  workspace().release_beyond_bound();
}

void cross_entropy(const CrossEntropy& call) {
  parallel(call.threads, (call.rows + kLossRows - 1) / kLossRows, [&](Size part) {
    chosen_target().cross_entropy(call, part * kLossRows, std::min(call.rows, (part + 1) * kLossRows));
  });
}

}  // namespace unspool
