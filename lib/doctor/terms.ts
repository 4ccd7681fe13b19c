/**
 * A step taken apart: what each part of it does to the objective along its slope, g the objective's gradient.
 *
 *     Δθ = −η·P⁻¹(c·(ĝ + λθ) + a·m) − ημθ                        the form of the optimizer's row (lib/step-form.ts)
 *     gᵀΔθ = descent + noise + dropout + clipping + momentum + decay
 *
 * ĝ is the gradient that the step used, g_M that before it was clipped, g_B that of the same rows without masks. What is left of the change, ΔL − gᵀΔθ,
 * is the integral ∫₀¹ (1−s)·ΔθᵀH(θ+sΔθ)Δθ ds: Taylor with its remainder, nothing cut off.
 */
import type { Floats } from '../plan/plan'
import { precondition, type StepForm } from '../step-form'
import type { Terms } from '../train/ledger'
import { dot } from './curvature'

/** The terms that the slope tells. */
export type Slopes = Omit<Terms, 'bending'>

/** Where a step stands: the k of its bias correction, from 1, and its rate. */
export interface Pacing {
  readonly k: number
  readonly learningRate: number
}

/** From the sums that the plan's `account` reports of a step whose own gradient is the objective's. */
export function slopesOfSums(form: StepForm, { k, learningRate }: Pacing, sums: ArrayLike<number>): Slopes {
  const [gg, gm, gw, plain] = [sums[0], sums[1], sums[2], sums[3]]
  const c = form.gradient(k)
  const a = form.memory?.weight(k) ?? 0
  return {
    descent: times(-learningRate * c, gg),
    noise: 0,
    dropout: 0,
    momentum: times(-learningRate * a, gm),
    decay: times(-learningRate * c * form.coupledDecay, gw) + times(-learningRate * form.decoupledDecay, plain),
    clipping: 0,
  }
}

/** What a step was made of. Vectors are laid out as the trained parameters are. */
export interface Parts {
  /** Δθ. */
  readonly way: Floats
  /** g, g_B, g_M and ĝ. */
  readonly objective: Floats
  readonly batch: Floats
  readonly used: Floats
  readonly clipped: Floats
  readonly weights: Floats
  /** The optimizer's state before the step and after it. */
  readonly before: Floats
  readonly after: Floats
}

/** From all that a step was made of. Where it has no form, all that the slope tells is put down to descent. */
export function slopesOfParts(form: StepForm | null, pacing: Pacing, parts: Parts): Slopes {
  const { objective: g, batch, used, clipped, weights, before, after, way } = parts
  if (form === null) return { descent: dot(g, way), noise: 0, dropout: 0, momentum: 0, decay: 0, clipping: 0 }
  const { memory, preconditioner } = form
  const scaled = precondition(preconditioner, pacing.k, after, g)
  const m = memory && before.subarray(memory.state * g.length, (memory.state + 1) * g.length)
  const sums = [dot(scaled, g), m ? dot(scaled, m) : 0, dot(scaled, weights), dot(g, weights)]
  const slope = -pacing.learningRate * form.gradient(pacing.k)
  return {
    ...slopesOfSums(form, pacing, sums),
    noise: times(slope, dotDifference(scaled, batch, g)),
    dropout: times(slope, dotDifference(scaled, used, batch)),
    clipping: times(slope, dotDifference(scaled, clipped, used)),
  }
}

/** aᵀ(b − c), where a is as long as b and c are. */
function dotDifference(a: Floats, b: Floats, c: Floats): number {
  let sum = 0
  if (b !== c) for (let i = 0; i < a.length; i++) sum += a[i] * (b[i] - c[i])
  return sum
}

/** A gradient as `clipNorm` and `clipValue` of the plan leave it. */
export function clip(
  g: Floats,
  { clipNorm, clipValue }: { clipNorm: number | null; clipValue: number | null },
): Floats {
  const c = clipNorm === null ? 1 : Math.min(1, clipNorm / (Math.sqrt(dot(g, g)) + 1e-6))
  const most = clipValue ?? Number.POSITIVE_INFINITY
  return c === 1 && clipValue === null ? g : g.map((entry) => Math.min(most, Math.max(-most, c * entry)))
}

/** gᵀΔθ. */
export function firstOrder({ descent, noise, dropout, momentum, decay, clipping }: Slopes): number {
  return descent + noise + dropout + momentum + decay + clipping
}

/** 0 times anything is 0 here, not −0. */
function times(a: number, b: number): number {
  return a * b + 0
}
