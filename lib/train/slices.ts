/**
 * Slices: which rows of which epoch a step works on, and how many steps are submitted at once.
 */
import type { Bound } from '../backends/backend'
import type { ProgramName, Report, Slice } from '../plan/plan'
import { countTo, mix32, random, shuffled } from '../random'
import type { Job, Loop } from './job'

/** A slice of about this long lets progress be told, and costs nothing measurable (docs/decisions/0001). */
const SLICE_MS = 50
/** Work submitted ahead, about: how long the event loop may be held up without the training noticing. */
const AHEAD_MS = 1000
/** Slices, at most: those of the fastest steps are then some 60 ms. */
const MOST_AHEAD = 128
/**
 * Steps of a slice, at most. What the main thread has to do for one (a rate, an entry in the report, an epoch at most)
 * takes a microsecond at most, so that it is never busy for much longer than 1 ms, however fast the steps are.
 */
const MOST_STEPS = 1024
/** Row numbers of a slice, 4 bytes each. */
const MOST_ROWS = 1 << 17
/** Rows that are shuffled in one go, in half a millisecond or so. */
const SHUFFLED_ROWS = 1 << 14

/** Steps of a slice, at most, where each takes so many rows in an order that is drawn. */
export function mostSteps(batch: number, isShuffled: boolean): number {
  return isShuffled ? Math.max(1, Math.min(MOST_STEPS, Math.floor(MOST_ROWS / batch))) : MOST_STEPS
}

/** How much is put into a slice, and how many slices are kept in flight: learnt from how long they take. */
export class Pace {
  steps: number
  depth = 1

  constructor(
    first: number,
    readonly most: number,
  ) {
    this.steps = Math.min(first, most)
  }

  learn({ steps, milliseconds }: Report): void {
    if (steps === 0) return
    const inTime = Math.round((SLICE_MS * steps) / Math.max(milliseconds, 0.01))
    this.steps = Math.max(1, Math.min(inTime, this.steps * 4, this.most))
    this.depth = Math.max(2, Math.min(MOST_AHEAD, Math.ceil((AHEAD_MS * steps) / (milliseconds * this.steps))))
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

/** Steps `from`, `from + 1`, … of the run, one for each rate. May take several turns: an order of many rows is long to draw. */
export function* sliceOf(
  job: SliceSource,
  from: number,
  stepsPerEpoch: number,
  learningRate: Float64Array,
  follows: boolean,
): Loop<Slice<Bound>> {
  const { data, batch, seed, since } = job
  const steps = learningRate.length
  const rows = yield* rowsOf(job, from, steps, stepsPerEpoch)
  return {
    program: 'train',
    data,
    rows,
    pass: data.rows,
    batch,
    start: (from % stepsPerEpoch) * batch,
    steps,
    learningRate,
    step: job.firstStep + from,
    seed: mix32(seed + since),
    follows,
  }
}

/** Whether rows are taken in an order that is drawn. */
export function isShuffled({ settings, data, batch }: Pick<SliceSource, 'settings' | 'data' | 'batch'>): boolean {
  return settings.shuffle && batch !== data.rows
}

/** The rows of steps, in order of use; null where that is the natural one. */
function* rowsOf(job: SliceSource, from: number, steps: number, stepsPerEpoch: number): Loop<Uint32Array | null> {
  if (!isShuffled(job)) return null
  const { data, batch, firstEpoch } = job
  const before = (step: number): number => Math.floor(step / stepsPerEpoch) * data.rows + (step % stepsPerEpoch) * batch
  const rows = new Uint32Array(before(from + steps) - before(from))
  let epoch = Math.floor(from / stepsPerEpoch)
  let at = (from % stepsPerEpoch) * batch
  for (let filled = 0; filled < rows.length; epoch++, at = 0) {
    const order = yield* orderOf(job, firstEpoch + epoch)
    const part = order.subarray(at, at + rows.length - filled)
    rows.set(part, filled)
    filled += part.length
  }
  return rows
}

/** The order of rows of an epoch. */
function* orderOf({ data, seed }: SliceSource, epoch: number): Loop<Uint32Array> {
  const known = lastOrders.get(data)
  if (known?.epoch === epoch) return known.order
  const order = countTo(data.rows)
  for (const _ of shuffled(order, random(seed, 'shuffle', epoch), SHUFFLED_ROWS)) yield { pause: true }
  lastOrders.set(data, { epoch, order })
  return order
}

/** The order last drawn for bound rows: an epoch that is cut into slices is shuffled once. */
const lastOrders = new WeakMap<Bound, { readonly epoch: number; readonly order: Uint32Array }>()
