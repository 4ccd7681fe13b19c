// Which instructions the kernels use: the best set that this CPU and its system run, or the one asked for.
//
// There are three sets of kernels, one source for all (kernel_set.h). DOWNHILL_SIMD in the environment, or forceSimd,
// chooses another than the best, so that tests can try each on one machine; a set that would not run is never chosen.
#pragma once

namespace downhill {

enum class Simd { kPortable, kAvx2, kAvx512 };

// "portable", "avx2" (with FMA), "avx512" (F, BW, DQ, VL)
const char* nameOf(Simd set);

// Whether the CPU has the instructions and the system keeps the registers.
bool runs(Simd set);

// The set in use: forced, or from DOWNHILL_SIMD, or the best.
Simd simd();

// Uses `set` from the next product on; false, and nothing changes, where it does not run. Not while another thread
// computes.
bool forceSimd(Simd set);

// By name, as in DOWNHILL_SIMD; false for a name that is none.
bool forceSimd(const char* name);

}  // namespace downhill
