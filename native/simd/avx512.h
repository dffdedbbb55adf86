// Sixteen floats in one AVX-512 register. The same words as simd/avx2.h.
#pragma once

#include "avx2.h"

namespace unspool {

struct Avx512 {
  static constexpr std::int64_t width = 16;
  using Product = Avx512;
  using Half = Ymm<1>;
  __m512 v;

  static Avx512 zero() { return {_mm512_setzero_ps()}; }
  static Avx512 all(float x) { return {_mm512_set1_ps(x)}; }
  static Avx512 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void stream(float* p) const { _mm512_stream_ps(p, v); }
  static void settle() { _mm_sfence(); }

  // The first n of sixteen, 0 <= n; the others are read as 0 and not written.
  static __mmask16 first(std::int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1u); }
  static Avx512 load_first(const float* p, std::int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  void store_first(float* p, std::int64_t n) const { _mm512_mask_storeu_ps(p, first(n), v); }
  // n bytes, each 0 or 1, as floats.
  static Avx512 from_bytes(const std::uint8_t* p, std::int64_t n) {
    const __m128i bytes = _mm_maskz_loadu_epi8(first(n), p);
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
  }

  friend Avx512 operator+(Avx512 a, Avx512 b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Avx512 operator-(Avx512 a, Avx512 b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Avx512 operator*(Avx512 a, Avx512 b) { return {_mm512_mul_ps(a.v, b.v)}; }
  // a / b as good as rounded, in half the time of a division; for finite b, and 0 where 1 / b is below 1e-38.
  friend Avx512 operator/(Avx512 a, Avx512 b) {
    const __m512 inverse = _mm512_rcp14_ps(b.v), first = _mm512_mul_ps(a.v, inverse);
    return {_mm512_fmadd_ps(_mm512_fnmadd_ps(b.v, first, a.v), inverse, first)};
  }
  // a·b + c
  static Avx512 fma(Avx512 a, Avx512 b, Avx512 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  // The limit, unless x is beyond it; a NaN in x stays NaN.
  static Avx512 at_least(Avx512 x, float limit) { return {_mm512_max_ps(_mm512_set1_ps(limit), x.v)}; }
  static Avx512 at_most(Avx512 x, float limit) { return {_mm512_min_ps(_mm512_set1_ps(limit), x.v)}; }
  static Avx512 square_root(Avx512 x) { return {_mm512_sqrt_ps(x.v)}; }
  static Avx512 round(Avx512 x) {
    return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // 2^n for whole n in -126..127
  static Avx512 power_of_two(Avx512 n) { return {_mm512_scalef_ps(_mm512_set1_ps(1.0f), n.v)}; }
  static Avx512 absolute(Avx512 x) { return {_mm512_abs_ps(x.v)}; }
  // |x| with the sign of s
  static Avx512 with_sign(Avx512 x, Avx512 s) {
    const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    return {_mm512_castsi512_ps(  // bit by bit: sign ? s : x
        _mm512_ternarylogic_epi32(sign, _mm512_castps_si512(s.v), _mm512_castps_si512(x.v), 0xca))};
  }
  // x where s > 0, else 0
  static Avx512 where_positive(Avx512 s, Avx512 x) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(s.v, _mm512_setzero_ps(), _CMP_GT_OQ), x.v)};
  }
  // to[i] = the sum of the lanes of part[i], for eight vectors
  static void sums(const Avx512* part, float* to) {
    Ymm<1> half[8];
    for (int i = 0; i < 8; ++i)
      half[i].v = _mm256_add_ps(_mm512_castps512_ps256(part[i].v), _mm512_extractf32x8_ps(part[i].v, 1));
    Ymm<1>::sums(half, to);
  }
  float sum() const {
    return Ymm<1>{_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))}.sum();
  }
};

}  // namespace unspool
