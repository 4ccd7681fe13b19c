/**
 * Threads of the TypeScript backend, kept for a second after use: a worker takes tens of milliseconds to start, which
 * is longer than many a fit.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Report } from '../plan/plan'
import type { WorkerAnswer, WorkerRequest } from './typescript-worker'

const IDLE_MS = 1000

const idle: { loan: Loan; expiry: NodeJS.Timeout }[] = []

/** A worker of the caller's own until it is given back. It keeps the process alive only while it has requests. */
export class Loan {
  readonly #worker: Worker
  /** Who waits for answers, the next first: a worker answers in order. */
  #waiting: { resolve(report: Report): void; reject(error: Error): void }[] = []

  constructor() {
    // No flags are inherited: a loader given to the main program has no business here, and takes time.
    const worker = new Worker(join(__dirname, 'typescript-worker.js'), { execArgv: [], name: 'downhill' })
    worker.unref()
    worker.on('message', (answer: WorkerAnswer) => {
      const asker = this.#waiting.shift()
      if (this.#waiting.length === 0) worker.unref()
      asker?.resolve(answer)
    })
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', () => this.#fail(new Error('the training thread ended')))
    this.#worker = worker
  }

  ask(request: WorkerRequest): Promise<Report> {
    this.#worker.ref()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#worker.postMessage(request)
    })
  }

  /** To be called with no request open. */
  giveBack(): void {
    const expiry = setTimeout(() => {
      const at = idle.findIndex(({ loan }) => loan === this)
      if (at >= 0) idle.splice(at, 1)
      this.#worker.terminate()
    }, IDLE_MS).unref()
    idle.push({ loan: this, expiry })
  }

  #fail(error: Error): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(error)
  }
}

/** A worker that was used before, or a new one. */
export function lend(): Loan {
  const free = idle.pop()
  if (free === undefined) return new Loan()
  clearTimeout(free.expiry)
  return free.loan
}
