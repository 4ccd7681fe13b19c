/**
 * The best weights of a run, kept while it goes on.
 */
import type { Floats } from '../plan/plan'
import type { Epoch } from './history'
import type { Job } from './job'

/**
 * The best weights so far. A full batch's loss belongs to the weights before its update, a validation loss to those
 * after it, and the mean over mini-batches is nearest to those at the epoch's end.
 */
export class Best {
  #lowest = Number.POSITIVE_INFINITY
  #weights: Floats | null = null
  #before: Floats | null = null
  readonly #isOfStart: boolean

  constructor(readonly job: Job) {
    this.#isOfStart = job.validation === null && job.batch === job.data.rows
  }

  beginEpoch(): void {
    if (this.#isOfStart) this.#before = this.job.weights.read()
  }

  endEpoch(epoch: Epoch): void {
    const loss = epoch.valLoss ?? epoch.loss
    if (!(loss < this.#lowest)) return
    this.#lowest = loss
    this.#weights = this.#before ?? this.job.weights.read()
  }

  restore(): void {
    if (this.#weights) this.job.weights.write(this.#weights)
  }
}
