/**
 * Lockstep: one instruction at a time, each backend from the very same floats, held against the specification in
 * float64. So an error cannot hide behind the ones before it, and bounds can be tight.
 *
 * A bound is a number of float32 roundings, k: |ours − exact| ≤ γ_k · magnitude, with γ_k = k·u/(1 − k·u), u = 2⁻²⁴
 * (Higham, *Accuracy and Stability*, §3.1). The magnitude is Σ|terms| where terms are added, which the exact backend
 * computes too, from absolute values; else that of the result. NaN and ±Infinity must stand where they stand in the
 * exact result rounded to float32. A backend that flushes may take any |v| < 2⁻¹²⁶ for 0, on its way in and out.
 */
import { ACTIVATIONS } from '../dist/activations'
import {
  type Floats,
  type Instruction,
  OPS,
  type OpName,
  opKey,
  type Plan,
  type Range,
  type Report,
  type Slice,
  type Table,
} from '../dist/plan/plan'
import { type Contender, EXACT } from './cases'

// ---------------------------------------------------------------------------------------------------- one instruction

/** A slice but for the data, which each backend binds for itself. */
export type Steps = Omit<Slice, 'data' | 'program'>

export interface Done {
  readonly arena: Floats
  readonly report: Report
}

/** `plan` reduced to one instruction, run by one backend over a copy of `arena`; what it leaves, at `reads` at least. */
export function runOne(
  { backend, dtype }: Contender,
  plan: Plan,
  instruction: Instruction,
  arena: Floats,
  table: Table,
  steps: Steps,
  reads: readonly Range[] = blocksOf(plan),
): Done {
  if (backend === null) throw new Error('no backend')
  const isChunk = OPS[instruction.op].scope === 'chunk'
  const train = { chunk: isChunk ? [instruction] : [], step: isChunk ? [] : [instruction] }
  const engine = backend.load({ ...plan, dtype, programs: { train } }, 1)
  for (const { at, length } of blocksOf(plan)) engine.write({ at, length }, arena.subarray(at, at + length))
  const data = engine.bind(table)
  const report = engine.run({ ...steps, program: 'train', data })
  const after = dtype === 'float64' ? new Float64Array(plan.length) : new Float32Array(plan.length)
  for (const range of reads) after.set(engine.read(range), range.at)
  data.release()
  engine.close()
  return { arena: after, report }
}

/** The two blocks of an arena, which no range may straddle. */
export function blocksOf({ parameters, length }: Plan): Range[] {
  const shared = parameters.length
  return [
    { at: 0, length: shared },
    { at: shared, length: length - shared },
  ].filter((range) => range.length > 0)
}

// ---------------------------------------------------------------------------------------------------- bounds

/** Names of operands are numbers here: offsets and sizes. */
type Operands = Readonly<Record<string, number>>

interface Bound {
  /** Operands written, with their floats for `capacity` rows. */
  writes(operands: Operands, capacity: number): readonly (readonly [operand: string, length: number])[]
  /** Roundings allowed, for `rows` rows in the whole step. */
  roundings(operands: Operands, rows: number, row: string | undefined): number
  /** Of what the roundings are a share; see MAGNITUDES. */
  magnitude: keyof typeof MAGNITUDES
}

const rowsOf =
  (...names: readonly [operand: string, columns: string][]): Bound['writes'] =>
  (operands, capacity) =>
    names.map(([name, columns]) => [name, operands[columns] * capacity])
const units =
  (...names: readonly [operand: string, columns: string][]): Bound['writes'] =>
  (operands) =>
    names.map(([name, columns]) => [name, operands[columns]])
const vectors =
  (...names: readonly string[]): Bound['writes'] =>
  ({ n }) =>
    names.map((name) => [name, n])
const roundings = (k: number) => () => k

/** Roundings of functions of mathematics, exp and the like, in float32. */
const MATH_ROUNDINGS = 8
/** e^x where x is rounded first: up to 2⁷, by half of 2⁻¹⁷ at most, which is 64 u of the result. */
const EXP_ROUNDINGS = 64 + MATH_ROUNDINGS
/** Rows that need none, or those. */
const ROW_ROUNDINGS: { readonly [row: string]: number | undefined } = {
  linear: 0,
  relu: 0,
  softmax: EXP_ROUNDINGS,
  crossEntropyLogits: EXP_ROUNDINGS,
}
const roundingsOfRow: Bound['roundings'] = (_operands, _rows, row) => ROW_ROUNDINGS[row ?? ''] ?? MATH_ROUNDINGS

/** What entry i of a written range is made of, beside the result itself; `terms`: the exact result of absolute values. */
const MAGNITUDES = {
  terms: (_operands: Operands, i: number, terms: Floats): number => terms[i],
  result: (): number => 0,
  /** A derivative near 0 may be a difference of numbers near 1. */
  dy: ({ dy, dx }: Operands, i: number, arena: Floats): number => Math.abs(arena[dy + i - dx]),
  /** Both terms of the tangent; f' and f'' may each be a difference of numbers near 1. */
  tangent: ({ Rx, dy, Rdy, Rdx }: Operands, i: number, arena: Floats): number =>
    Math.abs(arena[Rdy + i - Rdx]) + Math.abs(arena[Rx + i - Rdx] * arena[dy + i - Rdx]),
  /** Entries of a matrix whose singular values are near 1. */
  scaled: ({ scale }: Operands): number => Math.max(1, scale),
  /** p − t; but where t is 0 or 1, each loss has a form without the difference. */
  target: ({ t, dz, O, T, scale, overRows, smoothing }: Operands, i: number, arena: Floats, rows: number): number => {
    const target = smoothing > 0 ? 1 : O === T ? Math.abs(arena[t + i - dz]) : 0
    return target === 1 && smoothing === 0 ? 0 : (scale * target) / (overRows ? rows : 1)
  },
} as const

/** What is computed in double and stored once; a sum over rows once a chunk, of which cases have no more than a few. */
const UNIT_ROUNDINGS = 2
const UNIT_BOUND = { roundings: roundings(UNIT_ROUNDINGS), magnitude: 'result' } as const
const SUM_BOUND = { roundings: roundings(8), magnitude: 'result' } as const
/** Sums of chunks are added up in the arena's type: a rounding each, of what they were made from. */
const SUM_OF_TERMS = { roundings: roundings(8), magnitude: 'terms' } as const

const BOUNDS: { readonly [K in OpName]: Bound } = {
  gather: { writes: rowsOf(['x', 'I']), roundings: roundings(2), magnitude: 'result' },
  gatherTargets: { writes: rowsOf(['t', 'T']), roundings: roundings(0), magnitude: 'result' },
  affine: { writes: rowsOf(['y', 'O']), roundings: ({ I }) => I + 1, magnitude: 'terms' },
  affineGradWeights: {
    writes: ({ I, O }) => [
      ['dW', I * O],
      ['db', O],
    ],
    roundings: (_, rows) => rows + 1,
    magnitude: 'terms',
  },
  affineGradInput: { writes: rowsOf(['dx', 'I']), roundings: ({ O }) => O, magnitude: 'terms' },
  activate: { writes: rowsOf(['y', 'O']), roundings: roundingsOfRow, magnitude: 'result' },
  activateGrad: { writes: rowsOf(['dx', 'O']), roundings: roundings(MATH_ROUNDINGS), magnitude: 'dy' },
  affineTangent: { writes: rowsOf(['Ry', 'O']), roundings: ({ I }) => 2 * I + 2, magnitude: 'terms' },
  lossTangent: { writes: rowsOf(['Rdz', 'O']), roundings: roundings(2), magnitude: 'result' },
  activateGradTangent: {
    writes: rowsOf(['Rdx', 'O']),
    roundings: roundings(2 * MATH_ROUNDINGS),
    magnitude: 'tangent',
  },
  affineGradWeightsTangent: {
    writes: ({ I, O }) => [
      ['RdW', I * O],
      ['Rdb', O],
    ],
    roundings: (_, rows) => 2 * rows + 2,
    magnitude: 'terms',
  },
  affineGradInputTangent: { writes: rowsOf(['Rdx', 'I']), roundings: ({ O }) => 2 * O + 1, magnitude: 'terms' },
  mask: { writes: rowsOf(['y', 'O']), roundings: roundings(2), magnitude: 'result' },
  scale: { writes: rowsOf(['y', 'O']), ...UNIT_BOUND },
  scaleGrad: { writes: units(['dg', 'O'], ['db', 'O']), ...SUM_OF_TERMS },
  scaleGradInput: { writes: rowsOf(['dx', 'O']), ...UNIT_BOUND },
  scaleTangent: { writes: rowsOf(['Ry', 'O']), ...UNIT_BOUND },
  scaleGradTangent: { writes: units(['Rdg', 'O'], ['Rdb', 'O']), ...SUM_OF_TERMS },
  scaleGradInputTangent: { writes: rowsOf(['Rdx', 'O']), ...UNIT_BOUND },
  normalizeRows: {
    writes: ({ O }, capacity) => [
      ['y', O * capacity],
      ['s', capacity],
    ],
    ...UNIT_BOUND,
  },
  normalizeRowsGrad: { writes: rowsOf(['dx', 'O']), roundings: roundings(UNIT_ROUNDINGS), magnitude: 'dy' },
  normalizeRowsGradTangent: {
    writes: rowsOf(['Rdx', 'O']),
    roundings: roundings(UNIT_ROUNDINGS),
    magnitude: 'tangent',
  },
  normalizeColumns: {
    writes: ({ O }, capacity) => [
      ['y', O * capacity],
      ['s', O],
      ['mean', O],
      ['variance', O],
    ],
    ...UNIT_BOUND,
  },
  normalizeColumnsGrad: { writes: rowsOf(['dx', 'O']), roundings: roundings(UNIT_ROUNDINGS), magnitude: 'dy' },
  normalizeColumnsGradTangent: {
    writes: rowsOf(['Rdx', 'O']),
    roundings: roundings(UNIT_ROUNDINGS),
    magnitude: 'tangent',
  },
  normalizeBy: { writes: rowsOf(['y', 'O']), ...UNIT_BOUND },
  normalizeByGrad: { writes: rowsOf(['dx', 'O']), ...UNIT_BOUND },
  track: { writes: vectors('to'), ...UNIT_BOUND },
  add: { writes: rowsOf(['y', 'O']), roundings: roundings(1), magnitude: 'result' },
  copyColumn: { writes: rowsOf(['y', 'O']), roundings: roundings(0), magnitude: 'result' },
  embed: { writes: rowsOf(['y', 'O']), roundings: roundings(0), magnitude: 'result' },
  embedGrad: { writes: ({ size, D }) => [['dW', size * D]], roundings: (_, rows) => rows, magnitude: 'terms' },
  prelu: { writes: rowsOf(['y', 'O']), ...UNIT_BOUND },
  preluGrad: { writes: rowsOf(['dx', 'O']), ...UNIT_BOUND },
  preluGradSlope: { writes: units(['da', 'A']), ...SUM_BOUND },
  preluTangent: { writes: rowsOf(['Ry', 'O']), ...UNIT_BOUND },
  preluGradTangent: { writes: rowsOf(['Rdx', 'O']), ...UNIT_BOUND },
  preluGradSlopeTangent: { writes: units(['Rda', 'A']), ...SUM_BOUND },
  loss: { writes: rowsOf(['dz', 'O']), roundings: roundingsOfRow, magnitude: 'target' },
  penalty: { writes: vectors('dw'), roundings: roundings(3), magnitude: 'terms' },
  penaltyL1: { writes: vectors('dw'), roundings: roundings(3), magnitude: 'terms' },
  guard: { writes: () => [], roundings: roundings(0), magnitude: 'result' },
  account: { writes: () => [], roundings: roundings(MATH_ROUNDINGS), magnitude: 'terms' },
  clipNorm: { writes: vectors('g'), roundings: roundings(3), magnitude: 'result' },
  clipValue: { writes: vectors('g'), roundings: roundings(1), magnitude: 'result' },
  coupleDecay: { writes: vectors('g'), roundings: roundings(3), magnitude: 'terms' },
  momentum: { writes: vectors('g', 'm'), roundings: roundings(5), magnitude: 'terms' },
  scaleByAdam: { writes: vectors('g', 'm', 'v'), roundings: roundings(10), magnitude: 'terms' },
  scaleByRms: { writes: vectors('g', 'v'), roundings: roundings(8), magnitude: 'terms' },
  scaleByAdagrad: { writes: vectors('g', 'v'), roundings: roundings(8), magnitude: 'terms' },
  scaleByAmsgrad: { writes: vectors('g', 'm', 'v', 'most'), roundings: roundings(10), magnitude: 'terms' },
  scaleByNadam: { writes: vectors('g', 'm', 'v'), roundings: roundings(12), magnitude: 'terms' },
  signOfMomentum: { writes: vectors('g', 'm'), roundings: roundings(5), magnitude: 'terms' },
  orthogonalize: {
    writes: ({ I, O }) => [
      ['g', I * O],
      ['work', I * O + 2 * Math.min(I, O) ** 2],
    ],
    // Each step makes an error up to 3.4445 times larger, beside those of its three products.
    roundings: ({ I, O, steps }) => 3.4445 ** steps * (I + O + 2 * Math.min(I, O)),
    magnitude: 'scaled',
  },
  average: { writes: vectors('a'), roundings: roundings(4), magnitude: 'terms' },
  decayWeights: { writes: vectors('w'), roundings: roundings(3), magnitude: 'result' },
  descend: { writes: vectors('w'), roundings: roundings(3), magnitude: 'terms' },
}

const UNIT = 2 ** -24
/** Sums are in double. The terms of a loss, none of them negative, may be of float32. */
const REPORT_TOLERANCE = { loss: MATH_ROUNDINGS * UNIT, penalty: 1e-12, gradientNorm: 1e-12 }
/** What is below may be flushed, and is rounded by more than u if it is not. */
const TINY = 2 ** -126
/** Error that a flush may leave: a factor below 2⁻¹²⁶ taken for 0, beside one of at most 2⁷ (silu at −88). */
const FLUSHED = 2 ** -119

// ---------------------------------------------------------------------------------------------------- the comparison

/** The worst of what was compared, as a share of what is allowed and in roundings, and where it was. */
export interface Worst {
  readonly key: string
  readonly share: number
  readonly roundings: number
  readonly says: string
}

/** One instruction as it ought to be, and how far off it may be. */
export class Expectation {
  readonly key: string
  readonly #before: Float32Array
  readonly #exact: Done
  /** From inputs with everything below 2⁻¹²⁶ taken for 0. */
  readonly #flushed: Done
  readonly #roundings: number
  readonly #allowed: Float64Array
  /** What sums may be off by. */
  readonly #sums: Float64Array
  readonly #written: readonly Range[]

  constructor(
    readonly plan: Plan,
    readonly instruction: Instruction,
    readonly arena: Float32Array,
    readonly table: Table,
    readonly steps: Steps,
  ) {
    this.key = opKey(instruction)
    this.#before = arena
    const run = (floats: Float64Array, x = table.x, learningRate = steps.learningRate): Done =>
      runOne(EXACT, plan, instruction, floats, { ...table, x }, { ...steps, learningRate }, this.#written)
    const isSmoothed = /^(bce|crossEntropy)/.test(instruction.row ?? '') && instruction.op === 'loss'
    const smoothing = isSmoothed ? (instruction as unknown as Operands).parameter : 0
    const operands: Operands = { ...(instruction as unknown as Operands), smoothing }
    const bound = BOUNDS[instruction.op]
    this.#written = bound
      .writes(operands, plan.capacity)
      .map(([name, length]) => ({ at: operands[name], length }))
      .filter(({ at }) => at >= 0)
    const doubles = new Float64Array(arena)
    this.#exact = run(doubles)
    this.#flushed = hasTiny(doubles) ? run(mapped(doubles, flush)) : this.#exact
    // What is subtracted from a weight is added to its absolute value.
    const rates = steps.learningRate.map((rate) => -rate)
    const absolute = bound.magnitude === 'terms' ? run(mapped(doubles, Math.abs), table.x, rates) : null
    const made = absolute?.arena ?? doubles
    const k = bound.roundings(operands, steps.batch, instruction.row)
    const gamma = (k * UNIT) / (1 - k * UNIT)
    this.#roundings = k
    this.#sums = (absolute?.report.sums ?? new Float64Array(0)).map((sum) => gamma * sum + FLUSHED)
    this.#allowed = new Float64Array(plan.length)
    const magnitudeOf = MAGNITUDES[bound.magnitude]
    const exact = this.#exact.arena
    for (const { at, length } of this.#written)
      for (let i = at; i < at + length; i++) {
        const magnitude = Math.max(magnitudeOf(operands, i, made, steps.batch), Math.abs(exact[i]))
        this.#allowed[i] = gamma * magnitude + FLUSHED
      }
  }

  /** Compares what a backend did; throws at the first thing that is wrong. */
  check({ arena, report }: Done, flushes: boolean): Worst {
    let worst: Worst = { key: this.key, share: 0, roundings: 0, says: this.key }
    for (const { at, length } of this.#written)
      for (let i = at; i < at + length; i++) {
        const share = this.#shareOf(arena[i], i, flushes)
        if (share <= worst.share) continue
        const says = `${this.key} [${i - at}]: ${arena[i]} for ${this.#exact.arena[i]}`
        if (!(share <= 1)) throw new Error(`${says}, ${share.toPrecision(3)} times what is allowed`)
        worst = { key: this.key, share, roundings: share * this.#roundings, says }
      }
    this.#checkUntouched(arena)
    const fault = this.#reportFault(report, this.#exact.report)
    if (fault && !(flushes && this.#reportFault(report, this.#flushed.report) === ''))
      throw new Error(`${this.key}: ${fault}`)
    return worst
  }

  /** The error as a share of what is allowed; the smaller of two where the backend flushes. */
  #shareOf(ours: number, i: number, flushes: boolean): number {
    const share = shareOf(ours, this.#exact.arena[i], this.#allowed[i])
    return flushes && share > 0 ? Math.min(share, shareOf(ours, this.#flushed.arena[i], this.#allowed[i])) : share
  }

  #reportFault(ours: Report, exact: Report): string {
    const off = ours.sums.findIndex((sum, i) => !(Math.abs(sum - exact.sums[i]) <= this.#sums[i]))
    if (ours.sums.length !== exact.sums.length || off >= 0) return `sums ${ours.sums} for ${exact.sums}`
    return reportFault(ours, exact)
  }

  /** What is not written stays as it was, bit for bit. */
  #checkUntouched(arena: Floats): void {
    let from = 0
    for (const { at, length } of [...this.#written, { at: arena.length, length: 0 }].sort((a, b) => a.at - b.at)) {
      for (let i = from; i < at; i++)
        if (!Object.is(arena[i], this.#before[i])) throw new Error(`${this.key} wrote [${i}], which is none of its own`)
      from = at + length
    }
  }
}

function shareOf(ours: number, exact: number, allowed: number): number {
  const rounded = Math.fround(exact)
  if (Object.is(ours, rounded)) return 0
  return Number.isFinite(ours) && Number.isFinite(rounded) ? Math.abs(ours - exact) / allowed : Number.POSITIVE_INFINITY
}

/** What is wrong with a report; '' if nothing is. */
function reportFault(ours: Report, exact: Report): string {
  if (ours.steps !== exact.steps || ours.stopped !== exact.stopped)
    return `${ours.steps} steps, ${ours.stopped}; not ${exact.steps}, ${exact.stopped}`
  for (const name of ['loss', 'penalty', 'gradientNorm'] as const) {
    const [a, b] = [ours[name], exact[name]]
    const isNear = (v: number, i: number): boolean =>
      Object.is(v, b[i]) || Math.abs(v - b[i]) <= REPORT_TOLERANCE[name] * Math.abs(b[i])
    if (a.length !== b.length || !a.every(isNear)) return `${name} ${a} for ${b}`
  }
  return ''
}

function flush(v: number): number {
  return Math.abs(v) < TINY ? 0 : v
}

/** As `map` of arrays that are long. */
function mapped(values: Float64Array, of: (v: number) => number): Float64Array {
  const result = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) result[i] = of(values[i])
  return result
}

/** Whether a flush would change anything. */
function hasTiny(values: Floats): boolean {
  for (let i = 0; i < values.length; i++) if (flush(values[i]) !== values[i]) return true
  return false
}

/** Whether an instruction changes one of its inputs, so that a second chunk would see what the first left. */
export function isInPlace(instruction: Instruction): boolean {
  const { x, y, dx, dy, Rdx, Rdy } = instruction as unknown as Operands
  if (instruction.op === 'activate' || instruction.op === 'mask' || instruction.op === 'add') return x === y
  const isOfIdentity = instruction.op === 'activateGrad' && ACTIVATIONS.get(instruction.row ?? '')?.isIdentity
  return isOfIdentity === true || (dx !== undefined && dx === dy) || (Rdx !== undefined && Rdx === Rdy)
}
