// The next token of each row, drawn by its log-probabilities.
#pragma once

#include "api.h"

namespace unspool {

struct DrawCall {
  Size rows, columns;
  const float* log_probs;  // (S, V)
  const double* uniform;   // (S), in [0, 1)
  double temperature;      // above 0
  std::int64_t* tokens;    // (S)
  float* chosen;           // (S): their log-probabilities
};

// What decoding/sampling.py defines: the first token whose running sum of exp(log_prob / temperature) passes
// uniform · sum. False when a number is NaN or infinite, or no token is possible.
bool draw(const DrawCall& call);

}  // namespace unspool
