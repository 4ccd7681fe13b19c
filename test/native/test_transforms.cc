// The passes: each set of kernels against the formula in double, and every set bit for bit like the plainest.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "nets.h"
#include "random.h"
#include "test.h"
#include "transforms.h"

namespace test {
namespace {

constexpr Simd kSets[] = {Simd::kPortable, Simd::kAvx2, Simd::kAvx512};
constexpr size_t kSizes[] = {0, 1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 129, 1000};

using Vectors = std::vector<std::vector<float>>;  // e.g. g, m, v

// `count` vectors of n numbers; every one that is `positive` by its bit is.
Vectors vectorsOf(size_t count, size_t n, unsigned positive) {
  Vectors all(count, std::vector<float>(n));
  for (size_t k = 0; k < count; ++k) {
    for (size_t i = 0; i < n; ++i) {
      const float x = noise(1000 * k + i);
      all[k][i] = (positive >> k & 1) ? std::fabs(x) : x;
    }
  }
  return all;
}

// Runs a pass of every set on the same vectors; `formula(i, x)` is what becomes of the i-th numbers x, in double.
void holds(size_t count, unsigned positive, const std::function<void(const Transforms&, Vectors&)>& pass,
           const std::function<void(std::vector<double>&)>& formula) {
  for (const size_t n : kSizes) {
    const Vectors before = vectorsOf(count, n, positive);
    Vectors first;
    for (const Simd set : kSets) {
      if (!runs(set)) continue;
      Vectors after = before;
      pass(transformsOf(set), after);
      if (first.empty()) first = after;
      for (size_t k = 0; k < count; ++k) {
        CHECK(n == 0 || std::memcmp(after[k].data(), first[k].data(), n * sizeof(float)) == 0);
      }
      for (size_t i = 0; i < n; ++i) {
        std::vector<double> x(count);
        for (size_t k = 0; k < count; ++k) x[k] = before[k][i];
        formula(x);
        for (size_t k = 0; k < count; ++k) CHECK_NEAR(after[k][i], x[k], 1e-6 * std::fabs(x[k]) + 2e-7);
      }
    }
  }
}

}  // namespace

TEST(transformsAreTheirFormulas) {
  holds(
      2, 0, [](const Transforms& t, Vectors& x) { t.addScaled(x[0].data(), 0.3f, x[1].data(), x[0].size()); },
      [](std::vector<double>& x) { x[1] += 0.3f * x[0]; });
  for (const bool nesterov : {false, true}) {
    holds(
        2, 0,
        [=](const Transforms& t, Vectors& x) { t.momentum(x[0].data(), x[1].data(), x[0].size(), 0.9f, nesterov); },
        [=](std::vector<double>& x) {
          x[1] = 0.9f * x[1] + x[0];
          x[0] = nesterov ? x[0] + 0.9f * x[1] : x[1];
        });
  }
  holds(
      3, 4,
      [](const Transforms& t, Vectors& x) {
        t.scaleByAdam(x[0].data(), x[1].data(), x[2].data(), x[0].size(), adamConstants(0.9, 0.999, 1e-3, 3));
      },
      [](std::vector<double>& x) {
        x[1] = 0.9 * x[1] + 0.1 * x[0];
        x[2] = 0.999 * x[2] + 0.001 * x[0] * x[0];
        x[0] = x[1] / (1 - std::pow(0.9, 3)) / (std::sqrt(x[2] / (1 - std::pow(0.999, 3))) + 1e-3);
      });
  holds(
      2, 2,
      [](const Transforms& t, Vectors& x) { t.scaleByRms(x[0].data(), x[1].data(), x[0].size(), 0.99f, 0.01f, 1e-3f); },
      [](std::vector<double>& x) {
        x[1] = 0.99 * x[1] + 0.01 * x[0] * x[0];
        x[0] /= std::sqrt(x[1]) + 1e-3;
      });
  holds(
      2, 2,
      [](const Transforms& t, Vectors& x) {
        t.scaleByAdagrad(x[0].data(), x[1].data(), x[0].size(), 0.1f, 1e-3f, 0.5f);
      },
      [](std::vector<double>& x) {
        x[1] += x[0] * x[0];
        x[0] = x[0] / (std::sqrt(x[1] + 0.1) + 1e-3) / 2;
      });
  holds(
      4, 12,
      [](const Transforms& t, Vectors& x) {
        const AdamConstants c = adamConstants(0.9, 0.5, 1e-3, 3);
        t.scaleByAmsgrad(x[0].data(), x[1].data(), x[2].data(), x[3].data(), x[0].size(), c);
      },
      [](std::vector<double>& x) {
        x[1] = 0.9 * x[1] + 0.1 * x[0];
        x[2] = 0.5 * x[2] + 0.5 * x[0] * x[0];
        x[3] = std::fmax(x[3], x[2]);
        x[0] = x[1] / (1 - std::pow(0.9, 3)) / (std::sqrt(x[3] / (1 - std::pow(0.5, 3))) + 1e-3);
      });
  holds(
      3, 4,
      [](const Transforms& t, Vectors& x) {
        const AdamConstants c = adamConstants(0.9, 0.999, 1e-3, 3);
        t.scaleByNadam(x[0].data(), x[1].data(), x[2].data(), x[0].size(), c, {0.6f, 0.7f});
      },
      [](std::vector<double>& x) {
        x[1] = 0.9 * x[1] + 0.1 * x[0];
        x[2] = 0.999 * x[2] + 0.001 * x[0] * x[0];
        x[0] = (0.6 * x[0] + 0.7 * x[1]) / (std::sqrt(x[2] / (1 - std::pow(0.999, 3))) + 1e-3);
      });
  holds(
      2, 0,
      [](const Transforms& t, Vectors& x) {
        t.signOfMomentum(x[0].data(), x[1].data(), x[0].size(), 0.9f, 0.1f, 0.99f, 0.01f);
      },
      [](std::vector<double>& x) {
        const double c = 0.9 * x[1] + 0.1 * x[0];
        x[1] = 0.99 * x[1] + 0.01 * x[0];
        x[0] = c > 0 ? 1 : c < 0 ? -1 : c;
      });
  holds(
      2, 0, [](const Transforms& t, Vectors& x) { t.average(x[0].data(), x[1].data(), x[0].size(), 0.9f, 0.1f); },
      [](std::vector<double>& x) { x[1] = 0.9 * x[1] + 0.1 * x[0]; });
  holds(
      2, 0, [](const Transforms& t, Vectors& x) { t.scale(x[0].data(), x[0].size(), 0.3f); },
      [](std::vector<double>& x) { x[0] *= 0.3f; });
  holds(
      2, 0, [](const Transforms& t, Vectors& x) { t.clip(x[0].data(), x[0].size(), 0.25f); },
      [](std::vector<double>& x) { x[0] = std::fmin(0.25, std::fmax(-0.25, x[0])); });
  holds(
      2, 0, [](const Transforms& t, Vectors& x) { t.descend(x[0].data(), x[1].data(), x[0].size(), 0.1f); },
      [](std::vector<double>& x) { x[0] -= 0.1f * x[1]; });
  holds(
      1, 0, [](const Transforms& t, Vectors& x) { t.shrink(x[0].data(), x[0].size(), 0.1f); },
      [](std::vector<double>& x) { x[0] -= 0.1f * x[0]; });
}

// Whatever was asked for before.
TEST(nadamsWeightsAreThoseOfTheStep) {
  NadamWeights weights(0.9, 0.004);
  double product = 1;
  const auto mu = [](double k) { return 0.9 * (1 - 0.5 * std::pow(0.96, k * 0.004)); };
  for (int k = 1; k <= 20; ++k) {
    product *= mu(k);
    CHECK_NEAR(weights.at(k).gradient, (1 - mu(k)) / (1 - product), 1e-7);
    CHECK_NEAR(weights.at(k).memory, mu(k + 1) / (1 - product * mu(k + 1)), 1e-7);
  }
  NadamWeights fresh(0.9, 0.004);
  CHECK(fresh.at(7).memory == weights.at(7).memory && fresh.at(9).gradient == weights.at(9).gradient);
}

TEST(sumsOfSquaresAreInDouble) {
  for (const size_t n : kSizes) {
    const std::vector<float> x = vectorsOf(1, n, 0)[0];
    double expected = 0;
    for (const float value : x) expected += static_cast<double>(value) * value;
    const double first = transformsOf(Simd::kPortable).sumOfSquares(x.data(), n);
    for (const Simd set : kSets) {
      if (runs(set)) CHECK(transformsOf(set).sumOfSquares(x.data(), n) == first);
    }
    CHECK_NEAR(first, expected, 1e-14 * expected);
  }
  const float huge[] = {3e38f, 3e38f, 1};
  CHECK_NEAR(transforms().sumOfSquares(huge, 3), 2 * 3e38 * 3e38, 1e70);
}

TEST(accountsAreTheSameInAllSets) {
  const AccountConstants c{0.1f, 0.9f, 0.1f, 2.5f, 0.2f, 1e-3f};
  for (const size_t n : kSizes) {
    const std::vector<std::vector<float>> x = vectorsOf(5, n, 24);
    const float *w = x[0].data(), *g = x[1].data(), *m = x[2].data(), *v = x[3].data(), *most = x[4].data();
    for (const int present : {0, 1, 2, 4, 7, 12, 15}) {
      double expected[4] = {}, size[4] = {};
      for (size_t i = 0; i < n; ++i) {
        const double wi = (present & 1) != 0 ? w[i] : 0, mi = (present & 2) != 0 ? m[i] : 0;
        const double joined = g[i] + 0.1 * wi;
        double u = 0.9 * v[i] + 0.1 * joined * joined;
        if ((present & 8) != 0) u = std::fmax(u, most[i]);
        const double p = (present & 4) != 0 ? std::sqrt(u * 2.5 + 0.2) + 1e-3 : 1;
        const double terms[] = {g[i] / p * g[i], g[i] / p * mi, g[i] / p * wi, g[i] * wi};
        for (int s = 0; s < 4; ++s) expected[s] += terms[s], size[s] += std::fabs(terms[s]);
      }
      double first[4];
      for (const Simd set : kSets) {
        if (!runs(set)) continue;
        double sums[4];
        transformsOf(set).account((present & 1) != 0 ? w : nullptr, g, (present & 2) != 0 ? m : nullptr,
                                  (present & 4) != 0 ? v : nullptr, (present & 8) != 0 ? most : nullptr, n, c, sums);
        if (set == kSets[0]) std::copy(sums, sums + 4, first);
        for (int s = 0; s < 4; ++s) {
          CHECK(sums[s] == first[s]);
          CHECK_NEAR(sums[s], expected[s], 1e-6 * size[s] + 1e-30);
        }
      }
    }
  }
}

// What is not finite stays where it is and what it is; a finite weight stays finite.
TEST(updatesKeepFiniteWeightsFinite) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf(""), most = 3.4028234664e38f;
  for (const Simd set : kSets) {
    if (!runs(set)) continue;
    float w[] = {1, 1, 1, most, -most, nan, 0};
    const float g[] = {most, -most, nan, -most, most, 0, inf};
    transformsOf(set).descend(w, g, 7, 1e10f);
    CHECK(w[0] == -most && w[1] == most && std::isnan(w[2]) && w[3] == most && w[4] == -most && std::isnan(w[5]));
    float v[] = {most, -most, nan};
    transformsOf(set).shrink(v, 3, 1e10f);
    CHECK(v[0] == -most && v[1] == most && std::isnan(v[2]));
  }
  CHECK(factor(1e300) == most && factor(-1e300) == -most && std::isnan(factor(std::nan(""))) && factor(0.5) == 0.5f);
}

TEST(masksKeepWhatTheirBitsSay) {
  for (const double rate : {0.0, 0.3, 0.9999999999}) {
    const auto threshold = static_cast<uint64_t>(std::ceil(rate * 4294967296.0));
    const MaskConstants c{maskKey(4, 1, 7), threshold, 2.0f};
    for (const size_t n : kSizes) {
      const std::vector<float> x = vectorsOf(1, n, 1)[0];
      for (const Simd set : kSets) {
        if (!runs(set)) continue;
        std::vector<float> y = x;
        transformsOf(set).mask(y.data(), y.data(), n, 4294967290u, c);  // the count goes round
        for (size_t i = 0; i < n; ++i) {
          const uint32_t bits = maskBits(c.key, 4294967290u + static_cast<uint32_t>(i));
          CHECK(y[i] == (bits >= rate * 4294967296.0 ? 2 * x[i] : 0));
        }
      }
    }
  }
  float nan = std::nanf("");
  transforms().mask(&nan, &nan, 1, 0, {0, 4294967296u, 1});  // keeps nothing, and hides no NaN
  CHECK(std::isnan(nan));
}

TEST(whatIsNotFiniteIsSeenAnywhere) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const Simd set : kSets) {
    if (!runs(set)) continue;
    for (const size_t n : kSizes) {
      std::vector<float> x = vectorsOf(1, n, 0)[0];
      for (size_t i = 0; i < n; i += 3) x[i] = i % 2 != 0 ? -3.4028234664e38f : 1e-42f;
      CHECK(transformsOf(set).isFinite(x.data(), n));
      for (size_t i = 0; i < n; i += n / 50 + 1) {
        for (const float bad : {inf, -inf, std::nanf(""), -std::nanf("1")}) {
          const float good = std::exchange(x[i], bad);
          CHECK(!transformsOf(set).isFinite(x.data(), n));
          x[i] = good;
        }
      }
    }
  }
}

TEST(bytesBecomeFloats) {
  std::vector<uint8_t> bytes(300);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37);
  for (const Simd set : kSets) {
    if (!runs(set)) continue;
    std::vector<float> y(300);
    transformsOf(set).fromBytes(bytes.data(), y.data(), 299, 1 / 255.0f);
    for (size_t i = 0; i < 299; ++i) CHECK(y[i] == static_cast<float>(bytes[i]) * (1 / 255.0f));
    CHECK(y[299] == 0);
  }
}

}  // namespace test
