// The kernels of transforms.h over Vec. Included by kernel_set.h alone.

namespace downhill {
namespace DOWNHILL_SET {

typedef uint32_t Words __attribute__((vector_size(DOWNHILL_WIDTH * 4)));
typedef float Half __attribute__((vector_size(DOWNHILL_WIDTH * 2), aligned(4), may_alias));
typedef double Doubles __attribute__((vector_size(DOWNHILL_WIDTH * 4)));  // as many as there are floats in a Half

// Where a sweep stands: a whole vector from i on, or what is left.
struct Whole {
  size_t i;
  DOWNHILL_INLINE Vec get(const float* p) const { return load(p + i); }
  DOWNHILL_INLINE void put(float* p, Vec v) const { store(p + i, v); }
};
struct Part {
  size_t i;
  Lanes lanes;
  DOWNHILL_INLINE Vec get(const float* p) const { return load(p + i, lanes); }
  DOWNHILL_INLINE void put(float* p, Vec v) const { store(p + i, v, lanes); }
};

// body(at) for n floats.
template <class Body>
DOWNHILL_INLINE void sweep(size_t n, const Body& body) {
  size_t i = 0;
  for (; i + W <= n; i += W) body(Whole{i});
  if (i < n) body(Part{i, firstLanes(n - i)});
}

DOWNHILL_INLINE Vec within(Vec most, Vec x) {
  const Vec below = x > most ? most : x;
  return below < -most ? -most : below;
}

DOWNHILL_INLINE Vec finite(Vec x) { return within(all(__FLT_MAX__), x); }

// Not ordered: the second.
DOWNHILL_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }

// Of floats; as doubles.
DOWNHILL_INLINE Doubles doubles(const float* x) {
  return __builtin_convertvector(*reinterpret_cast<const Half*>(x), Doubles);
}

// sum + a·b, a and b from floats: the product is exact in double, so that there is one rounding, fused or not.
DOWNHILL_INLINE Doubles addProduct(Doubles sum, Doubles a, Doubles b) {
#if DOWNHILL_WIDTH == 16
  return _mm512_fmadd_pd(a, b, sum);
#elif DOWNHILL_WIDTH == 8
  return _mm256_fmadd_pd(a, b, sum);
#else
  return sum + a * b;
#endif
}

// A sum of products of floats: thirty-two, of every thirty-second product, then added by halves; so many that none
// waits for itself.
constexpr size_t H = W / 2;
struct Sum {
  Doubles parts[32 / H] = {};
  // With the products of what is left, `count` of them, fewer than 32.
  DOWNHILL_INLINE double total(const float* a, const float* b, size_t count) const {
    double lanes[32];
    for (size_t l = 0; l < 32; ++l) lanes[l] = parts[l / H][l % H];
    for (size_t l = 0; l < count; ++l) lanes[l] += static_cast<double>(a[l]) * b[l];
    for (size_t half = 16; half > 0; half /= 2) {
      for (size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    return lanes[0];
  }
};

inline double sumOfSquares(const float* x, size_t n) {
  Sum sum;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
#pragma GCC unroll 16
    for (size_t q = 0; q < 32 / H; ++q) {
      const Doubles a = doubles(x + i + H * q);
      sum.parts[q] = addProduct(sum.parts[q], a, a);
    }
  }
  return sum.total(x + i, x + i, n - i);
}

inline void addScaled(const float* x, float a, float* y, size_t n) {
  const Vec as = all(a);
  sweep(n, [=](auto at) { at.put(y, at.get(y) + as * at.get(x)); });
}

inline void scale(float* x, size_t n, float a) {
  const Vec as = all(a);
  sweep(n, [=](auto at) { at.put(x, as * at.get(x)); });
}

inline void clip(float* x, size_t n, float most) {
  const Vec ms = all(most);
  sweep(n, [=](auto at) { at.put(x, within(ms, at.get(x))); });
}

inline void momentum(float* g, float* m, size_t n, float beta, bool nesterov) {
  const Vec b = all(beta);
  if (nesterov) {
    sweep(n, [=](auto at) {
      const Vec gi = at.get(g), mi = b * at.get(m) + gi;
      at.put(m, mi);
      at.put(g, gi + b * mi);
    });
  } else {
    sweep(n, [=](auto at) {
      const Vec mi = b * at.get(m) + at.get(g);
      at.put(m, mi);
      at.put(g, mi);
    });
  }
}

// What the adam family shares: the two averages, and how they are corrected for their start at 0.
struct AdamVectors {
  Vec beta1, rest1, correct1, beta2, rest2, correct2, epsilon;
  explicit AdamVectors(const AdamConstants& c)
      : beta1(all(c.beta1)),
        rest1(all(c.rest1)),
        correct1(all(c.correct1)),
        beta2(all(c.beta2)),
        rest2(all(c.rest2)),
        correct2(all(c.correct2)),
        epsilon(all(c.epsilon)) {}

  struct Moments {
    Vec g, m, v;
  };
  // Moves m and v on by g, and returns all three.
  template <class At>
  Moments moved(At at, const float* g, float* m, float* v) const {
    const Vec gi = at.get(g);
    const Vec mi = beta1 * at.get(m) + rest1 * gi;
    const Vec vi = beta2 * at.get(v) + rest2 * (gi * gi);
    at.put(m, mi);
    at.put(v, vi);
    return {gi, mi, vi};
  }

  Vec below(Vec v) const { return sqrt(v * correct2) + epsilon; }
};

inline void scaleByAdam(float* g, float* m, float* v, size_t n, const AdamConstants& c) {
  const AdamVectors adam(c);
  sweep(n, [=](auto at) {
    const auto moments = adam.moved(at, g, m, v);
    at.put(g, moments.m * adam.correct1 / adam.below(moments.v));
  });
}

inline void scaleByRms(float* g, float* v, size_t n, float decay, float rest, float epsilon) {
  const Vec d = all(decay), r = all(rest), e = all(epsilon);
  sweep(n, [=](auto at) {
    const Vec gi = at.get(g), vi = d * at.get(v) + r * (gi * gi);
    at.put(v, vi);
    at.put(g, gi / (sqrt(vi) + e));
  });
}

inline void scaleByAdagrad(float* g, float* v, size_t n, float initial, float epsilon, float c) {
  const Vec i = all(initial), e = all(epsilon), cs = all(c);
  sweep(n, [=](auto at) {
    const Vec gi = at.get(g), vi = at.get(v) + gi * gi;
    at.put(v, vi);
    at.put(g, gi / (sqrt(vi + i) + e) * cs);
  });
}

inline void scaleByAmsgrad(float* g, float* m, float* v, float* most, size_t n, const AdamConstants& c) {
  const AdamVectors adam(c);
  sweep(n, [=](auto at) {
    const auto moments = adam.moved(at, g, m, v);
    const Vec ui = larger(at.get(most), moments.v);
    at.put(most, ui);
    at.put(g, moments.m * adam.correct1 / adam.below(ui));
  });
}

inline void scaleByNadam(float* g, float* m, float* v, size_t n, const AdamConstants& c, NadamWeights::Pair weights) {
  const AdamVectors adam(c);
  const Vec ofGradient = all(weights.gradient), ofMemory = all(weights.memory);
  sweep(n, [=](auto at) {
    const auto moments = adam.moved(at, g, m, v);
    at.put(g, (ofGradient * moments.g + ofMemory * moments.m) / adam.below(moments.v));
  });
}

inline void signOfMomentum(float* g, float* m, size_t n, float beta1, float rest1, float beta2, float rest2) {
  const Vec b1 = all(beta1), r1 = all(rest1), b2 = all(beta2), r2 = all(rest2), one = all(1);
  sweep(n, [=](auto at) {
    const Vec gi = at.get(g), mi = at.get(m);
    const Vec c = b1 * mi + r1 * gi;
    at.put(m, b2 * mi + r2 * gi);
    const Vec above = c > Vec{} ? one : c;
    at.put(g, c < Vec{} ? -one : above);
  });
}

inline void average(const float* w, float* a, size_t n, float decay, float rest) {
  const Vec d = all(decay), r = all(rest);
  sweep(n, [=](auto at) { at.put(a, d * at.get(a) + r * at.get(w)); });
}

inline void descend(float* w, const float* g, size_t n, float a) {
  const Vec as = all(a);
  sweep(n, [=](auto at) { at.put(w, finite(at.get(w) - as * at.get(g))); });
}

inline void shrink(float* w, size_t n, float a) {
  const Vec as = all(a);
  sweep(n, [=](auto at) {
    const Vec wi = at.get(w);
    at.put(w, finite(wi - as * wi));
  });
}

template <bool Memory, bool Weights>
void accountOf(const float* w, const float* g, const float* m, const float* v, const float* most, size_t n,
               const AccountConstants& c, double* to) {
  const Vec coupled = all(c.coupled), decay = all(c.decay), share = all(c.share), correct = all(c.correct);
  const Vec initial = all(c.initial), epsilon = all(c.epsilon);
  alignas(64) float scaled[32];
  // P⁻¹g of `count` from i on.
  const auto scale = [=, &scaled](size_t i, size_t count) -> const float* {
    if (v == nullptr) return g + i;
    sweep(count, [=, &scaled](auto at) {
      const Vec gi = at.get(g + i);
      const Vec joined = Weights ? gi + coupled * at.get(w + i) : gi;
      const Vec vi = decay * at.get(v + i) + share * (joined * joined);
      const Vec ui = most != nullptr ? larger(at.get(most + i), vi) : vi;
      at.put(scaled, gi / (sqrt(ui * correct + initial) + epsilon));
    });
    return scaled;
  };
  Sum gg, gm, gw, plain;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const float* const by = scale(i, 32);
#pragma GCC unroll 16
    for (size_t q = 0; q < 32 / H; ++q) {
      const Doubles p = doubles(by + H * q), gi = doubles(g + i + H * q);
      gg.parts[q] = addProduct(gg.parts[q], p, gi);
      if (Memory) gm.parts[q] = addProduct(gm.parts[q], p, doubles(m + i + H * q));
      if (!Weights) continue;
      const Doubles wi = doubles(w + i + H * q);
      gw.parts[q] = addProduct(gw.parts[q], p, wi);
      plain.parts[q] = addProduct(plain.parts[q], gi, wi);
    }
  }
  const size_t left = n - i;
  const float* const by = scale(i, left);
  to[0] = gg.total(by, g + i, left);
  to[1] = Memory ? gm.total(by, m + i, left) : 0;
  to[2] = Weights ? gw.total(by, w + i, left) : 0;
  to[3] = Weights ? plain.total(g + i, w + i, left) : 0;
}

inline void account(const float* w, const float* g, const float* m, const float* v, const float* most, size_t n,
                    const AccountConstants& c, double* to) {
  const auto of = m != nullptr ? (w != nullptr ? accountOf<true, true> : accountOf<true, false>)
                               : (w != nullptr ? accountOf<false, true> : accountOf<false, false>);
  of(w, g, m, v, most, n, c, to);
}

// mix32 of random.h, in lanes.
DOWNHILL_INLINE Words mixed(Words h) {
  h = (h ^ (h >> 16)) * 0x7feb352du;
  h = (h ^ (h >> 15)) * 0x846ca68bu;
  return h ^ (h >> 16);
}

inline void mask(const float* x, float* y, size_t n, uint32_t first, const MaskConstants& c) {
  const Vec scale = all(c.scale);
  if (c.threshold == 0) {
    sweep(n, [=](auto at) { at.put(y, at.get(x) * scale); });
    return;
  }
  constexpr uint32_t step = 0x9e3779b9u;
  Words offset;
  for (size_t l = 0; l < W; ++l) offset[l] = c.key + step * (first + static_cast<uint32_t>(l));
  const Words most = Words{} + static_cast<uint32_t>(c.threshold - 1);  // what is above it is kept
  sweep(n, [=](auto at) {
    const Words bits = mixed(offset + step * static_cast<uint32_t>(at.i));
    at.put(y, at.get(x) * (bits > most ? scale : Vec{}));
  });
}

// The compiler's own loop: it widens bytes better than it converts vectors of them.
inline void fromBytes(const uint8_t* x, float* y, size_t n, float scale) {
  for (size_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i]) * scale;
}

// An exponent of ones, and no other, carries into the sign.
inline bool isFinite(const float* x, size_t n) {
  Words seen = {};
  sweep(n, [=, &seen](auto at) { seen |= (reinterpret_cast<Words>(at.get(x)) & 0x7fffffffu) + 0x00800000u; });
  uint32_t any = 0;
  for (size_t l = 0; l < W; ++l) any |= seen[l];
  return any >> 31 == 0;
}

extern const Transforms kTransforms = {
    sumOfSquares, addScaled,      scale,   clip,    momentum, scaleByAdam, scaleByRms, scaleByAdagrad, scaleByAmsgrad,
    scaleByNadam, signOfMomentum, average, descend, shrink,   account,     mask,       fromBytes,      isFinite};

}  // namespace DOWNHILL_SET
}  // namespace downhill
