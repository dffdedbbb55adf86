// The region convolution for one vector type. Rows belong to threads in the forward pass and for the input's
// gradient, filters for the weights': every sum is made by one thread in one order, whatever their number.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "matmul.h"
#include "region.h"
#include "window_pairs.h"

namespace unspool {

// Packed filters: panels of 16 (or, the last one, 8) filters, then the biases, 0 where there is none, and room.
constexpr Size region_panels(const RegionCall& call) {
  const Size depth = in_pairs(call.size, call.width) ? pair_terms(call.size) * call.width : call.size * call.width;
  return padded(call.filters, kPanel) * depth;
}
constexpr Size region_packed(const RegionCall& call) {
  return region_panels(call) + padded(call.filters, kPanel) * call.width;
}

template <class V>
void region_pack(const RegionCall& call, float* panels) {
  const Size depth = call.size * call.width;
  if (in_pairs(call.size, call.width)) pack_pairs<V>(call.size, call.width, call.filters, call.weight, panels);
  else
    for (Size f = 0; f < call.filters; f += kPanel)
      pack_panel<V>(call.weight, 1, depth, depth, f, call.filters, panels + f * depth);
  float* bias = panels + region_panels(call);
  for (Size f = 0; f < padded(call.filters, kPanel); ++f) bias[f] = call.bias && f < call.filters ? call.bias[f] : 0.0f;
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

// The same for the `kept` greatest: best[p·apart + j], the greater first, and of equals the earlier.
inline void take_greatest_of(Size kept, const float* answers, Size stride, Size windows, Size width, Size first,
                             float* best, std::int32_t* winner, Size apart) {
  const auto above = [](float a, float b) { return a > b || (a != a && b == b); };
  for (Size w = 0; w < windows; ++w, answers += stride)
    for (Size j = 0; j < width; ++j) {
      Size place = kept;
      for (; place > 0 && above(answers[j], best[(place - 1) * apart + j]); --place) {
        if (place == kept) continue;
        best[place * apart + j] = best[(place - 1) * apart + j];
        winner[place * apart + j] = winner[(place - 1) * apart + j];
      }
      if (place == kept) continue;
      best[place * apart + j] = answers[j];
      winner[place * apart + j] = static_cast<std::int32_t>(first + w);
    }
}

// Puts them into the order of the text, those that do not exist last, and writes column j of y and winner.
inline void write_in_order(const RegionCall& call, Size j, float* best, std::int32_t* at, Size apart, float* y,
                           std::int32_t* winner) {
  Size real = 0;
  while (real < call.kept && at[real * apart] >= 0) ++real;
  for (Size p = 1; p < real; ++p)
    for (Size q = p; q > 0 && at[(q - 1) * apart] > at[q * apart]; --q) {
      std::swap(at[(q - 1) * apart], at[q * apart]);
      std::swap(best[(q - 1) * apart], best[q * apart]);
    }
  for (Size p = 0; p < call.kept; ++p) {
    y[p * call.filters + j] = p < real ? best[p * apart] : 0.0f;
    winner[p * call.filters + j] = p < real ? at[p * apart] : call.kept > 1 ? -1 : 0;
  }
}

// The text of a row, or, shorter than one window, a copy extended by zeros. `windows` of them start in it.
struct Windows {
  const float* text;
  Size steps, windows;
};
inline Windows windows_of(const RegionCall& call, Size row, float* extended) {
  const Size length = call.lengths[row];
  const float* text = call.x + row * call.steps * call.width;
  if (length >= call.size) return {text, length, length - call.size + 1};
  std::memset(extended, 0, sizeof(float) * static_cast<std::size_t>(call.size * call.width));
  std::memcpy(extended, text, sizeof(float) * static_cast<std::size_t>(length * call.width));
  return {extended, call.size, 1};
}

// Floats of scratch for one thread.
constexpr Size kPairs = kWindowBlock / 2;
constexpr Size region_scratch(const RegionCall& call) {
  const Size pairs = in_pairs(call.size, call.width) ? (kPairs + call.size / 2) * kMade * call.width : 0;
  return (kWindowBlock + kSums * kPairs) * kBlock + 2 * call.kept * padded(call.filters, kPanel) + pairs +
         call.size * call.width;
}

// The windows of one text, a block of them after the other, and the greatest answers until then.
template <class V>
class RegionRow {
 public:
  RegionRow(const RegionCall& call, const float* panels, float* scratch)
      : c_(call), panels_(panels), whole_(padded(call.filters, kPanel)), bias_(panels + region_panels(call)),
        answers_(scratch), sums_(answers_ + kWindowBlock * kBlock), best_(sums_ + kSums * kPairs * kBlock),
        at_(reinterpret_cast<std::int32_t*>(best_ + call.kept * whole_)), pairs_(best_ + 2 * call.kept * whole_),
        extended_(scratch + region_scratch(call) - call.size * call.width) {}

  void run(Size row) {
    float* y = c_.y + row * c_.kept * c_.filters;
    std::int32_t* winner = c_.winner + row * c_.kept * c_.filters;
    std::fill(best_, best_ + c_.kept * whole_, -std::numeric_limits<float>::infinity());
    std::fill(at_, at_ + c_.kept * whole_, c_.lengths[row] == 0 || c_.kept > 1 ? -1 : 0);
    const Windows in = c_.lengths[row] > 0 ? windows_of(c_, row, extended_) : Windows{nullptr, 0, 0};
    for (Size w = 0; w < in.windows; w += kWindowBlock) visit(in, w, std::min(in.windows - w, kWindowBlock));
    for (Size f = 0; f < c_.filters; ++f) write_in_order(c_, f, best_ + f, at_ + f, whole_, y, winner);
  }

 private:
  static constexpr Size block = block_of<V>;

  void visit(const Windows& in, Size w, Size count) {
    const Size e = c_.width, depth = c_.size * e, pairs = (count + 1) / 2;
    const bool paired = in_pairs(c_.size, e);
    if (paired) make_pairs<V>(c_.size, in.text, in.steps, e, w, pairs + c_.size / 2 - 1, pairs_);
    for (Size f = 0; f < c_.filters; f += block) {
      const Size columns = std::min(block, c_.filters - f);
      if (paired)
        multiply_pairs<V>(c_.size, e, pairs, pairs_, panels_ + f * e, whole_ * e, columns, bias_ + f, sums_, answers_);
      else
        multiply<V>(count, in.text + w * e, e, depth, panels_ + f * depth, columns, answers_, block, {bias_ + f, 0});
      for (Size j = 0; j < columns; j += kPanel) take(f, j, w, count);
    }
  }

  void take(Size f, Size j, Size w, Size count) {
    const Size width = panel_width(f + j, c_.filters), at = f + j;
    if (c_.kept > 1) take_greatest_of(c_.kept, answers_ + j, block, count, width, w, best_ + at, at_ + at, whole_);
    else if (width == kPanel) take_greatest<kPanel>(answers_ + j, block, count, w, best_ + at, at_ + at);
    else take_greatest<8>(answers_ + j, block, count, w, best_ + at, at_ + at);
  }

  const RegionCall& c_;
  const float* panels_;
  const Size whole_;
  const float* bias_;
  float *answers_, *sums_, *best_;
  std::int32_t* at_;
  float *pairs_, *extended_;
};

template <class V>
void region_forward(const RegionCall& call, const float* panels, Size row, float* scratch) {
  RegionRow<V>(call, panels, scratch).run(row);
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
