// Small products with packed weights, or with the rows of a matrix as they lie: the innermost loops.
//
// A panel is a column block of a matrix, 16 columns wide, or 8, stored depth by depth, so that one step of the
// depth reads one or two whole vectors. Columns are cut at 0, 16, 32, ...; the last panel is 8 wide when at most 8
// columns are left. Each output is one sum in the order of the depth, whatever rows
// share the call: that is why the number of threads and the other rows of a batch change no bit.
#pragma once

#include <algorithm>

#include "api.h"

#define UNSPOOL_UNROLL _Pragma("GCC unroll 32")

namespace unspool {

constexpr int kPanel = 16;      // columns of a panel
constexpr Size kHalf = 8;       // of the last one, where they are enough
constexpr Size kBlock = 64;     // columns of a block of panels, at most
constexpr Size kDepth = 256;    // depth handled at once: a panel of that depth is 16 KB, half of a first-level cache

// How the left side lies in memory: row after row, a(m, k) = a[m·stride + k], or depth after depth, a[k·stride + m].
enum class Left { by_row, by_depth };

// Where N vectors of the result come from: one panel, or as many panels, one vector each, `depth` · 16 floats apart; or
// the rows of a matrix, so far apart.
enum class Right { one_panel, panels, rows };

// c[m][:] = start[m] + sum over k of a(m, k) · panel[k][:], N vectors wide; c_step: from one vector of c to the next.
template <class V, int M, int N, Left left, Right right>
inline void micro(const float* a, Size stride, Size depth, const float* panel, Size panel_step, float* c, Size ldc,
                  Size c_step, const float* start, Size start_stride) {
  V sum[M][N];
  UNSPOOL_UNROLL
  for (int m = 0; m < M; ++m) {
    UNSPOOL_UNROLL
    for (int n = 0; n < N; ++n) sum[m][n] = start ? V::load(start + m * start_stride + n * c_step) : V::zero();
  }
  // Every third row has a pointer, the two after it one and two strides on: so all addresses stay in registers. The
  // compiler, left to itself, counts from the first row, runs out of registers and reads addresses from memory.
  constexpr int pointers = left == Left::by_row ? (M + 2) / 3 : 1;
  const float* at[pointers];
  UNSPOOL_UNROLL
  for (int i = 0; i < pointers; ++i) {
    at[i] = a + 3 * i * stride;
    __asm__("" : "+r"(at[i]));
  }
  const float* third = panel + 2 * panel_step;
  __asm__("" : "+r"(third));
  for (Size k = 0; k < depth; ++k) {
    V b[N];
    UNSPOOL_UNROLL
    for (int n = 0; n < N; ++n)
      b[n] = V::load(right == Right::panels ? (n < 2 ? panel : third) + n % 2 * panel_step : panel + V::width * n);
    UNSPOOL_UNROLL
    for (int m = 0; m < M; ++m) {
      const V x = V::all(left == Left::by_row ? at[m / 3][m % 3 * stride] : at[0][m]);
      UNSPOOL_UNROLL
      for (int n = 0; n < N; ++n) sum[m][n] = V::fma(x, b[n], sum[m][n]);
    }
    panel += right == Right::rows ? panel_step : right == Right::one_panel ? V::width * N : V::width;
    third += V::width;
    UNSPOOL_UNROLL
    for (int i = 0; i < pointers; ++i) at[i] += left == Left::by_row ? 1 : stride;
  }
  UNSPOOL_UNROLL
  for (int m = 0; m < M; ++m) {
    UNSPOOL_UNROLL
    for (int n = 0; n < N; ++n) sum[m][n].store(c + m * ldc + n * c_step);
  }
}

// Memory that is wanted soon, asked for little by little between products: asked for at once it would fill the queue
// of the first cache, and all other reads would wait behind it.
template <class V>  // only so that each instruction set has its own copy
class Ahead {
 public:
  void clear() { count_ = next_ = 0; }
  void add(const float* from, Size floats) {
    if (count_ < kMost) parts_[count_++] = {from, from + floats};
  }
  void some() {
    for (int line = 0; line < kAtOnce && next_ < count_; ++line) {
      Part& part = parts_[next_];
      __builtin_prefetch(part.from, 0, 2);
      part.from += kLine;
      next_ += part.from >= part.end;
    }
  }

 private:
  static constexpr int kAtOnce = 32;
  struct Part {
    const float *from, *end;
  };
  static constexpr int kMost = 256;  // what does not fit is not asked for
  Part parts_[kMost];
  int count_ = 0, next_ = 0;
};

// Where a product starts from: zero (null), one vector for all rows (stride 0), or a row each.
struct Start {
  const float* values;
  Size stride;
};

// How deep a product is: `pieces` stretches of the left side's depth, of `each`, `step` apart there; in panels they
// follow one another.
struct Depth {
  Size each, pieces, step;
  constexpr Depth(Size depth, Size count = 1, Size apart = 0) : each(depth), pieces(count), step(apart) {}
  constexpr Size whole() const { return each * pieces; }
};

// Rows of a micro-kernel N vectors wide: as many sums as registers can hold beside what they are made of.
template <class V, int N>
constexpr int rows_at_once = V::width == kPanel ? (N == 1 ? 16 : N == 2 ? 12 : N == 3 ? 8 : 6) : N == 1 ? 12 : 6;

template <class V, int N, Left left, Right right, int M = rows_at_once<V, N>>
inline void micro_rows(int m, const float* a, Size stride, Size depth, const float* panel, Size panel_step, float* c,
                       Size ldc, Size c_step, Start s) {
  if (m == M)
    micro<V, M, N, left, right>(a, stride, depth, panel, panel_step, c, ldc, c_step, s.values, s.stride);
  else if constexpr (M > 1)
    micro_rows<V, N, left, right, M - 1>(m, a, stride, depth, panel, panel_step, c, ldc, c_step, s);
}

// All rows times N vectors; the rows in blocks as equal as can be (32 = 6+6+5+5+5+5), the depth in parts that are, too.
// row_step: of Right::rows.
template <class V, int N, Left left, Right right, class A>
void multiply_vectors(Size rows, const float* a, Size stride, Depth depth, const float* panel, Size row_step, float* c,
                      Size ldc, Size c_step, Start start, A* ahead) {
  constexpr Size most = rows_at_once<V, N>, deepest = N > 2 ? kDepth / 2 : kDepth;
  const Size row_of_panel = right == Right::rows ? row_step : right == Right::panels ? V::width : V::width * N;
  const Size panel_step = right == Right::rows ? row_step : depth.whole() * row_of_panel;
  const Size blocks = (rows + most - 1) / most, parts = std::max<Size>(1, (depth.each + deepest - 1) / deepest);
  const Size by_row = left == Left::by_row ? stride : 1, by_depth = left == Left::by_row ? 1 : stride;
  for (Size k = 0; k < depth.pieces * parts; ++k) {
    const Size piece = k / parts, first = depth.each * (k % parts) / parts, last = depth.each * (k % parts + 1) / parts;
    const float* from = a + (piece * depth.step + first) * by_depth;
    for (Size block = 0, row = 0; block < blocks; ++block) {
      const int m = static_cast<int>((rows - row + blocks - block - 1) / (blocks - block));
      const Start s{start.values ? start.values + row * start.stride : nullptr, start.stride};
      micro_rows<V, N, left, right>(m, from + row * by_row, stride, last - first,
                                    panel + (piece * depth.each + first) * row_of_panel, panel_step, c + row * ldc, ldc,
                                    c_step, s);
      row += m;
      if (ahead) ahead->some();
    }
    start = {c, ldc};
  }
}

// How many columns are best handled together: one panel, or four where a panel is one register.
template <class V>
constexpr Size block_of = V::width == kPanel ? kBlock : kPanel;

// All rows times the next `columns` columns, at most block_of<V>: one panel, or up to four. Panel n of the result
// stands at c + n·c_step, what it starts from at start + n·c_step. row_step: of the right side when it is no panel but
// the rows of a matrix.
template <class V, Left left = Left::by_row, bool packed = true>
inline void multiply(Size rows, const float* a, Size stride, Depth depth, const float* panel, Size columns, float* c,
                     Size ldc, Start start, Size c_step = kPanel, Ahead<V>* ahead = nullptr, Size row_step = 0) {
  using P = typename V::Product;
  using Half = typename V::Half;
  constexpr Right one = packed ? Right::one_panel : Right::rows, more = packed ? Right::panels : Right::rows;
  const Size half = columns % kPanel > 0 && columns % kPanel <= kHalf, whole = (columns + kPanel - 1) / kPanel - half;
  const auto vectors = [&]<class W, int N, Right right>(Size step) {
    multiply_vectors<W, N, left, right>(rows, a, stride, depth, panel, row_step, c, ldc, step, start, ahead);
  };
  if constexpr (V::width < kPanel) {
    if (whole) vectors.template operator()<P, kPanel / P::width, one>(P::width);
  } else {
    switch (whole) {
      case 0: break;
      case 1: vectors.template operator()<P, 1, more>(c_step); break;
      case 2: vectors.template operator()<P, 2, more>(c_step); break;
      case 3: vectors.template operator()<P, 3, more>(c_step); break;
      default: vectors.template operator()<P, 4, more>(c_step);
    }
  }
  if (!half) return;
  if (start.values) start.values += whole * c_step;
  panel += whole * kPanel * (packed ? depth.whole() : 1);
  c += whole * c_step;
  vectors.template operator()<Half, 1, one>(kHalf);
}

// The last panel of a matrix is 8 wide where no more than 8 columns are left.
constexpr Size panel_width(Size column, Size columns) { return columns - column <= kHalf ? kHalf : kPanel; }

// to[j·to_stride + i] = from[i·stride + j], four by four.
template <class V>
inline void turn(const float* from, Size stride, float* to, Size to_stride) {
  using Four = float __attribute__((vector_size(16), aligned(4), may_alias));
  const auto row = [&](Size i) { return *reinterpret_cast<const Four*>(from + i * stride); };
  const Four a = row(0), b = row(1), c = row(2), d = row(3);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const auto put = [&](Size j, Four column) { *reinterpret_cast<Four*>(to + j * to_stride) = column; };
  put(0, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
  put(1, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
  put(2, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  put(3, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

// to[j·to_stride + i] = from[i·stride + j] for all of `rows` rows and `columns` columns.
template <class V>
void turn_over(const float* from, Size stride, Size rows, Size columns, float* to, Size to_stride) {
  const Size whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (Size j = 0; j < whole_columns; j += 4)  // in long stretches of `to`, whose rows may lie a power of two apart
    for (Size i = 0; i < whole_rows; i += 4) turn<V>(from + i * stride + j, stride, to + j * to_stride + i, to_stride);
  for (Size i = 0; i < rows; ++i)
    for (Size j = i < whole_rows ? whole_columns : 0; j < columns; ++j) to[j * to_stride + i] = from[i * stride + j];
}

// Packs columns [column, column + width) of the depth × columns matrix whose element (k, j) is
// source[k·by_depth + j·by_column]; columns that do not exist are 0.
template <class V>  // only so that each instruction set has its own copy
inline void pack_panel(const float* source, Size by_depth, Size by_column, Size depth, Size column, Size columns,
                       float* panel) {
  const Size width = panel_width(column, columns);
  const Size real = columns - column < width ? columns - column : width;
  Size k = 0;
  for (; by_depth == 1 && real == width && k + 4 <= depth; k += 4)
    for (Size j = 0; j < width; j += 4)
      turn<V>(source + k + (column + j) * by_column, by_column, panel + k * width + j, width);
  for (; k < depth; ++k) {
    for (Size j = 0; j < real; ++j) panel[k * width + j] = source[k * by_depth + (column + j) * by_column];
    for (Size j = real; j < width; ++j) panel[k * width + j] = 0.0f;
  }
}

}  // namespace unspool
