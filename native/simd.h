// The vector type of one set of kernels, and the few things about it that differ between sets.
//
// Included by kernel_set.h alone, once in each set's file, in a region compiled for that set's instructions
// (DOWNHILL_SET names it, DOWNHILL_WIDTH is its floats in a vector). Arithmetic, comparisons and shifts are the
// compiler's own on vector types, the same in g++ and clang, so that a kernel is written once; here stands what they do
// not give: fused steps, parts of a vector, roots, transposition. Nothing from the standard library may be instantiated
// in the region, or the linker could keep the copy with instructions that another CPU lacks: no <algorithm> in kernels.
//
// Results differ between sets in one thing only: whether a·b + c rounds once (kFused) or twice.

namespace downhill {
namespace DOWNHILL_SET {

#define DOWNHILL_INLINE inline __attribute__((always_inline))

constexpr size_t W = DOWNHILL_WIDTH;
typedef float Vec __attribute__((vector_size(DOWNHILL_WIDTH * 4)));
typedef int32_t Ints __attribute__((vector_size(DOWNHILL_WIDTH * 4)));
typedef uint32_t Bits __attribute__((vector_size(DOWNHILL_WIDTH * 4)));  // counts modulo 2³², also below 0
typedef float Anywhere __attribute__((vector_size(DOWNHILL_WIDTH * 4), aligned(4), may_alias));  // no alignment asked

DOWNHILL_INLINE Vec load(const float* p) { return *reinterpret_cast<const Anywhere*>(p); }
DOWNHILL_INLINE void store(float* p, Vec v) { *reinterpret_cast<Anywhere*>(p) = v; }

// Makes the cache line of p this core's alone, and changes nothing in it. A line that others have read costs its writer
// some 7 ns, waited for in the order of the stores; claimed in the middle of a product, it costs none. Nobody may write
// something else there meanwhile. (prefetchw does nothing where the line is already in the cache.)
constexpr size_t kLine = 16;  // floats in a cache line
DOWNHILL_INLINE void claim(float* p) {
#if defined(__x86_64__)
  __asm__ volatile("orl $0, %0" : "+m"(*p));
#else
  (void)p;
#endif
}

// Lanes: the first n lanes of a vector, 1 ≤ n ≤ W. What lies behind them in memory is neither read (zeros stand for it)
// nor written.
// all: x in each lane.  fma: a·b + c.  atMost, atLeast: the bound beyond it, else x, also if x is NaN.
// transpose: d[j·ldd + i] = s[i·lds + j] for i, j < W.
// sumsOf: lane i is the sum of v[i], its lanes added by halves.

#if DOWNHILL_WIDTH == 16

constexpr bool kFused = true;

typedef __mmask16 Lanes;
DOWNHILL_INLINE Lanes firstLanes(size_t n) { return static_cast<Lanes>(0xffffu >> (16 - n)); }
DOWNHILL_INLINE Vec load(const float* p, Lanes lanes) { return _mm512_maskz_loadu_ps(lanes, p); }
DOWNHILL_INLINE void store(float* p, Vec v, Lanes lanes) { _mm512_mask_storeu_ps(p, lanes, v); }
DOWNHILL_INLINE Vec all(float x) { return _mm512_set1_ps(x); }
DOWNHILL_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
DOWNHILL_INLINE Vec sqrt(Vec a) { return _mm512_sqrt_ps(a); }
DOWNHILL_INLINE Vec atMost(Vec x, float most) { return _mm512_min_ps(all(most), x); }
DOWNHILL_INLINE Vec atLeast(Vec x, float least) { return _mm512_max_ps(all(least), x); }

DOWNHILL_INLINE void transpose(const float* s, size_t lds, float* d, size_t ldd) {
  // By fours of columns. Loaded as quarters, lane t of a vector being of row 4t + i, they are turned without crossing
  // lanes.
#pragma GCC unroll 4
  for (int q = 0; q < 16; q += 4) {
    Vec r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const float* const from = s + i * lds + q;
      const __m256 low =
          _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)), _mm_loadu_ps(from + 4 * lds), 1);
      r[i] = _mm512_insertf32x4(_mm512_castps256_ps512(low), _mm_loadu_ps(from + 8 * lds), 2);
      r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(from + 12 * lds), 3);
    }
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1])),
                  b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
    const __m512d e = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3])),
                  f = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
    store(d + q * ldd, _mm512_castpd_ps(_mm512_unpacklo_pd(a, e)));
    store(d + (q + 1) * ldd, _mm512_castpd_ps(_mm512_unpackhi_pd(a, e)));
    store(d + (q + 2) * ldd, _mm512_castpd_ps(_mm512_unpacklo_pd(b, f)));
    store(d + (q + 3) * ldd, _mm512_castpd_ps(_mm512_unpackhi_pd(b, f)));
  }
}

DOWNHILL_INLINE Vec sumsOf(const Vec (&v)[16]) {
  Vec s[16];  // in the order in which the steps exchange them
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) s[i] = v[(i & 8) >> 1 | (i & 4) << 1 | (i & 2) >> 1 | (i & 1) << 1];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    s[i] = _mm512_shuffle_f32x4(s[i], s[i + 8], 0x44) + _mm512_shuffle_f32x4(s[i], s[i + 8], 0xee);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    s[i] = _mm512_shuffle_f32x4(s[i], s[i + 4], 0x88) + _mm512_shuffle_f32x4(s[i], s[i + 4], 0xdd);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) s[i] = _mm512_shuffle_ps(s[i], s[i + 2], 0x44) + _mm512_shuffle_ps(s[i], s[i + 2], 0xee);
  return _mm512_shuffle_ps(s[0], s[1], 0x88) + _mm512_shuffle_ps(s[0], s[1], 0xdd);
}

#elif DOWNHILL_WIDTH == 8

constexpr bool kFused = true;

typedef __m256i Lanes;
DOWNHILL_INLINE Lanes firstLanes(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
DOWNHILL_INLINE Vec load(const float* p, Lanes lanes) { return _mm256_maskload_ps(p, lanes); }
DOWNHILL_INLINE void store(float* p, Vec v, Lanes lanes) { _mm256_maskstore_ps(p, lanes, v); }
DOWNHILL_INLINE Vec all(float x) { return _mm256_set1_ps(x); }
DOWNHILL_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
DOWNHILL_INLINE Vec sqrt(Vec a) { return _mm256_sqrt_ps(a); }
DOWNHILL_INLINE Vec atMost(Vec x, float most) { return _mm256_min_ps(all(most), x); }
DOWNHILL_INLINE Vec atLeast(Vec x, float least) { return _mm256_max_ps(all(least), x); }

DOWNHILL_INLINE void transpose(const float* s, size_t lds, float* d, size_t ldd) {
#pragma GCC unroll 2
  for (int q = 0; q < 8; q += 4) {  // as above
    Vec r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const float* const from = s + i * lds + q;
      r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)), _mm_loadu_ps(from + 4 * lds), 1);
    }
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1])),
                  b = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
    const __m256d e = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3])),
                  f = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
    store(d + q * ldd, _mm256_castpd_ps(_mm256_unpacklo_pd(a, e)));
    store(d + (q + 1) * ldd, _mm256_castpd_ps(_mm256_unpackhi_pd(a, e)));
    store(d + (q + 2) * ldd, _mm256_castpd_ps(_mm256_unpacklo_pd(b, f)));
    store(d + (q + 3) * ldd, _mm256_castpd_ps(_mm256_unpackhi_pd(b, f)));
  }
}

DOWNHILL_INLINE Vec sumsOf(const Vec (&v)[8]) {
  Vec s[8];  // in the order in which the steps exchange them
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) s[i] = v[(i & 4) | (i & 2) >> 1 | (i & 1) << 1];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    s[i] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x20) + _mm256_permute2f128_ps(s[i], s[i + 4], 0x31);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) s[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44) + _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
  return _mm256_shuffle_ps(s[0], s[1], 0x88) + _mm256_shuffle_ps(s[0], s[1], 0xdd);
}

#else

#if defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

typedef size_t Lanes;
DOWNHILL_INLINE Lanes firstLanes(size_t n) { return n; }
DOWNHILL_INLINE Vec load(const float* p, Lanes lanes) {
  if (lanes == 4) return load(p);
  return Vec{p[0], lanes > 1 ? p[1] : 0, lanes > 2 ? p[2] : 0, 0};
}
DOWNHILL_INLINE void store(float* p, Vec v, Lanes lanes) {
  if (lanes == 4) return store(p, v);
  p[0] = v[0];
  if (lanes > 1) p[1] = v[1];
  if (lanes > 2) p[2] = v[2];
}
DOWNHILL_INLINE Vec all(float x) { return Vec{x, x, x, x}; }
DOWNHILL_INLINE Vec fma(Vec a, Vec b, Vec c) {
  if (!kFused) return a * b + c;
  for (size_t i = 0; i < W; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
}
DOWNHILL_INLINE Vec sqrt(Vec a) {
  for (size_t i = 0; i < W; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
DOWNHILL_INLINE Vec atMost(Vec x, float most) { return x > most ? all(most) : x; }
DOWNHILL_INLINE Vec atLeast(Vec x, float least) { return x < least ? all(least) : x; }
DOWNHILL_INLINE void transpose(const float* s, size_t lds, float* d, size_t ldd) {
  for (size_t j = 0; j < W; ++j) store(d + j * ldd, Vec{s[j], s[lds + j], s[2 * lds + j], s[3 * lds + j]});
}
DOWNHILL_INLINE Vec sumsOf(const Vec (&v)[4]) {
  Vec s = {};
  for (size_t i = 0; i < W; ++i) s[i] = (v[i][0] + v[i][2]) + (v[i][1] + v[i][3]);
  return s;
}

#endif

}  // namespace DOWNHILL_SET
}  // namespace downhill
