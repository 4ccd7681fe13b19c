/**
 * Which backend runs: the one asked for, or native where it loads and has every operation, else TypeScript with one
 * line of notice. `backendInfo()` tells why.
 */
import { DownhillError } from '../errors'
import { checkName } from '../names'
import { type Dtype, type Instruction, opKey, type Plan } from '../plan/plan'
import type { Backend } from './backend'
import { physicalCores } from './cores'
import { type NativeStatus, nativeStatus } from './native'
import { typescriptBackend } from './typescript'

export type BackendName = 'auto' | 'native' | 'typescript'
export const BACKEND_NAMES = ['auto', 'native', 'typescript'] as const

/** What runs and why. */
export interface BackendInfo {
  readonly name: 'native' | 'typescript'
  /** One sentence. */
  readonly reason: string
  /** e.g. `OpenBLAS 0.3.21 serial SkylakeX`; 'none' where products run on our own loops. */
  readonly blas: string
  /** Instruction set of our own kernels: `avx512`, `avx2`, `portable`; 'none' in TypeScript. */
  readonly simd: string
  /** Threads that 'auto' gives a `fitSync`; cores, or a container's quota of them. */
  readonly threads: number
  /** The addon loaded, or null. */
  readonly path: string | null
  /** Every place looked at, and what was found. */
  readonly attempts: readonly string[]
}

let noticeGiven = false

/** One line to stderr, once a process: falling back is no error, but nobody should wonder why it is slow. */
function notice(reason: string): void {
  if (noticeGiven) return
  noticeGiven = true
  process.stderr.write(`downhill: ${reason}\n`)
}

function environmentChoice(): BackendName {
  const value = process.env.DOWNHILL_BACKEND
  return value === undefined || value === '' ? 'auto' : checkName(value, BACKEND_NAMES, 'DOWNHILL_BACKEND')
}

function choose(asked: BackendName, dtype: Dtype): { backend: Backend; reason: string } {
  const wanted = asked === 'auto' ? environmentChoice() : asked
  const by = asked === 'auto' && wanted !== 'auto' ? 'DOWNHILL_BACKEND asks for it' : 'it was asked for'
  if (wanted === 'typescript') return { backend: typescriptBackend, reason: by }
  if (dtype === 'float64') {
    if (asked === 'native')
      throw new DownhillError(
        'ERR_BACKEND',
        'The native backend computes in float32; use backend "typescript" for dtype "float64".',
      )
    return { backend: typescriptBackend, reason: 'float64 runs there' }
  }
  const status = nativeStatus()
  if (status.backend) return { backend: status.backend, reason: wanted === 'native' ? by : 'the addon loaded' }
  const why = `the native backend is not available (${status.reason})`
  if (wanted === 'native') throw new DownhillError('ERR_BACKEND', `Expected to run natively, but ${why}.`)
  notice(`${why}; running on TypeScript, which is slower.`)
  return { backend: typescriptBackend, reason: why }
}

/** The backend for a model that asks for `asked`. @throws ERR_BACKEND */
export function pickBackend(asked: BackendName, dtype: Dtype): Backend {
  return choose(asked, dtype).backend
}

/**
 * `backend`, or the TypeScript one if it lacks an operation of the plan and nobody insisted.
 * @throws ERR_BACKEND where it was asked for by name
 */
export function backendFor(plan: Plan, backend: Backend, asked: BackendName): Backend {
  const missing = instructionsOf(plan)
    .map(opKey)
    .find((key) => !backend.ops.has(key))
  if (missing === undefined) return backend
  const why = `the ${backend.name} backend has no operation ${missing}`
  if (asked === 'native') throw new DownhillError('ERR_BACKEND', `Expected to run natively, but ${why}.`)
  notice(`${why}; running on TypeScript, which is slower.`)
  return typescriptBackend
}

function instructionsOf(plan: Plan): Instruction[] {
  return Object.values(plan.programs).flatMap((program) => [...program.chunk, ...program.step])
}

/** What a model with backend 'auto' and float32 runs on, and why. */
export function backendInfo(): BackendInfo {
  const status: NativeStatus = nativeStatus()
  const { backend, reason } = choose('auto', 'float32')
  const isNative = backend.name === 'native'
  return {
    name: backend.name,
    reason,
    blas: isNative ? status.blas : 'none',
    simd: isNative ? status.simd : 'none',
    threads: isNative ? physicalCores() : 1,
    path: status.path,
    attempts: status.attempts,
  }
}
