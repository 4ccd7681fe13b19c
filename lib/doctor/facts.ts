/**
 * Facts of the data: what x and y say before anything is trained.
 *
 * Sizes of columns, shares of classes. All of it is arithmetic; nothing here knows a network. Whether y depends on x is
 * asked in kinship.ts.
 */
import { encodeInputs } from '../data/codec'
import type { IndexColumn } from '../data/matrix'
import { fitStandardization } from '../data/standardize'
import type { Task } from '../data/targets'
import { DownhillError } from '../errors'
import type { Floats, Table } from '../plan/plan'
import { conditionNumber } from './instruments'
import { classOf } from './kinship'
import { median } from './outcome'
import { sampleTable } from './sample'

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
  /** Condition number of x as it is and with its columns standardized (instruments.ts); NaN of too many columns. */
  readonly condition: number
  readonly standardCondition: number
  /** Rows that both are of. */
  readonly conditionRows: number
  /** Of y as the network sees it: over all columns. */
  readonly targetMean: number
  readonly targetStd: number
  readonly targetLow: number
  readonly targetHigh: number
  /** Rows of each class; empty for a regression. */
  readonly classCounts: readonly number[]
}

/**
 * @param given what the network is given
 * @param indices columns of it that are no amounts, and are left out of what is said of x
 */
export function factsOf(given: Table, task: Task, indices: readonly IndexColumn[] = []): DataFacts {
  const table = without(given, indices)
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
    rms: columns > 0 ? Math.sqrt(total / (rows * columns)) : 1,
    largest,
    spread: stds.length > 0 ? Math.max(...stds) / median(stds) : 1,
    offset: stds.length > 0 ? Math.sqrt(means / stds.reduce((sum, std) => sum + std * std, 0)) : 0,
    ...conditions(table),
    ...targetFacts(table),
    classCounts: task === 'regression' ? [] : countsOf(table, task !== 'multilabel'),
  }
}

/** A table without some of its columns. */
function without(table: Table, indices: readonly IndexColumn[]): Table {
  if (indices.length === 0) return table
  const { rows, columns: all, x, scale } = table
  const kept = Array.from({ length: all }, (_, c) => c).filter((c) => indices.every(({ column }) => column !== c))
  const columns = kept.length
  const values = new Float64Array(rows * columns)
  for (let i = 0; i < values.length; i++) values[i] = x[Math.floor(i / columns) * all + kept[i % columns]] * scale
  return { ...table, x: values, columns, scale: 1 }
}

/** Columns whose condition number is worth its time, which grows with their cube, and rows it is taken of. */
const MOST_COLUMNS = 64
const MOST_ROWS = 2048

function conditions(table: Table): Pick<DataFacts, 'condition' | 'standardCondition' | 'conditionRows'> {
  if (table.columns > MOST_COLUMNS || table.columns === 0)
    return { condition: Number.NaN, standardCondition: Number.NaN, conditionRows: table.rows }
  const some = sampleTable(table, MOST_ROWS, 0)
  const conditionRows = some.rows
  const { condition } = conditionNumber(some)
  try {
    const standard = { ...some, ...encodeInputs({ inputs: fitStandardization(some) }, some, 'float64') }
    return { condition, standardCondition: conditionNumber(standard).condition, conditionRows }
  } catch (error) {
    // Values that lie too far apart to be standardized.
    if (error instanceof DownhillError) return { condition, standardCondition: Number.NaN, conditionRows }
    throw error
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
  // In units of the largest, whose square may be infinite.
  const unit = Math.max(Math.abs(low), Math.abs(high)) || 1
  let square = 0
  for (let i = 0; i < n; i++) square += ((values[i] - mean) / unit) ** 2
  return { targetMean: mean, targetStd: unit * Math.sqrt(square / n), targetLow: low, targetHigh: high }
}

/** Rows of each class that occurs; of several labels a row, of each combination. */
function countsOf(table: Table, isOfClasses: boolean): number[] {
  const { y, targets, rows } = table
  const counts = new Map<number | string, number>()
  for (let r = 0; r < rows; r++) {
    const k = isOfClasses ? classOf(table, r) : (y as Floats).slice(r * targets, (r + 1) * targets).join()
    counts.set(k, (counts.get(k) ?? 0) + 1)
  }
  return [...counts.values()]
}
