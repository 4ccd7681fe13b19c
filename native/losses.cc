#include "losses.h"

#include <algorithm>
#include <cmath>

#include "activations.h"

namespace downhill {
namespace {

// ------------------------------------------------------------------------------------------------- elementwise

// Each row: l(z, t) and its two derivatives in z.
struct Mse {
  static double l(double z, double t, double) { return (z - t) * (z - t); }
  static double d(double z, double t, double) { return 2 * (z - t); }
  static double d2(double, double, double) { return 2; }
};
struct Mae {
  static double l(double z, double t, double) { return std::fabs(z - t); }
  static double d(double z, double t, double) {
    const double e = z - t;
    return e > 0 ? 1 : e < 0 ? -1 : e;  // 0 at 0, NaN at NaN
  }
  static double d2(double, double, double) { return 0; }
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
  static double d2(double z, double t, double delta) { return std::fabs(z - t) <= delta ? 1 : 0; }
};
struct BceProbabilities {
  static double l(double p, double t, double) { return -(t * std::log(p) + (1 - t) * std::log(1 - p)); }
  static double d(double p, double t, double) { return (p - t) / (p * (1 - p)); }
  static double d2(double p, double t, double) { return t / (p * p) + (1 - t) / ((1 - p) * (1 - p)); }
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

// The second derivative of the loss on logits, in double: outputs are few.
struct BceLogits {
  static double d2(double z, double, double) { return 1 / (1 + std::exp(-z)) / (1 + std::exp(z)); }
};

template <class L>
void tangent(const LossTangent& at, size_t rows) {
  for (size_t i = 0; i < rows * at.O; ++i) {
    at.Rdz[i] = static_cast<float>(at.s * L::d2(at.z[i], at.t[i], at.parameter) * at.Rz[i]);
  }
}

// l = max(z, 0) − z·t + log(1 + e^−|z|), and sigmoid(z) − t from q = sigmoid(−|z|), the smaller of both shares.
double bceLogits(const LossTerms& at, size_t rows) {
  constexpr size_t kBlock = 256;
  const Map softplus = activation("softplus").kernels().forward, sigmoid = activation("sigmoid").kernels().forward;
  float down[kBlock], smooth[kBlock];
  double sum = 0;
  for (size_t from = 0, n = rows * at.O; from < n; from += kBlock) {
    const size_t count = std::min(kBlock, n - from);
    const float *z = at.z + from, *t = at.t + from;
    for (size_t i = 0; i < count; ++i) down[i] = -std::fabs(z[i]);
    softplus(down, smooth, count);
    for (size_t i = 0; i < count; ++i) {
      const double zi = z[i];
      sum += (z[i] <= 0 ? 0 : zi) - zi * t[i] + smooth[i];
    }
    if (at.dz == nullptr) continue;
    sigmoid(down, down, count);
    for (size_t i = 0; i < count; ++i) {
      const double q = down[i], ti = t[i];
      at.dz[from + i] = static_cast<float>(at.s * (z[i] > 0 ? (1 - ti) - q : q - ti));
    }
  }
  return sum;
}

// ------------------------------------------------------------------------------------------------- by rows

// The target of class o in the row at t: a share, or 1 and 0 by class number.
template <class Terms>
double targetOf(const float* t, size_t o, const Terms& at) {
  if (at.T == at.O) return t[o];
  return t[0] == static_cast<float>(o) ? 1 : 0;
}

// e = e^(z − most); returns their sum.
double shiftedExp(const float* z, float most, float* e, size_t n, Map exp) {
  for (size_t o = 0; o < n; ++o) e[o] = z[o] - most;
  exp(e, e, n);
  double total = 0;
  for (size_t o = 0; o < n; ++o) total += e[o];
  return total;
}

// l = −Σ t·(z − log Σ e^z). The largest e is 1 exactly, so total − e and log(total) keep what is beside it.
double crossEntropyLogits(const LossTerms& at, size_t rows) {
  constexpr size_t kBlock = 256;
  float block[kBlock];
  const Map exp = kernels().exp;
  const size_t O = at.O;
  const float *z = at.z, *t = at.t;
  float* dz = at.dz;
  double sum = 0;
  for (size_t r = 0; r < rows; ++r, z += O, t += at.T) {
    const float most = largest(z, O);
    double total = 0;
    if (dz != nullptr) {
      total = shiftedExp(z, most, dz, O, exp);
    } else {
      for (size_t from = 0; from < O; from += kBlock) {
        total += shiftedExp(z + from, most, block, std::min(kBlock, O - from), exp);
      }
    }
    const double logTotal = std::log(total);
    double mass = 0;
    for (size_t o = 0; o < O; ++o) {
      const double target = targetOf(t, o, at);
      mass += target;
      if (target != 0) sum += target * (logTotal + (static_cast<double>(most) - z[o]));
    }
    if (dz == nullptr) continue;
    const double scale = at.s / total;
    for (size_t o = 0; o < O; ++o) dz[o] = static_cast<float>(scale * (mass * dz[o] - targetOf(t, o, at) * total));
    dz += O;
  }
  return sum;
}

// l = −Σ t·log p over the entries with t ≠ 0, unclipped.
double crossEntropyProbabilities(const LossTerms& at, size_t rows) {
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

// With p the softmax of z: the mass of the targets times p ⊙ (Rz − Σ p·Rz).
void crossEntropyLogitsTangent(const LossTangent& at, size_t rows) {
  const float *z = at.z, *t = at.t, *Rz = at.Rz;
  float* Rdz = at.Rdz;
  for (size_t r = 0; r < rows; ++r, z += at.O, t += at.T, Rz += at.O, Rdz += at.O) {
    const double most = largest(z, at.O);
    double total = 0, dot = 0, mass = 0;
    for (size_t o = 0; o < at.O; ++o) {
      const double e = std::exp(z[o] - most);
      total += e;
      dot += e * Rz[o];
      mass += targetOf(t, o, at);
    }
    for (size_t o = 0; o < at.O; ++o) {
      Rdz[o] = static_cast<float>(at.s * mass * (std::exp(z[o] - most) / total) * (Rz[o] - dot / total));
    }
  }
}

void crossEntropyProbabilitiesTangent(const LossTangent& at, size_t rows) {
  const float* t = at.t;
  for (size_t r = 0; r < rows; ++r, t += at.T) {
    for (size_t o = 0; o < at.O; ++o) {
      const size_t i = r * at.O + o;
      const double target = targetOf(t, o, at), p = at.z[i];
      at.Rdz[i] = target != 0 ? static_cast<float>(at.s * target / (p * p) * at.Rz[i]) : 0;
    }
  }
}

}  // namespace

const std::vector<Loss>& losses() {
  static const auto& rows = *new std::vector<Loss>{
      // never destroyed: threads may outlive it

      {"mse", elementwise<Mse>, tangent<Mse>},
      {"mae", elementwise<Mae>, tangent<Mae>},
      {"huber", elementwise<Huber>, tangent<Huber>},
      {"bceProbabilities", elementwise<BceProbabilities>, tangent<BceProbabilities>},
      {"bceLogits", bceLogits, tangent<BceLogits>},
      {"crossEntropyProbabilities", crossEntropyProbabilities, crossEntropyProbabilitiesTangent},
      {"crossEntropyLogits", crossEntropyLogits, crossEntropyLogitsTangent},
  };
  return rows;
}

}  // namespace downhill
