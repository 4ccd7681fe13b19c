// Passes: what optimizers are chains of. `begin` takes what the step decides, `part` goes over a piece; see Instruction
// in ops.h. Included by ops.cc alone, which has them in its table.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>

#include "ops.h"
#include "transforms.h"

namespace downhill {

// g ·= min(1, most/(gradientNorm + 1e-6)), gradientNorm as guard has found it
struct ClipNorm {
  static constexpr const char* names = "g n most";
  size_t n;
  float* g;
  double most;
  float c = 1;
  explicit ClipNorm(const Operands& in) : n(in.size("n")), g(in.floats("g", n)), most(in.number("most")) {}
  void begin(const Step& step) { c = static_cast<float>(std::fmin(1, most / (step.gradientNorm + 1e-6))); }
  void part(size_t from, size_t count) const {
    if (c < 1) transforms().scale(g + from, count, c);
  }
};

// g = min(most, max(−most, g))
struct ClipValue {
  static constexpr const char* names = "g n most";
  size_t n;
  float* g;
  float most;
  explicit ClipValue(const Operands& in)
      : n(in.size("n")), g(in.floats("g", n)), most(static_cast<float>(in.number("most"))) {}
  void begin(const Step&) {}
  void part(size_t from, size_t count) const { transforms().clip(g + from, count, most); }
};

// g += lambda·w
struct CoupleDecay {
  static constexpr const char* names = "w g n lambda";
  size_t n;
  const float* w;
  float* g;
  float lambda;
  explicit CoupleDecay(const Operands& in)
      : n(in.size("n")), w(in.floats("w", n)), g(in.floats("g", n)), lambda(static_cast<float>(in.number("lambda"))) {}
  void begin(const Step&) {}
  void part(size_t from, size_t count) const { transforms().addScaled(w + from, lambda, g + from, count); }
};

// m = beta·m + g;  g = nesterov ? g + beta·m : m
struct Momentum {
  static constexpr const char* names = "g m n beta nesterov";
  size_t n;
  float *g, *m;
  float beta;
  bool nesterov;
  explicit Momentum(const Operands& in)
      : n(in.size("n")),
        g(in.floats("g", n)),
        m(in.floats("m", n)),
        beta(static_cast<float>(in.number("beta"))),
        nesterov(in.number("nesterov") != 0) {}
  void begin(const Step&) {}
  void part(size_t from, size_t count) const { transforms().momentum(g + from, m + from, count, beta, nesterov); }
};

// m = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²;  g = m/(1−β1^k) / (√(v/(1−β2^k)) + ε)   (k = step + 1)
struct ScaleByAdam {
  static constexpr const char* names = "g m v n beta1 beta2 epsilon";
  size_t n;
  float *g, *m, *v;
  double beta1, beta2, epsilon;
  AdamConstants c{};
  explicit ScaleByAdam(const Operands& in)
      : n(in.size("n")),
        g(in.floats("g", n)),
        m(in.floats("m", n)),
        v(in.floats("v", n)),
        beta1(in.number("beta1")),
        beta2(in.number("beta2")),
        epsilon(in.number("epsilon")) {}
  void begin(const Step& step) { c = adamConstants(beta1, beta2, epsilon, static_cast<double>(step.number) + 1); }
  void part(size_t from, size_t count) const { transforms().scaleByAdam(g + from, m + from, v + from, count, c); }
};

// v = decay·v + (1−decay)·g²;  g = g / (√v + ε)
struct ScaleByRms {
  static constexpr const char* names = "g v n decay epsilon";
  size_t n;
  float *g, *v;
  float decay, rest, epsilon;
  explicit ScaleByRms(const Operands& in)
      : n(in.size("n")),
        g(in.floats("g", n)),
        v(in.floats("v", n)),
        decay(static_cast<float>(in.number("decay"))),
        rest(static_cast<float>(1 - in.number("decay"))),
        epsilon(static_cast<float>(in.number("epsilon"))) {}
  void begin(const Step&) {}
  void part(size_t from, size_t count) const {
    transforms().scaleByRms(g + from, v + from, count, decay, rest, epsilon);
  }
};

// v += g²;  g = g / (√(v + initial) + ε) / (1 + slowing·step)
struct ScaleByAdagrad {
  static constexpr const char* names = "g v n initial epsilon slowing";
  size_t n;
  float *g, *v;
  float initial, epsilon;
  double slowing;
  float c = 1;
  explicit ScaleByAdagrad(const Operands& in)
      : n(in.size("n")),
        g(in.floats("g", n)),
        v(in.floats("v", n)),
        initial(static_cast<float>(in.number("initial"))),
        epsilon(static_cast<float>(in.number("epsilon"))),
        slowing(in.number("slowing")) {}
  void begin(const Step& step) { c = static_cast<float>(1 / (1 + slowing * static_cast<double>(step.number))); }
  void part(size_t from, size_t count) const {
    transforms().scaleByAdagrad(g + from, v + from, count, initial, epsilon, c);
  }
};

// as scaleByAdam, with most = max(most, v) in place of v under the root
struct ScaleByAmsgrad : ScaleByAdam {
  static constexpr const char* names = "g m v most n beta1 beta2 epsilon";
  float* most;
  explicit ScaleByAmsgrad(const Operands& in) : ScaleByAdam(in), most(in.floats("most", n)) {}
  void part(size_t from, size_t count) const {
    transforms().scaleByAmsgrad(g + from, m + from, v + from, most + from, count, c);
  }
};

// m, v as scaleByAdam;  g = ((1−μ_k)/(1−Π_k)·g + μ_k+1/(1−Π_k+1)·m) / (√(v/(1−β2^k)) + ε),
// μ_k = β1·(1 − ½·0.96^(k·psi)), Π_k = μ_1 ⋯ μ_k   (k = step + 1)
struct ScaleByNadam {
  static constexpr const char* names = "g m v n beta1 beta2 epsilon psi";
  size_t n;
  float *g, *m, *v;
  float epsilon;
  double beta1, beta2;
  NadamWeights weights;
  NadamWeights::Pair now{};
  float correct2 = 1;
  explicit ScaleByNadam(const Operands& in)
      : n(in.size("n")),
        g(in.floats("g", n)),
        m(in.floats("m", n)),
        v(in.floats("v", n)),
        epsilon(static_cast<float>(in.number("epsilon"))),
        beta1(in.number("beta1")),
        beta2(in.number("beta2")),
        weights(beta1, in.number("psi")) {}
  void begin(const Step& step) {
    now = weights.at(step.number + 1);
    correct2 = static_cast<float>(1 / (1 - std::pow(beta2, static_cast<double>(step.number) + 1)));
  }
  void part(size_t from, size_t count) const {
    const AdamConstants c{static_cast<float>(beta1),
                          static_cast<float>(beta2),
                          epsilon,
                          static_cast<float>(1 - beta1),
                          static_cast<float>(1 - beta2),
                          1,
                          correct2};
    transforms().scaleByNadam(g + from, m + from, v + from, count, c, now);
  }
};

// c = β1·m + (1−β1)·g;  m = β2·m + (1−β2)·g;  g = c > 0 ? 1 : c < 0 ? −1 : c
struct SignOfMomentum {
  static constexpr const char* names = "g m n beta1 beta2";
  size_t n;
  float *g, *m;
  float beta1, rest1, beta2, rest2;
  explicit SignOfMomentum(const Operands& in)
      : n(in.size("n")),
        g(in.floats("g", n)),
        m(in.floats("m", n)),
        beta1(static_cast<float>(in.number("beta1"))),
        rest1(static_cast<float>(1 - in.number("beta1"))),
        beta2(static_cast<float>(in.number("beta2"))),
        rest2(static_cast<float>(1 - in.number("beta2"))) {}
  void begin(const Step&) {}
  void part(size_t from, size_t count) const {
    transforms().signOfMomentum(g + from, m + from, count, beta1, rest1, beta2, rest2);
  }
};

// a = k = 1 ? w : decay·a + (1−decay)·w   (k = step + 1)
struct Average {
  static constexpr const char* names = "w a n decay";
  size_t n;
  const float* w;
  float* a;
  float decay, rest;
  bool isFirst = false;
  explicit Average(const Operands& in)
      : n(in.size("n")),
        w(in.floats("w", n)),
        a(in.floats("a", n)),
        decay(static_cast<float>(in.number("decay"))),
        rest(static_cast<float>(1 - in.number("decay"))) {}
  void begin(const Step& step) { isFirst = step.number == 0; }
  void part(size_t from, size_t count) const {
    if (isFirst) {
      std::memcpy(a + from, w + from, count * sizeof(float));
    } else {
      transforms().average(w + from, a + from, count, decay, rest);
    }
  }
};

// w −= learningRate·lambda·w, at most ±the largest float
struct DecayWeights {
  static constexpr const char* names = "w n lambda";
  size_t n;
  float* w;
  double lambda;
  float a = 0;
  explicit DecayWeights(const Operands& in) : n(in.size("n")), w(in.floats("w", n)), lambda(in.number("lambda")) {}
  void begin(const Step& step) { a = factor(step.learningRate * lambda); }
  void part(size_t from, size_t count) const { transforms().shrink(w + from, count, a); }
};

// w −= learningRate·g, at most ±the largest float
struct Descend {
  static constexpr const char* names = "w g n";
  static constexpr bool kDescends = true;
  size_t n;
  float* w;
  const float* g;
  float a = 0;
  explicit Descend(const Operands& in) : n(in.size("n")), w(in.floats("w", n)), g(in.floats("g", n)) {}
  void begin(const Step& step) { a = factor(step.learningRate); }
  void part(size_t from, size_t count) const { transforms().descend(w + from, g + from, count, a); }
};

}  // namespace downhill
