/**
 * Stages: the steps of a forward pass that the compiler can emit, and their ways back. Layers unfold into them.
 *
 * A stage pushes its forward instructions and returns how to go back: given the offset of dy it pushes the backward
 * instructions and returns the offset of dx (−1 where nobody needs it). Sizes in floats are for one row; the compiler
 * multiplies them by the plan's capacity.
 */
import { ACTIVATIONS } from '../activations'
import type { Instruction } from './plan'

export type Stage =
  | { readonly kind: 'affine'; readonly inputs: number; readonly outputs: number }
  | { readonly kind: 'activate'; readonly activation: string }
  | { readonly kind: 'mask'; readonly rate: number; readonly stream: number }

/** What a stage may ask of the compiler. */
export interface Emitter {
  /** Whether this is a training pass (masks on). */
  readonly isTraining: boolean
  emit(instruction: Instruction): void
  /** Offset of a fresh range of `columns` floats a row. */
  allocate(columns: number): number
}

/** Parameters of the layer a stage belongs to, by offset; −1 where absent. */
export interface StageParameters {
  readonly W: number
  readonly b: number
  readonly dW: number
  readonly db: number
}

export interface Emitted {
  /** Offset and width of the output. */
  readonly y: number
  readonly width: number
  /** Nothing before the first stage that has any needs a gradient. */
  readonly hasParameters?: true
  /** Pushes the way back. `wantsInput`: whether anybody needs dx. */
  back(emitter: Emitter, dy: number, wantsInput: boolean): number
}

type Emit<S extends Stage> = (stage: S, x: number, width: number, parameters: StageParameters, to: Emitter) => Emitted

const STAGES: { readonly [K in Stage['kind']]: Emit<Extract<Stage, { kind: K }>> } = {
  affine({ inputs: I, outputs: O }, x, _, { W, b, dW, db }, to) {
    const y = to.allocate(O)
    to.emit({ op: 'affine', x, W, b, y, I, O })
    return {
      y,
      width: O,
      hasParameters: true,
      back(back, dy, wantsInput) {
        back.emit({ op: 'affineGradWeights', x, dy, dW, db, I, O })
        if (!wantsInput) return -1
        const dx = back.allocate(I)
        back.emit({ op: 'affineGradInput', dy, W, dx, I, O })
        return dx
      },
    }
  },

  // Overwrites its input where the derivative can be computed from the output, and dy by dx always: nobody else reads
  // either.
  activate({ activation }, x, O, _, to) {
    const row = ACTIVATIONS.get(activation)
    if (row === undefined) throw new Error(`no activation ${activation}`)
    if (row.isIdentity) return { y: x, width: O, back: (_back, dy) => dy }
    const y = row.keeps === 'output' ? x : to.allocate(O)
    to.emit({ op: 'activate', row: activation, x, y, O })
    return {
      y,
      width: O,
      back(back, dy) {
        back.emit({ op: 'activateGrad', row: activation, x, y, dy, dx: dy, O })
        return dy
      },
    }
  },

  // Not in place: the activation before it still needs its own output on the way back.
  mask({ rate, stream }, x, O, _, to) {
    if (!to.isTraining) return { y: x, width: O, back: (_back, dy) => dy }
    const y = to.allocate(O)
    to.emit({ op: 'mask', x, y, O, rate, stream })
    return {
      y,
      width: O,
      back(back, dy, wantsInput) {
        if (wantsInput) back.emit({ op: 'mask', x: dy, y: dy, O, rate, stream })
        return dy
      },
    }
  },
}

/** Emits the forward part of a stage that reads `width` columns at `x`. */
export function emitStage<S extends Stage>(
  stage: S,
  x: number,
  width: number,
  parameters: StageParameters,
  to: Emitter,
): Emitted {
  return (STAGES[stage.kind] as unknown as Emit<S>)(stage, x, width, parameters, to)
}
