// Activations: one row each, twin of lib/activations.ts; definitions and constants are PyTorch's.
//
// A row works on flat ranges of rows × O floats. `backward` is given what the row keeps: the output where that is
// enough (y overwrote x), else the input. Special values go where IEEE arithmetic puts them; relu keeps NaN.
#pragma once

#include <cmath>
#include <cstddef>

namespace downhill {

struct Activation {
  const char* name;
  // y = f(x); y may be x.
  void (*forward)(const float* x, float* y, size_t rows, size_t O);
  // dx = dy ⊙ f'(v); dx may be dy.
  void (*backward)(const float* v, const float* dy, float* dx, size_t rows, size_t O);
  // Backward wants the input x, not the output y.
  bool keepsInput;
};

namespace activations {

constexpr float kLeak = 0.01f;
constexpr float kSeluScale = 1.0507009873554805f;  // Klambauer et al. 2017, appendix A
constexpr float kSeluAlpha = 1.6732632423543772f;
constexpr float kSoftplusLinear = 20;  // above, log(1 + e^x) is x

inline float logistic(float x) { return 1 / (1 + std::exp(-x)); }
inline float normalCdf(float x) { return 0.5f * std::erfc(-x * 0.70710678118654752f); }
inline float normalPdf(float x) { return 0.39894228040143268f * std::exp(-0.5f * x * x); }

// Each row: f(x) and f'(v), where v is y unless keepsInput.
struct Linear {
  static float f(float x) { return x; }
  static float d(float) { return 1; }
};
struct Relu {
  static float f(float x) { return x <= 0 ? 0 : x; }
  static float d(float y) { return y <= 0 ? 0 : 1; }
};
struct LeakyRelu {
  static float f(float x) { return x > 0 ? x : kLeak * x; }
  static float d(float y) { return y > 0 ? 1 : kLeak; }
};
struct Elu {
  static float f(float x) { return x > 0 ? x : std::expm1(x); }
  static float d(float y) { return y > 0 ? 1 : y + 1; }
};
struct Selu {
  static float f(float x) { return kSeluScale * (x > 0 ? x : kSeluAlpha * std::expm1(x)); }
  static float d(float y) { return y > 0 ? kSeluScale : y + kSeluScale * kSeluAlpha; }
};
struct Sigmoid {
  static float f(float x) { return logistic(x); }
  static float d(float y) { return y * (1 - y); }
};
struct Tanh {
  static float f(float x) { return std::tanh(x); }
  // Not 1 − y²: near ±1 the factors are exact where the square has lost all.
  static float d(float y) { return (1 - y) * (1 + y); }
};
struct Softplus {
  static float f(float x) { return x > kSoftplusLinear ? x : std::log1p(std::exp(x)); }
  static float d(float y) { return y > kSoftplusLinear ? 1 : -std::expm1(-y); }
};
struct Silu {
  static float f(float x) { return x * logistic(x); }
  static float d(float x) { return logistic(x) * (1 + x * logistic(-x)); }
};
struct Gelu {
  static float f(float x) { return x * normalCdf(x); }
  static float d(float x) { return normalCdf(x) + x * normalPdf(x); }
};

template <class F>
constexpr Activation elementwise(const char* name, bool keepsInput = false) {
  return {name,
          [](const float* x, float* y, size_t rows, size_t O) {
            for (size_t i = 0; i < rows * O; ++i) y[i] = F::f(x[i]);
          },
          [](const float* v, const float* dy, float* dx, size_t rows, size_t O) {
            for (size_t i = 0; i < rows * O; ++i) dx[i] = dy[i] * F::d(v[i]);
          },
          keepsInput};
}

// The largest entry, or NaN if there is one.
inline float largest(const float* x, size_t n) {
  float most = x[0];
  for (size_t i = 1; i < n; ++i) {
    if (x[i] > most || x[i] != x[i]) most = x[i];
  }
  return most;
}

inline void softmax(const float* x, float* y, size_t rows, size_t O) {
  for (size_t r = 0; r < rows; ++r, x += O, y += O) {
    const float most = largest(x, O);  // shifted by it, e^x cannot overflow
    double sum = 0;
    for (size_t o = 0; o < O; ++o) sum += y[o] = std::exp(x[o] - most);
    const double scale = 1 / sum;
    for (size_t o = 0; o < O; ++o) y[o] = static_cast<float>(y[o] * scale);
  }
}

inline void softmaxGrad(const float* y, const float* dy, float* dx, size_t rows, size_t O) {
  for (size_t r = 0; r < rows; ++r, y += O, dy += O, dx += O) {
    double dot = 0;
    for (size_t o = 0; o < O; ++o) dot += static_cast<double>(dy[o]) * y[o];
    for (size_t o = 0; o < O; ++o) dx[o] = static_cast<float>(y[o] * (dy[o] - dot));
  }
}

}  // namespace activations

// Sorted by increasing complexity.
constexpr Activation kActivations[] = {
    activations::elementwise<activations::Linear>("linear"),
    activations::elementwise<activations::Relu>("relu"),
    activations::elementwise<activations::LeakyRelu>("leakyRelu"),
    activations::elementwise<activations::Elu>("elu"),
    activations::elementwise<activations::Selu>("selu"),
    activations::elementwise<activations::Sigmoid>("sigmoid"),
    activations::elementwise<activations::Tanh>("tanh"),
    activations::elementwise<activations::Softplus>("softplus"),
    activations::elementwise<activations::Silu>("silu", true),
    activations::elementwise<activations::Gelu>("gelu", true),
    {"softmax", activations::softmax, activations::softmaxGrad, false},
};

}  // namespace downhill
