#include "gemm.h"

#include <cstring>

#include "blas.h"

namespace downhill {
namespace {

// Below this many multiplications a call of BLAS costs more than it saves.
constexpr size_t kSmall = 2048;

bool useBlas(size_t B, size_t I, size_t O) { return blas().available && B * I * O >= kSmall; }

}  // namespace

void affine(Pool&, size_t B, size_t I, size_t O, const float* x, const float* W, const float* b, float* y) {
  for (size_t r = 0; r < B; ++r) {
    if (b != nullptr) {
      std::memcpy(y + r * O, b, O * sizeof(float));
    } else {
      std::memset(y + r * O, 0, O * sizeof(float));
    }
  }
  if (useBlas(B, I, O)) {
    blas().sgemm(false, false, static_cast<int>(B), static_cast<int>(O), static_cast<int>(I), 1, x, static_cast<int>(I),
                 W, static_cast<int>(O), 1, y, static_cast<int>(O));
    return;
  }
  for (size_t r = 0; r < B; ++r) {
    float* row = y + r * O;
    for (size_t i = 0; i < I; ++i) {
      const float a = x[r * I + i];
      for (size_t o = 0; o < O; ++o) row[o] += a * W[i * O + o];
    }
  }
}

void affineGradWeights(Pool&, size_t B, size_t I, size_t O, const float* x, const float* dy, float* dW, float* db,
                       bool accumulate) {
  if (db != nullptr) {
    if (!accumulate) std::memset(db, 0, O * sizeof(float));
    for (size_t r = 0; r < B; ++r) {
      for (size_t o = 0; o < O; ++o) db[o] += dy[r * O + o];
    }
  }
  if (useBlas(B, I, O)) {
    blas().sgemm(true, false, static_cast<int>(I), static_cast<int>(O), static_cast<int>(B), 1, x, static_cast<int>(I),
                 dy, static_cast<int>(O), accumulate ? 1.0f : 0.0f, dW, static_cast<int>(O));
    return;
  }
  if (!accumulate) std::memset(dW, 0, I * O * sizeof(float));
  for (size_t r = 0; r < B; ++r) {
    for (size_t i = 0; i < I; ++i) {
      const float a = x[r * I + i];
      for (size_t o = 0; o < O; ++o) dW[i * O + o] += a * dy[r * O + o];
    }
  }
}

void affineGradInput(Pool&, size_t B, size_t I, size_t O, const float* dy, const float* W, float* dx) {
  if (useBlas(B, I, O)) {
    blas().sgemm(false, true, static_cast<int>(B), static_cast<int>(I), static_cast<int>(O), 1, dy, static_cast<int>(O),
                 W, static_cast<int>(O), 0, dx, static_cast<int>(I));
    return;
  }
  for (size_t r = 0; r < B; ++r) {
    for (size_t i = 0; i < I; ++i) {
      float sum = 0;
      for (size_t o = 0; o < O; ++o) sum += dy[r * O + o] * W[i * O + o];
      dx[r * I + i] = sum;
    }
  }
}

}  // namespace downhill
