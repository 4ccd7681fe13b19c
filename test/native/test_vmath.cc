// Vector mathematics, on every set of kernels that runs here: within its bound of ULPs of the double result over floats
// of all exponents, special values right, and the same bits wherever a value stands.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cpu.h"
#include "kernels.h"
#include "test.h"
#include "threads.h"

using namespace downhill;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLeastNormal = std::numeric_limits<float>::min();
// 2³² floats in steps of a prime: every exponent, half a million mantissas.
constexpr uint64_t kStep = 8191;

double normalCdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

float ofBits(uint64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  float x;
  std::memcpy(&x, &low, sizeof x);
  return x;
}

const ActivationKernels& activation(const Kernels& set, const char* name) {
  const ActivationKernels* found = activationNamed(set, name);
  CHECK(found != nullptr);
  return found != nullptr ? *found : set.activations[0];
}

// A function as the kernels have it, the same in double, its bound, and below what it may count as 0.
struct Function {
  const char* name;
  Map (*kernel)(const Kernels&);
  double (*exact)(double);
  double ulps;
  double negligible;
};

// silu and gelu multiply x with a factor that becomes denormal first.
const Function kFunctions[] = {
    {"exp", [](const Kernels& k) { return k.exp; }, [](double x) { return std::exp(x); }, 1.1, 0},
    {"log", [](const Kernels& k) { return k.log; }, [](double x) { return std::log(x); }, 1, 0},
    {"normalCdf", [](const Kernels& k) { return k.normalCdf; }, normalCdf, 2.1, 0},
    {"elu", [](const Kernels& k) { return activation(k, "elu").forward; },
     [](double x) { return x > 0 ? x : std::expm1(x); }, 1, 0},
    {"tanh", [](const Kernels& k) { return activation(k, "tanh").forward; }, [](double x) { return std::tanh(x); }, 2,
     0},
    {"sigmoid", [](const Kernels& k) { return activation(k, "sigmoid").forward; }, sigmoid, 2, 0},
    {"softplus", [](const Kernels& k) { return activation(k, "softplus").forward; },
     [](double x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))); }, 2, 0},
    {"silu", [](const Kernels& k) { return activation(k, "silu").forward; }, [](double x) { return x * sigmoid(x); }, 3,
     128.0 * kLeastNormal},
    {"gelu", [](const Kernels& k) { return activation(k, "gelu").forward; }, [](double x) { return x * normalCdf(x); },
     3, 16.0 * kLeastNormal},
};

template <class F>
void everySet(const F& fn) {
  for (const Simd set : {Simd::kPortable, Simd::kAvx2, Simd::kAvx512})
    if (runs(set)) fn(set, kernelsOf(set));
}

// Calls fn(x, y) with blocks of floats of all exponents and what the kernel makes of them.
template <class F>
void overFloats(Map map, const F& fn) {
  std::vector<float> x, y(4096);
  for (uint64_t bits = 0; bits < uint64_t{1} << 32;) {
    x.clear();
    for (; x.size() < y.size() && bits < uint64_t{1} << 32; bits += kStep) x.push_back(ofBits(bits));
    map(x.data(), y.data(), x.size());
    for (size_t i = 0; i < x.size(); ++i) fn(x[i], y[i]);
  }
}

// |found − exact| in ULPs of the exact value, those of denormals being 2⁻¹⁴⁹. An exact value that rounds to infinity
// asks for infinity.
double ulpsOff(double found, double exact) {
  if (std::isnan(exact)) return std::isnan(found) ? 0 : INFINITY;
  const double rounded = static_cast<double>(static_cast<float>(exact));
  if (std::isinf(rounded) || std::isnan(found) || std::isinf(found)) return found == rounded ? 0 : INFINITY;
  int exponent = -125;
  if (std::fabs(exact) >= kLeastNormal) std::frexp(exact, &exponent);
  return std::fabs(found - exact) / std::ldexp(1.0, exponent - 24);
}

}  // namespace

TEST(functionsAreWithinTheirBoundsOfUlps) {
  everySet([](Simd set, const Kernels& kernels) {
    for (const Function& f : kFunctions) {
      double worst = 0;
      float at = 0;
      overFloats(f.kernel(kernels), [&](float x, float y) {
        const double exact = f.exact(x);
        if (std::fabs(exact) < f.negligible && std::fabs(y) < 2 * f.negligible) return;
        const double off = ulpsOff(y, exact);
        if (off > worst) worst = off, at = x;
      });
      if (worst <= f.ulps) continue;
      char what[128];
      std::snprintf(what, sizeof what, "%s on %s: %.3g ULP off at %.9g", f.name, nameOf(set), worst, at);
      test::fails(__FILE__, __LINE__, what);
    }
  });
}

// Flushing denormals changes no value that is normal and made of normal ones.
TEST(flushingDenormalsChangesNoNormalValue) {
  everySet([](Simd set, const Kernels& kernels) {
    for (const Function& f : kFunctions) {
      const FlushDenormals flush;
      int wrong = 0;
      overFloats(f.kernel(kernels), [&](float x, float y) {
        const double exact = f.exact(x);
        if (!(std::fabs(x) >= kLeastNormal) || !(std::fabs(exact) >= 1.01 * kLeastNormal)) return;
        if (std::fabs(exact) < f.negligible) return;
        if (!(ulpsOff(y, exact) <= f.ulps)) ++wrong;
      });
      CHECK(wrong == 0);
      if (wrong != 0) std::printf("    %s on %s\n", f.name, nameOf(set));
    }
  });
}

TEST(specialValuesAreThoseOfIeee) {
  everySet([](Simd, const Kernels& kernels) {
    const auto at = [](Map map, float x) {
      float y = 12345;
      map(&x, &y, 1);
      return y;
    };
    const auto of = [&](const char* name) { return activation(kernels, name).forward; };
    CHECK(at(kernels.exp, -kInfinity) == 0 && at(kernels.exp, kInfinity) == kInfinity && at(kernels.exp, 0) == 1);
    CHECK(at(kernels.exp, 88.7f) < kInfinity && at(kernels.exp, 88.8f) == kInfinity && at(kernels.exp, -104) == 0);
    CHECK(at(kernels.log, 0) == -kInfinity && at(kernels.log, -0.0f) == -kInfinity && std::isnan(at(kernels.log, -1)));
    CHECK(at(kernels.log, kInfinity) == kInfinity && at(kernels.log, 1) == 0 &&
          std::isnan(at(kernels.log, -kInfinity)));
    CHECK(at(kernels.normalCdf, -kInfinity) == 0 && at(kernels.normalCdf, kInfinity) == 1);
    CHECK(at(kernels.normalCdf, 0) == 0.5f);
    CHECK(at(of("tanh"), kInfinity) == 1 && at(of("tanh"), -kInfinity) == -1 && at(of("tanh"), 9.1f) == 1);
    CHECK(std::signbit(at(of("tanh"), -0.0f)) && !std::signbit(at(of("tanh"), 0)));
    CHECK(at(of("sigmoid"), -kInfinity) == 0 && at(of("sigmoid"), kInfinity) == 1 && at(of("sigmoid"), 0) == 0.5f);
    CHECK(at(of("softplus"), -kInfinity) == 0 && at(of("softplus"), kInfinity) == kInfinity);
    CHECK(at(of("relu"), -kInfinity) == 0 && at(of("relu"), kInfinity) == kInfinity);
    CHECK(at(of("elu"), -kInfinity) == -1 && at(of("elu"), kInfinity) == kInfinity);
    for (size_t i = 0; i < kernels.activationCount; ++i)
      CHECK(std::isnan(at(kernels.activations[i].forward, std::numeric_limits<float>::quiet_NaN())));
  });
}

TEST(derivativesMatchTheirFormulas) {
  struct Row {
    const char* name;
    double (*derivative)(double v);  // of what the row keeps
  };
  const Row rows[] = {
      {"relu", [](double y) { return y <= 0 ? 0.0 : 1.0; }},
      {"leakyRelu", [](double y) { return y > 0 ? 1.0 : static_cast<double>(0.01f); }},
      {"elu", [](double y) { return y > 0 ? 1.0 : y + 1; }},
      {"selu", [](double y) { return y > 0 ? 1.0507009873554805 : y + 1.0507009873554805 * 1.6732632423543772; }},
      {"sigmoid", [](double y) { return y * (1 - y); }},
      {"tanh", [](double y) { return (1 - y) * (1 + y); }},
      {"softplus", [](double y) { return -std::expm1(-y); }},
      {"silu", [](double x) { return sigmoid(x) * (1 + x * sigmoid(-x)); }},
      {"gelu", [](double x) { return normalCdf(x) + x * 0.3989422804014327 * std::exp(-x * x / 2); }},
  };
  everySet([&](Simd, const Kernels& kernels) {
    CHECK(kernels.activationCount == sizeof rows / sizeof *rows);
    for (const Row& row : rows) {
      const ActivationKernels& kernel = activation(kernels, row.name);
      for (float at = -4; at <= 4; at += 0.013f) {
        float v = at, dx;
        const float dy = 1.5f;
        if (std::strcmp(row.name, "softplus") == 0) v = std::fabs(at);
        kernel.backward(&v, &dy, &dx, 1);
        CHECK_NEAR(dx, 1.5 * row.derivative(v), 2e-6 * (1 + v * v));
      }
    }
  });
}

TEST(aValueHasTheSameBitsWhereverItStands) {
  everySet([](Simd, const Kernels& kernels) {
    std::vector<float> x(67), y(67), part(67), dx(67), partGrad(67);
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i)) * 6;
    for (size_t a = 0; a < kernels.activationCount; ++a) {
      const ActivationKernels& kernel = kernels.activations[a];
      kernel.forward(x.data(), y.data(), x.size());
      kernel.backward(x.data(), x.data(), dx.data(), x.size());
      for (size_t from = 0; from < 20; ++from)
        for (size_t n = 1; from + n <= x.size(); n += 3) {
          std::fill(part.begin(), part.end(), 12345.0f);
          kernel.forward(x.data() + from, part.data(), n);
          CHECK(std::memcmp(part.data(), y.data() + from, n * sizeof(float)) == 0);
          CHECK(n == part.size() || part[n] == 12345.0f);
          kernel.backward(x.data() + from, x.data() + from, partGrad.data(), n);
          CHECK(std::memcmp(partGrad.data(), dx.data() + from, n * sizeof(float)) == 0);
        }
      part = x;
      kernel.forward(part.data(), part.data(), part.size());
      CHECK(part == y);
      part = x;
      kernel.backward(x.data(), part.data(), part.data(), part.size());
      CHECK(part == dx);
    }
  });
}

TEST(fusedSetsAgreeInAllBitsOfFunctions) {
  if (!runs(Simd::kAvx512)) return;
  const Kernels &narrow = kernelsOf(Simd::kAvx2), &wide = kernelsOf(Simd::kAvx512);
  for (const Function& f : kFunctions) {
    const Map other = f.kernel(wide);
    int different = 0;
    overFloats(f.kernel(narrow), [&](float x, float y) {
      float z;
      other(&x, &z, 1);
      if (std::memcmp(&y, &z, sizeof y) != 0 && !(std::isnan(y) && std::isnan(z))) ++different;
    });
    CHECK(different == 0);
  }
}
