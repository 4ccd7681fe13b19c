/**
 * The ledger of a run, kept in its history: what each step did to the loss, as terms that add up.
 *
 * Plain data. It is kept by the doctor (doctor/ledger.ts); docs/doctor.md says what each term means.
 */

/** What made the objective change in a step; the terms add up to the change. All but `bending` are the slope's. */
export interface Terms {
  /** The step along the objective's own gradient. */
  readonly descent: number
  /** What the rows of the batch added to it. */
  readonly noise: number
  /** What its dropout masks added to that. */
  readonly dropout: number
  /** What the optimizer remembered of the steps before. */
  readonly momentum: number
  /** Weight decay of the optimizer. */
  readonly decay: number
  /** What clipping the gradient changed. */
  readonly clipping: number
  /** All that the slope does not tell: the change less the other terms. */
  readonly bending: number
}

/** One step. */
export interface Entry {
  /** From 0, from the beginning of the run: of a full batch it leads from `loss[step]` to `loss[step + 1]`. */
  readonly step: number
  /** From 1. */
  readonly epoch: number
  /** Rows on which the objective was taken: all, or so many drawn by the seed. */
  readonly rows: number
  /** The objective on them before and after the step: data loss and penalty, no dropout. */
  readonly before: number
  readonly after: number
  readonly change: number
  /** Its two parts, which add up to it. */
  readonly parts: { readonly data: number; readonly penalty: number }
  readonly terms: Terms
  /** Where it was looked at closer: `bending` as the curvature at the start of the step, and what is beyond it. */
  local?: { readonly curvature: number; readonly beyond: number }
  /** Where on the way, from 0 to 1, the objective was lowest; null where nobody looked. */
  bestFraction: number | null
}

/** What is not in a ledger. */
export interface LedgerNotes {
  /** A change is a rise above this share of the objective; below it is rounding. */
  readonly tolerance: number
  /** Steps that have no entry. */
  readonly unrecorded: number
  /** Rises among the entries. */
  readonly rises: number
  /** Those that were not looked at closer: they have no `local`, and no `bestFraction`. */
  readonly unexamined: number
}

/** A ledger that is kept while a run goes on. */
export interface Ledger {
  entries(): readonly Entry[]
  /** Looks closer at the largest rises that nobody has looked at yet, `most` of them. Resolves to those. */
  examine(most: number): Promise<readonly Entry[]>
  /** @param steps that the run made */
  notes(steps: number): LedgerNotes
}

/** Whether a change is a rise: +∞ is one, and so is a value that is none any more. */
export function isRise({ before, change }: Pick<Entry, 'before' | 'change'>, tolerance: number): boolean {
  return !(change <= tolerance * Math.abs(before))
}
