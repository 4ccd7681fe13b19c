/**
 * What a backend is: something that loads a plan and runs slices of it. Two exist, and a third would fit in here.
 *
 * All checks of what a user gave are done above; a backend may assume a well-formed plan, tables and slices.
 */
import type { Floats, Plan, Range, Report, Slice, Table } from '../plan/plan'

export interface Backend {
  readonly name: 'native' | 'typescript'
  /** Keys of the operations it has (`affine`, `activate.tanh`, …). */
  readonly ops: ReadonlySet<string>
  /**
   * An engine for `plan`, its arena zeroed. With `parametersOf`, the block `plan.parameters` is that engine's own
   * memory, shared: what one writes the other reads, also while the other trains (whole steps only).
   * @param threads how many threads a slice may use; 1 where the backend has one.
   */
  load(plan: Plan, threads: number, parametersOf?: Engine): Engine
}

/** A handle to data that an engine's backend has copied. */
export interface Bound {
  readonly rows: number
  release(): void
}

export interface Engine {
  readonly plan: Plan
  /** Copies a table. Handles are good for every engine of the same backend. */
  bind(table: Table): Bound
  /** A copy of a range. During an asynchronous slice: as it was after a whole step. */
  read(range: Range): Floats
  /** Overwrites a range. Not during a slice of this engine. */
  write(range: Range, values: ArrayLike<number>): void
  /** Makes a range zero. Not during a slice of this engine. */
  clear(range: Range): void
  /** Runs a slice on this thread. */
  run(slice: Slice<Bound>): Report
  /**
   * Runs a slice on another thread, behind those submitted before it; while one runs, only one that `follows`. No
   * thread but this one touches memory of JavaScript.
   */
  runAsync(slice: Slice<Bound>): Promise<Report>
  /**
   * Forward pass over `rows` rows, on this thread, in one crossing: program `predict` without binding. Null where a
   * value of x is not finite in the plan's type: entries are the one thing that nobody need have checked.
   */
  predict(x: Floats | Uint8Array, rows: number, scale: number): Floats | null
  /** Asks the running slice to end after its current step; or `now`, in the middle of it. Those that follow are not begun. */
  stop(isNow?: boolean): void
  /** Frees what the engine holds. Waits for a running slice to stop. */
  close(): void
}
