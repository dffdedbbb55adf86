// Mean 0 and variance 1 over the units of a row, then gain and shift.
#pragma once

#include "plan.h"

namespace unspool {

// 1 for the units that exist, 0 for those that pad the last vector.
template <class V>
inline V real_units(Size unit, Size hidden) {
  static constexpr float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  return V::load_first(ones, hidden - unit);
}

struct Moments {
  float mean, scale;  // scale: 1 / standard deviation
};

// Over `parts` stretches of `hidden` floats, `stride` apart.
template <class V>
inline Moments moments(const float* row, Size hidden, Size parts = 1, Size stride = 0) {
  V sum = V::zero(), squares = V::zero();
  for (Size k = 0; k < parts; ++k)
    for (Size u = 0; u < hidden; u += V::width) sum = sum + V::load_first(row + k * stride + u, hidden - u);
  const float count = static_cast<float>(parts * hidden), mean = sum.sum() / count;
  for (Size k = 0; k < parts; ++k)
    for (Size u = 0; u < hidden; u += V::width) {
      const V off = (V::load_first(row + k * stride + u, hidden - u) - V::all(mean)) * real_units<V>(u, hidden);
      squares = V::fma(off, off, squares);
    }
  const V deviation = V::square_root(V::all(squares.sum() / count + kNormEpsilon));
  return {mean, 1.0f / (deviation.sum() / static_cast<float>(V::width))};  // of one lane; infinity gives 0
}

template <class V>
inline V normalised(const float* row, const Moments& m, Size u, Size hidden) {
  return (V::load_first(row + u, hidden - u) - V::all(m.mean)) * V::all(m.scale) * real_units<V>(u, hidden);
}

// Adds to `to` the gradient with respect to `row` of its normalisation, given that of the result.
// `gain_gradient` and `shift_gradient` grow by this row's part.
template <class V>
inline void normalise_backward(const float* row, const float* gradient, const float* gain, Size hidden, float* to,
                               float* gain_gradient, float* shift_gradient) {
  const Moments m = moments<V>(row, hidden);
  V sum = V::zero(), along = V::zero();
  for (Size u = 0; u < hidden; u += V::width) {
    const V value = normalised<V>(row, m, u, hidden), d = V::load(gradient + u);
    V::fma(d, value, V::load(gain_gradient + u)).store(gain_gradient + u);
    (V::load(shift_gradient + u) + d).store(shift_gradient + u);
    sum = V::fma(d, V::load(gain + u), sum);
    along = V::fma(d * V::load(gain + u), value, along);
  }
  const V mean = V::all(sum.sum() / static_cast<float>(hidden));
  const V slope = V::all(along.sum() / static_cast<float>(hidden));
  for (Size u = 0; u < hidden; u += V::width) {
    const V value = normalised<V>(row, m, u, hidden);
    const V d = V::load(gradient + u) * V::load(gain + u) - mean - value * slope;
    V::fma(d * real_units<V>(u, hidden), V::all(m.scale), V::load(to + u)).store(to + u);
  }
}

}  // namespace unspool
