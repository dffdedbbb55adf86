// Filters over every window of k steps, and the greatest answer, or answers, of each text: what the region CNN is made of.
//
// A text of n steps has n - k + 1 windows; shorter than k, it is extended by zeros to exactly one; empty, none.
// A window is k·E neighbouring floats of x, so nothing is copied, unless windows go in pairs (window_pairs.h); equal
// windows may then differ in the last bit, by whether they start at an even step. The backward pass visits the winners
// only.
#pragma once

#include "api.h"

namespace unspool {

struct RegionCall {
  Size rows, steps, width, filters, size;  // B, T, E, F, k
  Size kept;                    // K, greatest answers of each filter, in the order in which they stand
  int threads;
  const std::int64_t* lengths;  // (B), 0..T
  const float* x;               // (B, T, E); past a length it is never read
  const float* weight;          // (F, k, E)
  const float* bias;            // (F) or null
  float* y;                     // (B, K, F): greatest answers, no activation; 0 where there are fewer windows
  std::int32_t* winner;         // (B, K, F): first steps of the winning windows; for places without one 0, or -1 when K > 1
};

struct RegionGradients {
  const float* y;  // (B, K, F)
  float* x;        // (B, T, E) or null; exactly 0 outside the winners
  float* weight;   // (F, k, E) or null
  float* bias;     // (F) or null
  bool add;        // x holds gradients already, of other regions over the same text: these are added to them
};

constexpr Size kWindowBlock = 96;  // windows whose answers to one panel of filters stay in the first-level cache

void region_forward(const RegionCall& call);
void region_backward(const RegionCall& call, const RegionGradients& g);

}  // namespace unspool
