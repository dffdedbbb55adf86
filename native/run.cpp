#include "run.h"

#include <stdexcept>
#include <vector>

#include "backward.h"
#include "planning.h"
#include "runtime.h"
#include "sharing.h"
#include "weight_gradients.h"

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

// One group of rows, whose units are shared between the threads.
void forward_few(Sequence s) {
  const FewRows given{true, s.x, s.w_ih, s.inputs, nullptr};
  const bool project = !s.projected;
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
    p.bias = pieces.take(p.cell.slots * p.units);
    take_extras(p, pieces);
    scratch = pieces.take(forward_scratch(p.cell, p.operand, p.units, p.group_rows, s.norm, most));
  });
  if (project) p.s.x = p.few.projection;
  target()->pack_forward(p);
  sharing().time(most, width * s.hidden * s.rows, [&](int members) {
    together(members, [&](Team team) { target()->forward[static_cast<int>(s.cell)](p, 0, scratch, team); });
  });
  workspace().release_beyond_bound();
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

void weight_gradients(const Plan& p, Size threads, float* scratch, Size scratch_each) {
  const Size panels = panels_of(p.cell, p.units);
  parallel(static_cast<int>(threads), threads, [&](Size i) {
    target()->weight_gradients(p, panels * i / threads, panels * (i + 1) / threads, scratch + i * scratch_each);
  });
}

}  // namespace

Workspace& workspace() {
  thread_local Workspace mine;
  return mine;
}

Sharing& sharing() {
  thread_local Sharing mine;
  return mine;
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
  const Size vectors = c.slots + (c.keeps_state ? 1 : 0) + (c.second_gate >= 0 ? 1 : 0) + (norm ? c.r1.count() + c.x.count() : 0);
  Size all, size;
  if (__builtin_mul_overflow(real_steps, vectors, &all) || __builtin_add_overflow(all, rows, &all) ||
      __builtin_mul_overflow(all, padded(hidden, target()->width), &size) ||
      __builtin_add_overflow(size, norm ? 2 * real_steps : 0, &size) || size > (Size{1} << 58))
    throw std::bad_alloc();
  return size;
}

void forward(const Sequence& s) {
  if (!s.saved && (s.rows <= kFewRows || s.rows * s.steps <= kFewSums)) return forward_few(s);
  const Rows rows = sort_rows(s);
  Plan p = make_plan(s, {}, rows);
  const Size each = forward_scratch(p.cell, p.operand, p.units, p.group_rows, s.norm);
  float* scratch = nullptr;
  with_workspace([&](Pieces& pieces) {
    take_panels(p, pieces);
    take_extras(p, pieces);
    scratch = pieces.take(p.groups * each);
  });
  target()->pack_forward(p);
  parallel(s.threads, p.groups,
           [&](Size group) { target()->forward[static_cast<int>(s.cell)](p, group, scratch + group * each, {}); });
  workspace().release_beyond_bound();
}

void backward(const Sequence& s, const Gradients& g) {
  const Rows rows = sort_rows(s);
  Plan p = make_plan(s, g, rows);
  const Size panels = panels_of(p.cell, p.units), threads = std::clamp<Size>(s.threads, 1, panels);
  const Size each = backward_scratch(p.cell, p.units, p.group_rows, s.norm);
  const Size each_weights = gradient_scratch(p.operand, (panels + threads - 1) / threads);
  const bool weights = g.w_ih || g.w_hh || g.b_ih || g.b_hh;
  float *scratch = nullptr, *weight_scratch = nullptr;
  with_workspace([&](Pieces& pieces) {
    take_extras(p, pieces);
    p.row_extra = pieces.take(p.row_extras * p.units * s.rows);
    p.back_r1 = pieces.take(p.cell.r1.count() * s.hidden * padded(s.hidden, kPanel));
    p.back_r2 = pieces.take(p.cell.r2.count() * s.hidden * padded(s.hidden, kPanel));
    p.back_x = pieces.take(g.x && !s.projected ? p.cell.x.count() * s.hidden * padded(s.inputs, kPanel) : 0);
    scratch = pieces.take(p.groups * each);
    weight_scratch = pieces.take(weights ? threads * each_weights : 0);
  });
  target()->pack_backward(p);
  parallel(s.threads, p.groups,
           [&](Size group) { target()->backward[static_cast<int>(s.cell)](p, group, scratch + group * each); });
  if (weights) weight_gradients(p, threads, weight_scratch, each_weights);
  if (g.x && s.tokens)
    parallel(s.threads, s.threads, [&](Size part) { target()->scatter_to_tokens(p, part, s.threads); });
  reduce_extras(p);
  workspace().release_beyond_bound();
}

void activate(int which, const float* x, float* y, Size n) {
  const FlushDenormals flush;
  target()->activate(which, x, y, n);
}

}  // namespace unspool
