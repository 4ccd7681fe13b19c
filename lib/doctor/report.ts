/**
 * The report: a diagnosis as callers see it, in a line, in a page of text and as a page to open.
 *
 * It words and draws what was found; it decides nothing. The page is one file that needs nothing else (lib/plot).
 */
import { type Chart, formatMeasured, lossChart, renderHtml } from '../plot'
import type { Exam, Trial } from './exam'
import type { Change } from './subject'

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
  /** One or two sentences. */
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
export function present(
  exam: Exam,
  verdict: Verdict,
  findings: readonly Finding[],
  notes: readonly Note[],
  trials: readonly Trial[],
): Diagnosis {
  const charts = [
    lossChart(exam.base.loss.length > 0 ? { loss: exam.base.loss } : { loss: [] }, {
      title: 'The run as it is',
      levels: [{ name: 'chance', value: exam.chanceLoss }],
    }),
    ...findings.flatMap((finding) => {
      const trial = trials.find(({ change }) => change === finding.fix.change)
      return trial ? [lossChart({ loss: trial.loss }, { title: `With the fix of ${finding.id}` })] : []
    }),
  ]
  return diagnosisOf(verdict, findings, notes, charts)
}

/** A diagnosis from its parts. */
export function diagnosisOf(
  verdict: Verdict,
  findings: readonly Finding[],
  notes: readonly Note[],
  charts: readonly Chart[],
): Diagnosis {
  return {
    verdict,
    findings,
    notes,
    brief: () => [VERDICTS[verdict], ...findings.slice(0, 1).map((f) => `${f.says} ${f.fix.says}`)].join(' '),
    full: () => textOf(verdict, findings, notes),
    html: () => pageOf(verdict, findings, notes, charts),
  }
}

function textOf(verdict: Verdict, findings: readonly Finding[], notes: readonly Note[]): string {
  const lines = [`${verdict}: ${VERDICTS[verdict]}`]
  for (const [i, finding] of findings.entries()) {
    lines.push('', `${i + 1}. ${finding.id} (confidence ${finding.confidence.toFixed(2)})`, `   ${finding.says}`)
    lines.push(`   Evidence: ${listOf(finding.evidence)}.`, `   Fix: ${finding.fix.says}`)
    if (finding.fix.change) lines.push(`   Change: ${JSON.stringify(finding.fix.change, shorten)}`)
    if (finding.proof) lines.push(`   Tried: ${proofOf(finding.proof)}.`)
  }
  for (const note of notes) lines.push('', `Note: ${note.says}`)
  return lines.join('\n')
}

function proofOf({ before, after }: NonNullable<Finding['proof']>): string {
  const told = ({ score, loss, status }: Measure): string =>
    `score ${formatMeasured(score)}, loss ${formatMeasured(loss)}${status === 'completed' ? '' : ` (${status})`}`
  return `${told(before)} → ${told(after)}`
}

function listOf(evidence: Evidence): string {
  return Object.entries(evidence)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? formatMeasured(value) : value}`)
    .join(', ')
}

/** Explicit weights are too long for a sentence. */
function shorten(_: string, value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return `${(value as Float64Array).length} values`
  return value
}

function pageOf(
  verdict: Verdict,
  findings: readonly Finding[],
  notes: readonly Note[],
  charts: readonly Chart[],
): string {
  const [base, ...cures] = charts
  return renderHtml({
    title: `Diagnosis: ${verdict}`,
    text: [VERDICTS[verdict]],
    sections: [
      ...(base ? [{ heading: 'The loss', charts: [base] }] : []),
      ...findings.map((finding, i) => ({
        heading: `${i + 1}. ${finding.id}`,
        text: [
          finding.says,
          finding.fix.says,
          ...(finding.fix.change ? [`Change: ${JSON.stringify(finding.fix.change, shorten)}`] : []),
          ...(finding.proof ? [`Tried: ${proofOf(finding.proof)}.`] : []),
        ],
        charts: cures.filter(({ title }) => title.endsWith(` ${finding.id}`)),
        table: { columns: ['evidence', 'value'], rows: Object.entries(finding.evidence) },
      })),
      ...(notes.length > 0 ? [{ heading: 'Notes', text: notes.map(({ says }) => says) }] : []),
    ],
  })
}
