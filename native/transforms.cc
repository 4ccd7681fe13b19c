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

float factor(double a) {
  constexpr float most = std::numeric_limits<float>::max();
  const auto rounded = static_cast<float>(a);
  return rounded > most ? most : rounded < -most ? -most : rounded;
}

}  // namespace downhill
