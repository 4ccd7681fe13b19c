/**
 * The report: a diagnosis as callers see it, in a line, in a page of text and as a page to open.
 *
 * It words and draws what was found; it decides nothing. The page is one file that needs nothing else (lib/plot).
 */
import { type Chart, formatMeasured, lossChart, renderHtml, type Section } from '../plot'
import type { Exam } from './exam'
import type { Change } from './subject'
import { changeInWords, clauses, open, rowsInWords, wrap } from './words'

export type Verdict = 'healthy' | 'transient' | 'unstable' | 'diverging' | 'stalled' | 'broken' | 'overfitting'

export type Evidence = Record<string, number | string>

/** What a run of the program came to. */
export interface Measure {
  /** Accuracy, or r2 no lower than 0, on the training rows; NaN where a curve is all there is. */
  readonly score: number
  readonly loss: number
  readonly status: string
}

/** A fault. */
export interface Finding {
  /** Of the vocabulary in docs/doctor.md. */
  readonly id: string
  /** In (0, 1]. */
  readonly confidence: number
  readonly evidence: Evidence
  readonly says: string
  /** `change` replaces the caller's whole values: `{ ...options, ...change.model }`, `{ ...fit, ...change.fit }`. */
  readonly fix: { readonly says: string; readonly change?: Change }
  /** The program as it is and with the change: same seed, same rows. */
  readonly proof?: { readonly before: Measure; readonly after: Measure }
}

/** An explanation of what is no fault. */
export interface Note {
  readonly id?: string
  readonly evidence: Evidence
  readonly says: string
}

export interface Diagnosis {
  readonly verdict: Verdict
  /** Faults, likeliest first; empty where nothing was found, and always where the verdict is 'healthy'. */
  readonly findings: readonly Finding[]
  readonly notes: readonly Note[]
  /** One sentence. */
  brief(): string
  /** All findings with evidence, fix and proof, and all notes, as text. */
  full(): string
  /** The same as one self-contained page with the losses drawn. */
  html(): string
}

/** What the verdicts say of a run. */
const VERDICTS: { readonly [V in Verdict]: string } = {
  healthy: 'Nothing was found that keeps this run from getting on.',
  transient: 'The loss rises at first and ends lower.',
  unstable: 'The loss keeps rising and falling.',
  diverging: 'The run diverges.',
  stalled: 'The run does not get where it could.',
  broken: 'Something is written down wrong.',
  overfitting: 'The model learns its training rows by heart.',
}

/** The diagnosis of an exam. */
export function present(exam: Exam, verdict: Verdict, findings: readonly Finding[], notes: readonly Note[]): Diagnosis {
  const { base, chanceLoss, coding, trials, rows } = exam
  const on = rows.seen < rows.of ? `, on ${rowsInWords(rows.seen, rows.of)}` : ''
  const chart = lossChart(base, { title: `The run as it is${on}`, levels: [{ name: 'chance', value: chanceLoss }] })
  const cures = findings.map(({ fix }) => {
    const trial = trials.find(({ change }) => change === fix.change)
    return trial && trial.loss.length > 0 ? beside(base.loss, trial.loss) : null
  })
  const seen: Note[] =
    rows.seen < rows.of
      ? [
          {
            evidence: { ...rows },
            says: `Looked at ${rowsInWords(rows.seen, rows.of)}, which is what the budget pays for.`,
          },
        ]
      : []
  const score = coding.task === 'regression' ? 'r2' : 'accuracy'
  return diagnosisOf(verdict, findings, [...notes, ...seen], base.loss.length > 0 ? chart : null, cures, score)
}

/** Both runs in one chart. */
function beside(before: ArrayLike<number>, after: ArrayLike<number>): Chart {
  const x = (y: ArrayLike<number>): number[] => Array.from(y, (_, i) => i + 1)
  return {
    title: 'As it is, and with the fix',
    x: { label: 'epoch' },
    y: { label: 'loss', scale: 'log' },
    series: [
      { name: 'as it is', y: before, x: x(before) },
      { name: 'with the fix', y: after, x: x(after) },
    ],
  }
}

/**
 * A diagnosis from its parts.
 * @param chart of the run
 * @param cures a chart for each finding, or none
 * @param score what a proof's score is called
 */
export function diagnosisOf(
  verdict: Verdict,
  findings: readonly Finding[],
  notes: readonly Note[],
  chart: Chart | null,
  cures: readonly (Chart | null)[] = [],
  score = 'score',
): Diagnosis {
  return {
    verdict,
    findings,
    notes,
    brief: () => briefOf(verdict, findings, score),
    full: () => textOf(verdict, findings, notes, score),
    html: () => pageOf(verdict, findings, notes, chart, cures, score),
  }
}

/** One sentence: of the likeliest finding what was seen, what to do, and what that came to when it was tried. */
function briefOf(verdict: Verdict, [first]: readonly Finding[], score: string): string {
  if (!first) return VERDICTS[verdict]
  const { says, fix, proof } = first
  const tried = proof ? ` (${score} ${formatMeasured(proof.before.score)} → ${formatMeasured(proof.after.score)})` : ''
  return `${open(says)}: ${clauses(fix.says)}${tried}.`
}

function textOf(verdict: Verdict, findings: readonly Finding[], notes: readonly Note[], score: string): string {
  const lines = [`${verdict.toUpperCase()}  ${VERDICTS[verdict]}`]
  const part = (name: string, text: string): void => {
    lines.push(`   ${name.padEnd(9)} ${wrap(text, ' '.repeat(13)).trimStart()}`)
  }
  for (const [i, { id, confidence, says, evidence, fix, proof }] of findings.entries()) {
    lines.push('', `${i + 1}. ${id}   confidence ${confidence.toFixed(2)}`, wrap(says, '   '))
    part('evidence', listOf(evidence))
    part('fix', fix.says)
    for (const change of fix.change ? changeInWords(fix.change) : []) part('change', change)
    if (proof) part('tried', proofOf(proof, score))
  }
  for (const note of notes) lines.push('', wrap(`Note: ${note.says}`))
  return lines.join('\n')
}

function proofOf({ before, after }: NonNullable<Finding['proof']>, name: string): string {
  const told = ({ score, loss, status }: Measure): string =>
    `${name} ${formatMeasured(score)}, loss ${formatMeasured(loss)}${status === 'completed' ? '' : ` (${status})`}`
  return `${told(before)} → ${told(after)}, from the same seed on the same rows`
}

function listOf(evidence: Evidence): string {
  return Object.entries(evidence)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? formatMeasured(value) : value}`)
    .join(', ')
}

function pageOf(
  verdict: Verdict,
  findings: readonly Finding[],
  notes: readonly Note[],
  chart: Chart | null,
  cures: readonly (Chart | null)[],
  score: string,
): string {
  const found = findings.map(({ id, says, fix, proof, evidence, confidence }, i): Section => {
    const cure = cures[i]
    return {
      heading: `${i + 1}. ${id}`,
      text: [
        says,
        `What to do: ${fix.says}`,
        ...(fix.change ? changeInWords(fix.change).map((change) => `Change of ${change}`) : []),
        ...(proof ? [`Tried: ${proofOf(proof, score)}.`] : []),
      ],
      ...(cure && { charts: [cure] }),
      table: {
        columns: ['evidence', 'value'],
        rows: [...Object.entries(evidence), ['confidence', confidence]].map(([name, value]) => [
          name,
          typeof value === 'number' ? formatMeasured(value) : value,
        ]),
      },
    }
  })
  return renderHtml({
    title: `Diagnosis: ${verdict}`,
    text: [briefOf(verdict, findings, score)],
    sections: [
      ...(chart ? [{ heading: 'The loss', charts: [chart] }] : []),
      ...found,
      ...(notes.length > 0 ? [{ heading: 'Notes', text: notes.map(({ says }) => says) }] : []),
    ],
  })
}
