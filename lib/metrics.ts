/**
 * Metrics: a table with rows. A metric compares encoded targets with a model's outputs (probabilities for classes,
 * values in the caller's units for a regression) and says one number, or a list or table of them. Sums are in double,
 * each row counting by its weight. Formulas are scikit-learn's, and so are the edges: what would divide by 0 is 0
 * (`zero_division=0`), and of classes that neither truth nor prediction holds no mean knows.
 */
import type { Matrix } from './data/matrix'
import { type Coding, decodeOutputs, indicesOf, type Label, type Task } from './data/targets'
import { DownhillError, describe, expected, nearest, refuseUnknown } from './errors'
import { checkName } from './names'
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

/** One number, one a class, or one for each pair of classes. */
export type MetricValue = number | Float64Array | Matrix

export interface Metric<V extends MetricValue = MetricValue> {
  readonly name: string
  readonly synopsis: string
  /** Tasks it is defined for. */
  readonly tasks: readonly Task[]
  /** Which way is better. */
  readonly better: 'higher' | 'lower'
  /** Whether it is more than one number. */
  readonly isList?: true
  /** Whether it looks at probabilities, and not only at what is predicted from them. */
  readonly ofShares?: true
  compute(comparison: Comparison): V
}

// ---------------------------------------------------------------------------------------------------- counts

const OF_CLASSES = ['binary', 'multiclass', 'multilabel'] as const
const ONE_CLASS = ['binary', 'multiclass'] as const

function weightOf({ weights }: Comparison, row: number): number {
  return weights ? weights[row] : 1
}

/** Σω; the rows where they have no weights. */
function total({ weights, rows }: Comparison): number {
  return weights ? sum(weights) : rows
}

function sum(values: ArrayLike<number>): number {
  let all = 0
  for (let i = 0; i < values.length; i++) all += values[i]
  return all
}

const ratio = (a: number, b: number): number => (b > 0 ? a / b : 0)
const mean = (values: ArrayLike<number>): number => sum(values) / values.length

/** Classes there are; two at least where one output tells two apart. */
function classCount({ classes, outputs }: Coding): number {
  return classes?.length ?? Math.max(2, outputs)
}

/** How often each class (row) was predicted as each (column); weights added up. */
function confusion(comparison: Comparison): Float64Array {
  const { truth, targets, outputs, rows, coding } = comparison
  const K = classCount(coding)
  const counts = new Float64Array(K * K)
  const theirs = indicesOf(truth, targets, rows, coding)
  const ours = indicesOf(outputs, coding.outputs, rows, coding)
  for (let r = 0; r < rows; r++) counts[theirs[r] * K + ours[r]] += weightOf(comparison, r)
  return counts
}

/** Of each class or label: weight of rows that have it, that are said to, and that are rightly said to. */
interface Counts {
  readonly actual: Float64Array
  readonly predicted: Float64Array
  readonly right: Float64Array
}

function countsOf(comparison: Comparison): Counts {
  const { truth, outputs, rows, coding } = comparison
  const K = coding.task === 'multilabel' ? coding.outputs : classCount(coding)
  const [actual, predicted, right] = [0, 0, 0].map(() => new Float64Array(K))
  if (coding.task === 'multilabel') {
    for (let r = 0; r < rows; r++)
      for (let k = 0; k < K; k++) {
        const weight = weightOf(comparison, r)
        const [is, says] = [truth[r * K + k] >= 0.5, outputs[r * K + k] >= 0.5]
        if (is) actual[k] += weight
        if (says) predicted[k] += weight
        if (is && says) right[k] += weight
      }
    return { actual, predicted, right }
  }
  const counts = confusion(comparison)
  for (let k = 0; k < K; k++)
    for (let j = 0; j < K; j++) {
      actual[k] += counts[k * K + j]
      predicted[j] += counts[k * K + j]
      if (k === j) right[k] += counts[k * K + k]
    }
  return { actual, predicted, right }
}

// ---------------------------------------------------------------------------------------------------- averages

/** Precision, recall and F1 of one class from its counts. */
const OF_COUNTS = {
  precision: {
    synopsis: 'of what is said to be of a class, the share that is',
    of: (right: number, predicted: number, _actual: number) => ratio(right, predicted),
  },
  recall: {
    synopsis: 'of what is of a class, the share that is said to be',
    of: (right: number, _predicted: number, actual: number) => ratio(right, actual),
  },
  f1: {
    synopsis: 'harmonic mean of precision and recall',
    of: (right: number, predicted: number, actual: number) => ratio(2 * right, predicted + actual),
  },
} as const
type CountName = keyof typeof OF_COUNTS
type Of = (right: number, predicted: number, actual: number) => number

const perClass = (of: Of, { actual, predicted, right }: Counts): Float64Array =>
  right.map((count, k) => of(count, predicted[k], actual[k]))

/** How the numbers of the classes become one. */
const AVERAGES = {
  Macro: {
    synopsis: 'mean over classes',
    of(of: Of, counts: Counts, isSeenOnly: boolean): number {
      const isSeen = (_: number, k: number): boolean => !isSeenOnly || counts.actual[k] + counts.predicted[k] > 0
      return mean(perClass(of, counts).filter(isSeen))
    },
  },
  Micro: {
    synopsis: 'from the counts of all classes together',
    of: (of: Of, { right, predicted, actual }: Counts) => of(sum(right), sum(predicted), sum(actual)),
  },
  Weighted: {
    synopsis: 'mean over classes, each by its share of the rows',
    of: (of: Of, counts: Counts) =>
      ratio(sum(perClass(of, counts).map((value, k) => value * counts.actual[k])), sum(counts.actual)),
  },
} as const
type AverageName = keyof typeof AVERAGES

function countRows(name: CountName): Metric[] {
  const { synopsis, of } = OF_COUNTS[name]
  const averaged = (average: AverageName, comparison: Comparison): number =>
    AVERAGES[average].of(of, countsOf(comparison), comparison.coding.task !== 'multilabel')
  return [
    {
      name,
      synopsis: `${synopsis}: of the second of two classes, of more ${AVERAGES.Macro.synopsis}`,
      tasks: OF_CLASSES,
      better: 'higher',
      compute(comparison) {
        if (comparison.coding.task !== 'binary') return averaged('Macro', comparison)
        const { right, predicted, actual } = countsOf(comparison)
        return right.length < 2 ? 0 : of(right[1], predicted[1], actual[1])
      },
    },
    ...(Object.keys(AVERAGES) as AverageName[]).map(
      (average): Metric => ({
        name: `${name}${average}`,
        synopsis: `${name}, ${AVERAGES[average].synopsis}`,
        tasks: OF_CLASSES,
        better: 'higher',
        compute: (comparison) => averaged(average, comparison),
      }),
    ),
    {
      name: `${name}PerClass`,
      synopsis: `${name} of each class, in their order`,
      tasks: OF_CLASSES,
      better: 'higher',
      isList: true,
      compute: (comparison) => perClass(of, countsOf(comparison)),
    },
  ]
}

// ---------------------------------------------------------------------------------------------------- shares

/** Of each class its column of truth, 0 or 1, and of probabilities; of two classes the second's alone. */
function columnsOf({ truth, targets, outputs, rows, coding }: Comparison): { is: Uint8Array; p: Float64Array }[] {
  const O = coding.outputs
  const column = (o: number): Float64Array => Float64Array.from({ length: rows }, (_, r) => outputs[r * O + o])
  if (coding.task === 'multilabel')
    return Array.from({ length: O }, (_, o) => ({
      is: Uint8Array.from({ length: rows }, (_, r) => Number(truth[r * O + o] >= 0.5)),
      p: column(o),
    }))
  const theirs = indicesOf(truth, targets, rows, coding)
  const classes = classCount(coding) > 2 ? Array.from({ length: O }, (_, k) => k) : [1]
  return classes.map((k) => ({ is: Uint8Array.from(theirs, (index) => Number(index === k)), p: column(O > 1 ? k : 0) }))
}

/** Area under the ROC curve by trapezoids, ties as one step; NaN where one side has no weight. */
function areaUnder({ is, p }: { is: Uint8Array; p: Float64Array }, comparison: Comparison): number {
  const order = Array.from(p, (_, r) => r).sort((a, b) => p[b] - p[a])
  let [yes, no, area] = [0, 0, 0]
  for (let i = 0; i < order.length; ) {
    let [more, less] = [0, 0]
    const level = p[order[i]]
    for (; i < order.length && p[order[i]] === level; i++) {
      const weight = weightOf(comparison, order[i])
      if (is[order[i]]) more += weight
      else less += weight
    }
    area += less * (yes + more / 2)
    yes += more
    no += less
    if (Number.isNaN(level)) return Number.NaN
  }
  return yes > 0 && no > 0 ? area / (yes * no) : Number.NaN
}

/** Below it a probability counts as it: scikit-learn's, of doubles. */
const LEAST_SHARE = 2 ** -52

function logLoss(comparison: Comparison): number {
  const { truth, targets, outputs, rows, coding } = comparison
  const O = coding.outputs
  const share = (p: number): number => Math.min(1 - LEAST_SHARE, Math.max(LEAST_SHARE, p))
  let all = 0
  for (let r = 0; r < rows; r++) {
    const p = Array.from({ length: O }, (_, o) => share(outputs[r * O + o]))
    const t = targets === O ? p.map((_, o) => truth[r * O + o]) : p.map((_, o) => Number(truth[r] === o))
    if (O === 1) {
      p.push(1 - p[0])
      t.push(1 - t[0])
    }
    const norm = sum(p)
    for (const [o, target] of t.entries())
      if (target !== 0) all -= weightOf(comparison, r) * target * Math.log(p[o] / norm)
  }
  return all / total(comparison)
}

/** Whether the true class is among the k largest outputs of its row; of equals those of higher index come first. */
function topShare(comparison: Comparison, k: number): number {
  const { truth, targets, outputs, rows, coding } = comparison
  const O = coding.outputs
  const theirs = indicesOf(truth, targets, rows, coding)
  let right = 0
  for (let r = 0; r < rows; r++) {
    const own = outputs[r * O + theirs[r]]
    let ahead = 0
    for (let o = 0; o < O; o++) {
      const other = outputs[r * O + o]
      if (other > own || (other === own && o > theirs[r])) ahead++
    }
    if (ahead < k) right += weightOf(comparison, r)
  }
  return right / total(comparison)
}

// ---------------------------------------------------------------------------------------------------- numbers

/** The mean over columns of `of`, the weighted mean over rows of a term of truth and output. */
function errorRow(
  name: string,
  synopsis: string,
  term: (t: number, y: number) => number,
  of: (mean: number) => number = (value) => value,
): Metric<number> {
  return {
    name,
    synopsis,
    tasks: ['regression'],
    better: 'lower',
    compute(comparison) {
      const { truth, outputs, rows, coding } = comparison
      const O = coding.outputs
      const sums = new Float64Array(O)
      for (let r = 0; r < rows; r++)
        for (let o = 0; o < O; o++) sums[o] += weightOf(comparison, r) * term(truth[r * O + o], outputs[r * O + o])
      return mean(sums.map((value) => of(value / total(comparison))))
    },
  }
}

function r2(comparison: Comparison): number {
  const { truth, outputs, rows, coding, weights } = comparison
  const O = coding.outputs
  if (rows < 2) return Number.NaN
  const all = total(comparison)
  const first = weights ? weights.findIndex((weight) => weight > 0) : 0
  let scores = 0
  for (let o = 0; o < O; o++) {
    // Differences from the first row: a constant column has spread 0 exactly, and large offsets cost no digits.
    const origin = truth[first * O + o]
    let shift = 0
    for (let r = first; r < rows; r++) shift += (weightOf(comparison, r) * (truth[r * O + o] - origin)) / all
    let missed = 0
    let spread = 0
    for (let r = first; r < rows; r++) {
      const weight = weightOf(comparison, r)
      missed += weight * (truth[r * O + o] - outputs[r * O + o]) ** 2
      if (weight > 0) spread += weight * (truth[r * O + o] - origin - shift) ** 2
    }
    scores += spread > 0 ? 1 - missed / spread : missed === 0 ? 1 : 0
  }
  return scores / O
}

// ---------------------------------------------------------------------------------------------------- rows

/** The first that names a task is its own. */
const ROWS: readonly Metric[] = [
  {
    name: 'accuracy',
    synopsis: 'share of rows whose predicted class is the true one; multilabel: whose every label is right',
    tasks: OF_CLASSES,
    better: 'higher',
    compute(comparison) {
      const { truth, targets, outputs, rows, coding } = comparison
      const O = coding.outputs
      let right = 0
      if (coding.task === 'multilabel') {
        for (let r = 0; r < rows; r++) {
          let o = 0
          while (o < O && outputs[r * O + o] >= 0.5 === truth[r * O + o] >= 0.5) o++
          if (o === O) right += weightOf(comparison, r)
        }
        return right / total(comparison)
      }
      const theirs = indicesOf(truth, targets, rows, coding)
      const ours = indicesOf(outputs, O, rows, coding)
      for (let r = 0; r < rows; r++) if (ours[r] === theirs[r]) right += weightOf(comparison, r)
      return right / total(comparison)
    },
  },
  {
    name: 'r2',
    synopsis:
      '1 − Σ(t − y)² / Σ(t − mean t)², the mean over columns; 1 or 0 where t is constant; NaN for fewer than two rows',
    tasks: ['regression'],
    better: 'higher',
    compute: r2,
  },
  {
    name: 'balancedAccuracy',
    synopsis: 'mean recall of the classes that there are',
    tasks: ONE_CLASS,
    better: 'higher',
    compute(comparison) {
      const { actual, right } = countsOf(comparison)
      return mean(right.map((count, k) => count / actual[k]).filter((_, k) => actual[k] > 0))
    },
  },
  ...countRows('precision'),
  ...countRows('recall'),
  ...countRows('f1'),
  {
    name: 'mcc',
    synopsis: "correlation of truth and prediction (Matthews' coefficient); 0 where either is constant",
    tasks: ONE_CLASS,
    better: 'higher',
    compute(comparison) {
      const { actual, predicted, right } = countsOf(comparison)
      const n = sum(actual)
      const dot = (a: Float64Array, b: Float64Array): number => sum(a.map((value, k) => value * b[k]))
      const spread = (n * n - dot(predicted, predicted)) * (n * n - dot(actual, actual))
      return spread > 0 ? (sum(right) * n - dot(actual, predicted)) / Math.sqrt(spread) : 0
    },
  },
  {
    name: 'auc',
    synopsis: 'area under the ROC curve; of more than two classes the mean of each against the rest; NaN without both',
    tasks: OF_CLASSES,
    better: 'higher',
    ofShares: true,
    compute: (comparison) => mean(columnsOf(comparison).map((column) => areaUnder(column, comparison))),
  },
  {
    name: 'logLoss',
    synopsis: 'mean of −log p of the true class, p no less than 2⁻⁵²',
    tasks: ONE_CLASS,
    better: 'lower',
    ofShares: true,
    compute: logLoss,
  },
  {
    name: 'confusionMatrix',
    synopsis: 'how often each class (row) was predicted as each (column)',
    tasks: ONE_CLASS,
    better: 'higher',
    isList: true,
    compute(comparison) {
      const K = classCount(comparison.coding)
      return { data: confusion(comparison), rows: K, columns: K }
    },
  },
  errorRow('mae', 'mean of |t − y|', (t, y) => Math.abs(t - y)),
  errorRow('mse', 'mean of (t − y)²', (t, y) => (t - y) ** 2),
  errorRow('rmse', 'root of mse, of each column', (t, y) => (t - y) ** 2, Math.sqrt),
  errorRow(
    'mape',
    'mean of |t − y| / |t|, as a share; |t| no less than 2⁻⁵²',
    (t, y) => Math.abs(t - y) / Math.max(Math.abs(t), LEAST_SHARE),
  ),
]

type Averaged = `${CountName}${'' | AverageName | 'PerClass'}`
export type MetricName =
  | 'accuracy'
  | 'balancedAccuracy'
  | Averaged
  | 'mcc'
  | 'auc'
  | 'logLoss'
  | 'confusionMatrix'
  | 'r2'
  | 'mae'
  | 'mse'
  | 'rmse'
  | 'mape'
  | `top${number}`

/** All metrics by name, but top1, top2, …, which metricNamed makes. */
export const METRICS: ReadonlyMap<string, Metric> = new Map(ROWS.map((row) => [row.name, row]))

/** Share of rows whose true class is among the k likeliest; of multiclass models. */
export function topK(k: number): `top${number}` {
  if (Number.isSafeInteger(k) && k > 0) return `top${k}`
  throw expected('a positive integer', 'k of topK', k)
}

function metricNamed(name: string, option: string): Metric {
  const k = Number(/^top([1-9]\d{0,8})$/.exec(name)?.[1])
  if (k > 0)
    return {
      name,
      synopsis: `share of rows whose true class is among the ${k} likeliest`,
      tasks: ['multiclass'],
      better: 'higher',
      ofShares: true,
      compute: (comparison) => topShare(comparison, k),
    }
  const row = METRICS.get(name)
  if (row) return row
  const guess = nearest(name, [...METRICS.keys()])
  throw new DownhillError(
    'ERR_OPTION',
    `Expected the name of a metric for ${option} but received ${describe(name)}${guess ? `; did you mean ${JSON.stringify(guess)}?` : '.'}`,
  )
}

/** The metric that `evaluate` reports beside the loss: accuracy for classes, r2 for numbers. */
export function defaultMetric(task: Task): Metric<number> {
  return ROWS.find((row) => row.tasks.includes(task)) as Metric<number>
}

// ---------------------------------------------------------------------------------------------------- the caller's

/** Truth or predictions as `predict` returns them: labels, numbers, or a Matrix. */
export type Answers = readonly Label[] | Float64Array | Matrix
export type MetricFunction = (truth: Answers, prediction: Answers) => number
/** A metric of the caller's own; `name` says what it is called in what is reported. */
export interface OwnMetric {
  readonly name: string
  readonly compute: MetricFunction
  /** @default 'higher' */
  readonly better?: 'higher' | 'lower'
}
export type MetricOption = MetricName | MetricFunction | OwnMetric

/** What was asked for, read: one or a list of names, functions and objects. @throws ERR_OPTION */
export function readMetrics(value: unknown, option = 'metrics'): readonly Metric[] {
  if (value === undefined || value === null) return []
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  const metrics = list.map((entry) => readMetric(entry, option))
  const twice = metrics.find(({ name }, i) => metrics.findIndex((other) => other.name === name) !== i)
  if (twice) throw new DownhillError('ERR_OPTION', `Expected different ${option} but ${twice.name} is there twice.`)
  return metrics
}

function readMetric(entry: unknown, option: string): Metric {
  if (typeof entry === 'string') return metricNamed(entry, option)
  if (typeof entry === 'function') return own(entry.name, entry as MetricFunction, 'higher', option)
  if (Object.prototype.toString.call(entry) !== '[object Object]')
    throw expected('names of metrics, functions or { name, compute }', option, entry)
  refuseUnknown(entry, ['name', 'compute', 'better'], 'a metric')
  const { name, compute, better = 'higher' } = entry as Partial<OwnMetric>
  if (typeof compute !== 'function') throw expected('a function', 'compute of a metric', compute)
  return own(name, compute, checkName(better, ['higher', 'lower'], 'better of a metric'), option)
}

function own(name: unknown, compute: MetricFunction, better: Metric['better'], option: string): Metric {
  if (typeof name !== 'string' || name === '')
    throw expected('a named function, or { name, compute },', option, name === '' ? compute : name)
  return {
    name,
    synopsis: "the caller's own",
    tasks: [...OF_CLASSES, 'regression'],
    better,
    compute(comparison) {
      const { outputs, rows, coding } = comparison
      const value: unknown = compute(truthOf(comparison), decodeOutputs(outputs, rows, coding))
      if (typeof value === 'number') return value
      throw expected('a number', `the value of the metric ${name}`, value)
    },
  }
}

/** The truth in the caller's terms. */
function truthOf({ truth, targets, rows, coding }: Comparison): Answers {
  if (coding.task === 'multilabel' || coding.task === 'regression') return decodeOutputs(truth, rows, coding)
  return Array.from(indicesOf(truth, targets, rows, coding), (index) => (coding.classes as readonly Label[])[index])
}

/** The task's own metric and those asked for. @throws ERR_OPTION for one that is not of the task */
export function metricsOf(task: Task, asked: readonly Metric[]): readonly Metric[] {
  const stranger = asked.find(({ tasks }) => !tasks.includes(task))
  if (stranger)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected metrics of a ${task} task but ${stranger.name} is one of ${stranger.tasks.join(', ')}.`,
    )
  const first = defaultMetric(task)
  return [first, ...asked.filter(({ name }) => name !== first.name)]
}
