// A softmax, its cross-entropy with a target and the gradient of that, row by row while a row is near.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "linear.h"
#include "math.h"
#include "matmul.h"

namespace unspool {

template <class V>  // only so that each instruction set has its own copy
float greatest_of(const float* x, Size n) {
  float lanes[kPanel];
  std::fill(lanes, lanes + kPanel, -std::numeric_limits<float>::infinity());
  Size j = 0;
  for (; j + kPanel <= n; j += kPanel)
    for (Size i = 0; i < kPanel; ++i) lanes[i] = x[j + i] > lanes[i] ? x[j + i] : lanes[i];
  for (; j < n; ++j) lanes[0] = x[j] > lanes[0] ? x[j] : lanes[0];
  return *std::max_element(lanes, lanes + kPanel);
}

// x[j] = exp(x[j] - top); returns their sum.
template <class V>
float powers(float* x, Size n, float top) {
  V sum = V::zero();
  const auto power = [top](V logit) {
    const SplitExp<V> e = split_exp(logit - V::all(top));
    return V::fma(e.scale, e.rest, e.scale);
  };
  Size j = 0;
  for (; j + V::width <= n; j += V::width) {
    const V one = power(V::load(x + j));
    one.store(x + j);
    sum = sum + one;
  }
  if (j == n) return sum.sum();
  power(V::load_first(x + j, n - j)).store_first(x + j, n - j);
  return (sum + V::load_first(x + j, n - j)).sum();
}

// One row of the call. Returns the loss.
template <class V>
float cross_entropy_row(const CrossEntropy& c, float* x, Size target) {
  const Size n = c.columns;
  const float top = greatest_of<V>(x, n), wanted = x[target];
  V sum = V::zero();
  for (Size j = 0; c.smoothing > 0.0f && j < n; j += V::width) sum = sum + V::load_first(x + j, n - j);
  const float mean = sum.sum() / static_cast<float>(n), total = powers<V>(x, n, top);
  const V factor = V::all(c.scale / total), less = V::all(c.scale * c.smoothing / static_cast<float>(n));
  for (Size j = 0; j < n; j += V::width)
    (V::load_first(x + j, n - j) * factor - less).store_first(x + j, n - j);
  x[target] -= c.scale * (1.0f - c.smoothing);
  return std::log(total) - (1.0f - c.smoothing) * (wanted - top) - c.smoothing * (mean - top);
}

template <class V>
void cross_entropy_rows(const CrossEntropy& c, Size first, Size last) {
  for (Size row = first; row < last; ++row)
    c.losses[row] = cross_entropy_row<V>(c, c.logits + row * c.columns, c.targets[row]);
}

}  // namespace unspool
