/**
 * A survey: the objective on some rows, around the parameters of a run that goes on meanwhile. Its value and gradient,
 * its curvature along a step, its value elsewhere on the way.
 *
 * As curvature.ts, but as orders of a training loop, so that it can be made within a run on whatever thread that is; and
 * over whole blocks as an engine lays them out, zeros between the tensors.
 */
import type { Bound, Engine } from '../backends/backend'
import type { Floats, ProgramName, Report, Slice } from '../plan/plan'
import type { Loop } from '../train/job'
import { evaluation } from '../train/slices'
import { dot } from './curvature'

/** The objective: data loss and penalty, and the latter's share. */
export interface Objective {
  readonly loss: number
  readonly penalty: number
}

export class Survey {
  readonly #engine: Engine
  readonly #data: Bound

  /** @param engine one of `Network.surveyor`, which is closed with this */
  constructor(engine: Engine, data: Bound) {
    this.#engine = engine
    this.#data = data
  }

  get rows(): number {
    return this.#data.rows
  }

  /** The objective at `block` and its gradient; null where they are not finite. */
  *look(block: Floats): Loop<(Objective & { readonly gradient: Floats }) | null> {
    const { parameters, gradients } = this.#engine.plan
    this.#engine.write(parameters, block)
    const report = yield* this.#run('linearize')
    if (report.stopped !== null) return null
    return { ...objectiveOf(report), gradient: this.#engine.read(gradients) }
  }

  /** dᵀH·d where the last `look` was, with nothing done since. */
  *bend(direction: Floats): Loop<number> {
    const { tangent, curvature } = this.#engine.plan
    this.#engine.write(tangent, direction)
    yield* this.#run('curvature')
    return dot(direction, this.#engine.read(curvature))
  }

  /** The objective at `block`, whatever it may be there. */
  *objective(block: Floats): Loop<Objective> {
    this.#engine.write(this.#engine.plan.parameters, block)
    return objectiveOf(yield* this.#run('objective'))
  }

  close(): void {
    this.#engine.close()
  }

  #run(program: ProgramName): Loop<Report> {
    return runOn(this.#engine, { ...evaluation(this.#data, program), learningRate: new Float64Array(1) })
  }
}

/** Runs a slice on an engine other than the one that trains; nothing may be under way. */
export function* runOn(engine: Engine, slice: Slice<Bound>): Loop<Report> {
  yield { submit: slice, on: engine }
  return (yield { collect: true }) as Report
}

function objectiveOf({ loss, penalty }: Report): Objective {
  return { loss: loss[0], penalty: penalty[0] }
}

// ---------------------------------------------------------------------------------------------------- along a step

/** A step from θ to θ + Δ, with the objective at both ends and its slope at the start. */
export interface Way {
  readonly from: Floats
  readonly step: Floats
  readonly before: number
  readonly after: number
  readonly slope: number
}

/** Evaluations of a search, and of its first round, which halves the way again and again. */
const MOST_PROBES = 10
const FIRST_PROBES = [0.5, 0.25, 0.75, 0.125, 0.0625]
/** Near enough, as a share of the way. */
const PRECISION = 1e-3

/** The s in [0, 1] with the lowest objective at θ + s·Δ that ten forward passes find. */
export function* bestFraction(survey: Survey, { from, step, before, after, slope }: Way): Loop<number> {
  const points: Point[] = [
    { s: 0, value: before },
    { s: 1, value: after },
  ]
  let left = MOST_PROBES
  function* probe(s: number): Loop<void> {
    left--
    const block = from.map((w, i) => w + s * step[i])
    const { loss } = yield* survey.objective(block)
    points.push({ s, value: loss })
    points.sort((a, b) => a.s - b.s)
  }
  for (const s of FIRST_PROBES) yield* probe(s)
  while (left > 0) {
    const next = nextProbe(points, slope)
    if (next === null) break
    yield* probe(next)
  }
  return points[lowest(points)].s
}

interface Point {
  readonly s: number
  readonly value: number
}

/** Index of the lowest; a value that is none is above all others. */
function lowest(points: readonly Point[]): number {
  let best = 0
  for (let i = 1; i < points.length; i++) if (points[i].value < points[best].value) best = i
  return best
}

/**
 * Within the lowest point's neighbours: the vertex of the parabola through the three, or, at the start of the way, of
 * the one with the known slope. Where that is of no use, the wider side is halved. null: the bracket is small enough.
 */
function nextProbe(points: readonly Point[], slope: number): number | null {
  const i = lowest(points)
  const [a, b, c] = [points[i - 1] ?? points[i], points[i], points[i + 1] ?? points[i]]
  if (c.s - a.s <= PRECISION) return null
  const wider = b.s - a.s > c.s - b.s ? 0.5 * (a.s + b.s) : 0.5 * (b.s + c.s)
  if (i === 0 && !(slope < 0)) return null
  const vertex = i === 0 ? vertexFrom(a, slope, c) : vertexOf(a, b, c)
  const isUseful =
    vertex > a.s &&
    vertex < c.s &&
    Math.abs(vertex - b.s) > 0.25 * PRECISION &&
    Math.min(vertex - a.s, c.s - vertex) > 0
  return isUseful ? vertex : wider
}

/** Where the parabola through a point, with its slope there, and another is lowest; NaN where it is not. */
function vertexFrom(a: Point, slope: number, c: Point): number {
  const h = c.s - a.s
  const bend = c.value - a.value - slope * h
  return bend > 0 ? a.s - (slope * h * h) / (2 * bend) : Number.NaN
}

function vertexOf(a: Point, b: Point, c: Point): number {
  const [ab, cb] = [(b.s - a.s) * (b.value - c.value), (b.s - c.s) * (b.value - a.value)]
  return b.s - ((b.s - a.s) * ab - (b.s - c.s) * cb) / (2 * (ab - cb))
}
