// Gradients of matrices and biases: one product over all rows of a part's chunk (backward.h), added to those of the
// chunks before. Each member of a team owns some panels of 16 pre-activations and walks over all rows of the part in the
// same order, so the number of threads changes no bit.
#pragma once

#include <algorithm>
#include <cstring>

#include "matmul.h"
#include "plan.h"
#include "team.h"

namespace unspool {

constexpr Size kRowsAtOnce = 128;  // four panels of gradients are 32 KB then, and stay in the first cache

constexpr Size panels_of(const CellLayout& c, Size units) {
  return c.slots * ((units + kPanel - 1) / kPanel);
}
constexpr Size operand_scratch(const Operand& o) { return kRowsAtOnce * odd_lines(o.width()); }

template <class V>
class WeightGradients {
 public:
  WeightGradients(const Plan& plan, Size part, Team team)
      : p_(plan), hidden_(plan.s.hidden), blocks_((plan.units + kPanel - 1) / kPanel), part_(part),
        stride_(odd_lines(plan.operand.width())) {
    const Size panels = panels_of(plan.cell, plan.units);
    first_ = panels * team.index / team.count;
    last_ = panels * (team.index + 1) / team.count;
  }

  void begin() {
    std::memset(sums(first_), 0, static_cast<std::size_t>((last_ - first_) * size_of_panel()) * sizeof(float));
  }
  // `operands`: operand_scratch() floats of this member's own.
  void add(const Chunk& chunk, float* operands) {
    if (first_ == last_) return;
    operands_ = operands;
    Cursor cursor{chunk.first, 0};
    for (Size n = 0, last = p_.rows_of(chunk, part_), count; n < last; n += count) {
      count = std::min(kRowsAtOnce, last - n);
      gather(cursor, count);
      for (Size q = first_, next; q < last_; q = next) {
        next = std::min({last_, q + block_of<V> / kPanel, (q / blocks_ + 1) * blocks_});
        add(q, next, n, count);
      }
    }
  }
  // From the sums of all parts to where they are wanted.
  void join() {
    for (Size q = first_; q < last_; ++q) {
      for (Size part = 1; part < p_.parts; ++part)
        for (Size k = 0; k < size_of_panel(); k += V::width)
          (V::load(sums(q) + k) + V::load(sums(q) + part * p_.sums_size + k)).store(sums(q) + k);
      scatter(q);
    }
  }

 private:
  int slot(Size q) const { return static_cast<int>(q / blocks_); }
  Size unit(Size q) const { return q % blocks_ * kPanel; }
  Size size_of_panel() const { return (p_.operand.width() + 1) * kPanel; }
  float* sums(Size q) const { return p_.sums + part_ * p_.sums_size + q * size_of_panel(); }

  struct Cursor {
    Size step, i;
  };

  // What the products of the forward pass read at the next `count` saved rows.
  void gather(Cursor& c, Size count) {
    for (Size k = 0; k < count; ++k, ++c.i) {
      while (c.i == p_.active(c.step, part_)) c = {c.step + 1, 0};
      gather(c, p_.order[part_ + c.i * p_.parts], operands_ + k * stride_);
    }
  }
  void gather(const Cursor& c, Size row, float* to) const {
    std::copy_n(p_.saved(c.step, part_, c.i) + p_.record.second, p_.operand.second, to);
    to += p_.operand.second;
    std::copy_n(p_.s.x + p_.at(row, c.step) * p_.s.inputs, p_.operand.input, to);
    to += p_.operand.input;
    const float* read = c.step > 0 ? p_.s.y + p_.at(row, c.step - 1) * hidden_ : p_.first + row * p_.units;
    if (!p_.s.mask) {
      std::copy_n(read, hidden_, to);
      return;
    }
    for (Size u = 0; u < hidden_; u += V::width) {
      const Size rest = hidden_ - u;
      (V::load_first(read + u, rest) * V::load_first(p_.s.mask + row * hidden_ + u, rest)).store_first(to + u, rest);
    }
  }

  // Panels q to last of one slot, of so many rows from n on. What is normalised by itself has gradients of its own.
  void add(Size q, Size last, Size n, Size count) {
    const CellLayout& c = p_.cell;
    const Operand& o = p_.operand;
    const float* d = p_.d + part_ * p_.d_size + n * p_.d_stride + slot(q) * p_.units + unit(q);
    if (!p_.norm) return add(q, last, d, count, o.begin(c, slot(q)), o.end(c, slot(q)));
    if (c.x.has(slot(q)))
      add(q, last, d + p_.d_inputs - c.x.begin * p_.units, count, o.second, o.second + o.input);
    if (c.r1.has(slot(q))) add(q, last, d, count, o.second + o.input, o.width());
  }

  // The part of their gradients that the stretch from begin to end of what the products read gives.
  void add(Size q, Size last, const float* d, Size count, Size begin, Size end) {
    for (Size one = q; one < last && (p_.g.b_ih || p_.g.b_hh); ++one) add_biases(one, d + (one - q) * kPanel, count);
    float* c = sums(q) + begin * kPanel;
    if (end > begin)
      multiply<V, Left::by_depth, false>(end - begin, operands_ + begin, stride_, count, d,
                                         std::min(hidden_ - unit(q), (last - q) * kPanel), c, kPanel, {c, kPanel},
                                         size_of_panel(), nullptr, p_.d_stride);
  }

  void add_biases(Size q, const float* d, Size count) {
    float* total = sums(q) + p_.operand.width() * kPanel;
    for (Size v = 0; v < kPanel && unit(q) + v < p_.units; v += V::width) {
      V sum = V::zero();
      for (Size k = 0; k < count; ++k) sum = sum + V::load(d + k * p_.d_stride + v);
      (V::load(total + v) + sum).store(total + v);
    }
  }

  void scatter(Size q) const {
    const Size s = slot(q), real = hidden_ - unit(q) < kPanel ? hidden_ - unit(q) : kPanel;
    const Size gate = p_.cell.gate_of[s] * hidden_ + unit(q);
    const Size second = p_.operand.second, input = second + p_.operand.input;
    const bool x = p_.cell.x.has(slot(q)), r1 = p_.cell.r1.has(slot(q)), r2 = p_.cell.r2.has(slot(q));
    const float* from = sums(q);
    for (Size c = 0; c < real; ++c) {
      if (x && p_.g.w_ih) column(from + second * kPanel + c, p_.s.inputs, p_.g.w_ih + (gate + c) * p_.s.inputs);
      if (r1 && p_.g.w_hh) column(from + input * kPanel + c, hidden_, p_.g.w_hh + (gate + c) * hidden_);
      if (r2 && p_.g.w_hh) column(from + c, hidden_, p_.g.w_hh + (gate + c) * hidden_);
      const float bias = from[p_.operand.width() * kPanel + c];
      if (x && p_.g.b_ih) p_.g.b_ih[gate + c] = bias;
      if ((r1 || r2) && p_.g.b_hh) p_.g.b_hh[gate + c] = bias;
    }
  }
  static void column(const float* from, Size n, float* to) {
    for (Size j = 0; j < n; ++j) to[j] = from[j * kPanel];
  }

  const Plan& p_;
  Size hidden_, blocks_, part_, stride_, first_, last_;
  float* operands_ = nullptr;
};

}  // namespace unspool
