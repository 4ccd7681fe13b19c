/**
 * Errors as users meet them: one sentence, a code, the way out.
 *
 * Everything this library throws on purpose is a DownhillError. Anything else that escapes is a fault of ours.
 */

/** Every code, and what it stands for. Codes are a promise: a new one needs a line in the changelog. */
export const ERROR_CODES = {
  ERR_SHAPE: 'sizes do not fit each other: ragged rows, a wrong number of columns, x and y of different length',
  ERR_OPTION: 'an option is unknown, out of its range or of the wrong type',
  ERR_DATA: 'a value in the data cannot be used: NaN, infinite, not a number, an unknown label',
  ERR_STATE: 'the model is not in the state the call needs, e.g. not built yet',
  ERR_BUSY: 'the model is training and the call would change it',
  ERR_ABORTED: 'an AbortSignal ended the run',
  ERR_DIVERGED: 'the loss or its gradient stopped being finite',
  ERR_FILE: 'a file cannot be read, parsed or written',
  ERR_BACKEND: 'the backend asked for is not there or lacks an operation',
  ERR_PEER: 'an optional package that the call needs is not installed',
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** The one error class. `cause` and `history` are set where they exist (see ERR_ABORTED and ERR_DIVERGED). */
export class DownhillError extends Error {
  override readonly name = 'DownhillError'
  /** What a run had recorded when it ended; on ERR_ABORTED and ERR_DIVERGED. */
  history?: unknown

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** The value and its type, short enough for a sentence: `-1 of type number`, `"sgdd"`, `an array of 3`. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 37)}…` : value)
  if (typeof value === 'number' || typeof value === 'boolean') return `${value} of type ${typeof value}`
  if (typeof value === 'bigint') return `${value}n of type bigint`
  if (typeof value === 'function') return value.name ? `the function ${value.name}` : 'a function'
  if (typeof value === 'symbol') return String(value)
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`
  const { name } = value.constructor ?? { name: 'no prototype' }
  return name ? `an object (${name})` : 'an object'
}

/** ERR_OPTION in the one form: *Expected a positive number for learningRate but received -1 of type number.* */
export function expected(what: string, name: string, value: unknown): DownhillError {
  return new DownhillError('ERR_OPTION', `Expected ${what} for ${name} but received ${describe(value)}.`)
}

/** The known name nearest to a misspelt one, or undefined if none is near (distance over a third of its length). */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const d = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (d < least) {
      least = d
      best = candidate
    }
  }
  return best !== undefined && least <= Math.max(1, Math.ceil(best.length / 3)) ? best : undefined
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment), by three rolling rows. */
function editDistance(a: string, b: string): number {
  let earlier: number[] = []
  let before = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = before[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(before[j] + 1, row[j - 1] + 1, substitution))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j], earlier[j - 2] + 1)
    }
    earlier = before
    before = row
  }
  return before[b.length]
}

/**
 * Throws ERR_OPTION unless `options` is an object of options with no key outside `known`; names the nearest right one.
 * @param where how the options are called in the sentence, e.g. `fit`.
 */
export function refuseUnknown(options: unknown, known: readonly string[], where: string): asserts options is object {
  // By its tag: arrays, dates, maps, promises and typed arrays have keys of their own or none, and would pass unseen.
  if (Object.prototype.toString.call(options) !== '[object Object]')
    throw expected('an object', `the options of ${where}`, options)
  for (const key of Object.keys(options as object)) {
    if (known.includes(key)) continue
    const guess = nearest(key, known)
    throw new DownhillError(
      'ERR_OPTION',
      `Unknown option ${JSON.stringify(key)} for ${where}${guess ? `; did you mean ${JSON.stringify(guess)}?` : `; it takes ${known.join(', ')}.`}`,
    )
  }
}
