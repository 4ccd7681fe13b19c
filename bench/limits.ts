/**
 * What the machine can do at most, measured by limits.cc: the ceilings of the rooflines, and what a goal is held against.
 *
 * Null where there is no compiler: then a table says nothing of shares.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compiler, root, run } from '../scripts/tools'
import { flops, type Task } from './workloads'

/** FLOP/s of fused multiply-adds (0: unknown), and bytes a second read from each level, for a number of threads. */
export interface Ceiling {
  readonly threads: number
  readonly flops: number
  readonly L2: number
  readonly L3: number
  readonly memory: number
}
/** For one thread, and for all where there are more; the sizes of the caches in bytes. */
export interface Limits {
  readonly ceilings: readonly Ceiling[]
  readonly L2: number
  readonly L3: number
}

function cacheSize(level: number, otherwise: number): number {
  try {
    const text = readFileSync(`/sys/devices/system/cpu/cpu0/cache/index${level}/size`, 'utf8')
    return Number.parseInt(text, 10) * 1024 || otherwise
  } catch {
    return otherwise
  }
}

/** The program, built; null where there is no compiler. */
function build(): string | null {
  const cxx = compiler()
  if (cxx === null) return null
  const folder = join(root, 'build/bench')
  mkdirSync(folder, { recursive: true })
  const program = join(folder, 'limits')
  const { ok } = run(cxx, ['-std=c++17', '-O3', '-pthread', join(__dirname, 'limits.cc'), '-o', program])
  return ok ? program : null
}

let program: string | null | undefined

/** What limits.cc prints, parsed. */
function ask(...questions: (string | number)[]): unknown {
  program ??= build()
  return program && JSON.parse(execFileSync(program, questions.map(String), { encoding: 'utf8' }))
}

/** Some two seconds of work. */
export function measureLimits(threads: number): Limits | null {
  const [L2, L3] = [cacheSize(2, 2 ** 20), cacheSize(3, 2 ** 25)]
  const ceilings = ask(threads, L2, L3) as Ceiling[] | null
  return ceilings && { ceilings, L2, L3 }
}

/**
 * Nanoseconds in which a line of cache goes from one core to another and back; null where that is not known. A virtual
 * machine's cores may be moved, and with them the figure: 60 and 340 are what one machine showed within a minute.
 */
export const measureHandover = (): number | null => (ask('handover') as number | null) || null

export interface Roofline {
  /** Of one step (one call, where it predicts). */
  readonly flop: number
  readonly bytes: number
  /** What a step touches, and the smallest level that holds it. */
  readonly workingSet: number
  readonly level: 'L2' | 'L3' | 'memory'
  /** FLOP/s that `flop` and `bytes` allow. */
  readonly bound: number
}

/**
 * The roofline of a workload (Williams, Waterman & Patterson 2009), with the bytes that cannot be spared if nothing stays
 * in registers or L1 from one pass to the next: the rows as they are stored; each activation and delta written and read
 * once; weights read forward and for dx; gradients written and read; weights (and Adam's two means) read and written.
 */
export function roofline(task: Task, { ceilings, L2, L3 }: Limits): Roofline {
  const rows = Math.min(task.batch, task.rows)
  const [inputs, ...units] = task.layers
  const sizes = units.map((O, l) => (task.layers[l] + 1) * O)
  const weights = sizes.reduce((sum, size) => sum + size, 0)
  const outputs = units.reduce((sum, O) => sum + O, 0)
  const stored = rows * inputs * (task.x.dtype === 'uint8' ? 1 : 4)
  const trains = task.kind === 'train'
  const state = task.optimizer === 'adam' ? 2 : 0
  const update = weights * (2 + 2 + 2 * state)
  const bytes = trains
    ? stored + 4 * (4 * rows * outputs + weights + (weights - sizes[0]) + update)
    : stored + 4 * (2 * rows * outputs + weights)
  const workingSet = trains
    ? stored + 4 * (2 * rows * outputs + weights * (2 + state))
    : stored + 4 * (rows * outputs + weights)
  const flop = flops({ ...task, rows, passes: 1 })
  const level = workingSet <= L2 ? 'L2' : workingSet <= L3 ? 'L3' : 'memory'
  const [one] = ceilings
  return {
    flop,
    bytes,
    workingSet,
    level,
    bound: Math.min(one.flops || Number.POSITIVE_INFINITY, (flop / bytes) * one[level]),
  }
}
