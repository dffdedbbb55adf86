#include "layers.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "run.h"
#include "runtime.h"

namespace unspool {
namespace {

// Checks what lies over all layers; the floats of y.
Size check_whole(const Arguments& all, Size count, int directions) {
  if (count == 0 || count % directions)
    throw std::invalid_argument("layers: expected one at least, with weights for each direction");
  const Tensor& shaped = all.tokens.kind == Kind::absent ? all.x : all.tokens;
  if (shaped.rank < 2) throw std::invalid_argument(std::string(shaped.name) + ": expected rows and steps");
  const Size rows = shaped.shape[0], steps = shaped.shape[1];
  const Size hidden = all.h.rank == 3 ? all.h.shape[2] : all.h.shape[1];  // else its rank is told
  for (const Tensor* state : {&all.h, &all.final_h}) check_tensor(*state, Kind::float32, {count, rows, hidden});
  for (const Tensor* state : {&all.c, &all.final_c})
    if (state->kind != Kind::absent) check_tensor(*state, Kind::float32, {count, rows, hidden});
  product("h", {count, rows, hidden, 4});
  const Size width = product("y", {directions, hidden}), floats = product("y", {rows, steps, width, 4}) / 4;
  check_tensor(all.y, Kind::float32, {rows, steps, width});
  return floats;
}

// The part of layer k in a tensor over all of them.
Tensor part_of(const Tensor& all, Size k) {
  Tensor part = all;
  part.rank = 2, part.shape[0] = all.shape[1], part.shape[1] = all.shape[2];
  if (part.data) part.data = static_cast<float*>(all.data) + k * part.shape[0] * part.shape[1];
  return part;
}

void check_all_apart(const Arguments& all, const std::vector<LayerWeights>& weights) {
  std::vector<const Tensor*> inputs{&all.x,    &all.lengths, &all.tokens, &all.h,          &all.c,
                                    &all.mask, &all.keep,    &all.norm,   &all.norm_memory};
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
      y_(static_cast<float*>(all.y.data)),
      floats_(check_whole(all, static_cast<Size>(weights.size()), directions)),
      beside_{Taken(directions == 2 ? floats_ / 2 : weights.size() > 1 ? floats_ : 0), Taken(directions == 2 ? floats_ / 2 : 0)} {
  const Size count = static_cast<Size>(weights.size());
  Arguments a = all;
  a.y.shape[2] /= directions;
  for (Size k = 0; k < count; ++k) {
    const LayerWeights& own = weights[static_cast<std::size_t>(k)];
    a.w_ih = own.w_ih, a.w_hh = own.w_hh, a.b_ih = own.b_ih, a.b_hh = own.b_hh, a.extra = own.extra;
    a.h = part_of(all.h, k), a.c = part_of(all.c, k), a.final_h = part_of(all.final_h, k), a.final_c = part_of(all.final_c, k);
    const Size direction = k % directions;
    const bool to_y = directions == 1 && (count - k) % 2 == 1;  // the last one's is y, that of the one before is beside it
    a.reverse = direction == 1;
    a.y.data = to_y ? y_ : beside_[direction].data();
    sequences_.push_back(check(a, nullptr, nullptr));
    if (direction + 1 < directions) continue;
    a.x = all.y;  // where the directions are joined, when those of the next layer do not read it any more
    a.x.name = "x";
    if (directions == 1) a.x.data = a.y.data;
  }
  check_all_apart(all, weights);
}

void Layers::run() const {
  const auto step = static_cast<std::size_t>(directions_);
  for (std::size_t k = 0; k < sequences_.size(); k += step) {
    const Sequence& s = sequences_[k];
    if (directions_ == 1) {
      forward(s);
      continue;
    }
    forward_pair(s, sequences_[k + 1]);
    join(beside_[0].data(), beside_[1].data(), s.rows * s.steps, s.hidden, s.threads, y_);
  }
}

}  // namespace unspool
