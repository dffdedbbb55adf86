// What the kernels are given: plain pointers and sizes, already checked (see check.h). No Python, no torch.
//
// Sizes are 64-bit. B rows (batch), T steps, I inputs, H hidden units, G gates: all arrays are dense, row-major
// float32 in torch's layout and belong to the caller. Unless stated, arrays do not overlap.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unspool {

using Size = std::int64_t;

enum class Cell {
  rnn_tanh, rnn_relu, gru, gru_reset_before, lstm, peephole, prototype, normalised, pseudo, mingru, qrnn, count
};

constexpr float kNormEpsilon = 1e-5f;

// How a cell uses its weights, and what its backward pass needs to be told again. A *slot* is one pre-activation
// of a unit; slots stand in an order that makes the slots of each product neighbours.
//   x, r1, r2: half-open ranges of slots that see the input, the state as it is read, and the state as it is
//   read times the gate `second_gate` (the second product of a step, when there is one).
struct SlotRange {
  int begin, end;
  constexpr int count() const { return end - begin; }
  constexpr bool has(int slot) const { return slot >= begin && slot < end; }
};

struct CellLayout {
  int gates;         // row blocks of the weights
  int slots;         // pre-activations of a unit, at most 4
  int gate_of[4];    // slot -> row block of the weights
  SlotRange x, r1, r2;
  int second_gate;   // slot of the gate of the second product; -1: one product a step
  bool has_memory;   // a second state c beside h
  bool keeps_state;  // the raw second (or, without one, first) state is saved at every step
  int extras;        // vectors of H floats besides the matrices (peepholes; gain and shift of a normalisation)
};

// One layer in one direction over a padded batch. Absent parts are null.
struct Sequence {
  Cell cell;
  Size rows, steps, inputs, hidden;
  bool reverse;            // each row starts at its own last valid step
  bool projected;          // x holds x·W_ih^T already: (B, T, G·H) in torch's gate order; inputs = 0, w_ih null
  int threads;
  const std::int64_t* lengths;  // (B), 0..T; null: all T
  const std::int64_t* tokens;   // (B, T) or null: rows of x, then projected and (N, G·H) with one row a distinct token
  Size distinct;                // N
  const float* x;          // (B, T, I)
  const float* w_ih;       // (G·H, I)
  const float* w_hh;       // (G·H, H); null for a cell without a recurrent product, which is always projected
  const float* b_ih;       // (G·H) or null
  const float* b_hh;       // (G·H) or null
  const float* extra;      // (extras·H) or null: peepholes i, f, o; or gain then shift
  const float* state[2];   // (B, H) each: h or s; c
  const float* mask;       // (B, H) or null: multiplies what the recurrent products read
  const std::uint8_t* keep[2];  // (B, T, H) or null: zoneout, 1 where the previous value stays; for h or s; c
  const float* norm;       // (4, G·H) or null: gain, then shift, of the normalisation of W h over its units, then of W x
  const float* norm_memory;  // (2, H): the same for c before it is shown; beside norm, for a cell with a memory
  float keep_share;        // zoneout in evaluation: share of the previous value; 0: none
  float* y;                // (B, T, H), 0 past each length
  float* final_state[2];   // (B, H) each
  float* saved;            // saved_floats() or null: inference
};

// The gradients of one call of `forward`, which has filled `saved`.
struct Gradients {
  const float* y;               // (B, T, H) or null: zero
  Size y_row, y_step;           // floats from a row of it to the next, from a step to the next; 0: the same for all
  const float* final_state[2];  // (B, H) or null: zero
  float* x;                     // like x in the call, or null: not wanted; 0 past each length
  float* w_ih;                  // (G·H, I) or null
  float* w_hh;                  // (G·H, H) or null
  float* b_ih;                  // (G·H) or null
  float* b_hh;                  // (G·H) or null
  float* extra;                 // (extras·H) or null
  float* norm;                  // (4, G·H) or null
  float* norm_memory;           // (2, H) or null
  float* state[2];              // (B, H); never null where the cell has the state
};

constexpr Size kLine = 16;  // floats of a line of the caches
constexpr Size padded(Size units, Size width) { return (units + width - 1) / width * width; }

}  // namespace unspool
