/**
 * Diagnosis: from an exam to findings.
 *
 * Cheap before dear: the data, what the caller computed elsewhere, the start, one run as it is; then, only where that
 * run left something to be desired, trials of what the rules suspect. A finding is a fault that holds by arithmetic, or
 * a suspect without which the same run ended better. What is merely unusual is silent; what is merely surprising is a
 * note. Within the budget: trials that no longer fit into it are not made, and nothing is said of them.
 */
import { physicalCores } from '../backends/cores'
import { splitPair } from '../data/codec'
import type { FitSettings } from '../train/options'
import { together } from './changes'
import { attempt, type Exam, examine, isRestless, type Trial } from './exam'
import { kinship } from './facts'
import type { GradientCheck } from './gradients'
import { type Diagnosis, type Finding, type Note, present, type Verdict } from './report'
import { RULES, type Rule, type Suspicion } from './rules'
import { asInputs, asTargets, type Subject } from './subject'

export interface Orders {
  readonly settings: FitSettings
  /** Seconds. */
  readonly budget: number
  /** What came of comparing the caller's own numbers with the model's; null where there were none. */
  readonly check: GradientCheck | null
  /** Where the caller's own run went: its losses, if a history was given. */
  readonly history: { readonly loss: ArrayLike<number>; readonly valLoss?: ArrayLike<number> | null } | null
}

/** A cure must raise accuracy or r2 by this: less is not worth a word (goals of the repair: within 0.1 of the twin). */
const MATERIAL = 0.1
/** A cure that helps less than this share of the best one's gain is a by-product. */
const AS_GOOD = 0.75
/** Rows held out must gain this share of what the training rows gain, or the cure only memorises. */
const HELD_SHARE = 0.3
/** Fewer rows decide nothing about labels. */
const ENOUGH_ROWS = 100

export async function diagnose(subject: Subject, orders: Orders): Promise<Diagnosis> {
  const clock = new Clock(orders.budget)
  const exam = await examine(subject, orders.settings, orders.budget / 3)
  const certain = [...dataFindings(exam), ...theirFindings(orders.check)]
  if (certain.some(({ id }) => id === 'single_class_labels')) return present(exam, 'broken', certain, [], [])

  const notes = notesOf(exam)
  const isFine = exam.base.status !== 'diverged' && 1 - exam.base.score < MATERIAL
  const suspects = suspectsOf(exam, isFine)
  const trials: Tried[] = []
  const parted = partedFinding(exam, orders)
  await inTurns(suspects, async ({ rule, suspicion }) => {
    for (const change of suspicion.changes) {
      if (clock.isOver) return
      const trial = await attempt(exam, change, clock.share)
      // A trial that the clock ended was not given what the run was given.
      if (trial.status === 'stopped') continue
      trials.push({ rule, suspicion, trial })
      if (trial.score >= 1 - MATERIAL / 5 && !isRestless(trial.first)) break
    }
  })
  const tried = trials.map(({ trial }) => trial)
  const cured = await curedBy(exam, trials, clock)
  const stray = strayLabels(exam, tried)
  const found = stray ? new Map<Rule, Finding>() : cured
  if (found.size > 0) await combine(exam, [...found.values()], clock)
  for (const { rule, suspicion } of suspects)
    if (suspicion.isCertain && !found.has(rule))
      found.set(rule, findingOf(rule, suspicion, highest(trials.filter((t) => t.rule === rule)) ?? null, exam, 0.9))
  const ranked = RULES.flatMap((rule) => found.get(rule) ?? [])
  const findings = [...certain, ...(stray ? [stray] : []), ...ranked, ...parted]
  return present(exam, verdictOf(exam, findings), findings, notes, tried)
}

interface Suspect {
  readonly rule: Rule
  readonly suspicion: Suspicion & { readonly id: string }
}

interface Tried extends Suspect {
  readonly trial: Trial
}

/** All rules' suspects; of a run that got where it could, only what holds by arithmetic or rose at once. */
function suspectsOf(exam: Exam, isFine: boolean): Suspect[] {
  const all = RULES.flatMap((rule) => {
    const suspicion = exam.isCut && rule.isPatience ? null : rule.suspect(exam)
    return suspicion ? [{ rule, suspicion: { ...suspicion, id: rule.id } }] : []
  })
  if (!isFine) return all
  const isRising = all.some(({ rule }) => rule.id === EARLY_RULE)
  return all.filter(
    ({ rule, suspicion }) =>
      suspicion.isCertain || (isRising && (rule.id === EARLY_RULE || rule.id.startsWith('bad_init'))),
  )
}

const EARLY_RULE = 'lr_above_one_step_limit'

/** Runs `work` for all items, as many at once as there are cores, in order. */
async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) await work(items[next++])
  }
  await Promise.all(Array.from({ length: Math.min(items.length, physicalCores()) }, worker))
}

/** The trial that scored most. */
function highest(trials: readonly Tried[]): Trial | undefined {
  return trials
    .map(({ trial }) => trial)
    .reduce<Trial | undefined>((best, trial) => (best && best.score >= trial.score ? best : trial), undefined)
}

/** Findings whose trials ended clearly better, by their rules. */
async function curedBy(exam: Exam, trials: readonly Tried[], clock: Clock): Promise<Map<Rule, Finding>> {
  const { base, chance } = exam
  const best = trials.reduce((most, { trial }) => Math.max(most, trial.score), base.score)
  const found = new Map<Rule, Finding>()
  for (const rule of RULES) {
    const of = trials.filter((t) => t.rule === rule)
    if (of.length === 0 || [...found.keys()].some(({ id }) => id === rule.id)) continue
    const { suspicion } = of[0]
    const calm = highest(
      of.filter(
        ({ trial }) => isRestless(base.first) && !isRestless(trial.first) && trial.score > base.score - MATERIAL,
      ),
    )
    const trial = highest(of)!
    const gain = trial.score - base.score
    const gotThere =
      base.status === 'diverged' ? 0 : Math.max(0, base.score - chance) / Math.max(1e-9, trial.score - chance)
    const isMaterial = gain >= MATERIAL && gotThere < rule.until
    const isAsGood = gain >= AS_GOOD * (best - base.score)
    const isTrue = isMaterial && isAsGood && !(await onlyMemorises(exam, rule, trial, gotThere, clock))
    if (isTrue) found.set(rule, findingOf(rule, suspicion, trial, exam, confidenceOf(gain, best - base.score)))
    else if (calm && gain < MATERIAL) found.set(rule, findingOf(rule, suspicion, calm, exam, 0.7))
  }
  return found
}

/** Whether what a change gains on the training rows is lost on rows held out. Asked only where something was learned. */
async function onlyMemorises(exam: Exam, rule: Rule, trial: Trial, gotThere: number, clock: Clock): Promise<boolean> {
  if (!rule.isPatience && gotThere < 0.3) return false
  const { subject, coding } = exam
  if (clock.isOver || exam.data.rows < 40) return false
  const [train, held] = splitPair(subject, 0.3, subject.model.seed ?? 0, coding)
  const scoreHeld = async (change: Trial['change']): Promise<number> => {
    const { trained, status } = await attempt(exam, change, clock.share, train)
    const score = trained.score(asInputs(held.features), asTargets(held.targets))
    trained.network.close()
    return status !== 'completed' || !Number.isFinite(score) ? exam.chance : Math.max(0, score)
  }
  const [before, after] = await Promise.all([scoreHeld({}), scoreHeld(trial.change)])
  return after - before < HELD_SHARE * (trial.score - exam.base.score)
}

function confidenceOf(gain: number, best: number): number {
  return Math.min(0.95, 0.5 + 0.45 * Math.min(1, gain / Math.max(best, 1e-9)) * Math.min(1, gain / 0.3))
}

function findingOf(rule: Rule, suspicion: Suspicion, trial: Trial | null, exam: Exam, confidence: number): Finding {
  const change = trial?.change ?? suspicion.changes[0]
  return {
    id: rule.id,
    confidence,
    evidence: suspicion.evidence,
    says: suspicion.says,
    fix: { says: suspicion.cure, ...(change && { change }) },
    ...(trial && { proof: { before: measureOf(exam.base), after: measureOf(trial) } }),
  }
}

function measureOf({ score, loss, status }: Trial) {
  return { score, loss: loss[loss.length - 1] ?? Number.NaN, status }
}

/** The first finding's fix takes the others' with it where all of them together do clearly better than it alone. */
async function combine(exam: Exam, findings: Finding[], clock: Clock): Promise<void> {
  const [first, ...others] = findings
  const alone = first.proof?.after.score ?? 0
  if (others.length === 0 || 1 - alone < MATERIAL / 2 || clock.isOver) return
  for (const other of others) {
    if (clock.isOver || !first.fix.change || !other.fix.change) return
    const change = together(other.fix.change, first.fix.change)
    const trial = await attempt(exam, change, clock.share)
    if (trial.status === 'stopped' || trial.score < (first.proof?.after.score ?? 0) + MATERIAL / 2) continue
    findings[0] = Object.assign(first, {
      fix: { says: `${first.fix.says} ${other.fix.says}`, change },
      proof: { before: measureOf(exam.base), after: measureOf(trial) },
    })
  }
}

// ---------------------------------------------------------------------------------------------------- certainties

function dataFindings({ coding, data }: Exam): Finding[] {
  if (coding.task === 'regression' || coding.task === 'multilabel' || data.classCounts.length > 1) return []
  return [
    {
      id: 'single_class_labels',
      confidence: 1,
      evidence: { classes: data.classCounts.length, rows: data.rows },
      says: `All ${data.rows} labels are of one class, so there is nothing to tell apart.`,
      fix: { says: 'Train on rows of every class.' },
    },
  ]
}

/** What the comparison with the caller's own numbers shows. */
function theirFindings(check: GradientCheck | null): Finding[] {
  if (!check || check.ok) return []
  const found: Finding[] = []
  const add = (id: string, confidence: number, evidence: Finding['evidence'], says: string, cure: string): void => {
    found.push({ id, confidence, evidence, says, fix: { says: cure } })
  }
  const values = [check.lossCheck, check.lossesCheck, check.predictionsCheck]
  const broadcast = values.find((v) => v && !v.ok && v.fault === 'broadcast')
  if (broadcast)
    add(
      'loss_broadcast',
      0.98,
      { relativeError: broadcast.relativeError },
      broadcast.says ?? 'Their loss is that of every prediction against every target.',
      'Give predictions and targets the same shape, (n,) or (n, 1), before they are subtracted.',
    )
  const wrong = check.tensors.filter((t) => !t.ok)
  const bad = check.predictionsCheck
  if (bad && !bad.ok && bad !== broadcast)
    add(
      'forward_wrong',
      0.97,
      { relativeError: bad.relativeError },
      bad.says ?? `Their predictions differ from the model's by ${bad.relativeError.toPrecision(2)} of their size.`,
      'Compare the layers one by one with net.predict on one row.',
    )
  if (wrong.length > 0 && !broadcast) {
    const flipped = wrong.filter((t) => t.fault === 'sign')
    const worst = wrong.reduce((most, t) => (t.relativeError > most.relativeError ? t : most))
    const id = flipped.length === wrong.length ? 'gradient_sign' : 'gradient_wrong'
    const where = `${worst.tensor} of layer ${worst.layer + 1}`
    add(
      id,
      0.97,
      {
        tensors: wrong.length,
        layer: worst.layer + 1,
        tensor: worst.tensor,
        fault: worst.fault ?? 'other',
        relativeError: worst.relativeError,
      },
      worst.says ??
        `Their gradient of the ${where} differs from the exact one by ${worst.relativeError.toPrecision(3)} of its size.`,
      'Correct the derivative of that tensor; net.checkGradients names the first entries that differ.',
    )
  }
  const lossFault = [check.lossesCheck, check.lossCheck].find((v) => v && !v.ok && v !== broadcast)
  if (lossFault && found.length === 0)
    add(
      lossFault.fault === 'sign'
        ? 'gradient_sign'
        : lossFault === check.lossesCheck
          ? 'gradient_wrong'
          : 'forward_wrong',
      0.8,
      { relativeError: lossFault.relativeError },
      lossFault.says ?? `Their loss differs from the model's by ${lossFault.relativeError.toPrecision(2)} of its size.`,
      'Compare loss and update with net.loss and net.gradients at the same weights.',
    )
  return found
}

/** Labels that no neighbour, no column and no network on rows held out has anything to say about. */
function strayLabels(exam: Exam, trials: readonly Trial[]): Finding | null {
  const { data, subject, coding, table } = exam
  if (data.rows < ENOUGH_ROWS || coding.task === 'multilabel') return null
  if (exam.base.status !== 'diverged' && exam.base.score > 0.95) return null
  const z = kinship(table, subject.features, coding.task === 'regression')
  if (z > 2) return null
  return {
    id: 'labels_shuffled',
    confidence: 0.75,
    evidence: { standardScore: z, rows: data.rows, trials: trials.length },
    says: `Rows that are alike in x are no more alike in y than any others (standard score ${z.toFixed(1)}), so the labels hardly belong to their rows.`,
    fix: { says: 'Check that x and y are shuffled, sorted and filtered together.' },
  }
}

/** Validation losses that turned while the training loss fell on. */
function partedFinding({ base }: Exam, { history }: Orders): Finding[] {
  const valLoss = history?.valLoss ?? base.trained.history.valLoss
  const loss = history?.loss ?? base.loss
  if (!valLoss || valLoss.length < 5) return []
  let best = 0
  for (let e = 1; e < valLoss.length; e++) if (valLoss[e] < valLoss[best]) best = e
  const last = valLoss.length - 1
  const hasTurned = valLoss[last] > 1.2 * valLoss[best] && loss[last] < 0.7 * loss[best]
  if (!hasTurned) return []
  return [
    {
      id: 'under_regularised',
      confidence: 0.85,
      evidence: { bestEpoch: best + 1, bestValLoss: valLoss[best], valLoss: valLoss[last], loss: loss[last] },
      says: `The validation loss was lowest at epoch ${best + 1} (${valLoss[best].toPrecision(3)}) and ended at ${valLoss[last].toPrecision(3)}, while the training loss fell on.`,
      fix: {
        says: 'Keep the best weights, or add l2 or dropout.',
        change: { fit: { keep: 'best' } },
      },
    },
  ]
}

// ---------------------------------------------------------------------------------------------------- in words

function notesOf({ base, isFullBatch, settings }: Exam): Note[] {
  const notes: Note[] = []
  if (base.outcome === 'edgeOfStability' && isFullBatch)
    notes.push({
      id: 'edge_of_stability',
      evidence: { outcome: base.outcome, learningRate: settings.learningRate },
      says: 'The loss rises again and again and still falls in the long run: the sharpness has grown to what the rate allows. This is the edge of stability, and no fault.',
    })
  if (base.outcome === 'transient' && isFullBatch)
    notes.push({
      id: 'transient',
      evidence: { outcome: base.outcome, height: base.first.height },
      says: 'The loss rose for a while and ended lower.',
    })
  if (!isFullBatch && (base.outcome === 'edgeOfStability' || base.outcome === 'transient'))
    notes.push({
      id: 'minibatch_noise',
      evidence: { batchSize: settings.batchSize },
      says: 'Each epoch averages the losses of different batches at different weights; small rises between epochs are batch noise.',
    })
  return notes
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
  if (findings.length === 0) return 'healthy'
  if (findings.some(({ id }) => BROKEN.has(id))) return 'broken'
  if (findings[0].id === 'under_regularised') return 'overfitting'
  if (base.status === 'diverged') return 'diverging'
  return OUTCOME_VERDICTS[base.outcome]
}

/** What is left of the budget. */
class Clock {
  readonly #end: number

  constructor(readonly budget: number) {
    this.#end = performance.now() + 1000 * budget
  }

  get isOver(): boolean {
    return performance.now() >= this.#end
  }

  /** Seconds one trial may take. */
  get share(): number {
    return Math.max(0.05, Math.min(this.budget / 3, (this.#end - performance.now()) / 1000))
  }
}
