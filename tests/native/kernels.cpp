// The kernels without Python: random calls through the same checks that Python's calls go through. Usage:
//   kernels [SECONDS [FIRST]]    case FIRST, FIRST + 1, ... for so many seconds (default 10, from 0)
// A case draws a layer, steps on packed weights, a region convolution or a table updated by rows, with sizes around the
// widths of vectors, and either spoils one of its arguments, which must be refused (not of steps: Python's tests do
// that), or runs it: on every instruction set against the plainest one, or against a plain loop, and on other numbers of
// threads, which must change no bit. Each buffer is a block of its own, of exactly the size that its shape tells, so that
// a sanitizer sees any step beyond it. scripts/sanitize and scripts/neon run it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "layers.h"
#include "run.h"
#include "stepper.h"

using namespace unspool;

namespace {

std::vector<std::string> targets;  // the present instruction sets, the plainest last
Size case_number = 0;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "case %lld: %s\n", static_cast<long long>(case_number), what.c_str());
  std::exit(1);
}
void expect(bool right, const std::string& what) {
  if (!right) fail(what);
}

// Draws numbers, and keeps the blocks that the drawn tensors point to.
class Draw {
 public:
  explicit Draw(Size seed) : random_(static_cast<std::uint64_t>(seed)) {}

  Size below(Size n) { return static_cast<Size>(random_() % static_cast<std::uint64_t>(n)); }
  bool one_in(Size n) { return below(n) == 0; }
  Size of(std::initializer_list<Size> choices) { return choices.begin()[below(static_cast<Size>(choices.size()))]; }
  float normal() { return std::normal_distribution<float>(0.0f, 0.5f)(random_); }
  // Few bits, so that sums of products are exact in whatever order they are made.
  float exact() { return static_cast<float>(below(9) - 4) / 4.0f; }

  Tensor tensor(const char* name, Kind kind, std::initializer_list<Size> shape) {
    Tensor t;
    t.name = name;
    t.kind = kind;
    t.rank = static_cast<int>(shape.size());
    std::size_t count = 1;
    for (int i = 0; i < t.rank; ++i) count *= static_cast<std::size_t>(t.shape[i] = shape.begin()[i]);
    const std::size_t bytes = count * (kind == Kind::int64 ? 8 : kind == Kind::boolean ? 1 : 4);
    blocks_.push_back(std::make_unique<char[]>(bytes));
    t.data = blocks_.back().get();
    return t;
  }
  template <class Value>
  Tensor floats(const char* name, std::initializer_list<Size> shape, const Value& value) {
    const Tensor t = tensor(name, Kind::float32, shape);
    for (Size i = 0; i < size(t); ++i) static_cast<float*>(t.data)[i] = value();
    return t;
  }
  Tensor poisoned(const char* name, std::initializer_list<Size> shape) {
    return floats(name, shape, [] { return std::numeric_limits<float>::quiet_NaN(); });
  }
  Tensor normals(const char* name, std::initializer_list<Size> shape) {
    return floats(name, shape, [this] { return normal(); });
  }
  Tensor lengths(Size rows, Size steps) {
    const Tensor t = tensor("lengths", Kind::int64, {rows});
    for (Size b = 0; b < rows; ++b) static_cast<std::int64_t*>(t.data)[b] = below(steps + 1);
    return t;
  }
  static Size size(const Tensor& t) {
    Size n = t.kind == Kind::absent ? 0 : 1;
    for (int i = 0; i < t.rank; ++i) n *= t.shape[i];
    return n;
  }

 private:
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<char[]>> blocks_;
};

// Makes one of the arguments wrong. False when what came out may be right.
bool spoil(Draw& draw, const std::vector<Tensor*>& arguments) {
  Tensor& t = *arguments[static_cast<std::size_t>(draw.below(static_cast<Size>(arguments.size())))];
  if (t.kind == Kind::absent) return false;
  switch (draw.below(6)) {
    case 0: t.kind = Kind::other, t.kind_name = "torch.float64"; return true;
    case 1: t.cpu = false, t.data = nullptr; return true;
    case 2: t.dense = false, t.data = nullptr; return true;
    case 3: t.rank = static_cast<int>(draw.below(7)); return false;
    case 4:
      if (t.kind == Kind::int64 && t.rank == 1 && t.shape[0] > 0) {
        static_cast<std::int64_t*>(t.data)[draw.below(t.shape[0])] = draw.one_in(2) ? -1 - draw.below(9) : 1 << 20;
        return true;
      }
      return false;
    default:
      if (t.rank == 0) return false;
      t.shape[draw.below(t.rank)] += draw.of({1, -1, 1 << 20, Size{1} << 40, Size{1} << 62, -(Size{1} << 40)});
      return false;  // with a size of 0 beside it, still the same tensor
  }
}

bool refused(const std::function<void()>& call) {
  try {
    call();
  } catch (const WrongType&) {
    return true;
  } catch (const std::invalid_argument&) {
    return true;
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

void expect_near(const std::string& what, const std::vector<float>& found, const std::vector<float>& wanted) {
  double off = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    off += std::pow(static_cast<double>(found[i]) - wanted[i], 2);
    norm += std::pow(static_cast<double>(wanted[i]), 2);
  }
  expect(std::sqrt(off) <= 1e-4 * (1.0 + std::sqrt(norm)), what + " is off by " + std::to_string(std::sqrt(off)) +
                                                               " of " + std::to_string(std::sqrt(norm)));
}

void expect_equal(const std::string& what, const std::vector<float>& found, const std::vector<float>& wanted) {
  expect(found.empty() || std::memcmp(found.data(), wanted.data(), sizeof(float) * found.size()) == 0, what + " differs");
}

std::vector<float> copied(const Tensor& t) {
  const float* from = static_cast<const float*>(t.data);
  return t.kind == Kind::absent ? std::vector<float>{} : std::vector<float>(from, from + Draw::size(t));
}

// --- a layer -----------------------------------------------------------------------------------------------------

struct Layer {
  Arguments a;
  GradientArguments d;
  Size rows, steps, hidden;
};

bool is_recurrent(const Arguments& a) { return layout_of(cell_named(a.cell)).r1.count() > 0; }

Layer draw_layer(Draw& draw) {
  static const char* cells[] = {"rnn_tanh",  "rnn_relu",   "gru",    "gru_reset_before", "lstm", "peephole",
                                "prototype", "normalised", "pseudo", "mingru",           "qrnn"};
  Layer layer{};
  Arguments& a = layer.a;
  a.cell = cells[draw.below(11)];
  const CellLayout& c = layout_of(cell_named(a.cell));
  const bool recurrent = is_recurrent(a);
  const Size b = layer.rows = draw.of({0, 1, 2, 3, 7, 13, 33}), t = layer.steps = draw.of({0, 1, 2, 5, 9});
  const Size inputs = draw.of({0, 1, 3, 8, 17, 270}), h = layer.hidden = draw.of({1, 3, 7, 8, 9, 16, 17, 24, 33, 70, 270});
  const Size gates = c.gates * h;
  const bool tokens = recurrent && draw.one_in(4), projected = !recurrent || tokens || draw.one_in(4);
  const Size distinct = draw.of({1, 3, 10});
  a.x = tokens ? draw.normals("x", {distinct, gates}) : draw.normals("x", {b, t, projected ? gates : inputs});
  if (draw.below(3)) a.lengths = draw.lengths(b, t);
  if (tokens) {
    a.tokens = draw.tensor("tokens", Kind::int64, {b, t});
    for (Size i = 0; i < b * t; ++i) {
      const bool real = a.lengths.kind == Kind::absent || i % t < static_cast<std::int64_t*>(a.lengths.data)[i / t];
      static_cast<std::int64_t*>(a.tokens.data)[i] = real ? draw.below(distinct) : -1;  // past a length anything
    }
  }
  if (!projected) a.w_ih = draw.normals("w_ih", {gates, inputs});
  const float narrow = 1.0f / std::sqrt(static_cast<float>(h));
  if (recurrent) a.w_hh = draw.floats("w_hh", {gates, h}, [&] { return draw.normal() * narrow; });
  if (!projected && c.r2.count() == 0 && draw.one_in(3)) {
    a.norm = draw.normals("norm", {4 * gates});
    if (c.has_memory) a.norm_memory = draw.normals("norm_memory", {2 * h});
  } else if (recurrent) {
    if (draw.below(3)) a.b_ih = draw.normals("b_ih", {gates});
    if (draw.below(3)) a.b_hh = draw.normals("b_hh", {gates});
  }
  if (c.extras) a.extra = draw.normals("extra", {c.extras * h});
  a.h = draw.normals("h", {b, h});
  if (c.has_memory) a.c = draw.normals("c", {b, h});
  if (recurrent && draw.one_in(3)) a.mask = draw.floats("mask", {b, h}, [&] { return draw.one_in(4) ? 0.0f : 1.25f; });
  if (draw.one_in(4)) {
    a.keep = draw.tensor("keep", Kind::boolean, {c.has_memory ? 2 : 1, b, t, h});
    for (Size i = 0; i < Draw::size(a.keep); ++i) static_cast<char*>(a.keep.data)[i] = draw.one_in(5);
  } else if (draw.one_in(4)) {
    a.keep_share = 0.25;
  }
  a.reverse = draw.one_in(2);
  a.threads = draw.of({1, 2, 4});
  layer.d.y = draw.normals("d_y", {draw.one_in(8) ? 1 : b, draw.one_in(8) ? 1 : t, h});  // 1: the same for all
  if (draw.one_in(2)) layer.d.final_h = draw.normals("d_final_h", {b, h});
  if (c.has_memory && draw.one_in(2)) layer.d.final_c = draw.normals("d_final_c", {b, h});
  return layer;
}

// Fresh outputs, full of NaN, of the sizes that the chosen instruction set needs.
void place_outputs(Draw& draw, Layer& layer, bool training) {
  Arguments& a = layer.a;
  GradientArguments& d = layer.d;
  const CellLayout& c = layout_of(cell_named(a.cell));
  const Size b = layer.rows, h = layer.hidden, gates = c.gates * h;
  Size real = b * layer.steps;
  if (a.lengths.kind != Kind::absent) {
    real = 0;
    for (Size row = 0; row < b; ++row) real += static_cast<std::int64_t*>(a.lengths.data)[row];
  }
  a.y = draw.poisoned("y", {b, layer.steps, h});
  a.final_h = draw.poisoned("final_h", {b, h});
  if (c.has_memory) a.final_c = draw.poisoned("final_c", {b, h});
  if (training) a.saved = draw.poisoned("saved", {saved_floats(cell_named(a.cell), b, real, h, a.norm.kind != Kind::absent)});
  if (a.tokens.kind != Kind::absent) d.x = draw.poisoned("d_x", {a.x.shape[0], a.x.shape[1]});
  else d.x = draw.poisoned("d_x", {b, a.x.shape[1], a.x.shape[2]});
  if (a.w_ih.kind != Kind::absent) d.w_ih = draw.poisoned("d_w_ih", {gates, a.x.shape[2]});
  if (is_recurrent(a)) d.w_hh = draw.poisoned("d_w_hh", {gates, h});
  if (is_recurrent(a) && a.norm.kind == Kind::absent) {
    d.b_ih = draw.poisoned("d_b_ih", {gates});
    d.b_hh = draw.poisoned("d_b_hh", {gates});
  } else if (is_recurrent(a)) {
    d.norm = draw.poisoned("d_norm", {4 * gates});
    if (c.has_memory) d.norm_memory = draw.poisoned("d_norm_memory", {2 * h});
  }
  if (c.extras) d.extra = draw.poisoned("d_extra", {c.extras * h});
  d.h = draw.poisoned("d_h", {b, h});
  if (c.has_memory) d.c = draw.poisoned("d_c", {b, h});
}

std::vector<std::vector<float>> run_layer(Draw& draw, Layer layer, bool training) {
  place_outputs(draw, layer, training);
  forward(check(layer.a, nullptr, nullptr));
  std::vector<std::vector<float>> all{copied(layer.a.y), copied(layer.a.final_h), copied(layer.a.final_c)};
  if (!training) return all;
  Gradients g{};
  const Sequence s = check(layer.a, &layer.d, &g);
  backward(s, g);
  const GradientArguments& d = layer.d;
  for (const Tensor* t : {&d.x, &d.w_ih, &d.w_hh, &d.b_ih, &d.b_hh, &d.extra, &d.h, &d.c, &d.norm, &d.norm_memory}) all.push_back(copied(*t));
  return all;
}

// Part k of a tensor over all layers and directions, a copy.
Tensor part_of(Draw& draw, const Tensor& all, Size k) {
  if (all.kind == Kind::absent) return all;
  const Tensor part = draw.tensor(all.name, Kind::float32, {all.shape[1], all.shape[2]});
  std::copy_n(static_cast<const float*>(all.data) + k * Draw::size(part), Draw::size(part), static_cast<float*>(part.data));
  return part;
}

// Layers like this one over each other, in one direction or both, and what of them is drawn for all.
struct Stack {
  Arguments all;
  std::vector<LayerWeights> weights;
  int directions;
};

Stack draw_stack(Draw& draw, const Layer& layer) {
  Stack stack{layer.a, {}, static_cast<int>(draw.of({1, 2}))};
  Arguments& all = stack.all;
  const CellLayout& c = layout_of(cell_named(all.cell));
  const Size b = layer.rows, h = layer.hidden, width = stack.directions * h;
  const Size layers = all.w_ih.kind == Kind::absent ? 1 : draw.of({1, 2, 3, 4}), parts = layers * stack.directions;
  all.h = draw.normals("h", {parts, b, h}), all.final_h = draw.poisoned("final_h", {parts, b, h});
  if (c.has_memory) all.c = draw.normals("c", {parts, b, h}), all.final_c = draw.poisoned("final_c", {parts, b, h});
  all.y = draw.poisoned("y", {b, layer.steps, width});
  const float narrow = 1.0f / std::sqrt(static_cast<float>(width));
  for (Size k = 0; k < parts; ++k) {
    LayerWeights own{all.w_ih, all.w_hh, all.b_ih, all.b_hh, all.extra};
    if (k >= stack.directions) own.w_ih = draw.floats("w_ih", {c.gates * h, width}, [&] { return draw.normal() * narrow; });
    stack.weights.push_back(own);
  }
  return stack;
}

// All of them at once give what each gives alone.
void expect_stack(Draw& draw, const Layer& layer) {
  const Stack stack = draw_stack(draw, layer);
  const Size hidden = layer.hidden, times = layer.rows * layer.steps;
  Layers(stack.all, stack.weights, stack.directions).run();
  Layer alone = layer;
  for (std::size_t k = 0; k < stack.weights.size(); k += static_cast<std::size_t>(stack.directions)) {
    const Tensor joint = draw.poisoned("x", {layer.rows, layer.steps, stack.directions * hidden});
    for (int direction = 0; direction < stack.directions; ++direction) {
      const Size part = static_cast<Size>(k) + direction;
      const LayerWeights& own = stack.weights[static_cast<std::size_t>(part)];
      alone.a.w_ih = own.w_ih, alone.a.reverse = direction == 1;
      alone.a.h = part_of(draw, stack.all.h, part), alone.a.c = part_of(draw, stack.all.c, part);
      place_outputs(draw, alone, false);
      forward(check(alone.a, nullptr, nullptr));
      const std::string what = layer.a.cell + " in a stack: ";
      expect_equal(what + "final_h", copied(part_of(draw, stack.all.final_h, part)), copied(alone.a.final_h));
      expect_equal(what + "final_c", copied(part_of(draw, stack.all.final_c, part)), copied(alone.a.final_c));
      for (Size i = 0; i < times * hidden; ++i)
        static_cast<float*>(joint.data)[(i / hidden * stack.directions + direction) * hidden + i % hidden] = static_cast<float*>(alone.a.y.data)[i];
    }
    alone.a.x = joint;
  }
  expect_equal(layer.a.cell + " in a stack: y", copied(stack.all.y), copied(alone.a.x));
}

void refuse_stack(Draw& draw, const Layer& layer) {
  Stack stack = draw_stack(draw, layer);
  Arguments& all = stack.all;
  LayerWeights& own = stack.weights[static_cast<std::size_t>(draw.below(static_cast<Size>(stack.weights.size())))];
  const bool wrong = spoil(draw, {&all.x, &all.lengths, &all.h, &all.c, &all.y, &all.final_h, &all.final_c, &own.w_ih, &own.w_hh, &own.b_ih, &own.b_hh, &own.extra});
  const bool no = refused([&] { Layers(all, stack.weights, stack.directions).run(); });
  expect(no || !wrong, "a spoiled argument of a stack of " + all.cell + " was accepted");
}

double at(const Tensor& t, Size i) { return static_cast<double>(static_cast<const float*>(t.data)[i]); }
float& at(std::vector<float>& all, Size i) { return all[static_cast<std::size_t>(i)]; }

// minGRU and QRNN in double: one unit of one row over its own steps, in the order of reading.
struct PlainUnit {
  const Layer& layer;
  Size row, unit, own;
  std::vector<Size> place;  // (row, step), counted over all rows
  std::vector<double> state, z, n, kept;

  PlainUnit(const Layer& of, Size row_of, Size unit_of) : layer(of), row(row_of), unit(unit_of) {
    const Arguments& a = layer.a;
    const Size h = layer.hidden;
    own = a.lengths.kind == Kind::absent ? layer.steps : static_cast<std::int64_t*>(a.lengths.data)[row];
    state.push_back(at(a.h, row * h + unit));
    for (Size k = 0; k < own; ++k) {
      const Size p = row * layer.steps + (a.reverse ? own - 1 - k : k);
      place.push_back(p);
      z.push_back(1.0 / (1.0 + std::exp(-at(a.x, 2 * p * h + unit))));
      n.push_back(at(a.x, (2 * p + 1) * h + unit));
      if (a.cell == "qrnn") n.back() = std::tanh(n.back());
      kept.push_back(a.keep.kind == Kind::absent ? a.keep_share : static_cast<const char*>(a.keep.data)[p * h + unit]);
      state.push_back(state.back() + (1.0 - kept.back()) * z.back() * (n.back() - state.back()));
    }
  }

  double outer(Size p) const {  // the gradient of y
    const Tensor& d = layer.d.y;
    const Size b = d.shape[0] == 1 ? 0 : row, t = d.shape[1] == 1 ? 0 : p % layer.steps;
    return at(d, (b * d.shape[1] + t) * layer.hidden + unit);
  }

  // Fills d_x; gives the gradient of the first state.
  double backward(std::vector<float>& d_x) const {
    const GradientArguments& d = layer.d;
    const Size h = layer.hidden;
    double slope = d.final_h.kind == Kind::absent ? 0.0 : at(d.final_h, row * h + unit);
    for (auto k = static_cast<std::size_t>(own); k-- > 0;) {
      slope += outer(place[k]);
      const double fresh = (1.0 - kept[k]) * slope, straight = layer.a.cell == "qrnn" ? 1.0 - n[k] * n[k] : 1.0;
      at(d_x, 2 * place[k] * h + unit) = static_cast<float>(fresh * (n[k] - state[k]) * z[k] * (1.0 - z[k]));
      at(d_x, (2 * place[k] + 1) * h + unit) = static_cast<float>(fresh * z[k] * straight);
      slope -= fresh * z[k];
    }
    return slope;
  }
};

// What run_layer gives, for those two.
std::vector<std::vector<float>> plain_units(const Layer& layer, bool training) {
  const Size b = layer.rows, h = layer.hidden, outputs = b * layer.steps * h;
  std::vector<std::vector<float>> all(training ? 13 : 3);
  all[0].resize(static_cast<std::size_t>(outputs)), all[1].resize(static_cast<std::size_t>(b * h));
  if (training) all[3].resize(static_cast<std::size_t>(2 * outputs)), all[9].resize(static_cast<std::size_t>(b * h));
  for (Size row = 0; row < b; ++row)
    for (Size unit = 0; unit < h; ++unit) {
      const PlainUnit u(layer, row, unit);
      for (std::size_t k = 0; k < u.place.size(); ++k) at(all[0], u.place[k] * h + unit) = static_cast<float>(u.state[k + 1]);
      at(all[1], row * h + unit) = static_cast<float>(u.state.back());
      if (training) at(all[9], row * h + unit) = static_cast<float>(u.backward(all[3]));
    }
  return all;
}

void layer_case(Draw& draw) {
  Layer layer = draw_layer(draw);
  choose_target(targets.front());
  if (draw.one_in(3)) {
    place_outputs(draw, layer, true);
    Arguments& a = layer.a;
    GradientArguments& d = layer.d;
    const bool backwards = draw.one_in(2);
    std::vector<Tensor*> all{&a.x, &a.lengths, &a.tokens, &a.w_ih, &a.w_hh, &a.b_ih, &a.b_hh,
                             &a.extra, &a.h, &a.c, &a.mask, &a.keep, &a.norm, &a.norm_memory, &a.y, &a.saved};
    if (backwards)
      all.insert(all.end(), {&d.y, &d.final_h, &d.final_c, &d.x, &d.w_ih, &d.w_hh, &d.b_ih, &d.b_hh, &d.extra, &d.h, &d.c,
                             &d.norm, &d.norm_memory});
    else all.insert(all.end(), {&a.final_h, &a.final_c});
    const bool wrong = spoil(draw, all);
    // Without x and lengths to contradict it, a lie about the shape of tokens is believed, and ids are read.
    if (a.tokens.shape[0] > layer.rows || a.tokens.shape[1] > layer.steps) return;
    if (backwards && (d.y.shape[0] == 1 || d.y.shape[1] == 1)) return;  // and 1 row or step counts for all
    const bool no = refused([&] {
      Gradients g{};
      const Sequence s = check(a, backwards ? &d : nullptr, &g);
      backwards ? backward(s, g) : forward(s);
    });
    expect(no || !wrong, "a spoiled argument of " + a.cell + " was accepted");
    return;
  }
  const bool training = draw.below(3) > 0;
  if (!training && draw.one_in(3)) return refuse_stack(draw, layer);
  if (!training) expect_stack(draw, layer);
  choose_target(targets.back());
  const auto wanted = is_recurrent(layer.a) ? run_layer(draw, layer, training) : plain_units(layer, training);
  for (const std::string& name : targets) {
    choose_target(name);
    const auto found = run_layer(draw, layer, training);
    const std::string what = layer.a.cell + " on " + name + ": result ";
    for (std::size_t i = 0; i < found.size(); ++i) expect_near(what + std::to_string(i), found[i], wanted[i]);
    Layer other = layer;
    other.a.threads = draw.of({1, 3, 8});
    const auto again = run_layer(draw, other, training);
    for (std::size_t i = 0; i < found.size(); ++i)
      expect_equal(what + std::to_string(i) + " on other threads", again[i], found[i]);
  }
}

// --- a region convolution ----------------------------------------------------------------------------------------

RegionArguments draw_region(Draw& draw) {
  const Size b = draw.of({0, 1, 2, 7, 33}), t = draw.of({0, 1, 2, 3, 9, 130}), e = draw.of({1, 3, 13, 16, 19, 270});
  const Size f = draw.of({1, 7, 8, 9, 16, 17, 40, 100}), k = draw.of({1, 2, 3, 4, 5, 7});
  const auto exact = [&] { return draw.exact(); };
  RegionArguments a;
  a.x = draw.floats("x", {b, t, e}, exact);
  a.lengths = draw.lengths(b, t);
  a.weight = draw.floats("weight", {f, k, e}, exact);
  if (draw.below(3)) a.bias = draw.floats("bias", {f}, exact);
  const Size kept = draw.of({1, 1, 2, 4});
  a.y = draw.poisoned("y", {b, kept, f});
  a.winner = draw.tensor("winner", Kind::int32, {b, kept, f});
  a.d_y = draw.floats("d_y", {b, kept, f}, exact);
  a.d_x = draw.poisoned("d_x", {b, t, e});
  a.d_weight = draw.poisoned("d_weight", {f, k, e});
  a.d_bias = draw.poisoned("d_bias", {f});
  a.threads = draw.of({1, 2, 4});
  return a;
}

// The definition, step by step.
void expect_region(const RegionCall& c, const RegionGradients& g) {
  std::vector<float> d_x(static_cast<std::size_t>(c.rows * c.steps * c.width));
  std::vector<float> d_weight(static_cast<std::size_t>(c.filters * c.size * c.width));
  for (Size b = 0; b < c.rows; ++b)
    for (Size f = 0; f < c.filters; ++f) {
      std::vector<std::pair<float, Size>> answers;
      const Size windows = c.lengths[b] ? std::max<Size>(1, c.lengths[b] - c.size + 1) : 0;
      for (Size w = 0; w < windows; ++w) {
        float sum = c.bias ? c.bias[f] : 0.0f;
        for (Size i = 0; i < c.size * c.width && w * c.width + i < c.lengths[b] * c.width; ++i)
          sum += c.x[(b * c.steps + w) * c.width + i] * c.weight[f * c.size * c.width + i];
        answers.emplace_back(-sum, w);
      }
      std::stable_sort(answers.begin(), answers.end(), [](auto& p, auto& q) { return p.first < q.first; });
      answers.resize(std::min(answers.size(), static_cast<std::size_t>(c.kept)));
      std::sort(answers.begin(), answers.end(), [](auto& p, auto& q) { return p.second < q.second; });
      for (Size place = 0; place < c.kept; ++place) {
        const bool real = place < static_cast<Size>(answers.size());
        const auto [negative, at] = real ? answers[static_cast<std::size_t>(place)] : std::pair<float, Size>{-0.0f, c.kept > 1 ? -1 : 0};
        const Size place_of = (b * c.kept + place) * c.filters + f;
        expect(c.y[place_of] == -negative && c.winner[place_of] == at, "region: a wrong winner");
        for (Size i = 0; real && i < c.size * c.width && at * c.width + i < c.lengths[b] * c.width; ++i) {
          const std::size_t in = static_cast<std::size_t>((b * c.steps + at) * c.width + i);
          const std::size_t of = static_cast<std::size_t>(f * c.size * c.width + i);
          d_x[in] += g.y[place_of] * c.weight[of];
          d_weight[of] += g.y[place_of] * c.x[in];
        }
      }
    }
  for (std::size_t i = 0; i < d_x.size(); ++i) expect(g.x[i] == d_x[i], "region: a wrong gradient of x");
  for (std::size_t i = 0; i < d_weight.size(); ++i) expect(g.weight[i] == d_weight[i], "region: a wrong gradient of the weight");
}

// Every shape of a backward call is told by two arguments: one that lies is found out.
void spoilt_region_gradients_case(Draw& draw, RegionArguments a) {
  region_forward(check_region(a, nullptr));
  bool wrong;
  if (draw.one_in(6) && Draw::size(a.winner)) {
    wrong = true;
    static_cast<std::int32_t*>(a.winner.data)[draw.below(Draw::size(a.winner))] = draw.one_in(2) ? -2 : 1 << 20;
  } else {
    wrong = spoil(draw, {&a.x, &a.lengths, &a.weight, &a.winner, &a.d_y, &a.d_x, &a.d_weight, &a.d_bias});
  }
  RegionGradients g{};
  const bool no = refused([&] { region_backward(check_region(a, &g), g); });
  expect(no || !wrong, "region: a spoiled argument of the gradients was accepted");
}

void region_case(Draw& draw) {
  RegionArguments a = draw_region(draw);
  if (draw.one_in(6)) return spoilt_region_gradients_case(draw, a);
  const bool spoiled = draw.one_in(3);
  const Tensor x = a.x, weight = a.weight;
  const bool wrong = spoiled && spoil(draw, {&a.x, &a.lengths, &a.weight, &a.bias, &a.y, &a.winner});
  // How many filters and steps there are only the weight itself tells, and how long texts may be only x: a lie about
  // their shapes may be a right call.
  bool lied = false;
  for (int i = 0; i < 3; ++i) {
    if (a.weight.shape[i] > weight.shape[i] || a.x.shape[i] > x.shape[i]) return;
    lied = lied || a.weight.shape[i] != weight.shape[i];
  }
  for (const std::string& name : targets) {
    choose_target(name);
    RegionCall c{};
    const bool no = refused([&] {
      c = check_region(a, nullptr);
      region_forward(c);
    });
    expect(no == wrong || spoiled, "region: " + std::string(wrong ? "a spoiled argument was accepted" : "refused"));
    if (no || lied) continue;
    a.d_x = draw.poisoned("d_x", {a.x.shape[0], a.x.shape[1], a.x.shape[2]});  // without rows, x may have been spoiled
    RegionGradients g{};
    c = check_region(a, &g);
    region_backward(c, g);
    c.y = static_cast<float*>(a.y.data);
    c.bias = static_cast<float*>(a.bias.data);
    expect_region(c, g);
  }
}

// --- all windows -------------------------------------------------------------------------------------------------

// Exact numbers: any order of a sum gives the same.
void expect_windows(const WindowCall& c, const float* y, const WindowGradients& g) {
  std::vector<float> d_x(static_cast<std::size_t>(c.rows * c.steps * c.width));
  std::vector<float> d_weight(static_cast<std::size_t>(c.filters * c.depth())), d_bias(static_cast<std::size_t>(c.filters));
  for (Size b = 0; b < c.rows; ++b)
    for (Size w = 0; w < c.windows; ++w)
      for (Size f = 0; f < c.filters; ++f) {
        const Size at = (b * c.windows + w) * c.filters + f;
        const bool real = c.lengths[b] > 0 && w <= std::max<Size>(0, c.lengths[b] - c.size);
        float sum = real && c.bias ? c.bias[f] : 0.0f;
        if (real) d_bias[static_cast<std::size_t>(f)] += g.y[at];
        for (Size i = 0; real && i < c.depth() && w * c.width + i < c.lengths[b] * c.width; ++i) {
          const auto in = static_cast<std::size_t>((b * c.steps + w) * c.width + i), of = static_cast<std::size_t>(f * c.depth() + i);
          sum += c.x[in] * c.weight[of];
          d_x[in] += g.y[at] * c.weight[of];
          d_weight[of] += g.y[at] * c.x[in];
        }
        expect(y[at] == sum, "windows: a wrong answer");
      }
  for (std::size_t i = 0; i < d_x.size(); ++i) expect(g.x[i] == d_x[i], "windows: a wrong gradient of x");
  for (std::size_t i = 0; i < d_weight.size(); ++i) expect(g.weight[i] == d_weight[i], "windows: a wrong gradient of the weight");
  for (std::size_t i = 0; i < d_bias.size(); ++i) expect(g.bias[i] == d_bias[i], "windows: a wrong gradient of the bias");
}

void windows_case(Draw& draw) {
  const RegionArguments r = draw_region(draw);
  WindowArguments a;
  a.x = r.x, a.lengths = r.lengths, a.weight = r.weight, a.bias = r.bias, a.threads = r.threads;
  const Size windows = std::max<Size>(1, a.x.shape[1] - a.weight.shape[1] + 1);
  const Size b = a.x.shape[0], t = a.x.shape[1], e = a.x.shape[2], f = a.weight.shape[0], k = a.weight.shape[1];
  a.d_y = draw.floats("d_y", {b, windows, f}, [&] { return draw.exact(); });
  const bool spoiled = draw.one_in(3), wrong = spoiled && spoil(draw, {&a.x, &a.weight, &a.d_y});
  for (const std::string& name : targets) {
    choose_target(name);
    a.y = draw.poisoned("y", {b, windows, f}), a.d_x = draw.poisoned("d_x", {b, t, e});
    a.d_weight = draw.poisoned("d_weight", {f, k, e}), a.d_bias = draw.poisoned("d_bias", {f});
    WindowCall c{};
    WindowGradients g{};
    const bool no = refused([&] {
      c = check_windows(a, nullptr);
      const WindowCall backward = check_windows(a, &g);
      windows_forward(c);
      windows_backward(backward, g);
    });
    expect(no ? spoiled : !wrong, "windows: " + std::string(wrong ? "a spoiled argument was accepted" : "refused"));
    if (!no) expect_windows(c, c.y, g);
  }
}

// --- the dense layer ---------------------------------------------------------------------------------------------

// Exact numbers: any order of a sum gives the same.
void expect_linear(const LinearCall& c, const float* y, const LinearGradients& g) {
  const Size n = c.rows, d = c.depth, o = c.outputs;
  const auto sum = [&](Size count, float start, auto term) {
    for (Size k = 0; k < count; ++k) start += term(k);
    return start;
  };
  for (Size i = 0; i < n; ++i)
    for (Size j = 0; j < o; ++j)
      expect(y[i * o + j] == sum(d, c.bias ? c.bias[j] : 0.0f, [&](Size k) { return c.x[i * d + k] * c.weight[j * d + k]; }),
             "linear: a wrong answer");
  for (Size k = 0; k < d; ++k) {
    for (Size i = 0; i < n; ++i)
      expect(g.x[i * d + k] == sum(o, 0.0f, [&](Size j) { return g.y[i * o + j] * c.weight[j * d + k]; }), "linear: d_x");
    for (Size j = 0; j < o; ++j)
      expect(g.weight[j * d + k] == sum(n, 0.0f, [&](Size i) { return g.y[i * o + j] * c.x[i * d + k]; }), "linear: d_weight");
  }
  for (Size j = 0; j < o; ++j) expect(g.bias[j] == sum(n, 0.0f, [&](Size i) { return g.y[i * o + j]; }), "linear: d_bias");
}

void linear_case(Draw& draw) {
  const Size n = draw.of({0, 1, 2, 7, 33, 60, 130}), d = draw.of({1, 3, 8, 17, 40}), o = draw.of({1, 7, 8, 9, 16, 17, 40, 70});
  const auto exact = [&] { return draw.exact(); };
  LinearArguments a;
  a.x = draw.floats("x", {n, d}, exact), a.weight = draw.floats("weight", {o, d}, exact);
  if (draw.below(3)) a.bias = draw.floats("bias", {o}, exact);
  a.d_y = draw.floats("d_y", {n, o}, exact);
  a.threads = draw.of({1, 2, 4});
  const bool spoiled = draw.one_in(3), wrong = spoiled && spoil(draw, {&a.x, &a.weight, &a.d_y});
  for (const std::string& name : targets) {
    choose_target(name);
    a.y = draw.poisoned("y", {n, o}), a.d_x = draw.poisoned("d_x", {n, d});
    a.d_weight = draw.poisoned("d_weight", {o, d}), a.d_bias = draw.poisoned("d_bias", {o});
    LinearCall forward{};
    LinearGradients g{};
    const bool no = refused([&] {
      forward = check_linear(a, nullptr);
      const LinearCall backward = check_linear(a, &g);
      linear_forward(forward);
      linear_backward(backward, g);
    });
    expect(no ? spoiled : !wrong, "linear: " + std::string(wrong ? "a spoiled argument was accepted" : "refused"));
    if (!no) expect_linear(forward, forward.y, g);
  }
}

// --- the loss ----------------------------------------------------------------------------------------------------

// One row in double. Gives the loss; shares become the gradient.
double plain_loss(std::vector<double>& shares, Size target, double smoothing, double scale) {
  const double top = *std::max_element(shares.begin(), shares.end()), n = static_cast<double>(shares.size());
  double sum = 0.0, loss = 0.0;
  for (const double logit : shares) sum += std::exp(logit - top);
  for (std::size_t j = 0; j < shares.size(); ++j) {
    const double wanted = smoothing / n + (j == static_cast<std::size_t>(target) ? 1.0 - smoothing : 0.0);
    const double logarithm = shares[j] - top - std::log(sum);
    loss -= wanted * logarithm;
    shares[j] = scale * (std::exp(logarithm) - wanted);
  }
  return loss;
}

void loss_case(Draw& draw) {
  const Size n = draw.of({0, 1, 3, 64, 65, 130}), v = draw.of({1, 2, 7, 15, 16, 17, 33, 70});
  CrossEntropyArguments a;
  const Tensor given = draw.floats("logits", {n, v}, [&] { return draw.normal() * 10.0f; });
  a.targets = draw.tensor("targets", Kind::int64, {n});
  auto* targets_of = static_cast<std::int64_t*>(a.targets.data);
  for (Size i = 0; i < n; ++i) targets_of[i] = draw.below(v);
  a.smoothing = draw.below(2) ? 0.0 : 0.3, a.scale = 0.5, a.threads = draw.of({1, 2, 4});
  const bool wrong = draw.one_in(4);
  if (wrong && n) targets_of[draw.below(n)] = draw.below(2) ? v : -1;
  for (const std::string& name : targets) {
    choose_target(name);
    Size next = 0;
    a.logits = draw.floats("logits", {n, v}, [&] { return static_cast<const float*>(given.data)[next++]; });
    a.losses = draw.poisoned("losses", {n});
    const bool no = refused([&] { cross_entropy(check_cross_entropy(a)); });
    expect(no == (wrong && n > 0), "loss: " + std::string(wrong ? "a wrong target was accepted" : "refused"));
    for (Size i = 0; i < n && !no; ++i) {
      const float *row = static_cast<const float*>(given.data) + i * v, *found = static_cast<const float*>(a.logits.data) + i * v;
      std::vector<double> wanted(row, row + v);
      const double loss = plain_loss(wanted, targets_of[i], a.smoothing, a.scale);
      expect(std::abs(static_cast<const float*>(a.losses.data)[i] - loss) <= 2e-6 * (1.0 + loss), name + ": a loss is off");
      for (Size j = 0; j < v; ++j)
        expect(std::abs(found[j] - wanted[static_cast<std::size_t>(j)]) <= 1e-6, name + ": the gradient of a loss is off");
    }
  }
}

// --- the packed stepper --------------------------------------------------------------------------------------------

struct Step {
  std::string cell;
  Size rows, inputs, hidden, layers, tokens, outputs;  // tokens 0: x is given; outputs 0: without a product
  std::vector<Arguments> weights;
  Tensor vectors, x, ids, product, bias, h, c;
  bool log_softmax;
};

Step draw_step(Draw& draw) {
  static const char* cells[] = {"rnn_tanh", "gru", "gru_reset_before", "lstm", "peephole", "prototype", "normalised", "pseudo"};
  Step s{};
  s.cell = cells[draw.below(8)];
  const CellLayout& c = layout_of(cell_named(s.cell));
  s.rows = draw.of({0, 1, 2, 7, 33, 64, 70}), s.inputs = draw.of({1, 3, 8, 17}), s.layers = draw.of({1, 2});
  const Size h = s.hidden = draw.of({1, 3, 8, 16, 17, 33, 70}), gates = c.gates * h;
  s.tokens = draw.of({0, 1, 5}), s.outputs = draw.of({0, 1, 16, 19});
  const float narrow = 1.0f / std::sqrt(static_cast<float>(h));
  const auto weight = [&] { return draw.normal() * narrow; };
  for (Size k = 0; k < s.layers; ++k) {
    Arguments a;
    a.cell = s.cell;
    const Size inputs = k ? h : s.inputs;
    a.x = draw.normals("x", {1, 1, inputs}), a.w_ih = draw.floats("w_ih", {gates, inputs}, weight);
    a.w_hh = draw.floats("w_hh", {gates, h}, weight);
    if (draw.below(3)) a.b_ih = draw.normals("b_ih", {gates});
    if (draw.below(3)) a.b_hh = draw.normals("b_hh", {gates});
    if (c.extras) a.extra = draw.normals("extra", {c.extras * h});
    a.h = draw.normals("h", {1, h}), a.y = draw.poisoned("y", {1, 1, h}), a.final_h = draw.poisoned("final_h", {1, h});
    if (c.has_memory) a.c = draw.normals("c", {1, h}), a.final_c = draw.poisoned("final_c", {1, h});
    a.threads = 1;
    s.weights.push_back(a);
  }
  s.vectors = draw.normals("vectors", {std::max<Size>(1, s.tokens), s.inputs});
  s.x = draw.normals("x", {s.rows, s.inputs}), s.ids = draw.tensor("ids", Kind::int64, {s.rows});
  for (Size i = 0; i < s.rows && s.tokens; ++i) static_cast<std::int64_t*>(s.ids.data)[i] = draw.below(s.tokens);
  s.product = draw.floats("product", {s.outputs, h}, weight), s.bias = draw.normals("bias", {s.outputs});
  s.h = draw.normals("h", {s.layers, s.rows, h}), s.c = draw.normals("c", {s.layers, s.rows, h});
  s.log_softmax = s.outputs && draw.one_in(2);
  return s;
}

std::vector<std::vector<float>> run_step(Draw& draw, const Step& s, int threads, Size first, Size rows) {
  Stepper stepper;
  const auto values = [](const Tensor& t) { return static_cast<float*>(t.data); };
  for (Size k = 0; k < s.layers; ++k)
    stepper.add_layer(check(s.weights[static_cast<std::size_t>(k)], nullptr, nullptr), k || !s.tokens ? nullptr : values(s.vectors),
                      k ? 0 : s.tokens);
  if (s.outputs) stepper.add_product(values(s.product), values(s.bias), s.outputs, s.hidden);
  const Size wide = stepper.outputs(), h = s.hidden;
  Tensor before[2] = {s.h, s.c}, after[2], y = draw.poisoned("y", {rows, wide});
  for (int part = 0; part < 2; ++part) {
    const float* from = values(before[part]);
    const Tensor some = draw.poisoned("state", {s.layers, rows, h});
    for (Size k = 0; k < s.layers; ++k) std::copy_n(from + (k * s.rows + first) * h, rows * h, values(some) + k * rows * h);
    before[part] = some, after[part] = draw.poisoned("after", {s.layers, rows, h});
  }
  StepCall call{};
  call.rows = rows, call.y = values(y), call.log_softmax = s.log_softmax, call.threads = threads;
  if (s.tokens) call.tokens = static_cast<std::int64_t*>(s.ids.data) + first;
  else call.x = values(s.x) + first * s.inputs;
  for (int part = 0; part < (stepper.has_memory() ? 2 : 1); ++part)
    call.state[part] = values(before[part]), call.after[part] = values(after[part]);
  for (int again = 0; again < 2; ++again) stepper.step(call);  // the first is always computed alone
  return {copied(y), copied(after[0]), stepper.has_memory() ? copied(after[1]) : std::vector<float>{}};
}

void step_case(Draw& draw) {
  const Step s = draw_step(draw);
  choose_target(targets.back());
  const auto wanted = run_step(draw, s, 1, 0, s.rows);
  for (const std::string& name : targets) {
    choose_target(name);
    const std::string what = "a step of " + s.cell + " on " + name + ": result ";
    const auto found = run_step(draw, s, 1, 0, s.rows), again = run_step(draw, s, static_cast<int>(draw.of({2, 3, 8})), 0, s.rows);
    for (std::size_t i = 0; i < found.size(); ++i) {
      expect_near(what + std::to_string(i), found[i], wanted[i]);
      expect_equal(what + std::to_string(i) + " on other threads", again[i], found[i]);
    }
    if (s.rows == 0) continue;
    const Size row = draw.below(s.rows), wide = static_cast<Size>(found[0].size()) / s.rows;
    const auto alone = run_step(draw, s, 1, row, 1);
    expect_equal(what + "of a row alone", alone[0], {found[0].begin() + row * wide, found[0].begin() + (row + 1) * wide});
  }
}

// --- rows of a table -------------------------------------------------------------------------------------------------

struct Rows {
  RowArguments table, lookup;  // lookup: distinct ids and the sums of their gradients
  Size size, width, count;
};

Rows draw_rows(Draw& draw) {
  Rows r{};
  r.size = draw.of({1, 2, 63, 64, 65, 200}), r.width = draw.of({1, 3, 4, 7, 8, 17, 33}), r.count = draw.of({0, 1, 5, 70, 300});
  RowArguments &t = r.table, &l = r.lookup;
  const Size columns = draw.of({1, 6, 20});
  t.place = draw.below(columns + 1);
  t.weight = draw.normals("weight", {r.size, r.width}), t.first = draw.normals("first", {r.size, r.width});
  t.second = draw.floats("second", {r.size, r.width}, [&] { return std::abs(draw.normal()); });
  t.clock = draw.floats("clock", {r.size}, [&] { return static_cast<float>(draw.below(t.place + 1)); });
  t.ahead = draw.floats("ahead", {4, columns}, [&] { return std::abs(draw.normal()); });  // second moments stay above 0
  t.rate = 0.1, t.kept = 0.9, t.beta1 = 0.9, t.beta2 = 0.98, t.scale = 1.5, t.eps = 1e-8, t.threads = draw.of({1, 2, 4});
  l.ids = draw.tensor("ids", Kind::int64, {r.count});
  for (Size i = 0; i < r.count; ++i) static_cast<std::int64_t*>(l.ids.data)[i] = draw.below(r.size);
  l.slots = draw.tensor("slots", Kind::int64, {r.count}), l.distinct = draw.tensor("distinct", Kind::int64, {r.count});
  l.size = r.size, l.threads = t.threads;
  l.gradient = draw.floats("gradient", {r.count, r.width}, [&] { return draw.exact(); });
  return r;
}

// A lookup of the ids, then a step: what the training does. Gives the sums and the table after.
std::vector<std::vector<float>> run_rows(Draw& draw, Rows& r, int threads) {
  RowArguments &t = r.table, &l = r.lookup;
  for (Tensor* part : {&t.weight, &t.first, &t.second, &t.clock}) {
    const std::vector<float> before = copied(*part);
    Size i = 0;
    const Size height = part->shape[0];
    const auto next = [&] { return before[static_cast<std::size_t>(i++)]; };
    *part = part->rank == 1 ? draw.floats(part->name, {height}, next) : draw.floats(part->name, {height, r.width}, next);
  }
  check_distinct(l);
  const auto ints = [](const Tensor& x) { return static_cast<std::int64_t*>(x.data); };
  const Size found = distinct_rows(ints(l.ids), r.count, r.size, true, ints(l.slots), ints(l.distinct));
  l.sums = draw.poisoned("sums", {found, r.width});
  check_sums(l);
  sum_rows(static_cast<float*>(l.gradient.data), ints(l.slots), r.count, r.width, found, static_cast<float*>(l.sums.data), threads);
  t.ids = l.ids;
  catch_up_rows(check_catch_up(t), ints(l.ids), r.count, static_cast<float>(t.eps), threads);
  t.ids = l.distinct, t.ids.shape[0] = found, t.gradient = l.sums;
  RowStep step{};
  const RowTable table = check_update(t, step);
  update_rows(table, ints(t.ids), found, static_cast<float*>(l.sums.data), step, threads);
  return {copied(l.sums), copied(t.weight), copied(t.first), copied(t.second), copied(t.clock)};
}

// The same in double, a row at a time.
std::vector<std::vector<float>> plain_rows(const Rows& r) {
  const RowArguments& t = r.table;
  const auto values = [](const Tensor& x) { return static_cast<const float*>(x.data); };
  const auto* ids = static_cast<const std::int64_t*>(r.lookup.ids.data);
  const float* ahead = values(t.ahead);
  std::vector<float> sums, w = copied(t.weight), m = copied(t.first), v = copied(t.second), clock = copied(t.clock);
  for (Size row = 0; row < r.size; ++row) {
    if (std::find(ids, ids + r.count, row) == ids + r.count) continue;
    const Size past = static_cast<Size>(clock[static_cast<std::size_t>(row)]);
    clock[static_cast<std::size_t>(row)] = static_cast<float>(t.place + (row > 0));
    for (Size j = 0; j < r.width; ++j) {
      const auto at = static_cast<std::size_t>(row * r.width + j);
      double weight = w[at], first = m[at], second = v[at], sum = 0.0;
      if (past < t.place) {
        const auto line = [&](Size k) { return static_cast<double>(ahead[k * t.ahead.shape[1] + past]); };
        weight = weight * line(1) - line(0) * first / (std::sqrt(second) + t.eps);
        first *= line(2), second *= line(3);
      }
      if (row > 0) {
        for (Size i = 0; i < r.count; ++i) sum += ids[i] == row ? values(r.lookup.gradient)[i * r.width + j] : 0.0f;
        sums.push_back(static_cast<float>(sum));
        first += (sum - first) * (1.0 - t.beta1), second = second * t.beta2 + sum * sum * (1.0 - t.beta2);
        weight = weight * t.kept - t.rate * first / (std::sqrt(second) * t.scale + t.eps);
      }
      w[at] = static_cast<float>(weight), m[at] = static_cast<float>(first), v[at] = static_cast<float>(second);
    }
  }
  return {sums, w, m, v, clock};
}

// Numbers only: Python's tests spoil the ids.
void spoilt_rows_case(Draw& draw, Rows r) {
  RowArguments &t = r.table, &l = r.lookup;
  t.ids = draw.tensor("ids", Kind::int64, {0}), t.gradient = draw.normals("gradient", {0, r.width});
  l.sums = draw.poisoned("sums", {1, r.width});
  std::fill_n(static_cast<std::int64_t*>(l.slots.data), r.count, -1);
  const Size entry = draw.below(3);
  std::vector<Tensor*> all{&t.weight, &t.first, &t.second, &t.clock, entry ? &t.gradient : &t.ahead};
  if (entry == 2) all = {&l.gradient, &l.sums};
  const bool wrong = spoil(draw, all);
  RowStep step{};
  const bool no = refused([&] {
    if (entry == 0) check_catch_up(t);
    else if (entry == 1) t.place = 0, check_update(t, step);
    else check_sums(l);
  });
  expect(no || !wrong, "wrong arguments of rows were accepted");
}

void rows_case(Draw& draw) {
  Rows r = draw_rows(draw);
  if (draw.one_in(3)) return spoilt_rows_case(draw, r);
  Rows again = r;
  const auto wanted = plain_rows(r), found = run_rows(draw, r, static_cast<int>(r.table.threads));
  const auto others = run_rows(draw, again, static_cast<int>(draw.of({1, 2, 3, 8})));
  for (std::size_t i = 0; i < found.size(); ++i) {
    expect_near("rows: result " + std::to_string(i), found[i], wanted[i]);
    expect_equal("rows on other threads: result " + std::to_string(i), others[i], found[i]);
  }
}

void activation_case(Draw& draw) {
  const Size n = draw.below(40);
  const Tensor x = draw.floats("x", {n}, [&] { return draw.normal() * 20.0f; }), y = draw.poisoned("y", {n});
  const auto *from = static_cast<const float*>(x.data), *to = static_cast<const float*>(y.data);
  for (const std::string& name : targets) {
    choose_target(name);
    for (const int which : {0, 1}) {
      activate(which, from, static_cast<float*>(y.data), n);
      for (Size i = 0; i < n; ++i) {
        const double wanted = which ? std::tanh(static_cast<double>(from[i])) : 1.0 / (1.0 + std::exp(-static_cast<double>(from[i])));
        expect(std::abs(to[i] - wanted) <= 4e-7, name + ": an activation is off");
      }
    }
  }
}

}  // namespace

int main(int count, char** words) {
  for (const char* name : {"neon", "avx512", "avx2", "scalar"})
    if (!refused([&] { choose_target(name); })) targets.push_back(name);
  const double seconds = count > 1 ? std::atof(words[1]) : 10.0;
  const Size first = count > 2 ? std::atoll(words[2]) : 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (case_number = first; std::chrono::steady_clock::now() < end; ++case_number) {
    Draw draw(case_number);
    const Size kind = draw.below(14);
    if (kind == 0) activation_case(draw);
    else if (kind == 13) windows_case(draw);
    else if (kind == 12) loss_case(draw);
    else if (kind == 11) linear_case(draw);
    else if (kind == 10) rows_case(draw);
    else if (kind > 7) step_case(draw);
    else if (kind < 3) region_case(draw);
    else layer_case(draw);
  }
  std::string names;
  for (const std::string& name : targets) names += " " + name;
  std::printf("%lld cases on%s: no difference\n", static_cast<long long>(case_number - first), names.c_str());
}
