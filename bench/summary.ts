/**
 * What the results say of each contender on each workload: the numbers that every table is made of, and how they are
 * written.
 */
import type { Limits } from './limits'
import type { Card } from './machine'
import { difference, median } from './statistics'
import type { Finding, Outcome } from './trial'
import { WORKLOADS } from './workloads'

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
  /** What `all` threads are. */
  readonly threads: number
  /** Null where there is no compiler to measure them with. */
  readonly limits: Limits | null
  /** Nanoseconds of a line of cache to another core and back, before each workload of each round; earlier files have none. */
  readonly handovers?: number[]
  readonly workloads: readonly { readonly name: string; readonly measured: readonly Measured[] }[]
}

export const REFERENCE = 'native'
/** The specification: what others' numbers are held against. */
export const SPECIFICATION = 'TypeScript'

/** A contender on a workload, over all rounds. */
export interface Row {
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

export function summarize({ label, trials }: Measured): Row {
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

export const known = (blocks: readonly number[]): number[] => blocks.filter((value) => !Number.isNaN(value))

/** Median over rounds of how many times `reference` was faster in the same round. */
export function ratio(reference: Row | undefined, row: Row): number {
  if (!reference) return Number.NaN
  const pairs = known(row.blocks.map((value, round) => value / (reference.blocks[round] ?? Number.NaN)))
  return pairs.length ? median(pairs) : Number.NaN
}

export const three = (value: number): string => {
  if (!Number.isFinite(value)) return '—'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)))
  return value.toLocaleString('en-US', { minimumFractionDigits: 0, maximumFractionDigits: Math.min(digits, 4) })
}
/** Three significant figures, the rest of a large number zeros: 147,000. */
export const rounded = (value: number): string => three(Number(value.toPrecision(3)))

export const times = (value: number): string => (Number.isNaN(value) ? '—' : `${Number(value.toPrecision(3))} ×`)

/** The largest difference of any trial. */
export function furthest(row: Row, truth: Row): string {
  return Math.max(...row.evidence.map((list) => difference(list, truth.evidence[0]))).toExponential(0)
}

export function speed(name: string, seconds: number): number {
  const { task, unit } = WORKLOADS[name]
  const count = unit.perBlock({ workload: name, ...task })
  return unit.time ? (seconds / count) * unit.time.scale : count / seconds
}

export interface TableOf {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
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
