/**
 * The thread on which the TypeScript backend runs asynchronous slices. It builds its own interpreter over the engine's
 * shared memory and answers each slice with its report.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { Plan, Report, Slice } from '../plan/plan'
import { Gate, StopFlag } from './gate'
import { type Blocks, Interpreter } from './interpreter'
import type { BoundTable } from './operations'

export interface WorkerSetup {
  readonly plan: Plan
  readonly blocks: Blocks
  readonly gate: SharedArrayBuffer
  readonly stop: SharedArrayBuffer
}
export type WorkerAnswer = Report

const { plan, blocks, gate, stop } = workerData as WorkerSetup
const interpreter = new Interpreter(plan, blocks, new Gate(gate), new StopFlag(stop))
parentPort?.on('message', (slice: Slice<BoundTable>) => parentPort?.postMessage(interpreter.run(slice)))
