/**
 * What an operation is prepared with and called with, and the numbers at which weights stop.
 */
import type { Floats, InstructionOf, OpName, Table } from '../plan/plan'

/** What changes from chunk to chunk and from step to step. */
export interface Context {
  /** Rows of this chunk, where its first stands in the batch, and rows of the batch. */
  rows: number
  offset: number
  batch: number
  /** Σω of the batch. */
  weight: number
  /** Row numbers of the data, and where this chunk begins in them; `order` null: 0, 1, 2 … */
  order: Uint32Array | null
  from: number
  data: BoundTable
  step: number
  seed: number
  learningRate: number
  /** Sums of the step. */
  loss: number
  penalty: number
  gradientNorm: number
  /** What account found; null where the program has none. */
  sums: readonly number[] | null
  /** Set by guard: no update may follow. */
  refused: boolean
}

/** A table in the backend's own memory. */
export type BoundTable = Table

/** Views of the arena; -1 gives null. */
export interface Memory {
  view(at: number, length: number): Floats
  optional(at: number, length: number): Floats | null
  readonly capacity: number
}

export type Operation = (context: Context) => void
export type Prepare<K extends OpName> = (instruction: InstructionOf<K>, memory: Memory) => Operation

/** The largest number of a kind of float. */
export function largestIn(values: Floats): number {
  return values instanceof Float64Array ? Number.MAX_VALUE : (2 - 2 ** -23) * 2 ** 127
}

/** Weights stay finite where an update of a finite gradient would not be: the loss shows it at the next step. */
export function within(largest: number, v: number): number {
  return Math.max(-largest, Math.min(largest, v))
}
