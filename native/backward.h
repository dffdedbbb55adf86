// The backward time loop of any cell, for one group of rows. Only the recurrent products, and the input's, stand in
// the loop; the gradients of weights are products over all steps at once (weight_gradients.h), for which the loop
// leaves the gradients of the pre-activations where the forward pass had saved the slots (those of a normalised input:
// where it had saved that).
#pragma once

#include "forward.h"

namespace unspool {

constexpr Size backward_scratch(const CellLayout& c, Size units, Size rows, bool norm) {
  return rows * (c.slots * units + kGuard + 4 * units + kBlock + (norm ? c.x.count() * units : 0)) + 4 * units + 11 * kGuard;
}

template <class V, class C>
class BackwardRun {
 public:
  BackwardRun(const Plan& plan, Size group, float* scratch)
      : p_(plan), group_(group), rows_(plan.rows_in(group)), hidden_(plan.s.hidden), units_(plan.units),
        stride_(cell.slots * plan.units + kGuard) {
    const Size n = plan.group_rows;
    slots_ = take(scratch, n * stride_);
    state_ = take(scratch, n * units_);
    memory_ = take(scratch, n * units_);
    read_ = take(scratch, n * units_);
    second_ = take(scratch, n * units_);
    tile_ = take(scratch, n * kBlock);
    inputs_ = take(scratch, p_.norm ? n * cell.x.count() * units_ : 0);
    for (float** one : {&shown_, &squashed_, &through_, &fresh_}) *one = take(scratch, units_);
  }

  void run() {
    Size active = 0;
    for (Size i = 0; i < rows_; ++i) begin_row(i);
    for (Size step = rows_ > 0 ? length(0) : 0; step-- > 0;) {
      while (active < rows_ && length(active) > step) ++active;
      take_step(step, active);
    }
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
    if (length(i) > 0) pass_read(i, p_.first + b * units_, units_, p_.s.state[0] + b * hidden_, nullptr);
    for (Size u = 0; u < units_; u += V::width) {
      V::load(state_ + i * units_ + u).store_first(p_.g.state[0] + b * hidden_ + u, left(u));
      if constexpr (cell.has_memory)
        V::load(memory_ + i * units_ + u).store_first(p_.g.state[1] + b * hidden_ + u, left(u));
    }
  }

  void take_step(Size step, Size active) {
    look_ahead(step, active);
    for (Size i = 0; i < active; ++i) {
      const Size b = row(i), n = p_.start[b] + step, at = p_.at(b, step) * hidden_;
      pass_read(i, p_.s.y + at, hidden_, cell.keeps_state ? p_.states + n * units_ : nullptr,
                p_.g.y ? p_.g.y + b * p_.g.y_row + p_.time(b, step) * p_.g.y_step : nullptr);
      if constexpr (cell.has_memory)
        if (p_.norm) hide_memory(step, i, b, n);
      for (Size u = 0; u < units_; u += V::width) step_back(step, i, b, n, u);
    }
    if constexpr (!two && read != Read::normalised)
      for (Size i = 0; p_.norm && i < active; ++i) normalise_back(i, row(i), p_.start[row(i)] + step);
    if constexpr (two) {
      multiply_back(active, cell.r2, p_.back_r2, second_, {nullptr, 0});
      for (Size i = 0; i < active; ++i) close_gates(step, i);
    }
    if constexpr (cell.r1.count() > 0)
      multiply_back(active, cell.r1, p_.back_r1, read_, two ? Start{read_, units_} : Start{nullptr, 0});
    if (p_.g.x && !p_.s.tokens) p_.s.projected ? copy_inputs(step, active) : multiply_inputs(step, active);
  }

  // What the rows' next turn, at the step before, reads from afar.
  void look_ahead(Size step, Size active) {
    ahead_.clear();
    if constexpr (cell.r1.count() > 0)  // without a product there is no time to wait for it
      for (Size i = 0; step > 0 && i < active; ++i) look_ahead(step, row(i), p_.start[row(i)] + step);
  }
  void look_ahead(Size step, Size b, Size n) {
    if (p_.g.y) ahead_.add(p_.g.y + b * p_.g.y_row + p_.time(b, step - 1) * p_.g.y_step, hidden_);
    if (cell.slots == 1 && p_.output_is_slot()) ahead_.add(p_.s.y + p_.at(b, step - 1) * hidden_, hidden_);
    else ahead_.add(p_.slots + (n - 1) * cell.slots * units_, cell.slots * units_);
    if (p_.norm) {
      ahead_.add(p_.normed[0] + (n - 1) * cell.r1.count() * units_, cell.r1.count() * units_);
      ahead_.add(p_.normed[1] + (n - 1) * cell.x.count() * units_, cell.x.count() * units_);
    }
    if (step == 1) return;
    if constexpr (cell.keeps_state) ahead_.add(p_.states + (n - 2) * units_, units_);
    else if constexpr (cell.slots > 1) ahead_.add(p_.s.y + p_.at(b, step - 2) * hidden_, hidden_);
  }

  // The state's gradient grows by what came through its being read: by the output and by the next step's products.
  void pass_read(Size i, const float* seen, Size seen_width, const float* raw, const float* outer) {
    const Size b = row(i);
    float *to = state_ + i * units_, *through = read_ + i * units_;
    for (Size u = 0; u < units_; u += V::width) {
      V d = V::load_first(through + u, left(u));
      if (p_.s.mask) d = d * V::load_first(p_.s.mask + b * hidden_ + u, left(u));
      if (outer) d = d + V::load_first(outer + u, left(u));
      if constexpr (read == Read::squashed) d = d * tanh_slope(V::load_first(seen + u, seen_width - u));
      if constexpr (read == Read::normalised) d.store(through + u);
      else (V::load(to + u) + d).store(to + u);
    }
    if constexpr (read == Read::normalised)
      normalise_backward<V>(raw, through, p_.extra, hidden_, to, p_.row_extra + b * 2 * units_,
                            p_.row_extra + (b * 2 + 1) * units_);
  }

  V previous_state(Size step, Size b, Size n, Size u) const {
    if (step == 0) return V::load_first(p_.s.state[0] + b * hidden_ + u, left(u));
    if constexpr (cell.keeps_state && !cell.has_memory) return V::load(p_.states + (n - 1) * units_ + u);
    return V::load_first(p_.s.y + p_.at(b, step - 1) * hidden_ + u, left(u));
  }

  V previous_memory(Size step, Size b, Size n, Size u) const {
    return step > 0 ? V::load(p_.states + (n - 1) * units_ + u) : V::load_first(p_.s.state[1] + b * hidden_ + u, left(u));
  }

  float* row_extra(Size b, Size k) const { return p_.row_extra + (b * p_.row_extras + k) * units_; }

  // With a normalised memory: what was shown of it, φ(LN(c')), and the gradient through that, for all units of a row.
  void hide_memory(Size step, Size i, Size b, Size n) {
    const float *gain = p_.norm_memory, *shift = gain + units_, *saved = p_.slots + n * cell.slots * units_;
    for (Size u = 0; u < units_; u += V::width) {
      V slots[4];
      for (int slot = 0; slot < cell.slots; ++slot) slots[slot] = V::load(saved + slot * units_ + u);
      Units<V> units{};
      units.memory = previous_memory(step, b, n, u);
      C::new_memory(slots, units).store(fresh_ + u);
    }
    const Moments m = moments<V>(fresh_, hidden_);
    for (Size u = 0; u < units_; u += V::width) {
      const V seen = V::fma(normalised<V>(fresh_, m, u, hidden_), V::load(gain + u), V::load(shift + u));
      const V squashed = hyperbolic_tangent(seen), to_state = V::load(state_ + i * units_ + u);
      const V d = (to_state - kept(0, b, step, u) * to_state) * V::load(saved + C::o * units_ + u);
      squashed.store(squashed_ + u);
      (d * tanh_slope(squashed)).store(shown_ + u);
      V::zero().store(through_ + u);
    }
    const Size k = p_.row_extras - 2;
    normalise_backward<V>(fresh_, shown_, gain, hidden_, through_, row_extra(b, k), row_extra(b, k + 1));
  }

  // From gradients of the normalised, scaled and shifted products of a row to those of the products: the input's, then
  // the state's, which replace what they are made of. The weight gradients find both where forward had saved them.
  void normalise_back(Size i, Size b, Size n) {
    constexpr Size h = cell.r1.count(), x = cell.x.count();
    float *of_row = slots_ + i * stride_, *saved = p_.slots + (n * cell.slots + cell.r1.begin) * units_;
    float *state = p_.normed[0] + n * h * units_, *input = p_.normed[1] + n * x * units_;
    const float* gain = p_.norm + cell.r1.begin * units_;
    const float* input_gain = p_.norm + (2 * cell.slots + cell.x.begin) * units_;
    normalise_back(x, of_row + cell.x.begin * units_, input, input_gain, p_.scale[1][n], row_extra(b, cell.extras + 2 * h),
                   inputs_ + i * x * units_, input);
    normalise_back(h, of_row + cell.r1.begin * units_, state, gain, p_.scale[0][n], row_extra(b, cell.extras),
                   of_row + cell.r1.begin * units_, saved);
  }

  // `parts` slots of one normalisation, from d to `to` and, the same, `saved`. Gradients of gains, then shifts, grow.
  void normalise_back(Size parts, const float* d, const float* normed, const float* gain, float scale, float* extra,
                      float* to, float* saved) {
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
        const V one = (inner - mean - V::load(normed + at) * slope) * V::all(scale) * real_units<V>(u, hidden_);
        one.store(to + at);
        one.store(saved + at);
      }
  }

  void step_back(Size step, Size i, Size b, Size n, Size u) {
    const Size at = i * units_ + u;
    V slots[4], d[4];
    if (cell.slots == 1 && p_.output_is_slot()) slots[0] = V::load_first(p_.s.y + p_.at(b, step) * hidden_ + u, left(u));
    else
      for (int slot = 0; slot < cell.slots; ++slot) slots[slot] = V::load(p_.slots + (n * cell.slots + slot) * units_ + u);
    Units<V> units{};
    if constexpr (!cell.has_memory && cell.slots > 1) units.state = previous_state(step, b, n, u);
    if constexpr (cell.has_memory) units.memory = previous_memory(step, b, n, u);
    if constexpr (cell.has_memory && cell.extras > 0)
      for (int k = 0; k < cell.extras; ++k) units.extra[k] = V::load(p_.extra + k * units_ + u);
    const V to_state = V::load(state_ + at), to_memory = cell.has_memory ? V::load(memory_ + at) : V::zero();
    const V keep_state = kept(0, b, step, u), keep_memory = kept(1, b, step, u);
    UnitGradients<V> g{to_state - keep_state * to_state, to_memory - keep_memory * to_memory, {}};
    if constexpr (cell.has_memory) {
      if (p_.norm) {
        g.memory = g.memory + V::load(through_ + u);
        C::backward_shown(slots, units, g, d, V::load(fresh_ + u), V::load(squashed_ + u));
      } else {
        C::backward(slots, units, g, d);
      }
    } else {
      C::backward(slots, units, g, d);
    }
    V::fma(keep_state, to_state, g.state).store(state_ + at);
    if constexpr (cell.has_memory) V::fma(keep_memory, to_memory, g.memory).store(memory_ + at);
    if constexpr (cell.has_memory && cell.extras > 0) add_extras(b, u, g);
    for (int slot = 0; slot < cell.slots; ++slot) {
      if (two && slot == cell.second_gate) continue;  // close_gates knows it
      d[slot].store(slots_ + i * stride_ + slot * units_ + u);
      if constexpr (!two) d[slot].store(p_.slots + (n * cell.slots + slot) * units_ + u);
    }
  }

  V kept(int which, Size b, Size step, Size u) const {
    if (p_.s.keep[which]) return V::from_bytes(p_.s.keep[which] + p_.at(b, step) * hidden_ + u, left(u));
    return V::all(p_.s.keep_share);
  }

  void add_extras(Size b, Size u, const UnitGradients<V>& g) {
    for (int k = 0; k < cell.extras; ++k) {
      float* total = row_extra(b, k) + u;
      (V::load(total) + g.extra[k]).store(total);
    }
  }

  // A cell with two products: the gate of the second, and the part of the read that went through it.
  void close_gates(Size step, Size i) {
    const Size b = row(i), n = p_.start[b] + step;
    float *saved = p_.slots + n * cell.slots * units_, *mine = slots_ + i * stride_;
    for (Size u = 0; u < units_; u += V::width) {
      const V gate = V::load(saved + cell.second_gate * units_ + u);
      const V d = V::load_first(second_ + i * units_ + u, left(u));
      V seen = step > 0 ? V::load_first(p_.s.y + p_.at(b, step - 1) * hidden_ + u, left(u))
                        : V::load(p_.first + b * units_ + u);
      if (p_.s.mask) seen = seen * V::load_first(p_.s.mask + b * hidden_ + u, left(u));
      (d * seen * sigmoid_slope(gate)).store(mine + cell.second_gate * units_ + u);
      (d * gate).store(read_ + i * units_ + u);
    }
    std::memcpy(saved, mine, static_cast<std::size_t>(cell.slots * units_) * sizeof(float));
  }

  void multiply_back(Size active, SlotRange slots, const float* panels, float* to, Start start) {
    const Depth depth(hidden_, slots.count(), units_);
    for (Size u = 0; u < hidden_; u += block) {
      const Start s{start.values ? start.values + u : nullptr, start.stride};
      multiply<V>(active, slots_ + slots.begin * units_, stride_, depth, panels + u * depth.whole(),
                  std::min(block, hidden_ - u), to + u, units_, s, kPanel, &ahead_);
    }
  }

  void multiply_inputs(Size step, Size active) {
    const Depth depth(hidden_, cell.x.count(), units_);
    const Size inputs = p_.s.inputs;
    for (Size j = 0; j < inputs; j += block) {
      multiply<V>(active, p_.norm ? inputs_ : slots_ + cell.x.begin * units_, p_.norm ? cell.x.count() * units_ : stride_,
                  depth, p_.back_x + j * depth.whole(),
                  std::min(block, inputs - j), tile_, block, {nullptr, 0}, kPanel, &ahead_);
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
                    slots_ + i * stride_ + slot * units_, static_cast<std::size_t>(hidden_) * sizeof(float));
  }

  const Plan& p_;
  Ahead<V> ahead_;
  Size group_, rows_, hidden_, units_, stride_;
  float *slots_, *state_, *memory_, *read_, *second_, *tile_;
  float* inputs_;  // gradients of the input's products, where they are normalised by themselves
  float *shown_, *squashed_, *through_, *fresh_;  // one row of a memory that is normalised
};

}  // namespace unspool
