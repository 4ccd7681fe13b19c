/**
 * When two numbers that came by different routes are the same.
 */
import type { Floats } from '../plan/plan'

/**
 * What two routes to one gradient may differ by: 1e-5 of either entry and of the tensor's largest. That is far above the
 * rounding of float64 and of a well-conditioned float32, and far below a fault worth a name (a mean over n − 1 rows
 * instead of n shows up to 50,000 rows).
 */
const RELATIVE = 1e-5
/** Of max(1, |L|): sums in another order, where everything cancels. */
export const ABSOLUTE = 1e-12
/** Losses and outputs, which may have been computed in float32 from rounded data. */
const VALUES = { relative: 1e-4, absolute: 1e-7 }

/** ‖a − b‖ / max(‖a‖, ‖b‖); 0 where both are 0. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, ofA, ofB] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2
    ofA += a[i] ** 2
    ofB += b[i] ** 2
  }
  return difference === 0 ? 0 : Math.sqrt(difference) / Math.sqrt(Math.max(ofA, ofB))
}

/** The largest |a − b| as a share of what is allowed, and where; NaN is the worst. `absolute` is allowed besides. */
export function disagreement(a: Floats, b: Floats, absolute: number): { share: number; index: number } {
  let largest = 0
  for (const value of a) largest = Math.max(largest, Math.abs(value))
  let share = 0
  let index = 0
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue
    const s = Math.abs(a[i] - b[i]) / (absolute + RELATIVE * (largest + Math.abs(a[i]) + Math.abs(b[i])))
    if (s <= share) continue
    share = s
    index = i
    if (Number.isNaN(s)) break
  }
  return { share, index }
}

export function agree(a: Floats, b: Floats, absolute: number): boolean {
  return a.length === b.length && disagreement(a, b, absolute).share <= 1
}

/** Whether two losses, or two outputs, are the same. */
export function isNear(a: number, b: number): boolean {
  return a === b || Math.abs(a - b) <= VALUES.absolute + VALUES.relative * Math.max(Math.abs(a), Math.abs(b))
}
