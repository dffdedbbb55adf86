// i, f, o = σ(W h + U x + b), g = φ(W h + U x + b);  c' = f ⊙ c + i ⊙ g;  h' = o ⊙ φ(c')
// With peepholes, i and f see c, and o sees c', each through a weight of its own unit.
#pragma once

#include "common.h"

namespace unspool {

template <bool Peepholes>
struct LstmCell {
  enum { i, f, g, o };
  static constexpr CellLayout layout{4,    4,    {0, 1, 2, 3}, {0, 4}, {0, 4}, {4, 4}, -1,
                                     true, true, Peepholes ? 3 : 0};

  template <class V>
  static void forward(V* p, Units<V>& u) {
    if constexpr (Peepholes) {
      p[i] = V::fma(u.extra[0], u.memory, p[i]);
      p[f] = V::fma(u.extra[1], u.memory, p[f]);
    }
    p[i] = sigmoid(p[i]);
    p[f] = sigmoid(p[f]);
    p[g] = hyperbolic_tangent(p[g]);
    u.new_memory = V::fma(p[f], u.memory, p[i] * p[g]);
    if constexpr (Peepholes) p[o] = V::fma(u.extra[2], u.new_memory, p[o]);
    p[o] = sigmoid(p[o]);
    u.new_state = p[o] * hyperbolic_tangent(u.new_memory);
  }

  template <class V>
  static void backward(const V* p, const Units<V>& u, UnitGradients<V>& grad, V* d) {
    const V memory = new_memory(p, u), squashed = hyperbolic_tangent(memory);
    grad.memory = V::fma(grad.state * p[o], tanh_slope(squashed), grad.memory);
    backward_shown(p, u, grad, d, memory, squashed);
  }

  // c': computing it again is cheaper than reading it
  template <class V>
  static V new_memory(const V* p, const Units<V>& u) { return V::fma(p[f], u.memory, p[i] * p[g]); }

  // Given what was shown of c', and with the gradient through it in grad.memory.
  template <class V>
  static void backward_shown(const V* p, const Units<V>& u, UnitGradients<V>& grad, V* d, V memory, V squashed) {
    d[o] = grad.state * squashed * sigmoid_slope(p[o]);
    V to_memory = grad.memory;
    if constexpr (Peepholes) to_memory = V::fma(d[o], u.extra[2], to_memory);
    d[i] = to_memory * p[g] * sigmoid_slope(p[i]);
    d[f] = to_memory * u.memory * sigmoid_slope(p[f]);
    d[g] = to_memory * p[i] * tanh_slope(p[g]);
    grad.state = V::zero();
    grad.memory = to_memory * p[f];
    if constexpr (Peepholes) {
      grad.memory = V::fma(d[i], u.extra[0], V::fma(d[f], u.extra[1], grad.memory));
      grad.extra[0] = d[i] * u.memory;
      grad.extra[1] = d[f] * u.memory;
      grad.extra[2] = d[o] * memory;
    }
  }
};

}  // namespace unspool
