// Layers over each other, in one or both directions, for inference: one call for all of them.
#pragma once

#include <memory>
#include <vector>

#include "check.h"
#include "room.h"

namespace unspool {

// The weights of a layer in one direction, as in Arguments.
struct LayerWeights {
  Tensor w_ih, w_hh, b_ih, b_hh, extra;
};

class Layers {
 public:
  // `all`: what Arguments says of a layer, but h, c, final_h, final_c over all L layers and D directions, (L * D, B, H),
  // y over both directions (B, T, D * H), and no weights. They are in `weights`, by layer and direction. Throws as check().
  Layers(const Arguments& all, const std::vector<LayerWeights>& weights, int directions);
  void run() const;

 private:
  // Memory for a while; what is smaller than a large page the C library keeps.
  class Taken {
   public:
    explicit Taken(Size floats)
        : small_(floats < kPage ? new float[static_cast<std::size_t>(floats)] : nullptr),
          large_(floats < kPage ? Room{nullptr, 0} : take_room(floats)) {}
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;
    ~Taken() {
      if (large_.data) give_back(large_);
    }
    float* data() const { return small_ ? small_.get() : large_.data; }

   private:
    std::unique_ptr<float[]> small_;
    Room large_;
  };

  int directions_;
  float* y_;         // what each layer gives, but in one direction every other one
  Size floats_;      // of it
  Taken beside_[2];  // what those others give; in both directions, what each gives
  std::vector<Sequence> sequences_;
};

}  // namespace unspool
