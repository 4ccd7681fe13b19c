// Passes over the one gradient vector, what optimizers are chains of; and the few other loops over plain floats that a
// step has. Each works on n floats from anywhere, so that the caller may cut.
//
// Their kernels are written once over vectors (transform_kernel.h) and compiled for each set of instructions. Nothing
// is fused but where it changes no bit, and sums run in thirty-two lanes whatever the width, so all sets give the same
// bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu.h"

namespace downhill {

// Constants of one step of Adam, in float.
struct AdamConstants {
  float beta1, beta2, epsilon;
  float rest1, rest2;        // 1 − β
  float correct1, correct2;  // 1 / (1 − β^k)
};
AdamConstants adamConstants(double beta1, double beta2, double epsilon, double k);

// What a step of Nadam takes of its gradient and of its memory; twin of nadamWeights in lib/step-form.ts.
class NadamWeights {
 public:
  NadamWeights(double beta1, double psi) : beta1_(beta1), psi_(psi) {}
  struct Pair {
    float gradient, memory;
  };
  Pair at(uint64_t k);  // one k after the other is quickest

 private:
  double mu(uint64_t k) const;
  double beta1_, psi_;
  uint64_t last_ = 0;
  double product_ = 1;
};

// Which elements a mask keeps: those whose bits are at least `threshold`, in [0, 2³²].
struct MaskConstants {
  uint32_t key;
  uint64_t threshold;
  float scale;  // of what is kept
};

// What the preconditioner of a step is made of: P = √(max(most, decay·v + share·(g + coupled·w)²)·correct + initial) +
// ε.
struct AccountConstants {
  float coupled, decay, share, correct, initial, epsilon;
};

// As a float, at most ± the largest, so that 0 times it is 0. NaN stays NaN.
float factor(double a);

struct Transforms {
  // Σ x², in double; no float squared overflows one.
  double (*sumOfSquares)(const float* x, size_t n);
  // y += a·x
  void (*addScaled)(const float* x, float a, float* y, size_t n);
  // x ·= a
  void (*scale)(float* x, size_t n, float a);
  // x = min(most, max(−most, x)); NaN stays
  void (*clip)(float* x, size_t n, float most);
  // m = β·m + g;  g = nesterov ? g + β·m : m
  void (*momentum)(float* g, float* m, size_t n, float beta, bool nesterov);
  // m = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²;  g = m̂ / (√v̂ + ε)
  void (*scaleByAdam)(float* g, float* m, float* v, size_t n, const AdamConstants& c);
  // v = decay·v + (1−decay)·g²;  g = g / (√v + ε)
  void (*scaleByRms)(float* g, float* v, size_t n, float decay, float rest, float epsilon);
  // v += g²;  g = g / (√(v + initial) + ε) · c
  void (*scaleByAdagrad)(float* g, float* v, size_t n, float initial, float epsilon, float c);
  // as scaleByAdam, most = max(most, v) in place of v under the root
  void (*scaleByAmsgrad)(float* g, float* m, float* v, float* most, size_t n, const AdamConstants& c);
  // as scaleByAdam, g = (weights.gradient·g + weights.memory·m) / (√v̂ + ε)
  void (*scaleByNadam)(float* g, float* m, float* v, size_t n, const AdamConstants& c, NadamWeights::Pair weights);
  // c = β1·m + (1−β1)·g;  m = β2·m + (1−β2)·g;  g = the sign of c; ±0 and NaN stay
  void (*signOfMomentum)(float* g, float* m, size_t n, float beta1, float rest1, float beta2, float rest2);
  // a = decay·a + rest·w
  void (*average)(const float* w, float* a, size_t n, float decay, float rest);
  // w −= a·g, at most ± the largest float: weights stay finite where an update of a finite gradient would not be
  void (*descend)(float* w, const float* g, size_t n, float a);
  // w −= a·w, likewise
  void (*shrink)(float* w, size_t n, float a);
  // to[0 … 3] = Σg²/P, Σg·m/P, Σg·w/P, Σg·w, in double; w, m and most may be null (0), and v (P is 1)
  void (*account)(const float* w, const float* g, const float* m, const float* v, const float* most, size_t n,
                  const AccountConstants& c, double* to);
  // y[i] = x[i] · (kept(first + i) ? scale : 0); y may be x
  void (*mask)(const float* x, float* y, size_t n, uint32_t first, const MaskConstants& c);
  // y = scale·x
  void (*fromBytes)(const uint8_t* x, float* y, size_t n, float scale);
  // Whether no x is NaN or infinite
  bool (*isFinite)(const float* x, size_t n);
};

// The table of a set, or of the one in use.
const Transforms& transformsOf(Simd set);
inline const Transforms& transforms() { return transformsOf(simd()); }

}  // namespace downhill
