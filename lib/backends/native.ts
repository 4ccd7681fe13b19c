/**
 * The native backend: the plan run by the C++ addon.
 */
import type { Backend } from './backend'

/** What came of looking for the addon; pick.ts reads this (the engineer of native/ fills it in and keeps this shape). */
export interface NativeStatus {
  readonly backend: Backend | null
  /** Why there is none, in a clause; empty where there is one. */
  readonly reason: string
  readonly blas: string
  readonly simd: string
  readonly path: string | null
  readonly attempts: readonly string[]
}

export function nativeStatus(): NativeStatus {
  return { backend: null, reason: 'it is not built', blas: 'none', simd: 'none', path: null, attempts: [] }
}
