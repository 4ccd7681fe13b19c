#include "activations.h"

#include <cstring>

namespace downhill {
namespace {

void copy(const float* x, float* y, size_t rows, size_t O) {
  if (x != y) std::memcpy(y, x, rows * O * sizeof(float));
}

void softmax(const float* x, float* y, size_t rows, size_t O) {
  const Map exp = kernels().exp;
  for (size_t r = 0; r < rows; ++r, x += O, y += O) {
    const float most = largest(x, O);  // shifted by it, e^x cannot overflow
    for (size_t o = 0; o < O; ++o) y[o] = x[o] - most;
    exp(y, y, O);
    double sum = 0;
    for (size_t o = 0; o < O; ++o) sum += y[o];
    const double scale = 1 / sum;
    for (size_t o = 0; o < O; ++o) y[o] = static_cast<float>(y[o] * scale);
  }
}

void softmaxGrad(const float* y, const float* dy, float* dx, size_t rows, size_t O) {
  for (size_t r = 0; r < rows; ++r, y += O, dy += O, dx += O) {
    double dot = 0;
    for (size_t o = 0; o < O; ++o) dot += static_cast<double>(dy[o]) * y[o];
    for (size_t o = 0; o < O; ++o) dx[o] = static_cast<float>(y[o] * (dy[o] - dot));
  }
}

// The Jacobian is symmetric, so that Ry comes from Rx as dx from dy.
void softmaxGradTangent(const float* y, const float* Rx, const float* dy, const float* Rdy, float* Rdx, size_t rows,
                        size_t O) {
  for (size_t r = 0; r < rows; ++r, y += O, Rx += O, dy += O, Rdy += O, Rdx += O) {
    double mean = 0, dot = 0, Rdot = 0;
    for (size_t o = 0; o < O; ++o) {
      mean += static_cast<double>(y[o]) * Rx[o];
      dot += static_cast<double>(y[o]) * dy[o];
    }
    for (size_t o = 0; o < O; ++o) Rdot += y[o] * ((Rx[o] - mean) * dy[o] + Rdy[o]);
    for (size_t o = 0; o < O; ++o) {
      Rdx[o] = static_cast<float>(y[o] * ((Rx[o] - mean) * (dy[o] - dot) + Rdy[o] - Rdot));
    }
  }
}

// A row whose kernels have its name.
Activation elementwise(const char* name, bool keepsInput = false) {
  const Kernels& set = kernelsOf(Simd::kPortable);  // the order is the same in all
  size_t kernel = 0;
  while (std::strcmp(set.activations[kernel].name, name) != 0) ++kernel;
  return {name, keepsInput, kernel, nullptr, nullptr, nullptr};
}

Activation whole(const char* name, decltype(Activation::forwardRows) forward,
                 decltype(Activation::backwardRows) backward,
                 decltype(Activation::backwardTangentRows) backwardTangent) {
  return {name, false, 0, forward, backward, backwardTangent};
}

}  // namespace

const std::vector<Activation>& activations() {
  static const auto& rows = *new std::vector<Activation>{
      // never destroyed: threads may outlive it

      whole(
          "linear", copy,
          [](const float*, const float* dy, float* dx, size_t rows, size_t O) { copy(dy, dx, rows, O); },
          [](const float*, const float*, const float*, const float* Rdy, float* Rdx, size_t rows, size_t O) {
            copy(Rdy, Rdx, rows, O);
          }),
      elementwise("relu"),
      elementwise("leakyRelu"),
      elementwise("elu"),
      elementwise("selu"),
      elementwise("sigmoid"),
      elementwise("tanh"),
      elementwise("softplus"),
      elementwise("silu", true),
      elementwise("gelu", true),
      whole("softmax", softmax, softmaxGrad, softmaxGradTangent),
  };
  return rows;
}

const Activation& activation(const char* name) {
  size_t i = 0;
  while (std::strcmp(activations()[i].name, name) != 0) ++i;
  return activations()[i];
}

float largest(const float* x, size_t n) {
  float most = x[0];
  for (size_t i = 1; i < n; ++i) {
    if (x[i] > most || x[i] != x[i]) most = x[i];
  }
  return most;
}

}  // namespace downhill
