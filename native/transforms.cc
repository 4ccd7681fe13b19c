#include "transforms.h"

#include <cmath>
#include <limits>

namespace downhill {

namespace portable {
extern const Transforms kTransforms;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Transforms kTransforms;
}
namespace avx512 {
extern const Transforms kTransforms;
}
#endif

const Transforms& transformsOf(Simd set) {
  switch (set) {
#if defined(__x86_64__)
    case Simd::kAvx512:
      return avx512::kTransforms;
    case Simd::kAvx2:
      return avx2::kTransforms;
#endif
    default:
      return portable::kTransforms;
  }
}

AdamConstants adamConstants(double beta1, double beta2, double epsilon, double k) {
  const auto correction = [k](double beta) { return static_cast<float>(1 / (1 - std::pow(beta, k))); };
  return {static_cast<float>(beta1),
          static_cast<float>(beta2),
          static_cast<float>(epsilon),
          static_cast<float>(1 - beta1),
          static_cast<float>(1 - beta2),
          correction(beta1),
          correction(beta2)};
}

double NadamWeights::mu(uint64_t k) const { return beta1_ * (1 - 0.5 * std::pow(0.96, static_cast<double>(k) * psi_)); }

NadamWeights::Pair NadamWeights::at(uint64_t k) {
  if (k < last_) {
    last_ = 0;
    product_ = 1;
  }
  while (last_ < k) product_ *= mu(++last_);
  const double next = mu(k + 1);
  return {static_cast<float>((1 - mu(k)) / (1 - product_)), static_cast<float>(next / (1 - product_ * next))};
}

float factor(double a) {
  constexpr float most = std::numeric_limits<float>::max();
  const auto rounded = static_cast<float>(a);
  return rounded > most ? most : rounded < -most ? -most : rounded;
}

}  // namespace downhill
