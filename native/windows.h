// Filters over every window of k steps, and all their answers: for poolings that read them all, and for stacked
// convolutions. Windows are those of region.h. A window is k·E neighbouring floats of x, so nothing is copied.
#pragma once

#include <algorithm>

#include "api.h"

namespace unspool {

struct WindowCall {
  Size rows, steps, width, filters, size;  // B, T, E, F, k
  Size windows;                 // W = max(T - k + 1, 1)
  int threads;
  const std::int64_t* lengths;  // (B), 0..T
  const float* x;               // (B, T, E); past a length it is never read
  const float* weight;          // (F, k, E)
  const float* bias;            // (F) or null
  float* y;                     // (B, W, F): answers, no activation; 0 past the windows of a text

  constexpr Size depth() const { return size * width; }
  constexpr Size windows_of(Size row) const { return lengths[row] == 0 ? 0 : std::max<Size>(1, lengths[row] - size + 1); }
};

struct WindowGradients {
  const float* y;  // (B, W, F); past the windows of a text it is never read
  float* x;        // (B, T, E) or null; 0 past a length
  float* weight;   // (F, k, E) or null
  float* bias;     // (F) or null
};

void windows_forward(const WindowCall& call);
void windows_backward(const WindowCall& call, const WindowGradients& g);

}  // namespace unspool
