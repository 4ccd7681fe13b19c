/**
 * Standardization: (value − mean) / std for each column, fitted on the training rows and undone at predict.
 *
 * Mean and population std in double, by two passes over differences from the column's first value: a constant column
 * has std 0 exactly, however its values round, and is given 1. Nothing is changed in place. What is kept is plain data.
 */
import { DownhillError } from '../errors'
import type { Dtype, Floats } from '../plan/plan'
import { type FeatureTable, LIMITS, place } from './matrix'

/** One mean and one std a column. Plain numbers: JSON keeps every bit. */
export interface Standardization {
  readonly mean: readonly number[]
  /** Positive; 1 for a constant column. */
  readonly std: readonly number[]
}

/**
 * Mean and population std of each column, each row counting by its weight (1 if left out).
 *
 * Max error: relative 4·n·2⁻⁵³ of a column's range, for the mean and the std. Domain: finite values whose differences
 * from the column's first sum to less than a double's largest.
 *
 * @throws ERR_DATA beyond that
 */
export function fitStandardization(
  { x, columns, scale, rows }: FeatureTable,
  weights?: Float64Array | null,
  name = 'x',
): Standardization {
  const n = weights ? weights.reduce((sum, weight) => sum + weight, 0) : rows
  const weightOf = (r: number): number => (weights ? weights[r] : 1)
  // A row of weight 0 is none at all, so that what is left may be constant.
  const first = weights ? weights.findIndex((weight) => weight > 0) : 0
  const origin = Float64Array.from({ length: columns }, (_, c) => x[first * columns + c] * scale)
  const sums = new Float64Array(columns) // Σ weight·(value − origin)
  const range = new Float64Array(columns) // max |value − origin|
  for (let r = first; r < rows; r++) {
    const weight = weightOf(r)
    for (let c = 0, i = r * columns; c < columns && weight > 0; c++, i++) {
      const d = x[i] * scale - origin[c]
      sums[c] += weight * d
      if (Math.abs(d) > range[c]) range[c] = Math.abs(d)
    }
  }
  const tooFar = sums.findIndex((sum, c) => !Number.isFinite(sum) || range[c] === Number.POSITIVE_INFINITY)
  if (tooFar >= 0)
    throw new DownhillError(
      'ERR_DATA',
      `Expected values within a double's range of each other in ${name} but column ${tooFar} (counted from 0) has not.`,
    )
  // Squares are taken relative to the range, so that they neither overflow nor underflow.
  const shift = sums.map((sum) => sum / n)
  const squares = new Float64Array(columns) // Σ weight·((value − mean) / range)²
  for (let r = first; r < rows; r++) {
    const weight = weightOf(r)
    for (let c = 0, i = r * columns; c < columns && weight > 0; c++, i++) {
      const d = (x[i] * scale - origin[c] - shift[c]) / range[c] // NaN in a constant column, unused
      squares[c] += weight * d * d
    }
  }
  const mean = Array.from(shift, (d, c) => origin[c] + d)
  const std = Array.from(range, (d, c) => (d > 0 ? d * Math.sqrt(squares[c] / n) : 1))
  return { mean, std }
}

/**
 * (value − mean) / std for every entry, as a new table of `dtype`.
 * @throws ERR_SHAPE another number of columns; ERR_DATA a result beyond `dtype`
 */
export function standardize(
  { x, rows, columns, scale }: FeatureTable,
  { mean, std }: Standardization,
  dtype: Dtype = 'float32',
  name = 'x',
): FeatureTable & { readonly x: Floats } {
  requireColumns(columns, mean.length, name)
  const standardized = dtype === 'float64' ? new Float64Array(rows * columns) : new Float32Array(rows * columns)
  const limit = LIMITS[dtype]
  for (let r = 0, i = 0; r < rows; r++)
    for (let c = 0; c < columns; c++, i++) {
      const z = (x[i] * scale - mean[c]) / std[c]
      if (!(Math.abs(z) < limit))
        throw new DownhillError(
          'ERR_DATA',
          `Expected values within ${dtype}'s range in ${name} but ${place(r, c, columns)} standardized is ${z}.`,
        )
      standardized[i] = z
    }
  return { x: standardized, rows, columns, scale: 1 }
}

/** z × std + mean for every entry of (rows, columns) values, in double. */
export function unstandardize(values: Floats, { mean, std }: Standardization): Float64Array {
  const columns = mean.length
  requireColumns(values.length % columns, 0, 'the values')
  const restored = new Float64Array(values.length)
  for (let i = 0; i < restored.length; i++) restored[i] = values[i] * std[i % columns] + mean[i % columns]
  return restored
}

function requireColumns(found: number, wanted: number, name: string): void {
  if (found === wanted) return
  throw new DownhillError('ERR_SHAPE', `Expected ${wanted} columns in ${name} but it has ${found}.`)
}
