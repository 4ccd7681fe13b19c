/**
 * A line search for the strong Wolfe conditions: a step that lowers a function enough for its length, to where the slope
 * along the line is a fraction of what it was (Nocedal & Wright 2006, algorithms 3.5 and 3.6). Trial steps are minima of
 * cubics through two points and their slopes, kept away from the ends of their bracket. It knows no network: a trial is a
 * generator of whatever orders evaluating it takes.
 */

/** A point on the line; what else a trial carries is the caller's. */
export interface Trial {
  readonly alpha: number
  /** Value, and slope along the line; not finite where the function is not. */
  readonly f: number
  readonly slope: number
}

export interface LineSearch<T extends Trial, Order, Answer> {
  /** α = 0; its slope is below 0. */
  readonly start: T
  /** The first α to try. */
  readonly first: number
  /** Evaluations at most. */
  readonly most: number
  /** null: there is to be no more. */
  look(alpha: number): Generator<Order, T | null, Answer>
}

/** Enough: f(α) ≤ f(0) + c1·α·f'(0) and |f'(α)| ≤ c2·|f'(0)|; the book's for quasi-Newton directions. */
const ENOUGH = 1e-4
const FLAT = 0.9
/** A bracket this narrow, as a share of its higher end, has no more to give. */
const NARROW = 1e-9
/** Trials within a bracket keep this share of it from its ends. */
const MARGIN = 0.1
/** Where no bracket is found yet, the next trial is this many times as far at most. */
const FARTHER = 10

/** The lowest point found, where it lies enough below the start; null where none does, or looking was ended. */
export function* strongWolfe<T extends Trial, Order, Answer>(
  search: LineSearch<T, Order, Answer>,
): Generator<Order, T | null, Answer> {
  const { start, first, most, look } = search
  const isLow = ({ alpha, f }: Trial): boolean => f <= start.f + ENOUGH * alpha * start.slope
  const isFlat = ({ slope }: Trial): boolean => Math.abs(slope) <= -FLAT * start.slope

  // A bracket: `low` is low enough and the lowest so far; between it and `high` lies what is sought.
  let low = start
  let high: T | null = null
  let alpha = first
  for (let count = 0; count < most; count++) {
    const trial = yield* look(alpha)
    if (trial === null) return null
    if (!isLow(trial) || !(trial.f < low.f)) high = trial
    else {
      if (isFlat(trial)) return trial
      const beyond = high === null ? 1 : high.alpha - low.alpha
      // Uphill beyond it: what is sought lies on the side that it was reached from.
      if (trial.slope * beyond >= 0) high = low
      low = trial
    }
    if (high === null) alpha = Math.min(FARTHER * alpha, Math.max(2 * alpha, lowestBetween(start, low)))
    else {
      const [from, to] = low.alpha < high.alpha ? [low.alpha, high.alpha] : [high.alpha, low.alpha]
      if (to - from <= NARROW * to) break
      const margin = MARGIN * (to - from)
      alpha = Math.min(to - margin, Math.max(from + margin, lowestBetween(low, high)))
    }
  }
  return low === start ? null : low
}

/** Where the cubic through two points and their slopes has its minimum; their middle where that cannot be told. */
function lowestBetween(a: Trial, b: Trial): number {
  const d = a.slope + b.slope - (3 * (a.f - b.f)) / (a.alpha - b.alpha)
  const square = d * d - a.slope * b.slope
  const root = Math.sign(b.alpha - a.alpha) * Math.sqrt(square)
  const at = b.alpha - ((b.alpha - a.alpha) * (b.slope + root - d)) / (b.slope - a.slope + 2 * root)
  return Number.isFinite(at) ? at : (a.alpha + b.alpha) / 2
}
