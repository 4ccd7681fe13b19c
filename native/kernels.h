// The kernels of one set of instructions, as a table of functions: what gemm.cc and vmath.cc see of them.
//
// One source, kernel_set.h, is compiled three times (kernels_portable.cc, kernels_avx2.cc, kernels_avx512.cc); the
// table in use is chosen at run time (cpu.h). Kernels know no threads and allocate nothing.
#pragma once

#include <cstddef>

#include "cpu.h"

namespace downhill {

// y = f(x) for n floats; y may be x. A value's bits do not depend on where it stands.
using Map = void (*)(const float* x, float* y, size_t n);

// c = start + a·b.
// a is m × k, b is k × n, c m × n, each row-major with the distance of its rows; or transposed in memory.
struct Product {
  size_t m, n, k;
  const float* a;
  size_t lda;
  bool aTransposed;  // a(i, l) = a[l·lda + i]
  const float* b;
  size_t ldb;
  bool bTransposed;  // b(l, j) = b[j·ldb + l]
  float* c;
  size_t ldc;
  const float* start;        // row i at start + i·ldstart; null for zeros; may be c itself
  size_t ldstart;            // 0: one row for all, as a bias is
  float* scratch;            // kScratchFloats of any content, on a cache line; null costs speed, no bits
  float* claimed = nullptr;  // laid out as c: what this thread is to write next, claimed on the way (simd.h); or null
};

// Room for a block of b in panels, e.g. 2048 columns by 256 steps, and for a block of a in groups of rows, which stays
// in L2 while the panels pass by.
constexpr size_t kGap = 16, kPackedFloats = 128 * (256 * 16 + kGap), kLeftFloats = 40960;
constexpr size_t kScratchFloats = kPackedFloats + kLeftFloats;
// Room on the stack for who has no scratch.
constexpr size_t kSpareFloats = 4096;

// An activation of activations.h, in vectors.
struct ActivationKernels {
  const char* name;
  Map forward;                                                             // y = f(x)
  void (*backward)(const float* v, const float* dy, float* dx, size_t n);  // dx = dy ⊙ f'(v); dx may be dy
  // Rdx = f'(v) ⊙ Rdy + f''(v) ⊙ Rx ⊙ dy; Rdx may be Rdy
  void (*backwardTangent)(const float* v, const float* Rx, const float* dy, const float* Rdy, float* Rdx, size_t n);
};

struct Kernels {
  // Each element is one chain of multiply-adds over k in rising order, begun at `start`. So its bits depend on its row
  // of a, its column of b and its start, and not on where or with what it is computed.
  void (*product)(const Product& p);

  // y[i] = bias + Σ_l x[i·ldx + l]·w[l] for m rows: the layer with one output. Sixteen chains over l mod 16,
  // added by halves, then the bias: one order for every row, whatever stands beside it.
  void (*dots)(size_t m, size_t k, const float* x, size_t ldx, const float* w, float bias, float* y);

  // Errors and domains: vmath.h.
  Map exp, log, normalCdf;
  const ActivationKernels* activations;
  size_t activationCount;
};

// The row of that name, or null: linear needs no kernel, and softmax is no function of one value.
const ActivationKernels* activationNamed(const Kernels& set, const char* name);

// The table of a set, or of the one in use.
const Kernels& kernelsOf(Simd set);
inline const Kernels& kernels() { return kernelsOf(simd()); }

}  // namespace downhill
