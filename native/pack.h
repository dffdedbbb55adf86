// Weights into panels, once a call, by `count` workers: each packs the panels whose number is its own, modulo count.
#pragma once

#include "matmul.h"
#include "plan.h"

namespace unspool {

struct Share {
  Size index, count;
  bool has(Size number) const { return number % count == index; }
};

// Panels of the forward products: for slot s, depth = the stretch of the operand it sees, columns = units. One
// panel holds the rows of the second product (padded with 0), of the input and of the state, one after the other.
// With normalisation the panels of the state's part come first and those of the input's behind them.
template <class V>
void pack_forward_panel(const Plan& p, int slot, Size u) {
  const CellLayout& c = p.cell;
  const Size h = p.s.hidden, gate = c.gate_of[slot] * h;
  if (p.s.norm) {
    const Size inputs = p.s.inputs;
    if (c.x.has(slot)) pack_panel<V>(p.s.w_ih + gate * inputs, 1, inputs, inputs, u, h, p.input_panel(slot) + u * inputs);
    if (c.r1.has(slot)) pack_panel<V>(p.s.w_hh + gate * h, 1, h, h, u, h, p.panel[slot] + u * h);
    return;
  }
  const Size width = panel_width(u, h), depth = p.operand.end(c, slot) - p.operand.begin(c, slot);
  float* to = p.panel[slot] + u * depth;
  if (c.r2.has(slot)) {
    pack_panel<V>(p.s.w_hh + gate * h, 1, h, h, u, h, to);
    for (Size i = h * width; i < p.units * width; ++i) to[i] = 0.0f;
    to += p.units * width;
  }
  if (c.x.has(slot) && !p.s.projected) {
    pack_panel<V>(p.s.w_ih + gate * p.s.inputs, 1, p.s.inputs, p.s.inputs, u, h, to);
    to += p.s.inputs * width;
  }
  if (c.r1.has(slot)) pack_panel<V>(p.s.w_hh + gate * h, 1, h, h, u, h, to);
}

template <class V>
void pack_forward(const Plan& p, Share share) {
  const CellLayout& c = p.cell;
  const Size h = p.s.hidden;
  for (int slot = 0; slot < c.slots; ++slot) {
    for (Size u = 0; u < p.units && !p.few.rows; u += kPanel)
      if (share.has(u / kPanel)) pack_forward_panel<V>(p, slot, u);
    if (share.index > 0) continue;
    const Size gate = c.gate_of[slot] * h;
    const bool recurrent = c.r1.has(slot) || c.r2.has(slot);
    for (Size u = 0; u < p.units; ++u) {
      float bias = 0.0f;
      if (u < h && p.s.b_ih && c.x.has(slot)) bias += p.s.b_ih[gate + u];
      if (u < h && p.s.b_hh && recurrent) bias += p.s.b_hh[gate + u];
      p.bias[slot * p.units + u] = bias;
    }
  }
}

template <class V>
void pack_extras(const Plan& p) {
  for (int k = 0; k < p.cell.extras; ++k)
    for (Size u = 0; u < p.units; ++u)
      p.extra[k * p.units + u] = u < p.s.hidden ? p.s.extra[k * p.s.hidden + u] : 0.0f;
  if (!p.norm) return;
  const Size h = p.s.hidden;
  for (Size u = 0; u < p.units; ++u) {
    for (int k = 0; k < 4; ++k)
      for (int slot = 0; slot < p.cell.slots; ++slot)
        p.norm[(k * p.cell.slots + slot) * p.units + u] =
            u < h && (k < 2 ? p.cell.r1 : p.cell.x).has(slot) ? p.s.norm[(k * p.cell.gates + p.cell.gate_of[slot]) * h + u] : 0.0f;
    for (int k = 0; k < 2 && p.cell.has_memory; ++k) p.norm_memory[k * p.units + u] = u < h ? p.s.norm_memory[k * h + u] : 0.0f;
  }
}

// Panels of a backward product: depth = (slots of `range`) × H, columns = those of the weight matrix.
template <class V>
void pack_back(const Plan& p, SlotRange range, const float* weights, Size columns, float* panels, Share share) {
  const Size h = p.s.hidden, depth = range.count() * h;
  for (Size j = 0; j < columns; j += kPanel) {
    if (!share.has(j / kPanel)) continue;
    const Size width = panel_width(j, columns);
    float* to = panels + j * depth;
    for (int slot = range.begin; slot < range.end; ++slot) {
      pack_panel<V>(weights + p.cell.gate_of[slot] * h * columns, columns, 1, h, j, columns, to);
      to += h * width;
    }
  }
}

template <class V>
void pack_backward(const Plan& p, Share share) {
  if (share.index == 0) pack_extras<V>(p);
  pack_back<V>(p, p.cell.r1, p.s.w_hh, p.s.hidden, p.back_r1, share);
  if (p.cell.r2.count() > 0) pack_back<V>(p, p.cell.r2, p.s.w_hh, p.s.hidden, p.back_r2, share);
  if (p.g.x && !p.s.projected) pack_back<V>(p, p.cell.x, p.s.w_ih, p.s.inputs, p.back_x, share);
}

}  // namespace unspool
