/**
 * Weights: how much each row counts in a loss and in a metric.
 *
 * A mean divides by the sum of the weights, so that a row of weight 2 counts as that row twice, and one of weight 0 as
 * none; a sum multiplies. Weights of classes become weights of rows here, before anything below has seen them. A penalty
 * on the parameters knows no rows and no weights.
 */
import { DownhillError, describe, expected, nearest } from '../errors'
import { isFlat, type NumericArray, place, readFeatures } from './matrix'
import { type Coding, classIndices, type Label, type TargetTable } from './targets'

/** A weight ≥ 0 for each row. */
export type SampleWeights = readonly number[] | NumericArray
/** 'balanced', a weight for each class in their order, or by label; a label that is left out has weight 1. */
export type ClassWeights = 'balanced' | readonly number[] | { readonly [label: string]: number }

/**
 * The weights of `rows` rows, copied; null where none are given.
 * @throws ERR_OPTION for what is no list; ERR_SHAPE for another number of them; ERR_DATA for what is no finite number
 *   ≥ 0, or where all are 0
 */
export function readWeights(value: unknown, rows: number, name = 'sampleWeight'): Float64Array | null {
  if (value === undefined || value === null) return null
  if (!isFlat(value)) throw expected('a list of numbers, one for each row,', name, value)
  const { x, rows: found } = readFeatures(value, { inputs: 1, name, dtype: 'float64' })
  if (found !== rows)
    throw new DownhillError('ERR_SHAPE', `Expected ${rows} numbers in ${name}, one for each row, but it has ${found}.`)
  const weights = Float64Array.from(x)
  const negative = weights.findIndex((weight) => weight < 0)
  if (negative >= 0)
    throw new DownhillError(
      'ERR_DATA',
      `Expected numbers ≥ 0 in ${name} but ${place(negative, 0, 1)} is ${weights[negative]}.`,
    )
  const sum = weights.reduce((total, weight) => total + weight, 0)
  if (!(sum > 0 && sum < Number.POSITIVE_INFINITY))
    throw new DownhillError('ERR_DATA', `Expected numbers of a positive, finite sum in ${name} but it is ${sum}.`)
  return weights
}

/** The weights at `indices`, in that order. */
export function selectWeights(weights: Float64Array | null, indices: Uint32Array): Float64Array | null {
  return weights && Float64Array.from(indices, (r) => weights[r])
}

/** Whether a value may be class weights, as far as can be told without the classes. @throws ERR_OPTION */
export function checkClassWeights(value: unknown): ClassWeights | null {
  if (value === undefined || value === null) return null
  if (value === 'balanced') return value
  const isRecord = Object.prototype.toString.call(value) === '[object Object]'
  if (!isRecord && !Array.isArray(value))
    throw expected('"balanced", a list of numbers or a record of them by label', 'classWeight', value)
  for (const [label, weight] of Object.entries(value as object))
    if (!(typeof weight === 'number' && weight >= 0 && Number.isFinite(weight)))
      throw expected('a number ≥ 0', `classWeight of ${label}`, weight)
  return value as ClassWeights
}

/**
 * `weights` times the weight of each row's class; of a row of probabilities, that of its likeliest. 'balanced' gives a
 * class that has count of n rows n / (K·count), K being the classes that have any, as scikit-learn does.
 * @throws ERR_OPTION where the task has no classes or the weights do not go with them; ERR_DATA where all are 0 then
 */
export function weighClasses(
  weights: Float64Array | null,
  y: TargetTable,
  coding: Coding,
  asked: ClassWeights | null,
): Float64Array | null {
  if (asked === null) return weights
  const indices = classIndices(y, coding)
  if (indices === null)
    throw new DownhillError(
      'ERR_OPTION',
      coding.task === 'multilabel'
        ? 'Expected no classWeight for a multilabel task, whose rows are of many classes; use sampleWeight.'
        : `Expected no classWeight for a ${coding.task} task, which has no classes; use sampleWeight.`,
    )
  const classes = coding.classes as readonly Label[]
  const of = asked === 'balanced' ? balanced(indices) : isList(asked) ? listed(asked, classes) : byLabel(asked, classes)
  const weighed = Float64Array.from(indices, (index, r) => of[index] * (weights ? weights[r] : 1))
  if (weighed.some((weight) => weight > 0)) return weighed
  throw new DownhillError('ERR_DATA', 'Expected at least one row of a positive weight but classWeight leaves none.')
}

function isList(asked: ClassWeights): asked is readonly number[] {
  return Array.isArray(asked)
}

function balanced(indices: Uint32Array): number[] {
  const counts: number[] = []
  for (const index of indices) counts[index] = (counts[index] ?? 0) + 1
  const seen = counts.filter((count) => count > 0).length
  return Array.from(counts, (count) => (count > 0 ? indices.length / (seen * count) : 0))
}

function listed(asked: readonly number[], classes: readonly Label[]): readonly number[] {
  if (asked.length === classes.length) return asked
  throw expected(`${classes.length} numbers, one for each class,`, 'classWeight', asked)
}

function byLabel(asked: { readonly [label: string]: number }, classes: readonly Label[]): number[] {
  const names = classes.map(String)
  for (const label of Object.keys(asked)) {
    if (names.includes(label)) continue
    const guess = nearest(label, names)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected labels of the model for classWeight but received ${describe(label)}${guess === undefined ? '.' : `; did you mean ${JSON.stringify(guess)}?`}`,
    )
  }
  return names.map((name) => asked[name] ?? 1)
}
