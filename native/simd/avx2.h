// Eight floats in one AVX2 register. The same words as simd/scalar.h; the kernels are written once in them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace unspool {

struct Avx2 {
  __m256 v;

  static Avx2 zero() { return {_mm256_setzero_ps()}; }
  static Avx2 all(float x) { return {_mm256_set1_ps(x)}; }
  static Avx2 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }

  // The first n of eight, 0 <= n <= 8; the others are read as 0 and not written.
  static __m256i first(std::int64_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
  }
  static Avx2 load_first(const float* p, std::int64_t n) {
    return n >= 8 ? load(p) : Avx2{_mm256_maskload_ps(p, first(n))};
  }
  void store_first(float* p, std::int64_t n) const {
    if (n >= 8) store(p);
    else _mm256_maskstore_ps(p, first(n), v);
  }
  // n bytes, each 0 or 1, as floats.
  static Avx2 from_bytes(const std::uint8_t* p, std::int64_t n) {
    alignas(8) std::uint8_t bytes[8] = {};
    for (std::int64_t i = 0; i < (n < 8 ? n : 8); ++i) bytes[i] = p[i];
    const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(packed))};
  }

  friend Avx2 operator+(Avx2 a, Avx2 b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Avx2 operator-(Avx2 a, Avx2 b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Avx2 operator*(Avx2 a, Avx2 b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Avx2 operator/(Avx2 a, Avx2 b) { return {_mm256_div_ps(a.v, b.v)}; }
  // a·b + c
  static Avx2 fma(Avx2 a, Avx2 b, Avx2 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  // The limit, unless x is beyond it; a NaN in x stays NaN.
  static Avx2 at_least(Avx2 x, float limit) { return {_mm256_max_ps(_mm256_set1_ps(limit), x.v)}; }
  static Avx2 at_most(Avx2 x, float limit) { return {_mm256_min_ps(_mm256_set1_ps(limit), x.v)}; }
  static Avx2 square_root(Avx2 x) { return {_mm256_sqrt_ps(x.v)}; }
  static Avx2 round(Avx2 x) { return {_mm256_round_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  // 2^n for whole n in -126..127
  static Avx2 power_of_two(Avx2 n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23))};
  }
  static Avx2 absolute(Avx2 x) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v)}; }
  // |x| with the sign of s
  static Avx2 with_sign(Avx2 x, Avx2 s) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_andnot_ps(sign, x.v), _mm256_and_ps(sign, s.v))};
  }
  // x where s > 0, else 0
  static Avx2 where_positive(Avx2 s, Avx2 x) {
    return {_mm256_and_ps(_mm256_cmp_ps(s.v, _mm256_setzero_ps(), _CMP_GT_OQ), x.v)};
  }
  float sum() const {
    float lane[8];
    store(lane);
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
  }
};

}  // namespace unspool
