/**
 * Stages: the steps of a forward pass that the compiler can emit, their ways back, and the tangents of both. Layers
 * unfold into them.
 *
 * A stage pushes its forward instructions and returns how to go on: `back`, given the offset of dy, pushes the backward
 * instructions and returns the offset of dx (−1 where nobody needs it); `tangent` and `backTangent` differentiate the
 * two along a direction in the space of the parameters (forward-over-reverse; see plan.ts for R). Sizes in floats are
 * for one row; the compiler multiplies them by the plan's capacity.
 */
import { ACTIVATIONS } from '../activations'
import type { Instruction } from './plan'

export type Stage =
  | { readonly kind: 'affine'; readonly inputs: number; readonly outputs: number }
  | { readonly kind: 'activate'; readonly activation: string }
  | { readonly kind: 'mask'; readonly rate: number; readonly stream: number }
  | { readonly kind: 'prelu'; readonly slopes: number }
  | { readonly kind: 'scale' }
  | { readonly kind: 'normalizeRows'; readonly epsilon: number }
  | {
      readonly kind: 'embed'
      readonly columns: readonly number[]
      readonly sizes: readonly number[]
      readonly dimensions: number
    }
  | { readonly kind: 'fork'; readonly index: number }
  | {
      readonly kind: 'join'
      readonly index: number
      /** What the other branch goes through; null: nothing. */
      readonly projection: Extract<Stage, { kind: 'affine' }> | null
    }
  | {
      readonly kind: 'normalizeColumns'
      readonly momentum: number
      readonly epsilon: number
      readonly isFrozen: boolean
    }

/** What a stage may ask of the compiler. */
export interface Emitter {
  /** Whether this is a training pass (masks on). */
  readonly isTraining: boolean
  /** Whether statistics are those of the batch, as in training; else the running ones. */
  readonly takesBatch: boolean
  /** Whether tangents will be taken of this pass, so that every dy must outlive its use. */
  readonly keepsDeltas: boolean
  /** The forks that wait for their join, by the index that both have. */
  readonly branches: Map<number, Branch>
  emit(instruction: Instruction): void
  /** Pushes what a step does once it is sure to be made. */
  emitAfterwards(instruction: Instruction): void
  /** Offset of a fresh range of so many floats, however many rows there are. */
  reserve(floats: number): number
  /** Offset of a fresh range of `columns` floats a row. */
  allocate(columns: number): number
}

/** What a stage reads: `width` columns at `x`. */
export interface Input {
  readonly x: number
  readonly width: number
  /** Somebody else still needs it: it must not be overwritten. */
  readonly isKept: boolean
}

/** What a fork and its join tell each other of the branch around the stages between them: offsets, −1 for zero. */
export interface Branch {
  readonly input: Input
  Rx: number
  dx: number
  Rdx: number
}

/** Tensors of the layer a stage belongs to, by offset; −1 where absent. */
export interface Place {
  readonly W: number
  readonly b: number
  readonly mean: number
  readonly variance: number
}

/** The same place in each block that is laid out as the parameters are. */
export interface StageParameters {
  readonly value: Place
  /** W −1: nobody wants it, or the layer is frozen; so also in the next two. */
  readonly gradient: Place
  readonly tangent: Place
  readonly curvature: Place
}

/** What the tangent of a way back is made from: the tangent of the stage's input (−1: zero), dy and its tangent. */
export interface BackTangent {
  readonly Rx: number
  readonly dy: number
  readonly Rdy: number
}

export interface Emitted {
  /** Offset and width of the output. */
  readonly y: number
  readonly width: number
  /** The way back reads the output. */
  readonly keepsOutput?: boolean
  /** Nothing before the first stage that has any needs a gradient. */
  readonly hasParameters?: boolean
  /** Pushes the way back. `wantsInput`: whether anybody needs dx. */
  back(to: Emitter, dy: number, wantsInput: boolean): number
  /** Pushes the tangent of the way there; offset of Ry from that of Rx, −1 for one that is zero. */
  tangent(to: Emitter, Rx: number): number
  /** Pushes the tangent of the way back, which `back` and `tangent` have gone; offset of Rdx, −1 where not wanted. */
  backTangent(to: Emitter, at: BackTangent, wantsInput: boolean): number
}

type Emit<S extends Stage> = (stage: S, input: Input, parameters: StageParameters, to: Emitter) => Emitted

/** A stage that does nothing. */
const through = ({ x, width, isKept }: Input): Emitted => ({
  y: x,
  width,
  keepsOutput: isKept,
  back: (_, dy) => dy,
  tangent: (_, Rx) => Rx,
  backTangent: (_, { Rdy }) => Rdy,
})

/** The ways from what was normalised to y, by rows or columns, with a Jacobian that is its own transpose. */
function normalized(by: 'Rows' | 'Columns', y: number, s: number, O: number): Emitted {
  const jacobian = (on: Emitter, v: number, product: number): number => {
    on.emit({ op: `normalize${by}Grad`, y, s, dy: v, dx: product, O })
    return product
  }
  return {
    y,
    width: O,
    keepsOutput: true,
    back: (back, dy) => jacobian(back, dy, back.keepsDeltas ? back.allocate(O) : dy),
    tangent: (along, Rx) => (Rx < 0 ? -1 : jacobian(along, Rx, along.allocate(O))),
    backTangent(back, { Rx, dy, Rdy }) {
      back.emit({ op: `normalize${by}GradTangent`, y, s, Rx, dy, Rdy, Rdx: Rdy, O })
      return Rdy
    },
  }
}

const STAGES: { readonly [K in Stage['kind']]: Emit<Extract<Stage, { kind: K }>> } = {
  affine({ inputs: I, outputs: O }, { x }, { value, gradient, tangent, curvature }, to) {
    const { W, b } = value
    const y = to.allocate(O)
    to.emit({ op: 'affine', x, W, b, y, I, O })
    return {
      y,
      width: O,
      hasParameters: true,
      back(back, dy, wantsInput) {
        if (gradient.W >= 0) back.emit({ op: 'affineGradWeights', x, dy, dW: gradient.W, db: gradient.b, I, O })
        if (!wantsInput) return -1
        const dx = back.allocate(I)
        back.emit({ op: 'affineGradInput', dy, W, dx, I, O })
        return dx
      },
      tangent(along, Rx) {
        const isFrozen = tangent.W < 0
        if (isFrozen && Rx < 0) return -1
        const Ry = along.allocate(O)
        if (isFrozen) along.emit({ op: 'affine', x: Rx, W, b: -1, y: Ry, I, O })
        else along.emit({ op: 'affineTangent', x, Rx, W, RW: tangent.W, Rb: tangent.b, Ry, I, O })
        return Ry
      },
      backTangent(back, { Rx, dy, Rdy }, wantsInput) {
        const { W: RdW, b: Rdb } = curvature
        if (RdW >= 0) back.emit({ op: 'affineGradWeightsTangent', x, Rx, dy, Rdy, RdW, Rdb, I, O })
        if (!wantsInput) return -1
        const Rdx = back.allocate(I)
        if (tangent.W < 0) back.emit({ op: 'affineGradInput', dy: Rdy, W, dx: Rdx, I, O })
        else back.emit({ op: 'affineGradInputTangent', dy, Rdy, W, RW: tangent.W, Rdx, I, O })
        return Rdx
      },
    }
  },

  // Overwrites its input where the derivative can be computed from the output, and dy by dx where nobody else reads dy.
  activate({ activation }, input, _, to) {
    const { x, width: O, isKept } = input
    const row = ACTIVATIONS.get(activation)
    if (row === undefined) throw new Error(`no activation ${activation}`)
    if (row.isIdentity) return through(input)
    const y = row.keeps === 'output' && !isKept ? x : to.allocate(O)
    to.emit({ op: 'activate', row: activation, x, y, O })
    return {
      y,
      width: O,
      keepsOutput: row.keeps === 'output',
      back(back, dy) {
        const dx = back.keepsDeltas ? back.allocate(O) : dy
        back.emit({ op: 'activateGrad', row: activation, x, y, dy, dx, O })
        return dx
      },
      // A Jacobian of an activation is symmetric: diagonal, or softmax's.
      tangent(along, Rx) {
        if (Rx < 0) return -1
        const Ry = along.allocate(O)
        along.emit({ op: 'activateGrad', row: activation, x, y, dy: Rx, dx: Ry, O })
        return Ry
      },
      backTangent(back, { Rx, dy, Rdy }) {
        back.emit({ op: 'activateGradTangent', row: activation, x, y, Rx, dy, Rdy, Rdx: Rdy, O })
        return Rdy
      },
    }
  },

  // Not in place: the activation before it still needs its own output on the way back. Linear: its tangent is itself.
  mask({ rate, stream }, input, _, to) {
    if (!to.isTraining) return through(input)
    const { x, width: O } = input
    const mask = (on: Emitter, from: number, y: number): number => {
      on.emit({ op: 'mask', x: from, y, O, rate, stream })
      return y
    }
    return {
      y: mask(to, x, to.allocate(O)),
      width: O,
      back(back, dy, wantsInput) {
        if (!wantsInput) return dy
        return mask(back, dy, back.keepsDeltas ? back.allocate(O) : dy)
      },
      tangent: (along, Rx) => (Rx < 0 ? -1 : mask(along, Rx, along.allocate(O))),
      backTangent: (back, { Rdy }, wantsInput) => (wantsInput ? mask(back, Rdy, Rdy) : Rdy),
    }
  },

  prelu({ slopes: A }, { x, width: O }, { value: { W: a }, gradient, tangent, curvature }, to) {
    const y = to.allocate(O)
    to.emit({ op: 'prelu', x, a, y, O, A })
    return {
      y,
      width: O,
      hasParameters: true,
      back(back, dy, wantsInput) {
        if (gradient.W >= 0) back.emit({ op: 'preluGradSlope', x, dy, da: gradient.W, O, A })
        if (!wantsInput) return -1
        const dx = back.keepsDeltas ? back.allocate(O) : dy
        back.emit({ op: 'preluGrad', x, a, dy, dx, O, A })
        return dx
      },
      tangent(along, Rx) {
        const isFrozen = tangent.W < 0
        if (isFrozen && Rx < 0) return -1
        const Ry = along.allocate(O)
        if (isFrozen) along.emit({ op: 'preluGrad', x, a, dy: Rx, dx: Ry, O, A })
        else along.emit({ op: 'preluTangent', x, Rx, a, Ra: tangent.W, Ry, O, A })
        return Ry
      },
      backTangent(back, { Rx, dy, Rdy }, wantsInput) {
        if (curvature.W >= 0) back.emit({ op: 'preluGradSlopeTangent', x, Rx, dy, Rdy, Rda: curvature.W, O, A })
        if (!wantsInput) return -1
        if (tangent.W < 0) back.emit({ op: 'preluGrad', x, a, dy: Rdy, dx: Rdy, O, A })
        else back.emit({ op: 'preluGradTangent', x, a, Ra: tangent.W, dy, Rdy, Rdx: Rdy, O, A })
        return Rdy
      },
    }
  },

  scale(_, { x, width: O }, { value, gradient, tangent, curvature }, to) {
    const { W: g, b } = value
    const y = to.allocate(O)
    to.emit({ op: 'scale', x, g, b, y, O })
    return {
      y,
      width: O,
      hasParameters: true,
      back(back, dy, wantsInput) {
        if (gradient.W >= 0) back.emit({ op: 'scaleGrad', x, dy, dg: gradient.W, db: gradient.b, O })
        if (!wantsInput) return -1
        const dx = back.keepsDeltas ? back.allocate(O) : dy
        back.emit({ op: 'scaleGradInput', dy, g, dx, O })
        return dx
      },
      tangent(along, Rx) {
        const isFrozen = tangent.W < 0
        if (isFrozen && Rx < 0) return -1
        const Ry = along.allocate(O)
        if (isFrozen) along.emit({ op: 'scaleGradInput', dy: Rx, g, dx: Ry, O })
        else along.emit({ op: 'scaleTangent', x, Rx, g, Rg: tangent.W, Rb: tangent.b, Ry, O })
        return Ry
      },
      backTangent(back, { Rx, dy, Rdy }, wantsInput) {
        const { W: Rdg, b: Rdb } = curvature
        if (Rdg >= 0) back.emit({ op: 'scaleGradTangent', x, Rx, dy, Rdy, Rdg, Rdb, O })
        if (!wantsInput) return -1
        if (tangent.W < 0) back.emit({ op: 'scaleGradInput', dy: Rdy, g, dx: Rdy, O })
        else back.emit({ op: 'scaleGradInputTangent', dy, Rdy, g, Rg: tangent.W, Rdx: Rdy, O })
        return Rdy
      },
    }
  },

  normalizeRows({ epsilon }, { x, width: O }, _, to) {
    const [y, s] = [to.allocate(O), to.allocate(1)]
    to.emit({ op: 'normalizeRows', x, y, s, O, epsilon })
    return normalized('Rows', y, s, O)
  },

  // By the batch it is as normalizeRows, down the columns; by running statistics it is linear.
  normalizeColumns({ momentum, epsilon, isFrozen }, { x, width: O }, { value: { mean, variance } }, to) {
    const y = to.allocate(O)
    if (isFrozen || !to.takesBatch) {
      to.emit({ op: 'normalizeBy', x, mean, variance, y, O, epsilon })
      const scale = (on: Emitter, v: number, product: number): number => {
        on.emit({ op: 'normalizeByGrad', dy: v, variance, dx: product, O, epsilon })
        return product
      }
      return {
        y,
        width: O,
        back: (back, dy) => scale(back, dy, back.keepsDeltas ? back.allocate(O) : dy),
        tangent: (along, Rx) => (Rx < 0 ? -1 : scale(along, Rx, along.allocate(O))),
        backTangent: (back, { Rdy }) => scale(back, Rdy, Rdy),
      }
    }
    const [s, batchMean, batchVariance] = [to.reserve(O), to.reserve(O), to.reserve(O)]
    to.emit({
      op: 'normalizeColumns',
      x,
      y,
      s,
      mean: batchMean,
      variance: batchVariance,
      oldMean: mean,
      oldVariance: variance,
      O,
      epsilon,
    })
    if (to.isTraining) {
      to.emitAfterwards({ op: 'track', x: batchMean, to: mean, n: O, rate: momentum })
      to.emitAfterwards({ op: 'track', x: batchVariance, to: variance, n: O, rate: momentum })
    }
    return normalized('Columns', y, s, O)
  },

  // The first of a model: nobody wants its dx, and there is no Rx.
  embed({ columns, sizes, dimensions: D }, { x, width: I }, { value, gradient, tangent, curvature }, to) {
    const O = I + columns.length * (D - 1)
    const tables = columns.map((column, i) => {
      const before = sizes.slice(0, i).reduce((sum, size) => sum + size, 0)
      return {
        column,
        at: column + columns.filter((other) => other < column).length * (D - 1),
        row: before,
        size: sizes[i],
      }
    })
    const rest = Array.from({ length: I }, (_, column) => column).filter((column) => !columns.includes(column))
    /** Rows of the table at `W`, and columns of `from`: −1 for zeros. */
    const fill = (on: Emitter, W: number, from: number): number => {
      const y = on.allocate(O)
      for (const { column, at, row, size } of tables)
        on.emit({ op: 'embed', x, W: W + row * D, y, I, O, column, to: at, size, D })
      for (const column of rest) {
        const at = column + columns.filter((other) => other < column).length * (D - 1)
        on.emit({ op: 'copyColumn', x: from, y, I, O, column, to: at })
      }
      return y
    }
    const scatter = (on: Emitter, dy: number, dW: number): void => {
      for (const { column, at, row, size } of tables)
        on.emit({ op: 'embedGrad', x, dy, dW: dW + row * D, I, O, column, to: at, size, D })
    }
    return {
      y: fill(to, value.W, x),
      width: O,
      hasParameters: true,
      back(back, dy) {
        if (gradient.W >= 0) scatter(back, dy, gradient.W)
        return -1
      },
      tangent: (along) => (tangent.W < 0 ? -1 : fill(along, tangent.W, -1)),
      backTangent(back, { Rdy }) {
        if (curvature.W >= 0) scatter(back, Rdy, curvature.W)
        return -1
      },
    }
  },

  fork({ index }, input, _, to) {
    const branch: Branch = { input, Rx: -1, dx: -1, Rdx: -1 }
    to.branches.set(index, branch)
    return {
      y: input.x,
      width: input.width,
      keepsOutput: true,
      back(back, dy) {
        const dx = back.keepsDeltas ? back.allocate(input.width) : dy
        back.emit({ op: 'add', x: dy, z: branch.dx, y: dx, O: input.width })
        return dx
      },
      tangent(_along, Rx) {
        branch.Rx = Rx
        return Rx
      },
      backTangent(back, { Rdy }) {
        back.emit({ op: 'add', x: Rdy, z: branch.Rdx, y: Rdy, O: input.width })
        return Rdy
      },
    }
  },

  // The other branch is the input of the fork, or a product of it with weights of its own.
  join({ index, projection }, { x, width: O, isKept }, parameters, to) {
    const branch = to.branches.get(index)
    if (branch === undefined) throw new Error(`no fork ${index}`)
    const other = projection && STAGES.affine(projection, branch.input, parameters, to)
    const y = isKept ? to.allocate(O) : x
    to.emit({ op: 'add', x, z: other?.y ?? branch.input.x, y, O })
    /** Whoever comes next may overwrite what it is given. */
    const copy = (on: Emitter, from: number): number => {
      const to = on.allocate(O)
      on.emit({ op: 'add', x: from, z: -1, y: to, O })
      return to
    }
    return {
      y,
      width: O,
      hasParameters: projection !== null,
      back(back, dy, wantsInput) {
        if (other) branch.dx = other.back(back, dy, wantsInput)
        else if (wantsInput) branch.dx = back.keepsDeltas ? dy : copy(back, dy)
        return wantsInput ? dy : -1
      },
      tangent(along, Rx) {
        const Rother = other ? other.tangent(along, branch.Rx) : branch.Rx
        if (Rx < 0 || Rother < 0) return Math.max(Rx, Rother)
        const Ry = along.allocate(O)
        along.emit({ op: 'add', x: Rx, z: Rother, y: Ry, O })
        return Ry
      },
      backTangent(back, { dy, Rdy }, wantsInput) {
        if (other) branch.Rdx = other.backTangent(back, { Rx: branch.Rx, dy, Rdy }, wantsInput)
        else if (wantsInput) branch.Rdx = copy(back, Rdy)
        return wantsInput ? Rdy : -1
      },
    }
  },
}

/** Emits the forward part of a stage. */
export function emitStage<S extends Stage>(stage: S, input: Input, parameters: StageParameters, to: Emitter): Emitted {
  return (STAGES[stage.kind] as unknown as Emit<S>)(stage, input, parameters, to)
}
