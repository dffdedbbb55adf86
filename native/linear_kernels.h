// The dense layer for one vector type.
#pragma once

#include <algorithm>
#include <cstring>

#include "linear.h"
#include "matmul.h"

namespace unspool {

constexpr Size kTileRows = 48;  // of the result at once: with a block of panels they stay in the first two caches

// Panel `number` of the matrix whose element (k, j) is source[k·by_depth + j·by_column].
template <class V>
void pack_matrix(const float* source, Size by_depth, Size by_column, Size depth, Size columns, Size number, float* panels) {
  pack_panel<V>(source, by_depth, by_column, depth, number * kPanel, columns, panels + number * kPanel * depth);
}

// Rows first to last of c. tile: kTileRows · kBlock floats, for panels that reach beyond a row of c.
template <class V>
void matrix_product(const MatrixProduct& p, Size first, Size last, float* tile) {
  for (Size j = 0; j < p.columns; j += block_of<V>) {
    const Size width = std::min(block_of<V>, p.columns - j);
    const bool whole = width % kHalf == 0;
    const Start start{p.start ? p.start + j : nullptr, 0};
    for (Size row = first; row < last; row += kTileRows) {
      const Size rows = std::min(kTileRows, last - row);
      float* c = p.c + row * p.columns + j;
      float* to = whole ? c : tile;
      const Size ldc = whole ? p.columns : block_of<V>;
      const float *right = p.right + j * (p.packed ? p.depth : 1), *a = p.a + row * (p.by_depth ? 1 : p.stride);
      const auto product = [&]<Left left, bool packed>() {
        multiply<V, left, packed>(rows, a, p.stride, p.depth, right, width, to, ldc, start, kPanel, nullptr, p.columns);
      };
      if (p.by_depth && p.packed) product.template operator()<Left::by_depth, true>();
      else if (p.by_depth) product.template operator()<Left::by_depth, false>();
      else if (p.packed) product.template operator()<Left::by_row, true>();
      else product.template operator()<Left::by_row, false>();
      for (Size i = 0; i < rows && !whole; ++i)
        std::memcpy(c + i * p.columns, tile + i * block_of<V>, static_cast<std::size_t>(width) * sizeof(float));
    }
  }
}

}  // namespace unspool
