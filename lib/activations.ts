/**
 * Activations: a table with rows. A row here is right everywhere; a row in native/activations.h makes it fast.
 *
 * Definitions and constants are PyTorch's. Sorted by increasing complexity; softmax comes last because it is the one
 * that looks at a whole row.
 */
import { erfc } from './erf'
import type { Floats } from './plan/plan'

export interface Activation {
  readonly name: string
  readonly synopsis: string
  /**
   * What the derivative is computed from. Where the output is enough, the output overwrites the input, and `forward`
   * and `backward` are given the same array for both.
   */
  readonly keeps: 'output' | 'input'
  /** Values lie in [0, 1] and are read as probabilities by a loss that needs them. */
  readonly isProbability?: true
  /** Not worth an instruction. */
  readonly isIdentity?: true
  /**
   * Inputs at which the slope, or the slope of the slope, jumps: finite differences must not step over one. Only rows
   * that never fall have any, so that the side of a kink can be told from the output too.
   */
  readonly kinks?: readonly number[]
  /** Where a unit hardly passes a gradient on. */
  readonly saturated?: Region
  /** Where it passes none: a unit that is there on all samples is dead. */
  readonly dead?: Region
  /** y = f(x), `rows` × `width`; y may be x. */
  forward(x: Floats, y: Floats, rows: number, width: number): void
  /** dx = dy ⊙ f'(v), with v the x or y named by `keeps`; dx may be dy. */
  backward(v: Floats, dy: Floats, dx: Floats, rows: number, width: number): void
  /** Rdx = f'(v) ⊙ Rdy + f''(v) ⊙ Rx ⊙ dy, the tangent of `backward`; Rdx may be Rdy. */
  backwardTangent(v: Floats, Rx: Floats, dy: Floats, Rdy: Floats, Rdx: Floats, rows: number, width: number): void
}

/** A region of an activation's values, told by the value that the row keeps. */
export interface Region {
  readonly says: string
  holds(v: number): boolean
}

type Traits = Partial<Pick<Activation, 'isProbability' | 'isIdentity' | 'kinks' | 'saturated' | 'dead'>>

/** A row from a scalar function and its two derivatives as functions of what the row keeps. */
function elementwise(
  name: string,
  synopsis: string,
  keeps: 'output' | 'input',
  f: (x: number) => number,
  df: (v: number) => number,
  d2f: (v: number) => number,
  traits: Traits = {},
): Activation {
  return {
    name,
    synopsis,
    keeps,
    ...traits,
    forward(x, y, rows, width) {
      for (let i = 0; i < rows * width; i++) y[i] = f(x[i])
    },
    backward(v, dy, dx, rows, width) {
      for (let i = 0; i < rows * width; i++) dx[i] = dy[i] * df(v[i])
    },
    backwardTangent(v, Rx, dy, Rdy, Rdx, rows, width) {
      for (let i = 0; i < rows * width; i++) Rdx[i] = Rdy[i] * df(v[i]) + Rx[i] * dy[i] * d2f(v[i])
    },
  }
}

const LEAK = 0.01
const SELU_SCALE = 1.0507009873554805 // Klambauer et al. 2017, appendix A, to double
const SELU_ALPHA = 1.6732632423543772
const SOFTPLUS_LINEAR = 20 // above, log(1 + e^x) is x to double precision

const logistic = (x: number): number => 1 / (1 + Math.exp(-x))
const normalCdf = (x: number): number => 0.5 * erfc(-x * Math.SQRT1_2)
const normalPdf = (x: number): number => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)

/** The largest entry of a row, by which exponentials are shifted so that they cannot overflow; NaN if any entry is. */
export function largestOf(x: Floats, from: number, to: number): number {
  let largest = Number.NEGATIVE_INFINITY
  for (let i = from; i < to; i++) largest = Math.max(largest, x[i])
  return largest
}

const softmax: Activation = {
  name: 'softmax',
  synopsis: 'y = e^x / Σ e^x over each row',
  keeps: 'output',
  isProbability: true,
  forward(x, y, rows, width) {
    for (let r = 0; r < rows; r++) {
      const from = r * width
      const to = from + width
      const largest = largestOf(x, from, to)
      let sum = 0
      for (let i = from; i < to; i++) sum += Math.exp(x[i] - largest)
      for (let i = from; i < to; i++) y[i] = Math.exp(x[i] - largest) / sum
    }
  },
  backward(y, dy, dx, rows, width) {
    for (let r = 0; r < rows; r++) {
      const from = r * width
      const to = from + width
      let dot = 0
      for (let i = from; i < to; i++) dot += dy[i] * y[i]
      for (let i = from; i < to; i++) dx[i] = y[i] * (dy[i] - dot)
    }
  },
  // The Jacobian is symmetric, so that Ry comes from Rx as dx from dy.
  backwardTangent(y, Rx, dy, Rdy, Rdx, rows, width) {
    for (let r = 0; r < rows; r++) {
      const from = r * width
      const to = from + width
      let mean = 0
      let dot = 0
      for (let i = from; i < to; i++) {
        mean += y[i] * Rx[i]
        dot += y[i] * dy[i]
      }
      let Rdot = 0
      for (let i = from; i < to; i++) Rdot += y[i] * ((Rx[i] - mean) * dy[i] + Rdy[i])
      for (let i = from; i < to; i++) Rdx[i] = y[i] * ((Rx[i] - mean) * (dy[i] - dot) + Rdy[i] - Rdot)
    }
  },
}

const ROWS: readonly Activation[] = [
  elementwise(
    'linear',
    'y = x',
    'output',
    (x) => x,
    () => 1,
    () => 0,
    { isIdentity: true },
  ),
  // Written so that NaN stays NaN, and with slope 0 at 0.
  elementwise(
    'relu',
    'y = max(0, x)',
    'output',
    (x) => Math.max(0, x),
    (y) => (y <= 0 ? 0 : 1),
    () => 0,
    { kinks: [0], dead: { says: 'y = 0', holds: (y) => y === 0 } },
  ),
  elementwise(
    'leakyRelu',
    `y = x > 0 ? x : ${LEAK}·x`,
    'output',
    (x) => (x > 0 ? x : LEAK * x),
    (y) => (y > 0 ? 1 : LEAK),
    () => 0,
    { kinks: [0] },
  ),
  elementwise(
    'elu',
    'y = x > 0 ? x : e^x − 1',
    'output',
    (x) => (x > 0 ? x : Math.expm1(x)),
    (y) => (y > 0 ? 1 : y + 1),
    (y) => (y > 0 ? 0 : y + 1),
    { kinks: [0], saturated: { says: 'y < −0.99', holds: (y) => y < -0.99 } },
  ),
  elementwise(
    'selu',
    'y = s·(x > 0 ? x : α·(e^x − 1))',
    'output',
    (x) => SELU_SCALE * (x > 0 ? x : SELU_ALPHA * Math.expm1(x)),
    (y) => (y > 0 ? SELU_SCALE : y + SELU_SCALE * SELU_ALPHA),
    (y) => (y > 0 ? 0 : y + SELU_SCALE * SELU_ALPHA),
    { kinks: [0], saturated: { says: 'y < −0.99·s·α', holds: (y) => y < -0.99 * SELU_SCALE * SELU_ALPHA } },
  ),
  elementwise(
    'sigmoid',
    'y = 1 / (1 + e^−x)',
    'output',
    logistic,
    (y) => y * (1 - y),
    (y) => y * (1 - y) * (1 - 2 * y),
    { isProbability: true, saturated: { says: '|y − ½| > 0.49', holds: (y) => Math.abs(y - 0.5) > 0.49 } },
  ),
  elementwise(
    'tanh',
    'y = tanh x',
    'output',
    Math.tanh,
    (y) => 1 - y * y,
    (y) => -2 * y * (1 - y * y),
    { saturated: { says: '|y| > 0.99', holds: (y) => Math.abs(y) > 0.99 } },
  ),
  elementwise(
    'softplus',
    'y = log(1 + e^x)',
    'output',
    (x) => (x > SOFTPLUS_LINEAR ? x : Math.log1p(Math.exp(x))),
    (y) => (y > SOFTPLUS_LINEAR ? 1 : -Math.expm1(-y)),
    (y) => (y > SOFTPLUS_LINEAR ? 0 : -Math.expm1(-y) * Math.exp(-y)),
  ),
  elementwise(
    'silu',
    'y = x·sigmoid(x)',
    'input',
    (x) => x * logistic(x),
    (x) => logistic(x) * (1 + x * logistic(-x)),
    (x) => logistic(x) * logistic(-x) * (2 + x * (logistic(-x) - logistic(x))),
  ),
  elementwise(
    'gelu',
    'y = x·Φ(x), exact',
    'input',
    (x) => x * normalCdf(x),
    (x) => normalCdf(x) + x * normalPdf(x),
    (x) => 2 * normalPdf(x) - x * (x * normalPdf(x)), // so bracketed, no x² overflows
  ),
  softmax,
]

/** All activations by name. */
export const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map(ROWS.map((row) => [row.name, row]))

export type ActivationName =
  | 'linear'
  | 'relu'
  | 'leakyRelu'
  | 'elu'
  | 'selu'
  | 'gelu'
  | 'silu'
  | 'softplus'
  | 'tanh'
  | 'sigmoid'
  | 'softmax'
