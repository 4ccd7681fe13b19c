/**
 * The objective: the loss as configured plus the penalty, without dropout. What is trained is this; `Network.gradient`
 * and `Network.evaluate` give the loss alone.
 */
import { tensorIn } from '../network'
import { PENALTIES } from '../penalties'
import { type Layout, type Model, penaltyOf } from '../plan/layout'
import type { Floats } from '../plan/plan'

interface Penalised {
  readonly layout: Layout
  readonly model: Model
}

export function hasPenalty({ layout, model }: Penalised): boolean {
  return layout.trained.some((tensor) => PENALTIES.some((penalty) => penaltyOf(tensor, model, penalty) > 0))
}

/** Σ λ·value(w) over penalties, at `parameters`. */
export function penaltyAt({ layout, model }: Penalised, parameters: Floats): number {
  let penalty = 0
  for (const row of PENALTIES)
    for (const tensor of layout.trained) {
      const lambda = penaltyOf(tensor, model, row)
      if (lambda === 0) continue
      let sum = 0
      for (const w of tensorIn(parameters, tensor)) sum += row.value(w)
      penalty += lambda * sum
    }
  return penalty
}

/** gradient += λ·slope(w). Returns it. */
export function addPenaltyGradient({ layout, model }: Penalised, parameters: Floats, gradient: Floats): Floats {
  for (const row of PENALTIES)
    for (const tensor of layout.trained) {
      const lambda = penaltyOf(tensor, model, row)
      if (lambda === 0) continue
      const [w, dw] = [tensorIn(parameters, tensor), tensorIn(gradient, tensor)]
      for (let i = 0; i < w.length; i++) dw[i] += lambda * row.slope(w[i])
    }
  return gradient
}
