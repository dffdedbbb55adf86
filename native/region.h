// Filters over every window of k steps, and the greatest answer of each text: what the region CNN is made of.
//
// A text of n steps has n - k + 1 windows; shorter than k, it is extended by zeros to exactly one; empty, none.
// A window is k·E neighbouring floats of x, so nothing is copied; the backward pass visits the winners only.
#pragma once

#include "api.h"

namespace unspool {

struct RegionCall {
  Size rows, steps, width, filters, size;  // B, T, E, F, k
  int threads;
  const std::int64_t* lengths;  // (B), 0..T
  const float* x;               // (B, T, E); past a length it is never read
  const float* weight;          // (F, k, E)
  const float* bias;            // (F) or null
  float* y;                     // (B, F): greatest answer, no activation; 0 for an empty text
  std::int32_t* winner;         // (B, F): first step of the winning window
};

struct RegionGradients {
  const float* y;  // (B, F)
  float* x;        // (B, T, E) or null; exactly 0 outside the winners
  float* weight;   // (F, k, E) or null
  float* bias;     // (F) or null
};

constexpr Size kWindowBlock = 96;  // windows whose answers to one panel of filters stay in the first-level cache

void region_forward(const RegionCall& call);
void region_backward(const RegionCall& call, const RegionGradients& g);

}  // namespace unspool
