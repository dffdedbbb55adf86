// One call, worked out: which rows go together, where the packed weights and the saved values lie.
// Filled by plan.cpp and run.cpp; the kernels only read it.
#pragma once

#include "api.h"

namespace unspool {

constexpr Size kGuard = 16;  // floats between scratch rows' ends and the next array: panels may be written whole

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
  float* packed;      // of each member, projection_scratch(inputs)
};

// An odd number of cache lines: rows so far apart do not meet in one set of a cache.
constexpr Size odd_lines(Size floats) { return (padded(floats, kLine) / kLine | 1) * kLine; }

// What is saved of a row and step, as it lies in memory: the slots, and so far from their begin ...
struct Record {
  Size state;      // c, or the raw state where the output is not it
  Size second;     // second gate times the state as it was read
  Size normed[2];  // normalised products of the state, of the input: the slots of r1, of x
  Size scale;      // 1 / standard deviation of both
  Size stride;     // the next record

  constexpr Record(const CellLayout& c, Size units, bool norm) {
    state = c.slots * units;
    second = state + (c.keeps_state ? units : 0);
    normed[0] = second + (c.second_gate >= 0 ? units : 0);
    normed[1] = normed[0] + (norm ? c.r1.count() * units : 0);
    scale = normed[1] + (norm ? c.x.count() * units : 0);
    stride = padded(scale + (norm ? 2 : 0), kLine);
  }
  Record() = default;
};

// Steps [first, last), whose gradients of pre-activations wait for those of the weights.
struct Chunk {
  Size first, last;
};

struct Plan {
  Sequence s;
  FewRows few;
  Gradients g;
  CellLayout cell;
  Operand operand;
  Size units;       // H rounded up to whole vectors: the width of every private row; the pad units are 0
  const Size* order;   // rows, longest first
  const Size* length;  // of each row
  Size steps;          // of the longest row
  Size parts;          // rows order[0], order[2], ... and order[1], order[3], ...: each part adds up gradients for itself
  const Size* place;   // of each step and part: its first saved row; then their number
  Size groups, group_rows;  // group k holds rows order[k], order[k + groups], ...; at most group_rows, all of a part

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

  // The backward pass goes by chunks of steps, the last first.
  const Chunk* chunks;
  Size chunk_count;
  float* d;         // of each part: gradients of the pre-activations of a chunk, and of those of a normalised input
  Size d_stride, d_inputs, d_size;  // floats from row to row, to those of the input, from part to part
  float* sums;      // of each part, for each panel of 16: (operand, 16) of its weights' gradients, 16 of its biases'
  Size sums_size;   // of a part; sums null: no gradient of weights is wanted
  float* tokens;    // (distinct, G·H) of the second part; the first has g.x
  float* scratch;   // of each group

  bool streams;  // `saved` is larger than caches, and written past them
  // What is saved: a record a row and step, then the initial states as they are read (B, units).
  Record record;
  float* first;

  // Rows of a part that are at work at a step, at the steps of a chunk.
  Size active(Size step, Size part) const { return place[step * parts + part + 1] - place[step * parts + part]; }
  Size rows_of(const Chunk& chunk, Size part) const {
    Size rows = 0;
    for (Size step = chunk.first; step < chunk.last; ++step) rows += active(step, part);
    return rows;
  }
  // The record of a step for the i-th row of a part.
  float* saved(Size step, Size part, Size i) const { return s.saved + (place[step * parts + part] + i) * record.stride; }
  // The same for the i-th row of a group.
  float* saved_of_group(Size step, Size group, Size i) const {
    return saved(step, group % parts, group / parts + i * (groups / parts));
  }
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

}  // namespace unspool
