/**
 * The three products of a dense layer in plain TypeScript, and their tangents: the specification of native/gemm.h.
 *
 * Every entry is one chain of sums, term after term in double, from the last k to the first (why that way round:
 * docs/decisions/0004-golden-on-raw-inputs.md); a float32 result is rounded once per four terms. Four terms at a time
 * read and write an entry once, which is where the speed comes from; that does not change the chain.
 */
import type { Floats } from '../plan/plan'

/** y = x·W + b;  x (B,I), W (I,O), b (O) or null, y (B,O). */
export function affine(x: Floats, W: Floats, b: Floats | null, y: Floats, B: number, I: number, O: number): void {
  for (let r = 0; r < B; r++) {
    if (b) for (let o = 0; o < O; o++) y[r * O + o] = b[o]
    else y.fill(0, r * O, r * O + O)
  }
  multiplyAdd(x, I, 1, W, O, y, O, B, I, O)
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
  multiplyAdd(x, 1, I, dy, O, dW, O, I, B, O)
  if (db === null) return
  for (let o = 0; o < O; o++) {
    let sum = 0
    for (let r = 0; r < B; r++) sum += dy[r * O + o]
    db[o] = accumulate ? db[o] + sum : sum
  }
}

/** dx (+)= dy·Wᵀ;  dx (B,I). Four dot products at a time share one row of dy. */
export function affineGradInput(
  dy: Floats,
  W: Floats,
  dx: Floats,
  B: number,
  I: number,
  O: number,
  accumulate: boolean,
): void {
  for (let r = 0; r < B; r++) {
    const d = r * O
    let i = 0
    for (; i + 4 <= I; i += 4) {
      const w0 = i * O
      const w1 = w0 + O
      const w2 = w1 + O
      const w3 = w2 + O
      let s0 = 0
      let s1 = 0
      let s2 = 0
      let s3 = 0
      for (let o = 0; o < O; o++) {
        const v = dy[d + o]
        s0 += v * W[w0 + o]
        s1 += v * W[w1 + o]
        s2 += v * W[w2 + o]
        s3 += v * W[w3 + o]
      }
      dx[r * I + i] = accumulate ? dx[r * I + i] + s0 : s0
      dx[r * I + i + 1] = accumulate ? dx[r * I + i + 1] + s1 : s1
      dx[r * I + i + 2] = accumulate ? dx[r * I + i + 2] + s2 : s2
      dx[r * I + i + 3] = accumulate ? dx[r * I + i + 3] + s3 : s3
    }
    for (; i < I; i++) {
      let s = 0
      for (let o = 0; o < O; o++) s += dy[d + o] * W[i * O + o]
      dx[r * I + i] = accumulate ? dx[r * I + i] + s : s
    }
  }
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
  if (Rx) multiplyAdd(Rx, I, 1, W, O, Ry, O, B, I, O)
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

/** C += A·B with A's entry (m, k) at m·am + k·ak; B (K,N) with rows bk apart, C (M,N) with rows cm apart. */
function multiplyAdd(
  A: Floats,
  am: number,
  ak: number,
  B: Floats,
  bk: number,
  C: Floats,
  cm: number,
  M: number,
  K: number,
  N: number,
): void {
  let k = K
  for (; k % 4 !== 0; k--)
    for (let m = 0; m < M; m++) {
      const a = A[m * am + (k - 1) * ak]
      const b = (k - 1) * bk
      const c = m * cm
      for (let n = 0; n < N; n++) C[c + n] += a * B[b + n]
    }
  for (; k > 0; k -= 4) {
    const b0 = (k - 4) * bk
    const b1 = b0 + bk
    const b2 = b1 + bk
    const b3 = b2 + bk
    for (let m = 0; m < M; m++) {
      const a = m * am + (k - 4) * ak
      const a0 = A[a]
      const a1 = A[a + ak]
      const a2 = A[a + 2 * ak]
      const a3 = A[a + 3 * ak]
      const c = m * cm
      for (let n = 0; n < N; n++)
        C[c + n] = C[c + n] + a3 * B[b3 + n] + a2 * B[b2 + n] + a1 * B[b1 + n] + a0 * B[b0 + n]
    }
  }
}
