/**
 * The probe: what the layers of a network do with rows of data, looked at from outside.
 *
 * A forward pass without masks, in double, on a few hundred rows, read out of the arena of the engine that ran it. It
 * trains nothing and judges nothing.
 */
import { ACTIVATIONS, type Activation } from '../activations'
import { type Network, tensorIn } from '../network'
import type { PlacedLayer } from '../plan/layout'
import type { Floats, Instruction, Program, Table } from '../plan/plan'
import { evaluation } from '../train/slices'
import { appliedTo } from './activity'

/** A dense layer as seen on the sample. */
export interface LayerProbe {
  /** Index into layout.layers. */
  readonly layer: number
  readonly isOutput: boolean
  /** Rows of the sample. */
  readonly rows: number
  readonly activation: string
  /** Something that is not linear stands between its sums and the next layer's. */
  readonly isBent: boolean
  readonly inputs: number
  readonly units: number
  /** Root mean square of what comes in and of what goes out. */
  readonly rmsIn: number
  readonly rms: number
  /**
   * Share of values so near the end of the activation's range that its slope is below 0.02 (tanh: |y| > 0.99); 0 where it has
   * no two ends.
   */
  readonly saturated: number
  /** Share of units that pass no gradient on any row of the sample. */
  readonly dead: number
  /** Root mean square of the weights × √fan-in: 1 keeps the scale of what comes in. */
  readonly gain: number
  /** Every weight has the same sign, and they are not all equal. */
  readonly isOneSigned: boolean
  /** All units have the same weights, so that they compute the same. */
  readonly isConstant: boolean
  /** All inputs have the same weights, so that equal ones stay equal. */
  readonly isConstantIn: boolean
  readonly hasBias: boolean
  /** Norm of the gradient of the weights, over the root of their number. */
  readonly gradient: number
}

const SAMPLE = 256
/** Of tanh at |y| = 0.99; of a sigmoid the same share of its largest slope, 1/4. */
const FLAT = 0.02
/** Fewer weights of one sign are no pattern: 2⁻¹⁵ by chance. */
const SIGNED = 16

/** What an engine holds of a layer after a pass: its inputs, its outputs, and what its f' is computed from. */
interface Held {
  readonly activation: string
  /** Something that is not linear stands between this layer's sums and the next one's. */
  readonly isBent: boolean
  /** A shift of every unit does, which a bias would only repeat. */
  readonly isShifted: boolean
  readonly x: Floats
  readonly y: Floats
  readonly kept: Floats
}

/** Looks at all dense layers with the network's present parameters. */
export function probe(network: Network, table: Table): LayerProbe[] {
  const { gradient } = network.gradient(table)
  const exact = network.copy({ dtype: 'float64' })
  try {
    return probeAll(exact, spread(table), gradient)
  } finally {
    exact.close()
  }
}

/** At most SAMPLE rows of a table, evenly from all of it. */
function spread({ x, rows: all, columns, scale }: Table): Table {
  const rows = Math.min(SAMPLE, all)
  const some = new Float64Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    const from = Math.floor((r * all) / rows) * columns
    for (let c = 0; c < columns; c++) some[r * columns + c] = x[from + c] * scale
  }
  return { rows, columns, x: some, scale: 1, targets: 0, y: null }
}

function probeAll(exact: Network, sample: Table, gradient: Floats): LayerProbe[] {
  const block = exact.parameters
  const plan = exact.plan(['predict'], sample.rows, 0)
  const { chunk } = plan.programs.predict as Program
  const engine = exact.load(plan)
  const data = engine.bind(sample)
  try {
    engine.run(evaluation(data, 'predict'))
    const read = (at: number, columns: number): Floats => engine.read({ at, length: sample.rows * columns })
    const found = exact.layout.layers.flatMap((placed, layer) => {
      const i = chunk.findIndex((at) => at.op === 'affine' && placed.tensors.some((tensor) => tensor.at === at.W))
      return i < 0 ? [] : [{ layer, ...look(placed, heldAt(chunk, i, read), sample.rows, block, gradient) }]
    })
    // What stands behind it, an activation or a norm, has no units of its own.
    return found.map((at, i) => ({ ...at, isOutput: i === found.length - 1 }))
  } finally {
    data.release()
    engine.close()
  }
}

function heldAt(chunk: readonly Instruction[], i: number, read: (at: number, columns: number) => Floats): Held {
  const affine = chunk[i]
  if (affine.op !== 'affine') throw new Error('no product')
  const applied = appliedTo(chunk, i)
  const y = read(applied?.y ?? affine.y, affine.O)
  const isOfInput = applied && ACTIVATIONS.get(applied.row ?? '')?.keeps === 'input'
  const next = chunk.findIndex(({ op }, at) => at > i && op === 'affine')
  const between = chunk.slice(i + 1, next < 0 ? chunk.length : next)
  const isBent = between.some(({ op }) => !LINEAR.has(op))
  const isShifted = between.some(({ op }) => op === 'scale')
  const activation = applied?.row ?? 'linear'
  return {
    activation,
    isBent,
    isShifted,
    x: read(affine.x, affine.I),
    y,
    kept: isOfInput ? read(applied.x, affine.O) : y,
  }
}

/** What is linear in what is given to it, and makes no sum with what is not. */
const LINEAR = new Set(['gather', 'gatherTargets', 'affine', 'mask', 'scale', 'normalizeBy', 'copyColumn', 'embed'])

function look(
  placed: PlacedLayer,
  { activation, isBent, isShifted, x, y, kept }: Held,
  rows: number,
  block: Floats,
  gradient: Floats,
): Omit<LayerProbe, 'layer' | 'isOutput'> {
  const { inputs: I, outputs: O, tensors } = placed
  const row = ACTIVATIONS.get(activation) as Activation
  const [weights, bias] = (['weights', 'bias'] as const).map((name) => tensors.find(({ spec }) => spec.name === name))
  const W = weights ? tensorIn(block, weights) : new Float64Array(0)
  const slope = new Float64Array(rows * O)
  const isRowwise = activation === 'softmax'
  if (!isRowwise) row.backward(kept, new Float64Array(rows * O).fill(1), slope, rows, O)
  const steepest = slopeOf(row, 0)
  return {
    activation,
    rows,
    isBent,
    inputs: I,
    units: O,
    rmsIn: rms(x),
    rms: rms(y),
    saturated: isBounded(row) ? shareOf(slope, (s) => Math.abs(s) < FLAT * steepest) : 0,
    dead: isRowwise ? 0 : deadShare(slope, rows, O),
    gain: rms(W) * Math.sqrt(I),
    isOneSigned: W.length >= SIGNED && (W.every((w) => w >= 0) || W.every((w) => w <= 0)) && rms(W) > 0 && !isFlat(W),
    isConstant: O > 1 && sameColumns(W, I, O),
    isConstantIn: sameRows(W, I, O),
    hasBias: bias !== undefined || isShifted,
    gradient: weights ? rms(tensorIn(gradient, weights)) : 0,
  }
}

/** Its values lie between two ends, at both of which it is flat. */
function isBounded(row: Activation): boolean {
  const ends = Float64Array.of(-1e3, 1e3)
  row.forward(ends, ends, 2, 1)
  return row.name !== 'softmax' && Math.abs(ends[0]) < 2 && Math.abs(ends[1]) < 2
}

/** The slope of an elementwise activation just above x: 1 for relu at 0. */
function slopeOf(row: Activation, x: number): number {
  const at = Float64Array.of(x + 1e-9)
  const y = at.slice()
  row.forward(at, y, 1, 1)
  const slope = new Float64Array(1)
  row.backward(row.keeps === 'output' ? y : at, Float64Array.of(1), slope, 1, 1)
  return Math.max(Math.abs(slope[0]), Number.MIN_VALUE)
}

function deadShare(slope: Float64Array, rows: number, O: number): number {
  let dead = 0
  for (let o = 0; o < O; o++) {
    let isDead = true
    for (let r = 0; r < rows && isDead; r++) isDead = slope[r * O + o] === 0
    if (isDead) dead++
  }
  return dead / O
}

function sameColumns(W: Floats, I: number, O: number): boolean {
  for (let i = 0; i < I; i++) for (let o = 1; o < O; o++) if (W[i * O + o] !== W[i * O]) return false
  return true
}

function sameRows(W: Floats, I: number, O: number): boolean {
  for (let i = 1; i < I; i++) for (let o = 0; o < O; o++) if (W[i * O + o] !== W[o]) return false
  return true
}

const isFlat = (W: Floats): boolean => W.every((w) => w === W[0])

function shareOf(values: Float64Array, holds: (value: number) => boolean): number {
  let count = 0
  for (const value of values) if (holds(value)) count++
  return count / values.length
}

export function rms(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i]
  return Math.sqrt(sum / values.length)
}
