/**
 * Trials: which of the suspects is guilty. Paired runs from the same seed on the same rows, one thing changed.
 *
 * A suspect without which the run ended clearly better is a finding. Where no one change is enough, all of them together
 * are tried, and then without one after the other: what cannot be left out is what is wrong (Zeller & Hildebrandt 2002,
 * *Simplifying and isolating failure-inducing input*).
 */
import { physicalCores } from '../backends/cores'
import { splitPair } from '../data/codec'
import { DownhillError } from '../errors'
import { amend, standardized, together, withRate } from './changes'
import type { Clock } from './clock'
import {
  attempt,
  attemptHeld,
  type Exam,
  isClimbing,
  isFine,
  isMaterial,
  isRestless,
  MATERIAL,
  type Trial,
} from './exam'
import type { Finding } from './report'
import { measuredOn, NEARLY_THERE, type Rule, STRICT, type Suspicion } from './rule'
import { RULES } from './rules'
import type { Change } from './subject'

/** A cure that helps less than this share of the best one's gain is a by-product; of what is seen to be wrong, half. */
const AS_GOOD = 0.75
const HALF_AS_GOOD = 0.5
/** Rows held out must gain this share of what the training rows gain, or the cure only memorises. */
const HELD_SHARE = 0.3
/** Times that rows are held out; with fewer rows than these it says nothing. */
const SPLITS = 3
const HELD = 0.3
const FEW_ROWS = 40
/**
 * Of a run that came farther than its rule's share, but not as far as NEARLY_THERE (or STRICT, of what is seen to be
 * wrong), a change is a cure where it gains this much on the training rows (of rate, batch or length; of another kind),
 * and clearly on rows held out.
 */
const CLEAR = { ofLength: 0.18, else: 0.15 }
/** What became of a run that no author would call trained, wherever it got. */
const ASTRAY: ReadonlySet<string> = new Set(['diverging', 'stalled'])
/** So near to all there is to gain, further changes are not tried. */
const ENOUGH = 0.98
/** Of the way from chance to 1: below it a run with the best change is not what it could be. */
const HALF_WAY = 0.8

/** Of that way: up to here a proposed fix is still added to. */
const NEARLY = 0.9

export interface Suspect {
  readonly rule: Rule
  readonly suspicion: Suspicion
}

export interface Tried extends Suspect {
  readonly trial: Trial
}

/** All rules' suspects; of a run that got where it could, only what holds by arithmetic or rose at once. */
export function suspectsOf(exam: Exam): Suspect[] {
  const all = RULES.flatMap((rule): Suspect[] => {
    const suspicion = exam.isCut && rule.isPatience ? null : rule.suspect(exam)
    return suspicion ? [{ rule, suspicion }] : []
  })
  if (!isFine(exam)) return all
  const { first } = exam.base
  return all.filter(
    ({ rule, suspicion }) =>
      suspicion.isCertain || (isRestless(first) && rule.ofStart) || (isClimbing(first) && rule.ofFirstSteps),
  )
}

/**
 * The likeliest first, should the budget end it: what is seen to be wrong, what else the program has, and then lower rates
 * for a run that rose, more patience for one that did not.
 */
function urgency(exam: Exam, { rule }: Suspect): number {
  if (rule.isSeen) return 0
  if (!rule.isOfRate && !rule.isPatience) return 1
  const hasRisen = exam.base.outcome === 'diverging' || exam.base.outcome === 'edgeOfStability'
  return hasRisen === (rule.isOfRate ?? false) ? 2 : 3
}

/** Tries the suspects' changes, as many suspects at once as there are cores; told in the order of the suspects. */
export async function tryAll(exam: Exam, suspects: readonly Suspect[], clock: Clock): Promise<Tried[]> {
  const tried = suspects.map((): Tried[] => [])
  const order = [...suspects.keys()].sort((a, b) => urgency(exam, suspects[a]) - urgency(exam, suspects[b]))
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < suspects.length) {
      const at = order[next++]
      for (const change of suspects[at].suspicion.changes) {
        if (clock.isOver) return
        const trial = await attempt(exam, change, clock.seconds(1 / 4)).catch(refused)
        if (trial === null) continue
        // A trial that the clock ended was not given what the run was given.
        if (trial.status === 'stopped') continue
        tried[at].push({ ...suspects[at], trial })
        if (trial.score >= ENOUGH && !isRestless(trial.first)) break
        if (trial.status === 'diverged' && suspects[at].rule.isPatience) break // and the next would go farther
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(suspects.length, physicalCores()) }, worker))
  return tried.flat()
}

/** What data do not allow (columns too far apart to be standardized) is no cure. */
function refused(error: unknown): null {
  if (error instanceof DownhillError && error.code === 'ERR_DATA') return null
  throw error
}

/** The trial that scored most, the first of those. */
export function highest(trials: readonly Tried[]): Trial | undefined {
  return trials
    .map(({ trial }) => trial)
    .reduce<Trial | undefined>((best, trial) => (best && best.score >= trial.score ? best : trial), undefined)
}

/** Findings whose trials ended clearly better, by their rules. */
export async function curedBy(exam: Exam, trials: readonly Tried[], clock: Clock): Promise<Map<Rule, Finding>> {
  const { base, chance } = exam
  const best = trials.reduce((most, { trial }) => Math.max(most, trial.score), base.score)
  const found = new Map<Rule, Finding>()
  for (const rule of RULES) {
    const of = trials.filter((t) => t.rule === rule)
    if (of.length === 0 || [...found.keys()].some(({ id }) => id === rule.id)) continue
    const { suspicion } = of[0]
    const trial = highest(of)!
    const gain = trial.score - base.score
    const gotThere =
      base.status === 'diverged' ? 0 : Math.max(0, base.score - chance) / Math.max(1e-9, trial.score - chance)
    const isAsGood = gain >= (rule.isSeen ? HALF_AS_GOOD : AS_GOOD) * (best - base.score)
    const until = ASTRAY.has(base.outcome) ? STRICT : typeof rule.until === 'number' ? rule.until : rule.until(exam)
    const clear = rule.isOfRate || rule.isPatience ? CLEAR.ofLength : CLEAR.else
    const isClear = gotThere < until || (gotThere < (rule.isSeen ? STRICT : NEARLY_THERE) && gain >= clear)
    if (isMaterial(gain, exam) && isClear && isAsGood) {
      const isTrue =
        gotThere < until
          ? !(await onlyMemorises(exam, rule, trial.change, gain, gotThere, clock))
          : await gainsHeld(exam, trial.change, clock)
      if (isTrue) found.set(rule, findingOf(rule, suspicion, trial, exam, confidenceOf(gain, best - base.score)))
    } else if ((rule.ofStart && isRestless(base.first)) || (rule.ofFirstSteps && isClimbing(base.first))) {
      const calm = highest(of.filter(({ trial: t }) => !isRestless(t.first) && t.score > base.score - MATERIAL))
      if (calm && !isMaterial(gain, exam)) found.set(rule, findingOf(rule, suspicion, calm, exam, 0.7))
    }
  }
  return found
}

/**
 * Whether what a change gains on the training rows is lost on rows held out: there it is better neither than the program
 * as it is, nor than that program was on its own training rows. Asked only where something was learned.
 */
async function onlyMemorises(
  exam: Exam,
  rule: Rule | null,
  change: Change,
  gain: number,
  gotThere: number,
  clock: Clock,
): Promise<boolean> {
  if (rule && !rule.isPatience && gotThere < HELD_SHARE) return false
  if (clock.isOver || exam.data.rows < FEW_ROWS) return false
  const { before, after } = await heldScores(exam, change, clock)
  return Math.max(after - exam.base.score, after - before) < HELD_SHARE * gain
}

/** Whether a change gains clearly on rows held out, their number considered. */
async function gainsHeld(exam: Exam, change: Change, clock: Clock): Promise<boolean> {
  if (clock.isOver || exam.data.rows < FEW_ROWS) return false
  const { before, after } = await heldScores(exam, change, clock)
  // At most the deviation of a share of so many rows.
  return after - before >= MATERIAL + (1.5 * 0.5) / Math.sqrt(SPLITS * HELD * exam.data.rows)
}

/** Scores on rows held out of the program as it is and with a change, the mean of some splits. */
async function heldScores(exam: Exam, change: Change, clock: Clock): Promise<{ before: number; after: number }> {
  const { subject, coding } = exam
  const seed = subject.model.seed ?? 0
  const splits = Array.from({ length: SPLITS }, (_, i) => splitPair(subject, HELD, (seed + i) >>> 0, coding))
  const scoreOf = async (c: Change): Promise<number> => {
    const scores = splits.map(([train, held]) => attemptHeld(exam, c, clock.seconds(1 / 8), train, held))
    return (await Promise.all(scores)).reduce((sum, score) => sum + score / SPLITS, 0)
  }
  return { before: await scoreOf({}), after: await scoreOf(change) }
}

function confidenceOf(gain: number, best: number): number {
  return Math.min(0.95, 0.5 + 0.45 * Math.min(1, gain / Math.max(best, 1e-9)) * Math.min(1, gain / 0.3))
}

export function findingOf(
  rule: Rule,
  suspicion: Suspicion,
  trial: Trial | null,
  exam: Exam,
  confidence: number,
): Finding {
  const change = trial?.change ?? suspicion.changes[0]
  return {
    id: rule.id,
    confidence,
    evidence: { ...measuredOn(exam, exam.rows.seen), ...suspicion.evidence },
    says: suspicion.says,
    fix: { says: suspicion.cure, ...(change && { change }) },
    ...(trial && { proof: { before: measureOf(exam.base), after: measureOf(trial) } }),
  }
}

export function measureOf({ score, loss, status }: Trial) {
  return { score, loss: loss[loss.length - 1] ?? Number.NaN, status }
}

// ---------------------------------------------------------------------------------------------------- several at once

/** The changes of rules one after the other, each made of the program that the ones before have left. */
function changeOf(exam: Exam, rules: readonly Rule[]): Change {
  return rules.reduce<Change>((change, rule) => {
    const [next] = rule.suspect(amend(exam, change))?.changes ?? []
    return next ? together(change, next) : change
  }, {})
}

/**
 * Where no single change gets the run half-way: all that are suspected at once, and then what of it is needed. Suspects
 * of rate and patience are left out of it; several rates are tried with all the others.
 */
export async function curedTogether(
  exam: Exam,
  suspects: readonly Suspect[],
  best: number,
  clock: Clock,
): Promise<Map<Rule, Finding>> {
  const found = new Map<Rule, Finding>()
  const goal = exam.chance + HALF_WAY * (1 - exam.chance)
  const rules = suspects.map(({ rule }) => rule).filter((rule) => !rule.isOfRate && !rule.isPatience)
  if (best >= goal || rules.length < 1 || clock.isOver) return found
  const withRates = async (of: readonly Rule[], most: number): Promise<Trial | null> => {
    const change = changeOf(exam, of)
    let top: Trial | null = null
    for (const factor of RATES) {
      if (clock.isOver) return top
      const amended = amend(exam, change)
      const rated = together(change, factor === 1 ? {} : withRate(amended, factor))
      const trial = await attempt(exam, rated, clock.seconds(1 / 6)).catch(refused)
      if (!trial) break
      if (trial.status !== 'stopped' && trial.score > (top?.score ?? -1)) top = trial
      if (top && top.score >= most) break
    }
    return top
  }
  let kept = [...rules]
  let trial = await withRates(kept, goal)
  if (!trial || !isMaterial(trial.score - Math.max(best, exam.base.score), exam)) return found
  // From the end: what is least likely is left out first.
  for (const rule of [...rules].reverse()) {
    const fewer = kept.filter((other) => other !== rule)
    if (fewer.length === 0) break
    const without = await withRates(fewer, trial.score - MATERIAL / 2)
    if (clock.isOver) break
    if (without && without.score >= trial.score - MATERIAL / 2) {
      kept = fewer
      trial = without
    }
  }
  const gain = trial.score - exam.base.score
  if (await onlyMemorises(exam, null, trial.change, gain, 1, clock)) return found
  for (const { rule, suspicion } of suspects)
    if (kept.includes(rule) && !found.has(rule))
      found.set(rule, findingOf(rule, suspicion, trial, exam, confidenceOf(gain, gain)))
  return found
}

const RATES = [1, 0.1, 10, 0.01]

/**
 * The first finding's fix takes the others' with it where that does clearly better, and then another rate or more epochs:
 * what is proposed should leave nothing to be desired.
 */
export async function combine(exam: Exam, findings: Finding[], clock: Clock): Promise<void> {
  const [first, ...others] = findings
  if (!first?.fix.change) return
  let { change } = first.fix
  let score = first.proof?.after.score ?? exam.base.score
  const adopt = async (next: Change, says: string): Promise<void> => {
    if (clock.isOver || score >= 1 - MATERIAL / 2) return
    const trial = await attempt(exam, next, clock.seconds(1 / 6)).catch(refused)
    if (!trial || trial.status === 'stopped' || trial.score < score + MATERIAL / 2) return
    score = trial.score
    change = next
    findings[0] = {
      ...findings[0],
      fix: { says: says ? `${findings[0].fix.says} ${says}` : findings[0].fix.says, change },
      proof: { before: measureOf(exam.base), after: measureOf(trial) },
    }
  }
  for (const other of others) {
    const rule = RULES.find(({ id }) => id === other.id)
    const [next] = rule?.suspect(amend(exam, change))?.changes ?? []
    if (next) await adopt(together(change, next), other.fix.says)
    if (other.fix.change) await adopt(together(other.fix.change, change), other.fix.says)
  }
  const isLow = (): boolean => score < exam.chance + NEARLY * (1 - exam.chance)
  for (const factor of [0.1, 10, 0.01]) {
    if (!isLow()) return
    const rate = withRate(amend(exam, change), factor)
    const isOfRate = RULES.some(({ id, ...rule }) => id === first.id && (rule.isOfRate || rule.isPatience))
    await adopt(together(change, rate), isOfRate ? '' : `${factor < 1 ? 'Lower' : 'Raise'} the rate besides.`)
  }
  if (isLow())
    await adopt(together(change, standardized(amend(exam, change), 'inputs')), 'Standardize the inputs besides.')
}
