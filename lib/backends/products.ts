/**
 * The three products of a dense layer in plain TypeScript, and their tangents: the specification of native/gemm.h.
 *
 * Every entry is one chain of sums, term after term in double, from the last k to the first (why that way round:
 * docs/decisions/0004-golden-on-raw-inputs.md); a float32 result is rounded once per 256 terms. All three are one
 * function, `multiplyAdd`; what its loops do for speed does not change the chain.
 */
import type { Floats } from '../plan/plan'

/** y = x·W + b;  x (B,I), W (I,O), b (O) or null, y (B,O). */
export function affine(x: Floats, W: Floats, b: Floats | null, y: Floats, B: number, I: number, O: number): void {
  for (let r = 0; r < B; r++) {
    if (b) for (let o = 0; o < O; o++) y[r * O + o] = b[o]
    else y.fill(0, r * O, r * O + O)
  }
  multiplyAdd(x, I, 1, W, O, 1, y, B, I, O)
}

/** dW (+)= xᵀ·dy, db (+)= Σ_b dy;  dW (I,O), db (O) or null. */
export function affineGradWeights(
  x: Floats,
  dy: Floats,
  dW: Floats,
  db: Floats | null,
  B: number,
  I: number,
  O: number,
  accumulate: boolean,
): void {
  if (!accumulate) dW.fill(0, 0, I * O)
  multiplyAdd(x, 1, I, dy, O, 1, dW, I, B, O)
  if (db === null) return
  for (let o = 0; o < O; o++) {
    let sum = 0
    for (let r = 0; r < B; r++) sum += dy[r * O + o]
    db[o] = accumulate ? db[o] + sum : sum
  }
}

/** dx (+)= dy·Wᵀ;  dx (B,I). */
export function affineGradInput(
  dy: Floats,
  W: Floats,
  dx: Floats,
  B: number,
  I: number,
  O: number,
  accumulate: boolean,
): void {
  if (!accumulate) dx.fill(0, 0, B * I)
  multiplyAdd(dy, O, 1, W, 1, O, dx, B, O, I)
}

// By the product rule each tangent is two of the products above; one, where Rx is zero (null): at the inputs.

/** Ry = Rx·W + x·RW + Rb;  Rb (O) or null. */
export function affineTangent(
  x: Floats,
  Rx: Floats | null,
  W: Floats,
  RW: Floats,
  Rb: Floats | null,
  Ry: Floats,
  B: number,
  I: number,
  O: number,
): void {
  affine(x, RW, Rb, Ry, B, I, O)
  if (Rx) multiplyAdd(Rx, I, 1, W, O, 1, Ry, B, I, O)
}

/** RdW (+)= xᵀ·Rdy + Rxᵀ·dy, Rdb (+)= Σ_b Rdy. */
export function affineGradWeightsTangent(
  x: Floats,
  Rx: Floats | null,
  dy: Floats,
  Rdy: Floats,
  RdW: Floats,
  Rdb: Floats | null,
  B: number,
  I: number,
  O: number,
  accumulate: boolean,
): void {
  affineGradWeights(x, Rdy, RdW, Rdb, B, I, O, accumulate)
  if (Rx) affineGradWeights(Rx, dy, RdW, null, B, I, O, true)
}

/** Rdx = Rdy·Wᵀ + dy·RWᵀ. */
export function affineGradInputTangent(
  dy: Floats,
  Rdy: Floats,
  W: Floats,
  RW: Floats,
  Rdx: Floats,
  B: number,
  I: number,
  O: number,
): void {
  affineGradInput(Rdy, W, Rdx, B, I, O, false)
  affineGradInput(dy, RW, Rdx, B, I, O, true)
}

// Blocks of the operands are copied into panels of doubles, in the order in which they are read. So the inner loop is
// the same machine code for float32 and float64, reads along one line, and does sixteen multiplications for twelve
// memory accesses. Constants of this module, so that the compiler knows their addresses and lengths.

const [TERMS, COLUMNS, ROWS] = [256, 128, 4]
/** Four rows of A: four terms of each, then the next four. */
const PANEL_A = new Float64Array(ROWS * TERMS)
/** A block of B: four terms of each column, then the next four. */
const PANEL_B = new Float64Array(TERMS * COLUMNS)
/** Four rows of C, column after column. */
const PANEL_C = new Float64Array(ROWS * COLUMNS)

/** Copies pay where there are so many rows, terms and columns. */
const MANY = 8

/** C += A·B with A's entry (m, k) at m·am + k·ak and B's (k, n) at k·bk + n·bn; C (M,N) is dense. */
function multiplyAdd(
  A: Floats,
  am: number,
  ak: number,
  B: Floats,
  bk: number,
  bn: number,
  C: Floats,
  M: number,
  K: number,
  N: number,
): void {
  for (let n = 0; n < N; n += COLUMNS) {
    const columns = Math.min(COLUMNS, N - n)
    for (let end = K; end > 0; end -= TERMS) {
      const k = Math.max(0, end - TERMS)
      const a = k * ak
      const b = k * bk + n * bn
      if (M < MANY || K < MANY || N < MANY) {
        for (let m = 0; m < M; m++) addRow(A, a + m * am, ak, B, b, bk, bn, C, m * N + n, end - k, columns)
        continue
      }
      packB(B, b, bk, bn, end - k, columns)
      for (let m = 0; m < M; m += ROWS)
        addRows(A, a + m * am, am, ak, C, m * N + n, N, Math.min(ROWS, M - m), end - k, columns)
    }
  }
}

/** One row of C, four entries at a time; B is read where it is. */
function addRow(
  A: Floats,
  a: number,
  ak: number,
  B: Floats,
  b: number,
  bk: number,
  bn: number,
  C: Floats,
  c: number,
  K: number,
  N: number,
): void {
  const last = a + (K - 1) * ak
  let n = 0
  for (; n + 4 <= N; n += 4) {
    let b0 = b + (K - 1) * bk + n * bn
    let b1 = b0 + bn
    let b2 = b1 + bn
    let b3 = b2 + bn
    let s0 = C[c + n]
    let s1 = C[c + n + 1]
    let s2 = C[c + n + 2]
    let s3 = C[c + n + 3]
    for (let p = last; p >= a; p -= ak) {
      const v = A[p]
      s0 += v * B[b0]
      s1 += v * B[b1]
      s2 += v * B[b2]
      s3 += v * B[b3]
      b0 -= bk
      b1 -= bk
      b2 -= bk
      b3 -= bk
    }
    C[c + n] = s0
    C[c + n + 1] = s1
    C[c + n + 2] = s2
    C[c + n + 3] = s3
  }
  for (; n < N; n++) {
    let sum = C[c + n]
    for (let p = last, q = b + (K - 1) * bk + n * bn; p >= a; p -= ak, q -= bk) sum += A[p] * B[q]
    C[c + n] = sum
  }
}

/** `rows` rows of C, at most four, by the panel of B. */
function addRows(
  A: Floats,
  a: number,
  am: number,
  ak: number,
  C: Floats,
  c: number,
  cm: number,
  rows: number,
  K: number,
  N: number,
): void {
  packA(A, a, am, ak, rows, K)
  for (let r = 0; r < rows; r++) for (let n = 0, p = c + r * cm, q = r; n < N; n++, p++, q += ROWS) PANEL_C[q] = C[p]
  for (let k = (K - 1) >> 2; k >= 0; k--) addTerms(16 * k, 4 * k * N, N)
  for (let r = 0; r < rows; r++) for (let n = 0, p = c + r * cm, q = r; n < N; n++, p++, q += ROWS) C[p] = PANEL_C[q]
}

/** Four terms for four rows: what all the time is spent on. */
function addTerms(a: number, b: number, N: number): void {
  const [a00, a01, a02, a03] = [PANEL_A[a], PANEL_A[a + 1], PANEL_A[a + 2], PANEL_A[a + 3]]
  const [a10, a11, a12, a13] = [PANEL_A[a + 4], PANEL_A[a + 5], PANEL_A[a + 6], PANEL_A[a + 7]]
  const [a20, a21, a22, a23] = [PANEL_A[a + 8], PANEL_A[a + 9], PANEL_A[a + 10], PANEL_A[a + 11]]
  const [a30, a31, a32, a33] = [PANEL_A[a + 12], PANEL_A[a + 13], PANEL_A[a + 14], PANEL_A[a + 15]]
  for (let c = 0; c < 4 * N; c += 4, b += 4) {
    const b0 = PANEL_B[b]
    const b1 = PANEL_B[b + 1]
    const b2 = PANEL_B[b + 2]
    const b3 = PANEL_B[b + 3]
    PANEL_C[c] = PANEL_C[c] + a03 * b3 + a02 * b2 + a01 * b1 + a00 * b0
    PANEL_C[c + 1] = PANEL_C[c + 1] + a13 * b3 + a12 * b2 + a11 * b1 + a10 * b0
    PANEL_C[c + 2] = PANEL_C[c + 2] + a23 * b3 + a22 * b2 + a21 * b1 + a20 * b0
    PANEL_C[c + 3] = PANEL_C[c + 3] + a33 * b3 + a32 * b2 + a31 * b1 + a30 * b0
  }
}

// A last group of fewer than four terms is filled up with −0·0: it leaves every sum as it is, −0 and NaN too.

function packA(A: Floats, a: number, am: number, ak: number, rows: number, K: number): void {
  for (let r = 0; r < rows; r++)
    for (let k = 0, p = a + r * am, q = 4 * r; k < K; k += 4, p += 4 * ak, q += 16)
      for (let i = 0; i < 4; i++) PANEL_A[q + i] = k + i < K ? A[p + i * ak] : -0
}

function packB(B: Floats, b: number, bk: number, bn: number, K: number, N: number): void {
  let q = 0
  let k = 0
  for (; k + 4 <= K; k += 4) {
    let b0 = b + k * bk
    let b1 = b0 + bk
    let b2 = b1 + bk
    let b3 = b2 + bk
    for (let n = 0; n < N; n++) {
      PANEL_B[q] = B[b0]
      PANEL_B[q + 1] = B[b1]
      PANEL_B[q + 2] = B[b2]
      PANEL_B[q + 3] = B[b3]
      q += 4
      b0 += bn
      b1 += bn
      b2 += bn
      b3 += bn
    }
  }
  if (k === K) return
  for (let n = 0; n < N; n++, q += 4)
    for (let i = 0; i < 4; i++) PANEL_B[q + i] = k + i < K ? B[b + (k + i) * bk + n * bn] : 0
}
