/**
 * The largest algebraic eigenvalues of a symmetric operator that is known only by its products.
 *
 * Lanczos' method with full reorthogonalisation (Golub & Van Loan, *Matrix Computations*, §10.3): a basis grows by the
 * products of its own vectors, one after another, each made orthogonal to all before it. Eigenvalues are sought by their
 * value, not their size: power iteration, which finds the largest |λ|, would find a negative one at many a saddle.
 *
 * From one start an eigenvalue is met once, however often the operator has it (a linear model of K outputs has each K
 * times). So where k > 1 are asked for and found, other starts are given a chance to show more of them.
 */
import { random } from '../random'

export interface SymmetricOperator {
  readonly size: number
  product(v: Float64Array): Promise<Float64Array>
}

export interface EigenOptions {
  /** How many; as many as there are, where there are fewer. */
  readonly k: number
  /** Most products. */
  readonly most: number
  /** Enough where every residual is below this share of the largest |eigenvalue| seen. */
  readonly tolerance: number
  /** Of the starting vectors. */
  readonly seed: number
}

export interface Eigenpairs {
  /** From the largest on. */
  readonly values: Float64Array
  /** A unit vector for each. */
  readonly vectors: readonly Float64Array[]
  readonly products: number
  /** The largest ‖Hv − λv‖: so near to each value lies an eigenvalue. */
  readonly residual: number
}

/** Rounds of products that the other starts are given: in four, a value that belongs among the k has come up there. */
const ROUNDS = 4

/** A new vector is taken for none where so little of it is left, as a share of what it was: rounding, not direction. */
const BREAKDOWN = 1e-10

export async function largestEigenpairs(
  { size, product }: SymmetricOperator,
  { k: asked, most, tolerance, seed }: EigenOptions,
): Promise<Eigenpairs> {
  const k = Math.min(asked, size)
  const start = random(seed, 'lanczos')
  const basis: Float64Array[] = []
  // Column j: the product of basis vector j, in coordinates of the basis.
  const columns: number[][] = []
  const grow = (candidate: Float64Array): number[] => {
    const before = Math.sqrt(dotOf(candidate, candidate))
    const coordinates = orthogonalise(candidate, basis)
    const norm = Math.sqrt(dotOf(candidate, candidate))
    if (basis.length === size || !(norm > BREAKDOWN * before)) return coordinates
    for (let i = 0; i < size; i++) candidate[i] /= norm
    basis.push(candidate)
    return [...coordinates, norm]
  }
  const growAnew = (): void => {
    grow(Float64Array.from({ length: size }, () => start.normal()))
  }
  growAnew()

  let enough = k === 1 ? 1 : Number.POSITIVE_INFINITY
  for (;;) {
    columns.push(grow(await product(basis[columns.length].slice())))
    const found = ritz(columns, basis.length, k)
    const isExhausted = columns.length === Math.min(Math.max(most, k), size)
    const isFound = columns.length >= k && found.residual <= tolerance * found.scale
    if (isExhausted || (isFound && columns.length >= enough))
      return {
        values: found.values,
        vectors: found.coordinates.map((s) => combine(basis, s)),
        products: columns.length,
        residual: found.residual,
      }
    if (isFound && enough === Number.POSITIVE_INFINITY) {
      enough = columns.length + ROUNDS * k
      for (let i = 1; i < k; i++) growAnew()
    }
    // The basis is closed under the operator: what is not in it has to be looked for anew.
    if (columns.length === basis.length) growAnew()
  }
}

/** Takes from `v` what lies along `basis`, twice (once is not enough in rounded arithmetic: Giraud et al. 2005). */
function orthogonalise(v: Float64Array, basis: readonly Float64Array[]): number[] {
  const coordinates = new Array<number>(basis.length).fill(0)
  for (let pass = 0; pass < 2; pass++)
    for (const [j, q] of basis.entries()) {
      const c = dotOf(q, v)
      coordinates[j] += c
      for (let i = 0; i < v.length; i++) v[i] -= c * q[i]
    }
  return coordinates
}

/**
 * The k largest eigenpairs of the operator seen from the m vectors that have been multiplied. What a product has
 * outside their span, along the vectors still to be multiplied, is the residual.
 */
function ritz(columns: readonly number[][], size: number, k: number) {
  const m = columns.length
  const projected = columns.map((column, j) => columns.map((row, i) => ((column[i] ?? 0) + (row[j] ?? 0)) / 2))
  const { values, vectors } = symmetricEigen(projected)
  const order = Array.from(values.keys()).sort((a, b) => values[b] - values[a])
  const taken = order.slice(0, k)
  const coordinates = taken.map((i) => vectors.map((row) => row[i]))
  let residual = 0
  for (const s of coordinates) {
    let squares = 0
    for (let i = m; i < size; i++) {
      let outside = 0
      for (let j = 0; j < m; j++) outside += (columns[j][i] ?? 0) * s[j]
      squares += outside * outside
    }
    residual = Math.max(residual, Math.sqrt(squares))
  }
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  return { values: Float64Array.from(taken, (i) => values[i]), coordinates, residual, scale }
}

function combine(basis: readonly Float64Array[], coordinates: readonly number[]): Float64Array {
  const vector = new Float64Array(basis[0].length)
  for (const [j, c] of coordinates.entries()) for (let i = 0; i < vector.length; i++) vector[i] += c * basis[j][i]
  return vector
}

function dotOf(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

const MOST_SWEEPS = 60

/**
 * All eigenpairs of a small symmetric matrix, by Jacobi's rotations in cyclic order (Golub & Van Loan §8.5); column i
 * of `vectors` belongs to values[i]. Error of a value: a few roundings of the largest.
 */
export function symmetricEigen(matrix: readonly (readonly number[])[]): { values: number[]; vectors: number[][] } {
  const n = matrix.length
  const a = matrix.map((row) => [...row])
  const vectors = a.map((_, i) => a.map((_, j) => Number(i === j)))
  const offDiagonal = (): number => {
    let sum = 0
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) sum += a[i][j] * a[i][j]
    return Math.sqrt(sum)
  }
  const size = Math.hypot(...a.flat())
  for (let sweep = 0; sweep < MOST_SWEEPS && offDiagonal() > 1e-16 * size; sweep++)
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(1, theta))
        const c = 1 / Math.hypot(1, t)
        const s = t * c
        for (let i = 0; i < n; i++) {
          const [x, y] = [a[i][p], a[i][q]]
          a[i][p] = c * x - s * y
          a[i][q] = s * x + c * y
        }
        const [rowP, rowQ] = [a[p], a[q]]
        for (let i = 0; i < n; i++) {
          const [x, y] = [rowP[i], rowQ[i]]
          rowP[i] = c * x - s * y
          rowQ[i] = s * x + c * y
        }
        for (const row of vectors) {
          const [x, y] = [row[p], row[q]]
          row[p] = c * x - s * y
          row[q] = s * x + c * y
        }
      }
  return { values: a.map((row, i) => row[i]), vectors }
}
