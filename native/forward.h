// The forward time loop of any cell, for one group of rows.
#pragma once

#include <algorithm>
#include <cstring>

#include "cells/gru.h"
#include "cells/lstm.h"
#include "cells/mingru.h"
#include "cells/prototype.h"
#include "cells/simple.h"
#include "dots.h"
#include "normalise.h"
#include "team.h"

namespace unspool {

template <class C>
constexpr Read read_of() {
  if constexpr (requires { C::read; }) return C::read;
  else return Read::itself;
}

// Floats of scratch that one group needs when `members` threads work on it.
constexpr Size forward_scratch(const Plan& p, Size members = 1) {
  const CellLayout& c = p.cell;
  const Size operand = (p.operand.width() + p.units + kGuard) * 2;
  const Size sums = 4 * (p.few.rows ? padded(p.units, kPanel) : kBlock * members);
  const Size gates = c.second_gate >= 0 ? c.slots : p.s.norm ? c.r1.count() + c.x.count() : 0;
  return p.group_rows * (operand + 2 * p.units + sums + gates * p.units) + 8 * kGuard;
}

// Of few rows' inputs: kBlock steps packed, and the products of so many outputs with them. Up to kFewSteps that are left of
// a row packing would only delay.
constexpr Size kOutputs = 48, kFewSteps = 8;
constexpr Size projection_scratch(Size inputs) { return (inputs + kOutputs) * kBlock; }

template <class V, class C>
class ForwardRun {
 public:
  ForwardRun(const Plan& plan, Size group, float* scratch, Team team = {})
      : p_(plan), team_(team), group_(group), rows_(plan.rows_in(group)), hidden_(plan.s.hidden),
        units_(plan.units), stride_(plan.operand.width() + plan.units + kGuard) {
    first_ = share(units_, 0);
    last_ = share(units_, 1);
    at_once_ = plan.few.rows ? padded(last_ - first_, kPanel) : block;
    const Size n = plan.group_rows;
    operand_ = take(scratch, n * stride_);
    next_ = take(scratch, n * stride_);
    state_ = take(scratch, n * units_);
    memory_ = take(scratch, n * units_);
    if (plan.few.rows) sums_ = take(scratch, n * 4 * padded(units_, kPanel)) + n * 4 * first_;
    else sums_ = take(scratch, n * 4 * kBlock * team.count) + n * 4 * kBlock * team.index;
    gates_ = take(scratch, n * (two ? cell.slots : p_.norm ? kNormed : 0) * units_);
  }

  void run() {
    if (p_.few.projection) project();
    begin();
    team_.wait();
    Size active = rows_;
    for (Size step = 0; step < p_.s.steps; ++step) {
      while (active > 0 && length(active - 1) <= step) --active;
      if (active == 0) break;
      take_step(step, active);
      for (Size i = active; i-- > 0 && length(i) == step + 1;) end_row(i);
      float* swap = operand_;
      operand_ = next_;
      next_ = swap;
    }
    V::settle();
  }

 private:
  static constexpr CellLayout cell = C::layout;
  static constexpr bool two = cell.second_gate >= 0;
  static constexpr Size kNormed = cell.r1.count() + cell.x.count();  // products of a unit: the state's, then the input's
  static constexpr Read read = read_of<C>();
  static constexpr Size block = block_of<V>;

  static float* take(float*& scratch, Size n) {
    float* mine = scratch;
    scratch += n + kGuard;
    return mine;
  }
  Size row(Size i) const { return p_.row(group_, i); }
  Size length(Size i) const { return p_.length[row(i)]; }
  float* read_at(float* operand, Size i) const {
    return operand + i * stride_ + p_.operand.second + p_.operand.input;
  }

  // Where this member's columns of n begin, or with 1 end: whole panels. What it has written stays in its core's cache.
  Size share(Size n, int end) const {
    const Size panels = (n + kPanel - 1) / kPanel;
    return std::min(n, panels * (team_.index + end) / team_.count * kPanel);
  }

  // Initial states of this member's units; the final ones and y where nothing will be computed.
  void begin() {
    for (Size i = 0; i < rows_; ++i)
      for (Size u = first_; u < last_; u += V::width) {
        V::load_first(p_.s.state[0] + row(i) * hidden_ + u, hidden_ - u).store(state_ + i * units_ + u);
        if constexpr (cell.has_memory)
          V::load_first(p_.s.state[1] + row(i) * hidden_ + u, hidden_ - u).store(memory_ + i * units_ + u);
      }
    if constexpr (read == Read::normalised) team_.wait();
    for (Size i = 0; i < rows_; ++i) {
      begin_row(i);
      if (length(i) == 0) end_row(i);
    }
    for (Size i = team_.index; i < rows_; i += team_.count) {
      float* y = p_.s.y + row(i) * p_.s.steps * hidden_;
      std::fill(y + length(i) * hidden_, y + p_.s.steps * hidden_, 0.0f);
    }
  }

  // What the first step's products read.
  void begin_row(Size i) {
    const Size b = row(i);
    if constexpr (read == Read::normalised) gain_moments(i);
    for (Size u = first_; u < last_; u += V::width) {
      const V seen = shown(i, u, V::load(state_ + i * units_ + u));
      if (p_.s.saved) seen.store(p_.first + b * units_ + u);
      (seen * mask(b, u)).store(read_at(operand_, i) + u);
    }
  }

  void end_row(Size i) {
    const Size b = row(i);
    for (Size u = first_; u < last_; u += V::width) {
      V::load(state_ + i * units_ + u).store_first(p_.s.final_state[0] + b * hidden_ + u, hidden_ - u);
      if constexpr (cell.has_memory)
        V::load(memory_ + i * units_ + u).store_first(p_.s.final_state[1] + b * hidden_ + u, hidden_ - u);
    }
  }

  V mask(Size b, Size u) const {
    return p_.s.mask ? V::load_first(p_.s.mask + b * hidden_ + u, hidden_ - u) : V::all(1.0f);
  }

  void take_step(Size step, Size active) {
    active_ = active;
    look_ahead(step, active);
    if (!p_.s.projected) {
      const Size first = share(p_.s.inputs, 0), floats = share(p_.s.inputs, 1) - first;
      for (Size i = 0; i < active; ++i)
        std::copy_n(p_.s.x + p_.at(row(i), step) * p_.s.inputs + first, floats,
                    operand_ + i * stride_ + p_.operand.second + first);
      team_.wait();
    }
    if constexpr (!two && read != Read::normalised)
      if (p_.norm) return take_normalised_step(step, active);
    if constexpr (two) {
      for (Size u = first_; u < last_; u += at_once_) {
        multiply_slots(step, cell.r1, u);
        for (Size i = 0; i < active; ++i)
          for (Size v = u; v < end_of(u); v += V::width) open_gates(i, v, v - u);
      }
      team_.wait();
    }
    for (Size u = first_; u < last_; u += at_once_) {
      multiply_slots(step, two ? cell.r2 : SlotRange{0, cell.slots}, u);
      for (Size i = 0; i < active; ++i) move_units(turn(step, i), u);
    }
    team_.wait();
    if constexpr (read == Read::normalised) {
      for (Size i = 0; team_.leads() && i < active; ++i) show_row(turn(step, i));
      team_.wait();
    }
  }

  // The input's part of this member's units, at all steps: of a row by packed blocks of steps, and what is left by dots.
  void project() {
    const Size depth = p_.few.inputs, width = cell.gates * hidden_, outputs = std::min(last_, hidden_) - first_;
    if (outputs <= 0) return;
    for (Size i = 0; i < rows_; ++i)
      for (Size step = 0; step < packed_steps(i); step += kBlock)
        project_packed(row(i) * p_.s.steps + step, std::min(kBlock, length(i) - step));
    for (int slot = cell.x.begin; slot < cell.x.end; ++slot)
      for (Size i = 0; i < rows_; ++i) {
        const Size gate = cell.gate_of[slot] * hidden_ + first_, at = row(i) * p_.s.steps + packed_steps(i);
        dots<V>(length(i) - packed_steps(i), p_.few.x + at * depth, depth, p_.few.w_ih + gate * depth, outputs, depth,
                p_.few.projection + at * width + gate, width, {nullptr, 0});
      }
  }
  Size packed_steps(Size i) const {
    const Size left = length(i) % kBlock;
    return left > kFewSteps ? length(i) : length(i) - left;
  }

  // The weights' rows, as they lie, are the left side of the product.
  void project_packed(Size at, Size steps) {
    const Size depth = p_.few.inputs, last = std::min(last_, hidden_), width = cell.gates * hidden_;
    float *panels = p_.few.packed + team_.index * projection_scratch(depth), *tile = panels + depth * kBlock;
    for (Size t = 0; t < steps; t += kPanel)
      pack_panel<V>(p_.few.x + at * depth, 1, depth, depth, t, steps, panels + t * depth);
    for (int slot = cell.x.begin; slot < cell.x.end; ++slot)
      for (Size u = first_, count; u < last; u += count) {
        count = std::min(kOutputs, last - u);
        const Size gate = cell.gate_of[slot] * hidden_ + u;
        for (Size t = 0; t < steps; t += block)
          multiply<V>(count, p_.few.w_ih + gate * depth, depth, depth, panels + t * depth, std::min(block, steps - t),
                      tile + t, kBlock, {nullptr, 0});
        turn_over<V>(tile, kBlock, count, steps, p_.few.projection + at * width + gate, width);
      }
  }

  Size end_of(Size u) const { return std::min(last_, u + at_once_); }
  Size real_end(Size u) const { return std::min(end_of(u), hidden_); }

  // Pre-activations of a block of units, for the slots of one product.
  void multiply_slots(Size step, SlotRange slots, Size u) {
    for (int slot = slots.begin; slot < slots.end; ++slot) {
      float* sums = sums_ + slot * active_ * at_once_;
      const Size begin = p_.operand.begin(cell, slot), depth = p_.operand.end(cell, slot) - begin;
      Start start{p_.bias + slot * units_ + u, 0};
      if (p_.s.projected && cell.x.has(slot)) start = projected(step, slot, u, sums);
      if (p_.few.rows) multiply_few(slot, u, sums, start);
      else
        multiply<V>(active_, operand_ + begin, stride_, depth, p_.panel[slot] + u * depth, real_end(u) - u, sums, at_once_,
                    start, kPanel, &ahead_);
    }
  }

  // The same for one slot with the weights as they are.
  void multiply_few(int slot, Size u, float* sums, Start start) {
    const Size outputs = real_end(u) - u;
    if (!cell.r1.has(slot) && !cell.r2.has(slot)) {
      for (Size i = 0; i < active_ && !start.stride; ++i)
        std::memcpy(sums + i * at_once_, start.values, static_cast<std::size_t>(outputs) * sizeof(float));
      return;
    }
    const float* a = operand_ + (cell.r2.has(slot) ? 0 : p_.operand.second);
    dots<V>(active_, a, stride_, p_.s.w_hh + (cell.gate_of[slot] * hidden_ + u) * hidden_, outputs, hidden_, sums,
            at_once_, start);
  }

  Start projected(Size step, int slot, Size u, float* sums) {
    const Size width = cell.gates * hidden_;
    for (Size i = 0; i < active_; ++i) {
      const float* x = p_.s.x + p_.projection_at(row(i), step) * width + cell.gate_of[slot] * hidden_;
      for (Size v = u; v < end_of(u); v += V::width)
        (V::load_first(x + v, hidden_ - v) + V::load(p_.bias + slot * units_ + v)).store(sums + i * at_once_ + v - u);
    }
    return {sums, at_once_};
  }

  V sum(int slot, Size i, Size v, Size offset) const {
    return V::load_first(sums_ + (slot * active_ + i) * at_once_ + offset, hidden_ - v);
  }

  // The gates of a cell with two products, and what its second product reads.
  void open_gates(Size i, Size v, Size offset) {
    float* gates = gates_ + i * cell.slots * units_ + v;
    for (int slot = cell.r1.begin; slot < cell.r1.end; ++slot)
      sigmoid(sum(slot, i, v, offset)).store(gates + slot * units_);
    (V::load(gates + cell.second_gate * units_) * V::load(read_at(operand_, i) + v))
        .store_first(operand_ + i * stride_ + v, units_ - v);
  }

  // Where a row's step reads and writes. It is handed on by value: what is local stays in registers, but whatever is
  // read through a pointer is read again after every vector that is written, which might have changed it.
  struct Turn {
    Size i, hidden, units;
    float *state, *memory, *gates, *operand, *next, *y;
    float* saved;  // or null
    const float* mask;
    const std::uint8_t* keep[2];
    float keep_share;
    bool saves_slots, streams;
    Record record;
  };
  Turn turn(Size step, Size i) const {
    const Size b = row(i), at = p_.at(b, step) * hidden_;
    const auto keep = [&](int which) { return p_.s.keep[which] ? p_.s.keep[which] + at : nullptr; };
    return {i, hidden_, units_, state_ + i * units_, memory_ + i * units_, gates_ + i * cell.slots * units_,
            operand_ + i * stride_, read_at(next_, i), p_.s.y + at,
            p_.s.saved ? p_.saved_of_group(step, group_, i) : nullptr, p_.s.mask ? p_.s.mask + b * hidden_ : nullptr,
            {keep(0), keep(1)}, p_.s.keep_share, p_.s.saved && !(cell.slots == 1 && p_.output_is_slot()), p_.streams,
            p_.record};
  }

  // The step of a block of units, from pre-activations to the next state.
  void move_units(const Turn t, const Size first) {
    const float *sums = sums_ + t.i * at_once_ - first, *extra = p_.extra;
    const Size last = end_of(first), apart = active_ * at_once_;
    for (Size v = first; v < last; v += V::width) {
      V slots[4];
      for (int slot = 0; slot < cell.slots; ++slot)
        slots[slot] = two && cell.r1.has(slot) ? V::load(t.gates + slot * t.units + v)
                                               : V::load_first(sums + slot * apart + v, t.hidden - v);
      Units<V> u = compute(slots, t, extra, v);
      u.new_state = zoned_out(0, u.state, u.new_state, t, v);
      u.new_state.store(t.state + v);
      remember(t, v, u);
      save(slots, u, t, v);
      if constexpr (read != Read::normalised) show(t, v, u.new_state);
    }
  }

  Units<V> compute(V* slots, const Turn& t, const float* extra, Size v) const {
    Units<V> u{V::load(t.state + v), V::zero(), V::zero(), V::zero(), {}};
    if constexpr (cell.has_memory) u.memory = V::load(t.memory + v);
    if constexpr (cell.has_memory && cell.extras > 0)
      for (int k = 0; k < cell.extras; ++k) u.extra[k] = V::load(extra + k * t.units + v);
    C::forward(slots, u);
    return u;
  }

  void remember(const Turn& t, Size v, Units<V>& u) {
    if constexpr (cell.has_memory) {
      u.new_memory = zoned_out(1, u.memory, u.new_memory, t, v);
      u.new_memory.store(t.memory + v);
    }
  }

  // With layer normalisation: all products of a row first, because their mean and variance are over all of its units.
  void take_normalised_step(Size step, Size active) {
    for (int slot = cell.r1.begin; slot < cell.r1.end; ++slot)
      multiply_whole(p_.operand.input, hidden_, p_.panel[slot], p_.s.w_hh, slot, gates_ + (slot - cell.r1.begin) * units_);
    for (int slot = cell.x.begin; slot < cell.x.end && !p_.few.rows; ++slot)
      multiply_whole(0, p_.operand.input, p_.input_panel(slot), nullptr, slot,
                     gates_ + (cell.r1.count() + slot - cell.x.begin) * units_);
    for (Size i = 0; i < active; ++i) {
      const Turn t = turn(step, i);
      float* row_of = gates_ + i * kNormed * units_;
      Products both[2] = {{row_of, units_, {}}, {row_of + cell.r1.count() * units_, units_, {}}};
      if (p_.few.rows)
        both[1] = {p_.s.x + p_.at(row(i), step) * cell.gates * hidden_ + cell.gate_of[cell.x.begin] * hidden_, hidden_, {}};
      for (int k = 0; k < 2; ++k) {
        both[k].moments = moments<V>(both[k].row, hidden_, ranges[k].count(), both[k].stride);
        if (t.saved) t.saved[p_.record.scale + k] = both[k].moments.scale;
      }
      for (Size v = 0; v < units_; v += V::width) move_normalised(t, v, row_of, both);
      if constexpr (cell.has_memory) show_memory(t, row_of);
    }
  }

  // One row's products that are normalised together: one slot after the other, `stride` floats apart.
  struct Products {
    const float* row;
    Size stride;
    Moments moments;
  };
  static constexpr SlotRange ranges[2] = {cell.r1, cell.x};

  // All units of one slot's product with a stretch of the operand.
  void multiply_whole(Size begin, Size depth, const float* panels, const float* weights, int slot, float* to) {
    for (Size u = 0; u < units_; u += block) {
      const Size columns = std::min(block, hidden_ - u);
      if (p_.few.rows)
        dots<V>(active_, operand_ + begin, stride_, weights + (cell.gate_of[slot] * hidden_ + u) * depth, columns, depth,
                to + u, kNormed * units_, {nullptr, 0});
      else
        multiply<V>(active_, operand_ + begin, stride_, depth, panels + u * depth, columns, to + u, kNormed * units_,
                    {nullptr, 0}, kPanel, &ahead_);
    }
  }

  void move_normalised(const Turn& t, Size v, float* row_of, const Products* both) {
    V slots[4];
    for (int slot = 0; slot < cell.slots; ++slot) {
      slots[slot] = V::zero();
      for (int k = 0; k < 2; ++k) {
        if (!ranges[k].has(slot)) continue;
        const Size place = slot - ranges[k].begin;
        const V normed = normalised<V>(both[k].row + place * both[k].stride, both[k].moments, v, hidden_);
        if (t.saved) put(normed, t.saved + p_.record.normed[k] + place * units_ + v, t.streams);
        const float* gain = p_.norm + (2 * k * cell.slots + slot) * units_ + v;
        slots[slot] = slots[slot] + V::fma(normed, V::load(gain), V::load(gain + cell.slots * units_));
      }
    }
    Units<V> u = compute(slots, t, p_.extra, v);
    if constexpr (cell.has_memory) {  // shown when all of it is known; the products in row_of are used up
      u.new_memory.store(row_of + v);
      slots[C::o].store(row_of + units_ + v);
    } else {
      u.new_state = zoned_out(0, u.state, u.new_state, t, v);
      u.new_state.store(t.state + v);
      show(t, v, u.new_state);
    }
    remember(t, v, u);
    save(slots, u, t, v);
  }

  // h = o ⊙ φ(LN(c))
  void show_memory(const Turn& t, const float* memory) {
    const Moments m = moments<V>(memory, hidden_);
    for (Size v = 0; v < units_; v += V::width) {
      const V gain = V::load(p_.norm_memory + v), shift = V::load(p_.norm_memory + units_ + v);
      const V seen = hyperbolic_tangent(V::fma(normalised<V>(memory, m, v, hidden_), gain, shift));
      V state = V::load(t.state + v);
      state = zoned_out(0, state, V::load(memory + units_ + v) * seen, t, v);
      state.store(t.state + v);
      show(t, v, state);
    }
  }

  static V zoned_out(int which, V before, V after, const Turn& t, Size v) {
    V keep = V::all(t.keep_share);
    if (t.keep[which]) {
      keep = V::from_bytes(t.keep[which] + v, t.hidden - v);
      return V::where_positive(keep, before) + V::where_positive(V::all(1.0f) - keep, after);
    }
    return t.keep_share == 0.0f ? after : V::fma(keep, before, (V::all(1.0f) - keep) * after);
  }

  static void save(const V* slots, const Units<V>& u, const Turn& t, Size v) {
    if (!t.saves_slots) return;
    float* to = t.saved + v;
    for (int slot = 0; slot < cell.slots; ++slot) put(slots[slot], to + slot * t.units, t.streams);
    if constexpr (cell.keeps_state) put(cell.has_memory ? u.new_memory : u.new_state, to + t.record.state, t.streams);
    if constexpr (two) put(V::load_first(t.operand + v, t.units - v), to + t.record.second, t.streams);
  }
  static void put(V value, float* to, bool streams) { streams ? value.stream(to) : value.store(to); }

  // What the rows' next step reads from afar.
  void look_ahead(Size step, Size active) {
    ahead_.clear();
    for (Size i = 0; !p_.few.rows && i < active; ++i) {
      if (step + 1 == length(i)) continue;
      const Size b = row(i), width = cell.gates * hidden_;
      if (p_.s.projected) ahead_.add(p_.s.x + p_.projection_at(b, step + 1) * width, width);
      else ahead_.add(p_.s.x + p_.at(b, step + 1) * p_.s.inputs, p_.s.inputs);
    }
  }

  V shown(Size i, Size u, V state) const {
    if constexpr (read == Read::squashed) return hyperbolic_tangent(state);
    if constexpr (read == Read::normalised)
      return V::fma(normalised<V>(state_ + i * units_, moments_, u, hidden_), V::load(p_.extra + u),
                    V::load(p_.extra + units_ + u));
    return state;
  }

  // The output, and what the next step's products read.
  void show(const Turn& t, Size v, V state) const {
    const V y = shown(t.i, v, state);
    y.store_first(t.y + v, t.hidden - v);
    (t.mask ? y * V::load_first(t.mask + v, t.hidden - v) : y).store(t.next + v);
  }

  void gain_moments(Size i) { moments_ = moments<V>(state_ + i * units_, hidden_); }

  void show_row(const Turn& t) {
    gain_moments(t.i);
    for (Size v = 0; v < units_; v += V::width) show(t, v, V::load(state_ + t.i * units_ + v));
  }

  const Plan& p_;
  Ahead<V> ahead_;
  Team team_;
  Size group_, rows_, hidden_, units_, stride_, first_, last_, active_ = 0;
  Size at_once_;  // units whose sums are made before their gates: of few rows all, so that weights are read in long stretches
  float *operand_, *next_, *state_, *memory_, *sums_, *gates_;
  Moments moments_{};
};

}  // namespace unspool
