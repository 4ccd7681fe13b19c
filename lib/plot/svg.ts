/**
 * Charts as SVG: one self-contained string, readable on light and dark ground, with no script and no reference to
 * anything outside. Colours are attributes, so that simple renderers see them; a style sheet answers only for the dark.
 */

import { type Bars, type Chart, type Frame, frame, type Marks, thin, xTicks } from './chart'
import { formatMeasured, formatNumber, place, ticks } from './scale'
import { FILLS, fillOf, LOOKS, type Look, SERIES, seriesLook } from './style'

export interface SvgOptions {
  /** Pixels of one chart. @default 720 */
  width?: number
  /** @default 400 */
  height?: number
  /** Charts beside each other. @default 1 */
  columns?: number
  /** 'auto' follows the reader's setting. @default 'auto' */
  theme?: 'auto' | 'light' | 'dark'
}

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif'
const SMALL = 11
const LINE = 16
/** Mean width of a character of the small font, a little generous: what labels reserve. */
const CHARACTER = 6.2

/** Draws one chart, or several in a grid. */
export function renderSvg(chart: Chart | readonly Chart[], options: SvgOptions = {}): string {
  const { width = 720, height = 400, columns = 1, theme = 'auto' } = options
  const charts = Array.isArray(chart) ? (chart as readonly Chart[]) : [chart as Chart]
  const across = Math.max(1, Math.min(columns, charts.length))
  const down = Math.max(1, Math.ceil(charts.length / across))
  const paint = painter(theme)
  const drawn = charts.map((c, i) => {
    const at = `translate(${(i % across) * width} ${Math.floor(i / across) * height})`
    return `<g transform="${at}">${drawChart(c, width, height, paint)}</g>`
  })
  const [w, h] = [width * across, height * down]
  const name = charts.map((c) => c.title).join('; ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="downhill" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" role="img" font-family="${escapeText(FONT)}" font-size="${SMALL}">`,
    `<title>${escapeText(name)}</title>`,
    theme === 'auto' ? `<style>${darkRules()}</style>` : '',
    `<rect width="${w}" height="${h}" ${paint('fill', LOOKS.ground)}/>`,
    ...drawn,
    '</svg>\n',
  ].join('\n')
}

type Colours = Pick<Look, 'light' | 'dark'>
type Paint = (what: 'fill' | 'stroke', colours: Colours) => string

/** The attributes that paint in a colour: `fill="#…" class="f-…"`, the class naming the light colour it stands for. */
function painter(theme: 'auto' | 'light' | 'dark'): Paint {
  if (theme !== 'auto') return (what, colours) => `${what}="${colours[theme]}"`
  return (what, { light }) => `${what}="${light}" class="${what[0]}${light.slice(1)}"`
}

/** The dark twin of every light colour, for those whose system is dark. */
function darkRules(): string {
  const all: Colours[] = [...Object.values(LOOKS), ...SERIES, ...FILLS]
  const rules = all.flatMap(({ light, dark }) => [
    `.downhill .f${light.slice(1)}{fill:${dark}}`,
    `.downhill .s${light.slice(1)}{stroke:${dark}}`,
  ])
  return `@media (prefers-color-scheme:dark){${rules.join('')}}`
}

function drawChart(chart: Chart, width: number, height: number, paint: Paint): string {
  const framed = frame(chart)
  const yTicks = ticks(framed.y, Math.max(2, Math.floor(height / 50)))
  const labels = yTicks.map((value) => formatNumber(value))
  const left = Math.ceil(Math.max(...labels.map((l) => l.length), 2) * CHARACTER) + 34
  const right = width - 16
  const head: string[] = []
  const room = Math.floor((right - left) / CHARACTER)
  const text = (x: number, y: number, content: string, more = '', colours: Colours = LOOKS.ink): string =>
    `<text x="${round(x)}" y="${round(y)}" ${more} ${paint('fill', colours)}>${escapeText(content)}</text>`

  head.push(text(left, 24, chart.title, 'font-size="15" font-weight="600"'))
  let y = 24
  for (const note of framed.notes.flatMap((n) => wrap(n, room))) {
    y += LINE
    head.push(text(left, y, note, '', LOOKS.faint))
  }
  for (const row of legend(framed, room)) {
    y += LINE
    let x = left
    for (const item of row) {
      head.push(sample(item, x, y - 4, paint), text(x + 24, y, item.name))
      x += 24 + item.name.length * CHARACTER + 16
    }
  }

  const top = y + 12
  const bottom = Math.max(top + 20, height - 40)
  const toX = (value: number): number => left + place(framed.x, value) * (right - left)
  const toY = (value: number): number => bottom - place(framed.y, value) * (bottom - top)

  const grid = yTicks.map((value, i) => {
    const at = round(toY(value))
    return (
      `<path d="M${left} ${at}H${right}" ${paint('stroke', LOOKS.grid)}/>` +
      text(left - 6, at + 4, labels[i], 'text-anchor="end"', LOOKS.faint)
    )
  })
  const along = xTicks(framed, Math.max(2, Math.floor((right - left) / 80))).map((value) => {
    const at = round(toX(value))
    return (
      `<path d="M${at} ${bottom}v4" ${paint('stroke', LOOKS.faint)}/>` +
      text(at, bottom + 16, formatNumber(value), 'text-anchor="middle"', LOOKS.faint)
    )
  })
  const axis = `<path d="M${left} ${bottom}H${right}" ${paint('stroke', LOOKS.faint)}/>`
  const middle = round((top + bottom) / 2)
  const names = [
    text((left + right) / 2, bottom + 32, chart.x.label, 'text-anchor="middle"', LOOKS.faint),
    text(14, middle, chart.y.label, `text-anchor="middle" transform="rotate(-90 14 ${middle})"`, LOOKS.faint),
  ]
  const levels = framed.levels.map(
    ({ value }) =>
      `<path d="M${left} ${round(toY(value))}H${right}" stroke-dasharray="1 4" ${paint('stroke', LOOKS.level)}/>`,
  )
  const rug = framed.marks.map((m) => `<path d="${rugPath(m, toX, bottom)}" ${paint('stroke', LOOKS.mark)}/>`)
  const bars = framed.stack.map((b) => `<path d="${barsPath(b, toX, toY)}" ${paint('fill', fillOf(b.fill))}/>`)
  const curves = framed.series.map((s, i) => {
    const look = lineLook(framed, i)
    const dash = look.dash.length > 0 ? ` stroke-dasharray="${look.dash.join(' ')}"` : ''
    const line = thin(s.x, s.y, framed.x, Math.max(1, Math.floor(right - left)))
    return `<path d="${linePath(line, toX, toY)}" fill="none" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round"${dash} ${paint('stroke', look)}/>`
  })
  return [...grid, ...bars, ...levels, axis, ...along, ...rug, ...curves, ...names, ...head].join('\n')
}

/** A line over bars is of the colour of ink, whatever the bars are. */
function lineLook({ stack }: Frame, i: number): Look {
  return stack.length > 0 ? { ...seriesLook(i), ...LOOKS.ink } : seriesLook(i)
}

/** Rectangles, one beside the other, with a hair of ground between. */
function barsPath({ x, from, to }: Bars, toX: Place, toY: Place): string {
  const width = x.length > 1 ? (toX(x[x.length - 1]) - toX(x[0])) / (x.length - 1) : 24
  const across = round(Math.max(0.6, Math.min(width - 1, 0.85 * width)))
  return to
    .map((end, i) =>
      end === from[i]
        ? ''
        : `M${round(toX(x[i]) - across / 2)} ${round(toY(from[i]))}h${across}V${round(toY(end))}h${-across}z`,
    )
    .join('')
}

/** A line with a gap wherever the value is not finite, and a dot where a point stands alone. */
function linePath({ x, y }: { x: number[]; y: number[] }, toX: Place, toY: Place): string {
  let path = ''
  for (let i = 0; i < y.length; i++) {
    if (!Number.isFinite(y[i])) continue
    const begins = i === 0 || !Number.isFinite(y[i - 1])
    const ends = i === y.length - 1 || !Number.isFinite(y[i + 1])
    path += `${begins ? 'M' : 'L'}${round(toX(x[i]))} ${round(toY(y[i]))}`
    if (begins && ends) path += 'm-1.5 0a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0 -3 0'
  }
  return path
}

type Place = (value: number) => number

/** Ticks standing on the x axis, one for each pixel at most. */
function rugPath(marks: Marks, toX: Place, bottom: number): string {
  const columns = new Set(Array.from(marks.at, (x) => Math.round(2 * toX(x)) / 2))
  return Array.from(columns, (x) =>
    marks.name === 'not finite' ? `M${x - 3} ${bottom - 7}l6 6m-6 0l6 -6` : `M${x} ${bottom}v-7`,
  ).join('')
}

interface Item {
  name: string
  colours: Colours
  dash: readonly number[]
  /** A line across, or the sign of a mark. */
  path: string
  /** Of the line. @default 1.6 */
  width?: number
}

/** What lines and marks mean, in rows that fit; nothing where a lone curve needs no name. */
function legend(framed: Frame, room: number): Item[][] {
  const items: Item[] = []
  for (const { name, fill } of framed.stack)
    items.push({ name, colours: fillOf(fill), dash: [], path: 'm4 0h10', width: 9 })
  if (framed.series.length > 1 || framed.stack.length > 0) {
    framed.series.forEach((s, i) => {
      items.push({ name: s.name, colours: lineLook(framed, i), dash: seriesLook(i).dash, path: 'h18' })
    })
  }
  for (const { name, value } of framed.levels) {
    items.push({ name: `${name} ${formatMeasured(value)}`, colours: LOOKS.level, dash: [1, 4], path: 'h18' })
  }
  for (const { name } of framed.marks) {
    items.push({
      name,
      colours: LOOKS.mark,
      dash: [],
      path: name === 'not finite' ? 'm6 -3l6 6m-6 0l6 -6' : 'm9 3.5v-7',
    })
  }
  const rows: Item[][] = []
  let used = room
  for (const item of items) {
    const size = 24 / CHARACTER + item.name.length + 16 / CHARACTER
    if (used + size > room) {
      rows.push([])
      used = 0
    }
    rows[rows.length - 1].push(item)
    used += size
  }
  return rows
}

function sample({ colours, dash, path, width = 1.6 }: Item, x: number, y: number, paint: Paint): string {
  const dashes = dash.length > 0 ? ` stroke-dasharray="${dash.join(' ')}"` : ''
  return `<path d="M${round(x)} ${round(y)}${path}" fill="none" stroke-width="${width}"${dashes} ${paint('stroke', colours)}/>`
}

function wrap(text: string, room: number): string[] {
  const rows: string[] = []
  for (const word of text.split(/\s+/)) {
    const last = rows.length - 1
    if (last >= 0 && rows[last].length + 1 + word.length <= room) rows[last] += ` ${word}`
    else rows.push(word)
  }
  return rows
}

/** Tenths of a pixel: nobody sees more, and files stay small. */
function round(pixels: number): number {
  return Math.round(pixels * 10) / 10
}

/** Text for XML and HTML, in content and in double-quoted attributes. Characters that XML forbids become a space. */
export function escapeText(text: string): string {
  return text
    .replace(/(?![\t\n\r])[\p{Cc}\p{Cs}\ufffe\uffff]/gu, ' ')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
}
