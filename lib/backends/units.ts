/**
 * The operations of layers that work unit by unit in plain TypeScript: gains and shifts, normalisation, slopes. The
 * specification of native/units.cc.
 *
 * Everything is computed in double and rounded once, where it is stored. Means and sums are taken from the first term
 * to the last.
 */
import type { Floats } from '../plan/plan'
import { largestIn, type Memory, type Prepare, within } from './context'

// ---------------------------------------------------------------------------------------------------- sums over rows

/** to[o] (+)= Σ_b term(b·O + o), for the O units of `rows` rows. */
function sumOverRows(to: Floats, rows: number, O: number, accumulate: boolean, term: (i: number) => number): void {
  for (let o = 0; o < O; o++) {
    let sum = 0
    for (let i = o; i < rows * O; i += O) sum += term(i)
    to[o] = accumulate ? to[o] + sum : sum
  }
}

// ---------------------------------------------------------------------------------------------------- normalisation

/** Groups of numbers that are normalised together: entry k of group g is at g·ahead + k·apart. */
interface Groups {
  readonly count: number
  readonly ahead: number
  /** Entries of a group. */
  readonly n: number
  readonly apart: number
}

const rowsOf = (rows: number, O: number): Groups => ({ count: rows, ahead: O, n: O, apart: 1 })
const columnsOf = (rows: number, O: number): Groups => ({ count: O, ahead: 1, n: rows, apart: O })

/** The mean of `term` over the entries of a group that begins at `from`. */
function meanOf({ n, apart }: Groups, from: number, term: (i: number) => number): number {
  let sum = 0
  for (let k = 0, i = from; k < n; k++, i += apart) sum += term(i)
  return sum / n
}

/** Mean and variance of each group: the first two moments about the mean. */
type Moments = (groups: Groups, g: number) => { mean: number; variance: number }

const momentsOf =
  (x: Floats): Moments =>
  (groups, g) => {
    const from = g * groups.ahead
    const mean = meanOf(groups, from, (i) => x[i])
    return { mean, variance: meanOf(groups, from, (i) => (x[i] - mean) ** 2) }
  }

/** s = 1/√(var x + ε), y = s·(x − mean x); Ioffe & Szegedy 2015, Ba et al. 2016. */
function normalize(x: Floats, y: Floats, s: Floats | null, groups: Groups, epsilon: number, moments: Moments): void {
  for (let g = 0; g < groups.count; g++) {
    const { mean, variance } = moments(groups, g)
    const scale = 1 / Math.sqrt(variance + epsilon)
    for (let k = 0, i = g * groups.ahead; k < groups.n; k++, i += groups.apart) y[i] = scale * (x[i] - mean)
    if (s) s[g] = scale
  }
}

/** dx = J·dy. J is symmetric, so that this is the tangent of y too. */
function normalizeGrad(y: Floats, s: Floats, dy: Floats, dx: Floats, groups: Groups): void {
  for (let g = 0; g < groups.count; g++) {
    const from = g * groups.ahead
    const mean = meanOf(groups, from, (i) => dy[i])
    const along = meanOf(groups, from, (i) => dy[i] * y[i])
    for (let k = 0, i = from; k < groups.n; k++, i += groups.apart) dx[i] = s[g] * (dy[i] - mean - y[i] * along)
  }
}

/**
 * Rdx = J·Rdy + RJ·dy. With c = mean(Rx ⊙ y): Rs = −s²·c and Ry = s·(Rx − mean Rx − y·c), and J has its s, its y twice.
 */
function normalizeGradTangent(
  y: Floats,
  s: Floats,
  Rx: Floats,
  dy: Floats,
  Rdy: Floats,
  Rdx: Floats,
  groups: Groups,
): void {
  for (let g = 0; g < groups.count; g++) {
    const from = g * groups.ahead
    const mean = (term: (i: number) => number): number => meanOf(groups, from, term)
    const [meanRx, c] = [mean((i) => Rx[i]), mean((i) => Rx[i] * y[i])]
    const [meanDy, along] = [mean((i) => dy[i]), mean((i) => dy[i] * y[i])]
    const Ry = (i: number): number => s[g] * (Rx[i] - meanRx - y[i] * c)
    const [meanRdy, turned] = [mean((i) => Rdy[i]), mean((i) => Rdy[i] * y[i] + dy[i] * Ry(i))]
    for (let k = 0, i = from; k < groups.n; k++, i += groups.apart) {
      const straight = Rdy[i] - meanRdy - y[i] * turned - Ry(i) * along
      Rdx[i] = s[g] * (straight - s[g] * c * (dy[i] - meanDy - y[i] * along))
    }
  }
}

// ---------------------------------------------------------------------------------------------------- the table

/** Views of (capacity, columns) each. */
function views(memory: Memory, columns: number, ...offsets: readonly number[]): Floats[] {
  return offsets.map((at) => memory.view(at, columns * memory.capacity))
}

type UnitOperation =
  | 'scale'
  | 'scaleGrad'
  | 'scaleGradInput'
  | 'scaleTangent'
  | 'scaleGradTangent'
  | 'scaleGradInputTangent'
  | 'normalizeRows'
  | 'normalizeRowsGrad'
  | 'normalizeRowsGradTangent'
  | 'normalizeColumns'
  | 'normalizeColumnsGrad'
  | 'normalizeColumnsGradTangent'
  | 'normalizeBy'
  | 'normalizeByGrad'
  | 'track'
  | 'prelu'
  | 'preluGrad'
  | 'preluGradSlope'
  | 'preluTangent'
  | 'preluGradTangent'
  | 'preluGradSlopeTangent'

export const UNIT_OPERATIONS: { readonly [K in UnitOperation]: Prepare<K> } = {
  scale({ x, g, b, y, O }, memory) {
    const [vx, vy] = views(memory, O, x, y)
    const [vg, vb] = [memory.view(g, O), memory.view(b, O)]
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vy[i] = vg[i % O] * vx[i] + vb[i % O]
    }
  },

  scaleGrad({ x, dy, dg, db, O }, memory) {
    const [vx, vdy] = views(memory, O, x, dy)
    const [vdg, vdb] = [memory.view(dg, O), memory.view(db, O)]
    return ({ rows, offset }) => {
      sumOverRows(vdg, rows, O, offset > 0, (i) => vdy[i] * vx[i])
      sumOverRows(vdb, rows, O, offset > 0, (i) => vdy[i])
    }
  },

  scaleGradInput({ dy, g, dx, O }, memory) {
    const [vdy, vdx] = views(memory, O, dy, dx)
    const vg = memory.view(g, O)
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vdx[i] = vg[i % O] * vdy[i]
    }
  },

  scaleTangent({ x, Rx, g, Rg, Rb, Ry, O }, memory) {
    const [vx, vRy] = views(memory, O, x, Ry)
    const vRx = memory.optional(Rx, O * memory.capacity)
    const [vg, vRg, vRb] = [g, Rg, Rb].map((at) => memory.view(at, O))
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vRy[i] = vg[i % O] * (vRx ? vRx[i] : 0) + vRg[i % O] * vx[i] + vRb[i % O]
    }
  },

  scaleGradTangent({ x, Rx, dy, Rdy, Rdg, Rdb, O }, memory) {
    const [vx, vdy, vRdy] = views(memory, O, x, dy, Rdy)
    const vRx = memory.optional(Rx, O * memory.capacity)
    const [vRdg, vRdb] = [memory.view(Rdg, O), memory.view(Rdb, O)]
    return ({ rows, offset }) => {
      sumOverRows(vRdg, rows, O, offset > 0, (i) => vRdy[i] * vx[i] + vdy[i] * (vRx ? vRx[i] : 0))
      sumOverRows(vRdb, rows, O, offset > 0, (i) => vRdy[i])
    }
  },

  scaleGradInputTangent({ dy, Rdy, g, Rg, Rdx, O }, memory) {
    const [vdy, vRdy, vRdx] = views(memory, O, dy, Rdy, Rdx)
    const [vg, vRg] = [memory.view(g, O), memory.view(Rg, O)]
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vRdx[i] = vg[i % O] * vRdy[i] + vRg[i % O] * vdy[i]
    }
  },

  normalizeRows({ x, y, s, O, epsilon }, memory) {
    const [vx, vy] = views(memory, O, x, y)
    const [vs] = views(memory, 1, s)
    return ({ rows }) => normalize(vx, vy, vs, rowsOf(rows, O), epsilon, momentsOf(vx))
  },

  normalizeRowsGrad({ y, s, dy, dx, O }, memory) {
    const [vy, vdy, vdx] = views(memory, O, y, dy, dx)
    const [vs] = views(memory, 1, s)
    return ({ rows }) => normalizeGrad(vy, vs, vdy, vdx, rowsOf(rows, O))
  },

  normalizeRowsGradTangent({ y, s, Rx, dy, Rdy, Rdx, O }, memory) {
    const [vy, vRx, vdy, vRdy, vRdx] = views(memory, O, y, Rx, dy, Rdy, Rdx)
    const [vs] = views(memory, 1, s)
    return ({ rows }) => normalizeGradTangent(vy, vs, vRx, vdy, vRdy, vRdx, rowsOf(rows, O))
  },

  normalizeColumns({ x, y, s, mean, variance, oldMean, oldVariance, O, epsilon }, memory) {
    const [vx, vy] = views(memory, O, x, y)
    const [vs, vmean, vvariance, vold, voldVariance] = [s, mean, variance, oldMean, oldVariance].map((at) =>
      memory.view(at, O),
    )
    const ofBatch = momentsOf(vx)
    return ({ rows }) =>
      normalize(vx, vy, vs, columnsOf(rows, O), epsilon, (groups, o) => {
        const isAlone = rows === 1
        const moments = isAlone ? { mean: vold[o], variance: voldVariance[o] } : ofBatch(groups, o)
        vmean[o] = moments.mean
        vvariance[o] = isAlone ? moments.variance : (moments.variance * rows) / (rows - 1)
        return moments
      })
  },

  normalizeColumnsGrad({ y, s, dy, dx, O }, memory) {
    const [vy, vdy, vdx] = views(memory, O, y, dy, dx)
    const vs = memory.view(s, O)
    return ({ rows }) => {
      if (rows > 1) normalizeGrad(vy, vs, vdy, vdx, columnsOf(rows, O))
      else for (let o = 0; o < O; o++) vdx[o] = vs[o] * vdy[o]
    }
  },

  normalizeColumnsGradTangent({ y, s, Rx, dy, Rdy, Rdx, O }, memory) {
    const [vy, vRx, vdy, vRdy, vRdx] = views(memory, O, y, Rx, dy, Rdy, Rdx)
    const vs = memory.view(s, O)
    return ({ rows }) => {
      if (rows > 1) normalizeGradTangent(vy, vs, vRx, vdy, vRdy, vRdx, columnsOf(rows, O))
      else for (let o = 0; o < O; o++) vRdx[o] = vs[o] * vRdy[o]
    }
  },

  normalizeBy({ x, mean, variance, y, O, epsilon }, memory) {
    const [vx, vy] = views(memory, O, x, y)
    const [vmean, vvariance] = [memory.view(mean, O), memory.view(variance, O)]
    return ({ rows }) =>
      normalize(vx, vy, null, columnsOf(rows, O), epsilon, (_, o) => ({ mean: vmean[o], variance: vvariance[o] }))
  },

  normalizeByGrad({ dy, variance, dx, O, epsilon }, memory) {
    const [vdy, vdx] = views(memory, O, dy, dx)
    const vvariance = memory.view(variance, O)
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vdx[i] = vdy[i] / Math.sqrt(vvariance[i % O] + epsilon)
    }
  },

  track({ x, to, n, rate }, memory) {
    const [vx, vto] = [memory.view(x, n), memory.view(to, n)]
    const largest = largestIn(vto)
    return () => {
      for (let i = 0; i < n; i++) vto[i] = within(largest, vto[i] + rate * (vx[i] - vto[i]))
    }
  },

  prelu({ x, a, y, O, A }, memory) {
    const [vx, vy] = views(memory, O, x, y)
    const va = memory.view(a, A)
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vy[i] = vx[i] > 0 ? vx[i] : va[i % A] * vx[i]
    }
  },

  preluGrad({ x, a, dy, dx, O, A }, memory) {
    const [vx, vdy, vdx] = views(memory, O, x, dy, dx)
    const va = memory.view(a, A)
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vdx[i] = vx[i] > 0 ? vdy[i] : va[i % A] * vdy[i]
    }
  },

  preluGradSlope({ x, dy, da, O, A }, memory) {
    const [vx, vdy] = views(memory, O, x, dy)
    const vda = memory.view(da, A)
    return ({ rows, offset }) =>
      sumOverRows(vda, (rows * O) / A, A, offset > 0, (i) => (vx[i] > 0 ? 0 : vx[i] * vdy[i]))
  },

  preluTangent({ x, Rx, a, Ra, Ry, O, A }, memory) {
    const [vx, vRy] = views(memory, O, x, Ry)
    const vRx = memory.optional(Rx, O * memory.capacity)
    const [va, vRa] = [memory.view(a, A), memory.view(Ra, A)]
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) {
        const turned = vRx ? vRx[i] : 0
        vRy[i] = vx[i] > 0 ? turned : va[i % A] * turned + vRa[i % A] * vx[i]
      }
    }
  },

  preluGradTangent({ x, a, Ra, dy, Rdy, Rdx, O, A }, memory) {
    const [vx, vdy, vRdy, vRdx] = views(memory, O, x, dy, Rdy, Rdx)
    const [va, vRa] = [memory.view(a, A), memory.view(Ra, A)]
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vRdx[i] = vx[i] > 0 ? vRdy[i] : va[i % A] * vRdy[i] + vRa[i % A] * vdy[i]
    }
  },

  preluGradSlopeTangent({ x, Rx, dy, Rdy, Rda, O, A }, memory) {
    const [vx, vdy, vRdy] = views(memory, O, x, dy, Rdy)
    const vRx = memory.optional(Rx, O * memory.capacity)
    const vRda = memory.view(Rda, A)
    return ({ rows, offset }) =>
      sumOverRows(vRda, (rows * O) / A, A, offset > 0, (i) =>
        vx[i] > 0 ? 0 : vx[i] * vRdy[i] + (vRx ? vRx[i] : 0) * vdy[i],
      )
  },
}
