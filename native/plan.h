// One call, worked out: which rows go together, where the packed weights and the saved values lie.
// Filled by plan.cpp; the kernels only read it.
#pragma once

#include "api.h"

namespace unspool {

// The rows of the products' left side in the forward pass: [state · second gate | input | state], of which each
// slot's product sees one contiguous stretch (with normalisation two, one after the other); the weight gradients read
// the same stretches.
struct Operand {
  Size second, input, state;  // widths; `second` is padded to whole vectors, 0 without a second product
  constexpr Size begin(const CellLayout& c, int slot) const {
    return c.r2.has(slot) ? 0 : c.x.has(slot) ? second : second + input;
  }
  constexpr Size end(const CellLayout& c, int slot) const { return c.r1.has(slot) ? second + input + state : second + input; }
  constexpr Size width() const { return second + input + state; }
};

// Inference on few rows: the weights stay as they are, and the input is projected before the time loop. Then
// `s` is a projected call; this is what it was made of. projection null: it was given projected.
struct FewRows {
  bool rows;
  const float* x;
  const float* w_ih;
  Size inputs;
  float* projection;  // (B, T, G·H)
};

struct Plan {
  Sequence s;
  FewRows few;
  Gradients g;
  CellLayout cell;
  Operand operand;
  Size units;       // H rounded up to whole vectors: the width of every private row; the pad units are 0
  Size real_steps;  // sum of all lengths: saved rows
  const Size* order;   // rows, longest first
  const Size* length;  // of each row
  const Size* start;   // of each row: its first saved row
  Size groups, group_rows;  // group k holds rows order[k], order[k + groups], ...; at most group_rows of them

  // Packed: panels of each slot (depth × units), biases and extras (units each).
  float* panel[4];
  float* bias;
  float* extra;
  float* norm;         // null without normalisation; of W h: gains of the slots (slots·units), then shifts; then of W x
  float* norm_memory;  // gain, shift (units each)
  // Packed for the backward pass: (slots·H) × H or I.
  float* back_x;
  float* back_r1;
  float* back_r2;
  Size row_extras;   // extras, gains and shifts of the slots of r1, then of x, gain and shift of the memory
  float* row_extra;  // (B, row_extras, units): their gradients, row by row

  bool streams;  // `saved` is larger than caches, and written past them
  // Regions of `saved`, by saved row n = start[row] + step (steps in the order of processing).
  float* slots;   // (n, slots·units)
  float* states;  // (n, units): c, or the raw state where the output is not it
  float* second;  // (n, units): second gate times the state as it was read
  float* first;   // (B, units): the initial state as it is read
  float* normed[2];  // (n, slots of r1 · units), (n, slots of x · units): normalised products of the state, of the input
  float* scale[2];   // (n): 1 / standard deviation of each

  // Whether the only slot is the output itself: then it is not saved a second time.
  bool output_is_slot() const { return cell.slots == 1 && !s.keep[0] && s.keep_share == 0.0f; }
  // Panels of the input's part of a slot, when it is normalised by itself.
  float* input_panel(int slot) const { return panel[slot] + (cell.r1.has(slot) ? s.hidden * padded(s.hidden, 16) : 0); }
  Size row(Size group, Size i) const { return order[group + i * groups]; }
  Size rows_in(Size group) const { return (s.rows - group + groups - 1) / groups; }
  // The step of time that a row reads at its `step`-th turn.
  Size time(Size row, Size step) const { return s.reverse ? length[row] - 1 - step : step; }
  Size at(Size row, Size step) const { return row * s.steps + time(row, step); }
  // The row of a projected x that a row reads at its `step`-th turn.
  Size projection_at(Size row, Size step) const { return s.tokens ? s.tokens[at(row, step)] : at(row, step); }
};

constexpr Size kGuard = 16;  // floats between scratch rows' ends and the next array: panels may be written whole

}  // namespace unspool
