// Adam by rows: a step reads and writes only those rows of a table of vectors that its batch holds.
#pragma once

#include "api.h"

namespace unspool {

// A table as ops/rows.py defines it. A row's clock tells up to which place it and its moments are brought.
struct RowTable {
  Size rows, width, columns;
  float *weight, *first, *second;  // (V, E): the vectors and the two moments of Adam
  float* clock;                    // (V): 0 to place
  const float* ahead;              // (4, columns): what brings a row from each clock to place
  Size place;                      // at most columns
};

// Numbers of one step of Adam.
struct RowStep {
  float kept;         // 1 - rate · decay
  float rate;         // divided by the first bias correction
  float first_new;    // 1 - beta1
  float second_kept, second_new;  // beta2, 1 - beta2
  float scale;        // 1 / root of the second bias correction
  float eps;
};

// The distinct ids in ascending order to `distinct`, room for n; returns how many. slots (n): where each id stands in
// `distinct`. With `padding` id 0 is left out, its slot is -1.
Size distinct_rows(const std::int64_t* ids, Size n, Size rows, bool padding, std::int64_t* slots, std::int64_t* distinct);

// sums (count, width): the sum of the rows of gradient (n, width) that have that slot, in ascending order.
void sum_rows(const float* gradient, const std::int64_t* slots, Size n, Size width, Size count, float* sums, int threads);

// Brings the `count` named rows, or all when `ids` is null, to place. An id may come twice.
void catch_up_rows(const RowTable& table, const std::int64_t* ids, Size count, float eps, int threads);

// A step for `count` different rows at place with gradient (count, width); their clock is place + 1 then.
void update_rows(const RowTable& table, const std::int64_t* ids, Size count, const float* gradient, const RowStep& step,
                 int threads);

}  // namespace unspool
