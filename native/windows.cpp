#include "windows.h"

#include "planning.h"
#include "runtime.h"
#include "window_kernels.h"

namespace unspool {
namespace {

// Calls work(row, scratch) for all texts, dealt out in turn, so that a batch sorted by length is shared evenly.
template <class Work>
void by_texts(const WindowCall& call, Size threads, float* scratch, Size each, const Work& work) {
  parallel(static_cast<int>(threads), threads, [&](Size part) {
    for (Size row = part; row < call.rows; row += threads) work(row, scratch + part * each);
  });
}

}  // namespace

void windows_forward(const WindowCall& call) {
  const Size whole = padded(call.filters, kPanel), depth = call.depth(), each = padded(windows_forward_scratch(call), kLine);
  const Size threads = std::clamp<Size>(call.threads, 1, std::max<Size>(1, call.rows));
  float *panels = nullptr, *start = nullptr, *scratch = nullptr;
  with_workspace([&](Pieces& pieces) {
    panels = pieces.take(whole * depth);
    start = pieces.take(whole);
    scratch = pieces.take(threads * each);
  });
  for (Size f = 0; f < whole; ++f) start[f] = call.bias && f < call.filters ? call.bias[f] : 0.0f;
  const Target& target = chosen_target();
  parallel(call.threads, whole / kPanel, [&](Size number) {
    target.pack_matrix(call.weight, 1, depth, depth, call.filters, number, panels);
  });
  by_texts(call, threads, scratch, each, [&](Size row, float* own) { target.windows_forward(call, panels, start, row, own); });
  workspace().release_beyond_bound();
}

void windows_backward(const WindowCall& call, const WindowGradients& g) {
  const Size threads = std::clamp<Size>(call.threads, 1, std::max<Size>(1, call.rows));
  const Size parts = std::clamp<Size>(call.threads, 1, call.filters), whole = padded(call.width, kPanel);
  const Size each = padded(windows_back_scratch(call), kLine);
  const Size own = padded(windows_weight_scratch(call, (call.filters + parts - 1) / parts), kLine);
  float *panels = nullptr, *scratch = nullptr, *sums = nullptr;
  with_workspace([&](Pieces& pieces) {
    panels = pieces.take(g.x ? whole * call.size * call.filters : 0);
    scratch = pieces.take(g.x ? threads * each : 0);
    sums = pieces.take(g.weight || g.bias ? parts * own : 0);
  });
  const Target& target = chosen_target();
  if (g.x) {
    parallel(call.threads, whole / kPanel, [&](Size number) { target.pack_windows_back(call, number, panels); });
    by_texts(call, threads, scratch, each, [&](Size row, float* d) { target.windows_input_gradient(call, g, panels, row, d); });
  }
  if (g.weight || g.bias)
    parallel(call.threads, parts, [&](Size part) {
      const Size first = call.filters * part / parts, last = call.filters * (part + 1) / parts;
      target.windows_weight_gradient(call, g, first, last, sums + part * own);
    });
  workspace().release_beyond_bound();
}

}  // namespace unspool
