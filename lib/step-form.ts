/**
 * A step of an optimizer as a formula, for whoever takes it apart (lib/doctor):
 *
 *     Δw = −η·P⁻¹(c·(g + λ·w) + a·m) − η·μ·w
 *
 * with g the step's gradient, m the memory as it was before the step, and P = √v̂ + ε of the step itself, or 1. Bias
 * correction, Nesterov's look-ahead and decay of the rate are in c and a. k counts steps from 1. Most optimizers are of
 * this form; one that is not (a sign, an orthogonal factor) has none, and its row says so.
 */
import type { Floats } from './plan/plan'

export interface StepForm {
  /** c at step k. */
  gradient(k: number): number
  /** Which vector of state m is, and a at step k; null where nothing is remembered. */
  readonly memory: { readonly state: number; weight(k: number): number } | null
  /** null: P is 1. */
  readonly preconditioner: Preconditioner | null
  /** λ: weights that join the gradient. */
  readonly coupledDecay: number
  /** μ: weights that are taken off beside it. */
  readonly decoupledDecay: number
}

/**
 * P = √(u / (isCorrected ? 1 − decay^k : 1) + initial) + ε, u being v = decay·v + share·(g + λ·w)², the running mean
 * square or sum, or the largest that v has been.
 */
export interface Preconditioner {
  /** Which vector of state v is. */
  readonly state: number
  /** Which vector of state keeps the largest v so far; null: u is v. */
  readonly largest: number | null
  readonly decay: number
  readonly share: number
  readonly isCorrected: boolean
  readonly initial: number
  readonly epsilon: number
}

/** P after step k, from u as it stands after it. */
export function divisor({ decay, isCorrected, initial, epsilon }: Preconditioner, k: number): (u: number) => number {
  const correction = isCorrected ? 1 - decay ** k : 1
  return (u) => Math.sqrt(u / correction + initial) + epsilon
}

/** P⁻¹·g after step k; `state` as it stands after it, vector after vector of g's length. */
export function precondition(P: Preconditioner | null, k: number, state: Floats, g: Floats): Float64Array {
  const scaled = Float64Array.from(g)
  if (P === null) return scaled
  const divisorOf = divisor(P, k)
  const at = dividing(P) * g.length
  for (let i = 0; i < scaled.length; i++) scaled[i] /= divisorOf(state[at + i])
  return scaled
}

/** Which vector of state u is. */
export function dividing({ state, largest }: Preconditioner): number {
  return largest ?? state
}

/** What a step of Nadam takes of its gradient, and of its memory as it is after the step. */
export interface NadamWeights {
  readonly gradient: number
  readonly memory: number
  /** μ_k. */
  readonly momentum: number
}

/**
 * Nadam's weights at step k (Dozat 2016, as in PyTorch): with μ_k = β1·(1 − ½·0.96^(k·ψ)) and Π_k = μ_1 ⋯ μ_k, they are
 * (1 − μ_k) / (1 − Π_k) and μ_k+1 / (1 − Π_k+1). Asked for one k after the other, each takes one multiplication.
 */
export function nadamWeights(beta1: number, psi: number): (k: number) => NadamWeights {
  const mu = (k: number): number => beta1 * (1 - 0.5 * 0.96 ** (k * psi))
  let [last, product] = [0, 1]
  return (k) => {
    if (k < last) [last, product] = [0, 1]
    while (last < k) product *= mu(++last)
    const next = mu(k + 1)
    return { gradient: (1 - mu(k)) / (1 - product), memory: next / (1 - product * next), momentum: mu(k) }
  }
}
