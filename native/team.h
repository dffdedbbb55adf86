// Threads that share work and meet: forward, the units of the same rows, after every step; backward, a part, twice a
// chunk.
#pragma once

#include <atomic>
#include <thread>

#include "api.h"

namespace unspool {

class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}

  // Returns when all have called it. Waits awake for some microseconds, then lets others have the core.
  void wait() {
    const int round = round_.load(std::memory_order_relaxed);
    if (waiting_.fetch_add(1, std::memory_order_acq_rel) == count_ - 1) {
      waiting_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int spin = 0; round_.load(std::memory_order_acquire) == round; ++spin)
      if (spin > 4000) std::this_thread::yield();
  }

 private:
  const int count_;
  std::atomic<int> waiting_{0}, round_{0};
};

// One thread's place among them. Alone by default.
struct Team {
  int index = 0, count = 1;
  Barrier* barrier = nullptr;

  bool leads() const { return index == 0; }
  void wait() const {
    if (barrier) barrier->wait();
  }
};

}  // namespace unspool
