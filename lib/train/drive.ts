/**
 * Carries out what the loop of a training asks for: on the engine's own thread, or on this one.
 */
import type { Engine } from '../backends/backend'
import { DownhillError } from '../errors'
import type { Report } from '../plan/plan'
import { refusePromise } from './callbacks'
import type { Recorder } from './history'
import type { Loop } from './job'

/** Carries out the orders of a training on the engine's own thread; `tell` after every report. */
export async function drive<T>(loop: Loop<T>, engine: Engine, tell: () => void): Promise<T> {
  const flight: Promise<Report>[] = []
  let next = loop.next()
  while (!next.done) {
    const order = next.value
    let report: Report | undefined
    if ('submit' in order) {
      const promise = (order.on ?? engine).runAsync(order.submit)
      promise.catch(() => {}) // it is told to who collects it
      flight.push(promise)
    } else if ('wait' in order) await order.wait
    else report = await flight.shift()
    next = loop.next(report)
    if (report) tell()
  }
  tell()
  return next.value
}

/** Carries them out on this thread; nothing is submitted ahead here. */
export function driveHere<T>(loop: Loop<T>, engine: Engine): T {
  let run = (): Report | undefined => undefined
  let next = loop.next()
  while (!next.done) {
    const order = next.value
    if ('wait' in order) refusePromise()
    if ('submit' in order) run = () => (order.on ?? engine).run(order.submit)
    next = loop.next('collect' in order ? run() : undefined)
  }
  return next.value
}

/** What a run that its signal has ended rejects with. */
export function aborted(signal: AbortSignal, recorder: Recorder): DownhillError {
  const error = new DownhillError('ERR_ABORTED', 'The run was aborted by its signal.', { cause: signal.reason })
  error.history = recorder.finish('stopped', 'The run was aborted by its signal.')
  return error
}
