#include "check.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <utility>
#include <vector>

#include "run.h"

namespace unspool {
namespace {

constexpr const char* kNames[] = {"rnn_tanh", "rnn_relu",  "gru",        "gru_reset_before", "lstm",
                                  "peephole", "prototype", "normalised", "pseudo",    "mingru",           "qrnn"};
constexpr const char* kKinds[] = {"None", "torch.float32", "torch.int64", "torch.int32", "torch.bool", ""};

std::string listed(const Size* sizes, std::size_t n) {
  std::string text = "(";
  for (std::size_t i = 0; i < n; ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + (n == 1 ? ",)" : ")");
}

[[noreturn]] void wrong_value(const char* name, const std::string& what) {
  throw std::invalid_argument(std::string(name) + ": " + what);
}

}  // namespace

void check_tensor(const Tensor& t, Kind kind, std::initializer_list<Size> shape) {
  if (t.kind != kind) {
    const std::string found = t.kind == Kind::other ? t.kind_name : kKinds[static_cast<int>(t.kind)];
    throw WrongType(std::string(t.name) + ": expected a tensor of " + kKinds[static_cast<int>(kind)] + ", got " + found);
  }
  if (!t.cpu) wrong_value(t.name, "expected a tensor on the CPU");
  if (!t.dense) wrong_value(t.name, "expected a contiguous tensor");
  bool same = t.rank == static_cast<int>(shape.size());
  for (std::size_t i = 0; same && i < shape.size(); ++i) same = t.shape[i] == shape.begin()[i];
  if (!same)
    wrong_value(t.name, "expected shape " + listed(shape.begin(), shape.size()) + ", got " +
                            (t.rank > 4 ? std::to_string(t.rank) + " dimensions"
                                        : listed(t.shape, static_cast<std::size_t>(t.rank))));
}

namespace {

float* floats(const Tensor& t, std::initializer_list<Size> shape, bool optional = false) {
  if (optional && t.kind == Kind::absent) return nullptr;
  check_tensor(t, Kind::float32, shape);
  return static_cast<float*>(t.data);
}

void check_absent(const Tensor& t, const std::string& cell) {
  if (t.kind != Kind::absent) wrong_value(t.name, "expected None for the cell " + cell);
}

}  // namespace

Size product(const char* name, std::initializer_list<Size> factors) {
  Size all = 1;
  for (const Size f : factors)
    if (f < 0 || __builtin_mul_overflow(all, f, &all)) wrong_value(name, "too large");
  return all;
}

namespace {

const std::int64_t* check_lengths(const Tensor& t, Size rows, Size steps) {
  if (t.kind == Kind::absent) return nullptr;
  check_tensor(t, Kind::int64, {rows});
  const auto* lengths = static_cast<const std::int64_t*>(t.data);
  for (Size b = 0; b < rows; ++b)
    if (lengths[b] < 0 || lengths[b] > steps)
      wrong_value("lengths", "expected 0 to " + std::to_string(steps) + ", got " + std::to_string(lengths[b]) +
                                 " in row " + std::to_string(b));
  return lengths;
}

// Past a length anything may stand.
const std::int64_t* check_tokens(const Tensor& t, const Sequence& s) {
  if (t.kind == Kind::absent) return nullptr;
  check_tensor(t, Kind::int64, {s.rows, s.steps});
  const auto* tokens = static_cast<const std::int64_t*>(t.data);
  for (Size b = 0; b < s.rows; ++b)
    for (Size i = b * s.steps, end = i + (s.lengths ? s.lengths[b] : s.steps); i < end; ++i)
      if (tokens[i] < 0 || tokens[i] >= s.distinct)
        wrong_value("tokens", "expected 0 to " + std::to_string(s.distinct - 1) + ", the rows of x, got " +
                                  std::to_string(tokens[i]) + " in row " + std::to_string(b));
  return tokens;
}

Size bytes_of(const Tensor& t) {
  Size n = t.kind == Kind::int64 ? 8 : t.kind == Kind::boolean ? 1 : 4;
  for (int i = 0; i < t.rank; ++i) n *= t.shape[i];
  return n;
}

// Whether the cell has a product with its state, and so weights of its own.
bool is_recurrent(const CellLayout& c) { return c.r1.count() > 0; }

void check_sizes(const Arguments& a, const CellLayout& c, Sequence& s) {
  if (a.x.kind != Kind::float32) check_tensor(a.x, Kind::float32, {});
  const bool tokens = a.tokens.kind != Kind::absent;
  if (tokens) {
    if (a.tokens.kind != Kind::int64) check_tensor(a.tokens, Kind::int64, {});
    if (a.tokens.rank != 2) wrong_value("tokens", "expected 2 dimensions (B, T), got " + std::to_string(a.tokens.rank));
    if (a.x.rank != 2) wrong_value("x", "expected 2 dimensions (N, G·H) beside tokens, got " + std::to_string(a.x.rank));
    check_absent(a.w_ih, "given tokens");
    s.distinct = a.x.shape[0];
  } else if (a.x.rank != 3) {
    wrong_value("x", "expected 3 dimensions (B, T, I), got " + std::to_string(a.x.rank));
  }
  s.rows = tokens ? a.tokens.shape[0] : a.x.shape[0];
  s.steps = tokens ? a.tokens.shape[1] : a.x.shape[1];
  const Size features = a.x.shape[tokens ? 1 : 2];
  s.projected = a.w_ih.kind == Kind::absent;
  if (is_recurrent(c)) {
    if (a.w_hh.kind != Kind::float32) check_tensor(a.w_hh, Kind::float32, {});
    if (a.w_hh.rank != 2) wrong_value("w_hh", "expected 2 dimensions (G·H, H), got " + std::to_string(a.w_hh.rank));
    s.hidden = a.w_hh.shape[1];
    check_tensor(a.w_hh, Kind::float32, {product("w_hh", {c.gates, s.hidden}), s.hidden});
  } else {
    for (const Tensor* none : {&a.w_ih, &a.w_hh, &a.b_ih, &a.b_hh, &a.mask}) check_absent(*none, a.cell);
    if (a.h.kind != Kind::float32) check_tensor(a.h, Kind::float32, {});
    if (a.h.rank != 2) wrong_value("h", "expected 2 dimensions (B, H), got " + std::to_string(a.h.rank));
    s.hidden = a.h.shape[1];
  }
  s.inputs = s.projected ? 0 : features;
  if (s.hidden < 1) wrong_value(is_recurrent(c) ? "w_hh" : "h", "expected at least one hidden unit");
  product("x", {s.distinct, features, 8});
  product("x", {s.rows, s.steps, std::max<Size>(features, c.slots * (s.hidden + 16)), 8});
  product("w_hh", {c.gates + 2, s.hidden + 16, s.hidden + s.inputs + 32, 16});
  if (a.threads < 1 || a.threads > 4096) wrong_value("threads", "expected 1 to 4096, got " + std::to_string(a.threads));
  if (!(a.keep_share >= 0.0 && a.keep_share <= 1.0)) wrong_value("keep_share", "expected 0 to 1");
}

// Layer normalisation: for a cell with one recurrent product, whose biases are then in the shifts.
void check_norm(const Arguments& a, const CellLayout& c, Sequence& s) {
  if (a.norm.kind == Kind::absent) {
    check_absent(a.norm_memory, a.cell + " without norm");
    return;
  }
  if (!is_recurrent(c) || c.r2.count() > 0) check_absent(a.norm, a.cell);
  for (const Tensor* none : {&a.tokens, &a.b_ih, &a.b_hh}) check_absent(*none, a.cell + " beside norm");
  if (s.projected) wrong_value("w_ih", "expected a tensor beside norm, got none");
  s.norm = floats(a.norm, {4 * c.gates * s.hidden});
  if (c.has_memory) s.norm_memory = floats(a.norm_memory, {2 * s.hidden});
  else check_absent(a.norm_memory, a.cell);
}

void check_parts(const Arguments& a, const CellLayout& c, bool results, Sequence& s) {
  const Size b = s.rows, t = s.steps, h = s.hidden, gates = c.gates * h;
  s.x = a.tokens.kind == Kind::absent ? floats(a.x, {b, t, s.projected ? gates : s.inputs}) : floats(a.x, {s.distinct, gates});
  s.lengths = check_lengths(a.lengths, b, t);
  s.tokens = check_tokens(a.tokens, s);
  s.w_ih = floats(a.w_ih, {gates, s.inputs}, true);
  s.w_hh = floats(a.w_hh, {gates, h}, !is_recurrent(c));
  s.b_ih = floats(a.b_ih, {gates}, true);
  s.b_hh = floats(a.b_hh, {gates}, true);
  if (c.extras > 0) s.extra = floats(a.extra, {c.extras * h});
  else check_absent(a.extra, a.cell);
  s.state[0] = floats(a.h, {b, h});
  if (c.has_memory) s.state[1] = floats(a.c, {b, h});
  else check_absent(a.c, a.cell);
  s.mask = floats(a.mask, {b, h}, true);
  if (a.keep.kind != Kind::absent) {
    check_tensor(a.keep, Kind::boolean, {c.has_memory ? 2 : 1, b, t, h});
    s.keep[0] = static_cast<const std::uint8_t*>(a.keep.data);
    if (c.has_memory) s.keep[1] = s.keep[0] + b * t * h;
  }
  check_norm(a, c, s);
  s.y = floats(a.y, {b, t, h});
  if (!results) return;
  s.final_state[0] = floats(a.final_h, {b, h});
  if (c.has_memory) s.final_state[1] = floats(a.final_c, {b, h});
  else check_absent(a.final_c, a.cell);
}

void check_saved(const Arguments& a, Sequence& s, bool demanded) {
  Size real = s.rows * s.steps;
  if (s.lengths) {
    real = 0;
    for (Size b = 0; b < s.rows; ++b) real += s.lengths[b];
  }
  s.saved = floats(a.saved, {saved_floats(s.cell, s.rows, real, s.hidden, s.norm)}, !demanded);
}

// The output's gradient, which may be given once for all rows, or for all steps.
void check_outer(const Tensor& t, const Sequence& s, Gradients& g) {
  const bool one_row = t.rank == 3 && t.shape[0] == 1, one_step = t.rank == 3 && t.shape[1] == 1;
  const Size rows = one_row ? 1 : s.rows, steps = one_step ? 1 : s.steps;
  g.y = floats(t, {rows, steps, s.hidden}, true);
  g.y_row = one_row ? 0 : steps * s.hidden;
  g.y_step = one_step ? 0 : s.hidden;
}

void check_gradients(const GradientArguments& a, const CellLayout& c, const Sequence& s, Gradients& g) {
  const Size b = s.rows, t = s.steps, h = s.hidden, gates = c.gates * h;
  check_outer(a.y, s, g);
  g.final_state[0] = floats(a.final_h, {b, h}, true);
  g.x = s.tokens ? floats(a.x, {s.distinct, gates}, true) : floats(a.x, {b, t, s.projected ? gates : s.inputs}, true);
  if (!is_recurrent(c))
    for (const Tensor* none : {&a.w_hh, &a.b_ih, &a.b_hh}) check_absent(*none, "without weights");
  g.w_hh = floats(a.w_hh, {gates, h}, true);
  if (s.norm)
    for (const Tensor* none : {&a.b_ih, &a.b_hh}) check_absent(*none, "beside norm");
  g.b_ih = floats(a.b_ih, {gates}, true);
  g.b_hh = floats(a.b_hh, {gates}, true);
  g.state[0] = floats(a.h, {b, h});
  if (s.projected) check_absent(a.w_ih, "given a projected input");
  else g.w_ih = floats(a.w_ih, {gates, s.inputs}, true);
  if (c.extras > 0) g.extra = floats(a.extra, {c.extras * h}, true);
  else check_absent(a.extra, "without extra");
  if (s.norm) g.norm = floats(a.norm, {4 * gates}, true);
  else check_absent(a.norm, "without norm");
  if (s.norm_memory) g.norm_memory = floats(a.norm_memory, {2 * h}, true);
  else check_absent(a.norm_memory, "without norm_memory");
  if (c.has_memory) {
    g.final_state[1] = floats(a.final_c, {b, h}, true);
    g.state[1] = floats(a.c, {b, h});
  } else {
    for (const Tensor* none : {&a.final_c, &a.c}) check_absent(*none, "without c");
  }
}

}  // namespace

Cell cell_named(const std::string& name) {
  for (int i = 0; i < static_cast<int>(Cell::count); ++i)
    if (name == kNames[i]) return static_cast<Cell>(i);
  std::string known;
  for (const char* one : kNames) known += (known.empty() ? "" : ", ") + std::string(one);
  wrong_value("cell", "expected one of " + known + ", got '" + name.substr(0, 40) + "'");
}

Size checked_saved_floats(const std::string& cell, Size rows, Size real_steps, Size hidden, bool norm) {
  const auto check_size = [](const char* name, Size size) {
    if (size < 0) wrong_value(name, "expected 0 or more, got " + std::to_string(size));
  };
  check_size("rows", rows), check_size("real_steps", real_steps), check_size("hidden", hidden);
  return saved_floats(cell_named(cell), rows, real_steps, hidden, norm);
}

void check_apart(const std::vector<const Tensor*>& outputs, const std::vector<const Tensor*>& inputs) {
  const auto apart = [](const Tensor& a, const Tensor& b) {
    const auto* x = static_cast<const char*>(a.data);
    const auto* y = static_cast<const char*>(b.data);
    const std::less_equal<const char*> before;
    return !x || !y || before(x + bytes_of(a), y) || before(y + bytes_of(b), x);
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j)
      if (!apart(*outputs[i], *outputs[j])) wrong_value(outputs[i]->name, std::string("overlaps ") + outputs[j]->name);
    for (const Tensor* input : inputs)
      if (!apart(*outputs[i], *input)) wrong_value(outputs[i]->name, std::string("overlaps ") + input->name);
  }
}

Sequence check(const Arguments& a, const GradientArguments* gradients, Gradients* g) {
  Sequence s{};
  s.cell = cell_named(a.cell);
  s.reverse = a.reverse;
  const CellLayout& c = layout_of(s.cell);
  check_sizes(a, c, s);
  s.threads = static_cast<int>(a.threads);
  s.keep_share = static_cast<float>(a.keep_share);
  check_parts(a, c, !gradients, s);
  check_saved(a, s, gradients != nullptr);
  const std::vector<const Tensor*> inputs{&a.x,    &a.lengths, &a.tokens, &a.w_ih, &a.w_hh, &a.b_ih, &a.b_hh,
                                          &a.extra, &a.h,      &a.c,    &a.mask, &a.keep, &a.norm, &a.norm_memory};
  const std::vector<const Tensor*> results{&a.y, &a.final_h, &a.final_c, &a.saved};
  if (!gradients) {
    check_apart(results, inputs);
    return s;
  }
  check_gradients(*gradients, c, s, *g);
  const GradientArguments& d = *gradients;
  std::vector<const Tensor*> given{inputs};
  given.insert(given.end(), {&a.y, &a.saved, &d.y, &d.final_h, &d.final_c});
  check_apart({&d.x, &d.w_ih, &d.w_hh, &d.b_ih, &d.b_hh, &d.extra, &d.h, &d.c, &d.norm, &d.norm_memory}, given);
  return s;
}

RegionCall check_region(const RegionArguments& a, RegionGradients* g) {
  RegionCall c{};
  if (a.x.rank != 3) wrong_value("x", "expected 3 dimensions");
  if (a.weight.rank != 3) wrong_value("weight", "expected 3 dimensions");
  c.rows = a.x.shape[0], c.steps = a.x.shape[1], c.width = a.x.shape[2];
  c.filters = a.weight.shape[0], c.size = a.weight.shape[1];
  if (c.filters < 1 || c.size < 1 || c.width < 1) wrong_value("weight", "expected at least one filter, step and feature");
  if (a.winner.kind != Kind::int32) check_tensor(a.winner, Kind::int32, {});
  if (a.winner.rank != 3) wrong_value("winner", "expected 3 dimensions (B, K, F), got " + std::to_string(a.winner.rank));
  c.kept = a.winner.shape[1];
  if (c.kept < 1) wrong_value("winner", "expected at least one answer a filter");
  product("winner", {std::max<Size>(1, c.rows), c.kept, c.filters + 64, 64});
  if (c.steps > (Size{1} << 31) - 1) wrong_value("x", "too many steps");
  product("x", {c.rows, c.steps, c.width, 4});
  product("weight", {c.filters + 16, c.size + 1, c.width, 4});
  if (a.threads < 1 || a.threads > 4096) wrong_value("threads", "expected 1 to 4096");
  c.threads = static_cast<int>(a.threads);
  c.x = floats(a.x, {c.rows, c.steps, c.width});
  c.weight = floats(a.weight, {c.filters, c.size, c.width});
  c.bias = floats(a.bias, {c.filters}, true);
  if (a.lengths.kind == Kind::absent) wrong_value("lengths", "expected a tensor");
  c.lengths = check_lengths(a.lengths, c.rows, c.steps);
  check_tensor(a.winner, Kind::int32, {c.rows, c.kept, c.filters});
  c.winner = static_cast<std::int32_t*>(a.winner.data);
  if (!g) {
    c.y = floats(a.y, {c.rows, c.kept, c.filters});
    check_apart({&a.y, &a.winner}, {&a.x, &a.lengths, &a.weight, &a.bias});
    return c;
  }
  g->y = floats(a.d_y, {c.rows, c.kept, c.filters});
  g->x = floats(a.d_x, {c.rows, c.steps, c.width}, true);
  g->weight = floats(a.d_weight, {c.filters, c.size, c.width}, true);
  g->bias = floats(a.d_bias, {c.filters}, true);
  check_apart({&a.d_x, &a.d_weight, &a.d_bias}, {&a.x, &a.lengths, &a.weight, &a.winner, &a.d_y});
  for (Size row = 0; row < c.rows; ++row)
    for (Size i = 0; i < c.kept * c.filters; ++i) {
      const std::int32_t w = c.winner[row * c.kept * c.filters + i];
      if (w < (c.kept > 1 ? -1 : 0) || w > std::max<Size>(0, c.lengths[row] - c.size)) wrong_value("winner", "a window lies outside its text");
    }
  return c;
}

WindowCall check_windows(const WindowArguments& a, WindowGradients* g) {
  WindowCall c{};
  if (a.x.rank != 3) wrong_value("x", "expected 3 dimensions");
  if (a.weight.rank != 3) wrong_value("weight", "expected 3 dimensions");
  c.rows = a.x.shape[0], c.steps = a.x.shape[1], c.width = a.x.shape[2];
  c.filters = a.weight.shape[0], c.size = a.weight.shape[1];
  if (c.filters < 1 || c.size < 1 || c.width < 1) wrong_value("weight", "expected at least one filter, step and feature");
  c.windows = std::max<Size>(1, c.steps - c.size + 1);
  product("x", {c.rows, c.steps + 1, c.width + 8, 8});
  product("weight", {c.filters + 16, c.size + 1, c.width + 16, 8});
  if (a.threads < 1 || a.threads > 4096) wrong_value("threads", "expected 1 to 4096");
  c.threads = static_cast<int>(a.threads);
  product("x", {a.threads + 64, c.steps + 1, c.width + 8, 8});  // scratch, also without a row
  product("y", {c.rows + a.threads + 64, c.windows + 2 * c.size, c.filters + 16, 8});
  c.x = floats(a.x, {c.rows, c.steps, c.width});
  c.weight = floats(a.weight, {c.filters, c.size, c.width});
  if (a.lengths.kind == Kind::absent) wrong_value("lengths", "expected a tensor");
  c.lengths = check_lengths(a.lengths, c.rows, c.steps);
  if (!g) {
    c.bias = floats(a.bias, {c.filters}, true);
    c.y = floats(a.y, {c.rows, c.windows, c.filters});
    check_apart({&a.y}, {&a.x, &a.lengths, &a.weight, &a.bias});
    return c;
  }
  g->y = floats(a.d_y, {c.rows, c.windows, c.filters});
  g->x = floats(a.d_x, {c.rows, c.steps, c.width}, true);
  g->weight = floats(a.d_weight, {c.filters, c.size, c.width}, true);
  g->bias = floats(a.d_bias, {c.filters}, true);
  check_apart({&a.d_x, &a.d_weight, &a.d_bias}, {&a.x, &a.lengths, &a.weight, &a.d_y});
  return c;
}

LinearCall check_linear(const LinearArguments& a, LinearGradients* g) {
  LinearCall c{};
  if (a.x.rank != 2) wrong_value("x", "expected 2 dimensions");
  if (a.weight.rank != 2) wrong_value("weight", "expected 2 dimensions");
  c.rows = a.x.shape[0], c.depth = a.x.shape[1], c.outputs = a.weight.shape[0];
  if (c.depth < 1 || c.outputs < 1) wrong_value("weight", "expected at least one output and one column");
  product("x", {c.rows + 64, c.depth + 64, 4});
  product("weight", {c.outputs + 64, c.depth + 64, 4});
  product("y", {c.rows + 64, c.outputs + 64, 4});
  if (a.threads < 1 || a.threads > 4096) wrong_value("threads", "expected 1 to 4096");
  c.threads = static_cast<int>(a.threads);
  c.x = floats(a.x, {c.rows, c.depth});
  c.weight = floats(a.weight, {c.outputs, c.depth});
  if (!g) {
    c.bias = floats(a.bias, {c.outputs}, true);
    c.y = floats(a.y, {c.rows, c.outputs});
    check_apart({&a.y}, {&a.x, &a.weight, &a.bias});
    return c;
  }
  g->y = floats(a.d_y, {c.rows, c.outputs});
  g->x = floats(a.d_x, {c.rows, c.depth}, true);
  g->weight = floats(a.d_weight, {c.outputs, c.depth}, true);
  g->bias = floats(a.d_bias, {c.outputs}, true);
  check_apart({&a.d_x, &a.d_weight, &a.d_bias}, {&a.x, &a.weight, &a.d_y});
  return c;
}

// --- rows of a table ---------------------------------------------------------------------------------------------

namespace {

void check_threads(Size threads) {
  if (threads < 1 || threads > 4096) wrong_value("threads", "expected 1 to 4096");
}

void check_number(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    wrong_value(name, "expected " + std::to_string(low) + " to " + std::to_string(high));
}

void check_rank(const Tensor& t, Kind kind, int rank) {
  if (t.kind != kind) check_tensor(t, kind, {});
  if (t.rank != rank) wrong_value(t.name, "expected " + std::to_string(rank) + " dimensions, got " + std::to_string(t.rank));
}

const std::int64_t* check_ids(const Tensor& t, Size rows) {
  check_rank(t, Kind::int64, 1);
  check_tensor(t, Kind::int64, {t.shape[0]});
  const auto* ids = static_cast<const std::int64_t*>(t.data);
  for (Size i = 0; i < t.shape[0]; ++i)
    if (ids[i] < 0 || ids[i] >= rows)
      wrong_value(t.name, "expected 0 to " + std::to_string(rows - 1) + ", got " + std::to_string(ids[i]));
  return ids;
}

RowTable check_table(const RowArguments& a) {
  check_rank(a.weight, Kind::float32, 2);
  check_threads(a.threads);
  RowTable t{};
  t.rows = a.weight.shape[0], t.width = a.weight.shape[1], t.place = a.place;
  if (t.rows < 1 || t.width < 1) wrong_value("weight", "expected at least one row and column");
  product("weight", {t.rows, t.width, 8});
  t.weight = floats(a.weight, {t.rows, t.width}), t.first = floats(a.first, {t.rows, t.width});
  t.second = floats(a.second, {t.rows, t.width}), t.clock = floats(a.clock, {t.rows});
  return t;
}

}  // namespace

RowTable check_catch_up(const RowArguments& a) {
  RowTable t = check_table(a);
  check_rank(a.ahead, Kind::float32, 2);
  t.columns = a.ahead.shape[1];
  t.ahead = floats(a.ahead, {4, t.columns});
  if (t.place < 0 || t.place > std::min<Size>(t.columns, 1 << 24)) wrong_value("place", "expected 0 to " + std::to_string(t.columns));
  check_number("eps", a.eps, 0.0, 1.0);
  const bool all = a.ids.kind == Kind::absent;
  const std::int64_t* ids = all ? nullptr : check_ids(a.ids, t.rows);
  for (Size i = 0, n = all ? t.rows : a.ids.shape[0]; i < n; ++i) {
    const float clock = t.clock[ids ? ids[i] : i];
    if (!(clock >= 0.0f && clock <= static_cast<float>(t.place))) wrong_value("clock", "expected 0 to place");
  }
  check_apart({&a.weight, &a.first, &a.second, &a.clock}, {&a.ahead, &a.ids});
  return t;
}

RowTable check_update(const RowArguments& a, RowStep& step) {
  RowTable t = check_table(a);
  if (t.place < 0 || t.place >= 1 << 24) wrong_value("place", "expected 0 to 16777215");
  check_rank(a.ids, Kind::int64, 1);
  floats(a.gradient, {a.ids.shape[0], t.width});
  const std::int64_t* ids = check_ids(a.ids, t.rows);
  for (Size i = 0; i < a.ids.shape[0]; ++i) {
    if (i && ids[i] <= ids[i - 1]) wrong_value("ids", "expected different rows in ascending order");
    if (t.clock[ids[i]] != static_cast<float>(t.place)) wrong_value("clock", "expected place in every row of the gradient");
  }
  check_number("rate", a.rate, 0.0, 1e30), check_number("kept", a.kept, -1e30, 1.0);
  check_number("beta1", a.beta1, 0.0, 1.0), check_number("beta2", a.beta2, 0.0, 1.0);
  check_number("scale", a.scale, 1.0, 1e30), check_number("eps", a.eps, 0.0, 1.0);
  check_apart({&a.weight, &a.first, &a.second, &a.clock}, {&a.ids, &a.gradient});
  const auto narrow = [](double x) { return static_cast<float>(x); };
  step = {narrow(a.kept), narrow(a.rate), narrow(1.0 - a.beta1), narrow(a.beta2), narrow(1.0 - a.beta2), narrow(a.scale), narrow(a.eps)};
  return t;
}

void check_distinct(const RowArguments& a) {
  if (a.size < 1 || a.size > Size{1} << 31) wrong_value("size", "expected 1 to 2147483648 rows");
  check_rank(a.ids, Kind::int64, 1);
  check_tensor(a.slots, Kind::int64, {a.ids.shape[0]});
  check_tensor(a.distinct, Kind::int64, {a.ids.shape[0]});
  check_ids(a.ids, a.size);
  check_apart({&a.slots, &a.distinct}, {&a.ids});
}

CrossEntropy check_cross_entropy(const CrossEntropyArguments& a) {
  check_rank(a.logits, Kind::float32, 2);
  check_threads(a.threads);
  const Size rows = a.logits.shape[0], columns = a.logits.shape[1];
  if (columns < 1) wrong_value("logits", "expected at least one column");
  product("logits", {rows, columns, 8});
  check_rank(a.targets, Kind::int64, 1);
  check_tensor(a.targets, Kind::int64, {rows});
  check_number("smoothing", a.smoothing, 0.0, 1.0), check_number("scale", a.scale, 0.0, 1e30);
  CrossEntropy call{rows, columns, static_cast<int>(a.threads), floats(a.logits, {rows, columns}),
                    check_ids(a.targets, columns), static_cast<float>(a.smoothing), static_cast<float>(a.scale),
                    floats(a.losses, {rows})};
  check_apart({&a.logits, &a.losses}, {&a.targets});
  return call;
}

void check_sums(const RowArguments& a) {
  check_rank(a.gradient, Kind::float32, 2), check_rank(a.sums, Kind::float32, 2);
  check_threads(a.threads);
  const Size n = a.gradient.shape[0], width = a.gradient.shape[1], count = a.sums.shape[0];
  product("gradient", {n, width, 8}), product("sums", {count, width, 8});
  floats(a.gradient, {n, width}), floats(a.sums, {count, width});
  check_tensor(a.slots, Kind::int64, {n});
  const auto* slots = static_cast<const std::int64_t*>(a.slots.data);
  for (Size i = 0; i < n; ++i)
    if (slots[i] < -1 || slots[i] >= count) wrong_value("slots", "expected -1 to " + std::to_string(count - 1));
  check_apart({&a.sums}, {&a.gradient, &a.slots});
}

}  // namespace unspool
