#include "layers.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "run.h"
#include "runtime.h"

namespace unspool {
namespace {

std::invalid_argument misfit(const Tensor& t, const std::string& expected) {
  return std::invalid_argument(std::string(t.name) + ": expected " + expected);
}

// The part of layer k in a tensor over all of them.
Tensor part_of(const Tensor& all, Size k, Size count) {
  if (all.kind == Kind::absent) return all;
  if (all.rank != 3 || all.shape[0] != count) throw misfit(all, "3 dimensions, the first as long as there are weights");
  Tensor part = all;
  part.rank = 2, part.shape[0] = all.shape[1], part.shape[1] = all.shape[2];
  const Size before = product(all.name, {k, all.shape[1], all.shape[2], 4}) / 4;
  if (part.data) part.data = static_cast<float*>(all.data) + before;
  return part;
}

Size floats_of(const Tensor& y) {
  return y.kind == Kind::float32 && y.data && y.rank == 3 ? product("y", {y.shape[0], y.shape[1], y.shape[2], 4}) / 4 : 0;
}

// What one direction writes of y.
Tensor half_of(const Tensor& y, int directions) {
  if (directions == 1 || y.rank != 3) return y;
  if (y.shape[2] % directions) throw misfit(y, "the same number of units from both directions");
  Tensor half = y;
  half.shape[2] /= directions;
  return half;
}

void check_all_apart(const Arguments& all, const std::vector<LayerWeights>& weights) {
  std::vector<const Tensor*> inputs{&all.x, &all.lengths, &all.h, &all.c};
  for (const LayerWeights& own : weights)
    for (const Tensor* one : {&own.w_ih, &own.w_hh, &own.b_ih, &own.b_hh, &own.extra}) inputs.push_back(one);
  check_apart({&all.y, &all.final_h, &all.final_c}, inputs);
}

// y (rows, 2 * units): both halves (rows, units), side by side.
void join(const float* one, const float* other, Size rows, Size units, int threads, float* y) {
  constexpr Size kBlock = 256;
  const std::size_t bytes = static_cast<std::size_t>(units) * sizeof(float);
  parallel(threads, (rows + kBlock - 1) / kBlock, [&](Size block) {
    for (Size row = block * kBlock; row < std::min(rows, (block + 1) * kBlock); ++row) {
      std::memcpy(y + 2 * row * units, one + row * units, bytes);
      std::memcpy(y + (2 * row + 1) * units, other + row * units, bytes);
    }
  });
}

}  // namespace

Layers::Layers(const Arguments& all, const std::vector<LayerWeights>& weights, int directions)
    : directions_(directions),
      floats_(floats_of(all.y)),
      between_{Taken(weights.size() > std::size_t(directions) ? floats_ : 0),
               Taken(weights.size() > 2 * std::size_t(directions) ? floats_ : 0)},
      halves_{Taken(directions == 2 ? floats_ / 2 : 0), Taken(directions == 2 ? floats_ / 2 : 0)},
      y_(static_cast<float*>(all.y.data)) {
  const Size count = static_cast<Size>(weights.size());
  if (count == 0 || count % directions) throw std::invalid_argument("layers: expected one at least, with weights for each direction");
  Arguments a = all;
  for (Size k = 0; k < count; ++k) {
    const LayerWeights& own = weights[static_cast<std::size_t>(k)];
    a.w_ih = own.w_ih, a.w_hh = own.w_hh, a.b_ih = own.b_ih, a.b_hh = own.b_hh, a.extra = own.extra;
    a.h = part_of(all.h, k, count), a.c = part_of(all.c, k, count);
    a.final_h = part_of(all.final_h, k, count), a.final_c = part_of(all.final_c, k, count);
    const Size layer = k / directions, direction = k % directions;
    const bool last = layer + 1 == count / directions;
    float* given = last ? y_ : between_[layer % 2].data();
    a.reverse = direction == 1;
    a.y = half_of(all.y, directions);
    if (floats_) a.y.data = directions == 2 ? halves_[direction].data() : given;
    sequences_.push_back(check(a, nullptr, nullptr));
    if (direction + 1 < directions) continue;
    a.x = all.y;
    a.x.name = "x";
    if (floats_) a.x.data = given;
  }
  check_all_apart(all, weights);
}

void Layers::run() const {
  const std::size_t last = sequences_.size() - static_cast<std::size_t>(directions_);
  for (std::size_t k = 0; k <= last; k += static_cast<std::size_t>(directions_)) {
    const Sequence& s = sequences_[k];
    if (directions_ == 1) {
      forward(s);
      continue;
    }
    forward_pair(s, sequences_[k + 1]);
    float* joint = k == last ? y_ : between_[k / 2 % 2].data();
    join(halves_[0].data(), halves_[1].data(), s.rows * s.steps, s.hidden, s.threads, joint);
  }
}

}  // namespace unspool
