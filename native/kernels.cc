#include "kernels.h"

#include <cstring>

namespace downhill {

namespace portable {
extern const Kernels kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

const Kernels& kernelsOf(Simd set) {
  switch (set) {
#if defined(__x86_64__)
    case Simd::kAvx512:
      return avx512::kKernels;
    case Simd::kAvx2:
      return avx2::kKernels;
#endif
    default:
      return portable::kKernels;
  }
}

const ActivationKernels* activationNamed(const Kernels& set, const char* name) {
  for (size_t i = 0; i < set.activationCount; ++i)
    if (std::strcmp(set.activations[i].name, name) == 0) return &set.activations[i];
  return nullptr;
}

}  // namespace downhill
