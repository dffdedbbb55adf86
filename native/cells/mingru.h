// z = σ(p_z), n = p_h (minGRU) or φ(p_h) (QRNN);  h' = (1 - z) ⊙ h + z ⊙ n
// No recurrent product: the pre-activations p come in whole, as a projected input.
#pragma once

#include "common.h"

namespace unspool {

template <bool Squashed>
struct MinGruCell {
  enum { z, n };
  static constexpr CellLayout layout{2, 2, {0, 1}, {0, 2}, {0, 0}, {0, 0}, -1, false, false, 0};

  template <class V>
  static void forward(V* p, Units<V>& u) {
    p[z] = sigmoid(p[z]);
    if constexpr (Squashed) p[n] = hyperbolic_tangent(p[n]);
    u.new_state = V::fma(p[z], p[n] - u.state, u.state);
  }
  template <class V>
  static void backward(const V* p, const Units<V>& u, UnitGradients<V>& g, V* d) {
    d[z] = g.state * (p[n] - u.state) * sigmoid_slope(p[z]);
    d[n] = g.state * p[z];
    if constexpr (Squashed) d[n] = d[n] * tanh_slope(p[n]);
    g.state = g.state * (V::all(1.0f) - p[z]);
  }
};

}  // namespace unspool
