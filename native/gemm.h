// The three products of a layer. Row-major and dense; W is I × O.
//
// What holds on every path: the bits depend on the set of kernels (cpu.h), on I and O and on the values, not on
// threads; a row of y or dx has the same bits alone as anywhere in a batch; NaN and infinities go where arithmetic
// takes them, also past zeros. Error: |found − exact| ≤ γₙ·(|A|·|B|), n = terms + 1, γₙ = n·u/(1 − n·u), u = 2⁻²⁴.
#pragma once

#include <atomic>
#include <cstddef>

#include "kernels.h"
#include "threads.h"

namespace downhill {

// What is done with a product while it is in cache: `isFinite` is made false if it holds what is not finite, then the
// map, which is elementwise, goes over it. Each may be null.
struct After {
  Map map = nullptr;
  std::atomic<bool>* isFinite = nullptr;
};

// y = after(x·W + b);  x (B, I), W (I, O), b (O) or null, y (B, O). y overlaps nothing.
void affine(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* W, const float* b, float* y,
            const After& after = {});

// dW (+)= xᵀ·dy;  db (+)= Σ_b dy[b,:];  += where `accumulate`; db may be null. Each thread claims of W what it computes
// of dW, to write it next; W may be null.
void affineGradWeights(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* dy, float* dW, float* db,
                       bool accumulate, float* W = nullptr);

// dx = dy·Wᵀ
void affineGradInput(Pool& pool, size_t B, size_t I, size_t O, const float* dy, const float* W, float* dx);

// The tangents of the three, each two products, or one where Rx is null (the tangent of the inputs, which is zero).

// Ry = Rx·W + x·RW + Rb;  Rb (O) or null
void affineTangent(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* Rx, const float* W,
                   const float* RW, const float* Rb, float* Ry);

// RdW (+)= xᵀ·Rdy + Rxᵀ·dy;  Rdb (+)= Σ_b Rdy[b,:];  += where `accumulate`; Rdb may be null
void affineGradWeightsTangent(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* Rx,
                              const float* dy, const float* Rdy, float* RdW, float* Rdb, bool accumulate);

// Rdx = Rdy·Wᵀ + dy·RWᵀ
void affineGradInputTangent(Pool& pool, size_t B, size_t I, size_t O, const float* dy, const float* Rdy, const float* W,
                            const float* RW, float* Rdx);

// Who multiplies: by default whoever was measured faster for the layer and the set of kernels
// (docs/decisions/0003-kernels.md). DOWNHILL_PRODUCTS=own or =blas in the environment, or forceProducts, decides for
// all layers, where there is a BLAS.
enum class Products { kFaster, kOwn, kBlas };
void forceProducts(Products products);

// Whether BLAS gives equal rows of one call equal results, as it is asked before its first use for rows. Where it does
// not, y and dx are our own kernels' whatever is asked for, and only dW goes to BLAS. There must be a BLAS.
bool blasKeepsRows();

}  // namespace downhill
