/**
 * Prices: what a pass over rows takes, foretold from the number of parameters, so that a budget is kept without a clock
 * and two machines decide alike.
 */
import type { Layout } from '../plan/layout'

/** Multiplications and additions a second that a core can be trusted with, small nets and all. */
export const SPEED = { native: 4e10, typescript: 4e8 } as const

/**
 * Of a gradient, by row: each parameter is multiplied on the way there and twice on the way back, but of a table one row
 * is looked up.
 */
export function operationsOf({ tensors }: Pick<Layout, 'tensors'>): number {
  return tensors.reduce((sum, { spec: { rows, columns, isTable } }) => sum + 6 * columns * (isTable ? 1 : rows), 0)
}
