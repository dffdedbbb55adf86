#include "draw.h"

#include <cmath>
#include <vector>

#include "runtime.h"

namespace unspool {
namespace {

// NaN when one of them is; the greatest otherwise.
float greatest(const float* x, Size n) {
  float top = x[0];
  for (Size j = 1; j < n; ++j) top = x[j] > top || x[j] != x[j] ? x[j] : top;
  return top;
}

// running (n) is room for the running sums.
Size draw_row(const float* x, Size n, double temperature, double uniform, float top, double* running) {
  chosen_target().shares(x, n, top, temperature, running);
  double sum = 0.0;
  for (Size j = 0; j < n; ++j) running[j] = sum += running[j];
  const double passed = uniform * sum;
  Size last = 0;
  for (Size j = 0; j < n; ++j) {
    if (running[j] > passed) return j;
    if (j && running[j] > running[j - 1]) last = j;
  }
  return last;  // rounding must not pass the last possible one
}

}  // namespace

bool draw(const DrawCall& call) {
  std::vector<double> running(static_cast<std::size_t>(call.columns));
  for (Size i = 0; i < call.rows; ++i) {
    const float* x = call.log_probs + i * call.columns;
    const float top = greatest(x, call.columns);
    if (!(top > -INFINITY && top < INFINITY)) return false;
    call.tokens[i] = draw_row(x, call.columns, call.temperature, call.uniform[i], top, running.data());
    call.chosen[i] = x[call.tokens[i]];
  }
  return true;
}

}  // namespace unspool
