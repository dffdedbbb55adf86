// From the arguments of a call to its Plan.
#pragma once

#include <vector>

#include "plan.h"
#include "runtime.h"

namespace unspool {

// First counts what is needed, then hands it out: the same code runs twice.
class Pieces {
 public:
  explicit Pieces(float* block) : block_(block) {}
  float* take(Size floats) {
    float* mine = block_ ? block_ + used_ : nullptr;
    used_ += (floats + 15) / 16 * 16;
    return mine;
  }
  Size used() const { return used_; }

 private:
  float* block_;
  Size used_ = 0;
};

struct Rows {
  std::vector<Size> order, length, place;  // as in Plan
  Size parts;
};

// Longest first.
Rows sort_rows(const Sequence& s);
// All but the places of what is packed. `rows` is to outlive the plan.
Plan make_plan(const Sequence& s, const Gradients& g, const Rows& rows);
// The chunks of a plan, and how it keeps their gradients. They are to outlive the plan.
std::vector<Chunk> cut(Plan& p);
void take_panels(Plan& p, Pieces& pieces);
void take_extras(Plan& p, Pieces& pieces);

// Runs `place` once to count and once to hand out.
template <class Place>
void with_workspace(const Place& place) {
  Pieces counted(nullptr);
  place(counted);
  Pieces handed(workspace().reserve(counted.used()));
  place(handed);
}

}  // namespace unspool
