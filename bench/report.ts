/**
 * From trials to what is read: tables for the terminal and Markdown, a picture, and the tables inside docs/.
 *
 * Never a speed without its spread, the loss that was reached with it and the machine it ran on.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CONTENDERS } from './contenders'
import { renderDots } from './dots'
import { type Card, cardMarkdown } from './machine'
import { difference, median, spread } from './statistics'
import type { Finding, Outcome } from './trial'
import { flops, type Task, WORKLOADS } from './workloads'

export interface Measured {
  readonly label: string
  readonly isPeer: boolean
  /** By round; null where it sat the round out. */
  readonly trials: (Outcome | null)[]
}

export interface Results {
  readonly card: Card
  readonly rounds: number
  readonly seconds: number
  readonly workloads: readonly { readonly name: string; readonly measured: readonly Measured[] }[]
}

const ROOT = join(__dirname, '..')
export const RESULTS = join(__dirname, 'results')
export const LATEST = join(RESULTS, 'latest.json')

const REFERENCE = 'native'
/** The specification: what others' numbers are held against. */
const SPECIFICATION = 'TypeScript'

/** A contender on a workload, over all rounds. */
interface Row {
  readonly label: string
  /** Why there is no speed. */
  readonly unable?: string
  readonly version: string
  readonly setting?: string
  readonly differs?: string
  /** Seconds of a block, by round; NaN where there is none. */
  readonly blocks: readonly number[]
  /** Of every trial. */
  readonly evidence: readonly (readonly number[])[]
}

const isFinding = (outcome: Outcome | null): outcome is Finding => outcome !== null && 'seconds' in outcome

function summarize({ label, trials }: Measured): Row {
  const findings = trials.filter(isFinding)
  if (findings.length === 0) {
    const failed = trials.find((outcome) => outcome !== null) as { unable: string } | undefined
    return { label, unable: failed?.unable ?? 'not run', version: '', blocks: [], evidence: [] }
  }
  const { version, setting, differs } = findings[0]
  // JSON has no NaN: a loss that stopped being a number comes as null.
  const evidence = findings.map((finding) => finding.evidence.map((value) => value ?? Number.NaN))
  const blocks = trials.map((outcome) => (isFinding(outcome) ? median(outcome.seconds) : Number.NaN))
  return { label, version, setting, differs, blocks, evidence }
}

const known = (blocks: readonly number[]): number[] => blocks.filter((value) => !Number.isNaN(value))

/** Median over rounds of how many times `reference` was faster in the same round. */
function ratio(reference: Row | undefined, row: Row): number {
  if (!reference) return Number.NaN
  const pairs = known(row.blocks.map((value, round) => value / (reference.blocks[round] ?? Number.NaN)))
  return pairs.length ? median(pairs) : Number.NaN
}

const three = (value: number): string => {
  if (!Number.isFinite(value)) return '—'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)))
  return value.toLocaleString('en-US', { minimumFractionDigits: 0, maximumFractionDigits: Math.min(digits, 4) })
}
/** Three significant figures, the rest of a large number zeros: 147,000. */
const rounded = (value: number): string => three(Number(value.toPrecision(3)))

const times = (value: number): string => (Number.isNaN(value) ? '—' : `${Number(value.toPrecision(3))} ×`)

/** The largest difference of any trial. */
function furthest(row: Row, truth: Row): string {
  return Math.max(...row.evidence.map((list) => difference(list, truth.evidence[0]))).toExponential(0)
}

export interface TableOf {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

function speed(name: string, seconds: number): number {
  const { task, unit } = WORKLOADS[name]
  const count = unit.perBlock({ workload: name, ...task })
  return unit.time ? (seconds / count) * unit.time.scale : count / seconds
}

/** One workload: a row a contender, the fastest first. */
export function workloadTable({ name, measured }: Results['workloads'][number]): TableOf {
  const { task, unit } = WORKLOADS[name]
  const whole: Task = { workload: name, ...task }
  const rows = measured.map(summarize)
  const native = rows.find(({ label }) => label === REFERENCE)
  const truth = rows.find(({ label, unable }) => label === SPECIFICATION && !unable) ?? native
  const trains = task.kind === 'train'
  const head = ['', unit.name, '±', 'native is', 'GFLOP/s', ...(trains ? ['loss reached'] : []), 'largest difference']
  const cells = (row: Row): string[] => {
    if (row.unable) return [row.label, `${row.unable}`, '', '', '', ...(trains ? [''] : []), '']
    const blocks = known(row.blocks)
    const seconds = median(blocks)
    return [
      row.setting ? `${row.label} (${row.setting})` : row.label,
      rounded(speed(name, seconds)),
      blocks.length > 1 ? `${(100 * spread(blocks)).toFixed(0)} %` : '1 round',
      row === native ? '1 ×' : times(ratio(native, row)),
      rounded(flops(whole) / seconds / 1e9),
      ...(trains ? [row.evidence[0].at(-1)?.toPrecision(5) ?? '—'] : []),
      row.differs ?? (row === truth || !truth ? 'reference' : furthest(row, truth)),
    ]
  }
  const time = (row: Row): number => (row.unable ? Number.POSITIVE_INFINITY : median(known(row.blocks)))
  return { head, rows: rows.sort((a, b) => time(a) - time(b)).map(cells) }
}

/** Everything at a glance: a row a contender, a column a workload. */
export function overview(results: Results): TableOf {
  const head = ['', ...results.workloads.map(({ name }) => `${name}, ${WORKLOADS[name].unit.name}`)]
  const labels = [...new Set(results.workloads.flatMap(({ measured }) => measured.map(({ label }) => label)))]
  const order = (label: string): number => CONTENDERS.findIndex(({ name }) => label.split(',')[0] === name)
  labels.sort((a, b) => order(a) - order(b))
  const rows = labels.map((label) => [
    label,
    ...results.workloads.map(({ name, measured }) => {
      const found = measured.find((entry) => entry.label === label)
      const row = found && summarize(found)
      return row && !row.unable ? rounded(speed(name, median(known(row.blocks)))) : '—'
    }),
  ])
  // Whoever ran nowhere is in the tables below, with the reason.
  return { head, rows: rows.filter(([, ...cells]) => cells.some((cell) => cell !== '—')) }
}

/** The same as dots; whoever has no speed is left out. */
export function picture(results: Results): string {
  return renderDots(
    results.workloads.map(({ name, measured }) => {
      const rows = measured
        .map((entry) => ({ ...summarize(entry), isPeer: entry.isPeer }))
        .filter(({ unable }) => !unable)
      const lines = rows
        .map(({ label, isPeer, blocks }) => ({ label, isPeer, seconds: known(blocks) }))
        .sort((a, b) => median(a.seconds) - median(b.seconds))
        .map(({ label, isPeer, seconds }) => ({
          label,
          isPeer,
          text: `${rounded(speed(name, median(seconds)))} ${WORKLOADS[name].unit.name}`,
          speeds: seconds.map((value) => 1 / value),
        }))
      return { title: name, says: WORKLOADS[name].says, lines }
    }),
  )
}

/** Versions as the contenders told them, one line each. */
function versions(results: Results): string[] {
  const found = new Map<string, string>()
  for (const { measured } of results.workloads)
    for (const row of measured.map(summarize)) if (row.version) found.set(row.label.split(',')[0], row.version)
  return [...found].map(([label, version]) => `${label}: ${version}`)
}

export function markdownTable({ head, rows }: TableOf): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    line(head),
    `|---|${head
      .slice(1)
      .map(() => '---:|')
      .join('')}`,
    ...rows.map(line),
  ].join('\n')
}

export function terminalTable({ head, rows }: TableOf): string {
  const widths = head.map((cell, i) => {
    // A reason is a sentence in the second column; it runs over the columns to its right.
    const column = rows.filter((row) => i !== 1 || row.slice(2).some(Boolean)).map((row) => row[i].length)
    return Math.max(cell.length, ...column)
  })
  const pad = (cells: readonly string[]): string => {
    const isReason = cells.length > 2 && cells.slice(2).every((cell) => cell === '') && cells[1] !== ''
    if (isReason) return `  ${cells[0].padEnd(widths[0])}  ${cells[1]}`
    return `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}`.trimEnd()
  }
  return [pad(head), ...rows.map(pad)].join('\n')
}

const method = ({ rounds, seconds }: Results): string =>
  `Medians of ${rounds} interleaved rounds, a fresh process and ${seconds} s each; ± is half the range over the rounds; "native is" is the median over rounds of how many times native on one thread was as fast. ` +
  'GFLOP/s counts the products only. "Largest difference" is of the mean losses of all passes (of the probabilities, for predictions), relative to the largest, against the TypeScript backend.'

export function toMarkdown(results: Results): string {
  const parts = [cardMarkdown(results.card), method(results), markdownTable(overview(results))]
  for (const workload of results.workloads) {
    parts.push(`**${workload.name}**: ${WORKLOADS[workload.name].says}.`, markdownTable(workloadTable(workload)))
  }
  parts.push(`Versions. ${versions(results).join('; ')}.`)
  return `${parts.join('\n\n')}\n`
}

export function toTerminal(results: Results): string {
  const parts = [cardMarkdown(results.card)]
  for (const workload of results.workloads) {
    parts.push(`${workload.name}: ${WORKLOADS[workload.name].says}\n${terminalTable(workloadTable(workload))}`)
  }
  parts.push(versions(results).join('\n'))
  return `${parts.join('\n\n')}\n`
}

/**
 * Replaces what stands between `<!-- marker:begin -->` and `<!-- marker:end -->` in a page of docs/.
 * @throws if the page has no such place
 */
export function fill(page: string, marker: string, text: string): void {
  const path = join(ROOT, 'docs', page)
  const [begin, end] = [`<!-- ${marker}:begin -->`, `<!-- ${marker}:end -->`]
  const whole = readFileSync(path, 'utf8')
  const [from, to] = [whole.indexOf(begin), whole.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/${page} has no ${begin} … ${end}.`)
  writeFileSync(path, `${whole.slice(0, from + begin.length)}\n${text.trim()}\n${whole.slice(to)}`)
  process.stdout.write(`docs/${page}: ${marker} written.\n`)
}

/** The last results into docs/performance.md. */
export function writeDocs(): void {
  if (!existsSync(LATEST)) throw new Error('There are no results yet: run `npm run bench` first.')
  const results = JSON.parse(readFileSync(LATEST, 'utf8')) as Results
  fill('performance.md', 'bench', toMarkdown(results))
  writeFileSync(join(ROOT, 'docs/speeds.svg'), picture(results))
}
