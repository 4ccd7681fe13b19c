/**
 * Averaged weights (`ema`): the engine keeps them, as the last vector of the optimizer's state; a run is judged by them
 * and leaves them in the model, and a partialFit goes on from the weights that they are an average of.
 */
import type { Engine } from '../backends/backend'
import type { Floats } from '../plan/plan'
import type { Weights } from './job'

export class Averaged implements Weights {
  readonly #engine: Engine
  readonly #weights: Weights
  /** The weights themselves, once the average has taken their place; null before, and where others were restored. */
  before: Floats | null = null

  constructor(engine: Engine, weights: Weights) {
    this.#engine = engine
    this.#weights = weights
  }

  /** The average, and as it is what no step trains; before the first step, the weights. */
  read(): Floats {
    const { average: range, trainable } = this.#engine.plan
    const average = this.#engine.read(range)
    const block = this.#weights.read()
    if (average.some((value) => value !== 0)) block.set(average, trainable.at)
    return block
  }

  /** Other weights in its place, as those of the best epoch. */
  write(values: Floats): void {
    this.before = null
    this.#weights.write(values)
  }

  /** Leaves the average in the model. */
  finish(): void {
    const average = this.read()
    this.before = this.#weights.read()
    this.#weights.write(average)
  }
}
