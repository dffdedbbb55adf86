#include <numeric>

#include "planning.h"
#include "run.h"
#include "runtime.h"

namespace unspool {
namespace {

constexpr Size kStream = Size{1} << 22;  // floats of `saved`, 16 MiB
constexpr Size kGroupRows = 48;  // rows whose states, operands and sums still share a second-level cache

}  // namespace

Rows sort_rows(const Sequence& s) {
  const auto n = static_cast<std::size_t>(s.rows);
  Rows rows{std::vector<Size>(n), std::vector<Size>(n), std::vector<Size>(n)};
  Size total = 0;
  for (std::size_t b = 0; b < n; ++b) {
    rows.length[b] = s.lengths ? s.lengths[b] : s.steps;
    rows.start[b] = total;
    total += rows.length[b];
  }
  std::iota(rows.order.begin(), rows.order.end(), Size{0});
  std::stable_sort(rows.order.begin(), rows.order.end(),
                   [&](Size a, Size b) { return rows.length[static_cast<std::size_t>(a)] > rows.length[static_cast<std::size_t>(b)]; });
  return rows;
}

Plan make_plan(const Sequence& s, const Gradients& g, const Rows& rows) {
  Plan p{};
  p.s = s;
  p.g = g;
  p.cell = layout_of(s.cell);
  p.units = padded(s.hidden, chosen_target().width);
  p.operand = {p.cell.r2.count() > 0 ? p.units : 0, s.projected ? 0 : s.inputs, s.hidden};
  p.order = rows.order.data();
  p.length = rows.length.data();
  p.start = rows.start.data();
  p.real_steps = std::accumulate(rows.length.begin(), rows.length.end(), Size{0});
  const Size threads = std::max(1, s.threads);
  const Size rounds = std::max<Size>(1, (s.rows + threads * kGroupRows - 1) / (threads * kGroupRows));
  p.groups = std::clamp<Size>(threads * rounds, 1, std::max<Size>(1, s.rows));
  p.group_rows = (s.rows + p.groups - 1) / p.groups;
  p.slots = s.saved;
  p.states = p.slots + p.real_steps * p.cell.slots * p.units;
  p.second = p.states + (p.cell.keeps_state ? p.real_steps * p.units : 0);
  p.first = p.second + (p.cell.second_gate >= 0 ? p.real_steps * p.units : 0);
  p.normed[0] = p.first + s.rows * p.units;
  p.normed[1] = p.normed[0] + p.real_steps * p.cell.r1.count() * p.units;
  p.scale[0] = p.normed[1] + p.real_steps * p.cell.x.count() * p.units;
  p.scale[1] = p.scale[0] + p.real_steps;
  const Size saved = (s.norm ? p.scale[0] : p.normed[0]) - p.slots;
  p.streams = s.saved && saved >= kStream && reinterpret_cast<std::uintptr_t>(s.saved) % 64 == 0;
  p.row_extras = p.cell.extras + (s.norm ? 2 * (p.cell.r1.count() + p.cell.x.count()) : 0) + (s.norm_memory ? 2 : 0);
  return p;
}

void take_panels(Plan& p, Pieces& pieces) {
  for (int slot = 0; slot < p.cell.slots; ++slot) {
    const Size depth = p.operand.end(p.cell, slot) - p.operand.begin(p.cell, slot);
    p.panel[slot] = pieces.take(depth * (p.units + 8));
  }
  p.bias = pieces.take(p.cell.slots * p.units);
}

void take_extras(Plan& p, Pieces& pieces) {
  p.extra = pieces.take(p.cell.extras * p.units);
  if (!p.s.norm) return;
  p.norm = pieces.take(4 * p.cell.slots * p.units + 16);  // never null once handed out
  p.norm_memory = pieces.take(2 * p.units);
}

}  // namespace unspool
