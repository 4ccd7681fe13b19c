/**
 * A thread on which the TypeScript backend runs asynchronous slices. Engines send their plan and shared memory once,
 * then slices, and are answered with reports, until they send word that they are closed.
 */
import { parentPort } from 'node:worker_threads'
import type { Plan, Report, Slice } from '../plan/plan'
import type { BoundTable } from './context'
import { Gate, StopFlag } from './gate'
import { type Blocks, Interpreter } from './interpreter'

/** An engine as another thread needs it. */
export interface EngineSetup {
  readonly plan: Plan
  readonly blocks: Blocks
  readonly gate: SharedArrayBuffer
  readonly stop: SharedArrayBuffer
}
/** A slice of an engine, by the engine's number. */
export interface SliceRequest {
  readonly engine: number
  readonly slice: Slice<BoundTable>
}
/** `setup` comes with the first slice of an engine that this thread gets. `forget`: that engine is closed. */
export type WorkerRequest = (SliceRequest & { readonly setup: EngineSetup | null }) | { readonly forget: number }
export type WorkerAnswer = Report

const interpreters = new Map<number, Interpreter>()

parentPort?.on('message', (request: WorkerRequest) => {
  if ('forget' in request) {
    interpreters.delete(request.forget)
    return
  }
  const { engine, setup, slice } = request
  if (setup) {
    const { plan, blocks, gate, stop } = setup
    interpreters.set(engine, new Interpreter(plan, blocks, new Gate(gate), new StopFlag(stop)))
  }
  parentPort?.postMessage((interpreters.get(engine) as Interpreter).run(slice) satisfies WorkerAnswer)
})
