/**
 * History: what a run recorded, and its plot. Grows while the run goes on; what users are given is its finished form.
 */

import { DownhillError } from '../errors'
import { checkNumber, RANGES } from '../names'
import type { Report } from '../plan/plan'
import { plotHistory, plotLedger } from '../plot'
import { type Entry, isRise, type Ledger, type LedgerNotes } from './ledger'
import { type Start, startToJson } from './start'

export type Status = 'completed' | 'stopped' | 'diverged'

/** One epoch as it is told to those who iterate over a run. */
export interface Epoch {
  /** From 1. */
  readonly epoch: number
  /**
   * The objective as trained, penalty in it: mean of the batch losses weighted by rows, or by the weights of the rows
   * where they have any, each taken before its update.
   */
  readonly loss: number
  /** The penalty's share of it. */
  readonly penalty: number
  /** Norm of the gradient at the epoch's last step. */
  readonly gradientNorm: number
  /** Rate of the epoch's last step. */
  readonly learningRate: number
  /** Loss and metrics of the validation rows after the epoch, without penalty or dropout. */
  readonly valLoss?: number
  readonly valMetrics?: Readonly<Record<string, number>>
}

/** The best epoch of a run. */
export interface BestEpoch {
  /** From 1. */
  readonly epoch: number
  /** The series of the history that was looked at, and its value then. */
  readonly monitor: string
  readonly value: number
}

/** A finished run. Series have one entry an epoch begun. */
export interface History {
  readonly epochs: number
  /** Whole steps made. */
  readonly steps: number
  readonly loss: Float64Array
  readonly penalty: Float64Array
  readonly gradientNorm: Float64Array
  readonly learningRate: Float64Array
  /** null without validation. */
  readonly valLoss: Float64Array | null
  /** Series by name: those of the validation rows, as `valAccuracy` or `valR2`. */
  readonly metrics: Readonly<Record<string, Float64Array>>
  readonly status: Status
  /** One sentence. */
  readonly stopReason: string
  /** Where one was looked for: with `earlyStopping` or `keep: 'best'`. */
  readonly best: BestEpoch | null
  /** Of training; of a run that went on from a checkpoint, those before it too. */
  readonly seconds: number
  /** Backend that ran, and the seed that decided everything. */
  readonly backend: string
  readonly seed: number
  /** What the run began from, and its first step; null where it went on from another, or made no step. */
  readonly start: Start | null
  /** What each step did to the objective, as terms that add up to the change; null where no ledger was asked for. */
  readonly ledger: readonly Entry[] | null
  /** What is not in it; null likewise. */
  readonly ledgerNotes: LedgerNotes | null
  /**
   * Draws loss (and valLoss) on a log scale: to a file by its ending (.svg, .png, .html), or, without a path, as a
   * string for the terminal. @throws ERR_OPTION for another ending, ERR_FILE
   */
  plot(path?: string): string
  /**
   * Looks closer at rises in the ledger, the largest first, and fills in their `local` and `bestFraction`: the run is
   * made once more, as far as they reach. Resolves to those entries. @param most a positive integer, 8 by default
   * Rejects with ERR_OPTION where no ledger was kept.
   */
  examine(most?: number): Promise<readonly Entry[]>
  /** Draws the ledger, the terms of each step stacked; as `plot`. @throws ERR_OPTION also where none was kept */
  plotLedger(path?: string): string
  /** Plain arrays and values, for JSON. */
  toJSON(): Record<string, unknown>
}

const NEXT_TO_NOTHING = 2 ** -900

/** Sums of an epoch under way; of 0 rows, none is. */
export interface OpenEpoch {
  readonly rows: number
  readonly weight: number
  readonly loss: number
  readonly penalty: number
  readonly gradientNorm: number
}

/** Gathers the steps of reports, however they were cut, into epochs. */
export class EpochSum {
  #rows = 0
  #weight = 0
  #loss = 0
  #penalty = 0
  #gradientNorm = 0

  constructor(
    readonly pass: number,
    readonly batch: number,
    open?: OpenEpoch,
  ) {
    if (open === undefined) return
    this.#rows = open.rows
    this.#weight = open.weight
    this.#loss = open.loss
    this.#penalty = open.penalty
    this.#gradientNorm = open.gradientNorm
  }

  get open(): OpenEpoch {
    return {
      rows: this.#rows,
      weight: this.#weight,
      loss: this.#loss,
      penalty: this.#penalty,
      gradientNorm: this.#gradientNorm,
    }
  }

  /** No step of an epoch under way. */
  get isEmpty(): boolean {
    return this.#rows === 0
  }

  /** All steps of an epoch, which is still to be recorded. */
  get isFull(): boolean {
    return this.#rows === this.pass
  }

  get loss(): number {
    return this.#loss / this.#weight
  }
  get penalty(): number {
    return this.#penalty / this.#weight
  }
  get gradientNorm(): number {
    return this.#gradientNorm
  }

  /** Takes the steps of a report from step `from` on, up to the end of the epoch; returns the first one not taken. */
  add({ loss, penalty, weight, gradientNorm }: Report, from: number): number {
    let step = from
    for (; step < loss.length && !this.isFull; step++) {
      this.#rows += Math.min(this.batch, this.pass - this.#rows)
      // A batch of no weight counts next to nothing, so that an epoch of nothing else has a loss all the same.
      const size = weight[step] || NEXT_TO_NOTHING
      this.#weight += size
      this.#loss += size * loss[step]
      this.#penalty += size * penalty[step]
      this.#gradientNorm = gradientNorm[step]
    }
    return step
  }

  clear(): void {
    this.#rows = this.#weight = this.#loss = this.#penalty = 0
  }
}

/** What of an epoch the steps do not tell. */
export type Seen = Pick<Epoch, 'valLoss' | 'valMetrics'>

/** The numbers that every epoch has, in the order in which they are kept. */
const COLUMNS = ['loss', 'penalty', 'gradientNorm', 'learningRate'] as const
type Numbers = Pick<Epoch, (typeof COLUMNS)[number]>
const BLOCK = 1024

/**
 * Epochs in columns, and as objects only when somebody asks: a run of tiny steps makes a million a second, and the
 * garbage collector would hold the event loop up with them.
 */
class Epochs {
  length = 0
  /** BLOCK epochs each, column after column: growing copies nothing. */
  readonly #blocks: Float64Array[] = []
  /** By index; empty without validation. */
  readonly #seen: Seen[] = []
  readonly #made: Epoch[] = []

  push({ loss, penalty, gradientNorm }: Omit<Numbers, 'learningRate'>, learningRate: number, seen?: Seen): void {
    const i = this.length++
    if (i % BLOCK === 0) this.#blocks.push(new Float64Array(BLOCK * COLUMNS.length))
    const block = this.#blocks[this.#blocks.length - 1]
    const at = i % BLOCK
    block[at] = loss
    block[at + BLOCK] = penalty
    block[at + 2 * BLOCK] = gradientNorm
    block[at + 3 * BLOCK] = learningRate
    if (seen?.valLoss !== undefined) this.#seen[i] = seen
  }

  at(i: number): Epoch {
    const block = this.#blocks[Math.floor(i / BLOCK)]
    const [loss, penalty, gradientNorm, learningRate] = COLUMNS.map((_, column) => block[(i % BLOCK) + column * BLOCK])
    return { epoch: i + 1, loss, penalty, gradientNorm, learningRate, ...this.#seen[i] }
  }

  /** All of them; one array, that grows. */
  get list(): readonly Epoch[] {
    while (this.#made.length < this.length) this.#made.push(this.at(this.#made.length))
    return this.#made
  }

  column(name: keyof Numbers): Float64Array {
    const values = new Float64Array(this.length)
    const from = COLUMNS.indexOf(name) * BLOCK
    for (const [i, block] of this.#blocks.entries()) {
      const at = i * BLOCK
      values.set(block.subarray(from, from + Math.min(BLOCK, this.length - at)), at)
    }
    return values
  }

  /** Of the validation rows, NaN where an epoch has none; null where no epoch has any. */
  get valLoss(): Float64Array | null {
    return this.#seen.length > 0 ? this.#series(({ valLoss }) => valLoss) : null
  }

  get metrics(): Record<string, Float64Array> {
    const names = new Set<string>()
    for (const seen of this.#seen) for (const name in seen?.valMetrics) names.add(name)
    return Object.fromEntries(
      [...names].map((name) => [valName(name), this.#series(({ valMetrics }) => valMetrics?.[name])]),
    )
  }

  #series(of: (seen: Seen) => number | undefined): Float64Array {
    return Float64Array.from({ length: this.length }, (_, i) => (this.#seen[i] && of(this.#seen[i])) ?? Number.NaN)
  }
}

/** What a recorder goes on from. */
interface Recorded {
  readonly epochs: readonly Epoch[]
  readonly steps: number
  readonly start: Start | null
  readonly seconds: number
}

/** Collects epochs while a run goes on. */
export class Recorder {
  readonly #epochs = new Epochs()
  steps = 0
  /** Trained before this recorder's own time. */
  #earlier = 0
  readonly #started = performance.now()

  /** Known once the network is built. */
  backend = ''
  /** Known after the first step. */
  start: Start | null = null
  best: BestEpoch | null = null
  /** Kept where one was asked for. */
  ledger: Ledger | null = null

  constructor(readonly seed: number) {}

  /** Epochs ended. */
  get count(): number {
    return this.#epochs.length
  }

  /** Those, as objects made when first asked for. */
  get epochs(): readonly Epoch[] {
    return this.#epochs.list
  }

  /** The last of them. */
  get last(): Epoch | null {
    return this.count > 0 ? this.#epochs.at(this.count - 1) : null
  }

  /** Ends an epoch: the one that `sum` has gathered, and gathers no more. */
  end(sum: EpochSum, learningRate: number, seen?: Seen): void {
    this.#epochs.push(sum, learningRate, seen)
    sum.clear()
  }

  get seconds(): number {
    return this.#earlier + (performance.now() - this.#started) / 1000
  }

  /** Goes on where another recorder was. */
  resume({ epochs, steps, start, seconds }: Recorded): void {
    for (const epoch of epochs) this.#epochs.push(epoch, epoch.learningRate, seenOf(epoch))
    this.steps = steps
    this.start = start
    this.#earlier = seconds
  }

  finish(status: Status, stopReason: string): History {
    const epochs = this.#epochs
    const { metrics } = epochs
    const data = {
      epochs: epochs.length,
      steps: this.steps,
      loss: epochs.column('loss'),
      penalty: epochs.column('penalty'),
      gradientNorm: epochs.column('gradientNorm'),
      learningRate: epochs.column('learningRate'),
      valLoss: epochs.valLoss,
      metrics,
      status,
      stopReason,
      best: this.best,
      seconds: this.seconds,
      backend: this.backend,
      seed: this.seed,
      start: this.start,
    }
    const { ledger } = this
    return {
      ...data,
      // Of a long run they are many: made when somebody asks.
      get ledger() {
        return ledger?.entries() ?? null
      },
      get ledgerNotes() {
        return ledger?.notes(data.steps) ?? null
      },
      plot: (path) => plotHistory(data, path),
      examine: async (most = 8) => requireLedger(ledger, 'examine').examine(checkNumber(most, RANGES.count, 'most')),
      plotLedger(path) {
        const kept = requireLedger(ledger, 'plotLedger')
        const { tolerance } = kept.notes(data.steps)
        const rises = kept.entries().filter((entry) => isRise(entry, tolerance))
        return plotLedger(
          kept.entries().map(({ step, change, terms }) => ({ step, change, terms: { ...terms } })),
          rises.map(({ step }) => step),
          path,
        )
      },
      toJSON: () => ({
        ...data,
        loss: [...data.loss],
        penalty: [...data.penalty],
        gradientNorm: [...data.gradientNorm],
        learningRate: [...data.learningRate],
        valLoss: data.valLoss && [...data.valLoss],
        metrics: Object.fromEntries(Object.entries(metrics).map(([name, values]) => [name, [...values]])),
        start: data.start && startToJson(data.start),
        ledger: ledger?.entries() ?? null,
        ledgerNotes: ledger?.notes(data.steps) ?? null,
      }),
    }
  }
}

function seenOf({ valLoss, valMetrics }: Epoch): Seen {
  return { ...(valLoss !== undefined && { valLoss }), ...(valMetrics !== undefined && { valMetrics }) }
}

/** accuracy → valAccuracy. */
export function valName(metric: string): string {
  return `val${metric[0].toUpperCase()}${metric.slice(1)}`
}

function requireLedger(ledger: Ledger | null, call: string): Ledger {
  if (ledger) return ledger
  throw new DownhillError('ERR_OPTION', `Expected a run with a ledger for ${call}; train with ledger: true.`)
}
