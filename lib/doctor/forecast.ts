/**
 * Forecasts: what a run will have become, told from the first two fifths of it.
 *
 * Only running tells what many steps will do; so the beginning is run, from a copy, and three things are read off it:
 * its losses, how near its rate comes to the stable one (limits.ts) and how fast that grows, and, where it still stands
 * at chance, a second run of fifths as many steps, each five times as long, which sees as far ahead as the whole.
 * The classes are those of outcome.ts. Losses and rates alone: no model and no optimizer is known here.
 */
import { rises } from '../plot'
import { classify, endOf, type Outcome } from './outcome'

export interface Beginning {
  /** Its losses: those of the first FORESEEN of the run. */
  readonly losses: ArrayLike<number>
  /** Steps of the whole run. */
  readonly steps: number
  /** The rate as a share of the stable one: half way through the beginning, and at its end; NaN where unknown. */
  readonly ratios: readonly [number, number]
  /** τ of a rise, and the loss of the best constant prediction. */
  readonly tolerance: number
  readonly chance: number
  /** The losses of STRIDE times fewer steps at STRIDE times the rate; asked for only where it may be needed. */
  coarse(): Promise<ArrayLike<number>>
}

/** The part of a run that is run to foresee the rest. */
export const FORESEEN = 0.4
/** How much longer a step of the coarse run is. */
export const STRIDE = 5

/** A loss that came down to half of its highest, and is not far above its first, is on its way back. */
const RETURNING = { ofHighest: 0.5, ofFirst: 3 }
/** At chance nothing is learned yet (outcome.ts); a change of so much over half of the run would be some. */
const AT_CHANCE = 0.95
const SETTLED = 0.02
/** More rises than this share: a run swings, and longer steps go another way than short ones. */
const COARSE_RISES = 0.2
/** Sixths of the beginning. Rises that last: share of the last two, of the last, and size against that two sixths before. */
const SIXTHS = 6
const LASTING = { share: 0.3, last: 0.2, size: 0.3 }
/**
 * Where the rate stands against the stable one: rises so near to it go on (sharpness returns to 2/η, Damian et al.
 * arXiv 2209.15594), and what by its own growth (*progressive sharpening*, Cohen et al. 2021) will be beyond it, rises yet.
 */
const NEAR_STABLE = 0.7
const BEYOND_STABLE = 1.2
/** The share of the stable rate grows at most so much more as from the middle of the beginning to its end. */
const MOST_GROWTH = 3

/** The class that a run will have, from how it begins. */
export async function forecast(beginning: Beginning): Promise<Outcome> {
  const { losses, tolerance, chance, ratios } = beginning
  const seen = classify(losses, { tolerance, chance })
  const last = losses[losses.length - 1]
  if (seen === 'diverging' && !isReturning(losses)) return 'diverging'
  if (last >= AT_CHANCE * chance && (await willStall(beginning))) return 'stalled'
  const rose = rises(losses, tolerance)
  const [before, now] = ratios
  const ahead = now * Math.min(MOST_GROWTH, Math.max(1, now / before))
  const sixths = inSixths(losses, rose)
  const late = (sixths[SIXTHS - 2].share + sixths[SIXTHS - 1].share) / 2
  if ((late > 0 && now >= NEAR_STABLE) || ahead >= BEYOND_STABLE || isLasting(sixths, late)) return 'edgeOfStability'
  return rose.length > 0 ? 'transient' : 'monotone'
}

function isReturning(losses: ArrayLike<number>): boolean {
  const last = losses[losses.length - 1]
  const highest = Array.prototype.reduce.call(losses, (a, b) => Math.max(a as number, b as number), losses[0]) as number
  return last < RETURNING.ofHighest * highest && last < RETURNING.ofFirst * losses[0]
}

/** Whether what stands at chance will still stand there at the end. */
async function willStall({ losses, steps, tolerance, chance, coarse }: Beginning): Promise<boolean> {
  // Longer steps see further only where these do not swing already.
  if (rises(losses, tolerance).length <= COARSE_RISES * losses.length) {
    const ahead = await coarse()
    const isCalm = rises(ahead, tolerance).length <= COARSE_RISES * ahead.length
    if (isCalm && Array.prototype.every.call(ahead, Number.isFinite))
      return classify(ahead, { tolerance, chance }) === 'stalled'
  }
  // As it goes on: in a straight line.
  const n = losses.length
  const from = n - Math.max(1, Math.floor(n / SIXTHS))
  const slope = (endOf(losses) - losses[from - 1]) / Math.max(1, n - from)
  const end = losses[n - 1] + slope * (steps - n)
  return end >= AT_CHANCE * chance && Math.abs((slope * steps) / 2) < SETTLED * Math.abs(losses[n - 1])
}

interface Part {
  /** Share of its steps that rose, and how much, together, of the loss. */
  readonly share: number
  readonly size: number
}

function inSixths(losses: ArrayLike<number>, rose: readonly number[]): Part[] {
  const border = (i: number): number => Math.floor((losses.length * i) / SIXTHS)
  return Array.from({ length: SIXTHS }, (_, i) => {
    const [from, to] = [Math.max(1, border(i)), border(i + 1)]
    const within = rose.filter((k) => k >= from && k < to)
    const steps = Math.max(1, to - from)
    const sum = within.reduce((total, k) => total + (losses[k] - losses[k - 1]) / Math.abs(losses[k - 1] || 1), 0)
    return { share: within.length / steps, size: sum / steps }
  })
}

function isLasting(sixths: readonly Part[], late: number): boolean {
  const [before, last] = [sixths[SIXTHS - 3], sixths[SIXTHS - 1]]
  return late >= LASTING.share && last.share >= LASTING.last && last.size >= LASTING.size * before.size
}
