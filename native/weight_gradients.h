// Gradients of matrices and biases: one product over all real steps of the batch. Each thread owns some panels of
// 16 pre-activations and walks over all steps in the same order, so the number of threads changes no bit.
#pragma once

#include <cstring>

#include "matmul.h"
#include "plan.h"

namespace unspool {

constexpr Size kChunk = 128;  // steps at once: a panel of gradients is 8 KB then, and stays in the first cache

constexpr Size panels_of(const CellLayout& c, Size units) {
  return c.slots * ((units + kPanel - 1) / kPanel);
}
// Floats of scratch for one thread that owns `panels` of them.
constexpr Size gradient_scratch(const Operand& o, Size panels) {
  return kChunk * (o.width() + kGuard + kBlock) + panels * (o.width() + 1) * kPanel + 3 * kGuard;
}

// Gradients of the distinct tokens' projections: those of `part`, of every `parts`, summed in the order of the steps.
template <class V>
void scatter_to_tokens(const Plan& p, Size part, Size parts) {
  const Size h = p.s.hidden, width = p.cell.gates * h;
  for (Size t = part; t < p.s.distinct; t += parts)
    std::memset(p.g.x + t * width, 0, static_cast<std::size_t>(width) * sizeof(float));
  for (Size row = 0, n = 0; row < p.s.rows; ++row)
    for (Size step = 0; step < p.length[row]; ++step, ++n) {
      const Size token = p.projection_at(row, step);
      if (token % parts != part) continue;
      for (int slot = p.cell.x.begin; slot < p.cell.x.end; ++slot) {
        const float* from = p.slots + (n * p.cell.slots + slot) * p.units;
        float* to = p.g.x + token * width + p.cell.gate_of[slot] * h;
        for (Size u = 0; u < h; u += V::width)
          (V::load_first(to + u, h - u) + V::load(from + u)).store_first(to + u, h - u);
      }
    }
}

template <class V>
class WeightGradients {
 public:
  WeightGradients(const Plan& plan, Size first_panel, Size last_panel, float* scratch)
      : p_(plan), hidden_(plan.s.hidden), units_(plan.units), blocks_((plan.units + kPanel - 1) / kPanel),
        first_(first_panel), last_(last_panel), stride_(plan.operand.width() + kGuard) {
    left_ = scratch;
    panel_ = left_ + kChunk * stride_ + kGuard;
    sums_ = panel_ + kChunk * kBlock + kGuard;
  }

  void run() {
    const Size size = (last_ - first_) * (p_.operand.width() + 1) * kPanel;
    std::memset(sums_, 0, static_cast<std::size_t>(size) * sizeof(float));
    Cursor cursor{0, 0};
    for (Size n = 0; n < p_.real_steps; n += kChunk) {
      const Size count = p_.real_steps - n < kChunk ? p_.real_steps - n : kChunk;
      gather(cursor, n, count);
      for (Size q = first_, next; q < last_; q = next) {
        next = std::min({last_, q + block_of<V> / kPanel, (q / blocks_ + 1) * blocks_});
        add(q, next, n, count);
      }
    }
    for (Size q = first_; q < last_; ++q) scatter(q);
  }

 private:
  struct Cursor {
    Size row, step;
  };
  int slot(Size q) const { return static_cast<int>(q / blocks_); }
  Size unit(Size q) const { return q % blocks_ * kPanel; }
  float* sums(Size q) const { return sums_ + (q - first_) * (p_.operand.width() + 1) * kPanel; }

  // What the products of the forward pass read at `count` saved steps, one a row.
  void gather(Cursor& c, Size n, Size count) {
    for (Size k = 0; k < count; ++k, ++c.step) {
      while (c.step >= p_.length[c.row]) c = {c.row + 1, 0};
      float* to = left_ + k * stride_;
      if (p_.operand.second > 0) copy(p_.second + (n + k) * units_, units_, to);
      to += p_.operand.second;
      if (p_.operand.input > 0) copy(p_.s.x + p_.at(c.row, c.step) * p_.s.inputs, p_.s.inputs, to);
      to += p_.operand.input;
      copy(c.step > 0 ? p_.s.y + p_.at(c.row, c.step - 1) * hidden_ : p_.first + c.row * units_, hidden_, to);
      if (p_.s.mask)
        for (Size u = 0; u < hidden_; u += V::width) {
          const Size left = hidden_ - u;
          (V::load_first(to + u, left) * V::load_first(p_.s.mask + c.row * hidden_ + u, left)).store_first(to + u, left);
        }
    }
  }
  static void copy(const float* from, Size n, float* to) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
  }

  // Where the gradients of pre-activations stand: so many slots a saved step, from slot `first` on.
  struct Source {
    const float* rows;
    Size slots, first;
  };

  // Panels q to last of one slot. What is normalised by itself has gradients of its own.
  void add(Size q, Size last, Size n, Size count) {
    const CellLayout& c = p_.cell;
    const Operand& o = p_.operand;
    const Source all{p_.slots, c.slots, 0}, input{p_.normed[1], c.x.count(), c.x.begin};
    if (!p_.norm) return add(q, last, n, count, o.begin(c, slot(q)), o.end(c, slot(q)), all);
    if (c.x.has(slot(q))) add(q, last, n, count, o.second, o.second + o.input, input);
    if (c.r1.has(slot(q))) add(q, last, n, count, o.second + o.input, o.width(), all);
  }

  // The part of their gradients that the stretch from begin to end of what the products read gives.
  void add(Size q, Size last, Size n, Size count, Size begin, Size end, const Source& from) {
    Size columns = 0;
    float* panel = panel_;
    for (Size one = q; one < last; ++one) {
      const Size width = panel_width(unit(one), hidden_);
      columns += width;
      gather_panel(one, width, from, n, count, panel);
      panel += count * width;
    }
    look_ahead(last, n, count, from);
    float* c = sums(q) + begin * kPanel;
    if (end > begin)
      multiply<V, Left::by_depth>(end - begin, left_ + begin, stride_, count, panel_, columns, c, kPanel, {c, kPanel},
                                  (p_.operand.width() + 1) * kPanel, &ahead_);
  }

  // The panels after these, of the same steps.
  void look_ahead(Size q, Size n, Size count, const Source& from) {
    ahead_.clear();
    if (q == last_ || slot(q) - from.first >= from.slots) return;
    const Size place = (slot(q) - from.first) * units_ + unit(q), width = std::min(block_of<V>, units_ - unit(q));
    for (Size k = 0; k < count; ++k) ahead_.add(from.rows + (n + k) * from.slots * units_ + place, width);
  }

  // The gradients of the pre-activations of one panel, and their sum to that of the bias.
  void gather_panel(Size q, Size width, const Source& from, Size n, Size count, float* panel) {
    const float* rows = from.rows + (slot(q) - from.first) * units_ + unit(q);
    float* total = sums(q) + p_.operand.width() * kPanel;
    for (Size v = 0; v < width; v += V::width) {
      V sum = V::zero();
      for (Size k = 0; k < count; ++k) {
        const V d = V::load(rows + (n + k) * from.slots * units_ + v);
        d.store(panel + k * width + v);
        sum = sum + d;
      }
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
  Ahead<V> ahead_;
  Size hidden_, units_, blocks_, first_, last_, stride_;
  float *left_, *panel_, *sums_;
};

}  // namespace unspool
