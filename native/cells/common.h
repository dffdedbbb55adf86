// What the pointwise step of a cell sees: eight units of one row.
//
// `p` holds the slots (see CellLayout): before `forward` the pre-activations, after it what `backward` wants back.
// In `backward`, `d` receives the gradients of the pre-activations; a slot may be written before others are read,
// so p and d never overlap.
#pragma once

#include "../api.h"
#include "../math.h"

namespace unspool {

template <class V>
struct Units {
  V state, memory;          // before the step: h or s; c
  V new_state, new_memory;  // after it
  V extra[3];               // peepholes i, f, o
};

template <class V>
struct UnitGradients {
  V state, memory;          // in: with respect to the states after the step; out: directly to those before it
  V extra[3];               // out: to the peepholes
};

template <class V>
inline V sigmoid_slope(V gate) { return gate * (V::all(1.0f) - gate); }

template <class V>
inline V tanh_slope(V value) { return V::fma(V::zero() - value, value, V::all(1.0f)); }

}  // namespace unspool
