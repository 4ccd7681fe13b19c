/**
 * A metric of truth and prediction from anywhere, without a model: `score('f1', yTrue, yPred)`, as scikit-learn's
 * functions are called. It codes both as a model would, and asks the metric's row.
 */
import { type Coding, distinctLabels, encodeTargets, type Label, readTargets, type Targets } from './data/targets'
import { readWeights, type SampleWeights } from './data/weights'
import { DownhillError, refuseUnknown } from './errors'
import { type Comparison, type MetricName, type MetricValue, readMetrics } from './metrics'
import type { Floats } from './plan/plan'

export interface ScoreOptions {
  /** How much each row counts, ≥ 0. @default 1 each */
  sampleWeight?: SampleWeights
  /** Labels, in the order of a prediction's columns. @default the sorted distinct ones */
  classes?: readonly Label[]
}

/**
 * A metric by name: a number, or, where it is of every class, a list (`f1PerClass`) or a Matrix (`confusionMatrix`).
 *
 * @param truth labels; rows of 0 and 1 (multilabel); numbers for a metric of numbers
 * @param prediction the same; for auc, logLoss and top-k probabilities: of the second of two classes, or one column a class
 * @throws ERR_OPTION, ERR_SHAPE, ERR_DATA
 */
export function score(
  metric: MetricName,
  truth: Targets,
  prediction: Targets,
  options: ScoreOptions = {},
): MetricValue {
  refuseUnknown(options, ['sampleWeight', 'classes'], 'score')
  const [row] = readMetrics([metric], 'the metric of score')
  const y = readTargets(truth)
  const weights = readWeights(options.sampleWeight, y.rows)
  const { rows, columns } = y
  const compared = (coding: Coding, values: { y: Floats; targets: number }, outputs: Floats): MetricValue =>
    row.compute({ truth: values.y, targets: values.targets, outputs, rows, coding, weights } satisfies Comparison)

  if (row.tasks.includes('regression') || columns > 1) {
    const task = row.tasks.includes('regression') ? 'regression' : 'multilabel'
    if (!row.tasks.includes(task))
      throw new DownhillError('ERR_SHAPE', `Expected one label a row for ${row.name} but y has ${columns} columns.`)
    const coding: Coding = { task, outputs: columns, classes: null }
    const code = (table: typeof y) => encodeTargets(table, coding, 'dense', 'float64')
    return compared(coding, code(y), code(readTargets(prediction, { rows, outputs: columns })).y)
  }

  const theirs = readTargets(prediction, { rows })
  const found = row.ofShares ? distinctLabels(y) : distinctLabels(y, theirs)
  const isZeroOne = found.every((label) => label === 0 || label === 1)
  const classes = options.classes ?? (isZeroOne ? [0, 1] : found)
  const K = classes.length
  const coding: Coding = { task: K > 2 ? 'multiclass' : 'binary', outputs: K > 2 ? K : 1, classes }
  if (!row.tasks.includes(coding.task))
    throw new DownhillError('ERR_DATA', `Expected more than two classes for ${row.name} but found ${K}.`)
  const values = encodeTargets(y, coding, 'index', 'float64')
  if (!row.ofShares) return compared(coding, values, encodeTargets(theirs, coding, 'dense', 'float64').y)
  // Shares: a column a class, or the second's alone.
  const shares = encodeTargets(
    theirs,
    { task: 'regression', outputs: theirs.columns, classes: null },
    'dense',
    'float64',
  )
  if (K <= 2 && theirs.columns === 2)
    return compared(
      coding,
      values,
      shares.y.filter((_, i) => i % 2 === 1),
    )
  if (theirs.columns === coding.outputs) return compared(coding, values, shares.y)
  throw new DownhillError(
    'ERR_SHAPE',
    `Expected ${coding.outputs} columns of probabilities for ${row.name}, one a class, but there are ${theirs.columns}.`,
  )
}
