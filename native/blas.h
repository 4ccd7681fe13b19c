// Which BLAS is linked, and its sgemm. Only blas.cc knows how it was found, named and tested.
#pragma once

namespace downhill {

struct Blas {
  const char* name;  // e.g. "OpenBLAS 0.3.21 serial SkylakeX"; "none" with the reason, where there is none
  bool available;    // false: sgemm is null, and products run on our own loops
  // C = alpha·op(A)·op(B) + beta·C, row-major: op(A) is m × k, op(B) k × n, C m × n.
  // Safe on several threads at once; never starts threads of its own.
  void (*sgemm)(bool transA, bool transB, int m, int n, int k, float alpha, const float* A, int lda, const float* B,
                int ldb, float beta, float* C, int ldc);
};

// The one found at build time, tested at the first call (about 1 ms) and the same ever after.
const Blas& blas();

}  // namespace downhill
