#include "run.h"

#include <bit>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "parts.h"
#include "planning.h"
#include "runtime.h"
#include "sharing.h"

namespace unspool {
namespace {

struct Named {
  const char* name;
  const Target* target;
};

// Those that this CPU can run, the best first.
const std::vector<Named>& present() {
  static const std::vector<Named> known = [] {
    std::vector<Named> all;
#if defined(UNSPOOL_X86)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
      all.push_back({"avx512", &avx512_target});
    if (avx2) all.push_back({"avx2", &avx2_target});
#elif defined(UNSPOOL_NEON)
    all.push_back({"neon", &neon_target});  // part of every aarch64 CPU
#endif
    all.push_back({"scalar", &scalar_target});
    return all;
  }();
  return known;
}

const Target*& target() {
  static const Target* chosen = present().front().target;
  return chosen;
}

constexpr CellLayout kLayouts[static_cast<int>(Cell::count)] = {
    SimpleTanh::layout,      SimpleRelu::layout,     GruResetAfter::layout,
    GruResetBefore::layout,  LstmCell<false>::layout, LstmCell<true>::layout,
    PrototypeCell<Read::itself>::layout, PrototypeCell<Read::normalised>::layout,
    PrototypeCell<Read::squashed>::layout, MinGruCell<false>::layout, MinGruCell<true>::layout};

constexpr Size kFewRows = 4;             // so few, or so few rows and steps, that packing the weights takes longer
constexpr Size kFewSums = 64;            // than what it saves

constexpr int kPairThreads = 3;          // with more, sharing the units of one after the other is quicker

constexpr Size kWorthSharing = Size{1} << 15;  // weights that take longer to pack than another thread takes to begin

template <class Pack>
void pack(const Plan& p, Size weights, const Pack& work) {
  const int workers = weights < kWorthSharing ? 1 : std::max(1, p.s.threads);
  parallel(workers, workers, [&](Size index) { work(p, index, workers); });
}

bool few(const Sequence& s) { return !s.saved && (s.rows <= kFewRows || s.rows * s.steps <= kFewSums); }

Size products_of_a_step(const Sequence& s) { return layout_of(s.cell).gates * s.hidden * s.hidden * s.rows; }

Size products_of(const Sequence& s) {
  const Size steps = s.lengths ? std::accumulate(s.lengths, s.lengths + s.rows, Size{0}) : s.rows * s.steps;
  return steps * layout_of(s.cell).gates * s.hidden * (s.hidden + (s.projected ? 0 : s.inputs));
}

// One group of rows, whose units are shared between the threads.
void forward_few(Sequence s) {
  const FewRows given{true, s.x, s.w_ih, s.inputs, nullptr, nullptr};
  const bool project = !s.projected;
  const Size products = products_of(s);
  s.projected = true;
  s.inputs = 0;
  const Rows rows = sort_rows(s);
  const int threads = s.threads;
  s.threads = 1;
  Plan p = make_plan(s, {}, rows);
  p.few = given;
  p.groups = 1;  // whatever a plan for packed weights would have chosen for so many rows
  p.group_rows = s.rows;
  const Size width = p.cell.gates * s.hidden;
  const int most = !s.w_hh || s.norm ? 1 : threads;
  float* scratch = nullptr;
  with_workspace([&](Pieces& pieces) {
    if (project) p.few.projection = pieces.take(s.rows * s.steps * width);
    if (project && s.steps > kFewSteps) p.few.packed = pieces.take(most * projection_scratch(given.inputs));
    p.bias = pieces.take(p.cell.slots * p.units);
    take_extras(p, pieces);
    scratch = pieces.take(forward_scratch(p, most));
  });
  if (project) p.s.x = p.few.projection;
  target()->pack_forward(p, 0, 1);
  sharing(s.rows).time(most, products_of_a_step(s), products, [&](int members) {
    together(members, [&](Team team) { target()->forward[static_cast<int>(s.cell)](p, 0, scratch, team); });
  });
  workspace().release_beyond_bound();
}

// Calls work(part, its team, the member's number) for all parts: by one thread, or each by a team of its own; then adds
// them up.
template <class Work>
void run_parts(const Plan& p, int threads, const Work& work) {
  std::unique_ptr<Barrier> barriers[2];
  together(threads, [&](Team team) {
    if (team.count < p.parts || p.parts == 1) {
      for (Size part = 0; part < p.parts; ++part) work(part, team, team.index);
    } else {
      const int part = team.index % 2, count = (team.count + 1 - part) / 2;
      if (team.index < 2) barriers[part] = std::make_unique<Barrier>(count);
      team.wait();
      work(part, Team{team.index / 2, count, barriers[part].get()}, team.index);
      team.wait();
    }
    target()->join_parts(p, team);
  });
}

// to[0..H) = the sum over the rows of their k-th extra gradient.
void reduce_extra(const Plan& p, Size k, float* to) {
  for (Size u = 0; u < p.s.hidden; ++u) {
    float sum = 0.0f;
    for (Size b = 0; b < p.s.rows; ++b) sum += p.row_extra[(b * p.row_extras + k) * p.units + u];
    to[u] = sum;
  }
}

void reduce_extras(const Plan& p) {
  const Size h = p.s.hidden, state = 2 * p.cell.r1.count(), input = 2 * p.cell.x.count();
  for (Size k = 0; p.g.extra && k < p.cell.extras; ++k) reduce_extra(p, k, p.g.extra + k * h);
  for (Size k = 0; p.g.norm && k < state + input; ++k) {
    const SlotRange& of = k < state ? p.cell.r1 : p.cell.x;
    const Size place = k < state ? k : k - state, gate = p.cell.gate_of[of.begin + place % of.count()];
    reduce_extra(p, p.cell.extras + k, p.g.norm + (((k < state ? 0 : 2) + place / of.count()) * p.cell.gates + gate) * h);
  }
  for (Size k = 0; p.g.norm_memory && k < 2; ++k) reduce_extra(p, p.row_extras - 2 + k, p.g.norm_memory + k * h);
}

}  // namespace

Workspace& workspace() {
  thread_local Workspace mine;
  return mine;
}

Sharing& sharing(Size rows) {
  constexpr int kinds = 8;
  thread_local Sharing mine[kinds];
  return mine[std::min<int>(std::bit_width(static_cast<std::uint64_t>(rows)), kinds - 1)];
}

const Target& chosen_target() { return *target(); }

void choose_target(const std::string& name) {
  std::string known;
  for (const Named& one : present()) {
    if (name.empty() || name == one.name) {
      target() = one.target;
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(one.name);
  }
  throw std::invalid_argument("UNSPOOL_ISA: expected " + known + " or off, got '" + name.substr(0, 40) + "'");
}

std::string target_name() {
  for (const Named& one : present())
    if (one.target == target()) return one.name;
  return "";
}

const CellLayout& layout_of(Cell cell) { return kLayouts[static_cast<int>(cell)]; }

Size saved_floats(Cell cell, Size rows, Size real_steps, Size hidden, bool norm) {
  const CellLayout& c = layout_of(cell);
  if (hidden > (Size{1} << 50)) throw std::bad_alloc();
  const Size units = padded(hidden, target()->width);
  Size records, first, size;
  if (__builtin_mul_overflow(real_steps, Record(c, units, norm).stride, &records) ||
      __builtin_mul_overflow(rows, units, &first) || __builtin_add_overflow(records, first, &size) || size > (Size{1} << 58))
    throw std::bad_alloc();
  return size;
}

void forward(const Sequence& s) {
  if (few(s)) return forward_few(s);
  const Rows rows = sort_rows(s);
  Plan p = make_plan(s, {}, rows);
  const Size each = forward_scratch(p);
  float* scratch = nullptr;
  with_workspace([&](Pieces& pieces) {
    take_panels(p, pieces);
    take_extras(p, pieces);
    scratch = pieces.take(p.groups * each);
  });
  pack(p, p.cell.gates * s.hidden * (p.operand.input + s.hidden), target()->pack_forward);
  parallel(s.threads, p.groups,
           [&](Size group) { target()->forward[static_cast<int>(s.cell)](p, group, scratch + group * each, {}); });
  workspace().release_beyond_bound();
}

void forward_pair(const Sequence& a, const Sequence& b) {
  if (!few(a) || !few(b) || a.threads < 2 || a.threads > kPairThreads) {
    forward(a);
    return forward(b);
  }
  sharing(a.rows).time(2, products_of_a_step(a) + products_of_a_step(b), products_of(a) + products_of(b), [&](int members) {
    parallel_throwing(members, 2, [&](Size i) {
      Sequence s = i ? b : a;
      s.threads = 1;
      forward_few(s);
    });
  });
}

void backward(const Sequence& s, const Gradients& g) {
  const Rows rows = sort_rows(s);
  Plan p = make_plan(s, g, rows);
  const bool weights = g.w_ih || g.w_hh || g.b_ih || g.b_hh;
  const std::vector<Chunk> chunks = cut(p);
  p.chunks = chunks.data();
  p.chunk_count = static_cast<Size>(chunks.size());
  const Size panels = panels_of(p.cell, p.units), each = operand_scratch(p.operand);
  const int threads = static_cast<int>(std::clamp<Size>(s.threads, 1, std::max(p.groups, p.parts * panels)));
  p.sums_size = panels * (p.operand.width() + 1) * kPanel;
  float* operands = nullptr;
  with_workspace([&](Pieces& pieces) {
    take_extras(p, pieces);
    p.row_extra = pieces.take(p.row_extras * p.units * s.rows);
    p.back_r1 = pieces.take(p.cell.r1.count() * s.hidden * padded(s.hidden, kPanel));
    p.back_r2 = pieces.take(p.cell.r2.count() * s.hidden * padded(s.hidden, kPanel));
    p.back_x = pieces.take(g.x && !s.projected ? p.cell.x.count() * s.hidden * padded(s.inputs, kPanel) : 0);
    p.d = pieces.take(p.parts * p.d_size);
    if (weights) p.sums = pieces.take(p.parts * p.sums_size);
    if (weights) operands = pieces.take(threads * each);
    if (g.x && s.tokens && p.parts > 1) p.tokens = pieces.take(s.distinct * p.cell.gates * s.hidden);
    p.scratch = pieces.take(p.groups * backward_scratch(p.units, p.group_rows));
  });
  pack(p, p.cell.gates * s.hidden * (p.operand.input + s.hidden), target()->pack_backward);
  run_parts(p, threads, [&](Size part, Team team, Size member) {
    target()->backward[static_cast<int>(s.cell)](p, part, team, operands ? operands + member * each : nullptr);
  });
  reduce_extras(p);
  workspace().release_beyond_bound();
}

Size multiply_adds(Size rounds, int threads) {
  std::vector<float> sums(static_cast<std::size_t>(threads));
  std::vector<Size> done(sums.size());
  parallel(threads, threads, [&](Size i) {
    const auto k = static_cast<std::size_t>(i);
    done[k] = target()->multiply_adds(rounds, &sums[k]);
  });
  return std::accumulate(done.begin(), done.end(), Size{0});
}

void activate(int which, const float* x, float* y, Size n) {
  const FlushDenormals flush;
  target()->activate(which, x, y, n);
}

}  // namespace unspool
