// The BLAS that is linked: it multiplies rightly in every form, also when many threads ask it at once. Where none is
// linked there is nothing to ask, and nothing is.
#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "blas.h"
#include "test.h"

namespace {

using Floats = std::vector<float>;

Floats numbers(size_t count, unsigned seed) {
  Floats out(count);
  for (float& x : out) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f;
  }
  return out;
}

struct Product {
  bool transA, transB;
  int m, n, k;
  float alpha, beta;
};

// The worst error of sgemm against a plain product in double, in units of its bound γₖ·(|A|·|B|); infinite where a
// number is NaN or memory beside C was written to. Leading dimensions are wider than they need to be.
double worstError(const Product& p) {
  const int lda = (p.transA ? p.m : p.k) + 3, ldb = (p.transB ? p.k : p.n) + 1, ldc = p.n + 2;
  const Floats A = numbers(static_cast<size_t>(lda) * (p.transA ? p.k : p.m), 1);
  const Floats B = numbers(static_cast<size_t>(ldb) * (p.transB ? p.n : p.k), 2);
  const Floats before = numbers(static_cast<size_t>(ldc) * p.m, 3);
  Floats C = before;
  downhill::blas().sgemm(p.transA, p.transB, p.m, p.n, p.k, p.alpha, A.data(), lda, B.data(), ldb, p.beta, C.data(),
                         ldc);
  double worst = 0;
  for (int i = 0; i < p.m; ++i) {
    for (int j = 0; j < ldc; ++j) {
      const float old = before[i * ldc + j], found = C[i * ldc + j];
      if (j >= p.n) {
        if (found != old) return INFINITY;
        continue;
      }
      double sum = p.beta * static_cast<double>(old), magnitude = std::fabs(sum);
      for (int l = 0; l < p.k; ++l) {
        const double a = p.transA ? A[l * lda + i] : A[i * lda + l], b = p.transB ? B[j * ldb + l] : B[l * ldb + j];
        sum += p.alpha * a * b;
        magnitude += std::fabs(p.alpha * a * b);
      }
      const double error = std::fabs(found - sum) / ((p.k + 2) * 0x1p-24 * magnitude);
      if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
    }
  }
  return worst;
}

// How many of `repeats` products on each of `threads` differ in a bit from the same product computed alone.
int wrongProducts(int threads, int repeats, int m, int n, int k) {
  const Floats A = numbers(static_cast<size_t>(m) * k, 1), B = numbers(static_cast<size_t>(k) * n, 2);
  const auto multiply = [&](Floats& C) {
    downhill::blas().sgemm(false, false, m, n, k, 1, A.data(), k, B.data(), n, 0, C.data(), n);
  };
  Floats alone(static_cast<size_t>(m) * n);
  multiply(alone);
  std::vector<int> wrong(threads, 0);
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      Floats C(alone.size());
      for (int r = 0; r < repeats; ++r) {
        multiply(C);
        wrong[t] += C != alone;
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  int sum = 0;
  for (int count : wrong) sum += count;
  return sum;
}

}  // namespace

TEST(blasSaysWhatItIs) {
  const downhill::Blas& blas = downhill::blas();
  CHECK(blas.name != nullptr && blas.name[0] != '\0');
  CHECK(blas.available == (blas.sgemm != nullptr));
  const bool isNone = std::string(blas.name).rfind("none", 0) == 0;
  CHECK(blas.available != isNone);
}

TEST(blasMultipliesRightly) {
  if (!downhill::blas().available) return;
  constexpr int kSizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 129};
  int wrong = 0;
  for (int form = 0; form < 4; ++form)
    for (int m : kSizes)
      for (int n : kSizes)
        for (int k : kSizes) {
          const float alpha = (m + n) % 2 ? 1.0f : 0.5f, beta = k % 3 == 0 ? 0.0f : k % 3 == 1 ? 1.0f : 0.3f;
          wrong += !(worstError({(form & 1) != 0, (form & 2) != 0, m, n, k, alpha, beta}) <= 1);
        }
  CHECK(wrong == 0);
  // Beyond OpenBLAS' kernels for small matrices, and the layers of the seed network.
  constexpr Product kLarge[] = {
      {false, false, 569, 128, 30, 1, 0}, {true, false, 30, 128, 569, 1, 1}, {false, true, 569, 30, 128, 1, 0},
      {false, false, 1, 513, 700, 1, 0},  {false, false, 513, 1, 700, 1, 1}, {true, true, 257, 255, 129, 1, 0.5f},
  };
  for (const Product& p : kLarge) CHECK(worstError(p) <= 1);
}

// Without the lock in blas.cc, two threads in Debian's serial OpenBLAS 0.3.21 get up to a quarter of these wrong.
TEST(blasServesManyThreads) {
  if (!downhill::blas().available) return;
  CHECK(wrongProducts(2, 100000, 17, 19, 23) == 0);
  CHECK(wrongProducts(8, 20000, 31, 7, 64) == 0);
  CHECK(wrongProducts(100, 20, 129, 131, 67) == 0);  // more than OpenBLAS has buffers
}
