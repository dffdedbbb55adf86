// The region convolution for one vector type. Rows belong to threads in the forward pass and for the input's
// gradient, filters for the weights': every sum is made by one thread in one order, whatever their number.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "matmul.h"
#include "region.h"

namespace unspool {

// Packed filters: panels of 16 (or, the last one, 8) filters and depth k·E, then the biases, 0 where there is none.
template <class V>
void region_pack(const RegionCall& call, float* panels) {
  const Size depth = call.size * call.width, whole = padded(call.filters, kPanel);
  for (Size f = 0; f < call.filters; f += kPanel)
    pack_panel<V>(call.weight, 1, depth, depth, f, call.filters, panels + f * depth);
  for (Size f = 0; f < whole; ++f) panels[whole * depth + f] = call.bias && f < call.filters ? call.bias[f] : 0.0f;
}

// Keeps the greatest of each of `width` columns and where it stood; the first of equals, and NaN once there is one.
template <int width>
inline void take_greatest(const float* __restrict answers, Size stride, Size windows, Size first, float* __restrict best,
                          std::int32_t* __restrict winner) {
  for (Size w = 0; w < windows; ++w, answers += stride)
    for (int j = 0; j < width; ++j) {
      const float v = answers[j];
      const bool greater = (v > best[j]) | (v != v && best[j] == best[j]);
      best[j] = greater ? v : best[j];
      winner[j] = greater ? static_cast<std::int32_t>(first + w) : winner[j];
    }
}

// The same for the `kept` greatest: best[p·kBlock + j], the greater first, and of equals the earlier.
inline void take_greatest_of(Size kept, const float* answers, Size stride, Size windows, Size width, Size first,
                             float* best, std::int32_t* winner) {
  const auto above = [](float a, float b) { return a > b || (a != a && b == b); };
  for (Size w = 0; w < windows; ++w, answers += stride)
    for (Size j = 0; j < width; ++j) {
      Size place = kept;
      for (; place > 0 && above(answers[j], best[(place - 1) * kBlock + j]); --place) {
        if (place == kept) continue;
        best[place * kBlock + j] = best[(place - 1) * kBlock + j];
        winner[place * kBlock + j] = winner[(place - 1) * kBlock + j];
      }
      if (place == kept) continue;
      best[place * kBlock + j] = answers[j];
      winner[place * kBlock + j] = static_cast<std::int32_t>(first + w);
    }
}

// Puts them into the order of the text, those that do not exist last, and writes column j of y and winner.
inline void write_in_order(const RegionCall& call, Size j, float* best, std::int32_t* at, float* y, std::int32_t* winner) {
  Size real = 0;
  while (real < call.kept && at[real * kBlock + j] >= 0) ++real;
  for (Size p = 1; p < real; ++p)
    for (Size q = p; q > 0 && at[(q - 1) * kBlock + j] > at[q * kBlock + j]; --q) {
      std::swap(at[(q - 1) * kBlock + j], at[q * kBlock + j]);
      std::swap(best[(q - 1) * kBlock + j], best[q * kBlock + j]);
    }
  for (Size p = 0; p < call.kept; ++p) {
    y[p * call.filters] = p < real ? best[p * kBlock + j] : 0.0f;
    winner[p * call.filters] = p < real ? at[p * kBlock + j] : -1;
  }
}

// The text of a row, or, shorter than one window, a copy extended by zeros. `windows` of them start in it.
struct Windows {
  const float* text;
  Size windows;
};
inline Windows windows_of(const RegionCall& call, Size row, float* extended) {
  const Size length = call.lengths[row];
  const float* text = call.x + row * call.steps * call.width;
  if (length >= call.size) return {text, length - call.size + 1};
  std::memset(extended, 0, sizeof(float) * static_cast<std::size_t>(call.size * call.width));
  std::memcpy(extended, text, sizeof(float) * static_cast<std::size_t>(length * call.width));
  return {extended, 1};
}

// scratch: kWindowBlock · kBlock floats, 2 · K · kBlock for the greatest, then k·E for a text shorter than a window.
template <class V>
void region_forward(const RegionCall& call, const float* panels, Size row, float* scratch) {
  const Size depth = call.size * call.width, whole = padded(call.filters, kPanel);
  const Size outputs = call.kept * call.filters;
  float* y = call.y + row * outputs;
  std::int32_t* winner = call.winner + row * outputs;
  if (call.lengths[row] == 0) {
    std::fill(y, y + outputs, 0.0f);
    std::fill(winner, winner + outputs, call.kept > 1 ? -1 : 0);
    return;
  }
  float* best = scratch + kWindowBlock * kBlock;
  auto* at = reinterpret_cast<std::int32_t*>(best + call.kept * kBlock);
  const Windows in = windows_of(call, row, best + 2 * call.kept * kBlock);
  for (Size f = 0; f < call.filters; f += block_of<V>) {
    const Size columns = std::min(block_of<V>, call.filters - f);
    std::fill(best, best + call.kept * kBlock, -std::numeric_limits<float>::infinity());
    std::fill(at, at + call.kept * kBlock, call.kept > 1 ? -1 : 0);
    for (Size w = 0; w < in.windows; w += kWindowBlock) {
      const Size count = std::min(in.windows - w, kWindowBlock);
      multiply<V>(count, in.text + w * call.width, call.width, depth, panels + f * depth, columns, scratch,
                  block_of<V>, Start{panels + whole * depth + f, 0});
      for (Size j = 0; j < columns; j += kPanel) {
        const Size width = panel_width(f + j, call.filters);
        if (call.kept == 1 && width == kPanel) take_greatest<kPanel>(scratch + j, block_of<V>, count, w, best + j, at + j);
        else if (call.kept == 1) take_greatest<8>(scratch + j, block_of<V>, count, w, best + j, at + j);
        else take_greatest_of(call.kept, scratch + j, block_of<V>, count, width, w, best + j, at + j);
      }
    }
    for (Size j = 0; j < columns && call.kept > 1; ++j) write_in_order(call, j, best, at, y + f + j, winner + f + j);
    if (call.kept > 1) continue;
    std::memcpy(y + f, best, sizeof(float) * static_cast<std::size_t>(columns));
    std::memcpy(winner + f, at, sizeof(std::int32_t) * static_cast<std::size_t>(columns));
  }
}

// to[0..n) += factor · from[0..n)
template <class V>
inline void add_scaled(Size n, float factor, const float* from, float* to) {
  const V scale = V::all(factor);
  Size i = 0;
  for (; i + V::width <= n; i += V::width) V::fma(scale, V::load(from + i), V::load(to + i)).store(to + i);
  if (i < n) V::fma(scale, V::load_first(from + i, n - i), V::load_first(to + i, n - i)).store_first(to + i, n - i);
}

// Floats of the winning window that are inside the text.
inline Size window_floats(const RegionCall& call, Size length) {
  return (length < call.size ? length : call.size) * call.width;
}

template <class V>
void region_input_gradient(const RegionCall& call, const RegionGradients& g, Size row) {
  float* to = g.x + row * call.steps * call.width;
  if (!g.add) std::memset(to, 0, sizeof(float) * static_cast<std::size_t>(call.steps * call.width));
  const Size n = window_floats(call, call.lengths[row]), depth = call.size * call.width;
  for (Size place = 0; place < call.kept; ++place)
    for (Size f = 0; f < call.filters; ++f) {
      const Size at = (row * call.kept + place) * call.filters + f;
      if (g.y[at] != 0.0f && call.winner[at] >= 0)
        add_scaled<V>(n, g.y[at], call.weight + f * depth, to + call.winner[at] * call.width);
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
    for (Size place = 0; place < call.kept; ++place)
      for (Size f = first; f < last; ++f) {
        const Size at = (row * call.kept + place) * call.filters + f;
        const float d = g.y[at];
        if (d == 0.0f || call.winner[at] < 0) continue;
        if (g.bias) g.bias[f] += d;
        if (g.weight) add_scaled<V>(n, d, text + call.winner[at] * call.width, g.weight + f * depth);
      }
  }
}

}  // namespace unspool
