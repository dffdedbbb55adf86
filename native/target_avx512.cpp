#include "simd/avx512.h"
#include "target_kernels.h"

namespace unspool {
const Target avx512_target = target_of<Avx512>();
}  // namespace unspool
