// The backward time loop of any cell, for one group of rows and a chunk of steps. Only the recurrent products, and the
// input's, stand in the loop; the gradients of weights are products over all rows of the chunk (weight_gradients.h), for
// which the loop leaves the gradients of the pre-activations: up to H 128 or so in the thread's second-level cache.
#pragma once

#include "forward.h"

namespace unspool {

constexpr Size backward_scratch(Size units, Size rows) {
  return rows * (4 * units + kBlock) + 4 * units + 9 * kGuard;
}

// All that it knows from chunk to chunk lies in `scratch`: it may be made anew for each.
template <class V, class C>
class BackwardRun {
 public:
  BackwardRun(const Plan& plan, Size group, float* scratch)
      : p_(plan), group_(group), rows_(plan.rows_in(group)), hidden_(plan.s.hidden), units_(plan.units),
        part_(group % plan.parts), d_stride_(plan.groups / plan.parts * plan.d_stride), d_(plan.d) {
    const Size n = plan.group_rows;
    state_ = take(scratch, n * units_);
    memory_ = take(scratch, n * units_);
    read_ = take(scratch, n * units_);
    second_ = take(scratch, n * units_);
    tile_ = take(scratch, n * kBlock);
    for (float** one : {&shown_, &squashed_, &through_, &fresh_}) *one = take(scratch, units_);
  }

  void begin() {
    for (Size i = 0; i < rows_; ++i) begin_row(i);
  }
  // The steps of the chunk, of which those after it are done.
  void run(const Chunk& chunk) {
    Size active = 0, row = p_.rows_of(chunk, part_);
    for (Size step = chunk.last; step-- > chunk.first;) {
      while (active < rows_ && length(active) > step) ++active;
      row -= p_.active(step, part_);
      d_ = p_.d + part_ * p_.d_size + (row + group_ / p_.parts) * p_.d_stride;
      take_step(step, active);
    }
  }
  void end() {
    for (Size i = 0; i < rows_; ++i) end_row(i);
  }

 private:
  static constexpr CellLayout cell = C::layout;
  static constexpr bool two = cell.second_gate >= 0;
  static constexpr Read read = read_of<C>();
  static constexpr Size block = block_of<V>;

  static float* take(float*& scratch, Size n) {
    float* mine = scratch;
    scratch += n + kGuard;
    return mine;
  }
  Size row(Size i) const { return p_.row(group_, i); }
  Size length(Size i) const { return p_.length[row(i)]; }
  Size left(Size u) const { return hidden_ - u; }

  static V given(const float* values, Size at, Size n) {
    return values ? V::load_first(values + at, n) : V::zero();
  }

  void begin_row(Size i) {
    const Size b = row(i);
    for (Size u = 0; u < units_; u += V::width) {
      given(p_.g.final_state[0], b * hidden_ + u, left(u)).store(state_ + i * units_ + u);
      given(p_.g.final_state[1], b * hidden_ + u, left(u)).store(memory_ + i * units_ + u);
      V::zero().store(read_ + i * units_ + u);
    }
    if (p_.row_extras > 0)
      std::memset(p_.row_extra + b * p_.row_extras * units_, 0,
                  static_cast<std::size_t>(p_.row_extras * units_) * sizeof(float));
    if (!p_.g.x || p_.s.tokens) return;
    const Size width = p_.s.projected ? cell.gates * hidden_ : p_.s.inputs;
    std::fill(p_.g.x + (b * p_.s.steps + length(i)) * width, p_.g.x + (b + 1) * p_.s.steps * width, 0.0f);
  }

  // What the first step read, back to the initial state.
  void end_row(Size i) {
    const Size b = row(i);
    if (length(i) > 0) {
      Turn t = turn(0, i);
      t.outer = nullptr;
      pass_read(t, p_.first + b * units_, units_, p_.s.state[0] + b * hidden_);
    }
    for (Size u = 0; u < units_; u += V::width) {
      V::load(state_ + i * units_ + u).store_first(p_.g.state[0] + b * hidden_ + u, left(u));
      if constexpr (cell.has_memory)
        V::load(memory_ + i * units_ + u).store_first(p_.g.state[1] + b * hidden_ + u, left(u));
    }
  }

  void take_step(Size step, Size active) {
    look_ahead(step, active);
    for (Size i = 0; i < active; ++i) {
      const Turn t = turn(step, i);
      pass_read(t, t.y, hidden_, t.saved + p_.record.state);
      if constexpr (cell.has_memory)
        if (p_.norm) hide_memory(t);
      move_back(t);
    }
    if constexpr (!two && read != Read::normalised)
      for (Size i = 0; p_.norm && i < active; ++i) normalise_back(turn(step, i));
    if constexpr (two) {
      multiply_back(active, cell.r2, p_.back_r2, second_, {nullptr, 0});
      for (Size i = 0; i < active; ++i) close_gates(turn(step, i), second_ + i * units_, read_before(step, i));
    }
    if constexpr (cell.r1.count() > 0)
      multiply_back(active, cell.r1, p_.back_r1, read_, two ? Start{read_, units_} : Start{nullptr, 0});
    if (p_.g.x && !p_.s.tokens) p_.s.projected ? copy_inputs(step, active) : multiply_inputs(step, active);
  }

  // The state that a step read, before any mask.
  const float* read_before(Size step, Size i) const {
    const Size b = row(i);
    return step > 0 ? p_.s.y + p_.at(b, step - 1) * hidden_ : p_.first + b * units_;
  }

  // What the steps before this one read from afar: their records, which lie side by side, two steps before it is their
  // turn, since a step also reads the state in the record before its own; then rows of outputs.
  void look_ahead(Size step, Size active) {
    ahead_.clear();
    if constexpr (cell.r1.count() == 0) return;  // without a product there is no time to wait for it
    const bool one = p_.groups == p_.parts, slot_is_output = cell.slots == 1 && p_.output_is_slot();
    const bool records = !slot_is_output || p_.norm;
    if (step > 1 && one && records)
      ahead_.add(p_.saved(step - 2, part_, 0), p_.active(step - 2, part_) * p_.record.stride);
    for (Size i = 0; step > 0 && i < active; ++i) {
      const Size b = row(i);
      if (step > 1 && !one && records) ahead_.add(p_.saved_of_group(step - 2, group_, i), p_.record.stride);
      if (p_.g.y && p_.g.y_step) ahead_.add(p_.g.y + b * p_.g.y_row + p_.time(b, step - 1) * p_.g.y_step, hidden_);
      if (slot_is_output || (!cell.keeps_state && step > 1))
        ahead_.add(p_.s.y + p_.at(b, step - 1 - !slot_is_output) * hidden_, hidden_);
    }
  }

  // Where a row's step reads and writes; by value, as in forward.h.
  struct Turn {
    Size b, hidden, units;
    const float *saved, *y, *outer;  // outer: gradient of y, or null
    const float* before;             // the state before the step; c where there is a memory
    const float* mask;
    const std::uint8_t* keep[2];
    float keep_share;
    float *d, *state, *memory, *read;
    bool output_is_slot;

    Size left(Size u) const { return hidden - u; }
  };
  Turn turn(Size step, Size i) const {
    const Size b = row(i), at = p_.at(b, step) * hidden_;
    const auto keep = [&](int which) { return p_.s.keep[which] ? p_.s.keep[which] + at : nullptr; };
    const float* before = step == 0          ? p_.s.state[cell.has_memory] + b * hidden_
                          : cell.keeps_state ? p_.saved_of_group(step - 1, group_, i) + p_.record.state
                                             : p_.s.y + p_.at(b, step - 1) * hidden_;
    return {b, hidden_, units_, p_.saved_of_group(step, group_, i), p_.s.y + at,
            p_.g.y ? p_.g.y + b * p_.g.y_row + p_.time(b, step) * p_.g.y_step : nullptr, before,
            p_.s.mask ? p_.s.mask + b * hidden_ : nullptr, {keep(0), keep(1)}, p_.s.keep_share, d_ + i * d_stride_,
            state_ + i * units_, memory_ + i * units_, read_ + i * units_, p_.output_is_slot()};
  }

  // The state's gradient grows by what came through its being read: by the output and by the next step's products.
  // seen: the state as it was read; raw: as it is.
  void pass_read(const Turn t, const float* seen, Size seen_width, const float* raw) {
    for (Size u = 0; u < t.units; u += V::width) {
      V d = V::load_first(t.read + u, t.left(u));
      if (t.mask) d = d * V::load_first(t.mask + u, t.left(u));
      if (t.outer) d = d + V::load_first(t.outer + u, t.left(u));
      if constexpr (read == Read::squashed) d = d * tanh_slope(V::load_first(seen + u, seen_width - u));
      if constexpr (read == Read::normalised) d.store(t.read + u);
      else (V::load(t.state + u) + d).store(t.state + u);
    }
    if constexpr (read == Read::normalised)
      normalise_backward<V>(raw, t.read, p_.extra, hidden_, t.state, p_.row_extra + t.b * 2 * units_,
                            p_.row_extra + (t.b * 2 + 1) * units_);
  }

  float* row_extra(Size b, Size k) const { return p_.row_extra + (b * p_.row_extras + k) * units_; }

  // With a normalised memory: what was shown of it, φ(LN(c')), and the gradient through that, for all units of a row.
  void hide_memory(const Turn t) {
    const float *gain = p_.norm_memory, *shift = gain + units_, *saved = t.saved;
    for (Size u = 0; u < units_; u += V::width) {
      V slots[4];
      for (int slot = 0; slot < cell.slots; ++slot) slots[slot] = V::load(saved + slot * units_ + u);
      Units<V> units{};
      units.memory = V::load_first(t.before + u, t.left(u));
      C::new_memory(slots, units).store(fresh_ + u);
    }
    const Moments m = moments<V>(fresh_, hidden_);
    for (Size u = 0; u < units_; u += V::width) {
      const V seen = V::fma(normalised<V>(fresh_, m, u, hidden_), V::load(gain + u), V::load(shift + u));
      const V squashed = hyperbolic_tangent(seen), to_state = V::load(t.state + u);
      const V d = (to_state - kept(0, t, u) * to_state) * V::load(saved + C::o * units_ + u);
      squashed.store(squashed_ + u);
      (d * tanh_slope(squashed)).store(shown_ + u);
      V::zero().store(through_ + u);
    }
    const Size k = p_.row_extras - 2;
    normalise_backward<V>(fresh_, shown_, gain, hidden_, through_, row_extra(t.b, k), row_extra(t.b, k + 1));
  }

  // From gradients of the normalised, scaled and shifted products of a row to those of the products: the input's, then
  // the state's, which replace what they are made of.
  void normalise_back(const Turn t) {
    constexpr Size h = cell.r1.count(), x = cell.x.count();
    const float *saved = t.saved, *scale = saved + p_.record.scale;
    float *d = t.d, *state = d + cell.r1.begin * units_;
    const float* gain = p_.norm + cell.r1.begin * units_;
    const float* input_gain = p_.norm + (2 * cell.slots + cell.x.begin) * units_;
    normalise_back(x, d + cell.x.begin * units_, saved + p_.record.normed[1], input_gain, scale[1],
                   row_extra(t.b, cell.extras + 2 * h), d + p_.d_inputs);
    normalise_back(h, state, saved + p_.record.normed[0], gain, scale[0], row_extra(t.b, cell.extras), state);
  }

  // `parts` slots of one normalisation, from d to `to`. Gradients of gains, then shifts, grow.
  void normalise_back(Size parts, const float* d, const float* normed, const float* gain, float scale, float* extra,
                      float* to) {
    V sum = V::zero(), along = V::zero();
    for (Size k = 0; k < parts; ++k) {
      float *to_gain = extra + k * units_, *to_shift = to_gain + parts * units_;
      for (Size u = 0; u < units_; u += V::width) {
        const Size at = k * units_ + u;
        const V one = V::load_first(d + at, left(u)), value = V::load(normed + at), inner = one * V::load(gain + at);
        V::fma(one, value, V::load(to_gain + u)).store(to_gain + u);
        (V::load(to_shift + u) + one).store(to_shift + u);
        sum = sum + inner;
        along = V::fma(inner, value, along);
      }
    }
    const float count = static_cast<float>(parts * hidden_);
    const V mean = V::all(sum.sum() / count), slope = V::all(along.sum() / count);
    for (Size k = 0; k < parts; ++k)
      for (Size u = 0; u < units_; u += V::width) {
        const Size at = k * units_ + u;
        const V inner = V::load_first(d + at, left(u)) * V::load(gain + at);
        ((inner - mean - V::load(normed + at) * slope) * V::all(scale) * real_units<V>(u, hidden_)).store(to + at);
      }
  }

  // The step of a row's units, from gradients of the new state to those of the slots and of the state before.
  void move_back(const Turn t) {
    const float *extra = p_.extra, *through = p_.norm ? through_ : nullptr, *fresh = fresh_, *squashed = squashed_;
    for (Size u = 0; u < t.units; u += V::width) {
      V slots[4], d[4];
      if (cell.slots == 1 && t.output_is_slot) slots[0] = V::load_first(t.y + u, t.left(u));
      else
        for (int slot = 0; slot < cell.slots; ++slot) slots[slot] = V::load(t.saved + slot * t.units + u);
      Units<V> units{};
      if constexpr (cell.has_memory) units.memory = V::load_first(t.before + u, t.left(u));
      else if constexpr (cell.slots > 1) units.state = V::load_first(t.before + u, t.left(u));
      if constexpr (cell.has_memory && cell.extras > 0)
        for (int k = 0; k < cell.extras; ++k) units.extra[k] = V::load(extra + k * t.units + u);
      const V to_state = V::load(t.state + u), to_memory = cell.has_memory ? V::load(t.memory + u) : V::zero();
      const V keep_state = kept(0, t, u), keep_memory = kept(1, t, u);
      UnitGradients<V> g{to_state - keep_state * to_state, to_memory - keep_memory * to_memory, {}};
      if constexpr (cell.has_memory) {
        if (through) {
          g.memory = g.memory + V::load(through + u);
          C::backward_shown(slots, units, g, d, V::load(fresh + u), V::load(squashed + u));
        } else {
          C::backward(slots, units, g, d);
        }
      } else {
        C::backward(slots, units, g, d);
      }
      V::fma(keep_state, to_state, g.state).store(t.state + u);
      if constexpr (cell.has_memory) V::fma(keep_memory, to_memory, g.memory).store(t.memory + u);
      if constexpr (cell.has_memory && cell.extras > 0) add_extras(t.b, u, g);
      for (int slot = 0; slot < cell.slots; ++slot)
        if (!two || slot != cell.second_gate) d[slot].store(t.d + slot * t.units + u);  // close_gates knows the other
    }
  }

  static V kept(int which, const Turn& t, Size u) {
    return t.keep[which] ? V::from_bytes(t.keep[which] + u, t.left(u)) : V::all(t.keep_share);
  }

  void add_extras(Size b, Size u, const UnitGradients<V>& g) {
    for (int k = 0; k < cell.extras; ++k) {
      float* total = row_extra(b, k) + u;
      (V::load(total) + g.extra[k]).store(total);
    }
  }

  // A cell with two products: the gate of the second, and the part of the read that went through it.
  void close_gates(const Turn t, const float* through, const float* seen) {
    const float* gates = t.saved + cell.second_gate * t.units;
    float* to = t.d + cell.second_gate * t.units;
    for (Size u = 0; u < t.units; u += V::width) {
      const V gate = V::load(gates + u), d = V::load_first(through + u, t.left(u));
      V read = V::load_first(seen + u, t.left(u));
      if (t.mask) read = read * V::load_first(t.mask + u, t.left(u));
      (d * read * sigmoid_slope(gate)).store(to + u);
      (d * gate).store(t.read + u);
    }
  }

  void multiply_back(Size active, SlotRange slots, const float* panels, float* to, Start start) {
    const Depth depth(hidden_, slots.count(), units_);
    for (Size u = 0; u < hidden_; u += block) {
      const Start s{start.values ? start.values + u : nullptr, start.stride};
      multiply<V>(active, d_ + slots.begin * units_, d_stride_, depth, panels + u * depth.whole(),
                  std::min(block, hidden_ - u), to + u, units_, s, kPanel, &ahead_);
    }
  }

  void multiply_inputs(Size step, Size active) {
    const Depth depth(hidden_, cell.x.count(), units_);
    const Size inputs = p_.s.inputs;
    for (Size j = 0; j < inputs; j += block) {
      multiply<V>(active, d_ + (p_.norm ? p_.d_inputs : cell.x.begin * units_), d_stride_, depth,
                  p_.back_x + j * depth.whole(), std::min(block, inputs - j), tile_, block, {nullptr, 0}, kPanel, &ahead_);
      for (Size i = 0; i < active; ++i) {
        float* x = p_.g.x + p_.at(row(i), step) * inputs + j;
        for (Size v = 0; v < block && j + v < inputs; v += V::width)
          V::load(tile_ + i * block + v).store_first(x + v, inputs - j - v);
      }
    }
  }

  void copy_inputs(Size step, Size active) {
    for (Size i = 0; i < active; ++i)
      for (int slot = cell.x.begin; slot < cell.x.end; ++slot)
        std::memcpy(p_.g.x + (p_.at(row(i), step) * cell.gates + cell.gate_of[slot]) * hidden_,
                    d_ + i * d_stride_ + slot * units_, static_cast<std::size_t>(hidden_) * sizeof(float));
  }

  const Plan& p_;
  Ahead<V> ahead_;
  Size group_, rows_, hidden_, units_, part_, d_stride_;
  float* d_;  // gradients of the step at hand
  float *state_, *memory_, *read_, *second_, *tile_;
  float *shown_, *squashed_, *through_, *fresh_;  // one row of a memory that is normalised
};

}  // namespace unspool
