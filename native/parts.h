// The backward pass of a part of the rows, chunk of steps by chunk, and what the parts have added up.
//
// A batch has two parts whatever the number of threads (plan.cpp: one, where that takes too much memory), so the order
// of all sums is the same for any number. Two threads share nothing but weights; more of them share a part, and meet
// after each chunk's loop and after its sums.
#pragma once

#include "backward.h"
#include "weight_gradients.h"

namespace unspool {

// A part's gradients of the distinct tokens' projections: those of one member's tokens grow by a chunk's.
template <class V>
void scatter_to_tokens(const Plan& p, const Chunk& chunk, Size part, Team team) {
  const Size h = p.s.hidden, width = p.cell.gates * h;
  float* all = part == 0 ? p.g.x : p.tokens;
  const float* d = p.d + part * p.d_size;
  for (Size step = chunk.first; step < chunk.last; ++step)
    for (Size i = 0; i < p.active(step, part); ++i, d += p.d_stride) {
      const Size token = p.projection_at(p.order[part + i * p.parts], step);
      if (token % team.count != team.index) continue;
      for (int slot = p.cell.x.begin; slot < p.cell.x.end; ++slot) {
        const float* from = d + slot * p.units;
        float* to = all + token * width + p.cell.gate_of[slot] * h;
        for (Size u = 0; u < h; u += V::width)
          (V::load_first(to + u, h - u) + V::load(from + u)).store_first(to + u, h - u);
      }
    }
}
template <class V>
void clear_tokens(const Plan& p, Size part, Team team) {
  const Size width = p.cell.gates * p.s.hidden;
  for (Size t = team.index; t < p.s.distinct; t += team.count)
    std::memset((part == 0 ? p.g.x : p.tokens) + t * width, 0, static_cast<std::size_t>(width) * sizeof(float));
}

// One part's backward pass, of one member of its team: groups of rows, then a share of the weights' gradients, chunk by
// chunk.
template <class V, class C>
void backward_part(const Plan& p, Size part, Team team, float* operands) {
  const Size each = backward_scratch(p.units, p.group_rows);
  const auto groups = [&](const auto& work) {
    for (Size g = part + team.index * p.parts; g < p.groups; g += team.count * p.parts) {
      BackwardRun<V, C> run(p, g, p.scratch + g * each);
      work(run);
    }
  };
  WeightGradients<V> weights(p, part, team);
  const bool tokens = p.g.x && p.s.tokens;
  if (p.sums) weights.begin();
  if (tokens) clear_tokens<V>(p, part, team);
  groups([](auto& run) { run.begin(); });
  for (Size k = p.chunk_count; k-- > 0;) {
    groups([&](auto& run) { run.run(p.chunks[k]); });
    team.wait();
    if (p.sums) weights.add(p.chunks[k], operands);
    if (tokens) scatter_to_tokens<V>(p, p.chunks[k], part, team);
    team.wait();
  }
  groups([](auto& run) { run.end(); });
}

// What the parts have, added up.
template <class V>
void join_parts(const Plan& p, Team team) {
  if (p.sums) WeightGradients<V>(p, 0, team).join();
  if (!p.tokens) return;
  const Size all = p.s.distinct * p.cell.gates * p.s.hidden, lines = (all + kLine - 1) / kLine;
  const Size first = lines * team.index / team.count * kLine;
  const Size last = std::min(all, lines * (team.index + 1) / team.count * kLine);
  for (Size k = first; k < last; k += V::width)
    (V::load_first(p.g.x + k, last - k) + V::load_first(p.tokens + k, last - k)).store_first(p.g.x + k, last - k);
}

}  // namespace unspool
