// Steps of stacked layers with the weights they had when they were added: packed once and kept.
#pragma once

#include <memory>
#include <vector>

#include "planning.h"

namespace unspool {

// All dense. after and y overlap nothing.
struct StepCall {
  Size rows;
  const float* x;         // (B, I), or null for a stepper over tokens
  const std::int64_t* tokens;  // (B): which of its vectors each row reads
  const float* state[2];  // (L, B, H): h; c or null
  float* after[2];        // the same
  float* y;               // (B, O): what the last product or, without one, the last layer says
  bool log_softmax;       // of y
  int threads;
};

class Stepper {
 public:
  Stepper() : target_(chosen_target()) {}
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  // A layer in the same cell as those before, over as many units; its inputs are their outputs. Throws
  // std::invalid_argument for another. `vectors` (count, I), for the first: each step then reads one of them a row, and
  // their projections are made here.
  void add_layer(const Sequence& s, const float* vectors = nullptr, Size count = 0);
  // A dense layer over what was added before: weight (outputs, depth), bias (outputs) or null.
  void add_product(const float* weight, const float* bias, Size outputs, Size depth);

  Size layers() const { return static_cast<Size>(layers_.size()); }
  Size inputs() const { return layers_.empty() ? 0 : layers_.front().plan.s.inputs; }
  Size hidden() const { return layers_.empty() ? 0 : layers_.front().plan.s.hidden; }
  Size outputs() const { return products_.empty() ? hidden() : products_.back().product.outputs; }
  Size tokens() const { return tokens_; }  // how many vectors there are to choose from; 0: x is given
  bool has_memory() const { return !layers_.empty() && layers_.front().plan.cell.has_memory; }

  void step(const StepCall& call) const;

 private:
  struct Free {
    void operator()(float* block) const { std::free(block); }
  };
  using Block = std::unique_ptr<float, Free>;
  struct Layer {
    Plan plan;
    Block block;
  };
  struct Dense {
    Product product;
    Block block;
  };

  static Block allocate(Size floats);
  Block project(const Sequence& s, const float* vectors, Size count) const;
  void step_rows(const StepCall& call, Size first, Size rows, int members) const;
  void say(const StepCall& call, Size first, Size rows, const float* y, float* const* scratch, Team team) const;

  const Target& target_;  // whose panels these are
  std::vector<Layer> layers_;
  std::vector<Dense> products_;
  Block table_;  // (tokens, G·H): what the first layer makes of each vector
  Size tokens_ = 0;
  Size weights_ = 0;
};

}  // namespace unspool
