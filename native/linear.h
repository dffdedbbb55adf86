// A dense layer and its gradients, on packed panels or rows as they lie. Every sum is made by one thread in one order, whatever the
// number of threads: matrix libraries do not promise that.
#pragma once

#include "api.h"

namespace unspool {

// c (rows, columns) = start + a · b: the left side row after row or depth after depth, the right side packed or row
// after row.
struct MatrixProduct {
  Size depth, columns;
  const float* a;
  Size stride;         // of a: from row to row, or with `by_depth` from depth to depth
  bool by_depth;
  const float* right;   // panels, padded(columns, 16) · depth; or (depth, columns), columns a multiple of 8
  bool packed;
  const float* start;   // one row of columns, readable to whole panels; or null: 0
  float* c;
};

// y (N, O) = x (N, D) · weightᵀ (D, O) + bias.
struct LinearCall {
  Size rows, depth, outputs;
  int threads;
  const float* x;
  const float* weight;
  const float* bias;  // or null
  float* y;           // null in the backward pass
};

// Absent ones are null.
struct LinearGradients {
  const float* y;  // (N, O)
  float* x;        // (N, D)
  float* weight;   // (O, D)
  float* bias;     // (O)
};

// Logits (N, V), of which each row becomes the gradient of its cross-entropy with its target, times `scale`; the target
// keeps 1 - smoothing of its share, the rest is spread over all V.
struct CrossEntropy {
  Size rows, columns;
  int threads;
  float* logits;
  const std::int64_t* targets;  // (N)
  float smoothing, scale;
  float* losses;  // (N), in nats
};

void linear_forward(const LinearCall& call);
void linear_backward(const LinearCall& call, const LinearGradients& g);
void cross_entropy(const CrossEntropy& call);

}  // namespace unspool
