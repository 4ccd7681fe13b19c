// What the machine can do at most: fused multiply-adds that wait for nothing, and reading memory in order, on one
// thread and on several. bench/limits.ts builds and runs it; it needs nothing of the core.
//
//     limits <threads> <bytes of L2> <bytes of L3>
//     limits handover
//
// Prints one line of JSON: GFLOP/s, and GB/s out of working sets of half of L2 a thread, of a quarter of L3, and of 256
// MiB. `handover` prints the nanoseconds that a line of cache takes from one core to another and back, the least of ten
// goes; 0 where there is one core only, or nobody knows how to stay on two.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The best of five goes of `work` on every thread at once, in units a second; a go lasts some 40 ms.
double best(int threads, double units, const std::function<void(int thread)>& work) {
  const auto go = [&](int times) {
    const double start = now();
    std::vector<std::thread> others;
    const auto all = [&](int thread) {
      for (int i = 0; i < times; ++i) work(thread);
    };
    for (int t = 1; t < threads; ++t) others.emplace_back(all, t);
    all(0);
    for (std::thread& other : others) other.join();
    return now() - start;
  };
  int times = 1;
  while (go(times) < 0.02) times *= 2;
  double most = 0;
  for (int round = 0; round < 5; ++round) {
    const double rate = units * threads * 2 * times / go(2 * times);
    if (rate > most) most = rate;
  }
  return most;
}

#if defined(__x86_64__)
// Twelve independent sums cover the latency of a step on any CPU with two units for it.
#define STEP(r, i) "vfmadd231ps %%" r "12, %%" r "12, %%" r #i "\n"
#define STEPS(r) \
  STEP(r, 0)     \
  STEP(r, 1)     \
  STEP(r, 2) STEP(r, 3) STEP(r, 4) STEP(r, 5) STEP(r, 6) STEP(r, 7) STEP(r, 8) STEP(r, 9) STEP(r, 10) STEP(r, 11)
#define LOOP(r) "vxorps %%xmm12, %%xmm12, %%xmm12\n 1:\n" STEPS(r) "dec %0\n jnz 1b\n vzeroupper\n"
#define CLOBBERED \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "cc"

double multiplyAdds(int threads) {
  constexpr long kSteps = 100000;
  if (__builtin_cpu_supports("avx512f")) {
    return best(threads, 12.0 * 32 * kSteps, [](int) {
      long n = kSteps;
      __asm__ volatile(LOOP("zmm") : "+r"(n) : : CLOBBERED);
    });
  }
  if (__builtin_cpu_supports("fma")) {
    return best(threads, 12.0 * 16 * kSteps, [](int) {
      long n = kSteps;
      __asm__ volatile(LOOP("ymm") : "+r"(n) : : CLOBBERED);
    });
  }
  return 0;
}
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
double multiplyAdds(int) { return 0; }  // not known how to ask
#define WIDEST
#endif

WIDEST uint64_t sumOf(const uint64_t* words, size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += words[i];
  return sum;
}

double reading(int threads, size_t bytesEach) {
  const size_t n = bytesEach / 8;
  std::vector<std::vector<uint64_t>> memory(threads, std::vector<uint64_t>(n, 1));
  std::vector<uint64_t> sums(threads * 8);
  const double rate = best(threads, 8.0 * n, [&](int t) { sums[t * 8] += sumOf(memory[t].data(), n); });
  return sums[0] == 7 ? 0 : rate;  // so that the sums are wanted
}

#if defined(__linux__)
double handover() {
  cpu_set_t allowed;
  std::vector<size_t> cpus;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
  for (size_t i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &allowed)) cpus.push_back(i);
  if (cpus.size() < 2) return 0;
  const auto stayOn = [&](size_t cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
  };
  constexpr long kGoes = 10, kTurns = 2000;
  alignas(64) std::atomic<long> turn{0};
  std::thread other([&] {
    stayOn(cpus[1]);
    for (long i = 0; i < kGoes * kTurns; ++i) {
      while (turn.load() != 2 * i + 1) {
      }
      turn.store(2 * i + 2);
    }
  });
  stayOn(cpus[0]);
  double least = 1;
  for (long go = 0; go < kGoes; ++go) {
    const double start = now();
    for (long i = go * kTurns; i < (go + 1) * kTurns; ++i) {
      turn.store(2 * i + 1);
      while (turn.load() != 2 * i + 2) {
      }
    }
    least = std::min(least, (now() - start) / kTurns);
  }
  other.join();
  return 1e9 * least;
}
#else
double handover() { return 0; }
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "handover") == 0) {
    std::printf("%.0f\n", handover());
    return 0;
  }
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const size_t l2 = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1 << 20;
  const size_t l3 = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 32 << 20;
  std::printf("[");
  for (const int t : {1, threads}) {
    std::printf("%s{\"threads\":%d,\"flops\":%.3e,\"L2\":%.3e,\"L3\":%.3e,\"memory\":%.3e}", t == 1 ? "" : ",", t,
                multiplyAdds(t), reading(t, l2 / 2), reading(t, l3 / 4 / t), reading(t, (256u << 20) / t));
    if (threads == 1) break;
  }
  std::printf("]\n");
}
