/**
 * The TypeScript backend: the plan run by plain loops, in float32 or float64. It is always there, and it is the
 * specification of the native one.
 *
 * Memory is shared (SharedArrayBuffer), so that a slice can run on a worker thread over the engine's own arena, off the
 * event loop, with nothing copied between.
 */

import type { Dtype, Floats, Plan, Range, Report, Slice, Table } from '../plan/plan'
import type { Backend, Bound, Engine } from './backend'
import type { BoundTable } from './context'
import { Gate, StopFlag } from './gate'
import { type Blocks, Interpreter } from './interpreter'
import { operationKeys } from './operations'
import type { EngineSetup } from './typescript-worker'
import { Lane } from './worker-pool'

function sharedFloats(dtype: Dtype, length: number): Floats {
  return dtype === 'float64'
    ? new Float64Array(new SharedArrayBuffer(length * 8))
    : new Float32Array(new SharedArrayBuffer(length * 4))
}

/** A copy in shared memory, of the engine's type or still bytes. */
function shareTable(table: Table, dtype: Dtype): BoundTable {
  const copy = (values: Floats): Floats => {
    const shared = sharedFloats(dtype, values.length)
    shared.set(values)
    return shared
  }
  const bytes = (values: Uint8Array): Uint8Array => {
    const shared = new Uint8Array(new SharedArrayBuffer(values.length))
    shared.set(values)
    return shared
  }
  const doubles = (values: Float64Array): Float64Array => {
    const shared = sharedFloats('float64', values.length) as Float64Array
    shared.set(values)
    return shared
  }
  const { x, y, weights = null, rows, columns, scale, targets } = table
  const features = x instanceof Uint8Array ? bytes(x) : copy(x)
  return { rows, columns, scale, targets, x: features, y: y && copy(y), weights: weights && doubles(weights) }
}

/** A handle whose table can be let go. */
class BoundHere implements Bound {
  #table: BoundTable | null
  readonly rows: number

  constructor(table: BoundTable) {
    this.#table = table
    this.rows = table.rows
  }

  get table(): BoundTable {
    if (this.#table === null) throw new Error('the data were released')
    return this.#table
  }

  release(): void {
    this.#table = null
  }
}

class TypescriptEngine implements Engine {
  readonly #blocks: Blocks
  readonly #gate: Gate
  readonly #stop = new StopFlag()
  readonly #interpreter: Interpreter
  readonly #lane = new Lane(() => this.#setup())

  constructor(
    readonly plan: Plan,
    parametersOf?: TypescriptEngine,
  ) {
    const { parameters, length, dtype } = plan
    this.#blocks = {
      parameters: parametersOf ? parametersOf.#blocks.parameters : sharedFloats(dtype, parameters.length),
      own: sharedFloats(dtype, length - parameters.length),
    }
    this.#gate = parametersOf ? parametersOf.#gate : new Gate()
    this.#interpreter = new Interpreter(plan, this.#blocks, this.#gate, this.#stop)
  }

  bind(table: Table): Bound {
    return new BoundHere(shareTable(table, this.plan.dtype))
  }

  read(range: Range): Floats {
    return this.#gate.reading(() => copyOf(this.#range(range)))
  }

  write(range: Range, values: ArrayLike<number>): void {
    this.#gate.reading(() => this.#range(range).set(values))
  }

  clear(range: Range): void {
    this.#gate.reading(() => this.#range(range).fill(0))
  }

  run(slice: Slice<Bound>): Report {
    this.#stop.clear()
    const local = { ...slice, follows: false, data: (slice.data as BoundHere).table }
    // A program that only looks must not see half an update of an engine that trains the same parameters; one with a
    // step list of its own takes the gate there.
    const isLooking = this.plan.programs[slice.program]?.step.length === 0
    return isLooking ? this.#gate.reading(() => this.#interpreter.run(local)) : this.#interpreter.run(local)
  }

  runAsync(slice: Slice<Bound>): Promise<Report> {
    if (!slice.follows) this.#stop.clear()
    return this.#lane.run({ ...slice, data: (slice.data as BoundHere).table })
  }

  predict(x: Floats | Uint8Array, rows: number, scale: number): Floats | null {
    const { inputs, dtype } = this.plan
    const stored = dtype === 'float64' ? (value: number) => value : Math.fround
    for (let i = 0; i < x.length; i++) if (!Number.isFinite(stored(x[i] * scale))) return null
    const data: BoundTable = { rows, columns: inputs, x, scale, targets: 0, y: null }
    const slice = { program: 'predict', data, rows: null, pass: rows, batch: rows, start: 0, steps: 1 } as const
    const report = this.#gate.reading(() =>
      this.#interpreter.run({ ...slice, learningRate: new Float64Array(0), step: 0, seed: 0, follows: false }),
    )
    return report.output as Floats
  }

  stop(isNow = false): void {
    if (isNow) this.#stop.now()
    else this.#stop.afterStep()
  }

  close(): void {
    this.#stop.now()
    // Whoever is in the middle of an update ends it first, and none begins after.
    this.#gate.reading(() => {})
    this.#lane.close()
  }

  #range({ at, length }: Range): Floats {
    const shared = this.plan.parameters.length
    return at < shared
      ? this.#blocks.parameters.subarray(at, at + length)
      : this.#blocks.own.subarray(at - shared, at - shared + length)
  }

  #setup(): EngineSetup {
    return { plan: this.plan, blocks: this.#blocks, gate: this.#gate.memory, stop: this.#stop.memory }
  }
}

/** A copy in memory of its own, which may be transferred and is no longer shared. */
function copyOf(values: Floats): Floats {
  return values instanceof Float64Array ? new Float64Array(values) : new Float32Array(values)
}

export const typescriptBackend: Backend = {
  name: 'typescript',
  ops: operationKeys(),
  load: (plan, _threads, parametersOf) => new TypescriptEngine(plan, parametersOf as TypescriptEngine | undefined),
}
