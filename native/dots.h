// Products with weights as they lie in memory, (outputs, depth): for so few rows that packing would cost more than
// it saves. The weights are read once; each output is summed lane by lane and then over the lanes, whatever rows or
// threads share the call.
#pragma once

#include "matmul.h"

namespace unspool {

// sums[m·N + n] = a[m] · w[n] for M rows and N outputs; M·N = 8. `ahead`: from w to what is read after it, which one
// row does not keep the core busy long enough to wait for.
template <class V, int M, int N>
inline void dot_block(const float* a, Size lda, const float* const* w, Size depth, float* sums, Size ahead = 0) {
  static_assert(M * N == 8);
  V part[8];
  UNSPOOL_UNROLL
  for (int i = 0; i < 8; ++i) part[i] = V::zero();
  Size k = 0;
  for (; k + V::width <= depth; k += V::width) {
    if constexpr (M == 1) {
      UNSPOOL_UNROLL
      for (int n = 0; n < N; ++n) __builtin_prefetch(w[n] + ahead + k);
    }
    UNSPOOL_UNROLL
    for (int m = 0; m < M; ++m) {
      const V x = V::load(a + m * lda + k);
      UNSPOOL_UNROLL
      for (int n = 0; n < N; ++n) part[m * N + n] = V::fma(x, V::load(w[n] + k), part[m * N + n]);
    }
  }
  if (k < depth) {
    UNSPOOL_UNROLL
    for (int m = 0; m < M; ++m) {
      const V x = V::load_first(a + m * lda + k, depth - k);
      UNSPOOL_UNROLL
      for (int n = 0; n < N; ++n) part[m * N + n] = V::fma(x, V::load_first(w[n] + k, depth - k), part[m * N + n]);
    }
  }
  V::sums(part, sums);
}

// c[m·ldc + n] = start[m][n] + a[m] · w[n] for `rows` rows and `outputs` outputs.
template <class V>
inline void dots(Size rows, const float* a, Size lda, const float* w, Size outputs, Size depth, float* c, Size ldc,
                 Start start) {
  float sums[8];
  const auto put = [&](Size m, Size n, float sum) {
    c[m * ldc + n] = (start.values ? start.values[m * start.stride + n] : 0.0f) + sum;
  };
  for (Size n = 0; n < outputs; n += 8) {
    const Size real = outputs - n < 8 ? outputs - n : 8;
    const float* row[8];
    for (Size j = 0; j < 8; ++j) row[j] = w + (n + (j < real ? j : real - 1)) * depth;
    Size m = 0;
    for (; m + 2 <= rows; m += 2)
      for (Size half = 0; half < real; half += 4) {
        dot_block<V, 2, 4>(a + m * lda, lda, row + half, depth, sums);
        for (Size j = half; j < half + 4 && j < real; ++j) {
          put(m, n + j, sums[j - half]);
          put(m + 1, n + j, sums[4 + j - half]);
        }
      }
    if (m == rows) continue;
    dot_block<V, 1, 8>(a + m * lda, lda, row, depth, sums, n + 16 <= outputs ? 8 * depth : 0);
    for (Size j = 0; j < real; ++j) put(m, n + j, sums[j]);
  }
}

}  // namespace unspool
