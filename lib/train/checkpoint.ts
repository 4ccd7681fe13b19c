/**
 * Checkpoints: all that decides how a run goes on from between two of its steps, and when it is taken down.
 *
 * A snapshot is plain data. Where it goes is not known here (save/checkpoint.ts).
 */
import { expected, refuseUnknown } from '../errors'
import { checkNumber, RANGES } from '../names'
import type { Floats } from '../plan/plan'
import type { Epoch, OpenEpoch } from './history'
import type { Start } from './start'

export interface CheckpointOptions {
  /** The file, written whole or not at all. */
  path: string
  /** A positive integer. @default 1, or never where everyMinutes is given */
  everyEpochs?: number
  /** > 0; between two steps, wherever the run is then. @default never */
  everyMinutes?: number
}

/** Options with nothing left to ask; Infinity is never. */
export type CheckpointSettings = Readonly<Required<CheckpointOptions>>

/** @throws ERR_OPTION */
export function readCheckpoint(value: unknown): CheckpointSettings | null {
  if (value === undefined || value === null || value === false) return null
  if (typeof value === 'string') return readCheckpoint({ path: value })
  if (typeof value !== 'object') throw expected('a path or { path, everyEpochs, everyMinutes }', 'checkpoint', value)
  refuseUnknown(value, ['path', 'everyEpochs', 'everyMinutes'], 'checkpoint')
  const { path, everyEpochs, everyMinutes } = value as Partial<CheckpointOptions>
  if (typeof path !== 'string' || path === '') throw expected('a path', 'checkpoint', path)
  const epochs = everyEpochs ?? (everyMinutes === undefined ? 1 : null)
  return {
    path,
    everyEpochs: epochs === null ? Number.POSITIVE_INFINITY : checkNumber(epochs, RANGES.count, 'everyEpochs'),
    everyMinutes:
      everyMinutes === undefined
        ? Number.POSITIVE_INFINITY
        : checkNumber(everyMinutes, RANGES.positive, 'everyMinutes'),
  }
}

/** @throws ERR_OPTION */
export function readResume(value: unknown): string | boolean {
  if (value === undefined || value === null) return false
  if (typeof value === 'boolean' || (typeof value === 'string' && value !== '')) return value
  throw expected('a path or true', 'resume', value)
}

/** A run between two steps, all but the model's weights. */
export interface RunState {
  /** Epochs ended. */
  readonly epochs: readonly Epoch[]
  /** The epoch begun, if there is one. */
  readonly open: OpenEpoch
  /** Whole steps made since the run began. */
  readonly steps: number
  /** Where the run began, in steps and epochs of the model: shuffles, masks and bias corrections count from there. */
  readonly firstStep: number
  readonly firstEpoch: number
  readonly since: number
  /** Epochs of the partialFits before, whose state it continues. */
  readonly earlier: readonly Epoch[]
  /** Objective of the last batch, and the rate that a callback has set; null while the schedule rules. */
  readonly loss: number
  readonly learningRate: number | null
  /** Of the optimizer. */
  readonly state: Floats
  /** Those that are trained, where the model's are their average; else null. */
  readonly weights: Floats | null
  /** Weights of the best epoch, where they are kept. */
  readonly best: Floats | null
  readonly start: Start | null
  /** Trained so far. */
  readonly seconds: number
}

export interface Snapshot extends RunState {
  /** What the run would leave in the model if it ended here. */
  readonly parameters: Floats
}

/** Takes snapshots. */
export interface Keeper {
  /** Whether one is still being written. */
  readonly isBusy: boolean
  /** Whether that of so many steps is written, or being written. */
  has(steps: number): boolean
  /** Begins to write one, behind the one that is being written. */
  write(snapshot: Snapshot): void
}

/** When snapshots are due. */
export class Timetable {
  /** Steps after which the run comes to rest for the next one. */
  next: number
  readonly #every: number
  readonly #milliseconds: number
  #last = performance.now()

  constructor({ everyEpochs, everyMinutes }: CheckpointSettings, stepsPerEpoch: number, steps: number) {
    this.#every = everyEpochs * stepsPerEpoch
    this.#milliseconds = everyMinutes * 60_000
    this.next = this.#after(steps)
  }

  isDue(steps: number): boolean {
    return steps >= this.next || performance.now() - this.#last >= this.#milliseconds
  }

  /** One was taken after so many steps. */
  taken(steps: number): void {
    this.#last = performance.now()
    this.next = this.#after(steps)
  }

  #after(steps: number): number {
    return Number.isFinite(this.#every) ? (Math.floor(steps / this.#every) + 1) * this.#every : this.#every
  }
}
