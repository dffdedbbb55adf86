#include "room.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace unspool {
namespace {

constexpr Size kKept = Size{1} << 26;  // 256 MiB in all

struct Spare {
  std::mutex lock;
  std::vector<Room> rooms;  // the longest kept first
  Size floats = 0;
};

// Never destroyed: a tensor may die after main has ended.
Spare& spare() {
  static Spare* all = new Spare;
  return *all;
}

Room remove(Spare& s, std::size_t k) {
  const Room room = s.rooms[k];
  s.rooms.erase(s.rooms.begin() + static_cast<std::ptrdiff_t>(k));
  s.floats -= room.floats;
  return room;
}

}  // namespace

float* new_block(Size floats) noexcept {
  const Size unit = floats < kPage ? kLine : kPage;
  const auto bytes = [](Size count) { return static_cast<std::size_t>(count) * sizeof(float); };
  auto* data = static_cast<float*>(std::aligned_alloc(bytes(unit), bytes(padded(floats, unit))));
#if defined(__linux__)
  if (data && unit == kPage) madvise(data, bytes(padded(floats, unit)), MADV_HUGEPAGE);  // a wish: pages may be small
#endif
  return data;
}

Room take_room(Size floats) {
  if (floats < 0 || floats > Size{1} << 58) throw std::bad_alloc();
  Spare& s = spare();
  {
    const std::lock_guard<std::mutex> held(s.lock);
    for (std::size_t k = s.rooms.size(); k-- > 0;)
      if (floats <= s.rooms[k].floats && s.rooms[k].floats <= 2 * floats) return remove(s, k);
  }
  float* data = new_block(padded(floats, kPage));
  if (!data) {  // what is kept may be what is missing
    const std::lock_guard<std::mutex> held(s.lock);
    while (!s.rooms.empty()) std::free(remove(s, 0).data);
    data = new_block(padded(floats, kPage));
  }
  if (!data) throw std::bad_alloc();
  return {data, padded(floats, kPage)};
}

void give_back(const Room& room) noexcept {
  if (room.floats > kKept) return std::free(room.data);
  try {
    Spare& s = spare();
    const std::lock_guard<std::mutex> held(s.lock);
    s.rooms.push_back(room);
    s.floats += room.floats;
    while (s.floats > kKept) std::free(remove(s, 0).data);
  } catch (...) {  // no memory to remember it by
    std::free(room.data);
  }
}

}  // namespace unspool
