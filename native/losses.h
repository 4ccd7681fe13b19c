// Loss kernels: one row each, twin of lib/kernels.ts; definitions are PyTorch's unless said otherwise.
//
// A row returns Σ l(z, t) over some rows, added in double, and writes dz = s·∂l/∂z where dz is wanted. It neither clips
// nor repairs: log 0 is −∞ and 0·log 0 is NaN, as a symptom should be.
//
// Error of a term and of its gradient, where the loss is on logits: 4·2⁻²⁴ relative, for targets 0 and 1 also where
// nothing but the rest from 1 is left (a probability of 1 − 10⁻⁹ has the gradient −10⁻⁹, not 0): exponentials are
// taken in float and of the smaller share only, sums and differences in double. Of the others: double throughout.
#pragma once

#include <cstddef>
#include <vector>

namespace downhill {

struct LossTerms {
  const float* z;    // (rows, O)
  const float* t;    // (rows, T)
  float* dz;         // (rows, O), or null
  size_t O, T;       // T is O, or 1 where t holds class numbers
  double s;          // constant before the gradient
  double parameter;  // e.g. δ of huber, γ of a focal loss
  double second;     // e.g. its α
};

// The tangent of dz: Rdz = s·(∂²l/∂z²)·Rz, each (rows, O).
struct LossTangent {
  const float *z, *t, *Rz;
  float* Rdz;
  size_t O, T;
  double s, parameter, second;
};

struct Loss {
  const char* name;
  double (*sum)(const LossTerms&, size_t rows);
  void (*tangent)(const LossTangent&, size_t rows);
};

// All of them, sorted by increasing complexity.
const std::vector<Loss>& losses();

}  // namespace downhill
