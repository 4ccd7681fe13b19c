/**
 * A rule: what must be seen before a fault is suspected, and what to change to see whether it is it.
 *
 * A row only suspects. Whether a suspect is guilty is measured (trials.ts): the program runs again without it, and unless
 * that run ends clearly better the row is silent. So thresholds may be generous; they decide which trials are worth their
 * time. Here is what rows are made of; rules.ts puts them in order.
 */
import { ACTIVATIONS } from '../activations'
import type { Exam } from './exam'
import type { LayerProbe } from './probe'
import type { Change } from './subject'
import { rowsInWords } from './words'

export type Evidence = Record<string, number | string>

export interface Suspicion {
  readonly evidence: Evidence
  /** What was seen, one sentence. */
  readonly says: string
  /** What to do, one sentence. */
  readonly cure: string
  /** Tried in turn; the one that helps most is the fix. */
  readonly changes: readonly Change[]
  /** True whatever a run shows, so that the finding stands without a trial that helps. */
  readonly isCertain?: true
}

export interface Rule {
  readonly id: string
  readonly synopsis: string
  /** Where the threshold comes from. */
  readonly source: string
  /**
   * The run counts as sick only where it came less than this share of the way from chance to what the change reaches. What
   * is wrong by the book may be judged strictly; a start, a scale or a rate that others would choose differently is a
   * fault only where it costs much.
   */
  readonly until: number | ((exam: Exam) => number)
  /** The change could as well only memorise: it must help on rows held out, too. */
  readonly isPatience?: true
  /** What it suspects is seen to be out of order, not only thought of. */
  readonly isSeen?: true
  /** Of rate or batch: what depends on all else, and is set last. */
  readonly isOfRate?: true
  /** A fault even of a run that ends well, where its first steps rose: of the weights it began with, or of its rate. */
  readonly ofStart?: true
  readonly ofFirstSteps?: true
  suspect(exam: Exam): Suspicion | null
}

/** See Rule.until: 0.9 is a tenth of the way missing; 0.62 lies below every run that its author would call trained. */
export const STRICT = 0.9
export const NEARLY_THERE = 0.8
export const LENIENT = 0.62

/** Steps below which a run has hardly begun, whoever wrote it. */
const FEW_STEPS = 100

export function hasHardlyBegun({ settings: { epochs, batchSize }, rows }: Exam): boolean {
  return epochs * (batchSize === 'full' ? 1 : Math.ceil(rows.of / batchSize)) < FEW_STEPS
}

// ---------------------------------------------------------------------------------------------------- in words

export const percent = (share: number): string => `${Math.round(100 * share)} %`
export const short = (value: number): string => String(Number(value.toPrecision(3)))
/** Clauses as one sentence. */
export function sentence(clauses: readonly string[]): string {
  const said = clauses.join(', and ')
  return `${said[0].toUpperCase()}${said.slice(1)}.`
}

export const layerName = (p: LayerProbe): string => `layer ${p.layer + 1}`

// ---------------------------------------------------------------------------------------------------- on how many rows

type Seen = Pick<Exam, 'rows'>

/** Evidence that says on how many rows other evidence was measured; nothing where those are all. */
export function measuredOn({ rows: { of } }: Seen, rows: number, name = 'measuredOn'): Evidence {
  return rows < of ? { [name]: rowsInWords(rows, of) } : {}
}

/** The same as words behind a measurement: *, measured on 1,024 of 8,192 rows*. */
export function measuredIn({ rows: { of } }: Seen, rows: number): string {
  return rows < of ? `, measured on ${rowsInWords(rows, of)}` : ''
}

/** What a probe calls every row. */
export function everyRow({ rows: { of } }: Seen, { rows }: LayerProbe): string {
  return rows < of ? `every row of ${rows.toLocaleString('en-US')}` : 'every row'
}

// ---------------------------------------------------------------------------------------------------- of layers

export const hidden = (probes: readonly LayerProbe[]): LayerProbe[] => probes.filter((p) => !p.isOutput)

export function rangeOf(activation: string): readonly [number, number] {
  const ends = Float64Array.of(-1e4, 1e4, 0)
  if (activation === 'softmax') return [0, 1]
  ACTIVATIONS.get(activation)!.forward(ends, ends, 3, 1)
  const low = Math.min(...ends)
  const high = Math.max(...ends)
  return [low < -50 ? Number.NEGATIVE_INFINITY : low, high > 50 ? Number.POSITIVE_INFINITY : high]
}

/** The first hidden layer half of whose units are zero on every row. */
export function deadLayer(probes: readonly LayerProbe[]): LayerProbe | undefined {
  return hidden(probes).find((p) => isHalfLine(p.activation) && p.dead >= 0.5)
}

export function isHalfLine(activation: string): boolean {
  const at = Float64Array.of(-2, 2)
  ACTIVATIONS.get(activation)!.forward(at, at, 2, 1)
  return at[0] === 0 && at[1] === 2
}
