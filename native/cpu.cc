#include "cpu.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace downhill {
namespace {

// From the plainest to the best.
constexpr Simd kSets[] = {Simd::kPortable, Simd::kAvx2, Simd::kAvx512};

Simd best() {
  Simd found = Simd::kPortable;
  for (const Simd set : kSets)
    if (runs(set)) found = set;
  return found;
}

// An unknown name, or a set that does not run, is as good as none: a variable left in a shell must not end a program.
Simd atStart() {
  const char* const asked = std::getenv("DOWNHILL_SIMD");
  if (asked != nullptr)
    for (const Simd set : kSets)
      if (std::strcmp(nameOf(set), asked) == 0 && runs(set)) return set;
  return best();
}

std::atomic<Simd>& current() {
  static std::atomic<Simd> set{atStart()};
  return set;
}

}  // namespace

const char* nameOf(Simd set) {
  switch (set) {
    case Simd::kAvx512:
      return "avx512";
    case Simd::kAvx2:
      return "avx2";
    case Simd::kPortable:
      break;
  }
  return "portable";
}

bool runs(Simd set) {
  if (set == Simd::kPortable) return true;
#if defined(__x86_64__)
  // These ask the system too (XGETBV): registers it does not save cannot be used.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (set == Simd::kAvx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

Simd simd() { return current().load(std::memory_order_relaxed); }

bool forceSimd(Simd set) {
  if (!runs(set)) return false;
  current().store(set, std::memory_order_relaxed);
  return true;
}

bool forceSimd(const char* name) {
  for (const Simd set : kSets)
    if (std::strcmp(nameOf(set), name) == 0) return forceSimd(set);
  return false;
}

}  // namespace downhill
