#include "rows.h"

#include <cmath>
#include <vector>

#include "runtime.h"

namespace unspool {
namespace {

constexpr Size kRows = 64;  // for a thread at a time
constexpr Size kAhead = 4;  // rows that are asked for before their turn

// Asks for the next rows while one is computed: they lie anywhere in the table, and memory is what a step waits for.
void fetch_row(const RowTable& t, Size row) {
  for (Size j = 0; j < t.width; j += kLine)
    for (const float* part : {t.weight, t.first, t.second}) __builtin_prefetch(part + row * t.width + j, 1);
}

// Calls work(i) for 0 ... count - 1, some at a time on each thread.
template <class Work>
void by_rows(int threads, Size count, const Work& work) {
  parallel(threads, (count + kRows - 1) / kRows, [&](Size part) {
    for (Size i = part * kRows, end = std::min(count, i + kRows); i < end; ++i) work(i);
  });
}

struct Late {
  Size row, clock;
};

// Sets the clocks of the named rows to place; gives those that were behind, each once.
std::vector<Late> late_rows(const RowTable& t, const std::int64_t* ids, Size count) {
  std::vector<Late> late;
  for (Size i = 0; i < count; ++i) {
    const Size row = ids ? ids[i] : i, clock = static_cast<Size>(t.clock[row]);
    if (clock == t.place) continue;
    t.clock[row] = static_cast<float>(t.place);
    late.push_back({row, clock});
  }
  return late;
}

void catch_up_row(const RowTable& t, const Late& late, float eps) {
  float* __restrict w = t.weight + late.row * t.width;
  float* __restrict m = t.first + late.row * t.width;
  float* __restrict v = t.second + late.row * t.width;
  const float moved = t.ahead[late.clock], kept = t.ahead[t.columns + late.clock];
  const float first = t.ahead[2 * t.columns + late.clock], second = t.ahead[3 * t.columns + late.clock];
  for (Size j = 0; j < t.width; ++j) {
    w[j] = w[j] * kept - moved * m[j] / (std::sqrt(v[j]) + eps);
    m[j] *= first;
    v[j] *= second;
  }
}

void update_row(const RowTable& t, Size row, const float* __restrict g, const RowStep& s) {
  float* __restrict w = t.weight + row * t.width;
  float* __restrict m = t.first + row * t.width;
  float* __restrict v = t.second + row * t.width;
  for (Size j = 0; j < t.width; ++j) {
    m[j] = m[j] + (g[j] - m[j]) * s.first_new;
    v[j] = v[j] * s.second_kept + g[j] * g[j] * s.second_new;
    w[j] = w[j] * s.kept - s.rate * m[j] / (std::sqrt(v[j]) * s.scale + s.eps);
  }
}

// The members of slot k, ascending: order[start[k]] ... order[start[k + 1] - 1].
struct Groups {
  std::vector<Size> start, order;
};

Groups by_slot(const std::int64_t* slots, Size n, Size count) {
  Groups g{std::vector<Size>(static_cast<std::size_t>(count) + 1), std::vector<Size>(static_cast<std::size_t>(n))};
  for (Size i = 0; i < n; ++i)
    if (slots[i] >= 0) ++g.start[static_cast<std::size_t>(slots[i]) + 1];
  for (std::size_t k = 1; k < g.start.size(); ++k) g.start[k] += g.start[k - 1];
  std::vector<Size> next = g.start;
  for (Size i = 0; i < n; ++i)
    if (slots[i] >= 0) g.order[static_cast<std::size_t>(next[static_cast<std::size_t>(slots[i])]++)] = i;
  return g;
}

}  // namespace

Size distinct_rows(const std::int64_t* ids, Size n, Size rows, bool padding, std::int64_t* slots, std::int64_t* distinct) {
  const auto words = static_cast<std::size_t>((rows + 63) / 64);
  std::vector<std::uint64_t> seen(words);  // a bit for each row
  std::vector<Size> before(words);         // rows seen in earlier words
  for (Size i = 0; i < n; ++i) seen[static_cast<std::size_t>(ids[i] >> 6)] |= std::uint64_t{1} << (ids[i] & 63);
  if (padding) seen[0] &= ~std::uint64_t{1};
  Size count = 0;
  for (std::size_t k = 0; k < words; ++k) {
    before[k] = count;
    for (std::uint64_t left = seen[k]; left; left &= left - 1)
      distinct[count++] = static_cast<Size>(k) * 64 + __builtin_ctzll(left);
  }
  for (Size i = 0; i < n; ++i) {
    const auto word = static_cast<std::size_t>(ids[i] >> 6);
    const std::uint64_t lower = seen[word] & ((std::uint64_t{1} << (ids[i] & 63)) - 1);
    slots[i] = padding && ids[i] == 0 ? -1 : before[word] + __builtin_popcountll(lower);
  }
  return count;
}

void sum_rows(const float* gradient, const std::int64_t* slots, Size n, Size width, Size count, float* sums,
              int threads) {
  const Groups groups = by_slot(slots, n, count);
  by_rows(threads, count, [&](Size slot) {
    float* __restrict to = sums + slot * width;
    std::fill_n(to, width, 0.0f);
    const auto k = static_cast<std::size_t>(slot);
    for (Size i = groups.start[k]; i < groups.start[k + 1]; ++i) {
      const float* __restrict from = gradient + groups.order[static_cast<std::size_t>(i)] * width;
      for (Size j = 0; j < width; ++j) to[j] += from[j];
    }
  });
}

void catch_up_rows(const RowTable& table, const std::int64_t* ids, Size count, float eps, int threads) {
  const std::vector<Late> late = late_rows(table, ids, count);
  const auto number = static_cast<Size>(late.size());
  by_rows(threads, number, [&](Size i) {
    if (i + kAhead < number) fetch_row(table, late[static_cast<std::size_t>(i + kAhead)].row);
    catch_up_row(table, late[static_cast<std::size_t>(i)], eps);
  });
}

void update_rows(const RowTable& table, const std::int64_t* ids, Size count, const float* gradient, const RowStep& step,
                 int threads) {
  by_rows(threads, count, [&](Size i) {
    if (i + kAhead < count) fetch_row(table, ids[i + kAhead]);
    update_row(table, ids[i], gradient + i * table.width, step);
    table.clock[ids[i]] = static_cast<float>(table.place + 1);
  });
}

}  // namespace unspool
