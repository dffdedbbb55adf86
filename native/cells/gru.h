// r, z = σ(W h + U x + b);  h' = (1 - z) ⊙ n + z ⊙ h
//   reset after:  n = φ(U x + b + r ⊙ q), q = W h + b_h, a slot of its own
//   reset before: n = φ(U x + b + W(r ⊙ h)), the second product
#pragma once

#include "common.h"

namespace unspool {

struct GruResetAfter {
  enum { q, r, z, n };
  static constexpr CellLayout layout{3, 4, {2, 0, 1, 2}, {1, 4}, {0, 3}, {0, 0}, -1, false, false, 0};

  template <class V>
  static void forward(V* p, Units<V>& u) {
    p[r] = sigmoid(p[r]);
    p[z] = sigmoid(p[z]);
    p[n] = hyperbolic_tangent(V::fma(p[r], p[q], p[n]));
    u.new_state = V::fma(p[z], u.state - p[n], p[n]);
  }
  template <class V>
  static void backward(const V* p, const Units<V>& u, UnitGradients<V>& g, V* d) {
    d[n] = g.state * (V::all(1.0f) - p[z]) * tanh_slope(p[n]);
    d[z] = g.state * (u.state - p[n]) * sigmoid_slope(p[z]);
    d[r] = d[n] * p[q] * sigmoid_slope(p[r]);
    d[q] = d[n] * p[r];
    g.state = g.state * p[z];
  }
};

struct GruResetBefore {
  enum { r, z, n };
  static constexpr CellLayout layout{3, 3, {0, 1, 2}, {0, 3}, {0, 2}, {2, 3}, r, false, false, 0};

  template <class V>
  static void forward(V* p, Units<V>& u) {
    p[n] = hyperbolic_tangent(p[n]);
    u.new_state = V::fma(p[z], u.state - p[n], p[n]);
  }
  template <class V>
  static void backward(const V* p, const Units<V>& u, UnitGradients<V>& g, V* d) {
    d[n] = g.state * (V::all(1.0f) - p[z]) * tanh_slope(p[n]);
    d[z] = g.state * (u.state - p[n]) * sigmoid_slope(p[z]);
    g.state = g.state * p[z];
  }
};

}  // namespace unspool
