/**
 * The engine of the last training, kept for a moment: whoever trains again as before, a stream batch by batch or a loop
 * fit by fit, finds its plan compiled, its memory touched and its thread waiting.
 *
 * One in the process (one in each worker), so that what is kept is bounded; and it keeps no process alive.
 */
import type { Engine } from './backend'

/** Milliseconds. */
const KEPT = 1000

let spare: {
  readonly owner: object
  readonly key: string
  readonly engine: Engine
  readonly timer: NodeJS.Timeout
} | null = null

/** Takes an engine that is at rest. The one before it is closed. */
export function keep(owner: object, key: string, engine: Engine): void {
  drop()
  spare = { owner, key, engine, timer: setTimeout(drop, KEPT) }
  spare.timer.unref()
}

/** The engine that this owner left under this key, as it left it; null if there is none. */
export function take(owner: object, key: string): Engine | null {
  if (spare?.owner !== owner || spare.key !== key) return null
  const { engine, timer } = spare
  clearTimeout(timer)
  spare = null
  return engine
}

/** Closes what is kept, or only if it is this owner's. */
export function drop(owner?: object): void {
  if (spare === null || (owner !== undefined && spare.owner !== owner)) return
  clearTimeout(spare.timer)
  spare.engine.close()
  spare = null
}
