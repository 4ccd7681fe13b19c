// Loss kernels: one row each, twin of KERNELS in lib/losses.ts; definitions are PyTorch's unless said otherwise.
//
// A row returns Σ l(z, t) over some rows, in double, and writes dz = s·∂l/∂z where dz is wanted. It neither clips nor
// repairs: log 0 is −∞ and 0·log 0 is NaN, as a symptom should be.
#pragma once

#include <cmath>
#include <cstddef>

#include "activations.h"

namespace downhill {

struct LossTerms {
  const float* z;    // (rows, O)
  const float* t;    // (rows, T)
  float* dz;         // (rows, O), or null
  size_t O, T;       // T is O, or 1 where t holds class numbers
  double s;          // constant before the gradient
  double parameter;  // δ of huber
};

struct Loss {
  const char* name;
  double (*sum)(const LossTerms&, size_t rows);
};

namespace losses {

// Each row: l(z, t) and its derivative in z.
struct Mse {
  static double l(double z, double t, double) { return (z - t) * (z - t); }
  static double d(double z, double t, double) { return 2 * (z - t); }
};
struct Mae {
  static double l(double z, double t, double) { return std::fabs(z - t); }
  static double d(double z, double t, double) {
    const double e = z - t;
    return e > 0 ? 1 : e < 0 ? -1 : e;  // 0 at 0, NaN at NaN
  }
};
struct Huber {
  static double l(double z, double t, double delta) {
    const double e = std::fabs(z - t);
    return e <= delta ? 0.5 * e * e : delta * (e - 0.5 * delta);
  }
  static double d(double z, double t, double delta) {
    const double e = z - t;
    return e > delta ? delta : e < -delta ? -delta : e;
  }
};
struct BceLogits {
  static double l(double z, double t, double) { return (z <= 0 ? 0 : z) - z * t + std::log1p(std::exp(-std::fabs(z))); }
  static double d(double z, double t, double) { return 1 / (1 + std::exp(-z)) - t; }
};
struct BceProbabilities {
  static double l(double p, double t, double) { return -(t * std::log(p) + (1 - t) * std::log(1 - p)); }
  static double d(double p, double t, double) { return (p - t) / (p * (1 - p)); }
};

template <class L>
double elementwise(const LossTerms& at, size_t rows) {
  const size_t n = rows * at.O;
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += L::l(at.z[i], at.t[i], at.parameter);
  if (at.dz != nullptr) {
    for (size_t i = 0; i < n; ++i) at.dz[i] = static_cast<float>(at.s * L::d(at.z[i], at.t[i], at.parameter));
  }
  return sum;
}

// The target of class o in the row at t: a probability, or 1 and 0 by class number.
inline double targetOf(const float* t, size_t o, const LossTerms& at) {
  if (at.T == at.O) return t[o];
  return t[0] == static_cast<float>(o) ? 1 : 0;
}

// l = −Σ t·(z − log Σ e^z), by log-softmax.
inline double crossEntropyLogits(const LossTerms& at, size_t rows) {
  const float *z = at.z, *t = at.t;
  float* dz = at.dz;
  double sum = 0;
  for (size_t r = 0; r < rows; ++r, z += at.O, t += at.T) {
    const double most = activations::largest(z, at.O);
    double total = 0;
    for (size_t o = 0; o < at.O; ++o) total += std::exp(z[o] - most);
    const double logTotal = most + std::log(total);
    double mass = 0;
    for (size_t o = 0; o < at.O; ++o) {
      const double target = targetOf(t, o, at);
      mass += target;
      if (target != 0) sum += target * (logTotal - z[o]);
    }
    if (dz == nullptr) continue;
    for (size_t o = 0; o < at.O; ++o) {
      dz[o] = static_cast<float>(at.s * (mass * std::exp(z[o] - logTotal) - targetOf(t, o, at)));
    }
    dz += at.O;
  }
  return sum;
}

// l = −Σ t·log p over the entries with t ≠ 0, unclipped.
inline double crossEntropyProbabilities(const LossTerms& at, size_t rows) {
  const float *p = at.z, *t = at.t;
  float* dp = at.dz;
  double sum = 0;
  for (size_t r = 0; r < rows; ++r, p += at.O, t += at.T) {
    for (size_t o = 0; o < at.O; ++o) {
      const double target = targetOf(t, o, at);
      if (target != 0) sum -= target * std::log(static_cast<double>(p[o]));
      if (dp != nullptr) dp[o] = target != 0 ? static_cast<float>(-at.s * target / p[o]) : 0;
    }
    if (dp != nullptr) dp += at.O;
  }
  return sum;
}

}  // namespace losses

constexpr Loss kLosses[] = {
    {"mse", losses::elementwise<losses::Mse>},
    {"mae", losses::elementwise<losses::Mae>},
    {"huber", losses::elementwise<losses::Huber>},
    {"bceLogits", losses::elementwise<losses::BceLogits>},
    {"bceProbabilities", losses::elementwise<losses::BceProbabilities>},
    {"crossEntropyLogits", losses::crossEntropyLogits},
    {"crossEntropyProbabilities", losses::crossEntropyProbabilities},
};

}  // namespace downhill
