/**
 * Loss kernels: the functions of outputs and targets that backends compute, with their gradients and the tangents of
 * those. Which loss uses which kernel is losses.ts. Definitions are PyTorch's unless said otherwise, in double; nothing
 * is clipped: log 0 is −∞, as a symptom should be. Each has its twin in native/losses.cc.
 */
import { largestOf } from './activations'
import type { Floats } from './plan/plan'

/** Constants of a kernel, two at most; 0 where it has none. */
export interface KernelConstants {
  readonly parameter: number
  readonly second: number
}

export interface LossKernel {
  readonly name: string
  readonly synopsis: string
  /** Values of z, for a target, where the slope or the slope of the slope jumps: differences must not step over one. */
  kinks?(t: number, constants: KernelConstants): readonly number[]
  /** s·Σ l(z, t) over `rows` rows of O outputs and T target columns; writes dz = s·∂l/∂z where wanted. */
  compute(
    z: Floats,
    t: Floats,
    dz: Floats | null,
    rows: number,
    O: number,
    T: number,
    s: number,
    constants: KernelConstants,
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
    constants: KernelConstants,
  ): void
}

// ---------------------------------------------------------------------------------------------------- elementwise

/** Of z, t, and the constants. */
type Scalar = (z: number, t: number, parameter: number, second: number) => number

/** A kernel from a scalar loss and its two derivatives in z; O targets a row. */
function elementwise(
  name: string,
  synopsis: string,
  l: Scalar,
  dl: Scalar,
  d2l: Scalar,
  kinks?: LossKernel['kinks'],
): LossKernel {
  return {
    name,
    synopsis,
    ...(kinks && { kinks }),
    compute(z, t, dz, rows, O, _T, s, { parameter, second }) {
      let sum = 0
      for (let i = 0; i < rows * O; i++) sum += l(z[i], t[i], parameter, second)
      if (dz) for (let i = 0; i < rows * O; i++) dz[i] = s * dl(z[i], t[i], parameter, second)
      return s * sum
    },
    tangent(z, t, Rz, Rdz, rows, O, _T, s, { parameter, second }) {
      for (let i = 0; i < rows * O; i++) Rdz[i] = s * d2l(z[i], t[i], parameter, second) * Rz[i]
    },
  }
}

/** c·x^k, and 0 where c is, whatever x^k may be. */
function times(c: number, x: number, k: number): number {
  return c === 0 ? 0 : c * x ** k
}

/** 0 and 1 drawn towards ½ by the share ε. */
function smoothed(t: number, ε: number): number {
  return (1 - ε) * t + 0.5 * ε
}

/** q = sigmoid(−z), p = 1 − q, and −log p, each from the smaller share. */
function logistic(z: number): { p: number; q: number; L: number } {
  const e = Math.exp(-Math.abs(z))
  const less = e / (1 + e)
  const [p, q] = z > 0 ? [1 - less, less] : [less, 1 - less]
  return { p, q, L: (z > 0 ? 0 : -z) + Math.log1p(e) }
}

/** f(z) = q^γ·(−log p): what a focal loss asks of a right answer. Its two derivatives in z. */
const focal = {
  l(z: number, γ: number): number {
    const { q, L } = logistic(z)
    return q ** γ * L
  },
  dl(z: number, γ: number): number {
    const { p, q, L } = logistic(z)
    return -(q ** γ) * (γ * p * L + q)
  },
  d2l(z: number, γ: number): number {
    const { p, q, L } = logistic(z)
    return q ** γ * p * (γ * γ * p * L + q * (2 * γ + 1 - γ * L))
  },
}

/** h(p) = −(1 − p)^γ·log p, the same of a probability. */
const focalOfShare = {
  l: (p: number, γ: number): number => -((1 - p) ** γ) * Math.log(p),
  dl: (p: number, γ: number): number => times(γ * Math.log(p), 1 - p, γ - 1) - (1 - p) ** γ / p,
  d2l: (p: number, γ: number): number =>
    times(-γ * (γ - 1) * Math.log(p), 1 - p, γ - 2) + times((2 * γ) / p, 1 - p, γ - 1) + (1 - p) ** γ / (p * p),
}

/** What a target of 1 weighs, and one of 0; α −1: the same. */
function balance(α: number): readonly [number, number] {
  return α < 0 ? [1, 1] : [α, 1 - α]
}

/** Shares of both answers in a scalar of the right one: t·α·f(z) + (1 − t)·(1 − α)·±f(mirrored z). */
function ofBoth(f: (z: number, γ: number) => number, mirror: (z: number) => number, sign: 1 | -1): Scalar {
  return (z, t, γ, α) => {
    const [one, zero] = balance(α)
    return t * one * f(z, γ) + sign * (1 - t) * zero * f(mirror(z), γ)
  }
}
const opposite = (z: number): number => -z
const rest = (p: number): number => 1 - p

/** −1 and 1, for targets of 0 and 1. */
const signOf = (t: number): number => 2 * t - 1

const ELEMENTWISE: readonly LossKernel[] = [
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
    (t) => [t],
  ),
  elementwise(
    'quantile',
    'l = z < t ? q·(t − z) : (1 − q)·(z − t), with slope 0 at 0',
    (z, t, q) => (z < t ? q * (t - z) : (1 - q) * (z - t)),
    (z, t, q) => (z < t ? -q : z > t ? 1 - q : z - t),
    () => 0,
    (t) => [t],
  ),
  elementwise(
    'hinge',
    'l = max(0, 1 − (2t − 1)·z), with slope 0 at the margin',
    (z, t) => {
      const short = 1 - signOf(t) * z
      return short <= 0 ? 0 : short
    },
    (z, t) => {
      const short = 1 - signOf(t) * z
      return short <= 0 ? 0 : short > 0 ? -signOf(t) : short
    },
    () => 0,
    (t) => [1 / signOf(t)],
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
    (t, { parameter: delta }) => [t - delta, t + delta],
  ),
  // Near 0, where 1 would swallow e², from cosh e − 1 = 2·sinh²(e/2).
  elementwise(
    'logCosh',
    'l = log cosh(z − t)',
    (z, t) => {
      const e = Math.abs(z - t)
      return e <= 1 ? Math.log1p(2 * Math.sinh(e / 2) ** 2) : e + Math.log1p(Math.exp(-2 * e)) - Math.LN2
    },
    (z, t) => Math.tanh(z - t),
    (z, t) => {
      const e = Math.exp(-2 * Math.abs(z - t))
      return (4 * e) / ((1 + e) * (1 + e))
    },
  ),
  elementwise(
    'poissonLogs',
    'l = e^z − t·z',
    (z, t) => Math.exp(z) - t * z,
    (z, t) => Math.exp(z) - t,
    (z) => Math.exp(z),
  ),
  elementwise(
    'poissonRates',
    'l = z − t·log z, unclipped',
    (z, t) => (t === 0 ? z : z - t * Math.log(z)),
    (z, t) => (t === 0 ? 1 : 1 - t / z),
    (z, t) => (t === 0 ? 0 : t / (z * z)),
  ),
  elementwise(
    'bceLogits',
    'l = max(z, 0) − z·t + log(1 + e^−|z|), t drawn towards ½ by labelSmoothing',
    (z, t, ε) => Math.max(z, 0) - z * smoothed(t, ε) + Math.log1p(Math.exp(-Math.abs(z))),
    // sigmoid(z) − t from the smaller share, sigmoid(−|z|): where t is 1, nothing is lost to the 1.
    (z, label, ε) => {
      const t = smoothed(label, ε)
      const q = 1 / (1 + Math.exp(Math.abs(z)))
      return z > 0 ? 1 - t - q : q - t
    },
    (z) => 1 / (1 + Math.exp(-z)) / (1 + Math.exp(z)),
  ),
  // 0·log 0 is NaN here as in the question's own code: hiding it would hide the disease.
  elementwise(
    'bceProbabilities',
    'l = −(t·log p + (1 − t)·log(1 − p)), unclipped, t as in bceLogits',
    (p, label, ε) => {
      const t = smoothed(label, ε)
      return -(t * Math.log(p) + (1 - t) * Math.log(1 - p))
    },
    (p, label, ε) => (p - smoothed(label, ε)) / (p * (1 - p)),
    (p, label, ε) => {
      const t = smoothed(label, ε)
      return t / (p * p) + (1 - t) / ((1 - p) * (1 - p))
    },
  ),
  elementwise(
    'focalLogits',
    'l = −(α·t·(1 − p)^γ·log p + (1 − α)·(1 − t)·p^γ·log(1 − p)), p = sigmoid z; without α both weigh 1',
    ofBoth(focal.l, opposite, 1),
    ofBoth(focal.dl, opposite, -1),
    ofBoth(focal.d2l, opposite, 1),
  ),
  elementwise(
    'focalProbabilities',
    'l as in focalLogits, of p, unclipped',
    ofBoth(focalOfShare.l, rest, 1),
    ofBoth(focalOfShare.dl, rest, -1),
    ofBoth(focalOfShare.d2l, rest, 1),
  ),
]

// ---------------------------------------------------------------------------------------------------- by rows

/**
 * The target of class o in row r: a probability, or 1 and 0 by index where one column holds class numbers; of which a
 * share ε is given to all classes alike.
 */
function targetOf(t: Floats, r: number, o: number, O: number, T: number, ε: number): number {
  const target = T === O ? t[r * O + o] : t[r] === o ? 1 : 0
  return (1 - ε) * target + ε / O
}

const crossEntropyLogits: LossKernel = {
  name: 'crossEntropyLogits',
  synopsis: 'l = −Σ t·(z − log Σ e^z), t drawn towards 1/O by labelSmoothing',
  compute(z, t, dz, rows, O, T, s, { parameter: ε }) {
    let sum = 0
    for (let r = 0; r < rows; r++) {
      const from = r * O
      const largest = largestOf(z, from, from + O)
      let total = 0
      for (let o = 0; o < O; o++) total += Math.exp(z[from + o] - largest)
      const logTotal = largest + Math.log(total)
      let mass = 0
      for (let o = 0; o < O; o++) {
        const target = targetOf(t, r, o, O, T, ε)
        mass += target
        if (target !== 0) sum += target * (logTotal - z[from + o])
      }
      if (dz)
        for (let o = 0; o < O; o++)
          dz[from + o] = s * (mass * Math.exp(z[from + o] - logTotal) - targetOf(t, r, o, O, T, ε))
    }
    return s * sum
  },
  // With p the softmax of z: the mass of the targets times p ⊙ (Rz − Σ p·Rz).
  tangent(z, t, Rz, Rdz, rows, O, T, s, { parameter: ε }) {
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
        mass += targetOf(t, r, o, O, T, ε)
      }
      for (let o = 0; o < O; o++) {
        const p = Math.exp(z[from + o] - largest) / total
        Rdz[from + o] = s * mass * p * (Rz[from + o] - dot / total)
      }
    }
  },
}

/** A kernel of each class's probability on its own, from a scalar and its two derivatives; classes of share 0 have none. */
function ofShares(
  name: string,
  synopsis: string,
  h: { readonly [K in 'l' | 'dl' | 'd2l']: (p: number, parameter: number) => number },
  smoothing: (parameter: number) => number,
): LossKernel {
  return {
    name,
    synopsis,
    compute(p, t, dp, rows, O, T, s, { parameter }) {
      let sum = 0
      for (let r = 0; r < rows; r++)
        for (let o = 0; o < O; o++) {
          const i = r * O + o
          const target = targetOf(t, r, o, O, T, smoothing(parameter))
          if (target !== 0) sum += target * h.l(p[i], parameter)
          if (dp) dp[i] = target !== 0 ? s * target * h.dl(p[i], parameter) : 0
        }
      return s * sum
    },
    tangent(p, t, Rp, Rdp, rows, O, T, s, { parameter }) {
      for (let r = 0; r < rows; r++)
        for (let o = 0; o < O; o++) {
          const i = r * O + o
          const target = targetOf(t, r, o, O, T, smoothing(parameter))
          Rdp[i] = target !== 0 ? s * target * h.d2l(p[i], parameter) * Rp[i] : 0
        }
    },
  }
}

/** −log p. */
const surprise = {
  l: (p: number): number => -Math.log(p),
  dl: (p: number): number => -1 / p,
  d2l: (p: number): number => 1 / (p * p),
}

/** The softmax of a row: its largest entry's place, and for each class p, 1 − p and log p, none of them a difference. */
class Softmax {
  readonly #z: Floats
  readonly #from: number
  readonly #O: number
  readonly #top: number
  /** Σ of e^(z − largest) without the largest's own 1. */
  readonly #others: number

  constructor(z: Floats, from: number, O: number) {
    this.#z = z
    this.#from = from
    this.#O = O
    let top = 0
    for (let o = 1; o < O; o++) if (z[from + o] > z[from + top]) top = o
    this.#top = top
    let others = 0
    for (let o = 0; o < O; o++) if (o !== top) others += this.#e(o)
    this.#others = others
  }

  /** e^(z − largest). */
  #e(o: number): number {
    return Math.exp(this.#z[this.#from + o] - this.#z[this.#from + this.#top])
  }
  p(o: number): number {
    return o === this.#top ? 1 / (1 + this.#others) : this.#e(o) / (1 + this.#others)
  }
  q(o: number): number {
    return o === this.#top ? this.#others / (1 + this.#others) : 1 - this.p(o)
  }
  logP(o: number): number {
    return this.#z[this.#from + o] - this.#z[this.#from + this.#top] - Math.log1p(this.#others)
  }
  /** Rz of a class less the mean Σ p·Rz, for each class. */
  tangents(Rz: Floats): (o: number) => number {
    const top = Rz[this.#from + this.#top]
    let apart = 0
    for (let o = 0; o < this.#O; o++) if (o !== this.#top) apart += this.p(o) * (top - Rz[this.#from + o])
    return (o) => (o === this.#top ? apart : Rz[this.#from + o] - top + apart)
  }
}

/** u = p·h'(p) of a class, with h of focalOfShare; and its derivative in p. */
const focalSlope = {
  u: (p: number, q: number, logP: number, γ: number): number => times(γ * p * logP, q, γ - 1) - q ** γ,
  du: (p: number, q: number, logP: number, γ: number): number =>
    times(γ * (logP + 2), q, γ - 1) - times(γ * (γ - 1) * p * logP, q, γ - 2),
}

// With u as above: dz = u·q − p·Σ u of the others, so that nothing is lost where p is nearly 1.
const focalCrossEntropyLogits: LossKernel = {
  name: 'focalCrossEntropyLogits',
  synopsis: 'l = −Σ t·(1 − p)^γ·log p, p = softmax z',
  compute(z, t, dz, rows, O, T, s, { parameter: γ }) {
    let sum = 0
    for (let r = 0; r < rows; r++) {
      const from = r * O
      const softmax = new Softmax(z, from, O)
      const slope = (o: number): number => {
        const target = targetOf(t, r, o, O, T, 0)
        return target === 0 ? 0 : target * focalSlope.u(softmax.p(o), softmax.q(o), softmax.logP(o), γ)
      }
      let slopes = 0
      for (let o = 0; o < O; o++) {
        const target = targetOf(t, r, o, O, T, 0)
        if (target === 0) continue
        sum -= target * softmax.q(o) ** γ * softmax.logP(o)
        slopes += slope(o)
      }
      if (!dz) continue
      for (let o = 0; o < O; o++) {
        const u = slope(o)
        dz[from + o] = s * (u * softmax.q(o) - softmax.p(o) * (slopes - u))
      }
    }
    return s * sum
  },
  tangent(z, t, Rz, Rdz, rows, O, T, s, { parameter: γ }) {
    for (let r = 0; r < rows; r++) {
      const from = r * O
      const softmax = new Softmax(z, from, O)
      const apart = softmax.tangents(Rz)
      /** u, and Ru = u'(p)·Rp with Rp = p·apart, which outweighs the pole of u' where q is 0. */
      const slopeOf = (o: number): readonly [number, number] => {
        const target = targetOf(t, r, o, O, T, 0)
        if (target === 0) return [0, 0]
        const [p, q, logP] = [softmax.p(o), softmax.q(o), softmax.logP(o)]
        const Ru = q === 0 ? 0 : focalSlope.du(p, q, logP, γ) * p * apart(o)
        return [target * focalSlope.u(p, q, logP, γ), target * Ru]
      }
      let [slopes, tangents] = [0, 0]
      for (let o = 0; o < O; o++) {
        const [u, Ru] = slopeOf(o)
        slopes += u
        tangents += Ru
      }
      for (let o = 0; o < O; o++) {
        const [, Ru] = slopeOf(o)
        const p = softmax.p(o)
        Rdz[from + o] = s * (Ru * softmax.q(o) - p * (tangents - Ru) - p * apart(o) * slopes)
      }
    }
  },
}

const KERNEL_ROWS: readonly LossKernel[] = [
  ...ELEMENTWISE,
  crossEntropyLogits,
  ofShares(
    'crossEntropyProbabilities',
    'l = −Σ t·log p, unclipped, t as in crossEntropyLogits',
    surprise,
    (parameter) => parameter,
  ),
  focalCrossEntropyLogits,
  ofShares('focalCrossEntropyProbabilities', 'l = −Σ t·(1 − p)^γ·log p, unclipped', focalOfShare, () => 0),
]

/** All kernels by name. */
export const LOSS_KERNELS: ReadonlyMap<string, LossKernel> = new Map(KERNEL_ROWS.map((row) => [row.name, row]))
