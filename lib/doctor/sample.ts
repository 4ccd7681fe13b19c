/**
 * Samples: which rows an instrument looks at, and how it leaves the event loop its turn while it looks.
 *
 * Rows are drawn by the seed, so that a report can be repeated, and kept in the order of the data.
 */
import { selectRows } from '../data/matrix'
import { selectWeights } from '../data/weights'
import type { Table } from '../plan/plan'
import { countTo, type Random, random } from '../random'

/** `count` of the numbers 0 … n − 1, ascending; all of them where there are no more. */
export function sample(n: number, count: number, from: Random): Uint32Array {
  const numbers = countTo(n)
  if (n <= count) return numbers
  // The first steps of a shuffle: what stands in front then is a draw without replacement.
  for (let i = 0; i < count; i++) {
    const j = i + from.below(n - i)
    const held = numbers[i]
    numbers[i] = numbers[j]
    numbers[j] = held
  }
  return numbers.slice(0, count).sort()
}

/** At most `most` rows of a table, drawn by the seed. */
export function sampleTable(table: Table, most: number, seed: number): Table {
  return table.rows <= most ? table : selectTable(table, sample(table.rows, most, random(seed, 'sample')))
}

/** The rows of a table at `rows`, in that order, copied. */
export function selectTable(table: Table, rows: Uint32Array): Table {
  const { y, targets, weights = null } = table
  const picked = y && selectRows({ x: y, rows: table.rows, columns: targets, scale: 1 }, rows)
  return {
    ...table,
    ...selectRows(table, rows),
    y: picked && (picked.x as Table['y']),
    weights: selectWeights(weights, rows),
  }
}

/** Lets the event loop have its turn when the last one is some time ago: to be awaited in every long loop. */
export class Turns {
  #last = performance.now()

  /** Yields if more than `milliseconds` have passed. */
  async pass(milliseconds = 20): Promise<void> {
    if (performance.now() - this.#last < milliseconds) return
    await new Promise((resolve) => setImmediate(resolve))
    this.#last = performance.now()
  }
}
