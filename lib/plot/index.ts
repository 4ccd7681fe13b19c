/**
 * Pictures of numbers: in the terminal, as SVG, as a page one can zoom in, as PNG.
 *
 * `chart.ts` says what a chart is, one file each how it is drawn, and this one where it goes: the extension of a path
 * decides. Everything is synchronous, since a plot is the last line of many a script. Nothing here knows a model.
 */

import { writeFileSync } from 'node:fs'
import { extname } from 'node:path'
import { DownhillError, describe } from '../errors'
import type { Chart } from './chart'
import { type Page, renderHtml } from './html'
import { type Changes, ledgerChart } from './ledger'
import { type Losses, lossChart } from './loss'
import { findResvg, renderPng } from './png'
import { renderSvg } from './svg'
import { renderTerminal } from './terminal'

export { type Axis, alike, type Chart, type Level, type Marks, type Series } from './chart'
export { type Page, renderHtml, type Section, type Table } from './html'
export { type LossChartOptions, type Losses, lossChart, rises } from './loss'
export { renderPng } from './png'
export { formatMeasured, formatNumber } from './scale'
export { renderSvg, type SvgOptions } from './svg'
export { renderTerminal, type TerminalOptions } from './terminal'

/** The kinds of file: how each is made, and what must be there before a long run begins. */
const FORMATS: Record<string, { render(charts: readonly Chart[]): string | Buffer; check?(): void }> = {
  '.svg': { render: (charts) => renderSvg(charts) },
  '.png': { render: (charts) => renderPng(charts), check: () => void findResvg() },
  '.html': { render: (charts) => renderHtml({ title: charts[0]?.title ?? 'Plot', sections: [{ charts }] }) },
}

/** ERR_OPTION or ERR_PEER if a plot cannot be written to `path`: asked before a run, not after it. */
export function checkPlotPath(path: unknown): asserts path is string {
  const extension = typeof path === 'string' ? extname(path).toLowerCase() : ''
  const format = FORMATS[extension]
  if (!format) {
    const known = Object.keys(FORMATS)
    const list = `${known.slice(0, -1).join(', ')} or ${known[known.length - 1]}`
    throw new DownhillError(
      'ERR_OPTION',
      `Expected a path ending in ${list} for the plot but received ${describe(path)}.`,
    )
  }
  format.check?.()
}

/** Writes one chart, or several on one page, in the format that the extension names. Returns the path. */
export function writeChart(chart: Chart | readonly Chart[], path: string): string {
  checkPlotPath(path)
  const charts = Array.isArray(chart) ? (chart as readonly Chart[]) : [chart as Chart]
  return write(path, FORMATS[extname(path).toLowerCase()].render(charts))
}

/** Writes a page as one self-contained HTML file. Returns the path. */
export function writePage(page: Page, path: string): string {
  return write(path, renderHtml(page))
}

/** The ledger of a run: drawn for the terminal, or written to `path`, which is then returned. */
export function plotLedger(entries: readonly Changes[], rises: ArrayLike<number>, path?: string): string {
  if (path !== undefined) return writeChart(ledgerChart(entries, rises), path)
  const { width, colour } = terminal()
  return renderTerminal(ledgerChart(entries, rises, width - GUTTER), { width, colour, height: LEDGER_ROWS })
}

/** The losses of a run: drawn for the terminal, or written to `path`, which is then returned. */
export function plotHistory(history: Losses, path?: string): string {
  return path === undefined ? renderTerminal(lossChart(history), terminal()) : writeChart(lossChart(history), path)
}

/** Columns that an axis and its labels take of a terminal at most, and rows that bars are drawn in. */
const GUTTER = 12
const LEDGER_ROWS = 16

/** How wide the terminal is, and whether it wants colour: where there is one, and nothing asks for none (no-color.org). */
function terminal(): { width: number; colour: boolean } {
  const { NO_COLOR, TERM } = process.env
  const colour = process.stdout.isTTY === true && (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb'
  return { width: Math.min(process.stdout.columns || 80, 120), colour }
}

function write(path: string, content: string | Buffer): string {
  try {
    writeFileSync(path, content)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DownhillError('ERR_FILE', `Could not write the plot to ${path}: ${reason}.`, { cause })
  }
  return path
}
