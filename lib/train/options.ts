/**
 * What `fit` may be asked for, read in four steps: defaults, check, interpret, check again.
 */
import type { Inputs } from '../data/matrix'
import type { Targets } from '../data/targets'
import { type ClassWeights, checkClassWeights, type SampleWeights } from '../data/weights'
import { DownhillError, expected, refuseUnknown } from '../errors'
import { type Metric, type MetricOption, readMetrics } from '../metrics'
import { checkBoolean, checkName, checkNumber, RANGES } from '../names'
import { type OptimizerName, type OptimizerSpec, optimizerRow, readOptimizer } from '../optimizers'
import { type EarlyStopping, type EarlyStoppingOptions, readEarlyStopping } from './best'
import { type Callback, readCallbacks } from './callbacks'
import { type CheckpointOptions, type CheckpointSettings, readCheckpoint, readResume } from './checkpoint'
import { type Display, readDisplay } from './progress'
import {
  type LearningRate,
  monitorsValidation,
  type RateFunction,
  rateOf,
  readSchedule,
  type ScheduleSpec,
} from './schedules'

/** Options of `fit`, `fitSync` and `partialFit`. `X` and `Y` are the kinds of data the model takes. */
export interface FitOptions<X = Inputs, Y = Targets> {
  /** Passes over the data; a positive integer. @default 100 */
  epochs?: number
  /**
   * ≥ 0; or a schedule: cosine({ … }), warmup({ … }), …; or a pure function of the step, from 0, which is also given
   * { step, epoch, steps, epochs }. What they count begins with the optimizer's state: `partialFit` goes on with it.
   * @default the optimizer factory's, else its own: 0.01 for sgd and rmsprop, 0.001 for the adam family
   */
  learningRate?: LearningRate
  /** A name, or sgd({ … }), adam({ … }), … @default 'sgd' */
  optimizer?: OptimizerName | OptimizerSpec
  /** Rows a step: a positive integer or 'full'. @default 'full' */
  batchSize?: number | 'full'
  /**
   * Batches whose gradient makes one step: the gradient of all their rows, as one batch of them has it, in the memory of
   * one. What is left at an epoch's end makes a step of its own. @default 1
   */
  accumulate?: number
  /** Shortens a gradient whose norm, all parameters together, is longer; > 0. `gradientNorm` is that before. @default none */
  clipNorm?: number
  /** Bounds each entry of the gradient to ± this, after clipNorm; > 0. @default none */
  clipValue?: number
  /**
   * Averages the weights after each step: average = ema·average + (1 − ema)·weights, the first step's weights to begin
   * with (as Keras and PyTorch do). What validates, and what the model has at the end, is the average; partialFit goes on
   * from the weights themselves. A decay in [0, 1); true is 0.99. @default false
   */
  ema?: boolean | number
  /** A new order each epoch, decided by the seed; no effect on a full batch. @default true */
  shuffle?: boolean
  /** true draws the loss in the terminal at the end; a path writes it (.svg, .png, .html). @default false */
  plot?: boolean | string
  /** Prints the loss every n epochs; true is 1, 0 and false are never. @default 0 */
  dispLoss?: number | boolean
  /** A line on stderr that shows where the run is, where that is a terminal; silent elsewhere. @default false */
  progress?: boolean
  /** As Keras has it: 0 is silent, 1 is `progress`, 2 is `dispLoss`, for what these do not say. @default 0 */
  verbose?: 0 | 1 | 2 | boolean
  /** A share in (0, 1) of the rows, drawn by the seed, stratified for classes; or rows of their own. @default none */
  validation?: number | { readonly x: X; readonly y: Y; readonly sampleWeight?: SampleWeights }
  /**
   * How much each row counts, ≥ 0: a mean loss divides by the sum of a batch's weights, a sum multiplies. Weight 2 is the
   * row twice, 0 is none. Held-out rows take theirs along. @default 1 each
   */
  sampleWeight?: SampleWeights
  /**
   * How much the rows of each class count in training, beside `sampleWeight`: a list in the order of the classes, a
   * record by label, or 'balanced', n / (K·count). Not in the validation loss. @default 1 each
   */
  classWeight?: ClassWeights
  /**
   * What is measured of the validation rows after each epoch, beside the task's own metric: names such as 'f1' or 'auc',
   * functions (truth, prediction) => number, or { name, compute, better }. @default none
   */
  metrics?: MetricOption | readonly MetricOption[]
  /** Ends the run within one batch; the run rejects with ERR_ABORTED. */
  signal?: AbortSignal
  /**
   * Keeps `history.ledger`: what each step did to the loss, as terms that add up. true takes what training computes
   * anyway, or else entries on a grid meant to cost a few per cent of the run; 'all' looks closer at every step, which
   * takes several times the run. @default false
   */
  ledger?: boolean | 'all'
  /** 'stop' resolves with status 'diverged', 'throw' rejects with ERR_DIVERGED. @default 'stop' */
  onDivergence?: 'stop' | 'throw'
  /** 'best' restores the weights with the lowest loss (of the validation rows, if there are any). @default 'last' */
  keep?: 'last' | 'best'
  /** Ends the run when it gets no better; true is 10 epochs without a lower valLoss. @default false */
  earlyStopping?: boolean | EarlyStoppingOptions
  /** A file to go on from, written every epoch, or as { path, everyEpochs, everyMinutes } says, and at the end. @default none */
  checkpoint?: string | CheckpointOptions
  /**
   * Goes on bit for bit from a checkpoint of the same model, data and options; more epochs may be asked for, over which a
   * schedule without a length stretches. A path, or true: from the file that the model was loaded from, else from that of
   * `checkpoint`, if it is there. @default false
   */
  resume?: string | boolean
  /** One or several of objects with onTrainBegin, onEpochBegin, onBatchEnd, onEpochEnd, onTrainEnd. @default none */
  callbacks?: Callback | readonly Callback[]
}

const NAMES: readonly (keyof FitOptions)[] = [
  'epochs',
  'learningRate',
  'optimizer',
  'batchSize',
  'accumulate',
  'clipNorm',
  'clipValue',
  'ema',
  'shuffle',
  'plot',
  'dispLoss',
  'progress',
  'verbose',
  'validation',
  'sampleWeight',
  'classWeight',
  'metrics',
  'signal',
  'ledger',
  'onDivergence',
  'keep',
  'earlyStopping',
  'checkpoint',
  'resume',
  'callbacks',
]

/** Options with nothing left to ask. */
export interface FitSettings extends Display {
  readonly epochs: number
  /** Where the schedule begins, or its peak; of a function, the optimizer's own. */
  readonly learningRate: number
  readonly schedule: ScheduleSpec | RateFunction
  readonly optimizer: OptimizerSpec
  readonly batchSize: number | 'full'
  readonly accumulate: number
  readonly clipNorm: number | null
  readonly clipValue: number | null
  /** Decay of the average of the weights; null: none is kept. */
  readonly ema: number | null
  readonly shuffle: boolean
  readonly plot: boolean | string
  readonly validation: number | { readonly x: unknown; readonly y: unknown; readonly sampleWeight?: unknown } | null
  /** As given: what it must be the rows say. */
  readonly sampleWeight: unknown
  readonly classWeight: ClassWeights | null
  /** Each of one number, those of the caller's own among them. */
  readonly metrics: readonly Metric[]
  readonly signal: AbortSignal | null
  readonly ledger: boolean | 'all'
  readonly onDivergence: 'stop' | 'throw'
  readonly keep: 'last' | 'best'
  readonly earlyStopping: EarlyStopping | null
  readonly checkpoint: CheckpointSettings | null
  readonly resume: string | boolean
  readonly callbacks: readonly Callback[]
}

/** Spread over the options of a fit, they leave no trace of it outside. */
export const UNTRACED = {
  plot: false,
  dispLoss: 0,
  progress: false,
  verbose: 0,
  checkpoint: undefined,
  resume: false,
} as const satisfies FitOptions

/** And nobody listens. */
export const QUIET = { ...UNTRACED, callbacks: [], ledger: false, onDivergence: 'stop' } as const satisfies FitOptions

/** @throws ERR_OPTION */
export function readFitOptions(options: unknown): FitSettings {
  if (options === undefined) return readFitOptions({})
  refuseUnknown(options, NAMES, 'fit')
  const {
    epochs = 100,
    learningRate,
    optimizer = 'sgd',
    batchSize = 'full',
    accumulate = 1,
    clipNorm,
    clipValue,
    ema,
    shuffle = true,
    plot = false,
    dispLoss,
    progress,
    verbose,
    validation,
    sampleWeight,
    classWeight,
    metrics,
    signal,
    ledger = false,
    onDivergence = 'stop',
    keep = 'last',
    earlyStopping,
    checkpoint,
    resume,
    callbacks,
  } = options as FitOptions
  const spec = readOptimizer(optimizer)
  const own = spec.learningRate ?? optimizerRow(spec).learningRate
  const schedule =
    typeof learningRate === 'function' ? learningRate : readSchedule(learningRate === undefined ? own : learningRate)
  const held = readValidation(validation)
  const measured = readFitMetrics(metrics, held !== null)
  if (typeof schedule !== 'function' && held === null && monitorsValidation(schedule))
    throw new DownhillError(
      'ERR_OPTION',
      'Expected validation for a plateau that monitors valLoss; give validation, or monitor loss.',
    )
  const size = readBatchSize(batchSize)
  if (checkNumber(accumulate, RANGES.count, 'accumulate') > 1 && size === 'full')
    throw new DownhillError('ERR_OPTION', 'Expected a batchSize for accumulate; a full batch is all rows already.')
  if (optimizerRow(spec).isSearch) refuseForSearch(spec, { batchSize: size, clipNorm, clipValue, ema, ledger })
  return {
    epochs: checkNumber(epochs, RANGES.count, 'epochs'),
    learningRate: typeof schedule === 'function' ? own : rateOf(schedule, own),
    schedule,
    optimizer: spec,
    batchSize: size,
    accumulate,
    clipNorm: readBound(clipNorm, 'clipNorm'),
    clipValue: readBound(clipValue, 'clipValue'),
    ema: readEma(ema),
    shuffle: checkBoolean(shuffle, 'shuffle'),
    plot: typeof plot === 'string' ? plot : checkBoolean(plot, 'plot'),
    ...readDisplay(verbose, progress, dispLoss),
    validation: held,
    sampleWeight,
    classWeight: checkClassWeights(classWeight),
    metrics: measured,
    signal: readSignal(signal),
    ledger: readLedger(ledger),
    onDivergence: checkName(onDivergence, ['stop', 'throw'], 'onDivergence'),
    keep: checkName(keep, ['last', 'best'], 'keep'),
    earlyStopping: readEarlyStopping(earlyStopping, measured),
    checkpoint: readCheckpoint(checkpoint),
    resume: readResume(resume),
    callbacks: readCallbacks(callbacks),
  }
}

/** What a search along a line cannot do. */
function refuseForSearch(
  { kind }: OptimizerSpec,
  { batchSize, ...rest }: Pick<FitOptions, 'batchSize' | 'clipNorm' | 'clipValue' | 'ema' | 'ledger'>,
): void {
  if (batchSize !== 'full')
    throw new DownhillError(
      'ERR_OPTION',
      `Expected full batches for ${kind}, which compares the loss of all rows from point to point; leave batchSize out.`,
    )
  for (const [name, value] of Object.entries(rest))
    if (value !== undefined && value !== null && value !== false)
      throw new DownhillError('ERR_OPTION', `Expected no ${name} for ${kind}, whose steps are searches and no passes.`)
}

function readBound(value: unknown, name: string): number | null {
  return value === undefined || value === null ? null : checkNumber(value, RANGES.positive, name)
}

/** Keras's default; PyTorch's 0.999 forgets the start only after thousands of steps. */
const DECAY = 0.99

function readEma(value: unknown): number | null {
  if (value === undefined || value === null || value === false) return null
  if (value === true) return DECAY
  if (typeof value === 'number') return checkNumber(value, RANGES.fraction, 'ema')
  throw expected('true, false or a decay in [0, 1)', 'ema', value)
}

function readBatchSize(value: unknown): number | 'full' {
  if (value === 'full') return value
  if (typeof value === 'number') return checkNumber(value, RANGES.count, 'batchSize')
  throw expected('a positive integer or "full"', 'batchSize', value)
}

function readFitMetrics(value: unknown, hasValidation: boolean): readonly Metric[] {
  const metrics = readMetrics(value)
  const list = metrics.find(({ isList }) => isList)
  if (list)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected metrics of one number for metrics of fit but ${list.name} is more than one; evaluate gives it.`,
    )
  if (metrics.length > 0 && !hasValidation)
    throw new DownhillError(
      'ERR_OPTION',
      'Expected validation rows for metrics, which are taken of them, but there are none; give validation: 0.2.',
    )
  return metrics
}

function readValidation(value: unknown): FitSettings['validation'] {
  if (value === undefined || value === null) return null
  if (typeof value === 'number' && value > 0 && value < 1) return value
  if (typeof value === 'object' && 'x' in value && 'y' in value) {
    refuseUnknown(value, ['x', 'y', 'sampleWeight'], 'validation')
    return value
  }
  throw expected('a share in (0, 1) or { x, y }', 'validation', value)
}

function readLedger(value: unknown): FitSettings['ledger'] {
  if (typeof value === 'boolean' || value === 'all') return value
  throw expected('true, false or "all"', 'ledger', value)
}

function readSignal(value: unknown): AbortSignal | null {
  if (value === undefined || value === null) return null
  if (value instanceof AbortSignal) return value
  throw expected('an AbortSignal', 'signal', value)
}
