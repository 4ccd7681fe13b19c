/**
 * The loop of training, free of threads: a generator that yields slices to whoever runs them (this thread or another)
 * and is handed back their reports. What it records does not depend on how epochs are cut into slices.
 */
import type { Bound } from '../backends/backend'
import type { Floats, ProgramName, Report, Slice } from '../plan/plan'
import { countTo, mix32, random, shuffle } from '../random'
import type { Epoch, Recorder, Status } from './history'
import type { FitSettings } from './options'

/** What a training works on. */
export interface Job {
  readonly settings: FitSettings
  readonly data: Bound
  /** Rows a step, at most data.rows. */
  readonly batch: number
  readonly seed: number
  /** Steps and epochs made before, by the partialFits whose state is continued. */
  readonly firstStep: number
  readonly firstEpoch: number
  readonly validation: Validation | null
  readonly weights: { read(): Floats; write(values: Floats): void }
  /** Where a gradient stopped being finite, in words; null where only the loss did. */
  readonly suspect: () => string | null
}

export interface Validation {
  readonly data: Bound
  /** Metrics from the outputs of all validation rows. */
  metrics(report: Report): Readonly<Record<string, number>>
}

/** Orders given while a training runs. */
export interface Orders {
  stop: boolean
}

export interface Outcome {
  readonly status: Status
  readonly reason: string
}

/** A slice of about this long lets progress be told, and costs nothing measurable (docs/decisions/0001). */
const SLICE_MS = 50
/** Row numbers of a slice, 4 bytes each. */
const MOST_ROWS = 1 << 20

export function* training(job: Job, recorder: Recorder, orders: Orders): Generator<Slice<Bound>, Outcome, Report> {
  const { settings, batch, data } = job
  const stepsPerEpoch = Math.ceil(data.rows / batch)
  const best = settings.keep === 'best' ? new Best(job) : null
  // Somebody looks after every epoch, or nobody before the end of the slice.
  const isWatched = best !== null || job.validation !== null
  const most = isWatched ? 1 : Math.max(1, Math.floor(MOST_ROWS / data.rows))
  let epochs = 1

  while (recorder.epochs.length < settings.epochs) {
    if (orders.stop) return stopped(recorder)
    epochs = Math.min(epochs, most, settings.epochs - recorder.epochs.length)
    best?.beginEpoch()
    const began = performance.now()
    const report = yield sliceOf(job, recorder, epochs, stepsPerEpoch)
    const took = performance.now() - began

    recorder.steps += report.steps
    const ended = epochsOf(report, job, stepsPerEpoch, recorder.epochs.length)
    if (report.stopped === 'nonFinite') {
      recorder.epochs.push(...ended)
      best?.restore()
      return { status: 'diverged', reason: divergence(job, recorder, report, stepsPerEpoch) }
    }
    if (job.validation && report.stopped === null) {
      const seen = yield evaluation(job.validation.data)
      const last = ended.pop() as Epoch
      ended.push({ ...last, valLoss: seen.loss[0], valMetrics: job.validation.metrics(seen) })
    }
    for (const epoch of ended) {
      recorder.epochs.push(epoch)
      best?.endEpoch(epoch)
      display(epoch, settings)
    }
    if (report.stopped === 'asked') {
      best?.restore()
      return stopped(recorder)
    }
    epochs = Math.max(1, Math.min(epochs * 4, Math.round((epochs * SLICE_MS) / Math.max(took, 0.1))))
  }
  best?.restore()
  return { status: 'completed', reason: `All ${settings.epochs} epochs were trained.` }
}

function sliceOf(job: Job, recorder: Recorder, epochs: number, stepsPerEpoch: number): Slice<Bound> {
  const { settings, data, batch, seed } = job
  const steps = epochs * stepsPerEpoch
  return {
    program: 'train',
    data,
    rows: orderOf(job, job.firstEpoch + recorder.epochs.length, epochs),
    pass: data.rows,
    batch,
    start: 0,
    steps,
    learningRate: new Float64Array(steps).fill(settings.learningRate),
    step: job.firstStep + recorder.steps,
    seed: mix32(seed),
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
  }
}

/** The steps of a report gathered into epochs, the last perhaps cut short. */
function epochsOf(report: Report, { data, batch, settings }: Job, stepsPerEpoch: number, before: number): Epoch[] {
  const epochs: Epoch[] = []
  for (let first = 0; first < report.loss.length; first += stepsPerEpoch) {
    const end = Math.min(first + stepsPerEpoch, report.loss.length)
    let rows = 0
    let loss = 0
    let penalty = 0
    for (let step = first; step < end; step++) {
      const size = Math.min(batch, data.rows - (step - first) * batch)
      rows += size
      loss += size * report.loss[step]
      penalty += size * report.penalty[step]
    }
    epochs.push({
      epoch: before + epochs.length + 1,
      loss: loss / rows,
      penalty: penalty / rows,
      gradientNorm: report.gradientNorm[end - 1],
      learningRate: settings.learningRate,
    })
  }
  return epochs
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
