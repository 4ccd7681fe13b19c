/**
 * A curve alone: what a bare list of losses can tell, and what it cannot.
 *
 * Nothing is known of model, data or rate, and nothing can be tried; so there are facts about the curve, guesses marked
 * by a low confidence, and one note that says what is missing.
 */
import { expected } from '../errors'
import { lossChart, rises } from '../plot'
import { classify, endOf, median, type Outcome, TOLERANCE } from './outcome'
import { type Diagnosis, diagnosisOf, type Finding, type Note, type Verdict } from './report'

/** Fewer losses are no curve. */
const LEAST = 3
/** Still falling: the last tenth of the run took at least this share of what the loss had left. */
const STEADY = 0.05

interface Reading {
  readonly verdict: Verdict
  readonly findings: readonly Finding[]
  readonly notes: readonly Note[]
}

/** Each outcome, and what may be said of it from the curve alone. */
const READINGS: { readonly [O in Outcome]: (losses: ArrayLike<number>) => Reading } = {
  diverging: (losses) => {
    const bad = Array.prototype.findIndex.call(losses, (loss: number) => !Number.isFinite(loss))
    const says =
      bad >= 0
        ? `The loss is ${losses[bad]} at entry ${bad}.`
        : `The loss ended at ${short(endOf(losses))}, above the ${short(losses[0])} it began with.`
    return {
      verdict: 'diverging',
      findings: [
        {
          id: bad === 0 ? 'numerical_log_of_zero' : 'lr_too_high',
          confidence: 0.5,
          evidence: { first: losses[0], last: losses[losses.length - 1], entries: losses.length },
          says,
          fix: { says: bad === 0 ? 'Look at the data and at the loss of the first step.' : 'Try a tenth of the rate.' },
        },
      ],
      notes: [],
    }
  },
  stalled: (losses) => ({
    verdict: 'stalled',
    findings: [],
    notes: [note(losses, 'The loss neither fell nor rose by more than its own ups and downs.')],
  }),
  monotone: (losses) => ({
    verdict: 'healthy',
    findings: [],
    notes: [
      note(
        losses,
        isSteady(losses) ? 'The loss never rose, and was still falling at the end.' : 'The loss never rose.',
      ),
    ],
  }),
  edgeOfStability: (losses) => ({
    verdict: 'healthy',
    findings: [],
    notes: [
      note(
        losses,
        'The loss rises again and again and still falls in the long run. On full batches this is the edge of stability, on mini-batches noise; neither is a fault.',
        'edge_of_stability',
      ),
    ],
  }),
  transient: (losses) => ({
    verdict: 'healthy',
    findings: [],
    notes: [note(losses, 'The loss rose for a while and ended lower.', 'transient')],
  }),
}

/**
 * What a list of losses tells, one entry a step or an epoch, all on the same rows.
 * @throws ERR_OPTION for anything but at least three numbers
 */
export function diagnoseCurve(losses: ArrayLike<number>): Diagnosis {
  const isList = Array.isArray(losses) || (ArrayBuffer.isView(losses) && !(losses instanceof DataView))
  if (!isList || losses.length < LEAST || !Array.prototype.every.call(losses, (v: unknown) => typeof v === 'number'))
    throw expected('a list of at least three numbers', 'losses', losses)
  const { verdict, findings, notes } = READINGS[isFlat(losses) ? 'stalled' : classify(losses)](losses)
  const limits: Note = {
    id: 'curve_only',
    evidence: { entries: losses.length },
    says: 'This is read off the losses alone: rate, weights, data and gradients are unknown, so no cause is proved. net.diagnose(x, y, { fit }) tries causes out.',
  }
  return diagnosisOf(verdict, findings, [...notes, limits], lossChart({ loss: losses }, { title: 'The losses' }))
}

/** Less than this share of the first loss is no change. */
const FLAT = 0.01

/**
 * Where it ended is where it began, to a hundredth or to its own ups and downs, and both halves lie as high. Chance, which
 * a stalled run is told by elsewhere (outcome.ts), is not known here.
 */
function isFlat(losses: ArrayLike<number>): boolean {
  const all = Array.from(losses)
  if (!all.every(Number.isFinite)) return false
  const half = all.length >> 1
  const [before, after] = [all.slice(0, half), all.slice(half)]
  const middle = median(after)
  const noise = 1.5 * median(after.map((loss) => Math.abs(loss - middle))) // a deviation, of normal ones
  const start = median(all.slice(0, Math.max(1, Math.floor(all.length / 10))))
  const least = Math.max(FLAT * Math.abs(start), 2 * noise)
  return Math.abs(endOf(losses) - start) <= least && Math.abs(middle - median(before)) <= least / 2
}

function note(losses: ArrayLike<number>, says: string, id?: string): Note {
  const rose = rises(losses, TOLERANCE.float32)
  const evidence = { first: losses[0], end: endOf(losses), rises: rose.length, entries: losses.length }
  return { ...(id && { id }), evidence, says }
}

function isSteady(losses: ArrayLike<number>): boolean {
  const tenth = losses[Math.floor(0.9 * (losses.length - 1))]
  return tenth - losses[losses.length - 1] > STEADY * Math.abs(tenth)
}

const short = (value: number): string => String(Number(value.toPrecision(4)))
