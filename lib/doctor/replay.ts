/**
 * A replay: the steps of a run made once more on a copy, from where it began, bit for bit, to look closer at some of
 * them: the curvature at their start, and where on their way the objective was lowest. The run itself waits for none of
 * it; it is done when somebody asks.
 */
import type { Bound, Engine } from '../backends/backend'
import { type Network, updateOf } from '../network'
import type { Floats, Table } from '../plan/plan'
import { drive } from '../train/drive'
import type { Loop } from '../train/job'
import type { Entry } from '../train/ledger'
import { type SliceSource, sliceOf } from '../train/slices'
import { bestFraction, runOn, Survey } from './survey'
import { firstOrder } from './terms'

/** A run that can be made again. */
export interface Replayed extends SliceSource {
  readonly network: Network
  readonly engine: Engine
  readonly table: Table
}

/** Consecutive steps of a run, and a rate for each. */
interface Stretch {
  readonly first: number
  readonly steps: number
  readonly rates: Float64Array
}

/** Steps in a slice, at most. */
const MOST_STEPS = 256

export class Replay {
  readonly #run: Replayed
  readonly #stretches: Stretch[] = []
  /** Where the run begins: parameters and the optimizer's state. */
  readonly #parameters: Floats
  readonly #state: Floats

  /** Made before the first step: it takes down where that begins. */
  constructor(run: Replayed) {
    this.#run = run
    const { engine } = run
    this.#parameters = engine.read(engine.plan.parameters)
    this.#state = engine.read(engine.plan.state)
  }

  hear(first: number, steps: number, rates: Float64Array): void {
    if (steps > 0) this.#stretches.push({ first, steps, rates })
  }

  /** Looks closer at entries, in the order of their steps. @param sample the rows of their objective, bound */
  async examine(entries: readonly Entry[], sample: Bound): Promise<void> {
    const { network, table, batch, settings } = this.#run
    const copy = network.copy()
    // In chunks of as many rows, so that it makes the same bits.
    const rows = settings.batchSize === 'full' ? batch : Math.min(settings.batchSize, batch)
    const engine = copy.trainer(updateOf(settings, false), batch, table.targets, true, rows)
    const survey = new Survey(network.surveyor(sample.rows, table.targets), sample)
    engine.write(engine.plan.parameters, this.#parameters)
    engine.write(engine.plan.state, this.#state)
    try {
      await drive(this.#visit(entries, engine, survey), engine, () => {})
    } finally {
      survey.close()
      engine.close()
      copy.close()
    }
  }

  *#visit(entries: readonly Entry[], engine: Engine, survey: Survey): Loop<void> {
    let at = this.#stretches[0]?.first ?? 0
    for (const entry of [...entries].sort((a, b) => a.step - b.step)) {
      yield* this.#advance(engine, at, entry.step)
      const from = engine.read(engine.plan.parameters)
      yield* this.#advance(engine, entry.step, entry.step + 1)
      yield* lookCloser(entry, survey, from, engine.read(engine.plan.parameters))
      at = entry.step + 1
    }
  }

  *#advance(engine: Engine, from: number, to: number): Loop<void> {
    const perEpoch = Math.ceil(this.#run.table.rows / this.#run.batch)
    for (const { first, steps, rates } of this.#stretches)
      for (let at = Math.max(from, first); at < Math.min(to, first + steps); ) {
        const count = Math.min(MOST_STEPS, Math.min(to, first + steps) - at)
        const own = rates.slice(at - first, at - first + count)
        yield* runOn(engine, yield* sliceOf(this.#run, at, perEpoch, own, false))
        at += count
      }
  }
}

/** Fills in what an entry lacks, from the parameters before and after its step. */
function* lookCloser(entry: Entry, survey: Survey, from: Floats, to: Floats): Loop<void> {
  const at = yield* survey.look(from)
  if (at === null) return
  const step = to.map((w, i) => w - from[i])
  const curvature = 0.5 * (yield* survey.bend(step.subarray(0, at.gradient.length)))
  entry.local = { curvature, beyond: entry.terms.bending - curvature }
  const { before, after, terms } = entry
  entry.bestFraction = yield* bestFraction(survey, { from, step, before, after, slope: firstOrder(terms) })
}
