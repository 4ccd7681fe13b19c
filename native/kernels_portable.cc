// The kernels in plain vectors of four floats: SSE2 on x86-64, NEON on ARM.
#include <cstddef>
#include <cstdint>

#include "kernels.h"
#include "transforms.h"

#define DOWNHILL_SET portable
#define DOWNHILL_WIDTH 4
#include "kernel_set.h"
