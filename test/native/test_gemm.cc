// The products, on every set of kernels that runs here: right within their bound, the same bits wherever a row stands
// and however many threads there are, NaN and infinities where arithmetic takes them, and no memory touched beside.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "blas.h"
#include "cpu.h"
#include "gemm.h"
#include "test.h"

using namespace downhill;

namespace {

using Floats = std::vector<float>;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kEdges[] = {1, 3, 7, 16, 17, 31, 64, 129};

struct Shape {
  size_t B, I, O;
};
using Shapes = std::initializer_list<Shape>;
struct Size {
  size_t I, O;
};
using Sizes = std::initializer_list<Size>;

// Numbers in [−1, 1).
Floats numbers(size_t count, unsigned seed) {
  Floats out(count);
  for (float& x : out) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f;
  }
  return out;
}

bool sameBits(const float* a, const float* b, size_t n) { return std::memcmp(a, b, n * sizeof(float)) == 0; }
bool sameBits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && sameBits(a.data(), b.data(), a.size());
}

// Calls fn for each way to multiply that this machine has: each set of kernels, and BLAS; or with
// DOWNHILL_PRODUCTS=blas in the environment BLAS alone.
template <class F>
void everyWay(const F& fn) {
  const Simd before = simd();
  const char* const asked = std::getenv("DOWNHILL_PRODUCTS");
  const bool isBlasAlone = asked != nullptr && std::strcmp(asked, "blas") == 0;
  for (const Simd set : {Simd::kPortable, Simd::kAvx2, Simd::kAvx512}) {
    if (isBlasAlone || !forceSimd(set)) continue;
    forceProducts(Products::kOwn);
    fn(nameOf(set));
  }
  forceSimd(before);
  if (blas().available) {
    forceProducts(Products::kBlas);
    fn(blasKeepsRows() ? "blas" : "blas, for dW alone");
  }
  forceProducts(Products::kFaster);
}

// A layer with numbers in it, and its three products. Outputs begin as canaries, and are a row longer than they are.
struct Layer {
  size_t B, I, O;
  Floats x = numbers(B * I, 1), W = numbers(I * O, 2), b = numbers(O, 3), dy = numbers(B * O, 4);
  Floats y = canaries(B * O, O), dW = canaries(I * O, O), db = canaries(O, 1), dx = canaries(B * I, I);

  static constexpr float kCanary = 12345;
  static Floats canaries(size_t n, size_t more) { return Floats(n + more, kCanary); }

  void forward(Pool& pool, Map after = nullptr) {
    affine(pool, B, I, O, x.data(), W.data(), b.data(), y.data(), {after});
  }
  void gradWeights(Pool& pool, bool accumulate) {
    affineGradWeights(pool, B, I, O, x.data(), dy.data(), dW.data(), db.data(), accumulate);
  }
  void gradInput(Pool& pool) { affineGradInput(pool, B, I, O, dy.data(), W.data(), dx.data()); }
  void all(Pool& pool) {
    forward(pool);
    gradWeights(pool, false);
    gradInput(pool);
  }
};

// The worst error of c = start + a·b in units of its bound; infinite where c is NaN, or a canary behind it is gone.
// fa(i, l) and fb(l, j) give the factors, fs(i, j) the start.
template <class A, class B, class S>
double worstError(const Floats& c, size_t m, size_t n, size_t k, const A& fa, const B& fb, const S& fs) {
  std::vector<double> sum(n), magnitude(n);
  double worst = 0;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) magnitude[j] = std::fabs(sum[j] = fs(i, j));
    for (size_t l = 0; l < k; ++l) {
      const double a = fa(i, l);
      for (size_t j = 0; j < n; ++j) {
        const double term = a * fb(l, j);
        sum[j] += term;
        magnitude[j] += std::fabs(term);
      }
    }
    const double nu = static_cast<double>(k + 1) * 0x1p-24;
    for (size_t j = 0; j < n; ++j) {
      const double error = std::fabs(c[i * n + j] - sum[j]);
      if (error == 0) continue;
      const double units = error / (nu / (1 - nu) * magnitude[j]);
      if (!(units <= worst)) worst = std::isnan(units) ? INFINITY : units;
    }
  }
  for (size_t i = m * n; i < c.size(); ++i)
    if (c[i] != Layer::kCanary) return INFINITY;
  return worst;
}

// The worst of the layer's three products and of db, each from `start` on.
double worstError(const Layer& t, float start) {
  const size_t B = t.B, I = t.I, O = t.O;
  const auto from = [&](size_t, size_t) { return start; };
  const double forward = worstError(
      t.y, B, O, I, [&](size_t i, size_t l) { return t.x[i * I + l]; },
      [&](size_t l, size_t j) { return t.W[l * O + j]; }, [&](size_t, size_t j) { return t.b[j]; });
  const double weights = worstError(
      t.dW, I, O, B, [&](size_t i, size_t l) { return t.x[l * I + i]; },
      [&](size_t l, size_t j) { return t.dy[l * O + j]; }, from);
  const double biases = worstError(
      t.db, 1, O, B, [](size_t, size_t) { return 1; }, [&](size_t l, size_t j) { return t.dy[l * O + j]; }, from);
  const double input = worstError(
      t.dx, B, I, O, [&](size_t i, size_t l) { return t.dy[i * O + l]; },
      [&](size_t l, size_t j) { return t.W[j * O + l]; }, [](size_t, size_t) { return 0; });
  return std::max({forward, weights, biases, input});
}

void checkError(const Layer& layer, float start, const char* way) {
  const double worst = worstError(layer, start);
  if (worst <= 1) return;
  const std::string what = std::string(way) + ": " + std::to_string(layer.B) + " × " + std::to_string(layer.I) + " × " +
                           std::to_string(layer.O) + " off by " + std::to_string(worst) + " of its bound";
  test::fails(__FILE__, __LINE__, what.c_str());
}

}  // namespace

TEST(productsAreRightForShapesOfAllEdges) {
  everyWay([](const char* way) {
    Pool pool(1);
    for (const size_t B : kEdges)
      for (const size_t I : kEdges)
        for (const size_t O : kEdges) {
          Layer layer{B, I, O};
          layer.all(pool);
          checkError(layer, 0, way);
        }
  });
}

// Longer than a block of k; rows a page apart, which are packed or copied; both.
TEST(productsAreRightForWideLayers) {
  everyWay([](const char* way) {
    Pool pool(2);
    for (const auto& [B, I, O] : Shapes{{130, 160, 1024},
                                        {130, 1024, 140},
                                        {40, 1030, 1100},
                                        {1100, 40, 130},
                                        {331, 300, 1100},
                                        {1040, 1024, 1},
                                        {3, 2048, 1024},
                                        {20, 1024, 1024}}) {
      Layer layer{B, I, O};
      layer.all(pool);
      checkError(layer, 0, way);
    }
  });
}

// Without scratch memory nothing is packed but what must be turned: slower, and the same bits. Rows of b are a page
// apart, and do not end with a vector.
TEST(productsWithoutScratchHaveTheSameBits) {
  everyWay([](const char*) {
    const size_t m = 130, n = 1001, k = 140, ld = 1024;
    const Floats a = numbers(m * k, 1), b = numbers(ld * ld, 2);
    Floats with(m * n), without(m * n), scratch(kScratchFloats + kGap);
    float* const aligned = scratch.data() + (16 - reinterpret_cast<uintptr_t>(scratch.data()) / 4 % 16) % 16;
    for (const bool transposed : {false, true}) {
      Product p = {m, n, k, a.data(), k, false, b.data(), ld, transposed, with.data(), n, nullptr, 0, aligned};
      kernels().product(p);
      p.c = without.data();
      p.scratch = nullptr;
      kernels().product(p);
      CHECK(sameBits(with, without));
      const double worst = worstError(
          with, m, n, k, [&](size_t i, size_t l) { return a[i * k + l]; },
          [&](size_t l, size_t j) { return transposed ? b[j * ld + l] : b[l * ld + j]; },
          [](size_t, size_t) { return 0; });
      CHECK(worst <= 1);
    }
  });
}

TEST(aLayerWithoutBiasStartsAtZero) {
  everyWay([](const char*) {
    Pool pool(1);
    for (const size_t O : {1, 5, 40}) {
      Layer layer{9, 20, O};
      std::fill(layer.b.begin(), layer.b.end(), 0.0f);
      layer.forward(pool);
      const Floats withZeros = layer.y;
      affine(pool, 9, 20, O, layer.x.data(), layer.W.data(), nullptr, layer.y.data());
      CHECK(sameBits(layer.y, withZeros));
      layer.gradWeights(pool, false);
      const Floats dW = layer.dW;
      affineGradWeights(pool, 9, 20, O, layer.x.data(), layer.dy.data(), layer.dW.data(), nullptr, false);
      CHECK(sameBits(layer.dW, dW));
    }
  });
}

TEST(gradientsOfChunksAddUp) {
  everyWay([](const char* way) {
    Pool pool(1);
    for (const auto& [I, O] : Sizes{{5, 1}, {30, 16}, {17, 129}, {1, 7}}) {
      Layer layer{23, I, O};
      std::fill(layer.dW.begin(), layer.dW.end() - static_cast<long>(O), 0.5f);
      std::fill(layer.db.begin(), layer.db.end() - 1, 0.5f);
      layer.forward(pool);
      layer.gradWeights(pool, true);
      layer.gradInput(pool);
      checkError(layer, 0.5f, way);
    }
  });
}

TEST(aRowHasTheSameBitsAloneAndInAnyBatch) {
  everyWay([](const char* way) {
    for (const int threads : {1, 3}) {
      Pool pool(threads);
      for (const auto& [I, O] :
           Sizes{{30, 128}, {784, 128}, {64, 10}, {64, 1}, {2000, 1}, {7, 3}, {100, 129}, {160, 1024}, {1030, 40}}) {
        Layer batch{150, I, O};
        batch.all(pool);
        for (const size_t rows : {1, 2, 3, 5, 13, 32, 149}) {
          const size_t at = 150 - rows;
          Layer part{rows, I, O};
          std::copy_n(batch.x.data() + at * I, rows * I, part.x.data());
          std::copy_n(batch.dy.data() + at * O, rows * O, part.dy.data());
          part.forward(pool);
          part.gradInput(pool);
          const bool same = sameBits(part.y.data(), batch.y.data() + at * O, rows * O) &&
                            sameBits(part.dx.data(), batch.dx.data() + at * I, rows * I);
          CHECK(same);
          if (!same) std::printf("    %s, %d threads: %zu of %zu × %zu\n", way, threads, rows, I, O);
        }
      }
    }
  });
}

// Shapes large enough to be cut, and some that are not; of one output too, which goes its own way.
TEST(bitsDoNotDependOnThreads) {
  everyWay([](const char* way) {
    for (const auto& [B, I, O] : Shapes{{32, 784, 128},
                                        {569, 30, 128},
                                        {700, 64, 1},
                                        {5000, 64, 1},
                                        {600, 700, 1},
                                        {300, 257, 129},
                                        {130, 160, 1024},
                                        {130, 1024, 140}}) {
      Pool one(1);
      Layer expected{B, I, O};
      expected.all(one);
      for (const int threads : {2, 3, 4, 7}) {
        Pool pool(threads);
        Layer layer{B, I, O};
        layer.all(pool);
        const bool same = sameBits(layer.y, expected.y) && sameBits(layer.dW, expected.dW) &&
                          sameBits(layer.db, expected.db) && sameBits(layer.dx, expected.dx);
        CHECK(same);
        if (!same) std::printf("    %s: %d threads, %zu × %zu × %zu\n", way, threads, B, I, O);
      }
    }
  });
}

// One chain of fused steps an element: the width of the vectors is not in the bits.
TEST(fusedSetsAgreeInAllBits) {
  const Simd before = simd();
  if (!runs(Simd::kAvx512)) return;
  Pool pool(1);
  for (const auto& [B, I, O] : Shapes{{33, 100, 50}, {17, 64, 1}, {130, 1030, 40}, {331, 300, 1100}}) {
    forceSimd(Simd::kAvx2);
    Layer narrow{B, I, O};
    narrow.all(pool);
    forceSimd(Simd::kAvx512);
    Layer wide{B, I, O};
    wide.all(pool);
    CHECK(sameBits(narrow.y, wide.y));
    CHECK(sameBits(narrow.dW, wide.dW));
    CHECK(sameBits(narrow.db, wide.db));
    CHECK(sameBits(narrow.dx, wide.dx));
  }
  forceSimd(before);
}

TEST(whatComesAfterIsAppliedOnceToEachValue) {
  const Map halveAndAdd = [](const float* x, float* y, size_t n) {
    for (size_t i = 0; i < n; ++i) y[i] = x[i] / 2 + 1;
  };
  everyWay([&](const char*) {
    Pool pool(1);
    for (const auto& [B, I, O] : Shapes{{5, 3, 1}, {40, 30, 17}, {9, 1100, 70}, {130, 160, 1024}}) {
      Layer plain{B, I, O};
      plain.forward(pool);
      halveAndAdd(plain.y.data(), plain.y.data(), B * O);
      Layer fused{B, I, O};
      fused.forward(pool, halveAndAdd);
      CHECK(sameBits(plain.y.data(), fused.y.data(), B * O));
    }
  });
}

TEST(notANumberAndInfinityGoWhereArithmeticTakesThem) {
  everyWay([](const char*) {
    Pool pool(1);
    for (const auto& [I, O] : Sizes{{30, 40}, {20, 1}, {1, 5}, {70, 10}}) {
      const size_t B = 11;
      for (const float odd : {kNaN, kInfinity, -kInfinity}) {
        Layer layer{B, I, O};
        layer.x[4 * I + I / 2] = odd;   // in row 4: all of y's row 4, all of dW's row I/2, nothing else
        layer.dy[7 * O + O / 2] = odd;  // in row 7: all of dx's row 7, all of dW's column O/2, db's entry O/2
        layer.all(pool);
        for (size_t i = 0; i < B; ++i)
          for (size_t o = 0; o < O; ++o) CHECK(std::isfinite(layer.y[i * O + o]) == (i != 4));
        for (size_t i = 0; i < I; ++i)
          for (size_t o = 0; o < O; ++o) CHECK(std::isfinite(layer.dW[i * O + o]) == (i != I / 2 && o != O / 2));
        for (size_t o = 0; o < O; ++o) CHECK(std::isfinite(layer.db[o]) == (o != O / 2));
        for (size_t i = 0; i < B; ++i)
          for (size_t c = 0; c < I; ++c) CHECK(std::isfinite(layer.dx[i * I + c]) == (i != 7));
      }
      // A zero hides nothing: 0 · ∞ is NaN.
      Layer layer{B, I, O};
      std::fill(layer.x.begin(), layer.x.end(), 0.0f);
      std::fill(layer.dy.begin(), layer.dy.end(), 0.0f);
      std::fill(layer.W.begin(), layer.W.end(), kInfinity);
      layer.forward(pool);
      layer.gradInput(pool);
      for (size_t i = 0; i < B * O; ++i) CHECK(std::isnan(layer.y[i]));
      for (size_t i = 0; i < B * I; ++i) CHECK(std::isnan(layer.dx[i]));
    }
  });
}

// 64 equal rows of a and any b: whether all rows of the product are equal.
bool keepsRows(size_t n, size_t k, bool bTransposed) {
  const Floats row = numbers(k, 1), b = numbers(k * n, 2);
  Floats a, c(64 * n);
  for (size_t r = 0; r < 64; ++r) a.insert(a.end(), row.begin(), row.end());
  const auto size = [](size_t of) { return static_cast<int>(of); };
  blas().sgemm(false, bTransposed, 64, size(n), size(k), 1, a.data(), size(k), b.data(), size(bTransposed ? k : n), 0,
               c.data(), size(n));
  for (size_t r = 1; r < 64; ++r)
    if (!sameBits(c.data(), c.data() + r * n, n)) return false;
  return true;
}

// Its kernels for Haswell and Zen do not keep rows (docs/decisions/0003-kernels.md). The few shapes that gemm.cc asks
// after must find that out: whoever breaks the promise on any of these must have been refused.
TEST(blasIsRefusedForRowsItDoesNotKeep) {
  if (!blas().available) return;
  const bool isTaken = blasKeepsRows();
  std::printf("  %s: y and dx by %s, dW by BLAS, where BLAS is asked for\n", blas().name, isTaken ? "BLAS" : "us");
  for (const size_t n : {2, 5, 13, 16, 40, 100, 129, 333, 512})
    for (const size_t k : {3, 17, 40, 300, 600, 1030})
      for (const bool bTransposed : {false, true}) CHECK(!isTaken || keepsRows(n, k, bTransposed));
  const std::string name = blas().name;
  if (name.find("Haswell") != std::string::npos || name.find("Zen") != std::string::npos) CHECK(!isTaken);
}

TEST(kernelsAreChosenByName) {
  const Simd before = simd();
  CHECK(runs(Simd::kPortable));
  CHECK(!forceSimd("sse9"));
  CHECK(simd() == before);
  CHECK(forceSimd("portable"));
  CHECK(simd() == Simd::kPortable);
  CHECK(forceSimd(nameOf(before)));
  CHECK(simd() == before);
}
