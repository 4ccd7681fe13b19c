// The product of one set of kernels: tiles in registers, panels of columns, and the layer with one output.
//
// Written over the vector type of simd.h and included by kernel_set.h alone. A tile holds R rows × V vectors of c in
// registers and walks down k, reading a and b where they lie: weights of small layers stand in the L2 cache, from which
// a walk down a panel runs as fast as from a packed copy. Packed is what must be turned, or lies badly.

namespace downhill {
namespace DOWNHILL_SET {

// Rows of the tallest tile of V vectors, such that accumulators, a row of b and a factor fit the registers. One row
// (a prediction) gets wide tiles, to have as many independent sums as the latency of a step asks for.
#if DOWNHILL_WIDTH == 16  // 32 registers
constexpr int kRows[] = {0, 14, 12, 8, 6, 0, 0, 0, 3};
constexpr size_t kPanel = 4;  // vectors in a panel of columns, where there are many rows
#else                         // 16 registers
constexpr int kRows[] = {0, 10, 6, 4, 3, 0, 0, 0, 1};
constexpr size_t kPanel = 2;
#endif
constexpr size_t kWidePanel = 8;
constexpr int kMostRows = 14;

// Steps of k between a load and a store of c, at most (kDepth; kSmallDepth where b fits the L2 cache whole). A panel of
// b for so many stays in L2 while the rows pass by, or in half of L1 where panels are narrow enough for that.
// kBlockFloats: b packed at a time. Where a is packed too, a wide block saves packing it again.
// kPackFrom: rows from which packing b pays, where its rows collide. kPackAllFrom: rows, columns and steps from which
// it pays in any case, and packing a if transposed: narrow panels, where they lie, are read across lines and pages.
#if DOWNHILL_WIDTH == 16
constexpr size_t kDepth = 512, kSmallDepth = 1024, kPackFrom = 128, kPackAllFrom = 0, kBlockFloats = 131072;
constexpr bool kPacksLeft = false;
constexpr size_t kTurnCost = 6;  // of turning sixteen floats, in steps of a vector
#elif DOWNHILL_WIDTH == 8
constexpr size_t kDepth = 256, kSmallDepth = 256, kPackFrom = 16, kPackAllFrom = 64, kBlockFloats = kPackedFloats;
constexpr bool kPacksLeft = true;
constexpr size_t kTurnCost = 10;
#else
constexpr size_t kDepth = 512, kSmallDepth = 1024, kPackFrom = 16, kPackAllFrom = 64, kBlockFloats = kPackedFloats;
constexpr bool kPacksLeft = true;
constexpr size_t kTurnCost = 10;
#endif
constexpr size_t kSmallB = 131072;
// Columns from which packing a pays that is not transposed: it is turned on the way.
constexpr size_t kPackLeftFrom = 1024;
// Packed panels that are walked down side by side. A tile begins with loading its c, and where rows lie a multiple of
// a page apart, the CPU takes what it has just stored to the tile above for the same address, and waits (7 % of a
// product by depths of 256). So the next tile is the one to the right.
constexpr size_t kAbreast = 4;
constexpr size_t kShort = 32, kShortFrom = 256, kShortRows = 12;

struct Tile {
  size_t k;
  const float* a;
  size_t lda;
  const float* b;
  size_t ldb;
  float* c;
  size_t ldc;
  const float* start;
  size_t ldstart;
  size_t lastLanes;  // columns in the last vector
};

template <int R, int V, bool ATransposed, bool Part>
void tile(const Tile& t) {
  const Lanes part = firstLanes(t.lastLanes);
  Vec c[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < V; ++j) {
      if (t.start == nullptr) {
        c[i][j] = Vec{};
      } else {
        const float* const from = t.start + i * t.ldstart + j * W;
        c[i][j] = Part && j == V - 1 ? load(from, part) : load(from);
      }
    }

  const float* a = t.a;
  const float* b = t.b;
  const size_t lda = t.lda, ldb = t.ldb;
  for (size_t l = t.k; l > 0; --l) {
    Vec row[V];
#pragma GCC unroll 8
    for (int j = 0; j < V; ++j) row[j] = Part && j == V - 1 ? load(b + j * W, part) : load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec factor = all(ATransposed ? a[i] : a[i * lda]);
#pragma GCC unroll 8
      for (int j = 0; j < V; ++j) c[i][j] = fma(factor, row[j], c[i][j]);
    }
    a += ATransposed ? lda : 1;
    b += ldb;
  }

#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < V; ++j) {
      float* const to = t.c + i * t.ldc + j * W;
      if (Part && j == V - 1) {
        store(to, c[i][j], part);
      } else {
        store(to, c[i][j]);
      }
    }
}

// All tiles, by layout of a, whether the last vector is a part, vectors, rows.
using TileFunction = void (*)(const Tile&);
struct Tiles {
  TileFunction at[2][2][kWidePanel + 1][kMostRows + 1];
};

template <int V, bool ATransposed, bool Part, int R>
constexpr void fill(Tiles& tiles) {
  if constexpr (R > 0) {
    tiles.at[ATransposed][Part][V][R] = tile<R, V, ATransposed, Part>;
    fill<V, ATransposed, Part, R - 1>(tiles);
  }
}

template <int V>
constexpr void fillAll(Tiles& tiles) {
  if constexpr (V > 0) {
    fill<V, false, false, kRows[V]>(tiles);
    fill<V, false, true, kRows[V]>(tiles);
    fill<V, true, false, kRows[V]>(tiles);
    fill<V, true, true, kRows[V]>(tiles);
    fillAll<V - 1>(tiles);
  }
}

constexpr Tiles allTiles() {
  Tiles tiles = {};
  fillAll<kWidePanel>(tiles);
  return tiles;
}

constexpr Tiles kTiles = allTiles();

// Vectors of the next panel of columns, when `left` remain. The last two share what is more than one panel.
DOWNHILL_INLINE size_t nextPanel(size_t m, size_t left) {
  if (m <= static_cast<size_t>(kRows[kWidePanel]) && left >= kWidePanel) return kWidePanel;
  const size_t most = m <= static_cast<size_t>(kRows[4]) ? 4 : kPanel;
  if (left >= 2 * most) return most;
  return left > most ? (left + 1) / 2 : left;
}

// Rows that lie a multiple of a page apart fall into the same few sets of a cache, and push each other out.
constexpr bool collide(size_t ld) { return ld % 1024 == 0; }

// Columns of b in a packed panel, which stands `panelFloats(k)` after the one before: k rows of them, and a gap, so
// that rows of different panels do not collide.
constexpr size_t kPanelColumns = kPanel * W;
constexpr size_t panelFloats(size_t k) { return k * kPanelColumns + kGap; }

// Panels of b[l·ldb + j], l < k, j < n. Row by row, so that a page is read in one run. Rows of a few columns each are
// too short for the CPU to see where they lead, so it is told.
constexpr size_t kRowsAhead = 8;
inline void pack(const float* b, size_t ldb, size_t k, size_t n, float* to) {
  const size_t whole = n / W * W;
  const Lanes part = firstLanes(n > whole ? n - whole : W);
  for (size_t l = 0; l < k; ++l, b += ldb) {
    float* row = to + l * kPanelColumns;
    size_t j = 0;
    for (; j + kPanelColumns <= n; j += kPanelColumns, row += panelFloats(k)) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kPanelColumns; v += kLine) __builtin_prefetch(b + kRowsAhead * ldb + j + v);
#pragma GCC unroll 4
      for (size_t v = 0; v < kPanelColumns; v += W) store(row + v, load(b + j + v));
    }
    for (; j < whole; j += W, row += W) store(row, load(b + j));
    if (j < n) store(row, load(b + j, part));
  }
}

// to[l·ldto + j] = b[j·ldb + l], l < k, j < n; ldto is a multiple of W, and a row is written up to the next. Where W by
// W do not come out even, the last block begins earlier, and does some again.
inline void turn(const float* b, size_t ldb, size_t k, size_t n, float* to, size_t ldto) {
  if (k < W || n < W) {
    alignas(64) float block[W * W] = {}, turned[W * W];  // what is not there is zero
    for (size_t j = 0; j < n; j += W)
      for (size_t l = 0; l < k; l += W) {
        const size_t rows = n - j < W ? n - j : W, steps = k - l < W ? k - l : W;
        for (size_t i = 0; i < rows; ++i) store(block + i * W, load(b + (j + i) * ldb + l, firstLanes(steps)));
        transpose(block, W, turned, W);
        for (size_t i = 0; i < steps; ++i) store(to + (l + i) * ldto + j, load(turned + i * W));
      }
    return;
  }
  for (size_t j = 0; j < n; j += W) {
    const size_t column = n - j < W ? n - W : j;
    for (size_t l = 0; l < k; l += W) {
      const size_t row = k - l < W ? k - W : l;
      transpose(b + column * ldb + row, ldb, to + row * ldto + column, ldto);
    }
  }
}

// Panels of b[j·ldb + l], likewise.
inline void packTransposed(const float* b, size_t ldb, size_t k, size_t n, float* to) {
  for (size_t j = 0; j < n; j += kPanelColumns, to += panelFloats(k))
    turn(b + j * ldb, ldb, k, n - j < kPanelColumns ? n - j : kPanelColumns, to, kPanelColumns);
}

// Rows in groups, each the height of a tile: nearly the same, the taller ones first.
struct Groups {
  size_t count, height, taller;
  size_t rows(size_t group) const { return height + (group < taller); }
};

inline Groups groupsOf(size_t m, size_t most) {
  const size_t count = (m + most - 1) / most;
  return {count, m / count, m % count};
}

// A packed group: k steps of its rows, which a tile reads in one run, and a gap. They are stored as vectors; of what a
// short one has too much, the next step takes the place.
constexpr size_t groupFloats(size_t rows, size_t k) { return rows * k + kGap; }

// Groups of a[i·lda + l], i < m, l < k; k is a vector at least.
inline void packLeft(const float* a, size_t lda, size_t m, size_t k, const Groups& groups, float* to) {
  alignas(64) float block[W * W] = {};
  size_t top = 0;
  for (size_t group = 0, rows; group < groups.count; ++group, top += rows, to += groupFloats(rows, k)) {
    rows = groups.rows(group);
    for (size_t l = 0; l < k; l += W) {
      const size_t step = k - l < W ? k - W : l;
      for (size_t i = 0; i < rows; i += W) {
        const size_t row = rows > W && rows - i < W ? rows - W : i;
        const float* from = a + (top + row) * lda + step;
        size_t ldfrom = lda;
        if (m - top - row < W) {
          for (size_t r = 0; top + row + r < m; ++r) store(block + r * W, load(from + r * lda));
          from = block;
          ldfrom = W;
        }
        transpose(from, ldfrom, to + step * rows + row, rows);
      }
    }
  }
}

// Groups of a[l·lda + i]. A row of a is read in one run.
inline void packLeftTransposed(const float* a, size_t lda, size_t m, size_t k, const Groups& groups, float* to) {
  const size_t heights[] = {groups.height + 1, groups.height}, counts[] = {groups.taller, groups.count - groups.taller};
  for (size_t l = 0; l < k; ++l, a += lda) {
    const float* from = a;
    float* group = to;
    for (size_t s = 0; s < 2; ++s) {
      const size_t rows = heights[s];
      for (size_t q = 0; q < counts[s]; ++q, from += rows, group += groupFloats(rows, k)) {
        const size_t left = static_cast<size_t>(a + m - from);
        store(group + l * rows, left < W ? load(from, firstLanes(left)) : load(from));
        if (rows > W) store(group + (l + 1) * rows - W, load(from + rows - W));
      }
    }
  }
}

// How a product is cut: blocks of columns, within them blocks of k, within them blocks of rows.
struct Cut {
  size_t columns, depth, rows;
  bool packs, packsLeft;  // a block of b into panels; a block of a into groups
};

// The size of blocks of nearly the same size, `most` at most.
inline size_t evenly(size_t n, size_t most) {
  const size_t blocks = (n + most - 1) / most;
  return blocks > 1 ? (n + blocks - 1) / blocks : n;
}

inline Cut cutOf(const Product& p) {
  Cut cut;
  const bool isLarge = kPackAllFrom > 0 && p.m >= kPackAllFrom && p.n >= kPackAllFrom && p.k >= kPackAllFrom;
  const bool mayPack = p.scratch != nullptr && p.m >= kPackFrom;
  cut.packs = p.bTransposed || (mayPack && (collide(p.ldb) || isLarge));
  const bool paysLeft = p.aTransposed ? collide(p.lda) || isLarge : isLarge && p.n >= kPackLeftFrom;
  cut.packsLeft = kPacksLeft && mayPack && p.n >= kPanelColumns && paysLeft;
  const size_t room = p.scratch != nullptr ? kBlockFloats : kSpareFloats;
  size_t depth = !cut.packs && p.k * p.n <= kSmallB ? kSmallDepth : kDepth;
  const size_t roomForPanel = (room - kGap) / kPanelColumns;
  if (cut.packs && depth > roomForPanel) depth = roomForPanel;
  cut.depth = evenly(p.k, depth);
  cut.columns = cut.packs ? room / panelFloats(cut.depth) * kPanelColumns : p.n;
  // Where k is short, most of the work is writing c: by rows, not down columns.
  cut.rows = p.m;
  if (cut.packsLeft) cut.rows = evenly(p.m, kLeftFloats / (cut.depth + kGap));
  if (p.k <= kShort && p.n >= kShortFrom) cut.rows = kShortRows;
  return cut;
}

// c as one tile, for a product so small that the way to the tile would cost more than the tile. False where it is not.
DOWNHILL_INLINE bool isOneTile(const Product& p) {
  const size_t vectors = (p.n + W - 1) / W;
  if (vectors > 4 || p.bTransposed || p.m > static_cast<size_t>(kRows[vectors]) || p.k > kSmallDepth) return false;
  if (vectors == 0 || p.m == 0) return true;
  const size_t lastLanes = p.n - (vectors - 1) * W;
  kTiles.at[p.aTransposed][lastLanes < W][vectors][p.m](
      {p.k, p.a, p.lda, p.b, p.ldb, p.c, p.ldc, p.start, p.ldstart, lastLanes});
  return true;
}

inline void blocks(const Product& p) {
  alignas(64) float spare[kSpareFloats];
  float* const packed = p.scratch != nullptr ? p.scratch : spare;
  float* const left = packed + kPackedFloats;  // only where there is scratch
  const Cut cut = cutOf(p);
  for (size_t first = 0, n; first < p.n; first += n) {
    n = p.n - first < cut.columns ? p.n - first : cut.columns;
    size_t l = 0, k;
    do {  // once also for k = 0, where c = start
      k = p.k - l < cut.depth ? p.k - l : cut.depth;
      if (cut.packs) {
        if (p.bTransposed) {
          packTransposed(p.b + first * p.ldb + l, p.ldb, k, n, packed);
        } else {
          pack(p.b + l * p.ldb + first, p.ldb, k, n, packed);
        }
      }

      for (size_t top = 0, m; top < p.m; top += m) {
        m = p.m - top < cut.rows ? p.m - top : cut.rows;
        const float* a = p.a + (p.aTransposed ? l * p.lda + top : top * p.lda + l);
        if (cut.packsLeft) {
          const Groups groups = groupsOf(m, kRows[kPanel]);
          if (p.aTransposed) {
            packLeftTransposed(a, p.lda, m, k, groups, left);
          } else {
            packLeft(a, p.lda, m, k, groups, left);
          }
          a = left;
        }

        for (size_t j = 0, columns; j < n; j += columns) {
          size_t vectors = (n - j + W - 1) / W, panels = 1;
          if (!cut.packs) {
            vectors = nextPanel(p.m, vectors);
          } else if (vectors > kPanel) {
            vectors = kPanel;
            panels = (n - j) / kPanelColumns < kAbreast ? (n - j) / kPanelColumns : kAbreast;
          }
          columns = n - j < panels * vectors * W ? n - j : panels * vectors * W;
          const size_t lastLanes = columns - (panels * vectors - 1) * W;
          const TileFunction* const tiles = kTiles.at[p.aTransposed || cut.packsLeft][lastLanes < W][vectors];
          const Groups groups = groupsOf(m, kRows[cut.packsLeft ? kPanel : vectors]);
          const float* const b = cut.packs ? packed + j / kPanelColumns * panelFloats(k) : p.b + l * p.ldb + first + j;
          float* c = p.c + top * p.ldc + first + j;
          const float* start = c;
          size_t ldstart = p.ldc;
          if (l == 0) {
            start = p.start != nullptr ? p.start + top * p.ldstart + first + j : nullptr;
            ldstart = p.ldstart;
          }
          Tile t = {k, a, p.lda, b, cut.packs ? kPanelColumns : p.ldb, c, p.ldc, start, ldstart, lastLanes};
          for (size_t group = 0; group < groups.count; ++group) {
            const size_t rows = groups.rows(group);
            if (p.claimed != nullptr && l == 0)
              for (size_t r = 0; r < rows; ++r)
                for (size_t v = 0; v < columns; v += kLine) claim(p.claimed + (c - p.c) + r * p.ldc + v);
            if (cut.packsLeft) t.lda = rows;
            for (size_t panel = 0; panel < panels; ++panel) {
              t.b = b + panel * panelFloats(k);
              t.c = c + panel * kPanelColumns;
              t.start = start != nullptr ? start + panel * kPanelColumns : nullptr;
              tiles[rows](t);
            }
            t.a += cut.packsLeft ? groupFloats(rows, k) : p.aTransposed ? rows : rows * p.lda;
            c += rows * p.ldc;
            if (start != nullptr) start += rows * ldstart;
          }
        }
      }
      l += k;
    } while (l < p.k);
  }
}

// Columns that are less than a vector leave most of its lanes empty. They are computed as rows of cᵀ = bᵀ·aᵀ, a panel
// of columns after the other: full vectors, the same chains.
constexpr size_t kTurnedRows = 64, kTurnedDepth = 64;

// Whether that is the faster, for the last `rest` columns: it saves vectors, but a that is not transposed must be.
DOWNHILL_INLINE bool turns(const Product& p, size_t rest) {
  if (rest == 0 || p.m < W || p.k < 16) return false;
  const size_t vectors = rest * ((p.m + W - 1) / W);
  return (vectors < 4 ? 4 : vectors) + (p.aTransposed ? 0 : p.m * kTurnCost / 16) < p.m * 13 / 16;
}

inline void fewColumns(const Product& p) {
  alignas(64) float spare[kTurnedRows * kTurnedDepth], columns[W * kTurnedRows], rows[W * W];
  size_t most = kWidePanel;  // vectors in a tile
  while (most > 1 && static_cast<size_t>(kRows[most]) < p.n) most /= 2;
  for (size_t top = 0, m; top < p.m; top += m) {
    m = p.m - top < kTurnedRows ? p.m - top : kTurnedRows;
    for (size_t j = 0; p.start != nullptr && j < p.n; ++j)
      for (size_t i = 0; i < m; ++i) columns[j * kTurnedRows + i] = p.start[(top + i) * p.ldstart + j];
    size_t l = 0, k;
    do {
      k = p.aTransposed || p.k - l < kTurnedDepth ? p.k - l : kTurnedDepth;
      const float* a = p.a + l * p.lda + top;
      size_t lda = p.lda;
      if (!p.aTransposed) {
        turn(p.a + top * p.lda + l, p.lda, k, m, spare, kTurnedRows);
        a = spare;
        lda = kTurnedRows;
      }
      Tile t = {k, p.b + (p.bTransposed ? l : l * p.ldb), p.ldb, a, lda, columns, kTurnedRows, columns, kTurnedRows, W};
      if (l == 0 && p.start == nullptr) t.start = nullptr;
      for (size_t i = 0, vectors; i < m; i += vectors * W) {
        vectors = (m - i + W - 1) / W;
        if (vectors > 4) vectors = vectors < kWidePanel ? 4 : kWidePanel;
        if (vectors > most) vectors = most;
        t.lastLanes = m - i < vectors * W ? m - i - (vectors - 1) * W : W;
        t.b = a + i;
        t.c = columns + i;
        if (t.start != nullptr) t.start = t.c;
        kTiles.at[!p.bTransposed][t.lastLanes < W][vectors][p.n](t);
      }
      l += k;
    } while (l < p.k);
    for (size_t i = 0; i < m; i += W) {
      transpose(columns + i, kTurnedRows, rows, W);
      for (size_t r = 0; r < W && i + r < m; ++r) {
        float* const to = p.c + (top + i + r) * p.ldc;
        store(to, load(rows + r * W), firstLanes(p.n));
        if (p.claimed != nullptr) claim(p.claimed + (to - p.c));
      }
    }
  }
}

// Few columns are all of p's, or what is left of them after the last whole vector.
inline void product(const Product& p) {
  const size_t rest = p.n % W, whole = p.n - rest;
  if (!turns(p, rest)) {
    if (!isOneTile(p)) blocks(p);
    return;
  }
  Product part = p;
  part.n = whole;
  if (whole > 0) blocks(part);
  part.n = rest;
  part.b += p.bTransposed ? whole * p.ldb : whole;
  part.c += whole;
  if (p.start != nullptr) part.start += whole;
  if (p.claimed != nullptr) part.claimed += whole;
  fewColumns(part);
}

// Sums of W rows at a time. Those of one row are sixteen chains, of which two or four vectors are added by halves
// before the rest is, in one go for all rows.
inline void dots(size_t m, size_t k, const float* x, size_t ldx, const float* w, float bias, float* y) {
  constexpr size_t kParts = 16 / W;    // vectors for the sixteen chains of a row
  constexpr size_t kTogether = W / 2;  // rows whose chains, together, hide the latency of a step
  for (size_t top = 0; top < m; top += W) {
    const size_t height = m - top < W ? m - top : W;
    Vec sums[W] = {};
#pragma GCC unroll 2
    for (size_t i = 0; i < W; i += kTogether) {
      if (i >= height) break;
      const float* row[kTogether];
      for (size_t r = 0; r < kTogether; ++r) row[r] = x + (top + (i + r < height ? i + r : i)) * ldx;
      Vec sum[kTogether][kParts] = {};
      size_t l = 0;
      for (; l + 16 <= k; l += 16)
        for (size_t q = 0; q < kParts; ++q) {
          const Vec factor = load(w + l + q * W);
          for (size_t r = 0; r < kTogether; ++r) sum[r][q] = fma(load(row[r] + l + q * W), factor, sum[r][q]);
        }
      for (size_t q = 0; l < k; l += W, ++q) {
        const Lanes part = firstLanes(k - l < W ? k - l : W);
        const Vec factor = load(w + l, part);
        for (size_t r = 0; r < kTogether; ++r) sum[r][q] = fma(load(row[r] + l, part), factor, sum[r][q]);
      }
#pragma GCC unroll 8
      for (size_t r = 0; r < kTogether; ++r) {
#pragma GCC unroll 2
        for (size_t half = kParts / 2; half > 0; half /= 2)
          for (size_t q = 0; q < half; ++q) sum[r][q] = sum[r][q] + sum[r][q + half];
        sums[i + r] = sum[r][0];
      }
    }
    store(y + top, sumsOf(sums) + all(bias), firstLanes(height));
  }
}

}  // namespace DOWNHILL_SET
}  // namespace downhill
