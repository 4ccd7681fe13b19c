/**
 * What `diagnose` may be asked, read and checked.
 */
import { expected, refuseUnknown } from '../errors'
import { checkNumber, RANGES } from '../names'
import type { History } from '../train/history'
import { type FitOptions, type FitSettings, readFitOptions } from '../train/options'
import type { Theirs } from './theirs'

/** Options of `diagnose`. */
export interface DiagnoseOptions {
  /** Those of the `fit` in question. @default those of `fit`; epochs and rate as in `history`, where it is given */
  fit?: FitOptions
  /** What that `fit` returned. */
  history?: Pick<History, 'loss'> & Partial<History>
  /** What was computed elsewhere at `net.weights()`, as for `checkGradients`. */
  theirs?: Theirs | readonly unknown[]
  /** Seconds for all of it: reading, comparing with `theirs` (half at most), the run as it is, trials. @default 30 */
  budget?: number
}

export interface DiagnoseSettings {
  readonly fit: FitOptions
  readonly settings: FitSettings
  readonly history: NonNullable<DiagnoseOptions['history']> | null
  readonly theirs: DiagnoseOptions['theirs']
  readonly budget: number
}

/** Numbers, or null for those that JSON has no word for. */
function isNumbers(value: unknown): boolean {
  const isList = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))
  return isList && Array.from(value as ArrayLike<unknown>).every((v) => typeof v === 'number' || v === null)
}

/** @throws ERR_OPTION */
export function readDiagnoseOptions(options: unknown): DiagnoseSettings {
  refuseUnknown(options, ['fit', 'history', 'theirs', 'budget'], 'diagnose')
  const { fit = {}, history, theirs, budget = 30 } = options as DiagnoseOptions
  if (history !== undefined && (typeof history !== 'object' || history === null || !('loss' in history)))
    throw expected('a history such as fit returns', 'history', history)
  if (history !== undefined && !isNumbers(history.loss))
    throw expected('a list of numbers', 'loss of history', history.loss)
  const rate = history?.learningRate?.[0]
  const known: FitOptions = {
    ...(history !== undefined && history.loss.length > 0 && { epochs: history.loss.length }),
    ...(rate !== undefined && { learningRate: rate }),
    ...fit,
  }
  return {
    fit: known,
    settings: readFitOptions(known),
    history: history ?? null,
    theirs,
    budget: checkNumber(budget, RANGES.positive, 'budget'),
  }
}
