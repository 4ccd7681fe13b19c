/**
 * A thread on which the TypeScript backend runs asynchronous slices. It is lent to one engine after another: each sends
 * its plan and shared memory once, then slices, and is answered with reports.
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
/** `setup` comes with an engine's first slice, and stays until another engine's. */
export interface WorkerRequest {
  readonly setup: EngineSetup | null
  readonly slice: Slice<BoundTable>
}
export type WorkerAnswer = Report

let interpreter: Interpreter | null = null

parentPort?.on('message', ({ setup, slice }: WorkerRequest) => {
  if (setup) {
    const { plan, blocks, gate, stop } = setup
    interpreter = new Interpreter(plan, blocks, new Gate(gate), new StopFlag(stop))
  }
  parentPort?.postMessage((interpreter as Interpreter).run(slice) satisfies WorkerAnswer)
})
