/**
 * A chart: what is drawn, before anybody asks how.
 *
 * Plain data: series of points, two axes, marks along the x axis, levels across the chart. The renderers (terminal.ts,
 * svg.ts, html.ts) share `frame`, which decides everything that must not differ between them: the scales, what becomes
 * of values a scale cannot hold, and the sentence that says so. No renderer changes a value; what is not finite is
 * never drawn as if it were, but marked.
 */

import { place, type Scale, type ScaleKind, scaleOver, ticks } from './scale'

export interface Chart {
  title: string
  /** One or two sentences under the title. */
  note?: string
  x: Axis
  y: Axis
  series: Series[]
  /** Bars that stand on each other: what is positive above 0, what is negative below. All have one x, evenly spaced. */
  stack?: Series[]
  /** Places on the x axis that deserve a look, e.g. where the loss rose. */
  marks?: Marks[]
  /** Values on the y axis to compare with, e.g. the entropy of the labels. */
  levels?: Level[]
}

export interface Axis {
  label: string
  /** A log axis that meets a value ≤ 0 falls back to asinh or linear, and says so. @default 'linear' */
  scale?: 'linear' | 'log'
  /** The values the axis spans if more than the data's own: what makes charts beside each other comparable. */
  range?: readonly [low: number, high: number]
}

export interface Series {
  name: string
  y: ArrayLike<number>
  /** @default 0, 1, 2, … */
  x?: ArrayLike<number>
  /** Of a bar: which colour it is filled with, so that it keeps it where others are left out. @default its place */
  fill?: number
}

export interface Marks {
  name: string
  at: ArrayLike<number>
}

export interface Level {
  name: string
  value: number
}

/** A chart ready to be drawn. */
export interface Frame {
  x: Scale
  y: Scale
  /** Every x is a whole number: no tick stands between two of them. */
  isCounted: boolean
  /** The chart's note and what the scale had to do. */
  notes: string[]
  series: { name: string; x: ArrayLike<number>; y: ArrayLike<number> }[]
  /** From where to where each bar of a stack reaches. */
  stack: Bars[]
  /** The chart's marks, and the places where a series is not finite. */
  marks: Marks[]
  levels: Level[]
}

export interface Bars {
  name: string
  fill: number
  x: ArrayLike<number>
  from: number[]
  to: number[]
}

/** Decides the scales of a chart and what is marked on it. */
export function frame(chart: Chart): Frame {
  const series = chart.series.map((s) => ({ name: s.name, x: s.x ?? countFrom(0, s.y.length), y: s.y }))
  const levels = (chart.levels ?? []).filter((level) => Number.isFinite(level.value))
  const marks = (chart.marks ?? []).filter((m) => m.at.length > 0)
  const across = emptyExtent()
  const up = emptyExtent()
  const lost: number[] = []
  let isCounted = true
  for (const { x, y } of series) {
    for (let i = 0; i < y.length; i++) {
      if (!Number.isFinite(x[i])) continue
      widen(across, x[i])
      isCounted &&= Number.isInteger(x[i])
      if (Number.isFinite(y[i])) widen(up, y[i])
      else lost.push(x[i])
    }
  }
  const stack = pile(chart.stack ?? [])
  for (const { x, to } of stack)
    for (let i = 0; i < to.length; i++) {
      widen(across, x[i])
      widen(up, to[i])
    }
  for (const level of levels) widen(up, level.value)
  for (const end of chart.y.range ?? []) widen(up, end)
  for (const end of chart.x.range ?? []) widen(across, end)
  if (lost.length > 0) marks.push({ name: 'not finite', at: lost.sort((a, b) => a - b) })

  const { scale: y, says } = fit(up, chart.y.scale ?? 'linear')
  const { scale: x } = fit(across, chart.x.scale ?? 'linear', true)
  const notes = [chart.note, says].filter((s): s is string => s !== undefined)
  return { x, y, isCounted, notes, series, stack, marks, levels }
}

/** Puts bars on top of each other. */
function pile(stack: readonly Series[]): Bars[] {
  const count = stack[0]?.y.length ?? 0
  const [above, below] = [new Float64Array(count), new Float64Array(count)]
  return stack.map(({ name, y, x = countFrom(0, count), fill }, place) => {
    const bars: Bars = { name, x, fill: fill ?? place, from: [], to: [] }
    for (let i = 0; i < count; i++) {
      const sums = y[i] > 0 ? above : below
      bars.from.push(sums[i])
      sums[i] += y[i]
      bars.to.push(sums[i])
    }
    return bars
  })
}

/** Round values on the x axis of a frame. */
export function xTicks({ x, isCounted }: Frame, wanted: number): number[] {
  return ticks(x, wanted).filter((value) => !isCounted || Number.isInteger(value))
}

/** What the values along one axis are like. */
interface Extent {
  low: number
  high: number
  leastPositive: number
}

function emptyExtent(): Extent {
  return { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY, leastPositive: Number.POSITIVE_INFINITY }
}

function widen(extent: Extent, value: number): void {
  if (value < extent.low) extent.low = value
  if (value > extent.high) extent.high = value
  if (value > 0 && value < extent.leastPositive) extent.leastPositive = value
}

/** The scale asked for, or the nearest one that can hold the values, with the reason. */
function fit(extent: Extent, asked: ScaleKind, tight = false): { scale: Scale; says?: string } {
  if (extent.low > extent.high) return { scale: scaleOver('linear', 0, 1), says: 'No finite value to draw.' }
  const { low, high, leastPositive } = extent
  if (asked === 'log' && low < 0) {
    return {
      scale: scaleOver('linear', low, high, 1, tight),
      says: 'Linear scale: a log scale has no place for negative values.',
    }
  }
  if (asked === 'log' && low === 0) {
    if (high === 0) return { scale: scaleOver('linear', 0, 0), says: 'Linear scale: every value is 0.' }
    return {
      scale: scaleOver('asinh', low, high, leastPositive, tight),
      says: `Log scale down to ${leastPositive.toPrecision(2)}, then linear to 0.`,
    }
  }
  return { scale: scaleOver(asked, low, high, 1, tight) }
}

/** from, from + 1, …: the x of a series that brings none. */
export function countFrom(from: number, n: number): Float64Array {
  const x = new Float64Array(n)
  for (let i = 0; i < n; i++) x[i] = from + i
  return x
}

/** Gives charts the same y range, so that they can be read beside each other. */
export function alike(charts: readonly Chart[]): Chart[] {
  const up = emptyExtent()
  for (const chart of charts) {
    for (const s of chart.series) {
      for (let i = 0; i < s.y.length; i++) if (Number.isFinite(s.y[i])) widen(up, s.y[i])
    }
    for (const level of chart.levels ?? []) widen(up, level.value)
  }
  if (up.low > up.high) return [...charts]
  return charts.map((chart) => ({ ...chart, y: { ...chart.y, range: [up.low, up.high] } }))
}

/**
 * At most four points a bucket (first, lowest, highest, last): what a line through all of them would touch in a picture
 * `buckets` pixels wide (Jugel et al., "M4", 2014). A point that is not finite breaks the line and is kept as NaN.
 */
export function thin(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  scale: Scale,
  buckets: number,
): { x: number[]; y: number[] } {
  const out = { x: [] as number[], y: [] as number[] }
  const keep = (i: number): void => {
    out.x.push(x[i])
    out.y.push(y[i])
  }
  if (y.length <= 4 * buckets) {
    for (let i = 0; i < y.length; i++) keep(i)
    return out
  }
  const bucketOf = (i: number): number => Math.floor(place(scale, x[i]) * buckets)
  let i = 0
  while (i < y.length) {
    if (!Number.isFinite(y[i])) {
      keep(i)
      while (i < y.length && !Number.isFinite(y[i])) i++
      continue
    }
    const bucket = bucketOf(i)
    const first = i
    let least = i
    let most = i
    for (; i < y.length && Number.isFinite(y[i]); i++) {
      if (bucketOf(i) !== bucket) break
      if (y[i] < y[least]) least = i
      if (y[i] > y[most]) most = i
    }
    const kept = [...new Set([first, least, most, i - 1])].sort((a, b) => a - b)
    for (const k of kept) keep(k)
  }
  return out
}
