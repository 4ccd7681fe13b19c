/**
 * The objective: the loss as configured plus the penalty, without dropout. What is trained is this; `Network.gradient`
 * and `Network.evaluate` give the loss alone.
 */
import { tensorIn } from '../network'
import { type Layout, type Model, penaltyOf } from '../plan/layout'
import type { Floats } from '../plan/plan'

interface Penalised {
  readonly layout: Layout
  readonly model: Model
}

export function hasPenalty({ layout, model }: Penalised): boolean {
  return layout.trained.some((tensor) => penaltyOf(tensor, model) > 0)
}

/** Σ ½λw² at `parameters`. */
export function penaltyAt({ layout, model }: Penalised, parameters: Floats): number {
  let penalty = 0
  for (const tensor of layout.trained) {
    const lambda = penaltyOf(tensor, model)
    if (lambda === 0) continue
    let squares = 0
    for (const w of tensorIn(parameters, tensor)) squares += w * w
    penalty += 0.5 * lambda * squares
  }
  return penalty
}

/** gradient += λw. Returns it. */
export function addPenaltyGradient({ layout, model }: Penalised, parameters: Floats, gradient: Floats): Floats {
  for (const tensor of layout.trained) {
    const lambda = penaltyOf(tensor, model)
    if (lambda === 0) continue
    const [w, dw] = [tensorIn(parameters, tensor), tensorIn(gradient, tensor)]
    for (let i = 0; i < w.length; i++) dw[i] += lambda * w[i]
  }
  return gradient
}
