/**
 * The first rise along a line: the smallest distance at which a function lies above its value at 0.
 *
 * A search by values alone, for loss surfaces that no series describes at that distance. A rise and a fall between two
 * neighbouring probes of the bracketing grid, a factor of 2 apart, are not seen.
 */

export interface FirstRise {
  /** 0 where the function rises at once; Infinity where no rise was found. */
  readonly at: number
  /** Evaluations to bracket it, and then to locate it. */
  readonly bracketing: number
  readonly locating: number
}

export interface LineSearch {
  /** Excess over the value at 0; a rise where it is above 0 or not a number. */
  excess(distance: number): Promise<number>
  /** Where to begin, e.g. at some fraction of what a quadratic model says. */
  readonly start: number
  /** No further. */
  readonly farthest: number
}

/** Evaluations to locate a rise within its bracket; with bisection alone they give 0.07 %. */
const MOST_LOCATING = 10
/** Near enough, relative. */
const PRECISION = 1e-7
/** Halvings of a start that is too far, to below the smallest double. */
const MOST_HALVINGS = 1100

export async function firstRise({ excess, start, farthest }: LineSearch): Promise<FirstRise> {
  let count = 0
  const probe = async (x: number): Promise<Point> => {
    count++
    return { x, f: await excess(x) }
  }
  let high = await probe(start)
  let low: Point | null = null
  if (rises(high))
    for (let i = 0; i < MOST_HALVINGS && low === null; i++) {
      const point = await probe(high.x / 2)
      if (rises(point)) high = point
      else low = point
    }
  else
    while (!rises(high)) {
      if (high.x >= farthest) return { at: Number.POSITIVE_INFINITY, bracketing: count, locating: 0 }
      low = high
      high = await probe(Math.min(2 * high.x, farthest))
    }
  const bracketing = count
  const at = low === null ? 0 : await locate(probe, low, high)
  return { at, bracketing, locating: count - bracketing }
}

/** Not `> 0`: where the loss is NaN or infinite it has risen. */
function rises({ f }: Point): boolean {
  return !(f <= 0)
}

interface Point {
  readonly x: number
  readonly f: number
}

/**
 * The change of sign between a point that does not rise and one that does, by Chandrupatla's method (1997): inverse
 * quadratic interpolation through the last three points where it can be trusted, bisection where not, as wherever a
 * value is not finite.
 */
async function locate(probe: (x: number) => Promise<Point>, low: Point, high: Point): Promise<number> {
  // The newest point, the end of the bracket across the change of sign, and the point that the newest has replaced.
  let [newest, across, replaced] = [high, low, low]
  let share = 0.5
  for (let i = 0; i < MOST_LOCATING; i++) {
    const width = Math.abs(across.x - newest.x)
    if (width <= PRECISION * newest.x) break
    const least = (0.5 * PRECISION * newest.x) / width
    const point = await probe(newest.x + Math.min(1 - least, Math.max(least, share)) * (across.x - newest.x))
    if (rises(point) === rises(newest)) replaced = newest
    else [across, replaced] = [newest, across]
    newest = point
    share = shareOf(newest, across, replaced)
  }
  return Math.abs(newest.f) <= Math.abs(across.f) ? newest.x : across.x
}

/** How far from the newest point to the one across the next is to be tried. */
function shareOf({ x: x1, f: f1 }: Point, { x: x2, f: f2 }: Point, { x: x3, f: f3 }: Point): number {
  const xi = (x1 - x2) / (x3 - x2)
  const phi = (f1 - f2) / (f3 - f2)
  const isTrusted = phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi
  if (!isTrusted) return 0.5
  return (f1 / (f2 - f1)) * (f3 / (f2 - f3)) + ((x3 - x1) / (x2 - x1)) * (f1 / (f3 - f1)) * (f2 / (f3 - f2))
}
