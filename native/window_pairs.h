// Two neighbouring windows at once, with fewer products than one after the other.
//
// A filter of two taps answers windows at t and t+1 with three products in place of four, one of three taps with four
// in place of six: F(2,2) and F(2,3) of Winograd, Arithmetic Complexity of Computations (1980); as matrix products:
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.1. Longer filters are sums of
// such pieces, all at even distances, so that pieces of all sizes share what is made of the text.
#pragma once

#include <array>

#include "matmul.h"

namespace unspool {

// What is made of the text's steps e, o, e', o' from an even one on; each E floats.
enum Made : int { kEvenLessOdd, kOdd, kOddLessEven, kEvenFall, kOddPlusEven, kOddFall, kMade };
// Sums over pieces: y(t) = first + both + apart, y(t + 1) = both - apart - second.
enum Sum : int { kFirst, kBoth, kApart, kSecond, kSums };

// One product: what is made of pair `pair` after the window's own, times Σ tap[i] · weight[at + i].
struct Term {
  Sum sum;
  Made made;
  Size pair, at;
  std::array<float, 3> tap;
};

constexpr Size kPairWidth = 16;  // channels, so many at least: with fewer, reading and writing sums costs what is saved

constexpr bool in_pairs(Size size, Size width) { return size > 1 && width >= kPairWidth; }
constexpr Size pair_terms(Size size) { return size % 2 ? (size - 3) / 2 * 3 + 4 : size / 2 * 3; }

// The k-th term of a filter of `size` taps: three a piece of two taps, then four of the piece of three, if it is odd.
inline Term pair_term(Size size, Size k) {
  const Size twos = size % 2 ? (size - 3) / 2 : size / 2, piece = std::min(k / 3, twos), at = 2 * piece;
  if (piece < twos) {
    if (k % 3 == 0) return {kFirst, kEvenLessOdd, piece, at, {1.0f, 0.0f, 0.0f}};
    if (k % 3 == 1) return {kBoth, kOdd, piece, at, {1.0f, 1.0f, 0.0f}};
    return {kSecond, kOddLessEven, piece, at, {0.0f, 1.0f, 0.0f}};
  }
  switch (k - 3 * twos) {
    case 0: return {kFirst, kEvenFall, piece, at, {1.0f, 0.0f, 0.0f}};
    case 1: return {kBoth, kOddPlusEven, piece, at, {0.5f, 0.5f, 0.5f}};
    case 2: return {kApart, kOddLessEven, piece, at, {-0.5f, 0.5f, -0.5f}};
    default: return {kSecond, kOddFall, piece, at, {0.0f, 0.0f, 1.0f}};
  }
}

// Panels of every term, one after the other; `filters` floats of E each for the sums of taps go behind them.
template <class V>
void pack_pairs(Size size, Size width, Size filters, const float* weight, float* panels) {
  const Size whole = padded(filters, kPanel), terms = pair_terms(size);
  float* taps = panels + terms * whole * width;
  for (Size k = 0; k < terms; ++k) {
    const Term term = pair_term(size, k);
    for (Size f = 0; f < filters; ++f) {
      const float* from = weight + (f * size + term.at) * width;
      const Size third = term.at + 2 < size ? 2 * width : 0;  // a piece of two has none: its factor is 0
      for (Size e = 0; e < width; ++e)
        taps[f * width + e] = term.tap[0] * from[e] + term.tap[1] * from[width + e] + term.tap[2] * from[third + e];
    }
    for (Size f = 0; f < filters; f += kPanel)
      pack_panel<V>(taps, 1, width, width, f, filters, panels + k * whole * width + f * width);
  }
}

// pairs[p][made][:] of `count` pairs from step `first` on; steps from `length` on are 0 and not read.
template <class V>
void make_pairs(Size size, const float* text, Size length, Size width, Size first, Size count, float* pairs) {
  const auto step = [&](Size t, Size e) {
    return t < length ? V::load_first(text + t * width + e, width - e) : V::zero();
  };
  for (Size p = 0; p < count; ++p)
    for (Size e = 0; e < width; e += V::width) {
      const Size t = first + 2 * p, n = width - e;
      float* to = pairs + p * kMade * width + e;
      const V even = step(t, e), odd = step(t + 1, e), next_even = step(t + 2, e);
      (odd - next_even).store_first(to + kOddLessEven * width, n);
      if (size != 3) {
        (even - odd).store_first(to + kEvenLessOdd * width, n);
        odd.store_first(to + kOdd * width, n);
      }
      if (size % 2 == 0) continue;
      (even - next_even).store_first(to + kEvenFall * width, n);
      (odd + next_even).store_first(to + kOddPlusEven * width, n);
      (odd - step(t + 3, e)).store_first(to + kOddFall * width, n);
    }
}

// Answers of `count` pairs of windows to a block of at most block_of<V> filters, row after row; `sums`: kSums of as many rows.
template <class V>
void multiply_pairs(Size size, Size width, Size count, const float* pairs, const float* panels, Size panel_step,
                    Size columns, const float* bias, float* sums, float* answers) {
  constexpr Size block = block_of<V>;
  bool begun[kSums] = {};
  for (Size k = 0; k < pair_terms(size); ++k) {
    const Term term = pair_term(size, k);
    float* sum = sums + term.sum * count * block;
    const Start nothing{term.sum == kBoth ? bias : nullptr, 0};
    multiply<V>(count, pairs + (term.pair * kMade + term.made) * width, kMade * width, width, panels + k * panel_step,
                columns, sum, block, begun[term.sum] ? Start{sum, block} : nothing);
    begun[term.sum] = true;
  }
  const auto of = [&](Sum sum, Size i) { return V::load(sums + sum * count * block + i); };
  for (Size p = 0; p < count; ++p)
    for (Size j = 0; j < columns; j += V::width) {
      const Size i = p * block + j;
      const V both = of(kBoth, i), apart = begun[kApart] ? of(kApart, i) : V::zero();
      (of(kFirst, i) + both + apart).store(answers + 2 * p * block + j);
      (both - apart - of(kSecond, i)).store(answers + (2 * p + 1) * block + j);
    }
}

}  // namespace unspool
