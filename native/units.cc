// Operations of layers that work unit by unit: gains and shifts, normalisation, slopes. Twins of
// lib/backends/units.ts, which says what each means.
//
// Everything is computed in double and rounded once, where it is stored. Sums run over a fixed grid: down a block of
// columns, or along a row in eight lanes.
#include <cmath>
#include <limits>

#include "op_row.h"

namespace downhill {
namespace {

// ------------------------------------------------------------------------------------------------- loops

// Columns that are summed side by side: eight cache lines of them.
constexpr size_t kColumns = 128;

// fn(i, o) for each number of B rows of O.
template <class F>
void eachUnit(Pool& pool, size_t B, size_t O, F&& fn) {
  pool.cut(B, rowsOf(O), [&](size_t from, size_t count) {
    for (size_t b = from; b < from + count; ++b) {
      for (size_t o = 0; o < O; ++o) fn(b * O + o, o);
    }
  });
}

// to[o] (+)= Σ_b term(b·O + o)
template <class F>
void sumOverRows(Pool& pool, float* to, size_t B, size_t O, bool accumulate, F&& term) {
  pool.cut(O, kColumns, [&](size_t from, size_t count) {
    double sums[kColumns] = {};
    for (size_t b = 0; b < B; ++b) {
      for (size_t j = 0; j < count; ++j) sums[j] += term(b * O + from + j);
    }
    for (size_t j = 0; j < count; ++j) {
      const double before = accumulate ? static_cast<double>(to[from + j]) : 0;
      to[from + j] = static_cast<float>(before + sums[j]);
    }
  });
}

// A number for each column of a block.
using Columns = double[kColumns];

// fn(i, j) for column j of a block, row after row.
template <class F>
void eachDown(size_t B, size_t O, size_t from, size_t count, F&& fn) {
  for (size_t b = 0; b < B; ++b) {
    for (size_t j = 0; j < count; ++j) fn(b * O + from + j, j);
  }
}

// to[j] = Σ_b term(i, j)/B, from 0
template <class F>
void meansDown(Columns& to, size_t B, size_t O, size_t from, size_t count, F&& term) {
  eachDown(B, O, from, count, [&](size_t i, size_t j) { to[j] += term(i, j); });
  for (size_t j = 0; j < count; ++j) to[j] /= static_cast<double>(B);
}

// Σ term(i) for i in [from, from + n)
template <class F>
double sumAlong(size_t from, size_t n, F&& term) {
  constexpr size_t kLanes = 8;
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(from + i + lane);
  }
  for (; i < n; ++i) lanes[i % kLanes] += term(from + i);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

double at(const float* x, size_t i) { return static_cast<double>(x[i]); }
double orZero(const float* x, size_t i) { return x == nullptr ? 0 : at(x, i); }

// ------------------------------------------------------------------------------------------------- gains and shifts

// y = g ⊙ x + b
struct Scale {
  static constexpr const char* names = "x g b y O";
  size_t O;
  const float *x, *g, *b;
  float* y;
  explicit Scale(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        g(in.floats("g", O)),
        b(in.floats("b", O)),
        y(in.floats("y", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O,
             [this](size_t i, size_t o) { y[i] = static_cast<float>(at(g, o) * at(x, i) + at(b, o)); });
  }
};

// dg (+)= Σ_b dy ⊙ x;  db (+)= Σ_b dy
struct ScaleGrad {
  static constexpr const char* names = "x dy dg db O";
  size_t O;
  const float *x, *dy;
  float *dg, *db;
  explicit ScaleGrad(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        dg(in.floats("dg", O)),
        db(in.floats("db", O)) {}
  void run(Step& step) const {
    const bool accumulate = step.first > 0;
    sumOverRows(step.pool, dg, step.B, O, accumulate, [this](size_t i) { return at(dy, i) * at(x, i); });
    sumOverRows(step.pool, db, step.B, O, accumulate, [this](size_t i) { return at(dy, i); });
  }
};

// dx = g ⊙ dy   (dx may be dy)
struct ScaleGradInput {
  static constexpr const char* names = "dy g dx O";
  size_t O;
  const float *dy, *g;
  float* dx;
  explicit ScaleGradInput(const Operands& in)
      : O(in.size("O")),
        dy(in.floats("dy", in.capacity() * O)),
        g(in.floats("g", O)),
        dx(in.floats("dx", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O, [this](size_t i, size_t o) { dx[i] = static_cast<float>(at(g, o) * at(dy, i)); });
  }
};

// Ry = g ⊙ Rx + Rg ⊙ x + Rb   (Rx −1: zero)
struct ScaleTangent {
  static constexpr const char* names = "x Rx g Rg Rb Ry O";
  size_t O;
  const float *x, *Rx, *g, *Rg, *Rb;
  float* Ry;
  explicit ScaleTangent(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        Rx(in.optional("Rx", in.capacity() * O)),
        g(in.floats("g", O)),
        Rg(in.floats("Rg", O)),
        Rb(in.floats("Rb", O)),
        Ry(in.floats("Ry", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O, [this](size_t i, size_t o) {
      Ry[i] = static_cast<float>(at(g, o) * orZero(Rx, i) + at(Rg, o) * at(x, i) + at(Rb, o));
    });
  }
};

// Rdg (+)= Σ_b (Rdy ⊙ x + dy ⊙ Rx);  Rdb (+)= Σ_b Rdy   (Rx −1: zero)
struct ScaleGradTangent {
  static constexpr const char* names = "x Rx dy Rdy Rdg Rdb O";
  size_t O;
  const float *x, *Rx, *dy, *Rdy;
  float *Rdg, *Rdb;
  explicit ScaleGradTangent(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        Rx(in.optional("Rx", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        Rdg(in.floats("Rdg", O)),
        Rdb(in.floats("Rdb", O)) {}
  void run(Step& step) const {
    const bool accumulate = step.first > 0;
    sumOverRows(step.pool, Rdg, step.B, O, accumulate,
                [this](size_t i) { return at(Rdy, i) * at(x, i) + at(dy, i) * orZero(Rx, i); });
    sumOverRows(step.pool, Rdb, step.B, O, accumulate, [this](size_t i) { return at(Rdy, i); });
  }
};

// Rdx = g ⊙ Rdy + Rg ⊙ dy   (Rdx may be Rdy)
struct ScaleGradInputTangent {
  static constexpr const char* names = "dy Rdy g Rg Rdx O";
  size_t O;
  const float *dy, *Rdy, *g, *Rg;
  float* Rdx;
  explicit ScaleGradInputTangent(const Operands& in)
      : O(in.size("O")),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        g(in.floats("g", O)),
        Rg(in.floats("Rg", O)),
        Rdx(in.floats("Rdx", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O, [this](size_t i, size_t o) {
      Rdx[i] = static_cast<float>(at(g, o) * at(Rdy, i) + at(Rg, o) * at(dy, i));
    });
  }
};

// ------------------------------------------------------------------------------------------------- normalisation

// s[b] = 1/√(var x[b,:] + ε);  y[b,:] = s[b]·(x[b,:] − mean x[b,:])
struct NormalizeRows {
  static constexpr const char* names = "x y s O epsilon";
  size_t O;
  const float* x;
  float *y, *s;
  double epsilon;
  explicit NormalizeRows(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        y(in.floats("y", in.capacity() * O)),
        s(in.floats("s", in.capacity())),
        epsilon(in.number("epsilon")) {}
  void run(Step& step) const {
    step.pool.cut(step.B, rowsOf(O), [this](size_t first, size_t count) {
      for (size_t b = first; b < first + count; ++b) normalize(b);
    });
  }
  void normalize(size_t b) const {
    const size_t from = b * O;
    const auto n = static_cast<double>(O);
    const double mean = sumAlong(from, O, [this](size_t i) { return at(x, i); }) / n;
    const double variance = sumAlong(from, O, [&](size_t i) { return (at(x, i) - mean) * (at(x, i) - mean); }) / n;
    const double scale = 1 / std::sqrt(variance + epsilon);
    for (size_t i = from; i < from + O; ++i) y[i] = static_cast<float>(scale * (at(x, i) - mean));
    s[b] = static_cast<float>(scale);
  }
};

// dx = s·(dy − mean dy − y·mean(dy ⊙ y)), means over each row   (dx may be dy)
struct NormalizeRowsGrad {
  static constexpr const char* names = "y s dy dx O";
  size_t O;
  const float *y, *s, *dy;
  float* dx;
  explicit NormalizeRowsGrad(const Operands& in)
      : O(in.size("O")),
        y(in.floats("y", in.capacity() * O)),
        s(in.floats("s", in.capacity())),
        dy(in.floats("dy", in.capacity() * O)),
        dx(in.floats("dx", in.capacity() * O)) {}
  void run(Step& step) const {
    step.pool.cut(step.B, rowsOf(O), [this](size_t first, size_t count) {
      for (size_t b = first; b < first + count; ++b) back(b);
    });
  }
  void back(size_t b) const {
    const size_t from = b * O;
    const auto n = static_cast<double>(O);
    const double scale = at(s, b);
    const double mean = sumAlong(from, O, [this](size_t i) { return at(dy, i); }) / n;
    const double along = sumAlong(from, O, [this](size_t i) { return at(dy, i) * at(y, i); }) / n;
    for (size_t i = from; i < from + O; ++i) {
      dx[i] = static_cast<float>(scale * (at(dy, i) - mean - at(y, i) * along));
    }
  }
};

// Rdx = J·Rdy + RJ·dy with J·v = s·(v − mean v − y·mean(v ⊙ y)), over each row   (Rdx may be Rdy)
struct NormalizeRowsGradTangent {
  static constexpr const char* names = "y s Rx dy Rdy Rdx O";
  size_t O;
  const float *y, *s, *Rx, *dy, *Rdy;
  float* Rdx;
  explicit NormalizeRowsGradTangent(const Operands& in)
      : O(in.size("O")),
        y(in.floats("y", in.capacity() * O)),
        s(in.floats("s", in.capacity())),
        Rx(in.floats("Rx", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        Rdx(in.floats("Rdx", in.capacity() * O)) {}
  void run(Step& step) const {
    step.pool.cut(step.B, rowsOf(O), [this](size_t first, size_t count) {
      for (size_t b = first; b < first + count; ++b) turn(b);
    });
  }
  // With c = mean(Rx ⊙ y): Rs = −s²·c and Ry = s·(Rx − mean Rx − y·c), and J has its s, its y twice.
  void turn(size_t b) const {
    const size_t from = b * O;
    const auto mean = [&](auto&& term) { return sumAlong(from, O, term) / static_cast<double>(O); };
    const double scale = at(s, b);
    const double meanRx = mean([this](size_t i) { return at(Rx, i); });
    const double c = mean([this](size_t i) { return at(Rx, i) * at(y, i); });
    const double meanDy = mean([this](size_t i) { return at(dy, i); });
    const double along = mean([this](size_t i) { return at(dy, i) * at(y, i); });
    const auto Ry = [&](size_t i) { return scale * (at(Rx, i) - meanRx - at(y, i) * c); };
    const double meanRdy = mean([this](size_t i) { return at(Rdy, i); });
    const double turned = mean([&](size_t i) { return at(Rdy, i) * at(y, i) + at(dy, i) * Ry(i); });
    for (size_t i = from; i < from + O; ++i) {
      const double straight = at(Rdy, i) - meanRdy - at(y, i) * turned - Ry(i) * along;
      Rdx[i] = static_cast<float>(scale * (straight - scale * c * (at(dy, i) - meanDy - at(y, i) * along)));
    }
  }
};

// mean = Σ_b x/B;  s = 1/√(Σ_b (x − mean)²/B + ε);  y = s·(x − mean);  variance = Σ_b (x − mean)²/(B − 1)
// (B = 1: mean and variance are the old ones, s = 1/√(variance + ε))
struct NormalizeColumns {
  static constexpr const char* names = "x y s mean variance oldMean oldVariance O epsilon";
  size_t O;
  const float* x;
  float *y, *s, *mean, *variance;
  const float *oldMean, *oldVariance;
  double epsilon;
  explicit NormalizeColumns(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        y(in.floats("y", in.capacity() * O)),
        s(in.floats("s", O)),
        mean(in.floats("mean", O)),
        variance(in.floats("variance", O)),
        oldMean(in.floats("oldMean", O)),
        oldVariance(in.floats("oldVariance", O)),
        epsilon(in.number("epsilon")) {}
  void run(Step& step) const {
    const size_t B = step.B;
    step.pool.cut(O, kColumns, [&](size_t from, size_t count) {
      Columns means{}, variances{}, scales{};
      if (B == 1) {
        for (size_t j = 0; j < count; ++j) means[j] = at(oldMean, from + j);
        for (size_t j = 0; j < count; ++j) variances[j] = at(oldVariance, from + j);
      } else {
        meansDown(means, B, O, from, count, [&](size_t i, size_t) { return at(x, i); });
        meansDown(variances, B, O, from, count,
                  [&](size_t i, size_t j) { return (at(x, i) - means[j]) * (at(x, i) - means[j]); });
      }
      const double free = static_cast<double>(B) / static_cast<double>(B == 1 ? 1 : B - 1);
      for (size_t j = 0; j < count; ++j) {
        scales[j] = 1 / std::sqrt(variances[j] + epsilon);
        s[from + j] = static_cast<float>(scales[j]);
        mean[from + j] = static_cast<float>(means[j]);
        variance[from + j] = static_cast<float>(variances[j] * free);
      }
      eachDown(B, O, from, count,
               [&](size_t i, size_t j) { y[i] = static_cast<float>(scales[j] * (at(x, i) - means[j])); });
    });
  }
};

// dx = s·(dy − mean dy − y·mean(dy ⊙ y)), means down each column   (B = 1: dx = s·dy; dx may be dy)
struct NormalizeColumnsGrad {
  static constexpr const char* names = "y s dy dx O";
  size_t O;
  const float *y, *s, *dy;
  float* dx;
  explicit NormalizeColumnsGrad(const Operands& in)
      : O(in.size("O")),
        y(in.floats("y", in.capacity() * O)),
        s(in.floats("s", O)),
        dy(in.floats("dy", in.capacity() * O)),
        dx(in.floats("dx", in.capacity() * O)) {}
  void run(Step& step) const {
    const size_t B = step.B;
    step.pool.cut(O, kColumns, [&](size_t from, size_t count) {
      Columns means{}, along{};
      if (B > 1) {
        meansDown(means, B, O, from, count, [&](size_t i, size_t) { return at(dy, i); });
        meansDown(along, B, O, from, count, [&](size_t i, size_t) { return at(dy, i) * at(y, i); });
      }
      eachDown(B, O, from, count, [&](size_t i, size_t j) {
        dx[i] = static_cast<float>(at(s, from + j) * (at(dy, i) - means[j] - at(y, i) * along[j]));
      });
    });
  }
};

// Rdx = J·Rdy + RJ·dy, J as in normalizeRowsGradTangent, down each column   (Rdx may be Rdy)
struct NormalizeColumnsGradTangent {
  static constexpr const char* names = "y s Rx dy Rdy Rdx O";
  size_t O;
  const float *y, *s, *Rx, *dy, *Rdy;
  float* Rdx;
  explicit NormalizeColumnsGradTangent(const Operands& in)
      : O(in.size("O")),
        y(in.floats("y", in.capacity() * O)),
        s(in.floats("s", O)),
        Rx(in.floats("Rx", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        Rdx(in.floats("Rdx", in.capacity() * O)) {}
  void run(Step& step) const {
    step.pool.cut(O, kColumns, [&](size_t from, size_t count) {
      if (step.B > 1) return turn(step.B, from, count);
      for (size_t o = from; o < from + count; ++o) Rdx[o] = static_cast<float>(at(s, o) * at(Rdy, o));
    });
  }
  void turn(size_t B, size_t from, size_t count) const {
    const auto mean = [&](Columns& to, auto&& term) { meansDown(to, B, O, from, count, term); };
    Columns meanRx{}, c{}, meanDy{}, along{}, meanRdy{}, turned{};
    mean(meanRx, [this](size_t i, size_t) { return at(Rx, i); });
    mean(c, [this](size_t i, size_t) { return at(Rx, i) * at(y, i); });
    mean(meanDy, [this](size_t i, size_t) { return at(dy, i); });
    mean(along, [this](size_t i, size_t) { return at(dy, i) * at(y, i); });
    mean(meanRdy, [this](size_t i, size_t) { return at(Rdy, i); });
    const auto Ry = [&](size_t i, size_t j) { return at(s, from + j) * (at(Rx, i) - meanRx[j] - at(y, i) * c[j]); };
    mean(turned, [&](size_t i, size_t j) { return at(Rdy, i) * at(y, i) + at(dy, i) * Ry(i, j); });
    eachDown(B, O, from, count, [&](size_t i, size_t j) {
      const double scale = at(s, from + j);
      const double straight = at(Rdy, i) - meanRdy[j] - at(y, i) * turned[j] - Ry(i, j) * along[j];
      Rdx[i] = static_cast<float>(scale * (straight - scale * c[j] * (at(dy, i) - meanDy[j] - at(y, i) * along[j])));
    });
  }
};

// y = (x − mean)/√(variance + ε), of each unit
struct NormalizeBy {
  static constexpr const char* names = "x mean variance y O epsilon";
  size_t O;
  const float *x, *mean, *variance;
  float* y;
  double epsilon;
  explicit NormalizeBy(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        mean(in.floats("mean", O)),
        variance(in.floats("variance", O)),
        y(in.floats("y", in.capacity() * O)),
        epsilon(in.number("epsilon")) {}
  void run(Step& step) const {
    step.pool.cut(O, kColumns, [&](size_t from, size_t count) {
      Columns scales{};
      for (size_t j = 0; j < count; ++j) scales[j] = 1 / std::sqrt(at(variance, from + j) + epsilon);
      eachDown(step.B, O, from, count,
               [&](size_t i, size_t j) { y[i] = static_cast<float>(scales[j] * (at(x, i) - at(mean, from + j))); });
    });
  }
};

// dx = dy/√(variance + ε)   (dx may be dy)
struct NormalizeByGrad {
  static constexpr const char* names = "dy variance dx O epsilon";
  size_t O;
  const float *dy, *variance;
  float* dx;
  double epsilon;
  explicit NormalizeByGrad(const Operands& in)
      : O(in.size("O")),
        dy(in.floats("dy", in.capacity() * O)),
        variance(in.floats("variance", O)),
        dx(in.floats("dx", in.capacity() * O)),
        epsilon(in.number("epsilon")) {}
  void run(Step& step) const {
    step.pool.cut(O, kColumns, [&](size_t from, size_t count) {
      Columns scales{};
      for (size_t j = 0; j < count; ++j) scales[j] = 1 / std::sqrt(at(variance, from + j) + epsilon);
      eachDown(step.B, O, from, count, [&](size_t i, size_t j) { dx[i] = static_cast<float>(scales[j] * at(dy, i)); });
    });
  }
};

// to += rate·(x − to), at most ±the largest float
struct Track {
  static constexpr const char* names = "x to n rate";
  size_t n;
  const float* x;
  float* to;
  double rate;
  explicit Track(const Operands& in)
      : n(in.size("n")), x(in.floats("x", n)), to(in.floats("to", n)), rate(in.number("rate")) {}
  void begin(const Step&) {}
  void part(size_t from, size_t count) const {
    constexpr double kLargest = std::numeric_limits<float>::max();
    for (size_t i = from; i < from + count; ++i) {
      const double moved = at(to, i) + rate * (at(x, i) - at(to, i));
      to[i] = static_cast<float>(moved > kLargest ? kLargest : moved < -kLargest ? -kLargest : moved);
    }
  }
};

// ------------------------------------------------------------------------------------------------- slopes

// The operand A: 1, or as many as units.
size_t slopesOf(const Operands& in) {
  return in.number("A") == 1 ? 1 : std::max<size_t>(1, in.size("A", in.size("O")));
}

// y = x > 0 ? x : a·x   (a: one number a unit, A = O; or one for all, A = 1)
struct Prelu {
  static constexpr const char* names = "x a y O A";
  size_t O, A;
  const float *x, *a;
  float* y;
  explicit Prelu(const Operands& in)
      : O(in.size("O")),
        A(slopesOf(in)),
        x(in.floats("x", in.capacity() * O)),
        a(in.floats("a", A)),
        y(in.floats("y", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O, [this](size_t i, size_t o) { y[i] = x[i] > 0 ? x[i] : a[A == 1 ? 0 : o] * x[i]; });
  }
};

// dx = x > 0 ? dy : a·dy   (dx may be dy)
struct PreluGrad {
  static constexpr const char* names = "x a dy dx O A";
  size_t O, A;
  const float *x, *a, *dy;
  float* dx;
  explicit PreluGrad(const Operands& in)
      : O(in.size("O")),
        A(slopesOf(in)),
        x(in.floats("x", in.capacity() * O)),
        a(in.floats("a", A)),
        dy(in.floats("dy", in.capacity() * O)),
        dx(in.floats("dx", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O,
             [this](size_t i, size_t o) { dx[i] = x[i] > 0 ? dy[i] : a[A == 1 ? 0 : o] * dy[i]; });
  }
};

// da (+)= Σ_b (x > 0 ? 0 : x·dy)
struct PreluGradSlope {
  static constexpr const char* names = "x dy da O A";
  size_t O, A;
  const float *x, *dy;
  float* da;
  explicit PreluGradSlope(const Operands& in)
      : O(in.size("O")),
        A(slopesOf(in)),
        x(in.floats("x", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        da(in.floats("da", A)) {}
  void run(Step& step) const {
    sumOverRows(step.pool, da, step.B * O / A, A, step.first > 0,
                [this](size_t i) { return x[i] > 0 ? 0 : at(x, i) * at(dy, i); });
  }
};

// Ry = x > 0 ? Rx : a·Rx + Ra·x   (Rx −1: zero)
struct PreluTangent {
  static constexpr const char* names = "x Rx a Ra Ry O A";
  size_t O, A;
  const float *x, *Rx, *a, *Ra;
  float* Ry;
  explicit PreluTangent(const Operands& in)
      : O(in.size("O")),
        A(slopesOf(in)),
        x(in.floats("x", in.capacity() * O)),
        Rx(in.optional("Rx", in.capacity() * O)),
        a(in.floats("a", A)),
        Ra(in.floats("Ra", A)),
        Ry(in.floats("Ry", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O, [this](size_t i, size_t o) {
      const double turned = orZero(Rx, i);
      const size_t k = A == 1 ? 0 : o;
      Ry[i] = static_cast<float>(x[i] > 0 ? turned : at(a, k) * turned + at(Ra, k) * at(x, i));
    });
  }
};

// Rdx = x > 0 ? Rdy : a·Rdy + Ra·dy   (Rdx may be Rdy)
struct PreluGradTangent {
  static constexpr const char* names = "x a Ra dy Rdy Rdx O A";
  size_t O, A;
  const float *x, *a, *Ra, *dy, *Rdy;
  float* Rdx;
  explicit PreluGradTangent(const Operands& in)
      : O(in.size("O")),
        A(slopesOf(in)),
        x(in.floats("x", in.capacity() * O)),
        a(in.floats("a", A)),
        Ra(in.floats("Ra", A)),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        Rdx(in.floats("Rdx", in.capacity() * O)) {}
  void run(Step& step) const {
    eachUnit(step.pool, step.B, O, [this](size_t i, size_t o) {
      const double straight = at(Rdy, i);
      const size_t k = A == 1 ? 0 : o;
      Rdx[i] = static_cast<float>(x[i] > 0 ? straight : at(a, k) * straight + at(Ra, k) * at(dy, i));
    });
  }
};

// Rda (+)= Σ_b (x > 0 ? 0 : x·Rdy + Rx·dy)   (Rx −1: zero)
struct PreluGradSlopeTangent {
  static constexpr const char* names = "x Rx dy Rdy Rda O A";
  size_t O, A;
  const float *x, *Rx, *dy, *Rdy;
  float* Rda;
  explicit PreluGradSlopeTangent(const Operands& in)
      : O(in.size("O")),
        A(slopesOf(in)),
        x(in.floats("x", in.capacity() * O)),
        Rx(in.optional("Rx", in.capacity() * O)),
        dy(in.floats("dy", in.capacity() * O)),
        Rdy(in.floats("Rdy", in.capacity() * O)),
        Rda(in.floats("Rda", A)) {}
  void run(Step& step) const {
    sumOverRows(step.pool, Rda, step.B * O / A, A, step.first > 0,
                [this](size_t i) { return x[i] > 0 ? 0 : at(x, i) * at(Rdy, i) + orZero(Rx, i) * at(dy, i); });
  }
};

}  // namespace

void addUnitOps(std::vector<OpRow>& all) {
  const auto add = [&all](OpRow row) { all.push_back(std::move(row)); };
  add(row<Scale>("scale", Scope::chunk));
  add(row<ScaleGrad>("scaleGrad", Scope::chunk));
  add(row<ScaleGradInput>("scaleGradInput", Scope::chunk));
  add(row<ScaleTangent>("scaleTangent", Scope::chunk));
  add(row<ScaleGradTangent>("scaleGradTangent", Scope::chunk));
  add(row<ScaleGradInputTangent>("scaleGradInputTangent", Scope::chunk));
  add(row<NormalizeRows>("normalizeRows", Scope::chunk));
  add(row<NormalizeRowsGrad>("normalizeRowsGrad", Scope::chunk));
  add(row<NormalizeRowsGradTangent>("normalizeRowsGradTangent", Scope::chunk));
  add(row<NormalizeColumns>("normalizeColumns", Scope::chunk));
  add(row<NormalizeColumnsGrad>("normalizeColumnsGrad", Scope::chunk));
  add(row<NormalizeColumnsGradTangent>("normalizeColumnsGradTangent", Scope::chunk));
  add(row<NormalizeBy>("normalizeBy", Scope::chunk));
  add(row<NormalizeByGrad>("normalizeByGrad", Scope::chunk));
  add(row<Track>("track", Scope::step));
  add(row<Prelu>("prelu", Scope::chunk));
  add(row<PreluGrad>("preluGrad", Scope::chunk));
  add(row<PreluGradSlope>("preluGradSlope", Scope::chunk));
  add(row<PreluTangent>("preluTangent", Scope::chunk));
  add(row<PreluGradTangent>("preluGradTangent", Scope::chunk));
  add(row<PreluGradSlopeTangent>("preluGradSlopeTangent", Scope::chunk));
}

}  // namespace downhill
