/**
 * Every operation of the plan in plain TypeScript: the specification that the native backend is held to.
 *
 * An operation is prepared once, with its operands resolved to views of the arena, and then called with the context of
 * each chunk or step. Arithmetic is double; what is stored is rounded to the arena's type. Sums over a batch (losses,
 * norms, penalties) are kept in double.
 */
import { ACTIVATIONS } from '../activations'
import { LOSS_KERNELS } from '../losses'
import { type Floats, type InstructionOf, OPS, type OpName, type OpRow, opKey } from '../plan/plan'
import { maskBits, maskKey } from '../random'
import { nadamWeights } from '../step-form'
import { COLUMN_OPERATIONS } from './columns'
import { type Context, largestIn, type Memory, type Operation, type Prepare, within } from './context'
import {
  affine,
  affineGradInput,
  affineGradInputTangent,
  affineGradWeights,
  affineGradWeightsTangent,
  affineTangent,
} from './products'
import { UNIT_OPERATIONS } from './units'

/** Copies rows of a table, in order, into consecutive rows. */
function gatherRows(source: Floats | Uint8Array, columns: number, scale: number, to: Floats, context: Context): void {
  const { rows, order, from } = context
  for (let r = 0; r < rows; r++) {
    const row = (order ? order[from + r] : from + r) * columns
    if (scale === 1) for (let i = 0; i < columns; i++) to[r * columns + i] = source[row + i]
    else for (let i = 0; i < columns; i++) to[r * columns + i] = source[row + i] * scale
  }
}

/** Calls `body` with each row of a chunk and its weight ω. */
function eachWeighted(weights: Float64Array, { rows, order, from }: Context, body: (row: number, ω: number) => void) {
  for (let r = 0; r < rows; r++) body(r, weights[order ? order[from + r] : from + r])
}

/** What stands before a loss: all rows of a batch may have the weight 0. */
function lossScale(scale: number, overRows: number, { weight }: Context): number {
  return overRows ? (weight > 0 ? scale / weight : 0) : scale
}

const PREPARE: { readonly [K in OpName]: Prepare<K> } = {
  ...UNIT_OPERATIONS,
  ...COLUMN_OPERATIONS,

  gather({ x, I }, memory) {
    const to = memory.view(x, I * memory.capacity)
    return (context) => gatherRows(context.data.x, I, context.data.scale, to, context)
  },

  gatherTargets({ t, T }, memory) {
    const to = memory.view(t, T * memory.capacity)
    return (context) => gatherRows(context.data.y as Floats, T, 1, to, context)
  },

  affine({ x, W, b, y, I, O }, memory) {
    const [vx, vW, vb] = [memory.view(x, I * memory.capacity), memory.view(W, I * O), memory.optional(b, O)]
    const vy = memory.view(y, O * memory.capacity)
    return ({ rows }) => affine(vx, vW, vb, vy, rows, I, O)
  },

  affineGradWeights({ x, dy, dW, db, I, O }, memory) {
    const [vx, vdy] = [memory.view(x, I * memory.capacity), memory.view(dy, O * memory.capacity)]
    const [vdW, vdb] = [memory.view(dW, I * O), memory.optional(db, O)]
    return ({ rows, offset }) => affineGradWeights(vx, vdy, vdW, vdb, rows, I, O, offset > 0)
  },

  affineGradInput({ dy, W, dx, I, O }, memory) {
    const [vdy, vW] = [memory.view(dy, O * memory.capacity), memory.view(W, I * O)]
    const vdx = memory.view(dx, I * memory.capacity)
    return ({ rows }) => affineGradInput(vdy, vW, vdx, rows, I, O, false)
  },

  activate({ row, x, y, O }, memory) {
    const activation = rowOf(ACTIVATIONS, row)
    const [vx, vy] = [memory.view(x, O * memory.capacity), memory.view(y, O * memory.capacity)]
    return ({ rows }) => activation.forward(vx, vy, rows, O)
  },

  activateGrad({ row, x, y, dy, dx, O }, memory) {
    const activation = rowOf(ACTIVATIONS, row)
    const v = memory.view(activation.keeps === 'input' ? x : y, O * memory.capacity)
    const [vdy, vdx] = [memory.view(dy, O * memory.capacity), memory.view(dx, O * memory.capacity)]
    return ({ rows }) => activation.backward(v, vdy, vdx, rows, O)
  },

  mask({ x, y, O, rate, stream }, memory) {
    const [vx, vy] = [memory.view(x, O * memory.capacity), memory.view(y, O * memory.capacity)]
    const threshold = rate * 2 ** 32
    const scale = 1 / (1 - rate)
    return ({ rows, offset, seed, step }) => {
      const key = maskKey(seed, stream, step)
      // A factor, not a choice: NaN must not vanish where it is dropped.
      for (let i = 0; i < rows * O; i++) vy[i] = vx[i] * (maskBits(key, offset * O + i) >= threshold ? scale : 0)
    }
  },

  loss({ row, z, t, dz, O, T, scale, overRows, parameter, second }, memory) {
    const constants = { parameter, second }
    const kernel = rowOf(LOSS_KERNELS, row)
    const [vz, vt] = [memory.view(z, O * memory.capacity), memory.view(t, T * memory.capacity)]
    const vdz = memory.optional(dz, O * memory.capacity)
    const rowOfZ = (v: Floats, r: number): Floats => v.subarray(r * O, (r + 1) * O)
    return (context) => {
      const s = lossScale(scale, overRows, context)
      const { weights } = context.data
      if (!weights) {
        context.loss += kernel.compute(vz, vt, vdz, context.rows, O, T, s, constants)
        return
      }
      eachWeighted(weights, context, (r, ω) => {
        const [z, t, dz] = [rowOfZ(vz, r), vt.subarray(r * T, (r + 1) * T), vdz && rowOfZ(vdz, r)]
        context.loss += kernel.compute(z, t, dz, 1, O, T, s * ω, constants)
      })
    }
  },

  affineTangent({ x, Rx, W, RW, Rb, Ry, I, O }, memory) {
    const [vx, vRx] = [memory.view(x, I * memory.capacity), memory.optional(Rx, I * memory.capacity)]
    const [vW, vRW, vRb] = [memory.view(W, I * O), memory.view(RW, I * O), memory.optional(Rb, O)]
    const vRy = memory.view(Ry, O * memory.capacity)
    return ({ rows }) => affineTangent(vx, vRx, vW, vRW, vRb, vRy, rows, I, O)
  },

  lossTangent({ row, z, t, Rz, Rdz, O, T, scale, overRows, parameter, second }, memory) {
    const constants = { parameter, second }
    const kernel = rowOf(LOSS_KERNELS, row)
    const [vz, vt] = [memory.view(z, O * memory.capacity), memory.view(t, T * memory.capacity)]
    const [vRz, vRdz] = [memory.view(Rz, O * memory.capacity), memory.view(Rdz, O * memory.capacity)]
    const rowOfZ = (v: Floats, r: number): Floats => v.subarray(r * O, (r + 1) * O)
    return (context) => {
      const s = lossScale(scale, overRows, context)
      const { weights } = context.data
      if (!weights) return kernel.tangent(vz, vt, vRz, vRdz, context.rows, O, T, s, constants)
      eachWeighted(weights, context, (r, ω) => {
        const t = vt.subarray(r * T, (r + 1) * T)
        kernel.tangent(rowOfZ(vz, r), t, rowOfZ(vRz, r), rowOfZ(vRdz, r), 1, O, T, s * ω, constants)
      })
    }
  },

  activateGradTangent({ row, x, y, Rx, dy, Rdy, Rdx, O }, memory) {
    const activation = rowOf(ACTIVATIONS, row)
    const [v, vRx, vdy, vRdy, vRdx] = [activation.keeps === 'input' ? x : y, Rx, dy, Rdy, Rdx].map((at) =>
      memory.view(at, O * memory.capacity),
    )
    return ({ rows }) => activation.backwardTangent(v, vRx, vdy, vRdy, vRdx, rows, O)
  },

  affineGradWeightsTangent({ x, Rx, dy, Rdy, RdW, Rdb, I, O }, memory) {
    const [vx, vRx] = [memory.view(x, I * memory.capacity), memory.optional(Rx, I * memory.capacity)]
    const [vdy, vRdy] = [memory.view(dy, O * memory.capacity), memory.view(Rdy, O * memory.capacity)]
    const [vRdW, vRdb] = [memory.view(RdW, I * O), memory.optional(Rdb, O)]
    return ({ rows, offset }) => affineGradWeightsTangent(vx, vRx, vdy, vRdy, vRdW, vRdb, rows, I, O, offset > 0)
  },

  affineGradInputTangent({ dy, Rdy, W, RW, Rdx, I, O }, memory) {
    const [vdy, vRdy] = [memory.view(dy, O * memory.capacity), memory.view(Rdy, O * memory.capacity)]
    const [vW, vRW, vRdx] = [memory.view(W, I * O), memory.view(RW, I * O), memory.view(Rdx, I * memory.capacity)]
    return ({ rows }) => affineGradInputTangent(vdy, vRdy, vW, vRW, vRdx, rows, I, O)
  },

  penalty({ w, dw, n, lambda }, memory) {
    const [vw, vdw] = [memory.view(w, n), memory.optional(dw, n)]
    return (context) => {
      const squares = sumOfSquares(vw)
      if (vdw) for (let i = 0; i < n; i++) vdw[i] += lambda * vw[i]
      context.penalty += 0.5 * lambda * squares
    }
  },

  penaltyL1({ w, dw, n, lambda }, memory) {
    const [vw, vdw] = [memory.view(w, n), memory.optional(dw, n)]
    return (context) => {
      let sum = 0
      for (let i = 0; i < n; i++) sum += Math.abs(vw[i])
      if (vdw) for (let i = 0; i < n; i++) vdw[i] += lambda * Math.sign(vw[i])
      context.penalty += lambda * sum
    }
  },

  guard({ g, n }, memory) {
    const vg = memory.view(g, n)
    return (context) => {
      context.gradientNorm = Math.sqrt(sumOfSquares(vg))
      context.refused = !Number.isFinite(context.loss + context.penalty) || !Number.isFinite(context.gradientNorm)
    }
  },

  account({ w, g, m, v, most, n, coupled, decay, share, corrected, initial, epsilon }, memory) {
    const vg = memory.view(g, n)
    const [vw, vm, vv, vmost] = [w, m, v, most].map((at) => memory.optional(at, n))
    return (context) => {
      const c = corrected ? 1 - decay ** (context.step + 1) : 1
      let [gg, gm, gw, plain] = [0, 0, 0, 0]
      for (let i = 0; i < n; i++) {
        const gi = vg[i]
        const wi = vw ? vw[i] : 0
        const joined = gi + coupled * wi
        const square = vv ? decay * vv[i] + share * joined * joined : 0
        const u = vmost ? Math.max(vmost[i], square) : square
        const scaled = vv ? gi / (Math.sqrt(u / c + initial) + epsilon) : gi
        gg += scaled * gi
        if (vm) gm += scaled * vm[i]
        gw += scaled * wi
        plain += gi * wi
      }
      context.sums = [gg, gm, gw, plain]
    }
  },

  clipNorm({ g, n, most }, memory) {
    const vg = memory.view(g, n)
    return ({ gradientNorm }) => {
      const c = Math.min(1, most / (gradientNorm + CLIP_EPSILON))
      if (c < 1) for (let i = 0; i < n; i++) vg[i] *= c
    }
  },

  clipValue({ g, n, most }, memory) {
    const vg = memory.view(g, n)
    return () => {
      for (let i = 0; i < n; i++) vg[i] = within(most, vg[i])
    }
  },

  coupleDecay({ w, g, n, lambda }, memory) {
    const [vw, vg] = [memory.view(w, n), memory.view(g, n)]
    return () => {
      for (let i = 0; i < n; i++) vg[i] += lambda * vw[i]
    }
  },

  momentum({ g, m, n, beta, nesterov }, memory) {
    const [vg, vm] = [memory.view(g, n), memory.view(m, n)]
    return () => {
      for (let i = 0; i < n; i++) {
        const moved = beta * vm[i] + vg[i]
        vm[i] = moved
        vg[i] = nesterov ? vg[i] + beta * moved : moved
      }
    }
  },

  scaleByAdam({ g, m, v, n, beta1, beta2, epsilon }, memory) {
    const [vg, vm, vv] = [memory.view(g, n), memory.view(m, n), memory.view(v, n)]
    return ({ step }) => {
      // Multiplied by, not divided by: of three divisions an entry two are spared.
      const c1 = 1 / (1 - beta1 ** (step + 1))
      const c2 = 1 / (1 - beta2 ** (step + 1))
      for (let i = 0; i < n; i++) {
        const gi = vg[i]
        const mi = beta1 * vm[i] + (1 - beta1) * gi
        const vi = beta2 * vv[i] + (1 - beta2) * gi * gi
        vm[i] = mi
        vv[i] = vi
        vg[i] = (mi * c1) / (Math.sqrt(vi * c2) + epsilon)
      }
    }
  },

  scaleByRms({ g, v, n, decay, epsilon }, memory) {
    const [vg, vv] = [memory.view(g, n), memory.view(v, n)]
    return () => {
      for (let i = 0; i < n; i++) {
        const vi = decay * vv[i] + (1 - decay) * vg[i] * vg[i]
        vv[i] = vi
        vg[i] /= Math.sqrt(vi) + epsilon
      }
    }
  },

  scaleByAdagrad({ g, v, n, initial, epsilon, slowing }, memory) {
    const [vg, vv] = [memory.view(g, n), memory.view(v, n)]
    return ({ step }) => {
      const c = 1 + slowing * step
      for (let i = 0; i < n; i++) {
        const vi = vv[i] + vg[i] * vg[i]
        vv[i] = vi
        vg[i] = vg[i] / (Math.sqrt(vi + initial) + epsilon) / c
      }
    }
  },

  scaleByAmsgrad({ g, m, v, most, n, beta1, beta2, epsilon }, memory) {
    const [vg, vm, vv, vmost] = [g, m, v, most].map((at) => memory.view(at, n))
    return ({ step }) => {
      const c1 = 1 - beta1 ** (step + 1)
      const c2 = 1 - beta2 ** (step + 1)
      for (let i = 0; i < n; i++) {
        const gi = vg[i]
        const mi = beta1 * vm[i] + (1 - beta1) * gi
        const vi = beta2 * vv[i] + (1 - beta2) * gi * gi
        const largest = Math.max(vmost[i], vi)
        vm[i] = mi
        vv[i] = vi
        vmost[i] = largest
        vg[i] = mi / c1 / (Math.sqrt(largest / c2) + epsilon)
      }
    }
  },

  scaleByNadam({ g, m, v, n, beta1, beta2, epsilon, psi }, memory) {
    const [vg, vm, vv] = [memory.view(g, n), memory.view(m, n), memory.view(v, n)]
    const weights = nadamWeights(beta1, psi)
    return ({ step }) => {
      const c2 = 1 - beta2 ** (step + 1)
      const c = weights(step + 1)
      for (let i = 0; i < n; i++) {
        const gi = vg[i]
        const mi = beta1 * vm[i] + (1 - beta1) * gi
        const vi = beta2 * vv[i] + (1 - beta2) * gi * gi
        vm[i] = mi
        vv[i] = vi
        vg[i] = (c.gradient * gi + c.memory * mi) / (Math.sqrt(vi / c2) + epsilon)
      }
    }
  },

  signOfMomentum({ g, m, n, beta1, beta2 }, memory) {
    const [vg, vm] = [memory.view(g, n), memory.view(m, n)]
    return () => {
      for (let i = 0; i < n; i++) {
        const c = beta1 * vm[i] + (1 - beta1) * vg[i]
        vm[i] = beta2 * vm[i] + (1 - beta2) * vg[i]
        vg[i] = Math.sign(c)
      }
    }
  },

  orthogonalize({ g, I, O, work, steps, scale }, memory) {
    const k = Math.min(I, O)
    const vg = memory.view(g, I * O)
    const product = memory.view(work, I * O)
    const square = memory.view(work + I * O, k * k)
    const fourth = memory.view(work + I * O + k * k, k * k)
    const { a, b, c } = NEWTON_SCHULZ
    return () => {
      let squares = 0
      for (let i = 0; i < I * O; i++) squares += vg[i] * vg[i]
      const norm = Math.sqrt(squares) + 1e-7
      for (let i = 0; i < I * O; i++) vg[i] /= norm
      for (let step = 0; step < steps; step++) {
        // On the shorter side: XXᵀ·X = X·XᵀX.
        if (I <= O) affineGradInput(vg, vg, square, I, I, O, false)
        else affineGradWeights(vg, vg, square, null, I, O, O, false)
        affine(square, square, null, fourth, k, k, k)
        for (let i = 0; i < k * k; i++) square[i] = b * square[i] + c * fourth[i]
        if (I <= O) affine(square, vg, null, product, I, I, O)
        else affine(vg, square, null, product, I, O, O)
        for (let i = 0; i < I * O; i++) vg[i] = a * vg[i] + product[i]
      }
      for (let i = 0; i < I * O; i++) vg[i] *= scale
    }
  },

  average({ w, a, n, decay }, memory) {
    const [vw, va] = [memory.view(w, n), memory.view(a, n)]
    return ({ step }) => {
      if (step === 0) va.set(vw)
      else for (let i = 0; i < n; i++) va[i] = decay * va[i] + (1 - decay) * vw[i]
    }
  },

  decayWeights({ w, n, lambda }, memory) {
    const vw = memory.view(w, n)
    return ({ learningRate }) => {
      const largest = largestIn(vw)
      for (let i = 0; i < n; i++) vw[i] = within(largest, vw[i] - learningRate * lambda * vw[i])
    }
  },

  descend({ w, g, n }, memory) {
    const [vw, vg] = [memory.view(w, n), memory.view(g, n)]
    return ({ learningRate }) => {
      const largest = largestIn(vw)
      for (let i = 0; i < n; i++) vw[i] = within(largest, vw[i] - learningRate * vg[i])
    }
  },
}

/** A loop of its own: V8 left the optimized code of one that had more to do behind it, at every call. */
function sumOfSquares(values: Floats): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i]
  return sum
}

/** Of Jordan et al. 2024: singular values in (0, 1] come near 1 in few steps, none exactly. */
const NEWTON_SCHULZ = { a: 3.4445, b: -4.775, c: 2.0315 }

/** As PyTorch's clip_grad_norm_ has it. */
const CLIP_EPSILON = 1e-6

function rowOf<R>(table: ReadonlyMap<string, R>, name: string | undefined): R {
  const row = name === undefined ? undefined : table.get(name)
  if (row === undefined) throw new Error(`no row ${name}`)
  return row
}

/** An instruction with its operands resolved. */
export function prepare<K extends OpName>(instruction: InstructionOf<K> & { op: K }, memory: Memory): Operation {
  return (PREPARE[instruction.op] as unknown as Prepare<K>)(instruction, memory)
}

/** Keys of all operations: everything the vocabulary and the tables hold. */
export function operationKeys(): Set<string> {
  const tables = { activations: ACTIVATIONS, losses: LOSS_KERNELS }
  const keys = new Set<string>()
  for (const op of Object.keys(OPS) as OpName[]) {
    const row: OpRow = OPS[op]
    if (row.rows === undefined) keys.add(op)
    else for (const name of tables[row.rows].keys()) keys.add(opKey({ op, row: name }))
  }
  return keys
}
