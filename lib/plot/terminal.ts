/**
 * Charts as text: curves in braille dots (2 × 4 to a character), axes in line-drawing characters.
 *
 * Writes nothing itself and asks nothing of the terminal: the width is an argument, and colour is off unless wanted.
 * Series without colour are told apart by their dashes, bars by what they are filled with.
 */

import { type Chart, type Frame, frame, thin, xTicks } from './chart'
import { formatMeasured, formatNumber, place, ticks } from './scale'
import { fillOf, LOOKS, seriesLook } from './style'

export interface TerminalOptions {
  /** Columns of the whole drawing. @default 80 */
  width?: number
  /** Rows of the curve itself; title, axis and legend come on top. @default 12 */
  height?: number
  /** ANSI colours. @default false */
  colour?: boolean
}

/** The narrowest a curve is drawn, in columns; charts that would be narrower go below each other. */
const NARROWEST = 16
const GAP = 2

/** Draws one chart, or several beside each other as far as they fit. Lines end in no blanks, the text in no newline. */
export function renderTerminal(chart: Chart | readonly Chart[], options: TerminalOptions = {}): string {
  const width = Math.max(NARROWEST + 8, Math.floor(options.width ?? 80))
  const height = Math.max(3, Math.floor(options.height ?? 12))
  const frames = (Array.isArray(chart) ? (chart as readonly Chart[]) : [chart as Chart]).map((c) => prepare(c, height))
  const gutter = Math.max(0, ...frames.map((f) => f.gutter))
  const wide = gutter + NARROWEST + GAP
  const beside = Math.max(1, Math.min(frames.length, Math.floor((width + GAP) / wide)))
  const lines: string[] = []
  for (let i = 0; i < frames.length; i += beside) {
    if (i > 0) lines.push('')
    lines.push(...rowOfCharts(frames.slice(i, i + beside), beside, width, height, options.colour ?? false))
  }
  return lines.join('\n')
}

interface Prepared {
  chart: Chart
  frame: Frame
  /** Row and text of each label on the y axis. */
  labels: { row: number; text: string }[]
  /** Columns left of the axis. */
  gutter: number
}

function prepare(chart: Chart, height: number): Prepared {
  const framed = frame(chart)
  const labels = ticks(framed.y, Math.max(2, Math.floor(height / 2)))
    .map((value) => ({ row: rowAt(framed, value, height), text: formatNumber(value) }))
    .filter((label, i, all) => label.row >= 0 && label.row < height && all.findIndex((l) => l.row === label.row) === i)
  return { chart, frame: framed, labels, gutter: Math.max(...labels.map((l) => l.text.length), 1) + 1 }
}

/** The row of a value on the y axis, by the dot it falls on: the curve and its label never disagree. */
function rowAt(framed: Frame, value: number, height: number): number {
  return Math.floor(dotAt(1 - place(framed.y, value), 4 * height) / 4)
}

function dotAt(where: number, dots: number): number {
  return Math.round(where * (dots - 1))
}

function rowOfCharts(row: Prepared[], columns: number, width: number, height: number, colour: boolean): string[] {
  // Charts with the same y axis are labelled once, on the left.
  const { from, to, kind } = row[0].frame.y
  const shared = row.every(({ frame: { y } }) => y.from === from && y.to === to && y.kind === kind)
  const gutters = row.map((p, i) => (shared && i > 0 ? 0 : p.gutter))
  const reserved = shared ? row[0].gutter : columns * Math.max(...gutters)
  const plot = Math.floor((width - reserved - (columns - 1) * GAP) / columns) - 1
  const notes = row.map((p) => p.frame.notes.flatMap((note) => wrap(note, plot)))
  const legends = row.map((p) => legend(p.frame, plot))
  const head = 1 + Math.max(...notes.map((n) => n.length))
  const foot = Math.max(...legends.map((l) => l.length))
  const bottom = head + height
  const ticksAt = bottom + (row.some((p) => p.frame.marks.length > 0) ? 2 : 1)
  const canvas = new Canvas(width, ticksAt + 1 + foot)
  let left = 0
  row.forEach((p, i) => {
    const axis = left + gutters[i]
    const labelled = gutters[i] > 0
    drawChart(canvas, p, {
      axis,
      plot,
      top: head,
      height,
      bottom,
      ticksAt,
      labelled,
      notes: notes[i],
      legend: legends[i],
    })
    left = axis + 1 + plot + GAP
  })
  return canvas.lines(colour)
}

interface Area {
  /** The column of the y axis. */
  axis: number
  /** Columns right of it. */
  plot: number
  /** The first row of the curve. */
  top: number
  height: number
  /** The rows of the x axis and of its labels; marks stand between them if there are any. */
  bottom: number
  ticksAt: number
  labelled: boolean
  notes: string[]
  legend: Run[][]
}

/** A piece of text in one colour. */
interface Run {
  text: string
  ansi: number
}

const PLAIN = 0
const BOLD = 1

function drawChart(canvas: Canvas, prepared: Prepared, area: Area): void {
  const { chart, frame: framed, labels } = prepared
  const { axis, plot, top, height } = area
  canvas.write(axis + 1, 0, clip(chart.title, plot), BOLD)
  for (const [i, note] of area.notes.entries()) canvas.write(axis + 1, 1 + i, note, LOOKS.level.ansi)

  for (let r = 0; r < height; r++) canvas.write(axis, top + r, '│', PLAIN)
  for (const { row, text } of labels) {
    canvas.write(axis, top + row, area.labelled ? '┤' : '├', PLAIN)
    if (area.labelled) canvas.write(axis - 1 - text.length, top + row, text, PLAIN)
  }

  drawXAxis(canvas, prepared, area)

  const toX = (x: number): number => dotAt(place(framed.x, x), 2 * plot)
  const dots = new Dots(plot, height)
  const toY = (y: number): number => dotAt(1 - place(framed.y, y), 4 * height)
  for (const level of framed.levels) {
    const y = toY(level.value)
    for (let x = 0; x < 2 * plot; x += 4) dots.set(x, y, LOOKS.level.ansi)
  }
  const lines = framed.stack.length > 0 ? [] : framed.series
  lines.forEach((s, i) => {
    const { ansi, dash } = seriesLook(i)
    const line = thin(s.x, s.y, framed.x, 2 * plot)
    const pen = new Pen(dots, ansi, dash)
    for (let k = 0; k < line.y.length; k++) {
      if (Number.isFinite(line.y[k])) pen.to(toX(line.x[k]), toY(line.y[k]))
      else pen.lift()
    }
  })
  dots.copyTo(canvas, axis + 1, top)
  if (framed.stack.length > 0) drawBars(canvas, framed, area)
  drawFoot(canvas, framed, area, toX)
}

function drawFoot(canvas: Canvas, framed: Frame, area: Area, toX: (x: number) => number): void {
  const { axis, plot, bottom } = area
  // Marks hang under the axis, one row for all kinds of them: where two meet, the later kind shows.
  for (const { at, name } of framed.marks) {
    for (let i = 0; i < at.length; i++) {
      const column = Math.floor(toX(at[i]) / 2)
      if (column >= 0 && column < plot) canvas.write(axis + 1 + column, bottom + 1, markSign(name), LOOKS.mark.ansi)
    }
  }
  area.legend.forEach((runs, i) => {
    let column = axis + 1
    for (const run of runs) {
      canvas.write(column, area.ticksAt + 1 + i, run.text, run.ansi)
      column += run.text.length
    }
  })
}

/** What stands for a series over bars, one at each of its points: a curve would hide them. */
const SPOT = '●'
/** Bars this many columns wide have one of ground between them. */
const WIDE = 3

/**
 * Bars as columns of characters, each filled as that of its terms which has most of it, if half of it is covered; a
 * column that several bars share shows the longest.
 */
function drawBars(canvas: Canvas, { stack, series, x, y }: Frame, { axis, plot, top, height }: Area): void {
  const at = stack[0].x
  const step = at.length > 1 ? (at[at.length - 1] - at[0]) / (at.length - 1) : Number.POSITIVE_INFINITY
  const columnOf = (value: number): number => Math.floor(Math.max(0, Math.min(1, place(x, value))) * plot)
  const isWide = place(x, at[0] + step) - place(x, at[0]) >= WIDE / plot
  // 0 lies between two rows, so that no character is of both sides of it.
  const zero = (1 - place(y, 0)) * height
  const rowOf = (value: number): number => Math.round(zero) + (1 - place(y, value)) * height - zero
  const lengthOf = (i: number): number => stack.reduce((sum, { from, to }) => sum + Math.abs(to[i] - from[i]), 0)
  const barOf = new Int32Array(plot).fill(-1)
  for (let i = 0; i < at.length; i++) {
    const [first, next] = [columnOf(at[i] - step / 2), columnOf(at[i] + step / 2)]
    const end = Math.max(first + 1, next - Number(isWide))
    for (let c = first; c < Math.min(plot, end); c++) if (barOf[c] < 0 || lengthOf(i) > lengthOf(barOf[c])) barOf[c] = i
  }
  barOf.forEach((i, c) => {
    for (let r = 0; i >= 0 && r < height; r++) {
      const parts = stack.map(({ from, to }) => overlap(r, rowOf(from[i]), rowOf(to[i])))
      if (parts.reduce((sum, part) => sum + part, 0) < 0.5) continue
      const { sign, ansi } = fillOf(stack[parts.indexOf(Math.max(...parts))].fill)
      canvas.write(axis + 1 + c, top + r, sign, ansi)
    }
  })
  for (const s of series)
    for (let k = 0; k < s.y.length; k++) {
      if (!Number.isFinite(s.y[k])) continue
      const row = s.y[k] > 0 ? Math.floor(rowOf(s.y[k])) : Math.ceil(rowOf(s.y[k])) - 1
      const column = Math.min(plot - 1, columnOf(s.x[k]))
      canvas.write(axis + 1 + column, top + Math.max(0, Math.min(height - 1, row)), SPOT, BOLD)
    }
}

/** How much of row r lies between two places. */
function overlap(r: number, a: number, b: number): number {
  return Math.max(0, Math.min(r + 1, Math.max(a, b)) - Math.max(r, Math.min(a, b)))
}

function drawXAxis(canvas: Canvas, { chart, frame: framed }: Prepared, { axis, plot, ticksAt, bottom }: Area): void {
  canvas.write(axis, bottom, `└${'─'.repeat(plot)}`, PLAIN)
  const left = axis + 1
  const right = left + plot
  const texts: { start: number; end: number }[] = []
  let free = left
  for (const value of xTicks(framed, Math.max(2, Math.floor(plot / 10)))) {
    const column = left + Math.floor(dotAt(place(framed.x, value), 2 * plot) / 2)
    if (column < left || column >= right) continue
    canvas.write(column, bottom, '┬', PLAIN)
    const text = formatNumber(value)
    const start = Math.min(right - text.length, Math.max(left, column - Math.floor(text.length / 2)))
    if (start < free) continue
    canvas.write(start, ticksAt, text, PLAIN)
    texts.push({ start, end: start + text.length })
    free = start + text.length + 1
  }
  // The unit stands in the rightmost gap that can hold it.
  const unit = clip(chart.x.label, plot)
  for (let i = texts.length; i >= 0; i--) {
    const start = i === 0 ? left : texts[i - 1].end + 1
    const end = i === texts.length ? right : texts[i].start - 1
    if (end - start < unit.length) continue
    canvas.write(
      i === texts.length ? end - unit.length : Math.floor((start + end - unit.length) / 2),
      ticksAt,
      unit,
      LOOKS.level.ansi,
    )
    return
  }
}

/** The sign of a kind of mark. */
function markSign(name: string): string {
  return name === 'not finite' ? '×' : '▴'
}

/** What the lines and signs mean, wrapped; nothing where a lone curve needs no name. */
function legend(framed: Frame, width: number): Run[][] {
  const items: Run[][] = []
  for (const { name, fill } of framed.stack) {
    const { sign, ansi } = fillOf(fill)
    items.push([
      { text: sign + sign, ansi },
      { text: ` ${name}`, ansi: PLAIN },
    ])
  }
  if (framed.stack.length > 0) {
    for (const { name } of framed.series)
      items.push([
        { text: SPOT, ansi: BOLD },
        { text: ` ${name}`, ansi: PLAIN },
      ])
  } else if (framed.series.length > 1) {
    framed.series.forEach((s, i) => {
      const look = seriesLook(i)
      items.push([
        { text: DASHES[Math.min(look.dash.length, DASHES.length - 1)], ansi: look.ansi },
        { text: ` ${s.name}`, ansi: PLAIN },
      ])
    })
  }
  for (const level of framed.levels) {
    items.push([
      { text: '⠄⠄', ansi: LOOKS.level.ansi },
      { text: ` ${level.name} ${formatMeasured(level.value)}`, ansi: PLAIN },
    ])
  }
  for (const m of framed.marks)
    items.push([
      { text: markSign(m.name), ansi: LOOKS.mark.ansi },
      { text: ` ${m.name}`, ansi: PLAIN },
    ])
  const rows: Run[][] = []
  let used = width
  for (const item of items) {
    item[1].text = clip(item[1].text, width - item[0].text.length)
    const size = item[0].text.length + item[1].text.length
    if (used + 3 + size > width) {
      rows.push(item)
      used = size
    } else {
      rows[rows.length - 1].push({ text: '   ', ansi: PLAIN }, ...item)
      used += 3 + size
    }
  }
  return rows
}

/** How a line of no dash, a dash and a dotted dash looks in a legend. */
const DASHES = ['──', '──', '╌╌', '╌╌', '╌·']

/** One line of at most `width` characters; control characters, which a terminal would obey, become blanks. */
function clip(text: string, width: number): string {
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ')
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`
}

function wrap(text: string, width: number): string[] {
  const rows: string[] = []
  for (const word of text.split(/\s+/)) {
    const last = rows.length - 1
    if (last >= 0 && rows[last].length + 1 + word.length <= width) rows[last] += ` ${word}`
    else rows.push(clip(word, width))
  }
  return rows
}

/** The characters of a drawing, each with its colour. */
class Canvas {
  private readonly rows: string[][]
  private readonly colours: Uint8Array[]

  constructor(width: number, height: number) {
    this.rows = Array.from({ length: height }, () => new Array<string>(width).fill(' '))
    this.colours = Array.from({ length: height }, () => new Uint8Array(width))
  }

  write(column: number, row: number, text: string, ansi: number): void {
    let at = column
    for (const sign of text) {
      if (at >= 0 && at < this.rows[row].length) {
        this.rows[row][at] = sign
        this.colours[row][at] = ansi
      }
      at++
    }
  }

  /** The rows as text, without the blank ones at the end. */
  lines(colour: boolean): string[] {
    const lines = this.rows.map((row, r) => (colour ? painted(row, this.colours[r]) : row.join('')).trimEnd())
    while (lines.length > 0 && lines[lines.length - 1] === '') lines.pop()
    return lines
  }
}

/** A row with SGR sequences where the colour changes. */
function painted(row: string[], colours: Uint8Array): string {
  let text = ''
  let now = PLAIN
  const end = row.reduce((last, sign, i) => (sign === ' ' ? last : i + 1), 0)
  for (let i = 0; i < end; i++) {
    if (colours[i] !== now && row[i] !== ' ') {
      text += `\u001b[${now === PLAIN ? '' : '0;'}${colours[i]}m`
      now = colours[i]
    }
    text += row[i]
  }
  return now === PLAIN ? text : `${text}\u001b[0m`
}

/** The bit of each dot of a braille character, by row and column (U+2800 and up). */
const BRAILLE = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
]

/** A field of dots, 2 × 4 to a character; a character has the colour of the last dot set in it. */
class Dots {
  private readonly bits: Uint8Array
  private readonly colours: Uint8Array

  constructor(
    private readonly columns: number,
    private readonly rows: number,
  ) {
    this.bits = new Uint8Array(columns * rows)
    this.colours = new Uint8Array(columns * rows)
  }

  set(x: number, y: number, ansi: number): void {
    if (x < 0 || y < 0 || x >= 2 * this.columns || y >= 4 * this.rows) return
    const cell = (y >> 2) * this.columns + (x >> 1)
    this.bits[cell] |= BRAILLE[y & 3][x & 1]
    this.colours[cell] = ansi
  }

  copyTo(canvas: Canvas, column: number, row: number): void {
    this.bits.forEach((bits, cell) => {
      if (bits === 0) return
      const sign = String.fromCharCode(0x2800 + bits)
      canvas.write(column + (cell % this.columns), row + Math.floor(cell / this.columns), sign, this.colours[cell])
    })
  }
}

/** Draws lines of dots with a dash, whose phase runs on through the corners. */
class Pen {
  private x = 0
  private y = 0
  private isDown = false
  private drawn = 0
  private readonly on: number
  private readonly period: number

  constructor(
    private readonly dots: Dots,
    private readonly ansi: number,
    dash: readonly number[],
  ) {
    // Dots are coarser than pixels: a third of the length reads the same.
    this.on = dash.length > 0 ? Math.max(1, Math.round(dash[0] / 3)) : 1
    this.period = dash.length > 0 ? this.on + Math.max(1, Math.round(dash[1] / 2)) : 1
  }

  lift(): void {
    this.isDown = false
  }

  to(x: number, y: number): void {
    if (!this.isDown) {
      this.dots.set(x, y, this.ansi)
      this.isDown = true
    } else {
      const steps = Math.max(Math.abs(x - this.x), Math.abs(y - this.y))
      for (let i = 1; i <= steps; i++) {
        this.drawn++
        if (this.drawn % this.period >= this.on) continue
        this.dots.set(
          this.x + Math.round(((x - this.x) * i) / steps),
          this.y + Math.round(((y - this.y) * i) / steps),
          this.ansi,
        )
      }
    }
    this.x = x
    this.y = y
  }
}
