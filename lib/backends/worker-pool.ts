/**
 * Threads of the TypeScript backend, kept for a second after use: a worker takes tens of milliseconds to start, and as
 * long again until its loops are compiled, which is longer than many a fit.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Report } from '../plan/plan'
import type { EngineSetup, SliceRequest, WorkerAnswer, WorkerRequest } from './typescript-worker'

const IDLE_MS = 1000

/** All there are; of those that have nothing to do, the one used last is the last. */
const threads: Thread[] = []

/** A worker, for as long as it has requests its borrower's own. It keeps the process alive only while it has some. */
class Thread {
  readonly #worker: Worker
  /** Who waits for answers, the next first: a worker answers in order. */
  #waiting: { resolve(report: Report): void; reject(error: Error): void }[] = []
  /** Engines whose setup it has. */
  readonly #engines = new Set<number>()
  #expiry: NodeJS.Timeout | undefined

  constructor() {
    // No flags are inherited: a loader given to the main program has no business here, and takes time.
    const worker = new Worker(join(__dirname, 'typescript-worker.js'), { execArgv: [], name: 'downhill' })
    worker.unref()
    worker.on('message', (answer: WorkerAnswer) => this.#hear(answer))
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', () => this.#fail(new Error('the training thread ended')))
    this.#worker = worker
    threads.push(this)
  }

  knows(engine: number): boolean {
    return this.#engines.has(engine)
  }

  ask(slice: SliceRequest, setup: () => EngineSetup): Promise<Report> {
    const isNew = !this.knows(slice.engine)
    this.#engines.add(slice.engine)
    clearTimeout(this.#expiry)
    this.#worker.ref()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#send({ ...slice, setup: isNew ? setup() : null })
    })
  }

  forget(engine: number): void {
    if (this.#engines.delete(engine)) this.#send({ forget: engine })
  }

  get isBusy(): boolean {
    return this.#waiting.length > 0
  }

  #send(request: WorkerRequest): void {
    this.#worker.postMessage(request)
  }

  #hear(answer: WorkerAnswer): void {
    const asker = this.#waiting.shift()
    if (!this.isBusy) {
      this.#worker.unref()
      this.#leave()
      threads.push(this)
      this.#expiry = setTimeout(() => this.#expire(), IDLE_MS).unref()
    }
    asker?.resolve(answer)
  }

  #expire(): void {
    this.#leave()
    this.#worker.terminate()
  }

  #leave(): void {
    clearTimeout(this.#expiry)
    const at = threads.indexOf(this)
    if (at >= 0) threads.splice(at, 1)
  }

  #fail(error: Error): void {
    this.#leave()
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(error)
  }
}

let engines = 0

/**
 * What runs an engine's slices: the thread that has those before them, or one that is free, or a new one. Engines that
 * take turns so share a thread, and find it warm.
 */
export class Lane {
  readonly #engine = ++engines
  readonly #setup: () => EngineSetup
  #thread: Thread | null = null

  constructor(setup: () => EngineSetup) {
    this.#setup = setup
  }

  run(slice: SliceRequest['slice']): Promise<Report> {
    if (!this.#thread?.isBusy) this.#thread = borrow(this.#engine)
    return this.#thread.ask({ engine: this.#engine, slice }, this.#setup)
  }

  /** A slice under way is still answered. */
  close(): void {
    for (const thread of threads) thread.forget(this.#engine)
    this.#thread = null
  }
}

function borrow(engine: number): Thread {
  const free = threads.filter((thread) => !thread.isBusy)
  return free.find((thread) => thread.knows(engine)) ?? free.at(-1) ?? new Thread()
}
