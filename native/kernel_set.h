// One set of kernels, whole: included by kernels_*.cc in a region compiled for the set's instructions.
//
// To add a kernel: write it over Vec in a header like gemm_kernel.h, give it a line in Kernels (kernels.h) and one
// here.

#include "simd.h"

#include "gemm_kernel.h"
#include "vmath.h"

#include "maps.h"
#include "transform_kernel.h"

namespace downhill {
namespace DOWNHILL_SET {

extern const Kernels kKernels = {
    product,
    dots,
    forward<Exp>,
    forward<Log>,
    forward<NormalCdf>,
    kActivations,
    sizeof kActivations / sizeof *kActivations,
};

}  // namespace DOWNHILL_SET
}  // namespace downhill
