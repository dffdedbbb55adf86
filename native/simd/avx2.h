// Eight floats in one AVX2 register. The same words as simd/scalar.h; the kernels are written once in them.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace unspool {

// Eight floats; `kind` 1 is for use beside sixteen (simd/avx512.h): a type of its own, so that the linker cannot take
// a function compiled for the one instruction set for that of the other.
template <int kind>
struct Ymm {
  static constexpr std::int64_t width = 8;
  using Product = std::conditional_t<kind == 0, Ymm, struct Avx512>;  // what products of these are computed with
  using Half = Ymm;                                                   // eight columns of a product
  __m256 v;

  static Ymm zero() { return {_mm256_setzero_ps()}; }
  static Ymm all(float x) { return {_mm256_set1_ps(x)}; }
  static Ymm load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  // Past the caches, to a whole vector's boundary; others see it after `settle`.
  void stream(float* p) const { _mm256_stream_ps(p, v); }
  static void settle() { _mm_sfence(); }

  // The first n of eight, 0 <= n <= 8; the others are read as 0 and not written.
  static __m256i first(std::int64_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
  }
  static Ymm load_first(const float* p, std::int64_t n) {
    return n >= 8 ? load(p) : Ymm{_mm256_maskload_ps(p, first(n))};
  }
  void store_first(float* p, std::int64_t n) const {
    if (n >= 8) store(p);
    else _mm256_maskstore_ps(p, first(n), v);
  }
  // n bytes, each 0 or 1, as floats.
  static Ymm from_bytes(const std::uint8_t* p, std::int64_t n) {
    alignas(8) std::uint8_t bytes[8] = {};
    if (n >= 8) std::memcpy(bytes, p, 8);
    else
      for (std::int64_t i = 0; i < n; ++i) bytes[i] = p[i];
    const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(packed))};
  }

  friend Ymm operator+(Ymm a, Ymm b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Ymm operator-(Ymm a, Ymm b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Ymm operator*(Ymm a, Ymm b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Ymm operator/(Ymm a, Ymm b) { return {_mm256_div_ps(a.v, b.v)}; }
  // a·b + c
  static Ymm fma(Ymm a, Ymm b, Ymm c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  // The limit, unless x is beyond it; a NaN in x stays NaN.
  static Ymm at_least(Ymm x, float limit) { return {_mm256_max_ps(_mm256_set1_ps(limit), x.v)}; }
  static Ymm at_most(Ymm x, float limit) { return {_mm256_min_ps(_mm256_set1_ps(limit), x.v)}; }
  static Ymm square_root(Ymm x) { return {_mm256_sqrt_ps(x.v)}; }
  static Ymm round(Ymm x) { return {_mm256_round_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  // 2^n for whole n in -126..127
  static Ymm power_of_two(Ymm n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23))};
  }
  static Ymm absolute(Ymm x) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v)}; }
  // |x| with the sign of s
  static Ymm with_sign(Ymm x, Ymm s) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_andnot_ps(sign, x.v), _mm256_and_ps(sign, s.v))};
  }
  // x where s > 0, else 0
  static Ymm where_positive(Ymm s, Ymm x) {
    return {_mm256_and_ps(_mm256_cmp_ps(s.v, _mm256_setzero_ps(), _CMP_GT_OQ), x.v)};
  }
  // to[i] = the sum of the lanes of part[i], for eight vectors
  static void sums(const Ymm* part, float* to) {
    const __m256 ab = _mm256_hadd_ps(part[0].v, part[1].v), cd = _mm256_hadd_ps(part[2].v, part[3].v);
    const __m256 ef = _mm256_hadd_ps(part[4].v, part[5].v), gh = _mm256_hadd_ps(part[6].v, part[7].v);
    const __m256 low = _mm256_hadd_ps(ab, cd), high = _mm256_hadd_ps(ef, gh);
    const __m256 crossed = _mm256_permute2f128_ps(low, high, 0x21), straight = _mm256_blend_ps(low, high, 0xf0);
    _mm256_storeu_ps(to, _mm256_add_ps(straight, crossed));
  }
  float sum() const {
    float lane[8];
    store(lane);
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
  }
};

using Avx2 = Ymm<0>;

}  // namespace unspool
