/**
 * Outcomes: what became of a run, read off its losses alone.
 *
 * Five classes, tried in order; the first that holds is the outcome. A rise is ΔL > τ·|L|: below τ it is rounding, and
 * nothing here counts it. Why a loss rose is not asked here, nor can losses alone answer it.
 */
import type { LossSpec } from '../losses'
import { LOSS_KERNELS, type LossKernel, lossRow, placeLoss } from '../losses'
import type { Dtype, Table } from '../plan/plan'
import { rises } from '../plot'

export type Outcome = 'diverging' | 'stalled' | 'monotone' | 'edgeOfStability' | 'transient'

/** τ of a rise, by the type that the losses were computed in. */
export const TOLERANCE: { readonly [D in Dtype]: number } = { float32: 1e-5, float64: 1e-12 }

export interface OutcomeOptions {
  /** τ. @default that of float32 */
  readonly tolerance?: number
  /** The loss of the best constant prediction; without it no run is called stalled. */
  readonly chance?: number
}

/** All that a class is decided by. `last` is the first index of the last half, `end` the median of the last tenth. */
interface Curve {
  readonly losses: ArrayLike<number>
  readonly end: number
  readonly tolerance: number
  readonly chance: number
  readonly rises: readonly number[]
  readonly half: number
}

interface OutcomeRow {
  readonly outcome: Outcome
  readonly synopsis: string
  holds(curve: Curve): boolean
}

/** Share of the steps of the last half from which on rises are a regime and no accident (Cohen et al. 2021). */
const EDGE_SHARE = 0.1
/** Of chance: above it nothing has been learned that counts. */
const STALLED_SHARE = 0.95
/** Less change than this over the last half is none. */
const STALLED_CHANGE = 0.01

/** In order: the first row that holds is the outcome. */
export const OUTCOMES: readonly OutcomeRow[] = [
  {
    outcome: 'diverging',
    synopsis: 'became infinite or NaN, or ended above where it began',
    holds: ({ losses, end, tolerance }) =>
      Array.prototype.some.call(losses, (loss: number) => !Number.isFinite(loss)) ||
      end - losses[0] > tolerance * Math.abs(losses[0]),
  },
  {
    outcome: 'stalled',
    synopsis: 'stays where a constant prediction stands',
    holds: ({ losses, end, chance, half }) =>
      end >= STALLED_SHARE * chance &&
      Math.abs(losses[losses.length - 1] - losses[half]) < STALLED_CHANGE * Math.abs(losses[half]),
  },
  { outcome: 'monotone', synopsis: 'never rose', holds: (curve) => curve.rises.length === 0 },
  {
    outcome: 'edgeOfStability',
    synopsis: 'rises again and again, and falls in the long run',
    holds: ({ losses, rises: at, half }) =>
      at.filter((i) => i > half).length >= EDGE_SHARE * (losses.length - 1 - half),
  },
  { outcome: 'transient', synopsis: 'rose, and ended lower', holds: () => true },
]

/** The class of the losses L₀ … L_T of one run, taken on the same rows; of a mini-batch run: on a fixed sample. */
export function classify(losses: ArrayLike<number>, options: OutcomeOptions = {}): Outcome {
  const { tolerance = TOLERANCE.float32, chance = Number.POSITIVE_INFINITY } = options
  const half = Math.floor((losses.length - 1) / 2)
  const curve = { losses, end: endOf(losses), tolerance, chance, rises: rises(losses, tolerance), half }
  return (OUTCOMES.find((row) => row.holds(curve)) as OutcomeRow).outcome
}

/** E: the median of the last tenth of the losses, of one at least. */
export function endOf(losses: ArrayLike<number>): number {
  const count = Math.max(1, Math.floor(losses.length / 10))
  return median(Array.from({ length: count }, (_, i) => losses[losses.length - count + i]))
}

/** The middle value, the mean of both middle ones for an even count; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

// ---------------------------------------------------------------------------------------------------- chance

/** Values and how much each counts; together 1. */
interface Column {
  readonly t: Float64Array
  readonly share: Float64Array
}

/** Mean loss of one column of targets under its best constant prediction; K columns a row. */
type Chance = (column: Column, spec: LossSpec, K: number) => number

/** The lowest mean of a loss over constants in [low, high]; convex, or at least with one valley: each turn keeps two thirds. */
function lowest(low: number, high: number, at: (z: number) => number): number {
  for (let turn = 0; turn < 80; turn++) {
    const [a, b] = [low + (high - low) / 3, high - (high - low) / 3]
    if (at(a) < at(b)) high = b
    else low = a
  }
  return at((low + high) / 2)
}

/** By the loss's own kernel, among constants as far apart as `range` says. */
const searched =
  (range: (column: Column) => readonly [number, number]): Chance =>
  (column, spec) => {
    const kernel = LOSS_KERNELS.get(lossRow(spec).logits) as LossKernel
    const { constants } = placeLoss(spec, 'linear')
    const { t, share } = merged(column)
    const [at, of] = [new Float64Array(1), new Float64Array(1)]
    return lowest(...range(column), (v) => {
      let sum = 0
      for (let i = 0; i < t.length; i++) {
        at[0] = v
        of[0] = t[i]
        sum += kernel.compute(at, of, null, 1, 1, 1, share[i], constants)
      }
      return sum
    })
  }
const amongTargets = searched(({ t }) => [least(t), most(t)])

/** Equal values once, with what they count together. */
function merged({ t, share }: Column): Column {
  const shares = new Map<number, number>()
  for (let i = 0; i < t.length; i++) shares.set(t[i], (shares.get(t[i]) ?? 0) + share[i])
  return { t: Float64Array.from(shares.keys()), share: Float64Array.from(shares.values()) }
}

const CONSTANTS: { readonly [K in LossSpec['kind']]: Chance } = {
  mse: (column) => {
    const centre = mean(column)
    return mean(column, (t) => (t - centre) ** 2)
  },
  mae: (column) => {
    const middle = middleOf(column)
    return mean(column, (t) => Math.abs(t - middle))
  },
  huber: amongTargets,
  logCosh: amongTargets,
  quantile: amongTargets,
  // The best rate is the mean.
  poisson: (column) => mean(column) + (mean(column) > 0 ? -mean(column) * Math.log(mean(column)) : 0),
  hinge: searched(() => [-1, 1]),
  binaryCrossEntropy: (column, { labelSmoothing = 0 }) => {
    const p = (1 - labelSmoothing) * mean(column) + 0.5 * labelSmoothing
    return entropy(p) + entropy(1 - p)
  },
  crossEntropy: (column, { labelSmoothing = 0 }, K) =>
    entropy((1 - labelSmoothing) * mean(column) + labelSmoothing / K),
  // Beyond e^−20 of a share there is nothing to be won.
  focal: searched(() => [-20, 20]),
}

type Targets = Pick<Table, 'y' | 'rows' | 'targets' | 'weights'>

/**
 * Chance: the loss, as configured, of the best prediction that does not look at x: entropy, variance, … Rows count by
 * their weights, as they do in the loss.
 */
export function chanceLoss(spec: LossSpec, { y, rows, targets, weights }: Targets): number {
  const total = weights ? weights.reduce((sum, weight) => sum + weight, 0) : rows
  const share = weights ? weights.map((weight) => weight / total) : new Float64Array(rows).fill(1 / rows)
  const isIndexed = lossRow(spec).classTargets === 'index' && targets === 1
  const columns: Column[] = isIndexed
    ? Array.from(merged({ t: Float64Array.from(y ?? []), share }).share, (of) => ({
        t: Float64Array.of(of),
        share: Float64Array.of(1),
      }))
    : Array.from({ length: targets }, (_, c) => ({
        t: Float64Array.from({ length: rows }, (_, r) => y?.[r * targets + c] ?? 0),
        share,
      }))
  const sum = columns.reduce((sum, column) => sum + CONSTANTS[spec.kind](column, spec, columns.length), 0)
  const perRow = spec.kind === 'crossEntropy' ? sum : sum / columns.length
  const terms = spec.reduction === 'mean' ? 1 : spec.kind === 'crossEntropy' ? total : total * targets
  return spec.scale * perRow * terms
}

/** Where half of what counts lies below and half above; any such value is as good. */
function middleOf({ t, share }: Column): number {
  const order = [...t.keys()].sort((a, b) => t[a] - t[b])
  let below = 0
  for (const i of order) {
    below += share[i]
    if (below >= 0.5) return t[i]
  }
  return t[order[order.length - 1]]
}

function mean({ t, share }: Column, of = (value: number): number => value): number {
  let sum = 0
  for (let i = 0; i < t.length; i++) if (share[i] > 0) sum += share[i] * of(t[i])
  return sum
}

const least = (values: Float64Array): number => values.reduce((a, b) => Math.min(a, b))
const most = (values: Float64Array): number => values.reduce((a, b) => Math.max(a, b))
/** −p log p. */
const entropy = (p: number): number => (p > 0 ? -p * Math.log(p) : 0)
