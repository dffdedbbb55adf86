// Small products with packed weights: the innermost loops.
//
// A panel is a column block of a matrix, 16 or 8 columns wide, stored depth by depth, so that one step of the
// depth reads one or two whole vectors. Columns of a matrix with U units are cut at 0, 16, 32, ...; the last block
// is 8 wide when at most 8 columns are left. Each output is one sum in the order of the depth, whatever rows
// share the call: that is why the number of threads and the other rows of a batch change no bit.
#pragma once

#include "api.h"

#define UNSPOOL_UNROLL _Pragma("GCC unroll 16")

namespace unspool {

constexpr int kPanel = 16;      // columns of a panel
constexpr int kRows = 6;        // rows of the micro-kernel: 6 rows × 2 vectors = 12 sums in flight, 4 registers left
constexpr Size kDepth = 256;    // depth handled at once: a panel of that depth is 16 KB, half of a first-level cache

// c[m][0..8N) = start[m] + sum over k of a(m, k) · panel[k][0..8N), with a(m, k) = a[m·by_row + k·by_depth].
template <class V, int M, int N>
inline void micro(const float* a, Size by_row, Size by_depth, Size depth, const float* panel, float* c, Size ldc,
                  const float* start, Size start_stride) {
  V sum[M][N];
  UNSPOOL_UNROLL
  for (int m = 0; m < M; ++m) {
    UNSPOOL_UNROLL
    for (int n = 0; n < N; ++n) sum[m][n] = start ? V::load(start + m * start_stride + 8 * n) : V::zero();
  }
  for (Size k = 0; k < depth; ++k) {
    V b[N];
    UNSPOOL_UNROLL
    for (int n = 0; n < N; ++n) b[n] = V::load(panel + 8 * n);
    UNSPOOL_UNROLL
    for (int m = 0; m < M; ++m) {
      const V x = V::all(a[m * by_row]);
      UNSPOOL_UNROLL
      for (int n = 0; n < N; ++n) sum[m][n] = V::fma(x, b[n], sum[m][n]);
    }
    panel += 8 * N;
    a += by_depth;
  }
  UNSPOOL_UNROLL
  for (int m = 0; m < M; ++m) {
    UNSPOOL_UNROLL
    for (int n = 0; n < N; ++n) sum[m][n].store(c + m * ldc + 8 * n);
  }
}

// Where a product starts from: zero (null), one vector for all rows (stride 0), or a row each.
struct Start {
  const float* values;
  Size stride;
};

template <class V, int N>
inline void micro_rows(int m, const float* a, Size by_row, Size by_depth, Size depth, const float* panel, float* c,
                       Size ldc, Start s) {
  switch (m) {
    case 6: return micro<V, 6, N>(a, by_row, by_depth, depth, panel, c, ldc, s.values, s.stride);
    case 5: return micro<V, 5, N>(a, by_row, by_depth, depth, panel, c, ldc, s.values, s.stride);
    case 4: return micro<V, 4, N>(a, by_row, by_depth, depth, panel, c, ldc, s.values, s.stride);
    case 3: return micro<V, 3, N>(a, by_row, by_depth, depth, panel, c, ldc, s.values, s.stride);
    case 2: return micro<V, 2, N>(a, by_row, by_depth, depth, panel, c, ldc, s.values, s.stride);
    default: return micro<V, 1, N>(a, by_row, by_depth, depth, panel, c, ldc, s.values, s.stride);
  }
}

// All rows times one panel of `width` 8 or 16 columns; the rows in blocks as equal as can be (32 = 6+6+5+5+5+5).
template <class V>
inline void multiply(Size rows, const float* a, Size by_row, Size by_depth, Size depth, const float* panel,
                     Size width, float* c, Size ldc, Start start) {
  const Size blocks = (rows + kRows - 1) / kRows;
  Size done = 0;
  do {
    const Size part = depth - done < kDepth ? depth - done : kDepth;
    for (Size block = 0, row = 0; block < blocks; ++block) {
      const int m = static_cast<int>((rows - row + blocks - block - 1) / (blocks - block));
      const float* block_a = a + row * by_row + done * by_depth;
      const float* block_panel = panel + done * width;
      const Start s{start.values ? start.values + row * start.stride : nullptr, start.stride};
      if (width == kPanel) micro_rows<V, 2>(m, block_a, by_row, by_depth, part, block_panel, c + row * ldc, ldc, s);
      else micro_rows<V, 1>(m, block_a, by_row, by_depth, part, block_panel, c + row * ldc, ldc, s);
      row += m;
    }
    done += part;
    start = {c, ldc};
  } while (done < depth);
}

constexpr Size panel_width(Size column, Size columns) { return columns - column > 8 ? kPanel : 8; }

// Packs columns [column, column + width) of the depth × columns matrix whose element (k, j) is
// source[k·by_depth + j·by_column]; columns that do not exist are 0.
template <class V>  // only so that each instruction set has its own copy
inline void pack_panel(const float* source, Size by_depth, Size by_column, Size depth, Size column, Size columns,
                       float* panel) {
  const Size width = panel_width(column, columns);
  const Size real = columns - column < width ? columns - column : width;
  for (Size k = 0; k < depth; ++k) {
    for (Size j = 0; j < real; ++j) panel[k * width + j] = source[k * by_depth + (column + j) * by_column];
    for (Size j = real; j < width; ++j) panel[k * width + j] = 0.0f;
  }
}

}  // namespace unspool
