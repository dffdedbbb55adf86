// h' = φ(W h + U x + b), φ tanh or max(0, ·)
#pragma once

#include "common.h"

namespace unspool {

constexpr CellLayout kSimpleLayout{1, 1, {0}, {0, 1}, {0, 1}, {0, 0}, -1, false, false, 0};

struct SimpleTanh {
  static constexpr CellLayout layout = kSimpleLayout;

  template <class V>
  static void forward(V* p, Units<V>& u) {
    p[0] = u.new_state = hyperbolic_tangent(p[0]);
  }
  template <class V>
  static void backward(const V* p, const Units<V>&, UnitGradients<V>& g, V* d) {
    d[0] = g.state * tanh_slope(p[0]);
    g.state = V::zero();
  }
};

struct SimpleRelu {
  static constexpr CellLayout layout = kSimpleLayout;

  template <class V>
  static void forward(V* p, Units<V>& u) {
    p[0] = u.new_state = V::at_least(p[0], 0.0f);
  }
  template <class V>
  static void backward(const V* p, const Units<V>&, UnitGradients<V>& g, V* d) {
    d[0] = V::where_positive(p[0], g.state);
    g.state = V::zero();
  }
};

}  // namespace unspool
