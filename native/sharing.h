// Whether the few microseconds of a step are worth sharing between threads at this moment.
//
// On a quiet machine two threads gain up to five times: each then finds its half of the weights in a cache of its
// own. On a busy one the other thread may get its turn thousands of times later than the step takes. So the time of
// steps is looked at, and one that came in late is followed by some that are computed alone. No answer depends on it:
// the kernels give the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <chrono>

#include "api.h"

namespace unspool {

class Sharing {
 public:
  // Calls run(members) with 1 or `threads` members. products: those between two meetings, and those of the whole call.
  template <class Run>
  void time(int threads, Size products, Size whole, const Run& run) {
    if (threads == 1 || products < kWorth || whole < 1) return run(1);
    const bool alone = calls_++ % kAgain == 0 || pause_ > 0;
    const auto before = std::chrono::steady_clock::now();
    run(alone ? 1 : threads);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    learn(alone, took.count() / static_cast<double>(whole));
  }

 private:
  static constexpr Size kWorth = 1 << 16;  // from here on two threads gain more than meeting costs
  static constexpr unsigned kAgain = 256;  // how often the time alone is measured again
  static constexpr double kLate = 3.0;     // times the time alone
  static constexpr int kLongest = 4096;

  void learn(bool alone, double cost) {
    if (alone) {
      alone_ = alone_ == 0.0 ? cost : std::min(cost, 1.1 * alone_);
      if (pause_ > 0 && --pause_ == 0) wakes_ = true;
    } else if (wakes_) {
      wakes_ = false;
    } else if (cost > kLate * alone_) {
      pause_ = next_pause_;
      next_pause_ = std::min(2 * next_pause_, kLongest);
    } else {
      next_pause_ = std::max(16, next_pause_ - 1);
    }
  }

  unsigned calls_ = 0;
  double alone_ = 0.0;  // seconds a product
  int pause_ = 0, next_pause_ = 16;
  bool wakes_ = true;    // the next shared call may have to make or wake the other threads: it counts for nothing
};

// The calling thread's, for calls of about so many rows: a product costs less the more rows there are (run.cpp).
Sharing& sharing(Size rows);

}  // namespace unspool
