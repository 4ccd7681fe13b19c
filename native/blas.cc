// The one file that knows which BLAS is linked: OpenBLAS (serial build), Apple's Accelerate, or none.
//
// Four things stand here because a BLAS cannot be trusted to get them right on every machine:
// - the CPU kernel: an OpenBLAS older than the CPU does not know it and may pick a slow or a wrong kernel, so the
//   addon chooses, from what the CPU says it can do;
// - the truth: a few products are checked when the addon first asks, and a BLAS that fails them is not used;
// - callers: a serial OpenBLAS may hand one scratch buffer to two threads that call it at once, and both products come
//   out wrong, so its allocator is put under a lock of ours;
// - threads: a build of OpenBLAS with a pool of its own is not used (its fork handler can hang Node, and its bits
//   depend on the number of threads).
//
// Nothing here changes the environment, and a value that the user has set wins.

#include "blas.h"

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#define DOWNHILL_X64 1
#endif

#ifdef DOWNHILL_BLAS

#if defined(__linux__) && !defined(DOWNHILL_ACCELERATE)
#define DOWNHILL_OPENBLAS 1
#endif

// CBLAS by its binary interface; no header of a particular BLAS is needed to build against it.
extern "C" {
void cblas_sgemm(int order, int transA, int transB, int m, int n, int k, float alpha, const float* A, int lda,
                 const float* B, int ldb, float beta, float* C, int ldc);
#ifndef DOWNHILL_ACCELERATE
char* openblas_get_corename(void);
char* openblas_get_config(void);
int openblas_get_parallel(void);
#endif
}

#endif

// ---- The CPU kernel ------------------------------------------------------------------------------------------------

#ifdef DOWNHILL_OPENBLAS

namespace {

// OpenBLAS' name for the best kernels this CPU runs, or null to let it decide. Asked before any constructor of C++ has
// run. Cooperlake and SapphireRapids multiply floats with the kernels of SkylakeX and differ in 16-bit formats only;
// Zen's are Haswell's with smaller blocks, measured slower (docs/decisions/0002-openblas.md). So three names are
// enough.
const char* bestCore() {
#ifdef DOWNHILL_X64
  __builtin_cpu_init();  // also asks whether the operating system keeps the wide registers
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512 && avx2) return "SkylakeX";
  if (avx2) return "Haswell";
  if (__builtin_cpu_supports("avx")) return "Sandybridge";
#endif
  return nullptr;
}

// Where a virtual machine hides the size of the L2 cache, OpenBLAS warns on stderr and assumes 256 KiB, too little for
// most; this is the size in a core of Zen.
const char* l2Size() {
#ifdef DOWNHILL_X64
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(0x80000006, &a, &b, &c, &d) || c >> 16 == 0) return "512";
#endif
  return nullptr;
}

}  // namespace

// The addon is linked with --wrap=getenv, so OpenBLAS, linked in, asks here when it starts (from a constructor at
// dlopen, when other threads already run and the environment must not be written to).
extern "C" {
char* __real_getenv(const char* name);

char* __wrap_getenv(const char* name) {
  char* const set = __real_getenv(name);
  if (set != nullptr) return set;
  if (std::strcmp(name, "OPENBLAS_CORETYPE") == 0) return const_cast<char*>(bestCore());
  if (std::strcmp(name, "OPENBLAS_L2_SIZE") == 0) return const_cast<char*>(l2Size());
  return nullptr;
}
}

#endif

// ---- Callers -------------------------------------------------------------------------------------------------------

#ifdef DOWNHILL_OPENBLAS

// Debian's serial OpenBLAS 0.3.21 is built without USE_LOCKING: it looks for a free scratch buffer and takes it in two
// steps. Two threads in sgemm then get wrong products, one in a few hundred (test/native has the proof). The addon is
// linked with --wrap for both names, so that each product takes and returns its buffer here. Only that is serial.
//
// At most kCallers are inside at once, as many buffers as the smallest build has; the others wait.

namespace {

constexpr int kCallers = 48;

struct Desk {
  std::mutex lock;
  std::condition_variable returned;
  int taken = 0;
};

Desk& desk() {
  static Desk* const one = new Desk;  // never destroyed: a thread may still compute when the process ends
  return *one;
}

}  // namespace

extern "C" {
void* __real_blas_memory_alloc(int position);
void __real_blas_memory_free(void* buffer);

void* __wrap_blas_memory_alloc(int position) {
  Desk& d = desk();
  std::unique_lock<std::mutex> held(d.lock);
  d.returned.wait(held, [&] { return d.taken < kCallers; });
  ++d.taken;
  return __real_blas_memory_alloc(position);
}

void __wrap_blas_memory_free(void* buffer) {
  Desk& d = desk();
  {
    const std::lock_guard<std::mutex> held(d.lock);
    __real_blas_memory_free(buffer);
    --d.taken;
  }
  d.returned.notify_one();
}
}

#endif

namespace downhill {

#ifdef DOWNHILL_BLAS

namespace {

constexpr int kRowMajor = 101, kAsIs = 111, kTransposed = 112;  // CBLAS' own numbers

// OpenBLAS' kernels for Sandybridge leave the upper halves of AVX registers dirty, after which every SSE instruction
// waits for them: the code around ran five times slower.
#ifdef DOWNHILL_X64
__attribute__((target("avx"))) void zeroUppers() { __builtin_ia32_vzeroupper(); }
const bool hasUppers = __builtin_cpu_supports("avx");
#else
void zeroUppers() {}
constexpr bool hasUppers = false;
#endif

void sgemm(bool transA, bool transB, int m, int n, int k, float alpha, const float* A, int lda, const float* B, int ldb,
           float beta, float* C, int ldc) {
  cblas_sgemm(kRowMajor, transA ? kTransposed : kAsIs, transB ? kTransposed : kAsIs, m, n, k, alpha, A, lda, B, ldb,
              beta, C, ldc);
  if (hasUppers) zeroUppers();
}

// ---- The truth -----------------------------------------------------------------------------------------------------

// Numbers in [-1, 1) without a pattern that a wrong kernel could keep: Knuth's multiplier, top 24 bits.
float entry(unsigned i) { return static_cast<float>((i * 2654435761u) >> 8) * 0x1p-23f - 1.0f; }

// Whether C = op(A)·op(B) + beta·C comes out right, asked as C·v = op(A)·(op(B)·v) for one vector v, in double
// (Freivalds): quadratic work, so that also a large product is checked in microseconds. One column more than is asked
// for must stay untouched. Rounding is bounded by (k + 2) halves of an ulp of the sum of magnitudes, tested fourfold.
bool multipliesRightly(bool transA, bool transB, int m, int n, int k, float beta) {
  const int lda = transA ? m : k, ldb = transB ? k : n, ldc = n + 1;
  std::vector<float> A(static_cast<size_t>(m) * k), B(static_cast<size_t>(k) * n), C(static_cast<size_t>(m) * ldc);
  for (size_t i = 0; i < A.size(); ++i) A[i] = entry(static_cast<unsigned>(i));
  for (size_t i = 0; i < B.size(); ++i) B[i] = entry(static_cast<unsigned>(i + A.size()));
  for (size_t i = 0; i < C.size(); ++i) C[i] = entry(static_cast<unsigned>(i + 7));
  const std::vector<float> before = C;
  sgemm(transA, transB, m, n, k, 1.0f, A.data(), lda, B.data(), ldb, beta, C.data(), ldc);

  std::vector<double> v(n), Bv(k, 0.0), absBv(k, 0.0);
  for (int j = 0; j < n; ++j) v[j] = 0.5 + 0.5 * entry(static_cast<unsigned>(3 * j + 1));  // in [0, 1)
  for (int l = 0; l < k; ++l)
    for (int j = 0; j < n; ++j) {
      const double p = static_cast<double>(transB ? B[j * ldb + l] : B[l * ldb + j]) * v[j];
      Bv[l] += p;
      absBv[l] += std::fabs(p);
    }
  for (int i = 0; i < m; ++i) {
    double expected = 0, magnitude = 0, found = 0;
    for (int l = 0; l < k; ++l) {
      const double a = transA ? A[l * lda + i] : A[i * lda + l];
      expected += a * Bv[l];
      magnitude += std::fabs(a) * absBv[l];
    }
    for (int j = 0; j < n; ++j) {
      const double old = static_cast<double>(beta) * before[i * ldc + j] * v[j];
      expected += old;
      magnitude += std::fabs(old);
      found += static_cast<double>(C[i * ldc + j]) * v[j];
    }
    const bool near = std::fabs(found - expected) <= 4 * (k + 2) * 0x1p-24 * magnitude;  // false for NaN
    if (!near || C[i * ldc + n] != before[i * ldc + n]) return false;
  }
  return true;
}

// Shapes that reach the paths a kernel has: full tiles and their edges, one row, one column, and a product beyond the
// 100³ up to which OpenBLAS uses its kernels for small matrices.
bool passesSelfTest() {
  constexpr int kShapes[][3] = {{17, 31, 33}, {1, 65, 40}, {65, 1, 40}, {48, 64, 32}, {129, 131, 67}};
  for (const auto& [m, n, k] : kShapes)
    for (int form = 0; form < 4; ++form)
      for (const float beta : {0.0f, 1.0f})
        if (!multipliesRightly((form & 1) != 0, (form & 2) != 0, m, n, k, beta)) return false;
  return true;
}

// "OpenBLAS 0.3.21 serial SkylakeX"
void describe(char* name, size_t size) {
#ifdef DOWNHILL_ACCELERATE
  std::snprintf(name, size, "Accelerate");
#else
  char version[32] = "of unknown version";
  std::sscanf(openblas_get_config(), "OpenBLAS %31s", version);  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …"
  std::snprintf(name, size, "OpenBLAS %s %s %s", version, openblas_get_parallel() == 0 ? "serial" : "threaded",
                openblas_get_corename());
#endif
}

bool isThreaded() {
#ifdef DOWNHILL_ACCELERATE
  return false;
#else
  return openblas_get_parallel() != 0;
#endif
}

Blas find() {
  static char name[160];
  char found[96];
  describe(found, sizeof found);
  const char* const problem = isThreaded()        ? "has threads of its own"
                              : !passesSelfTest() ? "multiplies wrongly on this CPU"
                                                  : nullptr;
  if (problem == nullptr) {
    std::snprintf(name, sizeof name, "%s", found);
    return {name, true, sgemm};
  }
  std::snprintf(name, sizeof name, "none (%s %s)", found, problem);
  return {name, false, nullptr};
}

}  // namespace

const Blas& blas() {
  static const Blas found = find();
  return found;
}

#else

const Blas& blas() {
  static const Blas none = {"none", false, nullptr};
  return none;
}

#endif

}  // namespace downhill
