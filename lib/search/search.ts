/**
 * Search: which options do best, by cross-validation, within a budget that is known beforehand.
 *
 * Three ways to spend it. A grid tries every combination; a random search draws some, which finds as good ones sooner
 * where few of the options matter (Bergstra & Bengio 2012); successive halving begins many for a few epochs each, keeps
 * the best third, gives those three times as many, and so on (Jamieson & Talwalkar 2016). All candidates are scored on
 * the same parts of the rows. One seed decides everything, however many trainings run at once.
 */
import type { Inputs } from '../data/matrix'
import type { Targets } from '../data/targets'
import type { Program } from '../doctor/subject'
import { DownhillError, expected, refuseUnknown } from '../errors'
import { FNN } from '../fnn'
import { checkBoolean, checkNumber, RANGES } from '../names'
import type { ModelOptions } from '../options'
import type { FitOptions } from '../train/options'
import { type Candidate, drawFrom, gridOf, isCountable, type SearchSpace } from './space'
import { renderTrials } from './table'
import { type CrossValidateOptions, type CrossValidation, Rounds, sideBySide } from './validate'

interface SearchOptions extends CrossValidateOptions {
  /** Lists or ranges of the options searched over; they replace those of `model` and `fit`. */
  search: SearchSpace
  /** Whether the best candidate is trained on all rows at the end. @default true */
  refit?: boolean
}
export type GridSearchOptions = SearchOptions
export interface RandomSearchOptions extends SearchOptions {
  /** Candidates; a positive integer. @default 20 */
  trials?: number
}
export interface HalvingSearchOptions extends SearchOptions {
  /** Candidates begun with; a positive integer. @default the whole grid, or 27 draws where there is a range */
  trials?: number
  /** Of the candidates of a round 1/factor stay, with factor times the epochs; an integer ≥ 2. @default 3 */
  factor?: number
}

/** A candidate and what came of it. */
export interface Trial extends CrossValidation {
  /** The options that differ from those given; `{ ...model, ...trial.model }` is its model. */
  readonly model: ModelOptions
  readonly fit: FitOptions
  /** From 1, the best. Those that trained for longer stand before those that dropped out. */
  readonly rank: number
  readonly epochs: number
  /** Of all its trainings together. */
  readonly seconds: number
}

export interface SearchResult {
  readonly metric: string
  /** By rank. */
  readonly trials: readonly Trial[]
  readonly best: Trial
  /** The best, trained on all rows; null with refit: false. */
  readonly net: FNN | null
  /** All trials, a line each. */
  table(): string
}

const NAMES = ['model', 'fit', 'x', 'y', 'folds', 'metric', 'seed', 'search', 'refit']

/** Tries every combination of the lists. @throws as crossValidate, and ERR_OPTION for a range */
export async function gridSearch(options: GridSearchOptions): Promise<SearchResult> {
  refuseUnknown(options, NAMES, 'gridSearch')
  return new Search(options).run(gridOf(options.search))
}

/** Tries `trials` combinations drawn by the seed. @throws as crossValidate */
export async function randomSearch(options: RandomSearchOptions): Promise<SearchResult> {
  refuseUnknown(options, [...NAMES, 'trials'], 'randomSearch')
  const { trials = 20 } = options
  const search = new Search(options)
  return search.run(drawFrom(options.search, checkNumber(trials, RANGES.count, 'trials'), search.seed))
}

/** Begins many candidates, and goes on with the best. `fit.epochs` is what the last of them get. @throws as crossValidate */
export async function halvingSearch(options: HalvingSearchOptions): Promise<SearchResult> {
  refuseUnknown(options, [...NAMES, 'trials', 'factor'], 'halvingSearch')
  const { trials, factor = 3, search: space } = options
  if (!(Number.isInteger(factor) && factor >= 2)) throw expected('an integer ≥ 2', 'factor', factor)
  if (space?.fit && 'epochs' in space.fit)
    throw new DownhillError(
      'ERR_OPTION',
      'Expected no epochs in the space of halvingSearch, which chooses them itself.',
    )
  const search = new Search(options)
  const count = trials === undefined ? null : checkNumber(trials, RANGES.count, 'trials')
  const candidates = count === null && isCountable(space) ? gridOf(space) : drawFrom(space, count ?? 27, search.seed)
  return search.run(candidates, factor)
}

// ---------------------------------------------------------------------------------------------------- inside

/** A candidate as far as it has come. */
interface Scored {
  readonly candidate: Candidate
  readonly epochs: number
  readonly validation: CrossValidation
}

class Search {
  readonly seed: number
  readonly #rounds: Rounds
  readonly #program: Program
  readonly #x: Inputs
  readonly #y: Targets
  readonly #refit: boolean

  constructor({ search: _, refit = true, ...options }: SearchOptions) {
    this.#rounds = new Rounds(options)
    this.seed = this.#rounds.seed
    this.#program = { model: options.model ?? {}, fit: options.fit ?? {} }
    this.#x = options.x
    this.#y = options.y
    this.#refit = checkBoolean(refit, 'refit')
  }

  /** @param factor of successive halving; without it all candidates train to the end */
  async run(candidates: readonly Candidate[], factor = Number.POSITIVE_INFINITY): Promise<SearchResult> {
    const total = this.#program.fit.epochs ?? 100
    const dropped: Scored[][] = []
    let staying = candidates
    for (let rounds = roundsOf(candidates.length, total, factor); ; rounds--) {
      // Ranges and lists of a search without halving may hold epochs of their own.
      const epochs = Math.max(1, Math.round(total / factor ** rounds))
      const scored = this.#ranked(await this.#score(staying, factor === Number.POSITIVE_INFINITY ? null : epochs))
      const kept = rounds > 0 ? Math.max(1, Math.floor(scored.length / factor)) : 0
      dropped.unshift(scored.slice(kept))
      staying = scored.slice(0, kept).map(({ candidate }) => candidate)
      if (rounds === 0) break
    }
    return this.#result(dropped.flat())
  }

  async #score(candidates: readonly Candidate[], epochs: number | null): Promise<Scored[]> {
    const { count } = this.#rounds
    const programs = candidates.map(({ model, fit }) => ({
      model: { ...this.#program.model, ...model },
      fit: { ...this.#program.fit, ...fit, ...(epochs !== null && { epochs }) },
    }))
    const folds = await sideBySide(candidates.length * count, (i) =>
      this.#rounds.run(programs[Math.floor(i / count)], i % count),
    )
    return candidates.map((candidate, c) => ({
      candidate,
      epochs: programs[c].fit.epochs ?? 100,
      validation: this.#rounds.summarize(folds.slice(c * count, (c + 1) * count)),
    }))
  }

  /** The best first; equal ones as they came, and what has no score last. */
  #ranked(scored: readonly Scored[]): Scored[] {
    const { sign } = this.#rounds
    const value = ({ validation: { mean } }: Scored): number =>
      Number.isNaN(mean) ? Number.NEGATIVE_INFINITY : sign * mean
    return [...scored].sort((a, b) => (value(a) === value(b) ? 0 : value(b) - value(a)))
  }

  async #result(scored: readonly Scored[]): Promise<SearchResult> {
    const trials = scored.map(({ candidate, epochs, validation }, i) => ({
      ...validation,
      ...candidate,
      rank: i + 1,
      epochs,
      seconds: validation.folds.reduce((sum, { seconds }) => sum + seconds, 0),
    }))
    const [best] = trials
    const { metric } = this.#rounds
    return {
      metric,
      trials,
      best,
      net: this.#refit ? await this.#train(best) : null,
      table: () => renderTrials(trials, metric),
    }
  }

  /** The winner, on all rows. */
  async #train(best: Candidate): Promise<FNN> {
    const net = new FNN({ seed: this.seed, ...this.#program.model, ...best.model })
    await net.fit(this.#x, this.#y, { ...this.#program.fit, ...best.fit })
    return net
  }
}

/** Rounds after the first: until one would be left, or the first would have less than an epoch. */
function roundsOf(candidates: number, epochs: number, factor: number): number {
  let rounds = 0
  while (factor ** (rounds + 1) <= Math.min(candidates, epochs)) rounds++
  return rounds
}
