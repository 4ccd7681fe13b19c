/**
 * Checks that every room needs for options: names from a table, numbers in a range.
 */
import { DownhillError, describe, expected, nearest } from './errors'

/**
 * `value` if it is one of `known`.
 * @throws ERR_OPTION naming the nearest right one
 */
export function checkName<const K extends string>(value: unknown, known: readonly K[], option: string): K {
  if (typeof value === 'string' && (known as readonly string[]).includes(value)) return value as K
  const guess = typeof value === 'string' ? nearest(value, known) : undefined
  const list = known.map((name) => JSON.stringify(name)).join(', ')
  throw new DownhillError(
    'ERR_OPTION',
    `Expected one of ${list} for ${option} but received ${describe(value)}${guess ? `; did you mean ${JSON.stringify(guess)}?` : '.'}`,
  )
}

/** A range of numbers, with its name in a sentence. */
export interface NumberRange {
  readonly says: string
  holds(x: number): boolean
}

export const RANGES = {
  positive: { says: 'a positive number', holds: (x) => x > 0 },
  notNegative: { says: 'a number ≥ 0', holds: (x) => x >= 0 },
  fraction: { says: 'a number in [0, 1)', holds: (x) => x >= 0 && x < 1 },
  share: { says: 'a number in (0, 1]', holds: (x) => x > 0 && x <= 1 },
  any: { says: 'a finite number', holds: () => true },
  count: { says: 'a positive integer', holds: (x) => Number.isSafeInteger(x) && x > 0 },
  wholeNotNegative: { says: 'an integer ≥ 0', holds: (x) => Number.isSafeInteger(x) && x >= 0 },
  seed: { says: 'an integer in [0, 2³²)', holds: (x) => Number.isInteger(x) && x >= 0 && x < 2 ** 32 },
} as const satisfies Record<string, NumberRange>

/**
 * `value` if it is a finite number in `range`.
 * @throws ERR_OPTION
 */
export function checkNumber(value: unknown, range: NumberRange, option: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && range.holds(value)) return value
  throw expected(range.says, option, value)
}

/** @throws ERR_OPTION unless `value` is true or false */
export function checkBoolean(value: unknown, option: string): boolean {
  if (typeof value === 'boolean') return value
  throw expected('true or false', option, value)
}
