/**
 * L-BFGS: each step goes along −H·g, H a model of the inverse Hessian made of the last steps and what they did to the
 * gradient (Liu & Nocedal 1989; Nocedal & Wright 2006, algorithm 7.4), as far as a line search finds good.
 *
 * It stands between the loop of a training and whoever carries out its orders: where the loop asks for a step, this asks
 * for the objective and its gradient at one point after another, and hands the loop a report as if one step had been
 * made. So callbacks, validation, early stopping, checkpoints and orders to stop are the loop's, as ever. The points are
 * visited in an engine of its own; the model's weights change once a step.
 *
 * Vectors are as long as the block of parameters, of the engine's type, products in double. The pairs are the
 * optimizer's state: step k's stand in vectors k mod history and history + k mod history.
 */
import type { Bound, Engine } from '../backends/backend'
import { type OptimizerSpec, optimizerRow } from '../optimizers'
import type { Floats, Report, Slice } from '../plan/plan'
import type { Recorder } from './history'
import type { Job, Loop, Orders, Outcome, Weights } from './job'
import { evaluation } from './slices'
import { training } from './training'
import { strongWolfe, type Trial } from './wolfe'

/** The objective at a point. */
interface Point {
  readonly x: Floats
  readonly g: Floats
  readonly report: Report
}
type LinePoint = Point & Trial

/** s = Δx and y = Δg of a step. */
interface Pair {
  readonly slot: number
  readonly s: Floats
  readonly y: Floats
  /** 1 / sᵀy. */
  readonly rho: number
}

/** A pair of less curvature than this share of yᵀy says nothing that its rounding does not. */
const LEAST_CURVATURE = Number.EPSILON

interface SearchOptions {
  readonly engine: Engine
  readonly data: Bound
  readonly optimizer: OptimizerSpec
  readonly orders: Orders
  /** The model's weights. */
  readonly weights: Weights
}

/** The loop of a training; each step of it a search, where the optimizer asks for that. */
export function trainingOf(
  { job, engine, recorder }: { readonly job: Job; readonly engine: Engine; readonly recorder: Recorder },
  orders: Orders,
): Loop<Outcome> {
  const loop = training(job, recorder, orders)
  const { data, weights, settings } = job
  const { optimizer } = settings
  return optimizerRow(optimizer).isSearch ? searched(loop, { engine, data, optimizer, orders, weights }) : loop
}

/** A training whose every step is a search. */
function* searched(loop: Loop<Outcome>, options: SearchOptions): Loop<Outcome> {
  const search = new Lbfgs(options)
  const asked: (Slice<Bound> | null)[] = []
  let next = loop.next()
  while (!next.done) {
    const order = next.value
    if ('submit' in order) {
      const isStep = order.submit.program === 'train'
      asked.push(isStep ? order.submit : null)
      if (!isStep) yield order
      next = loop.next()
    } else if ('collect' in order) {
      const slice = asked.shift()
      next = loop.next(slice ? yield* search.run(slice) : yield order)
    } else {
      yield order
      next = loop.next()
    }
  }
  const { rest } = search
  const isAtRest = rest !== null && (next.value.isAsked || next.value.status === 'completed')
  return isAtRest ? { status: 'completed', reason: rest } : next.value
}

class Lbfgs {
  /** Why no further step is to be made, as a sentence. */
  rest: string | null = null
  readonly #options: SearchOptions
  readonly #settings: Readonly<Record<string, number>>
  #here: Point | null = null
  /** Oldest first; null until they are read from the state. */
  #pairs: Pair[] | null = null
  /** What the point before was higher by. */
  #fell = Number.POSITIVE_INFINITY
  #milliseconds = 0

  constructor(options: SearchOptions) {
    this.#options = options
    this.#settings = options.optimizer.settings
  }

  /** The steps of a slice; writes their lengths over the rates that it was given. */
  *run(slice: Slice<Bound>): Loop<Report> {
    const { orders } = this.#options
    const begun: Report[] = []
    let steps = 0
    let stopped: Report['stopped'] = null
    this.#milliseconds = 0
    this.#pairs ??= this.#recall(slice.step)
    while (steps < slice.steps && stopped === null) {
      this.#here ??= yield* this.#look(this.#options.engine.read(this.#options.engine.plan.trainable))
      if (this.#here === null) break
      const { report } = this.#here
      this.rest = report.stopped === null ? this.#restOf(this.#here, slice.step + steps) : null
      if (report.stopped !== null || this.rest !== null) {
        slice.learningRate[steps] = 0
        begun.push(report)
        stopped = report.stopped ?? 'asked'
        break
      }
      const length = yield* this.#step(this.#here, slice.step + steps, slice.learningRate[steps])
      if (orders.stop && length === null) break
      // One that leads nowhere was none: the next turn says so.
      if (length === null) continue
      begun.push(report)
      slice.learningRate[steps++] = length
    }
    if (stopped === null && steps < slice.steps) stopped = 'asked'
    if (this.#here) this.#move(this.#here.x)
    const series = (of: (report: Report) => Float64Array): Float64Array => Float64Array.from(begun, (one) => of(one)[0])
    return {
      steps,
      loss: series(({ loss }) => loss),
      penalty: series(({ penalty }) => penalty),
      weight: series(({ weight }) => weight),
      gradientNorm: series(({ gradientNorm }) => gradientNorm),
      sums: new Float64Array(0),
      milliseconds: this.#milliseconds,
      stopped,
      output: null,
    }
  }

  /** One step, and its length; null where there is none to make. */
  *#step(here: Point, step: number, rate: number): Loop<number | null> {
    const direction = this.#direction(here.g)
    const slope = dot(here.g, direction)
    const isFirst = this.#known.length === 0
    const look = (alpha: number): Loop<LinePoint | null> => this.#lookAlong(here, direction, alpha)
    const found =
      slope < 0
        ? yield* strongWolfe({
            start: { ...here, alpha: 0, f: here.report.loss[0], slope },
            // With nothing remembered a direction has no length of its own.
            first: rate * (isFirst ? Math.min(1, 1 / sumOfSizes(here.g)) : 1),
            most: this.#settings.maxLineSearch,
            look,
          })
        : null
    if (this.#options.orders.stop && found === null) return null
    if (found === null) {
      if (isFirst) this.#fell = Number.NaN
      else this.#forget()
      this.#move(here.x)
      return null
    }
    this.#move(found.x)
    // The engine stands there; so shall the model.
    this.#options.weights.write(this.#options.weights.read())
    this.#remember(here, found, step)
    this.#fell = here.report.loss[0] - found.f
    this.#here = found
    return found.alpha
  }

  /** Why the search rests here, if it does. */
  #restOf({ g, report }: Point, steps: number): string | null {
    const { tolerance, toleranceChange } = this.#settings
    const after = `after ${steps} steps`
    let largest = 0
    for (const entry of g) largest = Math.max(largest, Math.abs(entry))
    if (largest <= tolerance) return `No entry of the gradient is above the tolerance of ${tolerance} ${after}.`
    if (Number.isNaN(this.#fell)) return `No lower objective was found along the gradient ${after}.`
    const loss = Math.abs(report.loss[0])
    if (Number.isFinite(this.#fell) && this.#fell <= toleranceChange * Math.max(loss, loss + this.#fell, 1))
      return `The objective fell by no more than ${toleranceChange} of itself ${after}.`
    return null
  }

  *#lookAlong(here: Point, direction: Float64Array, alpha: number): Loop<LinePoint | null> {
    const x = here.x.map((value, i) => value + alpha * direction[i])
    const point = yield* this.#look(x)
    if (point === null) return null
    const isThere = point.report.stopped === null
    const f = isThere ? point.report.loss[0] : Number.POSITIVE_INFINITY
    return { ...point, alpha, f, slope: isThere ? dot(point.g, direction) : Number.NaN }
  }

  /** The objective at x; null where the run was told to stop. */
  *#look(x: Floats): Loop<Point | null> {
    const { engine, data, orders } = this.#options
    if (orders.stop) return null
    this.#move(x)
    yield { submit: { ...evaluation(data, 'linearize'), learningRate: new Float64Array(1) } }
    const report = (yield { collect: true }) as Report
    this.#milliseconds += report.milliseconds
    if (report.stopped === 'asked') return null
    const { gradients, trainable } = engine.plan
    return { x, g: engine.read({ at: gradients.at, length: trainable.length }), report }
  }

  #move(x: Floats): void {
    const { engine } = this.#options
    engine.write(engine.plan.trainable, x)
  }

  // -------------------------------------------------------------------------------------------------- memory

  get #known(): readonly Pair[] {
    return this.#pairs ?? []
  }

  /** −H·g by the two loops. */
  #direction(g: Floats): Float64Array {
    const q = Float64Array.from(g, (value) => -value)
    const weights: number[] = []
    for (let i = this.#known.length - 1; i >= 0; i--) {
      const { s, y, rho } = this.#known[i]
      weights[i] = rho * dot(s, q)
      addScaled(q, -weights[i], y)
    }
    const newest = this.#known.at(-1)
    if (newest) {
      const scale = 1 / (newest.rho * dot(newest.y, newest.y))
      for (let i = 0; i < q.length; i++) q[i] *= scale
    }
    for (const [i, { s, y, rho }] of this.#known.entries()) addScaled(q, weights[i] - rho * dot(y, q), s)
    return q
  }

  #remember(from: Point, to: Point, step: number): void {
    const slot = step % this.#settings.history
    const s = to.x.map((value, i) => value - from.x[i])
    const y = to.g.map((value, i) => value - from.g[i])
    const pair = pairOf(slot, s, y)
    const others = this.#known.filter((other) => other.slot !== slot)
    this.#pairs = pair ? [...others, pair] : others
    this.#write(slot, pair ? s : s.fill(0), pair ? y : y.fill(0))
  }

  #forget(): void {
    for (const { slot, s, y } of this.#known) this.#write(slot, s.fill(0), y.fill(0))
    this.#pairs = []
  }

  /** The pairs of the steps before, from the engine's state. */
  #recall(steps: number): Pair[] {
    const { engine } = this.#options
    const { history } = this.#settings
    const { at, length } = engine.plan.state
    const n = length / (2 * history)
    const read = (vector: number): Floats => engine.read({ at: at + vector * n, length: n })
    return Array.from({ length: Math.min(steps, history) }, (_, i) => (steps - Math.min(steps, history) + i) % history)
      .map((slot) => pairOf(slot, read(slot), read(history + slot)))
      .filter((pair) => pair !== null)
  }

  #write(slot: number, s: Floats, y: Floats): void {
    const { engine } = this.#options
    const { at } = engine.plan.state
    const n = s.length
    engine.write({ at: at + slot * n, length: n }, s)
    engine.write({ at: at + (this.#settings.history + slot) * n, length: n }, y)
  }
}

/** null where it says nothing of the curvature. */
function pairOf(slot: number, s: Floats, y: Floats): Pair | null {
  const curvature = dot(s, y)
  return curvature > LEAST_CURVATURE * dot(y, y) ? { slot, s, y, rho: 1 / curvature } : null
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

function addScaled(to: Float64Array, c: number, x: Floats): void {
  for (let i = 0; i < to.length; i++) to[i] += c * x[i]
}

function sumOfSizes(x: Floats): number {
  let sum = 0
  for (const value of x) sum += Math.abs(value)
  return sum
}
