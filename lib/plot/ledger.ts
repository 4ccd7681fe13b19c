/**
 * The ledger of a run as a chart: a bar for each step, the terms of its change stacked on it, and the change as a line.
 */
import type { Chart, Series } from './chart'
import { formatMeasured } from './scale'

/** What is drawn of a ledger. */
export interface Changes {
  readonly step: number
  readonly change: number
  readonly terms: Readonly<Record<string, number>>
}

/** Bars that a picture has room for; more steps than that share them. */
const MOST_BARS = 160
/** A bar is cut off beyond so many times what nine tenths of them reach. */
const CUT = 1.5

/**
 * @param rises steps that are marked
 * @param most bars that there is room for
 */
export function ledgerChart(entries: readonly Changes[], rises: ArrayLike<number> = [], most = MOST_BARS): Chart {
  const each = Math.max(1, Math.ceil(entries.length / most))
  const bars = Array.from({ length: Math.ceil(entries.length / each) }, (_, i) =>
    entries.slice(i * each, (i + 1) * each),
  )
  const x = bars.map((bar) => (bar[0].step + bar[bar.length - 1].step) / 2)
  const sums = (of: (entry: Changes) => number): number[] =>
    bars.map((bar) => bar.reduce((sum, entry) => sum + of(entry), 0))
  const change = sums((entry) => entry.change)
  const names = Object.keys(entries[0]?.terms ?? {})
  const stack = names
    .map((name, fill): Series => ({ name, x, y: sums(({ terms }) => terms[name]), fill }))
    .filter(hasAny)
  const limit = CUT * reachOf(stack)
  const cut = (y: ArrayLike<number>): number[] => Array.from(y, (v) => Math.max(-limit, Math.min(limit, v)))
  const isCut = bars.map((_, i) => Math.max(up(stack, i), -down(stack, i)) > limit)
  const lost = isCut.filter(Boolean).length
  const notes = [
    'What each term did to the objective, stacked, and the change.',
    each > 1 ? `A bar is the sum of ${each} steps.` : '',
    lost > 0 ? `${lost} of ${bars.length} bars reach beyond ±${formatMeasured(limit)} and are cut off there.` : '',
  ]
  const half = bars.length > 1 ? (x[x.length - 1] - x[0]) / (bars.length - 1) / 2 : 0.5
  return {
    title: 'Ledger',
    note: notes.filter((note) => note !== '').join(' '),
    x: { label: 'step', range: [(x[0] ?? 0) - half, (x[x.length - 1] ?? 0) + half] },
    y: { label: 'change of the objective', range: [0, 0] },
    series: [{ name: 'change', x, y: cut(change) }],
    stack: cutStack(stack, limit),
    marks: [{ name: rises.length === 1 ? '1 rise' : `${rises.length} rises`, at: rises }],
  }
}

function hasAny({ y }: Series): boolean {
  return Array.from(y).some((value) => value !== 0)
}

const up = (stack: readonly Series[], i: number): number => stack.reduce((sum, { y }) => sum + Math.max(0, y[i]), 0)
const down = (stack: readonly Series[], i: number): number => stack.reduce((sum, { y }) => sum + Math.min(0, y[i]), 0)

/** What nine tenths of the bars stay within. */
function reachOf(stack: readonly Series[]): number {
  const bars = stack[0]?.y.length ?? 0
  const sizes = Array.from({ length: bars }, (_, i) => Math.max(up(stack, i), -down(stack, i)))
  const finite = sizes.filter(Number.isFinite).sort((a, b) => a - b)
  return finite[Math.floor(0.9 * (finite.length - 1))] || 1
}

/** The stack with everything beyond ±limit taken off, from the outside. */
function cutStack(stack: readonly Series[], limit: number): Series[] {
  const sums = { up: new Map<number, number>(), down: new Map<number, number>() }
  return stack.map(({ y, ...rest }) => ({
    ...rest,
    y: Array.from(y, (value, i) => {
      if (Number.isNaN(value)) return 0
      const side = value > 0 ? sums.up : sums.down
      const from = side.get(i) ?? 0
      const to = Math.max(-limit, Math.min(limit, from + value))
      side.set(i, to)
      return to - from
    }),
  }))
}
