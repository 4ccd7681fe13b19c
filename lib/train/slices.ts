/**
 * Slices: which rows of which epoch a step works on, and how many steps are submitted at once.
 */
import type { Bound } from '../backends/backend'
import type { ProgramName, Report, Slice } from '../plan/plan'
import { countTo, mix32, random, shuffle } from '../random'
import type { Job } from './job'

/** A slice of about this long lets progress be told, and costs nothing measurable (docs/decisions/0001). */
const SLICE_MS = 50
/** Work submitted ahead, about: how long the event loop may be held up without the training noticing. */
const AHEAD_MS = 1000
/** Row numbers of a slice, 4 bytes each. */
const MOST_ROWS = 1 << 20

/** Epochs whose order of rows is drawn for one slice. */
export function mostEpochs(rows: number): number {
  return Math.max(1, Math.floor(MOST_ROWS / rows))
}

/** How much is put into a slice, and how many slices are kept in flight: learnt from how long they take. */
export class Pace {
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

/** What decides the slices of a run. */
export type SliceSource = Pick<Job, 'settings' | 'data' | 'batch' | 'seed' | 'firstStep' | 'firstEpoch' | 'since'>

/** Steps `from`, `from + 1`, … of the run, one for each rate; whole epochs, or within one. */
export function sliceOf(
  job: SliceSource,
  from: number,
  stepsPerEpoch: number,
  learningRate: Float64Array,
  follows: boolean,
): Slice<Bound> {
  const steps = learningRate.length
  const { data, batch, seed, since } = job
  const first = Math.floor(from / stepsPerEpoch)
  const start = (from % stepsPerEpoch) * batch
  const order = orderOf(job, job.firstEpoch + first, Math.ceil((from + steps) / stepsPerEpoch) - first)
  return {
    program: 'train',
    data,
    rows: order?.subarray(start, start + steps * batch) ?? null,
    pass: data.rows,
    batch,
    start,
    steps,
    learningRate,
    step: job.firstStep + from,
    seed: mix32(seed + since),
    follows,
  }
}

/** The order of rows of `count` epochs from epoch `first`; null where it is the natural one. */
function orderOf({ settings, data, batch, seed }: SliceSource, first: number, count: number): Uint32Array | null {
  if (!settings.shuffle || batch === data.rows) return null
  const rows = new Uint32Array(count * data.rows)
  for (let e = 0; e < count; e++) {
    const known = lastOrders.get(data)
    const order =
      known?.epoch === first + e ? known.order : shuffle(countTo(data.rows), random(seed, 'shuffle', first + e))
    lastOrders.set(data, { epoch: first + e, order })
    rows.set(order, e * data.rows)
  }
  return rows
}

/** The order last drawn for bound rows: an epoch that is cut into slices is shuffled once. */
const lastOrders = new WeakMap<Bound, { readonly epoch: number; readonly order: Uint32Array }>()
