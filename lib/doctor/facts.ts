/**
 * Facts of the data: what x and y say before anything is trained.
 *
 * Sizes of columns, shares of classes, and whether neighbours in x tend to have the same y. All of it is arithmetic on a
 * sample of rows; nothing here knows a network.
 */
import type { FeatureTable } from '../data/matrix'
import type { Table } from '../plan/plan'
import { median } from './outcome'

export interface DataFacts {
  readonly rows: number
  readonly columns: number
  /** Root mean square of all entries, and of the largest column. */
  readonly rms: number
  readonly largest: number
  /**
   * Largest standard deviation of a column over the median of those that vary: a few large columns bend the loss where
   * the others need it to be followed; a few small ones do no harm.
   */
  readonly spread: number
  /** √(Σ mean² / Σ variance) over the columns that vary: how far the cloud lies from 0, in its own size. */
  readonly offset: number
  /** Of y as the network sees it: over all columns. */
  readonly targetMean: number
  readonly targetStd: number
  readonly targetLow: number
  readonly targetHigh: number
  /** Rows of each class; empty for a regression. */
  readonly classCounts: readonly number[]
}

/** `table` is what the network is given. */
export function factsOf(table: Table, isRegression: boolean): DataFacts {
  const { rows, columns, x, scale } = table
  const sums = new Float64Array(columns)
  const squares = new Float64Array(columns)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const value = x[r * columns + c] * scale
      sums[c] += value
      squares[c] += value * value
    }
  const stds: number[] = []
  let means = 0
  let largest = 0
  for (let c = 0; c < columns; c++) {
    const mean = sums[c] / rows
    const square = squares[c] / rows
    largest = Math.max(largest, Math.sqrt(square))
    const std = Math.sqrt(Math.max(0, square - mean * mean))
    if (std <= 1e-6 * Math.sqrt(square)) continue // a constant column: no scale to speak of
    stds.push(std)
    means += mean * mean
  }
  const total = squares.reduce((sum, s) => sum + s, 0)
  return {
    rows,
    columns,
    rms: Math.sqrt(total / (rows * columns)),
    largest,
    spread: stds.length > 0 ? Math.max(...stds) / median(stds) : 1,
    offset: stds.length > 0 ? Math.sqrt(means / stds.reduce((sum, std) => sum + std * std, 0)) : 0,
    ...targetFacts(table),
    classCounts: isRegression ? [] : classCounts(table),
  }
}

function targetFacts({ y, rows, targets }: Table) {
  const values = y!
  const n = rows * targets
  let sum = 0
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (let i = 0; i < n; i++) {
    sum += values[i]
    low = Math.min(low, values[i])
    high = Math.max(high, values[i])
  }
  const mean = sum / n
  let square = 0
  for (let i = 0; i < n; i++) square += (values[i] - mean) ** 2
  return { targetMean: mean, targetStd: Math.sqrt(square / n), targetLow: low, targetHigh: high }
}

/** Rows of each class that occurs; of a wide y, by its largest column. */
function classCounts({ y, rows, targets }: Table): number[] {
  const counts = new Map<number, number>()
  for (let r = 0; r < rows; r++) {
    const k = classOf(y!, r, targets)
    counts.set(k, (counts.get(k) ?? 0) + 1)
  }
  return [...counts.values()]
}

function classOf(y: ArrayLike<number>, r: number, targets: number): number {
  if (targets === 1) return Math.round(y[r])
  let best = 0
  for (let c = 1; c < targets; c++) if (y[r * targets + c] > y[r * targets + best]) best = c
  return best
}

/** Neighbours that vote, and rows that are asked. */
const NEIGHBOURS = 5
const ASKED = 400

/**
 * Do rows that are alike in x have like y? Standard scores of two predictions of a row from the others: the mean of its
 * five nearest neighbours, columns standardized, and the least-squares line through its strongest column. About 0 where
 * labels do not belong to their rows; 2 happens once in 44 by chance.
 */
export function kinship(table: Table, features: FeatureTable, isRegression: boolean): number {
  const { columns } = features
  const rows = Math.min(ASKED, table.rows)
  const stride = table.rows / rows
  const pick = (r: number): number => Math.floor(r * stride)
  const x = new Float64Array(rows * columns)
  for (let c = 0; c < columns; c++) {
    let sum = 0
    let square = 0
    for (let r = 0; r < rows; r++) sum += features.x[pick(r) * columns + c] / rows
    for (let r = 0; r < rows; r++) square += (features.x[pick(r) * columns + c] - sum) ** 2 / rows
    for (let r = 0; r < rows; r++)
      x[r * columns + c] = square > 0 ? (features.x[pick(r) * columns + c] - sum) / Math.sqrt(square) : 0
  }
  const y = Array.from({ length: rows }, (_, r) =>
    isRegression ? table.y![pick(r) * table.targets] : classOf(table.y!, pick(r), table.targets),
  )
  const near = isRegression ? regressionScore(x, y, columns) : classScore(x, y, columns)
  return Math.max(near, columnScore(x, y, columns, isRegression))
}

function nearestOf(x: Float64Array, r: number, rows: number, columns: number): number[] {
  const best: { d: number; i: number }[] = []
  for (let i = 0; i < rows; i++) {
    if (i === r) continue
    let d = 0
    for (let c = 0; c < columns; c++) d += (x[r * columns + c] - x[i * columns + c]) ** 2
    if (best.length === NEIGHBOURS && d >= best[NEIGHBOURS - 1].d) continue
    let at = best.length
    while (at > 0 && best[at - 1].d > d) at--
    best.splice(at, 0, { d, i })
    if (best.length > NEIGHBOURS) best.pop()
  }
  return best.map(({ i }) => i)
}

/** Pairs of neighbours with the same class, against as many drawn pairs. */
function classScore(x: Float64Array, y: readonly number[], columns: number): number {
  const rows = y.length
  const shares = new Map<number, number>()
  for (const k of y) shares.set(k, (shares.get(k) ?? 0) + 1 / rows)
  const expected = [...shares.values()].reduce((sum, p) => sum + p * p, 0)
  let same = 0
  for (let r = 0; r < rows; r++) for (const i of nearestOf(x, r, rows, columns)) if (y[i] === y[r]) same++
  // Neighbourhood is nearly mutual: a pair is often counted twice, so only half of the pairs are independent.
  const pairs = (rows * NEIGHBOURS) / 2
  return (same / 2 - pairs * expected) / Math.sqrt(pairs * expected * (1 - expected) + 1e-12)
}

function regressionScore(x: Float64Array, y: readonly number[], columns: number): number {
  const predicted = y.map((_, r) => {
    const around = nearestOf(x, r, y.length, columns)
    return around.reduce((sum, i) => sum + y[i], 0) / Math.max(1, around.length)
  })
  return correlation(predicted, y) * Math.sqrt(y.length)
}

/** The strongest correlation of a column with y, less what the strongest of so many would reach by chance. */
function columnScore(x: Float64Array, y: readonly number[], columns: number, isRegression: boolean): number {
  const kinds = isRegression ? [y] : [...new Set(y)].slice(0, 20).map((k) => y.map((v) => (v === k ? 1 : 0)))
  let strongest = 0
  for (const target of kinds)
    for (let c = 0; c < columns; c++) {
      const column = Array.from(y, (_, r) => x[r * columns + c])
      strongest = Math.max(strongest, Math.abs(correlation(column, target)) * Math.sqrt(y.length))
    }
  return strongest - Math.sqrt(2 * Math.log(Math.max(2, columns * kinds.length)))
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const n = a.length
  const [ma, mb] = [a.reduce((s, v) => s + v, 0) / n, b.reduce((s, v) => s + v, 0) / n]
  let [ab, aa, bb] = [0, 0, 0]
  for (let i = 0; i < n; i++) {
    ab += (a[i] - ma) * (b[i] - mb)
    aa += (a[i] - ma) ** 2
    bb += (b[i] - mb) ** 2
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0
}
