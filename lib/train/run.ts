/**
 * A run: what `fit` returns at once. A promise of the history that may be awaited any number of times, and an iterable
 * of epochs that anybody may read at their own pace; neither holds the training up.
 */
import type { Epoch, History } from './history'

/** What a run needs of the training behind it. */
export interface RunSource {
  /** Epochs recorded so far, how many and which. */
  readonly recorder: { readonly count: number; readonly epochs: readonly Epoch[] }
  /** Ends the training after its current step. */
  stop(): void
}

export class Run implements PromiseLike<History>, AsyncIterable<Epoch> {
  readonly #promise: Promise<History>
  readonly #source: RunSource
  /** Readers waiting for the next epoch or the end. */
  #waiting: (() => void)[] = []
  #isOver = false
  /** Somebody awaits or iterates, and will be told of an error. */
  #isHeard = false

  /** `start` is given what to call when epochs were added, and returns the history to come. */
  constructor(source: RunSource, start: (tell: () => void) => Promise<History>) {
    this.#source = source
    this.#promise = start(() => this.#wake())
    const over = (): void => {
      this.#isOver = true
      this.#wake()
    }
    this.#promise.then(over, (error) => {
      over()
      // Nobody listened in time: the error must not be lost. Awaiting takes microtasks, so the question comes after them.
      setImmediate(() => this.#isHeard || Promise.reject(error))
    })
  }

  // biome-ignore lint/suspicious/noThenProperty: a run is awaited
  then<A = History, B = never>(
    onHistory?: ((history: History) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isHeard = true
    return this.#promise.then(onHistory, onError)
  }

  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<History | B> {
    return this.then(null, onError)
  }

  finally(onEnd?: (() => void) | null): Promise<History> {
    this.#isHeard = true
    return this.#promise.finally(onEnd)
  }

  /** Ends the training after its current step; the run resolves with status 'stopped'. */
  stop(): void {
    this.#source.stop()
  }

  /** Every epoch from the first, however late one begins; throws what ended the run. `break` stops listening only. */
  [Symbol.asyncIterator](): AsyncGenerator<Epoch, void, undefined> {
    this.#isHeard = true
    return this.#read()
  }

  async *#read(): AsyncGenerator<Epoch, void, undefined> {
    for (let next = 0; ; next++) {
      while (next >= this.#source.recorder.count) {
        if (this.#isOver) {
          await this.#promise
          return
        }
        await new Promise<void>((wake) => this.#waiting.push(wake))
      }
      yield this.#source.recorder.epochs[next]
    }
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}
