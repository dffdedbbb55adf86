// Memory for large results. The pages of fresh memory cost a tenth of what is computed on them, so what dead tensors
// leave is kept for the next ones.
#pragma once

#include "api.h"

namespace unspool {

constexpr Size kPage = Size{1} << 19;  // floats of a large page, 2 MiB

// Fresh memory, to be freed with std::free, at a multiple of 64 bytes: of whole large pages where it is as large as one
// and there are any. null: there is none.
float* new_block(Size floats) noexcept;

struct Room {
  float* data;
  Size floats;
};

// At least so many floats, uninitialised, at a multiple of 64 bytes. Throws std::bad_alloc.
Room take_room(Size floats);
// Keeps it for the next to take; beyond a bound the longest kept ones go. From any thread.
void give_back(const Room& room) noexcept;

}  // namespace unspool
