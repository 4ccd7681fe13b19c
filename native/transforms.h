// Passes over the one gradient vector: what optimizers are chains of. Each works on n floats anywhere in the vector, so
// that the caller may cut it; the sums are in double over eight lanes, an order that depends on n alone.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

namespace downhill {

// Σ x². No float squared overflows a double.
inline double sumOfSquares(const float* x, size_t n) {
  double lanes[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t l = 0; l < 8; ++l) lanes[l] += static_cast<double>(x[i + l]) * x[i + l];
  }
  for (size_t l = 0; i < n; ++i, ++l) lanes[l] += static_cast<double>(x[i]) * x[i];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// y += a·x
inline void addScaled(const float* x, float a, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += a * x[i];
}

// m = β·m + g;  g = nesterov ? g + β·m : m
inline void momentum(float* g, float* m, size_t n, float beta, bool nesterov) {
  for (size_t i = 0; i < n; ++i) {
    m[i] = beta * m[i] + g[i];
    g[i] = nesterov ? g[i] + beta * m[i] : m[i];
  }
}

struct AdamConstants {
  float beta1, beta2, epsilon;
  float rest1, rest2;        // 1 − β
  float correct1, correct2;  // 1 / (1 − β^k)
};

inline AdamConstants adamConstants(double beta1, double beta2, double epsilon, double k) {
  return {static_cast<float>(beta1),
          static_cast<float>(beta2),
          static_cast<float>(epsilon),
          static_cast<float>(1 - beta1),
          static_cast<float>(1 - beta2),
          static_cast<float>(1 / (1 - std::pow(beta1, k))),
          static_cast<float>(1 / (1 - std::pow(beta2, k)))};
}

// m = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²;  g = m̂ / (√v̂ + ε)
inline void scaleByAdam(float* g, float* m, float* v, size_t n, const AdamConstants& c) {
  for (size_t i = 0; i < n; ++i) {
    m[i] = c.beta1 * m[i] + c.rest1 * g[i];
    v[i] = c.beta2 * v[i] + c.rest2 * (g[i] * g[i]);
    g[i] = m[i] * c.correct1 / (std::sqrt(v[i] * c.correct2) + c.epsilon);
  }
}

// v = decay·v + (1−decay)·g²;  g = g / (√v + ε)
inline void scaleByRms(float* g, float* v, size_t n, float decay, float rest, float epsilon) {
  for (size_t i = 0; i < n; ++i) {
    v[i] = decay * v[i] + rest * (g[i] * g[i]);
    g[i] = g[i] / (std::sqrt(v[i]) + epsilon);
  }
}

constexpr float kLargest = std::numeric_limits<float>::max();

// Weights stay finite where an update of a finite gradient would not be; NaN stays NaN.
inline float finite(float v) { return v > kLargest ? kLargest : v < -kLargest ? -kLargest : v; }

// A factor as a float, finite, so that 0 times it is 0.
inline float factor(double a) { return finite(static_cast<float>(a)); }

// w −= a·g
inline void descend(float* w, const float* g, size_t n, float a) {
  for (size_t i = 0; i < n; ++i) w[i] = finite(w[i] - a * g[i]);
}

// w −= a·w
inline void shrink(float* w, size_t n, float a) {
  for (size_t i = 0; i < n; ++i) w[i] = finite(w[i] - a * w[i]);
}

}  // namespace downhill
