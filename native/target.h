// What one instruction set offers. Each target_*.cpp compiles the same templates with its own vectors and flags.
#pragma once

#include "linear.h"
#include "plan.h"
#include "region.h"
#include "team.h"
#include "windows.h"

namespace unspool {

// answers (rows, outputs) = bias + a · weightᵀ, with weights (outputs, depth) as panels.
struct Product {
  Size outputs, depth;
  const float* weight;
  const float* bias;  // or null; both only until they are packed
  float* panels;      // padded(outputs, 16) · depth
  float* start;       // the biases, padded with 0
};

struct Target {
  int width;  // floats of a vector: private rows are padded to whole ones
  // Each of `count` workers packs a share; no matrices where they are used as they are.
  void (*pack_forward)(const Plan&, Size index, Size count);
  void (*pack_backward)(const Plan&, Size index, Size count);
  void (*forward[static_cast<int>(Cell::count)])(const Plan&, Size group, float* scratch, Team team);
  void (*backward[static_cast<int>(Cell::count)])(const Plan&, Size part, Team team, float* operands);
  void (*join_parts)(const Plan&, Team team);
  void (*region_pack)(const RegionCall&, float* panels);
  void (*region_forward)(const RegionCall&, const float* panels, Size row, float* scratch);
  void (*region_input_gradient)(const RegionCall&, const RegionGradients&, Size row);
  void (*region_weight_gradient)(const RegionCall&, const RegionGradients&, Size first, Size last);
  void (*windows_forward)(const WindowCall&, const float* panels, const float* start, Size row, float* scratch);
  void (*pack_windows_back)(const WindowCall&, Size number, float* panels);
  void (*windows_input_gradient)(const WindowCall&, const WindowGradients&, const float* panels, Size row, float* scratch);
  void (*windows_weight_gradient)(const WindowCall&, const WindowGradients&, Size first, Size last, float* scratch);
  void (*pack_product)(const Product&);
  void (*product)(const Product&, Size rows, const float* a, Size lda, float* c, Size ldc, Team team);
  void (*log_softmax)(float* x, Size n, float* to);
  void (*shares)(const float* x, Size n, float top, double temperature, double* to);
  void (*pack_matrix)(const float* source, Size by_depth, Size by_column, Size depth, Size columns, Size number, float* panels);
  void (*matrix_product)(const MatrixProduct&, Size first, Size last, float* tile);
  void (*cross_entropy)(const CrossEntropy&, Size first, Size last);
  void (*activate)(int which, const float* x, float* y, Size n);  // 0: sigmoid, 1: tanh; for tests
  Size (*multiply_adds)(Size rounds, float* to);  // in registers alone, for benchmarks; returns how many
};

extern const Target scalar_target;
extern const Target avx2_target;
extern const Target avx512_target;
extern const Target neon_target;

}  // namespace unspool
