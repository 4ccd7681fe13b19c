/**
 * The ledger: what each step of a run did to the objective, kept while the run goes on and changing no bit of it.
 *
 * Two books. Where a step's own pass is the objective's, that is a full batch without dropout, and its gradient is not
 * clipped, training computes all that an entry needs, and every step has one. Else the objective and its gradient are taken aside, on at most 1,024 rows
 * drawn by the seed, with what the step was made of; that costs several steps, so it is done on a grid as wide as that
 * price asks for, and on fewer rows where the run is too short to pay for one entry. `'all'` does it, and looks closer, at every step.
 */
import type { Bound, Engine } from '../backends/backend'
import type { Network } from '../network'
import { optimizerRow } from '../optimizers'
import { type Floats, opKey, type Program, type Report, type Slice, type Table } from '../plan/plan'
import type { StepForm } from '../step-form'
import type { Recorder } from '../train/history'
import type { Loop, Watch } from '../train/job'
import { type Entry, isRise, type Ledger, type LedgerNotes } from '../train/ledger'
import { evaluation, type SliceSource } from '../train/slices'
import { RISE } from './limits'
import { Replay } from './replay'
import { sampleTable } from './sample'
import { bestFraction, runOn, Survey } from './survey'
import { clip, firstOrder, type Slopes, slopesOfParts, slopesOfSums } from './terms'

/** Rows of the objective where the step's own pass is not it: at most, and at least, where a short run pays for fewer. */
const [MOST_ROWS, LEAST_ROWS] = [1024, 128]
/** Of the run's time that entries on a grid may take, so that with what they upset of the training's rhythm it is 3 %. */
const SHARE = 0.02
/** What an entry costs beside its passes over the sample, as so many rows more of them: engines, sums over parameters. */
const FIXED_ROWS = 512

/** A run of which a ledger is kept. */
export interface LedgeredRun extends SliceSource {
  readonly isAsync: boolean
  readonly network: Network
  /** The engine that trains; its plan accounts where batches are full. */
  readonly engine: Engine
  /** What is trained on, which `data` has bound; that is not released, for whoever wants to look closer one day. */
  readonly table: Table
  readonly recorder: Recorder
}

/** Keeps the ledger of a run in its recorder. */
export function ledgerWatch(run: LedgeredRun): Watch {
  const { optimizer, ledger, clipNorm, clipValue } = run.settings
  const form = optimizerRow(optimizer).form(optimizer.settings)
  const isClipped = clipNorm !== null || clipValue !== null
  const isWhole = ledger === true && run.batch === run.table.rows && trainsObjective(run) && !isClipped
  const book = isWhole && form ? new WholeBook(run, form) : new SampledBook(run, form)
  run.recorder.ledger = book
  return book
}

/** Whether the pass of training is that of the objective: no masks, nothing else that only training does. */
function trainsObjective({ network, table }: LedgeredRun): boolean {
  const { programs } = network.plan(['train', 'objective'], 1, table.targets)
  const forward = (program: Program | undefined): string[] => (program?.chunk ?? []).map(opKey)
  const [trained, looked] = [forward(programs.train), forward(programs.objective)]
  return looked.every((key, i) => trained[i] === key)
}

// ---------------------------------------------------------------------------------------------------- every step

/** Reports of consecutive steps, as they came, and a rate for each step. */
interface Stretch {
  readonly first: number
  readonly report: Report
  readonly rates: Float64Array
}

/** A full batch without masks: a step's change is the next step's loss less its own. */
class WholeBook implements Watch, Ledger {
  readonly #run: LedgeredRun
  readonly #form: StepForm
  readonly #stretches: Stretch[] = []
  readonly #replay: Replay
  #last: { readonly loss: number; readonly penalty: number } | null = null
  #entries: Entry[] | null = null

  constructor(run: LedgeredRun, form: StepForm) {
    this.#run = run
    this.#replay = new Replay(run)
    this.#form = form
  }

  next(): number {
    return Number.POSITIVE_INFINITY
  }

  hear(first: number, report: Report, rates: Float64Array): void {
    if (report.loss.length > 0) this.#stretches.push({ first, report, rates })
    this.#replay.hear(first, report.steps, rates)
  }

  /** Where the last step led is not known yet, unless it was to where no further one could be made. */
  *end(): Loop<void> {
    const last = this.#stretches.at(-1)?.report
    if (last === undefined || last.stopped === 'nonFinite') return
    const { engine, data } = this.#run
    for (;;) {
      const { loss, penalty } = yield* runOn(engine, lookAt(data))
      // Nothing came of it if somebody asked the engine to stop just now.
      if (loss.length === 0) continue
      this.#last = { loss: loss[0], penalty: penalty[0] }
      return
    }
  }

  entries(): readonly Entry[] {
    this.#entries ??= this.#build()
    return this.#entries
  }

  notes(steps: number): LedgerNotes {
    return notesOf(this.entries(), steps, this.#run.network)
  }

  async examine(most: number): Promise<readonly Entry[]> {
    const chosen = largestRises(this.entries(), most, this.#run.network)
    if (chosen.length > 0) await this.#replay.examine(chosen, this.#run.data)
    return chosen
  }

  #build(): Entry[] {
    const { firstStep, table } = this.#run
    const loss = joined(this.#stretches, ({ loss }) => loss)
    const penalty = joined(this.#stretches, ({ penalty }) => penalty)
    if (this.#last) {
      loss.push(this.#last.loss)
      penalty.push(this.#last.penalty)
    }
    const entries: Entry[] = []
    for (const { first, report, rates } of this.#stretches)
      for (let i = 0; i < report.steps && entries.length + 1 < loss.length; i++) {
        const t = entries.length
        const step = first + i
        const pacing = { k: firstStep + step + 1, learningRate: rates[i] }
        const sums =
          report.sums.length > 0 ? report.sums.subarray(4 * i, 4 * i + 4) : [report.gradientNorm[i] ** 2, 0, 0, 0]
        entries.push(
          entryOf({
            at: { step, epoch: step + 1, rows: table.rows },
            before: { loss: loss[t], penalty: penalty[t] },
            after: { loss: loss[t + 1], penalty: penalty[t + 1] },
            slopes: slopesOfSums(this.#form, pacing, sums),
          }),
        )
      }
    return entries
  }
}

function joined(stretches: readonly Stretch[], of: (report: Report) => Float64Array): number[] {
  return stretches.flatMap(({ report }) => Array.from(of(report)))
}

/** The objective on bound rows. A program with steps asks for a rate, and takes none. */
function lookAt(data: Bound): Slice<Bound> {
  return { ...evaluation(data, 'objective'), learningRate: new Float64Array(1) }
}

// ---------------------------------------------------------------------------------------------------- a grid of steps

/** A step about to be made: where it starts, and its gradients. */
interface Begun {
  readonly weights: Floats
  readonly state: Floats
  readonly at: NonNullable<Yielded<ReturnType<Survey['look']>>>
  readonly batch: Floats
  readonly used: Floats
}
type Yielded<T> = T extends Loop<infer R> ? R : never

/** What entries are taken with, aside of the training. */
interface Aside {
  readonly survey: Survey
  readonly sample: Bound
  /** Takes the gradients of the step itself; null where they are the objective's. */
  readonly twin: Engine | null
}

/** Entries of single steps, from what the step was made of. */
class SampledBook implements Watch, Ledger {
  readonly #run: LedgeredRun
  readonly #form: StepForm | null
  readonly #entries: Entry[] = []
  readonly #grid: Grid
  readonly #stepsPerEpoch: number
  readonly #isObjective: boolean
  /** Rows of the sample, at most. */
  readonly #most: number
  readonly #replay: Replay
  #aside: Aside | null = null
  #begun: Begun | null = null

  constructor(run: LedgeredRun, form: StepForm | null) {
    this.#run = run
    this.#replay = new Replay(run)
    this.#form = form
    const { table, batch, settings } = run
    const { epochs, ledger } = settings
    this.#isObjective = trainsObjective(run)
    this.#stepsPerEpoch = Math.ceil(table.rows / batch)
    const steps = epochs * this.#stepsPerEpoch
    // A step is a pass there and back over its batch. An entry: there and back on the sample and once more there, and
    // the step's own gradient.
    const payable = (3 / 4) * batch * (SHARE * steps - 1) - FIXED_ROWS
    this.#most = ledger === 'all' ? MOST_ROWS : Math.min(MOST_ROWS, Math.max(LEAST_ROWS, Math.floor(payable)))
    const price = ((4 / 3) * (Math.min(this.#most, table.rows) + FIXED_ROWS) + batch) / batch
    this.#grid = new Grid(steps, ledger === 'all' ? null : price)
  }

  next(from: number): number {
    return this.#grid.next(from)
  }

  hear(first: number, { steps, milliseconds }: Report, rates: Float64Array): void {
    this.#grid.learn(steps, milliseconds)
    this.#replay.hear(first, steps, rates)
  }

  *before(_step: number, slice: Slice<Bound>): Loop<void> {
    const began = performance.now()
    const { engine } = this.#run
    const { survey, twin } = this.#open()
    const weights = engine.read(engine.plan.parameters)
    const at = yield* survey.look(weights)
    this.#begun = null
    if (at !== null) {
      const state = engine.read(engine.plan.state)
      let used = at.gradient
      let batch = at.gradient
      if (twin) {
        twin.write(twin.plan.parameters, weights)
        const own = { ...slice, follows: false }
        const gradientOf = function* (program: 'train' | 'linearize'): Loop<Floats> {
          yield* runOn(twin, { ...own, program })
          return twin.read(twin.plan.gradients)
        }
        used = yield* gradientOf('train')
        batch = this.#isObjective ? used : yield* gradientOf('linearize')
      }
      this.#begun = { weights, state, at, batch, used }
    }
    this.#grid.spend(performance.now() - began)
  }

  *after(step: number, { steps }: Report, learningRate: number): Loop<void> {
    const began = performance.now()
    const { engine, settings, firstStep } = this.#run
    const begun = this.#begun
    if (begun !== null && steps === 1) {
      const { survey } = this.#open()
      const { weights, at, batch, used } = begun
      const { length } = engine.plan.trainable
      const moved = engine.read(engine.plan.parameters)
      const way = moved.map((w, i) => w - weights[i])
      const isClose = settings.ledger === 'all'
      const curvature = isClose ? 0.5 * (yield* survey.bend(way.subarray(0, length))) : 0
      const after = yield* survey.objective(moved)
      const [before, state] = [begun.state, engine.read(engine.plan.state)]
      const clipped = clip(used, settings)
      const parts = { way, objective: at.gradient, batch, used, clipped, weights, before, after: state }
      const slopes = slopesOfParts(this.#form, { k: firstStep + step + 1, learningRate }, parts)
      const epoch = Math.floor(step / this.#stepsPerEpoch) + 1
      const entry = entryOf({ at: { step, epoch, rows: survey.rows }, before: at, after, slopes })
      if (isClose) {
        entry.local = { curvature, beyond: entry.terms.bending - curvature }
        const slope = firstOrder(slopes)
        const along = { from: weights, step: way, before: at.loss, after: after.loss, slope }
        entry.bestFraction = yield* bestFraction(survey, along)
      }
      this.#entries.push(entry)
    }
    this.#grid.spend(performance.now() - began)
    this.#grid.move(step)
  }

  entries(): readonly Entry[] {
    return this.#entries
  }

  notes(steps: number): LedgerNotes {
    return notesOf(this.#entries, steps, this.#run.network)
  }

  async examine(most: number): Promise<readonly Entry[]> {
    const chosen = largestRises(this.#entries, most, this.#run.network)
    if (chosen.length === 0) return chosen
    const sample = this.#sample()
    try {
      await this.#replay.examine(chosen, sample)
    } finally {
      if (sample !== this.#run.data) sample.release()
    }
    return chosen
  }

  close(): void {
    this.#aside?.survey.close()
    this.#aside?.twin?.close()
    if (this.#aside && this.#aside.sample !== this.#run.data) this.#aside.sample.release()
    this.#aside = null
  }

  /** Engines of their own, from when they are first needed: nothing that trains is touched. */
  #open(): Aside {
    if (this.#aside) return this.#aside
    const { network, table, batch, settings, isAsync } = this.#run
    const sample = this.#sample()
    const curves = settings.ledger === 'all'
    const survey = new Survey(network.surveyor(sample.rows, table.targets, { curves, isAsync }), sample)
    this.#aside = { survey, sample, twin: this.#isWhole ? null : network.twin(batch, table.targets, isAsync) }
    return this.#aside
  }

  /** A step's own gradient is the objective's. */
  get #isWhole(): boolean {
    return this.#run.batch === this.#run.table.rows && this.#isObjective
  }

  /** The rows of the objective: all of a full batch without masks, else not too many. */
  #sample(): Bound {
    const { engine, data, table, seed } = this.#run
    if (this.#isWhole || table.rows <= this.#most) return data
    return engine.bind(sampleTable(table, this.#most, seed))
  }
}

/** Which steps have an entry: all, or as many as a share of the run's time pays for. */
class Grid {
  #next: number
  #price: number
  #spent = 0
  #trained = 0
  #steps = 0
  #entries = 0
  /** Where the run began: it may have been resumed. */
  #from = 0

  /** @param price of an entry in steps, as far as one can tell beforehand; null: every step has one */
  constructor(
    readonly total: number,
    readonly price: number | null,
  ) {
    this.#price = price ?? 0
    this.#next = -1
  }

  next(from: number): number {
    if (this.price === null) return from
    if (this.#next < 0) {
      // One there is always: of a run too short to pay for it, in the middle.
      this.#from = from
      this.#next = from + Math.floor(Math.min(this.#price / SHARE, (this.total - from) / 2))
    }
    return this.#next >= from ? this.#next : Number.POSITIVE_INFINITY
  }

  learn(steps: number, milliseconds: number): void {
    this.#steps += steps
    this.#trained += milliseconds
  }

  spend(milliseconds: number): void {
    this.#spent += milliseconds
  }

  /** After the entry of `step`: the next is where the share has paid for one more like those so far. */
  move(step: number): void {
    this.#entries++
    const perStep = this.#trained / Math.max(1, this.#steps)
    this.#price = this.#spent / this.#entries / Math.max(perStep, 1e-6)
    this.#next = Math.max(step + 1, this.#from + Math.ceil(((this.#entries + 1) * this.#price) / SHARE))
  }
}

// ---------------------------------------------------------------------------------------------------- entries

interface Change {
  readonly at: Pick<Entry, 'step' | 'epoch' | 'rows'>
  readonly before: { readonly loss: number; readonly penalty: number }
  readonly after: { readonly loss: number; readonly penalty: number }
  readonly slopes: Slopes
}

function entryOf({ at, before, after, slopes }: Change): Entry {
  const change = after.loss - before.loss
  const penalty = after.penalty - before.penalty
  return {
    ...at,
    before: before.loss,
    after: after.loss,
    change,
    parts: { data: change - penalty, penalty },
    terms: { ...slopes, bending: change - firstOrder(slopes) },
    bestFraction: null,
  }
}

function largestRises(entries: readonly Entry[], most: number, { dtype }: Network): Entry[] {
  const open = entries.filter((entry) => isRise(entry, RISE[dtype]) && entry.local === undefined)
  // One that led to no number at all is above all others.
  const size = ({ change }: Entry): number => (Number.isNaN(change) ? Number.POSITIVE_INFINITY : change)
  return open.sort((a, b) => size(b) - size(a) || a.step - b.step).slice(0, most)
}

function notesOf(entries: readonly Entry[], steps: number, { dtype }: Network): LedgerNotes {
  const tolerance = RISE[dtype]
  const rises = entries.filter((entry) => isRise(entry, tolerance))
  const unexamined = rises.filter(({ local }) => local === undefined).length
  return { tolerance, unrecorded: steps - entries.length, rises: rises.length, unexamined }
}
