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
  /** Where the schedule threw, and what. */
  #fault: { readonly step: number; readonly error: unknown } | null = null

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

  /**
   * Of steps `from`, `from + 1`, …, up to where the schedule throws: rates are asked for ahead, and the steps before an
   * error are still to be made. @throws that error, where it is of step `from` and `isNext`
   */
  of(from: number, steps: number, isNext: boolean): Float64Array {
    const rates = new Float64Array(steps)
    for (let i = 0; i < steps; i++) {
      const step = from + i
      try {
        if (this.#fault?.step === step && this.#set === null) throw this.#fault.error
        rates[i] = this.at(step)
      } catch (error) {
        if (i === 0 && isNext) throw error
        this.#fault = { step, error }
        return rates.slice(0, i)
      }
    }
    return rates
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
