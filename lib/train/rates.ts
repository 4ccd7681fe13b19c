/**
 * The rates of a run, step by step: those of its schedule, until a callback sets one that stays.
 */
import { expected } from '../errors'
import { RANGES } from '../names'
import type { Epoch } from './history'
import type { Job } from './job'
import { type Clock, type Pacer, pacerOf, type RateFunction } from './schedules'

export class Rates {
  readonly #pacer: Pacer
  readonly #clockAt: (step: number) => Clock
  /** Set by a callback; the schedule is over then. */
  #set: number | null = null

  /** `recorded`: epochs of this run that are over already. */
  constructor(
    { settings, firstStep, firstEpoch, since, earlier, resumed }: Job,
    stepsPerEpoch: number,
    recorded: readonly Epoch[],
  ) {
    const { schedule, learningRate, epochs } = settings
    this.#pacer = typeof schedule === 'function' ? asked(schedule) : pacerOf(schedule, learningRate)
    this.#set = resumed?.learningRate ?? null
    const before = firstEpoch - since
    this.#clockAt = (step) => ({
      step: firstStep + step,
      epoch: before + Math.floor(step / stepsPerEpoch),
      steps: firstStep + epochs * stepsPerEpoch,
      epochs: before + epochs,
    })
    for (const list of [earlier, recorded]) for (const epoch of list) this.#pacer.hear(epoch)
  }

  /** Whether it must hear of each epoch before the next begins. */
  get isWaiting(): boolean {
    return this.#set === null && this.#pacer.isWaiting
  }

  hear(epoch: Epoch): void {
    this.#pacer.hear(epoch)
  }

  /** Of step `step` of this run, from 0. */
  at(step: number): number {
    return this.#set ?? this.#pacer.rate(this.#clockAt(step))
  }

  /** Of steps `from`, `from + 1`, … */
  of(from: number, steps: number): Float64Array {
    return Float64Array.from({ length: steps }, (_, i) => this.at(from + i))
  }

  /** What a callback has set; null while the schedule rules. */
  get set(): number | null {
    return this.#set
  }
  set set(rate: number | null) {
    this.#set = rate
  }
}

/** A function of the user's, held to what a rate may be. */
function asked(schedule: RateFunction): Pacer {
  return {
    isWaiting: false,
    hear() {},
    rate(clock) {
      const rate = schedule(clock.step, clock)
      if (typeof rate === 'number' && Number.isFinite(rate) && rate >= 0) return rate
      throw expected(RANGES.notNegative.says, `the rate of step ${clock.step} from the learningRate function`, rate)
    },
  }
}
