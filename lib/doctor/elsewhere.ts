/**
 * Elsewhere: what the caller computed, held to the model within a budget.
 *
 * A gradient and a loss are of all rows or of none, so what they would take is foretold, and what the budget does not pay
 * for is left out with a note. Predictions and losses of single rows can be held to fewer rows, and then are.
 */

import type { Table } from '../plan/plan'
import { random } from '../random'
import type { FitSettings } from '../train/options'
import { isAscent } from './ascent'
import type { Clock } from './clock'
import { activeLayers, evidenceOf, tensorsAlone } from './faults'
import type { GradientCheckSubject } from './gradients'
import { operationsOf, SPEED } from './price'
import type { Note } from './report'
import { sample, selectTable } from './sample'
import {
  compareGradients,
  compareLoss,
  compareLosses,
  comparePredictions,
  pickRows,
  readTheirs,
  type TensorComparison,
  type ValueComparison,
} from './theirs'
import { rowsInWords } from './words'

/** What came of it. */
export interface Elsewhere {
  readonly ok: boolean
  readonly tensors: readonly TensorComparison[]
  readonly lossCheck?: ValueComparison
  readonly predictionsCheck?: ValueComparison
  readonly lossesCheck?: ValueComparison
  /** Their losses are those of steps uphill. */
  readonly isAscent: boolean
  /** Rows that predictions and losses of rows were held to, of so many. */
  readonly rows: { readonly seen: number; readonly of: number }
  /** What was left out. */
  readonly notes: readonly Note[]
}

/** Share of the budget that it may take. */
const SHARE = 1 / 2
/** No fewer rows than these, whatever they take: a wrong forward pass shows on any of them. */
const LEAST_ROWS = 64
/** Forward passes: of a gradient, of predictions that are looked into, of losses. */
const PASSES = { gradient: 3, predictions: 2, losses: 2, loss: 2, ascent: 8 } as const

interface Asked extends GradientCheckSubject {
  readonly settings: FitSettings
  /** The rows in the model's own type. */
  own(): Table
}

/** @throws ERR_OPTION for what is not theirs at all */
export async function holdTheirs(asked: Asked, given: unknown, clock: Clock): Promise<Elsewhere> {
  const { network, table, seed, settings } = asked
  const theirs = readTheirs(given)
  const pass = operationsOf(network.layout) / 3
  const all = pass * table.rows
  const affordable = clock.seconds(SHARE) * SPEED.typescript
  let left = affordable
  const notes: Note[] = []
  /** Whether so many operations are within the budget, of which they are taken. */
  const takes = (operations: number): boolean => {
    if (operations > left) return false
    left -= operations
    return true
  }
  const leaveOut = (what: string, operations: number): void => {
    const seconds = operations / SPEED.typescript / SHARE
    notes.push({
      evidence: { leftOut: what, rows: table.rows, budget: clock.budget, needs: seconds },
      says: `Their ${what} could not be compared within the budget of ${clock.budget} s, since it takes all ${table.rows.toLocaleString('en-US')} rows: a budget of about ${Math.ceil(seconds)} s would do, or net.checkGradients, which takes the time it needs.`,
    })
  }
  // What our own arithmetic rounds is computed beside the exact gradient.
  const own = SPEED.typescript / SPEED[network.backendName]
  const perGradient = PASSES.gradient * all * (1 + (network.dtype === 'float32' ? own : 0))
  const losses = theirs.losses?.values.length === 0 ? undefined : theirs.losses
  const areOfRows = losses !== undefined && losses.values.length === table.rows
  const isRun = losses !== undefined && !areOfRows

  const exact = network.copy({ dtype: 'float64' })
  try {
    const hasGradient = theirs.gradients !== null && takes(perGradient)
    if (theirs.gradients && !hasGradient) leaveOut('gradients', perGradient)
    const wantsLoss = theirs.loss !== undefined || isRun
    const hasLoss = wantsLoss && (hasGradient || takes(PASSES.loss * all))
    if (wantsLoss && !hasLoss) leaveOut(isRun ? 'losses' : 'loss', PASSES.loss * all)
    const { loss, gradient } = hasGradient
      ? exact.gradient(table)
      : { loss: hasLoss ? exact.evaluate(table).loss[0] : Number.NaN, gradient: exact.parameters.map(() => Number.NaN) }
    const ours = { ...asked, exact, gradient, loss }

    const perRow = pass * ((theirs.predictions ? PASSES.predictions : 0) + (areOfRows ? PASSES.losses : 0))
    const seen = perRow > 0 ? Math.min(table.rows, Math.max(LEAST_ROWS, Math.floor(left / perRow))) : table.rows
    left -= perRow * seen
    const chosen = seen < table.rows ? sample(table.rows, seen, random(seed, 'sample')) : null
    const held = chosen ? selectTable(table, chosen) : table
    const part = { ...ours, table: held, loss: areOfRows ? exact.evaluate(held).loss[0] : loss }
    const lossCheck = theirs.loss && hasLoss ? compareLoss(ours, theirs.loss) : undefined
    const predictionsCheck =
      theirs.predictions && comparePredictions(part, pickRows(theirs.predictions, chosen, table.rows), table.rows)
    const lossesCheck =
      losses &&
      (areOfRows ? compareLosses(part, pickRows(losses, chosen, table.rows)) : hasLoss && compareLoss(ours, losses))
    if (chosen)
      notes.push({
        evidence: { rows: seen, of: table.rows },
        says: `Their values row by row were compared on ${rowsInWords(seen, table.rows)}, which is what the budget pays for.`,
      })

    // The way back without each derivative, and a few others.
    const naming = PASSES.gradient * all * (activeLayers(exact).length + 4)
    const isNamed = naming <= left
    const evidence = isNamed ? evidenceOf(exact, table) : tensorsAlone(exact, table)
    const tensors = hasGradient && theirs.gradients ? compareGradients(ours, theirs.gradients, evidence).tensors : []
    if (isNamed && tensors.some(({ ok }) => !ok)) left -= naming
    if (!isNamed && tensors.some(({ fault }) => fault === 'other'))
      leaveOut('gradients and those of every known fault', naming + perGradient)

    const values = {
      ...(lossCheck && { lossCheck }),
      ...(predictionsCheck && { predictionsCheck }),
      ...(lossesCheck && { lossesCheck }),
    }
    const ok = [...tensors, ...Object.values(values)].every((check) => check.ok)
    const turns = PASSES.ascent * all * own
    const hasTwo = losses !== undefined && losses.values.length > 1
    const isTurned = hasTwo && takes(turns)
    if (hasTwo && !isTurned && hasLoss) leaveOut('second loss', turns)
    const isAscending = isTurned && (await isAscent(network, asked.own(), settings, losses.values))
    return { ok, tensors, ...values, isAscent: isAscending, rows: { seen, of: table.rows }, notes }
  } finally {
    exact.close()
  }
}
