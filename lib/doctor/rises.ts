/**
 * Rises: why the objective rose in a step, read off its ledger; a sentence for each.
 */
import { DownhillError } from '../errors'
import { formatMeasured } from '../plot'
import type { History } from '../train/history'
import { type Entry, isRise, type Terms } from '../train/ledger'
import { firstOrder } from './terms'

export type RiseCause = 'overshoot' | 'penalty' | Exclude<keyof Terms, 'descent' | 'bending'>

/** A step in which the objective rose. */
export interface Rise {
  readonly step: number
  readonly epoch: number
  readonly change: number
  readonly cause: RiseCause
  /** *step 37: +0.410: first order −0.270, bending +0.680; the best point was 0.20 of the way: overshoot, …* */
  readonly says: string
}

/** The terms that can turn a step uphill, and what that is called. */
const UPHILL: { readonly [K in Exclude<RiseCause, 'overshoot' | 'penalty'>]: string } = {
  noise: 'noise, its batch points uphill for the rest',
  dropout: 'dropout, its masks turned it uphill',
  momentum: 'momentum, it went on where it had been going',
  decay: 'decay, it took weights off that the loss needs',
  clipping: 'clipping, it turned the step uphill',
}

/**
 * The rises of a run that kept a ledger, in the order of its steps, each with its cause:
 *
 * - *penalty*: the data's part fell, and the objective rose;
 * - *overshoot*: the slope was downhill, and the step too long for it;
 * - *noise*, *dropout*, *momentum*, *decay*, *clipping*: that term, the largest of those without which the slope would
 *   have been downhill, made it uphill.
 *
 * @param history what `fit` gave, or what its JSON was read back as
 * @throws ERR_OPTION where no ledger was kept
 */
export function explainRises({ ledger, ledgerNotes }: Pick<History, 'ledger' | 'ledgerNotes'>): Rise[] {
  if (!ledger || !ledgerNotes)
    throw new DownhillError('ERR_OPTION', 'Expected a history with a ledger; train with ledger: true.')
  return ledger.filter((entry) => isRise(entry, ledgerNotes.tolerance)).map(explain)
}

function explain(entry: Entry): Rise {
  const { step, epoch, change, terms, bestFraction } = entry
  const cause = causeOf(entry)
  const first = firstOrder(terms)
  const share = cause === 'overshoot' || cause === 'penalty' ? '' : ` (${cause} ${signed(terms[cause])})`
  const best = bestFraction === null ? '' : `; the best point was ${bestFraction.toFixed(2)} of the way`
  const sums = `first order ${signed(first)}${share}, bending ${signed(terms.bending)}`
  return {
    step,
    epoch,
    change,
    cause,
    says: `step ${step}: ${signed(change)}: ${sums}${best}: ${wordsOf(entry, cause)}.`,
  }
}

function causeOf({ parts, terms }: Entry): RiseCause {
  if (parts.data < 0) return 'penalty'
  const first = firstOrder(terms)
  if (!(first >= 0)) return 'overshoot'
  const names = Object.keys(UPHILL) as (keyof typeof UPHILL)[]
  const alone = names.filter((name) => first - terms[name] < 0)
  return (alone.length > 0 ? alone : names).reduce((most, name) => (terms[name] > terms[most] ? name : most))
}

function wordsOf({ parts }: Entry, cause: RiseCause): string {
  if (cause === 'overshoot') return 'overshoot, the step was too long for its own direction'
  if (cause === 'penalty') return `penalty, the data's part fell by ${formatMeasured(-parts.data)}`
  return UPHILL[cause]
}

function signed(value: number): string {
  return `${value > 0 ? '+' : ''}${formatMeasured(value)}`
}
