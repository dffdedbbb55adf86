#include "region.h"

#include "region_kernels.h"
#include "runtime.h"

namespace unspool {

void region_forward(const RegionCall& call) {
  const Size threads = std::clamp<Size>(call.threads, 1, std::max<Size>(1, call.rows));
  const Size packed = padded(region_packed(call), 16), each = padded(region_scratch(call), 16);
  float* panels = workspace().reserve(packed + threads * each);
  float* scratch = panels + packed;
  chosen_target().region_pack(call, panels);
  // Texts are dealt out in turn, so that a batch sorted by length is shared evenly.
  parallel(static_cast<int>(threads), threads, [&](Size part) {
    for (Size row = part; row < call.rows; row += threads)
      chosen_target().region_forward(call, panels, row, scratch + part * each);
  });
  workspace().release_beyond_bound();
}

void region_backward(const RegionCall& call, const RegionGradients& g) {
  const Target& target = chosen_target();
  if (g.x) parallel(call.threads, call.rows, [&](Size row) { target.region_input_gradient(call, g, row); });
  if (!g.weight && !g.bias) return;
  const Size parts = std::clamp<Size>(call.threads, 1, call.filters);
  parallel(static_cast<int>(parts), parts, [&](Size part) {
    target.region_weight_gradient(call, g, call.filters * part / parts, call.filters * (part + 1) / parts);
  });
}

}  // namespace unspool
