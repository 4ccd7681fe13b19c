// Operations that move columns about: sums of two branches, columns that pass through, rows of tables. Twins of
// lib/backends/columns.ts, which says what each means.
#include <cmath>
#include <cstring>

#include "op_row.h"

namespace downhill {
namespace {

// y = x + z   (z −1: zero; y may be x)
struct Add {
  static constexpr const char* names = "x z y O";
  size_t O;
  const float *x, *z;
  float* y;
  explicit Add(const Operands& in)
      : O(in.size("O")),
        x(in.floats("x", in.capacity() * O)),
        z(in.optional("z", in.capacity() * O)),
        y(in.floats("y", in.capacity() * O)) {}
  void run(Step& step) const {
    step.pool.cut(step.B * O, kTile, [this](size_t from, size_t count) {
      if (z == nullptr) {
        std::memmove(y + from, x + from, count * sizeof(float));
        return;
      }
      for (size_t i = from; i < from + count; ++i) y[i] = x[i] + z[i];
    });
  }
};

// A column of rows of I, and where it goes in rows of O.
struct Way {
  size_t I, O, column, to;
  // `width` columns are written.
  Way(const Operands& in, size_t width)
      : I(in.size("I")),
        O(in.size("O")),
        column(in.below("column", I)),
        to(in.below("to", O < width ? 0 : O - width + 1)) {}
};

// y[b,to] = x[b,column]   (x −1: zero)
struct CopyColumn {
  static constexpr const char* names = "x y I O column to";
  Way way;
  const float* x;
  float* y;
  explicit CopyColumn(const Operands& in)
      : way(in, 1), x(in.optional("x", in.capacity() * way.I)), y(in.floats("y", in.capacity() * way.O)) {}
  void run(Step& step) const {
    for (size_t b = 0; b < step.B; ++b) y[b * way.O + way.to] = x == nullptr ? 0 : x[b * way.I + way.column];
  }
};

// A table of `size` rows of D, by the indices that a column holds.
struct Table {
  Way way;
  size_t size, D;
  const float* x;
  explicit Table(const Operands& in)
      : way(in, in.size("D")), size(in.size("size")), D(in.size("D")), x(in.floats("x", in.capacity() * way.I)) {}
  // The row of the table for row b; the first where x holds no index, which data are checked not to.
  size_t row(size_t b) const {
    const float value = x[b * way.I + way.column];
    return value >= 0 && value < static_cast<float>(size) ? static_cast<size_t>(value) : 0;
  }
};

// y[b, to … to + D) = W[x[b,column],:]
struct Embed {
  static constexpr const char* names = "x W y I O column to size D";
  Table table;
  const float* W;
  float* y;
  explicit Embed(const Operands& in)
      : table(in), W(in.floats("W", table.size * table.D)), y(in.floats("y", in.capacity() * table.way.O)) {}
  void run(Step& step) const {
    step.pool.cut(step.B, rowsOf(table.D), [this](size_t from, size_t count) {
      for (size_t b = from; b < from + count; ++b) {
        std::memcpy(y + b * table.way.O + table.way.to, W + table.row(b) * table.D, table.D * sizeof(float));
      }
    });
  }
};

// dW[x[b,column],:] (+)= dy[b, to … to + D), for each b. A tile is a part of the table's columns, and goes through the
// rows in their order.
struct EmbedGrad {
  static constexpr const char* names = "x dy dW I O column to size D";
  static constexpr size_t kColumns = 16;
  Table table;
  const float* dy;
  float* dW;
  explicit EmbedGrad(const Operands& in)
      : table(in), dy(in.floats("dy", in.capacity() * table.way.O)), dW(in.floats("dW", table.size * table.D)) {}
  void run(Step& step) const {
    const size_t D = table.D;
    step.pool.cut(D, kColumns, [&](size_t from, size_t count) {
      if (step.first == 0) {
        for (size_t k = 0; k < table.size; ++k) std::memset(dW + k * D + from, 0, count * sizeof(float));
      }
      for (size_t b = 0; b < step.B; ++b) {
        float* const to = dW + table.row(b) * D + from;
        const float* const d = dy + b * table.way.O + table.way.to + from;
        for (size_t j = 0; j < count; ++j) to[j] += d[j];
      }
    });
  }
};

}  // namespace

void addColumnOps(std::vector<OpRow>& all) {
  all.push_back(row<Add>("add", Scope::chunk));
  all.push_back(row<CopyColumn>("copyColumn", Scope::chunk));
  all.push_back(row<Embed>("embed", Scope::chunk));
  all.push_back(row<EmbedGrad>("embedGrad", Scope::chunk));
}

}  // namespace downhill
