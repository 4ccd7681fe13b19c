/**
 * The curve of a loss as a chart, and where it rose.
 *
 * A rise is ΔL > τ·|L|; smaller ones are rounding, and nobody counts them. Nothing here says why it rose.
 */

import { type Chart, countFrom, type Level, type Series } from './chart'
import { formatMeasured } from './scale'

/** What is drawn of a history; its `loss[i]` was measured before update i + 1. */
export interface Losses {
  loss: ArrayLike<number>
  valLoss?: ArrayLike<number> | null
  penalty?: ArrayLike<number> | null
}

export interface LossChartOptions {
  /** @default 'Loss' */
  title?: string
  /** @default where the loss began and ended */
  note?: string
  /** What one value of the loss stands for. @default 'epoch' */
  unit?: string
  /** The number of the first value: epochs count from 1, updates made so far from 0. @default 1 */
  first?: number
  /** τ of a rise: 1e-5 for float32, 1e-12 for float64. @default 1e-5 */
  tolerance?: number
  levels?: Level[]
}

/** The indices i > 0 at which loss[i] is above loss[i − 1] by more than `tolerance` · |loss[i − 1]|. NaN never is; +∞ is. */
export function rises(loss: ArrayLike<number>, tolerance = 1e-5): number[] {
  const found: number[] = []
  for (let i = 1; i < loss.length; i++) {
    if (loss[i] - loss[i - 1] > tolerance * Math.abs(loss[i - 1])) found.push(i)
  }
  return found
}

/** The chart of a history: its losses on a log scale, and marks where the training loss rose. */
export function lossChart(history: Losses, options: LossChartOptions = {}): Chart {
  const { loss } = history
  const fromTo = loss.length > 1 ? `${formatMeasured(loss[0])} → ${formatMeasured(loss[loss.length - 1])}` : undefined
  const { title = 'Loss', note = fromTo, unit = 'epoch', first = 1, tolerance = 1e-5, levels } = options
  const curve = (name: string, y: ArrayLike<number>): Series => ({ name, y, x: countFrom(first, y.length) })
  const series = [curve('loss', loss)]
  if (history.valLoss && history.valLoss.length > 0) series.push(curve('validation loss', history.valLoss))
  // Without l2 the penalty is all zeros: nothing to see, and a log scale should not bend for it.
  if (history.penalty && Array.prototype.some.call(history.penalty, (v: number) => v !== 0)) {
    series.push(curve('penalty', history.penalty))
  }
  const rose = rises(loss, tolerance).map((i) => i + first)
  const marks = [{ name: rose.length === 1 ? '1 rise' : `${rose.length} rises`, at: rose }]
  return { title, note, x: { label: unit }, y: { label: 'loss', scale: 'log' }, series, marks, levels }
}
