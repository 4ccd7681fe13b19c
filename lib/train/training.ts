/**
 * The loop of training, free of threads: a generator that yields orders to whoever carries them out (this thread or
 * another). What it records does not depend on how epochs are cut into slices.
 *
 * Where somebody looks at the run after each epoch or step, a slice ends there and is waited for. Where nobody does,
 * slices are cut by time, and some are always submitted ahead, so that training never waits for the event loop.
 */
import type { Bound, Engine } from '../backends/backend'
import { checkNumber, RANGES } from '../names'
import type { Floats, ProgramName, Report, Slice } from '../plan/plan'
import { countTo, mix32, random, shuffle } from '../random'
import { type Callback, listens, type Moment, type MomentName, told } from './callbacks'
import { type Epoch, EpochSum, type Recorder, type Status } from './history'
import type { FitSettings } from './options'

/** What a training works on. */
export interface Job {
  readonly settings: FitSettings
  /** Slices may be submitted ahead. */
  readonly isAsync: boolean
  readonly data: Bound
  /** Rows a step, at most data.rows. */
  readonly batch: number
  readonly seed: number
  /** Steps and epochs made before, by the partialFits whose state is continued. */
  readonly firstStep: number
  readonly firstEpoch: number
  /** Epochs trained before the optimizer's state began. */
  readonly since: number
  readonly validation: Validation | null
  readonly weights: { read(): Floats; write(values: Floats): void }
  /** Where a gradient stopped being finite, in words; null where only the loss did. */
  readonly suspect: () => string | null
  readonly watches: readonly Watch[]
}

/**
 * Somebody who looks at a run from within: between whole steps, where nothing is under way, and only at those asked for.
 * Steps count from 0, from the beginning of the run. What a watch does changes nothing that is recorded.
 */
export interface Watch {
  /** The next step, `from` or later, that is to be a slice of its own; Infinity where none is. */
  next(from: number): number
  /** Before and after such a step. May run slices that change no parameter of the model. */
  before?(step: number, slice: Slice<Bound>): Loop<void> | undefined
  after?(step: number, report: Report, learningRate: number): Loop<void> | undefined
  /** Steps that may be under way at once, before it has heard of them. @default any number */
  readonly reach?: number
  /** Hears every report of steps `first`, `first + 1`, … made at `learningRate`, while others may be under way. */
  hear?(first: number, report: Report, learningRate: number): void
  /** After the last step, and before the weights of `keep: 'best'` are restored. */
  end?(): Loop<void> | undefined
}

export interface Validation {
  readonly data: Bound
  /** Metrics from the outputs of all validation rows. */
  metrics(report: Report): Readonly<Record<string, number>>
}

/** Given from outside while a training runs. */
export interface Orders {
  stop: boolean
}

export interface Outcome {
  readonly status: Status
  readonly reason: string
}

/**
 * What the loop asks for: to queue a slice behind those submitted, on the training engine or on another; to hand over
 * the report of the oldest that has not been collected; to wait for a callback.
 */
export type Order =
  | { readonly submit: Slice<Bound>; readonly on?: Engine }
  | { readonly collect: true }
  | { readonly wait: Promise<void> }
export type Loop<T> = Generator<Order, T, Report | undefined>

/** A slice of about this long lets progress be told, and costs nothing measurable (docs/decisions/0001). */
const SLICE_MS = 50
/** Work submitted ahead, about: how long the event loop may be held up without the training noticing. */
const AHEAD_MS = 1000
/** Row numbers of a slice, 4 bytes each. */
const MOST_ROWS = 1 << 20

export function* training(job: Job, recorder: Recorder, orders: Orders): Loop<Outcome> {
  const { settings, data, validation } = job
  const { callbacks } = settings
  const stepsPerEpoch = Math.ceil(data.rows / job.batch)
  const total = settings.epochs * stepsPerEpoch
  const best = settings.keep === 'best' ? new Best(job) : null
  const isBatchWatched = listens(callbacks, 'onBatchEnd')
  const isEpochWatched =
    best !== null || validation !== null || listens(callbacks, 'onEpochBegin') || listens(callbacks, 'onEpochEnd')
  const isWatched = isBatchWatched || isEpochWatched

  const sum = new EpochSum(data.rows, job.batch)
  const pace = new Pace(
    isBatchWatched ? 1 : stepsPerEpoch,
    isWatched ? 1 : Math.max(1, Math.floor(MOST_ROWS / data.rows)),
  )
  let learningRate = settings.learningRate
  let planned = 0
  let inFlight = 0
  let watched: number | null = null
  const reach = Math.min(...job.watches.map((watch) => watch.reach ?? Number.POSITIVE_INFINITY))
  let loss = Number.NaN
  const moment = momentOf(job, recorder, orders, {
    get loss() {
      return loss
    },
    get learningRate() {
      return learningRate
    },
    set learningRate(value: number) {
      learningRate = value
    },
  })

  const record = (epoch: Omit<Epoch, 'epoch'>): void => {
    recorder.epochs.push({ epoch: recorder.epochs.length + 1, ...epoch })
  }

  yield* tell(callbacks, 'onTrainBegin', moment)
  let outcome: Outcome | null = null
  while (outcome === null) {
    // What was submitted before the order came has been or is being trained: it counts, so it is collected first.
    if (orders.stop && inFlight === 0) {
      outcome = stopped(recorder)
      break
    }
    if (sum.isEmpty) {
      best?.beginEpoch()
      yield* tell(callbacks, 'onEpochBegin', moment)
    }
    const depth = isWatched || !job.isAsync ? 1 : pace.depth
    for (; inFlight < depth && planned < total && watched === null && !orders.stop; inFlight++) {
      const next = Math.min(...job.watches.map((watch) => watch.next(planned)))
      // A watched step begins when all before it is collected, and nothing is submitted behind it.
      if (next === planned && inFlight > 0) break
      watched = next === planned ? planned : null
      // It leaves an epoch begun: where somebody looks at its end, it is ended first.
      const whole = isWatched ? stepsPerEpoch - (planned % stepsPerEpoch) : total
      const most = Math.min(total, watched === null ? next : planned + 1, recorder.steps + reach) - planned
      const steps = Math.min(pace.steps, whole, most)
      if (steps === 0) break
      const slice = sliceOf(job, planned, steps, stepsPerEpoch, learningRate, inFlight > 0)
      if (watched !== null) for (const watch of watchesAt(job, watched)) yield* watch.before?.(watched, slice) ?? []
      yield { submit: slice }
      planned += steps
    }
    if (inFlight === 0) continue
    const report = (yield { collect: true }) as Report
    inFlight--
    pace.learn(report)
    const first = recorder.steps
    recorder.steps += report.steps
    for (const watch of job.watches) watch.hear?.(first, report, learningRate)
    if (watched !== null) {
      for (const watch of watchesAt(job, watched)) yield* watch.after?.(watched, report, learningRate) ?? []
      watched = null
    }
    loss = report.loss[report.loss.length - 1] ?? loss

    const ended = sum.add(report, learningRate)
    if (isBatchWatched && report.stopped === null) yield* tell(callbacks, 'onBatchEnd', moment)
    for (const epoch of ended) {
      const isRefused = report.stopped === 'nonFinite' && epoch === ended[ended.length - 1]
      const seen = validation && !isRefused ? yield* validate(validation) : {}
      record({ ...epoch, ...seen })
      if (isRefused) continue
      const last = recorder.epochs[recorder.epochs.length - 1]
      best?.endEpoch(last)
      display(last, settings)
      yield* tell(callbacks, 'onEpochEnd', moment)
    }
    if (report.stopped === 'nonFinite')
      outcome = { status: 'diverged', reason: divergence(job, recorder, report, stepsPerEpoch) }
    else if (report.stopped === 'asked') outcome = stopped(recorder)
    else if (recorder.epochs.length === settings.epochs)
      outcome = { status: 'completed', reason: `All ${settings.epochs} epochs were trained.` }
  }
  // What was submitted ahead of an early end is not begun, but has still to be collected.
  for (; inFlight > 0; inFlight--) yield { collect: true }
  for (const epoch of sum.end(learningRate)) record(epoch)
  for (const watch of job.watches) yield* watch.end?.() ?? []
  best?.restore()
  yield* tell(callbacks, 'onTrainEnd', moment)
  return outcome
}

function watchesAt({ watches }: Job, step: number): Watch[] {
  return watches.filter((watch) => watch.next(step) === step)
}

/** How much is put into a slice, and how many slices are kept in flight: learnt from how long they take. */
class Pace {
  steps: number
  depth = 1

  constructor(
    readonly unit: number,
    readonly most: number,
  ) {
    this.steps = unit
  }

  learn({ steps, milliseconds }: Report): void {
    if (steps === 0) return
    const units = (SLICE_MS * steps) / (Math.max(milliseconds, 0.01) * this.unit)
    this.steps = this.unit * Math.max(1, Math.min(Math.round(units), (this.steps / this.unit) * 4, this.most))
    this.depth = Math.max(2, Math.min(64, Math.ceil((AHEAD_MS * steps) / (milliseconds * this.steps))))
  }
}

function* tell(callbacks: readonly Callback[], name: MomentName, moment: Moment): Loop<void> {
  for (const promise of told(callbacks, name, moment)) yield { wait: promise }
}

function* validate({ data, metrics }: Validation): Loop<Pick<Epoch, 'valLoss' | 'valMetrics'>> {
  yield { submit: evaluation(data) }
  const report = (yield { collect: true }) as Report
  return { valLoss: report.loss[0], valMetrics: metrics(report) }
}

/** One step over all rows that changes nothing and returns loss and outputs. */
export function evaluation(data: Bound, program: ProgramName = 'evaluate'): Slice<Bound> {
  return {
    program,
    data,
    rows: null,
    pass: data.rows,
    batch: data.rows,
    start: 0,
    steps: 1,
    learningRate: new Float64Array(0),
    step: 0,
    seed: 0,
    follows: false,
  }
}

/** Steps `from` … `from + steps` of the run; whole epochs, or within one. */
function sliceOf(
  job: Job,
  from: number,
  steps: number,
  stepsPerEpoch: number,
  rate: number,
  follows: boolean,
): Slice<Bound> {
  const { data, batch, seed, since } = job
  const first = Math.floor(from / stepsPerEpoch)
  const start = (from % stepsPerEpoch) * batch
  const order = orderOf(job, job.firstEpoch + first, Math.ceil((from + steps) / stepsPerEpoch) - first)
  return {
    program: 'train',
    data,
    rows: order && start > 0 ? order.subarray(start) : order,
    pass: data.rows,
    batch,
    start,
    steps,
    learningRate: new Float64Array(steps).fill(rate),
    step: job.firstStep + from,
    seed: mix32(seed + since),
    follows,
  }
}

/** The order of rows of `count` epochs from epoch `first`; null where it is the natural one. */
function orderOf({ settings, data, batch, seed }: Job, first: number, count: number): Uint32Array | null {
  if (!settings.shuffle || batch === data.rows) return null
  const rows = new Uint32Array(count * data.rows)
  for (let e = 0; e < count; e++)
    rows.set(shuffle(countTo(data.rows), random(seed, 'shuffle', first + e)), e * data.rows)
  return rows
}

function stopped(recorder: Recorder): Outcome {
  return { status: 'stopped', reason: `The run was asked to stop after ${recorder.steps} steps.` }
}

/** *The loss became NaN at step 12 (epoch 3); not finite first: the gradient of layer 2's weights.* */
function divergence(job: Job, recorder: Recorder, report: Report, stepsPerEpoch: number): string {
  const loss = report.loss[report.loss.length - 1]
  const step = recorder.steps + 1
  const what = Number.isFinite(loss) ? 'The gradient stopped being finite' : `The loss became ${loss}`
  const where = job.suspect()
  return `${what} at step ${step} (epoch ${Math.ceil(step / stepsPerEpoch)})${where ? `; not finite: ${where}` : ''}.`
}

/** The run as callbacks see it; `live` holds what changes under their hands. */
function momentOf(
  { settings }: Job,
  recorder: Recorder,
  orders: Orders,
  live: { readonly loss: number; learningRate: number },
): Moment {
  return {
    epochs: settings.epochs,
    get epoch() {
      return recorder.epochs.length
    },
    get step() {
      return recorder.steps
    },
    get history() {
      return recorder.epochs
    },
    get loss() {
      return live.loss
    },
    get learningRate() {
      return live.learningRate
    },
    set learningRate(value: number) {
      live.learningRate = checkNumber(value, RANGES.notNegative, 'learningRate')
    },
    stop() {
      orders.stop = true
    },
  }
}

function display(epoch: Epoch, { dispLoss, epochs }: FitSettings): void {
  if (dispLoss === 0 || (epoch.epoch % dispLoss !== 0 && epoch.epoch !== epochs)) return
  const validation = epoch.valLoss === undefined ? '' : `  validation loss ${epoch.valLoss.toPrecision(6)}`
  console.log(
    `epoch ${String(epoch.epoch).padStart(String(epochs).length)}/${epochs}  loss ${epoch.loss.toPrecision(6)}${validation}`,
  )
}

/**
 * The best weights so far. A full batch's loss belongs to the weights before its update, a validation loss to those
 * after it, and the mean over mini-batches is nearest to those at the epoch's end.
 */
class Best {
  #lowest = Number.POSITIVE_INFINITY
  #weights: Floats | null = null
  #before: Floats | null = null
  readonly #isOfStart: boolean

  constructor(readonly job: Job) {
    this.#isOfStart = job.validation === null && job.batch === job.data.rows
  }

  beginEpoch(): void {
    if (this.#isOfStart) this.#before = this.job.weights.read()
  }

  endEpoch(epoch: Epoch): void {
    const loss = epoch.valLoss ?? epoch.loss
    if (!(loss < this.#lowest)) return
    this.#lowest = loss
    this.#weights = this.#before ?? this.job.weights.read()
  }

  restore(): void {
    if (this.#weights) this.job.weights.write(this.#weights)
  }
}
