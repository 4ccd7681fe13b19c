/**
 * Certainties: faults that hold by arithmetic on the data or on what the caller computed elsewhere, whatever a run shows.
 */
import { splitPair } from '../data/codec'
import { classIndices } from '../data/targets'
import { checkClassWeights, weighClasses } from '../data/weights'
import { indexColumns } from '../layers'
import type { Clock } from './clock'
import type { Elsewhere } from './elsewhere'
import { attemptHeld, type Exam } from './exam'
import { KIN_ROWS, type Kinship, kinship } from './kinship'
import type { Evidence, Finding } from './report'
import { measuredIn, measuredOn } from './rule'
import type { Change, Subject } from './subject'

/** Rows of which all that count have one label, or one target. */
export function singleClass({ targets, sampleWeight, fit }: Subject, { coding }: Exam): Finding[] {
  const classes = classIndices(targets, coding)
  const weights = weighClasses(sampleWeight, targets, coding, checkClassWeights(fit.classWeight))
  const { columns, values, scale } = targets
  const isLike = (r: number, first: number): boolean => {
    if (classes) return classes[r] === classes[first]
    for (let c = 0; c < columns; c++) if (values?.[r * columns + c] !== values?.[first * columns + c]) return false
    return true
  }
  let [first, rows] = [-1, 0]
  for (let r = 0; r < targets.rows; r++) {
    if (weights && !(weights[r] > 0)) continue
    if (first < 0) first = r
    if (!isLike(r, first)) return []
    rows++
  }
  const isWeighted = rows < targets.rows
  const what = classes ? 'labels' : columns === 1 ? 'targets' : 'rows of targets'
  const which = isWeighted ? `${what} whose weight is above 0` : what
  const are = classes ? 'of one class' : columns === 1 ? String((values?.[first] ?? Number.NaN) * scale) : 'the same'
  return [
    {
      id: 'single_class_labels',
      confidence: 1,
      evidence: { classes: 1, rows },
      says:
        rows === 1
          ? `There is only one row${isWeighted ? ' whose weight is above 0' : ''}, so there is nothing to tell apart.`
          : `All ${rows} ${which} are ${are}, so there is nothing to tell apart.`,
      fix: {
        says: isWeighted
          ? 'Give rows of every class a weight.'
          : classes
            ? 'Train on rows of every class.'
            : 'Train on rows whose targets differ.',
      },
    },
  ]
}

/** Rows of x that are all the same: whatever y is, nothing tells it from them. */
export function likeRows({ features: { x, rows, columns } }: Subject): Finding[] {
  if (rows < 2) return []
  for (let i = columns; i < rows * columns; i++) if (x[i] !== x[i - columns]) return []
  return [
    {
      id: 'labels_shuffled',
      confidence: 1,
      evidence: { rows, differentRows: 1 },
      says: `All ${rows} rows of x are the same as the model reads them, so that nothing tells what is in y.`,
      fix: { says: 'Check how x was read, and whether its values differ by more than its type can hold.' },
    },
  ]
}

/** How far off they are; nothing of what could not be compared. */
function errorOf({ relativeError }: { readonly relativeError: number }): Evidence {
  return Number.isFinite(relativeError) ? { relativeError } : {}
}

/** What the comparison with the caller's own numbers shows. */
export function theirFindings(check: Elsewhere | null): Finding[] {
  const found: Finding[] = []
  const add = (id: string, confidence: number, evidence: Finding['evidence'], says: string, cure: string): void => {
    found.push({ id, confidence, evidence, says, fix: { says: cure } })
  }
  if (check?.isAscent)
    add(
      'gradient_sign',
      0.97,
      { fault: 'sign', seen: 'losses' },
      'The second of their losses is that of a step along the gradient, uphill, and not against it.',
      'Subtract the gradient times the rate from the weights, instead of adding it.',
    )
  if (!check || check.ok) return found
  const values = [check.lossCheck, check.lossesCheck, check.predictionsCheck]
  const wrong = check.tensors.filter((t) => !t.ok)
  const broadcast = values.find((v) => v && !v.ok && v.fault === 'broadcast')
  const spread = wrong.every((t) => t.isBroadcast) ? wrong[0] : undefined
  if (broadcast || spread)
    add(
      'loss_broadcast',
      0.98,
      errorOf((broadcast ?? spread)!),
      (broadcast ?? spread)!.says ?? 'Their loss is that of every prediction against every target.',
      'Give predictions and targets the same shape, (n) or (n, 1), before they are subtracted.',
    )
  const bad = check.predictionsCheck
  if (bad && !bad.ok && bad !== broadcast)
    add(
      'forward_wrong',
      0.97,
      { ...errorOf(bad), ...measuredOn(check, check.rows.seen) },
      bad.says ?? `Their predictions differ from the model's by ${bad.relativeError.toPrecision(2)} of their size.`,
      'Compare the layers one by one with net.predict on one row.',
    )
  if (wrong.length > 0 && !broadcast && !spread) {
    const isFlipped = wrong.every((t) => t.fault === 'sign')
    const worst = wrong.reduce((most, t) => (t.relativeError > most.relativeError ? t : most))
    const where = `${worst.tensor} of layer ${worst.layer + 1}`
    add(
      isFlipped ? 'gradient_sign' : 'gradient_wrong',
      0.97,
      {
        tensors: wrong.length,
        layer: worst.layer + 1,
        tensor: worst.tensor,
        fault: worst.fault ?? 'other',
        ...errorOf(worst),
      },
      worst.says ??
        `Their gradient of the ${where} differs from the exact one by ${worst.relativeError.toPrecision(3)} of its size.`,
      isFlipped
        ? 'Turn the sign of the gradient, or of the update.'
        : 'Correct the derivative of that tensor; net.checkGradients names the first entries that differ.',
    )
  }
  const lossFault = [check.lossesCheck, check.lossCheck].find((v) => v && !v.ok && v !== broadcast)
  if (lossFault && found.length === 0)
    add(
      lossFault.fault === 'sign' ? 'gradient_sign' : 'forward_wrong',
      0.8,
      {
        ...errorOf(lossFault),
        ...(lossFault === check.lossesCheck && measuredOn(check, check.rows.seen)),
      },
      lossFault.says ?? `Their loss differs from the model's by ${lossFault.relativeError.toPrecision(2)} of its size.`,
      'Compare loss and update with net.loss and net.gradients at the same weights.',
    )
  return found
}

/** Fewer rows decide nothing about labels; nor do fewer than half of them that are not of the most frequent class. */
const ENOUGH_ROWS = 40
/**
 * A dependence of y on x shows in either test as a standard score; under labels that belong to other rows both are about
 * normal, so that one exceeds 2.8, or their sum 3.4, a few times in a hundred.
 */
const KIN = { one: 2.8, both: 3.4, blind: 1.5 }
/** Share of rows held out, and how often. */
const HELD = 0.3
const SPLITS = 2

/** Whether a kernel regression tells y from x; null where there are too few rows, or it clearly does. */
export function estranged({ subject, coding, table, blueprint, data }: Exam): Kinship | null {
  if (table.rows < ENOUGH_ROWS) return null
  const others = data.rows - Math.max(...data.classCounts)
  if (data.classCounts.length > 0 && others * Math.min(1, KIN_ROWS / data.rows) < ENOUGH_ROWS / 2) return null
  const isOfClasses = coding.task === 'binary' || coding.task === 'multiclass'
  const kin = kinship(
    table,
    subject.features,
    isOfClasses,
    subject.model.seed ?? 0,
    indexColumns(blueprint.model.layers),
  )
  return kin.score > KIN.one ? null : kin
}

/**
 * Labels that do not depend on x: neither a kernel regression nor the network on rows held out predicts them.
 * @param cures changes under which the program learned more than it did
 */
export async function strayLabels(
  exam: Exam,
  kin: Kinship | null,
  cures: readonly Change[],
  clock: Clock,
): Promise<Finding | null> {
  if (kin === null) return null
  let held = Number.NEGATIVE_INFINITY
  for (const change of cures) {
    if (clock.isOver) break
    held = Math.max(held, await heldScore(exam, change, clock))
    if (held > KIN.one) return null
  }
  // Where there was no time for the network the regression must be as good as blind.
  if (kin.score + (Number.isFinite(held) ? Math.max(0, held) : KIN.both - KIN.blind) > KIN.both) return null
  const says = `Neither a regression on neighbours and lines (standard score ${kin.score.toFixed(1)}, about 0 to 2 for shuffled labels${measuredIn(exam, kin.rows)}) nor the network on rows held out tells y from x better than chance`
  return {
    id: 'labels_shuffled',
    confidence: 0.8,
    evidence: {
      standardScore: kin.score,
      rows: kin.rows,
      ...measuredOn(exam, kin.rows),
      ...(Number.isFinite(held) && { heldOutScore: held, ...measuredOn(exam, exam.rows.seen, 'heldOutOn') }),
    },
    says: `${says}, so the labels hardly belong to their rows.`,
    fix: { says: 'Check that x and y are shuffled, sorted and filtered together.' },
  }
}

/** How many standard deviations the network does better than chance on rows held out. */
async function heldScore(exam: Exam, change: Change, clock: Clock): Promise<number> {
  const { subject, coding, chance } = exam
  const seed = subject.model.seed ?? 0
  let [sum, rows] = [0, 0]
  for (let i = 0; i < SPLITS; i++) {
    const [train, held] = splitPair(subject, HELD, (seed + i) >>> 0, coding)
    sum += await attemptHeld(exam, change, clock.seconds(1 / 10), train, held)
    rows += held.features.rows
  }
  const mean = sum / SPLITS
  // r2 = ρ² of a true prediction; of a share of right answers the binomial's deviation.
  if (coding.task === 'regression') return Math.sqrt(Math.max(0, mean) * rows)
  return (mean - chance) / Math.sqrt((chance * (1 - chance)) / rows + 1e-9)
}
