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
#include "window_kernels.h"

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

// As fast as the core can: twelve sums of their own, more than wait for one another.
template <class V>
Size multiply_adds(Size rounds, float* to) {
  using P = typename V::Product;
  constexpr int sums = 12;
  P sum[sums];
  for (int i = 0; i < sums; ++i) sum[i] = P::all(static_cast<float>(i));
  const P factor = P::all(0.999f), term = P::all(0.001f);
  for (Size round = 0; round < rounds; ++round) {
    UNSPOOL_UNROLL
    for (int i = 0; i < sums; ++i) sum[i] = P::fma(sum[i], factor, term);
  }
  for (int i = 1; i < sums; ++i) sum[0] = sum[0] + sum[i];
  *to = sum[0].sum();
  return rounds * sums * P::width;
}

// Cells in the order of the enumeration in api.h.
template <class V, class R, class... C>
constexpr Target make_target() {
  static_assert(sizeof...(C) == static_cast<int>(Cell::count));
  return {static_cast<int>(V::width), pack_for_forward<V>, pack_for_backward<V>, {forward_group<V, C>...}, {backward_part<V, C>...},
          join_parts<V>, region_pack<R>, region_forward<R>, region_input_gradient<R>,
          region_weight_gradient<R>, windows_forward_row<V>, pack_windows_back<V>, windows_input_gradient<V>,
          windows_weight_gradient<V>, pack_product<V>, product<V>, log_softmax<V>, shares<V>, pack_matrix<V>, matrix_product<V>,
          cross_entropy_rows<V>, activate<V>, multiply_adds<V>};
}
// V: the vectors of the cells; R: those of the region convolution.
template <class V, class R = V>
constexpr Target target_of() {
  return make_target<V, R, SimpleTanh, SimpleRelu, GruResetAfter, GruResetBefore, LstmCell<false>, LstmCell<true>,
                     PrototypeCell<Read::itself>, PrototypeCell<Read::normalised>, PrototypeCell<Read::squashed>,
                     MinGruCell<false>, MinGruCell<true>>();
}

}  // namespace unspool
