/**
 * The native backend: the plan run by the C++ addon, on memory of its own. Nothing is computed here; this file encodes
 * plans and slices, and is the only one that knows what the addon exports.
 */
import { DownhillError } from '../errors'
import type { Range, Report, Slice, Table } from '../plan/plan'
import { encodeOperands, type Floats, type Instruction, OPS, opKey, type Plan, type ProgramName } from '../plan/plan'
import { loadAddon } from './addon'
import type { Backend, Bound, Engine } from './backend'

/** What came of looking for the addon. */
export interface NativeStatus {
  readonly backend: Backend | null
  /** Why there is none, in a clause; empty where there is one. */
  readonly reason: string
  readonly blas: string
  readonly simd: string
  readonly path: string | null
  readonly attempts: readonly string[]
}

// ---------------------------------------------------------------------------------------------------- the addon

/** What the addon exports (native/addon.cc). */
interface Addon {
  readonly ops: readonly AddonOp[]
  readonly blas: string
  readonly simd: string
  readonly Data: new (
    x: Floats | Uint8Array,
    rows: number,
    columns: number,
    scale: number,
    y: Floats | null,
    targets: number,
    weights: Float64Array | null,
  ) => AddonData
  readonly Engine: new (plan: EncodedPlan, threads: number, parametersOf: AddonEngine | undefined) => AddonEngine
  /** Tells, once, who hears of slices that `start` began; null for want of memory. */
  listen(settle: (id: number, report: Report | null) => void): void
}

interface AddonOp {
  readonly key: string
  readonly scope: string
  readonly operands: readonly string[]
}

interface AddonData {
  release(): void
}

type SliceArguments = [
  program: number,
  data: AddonData,
  rows: Uint32Array | null,
  pass: number,
  batch: number,
  start: number,
  learningRate: Float64Array,
  step: number,
  seed: number,
  steps: number,
]

interface AddonEngine {
  read(at: number, length: number): Float32Array
  write(at: number, values: Float32Array): void
  clear(at: number, count: number): void
  run(...slice: SliceArguments): Report
  start(...slice: [...SliceArguments, id: number, follows: boolean]): void
  predict(x: Floats | Uint8Array, rows: number, scale: number): Float32Array | null
  stop(isNow: boolean): void
  close(): void
}

/** A plan as numbers: instruction after instruction, each [index into keys, operands…]. */
interface EncodedPlan {
  readonly keys: readonly string[]
  readonly inputs: number
  readonly targets: number
  readonly capacity: number
  readonly length: number
  readonly parameters: number
  readonly programs: { readonly [P in ProgramName]?: EncodedProgram }
}

interface EncodedProgram {
  readonly chunk: Float64Array
  readonly step: Float64Array
  /** −1: no output. */
  readonly outputAt: number
  readonly columns: number
}

/** Programs in the order in which the addon numbers them. */
const PROGRAMS: readonly ProgramName[] = [
  'train',
  'gradient',
  'evaluate',
  'predict',
  'objective',
  'linearize',
  'curvature',
  'update',
]

/** What is missing or of the wrong kind in what a file exported; '' if it is an addon of this version. */
export function faultOf(exports: unknown): string {
  const addon = exports as Partial<Addon>
  const isWhole =
    typeof exports === 'object' &&
    exports !== null &&
    Array.isArray(addon.ops) &&
    typeof addon.blas === 'string' &&
    typeof addon.simd === 'string' &&
    [addon.Data, addon.Engine, addon.listen].every((value) => typeof value === 'function')
  if (!isWhole) return 'it exports something else'
  const strange = (addon.ops as readonly AddonOp[]).find((op) => !fits(op))
  return strange ? `its ${strange.key} is of another version` : ''
}

/** Whether an operation of the addon takes what OPS says. */
function fits({ key, scope, operands }: AddonOp): boolean {
  const row: { scope: string; operands: readonly string[] } | undefined = OPS[key.split('.')[0] as keyof typeof OPS]
  return row !== undefined && row.scope === scope && row.operands.join() === operands.join()
}

/** A plan as the addon takes it. */
export function encodePlan(plan: Plan): EncodedPlan {
  const keys: string[] = []
  const encodeList = (list: readonly Instruction[]): Float64Array =>
    Float64Array.from(
      list.flatMap((instruction) => {
        const key = opKey(instruction)
        if (!keys.includes(key)) keys.push(key)
        return [keys.indexOf(key), ...encodeOperands(instruction)]
      }),
    )
  const programs: { [P in ProgramName]?: EncodedProgram } = {}
  for (const name of PROGRAMS) {
    const program = plan.programs[name]
    if (program === undefined) continue
    programs[name] = {
      chunk: encodeList(program.chunk),
      step: encodeList(program.step),
      outputAt: program.output?.at ?? -1,
      columns: program.output?.columns ?? 0,
    }
  }
  const { inputs, targets, capacity, length, parameters } = plan
  return { keys, inputs, targets, capacity, length, parameters: parameters.length, programs }
}

/** Calls the addon; memory that is not there becomes an error for users. */
function withMemory<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_MEMORY') throw error
    throw outOfMemory(error)
  }
}

function outOfMemory(cause?: unknown): DownhillError {
  return new DownhillError('ERR_BACKEND', 'There is not enough memory for this model and its data.', { cause })
}

// ---------------------------------------------------------------------------------------------------- engines

/** Slices on their way, by number; one listener for all of them. */
class Pending {
  readonly #settle = new Map<number, (report: Report | null) => void>()
  #next = 0

  constructor(addon: Addon) {
    addon.listen((id, report) => {
      const settle = this.#settle.get(id)
      this.#settle.delete(id)
      settle?.(report)
    })
  }

  /** Calls `start` with a number, and promises the report under it. */
  run(start: (id: number) => void): Promise<Report> {
    return new Promise((resolve, reject) => {
      const id = this.#next
      this.#next = (this.#next + 1) >>> 0
      this.#settle.set(id, (report) => (report ? resolve(report) : reject(outOfMemory())))
      try {
        withMemory(() => start(id))
      } catch (error) {
        this.#settle.delete(id)
        reject(error)
      }
    })
  }
}

class NativeData implements Bound {
  constructor(
    readonly rows: number,
    readonly data: AddonData,
  ) {}

  release(): void {
    this.data.release()
  }
}

class NativeEngine implements Engine {
  readonly #addon: Addon
  readonly #pending: Pending
  readonly #engine: AddonEngine

  constructor(
    readonly plan: Plan,
    addon: Addon,
    pending: Pending,
    threads: number,
    parametersOf?: NativeEngine,
  ) {
    this.#addon = addon
    this.#pending = pending
    const shared = parametersOf === undefined ? undefined : parametersOf.#engine
    this.#engine = withMemory(() => new addon.Engine(encodePlan(plan), threads, shared))
  }

  bind({ x, rows, columns, scale, y, targets, weights = null }: Table): Bound {
    return new NativeData(
      rows,
      withMemory(() => new this.#addon.Data(x, rows, columns, scale, y, targets, weights)),
    )
  }

  read({ at, length }: Range): Floats {
    return this.#engine.read(at, length)
  }

  write({ at, length }: Range, values: ArrayLike<number>): void {
    const floats = values instanceof Float32Array ? values : new Float32Array(values)
    this.#engine.write(at, floats.length === length ? floats : floats.subarray(0, length))
  }

  clear({ at, length }: Range): void {
    this.#engine.clear(at, length)
  }

  run(slice: Slice<Bound>): Report {
    return withMemory(() => this.#engine.run(...encodeSlice(slice)))
  }

  runAsync(slice: Slice<Bound>): Promise<Report> {
    return this.#pending.run((id) => this.#engine.start(...encodeSlice(slice), id, slice.follows))
  }

  predict(x: Floats | Uint8Array, rows: number, scale: number): Floats | null {
    return this.#engine.predict(x, rows, scale)
  }

  stop(isNow = false): void {
    this.#engine.stop(isNow)
  }

  close(): void {
    this.#engine.close()
  }
}

function encodeSlice(slice: Slice<Bound>): SliceArguments {
  const { program, data, rows, pass, batch, start, learningRate, step, seed, steps } = slice
  const { data: table } = data as NativeData
  return [PROGRAMS.indexOf(program), table, rows, pass, batch, start, learningRate, step, seed >>> 0, steps]
}

// ---------------------------------------------------------------------------------------------------- the backend

let known: NativeStatus | null = null

/** The native backend of this process, looked for at the first call; or why there is none. */
export function nativeStatus(): NativeStatus {
  known ??= look()
  return known
}

function look(): NativeStatus {
  const { addon: exports, path, reason, attempts } = loadAddon()
  const fault = exports === null ? reason : faultOf(exports)
  if (fault !== '') return { backend: null, reason: fault, blas: 'none', simd: 'none', path: null, attempts }
  const addon = exports as Addon
  const pending = new Pending(addon)
  const backend: Backend = {
    name: 'native',
    ops: new Set(addon.ops.map(({ key }) => key)),
    load: (plan, threads, parametersOf) =>
      new NativeEngine(plan, addon, pending, threads, parametersOf as NativeEngine | undefined),
  }
  return { backend, reason: '', blas: addon.blas, simd: addon.simd, path, attempts }
}
