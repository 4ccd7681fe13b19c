/**
 * Callbacks: five moments of a run at which it can be read and changed.
 *
 * Training waits for a callback, and for the promise it returns, before it goes on; so what it changes is reproducible.
 * A run without callbacks never waits for anybody.
 */
import type { Matrix } from '../data/matrix'
import { DownhillError, expected, refuseUnknown } from '../errors'
import { checkNumber, RANGES } from '../names'
import type { Floats } from '../plan/plan'
import type { Epoch, Recorder } from './history'

/** The run as a callback sees it, at that moment. The model may be read too: it answers from the same state. */
export interface Moment {
  /** Epochs ended so far; at onEpochBegin and onBatchEnd the epoch under way is the next. */
  readonly epoch: number
  readonly epochs: number
  /** Whole steps made so far. */
  readonly step: number
  /** Objective of the last batch, before its update; NaN before the first. */
  readonly loss: number
  /** All epochs ended, the last one last. */
  readonly history: readonly Epoch[]
  /** Rate of the next step; may be set, to a number ≥ 0, which then stays: a schedule is over from there. */
  learningRate: number
  /** A copy of the parameters, as `net.weights()` returns them. */
  weights(): ReturnType<Layers['read']>
  /** Sets all parameters, as `net.setWeights` does; the optimizer's state stays. @throws ERR_SHAPE, ERR_DATA */
  setWeights(layers: readonly unknown[]): void
  /** Ends the run after this moment, with status 'stopped'. */
  stop(): void
}

type Listener = (moment: Moment) => void | PromiseLike<void>

/** Any of the five moments; `this` is the callback itself. */
export interface Callback {
  onTrainBegin?: Listener
  onEpochBegin?: Listener
  /** After every step: the run then goes a step at a time. */
  onBatchEnd?: Listener
  onEpochEnd?: Listener
  onTrainEnd?: Listener
}

export const MOMENTS = ['onTrainBegin', 'onEpochBegin', 'onBatchEnd', 'onEpochEnd', 'onTrainEnd'] as const
export type MomentName = (typeof MOMENTS)[number]

/** One callback or several, checked. @throws ERR_OPTION */
export function readCallbacks(value: unknown): readonly Callback[] {
  if (value === undefined || value === null) return []
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  for (const callback of list) {
    if (typeof callback !== 'object' || callback === null)
      throw expected('an object such as { onEpochEnd(moment) { … } }', 'callbacks', callback)
    // A class instance brings its own fields and methods; plain objects are held to the five names.
    if (Object.getPrototypeOf(callback) === Object.prototype) refuseUnknown(callback, MOMENTS, 'a callback')
    for (const name of MOMENTS) {
      const listener: unknown = (callback as Callback)[name]
      if (listener !== undefined && typeof listener !== 'function') throw expected('a function', name, listener)
    }
  }
  return list as readonly Callback[]
}

/** Whether anybody listens at a moment. */
export function listens(callbacks: readonly Callback[], name: MomentName): boolean {
  return callbacks.some((callback) => callback[name] !== undefined)
}

/** Parameters as users see them, of a run that is at rest. */
export interface Layers {
  read(): { readonly weights: Matrix; readonly bias: Floats | null }[]
  write(layers: readonly unknown[]): void
}

/** What of a run changes under the hands of its callbacks. */
export interface Live {
  readonly loss: number
  learningRate: number
  readonly layers: Layers
  stop(): void
}

/** The run as callbacks see it. */
export function momentOf(epochs: number, recorder: Recorder, live: Live): Moment {
  return {
    epochs,
    get epoch() {
      return recorder.count
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
    weights: live.layers.read,
    setWeights: live.layers.write,
    stop: live.stop,
  }
}

/** Promises of those who listen, one after the other; whatever `await` would wait for is one. */
export function* told(callbacks: readonly Callback[], name: MomentName, moment: Moment): Generator<PromiseLike<void>> {
  for (const callback of callbacks) {
    const result: unknown = callback[name]?.(moment)
    if (isThenable(result)) yield result
  }
}

function isThenable(value: unknown): value is PromiseLike<void> {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return isObject && typeof (value as { then?: unknown }).then === 'function'
}

/** For `fitSync`, which can wait for nobody. */
export function refusePromise(): never {
  throw new DownhillError(
    'ERR_OPTION',
    'Expected callbacks that return nothing in fitSync but one returned a promise; use fit.',
  )
}
