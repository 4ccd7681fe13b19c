/**
 * Instruments: what can be measured of a network and its data, one function each, sorted by what they cost.
 *
 * Each takes a Network and a table as the network is given it, and works on a copy where it changes anything. They
 * measure and do not judge; what a number means in a diagnosis is said by the rules. Non-finite losses give NaN, never an
 * error.
 */
import type { Engine } from '../backends/backend'
import { undropped } from '../layers'
import { type Network, tensorIn } from '../network'
import { adam, type OptimizerSpec, optimizerRow, sgd } from '../optimizers'
import { parameterised } from '../plan/layout'
import type { Floats, Program, Report, Table } from '../plan/plan'
import { countTo, type Random, random, shuffle } from '../random'
import { evaluation } from '../train/slices'
import { type LayerActivity, readActivity } from './activity'
import { symmetricEigenvalues } from './eigenvalues'
import { chanceLoss } from './outcome'
import { sampleTable } from './sample'
import { namedTensors } from './theirs'

/** What most of them may be told. */
export interface InstrumentOptions {
  /** Rows looked at, at most; drawn by the seed. */
  readonly rows?: number
  /** @default 0 */
  readonly seed?: number
}

const ROWS = 1024

// ---------------------------------------------------------------------------------------------------- the data

export interface Conditioning {
  /** λmax / λmin over the directions that the data have; ≥ 1. */
  readonly condition: number
  readonly largest: number
  readonly smallest: number
  /** Directions with data in them, of columns + 1. */
  readonly rank: number
  readonly columns: number
}

/**
 * Condition number of the inputs: of the second moments E[(x, 1)(x, 1)ᵀ], the constant being the bias's input. It bounds
 * how much slower gradient descent is along one direction than along another: a linear layer under a squared error has
 * this Hessian times a constant.
 *
 * Source: LeCun, Bottou, Orr & Müller, *Efficient BackProp* (1998), §5. Range: [1, ∞); 1 after whitening, and with one
 * standardized column. Directions in which nothing varies (λ ≤ n·ε·λmax) have no gradient at all and are left out of it;
 * `rank` counts the others. Cost: rows·n² + n³, n being columns + 1.
 */
export function conditionNumber(
  table: Table,
  { rows = 8192, seed = 0, bias = true }: InstrumentOptions & { readonly bias?: boolean } = {},
): Conditioning {
  const { x, scale, columns, rows: N } = sampleTable(table, rows, seed)
  const n = columns + Number(bias)
  const moments = new Float64Array(n * n)
  const row = new Float64Array(n).fill(1)
  for (let r = 0; r < N; r++) {
    for (let c = 0; c < columns; c++) row[c] = x[r * columns + c] * scale
    for (let i = 0; i < n; i++) {
      const v = row[i] / N
      if (v !== 0) for (let j = 0; j <= i; j++) moments[i * n + j] += v * row[j]
    }
  }
  const values = symmetricEigenvalues(moments, n)
  const largest = values[n - 1]
  const smallest = values.find((value) => value > n * Number.EPSILON * largest) ?? Number.NaN
  const rank = values.reduce((count, value) => count + Number(value >= smallest), 0)
  return { condition: largest / smallest, largest, smallest, rank, columns }
}

// ---------------------------------------------------------------------------------------------------- one pass

/**
 * Saturation and dead units, layer by layer: the share of values in the region where the activation hardly passes a
 * gradient on (tanh |y| > 0.99, sigmoid |y − ½| > 0.49; elu and selu within 1 % of their floor), the share of units that
 * are zero on all rows (relu), and the root mean square of the outputs. Regions are columns of ACTIVATIONS.
 *
 * Source: Glorot & Bengio, *Understanding the difficulty of training deep feedforward neural networks* (2010). Range:
 * [0, 1]; null where the activation has no such region. Cost: a forward pass.
 */
export function saturation(network: Network, table: Table, { rows = ROWS, seed = 0 }: InstrumentOptions = {}) {
  const seen = sampleTable(table, rows, seed)
  const plan = network.plan(['predict'], seen.rows, 0)
  const engine = network.load(plan)
  const data = engine.bind(seen)
  try {
    engine.run(evaluation(data, 'predict'))
    return readActivity(engine, plan.programs.predict as Program, network, seen.rows)
  } finally {
    data.release()
    engine.close()
  }
}

/** Loss and chance, and how they stand to each other. */
export interface StartingLoss {
  readonly loss: number
  readonly chance: number
  /** loss / chance; about 1 is what a net that knows nothing yet should have. */
  readonly ratio: number
}

/**
 * The loss against chance, that of the best prediction which does not look at x: the entropy of the labels, the variance
 * of y under the loss. A net that starts far above has outputs that are sure of themselves without reason.
 *
 * Source: Karpathy, *A Recipe for Training Neural Networks* (2019), "verify loss @ init". Range: (0, ∞). Cost: a forward
 * pass.
 */
export function startingLoss(network: Network, table: Table): StartingLoss {
  const loss = network.evaluate(table).loss[0]
  const chance = chanceLoss(network.loss, table)
  return { loss, chance, ratio: loss / chance }
}

export interface LayerNorms {
  readonly layer: number
  /** ‖∂L/∂W‖ and ‖∂L/∂b‖; null without a bias. */
  readonly weights: number
  readonly bias: number | null
  /** Of the weights' gradient, by entry: what can be compared between layers of different size. */
  readonly rms: number
}

/**
 * Norms of the gradient of the loss, layer by layer. Norms that fall by orders of magnitude towards the first layer are a
 * vanishing gradient, those that grow an exploding one.
 *
 * Source: Hochreiter (1991); Pascanu, Mikolov & Bengio, *On the difficulty of training recurrent neural networks* (2013).
 * Range: [0, ∞). Cost: a gradient.
 */
export function gradientNorms(network: Network, table: Table, options: InstrumentOptions = {}): LayerNorms[] {
  const { rows = ROWS, seed = 0 } = options
  const { gradient } = network.gradient(sampleTable(table, rows, seed))
  const tensors = namedTensors(network.layout)
  return parameterised(network.layout).map((_, layer) => {
    const normOf = (name: string): { norm: number; size: number } | null => {
      const found = tensors.find((other) => other.layer === layer && other.tensor.spec.name === name)
      if (found === undefined) return null
      const values = tensorIn(gradient, found.tensor)
      return { norm: norm(values), size: values.length }
    }
    const weights = normOf('weights') as { norm: number; size: number }
    return {
      layer,
      weights: weights.norm,
      bias: normOf('bias')?.norm ?? null,
      rms: weights.norm / Math.sqrt(weights.size),
    }
  })
}

export interface TrialOptions extends InstrumentOptions {
  /** @default sgd(); of overfitOneBatch adam({ learningRate: 0.01 }) */
  readonly optimizer?: OptimizerSpec
  /** @default the optimizer's own */
  readonly learningRate?: number
}

export interface UpdateRatio {
  readonly layer: number
  /** ‖ΔW‖ / ‖W‖. */
  readonly ratio: number
}

/**
 * How far one step moves the weights of each layer, relative to where they are; the step is made on a copy. About 1e-3 is
 * usual: much more throws weights about, much less gets nowhere.
 *
 * Source: Karpathy, CS231n lecture notes, *Ratio of weights:updates*. Range: [0, ∞). Cost: a step.
 */
export function updateRatios(network: Network, table: Table, options: TrialOptions = {}): UpdateRatio[] {
  const { rows = ROWS, seed = 0, optimizer = sgd(), learningRate = rateOf(optimizer) } = options
  return onCopy(network, sampleTable(table, rows, seed), { optimizer }, (trial) => {
    const before = trial.parameters()
    trial.step(null, learningRate)
    const after = trial.parameters()
    return namedTensors(network.layout)
      .filter(({ tensor }) => tensor.spec.name === 'weights')
      .map(({ layer, tensor }) => {
        const [w, moved] = [tensorIn(before, tensor), tensorIn(after, tensor)]
        return { layer, ratio: norm(moved.map((v, i) => v - w[i])) / norm(w) }
      })
  })
}

// ---------------------------------------------------------------------------------------------------- many passes

export interface NoiseScale {
  /** tr(Σ) / |G|². */
  readonly scale: number
  /** tr(Σ): the variance of the gradient of one row, summed over parameters. */
  readonly trace: number
  /** |G|²: the squared norm of the gradient over all rows. */
  readonly squaredNorm: number
  readonly rows: number
  /** Rows of a batch whose gradients were compared. */
  readonly batch: number
}

/** Gradients that are computed at most. */
const MOST_BATCHES = 2048

/**
 * Gradient noise scale B = tr(Σ) / |G|²: about the batch size below which a larger batch pays for itself; at a batch far
 * below it, steps are mostly noise. Of the objective, without dropout.
 *
 * Source: McCandlish, Kaplan, Amodei et al., *An Empirical Model of Large-Batch Training* (2018), §2.2, in the "simple"
 * form; Σ and G are those of the rows given, taken as the whole population. With at most 2,048 rows every row's own
 * gradient is taken and the value is exact; else rows go in batches of b, and E|G_b|² = |G|² + tr(Σ)/b·(n−b)/(n−1) is
 * solved for tr(Σ), with an error of about 1/√1024. Range: [0, ∞]. Cost: two passes over the rows.
 */
export function noiseScale(
  network: Network,
  table: Table,
  { rows = Number.POSITIVE_INFINITY, seed = 0 }: InstrumentOptions = {},
): NoiseScale {
  const given = sampleTable(table, rows, seed)
  const batch = Math.ceil(given.rows / MOST_BATCHES)
  const count = Math.floor(given.rows / batch)
  const n = count * batch
  const order = shuffle(countTo(given.rows), random(seed, 'sample', 1)).subarray(0, n)
  const layers = undropped(network.model.layers)
  // Steps at rate 0 leave the weights and tell the norm of each gradient, penalty in it.
  return onCopy(network, given, { batch: n, layers }, (trial) => {
    const squaredNorm = trial.step(order, 0).gradientNorm[0] ** 2
    const { gradientNorm } = trial.steps(order, batch, new Float64Array(count))
    const meanSquare = gradientNorm.reduce((sum, g) => sum + g * g, 0) / count
    const trace = n > batch ? Math.max(0, ((meanSquare - squaredNorm) * batch * (n - 1)) / (n - batch)) : 0
    return { scale: trace / squaredNorm, trace, squaredNorm, rows: n, batch }
  })
}

export interface Overfit {
  readonly rows: number
  /** Loss before each step and after the last. */
  readonly losses: Float64Array
  readonly lowest: number
  readonly chance: number
  /** lowest / chance: near 0 where the net can learn these few rows by heart. */
  readonly ratio: number
}

/**
 * Overfits one small batch, on a copy without dropout: a net whose parts are right learns a few rows by heart. Where the
 * loss stays, something is broken that no amount of data mends (or the rate is far off: it is the caller's own).
 *
 * Source: Karpathy (2019), "overfit one batch". Range of the ratio: [0, ∞). Cost: `steps` steps of `rows` rows.
 */
export async function overfitOneBatch(
  network: Network,
  table: Table,
  options: TrialOptions & { readonly steps?: number } = {},
): Promise<Overfit> {
  const { rows = 16, seed = 0, steps = 300, optimizer = adam({ learningRate: 0.01 }) } = options
  const { learningRate = rateOf(optimizer) } = options
  const batch = sampleTable(table, rows, seed)
  const layers = undropped(network.model.layers)
  return onCopy(network, batch, { optimizer, layers }, async (trial) => {
    const { loss } = await trial.stepsAsync(null, batch.rows, new Float64Array(steps + 1).fill(learningRate))
    const lowest = loss.reduce((least, value) => Math.min(least, value))
    const chance = chanceLoss(network.loss, batch)
    return { rows: batch.rows, losses: loss, lowest, chance, ratio: lowest / chance }
  })
}

export interface RangeTest {
  /** The rate of each step made, and the loss of its batch before it. */
  readonly rates: Float64Array
  readonly losses: Float64Array
  /** Losses smoothed: a running mean with weight 0.98, corrected for its start. */
  readonly smoothed: Float64Array
  /** Rate at which the smoothed loss falls fastest per factor of the rate; null where too few steps were made. */
  readonly steep: number | null
  /** Two thirds into the longest stretch over which it falls; null as above. */
  readonly valley: number | null
  /** 'end', or why it ended before. */
  readonly ended: 'end' | 'rose' | 'nonFinite'
}

export interface RangeTestOptions extends TrialOptions {
  /** Rates of the first and the last step. @default 1e-7 and 10 */
  readonly from?: number
  readonly to?: number
  /** @default 100 */
  readonly steps?: number
  /** Rows a step. @default 64 */
  readonly batch?: number
}

/** Weight of the past in the smoothed loss. */
const SMOOTHING = 0.98
/** The test ends where the smoothed loss is so many times its lowest. */
const MOST_RISE = 4

/**
 * Rate range test: trains a copy while the rate grows by a constant factor a step, and suggests a rate from the curve.
 * It is a *search*, not a limit: what it finds depends on its own schedule, and a rate above `valley` need not diverge.
 *
 * Source: Smith, *Cyclical Learning Rates* (2017), §3.3; smoothing, stopping rule and both suggestions as in fastai 2
 * (callback/schedule.py): the first tenth and the last five steps are left out of them. Range: [from, to]. Cost: at most
 * `steps` steps.
 */
export async function rateRangeTest(
  network: Network,
  table: Table,
  options: RangeTestOptions = {},
): Promise<RangeTest> {
  const { from = 1e-7, to = 10, steps = 100, seed = 0, optimizer = sgd() } = options
  const batch = Math.min(options.batch ?? 64, table.rows)
  const rates = Float64Array.from({ length: steps }, (_, i) => from * (to / from) ** (i / Math.max(1, steps - 1)))
  const order = passes(table.rows, batch, steps, random(seed, 'shuffle'))
  const losses: number[] = []
  const smoothed: number[] = []
  let [mean, lowest] = [0, Number.POSITIVE_INFINITY]
  const ended = await onCopy(network, table, { optimizer, batch }, async (trial): Promise<RangeTest['ended']> => {
    for (let i = 0; i < steps; i++) {
      const { loss, stopped } = await trial.stepsAsync(order[i], order[i].length, rates.subarray(i, i + 1), i)
      losses.push(loss[0])
      mean = SMOOTHING * mean + (1 - SMOOTHING) * loss[0]
      smoothed.push(mean / (1 - SMOOTHING ** (i + 1)))
      if (stopped === 'nonFinite') return 'nonFinite'
      lowest = Math.min(lowest, smoothed[i])
      if (smoothed[i] > MOST_RISE * lowest) return 'rose'
    }
    return 'end'
  })
  const used = rates.slice(0, losses.length)
  return {
    rates: used,
    losses: Float64Array.from(losses),
    smoothed: Float64Array.from(smoothed),
    ...suggestions(used, smoothed, steps),
    ended,
  }
}

/** fastai's suggestions from the smoothed losses of a test of `steps` steps, or of what was made of it. */
export function suggestions(
  rates: Float64Array,
  smoothed: readonly number[],
  steps: number,
): Pick<RangeTest, 'steep' | 'valley'> {
  const first = Math.floor(steps / 10)
  const lr = rates.subarray(first, Math.max(first, rates.length - 5))
  const loss = smoothed.slice(first, first + lr.length)
  if (lr.length < 2) return { steep: null, valley: null }
  return { steep: lr[steepest(lr, loss)], valley: lr[valleyOf(loss)] }
}

function steepest(lr: Float64Array, loss: readonly number[]): number {
  const slopes = Array.from({ length: lr.length - 1 }, (_, i) => (loss[i + 1] - loss[i]) / Math.log(lr[i + 1] / lr[i]))
  return slopes.reduce((best, slope, i) => (slope < slopes[best] ? i : best), 0)
}

/** Index half-way through the second third of the longest falling subsequence. */
function valleyOf(loss: readonly number[]): number {
  const lengths = loss.map(() => 1)
  let [start, end] = [0, 0]
  for (let i = 1; i < loss.length; i++)
    for (let j = 0; j < i; j++) {
      if (loss[i] < loss[j] && lengths[i] < lengths[j] + 1) lengths[i] = lengths[j] + 1
      if (lengths[end] < lengths[i]) {
        end = i
        start = end - lengths[end]
      }
    }
  const third = (end - start) / 3
  return Math.max(0, start) + Math.trunc(third) + Math.trunc(third / 2)
}

/** Rows of `steps` batches, in passes over shuffled rows; a pass ends with what is left. */
function passes(rows: number, batch: number, steps: number, from: Random): Uint32Array[] {
  const batches: Uint32Array[] = []
  while (batches.length < steps) {
    const order = shuffle(countTo(rows), from)
    for (let at = 0; at < rows && batches.length < steps; at += batch) batches.push(order.subarray(at, at + batch))
  }
  return batches
}

// ---------------------------------------------------------------------------------------------------- trials

/** A copy of a network that can be trained. */
interface Trial {
  parameters(): Floats
  /** One step over `rows`, or over all of them. */
  step(rows: Uint32Array | null, learningRate: number): Report
  /** Steps of `batch` rows, one for each rate. */
  steps(rows: Uint32Array | null, batch: number, rates: Float64Array): Report
  /** The same off this thread; `made`: steps made before. */
  stepsAsync(rows: Uint32Array | null, batch: number, rates: Float64Array, made?: number): Promise<Report>
}

interface TrialSetup {
  readonly optimizer?: OptimizerSpec
  /** Rows of the largest step. @default all */
  readonly batch?: number
  readonly layers?: Network['model']['layers']
}

/** Calls `use` with a copy that trains on the table, and closes it afterwards. */
function onCopy<T>(
  network: Network,
  table: Table,
  { optimizer = sgd(), batch = table.rows, layers = network.model.layers }: TrialSetup,
  use: (trial: Trial) => T,
): T {
  const copy = network.copy({ layers })
  const engine: Engine = copy.trainer({ optimizer }, batch, table.targets, true)
  const data = engine.bind(table)
  const slice = (rows: Uint32Array | null, size: number, rates: Float64Array, made: number) => ({
    ...evaluation(data, 'train'),
    rows,
    pass: rows?.length ?? table.rows,
    batch: size,
    steps: rates.length,
    learningRate: rates,
    step: made,
  })
  const close = (): void => {
    data.release()
    engine.close()
    copy.close()
  }
  const trial: Trial = {
    parameters: () => engine.read(engine.plan.parameters),
    step: (rows, rate) => engine.run(slice(rows, rows?.length ?? table.rows, Float64Array.of(rate), 0)),
    steps: (rows, size, rates) => engine.run(slice(rows, size, rates, 0)),
    stepsAsync: (rows, size, rates, made = 0) => engine.runAsync(slice(rows, size, rates, made)),
  }
  let result: T | undefined
  try {
    result = use(trial)
    return result
  } finally {
    if (result instanceof Promise) result.then(close, close)
    else close()
  }
}

function rateOf(optimizer: OptimizerSpec): number {
  return optimizer.learningRate ?? optimizerRow(optimizer).learningRate
}

function norm(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i]
  return Math.sqrt(sum)
}

export type { LayerActivity }
