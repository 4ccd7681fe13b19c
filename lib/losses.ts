/**
 * Losses: two tables. KERNELS are the functions that backends compute, with their gradients; LOSSES are the names users
 * say, each of which chooses a kernel by what the output layer yields. Definitions are PyTorch's unless said otherwise.
 *
 * A loss with a *link* is computed on logits when the output activation is that link, so that log(0) cannot happen:
 * sigmoid with binaryCrossEntropy, softmax with crossEntropy. Any other pair applies the activation, then the loss.
 */
import { ACTIVATIONS, largestOf } from './activations'
import { expected, refuseUnknown } from './errors'
import { checkName } from './names'
import type { Floats } from './plan/plan'

// ---------------------------------------------------------------------------------------------------- kernels

export interface LossKernel {
  readonly name: string
  readonly synopsis: string
  /** The |z − t| at which the slope, or the slope of the slope, jumps: finite differences must not step over one. */
  kink?(parameter: number): number
  /** s·Σ l(z, t) over `rows` rows of O outputs and T target columns; writes dz = s·∂l/∂z where wanted. */
  compute(
    z: Floats,
    t: Floats,
    dz: Floats | null,
    rows: number,
    O: number,
    T: number,
    s: number,
    parameter: number,
  ): number
  /** Rdz = s·(∂²l/∂z²)·Rz: the tangent of dz. */
  tangent(
    z: Floats,
    t: Floats,
    Rz: Floats,
    Rdz: Floats,
    rows: number,
    O: number,
    T: number,
    s: number,
    parameter: number,
  ): void
}

/** A kernel from a scalar loss and its two derivatives in z; O targets a row. */
function elementwise(
  name: string,
  synopsis: string,
  l: (z: number, t: number, parameter: number) => number,
  dl: (z: number, t: number, parameter: number) => number,
  d2l: (z: number, t: number, parameter: number) => number,
  kink?: (parameter: number) => number,
): LossKernel {
  return {
    name,
    synopsis,
    ...(kink && { kink }),
    compute(z, t, dz, rows, O, _T, s, parameter) {
      let sum = 0
      for (let i = 0; i < rows * O; i++) sum += l(z[i], t[i], parameter)
      if (dz) for (let i = 0; i < rows * O; i++) dz[i] = s * dl(z[i], t[i], parameter)
      return s * sum
    },
    tangent(z, t, Rz, Rdz, rows, O, _T, s, parameter) {
      for (let i = 0; i < rows * O; i++) Rdz[i] = s * d2l(z[i], t[i], parameter) * Rz[i]
    },
  }
}

/** The target of class o in row r: a probability, or 1 and 0 by index where one column holds class numbers. */
function targetOf(t: Floats, r: number, o: number, O: number, T: number): number {
  return T === O ? t[r * O + o] : t[r] === o ? 1 : 0
}

const crossEntropyLogits: LossKernel = {
  name: 'crossEntropyLogits',
  synopsis: 'l = −Σ t·(z − log Σ e^z)',
  compute(z, t, dz, rows, O, T, s) {
    let sum = 0
    for (let r = 0; r < rows; r++) {
      const from = r * O
      const largest = largestOf(z, from, from + O)
      let total = 0
      for (let o = 0; o < O; o++) total += Math.exp(z[from + o] - largest)
      const logTotal = largest + Math.log(total)
      let mass = 0
      for (let o = 0; o < O; o++) {
        const target = targetOf(t, r, o, O, T)
        mass += target
        if (target !== 0) sum += target * (logTotal - z[from + o])
      }
      if (dz)
        for (let o = 0; o < O; o++)
          dz[from + o] = s * (mass * Math.exp(z[from + o] - logTotal) - targetOf(t, r, o, O, T))
    }
    return s * sum
  },
  // With p the softmax of z: the mass of the targets times p ⊙ (Rz − Σ p·Rz).
  tangent(z, t, Rz, Rdz, rows, O, T, s) {
    for (let r = 0; r < rows; r++) {
      const from = r * O
      const largest = largestOf(z, from, from + O)
      let total = 0
      let dot = 0
      let mass = 0
      for (let o = 0; o < O; o++) {
        const e = Math.exp(z[from + o] - largest)
        total += e
        dot += e * Rz[from + o]
        mass += targetOf(t, r, o, O, T)
      }
      for (let o = 0; o < O; o++) {
        const p = Math.exp(z[from + o] - largest) / total
        Rdz[from + o] = s * mass * p * (Rz[from + o] - dot / total)
      }
    }
  },
}

const crossEntropyProbabilities: LossKernel = {
  name: 'crossEntropyProbabilities',
  synopsis: 'l = −Σ t·log p, unclipped',
  compute(p, t, dp, rows, O, T, s) {
    let sum = 0
    for (let r = 0; r < rows; r++)
      for (let o = 0; o < O; o++) {
        const target = targetOf(t, r, o, O, T)
        if (target !== 0) sum -= target * Math.log(p[r * O + o])
        if (dp) dp[r * O + o] = target !== 0 ? (-s * target) / p[r * O + o] : 0
      }
    return s * sum
  },
  tangent(p, t, Rp, Rdp, rows, O, T, s) {
    for (let r = 0; r < rows; r++)
      for (let o = 0; o < O; o++) {
        const i = r * O + o
        const target = targetOf(t, r, o, O, T)
        Rdp[i] = target !== 0 ? ((s * target) / (p[i] * p[i])) * Rp[i] : 0
      }
  },
}

const KERNEL_ROWS: readonly LossKernel[] = [
  elementwise(
    'mse',
    'l = (z − t)²',
    (z, t) => (z - t) * (z - t),
    (z, t) => 2 * (z - t),
    () => 2,
  ),
  elementwise(
    'mae',
    'l = |z − t|, with slope 0 at 0',
    (z, t) => Math.abs(z - t),
    (z, t) => Math.sign(z - t),
    () => 0,
    () => 0,
  ),
  elementwise(
    'huber',
    'l = |z − t| ≤ δ ? ½(z − t)² : δ·(|z − t| − ½δ)',
    (z, t, delta) => {
      const e = Math.abs(z - t)
      return e <= delta ? 0.5 * e * e : delta * (e - 0.5 * delta)
    },
    (z, t, delta) => {
      const e = z - t
      return Math.max(-delta, Math.min(delta, e))
    },
    (z, t, delta) => (Math.abs(z - t) <= delta ? 1 : 0),
    (delta) => delta,
  ),
  elementwise(
    'bceLogits',
    'l = max(z, 0) − z·t + log(1 + e^−|z|)',
    (z, t) => Math.max(z, 0) - z * t + Math.log1p(Math.exp(-Math.abs(z))),
    // sigmoid(z) − t from the smaller share, sigmoid(−|z|): where t is 1, nothing is lost to the 1.
    (z, t) => {
      const q = 1 / (1 + Math.exp(Math.abs(z)))
      return z > 0 ? 1 - t - q : q - t
    },
    (z) => 1 / (1 + Math.exp(-z)) / (1 + Math.exp(z)),
  ),
  // 0·log 0 is NaN here as in the question's own code: hiding it would hide the disease.
  elementwise(
    'bceProbabilities',
    'l = −(t·log p + (1 − t)·log(1 − p)), unclipped',
    (p, t) => -(t * Math.log(p) + (1 - t) * Math.log(1 - p)),
    (p, t) => (p - t) / (p * (1 - p)),
    (p, t) => t / (p * p) + (1 - t) / ((1 - p) * (1 - p)),
  ),
  crossEntropyLogits,
  crossEntropyProbabilities,
]

/** All kernels by name. */
export const LOSS_KERNELS: ReadonlyMap<string, LossKernel> = new Map(KERNEL_ROWS.map((row) => [row.name, row]))

// ---------------------------------------------------------------------------------------------------- names

export type LossName = 'binaryCrossEntropy' | 'crossEntropy' | 'mse' | 'mae' | 'huber'

/** A loss with its options filled in. */
export interface LossSpec {
  readonly kind: LossName
  readonly reduction: 'mean' | 'sum'
  readonly scale: number
  /** What the output layer's values are taken for; left out, its activation decides. */
  readonly from?: 'logits' | 'probabilities'
  /** Of huber. */
  readonly delta?: number
}

/** One loss as users name it. */
export interface Loss {
  readonly name: LossName
  readonly synopsis: string
  /** The output activation with which it runs on logits. */
  readonly link?: 'sigmoid' | 'softmax'
  /** Its kernels; the same one twice where the distinction means nothing. */
  readonly logits: string
  readonly probabilities: string
  /** What 'mean' divides by. */
  readonly meanOver: 'elements' | 'rows'
  /** Whether class targets are given as indices or as one column a class. */
  readonly classTargets: 'index' | 'dense'
  /** The task it says, if it says one. */
  readonly task?: 'binary' | 'multiclass' | 'regression'
  /** Its options beside reduction and scale. */
  readonly options: readonly string[]
}

const LOSS_ROWS: readonly Loss[] = [
  {
    name: 'mse',
    synopsis: 'squared error',
    logits: 'mse',
    probabilities: 'mse',
    meanOver: 'elements',
    classTargets: 'dense',
    options: [],
  },
  {
    name: 'mae',
    synopsis: 'absolute error',
    logits: 'mae',
    probabilities: 'mae',
    meanOver: 'elements',
    classTargets: 'dense',
    options: [],
  },
  {
    name: 'huber',
    synopsis: 'squared error within delta, absolute beyond',
    logits: 'huber',
    probabilities: 'huber',
    meanOver: 'elements',
    classTargets: 'dense',
    options: ['delta'],
  },
  {
    name: 'binaryCrossEntropy',
    synopsis: 'log loss of each output against 0 or 1',
    link: 'sigmoid',
    logits: 'bceLogits',
    probabilities: 'bceProbabilities',
    meanOver: 'elements',
    classTargets: 'dense',
    task: 'binary',
    options: ['from'],
  },
  {
    name: 'crossEntropy',
    synopsis: 'log loss of the right class',
    link: 'softmax',
    logits: 'crossEntropyLogits',
    probabilities: 'crossEntropyProbabilities',
    meanOver: 'rows',
    classTargets: 'index',
    task: 'multiclass',
    options: ['from'],
  },
]

/** All losses by name. */
export const LOSSES: ReadonlyMap<LossName, Loss> = new Map(LOSS_ROWS.map((row) => [row.name, row]))

/** The row of a loss. */
export function lossRow(spec: LossSpec): Loss {
  return LOSSES.get(spec.kind) as Loss
}

/** How a loss meets an output activation: the kernel, and whether it takes the place of the activation. */
export interface LossSite {
  readonly kernel: string
  /** The kernel works on logits; the activation is not applied before it. */
  readonly fused: boolean
  /** Constant in front of the sum, the mean over outputs in it; `overRows`: to be divided by the rows of a batch. */
  readonly scale: (outputs: number) => number
  readonly overRows: boolean
  readonly parameter: number
}

export function placeLoss(spec: LossSpec, activation: string): LossSite {
  const row = lossRow(spec)
  const linked = row.link === activation
  const isProbability = ACTIVATIONS.get(activation)?.isProbability === true
  const from = spec.from ?? (linked || !isProbability ? 'logits' : 'probabilities')
  const perElement = spec.reduction === 'mean' && row.meanOver === 'elements'
  return {
    kernel: row[from],
    fused: linked && from === 'logits',
    scale: (outputs) => (perElement ? spec.scale / outputs : spec.scale),
    overRows: spec.reduction === 'mean',
    parameter: spec.delta ?? 0,
  }
}

// ---------------------------------------------------------------------------------------------------- factories

interface CommonOptions {
  /** 'mean' over rows × outputs (crossEntropy: over rows), or 'sum' of the same terms. @default 'mean' */
  reduction?: 'mean' | 'sum'
  /** Multiplies the loss, > 0; ½·mse is `scale: 0.5`. @default 1 */
  scale?: number
}
interface FromOption {
  /**
   * What the output's values are taken for. By default logits, unless the activation yields probabilities and is not
   * this loss's own link. 'probabilities' takes their logarithm unclipped. @default by the output activation
   */
  from?: 'logits' | 'probabilities'
}

export type LossOptions = CommonOptions & FromOption & { delta?: number }

/**
 * A checked loss from a name or from what a factory returned.
 * @throws ERR_OPTION for an unknown name or a bad option
 */
export function readLoss(value: unknown): LossSpec {
  if (typeof value === 'string') return make(checkName(value, [...LOSSES.keys()], 'loss'), {})
  if (typeof value === 'object' && value !== null && 'kind' in value) {
    const { kind, ...options } = value as { kind: unknown }
    return make(checkName(kind, [...LOSSES.keys()], 'loss'), options)
  }
  throw expected('a loss such as "mse" or mse({ … })', 'loss', value)
}

function make(kind: LossName, options: LossOptions): LossSpec {
  const row = LOSSES.get(kind) as Loss
  refuseUnknown(options, ['reduction', 'scale', ...row.options], kind)
  const { reduction = 'mean', scale = 1, from, delta = 1 } = options
  checkName(reduction, ['mean', 'sum'], `reduction of ${kind}`)
  if (!(typeof scale === 'number' && scale > 0 && Number.isFinite(scale)))
    throw expected('a positive number', `scale of ${kind}`, scale)
  if (from !== undefined) checkName(from, ['logits', 'probabilities'], `from of ${kind}`)
  if (!row.options.includes('delta')) return { kind, reduction, scale, ...(from && { from }) }
  if (!(typeof delta === 'number' && delta > 0 && Number.isFinite(delta)))
    throw expected('a positive number', `delta of ${kind}`, delta)
  return { kind, reduction, scale, delta }
}

/** Mean or sum of (z − t)². */
export const mse = (options: CommonOptions = {}): LossSpec => make('mse', options)
/** Mean or sum of |z − t|. */
export const mae = (options: CommonOptions = {}): LossSpec => make('mae', options)
/** ½e² where |e| ≤ delta, delta·(|e| − ½delta) beyond; delta > 0, default 1. */
export const huber = (options: CommonOptions & { delta?: number } = {}): LossSpec => make('huber', options)
/** −(t·log p + (1 − t)·log(1 − p)). */
export const binaryCrossEntropy = (options: CommonOptions & FromOption = {}): LossSpec =>
  make('binaryCrossEntropy', options)
/** −log of the right class's probability; targets are class indices or one probability a class. */
export const crossEntropy = (options: CommonOptions & FromOption = {}): LossSpec => make('crossEntropy', options)
