#include "simd/neon.h"
#include "target_kernels.h"

namespace unspool {
const Target neon_target = target_of<Neon>();
}  // namespace unspool
