// Products with weights as they lie in memory, (outputs, depth): for so few rows that packing would cost more than
// it saves. The weights are read once; each output is summed lane by lane and then over the lanes, whatever rows or
// threads share the call.
#pragma once

#include "matmul.h"

namespace unspool {

// sums[m·N + n] = a[m] · w[n] for M rows and N outputs; M·N is a multiple of 8.
template <class V, int M, int N>
inline void dot_block(const float* a, Size lda, const float* const* w, Size depth, float* sums) {
  static_assert(M * N % 8 == 0);
  V part[M * N];
  UNSPOOL_UNROLL
  for (int i = 0; i < M * N; ++i) part[i] = V::zero();
  Size k = 0;
  for (; k + V::width <= depth; k += V::width) {
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
  UNSPOOL_UNROLL
  for (int i = 0; i < M * N; i += 8) V::sums(part + i, sums + i);
}

// Rows at once: as many as leave registers for what they are multiplied with.
template <class V>
constexpr int rows_of_dots = V::width == 16 ? 6 : 2;

// c[m·ldc + n] = start[m][n] + a[m] · w[n] for `rows` rows and `outputs` outputs.
template <class V>
inline void dots(Size rows, const float* a, Size lda, const float* w, Size outputs, Size depth, float* c, Size ldc,
                 Start start) {
  constexpr int most = rows_of_dots<V>;
  float sums[most * 4];
  const auto put = [&](Size m, Size n, float sum) {
    c[m * ldc + n] = (start.values ? start.values[m * start.stride + n] : 0.0f) + sum;
  };
  const auto block = [&]<int M>(Size m, Size n, Size real, const float* const* row) {
    for (Size half = 0; half < real; half += 4) {
      dot_block<V, M, 4>(a + m * lda, lda, row + half, depth, sums);
      for (Size i = 0; i < M; ++i)
        for (Size j = half; j < half + 4 && j < real; ++j) put(m + i, n + j, sums[4 * i + j - half]);
    }
  };
  for (Size n = 0; n < outputs; n += 8) {
    const Size real = outputs - n < 8 ? outputs - n : 8;
    const float* row[8];
    for (Size j = 0; j < 8; ++j) row[j] = w + (n + (j < real ? j : real - 1)) * depth;
    Size m = 0;
    for (; m + most <= rows; m += most) block.template operator()<most>(m, n, real, row);
    for (; m + 2 <= rows; m += 2) block.template operator()<2>(m, n, real, row);
    if (m == rows) continue;
    dot_block<V, 1, 8>(a + m * lda, lda, row, depth, sums);
    for (Size j = 0; j < real; ++j) put(m, n + j, sums[j]);
  }
}

}  // namespace unspool
