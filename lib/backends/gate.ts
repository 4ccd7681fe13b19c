/**
 * The gate of a model's parameters: a trainer on another thread changes them in whole steps, and readers see only those.
 *
 * The trainer holds the gate during an update alone, and lets whoever waits go first; so a reader waits for one update
 * at most. Two 32-bit words of shared memory.
 */
const LOCK = 0
const WAITING = 1

export class Gate {
  readonly #words: Int32Array

  constructor(readonly memory = new SharedArrayBuffer(8)) {
    this.#words = new Int32Array(memory)
  }

  /** Runs `read` between updates. */
  reading<T>(read: () => T): T {
    Atomics.add(this.#words, WAITING, 1)
    this.#acquire()
    Atomics.sub(this.#words, WAITING, 1)
    Atomics.notify(this.#words, WAITING)
    try {
      return read()
    } finally {
      this.#release()
    }
  }

  /** Runs an update, after those who wait. */
  updating(update: () => void): void {
    for (let waiting = Atomics.load(this.#words, WAITING); waiting > 0; ) {
      Atomics.wait(this.#words, WAITING, waiting)
      waiting = Atomics.load(this.#words, WAITING)
    }
    this.#acquire()
    try {
      update()
    } finally {
      this.#release()
    }
  }

  #acquire(): void {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0) Atomics.wait(this.#words, LOCK, 1)
  }

  #release(): void {
    Atomics.store(this.#words, LOCK, 0)
    Atomics.notify(this.#words, LOCK)
  }
}

/** How a run is asked to end early: after its step, or before its next chunk, the step forgotten. */
const NO = 0
const AFTER_STEP = 1
const NOW = 2

/** An order to stop, given on one thread and seen on another. */
export class StopFlag {
  readonly #word: Int32Array

  constructor(readonly memory = new SharedArrayBuffer(4)) {
    this.#word = new Int32Array(memory)
  }

  clear(): void {
    Atomics.store(this.#word, 0, NO)
  }

  afterStep(): void {
    Atomics.compareExchange(this.#word, 0, NO, AFTER_STEP)
  }

  now(): void {
    Atomics.store(this.#word, 0, NOW)
  }

  get isSet(): boolean {
    return Atomics.load(this.#word, 0) !== NO
  }

  get isNow(): boolean {
    return Atomics.load(this.#word, 0) === NOW
  }
}
