/**
 * Threads of the TypeScript backend, kept for a second after use: a worker takes tens of milliseconds to start, which
 * is longer than many a fit.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'

const IDLE_MS = 1000

const idle: { worker: Worker; expiry: NodeJS.Timeout }[] = []

/** A worker of the caller's own until it is given back; it does not keep the process alive. */
export function borrowWorker(): Worker {
  const free = idle.pop()
  if (free) {
    clearTimeout(free.expiry)
    return free.worker
  }
  // No flags are inherited: a loader given to the main program has no business here, and takes time.
  const worker = new Worker(join(__dirname, 'typescript-worker.js'), { execArgv: [], name: 'downhill' })
  worker.unref()
  return worker
}

/** Gives a worker back that runs nothing. */
export function returnWorker(worker: Worker): void {
  const expiry = setTimeout(() => {
    const at = idle.findIndex((entry) => entry.worker === worker)
    if (at >= 0) idle.splice(at, 1)
    worker.terminate()
  }, IDLE_MS).unref()
  idle.push({ worker, expiry })
}
