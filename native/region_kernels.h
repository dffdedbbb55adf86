// The region convolution for one vector type. Rows belong to threads in the forward pass and for the input's
// gradient, filters for the weights': every sum is made by one thread in one order, whatever their number.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

#include "matmul.h"
#include "region.h"

namespace unspool {

// Packed filters: for each block of 16 (or 8) filters a panel of k·E rows, then the biases of the block.
template <class V>
void region_pack(const RegionCall& call, float* panels) {
  const Size depth = call.size * call.width;
  for (Size f = 0; f < call.filters; f += kPanel) {
    const Size width = panel_width<V>(f, call.filters);
    pack_panel<V>(call.weight, 1, depth, depth, f, call.filters, panels);
    panels += depth * width;
    for (Size j = 0; j < width; ++j) panels[j] = call.bias && f + j < call.filters ? call.bias[f + j] : 0.0f;
    panels += width;
  }
}

// Keeps the greatest of each column and where it stood; the first of equals, and NaN once there is one.
template <class V>
inline void take_greatest(const float* answers, Size windows, Size width, Size first, float* best,
                          std::int32_t* winner) {
  for (Size w = 0; w < windows; ++w, answers += width)
    for (Size j = 0; j < width; ++j) {
      const float v = answers[j];
      const bool greater = (v > best[j]) | (v != v && best[j] == best[j]);
      best[j] = greater ? v : best[j];
      winner[j] = greater ? static_cast<std::int32_t>(first + w) : winner[j];
    }
}

// scratch: kWindowBlock · kPanel floats, then k·E for a text shorter than a window.
template <class V>
void region_forward(const RegionCall& call, const float* panels, Size row, float* scratch) {
  const Size length = call.lengths[row], depth = call.size * call.width;
  float* y = call.y + row * call.filters;
  std::int32_t* winner = call.winner + row * call.filters;
  if (length == 0) {
    std::memset(y, 0, sizeof(float) * static_cast<std::size_t>(call.filters));
    std::memset(winner, 0, sizeof(std::int32_t) * static_cast<std::size_t>(call.filters));
    return;
  }
  const float* text = call.x + row * call.steps * call.width;
  Size windows = length - call.size + 1;
  if (windows < 1) {
    float* extended = scratch + kWindowBlock * kPanel;
    std::memset(extended, 0, sizeof(float) * static_cast<std::size_t>(depth));
    std::memcpy(extended, text, sizeof(float) * static_cast<std::size_t>(length * call.width));
    text = extended;
    windows = 1;
  }
  for (Size f = 0; f < call.filters; f += kPanel) {
    const Size width = panel_width<V>(f, call.filters);
    float best[kPanel];
    std::int32_t at[kPanel] = {};
    for (int j = 0; j < kPanel; ++j) best[j] = -std::numeric_limits<float>::infinity();
    for (Size w = 0; w < windows; w += kWindowBlock) {
      const Size count = windows - w < kWindowBlock ? windows - w : kWindowBlock;
      multiply<V>(count, text + w * call.width, call.width, depth, panels, width, scratch, width,
                  Start{panels + depth * width, 0});
      take_greatest<V>(scratch, count, width, w, best, at);
    }
    panels += (depth + 1) * width;
    const Size real = call.filters - f < width ? call.filters - f : width;
    for (Size j = 0; j < real; ++j) {
      y[f + j] = best[j];
      winner[f + j] = at[j];
    }
  }
}

// to[0..n) += factor · from[0..n)
template <class V>
inline void add_scaled(Size n, float factor, const float* from, float* to) {
  const V scale = V::all(factor);
  Size i = 0;
  for (; i + 8 <= n; i += 8) V::fma(scale, V::load(from + i), V::load(to + i)).store(to + i);
  if (i < n) V::fma(scale, V::load_first(from + i, n - i), V::load_first(to + i, n - i)).store_first(to + i, n - i);
}

// Floats of the winning window that are inside the text.
inline Size window_floats(const RegionCall& call, Size length) {
  return (length < call.size ? length : call.size) * call.width;
}

template <class V>
void region_input_gradient(const RegionCall& call, const RegionGradients& g, Size row) {
  float* to = g.x + row * call.steps * call.width;
  std::memset(to, 0, sizeof(float) * static_cast<std::size_t>(call.steps * call.width));
  const Size n = window_floats(call, call.lengths[row]), depth = call.size * call.width;
  for (Size f = 0; f < call.filters; ++f) {
    const float d = g.y[row * call.filters + f];
    if (d != 0.0f) add_scaled<V>(n, d, call.weight + f * depth, to + call.winner[row * call.filters + f] * call.width);
  }
}

template <class V>
void region_weight_gradient(const RegionCall& call, const RegionGradients& g, Size first, Size last) {
  const Size depth = call.size * call.width;
  if (g.weight)
    std::memset(g.weight + first * depth, 0, sizeof(float) * static_cast<std::size_t>((last - first) * depth));
  if (g.bias) std::memset(g.bias + first, 0, sizeof(float) * static_cast<std::size_t>(last - first));
  for (Size row = 0; row < call.rows; ++row) {
    const Size length = call.lengths[row], n = window_floats(call, length);
    if (length == 0) continue;
    const float* text = call.x + row * call.steps * call.width;
    for (Size f = first; f < last; ++f) {
      const float d = g.y[row * call.filters + f];
      if (d == 0.0f) continue;
      if (g.bias) g.bias[f] += d;
      if (g.weight)
        add_scaled<V>(n, d, text + call.winner[row * call.filters + f] * call.width, g.weight + f * depth);
    }
  }
}

}  // namespace unspool
