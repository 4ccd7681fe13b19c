/**
 * The loop over a plan: slices → steps → chunks → instructions. It runs on whatever thread holds it, over memory that
 * may be shared with other threads; native/plan.cc is its twin.
 */
import type { Floats, Plan, Program, ProgramName, Report, Slice } from '../plan/plan'
import type { BoundTable, Context, Memory, Operation } from './context'
import type { Gate, StopFlag } from './gate'
import { prepare } from './operations'

/** The two blocks of an arena: parameters, which engines may share, and the rest. */
export interface Blocks {
  readonly parameters: Floats
  readonly own: Floats
}

interface Prepared {
  readonly chunk: readonly Operation[]
  readonly step: readonly Operation[]
  readonly output: { readonly values: Floats; readonly columns: number } | null
}

export class Interpreter {
  readonly #plan: Plan
  readonly #programs = new Map<ProgramName, Prepared>()
  #endedEarly = false

  constructor(
    plan: Plan,
    blocks: Blocks,
    readonly gate: Gate,
    readonly stop: StopFlag,
  ) {
    this.#plan = plan
    const memory = memoryOf(plan, blocks)
    for (const [name, program] of Object.entries(plan.programs) as [ProgramName, Program][])
      this.#programs.set(name, {
        chunk: program.chunk.map((instruction) => prepare(instruction, memory)),
        step: program.step.map((instruction) => prepare(instruction, memory)),
        output: program.output
          ? {
              values: memory.view(program.output.at, program.output.columns * plan.capacity),
              columns: program.output.columns,
            }
          : null,
      })
  }

  run(slice: Slice<BoundTable>): Report {
    const began = performance.now()
    const program = this.#programs.get(slice.program)
    if (program === undefined) throw new Error(`the plan has no program ${slice.program}`)
    const record = new Recorder(slice, this.#outputFor(program, slice))
    const context = contextOf(slice)
    let stopped: Report['stopped'] = slice.follows && this.#endedEarly ? 'asked' : null
    // Up to the guard an update only reads parameters; from it on, whole steps or none.
    const update = (): void => {
      if (this.stop.isNow) {
        stopped = 'asked'
        return
      }
      for (const operation of program.step) {
        operation(context)
        if (context.refused) break
      }
    }
    let start = slice.start
    let used = 0
    while (record.begun < slice.steps && stopped === null) {
      if (this.stop.isSet) {
        stopped = 'asked'
        break
      }
      const batch = Math.min(slice.batch, slice.pass - start)
      context.batch = batch
      context.weight = weightOf(slice, slice.rows ? used : start, batch)
      context.step = slice.step + record.begun
      context.learningRate = slice.learningRate[record.begun] ?? 0
      context.loss = context.penalty = context.gradientNorm = 0
      context.sums = null
      context.refused = false
      for (let offset = 0; offset < batch && stopped === null; offset += this.#plan.capacity) {
        context.offset = offset
        context.rows = Math.min(this.#plan.capacity, batch - offset)
        context.from = (slice.rows ? used : start) + offset
        for (const operation of program.chunk) operation(context)
        if (program.output) record.output(program.output.values, context.rows * program.output.columns)
        if (offset + context.rows < batch && this.stop.isNow) stopped = 'asked'
      }
      if (program.step.length > 0 && stopped === null) this.gate.updating(update)
      if (stopped !== null) break
      record.step(context)
      if (context.refused) {
        stopped = 'nonFinite'
        break
      }
      used += batch
      start = start + batch < slice.pass ? start + batch : 0
    }
    this.#endedEarly = stopped !== null
    return record.report(stopped, performance.now() - began)
  }

  #outputFor(program: Prepared, slice: Slice): Floats | null {
    if (program.output === null) return null
    const rows = Math.min(slice.steps * slice.batch, slice.pass - slice.start)
    const length = rows * program.output.columns
    return this.#plan.dtype === 'float64' ? new Float64Array(length) : new Float32Array(length)
  }
}

function memoryOf(plan: Plan, { parameters, own }: Blocks): Memory {
  const shared = plan.parameters.length
  const view = (at: number, length: number): Floats =>
    at < shared ? parameters.subarray(at, at + length) : own.subarray(at - shared, at - shared + length)
  return { view, optional: (at, length) => (at < 0 ? null : view(at, length)), capacity: plan.capacity }
}

function contextOf(slice: Slice<BoundTable>): Context {
  return {
    rows: 0,
    offset: 0,
    batch: 0,
    weight: 0,
    order: slice.rows,
    from: 0,
    data: slice.data,
    step: slice.step,
    seed: slice.seed,
    learningRate: 0,
    loss: 0,
    penalty: 0,
    gradientNorm: 0,
    sums: null,
    refused: false,
  }
}

/** Σω of the `batch` rows from `from` on. */
function weightOf({ rows, data: { weights } }: Slice<BoundTable>, from: number, batch: number): number {
  if (!weights) return batch
  let sum = 0
  for (let i = from; i < from + batch; i++) sum += weights[rows ? rows[i] : i]
  return sum
}

/** Collects a report. */
class Recorder {
  begun = 0
  #made = 0
  /** Entries of the output, and those of whole steps. */
  #written = 0
  #whole = 0
  readonly #loss: Float64Array
  readonly #penalty: Float64Array
  readonly #weight: Float64Array
  readonly #norm: Float64Array
  readonly #sums: number[] = []

  constructor(
    slice: Slice,
    readonly outputs: Floats | null,
  ) {
    this.#loss = new Float64Array(slice.steps)
    this.#penalty = new Float64Array(slice.steps)
    this.#weight = new Float64Array(slice.steps)
    this.#norm = new Float64Array(slice.steps)
  }

  output(values: Floats, length: number): void {
    this.outputs?.set(values.subarray(0, length), this.#written)
    this.#written += length
  }

  step({ loss, penalty, weight, gradientNorm, sums, refused }: Context): void {
    this.#loss[this.begun] = loss + penalty
    this.#penalty[this.begun] = penalty
    this.#weight[this.begun] = weight
    this.#norm[this.begun] = gradientNorm
    if (sums) this.#sums.push(...sums)
    this.begun += 1
    this.#whole = this.#written
    if (!refused) this.#made += 1
  }

  report(stopped: Report['stopped'], milliseconds: number): Report {
    return {
      steps: this.#made,
      loss: this.#loss.slice(0, this.begun),
      penalty: this.#penalty.slice(0, this.begun),
      weight: this.#weight.slice(0, this.begun),
      gradientNorm: this.#norm.slice(0, this.begun),
      sums: Float64Array.from(this.#sums),
      milliseconds,
      stopped,
      output: this.#whole === this.#written ? this.outputs : (this.outputs?.slice(0, this.#whole) ?? null),
    }
  }
}
