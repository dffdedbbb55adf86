// What the drivers share: denormals off, threads, one kept block of memory.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#elif defined(UNSPOOL_STD_THREADS)  // ThreadSanitizer knows these, and cannot look into the OpenMP runtime
#include <thread>
#endif
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "room.h"
#include "target.h"

namespace unspool {

// The instruction set in use (run.cpp).
const Target& chosen_target();

// Numbers below 1e-38 become 0 while this lives: they cost a hundred times as much as others and mean nothing here.
class FlushDenormals {
#if defined(__SSE2__)
 public:
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
 public:
  FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
    __asm__ volatile("msr fpcr, %0" : : "r"(before_ | (std::uint64_t{1} << 24)));
  }
  ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  std::uint64_t before_;
#endif
};

// One aligned block, handed out in pieces; kept by each calling thread up to a bound, because fresh pages are slow.
class Workspace {
 public:
  ~Workspace() { std::free(block_); }

  float* reserve(Size floats) {
    if (floats > size_) {
      std::free(block_);
      size_ = 0;
      block_ = nullptr;
      if (floats > kLargest) throw std::bad_alloc();
      const Size rounded = padded(floats, kLine);
      block_ = new_block(rounded);
      if (!block_) throw std::bad_alloc();
      size_ = rounded;
    }
    return block_;
  }
  void release_beyond_bound() {
    if (size_ <= kKept) return;
    std::free(block_);
    block_ = nullptr;
    size_ = 0;
  }

 private:
  static constexpr Size kLargest = Size{1} << 40;
  static constexpr Size kKept = Size{1} << 24;  // 64 MiB
  float* block_ = nullptr;
  Size size_ = 0;
};

// The calling thread's block (run.cpp).
Workspace& workspace();

#if !defined(_OPENMP) && defined(UNSPOOL_STD_THREADS)
// Calls work(i) on thread i of `threads`.
template <class Work>
void on_threads(int threads, const Work& work) {
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i)
    all.emplace_back([&work, i] {
      const FlushDenormals flush;
      work(i);
    });
  for (std::thread& one : all) one.join();
}
#endif

// Calls work(0) ... work(count - 1) on at most `threads` threads.
template <class Work>
void parallel(int threads, Size count, const Work& work) {
  threads = static_cast<int>(std::min<Size>(threads, count));
  if (threads <= 1) {
    const FlushDenormals flush;
    for (Size i = 0; i < count; ++i) work(i);
    return;
  }
#if !defined(_OPENMP) && defined(UNSPOOL_STD_THREADS)
  std::atomic<Size> next{0};
  on_threads(threads, [&](int) {
    for (Size i = next++; i < count; i = next++) work(i);
  });
  return;
#endif
#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
#endif
  {
    const FlushDenormals flush;
#if defined(_OPENMP)
#pragma omp for schedule(dynamic, 1)
#endif
    for (Size i = 0; i < count; ++i) work(i);
  }
}

// The same for work that may throw: nothing may leave a thread, so what the first of them threw is thrown when all ended.
template <class Work>
void parallel_throwing(int threads, Size count, const Work& work) {
  std::vector<std::exception_ptr> failed(static_cast<std::size_t>(count));
  parallel(threads, count, [&](Size i) {
    try {
      work(i);
    } catch (...) {
      failed[static_cast<std::size_t>(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& one : failed)
    if (one) std::rethrow_exception(one);
}

// Calls work(Team) on at most `threads` threads at once, all of them with the same barrier.
template <class Work>
void together(int threads, const Work& work) {
  if (threads <= 1) {
    const FlushDenormals flush;
    work(Team{});
    return;
  }
#if defined(_OPENMP)
  Barrier* barrier = nullptr;
#pragma omp parallel num_threads(threads) shared(barrier)
  {
    const FlushDenormals flush;
    const int count = omp_get_num_threads();
#pragma omp single
    barrier = new Barrier(count);
    work(Team{omp_get_thread_num(), count, barrier});
  }
  delete barrier;
#elif defined(UNSPOOL_STD_THREADS)
  Barrier barrier(threads);
  on_threads(threads, [&](int i) { work(Team{i, threads, &barrier}); });
#else
  work(Team{});
#endif
}

}  // namespace unspool
