// Activations: one row each, twin of lib/activations.ts; definitions and constants are PyTorch's.
//
// Most are elementwise, and their kernels are in vectors (maps.h): such a row says only what it keeps. A row that looks
// at a whole row of numbers brings its own functions. Special values go where IEEE arithmetic puts them; relu keeps
// NaN.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.h"

namespace downhill {

struct Activation {
  const char* name;
  // Backward wants the input x, not the output y.
  bool keepsInput;
  // Its place in Kernels::activations; what follows is then null.
  size_t kernel;
  // y = f(x) over rows of O; y may be x.
  void (*forwardRows)(const float* x, float* y, size_t rows, size_t O);
  // dx = dy ⊙ f'(v), v the y or x that is kept; dx may be dy.
  void (*backwardRows)(const float* v, const float* dy, float* dx, size_t rows, size_t O);
  // Rdx = f'(v) ⊙ Rdy + f''(v) ⊙ Rx ⊙ dy, the tangent of backward; Rdx may be Rdy.
  void (*backwardTangentRows)(const float* v, const float* Rx, const float* dy, const float* Rdy, float* Rdx,
                              size_t rows, size_t O);

  bool isElementwise() const { return forwardRows == nullptr; }
  const ActivationKernels& kernels() const { return downhill::kernels().activations[kernel]; }
  void forward(const float* x, float* y, size_t rows, size_t O) const {
    isElementwise() ? kernels().forward(x, y, rows * O) : forwardRows(x, y, rows, O);
  }
  void backward(const float* v, const float* dy, float* dx, size_t rows, size_t O) const {
    isElementwise() ? kernels().backward(v, dy, dx, rows * O) : backwardRows(v, dy, dx, rows, O);
  }
  void backwardTangent(const float* v, const float* Rx, const float* dy, const float* Rdy, float* Rdx, size_t rows,
                       size_t O) const {
    isElementwise() ? kernels().backwardTangent(v, Rx, dy, Rdy, Rdx, rows * O)
                    : backwardTangentRows(v, Rx, dy, Rdy, Rdx, rows, O);
  }
};

// All of them, sorted by increasing complexity.
const std::vector<Activation>& activations();

// The elementwise one of this name.
const Activation& activation(const char* name);

// The largest entry, or NaN if there is one. n ≥ 1.
float largest(const float* x, size_t n);

}  // namespace downhill
