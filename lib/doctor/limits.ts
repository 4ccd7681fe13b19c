/**
 * Learning-rate limits at the weights a network has: what the next step allows, and what a neighbourhood allows.
 *
 * Two different things, both provable by a run (docs/doctor.md, *Curvature and limits*):
 *
 *   nextStep  the smallest rate at which one step along the optimizer's own update u raises the objective, by search on
 *             its exact values. A loss surface need not be quadratic that far: 2·gᵀu / uᵀHu is told apart.
 *   stable    the rate beyond which small deviations from a stationary point grow, from the largest eigenvalue of the
 *             Hessian as the optimizer sees it, P⁻¹H. A statement about a neighbourhood: far from a stationary point a
 *             loss may well fall at a higher rate, or rise at a lower one.
 *
 * No optimizer is known here by name: u comes from running its own passes once, on the side; what decides its stability
 * is in its row. What many steps will do is not here either: only running tells.
 */
import { DownhillError, expected, refuseUnknown } from '../errors'
import { checkNumber, RANGES } from '../names'
import type { Network } from '../network'
import { type OptimizerName, type OptimizerSpec, optimizerRow, readOptimizer } from '../optimizers'
import { areFinite, type Layout, pack, unpack } from '../plan/layout'
import type { Dtype, Floats, Table } from '../plan/plan'
import { dividing, divisor, type StepForm } from '../step-form'
import { along, type Curvature, dot, withCurvature } from './curvature'
import { largestEigenpairs } from './lanczos'
import { firstRise } from './linesearch'
import { sampleTable, selectTable } from './sample'

export interface LimitOptions {
  /** A name, or sgd({ … }), adam({ … }), … @default that of the state a partialFit kept, else 'sgd' */
  optimizer?: OptimizerName | OptimizerSpec
  /** Rows of the objective: so many, drawn by the seed, or those of these numbers, e.g. of one batch. @default all */
  rows?: number | readonly number[] | Uint32Array
}

export interface LearningRateLimits {
  /**
   * The smallest rate at which the next step raises the objective. 0 where the update does not point downhill; Infinity
   * where no rise was found up to 1e6 times the quadratic estimate (1e6 where there is none).
   */
  readonly nextStep: number
  /** The same by the quadratic model, 2·gᵀu / uᵀHu; may be off by a factor of 30. Infinity where that bends downward. */
  readonly nextStepQuadratic: number
  /**
   * The rate up to which a stationary point like this is stable; Infinity where there is no such limit, NaN where the
   * optimizer's steps do not shrink with the gradient, so that it comes to rest at no rate (lion, muon).
   */
  readonly stable: number
  /** The largest eigenvalue of the objective's Hessian H. */
  readonly sharpness: number
  /**
   * The largest eigenvalue that decides `stable`, of P⁻¹H with coupled weight decay in H; the sharpness for plain sgd.
   * NaN where `stable` is.
   */
  readonly preconditionedSharpness: number
  /** uᵀHu / uᵀu. */
  readonly directionalSharpness: number
  /** Of the objective. */
  readonly gradientNorm: number
}

/** What an optimizer has kept of the steps before, in the layout of its state. */
export interface OptimizerState {
  readonly vectors: Floats
  readonly steps: number
}

/** A rise is more than this share of the loss; less is rounding. */
export const RISE: { readonly [D in Dtype]: number } = { float64: 1e-12, float32: 1e-5 }

/** As far as nextStep looks, in units of the quadratic estimate; in units of the rate where there is none. */
const FARTHEST = 1e6
/** Where it begins: in units of the quadratic estimate, and else as a share of the weights' norm that a step moves. */
const NEAR = 1 / 16
const SMALL_STEP = 1e-3

/** Products for an eigenvalue, and when it is good enough. */
const PRODUCTS = 50
const TOLERANCE = 1e-6

/**
 * @param state of the optimizer; null: before its first step
 * @throws ERR_DIVERGED where the objective or its derivatives are not finite
 */
export function learningRateLimits(
  network: Network,
  table: Table,
  optimizer: OptimizerSpec,
  state: OptimizerState | null,
  seed: number,
): Promise<LearningRateLimits> {
  return withCurvature(network, table, async (curvature) => {
    const { gradient, gradientNorm } = curvature
    const u = updateOf(network, optimizer, state, curvature)
    const slope = dot(gradient, u)
    const bend = dot(u, await curvature.product(u))
    const length = Math.sqrt(dot(u, u))
    const downhill = bend > 0 ? (2 * slope) / bend : Number.POSITIVE_INFINITY
    // An update of nothing raises nothing.
    const nextStepQuadratic = length === 0 ? Number.POSITIVE_INFINITY : slope <= 0 ? 0 : downhill
    const nextStep = slope > 0 ? await nextStepOf(curvature, u, nextStepQuadratic, network.dtype) : nextStepQuadratic
    const local = await stability(network.layout, optimizer, state, curvature, seed)
    return {
      nextStep,
      nextStepQuadratic,
      ...local,
      directionalSharpness: length > 0 ? bend / (length * length) : 0,
      gradientNorm,
    }
  })
}

// ---------------------------------------------------------------------------------------------------- options

/** @throws ERR_OPTION */
export function readLimitOptions(options: unknown): { optimizer: OptimizerSpec | null; rows: LimitOptions['rows'] } {
  refuseUnknown(options, ['optimizer', 'rows'], 'learningRateLimits')
  const { optimizer, rows } = options as LimitOptions
  const spec = optimizer === undefined ? null : readOptimizer(optimizer)
  if (spec && optimizerRow(spec).isSearch)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected an optimizer that takes a rate but ${spec.kind} searches for its own.`,
    )
  return { optimizer: spec, rows }
}

/** The rows of a table that were asked for. @throws ERR_OPTION */
export function takeRows(table: Table, rows: LimitOptions['rows'], seed: number): Table {
  if (rows === undefined) return table
  if (typeof rows === 'number') return sampleTable(table, checkNumber(rows, RANGES.count, 'rows'), seed)
  if (!(Array.isArray(rows) || rows instanceof Uint32Array) || rows.length === 0)
    throw expected('a number of rows or a list of row numbers', 'rows', rows)
  const numbers = Uint32Array.from(rows as ArrayLike<number>, (row, i) => {
    if (Number.isInteger(row) && row >= 0 && row < table.rows) return row
    throw expected(`a row number in [0, ${table.rows})`, `rows[${i}]`, row)
  })
  return selectTable(table, numbers)
}

// ---------------------------------------------------------------------------------------------------- the next step

/** A rate at which the update is not lost in the rounding of the weights that it is read from; a power of two. */
const READING_RATE = 2 ** 32

/** u of the next step, w − η·u, whatever the optimizer: its own passes, run once over a copy. */
export function updateOf(
  network: Network,
  optimizer: OptimizerSpec,
  state: OptimizerState | null,
  { point, gradient }: Curvature,
): Float64Array {
  const engine = network.updater(optimizer)
  const { trainable, gradients, state: vectors } = engine.plan
  const { inputs } = engine.plan
  const data = engine.bind({ rows: 1, columns: inputs, x: new Float64Array(inputs), scale: 1, targets: 0, y: null })
  try {
    engine.write(trainable, unpack(point, network.layout))
    engine.write(gradients, unpack(gradient, network.layout))
    if (state) engine.write(vectors, state.vectors.subarray(0, vectors.length))
    engine.run({
      program: 'update',
      data,
      rows: null,
      pass: 1,
      batch: 1,
      start: 0,
      steps: 1,
      learningRate: Float64Array.of(READING_RATE),
      step: state?.steps ?? 0,
      seed: 0,
      follows: false,
    })
    const after = pack(engine.read(trainable), network.layout)
    const u = after.map((w, i) => (point[i] - w) / READING_RATE)
    if (areFinite(u)) return u
    throw new DownhillError('ERR_DIVERGED', 'Expected a finite update, but the optimizer divides by zero here.')
  } finally {
    data.release()
    engine.close()
  }
}

async function nextStepOf(curvature: Curvature, u: Float64Array, quadratic: number, dtype: Dtype): Promise<number> {
  const { point, loss } = curvature
  const isQuadratic = Number.isFinite(quadratic)
  const unit = Math.sqrt(dot(point, point) / dot(u, u)) || 1
  const { at } = await firstRise({
    excess: async (rate) => (await curvature.objective(along(point, -rate, u))) - loss - RISE[dtype] * Math.abs(loss),
    start: isQuadratic ? NEAR * quadratic : Math.min(SMALL_STEP * unit, FARTHEST),
    farthest: isQuadratic ? FARTHEST * quadratic : FARTHEST,
  })
  return at
}

// ---------------------------------------------------------------------------------------------------- stability

/**
 * The stable rate and what it comes from. With μ the largest eigenvalue of P⁻¹(H + coupled decay), the mode that changes
 * sign from step to step dies out while η·μ < threshold; a decoupled decay λ makes that η·(μ/threshold + λ/2) < 1 (the
 * characteristic polynomial at −1).
 */
async function stability(
  layout: Layout,
  optimizer: OptimizerSpec,
  state: OptimizerState | null,
  curvature: Curvature,
  seed: number,
): Promise<Pick<LearningRateLimits, 'stable' | 'sharpness' | 'preconditionedSharpness'>> {
  const { settings } = optimizer
  const row = optimizerRow(optimizer)
  const form = row.form(settings)
  const largest = async (product: (v: Float64Array) => Promise<Float64Array>): Promise<number> => {
    const operator = { size: curvature.point.length, product }
    return (await largestEigenpairs(operator, { k: 1, most: PRODUCTS, tolerance: TOLERANCE, seed })).values[0]
  }
  const sharpness = await largest((v) => curvature.product(v))
  if (form === null) return { stable: Number.NaN, sharpness, preconditionedSharpness: Number.NaN }
  const P = preconditioner(form, layout, state, curvature)
  // P⁻¹H has the eigenvalues of P^(−½)·H·P^(−½), which is symmetric.
  const scale = P?.map((p) => 1 / Math.sqrt(p))
  const mu = scale
    ? await largest(async (v) => {
        const w = v.map((value, i) => scale[i] * value)
        return (await curvature.product(w)).map((Hw, i) => scale[i] * (Hw + form.coupledDecay * w[i]))
      })
    : sharpness + form.coupledDecay
  const inverse = mu / row.threshold(settings, (state?.steps ?? 0) + 1) + form.decoupledDecay / 2
  return { stable: inverse > 0 ? 1 / inverse : Number.POSITIVE_INFINITY, sharpness, preconditionedSharpness: mu }
}

/**
 * P, held as it is: that of the state in hand. Before a first step there is none, and v̂ is taken as a running mean will
 * be once it has settled at the present gradient, and as a sum will be after the first step: |g| + ε. null: the optimizer
 * has none.
 */
function preconditioner(
  { preconditioner: P, coupledDecay }: StepForm,
  layout: Layout,
  state: OptimizerState | null,
  { point, gradient }: Curvature,
): Float64Array | null {
  if (P === null) return null
  if (state === null || state.steps === 0) {
    const settled = divisor({ ...P, isCorrected: false }, 1)
    return gradient.map((g, i) => settled((g + coupledDecay * point[i]) ** 2))
  }
  const { length } = layout.trainable
  const from = dividing(P) * length
  return pack(state.vectors.subarray(from, from + length), layout).map(divisor(P, state.steps))
}
