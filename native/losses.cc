#include "losses.h"

#include <algorithm>
#include <cmath>

#include "activations.h"

namespace downhill {
namespace {

// ------------------------------------------------------------------------------------------------- elementwise

// c·x^k, and 0 where c is, whatever x^k may be.
double times(double c, double x, double k) { return c == 0 ? 0 : c * std::pow(x, k); }

// 0 and 1 drawn towards ½ by a share.
double smoothed(double t, double share) { return (1 - share) * t + 0.5 * share; }

// −1 and 1, for targets of 0 and 1.
double signOf(double t) { return 2 * t - 1; }

// q = sigmoid(−z), p = 1 − q, and −log p, each from the smaller share.
struct Logistic {
  double p, q, L;
  explicit Logistic(double z) {
    const double e = std::exp(-std::fabs(z)), less = e / (1 + e);
    p = z > 0 ? 1 - less : less;
    q = z > 0 ? less : 1 - less;
    L = (z > 0 ? 0 : -z) + std::log1p(e);
  }
};

// f(z) = q^γ·(−log p), what a focal loss asks of a right answer, and its two derivatives in z.
struct Focal {
  static double l(double z, double gamma) {
    const Logistic s(z);
    return std::pow(s.q, gamma) * s.L;
  }
  static double d(double z, double gamma) {
    const Logistic s(z);
    return -std::pow(s.q, gamma) * (gamma * s.p * s.L + s.q);
  }
  static double d2(double z, double gamma) {
    const Logistic s(z);
    return std::pow(s.q, gamma) * s.p * (gamma * gamma * s.p * s.L + s.q * (2 * gamma + 1 - gamma * s.L));
  }
  static double mirror(double z) { return -z; }
};

// h(p) = −(1 − p)^γ·log p, the same of a probability.
struct FocalOfShare {
  static double l(double p, double gamma) { return -std::pow(1 - p, gamma) * std::log(p); }
  static double d(double p, double gamma) {
    return times(gamma * std::log(p), 1 - p, gamma - 1) - std::pow(1 - p, gamma) / p;
  }
  static double d2(double p, double gamma) {
    return times(-gamma * (gamma - 1) * std::log(p), 1 - p, gamma - 2) + times(2 * gamma / p, 1 - p, gamma - 1) +
           std::pow(1 - p, gamma) / (p * p);
  }
  static double mirror(double p) { return 1 - p; }
};

// −log p.
struct Surprise {
  static double l(double p, double) { return -std::log(p); }
  static double d(double p, double) { return -1 / p; }
  static double d2(double p, double) { return 1 / (p * p); }
};

// Each row: l(z, t) and its two derivatives in z, given the constants of the kernel.
struct Mse {
  static double l(double z, double t, double, double) { return (z - t) * (z - t); }
  static double d(double z, double t, double, double) { return 2 * (z - t); }
  static double d2(double, double, double, double) { return 2; }
};
struct Mae {
  static double l(double z, double t, double, double) { return std::fabs(z - t); }
  static double d(double z, double t, double, double) {
    const double e = z - t;
    return e > 0 ? 1 : e < 0 ? -1 : e;  // 0 at 0, NaN at NaN
  }
  static double d2(double, double, double, double) { return 0; }
};
struct Quantile {
  static double l(double z, double t, double q, double) { return z < t ? q * (t - z) : (1 - q) * (z - t); }
  static double d(double z, double t, double q, double) { return z < t ? -q : z > t ? 1 - q : z - t; }
  static double d2(double, double, double, double) { return 0; }
};
struct Hinge {
  static double l(double z, double t, double, double) {
    const double lacking = 1 - signOf(t) * z;
    return lacking <= 0 ? 0 : lacking;
  }
  static double d(double z, double t, double, double) {
    const double lacking = 1 - signOf(t) * z;
    return lacking <= 0 ? 0 : lacking > 0 ? -signOf(t) : lacking;
  }
  static double d2(double, double, double, double) { return 0; }
};
struct Huber {
  static double l(double z, double t, double delta, double) {
    const double e = std::fabs(z - t);
    return e <= delta ? 0.5 * e * e : delta * (e - 0.5 * delta);
  }
  static double d(double z, double t, double delta, double) {
    const double e = z - t;
    return e > delta ? delta : e < -delta ? -delta : e;
  }
  static double d2(double z, double t, double delta, double) { return std::fabs(z - t) <= delta ? 1 : 0; }
};
struct LogCosh {
  // Near 0, where 1 would swallow e², from cosh e − 1 = 2·sinh²(e/2).
  static double l(double z, double t, double, double) {
    constexpr double kLn2 = 0.693147180559945309417;
    const double e = std::fabs(z - t);
    if (!(e <= 1)) return e + std::log1p(std::exp(-2 * e)) - kLn2;
    const double s = std::sinh(e / 2);
    return std::log1p(2 * s * s);
  }
  static double d(double z, double t, double, double) { return std::tanh(z - t); }
  static double d2(double z, double t, double, double) {
    const double e = std::exp(-2 * std::fabs(z - t));
    return 4 * e / ((1 + e) * (1 + e));
  }
};
struct PoissonLogs {
  static double l(double z, double t, double, double) { return std::exp(z) - t * z; }
  static double d(double z, double t, double, double) { return std::exp(z) - t; }
  static double d2(double z, double, double, double) { return std::exp(z); }
};
struct PoissonRates {
  static double l(double z, double t, double, double) { return t == 0 ? z : z - t * std::log(z); }
  static double d(double z, double t, double, double) { return t == 0 ? 1 : 1 - t / z; }
  static double d2(double z, double t, double, double) { return t == 0 ? 0 : t / (z * z); }
};
struct BceProbabilities {
  static double l(double p, double label, double share, double) {
    const double t = smoothed(label, share);
    return -(t * std::log(p) + (1 - t) * std::log(1 - p));
  }
  static double d(double p, double label, double share, double) { return (p - smoothed(label, share)) / (p * (1 - p)); }
  static double d2(double p, double label, double share, double) {
    const double t = smoothed(label, share);
    return t / (p * p) + (1 - t) / ((1 - p) * (1 - p));
  }
};
// Both answers by a scalar of the right one: t·α·f(z) + (1 − t)·(1 − α)·±f(mirrored z); α −1: both weigh 1.
template <class F>
struct OfBoth {
  static double l(double z, double t, double gamma, double alpha) {
    return t * one(alpha) * F::l(z, gamma) + (1 - t) * zero(alpha) * F::l(F::mirror(z), gamma);
  }
  static double d(double z, double t, double gamma, double alpha) {
    return t * one(alpha) * F::d(z, gamma) - (1 - t) * zero(alpha) * F::d(F::mirror(z), gamma);
  }
  static double d2(double z, double t, double gamma, double alpha) {
    return t * one(alpha) * F::d2(z, gamma) + (1 - t) * zero(alpha) * F::d2(F::mirror(z), gamma);
  }

 private:
  static double one(double alpha) { return alpha < 0 ? 1 : alpha; }
  static double zero(double alpha) { return alpha < 0 ? 1 : 1 - alpha; }
};

template <class L>
double elementwise(const LossTerms& at, size_t rows) {
  const size_t n = rows * at.O;
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += L::l(at.z[i], at.t[i], at.parameter, at.second);
  if (at.dz != nullptr) {
    for (size_t i = 0; i < n; ++i)
      at.dz[i] = static_cast<float>(at.s * L::d(at.z[i], at.t[i], at.parameter, at.second));
  }
  return sum;
}

// The second derivative of the loss on logits, in double: outputs are few.
struct BceLogits {
  static double d2(double z, double, double, double) { return 1 / (1 + std::exp(-z)) / (1 + std::exp(z)); }
};

template <class L>
void tangent(const LossTangent& at, size_t rows) {
  for (size_t i = 0; i < rows * at.O; ++i) {
    at.Rdz[i] = static_cast<float>(at.s * L::d2(at.z[i], at.t[i], at.parameter, at.second) * at.Rz[i]);
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
      sum += (z[i] <= 0 ? 0 : zi) - zi * smoothed(t[i], at.parameter) + smooth[i];
    }
    if (at.dz == nullptr) continue;
    sigmoid(down, down, count);
    for (size_t i = 0; i < count; ++i) {
      const double q = down[i], ti = smoothed(t[i], at.parameter);
      at.dz[from + i] = static_cast<float>(at.s * (z[i] > 0 ? (1 - ti) - q : q - ti));
    }
  }
  return sum;
}

// ------------------------------------------------------------------------------------------------- by rows

// The target of class o in the row at t: a share, or 1 and 0 by class number; of which all classes are given a share.
template <class Terms>
double targetOf(const float* t, size_t o, const Terms& at, double share) {
  const double target = at.T == at.O ? t[o] : t[0] == static_cast<float>(o) ? 1 : 0;
  return (1 - share) * target + share / static_cast<double>(at.O);
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
      const double target = targetOf(t, o, at, at.parameter);
      mass += target;
      if (target != 0) sum += target * (logTotal + (static_cast<double>(most) - z[o]));
    }
    if (dz == nullptr) continue;
    const double scale = at.s / total;
    for (size_t o = 0; o < O; ++o)
      dz[o] = static_cast<float>(scale * (mass * dz[o] - targetOf(t, o, at, at.parameter) * total));
    dz += O;
  }
  return sum;
}

// Σ t·h(p) over the entries with t ≠ 0, unclipped; `share` of the targets is given to all classes.
template <class H>
double ofShares(const LossTerms& at, size_t rows, double share) {
  const float *p = at.z, *t = at.t;
  float* dp = at.dz;
  double sum = 0;
  for (size_t r = 0; r < rows; ++r, p += at.O, t += at.T) {
    for (size_t o = 0; o < at.O; ++o) {
      const double target = targetOf(t, o, at, share);
      if (target != 0) sum += target * H::l(p[o], at.parameter);
      if (dp != nullptr) dp[o] = target != 0 ? static_cast<float>(at.s * target * H::d(p[o], at.parameter)) : 0;
    }
    if (dp != nullptr) dp += at.O;
  }
  return sum;
}

template <class H>
void ofSharesTangent(const LossTangent& at, size_t rows, double share) {
  const float* t = at.t;
  for (size_t r = 0; r < rows; ++r, t += at.T) {
    for (size_t o = 0; o < at.O; ++o) {
      const size_t i = r * at.O + o;
      const double target = targetOf(t, o, at, share);
      at.Rdz[i] = target != 0 ? static_cast<float>(at.s * target * H::d2(at.z[i], at.parameter) * at.Rz[i]) : 0;
    }
  }
}

double crossEntropyProbabilities(const LossTerms& at, size_t rows) {
  return ofShares<Surprise>(at, rows, at.parameter);
}
void crossEntropyProbabilitiesTangent(const LossTangent& at, size_t rows) {
  ofSharesTangent<Surprise>(at, rows, at.parameter);
}
double focalCrossEntropyProbabilities(const LossTerms& at, size_t rows) { return ofShares<FocalOfShare>(at, rows, 0); }
void focalCrossEntropyProbabilitiesTangent(const LossTangent& at, size_t rows) {
  ofSharesTangent<FocalOfShare>(at, rows, 0);
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
      mass += targetOf(t, o, at, at.parameter);
    }
    for (size_t o = 0; o < at.O; ++o) {
      Rdz[o] = static_cast<float>(at.s * mass * (std::exp(z[o] - most) / total) * (Rz[o] - dot / total));
    }
  }
}

// The softmax of a row, in double: for each class p, 1 − p and log p, none of them a difference.
class Softmax {
 public:
  Softmax(const float* z, size_t O) : z_(z), O_(O) {
    for (size_t o = 1; o < O; ++o) {
      if (z[o] > z[top_]) top_ = o;
    }
    for (size_t o = 0; o < O; ++o) {
      if (o != top_) others_ += e(o);
    }
  }
  double p(size_t o) const { return o == top_ ? 1 / (1 + others_) : e(o) / (1 + others_); }
  double q(size_t o) const { return o == top_ ? others_ / (1 + others_) : 1 - p(o); }
  double logP(size_t o) const { return static_cast<double>(z_[o]) - z_[top_] - std::log1p(others_); }
  // Rz of a class less the mean Σ p·Rz: of the largest, from which that of the others follows.
  double apart(const float* Rz) const {
    double sum = 0;
    for (size_t o = 0; o < O_; ++o) {
      if (o != top_) sum += p(o) * (static_cast<double>(Rz[top_]) - Rz[o]);
    }
    return sum;
  }
  double apart(const float* Rz, double ofTop, size_t o) const {
    return o == top_ ? ofTop : static_cast<double>(Rz[o]) - Rz[top_] + ofTop;
  }

 private:
  double e(size_t o) const { return std::exp(static_cast<double>(z_[o]) - z_[top_]); }

  const float* z_;
  size_t O_, top_ = 0;
  double others_ = 0;  // Σ of e^(z − largest) without the largest's own 1
};

// u = p·h'(p) of a class of target t, with h of FocalOfShare; and its derivative in p.
double focalSlope(const Softmax& softmax, size_t o, double t, double gamma) {
  if (t == 0) return 0;
  const double q = softmax.q(o);
  return t * (times(gamma * softmax.p(o) * softmax.logP(o), q, gamma - 1) - std::pow(q, gamma));
}
double focalBend(const Softmax& softmax, size_t o, double t, double gamma) {
  const double p = softmax.p(o), q = softmax.q(o), logP = softmax.logP(o);
  return t * (times(gamma * (logP + 2), q, gamma - 1) - times(gamma * (gamma - 1) * p * logP, q, gamma - 2));
}

// l = −Σ t·(1 − p)^γ·log p. dz = u·q − p·Σ u of the others, so that nothing is lost where p is nearly 1.
double focalCrossEntropyLogits(const LossTerms& at, size_t rows) {
  const double gamma = at.parameter;
  double sum = 0;
  for (size_t r = 0; r < rows; ++r) {
    const float *z = at.z + r * at.O, *t = at.t + r * at.T;
    const Softmax softmax(z, at.O);
    double slopes = 0;
    for (size_t o = 0; o < at.O; ++o) {
      const double target = targetOf(t, o, at, 0);
      if (target == 0) continue;
      sum -= target * std::pow(softmax.q(o), gamma) * softmax.logP(o);
      slopes += focalSlope(softmax, o, target, gamma);
    }
    if (at.dz == nullptr) continue;
    for (size_t o = 0; o < at.O; ++o) {
      const double u = focalSlope(softmax, o, targetOf(t, o, at, 0), gamma);
      at.dz[r * at.O + o] = static_cast<float>(at.s * (u * softmax.q(o) - softmax.p(o) * (slopes - u)));
    }
  }
  return sum;
}

// With Ru = u'(p)·Rp and Rp = p·apart.
void focalCrossEntropyLogitsTangent(const LossTangent& at, size_t rows) {
  const double gamma = at.parameter;
  for (size_t r = 0; r < rows; ++r) {
    const float *z = at.z + r * at.O, *t = at.t + r * at.T, *Rz = at.Rz + r * at.O;
    const Softmax softmax(z, at.O);
    const double ofTop = softmax.apart(Rz);
    const auto Rp = [&](size_t o) { return softmax.p(o) * softmax.apart(Rz, ofTop, o); };
    const auto Ru = [&](size_t o) {
      const double target = targetOf(t, o, at, 0);
      if (target == 0 || softmax.q(o) == 0) return 0.0;  // Rp outweighs the pole of u'
      return focalBend(softmax, o, target, gamma) * Rp(o);
    };
    double slopes = 0, tangents = 0;
    for (size_t o = 0; o < at.O; ++o) {
      slopes += focalSlope(softmax, o, targetOf(t, o, at, 0), gamma);
      tangents += Ru(o);
    }
    for (size_t o = 0; o < at.O; ++o) {
      const double own = Ru(o);
      const double value = own * softmax.q(o) - softmax.p(o) * (tangents - own) - Rp(o) * slopes;
      at.Rdz[r * at.O + o] = static_cast<float>(at.s * value);
    }
  }
}

}  // namespace

const std::vector<Loss>& losses() {
  static const auto& rows = *new std::vector<Loss>{
      // never destroyed: threads may outlive it

      {"mse", elementwise<Mse>, tangent<Mse>},
      {"mae", elementwise<Mae>, tangent<Mae>},
      {"quantile", elementwise<Quantile>, tangent<Quantile>},
      {"hinge", elementwise<Hinge>, tangent<Hinge>},
      {"huber", elementwise<Huber>, tangent<Huber>},
      {"logCosh", elementwise<LogCosh>, tangent<LogCosh>},
      {"poissonLogs", elementwise<PoissonLogs>, tangent<PoissonLogs>},
      {"poissonRates", elementwise<PoissonRates>, tangent<PoissonRates>},
      {"bceProbabilities", elementwise<BceProbabilities>, tangent<BceProbabilities>},
      {"bceLogits", bceLogits, tangent<BceLogits>},
      {"focalLogits", elementwise<OfBoth<Focal>>, tangent<OfBoth<Focal>>},
      {"focalProbabilities", elementwise<OfBoth<FocalOfShare>>, tangent<OfBoth<FocalOfShare>>},
      {"crossEntropyProbabilities", crossEntropyProbabilities, crossEntropyProbabilitiesTangent},
      {"crossEntropyLogits", crossEntropyLogits, crossEntropyLogitsTangent},
      {"focalCrossEntropyProbabilities", focalCrossEntropyProbabilities, focalCrossEntropyProbabilitiesTangent},
      {"focalCrossEntropyLogits", focalCrossEntropyLogits, focalCrossEntropyLogitsTangent},
  };
  return rows;
}

}  // namespace downhill
