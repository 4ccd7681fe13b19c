/**
 * Cross-validation: a program trained k times, each time without one of k parts of the rows, and scored on that part.
 *
 * The parts are drawn by the seed after a shuffle, each class spread evenly over them. Labels are coded once, by all
 * rows, so that a class that one part lacks is a class all the same. Trainings go on side by side, one thread each;
 * what comes out does not depend on how many.
 */
import { physicalCores } from '../backends/cores'
import { knownOf } from '../build'
import { type Inputs, selectRows } from '../data/matrix'
import { foldRows } from '../data/split'
import { classIndices, inferCoding, readPair, selectTargets, type Targets, type Task } from '../data/targets'
import { readWeights, type SampleWeights, selectWeights } from '../data/weights'
import { asInputs, asTargets, type Program } from '../doctor/subject'
import { expected, refuseUnknown } from '../errors'
import type { Evaluation } from '../evaluation'
import { FNN } from '../fnn'
import { defaultMetric, type Metric, type MetricOption, metricsOf, readMetrics } from '../metrics'
import { checkNumber, RANGES } from '../names'
import { type ModelOptions, readModelOptions } from '../options'
import { countTo } from '../random'
import type { History } from '../train/history'
import { type FitOptions, UNTRACED } from '../train/options'

export interface CrossValidateOptions {
  model?: ModelOptions
  fit?: FitOptions
  x: Inputs
  y: Targets
  /** Parts; an integer ≥ 2, at most as many as rows. @default 5 */
  folds?: number
  /** What is scored: 'loss', a metric of the task, or your own. @default 'accuracy' for classes, 'r2' for a regression */
  metric?: 'loss' | MetricOption
  /** Draws the parts and, where the model names none, its start. @default the model's, else 0 */
  seed?: number
}

/** The training that left one part out. */
export interface Fold {
  /** Rows that it trained on. */
  readonly rows: number
  readonly score: number
  /** On the part left out. */
  readonly evaluation: Evaluation
  readonly status: History['status']
  readonly seconds: number
}

export interface CrossValidation {
  readonly metric: string
  /** One a part. */
  readonly scores: Float64Array
  readonly mean: number
  /** Standard deviation of the scores, of the population as scikit-learn and numpy have it. */
  readonly std: number
  readonly folds: readonly Fold[]
}

const NAMES = ['model', 'fit', 'x', 'y', 'folds', 'metric', 'seed'] as const

/** @throws ERR_OPTION, ERR_SHAPE, ERR_DATA, and what `fit` rejects with */
export async function crossValidate(options: CrossValidateOptions): Promise<CrossValidation> {
  refuseUnknown(options, NAMES, 'crossValidate')
  const rounds = new Rounds(options)
  const { model = {}, fit = {} } = options
  const folds = await sideBySide(rounds.count, (fold) => rounds.run({ model, fit }, fold))
  return rounds.summarize(folds)
}

/** Runs `work` for 0 … count − 1, as many at once as there are cores; results in order. Ends at the first that fails. */
export async function sideBySide<T>(count: number, work: (i: number) => Promise<T>): Promise<T[]> {
  const results: T[] = new Array(count)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const i = next++
      try {
        results[i] = await work(i)
      } catch (error) {
        next = count
        throw error
      }
    }
  }
  const settled = await Promise.allSettled(Array.from({ length: Math.min(count, physicalCores()) }, worker))
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason
  return results
}

/** Rows of one side of a fold, as `fit` takes them. */
interface Part {
  readonly x: Inputs
  readonly y: Targets
  readonly sampleWeight: SampleWeights | undefined
}

/** The parts of one set of data, and by what a program is scored on them. */
export class Rounds {
  /** What is scored; null: the loss. */
  readonly #score: Metric | null
  readonly #metrics: readonly MetricOption[]
  readonly count: number
  readonly seed: number
  readonly #sides: readonly { readonly train: Part; readonly held: Part; readonly rows: number }[]
  /** What the data say of the model, for parts that do not. */
  readonly #known: ModelOptions

  constructor({ model = {}, fit = {}, x, y, folds = 5, metric, seed }: CrossValidateOptions) {
    const config = readModelOptions(model)
    const known = knownOf(config)
    const { inputs, dtype } = config
    const { features, targets } = readPair(x, y, { inputs: inputs ?? undefined, outputs: known.outputs, dtype })
    const coding = inferCoding(targets, known)
    this.count = checkNumber(folds, RANGES.count, 'folds')
    this.seed = checkNumber(seed ?? model.seed ?? 0, RANGES.seed, 'seed')
    this.#score = readScore(metric, coding.task)
    this.#metrics = metric === undefined || metric === 'loss' ? [] : [metric]
    const weights = readWeights(fit.sampleWeight, features.rows)
    const part = (rows: Uint32Array): Part => ({
      x: asInputs(selectRows(features, rows)),
      y: asTargets(selectTargets(targets, rows)),
      sampleWeight: selectWeights(weights, rows) ?? undefined,
    })
    const parts = foldRows(features.rows, this.count, { seed: this.seed, classes: classIndices(targets, coding) })
    this.#sides = parts.map((held) => {
      const isHeld = new Uint8Array(features.rows)
      for (const row of held) isHeld[row] = 1
      const train = countTo(features.rows).filter((row) => !isHeld[row])
      return { train: part(train), held: part(held), rows: train.length }
    })
    const { task, classes } = coding
    this.#known = { task, ...(classes && task !== 'multilabel' && { classes: [...classes] }) }
  }

  get metric(): string {
    return this.#score?.name ?? 'loss'
  }

  /** 1 where more of what is scored is better, −1 where less is. */
  get sign(): number {
    return this.#score?.better === 'higher' ? 1 : -1
  }

  /** Trains a program without part `fold`, and scores it there. */
  async run({ model, fit }: Program, fold: number): Promise<Fold> {
    const { train, held, rows } = this.#sides[fold]
    const net = new FNN({ threads: 1, ...this.#known, seed: this.seed, ...model })
    const { sampleWeight } = train
    const options: FitOptions = { ...fit, ...UNTRACED, ...(sampleWeight && { sampleWeight }) }
    const { status, seconds } = await net.fit(train.x, train.y, options)
    const weighed = held.sampleWeight && { sampleWeight: held.sampleWeight }
    const evaluation = net.evaluate(held.x, held.y, { metrics: this.#metrics, ...weighed })
    const score = evaluation[this.metric] as number
    return { rows, score, evaluation, status, seconds }
  }

  summarize(folds: readonly Fold[]): CrossValidation {
    const scores = Float64Array.from(folds, ({ score }) => score)
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length
    const std = Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length)
    return { metric: this.metric, scores, mean, std, folds }
  }
}

/** @throws ERR_OPTION for a metric that is unknown, not of the task, or no single number */
function readScore(metric: CrossValidateOptions['metric'], task: Task): Metric | null {
  if (metric === undefined) return defaultMetric(task)
  if (metric === 'loss') return null
  const [asked] = readMetrics([metric], 'metric')
  if (asked.isList) throw expected('a metric that is one number', 'metric', asked.name)
  metricsOf(task, [asked])
  return asked
}
