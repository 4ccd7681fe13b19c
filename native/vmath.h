// Functions of mathematics over the vector type of simd.h; included by kernel_set.h alone.
//
// Max error counts ULPs of the exact result; test_vmath.cc looks for it over floats of all exponents. Domain is all
// floats unless said otherwise. NaN gives NaN; infinities, zeros and their signs are those of IEEE 754; operands and
// results below 2⁻¹²⁶ may count as 0 where the thread flushes denormals. A lane's bits depend on its operand alone.
// Sets with fused steps agree in all bits; the one without differs within the bounds.
//
// Coefficients are minimax in single precision (sollya's fpminimax), made for these intervals; those of normalCdf are
// minimax by weighted least squares in double, then rounded.

namespace downhill {
namespace DOWNHILL_SET {

DOWNHILL_INLINE Bits bitsOf(Vec x) { return reinterpret_cast<Bits>(x); }
DOWNHILL_INLINE Vec ofBits(Bits x) { return reinterpret_cast<Vec>(x); }
// n / 2ᵏ, rounded down; n may stand for a number below 0.
DOWNHILL_INLINE Bits shiftedRight(Bits n, int k) { return reinterpret_cast<Bits>(reinterpret_cast<Ints>(n) >> k); }

DOWNHILL_INLINE Vec absolute(Vec x) { return ofBits(bitsOf(x) & 0x7fffffffu); }
DOWNHILL_INLINE Vec withSignOf(Vec magnitude, Vec x) { return ofBits(bitsOf(magnitude) | (bitsOf(x) & 0x80000000u)); }

// xᴺ for N a power of two.
template <int N>
DOWNHILL_INLINE Vec power(Vec x) {
  if constexpr (N == 1) {
    return x;
  } else {
    const Vec half = power<N / 2>(x);
    return half * half;
  }
}

// c[0] + c[1]·x + … + c[N − 1]·xᴺ⁻¹, by halves (Estrin): a shorter chain than Horner's, and the chain is what these
// functions wait for.
template <int N>
DOWNHILL_INLINE Vec polynomial(Vec x, const float* c) {
  if constexpr (N == 1) {
    return all(c[0]);
  } else {
    constexpr int kLow = N > 8 ? 8 : N > 4 ? 4 : N > 2 ? 2 : 1;
    return fma(polynomial<N - kLow>(x, c + kLow), power<kLow>(x), polynomial<kLow>(x, c));
  }
}

// ln 2 in two parts: the first has 9 bits, so that its products with exponents are exact.
constexpr float kLn2 = 0x1.63p-1f, kLn2Rest = -0x1.bd0106p-13f;

// 2ⁿ for −126 ≤ n ≤ 127.
DOWNHILL_INLINE Vec powerOfTwo(Bits n) { return ofBits((n + 127u) << 23); }

// e^(x + rest) = 2ⁿ·(1 + part), |x + rest − n·ln 2| ≤ ½ ln 2, for |x| < 2²⁰; rest is small beside x.
struct Exponential {
  Bits n;
  Vec part;
};
DOWNHILL_INLINE Exponential exponential(Vec x, const Vec* rest = nullptr) {
  constexpr float kRound = 0x1.8p23f;  // added, it leaves the nearest integer in the low bits
  const Vec shifted = fma(x, all(0x1.715476p0f), all(kRound));
  const Vec n = shifted - kRound;
  Vec r = fma(n, all(-kLn2), x);
  if (rest != nullptr) r += *rest;
  r = fma(n, all(-kLn2Rest), r);
  constexpr float kTerms[] = {0x1p-1f, 0x1.555556p-3f, 0x1.5555p-5f, 0x1.110ff2p-7f, 0x1.6d30cep-10f, 0x1.a26768p-13f};
  return {bitsOf(shifted) - bitsOf(all(kRound)), fma(r * r, polynomial<6>(r, kTerms), r)};
}

// x·2ⁿ, in two factors, for the scale of the smallest and the largest floats is none itself.
DOWNHILL_INLINE Vec scaled(Vec x, Bits n) {
  const Bits half = shiftedRight(n, 1);
  return x * powerOfTwo(half) * powerOfTwo(n - half);
}
DOWNHILL_INLINE Vec scaled(Exponential e) { return scaled(1 + e.part, e.n); }

// eˣ. Max error: 1.1 ULP.
DOWNHILL_INLINE Vec exp(Vec x) { return scaled(exponential(atLeast(atMost(x, 89), -104))); }

// eˣ − 1. Max error: 2 ULP. Domain: x ≤ 80.
DOWNHILL_INLINE Vec expMinus1(Vec x) {
  const Exponential e = exponential(atLeast(x, -30));
  const Vec scale = powerOfTwo(e.n);
  return fma(scale, e.part, scale - 1);
}

// ln((1 + z)·2ᵏ) for 1 + z between √½ and √2.
DOWNHILL_INLINE Vec logarithm(Vec z, Bits k) {
  constexpr float kTerms[] = {0x1.555554p-2f,  -0x1.fffff8p-3f, 0x1.999d44p-3f,  -0x1.555c8cp-3f, 0x1.23d54ep-3f,
                              -0x1.fcbfeap-4f, 0x1.de32ecp-4f,  -0x1.d778e8p-4f, 0x1.20456cp-4f};
  const Vec exponent = __builtin_convertvector(reinterpret_cast<Ints>(k), Vec);
  const Vec square = z * z;
  const Vec small = fma(square, all(-0.5f), fma(exponent, all(kLn2Rest), square * z * polynomial<9>(z, kTerms)));
  return fma(exponent, all(kLn2), z + small);
}

// The k for which x·2⁻ᵏ is between √½ and √2, for normal x > 0.
DOWNHILL_INLINE Bits exponentOf(Vec x) { return shiftedRight(bitsOf(x) - 0x3f3504f3u, 23); }

// ln x. Max error: 1 ULP. NaN for x < 0.
DOWNHILL_INLINE Vec log(Vec x) {
  const Ints isDenormal = x < 0x1p-126f;
  const Vec normal = isDenormal ? x * 0x1p24f : x;
  const Bits k = exponentOf(normal);
  const Vec y = logarithm(ofBits(bitsOf(normal) - (k << 23)) - 1, k - (reinterpret_cast<Bits>(isDenormal) & 24u));
  const Vec beyond = x == 0 ? all(-__builtin_inff()) : x < 0 ? all(__builtin_nanf("")) : x;  // ∞ and NaN are their own
  return ((x > 0) & (x < __builtin_inff())) ? y : beyond;
}

// ln(1 + x). Max error: 2 ULP. Domain: 0 ≤ x ≤ 1.
DOWNHILL_INLINE Vec logOf1Plus(Vec x) {
  const Vec sum = 1 + x, lost = x - (sum - 1);
  const Bits k = exponentOf(sum);
  const Vec scale = powerOfTwo(-k);
  return logarithm(fma(lost, scale, sum * scale - 1), k);
}

// tanh x. Max error: 2 ULP.
DOWNHILL_INLINE Vec tanh(Vec x) {
  const Vec a = atMost(absolute(x), 10);  // from 9.02 on it rounds to 1
  const Exponential e = exponential(2 * a);
  const Vec scale = powerOfTwo(e.n - 1);
  const Vec h = fma(scale, e.part, scale - 0.5f);  // (e²ᵃ − 1)/2
  const Vec q = h / (1 + h);                       // tanh a = q = h − h·q: the second is closer where h is small
  return withSignOf(h < 1 ? fma(-h, q, h) : q, x);
}

// 1/(1 + e⁻ˣ). Max error: 2 ULP.
DOWNHILL_INLINE Vec sigmoid(Vec x) {
  const Vec e = exp(-absolute(x));
  const Vec q = e / (1 + e);
  return x < 0 ? fma(-e, q, e) : 1 - q;
}

// ln(1 + eˣ). Max error: 2 ULP.
DOWNHILL_INLINE Vec softplus(Vec x) { return (x < 0 ? Vec{} : x) + logOf1Plus(exp(-absolute(x))); }

// a·b − rounded, rounded being a·b in one rounding: what it lost.
DOWNHILL_INLINE Vec lostOf(Vec a, Vec b, Vec rounded) {
  if (kFused) return fma(a, b, -rounded);
  const Vec aHigh = ofBits(bitsOf(a) & 0xfffff000u), aLow = a - aHigh;  // Dekker: parts with exact products
  const Vec bHigh = ofBits(bitsOf(b) & 0xfffff000u), bLow = b - bHigh;
  return ((aHigh * bHigh - rounded) + (aHigh * bLow + aLow * bHigh)) + aLow * bLow;
}

// e^(−x²/2) for 0 ≤ x ≤ 15; what x² loses to rounding is not lost.
DOWNHILL_INLINE Exponential bell(Vec x) {
  const Vec square = x * x;
  const Vec rest = lostOf(x, x, square) * -0.5f;
  return exponential(square * -0.5f, &rest);
}

// Φ(x) = (1 + erf(x/√2))/2, the normal distribution, and e^(−x²/2) on the way. Max error: 2.1 ULP,
// with fused steps 1.9, right of 0 1.5.
DOWNHILL_INLINE Vec normalCdf(Vec x, Vec& e) {
  // Φ(−x)·e^(x²/2) = t·(c₀ + z·polynomial(z)), t = 3/(3 + x), z = t − ½, for 0 ≤ x ≤ 15. Values that would cost half a
  // ULP each are in two floats: t, the last two steps, their product. (3 + x) − 3 is exact.
  constexpr float kTerms[] = {0x1.f1b89cp-3f,  0x1.5bb438p-2f,  0x1.3a0d04p-2f, 0x1.021e06p-3f,
                              -0x1.c91d3ap-5f, -0x1.307e6ep-4f, 0x1.662d6ep-6f, 0x1.68e92ap-5f,
                              -0x1.562852p-6f, -0x1.6f3a2cp-6f, 0x1.30b9f8p-6f};
  const Vec a = atMost(absolute(x), 15);  // there it is 0 and 1
  const Vec sum = 3 + a, t = 3 / sum;
  const Vec over = (3 - t * sum) - lostOf(t, sum, t * sum) - t * (a - (sum - 3));  // 3 − t·(3 + a)
  const Vec tRest = over * t * (1 / 3.0f);
  const Vec z = t - 0.5f;
  const Vec inner = polynomial<9>(z, kTerms + 2);
  const Vec slope = fma(z, inner, all(kTerms[1])), slopeRest = fma(z, inner, kTerms[1] - slope);
  const Vec p = fma(z, slope, all(kTerms[0]));
  const Vec pRest = fma(tRest, slope, fma(z, slopeRest, fma(z, slope, kTerms[0] - p)));
  const Vec g = t * p, gRest = fma(t, pRest, fma(tRest, p, lostOf(t, p, g)));
  const Exponential b = bell(a);
  e = scaled(b);
  const Vec tail = scaled(g + fma(b.part, g, fma(b.part, gRest, gRest)), b.n);
  return x < 0 ? tail : 1 - tail;
}
DOWNHILL_INLINE Vec normalCdf(Vec x) {
  Vec e;
  return normalCdf(x, e);
}

}  // namespace DOWNHILL_SET
}  // namespace downhill
