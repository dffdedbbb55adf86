#include "stepper.h"

#include <cstring>
#include <numeric>
#include <stdexcept>

#include "forward.h"
#include "run.h"
#include "sharing.h"

namespace unspool {
namespace {

constexpr Size kTogether = 64;  // rows whose states and sums share a second-level cache with the weights
constexpr Size kEach = 8;       // rows of a thread from which on it is quicker to share them than the units

}  // namespace

Stepper::Block Stepper::allocate(Size floats) {
  Block block(new_block(floats));
  if (!block) throw std::bad_alloc();
  return block;
}

// vectors · w_ihᵀ, dense, (count, G·H).
Stepper::Block Stepper::project(const Sequence& s, const float* vectors, Size count) const {
  const FlushDenormals flush;
  const Size outputs = layout_of(s.cell).gates * s.hidden, width = padded(outputs, kPanel);
  Size floats;
  if (__builtin_mul_overflow(count, width, &floats)) throw std::bad_alloc();
  const Block panels = allocate(width * s.inputs + width);
  Block table = allocate(floats);
  const Product product{outputs, s.inputs, s.w_ih, nullptr, panels.get(), panels.get() + width * s.inputs};
  target_.pack_product(product);
  target_.product(product, count, vectors, s.inputs, table.get(), width, {});
  for (Size i = 1; i < count && width > outputs; ++i)
    std::memmove(table.get() + i * outputs, table.get() + i * width, static_cast<std::size_t>(outputs) * sizeof(float));
  return table;
}

void Stepper::add_layer(const Sequence& given, const float* vectors, Size count) {
  Sequence s = given;
  s.rows = s.steps = s.threads = 1;
  s.lengths = nullptr;
  const bool fits = layers_.empty() || (s.cell == layers_[0].plan.s.cell && s.hidden == hidden() && s.inputs == hidden());
  if (!fits || !products_.empty() || s.projected || s.norm || s.reverse || !s.w_hh || (vectors && !layers_.empty()))
    throw std::invalid_argument("layer: expected a forward recurrent layer over the outputs of the one before");
  Block table = vectors ? project(s, vectors, count) : nullptr;
  if (vectors) s.projected = true, s.inputs = 0, s.w_ih = nullptr;
  Plan plan = make_plan(s, {}, sort_rows(s));
  const auto place = [&](Pieces& pieces) {
    take_panels(plan, pieces);
    take_extras(plan, pieces);
  };
  Pieces counted(nullptr);
  place(counted);
  Block block = allocate(counted.used());
  Pieces handed(block.get());
  place(handed);
  target_.pack_forward(plan, 0, 1);
  weights_ += plan.cell.gates * s.hidden * (s.inputs + s.hidden);
  layers_.push_back({plan, std::move(block)});
  if (!vectors) return;
  table_ = std::move(table);
  tokens_ = count;
}

void Stepper::add_product(const float* weight, const float* bias, Size outputs, Size depth) {
  if (layers_.empty() || depth != this->outputs() || outputs < 1)
    throw std::invalid_argument("product: expected as many columns as there are outputs before it");
  const Size width = padded(outputs, kPanel);
  Block block = allocate(width * depth + width);
  const Product product{outputs, depth, weight, bias, block.get(), block.get() + width * depth};
  target_.pack_product(product);
  weights_ += outputs * depth;
  products_.push_back({product, std::move(block)});
}

void Stepper::step(const StepCall& call) const {
  const Size rows = call.rows;
  sharing(rows).time(call.threads, weights_ * rows, weights_ * rows, [&](int members) {
    if (rows < members * kEach) return step_rows(call, 0, rows, members);
    parallel_throwing(members, members, [&](Size i) {
      const Size end = rows * (i + 1) / members;
      for (Size first = rows * i / members; first < end; first += kTogether)
        step_rows(call, first, std::min(kTogether, end - first), 1);
    });
  });
}

// By so many threads, who share the units.
void Stepper::step_rows(const StepCall& call, Size first, Size rows, int members) const {
  Sequence like{};
  like.rows = rows, like.steps = 1;
  const Rows order = sort_rows(like);
  const Size size = hidden();
  std::vector<Plan> plans;
  const float* x = tokens_ ? table_.get() : call.x + first * inputs();
  for (const Layer& layer : layers_) {
    Plan p = layer.plan;
    const Size at = (static_cast<Size>(plans.size()) * call.rows + first) * size;
    p.s.rows = p.group_rows = rows;
    if (tokens_ && plans.empty()) p.s.tokens = call.tokens + first;
    p.order = order.order.data(), p.length = order.length.data();
    for (int k = 0; k < (p.cell.has_memory ? 2 : 1); ++k) {
      p.s.state[k] = call.state[k] + at;
      p.s.final_state[k] = call.after[k] + at;
    }
    plans.push_back(p);
  }
  std::vector<float*> scratch(plans.size()), spoken(products_.size());
  with_workspace([&](Pieces& pieces) {
    for (std::size_t k = 0; k < plans.size(); ++k) {
      Plan& p = plans[k];
      scratch[k] = pieces.take(forward_scratch(p, members));
      p.s.y = pieces.take(rows * size);
      p.s.x = k ? plans[k - 1].s.y : x;
    }
    for (std::size_t k = 0; k < products_.size(); ++k)
      spoken[k] = pieces.take(rows * padded(products_[k].product.outputs, kPanel));
  });
  if (products_.empty()) plans.back().s.y = call.y + first * size;
  together(members, [&](Team team) {
    for (std::size_t k = 0; k < plans.size(); ++k)
      target_.forward[static_cast<int>(plans[k].s.cell)](plans[k], 0, scratch[k], team);
    if (!products_.empty()) say(call, first, rows, plans.back().s.y, spoken.data(), team);
  });
  workspace().release_beyond_bound();
}

// The products after the layers; y (rows, H).
void Stepper::say(const StepCall& call, Size first, Size rows, const float* y, float* const* spoken, Team team) const {
  Size width = hidden();
  for (std::size_t k = 0; k < products_.size(); ++k) {
    const Product& p = products_[k].product;
    const Size wider = padded(p.outputs, kPanel);
    target_.product(p, rows, y, width, spoken[k], wider, team);
    team.wait();
    y = spoken[k], width = wider;
  }
  const Size n = outputs();
  for (Size i = team.index; i < rows; i += team.count) {
    float* from = spoken[products_.size() - 1] + i * width;
    float* to = call.y + (first + i) * n;
    if (call.log_softmax) target_.log_softmax(from, n, to);
    else std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
  }
}

}  // namespace unspool
