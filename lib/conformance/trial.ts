/**
 * What a conformance check works with: a task with data for it, models for the task, and ways to insist.
 *
 * Numbers of x are multiples of 1/64, so that every kind of array holds them exactly; its first column counts 0, 1, 2, 3,
 * so that a layer may take it for indices.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ActivationName } from '../activations'
import type { Targets, Task } from '../data/targets'
import { DownhillError, type ErrorCode } from '../errors'
import type { FNN } from '../fnn'
import { dense, drawsMasks, indexColumns, type LayerSpec, needsWholeBatch } from '../layers'
import type { ModelOptions } from '../options'
import type { Dtype } from '../plan/plan'
import { random } from '../random'
import type { History } from '../train/history'
import type { FitOptions } from '../train/options'

const ROWS = 24
const COLUMNS = 4

/** Rows of x as arrays. */
export type Rows = readonly (readonly number[])[]
/** y as a list: labels, numbers, or rows of them. */
export type List = readonly (string | number | boolean | readonly number[])[]

interface TaskData {
  readonly outputs: number
  readonly activation: ActivationName
  readonly classes?: readonly string[]
  target(row: readonly number[], r: number): List[number]
}

const CLASSES = ['ash', 'birch', 'cedar'] as const

/** What stands behind each task. */
const DATA: { readonly [T in Task]: TaskData } = {
  binary: {
    outputs: 1,
    activation: 'sigmoid',
    classes: ['no', 'yes'],
    target: (row) => (row[1] > row[2] ? 'yes' : 'no'),
  },
  multiclass: { outputs: 3, activation: 'softmax', classes: CLASSES, target: (_, r) => CLASSES[r % 3] },
  multilabel: { outputs: 2, activation: 'sigmoid', target: (row) => [Number(row[1] > 0), Number(row[2] > 0)] },
  regression: { outputs: 1, activation: 'linear', target: (row) => row[1] - row[2] / 2 + 0.25 },
}

/** What `checkModel` was asked about, on one task. */
export interface Subject {
  readonly task: Task
  readonly model: ModelOptions
  readonly layers: readonly LayerSpec[] | null
  readonly fit: FitOptions
  readonly create: (options: ModelOptions) => FNN
  readonly load: (path: string) => Promise<FNN>
}

export interface Data {
  x?: FitInputs
  y?: Targets | List
}
type FitInputs = Parameters<FNN['fit']>[0]

export class Trial {
  readonly task: Task
  readonly x: Rows
  readonly y: List
  /** Labels of a task that has classes, in order. */
  readonly classes: readonly string[] | undefined
  readonly load: (path: string) => Promise<FNN>
  readonly #subject: Subject

  constructor(subject: Subject) {
    this.#subject = subject
    this.task = subject.task
    this.load = subject.load
    this.x = rowsOf(ROWS, COLUMNS)
    this.y = this.targets(this.x)
    this.classes = DATA[this.task].classes
  }

  /** Whether what training makes of a row depends neither on its place nor on the others. */
  get areRowsApart(): boolean {
    const { layers } = this.#subject
    return layers === null || (!needsWholeBatch(layers) && !drawsMasks(layers))
  }

  get needsTwoRows(): boolean {
    const { layers } = this.#subject
    return layers !== null && needsWholeBatch(layers)
  }

  /** Whether x has a column of indices, which must stay as they are. */
  get hasIndices(): boolean {
    return indexColumns(this.#subject.layers ?? []).length > 0
  }

  targets(x: Rows): List {
    return x.map(DATA[this.task].target)
  }

  /** A model of the task that knows no sizes yet. */
  make(extra: ModelOptions = {}): FNN {
    const { model, layers, create } = this.#subject
    const { outputs, activation } = DATA[this.task]
    const shape = layers
      ? { layers: [...layers, dense(extra.outputs ?? outputs, activation)] }
      : { hidden: model.hidden ?? [5] }
    return create({ seed: 7, ...model, ...shape, task: this.task, ...extra })
  }

  settings(options: FitOptions = {}): FitOptions {
    return { epochs: 3, learningRate: 0.05, ...this.#subject.fit, ...options }
  }

  /** Trains for three epochs on the task's data, or on other. */
  fit(net: FNN, { x = this.x, y = this.y }: Data = {}, options: FitOptions = {}): History {
    return net.fitSync(x, y as Targets, this.settings(options))
  }

  fitted(data: Data = {}, options: FitOptions = {}, extra: ModelOptions = {}): FNN {
    const net = this.make(extra)
    this.fit(net, data, options)
    return net
  }

  /** Of the task's data, or of other. */
  loss(net: FNN, { x = this.x, y = this.y }: Data = {}, sampleWeight?: readonly number[]): number {
    return net.loss(x, y as Targets, sampleWeight ? { sampleWeight } : {})
  }

  /** Insists on numbers that differ by roundings of the model's type only, and on the same of what is no number. */
  near(ours: ArrayLike<unknown>, theirs: ArrayLike<unknown>, what: string): void {
    const most = ROUNDINGS * ROUNDOFF[this.#subject.model.dtype ?? 'float32']
    insist(ours.length === theirs.length, `Expected ${what} to be as many: ${ours.length} and ${theirs.length}.`)
    for (let i = 0; i < ours.length; i++) {
      const [a, b] = [ours[i], theirs[i]]
      const isNear =
        typeof a === 'number' && typeof b === 'number'
          ? Math.abs(a - b) <= most * Math.max(1, Math.abs(a), Math.abs(b))
          : a === b
      insist(isNear, `Expected ${what} to agree but [${i}] is ${String(a)} and ${String(b)}.`)
    }
  }

  /** A file that nobody else writes. */
  path(name: string): string {
    return join(tmpdir(), `downhill-conformance-${process.pid}-${++count}-${name}.safetensors`)
  }
}

let count = 0

/** Unit roundoff of a type. */
const ROUNDOFF: { readonly [D in Dtype]: number } = { float32: 2 ** -24, float64: 2 ** -53 }

/** Of the larger number, or of 1: what a few steps of training with sums over 24 rows make of two orders of adding. */
const ROUNDINGS = 2048

/** Rows of small numbers, the first of which counts. */
export function rowsOf(rows: number, columns: number): Rows {
  const from = random(11, 'sample')
  return Array.from({ length: rows }, (_, r) =>
    Array.from({ length: columns }, (_, c) => (c === 0 ? r % 4 : from.below(256) / 64 - 2)),
  )
}

/** Predictions as plain numbers or labels, row after row. */
export function plain(predictions: unknown): (string | number | boolean)[] {
  const holder = predictions as { data?: ArrayLike<number> }
  return Array.from((holder.data ?? predictions) as ArrayLike<number>)
}

// ---------------------------------------------------------------------------------------------------- insisting

export class Unmet extends Error {}

export function insist(holds: boolean, says: string): void {
  if (!holds) throw new Unmet(says)
}

/** The same values, bit for bit. */
export function same(ours: unknown, theirs: unknown, what: string): void {
  insist(isDeepStrictEqual(ours, theirs), `Expected ${what} to be the same, bit for bit.`)
}

/** The same weights, and the same predictions from them. */
export function sameModel(one: FNN, other: FNN, x: FitInputs, what: string): void {
  same(one.weights(), other.weights(), `the weights ${what}`)
  same(one.predict(x), other.predict(x), `the predictions ${what}`)
}

export function finite(predictions: unknown, what: string): void {
  const numbers = plain(predictions).filter((value) => typeof value === 'number')
  insist(numbers.every(Number.isFinite), `Expected finite numbers of ${what}.`)
}

/** That the call throws or rejects with `code`. */
export async function refuses(code: ErrorCode, call: () => unknown, what: string): Promise<void> {
  try {
    await call()
  } catch (error) {
    if (error instanceof DownhillError && error.code === code) return
    throw new Unmet(`Expected ${code} for ${what} but got ${String(error)}`)
  }
  throw new Unmet(`Expected ${code} for ${what} but nothing was refused.`)
}
