// A dense layer on packed weights, and the logarithm of the softmax of its answers.
#pragma once

#include <cmath>
#include <limits>

#include "math.h"
#include "matmul.h"
#include "target.h"

namespace unspool {

template <class V>
void pack_product(const Product& p) {
  for (Size j = 0; j < p.outputs; j += kPanel) {
    pack_panel<V>(p.weight, 1, p.depth, p.depth, j, p.outputs, p.panels + j * p.depth);
    for (Size i = j; i < j + kPanel; ++i) p.start[i] = p.bias && i < p.outputs ? p.bias[i] : 0.0f;
  }
}

// One member's columns of c = bias + a · weightᵀ.
template <class V>
void product(const Product& p, Size rows, const float* a, Size lda, float* c, Size ldc, Team team) {
  const Size blocks = (p.outputs + kPanel - 1) / kPanel;
  const Size last = std::min(p.outputs, blocks * (team.index + 1) / team.count * kPanel);
  for (Size j = blocks * team.index / team.count * kPanel; j < last; j += block_of<V>)
    multiply<V>(rows, a, lda, p.depth, p.panels + j * p.depth, std::min(block_of<V>, last - j), c + j, ldc,
                {p.start + j, 0});
}

// to[j] = x[j] - log(sum of exp(x)), n of them; x is as wide as whole panels and is used up.
template <class V>
void log_softmax(float* x, Size n, float* to) {
  const Size width = padded(n, kPanel);
  for (Size j = n; j < width; ++j) x[j] = -std::numeric_limits<float>::infinity();
  float greatest[kPanel];
  std::copy(x, x + kPanel, greatest);
  for (Size j = 0; j < width; j += kPanel)
    for (Size i = 0; i < kPanel; ++i) greatest[i] = x[j + i] > greatest[i] ? x[j + i] : greatest[i];
  const float top = *std::max_element(greatest, greatest + kPanel);
  V sum = V::zero();
  for (Size j = 0; j < width; j += V::width) {
    const SplitExp<V> e = split_exp(V::load(x + j) - V::all(top));
    sum = sum + V::fma(e.scale, e.rest, e.scale);
  }
  const float logarithm = static_cast<float>(std::log(static_cast<double>(sum.sum())));
  for (Size j = 0; j < n; ++j) to[j] = x[j] - top - logarithm;
}

}  // namespace unspool
