// exp in double, as many at once as vectors hold. Every operation is one that IEEE 754 rounds, in a given order, and
// nothing is fused: so all instruction sets give the same bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "api.h"

namespace unspool {

// to[j] = exp((x[j] - top) / temperature) to 2e-16 relative, x[j] <= top; 0 where it would be below 1e-307.
template <class V>  // only so that each instruction set has its own copy
void shares(const float* __restrict x, Size n, float top, double temperature, double* __restrict to) {
  constexpr auto kFar = std::bit_cast<std::int64_t>(707.0);
  constexpr double kShift = 6755399441055744.0;  // 1.5·2^52: adding it leaves a whole number in the lowest bits
  for (Size j = 0; j < n; ++j) {
    const double away = (static_cast<double>(top) - static_cast<double>(x[j])) / temperature;
    const auto given = std::bit_cast<std::int64_t>(away);  // in the order of the numbers, since none is negative
    const double y = -std::bit_cast<double>(std::min(given, kFar));
    const double shifted = y * 1.4426950408889634 + kShift;
    const double whole = shifted - kShift;
    const double r = (y - whole * 0.693147180369123816490) - whole * 1.90821492927058770002e-10;  // ln(2) in two parts
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const auto power = (std::bit_cast<std::uint64_t>(shifted) << 52) + (std::uint64_t{1023} << 52);
    const auto e = std::bit_cast<std::uint64_t>(p * std::bit_cast<double>(power));
    const auto kept = static_cast<std::uint64_t>((given - kFar) >> 63);  // all bits or none: no branch
    to[j] = std::bit_cast<double>(e & kept);
  }
}

}  // namespace unspool
