#include "simd/scalar.h"
#include "target_kernels.h"

namespace unspool {
const Target scalar_target = target_of<Scalar>();
}  // namespace unspool
