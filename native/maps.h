// Elementwise kernels: a function of vmath.h over a range of floats, and the activations, twins of the rows in
// activations.h. Included by kernel_set.h alone.

namespace downhill {
namespace DOWNHILL_SET {

// y = F::f(x). The last vector is a part of one, so that its lanes get the same bits.
template <class F>
void forward(const float* x, float* y, size_t n) {
  size_t i = 0;
  for (; i + W <= n; i += W) store(y + i, F::f(load(x + i)));
  if (i < n) {
    const Lanes part = firstLanes(n - i);
    store(y + i, F::f(load(x + i, part)), part);
  }
}

// dx = dy · F::d(v)
template <class F>
void backward(const float* v, const float* dy, float* dx, size_t n) {
  size_t i = 0;
  for (; i + W <= n; i += W) store(dx + i, load(dy + i) * F::d(load(v + i)));
  if (i < n) {
    const Lanes part = firstLanes(n - i);
    store(dx + i, load(dy + i, part) * F::d(load(v + i, part)), part);
  }
}

// Rdx = F::d(v) · Rdy + F::d2(v) · Rx · dy
template <class F>
DOWNHILL_INLINE Vec tangent(Vec v, Vec Rx, Vec dy, Vec Rdy) {
  return fma(Rdy, F::d(v), Rx * dy * F::d2(v));
}
template <class F>
void backwardTangent(const float* v, const float* Rx, const float* dy, const float* Rdy, float* Rdx, size_t n) {
  size_t i = 0;
  for (; i + W <= n; i += W) store(Rdx + i, tangent<F>(load(v + i), load(Rx + i), load(dy + i), load(Rdy + i)));
  if (i < n) {
    const Lanes part = firstLanes(n - i);
    store(Rdx + i, tangent<F>(load(v + i, part), load(Rx + i, part), load(dy + i, part), load(Rdy + i, part)), part);
  }
}

struct Exp {
  static DOWNHILL_INLINE Vec f(Vec x) { return exp(x); }
};
struct Log {
  static DOWNHILL_INLINE Vec f(Vec x) { return log(x); }
};
struct NormalCdf {
  static DOWNHILL_INLINE Vec f(Vec x) { return normalCdf(x); }
};

constexpr float kLeak = 0.01f;
constexpr float kSeluScale = 1.0507009873554805f, kSeluAlpha = 1.6732632423543772f;

// f(x), and f'(v) and f''(v) of the output, or of the input for silu and gelu.
struct Relu {
  static DOWNHILL_INLINE Vec f(Vec x) { return x <= 0 ? Vec{} : x; }
  static DOWNHILL_INLINE Vec d(Vec y) { return y <= 0 ? Vec{} : all(1); }
  static DOWNHILL_INLINE Vec d2(Vec) { return Vec{}; }
};
struct LeakyRelu {
  static DOWNHILL_INLINE Vec f(Vec x) { return x > 0 ? x : kLeak * x; }
  static DOWNHILL_INLINE Vec d(Vec y) { return y > 0 ? all(1) : all(kLeak); }
  static DOWNHILL_INLINE Vec d2(Vec) { return Vec{}; }
};
struct Elu {
  static DOWNHILL_INLINE Vec f(Vec x) { return x > 0 ? x : expMinus1(atMost(x, 0)); }
  static DOWNHILL_INLINE Vec d(Vec y) { return y > 0 ? all(1) : y + 1; }
  static DOWNHILL_INLINE Vec d2(Vec y) { return y > 0 ? Vec{} : y + 1; }
};
struct Selu {
  static DOWNHILL_INLINE Vec f(Vec x) { return kSeluScale * (x > 0 ? x : kSeluAlpha * expMinus1(atMost(x, 0))); }
  static DOWNHILL_INLINE Vec d(Vec y) { return y > 0 ? all(kSeluScale) : y + kSeluScale * kSeluAlpha; }
  static DOWNHILL_INLINE Vec d2(Vec y) { return y > 0 ? Vec{} : y + kSeluScale * kSeluAlpha; }
};
struct Sigmoid {
  static DOWNHILL_INLINE Vec f(Vec x) { return sigmoid(x); }
  static DOWNHILL_INLINE Vec d(Vec y) { return y * (1 - y); }
  static DOWNHILL_INLINE Vec d2(Vec y) { return y * (1 - y) * (1 - 2 * y); }
};
struct Tanh {
  static DOWNHILL_INLINE Vec f(Vec x) { return tanh(x); }
  static DOWNHILL_INLINE Vec d(Vec y) { return (1 - y) * (1 + y); }
  static DOWNHILL_INLINE Vec d2(Vec y) { return -2 * y * ((1 - y) * (1 + y)); }
};
struct Softplus {
  static DOWNHILL_INLINE Vec f(Vec x) { return softplus(x); }
  static DOWNHILL_INLINE Vec d(Vec y) { return -expMinus1(-y); }
  static DOWNHILL_INLINE Vec d2(Vec y) { return -expMinus1(-y) * exp(-y); }
};
struct Silu {
  static DOWNHILL_INLINE Vec f(Vec x) { return x * sigmoid(x); }
  static DOWNHILL_INLINE Vec d(Vec x) {
    const Vec s = sigmoid(x);
    return s * (1 + x * sigmoid(-x));
  }
  static DOWNHILL_INLINE Vec d2(Vec x) {
    const Vec s = sigmoid(x), rest = sigmoid(-x);
    return s * rest * (2 + x * (rest - s));
  }
};
struct Gelu {
  static DOWNHILL_INLINE Vec f(Vec x) { return x * normalCdf(x); }
  static DOWNHILL_INLINE Vec d(Vec x) {
    Vec e;
    const Vec cdf = normalCdf(x, e);
    return fma(x, 0.398942280f * e, cdf);
  }
  static DOWNHILL_INLINE Vec d2(Vec x) {
    const Vec pdf = 0.398942280f * scaled(bell(atMost(absolute(x), 15)));
    return 2 * pdf - x * (x * pdf);  // so bracketed, no x² overflows
  }
};

template <class F>
constexpr ActivationKernels activation(const char* name) {
  return {name, forward<F>, backward<F>, backwardTangent<F>};
}

constexpr ActivationKernels kActivations[] = {
    activation<Relu>("relu"),         activation<LeakyRelu>("leakyRelu"), activation<Elu>("elu"),
    activation<Selu>("selu"),         activation<Sigmoid>("sigmoid"),     activation<Tanh>("tanh"),
    activation<Softplus>("softplus"), activation<Silu>("silu"),           activation<Gelu>("gelu"),
};

}  // namespace DOWNHILL_SET
}  // namespace downhill
