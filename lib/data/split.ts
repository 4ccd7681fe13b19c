/**
 * Splits: which rows train and which are held out. Drawn after a seeded shuffle, never from the tail of the data, and
 * for classes stratified: each class keeps its share. Only row numbers come and go here; the data is not looked at.
 */
import { DownhillError, expected } from '../errors'
import { countTo, random, shuffle } from '../random'

/** Row numbers, each list ascending, so that training without a shuffle keeps the data's order. */
export interface Split {
  readonly train: Uint32Array
  readonly validation: Uint32Array
}

export interface SplitOptions {
  readonly seed: number
  /** The class of each row, 0 … K−1; null or left out where there are none. */
  readonly classes?: Uint32Array | null
}

/**
 * Holds out `share` of `rows` rows.
 *
 * round(rows × share) rows are held out, at least one and not all. With `classes`, each class of two rows or more gives
 * its share to within one row and always trains; it is on both sides wherever so many rows are held out. A class of one
 * row trains, so that the count may fall short by as many.
 *
 * @throws ERR_OPTION unless 0 < share < 1; ERR_SHAPE for fewer than two rows
 */
export function splitRows(rows: number, share: number, { seed, classes }: SplitOptions): Split {
  if (!(typeof share === 'number' && share > 0 && share < 1))
    throw expected('a share between 0 and 1 (both excluded)', 'validation', share)
  if (rows < 2)
    throw new DownhillError(
      'ERR_SHAPE',
      `Expected at least two rows to hold some out for validation but x has ${rows}.`,
    )
  const wanted = Math.min(rows - 1, Math.max(1, Math.round(rows * share)))
  const quota = classes ? stratify(countEach(classes), share, wanted) : [wanted]
  const isHeldOut = new Uint8Array(rows)
  let held = 0
  const order = shuffle(countTo(rows), random(seed, 'split'))
  const hold = (row: number): void => {
    isHeldOut[row] = 1
    held++
  }
  for (const row of order) {
    const group = classes ? classes[row] : 0
    if (quota[group]-- > 0) hold(row)
  }
  // Every class is a single row: none has one to give, and yet one must be held out.
  if (held === 0) hold(order[0])
  const all = countTo(rows)
  return { train: all.filter((row) => !isHeldOut[row]), validation: all.filter((row) => isHeldOut[row]) }
}

/**
 * Deals rows into `count` parts whose sizes differ by one at most; with `classes`, so do those of each class, as nearly as
 * both can be: rows are shuffled by the seed, put in order of their class, and dealt in turn.
 *
 * @returns row numbers of each part, ascending
 * @throws ERR_OPTION for fewer than two parts; ERR_SHAPE for fewer rows than parts
 */
export function foldRows(rows: number, count: number, { seed, classes }: SplitOptions): Uint32Array[] {
  if (!(count >= 2)) throw expected('an integer ≥ 2', 'folds', count)
  if (rows < count)
    throw new DownhillError('ERR_SHAPE', `Expected at least ${count} rows for ${count} folds but x has ${rows}.`)
  const order = shuffle(countTo(rows), random(seed, 'split'))
  if (classes) order.sort((a, b) => classes[a] - classes[b]) // stable: still shuffled within a class
  return Array.from({ length: count }, (_, fold) => order.filter((_, i) => i % count === fold).sort())
}

/**
 * How many rows of each class are held out, `wanted` in all where that can be: whole parts of count × share first, then
 * one more row where the largest parts are left over (Hamilton's method). A class keeps a row to train on.
 */
function stratify(counts: readonly number[], share: number, wanted: number): number[] {
  const room = counts.map((count) => (count > 1 ? Math.min(count - 1, Math.ceil(count * share)) : 0))
  const whole = counts.map((count, k) => Math.min(room[k], Math.floor(count * share)))
  const shown = counts.map((count, k) => (count > 1 ? Math.max(1, whole[k]) : 0))
  // With fewer rows to hold out than classes need to show, shares alone decide.
  const quota = sum(shown) <= wanted ? shown : whole
  const byRemainder = counts
    .map((count, k) => ({ k, remainder: count * share - Math.floor(count * share) }))
    .sort((a, b) => b.remainder - a.remainder || a.k - b.k)
  let missing = wanted - sum(quota)
  for (const { k } of byRemainder) {
    if (missing <= 0) break
    if (quota[k] >= room[k]) continue
    quota[k]++
    missing--
  }
  return quota
}

function countEach(classes: Uint32Array): number[] {
  const counts: number[] = []
  for (const k of classes) {
    while (counts.length <= k) counts.push(0)
    counts[k]++
  }
  return counts
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
