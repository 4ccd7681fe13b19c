// The kernels against the machine and against BLAS: GFLOP/s of each product, its share of the peak of fused
// multiply-adds measured in the same run, its ratio to sgemm of the linked BLAS, and its residual; then nanoseconds a
// float of the functions, and what a second thread costs.
//
//     npm run bench:kernels [-- avx512 | avx2 | portable …] [-- --short]
//
// One thread, its own CPU time, medians of rounds in which the two take turns; the ratio is the median of the rounds'
// ratios. Warm: operands stay where the last round left them. A residual is the largest error of 500 entries against
// double, in units of 2⁻²⁴·Σ|aᵢ·bᵢ|: 1 is one rounding of the whole.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "blas.h"
#include "cpu.h"
#include "gemm.h"
#include "memory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace downhill;

namespace {

// Rounds and seconds a contender in each; --short for a look.
int rounds = 15;
double roundSeconds = 0.02;

double cpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Calls a round lasts.
template <class F>
int callsOf(const F& fn) {
  fn();
  for (int calls = 1;; calls *= 2) {
    const double before = cpuSeconds();
    for (int i = 0; i < calls; ++i) fn();
    if (cpuSeconds() - before > roundSeconds / 2) return calls;
  }
}

template <class F>
double secondsOf(int calls, const F& fn) {
  const double before = cpuSeconds();
  for (int i = 0; i < calls; ++i) fn();
  return (cpuSeconds() - before) / calls;
}

// ---- The peak ------------------------------------------------------------------------------------------------------

// Twelve independent sums cover the latency of a step on any CPU with two units for it.
#if defined(__x86_64__)
#define STEPS(r)                                                                        \
  "vfmadd231ps %%" r "12, %%" r "12, %%" r "0\n vfmadd231ps %%" r "12, %%" r "12, %%" r \
  "1\n"                                                                                 \
  "vfmadd231ps %%" r "12, %%" r "12, %%" r "2\n vfmadd231ps %%" r "12, %%" r "12, %%" r \
  "3\n"                                                                                 \
  "vfmadd231ps %%" r "12, %%" r "12, %%" r "4\n vfmadd231ps %%" r "12, %%" r "12, %%" r \
  "5\n"                                                                                 \
  "vfmadd231ps %%" r "12, %%" r "12, %%" r "6\n vfmadd231ps %%" r "12, %%" r "12, %%" r \
  "7\n"                                                                                 \
  "vfmadd231ps %%" r "12, %%" r "12, %%" r "8\n vfmadd231ps %%" r "12, %%" r "12, %%" r \
  "9\n"                                                                                 \
  "vfmadd231ps %%" r "12, %%" r "12, %%" r "10\n vfmadd231ps %%" r "12, %%" r "12, %%" r "11\n"
#define LOOP(r) "vxorps %%xmm12, %%xmm12, %%xmm12\n 1:\n" STEPS(r) "dec %0\n jnz 1b\n vzeroupper\n"
#define CLOBBERED \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "cc"

void steps512(long n) { __asm__ volatile(LOOP("zmm") : "+r"(n) : : CLOBBERED); }
void steps256(long n) { __asm__ volatile(LOOP("ymm") : "+r"(n) : : CLOBBERED); }
#endif

// GFLOP/s of fused multiply-adds that wait for nothing; 0 where it is not known how to ask.
double peakOf(Simd set) {
  void (*steps)(long n) = nullptr;
  double width = 0;
#if defined(__x86_64__)
  if (set == Simd::kAvx512) steps = steps512, width = 16;
  if (set == Simd::kAvx2) steps = steps256, width = 8;
#endif
  if (steps == nullptr) return 0;
  std::vector<double> times;
  constexpr long kSteps = 1000000;
  for (int round = 0; round < rounds; ++round) times.push_back(secondsOf(1, [&] { steps(kSteps); }));
  return 12 * 2 * width * kSteps / median(times) * 1e-9;
}

// ---- The products --------------------------------------------------------------------------------------------------

enum class Form { kForward, kGradWeights, kGradInput };

struct Shape {
  const char* where;
  Form form;
  size_t B, I, O;
};

// The products of the workloads (docs/performance.md), and awkward ones.
constexpr Form kY = Form::kForward, kDW = Form::kGradWeights, kDx = Form::kGradInput;
constexpr Shape kShapes[] = {
    {"seed", kY, 569, 30, 128},
    {"seed", kDW, 569, 30, 128},
    {"seed", kY, 569, 128, 64},
    {"seed", kDW, 569, 128, 64},
    {"seed", kDx, 569, 128, 64},
    {"seed", kY, 569, 64, 1},
    {"seed", kDW, 569, 64, 1},
    {"seed", kDx, 569, 64, 1},
    {"digits 32", kY, 32, 784, 128},
    {"digits 32", kDW, 32, 784, 128},
    {"digits 32", kY, 32, 128, 64},
    {"digits 32", kDW, 32, 128, 64},
    {"digits 32", kDx, 32, 128, 64},
    {"digits 32", kY, 32, 64, 10},
    {"digits 32", kDW, 32, 64, 10},
    {"digits 32", kDx, 32, 64, 10},
    {"digits 128", kY, 128, 784, 128},
    {"digits 128", kDW, 128, 784, 128},
    {"digits 1024", kY, 1024, 784, 128},
    {"digits 1024", kDW, 1024, 784, 128},
    {"digits 1024", kDx, 1024, 128, 64},
    {"wide 256", kY, 256, 1024, 2048},
    {"wide 256", kDW, 256, 1024, 2048},
    {"wide 256", kY, 256, 2048, 2048},
    {"wide 256", kDW, 256, 2048, 2048},
    {"wide 256", kDx, 256, 2048, 2048},
    {"wide 256", kY, 256, 2048, 10},
    {"wide 256", kDW, 256, 2048, 10},
    {"wide 256", kDx, 256, 2048, 10},
    {"wide 64", kY, 64, 2048, 2048},
    {"one row", kY, 1, 784, 128},
    {"one row", kY, 1, 128, 64},
    {"one row", kY, 1, 64, 10},
    {"one row", kY, 1, 2048, 2048},
    {"tiny", kY, 4, 2, 8},
    {"tiny", kDW, 4, 2, 8},
    {"tiny", kY, 4, 8, 1},
    {"tiny", kDW, 4, 8, 1},
    {"tiny", kDx, 4, 8, 1},
    {"awkward", kY, 100, 100, 100},
    {"awkward", kDW, 100, 100, 100},
    {"awkward", kDx, 100, 100, 100},
    {"awkward", kY, 33, 257, 65},
    {"awkward", kY, 500, 300, 500},
    {"awkward", kY, 1000, 13, 7},
    {"awkward", kY, 1000, 1000, 3},
    {"awkward", kY, 7, 1100, 1100},
};

Block<float> numbers(size_t n, uint32_t seed) {
  Block<float> out = allocate<float>(n);
  for (size_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    out[i] = static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f;
  }
  return out;
}

// One product of a layer as own kernels and as BLAS see it: c (m, n) = a·b over k.
struct Bench {
  explicit Bench(const Shape& shape) : s(shape) {
    const bool isForward = s.form == Form::kForward, isWeights = s.form == Form::kGradWeights;
    m = isWeights ? s.I : s.B;
    n = s.form == Form::kGradInput ? s.I : s.O;
    k = isForward ? s.I : isWeights ? s.B : s.O;
    first = numbers(s.form == Form::kGradInput ? s.B * s.O : s.B * s.I, 1);
    second = numbers(isWeights ? s.B * s.O : s.I * s.O, 2);
    own = allocate<float>(m * n);
    theirs = allocate<float>(m * n);
  }

  void runOwn(Pool& pool) const {
    const float *a = first.get(), *b = second.get();
    switch (s.form) {
      case Form::kForward:
        return affine(pool, s.B, s.I, s.O, a, b, nullptr, own.get());
      case Form::kGradWeights:
        return affineGradWeights(pool, s.B, s.I, s.O, a, b, own.get(), nullptr, false);
      case Form::kGradInput:
        return affineGradInput(pool, s.B, s.I, s.O, a, b, own.get());
    }
  }

  void runBlas() const {
    const bool ta = s.form == Form::kGradWeights, tb = s.form == Form::kGradInput;
    const int M = static_cast<int>(m), N = static_cast<int>(n), K = static_cast<int>(k);
    blas().sgemm(ta, tb, M, N, K, 1, first.get(), ta ? M : K, second.get(), tb ? K : N, 0, theirs.get(), N);
  }

  double residual() const {
    double worst = 0;
    for (size_t q = 0; q < 500; ++q) {
      const size_t i = q * 7919 % m, j = q * 104729 % n;
      double sum = 0, magnitude = 0;
      for (size_t l = 0; l < k; ++l) {
        const double a = s.form == Form::kGradWeights ? first[l * m + i] : first[i * k + l];
        const double b = s.form == Form::kGradInput ? second[j * k + l] : second[l * n + j];
        sum += a * b;
        magnitude += std::fabs(a * b);
      }
      worst = std::max(worst, std::fabs(own[i * n + j] - sum) / (0x1p-24 * magnitude));
    }
    return worst;
  }

  Shape s;
  size_t m, n, k;
  Block<float> first, second, own, theirs;
};

void benchProducts(double peak) {
  std::printf("%-12s %-3s %5s %5s %5s  %8s %6s  %8s %6s  %8s\n", "where", "", "m", "n", "k", "GFLOP/s", "peak", "sgemm",
              "ratio", "residual");
  Pool pool(1);
  for (const Shape& shape : kShapes) {
    const Bench bench(shape);
    const auto own = [&] { bench.runOwn(pool); };
    const auto theirs = [&] { bench.runBlas(); };
    const bool hasBlas = blas().available;
    const int ownCalls = callsOf(own), theirCalls = hasBlas ? callsOf(theirs) : 0;
    std::vector<double> ownTimes, theirTimes, ratios;
    for (int round = 0; round < rounds; ++round) {
      ownTimes.push_back(secondsOf(ownCalls, own));
      theirTimes.push_back(hasBlas ? secondsOf(theirCalls, theirs) : 0);
      ratios.push_back(theirTimes.back() / ownTimes.back());
    }
    const char* const form = shape.form == kY ? "y" : shape.form == kDW ? "dW" : "dx";
    const double flop = 2e-9 * static_cast<double>(bench.m * bench.n * bench.k);
    std::printf("%-12s %-3s %5zu %5zu %5zu  %8.1f ", shape.where, form, bench.m, bench.n, bench.k,
                flop / median(ownTimes));
    if (peak > 0) {
      std::printf("%5.0f%%  ", 100 * flop / median(ownTimes) / peak);
    } else {
      std::printf("%6s  ", "–");
    }
    if (hasBlas) {
      std::printf("%8.1f %6.2f  ", flop / median(theirTimes), median(ratios));
    } else {
      std::printf("%8s %6s  ", "–", "–");
    }
    std::printf("%8.2f\n", bench.residual());
    std::fflush(stdout);
  }
}

// ---- The functions -------------------------------------------------------------------------------------------------

void benchFunctions() {
  constexpr size_t n = 4096;
  const Block<float> x = numbers(n, 3), y = allocate<float>(n);
  for (size_t i = 0; i < n; ++i) x[i] *= 5;
  std::printf("\n%-16s %12s\n", "function", "ns a float");
  const auto row = [&](const char* name, const auto& fn) {
    const int calls = callsOf(fn);
    std::vector<double> times;
    for (int round = 0; round < rounds; ++round) times.push_back(secondsOf(calls, fn));
    std::printf("%-16s %12.3f\n", name, median(times) / n * 1e9);
  };
  const Kernels& set = kernels();
  row("exp", [&] { set.exp(x.get(), y.get(), n); });
  row("log", [&] { set.log(x.get(), y.get(), n); });
  for (size_t i = 0; i < set.activationCount; ++i) {
    const ActivationKernels& a = set.activations[i];
    row(a.name, [&] { a.forward(x.get(), y.get(), n); });
  }
  row("std::tanh", [&] {
    for (size_t i = 0; i < n; ++i) y[i] = std::tanh(x[i]);
  });
}

// ---- The pool ------------------------------------------------------------------------------------------------------

// What it costs to have two threads: a job of two empty tiles, the other thread awake or asleep, and how long it
// computes nothing before it sleeps. Of the wall, but for the last, which is the process's own time.
void benchPool() {
  Pool pool(2);
  const auto job = [&] { pool.parallel(2, [](size_t, int) {}); };
  const auto timeOf = [](clockid_t clock, const auto& fn) {
    timespec before, after;
    clock_gettime(clock, &before);
    fn();
    clock_gettime(clock, &after);
    return static_cast<double>(after.tv_sec - before.tv_sec) * 1e6 +
           static_cast<double>(after.tv_nsec - before.tv_nsec) * 1e-3;
  };
  const auto rest = [] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  std::vector<double> awake, asleep, spun;
  job();
  for (int round = 0; round < 10 * rounds; ++round) {
    rest();
    asleep.push_back(timeOf(CLOCK_MONOTONIC, job));
    awake.push_back(timeOf(CLOCK_MONOTONIC,
                           [&] {
                             for (int i = 0; i < 100; ++i) job();
                           }) /
                    100);
    const double after = timeOf(CLOCK_PROCESS_CPUTIME_ID, rest);
    spun.push_back(after - timeOf(CLOCK_PROCESS_CPUTIME_ID, rest));
  }
  std::printf("\n%-40s %8s\n", "two threads", "µs");
  std::printf("%-40s %8.2f\n", "a job, the other awake", median(awake));
  std::printf("%-40s %8.2f\n", "a job, the other asleep", median(asleep));
  std::printf("%-40s %8.2f\n", "spun before it sleeps", median(spun));
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--short") == 0) {
      rounds = 5;
      roundSeconds = 0.005;
    } else if (std::strcmp(argv[i], nameOf(simd())) != 0) {
      std::printf("kernels %s do not run here\n", argv[i]);
      return 0;
    }
  }
  forceProducts(Products::kOwn);
  const double peak = peakOf(simd());
  std::printf("kernels %s, BLAS %s, peak ", nameOf(simd()), blas().name);
  if (peak > 0) {
    std::printf("%.1f GFLOP/s\n\n", peak);
  } else {
    std::printf("not measured\n\n");
  }
  benchProducts(peak);
  benchFunctions();
  benchPool();
  return 0;
}
