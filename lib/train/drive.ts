/**
 * Carries out what the loop of a training asks for: on the engine's own thread, or on this one.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { Engine } from '../backends/backend'
import { DownhillError } from '../errors'
import type { Report } from '../plan/plan'
import { refusePromise } from './callbacks'
import type { Recorder } from './history'
import type { Loop } from './job'

/**
 * How long the loop of a training may go on before whoever else waits for this thread has a turn, in milliseconds. Reports of
 * tiny steps come faster than they are heard: without turns a timer would wait for the end of the run.
 */
const MOST_MS = 1

/** Carries out the orders of a training on the engine's own thread; `tell` after every report. */
export async function drive<T>(loop: Loop<T>, engine: Engine, tell: () => void): Promise<T> {
  const flight: Promise<Report>[] = []
  const engines = new Set([engine])
  let since = performance.now()
  try {
    let next = loop.next()
    while (!next.done) {
      const order = next.value
      let report: Report | undefined
      if ('submit' in order) {
        const { submit, on = engine } = order
        engines.add(on)
        const promise = on.runAsync(submit)
        promise.catch(() => {}) // it is told to who collects it
        flight.push(promise)
      } else if ('wait' in order) await order.wait
      else if ('collect' in order) report = await flight.shift()
      // Before the loop goes on, and not before what it has decided is done: who stops it in between is heard.
      if (performance.now() - since > MOST_MS) {
        await turn()
        since = performance.now()
      }
      next = loop.next(report)
      if (report) tell()
    }
    tell()
    return next.value
  } catch (error) {
    // Nothing goes on behind an error.
    for (const one of engines) one.stop()
    await Promise.allSettled(flight)
    throw error
  }
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
