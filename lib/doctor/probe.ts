/**
 * The probe: what the layers of a network do with rows of data, looked at from outside.
 *
 * It computes a forward pass layer by layer with the rows of ACTIVATIONS, in double, on a few hundred rows: training
 * programs keep no activation for anybody to read. It trains nothing and judges nothing.
 */
import { ACTIVATIONS, type Activation } from '../activations'
import { type Network, tensorIn } from '../network'
import type { Floats, Table } from '../plan/plan'

/** A dense layer as seen on the sample. */
export interface LayerProbe {
  /** Index into model.layers. */
  readonly layer: number
  readonly isOutput: boolean
  readonly activation: string
  readonly inputs: number
  readonly units: number
  /** Root mean square of what comes in, of x·W + b, and of what goes out. */
  readonly rmsIn: number
  readonly rmsPre: number
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

/** Looks at all dense layers with the network's present parameters. */
export function probe(network: Network, table: Table): LayerProbe[] {
  const rows = Math.min(SAMPLE, table.rows)
  const stride = table.rows / rows
  const block = network.parameters
  const gradient = network.gradient(table).gradient
  let width = table.columns
  let values = new Float64Array(rows * width)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < width; c++) values[r * width + c] = table.x[Math.floor(r * stride) * width + c] * table.scale
  const found: LayerProbe[] = []
  for (const [layer, spec] of network.model.layers.entries()) {
    if (spec.kind !== 'dense') continue
    const tensors = network.layout.tensors.filter((tensor) => tensor.layer === layer)
    const weights = tensors.find((tensor) => tensor.spec.name === 'weights')!
    const bias = tensors.find((tensor) => tensor.spec.name === 'bias')
    const W = tensorIn(block, weights)
    const O = spec.units
    const pre = affine(values, W, bias ? tensorIn(block, bias) : null, rows, width, O)
    const row = ACTIVATIONS.get(spec.activation) as Activation
    const post = pre.slice()
    row.forward(pre, post, rows, O)
    const slope = new Float64Array(rows * O)
    const isRowwise = spec.activation === 'softmax'
    if (!isRowwise)
      row.backward(row.keeps === 'output' ? post : pre, new Float64Array(rows * O).fill(1), slope, rows, O)
    const steepest = slopeOf(row, 0)
    found.push({
      layer,
      isOutput: layer === network.model.layers.length - 1,
      activation: spec.activation,
      inputs: width,
      units: O,
      rmsIn: rms(values),
      rmsPre: rms(pre),
      rms: rms(post),
      saturated: isBounded(row) ? shareOf(slope, (s) => Math.abs(s) < FLAT * steepest) : 0,
      dead: isRowwise ? 0 : deadShare(slope, rows, O),
      gain: rms(W) * Math.sqrt(width),
      isOneSigned: W.length >= SIGNED && (W.every((w) => w >= 0) || W.every((w) => w <= 0)) && rms(W) > 0 && !isFlat(W),
      isConstant: O > 1 && sameColumns(W, width, O),
      isConstantIn: sameRows(W, width, O),
      hasBias: bias !== undefined,
      gradient: rms(tensorIn(gradient, weights)),
    })
    values = post
    width = O
  }
  return found
}

function affine(x: Float64Array, W: Floats, b: Floats | null, rows: number, I: number, O: number): Float64Array {
  const y = new Float64Array(rows * O)
  for (let r = 0; r < rows; r++)
    for (let i = 0; i < I; i++) {
      const xi = x[r * I + i]
      if (xi !== 0) for (let o = 0; o < O; o++) y[r * O + o] += xi * W[i * O + o]
    }
  if (b) for (let i = 0; i < y.length; i++) y[i] += b[i % O]
  return y
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
