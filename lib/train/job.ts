/**
 * What a training works on, and the words between its loop (training.ts), whoever carries out what it asks for
 * (drive.ts), and those who look at it from within. Types only.
 */
import type { Bound, Engine } from '../backends/backend'
import type { Floats, Report, Slice } from '../plan/plan'
import type { Layers } from './callbacks'
import type { Keeper, RunState } from './checkpoint'
import type { Epoch, Status } from './history'
import type { FitSettings } from './options'
import type { ProgressLine } from './progress'

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
  /** Epochs recorded by the partialFits whose state is continued. */
  readonly earlier: Epoch[]
  readonly validation: Validation | null
  readonly weights: Weights
  /** What the run is judged by and leaves: the weights, or their average. */
  readonly result: Weights
  /** After the last step: leaves the result in the model. */
  finish(): void
  /** As users see them. */
  readonly layers: Layers
  /** The optimizer's state. */
  readonly state: () => Floats
  /** Where checkpoints go; null where none is asked for. */
  readonly keeper: Keeper | null
  /** What the run goes on from; weights and state are already there. */
  readonly resumed: RunState | null
  /** The line on the terminal, where one is asked for and seen. */
  readonly line: ProgressLine | null
  /** What was not finite first in the step that was refused, in words; null where only the loss was not. */
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
  /** Hears every report of steps `first`, `first + 1`, … made at `rates`, one a step, while others may be under way. */
  hear?(first: number, report: Report, rates: Float64Array): void
  /** After the last step, and before the weights of `keep: 'best'` are restored. */
  end?(): Loop<void> | undefined
  /** When the run is over, however it ended: lets go of what it holds. */
  close?(): void
}

/** A block of parameters. */
export interface Weights {
  read(): Floats
  write(values: Floats): void
}

export interface Validation {
  readonly data: Bound
  /** Where, if not on the engine that trains; and what is to be done before. */
  readonly on?: Engine
  begin?(): void
  /** Metrics from the outputs of all validation rows. */
  metrics(report: Report): Readonly<Record<string, number>>
}

/** Given from outside while a training runs. */
export interface Orders {
  /** The run is to end after the step that is under way. */
  stop: boolean
  /** And an epoch that has ended is not validated any more. */
  abort: boolean
}

export interface Outcome {
  readonly status: Status
  readonly reason: string
  /** Whether an order ended it, and not the run itself. */
  readonly isAsked?: boolean
}

/**
 * What the loop asks for: to queue a slice behind those submitted, on the training engine or on another; to hand over
 * the report of the oldest that has not been collected; to wait for a callback; or nothing: it has more to do, and lets
 * others have a turn.
 */
export type Order =
  | { readonly submit: Slice<Bound>; readonly on?: Engine }
  | { readonly collect: true }
  | { readonly wait: PromiseLike<void> }
  | { readonly pause: true }
export type Loop<T> = Generator<Order, T, Report | undefined>
