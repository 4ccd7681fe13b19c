/**
 * The operations that move columns about in plain TypeScript: sums of two branches, columns that pass through, rows of
 * tables. The specification of native/columns.cc.
 */
import type { Prepare } from './context'

/** The index that a number stands for; 0 where it stands for none, which data are checked not to hold. */
function indexOf(value: number, size: number): number {
  return value >= 0 && value < size ? Math.trunc(value) : 0
}

type ColumnOperation = 'add' | 'copyColumn' | 'embed' | 'embedGrad'

export const COLUMN_OPERATIONS: { readonly [K in ColumnOperation]: Prepare<K> } = {
  add({ x, z, y, O }, memory) {
    const [vx, vy] = [memory.view(x, O * memory.capacity), memory.view(y, O * memory.capacity)]
    const vz = memory.optional(z, O * memory.capacity)
    return ({ rows }) => {
      for (let i = 0; i < rows * O; i++) vy[i] = vz ? vx[i] + vz[i] : vx[i]
    }
  },

  copyColumn({ x, y, I, O, column, to }, memory) {
    const [vx, vy] = [memory.optional(x, I * memory.capacity), memory.view(y, O * memory.capacity)]
    return ({ rows }) => {
      for (let r = 0; r < rows; r++) vy[r * O + to] = vx ? vx[r * I + column] : 0
    }
  },

  embed({ x, W, y, I, O, column, to, size, D }, memory) {
    const [vx, vy] = [memory.view(x, I * memory.capacity), memory.view(y, O * memory.capacity)]
    const vW = memory.view(W, size * D)
    return ({ rows }) => {
      for (let r = 0; r < rows; r++) {
        const from = indexOf(vx[r * I + column], size) * D
        for (let d = 0; d < D; d++) vy[r * O + to + d] = vW[from + d]
      }
    }
  },

  embedGrad({ x, dy, dW, I, O, column, to, size, D }, memory) {
    const [vx, vdy] = [memory.view(x, I * memory.capacity), memory.view(dy, O * memory.capacity)]
    const vdW = memory.view(dW, size * D)
    return ({ rows, offset }) => {
      if (offset === 0) vdW.fill(0)
      for (let r = 0; r < rows; r++) {
        const at = indexOf(vx[r * I + column], size) * D
        for (let d = 0; d < D; d++) vdW[at + d] += vdy[r * O + to + d]
      }
    }
  },
}
