// exp, sigmoid and tanh on eight floats. Largest errors over all floats, against double, flushing denormals:
// sigmoid 2.0e-7 relative where it is above 1e-37, tanh 3.0e-7 relative (tests/ops/test_native_math.py).
// NaN stays NaN; ±inf and ±1e38 give the limits.
#pragma once

namespace unspool {

// exp(x) = scale + scale·rest, with scale a power of two and rest = exp(r) - 1 for |r| <= ln(2)/2: kept apart
// because tanh needs exp(x) - 1 without cancellation.
template <class V>
struct SplitExp {
  V scale, rest;
};

template <class V>
inline SplitExp<V> split_exp(V x) {
  x = V::at_most(V::at_least(x, -87.0f), 88.0f);
  const V n = V::round(x * V::all(1.44269504f));
  V r = V::fma(n, V::all(-0.693359375f), x);  // ln(2) in two parts: the first has so few bits that n·it is exact
  r = V::fma(n, V::all(2.12194440e-4f), r);
  // (exp(r) - 1 - r) / r^2, least-maximum fit of degree 4: 3e-9 off after the factor r^2
  V p = V::all(0.0013950479f);
  p = V::fma(p, r, V::all(0.0083688824f));
  p = V::fma(p, r, V::all(0.041666206f));
  p = V::fma(p, r, V::all(0.16666520f));
  p = V::fma(p, r, V::all(0.5f));
  return {V::power_of_two(n), V::fma(p, r * r, r)};
}

template <class V>
inline V sigmoid(V x) {
  const SplitExp<V> e = split_exp(V::zero() - x);
  return V::all(1.0f) / (V::fma(e.scale, e.rest, e.scale) + V::all(1.0f));
}

template <class V>
inline V hyperbolic_tangent(V x) {
  const SplitExp<V> e = split_exp(V::all(-2.0f) * V::absolute(x));
  const V minus_one = V::fma(e.scale, e.rest, e.scale - V::all(1.0f));  // exp(-2|x|) - 1
  return V::with_sign(minus_one / (minus_one + V::all(2.0f)), x);
}

}  // namespace unspool
