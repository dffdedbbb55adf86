// With exchange.h, all that knows Python. Reads what tensors say of themselves, has it checked, runs without the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check.h"
#include "draw.h"
#include "exchange.h"
#include "layers.h"
#include "room.h"
#include "run.h"
#include "stepper.h"

namespace nb = nanobind;
using namespace unspool;

namespace {

// What is asked of torch, and the names by which tensors are asked: a name made anew for each question would take
// longer than its answer.
struct Torch {
  nb::object tensor, float32, int64, int32, boolean, strided;
  nb::object dtype, is_cpu, layout, is_contiguous, shape, data_ptr;
  Exchange exchange;
};

nb::object interned(const char* name) { return nb::steal(PyUnicode_InternFromString(name)); }

// Kept for good: torch cannot be unloaded, and an object freed at exit would outlive the interpreter.
const Torch& torch() {
  static const Torch* known = [] {
    const nb::module_ module = nb::module_::import_("torch");
    return new Torch{module.attr("Tensor"), module.attr("float32"), module.attr("int64"), module.attr("int32"), module.attr("bool"),
                     module.attr("strided"), interned("dtype"), interned("is_cpu"), interned("layout"), interned("is_contiguous"),
                     interned("shape"), interned("data_ptr"), Exchange(module.attr("Tensor"))};
  }();
  return *known;
}

Kind kind_of(nb::handle dtype) {
  if (dtype.is(torch().float32)) return Kind::float32;
  if (dtype.is(torch().int64)) return Kind::int64;
  if (dtype.is(torch().int32)) return Kind::int32;
  return dtype.is(torch().boolean) ? Kind::boolean : Kind::other;
}

Kind kind_of(nb::dlpack::dtype dtype) {
  if (dtype == nb::dtype<float>()) return Kind::float32;
  if (dtype == nb::dtype<std::int64_t>()) return Kind::int64;
  if (dtype == nb::dtype<std::int32_t>()) return Kind::int32;
  return dtype == nb::dtype<bool>() ? Kind::boolean : Kind::other;
}

bool dense(const nb::dlpack::dltensor& seen) {
  Size stride = 1;
  for (int i = seen.ndim; i-- > 0; stride *= seen.shape[i])
    if (seen.shape[i] != 1 && seen.strides[i] != stride) return false;
  return true;
}

// Whether a tensor is what it is in nearly all calls, of a known type and dense on the CPU; then t says so.
bool describe_quickly(nb::handle value, Tensor& t) {
  nb::dlpack::dltensor seen;
  if (!torch().exchange.borrow(value, seen)) return false;
  const Kind kind = kind_of(seen.dtype);
  if (kind == Kind::other || seen.device.device_type != nb::device::cpu::value || !dense(seen)) return false;
  t.kind = kind, t.cpu = t.dense = true;
  t.rank = seen.ndim;
  std::copy_n(seen.shape, std::min(t.rank, 4), t.shape);
  t.data = static_cast<char*>(seen.data) + seen.byte_offset;
  return true;
}

Tensor describe(const char* name, nb::handle value) {
  Tensor t;
  t.name = name;
  if (value.is_none()) return t;
  const Torch& known = torch();
  if (!nb::isinstance(value, known.tensor)) {
    t.kind = Kind::other;
    t.kind_name = nb::cast<std::string>(nb::str(nb::handle(value.type()).attr("__name__")));
    return t;
  }
  if (describe_quickly(value, t)) return t;
  const nb::object dtype = value.attr(known.dtype);
  t.kind = kind_of(dtype);
  if (t.kind == Kind::other) t.kind_name = nb::cast<std::string>(nb::str(dtype));
  t.cpu = nb::cast<bool>(value.attr(known.is_cpu));
  t.dense = nb::object(value.attr(known.layout)).is(known.strided) && nb::cast<bool>(value.attr(known.is_contiguous)());
  const nb::tuple shape = nb::cast<nb::tuple>(value.attr(known.shape));
  t.rank = static_cast<int>(nb::len(shape));
  for (int i = 0; i < t.rank && i < 4; ++i) t.shape[i] = nb::cast<Size>(shape[i]);
  if (t.cpu && t.dense) t.data = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(value.attr(known.data_ptr)()));
  return t;
}

template <class Call>
void run_checked(const Call& call) {
  try {
    call();
  } catch (const WrongType& error) {
    throw nb::type_error(error.what());
  }
}

using Object = nb::handle;

Arguments read(const std::string& cell, Object x, Object lengths, Object tokens, Object w_ih, Object w_hh, Object b_ih, Object b_hh,
               Object extra, Object h, Object c, Object mask,
               Object keep, Object norm, Object norm_memory, double keep_share, bool reverse,
               Size threads, Object y, Object saved) {
  Arguments a;
  a.cell = cell;
  a.x = describe("x", x);
  a.lengths = describe("lengths", lengths);
  a.tokens = describe("tokens", tokens);
  a.w_ih = describe("w_ih", w_ih);
  a.w_hh = describe("w_hh", w_hh);
  a.b_ih = describe("b_ih", b_ih);
  a.b_hh = describe("b_hh", b_hh);
  a.extra = describe("extra", extra);
  a.h = describe("h", h);
  a.c = describe("c", c);
  a.mask = describe("mask", mask);
  a.keep = describe("keep", keep);
  a.norm = describe("norm", norm);
  a.norm_memory = describe("norm_memory", norm_memory);
  a.keep_share = keep_share;
  a.reverse = reverse;
  a.threads = threads;
  a.y = describe("y", y);
  a.saved = describe("saved", saved);
  return a;
}

void recurrent_forward(const std::string& cell, Object x, Object lengths, Object tokens, Object w_ih, Object w_hh, Object b_ih,
                       Object b_hh, Object extra, Object h, Object c, Object mask,
               Object keep, Object norm, Object norm_memory, double keep_share,
                       bool reverse, Size threads, Object y, Object saved, Object final_h, Object final_c) {
  run_checked([&] {
    Arguments a = read(cell, x, lengths, tokens, w_ih, w_hh, b_ih, b_hh, extra, h, c, mask, keep, norm, norm_memory,
                       keep_share, reverse,
                       threads, y, saved);
    a.final_h = describe("final_h", final_h);
    a.final_c = describe("final_c", final_c);
    const Sequence s = check(a, nullptr, nullptr);
    const nb::gil_scoped_release released;
    forward(s);
  });
}

LayerWeights read_weights(nb::handle given) {
  if (!nb::isinstance<nb::tuple>(given) || nb::len(given) != 5)
    throw WrongType("layers: expected tuples of five, w_ih, w_hh, b_ih, b_hh and extra of a layer");
  const auto parts = nb::borrow<nb::tuple>(given);
  return {describe("w_ih", parts[0]), describe("w_hh", parts[1]), describe("b_ih", parts[2]), describe("b_hh", parts[3]),
          describe("extra", parts[4])};
}

void recurrent_layers(const std::string& cell, Object x, Object lengths, const nb::list& layers, bool both_directions,
                      Object h, Object c, double keep_share, Size threads, Object y, Object final_h, Object final_c) {
  run_checked([&] {
    const nb::handle none = nb::none();
    Arguments all = read(cell, x, lengths, none, none, none, none, none, none, h, c, none, none, none, none, keep_share,
                         false, threads, y, none);
    all.final_h = describe("final_h", final_h);
    all.final_c = describe("final_c", final_c);
    std::vector<LayerWeights> weights;
    const nb::tuple kept(layers);  // whatever becomes of the list while others may run
    for (const nb::handle one : kept) weights.push_back(read_weights(one));
    const Layers stack(all, weights, both_directions ? 2 : 1);
    const nb::gil_scoped_release released;
    stack.run();
  });
}

void recurrent_backward(const std::string& cell, Object x, Object lengths, Object tokens, Object w_ih, Object w_hh, Object b_ih,
                        Object b_hh, Object extra, Object h, Object c, Object mask,
               Object keep, Object norm, Object norm_memory, double keep_share,
                        bool reverse, Size threads, Object y, Object saved,
                        Object d_y, Object d_final_h, Object d_final_c, Object d_x, Object d_w_ih, Object d_w_hh,
                        Object d_b_ih, Object d_b_hh, Object d_extra, Object d_h, Object d_c, Object d_norm,
                        Object d_norm_memory) {
  run_checked([&] {
    const Arguments a = read(cell, x, lengths, tokens, w_ih, w_hh, b_ih, b_hh, extra, h, c, mask, keep, norm, norm_memory,
                       keep_share, reverse,
                             threads, y, saved);
    const GradientArguments d{describe("d_y", d_y),       describe("d_final_h", d_final_h),
                              describe("d_final_c", d_final_c), describe("d_x", d_x),
                              describe("d_w_ih", d_w_ih), describe("d_w_hh", d_w_hh),
                              describe("d_b_ih", d_b_ih), describe("d_b_hh", d_b_hh),
                              describe("d_extra", d_extra), describe("d_h", d_h),
                              describe("d_c", d_c),       describe("d_norm", d_norm),
                              describe("d_norm_memory", d_norm_memory)};
    Gradients g{};
    const Sequence s = check(a, &d, &g);
    const nb::gil_scoped_release released;
    backward(s, g);
  });
}

void region_forward_checked(Object x, Object lengths, Object weight, Object bias, Size threads, Object y,
                            Object winner) {
  run_checked([&] {
    RegionArguments a;
    a.x = describe("x", x), a.lengths = describe("lengths", lengths), a.weight = describe("weight", weight);
    a.bias = describe("bias", bias), a.threads = threads;
    a.y = describe("y", y), a.winner = describe("winner", winner);
    const RegionCall call = check_region(a, nullptr);
    const nb::gil_scoped_release released;
    region_forward(call);
  });
}

void region_backward_checked(Object x, Object lengths, Object weight, Size threads, Object winner, Object d_y,
                             Object d_x, Object d_weight, Object d_bias, bool add) {
  run_checked([&] {
    RegionArguments a;
    a.x = describe("x", x), a.lengths = describe("lengths", lengths), a.weight = describe("weight", weight);
    a.threads = threads, a.winner = describe("winner", winner);
    a.d_y = describe("d_y", d_y), a.d_x = describe("d_x", d_x);
    a.d_weight = describe("d_weight", d_weight), a.d_bias = describe("d_bias", d_bias);
    RegionGradients g{};
    g.add = add;
    const RegionCall call = check_region(a, &g);
    const nb::gil_scoped_release released;
    region_backward(call, g);
  });
}

void windows_forward_checked(Object x, Object lengths, Object weight, Object bias, Size threads, Object y) {
  run_checked([&] {
    WindowArguments a;
    a.x = describe("x", x), a.lengths = describe("lengths", lengths), a.weight = describe("weight", weight);
    a.bias = describe("bias", bias), a.threads = threads, a.y = describe("y", y);
    const WindowCall call = check_windows(a, nullptr);
    const nb::gil_scoped_release released;
    windows_forward(call);
  });
}

void windows_backward_checked(Object x, Object lengths, Object weight, Size threads, Object d_y, Object d_x,
                              Object d_weight, Object d_bias) {
  run_checked([&] {
    WindowArguments a;
    a.x = describe("x", x), a.lengths = describe("lengths", lengths), a.weight = describe("weight", weight);
    a.threads = threads, a.d_y = describe("d_y", d_y), a.d_x = describe("d_x", d_x);
    a.d_weight = describe("d_weight", d_weight), a.d_bias = describe("d_bias", d_bias);
    WindowGradients g{};
    const WindowCall call = check_windows(a, &g);
    const nb::gil_scoped_release released;
    windows_backward(call, g);
  });
}

void linear_forward_checked(Object x, Object weight, Object bias, Size threads, Object y) {
  run_checked([&] {
    LinearArguments a;
    a.x = describe("x", x), a.weight = describe("weight", weight), a.bias = describe("bias", bias);
    a.threads = threads, a.y = describe("y", y);
    const LinearCall call = check_linear(a, nullptr);
    const nb::gil_scoped_release released;
    linear_forward(call);
  });
}

void linear_backward_checked(Object x, Object weight, Size threads, Object d_y, Object d_x, Object d_weight,
                             Object d_bias) {
  run_checked([&] {
    LinearArguments a;
    a.x = describe("x", x), a.weight = describe("weight", weight), a.threads = threads;
    a.d_y = describe("d_y", d_y), a.d_x = describe("d_x", d_x);
    a.d_weight = describe("d_weight", d_weight), a.d_bias = describe("d_bias", d_bias);
    LinearGradients g{};
    const LinearCall call = check_linear(a, &g);
    const nb::gil_scoped_release released;
    linear_backward(call, g);
  });
}

void cross_entropy_checked(Object logits, Object targets, double smoothing, double scale, Size threads, Object losses) {
  run_checked([&] {
    CrossEntropyArguments a;
    a.logits = describe("logits", logits), a.targets = describe("targets", targets);
    a.smoothing = smoothing, a.scale = scale, a.threads = threads, a.losses = describe("losses", losses);
    const CrossEntropy call = check_cross_entropy(a);
    const nb::gil_scoped_release released;
    cross_entropy(call);
  });
}

void add_layer(Stepper& stepper, const std::string& cell, Object x, Object w_ih, Object w_hh, Object b_ih, Object b_hh,
               Object extra, Object h, Object c, double keep_share, Object y, Object final_h, Object final_c,
               Object vectors) {
  run_checked([&] {
    const nb::handle none = nb::none();
    Arguments a = read(cell, x, none, none, w_ih, w_hh, b_ih, b_hh, extra, h, c, none, none, none, none, keep_share,
                       false, 1, y, none);
    a.final_h = describe("final_h", final_h);
    a.final_c = describe("final_c", final_c);
    const Sequence s = check(a, nullptr, nullptr);
    const Tensor v = describe("vectors", vectors);
    const bool given = v.kind != Kind::absent;
    if (given && (v.kind != Kind::float32 || !v.data || v.rank != 2 || v.shape[0] < 1 || v.shape[1] != s.inputs))
      throw std::invalid_argument("vectors: expected a dense matrix of torch.float32, as wide as the layer's input");
    stepper.add_layer(s, static_cast<const float*>(v.data), given ? v.shape[0] : 0);
  });
}

void add_product(Stepper& stepper, Object weight, Object bias) {
  const Tensor w = describe("weight", weight), b = describe("bias", bias);
  const bool biased = b.kind != Kind::absent;
  if (w.kind != Kind::float32 || !w.data || w.rank != 2)
    throw nb::value_error("weight: expected a dense matrix of torch.float32");
  if (biased && (b.kind != Kind::float32 || !b.data || b.rank != 1 || b.shape[0] != w.shape[0]))
    throw nb::value_error("bias: expected None or a dense vector of torch.float32, as long as weight has rows");
  stepper.add_product(static_cast<const float*>(w.data), static_cast<const float*>(b.data), w.shape[0], w.shape[1]);
}

using Array = nb::ndarray<nb::numpy, const float, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<nb::numpy, float, nb::c_contig, nb::device::cpu>;

template <class A>
auto data_of(const char* name, const A& array, std::initializer_list<Size> shape) {
  bool same = array.ndim() == shape.size();
  for (std::size_t i = 0; same && i < shape.size(); ++i) same = static_cast<Size>(array.shape(i)) == shape.begin()[i];
  if (!same) throw nb::value_error((std::string(name) + ": another shape than the stepper's").c_str());
  return array.data();
}

using Tokens = nb::ndarray<nb::numpy, const std::int64_t, nb::c_contig, nb::device::cpu>;

const std::int64_t* tokens_of(const Stepper& stepper, const Tokens& tokens, Size rows) {
  const std::int64_t* all = data_of("tokens", tokens, {rows});
  for (Size i = 0; i < rows; ++i)
    if (all[i] < 0 || all[i] >= stepper.tokens())
      throw nb::value_error("tokens: one is none of the stepper's vectors");
  return all;
}

void step(const Stepper& stepper, const std::optional<Array>& x, const std::optional<Tokens>& tokens, const Array& h, const std::optional<Array>& c, const Result& y,
          const Result& new_h, const std::optional<Result>& new_c, bool log_softmax, Size threads) {
  if (stepper.layers() == 0) throw nb::value_error("stepper: has no layer");
  if (c.has_value() != stepper.has_memory() || new_c.has_value() != stepper.has_memory())
    throw nb::value_error("c: expected for a cell with a memory, and for no other");
  if (threads < 1 || threads > 4096) throw nb::value_error("threads: expected 1 to 4096");
  if (x.has_value() == (stepper.tokens() > 0) || tokens.has_value() == x.has_value())
    throw nb::value_error("x: expected, or tokens where the stepper has vectors");
  if (x && x->ndim() != 2) throw nb::value_error("x: expected 2 dimensions");
  if (tokens && tokens->ndim() != 1) throw nb::value_error("tokens: expected 1 dimension");
  const Size rows = static_cast<Size>(x ? x->shape(0) : tokens->shape(0));
  const Size layers = stepper.layers(), hidden = stepper.hidden();
  StepCall call{};
  call.rows = rows;
  if (x) call.x = data_of("x", *x, {rows, stepper.inputs()});
  else call.tokens = tokens_of(stepper, *tokens, rows);
  call.state[0] = data_of("h", h, {layers, rows, hidden});
  call.after[0] = data_of("new_h", new_h, {layers, rows, hidden});
  if (c) call.state[1] = data_of("c", *c, {layers, rows, hidden}), call.after[1] = data_of("new_c", *new_c, {layers, rows, hidden});
  call.y = data_of("y", y, {rows, stepper.outputs()});
  call.log_softmax = log_softmax;
  call.threads = static_cast<int>(threads);
  const nb::gil_scoped_release released;
  stepper.step(call);
}

template <class T>
using Vector = nb::ndarray<nb::numpy, T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

bool draw_checked(const nb::ndarray<nb::numpy, const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>& log_probs,
                  const Vector<const double>& uniform, double temperature, const Vector<std::int64_t>& tokens,
                  const Vector<float>& chosen) {
  const Size rows = static_cast<Size>(log_probs.shape(0)), columns = static_cast<Size>(log_probs.shape(1));
  if (columns < 1) throw nb::value_error("log_probs: expected at least one column");
  if (!(temperature > 0.0)) throw nb::value_error("temperature: expected more than 0");
  const DrawCall call{rows, columns, log_probs.data(), data_of("uniform", uniform, {rows}), temperature,
                      data_of("tokens", tokens, {rows}), data_of("chosen", chosen, {rows})};
  const nb::gil_scoped_release released;
  return draw(call);
}

Size distinct_rows_checked(Object ids, Size size, bool padding, Object slots, Object distinct) {
  Size count = 0;
  run_checked([&] {
    RowArguments a;
    a.ids = describe("ids", ids), a.size = size;
    a.slots = describe("slots", slots), a.distinct = describe("distinct", distinct);
    check_distinct(a);
    const nb::gil_scoped_release released;
    count = distinct_rows(static_cast<const std::int64_t*>(a.ids.data), a.ids.shape[0], size, padding,
                          static_cast<std::int64_t*>(a.slots.data), static_cast<std::int64_t*>(a.distinct.data));
  });
  return count;
}

void sum_rows_checked(Object gradient, Object slots, Size threads, Object sums) {
  run_checked([&] {
    RowArguments a;
    a.gradient = describe("gradient", gradient), a.slots = describe("slots", slots), a.threads = threads;
    a.sums = describe("sums", sums);
    check_sums(a);
    const nb::gil_scoped_release released;
    sum_rows(static_cast<const float*>(a.gradient.data), static_cast<const std::int64_t*>(a.slots.data),
             a.gradient.shape[0], a.gradient.shape[1], a.sums.shape[0], static_cast<float*>(a.sums.data),
             static_cast<int>(threads));
  });
}

RowArguments read_table(Object weight, Object first, Object second, Object clock, Size place, Object ids, double eps,
                        Size threads) {
  RowArguments a;
  a.weight = describe("weight", weight), a.first = describe("first", first), a.second = describe("second", second);
  a.clock = describe("clock", clock), a.place = place, a.ids = describe("ids", ids);
  a.eps = eps, a.threads = threads;
  return a;
}

void catch_up_rows_checked(Object weight, Object first, Object second, Object clock, Size place, Object ids, double eps,
                           Size threads, Object ahead) {
  run_checked([&] {
    RowArguments a = read_table(weight, first, second, clock, place, ids, eps, threads);
    a.ahead = describe("ahead", ahead);
    const RowTable table = check_catch_up(a);
    const bool all = a.ids.kind == Kind::absent;
    const nb::gil_scoped_release released;
    catch_up_rows(table, static_cast<const std::int64_t*>(a.ids.data), all ? table.rows : a.ids.shape[0],
                  static_cast<float>(eps), static_cast<int>(threads));
  });
}

void update_rows_checked(Object weight, Object first, Object second, Object clock, Size place, Object ids, double eps,
                         Size threads, Object gradient, double rate, double kept, double beta1, double beta2,
                         double scale) {
  run_checked([&] {
    RowArguments a = read_table(weight, first, second, clock, place, ids, eps, threads);
    a.gradient = describe("gradient", gradient);
    a.rate = rate, a.kept = kept, a.beta1 = beta1, a.beta2 = beta2, a.scale = scale;
    RowStep step{};
    const RowTable table = check_update(a, step);
    const nb::gil_scoped_release released;
    update_rows(table, static_cast<const std::int64_t*>(a.ids.data), a.ids.shape[0],
                static_cast<const float*>(a.gradient.data), step, static_cast<int>(threads));
  });
}

using Fresh = nb::ndarray<nb::pytorch, float, nb::c_contig, nb::device::cpu>;

Fresh room(const std::vector<std::size_t>& shape) {
  std::size_t floats = 1;
  for (const std::size_t n : shape)
    if (__builtin_mul_overflow(floats, n, &floats) || floats > std::size_t{1} << 58) throw std::bad_alloc();
  const auto leave = [](void* room) noexcept {
    give_back(*static_cast<Room*>(room));
    delete static_cast<Room*>(room);
  };
  std::unique_ptr<Room, void (*)(void*)> taken(new Room{nullptr, 0}, leave);
  *taken = take_room(static_cast<Size>(floats));
  const nb::capsule owner(taken.get(), leave);
  const Room* room = taken.release();
  return Fresh(room->data, shape.size(), shape.data(), owner);
}

void activation(const std::string& name, Object x, Object y) {
  const Tensor from = describe("x", x), to = describe("y", y);
  const bool fits = from.kind == Kind::float32 && to.kind == Kind::float32 && from.data && to.data &&
                    from.rank == 1 && to.rank == 1 && from.shape[0] == to.shape[0];
  if (!fits || (name != "sigmoid" && name != "tanh")) throw nb::value_error("expected sigmoid or tanh and two dense float32 vectors");
  activate(name == "sigmoid" ? 0 : 1, static_cast<float*>(from.data), static_cast<float*>(to.data), from.shape[0]);
}

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "unspool's compiled core";
  module.def("version", [] { return std::string(UNSPOOL_VERSION); },
             "Version of the package this core was compiled for.");
  module.def("choose_target", &choose_target, nb::arg("name"), "Compute with the instruction set of that name from now on.");
  module.def("target", &target_name, "The instruction set in use.");
  module.def("activation", &activation, nb::arg("name"), nb::arg("x"), nb::arg("y").none(), "y = sigmoid(x) or tanh(x) as the kernels compute them.");
  module.def("multiply_adds", [](Size rounds, Size threads) {
        if (rounds < 0 || rounds > Size{1} << 40 || threads < 1 || threads > 4096)
          throw nb::value_error("rounds, threads: expected 0 to 2^40 and 1 to 4096");
        const nb::gil_scoped_release released;
        return multiply_adds(rounds, static_cast<int>(threads));
      }, nb::arg("rounds"), nb::arg("threads"), "Multiply-adds in registers alone on all threads; returns how many.");
  module.def("room", &room, nb::arg("shape"), "An uninitialised tensor of float32 in memory that earlier ones have left.");
  module.def("saved_floats", &checked_saved_floats, nb::arg("cell"), nb::arg("rows"), nb::arg("real_steps"), nb::arg("hidden"), nb::arg("norm") = false,
      "Size of the tensor `saved` that training needs.");
  module.def("region_forward", &region_forward_checked, nb::arg("x"), nb::arg("lengths"), nb::arg("weight"),
             nb::arg("bias").none(), nb::arg("threads"), nb::arg("y"), nb::arg("winner"),
             "The greatest answer of each filter over the windows of each text, and where it stands.");
  module.def("region_backward", &region_backward_checked, nb::arg("x"), nb::arg("lengths"), nb::arg("weight"),
             nb::arg("threads"), nb::arg("winner"), nb::arg("d_y"), nb::arg("d_x").none(), nb::arg("d_weight").none(),
             nb::arg("d_bias").none(), nb::arg("add") = false,
             "The gradients of region_forward; with add, that of x is added to what d_x holds.");
  module.def("windows_forward", &windows_forward_checked, nb::arg("x").none(), nb::arg("lengths").none(),
             nb::arg("weight").none(), nb::arg("bias").none(), nb::arg("threads"), nb::arg("y").none(),
             "The answers of each filter over all windows of each text, 0 past them.");
  module.def("windows_backward", &windows_backward_checked, nb::arg("x").none(), nb::arg("lengths").none(),
             nb::arg("weight").none(), nb::arg("threads"), nb::arg("d_y").none(), nb::arg("d_x").none(),
             nb::arg("d_weight").none(), nb::arg("d_bias").none(), "The gradients of windows_forward.");
  module.def("linear_forward", &linear_forward_checked, nb::arg("x"), nb::arg("weight"), nb::arg("bias").none(),
             nb::arg("threads"), nb::arg("y"), "y = x · weightᵀ + bias.");
  module.def("linear_backward", &linear_backward_checked, nb::arg("x"), nb::arg("weight"), nb::arg("threads"),
             nb::arg("d_y"), nb::arg("d_x").none(), nb::arg("d_weight").none(), nb::arg("d_bias").none(),
             "The gradients of linear_forward.");
  module.def("cross_entropy", &cross_entropy_checked, nb::arg("logits").none(), nb::arg("targets").none(),
             nb::arg("smoothing"), nb::arg("scale"), nb::arg("threads"), nb::arg("losses").none(),
             "The cross-entropies of logits (N, V) with targets (N); the logits become their gradients times scale.");
  module.def("draw", &draw_checked, nb::arg("log_probs").noconvert(), nb::arg("uniform").noconvert(),
             nb::arg("temperature"), nb::arg("tokens").noconvert(), nb::arg("chosen").noconvert(),
             "The next token of each row and its log-probability; False when one is not a number.");
  module.def("distinct_rows", &distinct_rows_checked, nb::arg("ids").none(), nb::arg("size"),
             nb::arg("padding"), nb::arg("slots").none(), nb::arg("distinct").none(),
             "The distinct ids (N), but 0 with padding, in ascending order, where each id stands among them, and how many.");
  module.def("sum_rows", &sum_rows_checked, nb::arg("gradient").none(), nb::arg("slots").none(), nb::arg("threads"),
             nb::arg("sums").none(), "The sums of the rows (N, E) that have the same slot (N).");
  module.def("catch_up_rows", &catch_up_rows_checked, nb::arg("weight").none(), nb::arg("first").none(),
             nb::arg("second").none(), nb::arg("clock").none(), nb::arg("place"), nb::arg("ids").none(), nb::arg("eps"),
             nb::arg("threads"), nb::arg("ahead").none(), "Bring the rows `ids` of a table, or all, to `place`.");
  module.def("update_rows", &update_rows_checked, nb::arg("weight").none(), nb::arg("first").none(),
             nb::arg("second").none(), nb::arg("clock").none(), nb::arg("place"), nb::arg("ids").none(), nb::arg("eps"),
             nb::arg("threads"), nb::arg("gradient").none(), nb::arg("rate"), nb::arg("kept"), nb::arg("beta1"),
             nb::arg("beta2"), nb::arg("scale"), "One step of Adam for the rows `ids`, which are at `place`.");
  nb::class_<Stepper>(module, "Stepper", "Steps of stacked layers with weights packed once.")
      .def(nb::init<>())
      .def("add_layer", &add_layer, nb::arg("cell"), nb::arg("x"), nb::arg("w_ih"), nb::arg("w_hh"),
           nb::arg("b_ih").none(), nb::arg("b_hh").none(), nb::arg("extra").none(), nb::arg("h"), nb::arg("c").none(),
           nb::arg("keep_share"), nb::arg("y"), nb::arg("final_h"), nb::arg("final_c").none(),
           nb::arg("vectors") = nb::none(),
           "Add a layer: the arguments of recurrent_forward for a batch of one row and one step, whose weights count. "
           "vectors (N, I): what the first layer's tokens stand for, projected once.")
      .def("add_product", &add_product, nb::arg("weight"), nb::arg("bias").none(), "Add a dense layer after those.")
      .def("step", &step, nb::arg("x").noconvert().none(), nb::arg("tokens").noconvert().none(), nb::arg("h").noconvert(), nb::arg("c").noconvert().none(),
           nb::arg("y").noconvert(), nb::arg("new_h").noconvert(), nb::arg("new_c").noconvert().none(),
           nb::arg("log_softmax"), nb::arg("threads"),
           "One step, numpy arrays of float32: x (B, I) or tokens (B) int64, h and c (L, B, H) to y (B, O), new_h and new_c.");
#define UNSPOOL_ARGUMENTS                                                                                          \
  nb::arg("cell"), nb::arg("x").none(), nb::arg("lengths").none(), nb::arg("tokens").none(), nb::arg("w_ih").none(), nb::arg("w_hh").none(),               \
      nb::arg("b_ih").none(), nb::arg("b_hh").none(), nb::arg("extra").none(), nb::arg("h").none(), nb::arg("c").none(),  \
      nb::arg("mask").none(), nb::arg("keep").none(), nb::arg("norm").none(), nb::arg("norm_memory").none(),               \
      nb::arg("keep_share"), nb::arg("reverse"),                                                                   \
      nb::arg("threads"), nb::arg("y").none(), nb::arg("saved").none()
  module.def("recurrent_forward", &recurrent_forward, UNSPOOL_ARGUMENTS, nb::arg("final_h").none(),
             nb::arg("final_c").none(),
             "Run a layer in one direction; writes y, final_h, final_c and, when given, saved.");
  module.def("recurrent_layers", &recurrent_layers, nb::arg("cell"), nb::arg("x").none(), nb::arg("lengths").none(),
             nb::arg("layers"), nb::arg("both_directions"), nb::arg("h").none(), nb::arg("c").none(),
             nb::arg("keep_share"), nb::arg("threads"), nb::arg("y").none(), nb::arg("final_h").none(),
             nb::arg("final_c").none(),
             "recurrent_forward for layers over each other, in one or both directions, states (L * D, B, H); saves nothing.");
  module.def("recurrent_backward", &recurrent_backward, UNSPOOL_ARGUMENTS, nb::arg("d_y").none(),
             nb::arg("d_final_h").none(), nb::arg("d_final_c").none(), nb::arg("d_x").none(),
             nb::arg("d_w_ih").none(), nb::arg("d_w_hh").none(), nb::arg("d_b_ih").none(), nb::arg("d_b_hh").none(),
             nb::arg("d_extra").none(), nb::arg("d_h").none(), nb::arg("d_c").none(),
             nb::arg("d_norm").none(), nb::arg("d_norm_memory").none(),
             "The gradients of recurrent_forward, from what it saved. d_y may have one row or one step: the same for all.");
}
