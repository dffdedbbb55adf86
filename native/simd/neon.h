// Eight floats in two NEON registers. The same words as simd/avx2.h.
#pragma once

#include <arm_neon.h>

#include <cmath>
#include <cstdint>

namespace unspool {

struct Neon {
  static constexpr std::int64_t width = 8;
  using Product = Neon;
  using Half = Neon;
  float32x4_t a, b;

  static Neon zero() { return all(0.0f); }
  static Neon all(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
  static Neon load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
  void stream(float* p) const { store(p); }
  static void settle() {}
  void store(float* p) const {
    vst1q_f32(p, a);
    vst1q_f32(p + 4, b);
  }

  // The first n of eight, 0 <= n; the others are read as 0 and not written.
  static Neon load_first(const float* p, std::int64_t n) {
    if (n >= 8) return load(p);
    float lane[8] = {};
    for (std::int64_t i = 0; i < n; ++i) lane[i] = p[i];
    return load(lane);
  }
  void store_first(float* p, std::int64_t n) const {
    if (n >= 8) return store(p);
    float lane[8];
    store(lane);
    for (std::int64_t i = 0; i < n; ++i) p[i] = lane[i];
  }
  // n bytes, each 0 or 1, as floats.
  static Neon from_bytes(const std::uint8_t* p, std::int64_t n) {
    float lane[8] = {};
    for (std::int64_t i = 0; i < (n < 8 ? n : 8); ++i) lane[i] = p[i];
    return load(lane);
  }

  friend Neon operator+(Neon x, Neon y) { return {vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b)}; }
  friend Neon operator-(Neon x, Neon y) { return {vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b)}; }
  friend Neon operator*(Neon x, Neon y) { return {vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b)}; }
  friend Neon operator/(Neon x, Neon y) { return {vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b)}; }
  // x·y + z
  static Neon fma(Neon x, Neon y, Neon z) { return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b)}; }
  // The limit, unless x is beyond it; a NaN in x stays NaN.
  static Neon at_least(Neon x, float limit) {
    const float32x4_t l = vdupq_n_f32(limit);
    return {vmaxq_f32(l, x.a), vmaxq_f32(l, x.b)};
  }
  static Neon at_most(Neon x, float limit) {
    const float32x4_t l = vdupq_n_f32(limit);
    return {vminq_f32(l, x.a), vminq_f32(l, x.b)};
  }
  static Neon square_root(Neon x) { return {vsqrtq_f32(x.a), vsqrtq_f32(x.b)}; }
  static Neon round(Neon x) { return {vrndnq_f32(x.a), vrndnq_f32(x.b)}; }
  // 2^n for whole n in -126..127
  static Neon power_of_two(Neon n) {
    const auto half = [](float32x4_t v) {
      return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(v), vdupq_n_s32(127)), 23));
    };
    return {half(n.a), half(n.b)};
  }
  static Neon absolute(Neon x) { return {vabsq_f32(x.a), vabsq_f32(x.b)}; }
  // |x| with the sign of s
  static Neon with_sign(Neon x, Neon s) {
    const uint32x4_t sign = vdupq_n_u32(0x80000000u);
    return {vbslq_f32(sign, s.a, x.a), vbslq_f32(sign, s.b, x.b)};
  }
  // x where s > 0, else 0
  static Neon where_positive(Neon s, Neon x) {
    const auto half = [](float32x4_t c, float32x4_t v) {
      return vreinterpretq_f32_u32(vandq_u32(vcgtzq_f32(c), vreinterpretq_u32_f32(v)));
    };
    return {half(s.a, x.a), half(s.b, x.b)};
  }
  // to[i] = the sum of the lanes of part[i], for eight vectors
  static void sums(const Neon* part, float* to) {
    for (int i = 0; i < 8; ++i) to[i] = part[i].sum();
  }
  float sum() const {
    float lane[8];
    store(lane);
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
  }
};

}  // namespace unspool
