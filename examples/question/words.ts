/**
 * Numbers in sentences, sentences and tables in the terminal.
 */
import { formatMeasured, type Table } from '../../dist/plot'

export const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
export const percent = (share: number): string => `${(100 * share).toFixed(1)}\u00a0%`

/** 1, 2, 3, 7 → 1–3, 7 */
export function spans(steps: number[]): string {
  const found: [number, number][] = []
  for (const step of steps) {
    const last = found.at(-1)
    if (last && last[1] === step - 1) last[1] = step
    else found.push([step, step])
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ')
}

export const listed = (items: (string | number)[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`

/** a, b, a → 2 × a, 1 × b: the most frequent first */
export function counted(items: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  const ranked = [...counts].sort(([, a], [, b]) => b - a)
  return ranked.map(([item, count]) => `${count} × ${item}`).join(', ')
}

/** +0.41, −0.27 */
export const signed = (value: number): string => `${value > 0 ? '+' : ''}${formatMeasured(value)}`
export const capital = (text: string): string => `${text[0].toUpperCase()}${text.slice(1)}`

export const width = Math.min(process.stdout.columns || 80, 120)
export const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined

export function say(text: string, indent = ''): void {
  let line = indent
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > width && line.trim() !== '') {
      console.log(line)
      line = indent
    }
    line += line.trim() === '' ? word : ` ${word}`
  }
  console.log(line)
}

/** The first column on the left, the others on the right. */
export function sayTable({ columns, rows }: Table): void {
  const cells = [columns, ...rows].map((row) =>
    row.map((cell) => (typeof cell === 'number' ? formatMeasured(cell) : cell)),
  )
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i].length)))
  for (const row of cells)
    console.log(`  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}`)
}
