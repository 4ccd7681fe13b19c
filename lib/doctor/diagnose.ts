/**
 * Diagnosis: from an exam to findings.
 *
 * Cheap before dear: the data, what the caller computed elsewhere, the start, one run as it is; then, only where that
 * run left something to be desired, trials of what the rules suspect. A finding is a fault that holds by arithmetic, or
 * a suspect without which the same run ended better. What is merely unusual is silent; what is merely surprising is a
 * note. Within the budget: trials that no longer fit into it are not made, and a note says how many.
 */
import type { FitSettings } from '../train/options'
import { estranged, likeRows, singleClass, strayLabels, theirFindings } from './certain'
import type { Clock } from './clock'
import type { Elsewhere } from './elsewhere'
import { type Exam, examine, isFine, type Trial } from './exam'
import { endOf } from './outcome'
import { type Diagnosis, type Finding, type Note, present, type Verdict } from './report'
import { measuredOn } from './rule'
import { RULES } from './rules'
import type { Subject } from './subject'
import { combine, curedBy, curedTogether, findingOf, highest, suspectsOf, tryAll } from './trials'

export interface Orders {
  readonly settings: FitSettings
  readonly clock: Clock
  /** What came of comparing the caller's own numbers with the model's; null where there were none. */
  readonly check: Elsewhere | null
  /** Where the caller's own run went: its losses, if a history was given. */
  readonly history: { readonly loss: ArrayLike<number>; readonly valLoss?: ArrayLike<number> | null } | null
}

export async function diagnose(subject: Subject, orders: Orders): Promise<Diagnosis> {
  const { clock, settings } = orders
  const exam = await examine(subject, settings, clock)
  const [hopeless] = [...singleClass(subject, exam), ...likeRows(subject)]
  const certain = [...(hopeless ? [hopeless] : []), ...theirFindings(orders.check)]
  const leftOut = orders.check?.notes ?? []
  if (hopeless) return present(exam, 'broken', certain, leftOut)

  const kin = estranged(exam)
  const suspects = suspectsOf(exam)
  const tried = await tryAll(exam, suspects, clock)
  const missed = clock.isOver ? suspects.filter(({ rule }) => !tried.some((other) => other.rule === rule)).length : 0
  const untried: Note[] = missed === 0 ? [] : [notTried(missed, suspects.length, clock)]
  const found = await curedBy(exam, tried, clock)
  const best = highest(tried)
  if (!isFine(exam))
    for (const [rule, finding] of await curedTogether(exam, suspects, best?.score ?? exam.base.score, clock))
      found.set(rule, finding)
  const cures = best && best.score > exam.base.score ? [{}, best.change] : [{}]
  const stray = await strayLabels(exam, kin, cures, clock)
  if (stray) found.clear()
  for (const { rule, suspicion } of suspects)
    if (suspicion.isCertain && ![...found.keys()].some(({ id }) => id === rule.id))
      found.set(rule, findingOf(rule, suspicion, highest(tried.filter((t) => t.rule === rule)) ?? null, exam, 0.9))
  const ranked = RULES.flatMap((rule) => found.get(rule) ?? [])
  await combine(exam, ranked, clock)
  const findings = [...certain, ...(stray ? [stray] : []), ...ranked, ...partedFinding(exam, orders)]
  return present(exam, verdictOf(exam, findings), findings, [
    ...notesOf(exam),
    ...unexplained(exam, findings),
    ...untried,
    ...leftOut,
  ])
}

/** A rise of the validation loss that counts: of this share of its lowest, and of what chance would have. */
const TURNED = { ofLowest: 0.25, ofChance: 0.15 }
/** Of the training loss from there on: learned by heart. */
const FELL = 0.7

/** Validation losses that turned while the training loss fell on. */
function partedFinding(exam: Exam, { history }: Orders): Finding[] {
  const { base, chanceLoss, blueprint } = exam
  const valLoss = history?.valLoss ?? base.valLoss
  const loss = history?.loss ?? base.loss
  if (!valLoss || valLoss.length < 5) return []
  let best = 0
  for (let e = 1; e < valLoss.length; e++) if (valLoss[e] < valLoss[best]) best = e
  const end = endOf(valLoss)
  const rise = end - valLoss[best]
  // A sum over the rows is of the training rows; chance can only be compared with a mean.
  const least = blueprint.loss.reduction === 'mean' ? TURNED.ofChance * chanceLoss : 0
  const hasTurned = rise > TURNED.ofLowest * valLoss[best] && rise > least && endOf(loss) < FELL * loss[best]
  if (!hasTurned) return []
  return [
    {
      id: 'under_regularised',
      confidence: 0.85,
      evidence: {
        bestEpoch: best + 1,
        bestValLoss: valLoss[best],
        valLoss: end,
        loss: endOf(loss),
        ...(!history?.valLoss && measuredOn(exam, exam.rows.seen)),
      },
      says: `${history?.valLoss ? 'In the run of the history given, the' : 'The'} validation loss was lowest at epoch ${best + 1} (${valLoss[best].toPrecision(3)}) and ended at ${end.toPrecision(3)} (the median of its last tenth), while the training loss fell on.`,
      fix: {
        says: 'Keep the best weights, or add l2 or dropout.',
        change: { fit: { keep: 'best' } },
      },
    },
  ]
}

// ---------------------------------------------------------------------------------------------------- in words

function notesOf(exam: Exam): Note[] {
  const { base, isFullBatch, hasDropout, settings } = exam
  const seen = measuredOn(exam, exam.rows.seen)
  const notes: Note[] = []
  const hasRisen = base.outcome === 'edgeOfStability' || base.outcome === 'transient'
  if (hasRisen && isFullBatch && hasDropout)
    notes.push({
      evidence: { outcome: base.outcome, ...seen },
      says: 'Dropout leaves out other units at every step, so that losses of like weights differ; small rises are its noise.',
    })
  else if (base.outcome === 'edgeOfStability' && isFullBatch)
    notes.push({
      id: 'edge_of_stability',
      evidence: { outcome: base.outcome, learningRate: settings.learningRate, ...seen },
      says: 'The loss rises again and again and still falls in the long run: the sharpness has grown to what the rate allows. This is the edge of stability, and no fault.',
    })
  else if (base.outcome === 'transient' && isFullBatch)
    notes.push({
      id: 'transient',
      evidence: { outcome: base.outcome, height: base.first.height, ...seen },
      says: 'The loss rose for a while and ended lower.',
    })
  else if (hasRisen)
    notes.push({
      id: 'minibatch_noise',
      evidence: { batchSize: settings.batchSize, ...seen },
      says: 'Each epoch averages the losses of different batches at different weights; small rises between epochs are batch noise.',
    })
  return notes
}

function notTried(missed: number, of: number, { budget }: Clock): Note {
  return {
    evidence: { untried: missed, suspects: of, budget },
    says: `The budget of ${budget} s was over before all that could be wrong was tried: ${missed} of ${of} were not.`,
  }
}

/** A run that became infinite or NaN without anything having been found is no healthy one. */
function unexplained({ base }: Exam, findings: readonly Finding[]): Note[] {
  if (findings.length > 0 || base.status !== 'diverged') return []
  return [
    {
      evidence: { epochs: base.loss.length },
      says: `The run became infinite or NaN at epoch ${base.loss.length}, and of what was tried nothing made it better.`,
    },
  ]
}

/** Faults that are written down wrong, whatever the loss does. */
const BROKEN = new Set([
  'single_class_labels',
  'labels_shuffled',
  'forward_wrong',
  'gradient_sign',
  'gradient_wrong',
  'loss_broadcast',
  'numerical_log_of_zero',
  'wrong_output_activation',
  'loss_mismatch',
  'bad_init_constant',
])

const OUTCOME_VERDICTS = {
  diverging: 'diverging',
  stalled: 'stalled',
  monotone: 'stalled',
  edgeOfStability: 'unstable',
  transient: 'transient',
} as const satisfies Record<Trial['outcome'], Verdict>

function verdictOf({ base }: Exam, findings: readonly Finding[]): Verdict {
  if (findings.length === 0) return base.status === 'diverged' ? 'diverging' : 'healthy'
  if (findings.some(({ id }) => BROKEN.has(id))) return 'broken'
  if (findings[0].id === 'under_regularised') return 'overfitting'
  if (base.status === 'diverged') return 'diverging'
  return OUTCOME_VERDICTS[base.outcome]
}
