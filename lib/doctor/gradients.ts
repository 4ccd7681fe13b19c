/**
 * The gradient check: is the gradient right?
 *
 * The model's own gradient is held to centred differences of its loss, in float64, entry by entry. A gradient computed
 * elsewhere (`theirs`) is held to our exact one, not to differences, and where it is wrong the shape of the fault is
 * named (theirs.ts). Nothing here looks at a training; a gradient may be right and the loss rise all the same.
 */
import { ACTIVATIONS, type Activation } from '../activations'
import type { Bound, Engine } from '../backends/backend'
import { expected, refuseUnknown } from '../errors'
import { LOSS_KERNELS } from '../losses'
import { checkNumber, RANGES } from '../names'
import { type Network, tensorIn } from '../network'
import { PREDICT_ROWS } from '../plan/compile'
import type { Floats, Instruction, Plan, Table } from '../plan/plan'
import { random } from '../random'
import { evaluation } from '../train/slices'
import { relativeError } from './compare'
import { sample, sampleTable, Turns } from './sample'
import {
  compareGradients,
  compareLoss,
  compareLosses,
  comparePredictions,
  namedTensors,
  type Orientation,
  type Ours,
  type Pair,
  readTheirs,
  type TensorComparison,
  type Theirs,
  type ValueComparison,
} from './theirs'

export interface GradientCheckOptions {
  /**
   * What was computed elsewhere, at `net.weights()` on the same x and y: { gradients?, loss?, predictions?, losses? }; a
   * bare array means gradients. Tensors may have any shape or orientation. Without gradients the model's own are checked.
   */
  theirs?: Theirs | readonly unknown[]
  /** Entries of each tensor that are checked against differences, drawn by the seed. @default 50 */
  entries?: number | 'all'
}

/** What came of a tensor; in `worst`, `theirs` is the difference quotient where the model's own gradient was checked. */
export interface TensorCheck extends TensorComparison {
  /**
   * ‖g − g₆₄‖ / ‖g₆₄‖ of the gradient that training computes, in the model's own type on its own backend: what rounding
   * does to it. Not a fault: a saturated layer lets through differences of numbers near 1.
   */
  readonly rounding: number
}

export interface GradientCheck {
  /** Everything that was compared agrees. */
  readonly ok: boolean
  readonly tensors: readonly TensorCheck[]
  /** What our gradient was held to. */
  readonly against: 'differences' | 'theirs'
  /** Rows used: all for theirs, at most 256 (fewer of a large net) for differences. */
  readonly rows: number
  /** Our loss on these rows, without penalty or dropout. */
  readonly loss: number
  /** How their weight matrices lie; 'outputsByInputs' is accepted where all of them do. */
  readonly orientation?: Orientation
  /** Of theirs, where given. */
  readonly lossCheck?: ValueComparison
  readonly predictionsCheck?: ValueComparison
  readonly lossesCheck?: ValueComparison
}

/** What is checked. */
export interface GradientCheckSubject extends Pick<Ours, 'network' | 'blueprint' | 'codec' | 'table'> {
  readonly seed: number
}

/** Step of the differences: at 1e-5 truncation (∝ ε²) and rounding (∝ 1/ε) of a loss near 1 are both near 1e-10. */
const STEP = 1e-5
/** Steps within which a kink spoils an entry. */
const NEAR = 10
const MOST_ROWS = PREDICT_ROWS
/** Rows × parameters of one forward pass, of which there are two or four an entry; e.g. 256 rows of 16,000 parameters. */
const MOST_WORK = 1 << 22
/** However many parameters. */
const LEAST_ROWS = 8
const ENTRIES = 50

/**
 * @param subject its table is in float64: what was rounded for the model would count as a difference
 * @throws ERR_OPTION
 */
export async function checkGradients(
  subject: GradientCheckSubject,
  options: GradientCheckOptions = {},
): Promise<GradientCheck> {
  refuseUnknown(options, ['theirs', 'entries'], 'checkGradients')
  const entries = readEntries(options.entries)
  const theirs = options.theirs === undefined ? null : readTheirs(options.theirs)
  const { network, table, seed } = subject
  const exact = network.copy({ dtype: 'float64' })
  try {
    const { loss, gradient } = exact.gradient(table)
    const ours = { ...subject, exact, gradient, loss }
    const lossCheck = theirs?.loss && compareLoss(ours, theirs.loss)
    const predictionsCheck = theirs?.predictions && comparePredictions(ours, theirs.predictions)
    const lossesCheck = theirs?.losses && compareLosses(ours, theirs.losses)
    const values = {
      ...(lossCheck && { lossCheck }),
      ...(predictionsCheck && { predictionsCheck }),
      ...(lossesCheck && { lossesCheck }),
    }
    const held = theirs?.gradients
      ? { against: 'theirs' as const, rows: table.rows, loss, ...compareGradients(ours, theirs.gradients) }
      : await checkDifferences(exact, sampleTable(table, rowsFor(network), seed), entries, seed)
    const roundings = roundingOf(network, table, gradient)
    const tensors = held.tensors.map((tensor, i) => ({ ...tensor, rounding: roundings[i] }))
    const ok = [...tensors, ...Object.values(values)].every((check) => check.ok)
    return { ...held, ok, tensors, ...values }
  } finally {
    exact.close()
  }
}

function rowsFor({ layout }: Network): number {
  return Math.max(LEAST_ROWS, Math.min(MOST_ROWS, Math.floor(MOST_WORK / layout.parameters.length)))
}

function readEntries(value: unknown): number {
  if (value === undefined) return ENTRIES
  if (value === 'all') return Number.POSITIVE_INFINITY
  if (typeof value === 'number') return checkNumber(value, RANGES.count, 'entries')
  throw expected('a positive integer or "all"', 'entries', value)
}

/** What the model's own arithmetic makes of each tensor's gradient. */
function roundingOf(network: Network, table: Table, exact: Floats): number[] {
  const own = network.dtype === 'float64' ? exact : network.gradient(table).gradient
  return namedTensors(network.layout).map(({ tensor }) => relativeError(tensorIn(own, tensor), tensorIn(exact, tensor)))
}

// ---------------------------------------------------------------------------------------------------- differences

/** Each tensor's gradient against centred differences of the loss. */
async function checkDifferences(
  exact: Network,
  table: Table,
  entries: number,
  seed: number,
): Promise<Pick<GradientCheck, 'against' | 'rows' | 'loss'> & { tensors: TensorComparison[] }> {
  const { loss, gradient } = exact.gradient(table)
  const probe = new Probe(exact, table)
  const turns = new Turns()
  const tensors: TensorComparison[] = []
  try {
    for (const [i, { layer, name, tensor }] of namedTensors(exact.layout).entries()) {
      const found: (Pair & { share: number })[] = []
      const chosen = sample(tensor.spec.rows * tensor.spec.columns, entries, random(seed, 'sample', i + 1))
      for (const index of chosen) {
        await turns.pass()
        const at = tensor.at + index
        if (!probe.isNearKink(at)) found.push({ index, ours: gradient[at], ...judge(probe, at, gradient[at], loss) })
      }
      // NaN is never ≤, so that it is the worst, and no entry after it takes its place.
      const worst = found.reduce<(typeof found)[number] | null>(
        (most, entry) => (most === null || !(entry.share <= most.share || Number.isNaN(most.share)) ? entry : most),
        null,
      )
      tensors.push({
        layer,
        tensor: name,
        ok: found.every(({ share }) => share <= 1),
        relativeError: relativeError(
          found.map(({ ours }) => ours),
          found.map(({ theirs }) => theirs),
        ),
        worst: worst && { index: worst.index, ours: worst.ours, theirs: worst.theirs },
        compared: found.length,
        skipped: chosen.length - found.length,
      })
    }
  } finally {
    probe.close()
  }
  return { against: 'differences', rows: table.rows, loss, tensors }
}

/**
 * How much of what is allowed an entry is off: |a − n| / (1e-9·max(1, |L|) + 1e-6·(|a| + |n|)).
 *
 * Where the loss bends strongly over a step (inputs in the thousands), the difference itself is wrong. So an entry that
 * is off is measured again by extrapolation, and is allowed that measurement's own error besides.
 */
function judge(probe: Probe, at: number, a: number, loss: number): { share: number; theirs: number } {
  const shareOf = (n: number, error: number): number =>
    Math.abs(a - n) / (1e-9 * Math.max(1, Math.abs(loss)) + 1e-6 * (Math.abs(a) + Math.abs(n)) + error)
  const n = probe.quotient(at, STEP)
  const share = shareOf(n, 0)
  if (share <= 1) return { share, theirs: n }
  const { quotient, error } = extrapolate((step) => probe.quotient(at, step))
  const again = shareOf(quotient, error)
  return again < share ? { share: again, theirs: quotient } : { share, theirs: n }
}

/**
 * The limit of centred differences as the step goes to 0, by Ridders' scheme (Advances in Engineering Software 4, 1982):
 * quotients at ever smaller steps, combined so that the powers of the step cancel one after the other. The error is the
 * largest distance to the two entries that the best one was made from.
 */
function extrapolate(quotientAt: (step: number) => number): { quotient: number; error: number } {
  const SHRINK = 2
  const ROUNDS = 8
  let best = { quotient: Number.NaN, error: Number.POSITIVE_INFINITY }
  let before: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const row = [quotientAt(STEP / SHRINK ** round)]
    for (let order = 1; order <= round; order++) {
      const factor = SHRINK ** (2 * order)
      const value = (factor * row[order - 1] - before[order - 1]) / (factor - 1)
      row.push(value)
      const error = Math.max(Math.abs(value - row[order - 1]), Math.abs(value - before[order - 1]))
      if (error < best.error) best = { quotient: value, error }
    }
    before = row
  }
  return best
}

/** A loss as a function of one parameter at a time. */
class Probe {
  readonly #engine: Engine
  readonly #data: Bound
  readonly #weights: Floats
  readonly #kinks: readonly KinkSite[]

  constructor(exact: Network, table: Table) {
    const plan = exact.plan(['evaluate'], table.rows, table.targets)
    this.#engine = exact.load(plan)
    this.#data = this.#engine.bind(table)
    this.#weights = exact.parameters
    this.#kinks = kinksOf(plan, table.rows)
  }

  /** (L(w + step) − L(w − step)) / 2·step, with the step that the floats really make. */
  quotient(at: number, step: number): number {
    const w = this.#weights[at]
    const [above, below] = [w + step, w - step]
    const quotient = (this.#lossWith(at, above) - this.#lossWith(at, below)) / (above - below)
    this.#put(at, w)
    return quotient
  }

  /** Whether some unit, or the loss of some row, is on another side of a kink ten steps up than ten steps down. */
  isNearKink(at: number): boolean {
    if (this.#kinks.length === 0) return false
    const w = this.#weights[at]
    this.#lossWith(at, w + NEAR * STEP)
    const above = this.#kinks.map((site) => site.sides(this.#engine))
    this.#lossWith(at, w - NEAR * STEP)
    const isNear = this.#kinks.some((site, k) => site.sides(this.#engine).some((side, i) => side !== above[k][i]))
    this.#put(at, w)
    return isNear
  }

  close(): void {
    this.#data.release()
    this.#engine.close()
  }

  #put(at: number, value: number): void {
    this.#engine.write({ at, length: 1 }, [value])
  }

  #lossWith(at: number, value: number): number {
    this.#put(at, value)
    return this.#engine.run(evaluation(this.#data)).loss[0]
  }
}

/** A place in a plan where a slope may jump; `sides` says for each value how many of its kinks lie below. */
interface KinkSite {
  sides(engine: Engine): Uint8Array
}

function kinksOf(plan: Plan, rows: number): KinkSite[] {
  return (plan.programs.evaluate?.chunk ?? []).flatMap((instruction) => kinkAt(instruction, rows))
}

function kinkAt(instruction: Instruction, rows: number): KinkSite[] {
  if (instruction.op === 'activate') {
    const row = ACTIVATIONS.get(instruction.row as string) as Activation
    if (row.kinks === undefined) return []
    const at = row.keeps === 'output' ? instruction.y : instruction.x
    const bounds = Float64Array.from(row.kinks)
    if (row.keeps === 'output') row.forward(bounds, bounds, 1, bounds.length)
    const range = { at, length: rows * instruction.O }
    return [{ sides: (engine) => sidesOf(engine.read(range), bounds) }]
  }
  if (instruction.op === 'loss') {
    const kinks = LOSS_KERNELS.get(instruction.row as string)?.kinks
    if (kinks === undefined) return []
    const [z, t] = [instruction.z, instruction.t].map((at) => ({ at, length: rows * instruction.O }))
    const sides = (engine: Engine): Uint8Array => {
      const target = engine.read(t)
      return Uint8Array.from(engine.read(z), (value, i) => countBelow(kinks(target[i], instruction), value))
    }
    return [{ sides }]
  }
  return []
}

function sidesOf(values: Floats, bounds: Float64Array): Uint8Array {
  return Uint8Array.from(values, (value) => countBelow(bounds, value))
}

function countBelow(bounds: Float64Array | readonly number[], value: number): number {
  let count = 0
  for (const bound of bounds) count += Number(value > bound)
  return count
}
