#include "simd/avx2.h"
#include "target_kernels.h"

namespace unspool {
const Target avx2_target = target_of<Avx2>();
}  // namespace unspool
