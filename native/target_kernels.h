// The kernels of one vector type, gathered into a Target.
#pragma once

#include "cross_entropy.h"
#include "forward.h"
#include "linear_kernels.h"
#include "pack.h"
#include "parts.h"
#include "product.h"
#include "region_kernels.h"
#include "shares.h"
#include "target.h"

namespace unspool {

template <class V, class C>
void forward_group(const Plan& plan, Size group, float* scratch, Team team) {
  ForwardRun<V, C>(plan, group, scratch, team).run();
}
template <class V>
void pack_for_forward(const Plan& plan, Size index, Size count) {
  if (index == 0) pack_extras<V>(plan);
  pack_forward<V>(plan, {index, count});
}
template <class V>
void pack_for_backward(const Plan& plan, Size index, Size count) {
  pack_backward<V>(plan, {index, count});
}
template <class V>
void activate(int which, const float* x, float* y, Size n) {
  for (Size i = 0; i < n; i += V::width) {
    const V v = V::load_first(x + i, n - i);
    (which == 0 ? sigmoid(v) : hyperbolic_tangent(v)).store_first(y + i, n - i);
  }
}

// Cells in the order of the enumeration in api.h.
template <class V, class R, class... C>
constexpr Target make_target() {
  static_assert(sizeof...(C) == static_cast<int>(Cell::count));
  return {static_cast<int>(V::width), pack_for_forward<V>, pack_for_backward<V>, {forward_group<V, C>...}, {backward_part<V, C>...},
          join_parts<V>, region_pack<R>, region_forward<R>, region_input_gradient<R>,
          region_weight_gradient<R>, pack_product<V>, product<V>, log_softmax<V>, shares<V>, pack_matrix<V>, matrix_product<V>,
          cross_entropy_rows<V>, activate<V>};
}
// V: the vectors of the cells; R: those of the region convolution.
template <class V, class R = V>
constexpr Target target_of() {
  return make_target<V, R, SimpleTanh, SimpleRelu, GruResetAfter, GruResetBefore, LstmCell<false>, LstmCell<true>,
                     PrototypeCell<Read::itself>, PrototypeCell<Read::normalised>, PrototypeCell<Read::squashed>,
                     MinGruCell<false>, MinGruCell<true>>();
}

}  // namespace unspool
