/**
 * Eigenvalues of a dense symmetric matrix: Householder's reduction to three diagonals, then QL with implicit shifts
 * (Wilkinson & Reinsch 1971, tred2 and tql1 without vectors). About 4/3·n³ operations: n = 784 takes half a second.
 *
 * Absolute error: a few ε·‖A‖, for the smallest eigenvalue as for the largest.
 */

/** Ascending. `matrix` (n, n), row-major, is overwritten. */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const { diagonal, beside } = tridiagonal(matrix, n)
  return qlImplicit(diagonal, beside).sort()
}

interface Tridiagonal {
  readonly diagonal: Float64Array
  /** beside[i] joins i and i + 1; the last is 0. */
  readonly beside: Float64Array
}

function tridiagonal(A: Float64Array, n: number): Tridiagonal {
  const beside = new Float64Array(n)
  const p = new Float64Array(n)
  // Row k is reflected so that only its neighbour on the diagonal's left stays; the block before it follows.
  for (let k = n - 1; k > 1; k--) {
    const row = k * n
    let scale = 0
    for (let i = 0; i < k; i++) scale = Math.max(scale, Math.abs(A[row + i]))
    if (scale === 0) continue
    let square = 0
    for (let i = 0; i < k; i++) {
      A[row + i] /= scale
      square += A[row + i] ** 2
    }
    const last = A[row + k - 1]
    const alpha = last > 0 ? -Math.sqrt(square) : Math.sqrt(square)
    beside[k - 1] = scale * alpha
    A[row + k - 1] = last - alpha
    const h = square - last * alpha // ½‖v‖², v the reflection's vector, now in the row
    let kappa = 0
    for (let i = 0; i < k; i++) {
      let sum = 0
      for (let j = 0; j <= i; j++) sum += A[i * n + j] * A[row + j]
      for (let j = i + 1; j < k; j++) sum += A[j * n + i] * A[row + j]
      p[i] = sum / h
      kappa += p[i] * A[row + i]
    }
    kappa /= 2 * h
    for (let i = 0; i < k; i++) p[i] -= kappa * A[row + i]
    for (let i = 0; i < k; i++) for (let j = 0; j <= i; j++) A[i * n + j] -= A[row + i] * p[j] + p[i] * A[row + j]
  }
  if (n > 1) beside[0] = A[n]
  return { diagonal: Float64Array.from({ length: n }, (_, i) => A[i * n + i]), beside }
}

/** The eigenvalues, in no order; `diagonal` and `beside` are overwritten. */
function qlImplicit(d: Float64Array, e: Float64Array): Float64Array {
  const n = d.length
  for (let l = 0; l < n; l++)
    for (let turn = 0; turn < 60; turn++) {
      let m = l
      while (m < n - 1 && Math.abs(e[m]) > Number.EPSILON * (Math.abs(d[m]) + Math.abs(d[m + 1]))) m++
      if (m === l) break
      let g = (d[l + 1] - d[l]) / (2 * e[l])
      let r = Math.hypot(g, 1)
      g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r))
      let [s, c, q] = [1, 1, 0]
      let i = m - 1
      for (; i >= l; i--) {
        const f = s * e[i]
        const b = c * e[i]
        r = Math.hypot(f, g)
        e[i + 1] = r
        if (r === 0) {
          d[i + 1] -= q
          e[m] = 0
          break
        }
        s = f / r
        c = g / r
        g = d[i + 1] - q
        r = (d[i] - g) * s + 2 * c * b
        q = s * r
        d[i + 1] = g + q
        g = c * r - b
      }
      if (r === 0 && i >= l) continue
      d[l] -= q
      e[l] = g
      e[m] = 0
    }
  return d
}
