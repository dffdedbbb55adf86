#include <numeric>

#include "planning.h"
#include "run.h"
#include "runtime.h"

namespace unspool {
namespace {

constexpr Size kStream = Size{1} << 22;       // floats of `saved`, 16 MiB
constexpr Size kGroupRows = 48;               // rows whose states, operands and sums share a second-level cache
constexpr Size kChunkRows = 512;              // of a part in a chunk, so that products are deep; or one step
constexpr Size kChunkFloats = Size{1} << 17;  // and so many more as fill half a second-level cache
constexpr Size kLargeSums = Size{1} << 19;    // floats of one part's sums that two parts would rather share

}  // namespace

Rows sort_rows(const Sequence& s) {
  const auto n = static_cast<std::size_t>(s.rows);
  Rows rows{std::vector<Size>(n), std::vector<Size>(n), {0}, 1};
  for (std::size_t b = 0; b < n; ++b) rows.length[b] = s.lengths ? s.lengths[b] : s.steps;
  std::iota(rows.order.begin(), rows.order.end(), Size{0});
  std::stable_sort(rows.order.begin(), rows.order.end(), [&](Size a, Size b) {
    return rows.length[static_cast<std::size_t>(a)] > rows.length[static_cast<std::size_t>(b)];
  });
  const auto length = [&](Size i) { return rows.length[static_cast<std::size_t>(rows.order[static_cast<std::size_t>(i)])]; };
  const Size sums = padded(s.hidden, 16) * layout_of(s.cell).slots * (s.inputs + s.hidden);
  rows.parts = s.saved && s.rows > 1 && sums <= kLargeSums ? 2 : 1;  // inference has nothing to add up
  for (Size step = 0, active = s.rows;; ++step) {
    while (active > 0 && length(active - 1) <= step) --active;
    if (active == 0) return rows;
    for (Size part = 0; part < rows.parts; ++part)
      rows.place.push_back(rows.place.back() + (active - part + rows.parts - 1) / rows.parts);
  }
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
  p.place = rows.place.data();
  p.parts = rows.parts;
  p.steps = (static_cast<Size>(rows.place.size()) - 1) / p.parts;
  const Size threads = std::max(1, s.threads);
  const Size rounds = std::max<Size>(1, (s.rows + threads * kGroupRows - 1) / (threads * kGroupRows));
  const Size wanted = threads * rounds * (threads * rounds % p.parts == 0 ? 1 : p.parts);
  p.groups = padded(std::clamp<Size>(wanted, 1, std::max<Size>(1, s.rows)), p.parts);
  p.group_rows = (s.rows + p.groups - 1) / p.groups;
  p.record = Record(p.cell, p.units, s.norm);
  const Size records = rows.place.back() * p.record.stride;
  p.first = s.saved ? s.saved + records : nullptr;
  p.streams = s.saved && records >= kStream && reinterpret_cast<std::uintptr_t>(s.saved) % 64 == 0;
  p.row_extras = p.cell.extras + (s.norm ? 2 * (p.cell.r1.count() + p.cell.x.count()) : 0) + (s.norm_memory ? 2 : 0);
  return p;
}

std::vector<Chunk> cut(Plan& p) {
  p.d_inputs = p.cell.slots * p.units;
  p.d_stride = odd_lines(p.d_inputs + (p.s.norm ? p.cell.x.count() * p.units : 0));
  const Size most = std::max(kChunkRows, kChunkFloats / (p.d_stride + p.operand.width()));
  std::vector<Chunk> chunks;
  Size rows = 0, largest = 0;
  for (Size step = 0; step < p.steps; ++step) {
    const Size active = p.active(step, 0);  // no other part has more
    if (step == 0 || rows + active > most) {
      chunks.push_back({step, step});
      rows = 0;
    }
    chunks.back().last = step + 1;
    rows += active;
    largest = std::max(largest, rows);
  }
  p.d_size = largest * p.d_stride;
  return chunks;
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
