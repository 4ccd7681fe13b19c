/**
 * The trials of a search as text, a line each: how well, what was chosen, how long.
 */
import { formatMeasured } from '../plot'

/** What is written of a trial. */
interface Line {
  readonly rank: number
  readonly mean: number
  readonly std: number
  readonly model: object
  readonly fit: object
  readonly epochs: number
  readonly seconds: number
}

/** What an option's value is called in a cell. */
function nameOf(value: unknown): string {
  if (typeof value === 'number') return formatMeasured(value)
  if (typeof value === 'object' && value !== null && 'kind' in value) return String(value.kind)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Columns are the options that were searched over; lines end in no blanks, the text in no newline. */
export function renderTrials(trials: readonly Line[], metric: string): string {
  const options = [...new Set(trials.flatMap(({ model, fit }) => [...Object.keys(model), ...Object.keys(fit)]))]
  const head = ['rank', metric, '±', ...options, 'epochs', 'seconds'].filter((name, i, all) => all.indexOf(name) === i)
  const rows = trials.map((trial) => {
    const values: Record<string, unknown> = { ...trial.model, ...trial.fit }
    const cells: Record<string, string> = {
      ...Object.fromEntries(options.map((option) => [option, nameOf(values[option])])),
      rank: String(trial.rank),
      [metric]: trial.mean.toFixed(4),
      '±': trial.std.toFixed(4),
      epochs: String(trial.epochs),
      seconds: trial.seconds.toFixed(1),
    }
    return head.map((name) => cells[name])
  })
  const widths = head.map((_, c) => Math.max(...[head, ...rows].map((row) => row[c].length)))
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, c) => cell.padStart(widths[c]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
