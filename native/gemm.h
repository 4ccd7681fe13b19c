// The three products of a layer. Row-major and dense; W is I × O. Tiles lie on a grid of the problem, so that bits do
// not depend on threads.
#pragma once

#include <cstddef>

#include "threads.h"

namespace downhill {

// y = x·W + b;  x (B, I), W (I, O), b (O) or null, y (B, O)
void affine(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* W, const float* b, float* y);

// dW (+)= xᵀ·dy;  db (+)= Σ_b dy[b,:];  += where `accumulate`; db may be null
void affineGradWeights(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* dy, float* dW, float* db,
                       bool accumulate);

// dx = dy·Wᵀ
void affineGradInput(Pool& pool, size_t B, size_t I, size_t O, const float* dy, const float* W, float* dx);

}  // namespace downhill
