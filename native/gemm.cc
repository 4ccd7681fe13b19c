#include "gemm.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "blas.h"
#include "transforms.h"

namespace downhill {
namespace {

constexpr size_t ceilDiv(size_t a, size_t b) { return (a + b - 1) / b; }
constexpr size_t roundUp(size_t a, size_t b) { return ceilDiv(a, b) * b; }

// ---- Who multiplies -------------------------------------------------------------------------------------------------

Products atStart() {
  const char* const asked = std::getenv("DOWNHILL_PRODUCTS");
  if (asked != nullptr && std::strcmp(asked, "own") == 0) return Products::kOwn;
  if (asked != nullptr && std::strcmp(asked, "blas") == 0) return Products::kBlas;
  return Products::kFaster;
}

std::atomic<Products>& wanted() {
  static std::atomic<Products> products{atStart()};
  return products;
}

// From so many weights on BLAS is the faster where only portable kernels run. Against AVX2 and AVX-512 kernels it is
// not (docs/decisions/0003-kernels.md).
constexpr size_t kBlasFrom = 512 * 512;

bool usesBlas(size_t I, size_t O) {
  const Products products = wanted().load(std::memory_order_relaxed);
  if (products == Products::kOwn || O == 1 || !blas().available) return false;
  return products == Products::kBlas || (simd() == Simd::kPortable && I * O >= kBlasFrom);
}

// ---- Tiles for threads ---------------------------------------------------------------------------------------------

// A product is cut for threads by its shape and their number. No bits depend on the cut, except on BLAS' path, which
// has its own.
struct Grid {
  size_t rows, columns;  // of a tile
  size_t across, tiles;  // tiles side by side, and in all
};

// Multiply-adds in a tile at least: a microsecond or two; to hand one over costs 0.2.
constexpr size_t kTileWork = size_t{1} << 17;
// Weights that are claimed ahead: what is more has left the cache before it is written.
constexpr size_t kMostClaimed = size_t{1} << 18;
// More tiles than this balance no better, and each packs what it needs of a and b anew. But narrow products pack
// nothing, and of few rows stay on few pages of a.
constexpr size_t kMostTiles = 32, kNarrow = 64;
size_t mostTiles(size_t n, int threads) {
  if (n <= kNarrow) return kMostTiles;
  return threads == 1 ? 1 : std::min(kMostTiles, 4 * static_cast<size_t>(threads));
}

// Of a product of few steps, most of the work is writing c.
size_t workOf(const Product& p) { return p.m * p.n * std::max<size_t>(p.k, 16); }

Grid gridOf(const Product& p, bool wholeRows, int threads) {
  const size_t wanted = std::min(std::max<size_t>(workOf(p) / kTileWork, 1), mostTiles(p.n, threads));
  // What is packed for a tile is used over its rows, or over its columns. 64 columns are the widest panel.
  size_t leastColumns = 64, leastRows = p.bTransposed ? 144 : 24;
  if (p.n >= 1024) {
    leastColumns = p.m < 1024 ? 128 : 256;
    leastRows = 1024;
  }
  if (wholeRows && p.n <= 256) leastColumns = roundUp(p.n, 64);
  if (p.n >= 1024 && p.k <= 32) {  // writing c is the work: by rows
    leastColumns = roundUp(p.n, 64);
    leastRows = 256;
  }
  constexpr size_t kMostRows = 1024;
  Grid grid;
  grid.columns = roundUp(ceilDiv(p.n, std::min(wanted, ceilDiv(p.n, leastColumns))), leastColumns);
  grid.across = ceilDiv(p.n, grid.columns);
  const size_t down = std::min(ceilDiv(wanted, grid.across), ceilDiv(p.m, leastRows));
  grid.rows = ceilDiv(p.m, std::max(down, ceilDiv(p.m, kMostRows)));
  grid.tiles = grid.across * ceilDiv(p.m, grid.rows);
  return grid;
}

// The part of p from (top, left), of m × n.
Product partOf(const Product& p, size_t top, size_t left, size_t m, size_t n) {
  Product part = p;
  part.m = std::min(m, p.m - top);
  part.n = std::min(n, p.n - left);
  part.a += p.aTransposed ? top : top * p.lda;
  part.b += p.bTransposed ? left * p.ldb : left;
  part.c += top * p.ldc + left;
  if (p.claimed != nullptr) part.claimed += top * p.ldc + left;
  if (p.start != nullptr) part.start += top * p.ldstart + left;
  return part;
}

// What is to be done with a tile of outputs while it is in cache: looked at, then mapped.
void finish(const After& after, float* c, size_t ldc, size_t m, size_t n) {
  const auto eachRun = [&](auto&& body) {
    if (n == ldc) return body(c, m * n);
    for (size_t i = 0; i < m; ++i) body(c + i * ldc, n);
  };
  if (after.isFinite != nullptr) {
    eachRun([&](const float* y, size_t count) {
      if (!transforms().isFinite(y, count)) after.isFinite->store(false, std::memory_order_relaxed);
    });
  }
  if (after.map != nullptr) eachRun([&](float* y, size_t count) { after.map(y, y, count); });
}

// Computes p and finishes it; and beside it sums, a product with the columns of p and one row, or null. (Passed as
// it is, since a copy takes as long as a tiny product.)
void compute(Pool& pool, Product&& p, const After& after = {}, const Product* sums = nullptr) {
  const Kernels& set = kernels();
  if (workOf(p) < (pool.threads() == 1 ? 16 : 2) * kTileWork) {
    p.scratch = pool.scratch(0, kScratchFloats);
    set.product(p);
    finish(after, p.c, p.ldc, p.m, p.n);
    if (sums != nullptr) set.product(*sums);
    return;
  }
  const Grid grid = gridOf(p, after.map != nullptr, pool.threads());
  pool.parallel(grid.tiles, [&](size_t tile, int worker) {
    const size_t top = tile / grid.across * grid.rows, left = tile % grid.across * grid.columns;
    Product part = partOf(p, top, left, grid.rows, grid.columns);
    part.scratch = pool.scratch(worker, kScratchFloats);
    set.product(part);
    finish(after, part.c, part.ldc, part.m, part.n);
    if (top == 0 && sums != nullptr) set.product(partOf(*sums, 0, left, 1, grid.columns));
  });
}

// ---- The same on BLAS ----------------------------------------------------------------------------------------------

// BLAS chooses its kernels, and with them the order of sums, by the shape of a call. So the shapes are fixed: panels of
// rows, the last filled up with zeros, and columns on a grid of the layer. Within one shape a row's bits should depend
// neither on its place nor on its neighbours. OpenBLAS' kernels for Haswell and Zen break that (they take rows by 6 and
// 6, and sum the two otherwise), so BLAS is asked before it is used for rows.
constexpr size_t kBlasRows = 64, kBlasColumns = 512;

void sgemm(bool transA, bool transB, size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b,
           size_t ldb, float beta, float* c, size_t ldc) {
  blas().sgemm(transA, transB, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1, a,
               static_cast<int>(lda), b, static_cast<int>(ldb), beta, c, static_cast<int>(ldc));
}

// c = after(start + a·b), a (m, k), b (k, n) or transposed, start a row or c itself or null. False, and nothing done,
// where BLAS or memory will not have it.
bool rowsOnBlas(Pool& pool, size_t m, size_t n, size_t k, const float* a, const float* b, bool bTransposed,
                const float* start, float* c, const After& after) {
  if (!blasKeepsRows()) return false;
  const size_t across = ceilDiv(n, kBlasColumns), down = ceilDiv(m, kBlasRows);
  const size_t padded = kBlasRows * (k + kBlasColumns);
  if (m % kBlasRows != 0)
    for (int worker = 0; worker < pool.threads(); ++worker)
      if (pool.scratch(worker, padded) == nullptr) return false;
  pool.parallel(across * down, [&](size_t tile, int worker) {
    const size_t top = tile / across * kBlasRows, left = tile % across * kBlasColumns;
    const size_t rows = std::min(kBlasRows, m - top), columns = std::min(kBlasColumns, n - left);
    const float* from = a + top * k;
    float* to = c + top * n + left;
    size_t ldto = n;
    if (rows < kBlasRows) {
      float* const room = pool.scratch(worker, padded);
      std::copy_n(from, rows * k, room);
      std::fill(room + rows * k, room + kBlasRows * k, 0.0f);
      from = room;
      to = room + kBlasRows * k;
      ldto = columns;
    }
    for (size_t r = 0; start != nullptr && r < kBlasRows; ++r) {
      const float* const row = start == c ? c + (top + std::min(r, rows - 1)) * n : start;
      if (row + left != to + r * ldto) std::copy_n(row + left, columns, to + r * ldto);
    }
    sgemm(false, bTransposed, kBlasRows, columns, k, from, k, b + (bTransposed ? left * k : left), bTransposed ? k : n,
          start != nullptr ? 1.0f : 0.0f, to, ldto);
    for (size_t r = 0; r < rows; ++r) {
      float* const row = c + (top + r) * n + left;
      if (row != to + r * ldto) std::copy_n(to + r * ldto, columns, row);
      finish(after, row, columns, 1, columns);
    }
  });
  return true;
}

// c += a·b, a (m, k), b (k, n) or transposed.
void addProduct(Pool& pool, size_t m, size_t n, size_t k, const float* a, const float* b, bool bTransposed, float* c) {
  if (usesBlas(k, n) && rowsOnBlas(pool, m, n, k, a, b, bTransposed, c, c, {})) return;
  compute(pool, {m, n, k, a, k, false, b, bTransposed ? k : n, bTransposed, c, n, c, n, nullptr});
}

}  // namespace

// For columns that are and are not multiples of a vector.
bool blasKeepsRows() {
  static const bool keeps = [] {
    for (const auto& [n, k] : {std::pair<size_t, size_t>{kBlasColumns, 40}, {13, 600}, {100, 300}}) {
      std::vector<float> a(kBlasRows * k), b(k * n), c(kBlasRows * n);
      for (size_t i = 0; i < a.size(); ++i) a[i] = 1 / static_cast<float>(3 + i % k);
      for (size_t i = 0; i < b.size(); ++i) b[i] = 1 / static_cast<float>(7 + i);
      sgemm(false, false, kBlasRows, n, k, a.data(), k, b.data(), n, 0, c.data(), n);
      for (size_t r = 1; r < kBlasRows; ++r)
        if (std::memcmp(c.data(), c.data() + r * n, n * sizeof(float)) != 0) return false;
    }
    return true;
  }();
  return keeps;
}

void forceProducts(Products products) { wanted().store(products, std::memory_order_relaxed); }

void affine(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* W, const float* b, float* y,
            const After& after) {
  if (O == 1) {
    const Kernels& set = kernels();
    const float bias = b != nullptr ? *b : 0;
    if (B * I < 2 * kTileWork) {
      set.dots(B, I, x, I, W, bias, y);
      return finish(after, y, 1, B, 1);
    }
    const size_t rows = roundUp(std::max(ceilDiv(kTileWork, I), ceilDiv(B, kMostTiles)), 16);
    pool.parallel(ceilDiv(B, rows), [&](size_t tile, int) {
      const size_t top = tile * rows;
      set.dots(std::min(rows, B - top), I, x + top * I, I, W, bias, y + top);
      finish(after, y + top, 1, std::min(rows, B - top), 1);
    });
    return;
  }
  if (usesBlas(I, O) && rowsOnBlas(pool, B, O, I, x, W, false, b, y, after)) return;
  compute(pool, {B, O, I, x, I, false, W, O, false, y, O, b, 0, nullptr}, after);
}

void affineGradWeights(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* dy, float* dW, float* db,
                       bool accumulate, float* W) {
  // db is the product of a row of ones and dy.
  static const float kOne = 1;
  const float* const dbStart = accumulate ? db : nullptr;
  const Product sums = {1, O, B, &kOne, 0, true, dy, O, false, db, O, dbStart, 0, nullptr};
  const float* const start = accumulate ? dW : nullptr;
  if (O == 1) {  // dWᵀ = dyᵀ·x has the same memory, and full vectors
    compute(pool, {1, I, B, dy, 1, true, x, I, false, dW, I, start, I, nullptr});
    if (db != nullptr) kernels().product(sums);
    return;
  }
  if (usesBlas(I, O)) {
    const size_t across = ceilDiv(O, kBlasColumns), down = ceilDiv(I, kBlasColumns);
    pool.parallel(across * down, [&](size_t tile, int) {
      const size_t top = tile / across * kBlasColumns, left = tile % across * kBlasColumns;
      const size_t rows = std::min(kBlasColumns, I - top), columns = std::min(kBlasColumns, O - left);
      sgemm(true, false, rows, columns, B, x + top, I, dy + left, O, accumulate ? 1.0f : 0.0f, dW + top * O + left, O);
      if (top == 0 && db != nullptr) kernels().product(partOf(sums, 0, left, 1, columns));
    });
    return;
  }
  if (I * O > kMostClaimed) W = nullptr;
  compute(pool, {I, O, B, x, I, true, dy, O, false, dW, O, start, O, nullptr, W}, {}, db != nullptr ? &sums : nullptr);
}

void affineGradInput(Pool& pool, size_t B, size_t I, size_t O, const float* dy, const float* W, float* dx) {
  if (O == 1) {  // W is its own transpose
    compute(pool, {B, I, 1, dy, 1, false, W, I, false, dx, I, nullptr, 0, nullptr});
    return;
  }
  if (usesBlas(I, O) && rowsOnBlas(pool, B, I, O, dy, W, true, nullptr, dx, {})) return;
  compute(pool, {B, I, O, dy, O, false, W, O, true, dx, I, nullptr, 0, nullptr});
}

void affineTangent(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* Rx, const float* W,
                   const float* RW, const float* Rb, float* Ry) {
  affine(pool, B, I, O, x, RW, Rb, Ry);
  if (Rx != nullptr) addProduct(pool, B, O, I, Rx, W, false, Ry);
}

void affineGradWeightsTangent(Pool& pool, size_t B, size_t I, size_t O, const float* x, const float* Rx,
                              const float* dy, const float* Rdy, float* RdW, float* Rdb, bool accumulate) {
  affineGradWeights(pool, B, I, O, x, Rdy, RdW, Rdb, accumulate);
  if (Rx != nullptr) affineGradWeights(pool, B, I, O, Rx, dy, RdW, nullptr, true);
}

void affineGradInputTangent(Pool& pool, size_t B, size_t I, size_t O, const float* dy, const float* Rdy, const float* W,
                            const float* RW, float* Rdx) {
  affineGradInput(pool, B, I, O, Rdy, W, Rdx);
  addProduct(pool, B, I, O, dy, RW, O > 1, Rdx);  // a column is its own transpose
}

}  // namespace downhill
