/**
 * Kinship: does y depend on x at all? A test that needs no network.
 *
 * Each row is predicted from the others by kernel ridge regression, whose leave-one-out predictions have a closed form:
 * with A = (K + λI)⁻¹ row i is predicted as y_i − (A·y)_i / A_ii (Rasmussen & Williams 2006, §5.4.2). How well that
 * goes is compared with how well it goes when y is shuffled, many times: a permutation test, so that nothing need be
 * assumed of the data. Kernels are a linear one and Gaussians of several widths: together they see lines, and whatever
 * is smooth at the distance of neighbours.
 */
import type { FeatureTable, IndexColumn } from '../data/matrix'
import type { Floats, Table } from '../plan/plan'
import { countTo, random, shuffle } from '../random'
import { sample } from './sample'

export interface Kinship {
  /** How many standard deviations of shuffled ones the true y lies above their mean; about 0 to 2 for a shuffled y. */
  readonly score: number
  /** Rows looked at. */
  readonly rows: number
}

/** Rows that are looked at, at most. */
export const KIN_ROWS = 256
const SHUFFLES = 40
/** λ, as shares of the mean of K's diagonal: with more columns than rows little of it only interpolates. */
const RIDGES = [0.1, 10]
/** Widths of the Gaussians: these shares of the median distance. */
const WIDTHS = [1, 0.3]
/** Columns of y, or classes, that are asked for. */
const MOST_COLUMNS = 4

/**
 * @param features as the caller gave them: whatever the program does to their scale is not asked
 * @param indices columns of them that are no amounts: two are the same or not
 */
export function kinship(
  table: Table,
  features: FeatureTable,
  isOfClasses: boolean,
  seed: number,
  indices: readonly IndexColumn[] = [],
): Kinship {
  const at = sample(table.rows, KIN_ROWS, random(seed, 'sample', 2))
  const n = at.length
  const products = productsOf(features, at, indices)
  const columns = isOfClasses ? indicatorsOf(table, at) : valuesOf(table, at)
  const squares = distances(products, n)
  const kernels = [products.map((product) => product + 1), ...WIDTHS.map((width) => gaussian(squares, width))]
  const inverses = kernels.flatMap((kernel) => RIDGES.flatMap((ridge) => inverse(kernel, n, ridge) ?? []))
  const order = countTo(n)
  const scoresOf = (rows: Uint32Array): number[] => inverses.map((A) => agreement(A, columns, rows))
  const truth = scoresOf(order)
  const from = random(seed, 'shuffle', 2)
  const shuffled = Array.from({ length: SHUFFLES }, () => scoresOf(shuffle(countTo(n), from)))
  const above = truth.map((score, k) => {
    const others = shuffled.map((scores) => scores[k])
    const mean = others.reduce((sum, v) => sum + v, 0) / SHUFFLES
    const variance = others.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (SHUFFLES - 1)
    return (score - mean) / Math.sqrt(variance + 1e-12)
  })
  return { score: Math.max(0, ...above), rows: n }
}

/** Mean correlation of columns, their rows in another order, with their leave-one-out predictions. */
function agreement(A: Float64Array, columns: readonly Float64Array[], order: Uint32Array): number {
  const n = order.length
  let total = 0
  const y = new Float64Array(n)
  const predicted = new Float64Array(n)
  for (const column of columns) {
    for (let i = 0; i < n; i++) y[i] = column[order[i]]
    for (let i = 0; i < n; i++) {
      let sum = 0
      for (let j = 0; j < n; j++) sum += A[i * n + j] * y[j]
      predicted[i] = y[i] - sum / A[i * n + i]
    }
    total += correlation(predicted, y)
  }
  return total / columns.length
}

/** Inner products of rows, their columns standardized; of an index 1 where it is the same. */
function productsOf(
  { x, columns, scale }: FeatureTable,
  at: Uint32Array,
  indices: readonly IndexColumn[],
): Float64Array {
  const n = at.length
  const rows = new Float64Array(n * columns)
  for (let c = 0; c < columns; c++) {
    if (indices.some(({ column }) => column === c)) continue
    const column = unit(Float64Array.from(at, (r) => x[r * columns + c] * scale))
    for (let i = 0; i < n; i++) rows[i * columns + c] = column[i]
  }
  const products = new Float64Array(n * n)
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0
      for (let c = 0, a = i * columns, b = j * columns; c < columns; c++) sum += rows[a + c] * rows[b + c]
      for (const { column } of indices) sum += Number(x[at[i] * columns + column] === x[at[j] * columns + column])
      products[i * n + j] = sum
      products[j * n + i] = sum
    }
  return products
}

function valuesOf({ y, targets }: Table, at: Uint32Array): Float64Array[] {
  return Array.from({ length: Math.min(targets, MOST_COLUMNS) }, (_, c) =>
    unit(Float64Array.from(at, (r) => (y as Floats)[r * targets + c])),
  )
}

/** A column of 0 and 1 for each class, the most frequent first. */
function indicatorsOf(table: Table, at: Uint32Array): Float64Array[] {
  const labels = Array.from(at, (r) => classOf(table, r))
  const counts = new Map<number, number>()
  for (const k of labels) counts.set(k, (counts.get(k) ?? 0) + 1)
  // Of two classes one column says all.
  const kinds = [...counts].sort((a, b) => b[1] - a[1]).slice(0, counts.size === 2 ? 1 : MOST_COLUMNS)
  return kinds.map(([kind]) => unit(Float64Array.from(labels, (k) => Number(k === kind))))
}

/** Class of a row: the number that stands there, or the largest of its columns. */
export function classOf({ y, targets }: Pick<Table, 'y' | 'targets'>, r: number): number {
  const values = y as Floats
  if (targets === 1) return Math.round(values[r])
  let best = 0
  for (let c = 1; c < targets; c++) if (values[r * targets + c] > values[r * targets + best]) best = c
  return best
}

/** To mean 0 and deviation 1, in place; zeros where nothing varies. */
function unit(given: Float64Array): Float64Array {
  // Squares of large numbers would be infinite.
  const largest = given.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1
  const values = given.map((v) => v / largest)
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length
  const std = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length)
  return values.map((v) => (std > 1e-9 * Math.abs(mean) ? (v - mean) / std : 0))
}

/** ‖a − b‖² = a·a − 2·a·b + b·b. */
function distances(products: Float64Array, n: number): Float64Array {
  return products.map((product, k) => {
    const [i, j] = [Math.floor(k / n), k % n]
    return Math.max(0, products[i * n + i] - 2 * product + products[j * n + j])
  })
}

function gaussian(squares: Float64Array, width: number): Float64Array {
  const sorted = squares.slice().sort()
  const middle = sorted[sorted.length >> 1] || 1
  return squares.map((d) => Math.exp(-d / (2 * width * width * middle)))
}

/** (K + λI)⁻¹ by Gauss and Jordan, K being symmetric and positive; null where it is not. */
function inverse(kernel: Float64Array, n: number, ridge: number): Float64Array | null {
  const A = kernel.slice()
  let trace = 0
  for (let i = 0; i < n; i++) trace += A[i * n + i]
  for (let i = 0; i < n; i++) A[i * n + i] += (ridge * trace) / n
  // In place: each turn exchanges one variable of y = A·x.
  for (let p = 0; p < n; p++) {
    const pivot = A[p * n + p]
    if (!(pivot > 0)) return null
    for (let i = 0; i < n; i++) {
      if (i === p) continue
      const factor = A[i * n + p] / pivot
      if (factor === 0) continue
      for (let j = 0; j < n; j++) if (j !== p) A[i * n + j] -= factor * A[p * n + j]
      A[i * n + p] = -factor
    }
    for (let j = 0; j < n; j++) A[p * n + j] = j === p ? 1 / pivot : A[p * n + j] / pivot
  }
  return A
}

function correlation(a: Float64Array, b: Float64Array): number {
  const n = a.length
  let [ma, mb] = [0, 0]
  for (let i = 0; i < n; i++) {
    ma += a[i] / n
    mb += b[i] / n
  }
  let [ab, aa, bb] = [0, 0, 0]
  for (let i = 0; i < n; i++) {
    ab += (a[i] - ma) * (b[i] - mb)
    aa += (a[i] - ma) ** 2
    bb += (b[i] - mb) ** 2
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0
}
