/**
 * Scales: from a value to its place on an axis, and where the ticks go.
 *
 * Linear, logarithmic, and asinh (linear up to a knee, logarithmic beyond it, so that it can hold zero). A scale is
 * plain data whose ends are kept in the transformed coordinate: a log axis down to 5e-324 does not underflow.
 * The file imports nothing, because it also runs in the browser: html.ts writes its compiled text into the page.
 */

export type ScaleKind = 'linear' | 'log' | 'asinh'

export interface Scale {
  kind: ScaleKind
  /** The ends of the axis, transformed (log: the power of ten). Always from < to. */
  from: number
  to: number
  /** asinh only: the value up to which the axis is about linear. */
  knee: number
}

/** The transform of each kind and its inverse. */
const TRANSFORMS: Record<
  ScaleKind,
  { forward(v: number, knee: number): number; back(t: number, knee: number): number }
> = {
  linear: { forward: (v) => Math.max(-WIDEST, Math.min(WIDEST, v)), back: (t) => t },
  log: { forward: Math.log10, back: (t) => 10 ** t },
  asinh: { forward: (v, knee) => Math.asinh(v / knee), back: (t, knee) => Math.sinh(t) * knee },
}

/** A linear axis ends here on either side, so that no difference of two values overflows. */
const WIDEST = Number.MAX_VALUE / 4

/** The scale of `kind` that holds [low, high] (both finite), with a margin of 4 % at each end unless `tight`. */
export function scaleOver(kind: ScaleKind, low: number, high: number, knee = 1, tight = false): Scale {
  const { forward } = TRANSFORMS[kind]
  let from = forward(low, knee)
  let to = forward(high, knee)
  // One value only: some room around it, as much as its own size asks for.
  const size = Math.abs(to)
  const least = kind === 'linear' ? Math.max(size * 1e-12, 1e-300) : 1e-12
  if (!(to - from > least)) {
    const room = kind !== 'linear' ? 0.3 : size > 1e-290 ? size * 0.1 : 1
    from -= room
    to += room
  } else if (!tight) {
    const margin = 0.04 * (to - from)
    from -= margin
    to += margin
  }
  return { kind, from, to, knee }
}

/** The place of a finite value: 0 at the start of the axis, 1 at its end. */
export function place(scale: Scale, value: number): number {
  return (TRANSFORMS[scale.kind].forward(value, scale.knee) - scale.from) / (scale.to - scale.from)
}

/** The value at a place, as near as a double can be; 0 and 1 are the ends of the axis. */
export function valueAt(scale: Scale, where: number): number {
  const value = TRANSFORMS[scale.kind].back(scale.from + where * (scale.to - scale.from), scale.knee)
  const inside = Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value))
  return scale.kind === 'log' ? Math.max(Number.MIN_VALUE, inside) : inside
}

/** Round values on the axis, ascending, at most about `wanted` of them. */
export function ticks(scale: Scale, wanted: number): number[] {
  const low = valueAt(scale, 0)
  const high = valueAt(scale, 1)
  if (scale.kind === 'linear') return linearTicks(low, high, wanted)
  const round = scale.kind === 'log' ? logTicks(scale.from, scale.to, wanted) : asinhTicks(scale, wanted)
  // Within about a decade, evenly spaced values say more than the one or two round ones.
  return round.length > 2 || scale.to - scale.from > 1.2 ? round : linearTicks(low, high, wanted)
}

function linearTicks(low: number, high: number, wanted: number): number[] {
  const rough = (high - low) / Math.max(1, wanted)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find((m) => m * power >= rough * 0.999) ?? 10)
  const first = Math.ceil(low / step - 1e-9)
  const count = Math.min(Math.floor(high / step + 1e-9) - first, 4 * wanted)
  const found: number[] = []
  // Counted, not added up: i · step carries one rounding, a running sum would carry i of them.
  for (let i = 0; i <= count; i++) found.push(Number(((first + i) * step).toPrecision(12)))
  return found.filter(Number.isFinite)
}

/** 1, 2, 5, or 1, 3, or 1 of each power of ten, or of every n-th: the finest that is not too many. */
function logTicks(from: number, to: number, wanted: number): number[] {
  const first = Math.floor(from)
  const last = Math.floor(to + 1e-9)
  for (const digits of [[1, 2, 5], [1, 3], [1]]) {
    const found: number[] = []
    for (let p = first; p <= last; p++) {
      for (const digit of digits) {
        const at = p + Math.log10(digit)
        if (at >= from - 1e-9 && at <= to + 1e-9) found.push(Number(`${digit}e${p}`))
      }
    }
    if (found.length <= wanted + 1) return found.filter(isNormal)
  }
  const stride = Math.ceil((last - first) / Math.max(1, wanted))
  const found: number[] = []
  for (let p = Math.ceil(from / stride) * stride; p <= last; p += stride) found.push(Number(`1e${p}`))
  return found.filter(isNormal)
}

/** An axis may end beyond what a double holds. */
function isNormal(value: number): boolean {
  return value > 0 && value < Number.POSITIVE_INFINITY
}

/** Zero, and powers of ten beyond the knee on either side. */
function asinhTicks(scale: Scale, wanted: number): number[] {
  const farthest = Math.max(Math.abs(valueAt(scale, 0)), Math.abs(valueAt(scale, 1)))
  const first = Math.ceil(Math.log10(scale.knee) - 1e-9)
  const last = Math.floor(Math.log10(farthest) + 1e-9)
  const stride = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, wanted - 1)))
  const found = [0]
  for (let p = last; p >= first; p -= stride) found.push(Number(`1e${p}`), Number(`-1e${p}`))
  return [...new Set(found)].filter((v) => isOn(scale, v)).sort((a, b) => a - b)
}

/** On the axis, rounding allowed for. */
function isOn(scale: Scale, value: number): boolean {
  const where = place(scale, value)
  return where > -1e-9 && where < 1 + 1e-9
}

/** A number for an axis or a table: 0.05, 1200, 1e-7; at most `digits` significant digits. */
export function formatNumber(value: number, digits = 10): string {
  if (!Number.isFinite(value)) return value > 0 ? '∞' : value < 0 ? '−∞' : 'NaN'
  const rounded = Number(value.toPrecision(digits))
  const size = Math.abs(rounded)
  const text = size !== 0 && (size >= 1e6 || size < 1e-4) ? rounded.toExponential().replace('e+', 'e') : String(rounded)
  return text.replace(/^-/, '−')
}

/** A measured value in a sentence or a legend: three significant digits, and their zeros: 0.660, 12.0. */
export function formatMeasured(value: number): string {
  const size = Math.abs(value)
  if (!Number.isFinite(value) || size === 0 || size < 1e-4 || size >= 1000) return formatNumber(value, 3)
  return value.toPrecision(3).replace('-', '−')
}
