// All answers of a convolution, and their gradients, as products over rows that overlap, for one vector type.
#pragma once

#include "linear_kernels.h"
#include "windows.h"

namespace unspool {

inline constexpr Size kTile = kTileRows * kBlock;  // floats

// A row of x as wide as whole half panels, which products may read to their end.
constexpr Size whole_width(const WindowCall& c) { return padded(c.width, kHalf); }

constexpr Size windows_forward_scratch(const WindowCall& c) { return kTile + c.depth(); }

template <class V>
void windows_forward_row(const WindowCall& c, const float* panels, const float* start, Size row, float* scratch) {
  const Size n = c.windows_of(row), length = c.lengths[row];
  const float* text = c.x + row * c.steps * c.width;
  if (n > 0 && length < c.size) {  // extended by zeros to one window
    float* extended = scratch + kTile;
    std::copy(text, text + length * c.width, extended);
    std::fill(extended + length * c.width, extended + c.depth(), 0.0f);
    text = extended;
  }
  float* y = c.y + row * c.windows * c.filters;
  matrix_product<V>({c.depth(), c.filters, text, c.width, false, panels, true, start, y}, 0, n, scratch);
  std::fill(y + n * c.filters, y + c.windows * c.filters, 0.0f);
}

// Columns of the matrix that takes the gradients of the k windows over a step, the first window first, to that of the
// step: (k·F, E).
template <class V>
void pack_windows_back(const WindowCall& c, Size number, float* panels) {
  const Size column = number * kPanel, width = panel_width(column, c.width);
  float* panel = panels + column * c.size * c.filters;
  for (Size j = c.size; j-- > 0; panel += c.filters * width)
    pack_panel<V>(c.weight + j * c.width, c.depth(), 1, c.filters, column, c.width, panel);
}

constexpr Size windows_back_scratch(const WindowCall& c) { return kTile + (c.windows + 2 * c.size) * c.filters; }

template <class V>
void windows_input_gradient(const WindowCall& c, const WindowGradients& g, const float* panels, Size row, float* scratch) {
  const Size n = c.windows_of(row), length = c.lengths[row], beside = (c.size - 1) * c.filters;
  float *d = scratch + kTile, *x = g.x + row * c.steps * c.width;
  const float* given = g.y + row * c.windows * c.filters;
  std::fill(d, d + beside, 0.0f);
  std::copy(given, given + n * c.filters, d + beside);
  std::fill(d + beside + n * c.filters, d + 2 * beside + n * c.filters, 0.0f);
  matrix_product<V>({c.size * c.filters, c.width, d, c.filters, false, panels, true, nullptr, x}, 0, length, scratch);
  std::fill(x + length * c.width, x + c.steps * c.width, 0.0f);
}

// A text as rows of whole_width, sums of so many filters over rows so wide, and those of a text's biases.
constexpr Size windows_weight_scratch(const WindowCall& c, Size filters) {
  return (c.steps + filters * c.size) * whole_width(c) + filters;
}

// Of filters first to last.
template <class V>
void windows_weight_gradient(const WindowCall& c, const WindowGradients& g, Size first, Size last, float* scratch) {
  const Size wide = whole_width(c), line = c.size * wide, count = last - first;
  float *text = scratch, *sums = scratch + c.steps * wide, *bias = sums + count * line;
  std::fill(sums, sums + count * line, 0.0f);
  if (g.bias) std::fill(g.bias + first, g.bias + last, 0.0f);
  for (Size row = 0; row < c.rows; ++row) {
    const Size n = c.windows_of(row), length = c.lengths[row];
    const float *x = c.x + row * c.steps * c.width, *d = g.y + row * c.windows * c.filters + first;
    for (Size t = 0; t < length && g.weight; ++t) {
      std::copy(x + t * c.width, x + (t + 1) * c.width, text + t * wide);
      std::fill(text + t * wide + c.width, text + (t + 1) * wide, 0.0f);
    }
    for (Size j = 0; j < std::min(c.size, length) && g.weight; ++j)
      for (Size e = 0; e < wide; e += block_of<V>) {
        float* to = sums + j * wide + e;
        multiply<V, Left::by_depth, false>(count, d, c.filters, n, text + j * wide + e, std::min(block_of<V>, wide - e),
                                           to, line, {to, line}, kPanel, nullptr, wide);
      }
    std::fill(bias, bias + count, 0.0f);
    for (Size t = 0; t < n && g.bias; ++t)
      for (Size f = 0; f < count; ++f) bias[f] += d[t * c.filters + f];
    for (Size f = 0; f < count && g.bias; ++f) g.bias[first + f] += bias[f];
  }
  for (Size f = 0; f < count && g.weight; ++f)
    for (Size j = 0; j < c.size; ++j) {
      const float* from = sums + f * line + j * wide;
      std::copy(from, from + c.width, g.weight + ((first + f) * c.size + j) * c.width);
    }
}

}  // namespace unspool
