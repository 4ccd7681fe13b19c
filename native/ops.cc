#include "ops.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <sstream>

#include "activations.h"
#include "gemm.h"
#include "losses.h"
#include "op_row.h"
#include "passes.h"
#include "random.h"
#include "transforms.h"

namespace downhill {
namespace {

// ------------------------------------------------------------------------------------------------- the batch

template <class T>
void copyRow(const void* all, size_t row, size_t I, double scale, float* to) {
  const T* from = static_cast<const T*>(all) + row * I;
  if (scale == 1) {
    for (size_t i = 0; i < I; ++i) to[i] = static_cast<float>(from[i]);
  } else {
    const T* const end = from + I;
    while (from < end) *to++ = static_cast<float>(static_cast<double>(*from++) * scale);
  }
}

void copyBytes(const void* all, size_t row, size_t I, double scale, float* to) {
  transforms().fromBytes(static_cast<const uint8_t*>(all) + row * I, to, I, static_cast<float>(scale));
}

// x[b,:] = scale · data.x[rows[b],:]   (or no more than a look at where they are, see leaveInPlace)
struct Gather {
  static constexpr const char* names = "x I";
  size_t I;
  float* x;
  bool mayStay = false;
  explicit Gather(const Operands& in) : I(in.size("I", in.sizes().inputs)), x(in.floats("x", in.capacity() * I)) {}
  void run(Step& step) const {
    const Source& source = step.source;
    step.x = x;
    if (mayStay && !source.isChecked && source.kind == Source::Kind::float32 && source.scale == 1 &&
        step.rows == nullptr) {
      step.x = static_cast<const float*>(source.x) + step.row * I;
      return;
    }
    const auto copy = source.kind == Source::Kind::bytes     ? copyBytes
                      : source.kind == Source::Kind::float64 ? copyRow<double>
                                                             : copyRow<float>;
    std::atomic<bool> isFinite{true};
    step.pool.cut(step.B, rowsOf(I), [&](size_t from, size_t count) {
      for (size_t b = from; b < from + count; ++b) {
        const size_t row = step.rows != nullptr ? step.rows[b] : step.row + b;
        copy(source.x, row, I, source.scale, x + b * I);
        if (!source.isChecked && !transforms().isFinite(x + b * I, I)) isFinite.store(false, std::memory_order_relaxed);
      }
    });
    step.isRefused = !isFinite.load(std::memory_order_relaxed);
  }
};

// t[b,:] = data.y[rows[b],:]
struct GatherTargets {
  static constexpr const char* names = "t T";
  size_t T;
  float* t;
  explicit GatherTargets(const Operands& in)
      : T(in.size("T", in.sizes().targets)), t(in.floats("t", in.capacity() * T)) {}
  void run(Step& step) const {
    for (size_t b = 0; b < step.B; ++b) {
      const size_t row = step.rows != nullptr ? step.rows[b] : step.row + b;
      std::memcpy(t + b * T, step.source.y + row * T, T * sizeof(float));
    }
  }
};

// ------------------------------------------------------------------------------------------------- layers

// y = f(x·W + b), f of an instruction that was fused with it, or none
struct Affine {
  static constexpr const char* names = "x W b y I O";
  size_t I, O;
  const float *x, *W, *b;
  float* y;
  const Activation* f = nullptr;
  bool readsBatch = false;  // x is the batch's
  explicit Affine(const Operands& in)
      : I(in.size("I")),
        O(in.size("O")),
        x(in.floats("x", in.capacity() * I)),
        W(in.floats("W", I * O)),
        b(in.optional("b", O)),
        y(in.floats("y", in.capacity() * O)) {}
  void run(Step& step) const {
    const float* const from = readsBatch ? step.x : x;
    std::atomic<bool> isFinite{true};
    After after;
    if (f != nullptr) after.map = f->kernels().forward;
    if (from != x) after.isFinite = &isFinite;
    affine(step.pool, step.B, I, O, from, W, b, y, after);
    // An entry that is not finite makes all outputs of its row so; but finite ones may overflow, too.
    if (!isFinite.load(std::memory_order_relaxed)) step.isRefused = !transforms().isFinite(from, step.B * I);
  }
};

// dW (+)= xᵀ·dy;  db (+)= Σ_b dy[b,:]   (= in the first chunk of a step, += in the others)
struct AffineGradWeights {
  static constexpr const char* names = "x dy dW db I O";
  size_t I, O;
  const float *x, *dy;
  float *dW, *db;
  float* W = nullptr;  // what the step changes by dW, see `foresee`
  explicit AffineGradWeights(const Operands& in)
      : I(in.size("I")),
        O(in.size("O")),
        x(in.floats("x", in.capacity() * I)),
        dy(in.floats("dy", in.capacity() * O)),
        dW(in.floats("dW", I * O)),
        db(in.optional("db", O)) {}
  void run(Step& step) const {
    const bool claims = step.pool.threads() > 1 && step.first + step.B == step.N;
    affineGradWeights(step.pool, step.B, I, O, x, dy, dW, db, step.first > 0, claims ? W : nullptr);
  }
};

// dx = dy·Wᵀ
struct AffineGradInput {
  static constexpr const char* names = "dy W dx I O";
  size_t I, O;
  const float *dy, *W;
  float* dx;
  explicit AffineGradInput(const Operands& in)
      : I(in.size("I")),
        O(in.size("O")),
        dy(in.floats("dy", in.capacity() * O)),
        W(in.floats("W", I * O)),
        dx(in.floats("dx", in.capacity() * I)) {}
  void run(Step& step) const { affineGradInput(step.pool, step.B, I, O, dy, W, dx); }
};

// y = f(x)   (y may be x)
struct Activate {
  static constexpr const char* names = "x y O";
  const Activation& f;
  size_t O;
  const float* x;
  float* y;
  explicit Activate(const Operands& in)
      : f(in.table<Activation>()),
        O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        y(in.floats("y", in.capacity() * O)) {}
  void run(Step& step) const {
    step.pool.cut(step.B, rowsOf(O),
                  [&](size_t from, size_t count) { f.forward(x + from * O, y + from * O, count, O); });
  }
};

// dx = dy ⊙ f'(x)   (dx may be dy; x is y where f' is computed from y)
struct ActivateGrad {
  static constexpr const char* names = "x y dy dx O";
  const Activation& f;
  size_t O;
  const float *v, *dy;
  float* dx;
  explicit ActivateGrad(const Operands& in)
      : f(in.table<Activation>()),
        O(in.size("O")),
        v(in.floats(f.keepsInput ? "x" : "y", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        dx(in.floats("dx", in.capacity() * O)) {}
  void run(Step& step) const {
    step.pool.cut(step.B, rowsOf(O),
                  [&](size_t from, size_t count) { f.backward(v + from * O, dy + from * O, dx + from * O, count, O); });
  }
};

// y[i] = x[i] · (bits(seed, stream, step, i) ≥ rate·2³² ? 1/(1−rate) : 0)   (i counts through the batch)
struct Mask {
  static constexpr const char* names = "x y O rate stream";
  size_t O;
  const float* x;
  float* y;
  uint64_t threshold;
  float scale;
  uint32_t stream;
  explicit Mask(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        y(in.floats("y", in.capacity() * O)),
        threshold(static_cast<uint64_t>(std::ceil(in.number("rate") * 4294967296.0))),
        scale(static_cast<float>(1 / (1 - in.number("rate")))),
        stream(static_cast<uint32_t>(in.size("stream"))) {}
  void run(Step& step) const {
    const MaskConstants c{maskKey(step.seed, stream, static_cast<uint32_t>(step.number)), threshold, scale};
    const size_t origin = step.first * O;
    step.pool.cut(step.B * O, kTile, [&](size_t from, size_t count) {
      transforms().mask(x + from, y + from, count, static_cast<uint32_t>(origin + from), c);
    });
  }
};

// What stands before a loss: all rows of a batch may have the weight 0.
double lossScale(double scale, bool overRows, const Step& step) {
  if (!overRows) return scale;
  return step.weight > 0 ? scale / step.weight : 0;
}

// Calls body(row of the chunk, its weight).
template <class F>
void eachWeighted(const Step& step, F&& body) {
  for (size_t b = 0; b < step.B; ++b) {
    body(b, step.source.weights[step.rows != nullptr ? step.rows[b] : step.row + b]);
  }
}

// s = overRows ? scale/Σω : scale;  loss += s·Σ ω·l(z,t);  dz = s·ω·∂l/∂z   (dz −1: not wanted; s = 0 where Σω is)
struct LossOf {
  static constexpr const char* names = "z t dz O T scale overRows parameter second";
  const Loss& l;
  size_t O, T;
  const float *z, *t;
  float* dz;
  double scale, parameter, second;
  bool overRows;
  explicit LossOf(const Operands& in)
      : l(in.table<Loss>()),
        O(in.size("O")),
        T(in.size("T")),
        z(in.floats("z", in.capacity() * O)),
        t(in.floats("t", in.capacity() * T)),
        dz(in.optional("dz", in.capacity() * O)),
        scale(in.number("scale")),
        parameter(in.number("parameter")),
        second(in.number("second")),
        overRows(in.number("overRows") != 0) {}
  void run(Step& step) const {
    const double s = lossScale(scale, overRows, step);
    if (step.source.weights == nullptr) {
      step.loss += s * l.sum({z, t, dz, O, T, s, parameter, second}, step.B);
      return;
    }
    eachWeighted(step, [&](size_t b, double weight) {
      float* const to = dz == nullptr ? nullptr : dz + b * O;
      step.loss += s * weight * l.sum({z + b * O, t + b * T, to, O, T, s * weight, parameter, second}, 1);
    });
  }
};

// ------------------------------------------------------------------------------------------------- tangents

// Ry = Rx·W + x·RW + Rb   (Rx −1: zero)
struct AffineTangent {
  static constexpr const char* names = "x Rx W RW Rb Ry I O";
  size_t I, O;
  const float *x, *Rx, *W, *RW, *Rb;
  float* Ry;
  explicit AffineTangent(const Operands& in)
      : I(in.size("I")),
        O(in.size("O")),
        x(in.floats("x", in.capacity() * I)),
        Rx(in.optional("Rx", in.capacity() * I)),
        W(in.floats("W", I * O)),
        RW(in.floats("RW", I * O)),
        Rb(in.optional("Rb", O)),
        Ry(in.floats("Ry", in.capacity() * O)) {}
  void run(Step& step) const { affineTangent(step.pool, step.B, I, O, x, Rx, W, RW, Rb, Ry); }
};

// s = overRows ? scale/Σω : scale;  Rdz = s·ω·(∂²l/∂z²)·Rz   (s = 0 where Σω is)
struct LossTangentOf {
  static constexpr const char* names = "z t Rz Rdz O T scale overRows parameter second";
  const Loss& l;
  size_t O, T;
  const float *z, *t, *Rz;
  float* Rdz;
  double scale, parameter, second;
  bool overRows;
  explicit LossTangentOf(const Operands& in)
      : l(in.table<Loss>()),
        O(in.size("O")),
        T(in.size("T")),
        z(in.floats("z", in.capacity() * O)),
        t(in.floats("t", in.capacity() * T)),
        Rz(in.floats("Rz", in.capacity() * O)),
        Rdz(in.floats("Rdz", in.capacity() * O)),
        scale(in.number("scale")),
        parameter(in.number("parameter")),
        second(in.number("second")),
        overRows(in.number("overRows") != 0) {}
  void run(Step& step) const {
    const double s = lossScale(scale, overRows, step);
    if (step.source.weights == nullptr) {
      l.tangent({z, t, Rz, Rdz, O, T, s, parameter, second}, step.B);
      return;
    }
    eachWeighted(step, [&](size_t b, double weight) {
      l.tangent({z + b * O, t + b * T, Rz + b * O, Rdz + b * O, O, T, s * weight, parameter, second}, 1);
    });
  }
};

// Rdx = f'(x) ⊙ Rdy + f''(x) ⊙ Rx ⊙ dy   (Rdx may be Rdy; x is y where f' is computed from y)
struct ActivateGradTangent {
  static constexpr const char* names = "x y Rx dy Rdy Rdx O";
  const Activation& f;
  size_t O;
  const float *v, *Rx, *dy, *Rdy;
  float* Rdx;
  explicit ActivateGradTangent(const Operands& in)
      : f(in.table<Activation>()),
        O(in.size("O")),
        v(in.floats(f.keepsInput ? "x" : "y", in.capacity() * O)),
        Rx(in.floats("Rx", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        Rdx(in.floats("Rdx", in.capacity() * O)) {}
  void run(Step& step) const {
    step.pool.cut(step.B, rowsOf(O), [&](size_t from, size_t count) {
      const size_t at = from * O;
      f.backwardTangent(v + at, Rx + at, dy + at, Rdy + at, Rdx + at, count, O);
    });
  }
};

// RdW (+)= xᵀ·Rdy + Rxᵀ·dy;  Rdb (+)= Σ_b Rdy[b,:]   (Rx −1: zero; = in the first chunk, += in the others)
struct AffineGradWeightsTangent {
  static constexpr const char* names = "x Rx dy Rdy RdW Rdb I O";
  size_t I, O;
  const float *x, *Rx, *dy, *Rdy;
  float *RdW, *Rdb;
  explicit AffineGradWeightsTangent(const Operands& in)
      : I(in.size("I")),
        O(in.size("O")),
        x(in.floats("x", in.capacity() * I)),
        Rx(in.optional("Rx", in.capacity() * I)),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        RdW(in.floats("RdW", I * O)),
        Rdb(in.optional("Rdb", O)) {}
  void run(Step& step) const {
    affineGradWeightsTangent(step.pool, step.B, I, O, x, Rx, dy, Rdy, RdW, Rdb, step.first > 0);
  }
};

// Rdx = Rdy·Wᵀ + dy·RWᵀ
struct AffineGradInputTangent {
  static constexpr const char* names = "dy Rdy W RW Rdx I O";
  size_t I, O;
  const float *dy, *Rdy, *W, *RW;
  float* Rdx;
  explicit AffineGradInputTangent(const Operands& in)
      : I(in.size("I")),
        O(in.size("O")),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        W(in.floats("W", I * O)),
        RW(in.floats("RW", I * O)),
        Rdx(in.floats("Rdx", in.capacity() * I)) {}
  void run(Step& step) const { affineGradInputTangent(step.pool, step.B, I, O, dy, Rdy, W, RW, Rdx); }
};

// ------------------------------------------------------------------------------------------------- the update

// Σ x² in at most kPartial partial sums, added in the order of the tiles whoever computed them.
double squares(Pool& pool, const float* x, size_t n) {
  constexpr size_t kPartial = 512;
  const size_t tile = kTile * (n / (kTile * kPartial) + 1);
  double partial[kPartial];
  pool.cut(n, tile,
           [&](size_t from, size_t count) { partial[from / tile] = transforms().sumOfSquares(x + from, count); });
  double total = 0;
  for (size_t from = 0; from < n; from += tile) total += partial[from / tile];
  return total;
}

// penalty += ½·lambda·Σw²;  dw += lambda·w   (dw −1: not wanted)
struct Penalty {
  static constexpr const char* names = "w dw n lambda";
  size_t n;
  const float* w;
  float* dw;
  double lambda;
  explicit Penalty(const Operands& in)
      : n(in.size("n")), w(in.floats("w", n)), dw(in.optional("dw", n)), lambda(in.number("lambda")) {}
  void run(Step& step) const {
    step.penalty += 0.5 * lambda * squares(step.pool, w, n);
    if (dw == nullptr) return;
    step.pool.cut(n, kTile, [&](size_t from, size_t count) {
      transforms().addScaled(w + from, static_cast<float>(lambda), dw + from, count);
    });
  }
};

// penalty += lambda·Σ|w|;  dw += lambda·sign(w), 0 at 0   (dw −1: not wanted)
struct PenaltyL1 {
  static constexpr const char* names = "w dw n lambda";
  size_t n;
  const float* w;
  float* dw;
  double lambda;
  explicit PenaltyL1(const Operands& in)
      : n(in.size("n")), w(in.floats("w", n)), dw(in.optional("dw", n)), lambda(in.number("lambda")) {}
  void run(Step& step) const {
    double total = 0;
    for (size_t i = 0; i < n; ++i) total += std::fabs(w[i]);
    step.penalty += lambda * total;
    if (dw == nullptr) return;
    const float by = static_cast<float>(lambda);
    step.pool.cut(n, kTile, [&](size_t from, size_t count) {
      for (size_t i = from; i < from + count; ++i) dw[i] += w[i] > 0 ? by : w[i] < 0 ? -by : w[i];  // NaN stays NaN
    });
  }
};

// gradientNorm = √Σg²;  end the slice before this update unless loss, penalty and norm are finite
struct Guard {
  static constexpr const char* names = "g n";
  size_t n;
  const float* g;
  explicit Guard(const Operands& in) : n(in.size("n")), g(in.floats("g", n)) {}
  void run(Step& step) const {
    step.gradientNorm = std::sqrt(squares(step.pool, g, n));
    step.isRefused = !std::isfinite(step.loss + step.penalty) || !std::isfinite(step.gradientNorm);
  }
};

// sums = Σg²/P, Σg·m/P, Σg·w/P, Σg·w;  P = v −1 ? 1 : √(u/(corrected ? 1−decay^k : 1) + initial) + ε,
// u = max(most, decay·v + share·(g + coupled·w)²)   (k = step + 1; w −1, m −1, most −1: 0)
struct Account {
  static constexpr const char* names = "w g m v most n coupled decay share corrected initial epsilon";
  size_t n;
  const float *w, *g, *m, *v, *most;
  double decay;
  AccountConstants c;
  bool corrected;
  explicit Account(const Operands& in)
      : n(in.size("n")),
        w(in.optional("w", n)),
        g(in.floats("g", n)),
        m(in.optional("m", n)),
        v(in.optional("v", n)),
        most(in.optional("most", n)),
        decay(in.number("decay")),
        c{static_cast<float>(in.number("coupled")), static_cast<float>(decay),
          static_cast<float>(in.number("share")),   1,
          static_cast<float>(in.number("initial")), static_cast<float>(in.number("epsilon"))},
        corrected(in.number("corrected") != 0) {}
  void run(Step& step) const {
    AccountConstants now = c;
    if (corrected) now.correct = static_cast<float>(1 / (1 - std::pow(decay, static_cast<double>(step.number) + 1)));
    constexpr size_t kPartial = 128;
    const size_t tile = kTile * (n / (kTile * kPartial) + 1);
    double partial[kPartial][kSums];
    step.pool.cut(n, tile, [&](size_t from, size_t count) {
      const auto at = [from](const float* x) { return x == nullptr ? nullptr : x + from; };
      transforms().account(at(w), at(g), at(m), at(v), at(most), count, now, partial[from / tile]);
    });
    for (size_t from = 0; from < n; from += tile) {
      for (size_t s = 0; s < kSums; ++s) step.sums[s] += partial[from / tile][s];
    }
    step.isAccounted = true;
  }
};

// X = g / (√Σg² + 1e-7), I × O; steps times X = 3.4445·X − 4.7750·(XXᵀ)X + 2.0315·(XXᵀ)²X;  g = scale·X
// (work: I·O + 2·min(I, O)² floats)
struct Orthogonalize {
  static constexpr const char* names = "g I O work steps scale";
  size_t I, O, k, steps;
  float *g, *product, *square, *fourth;
  float scale;
  explicit Orthogonalize(const Operands& in)
      : I(in.size("I")),
        O(in.size("O")),
        k(std::min(I, O)),
        steps(in.size("steps")),
        g(in.floats("g", I * O)),
        product(in.floats("work", I * O + 2 * k * k)),
        square(product + I * O),
        fourth(square + k * k),
        scale(static_cast<float>(in.number("scale"))) {}
  void run(Step& step) const {
    Pool& pool = step.pool;
    const auto eachOf = [&](size_t n, auto body) {
      pool.cut(n, kTile, [&](size_t from, size_t count) { body(from, count); });
    };
    const double norm = std::sqrt(squares(pool, g, I * O)) + 1e-7;
    scaleAll(pool, g, I * O, static_cast<float>(1 / norm));
    for (size_t i = 0; i < steps; ++i) {
      // On the shorter side: XXᵀ·X = X·XᵀX.
      if (I <= O) {
        affineGradInput(pool, I, I, O, g, g, square);
      } else {
        affineGradWeights(pool, I, O, O, g, g, square, nullptr, false);
      }
      affine(pool, k, k, k, square, square, nullptr, fourth);
      eachOf(k * k, [&](size_t from, size_t count) {
        transforms().average(fourth + from, square + from, count, -4.775f, 2.0315f);
      });
      if (I <= O) {
        affine(pool, I, I, O, square, g, nullptr, product);
      } else {
        affine(pool, I, O, O, g, square, nullptr, product);
      }
      eachOf(I * O,
             [&](size_t from, size_t count) { transforms().average(product + from, g + from, count, 3.4445f, 1); });
    }
    scaleAll(pool, g, I * O, scale);
  }
  static void scaleAll(Pool& pool, float* x, size_t n, float a) {
    pool.cut(n, kTile, [&](size_t from, size_t count) { transforms().scale(x + from, count, a); });
  }
};

// ------------------------------------------------------------------------------------------------- the table

// The operands of an instruction that is an Op, or null.
template <class Op>
Op* as(Instruction& instruction) {
  return instruction.run == runOp<Op> ? reinterpret_cast<Op*>(instruction.operands) : nullptr;
}

std::vector<OpRow> build() {
  std::vector<OpRow> all{
      row<Gather>("gather", Scope::chunk),
      row<GatherTargets>("gatherTargets", Scope::chunk, nullptr, true),
      row<Affine>("affine", Scope::chunk),
      row<AffineGradWeights>("affineGradWeights", Scope::chunk),
      row<AffineGradInput>("affineGradInput", Scope::chunk),
      row<Mask>("mask", Scope::chunk),
      row<AffineTangent>("affineTangent", Scope::chunk),
      row<AffineGradWeightsTangent>("affineGradWeightsTangent", Scope::chunk),
      row<AffineGradInputTangent>("affineGradInputTangent", Scope::chunk),
      row<Penalty>("penalty", Scope::step),
      row<PenaltyL1>("penaltyL1", Scope::step),
      row<Guard>("guard", Scope::step),
      row<Account>("account", Scope::step),
      row<ClipNorm>("clipNorm", Scope::step),
      row<ClipValue>("clipValue", Scope::step),
      row<CoupleDecay>("coupleDecay", Scope::step),
      row<Momentum>("momentum", Scope::step),
      row<ScaleByAdam>("scaleByAdam", Scope::step),
      row<ScaleByRms>("scaleByRms", Scope::step),
      row<ScaleByAdagrad>("scaleByAdagrad", Scope::step),
      row<ScaleByAmsgrad>("scaleByAmsgrad", Scope::step),
      row<ScaleByNadam>("scaleByNadam", Scope::step),
      row<SignOfMomentum>("signOfMomentum", Scope::step),
      row<Orthogonalize>("orthogonalize", Scope::step),
      row<Average>("average", Scope::step),
      row<DecayWeights>("decayWeights", Scope::step),
      row<Descend>("descend", Scope::step),
  };
  for (const Activation& f : activations()) {
    all.push_back(row<Activate>(std::string("activate.") + f.name, Scope::chunk, &f));
    all.push_back(row<ActivateGrad>(std::string("activateGrad.") + f.name, Scope::chunk, &f));
    all.push_back(row<ActivateGradTangent>(std::string("activateGradTangent.") + f.name, Scope::chunk, &f));
  }
  for (const Loss& l : losses()) {
    all.push_back(row<LossOf>(std::string("loss.") + l.name, Scope::chunk, &l));
    all.push_back(row<LossTangentOf>(std::string("lossTangent.") + l.name, Scope::chunk, &l));
  }
  addUnitOps(all);
  addColumnOps(all);
  return all;
}

}  // namespace

void runAll(std::vector<Instruction>& list, Step& step) {
  for (size_t i = 0; i < list.size() && !step.isRefused;) {
    if (list[i].run != nullptr) {
      list[i].run(list[i].operands, step);
      ++i;
      continue;
    }
    Instruction* const first = &list[i];
    size_t count = 0;
    while (i + count < list.size() && first[count].run == nullptr && first[count].n == first->n) ++count;
    for (size_t k = 0; k < count; ++k) first[k].begin(first[k].operands, step);
    step.pool.cut(first->n, kTile, [&](size_t from, size_t piece) {
      for (size_t k = 0; k < count; ++k) first[k].part(first[k].operands, from, piece);
    });
    i += count;
  }
}

bool fuse(Instruction& last, const Instruction& next) {
  Instruction copy = next;
  Affine* const product = as<Affine>(last);
  const Activate* const activate = as<Activate>(copy);
  if (product == nullptr || activate == nullptr || product->f != nullptr) return false;
  if (!activate->f.isElementwise() || activate->O != product->O) return false;
  if (activate->x != product->y || activate->y != product->y) return false;
  product->f = &activate->f;
  return true;
}

void leaveInPlace(std::vector<Instruction>& list, const std::vector<std::vector<Span>>& touched) {
  for (size_t i = 0; i < list.size(); ++i) {
    Gather* const gather = as<Gather>(list[i]);
    if (gather == nullptr) continue;
    const Span x = touched[i].front();
    const auto isIn = [x](const Span& other) { return other.at < x.at + x.count && x.at < other.at + other.count; };
    std::vector<Affine*> readers;
    for (size_t j = 0; j < list.size(); ++j) {
      const auto uses = std::count_if(touched[j].begin(), touched[j].end(), isIn);
      if (j == i || uses == 0) continue;
      Affine* const reader = as<Affine>(list[j]);
      if (reader == nullptr || uses > 1 || reader->x != x.at || reader->I != gather->I) return;
      readers.push_back(reader);
    }
    for (Affine* const reader : readers) reader->readsBatch = true;
    gather->mayStay = !readers.empty();
  }
}

void foresee(std::vector<Instruction>& chunk, const std::vector<Instruction>& step) {
  for (Instruction& each : chunk) {
    AffineGradWeights* const product = as<AffineGradWeights>(each);
    if (product == nullptr) continue;
    for (const Instruction& pass : step) {
      const bool isIts = pass.g != nullptr && product->dW >= pass.g && product->dW < pass.g + pass.n;
      if (isIts) product->W = pass.w + (product->dW - pass.g);
    }
  }
}

const std::vector<OpRow>& ops() {
  static const auto& all = *new std::vector<OpRow>(build());  // never destroyed: threads may outlive it
  return all;
}

const OpRow* findOp(const std::string& key) {
  for (const OpRow& row : ops()) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

}  // namespace downhill
