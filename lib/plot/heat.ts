/**
 * A heat map as text: a table whose cells are letters, each with a meaning.
 *
 * For outcomes over two options, where a colour scale would suggest an order that classes do not have.
 */

export interface HeatMap {
  title: string
  /** Names of the columns and rows; `cells[r][c]` is a key of `legend`, or several, as seeds disagree. */
  columns: { label: string; names: readonly string[] }
  rows: { label: string; names: readonly string[] }
  cells: readonly (readonly (readonly string[])[])[]
  /** What each class is drawn as: one letter. */
  legend: Readonly<Record<string, string>>
}

/** Rows from the last to the first, as on a y axis; lines end in no blanks, the text in no newline. */
export function renderHeat({ title, columns, rows, cells, legend }: HeatMap): string {
  const text = cells.map((row) => row.map((cell) => cell.map((name) => legend[name]).join('')))
  const width = Math.max(...columns.names.map((name) => name.length), ...text.flat().map((cell) => cell.length)) + 2
  const gutter = Math.max(rows.label.length, ...rows.names.map((name) => name.length))
  const line = (head: string, items: readonly string[], bar: string): string =>
    `${head.padStart(gutter)} ${bar}${items.map((item) => item.padStart(width)).join('')}`.trimEnd()
  const used = Object.entries(legend).filter(([name]) => cells.flat(2).includes(name))
  return [
    title,
    rows.label,
    ...rows.names.map((name, r) => line(name, text[r], '│')).reverse(),
    `${' '.repeat(gutter + 1)}└${'─'.repeat(width * columns.names.length)}`,
    line('', columns.names, ' '),
    `${columns.label}; ${used.map(([name, letter]) => `${letter} ${name}`).join(', ')}`,
  ].join('\n')
}
