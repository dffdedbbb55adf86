// The lecture's cell. i, f, o = σ(W s° + U x + b);  g = φ(W(o ⊙ s°) + U x + b);  s' = f ⊙ s + i ⊙ g
// where s° is the state as it is read: itself (prototype), φ(s) (pseudo), or normalised over units (normalised).
// The output is s'°.
#pragma once

#include "common.h"

namespace unspool {

enum class Read { itself, squashed, normalised };

template <Read how>
struct PrototypeCell {
  enum { i, f, o, g };
  static constexpr Read read = how;
  static constexpr CellLayout layout{4, 4, {0, 1, 3, 2}, {0, 4}, {0, 3}, {3, 4}, o, false, how != Read::itself,
                                     how == Read::normalised ? 2 : 0};

  template <class V>
  static void forward(V* p, Units<V>& u) {
    p[g] = hyperbolic_tangent(p[g]);
    u.new_state = V::fma(p[f], u.state, p[i] * p[g]);
  }
  template <class V>
  static void backward(const V* p, const Units<V>& u, UnitGradients<V>& grad, V* d) {
    d[g] = grad.state * p[i] * tanh_slope(p[g]);
    d[i] = grad.state * p[g] * sigmoid_slope(p[i]);
    d[f] = grad.state * u.state * sigmoid_slope(p[f]);
    grad.state = grad.state * p[f];
  }
};

}  // namespace unspool
