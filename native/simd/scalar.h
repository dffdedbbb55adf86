// Eight floats in whatever the plainest CPU of the platform has (two SSE registers on x86-64), by the compilers'
// vector extension. The same words as simd/avx2.h; no fused multiply-add.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace unspool {

struct Scalar {
  static constexpr std::int64_t width = 8;
  using Product = Scalar;
  using Half = Scalar;
  typedef float Floats __attribute__((vector_size(32), aligned(16)));
  typedef std::int32_t Ints __attribute__((vector_size(32), aligned(16)));
  Floats v;

  static Scalar zero() { return {Floats{}}; }
  static Scalar all(float x) { return {Floats{x, x, x, x, x, x, x, x}}; }
  static Scalar load(const float* p) {
    Scalar r;
    std::memcpy(&r.v, p, sizeof r.v);
    return r;
  }
  void store(float* p) const { std::memcpy(p, &v, sizeof v); }
  void stream(float* p) const { store(p); }
  static void settle() {}

  // The first n of eight, 0 <= n <= 8; the others are read as 0 and not written.
  static Scalar load_first(const float* p, std::int64_t n) {
    if (n >= 8) return load(p);
    Scalar r = zero();
    for (std::int64_t i = 0; i < n; ++i) r.v[i] = p[i];
    return r;
  }
  void store_first(float* p, std::int64_t n) const {
    if (n >= 8) return store(p);
    for (std::int64_t i = 0; i < n; ++i) p[i] = v[i];
  }
  // n bytes, each 0 or 1, as floats.
  static Scalar from_bytes(const std::uint8_t* p, std::int64_t n) {
    Scalar r = zero();
    for (std::int64_t i = 0; i < (n < 8 ? n : 8); ++i) r.v[i] = static_cast<float>(p[i]);
    return r;
  }

  friend Scalar operator+(Scalar a, Scalar b) { return {a.v + b.v}; }
  friend Scalar operator-(Scalar a, Scalar b) { return {a.v - b.v}; }
  friend Scalar operator*(Scalar a, Scalar b) { return {a.v * b.v}; }
  friend Scalar operator/(Scalar a, Scalar b) { return {a.v / b.v}; }
  // a·b + c
  static Scalar fma(Scalar a, Scalar b, Scalar c) { return {a.v * b.v + c.v}; }
  // The limit, unless x is beyond it; a NaN in x stays NaN.
  static Scalar at_least(Scalar x, float limit) { return {x.v < limit ? all(limit).v : x.v}; }
  static Scalar at_most(Scalar x, float limit) { return {x.v > limit ? all(limit).v : x.v}; }
  static Scalar square_root(Scalar x) {
    for (int i = 0; i < 8; ++i) x.v[i] = std::sqrt(x.v[i]);
    return x;
  }
  // To the nearest whole number, for |x| < 2^22: beyond that a float has no room for the rounding.
  static Scalar round(Scalar x) { return {(x.v + 12582912.0f) - 12582912.0f}; }
  // 2^n for whole n in -126..127; any number for NaN
  static Scalar power_of_two(Scalar n) {
    const Ints exponent = __builtin_convertvector(n.v == n.v ? n.v : Floats{}, Ints);
    return {(Floats)((exponent + 127) << 23)};
  }
  static Scalar absolute(Scalar x) { return {(Floats)((Ints)x.v & 0x7fffffff)}; }
  // |x| with the sign of s
  static Scalar with_sign(Scalar x, Scalar s) {
    return {(Floats)(((Ints)x.v & 0x7fffffff) | ((Ints)s.v & ~0x7fffffff))};
  }
  // x where s > 0, else 0
  static Scalar where_positive(Scalar s, Scalar x) { return {s.v > 0.0f ? x.v : Floats{}}; }
  // to[i] = the sum of the lanes of part[i], for eight vectors
  static void sums(const Scalar* part, float* to) {
    for (int i = 0; i < 8; ++i) to[i] = part[i].sum();
  }
  float sum() const { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }
};

}  // namespace unspool
