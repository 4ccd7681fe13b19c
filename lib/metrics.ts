/**
 * Metrics: a table with rows. A metric compares encoded targets with a model's outputs (probabilities for classes,
 * values in the caller's units for a regression) and says one number. Sums are in double. Formulas are scikit-learn's.
 */
import { type Coding, indicesOf, type Task } from './data/targets'
import type { Floats } from './plan/plan'

/** What a metric is given: T = `targets` columns of truth, O = `coding.outputs` columns of outputs. */
export interface Comparison {
  /** (rows, T), as encodeTargets made it: class indices or one column an output. */
  readonly truth: Floats
  readonly targets: number
  /** (rows, O) */
  readonly outputs: Floats
  /** At least 1. */
  readonly rows: number
  readonly coding: Coding
  /** How much each row counts; null: 1 each. */
  readonly weights: Float64Array | null
}

export interface Metric {
  readonly name: string
  readonly synopsis: string
  /** Tasks it is defined for. */
  readonly tasks: readonly Task[]
  /** Which way is better; the best value there is. */
  readonly best: number
  compute(comparison: Comparison): number
}

function sumOf(weights: Float64Array | null, rows: number): number {
  return weights ? weights.reduce((sum, weight) => sum + weight, 0) : rows
}

const ROWS = [
  {
    name: 'accuracy',
    synopsis: 'share of rows whose predicted class is the true one; multilabel: whose every label is right',
    tasks: ['binary', 'multiclass', 'multilabel'],
    best: 1,
    compute({ truth, targets, outputs, rows, coding, weights }) {
      const O = coding.outputs
      let right = 0
      if (coding.task === 'multilabel') {
        for (let r = 0; r < rows; r++) {
          let o = 0
          while (o < O && outputs[r * O + o] >= 0.5 === truth[r * O + o] >= 0.5) o++
          if (o === O) right += weights ? weights[r] : 1
        }
        return right / sumOf(weights, rows)
      }
      const theirs = indicesOf(truth, targets, rows, coding)
      const ours = indicesOf(outputs, O, rows, coding)
      for (let r = 0; r < rows; r++) if (ours[r] === theirs[r]) right += weights ? weights[r] : 1
      return right / sumOf(weights, rows)
    },
  },
  {
    name: 'r2',
    synopsis:
      '1 − Σ(t − y)² / Σ(t − mean t)², the mean over columns; 1 or 0 where t is constant; NaN for fewer than two rows',
    tasks: ['regression'],
    best: 1,
    compute({ truth, outputs, rows, coding, weights }) {
      const O = coding.outputs
      if (rows < 2) return Number.NaN
      const total = sumOf(weights, rows)
      const first = weights ? weights.findIndex((weight) => weight > 0) : 0
      let sum = 0
      for (let o = 0; o < O; o++) {
        // Differences from the first row: a constant column has spread 0 exactly, and large offsets cost no digits.
        const origin = truth[first * O + o]
        let shift = 0
        for (let r = first; r < rows; r++) shift += ((weights ? weights[r] : 1) * (truth[r * O + o] - origin)) / total
        let missed = 0
        let spread = 0
        for (let r = first; r < rows; r++) {
          const weight = weights ? weights[r] : 1
          missed += weight * (truth[r * O + o] - outputs[r * O + o]) ** 2
          spread += weight * (truth[r * O + o] - origin - shift) ** 2
        }
        sum += spread > 0 ? 1 - missed / spread : missed === 0 ? 1 : 0
      }
      return sum / O
    },
  },
] as const satisfies readonly Metric[]

export type MetricName = (typeof ROWS)[number]['name']

/** All metrics by name. */
export const METRICS: ReadonlyMap<MetricName, Metric> = new Map(ROWS.map((row) => [row.name, row]))

/** The metric that `evaluate` reports beside the loss: accuracy for classes, r2 for numbers. */
export function defaultMetric(task: Task): Metric {
  return ROWS.find((row: Metric) => row.tasks.includes(task)) as Metric
}
