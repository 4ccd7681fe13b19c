/**
 * Tables in CSV files, read as a stream: whole (`readCsv`) for a fit, or a batch of rows at a time (`csvBatches`) for
 * files larger than memory and for pipelines.
 *
 * csv-parse knows the format: quotes, line ends, byte order marks. Here its fields become numbers, and everything that
 * is not one is said with its line and column. What it refuses: to guess. A text column is no feature, a hole is no
 * zero, and a target that is half numbers, half text is neither. Lines count from 1, as editors do.
 */

import { createReadStream } from 'node:fs'
import { pipeline, type Readable } from 'node:stream'
import { parse } from 'csv-parse'
import { DownhillError, describe, expected, nearest, refuseUnknown } from '../errors'
import type { Matrix } from './matrix'

/** A column by its name in the header, or by its place, counted from 0. */
export type Column = string | number

export interface CsvOptions {
  /** The features, in this order. @default every column but the target */
  columns?: readonly Column[]
  /** @default ',' */
  delimiter?: string
  /** The first line names the columns; without it their names are '0', '1', … @default true */
  header?: boolean
}

export interface ReadCsvOptions extends CsvOptions {
  /** The column to be predicted. */
  target: Column
  /** true keeps the target as text, whatever it looks like. @default numbers if all of them are */
  labels?: boolean
}

/** A table for `fit`: features, target, and what the columns are called. */
export interface CsvData {
  x: CsvMatrix
  y: number[] | string[]
  columns: string[]
  target: string
}

export interface CsvMatrix extends Matrix {
  readonly data: Float64Array
}

export interface CsvBatchOptions extends CsvOptions {
  /** A column that is not a feature, if the file has it. */
  target?: Column
  /** Rows of a batch; the last may have fewer. @default 1024 */
  batchRows?: number
}

/** Some rows of a file: the features as numbers, and the fields as they were written. */
export interface CsvBatch {
  x: CsvMatrix
  fields: string[][]
  /** The line on which each row ends. */
  lines: number[]
  /** The names of all columns of the file, and of those in x. */
  header: string[]
  columns: string[]
}

const COMMON = ['columns', 'delimiter', 'header', 'target']

/**
 * Reads a whole table.
 *
 * @throws ERR_FILE the file cannot be read, or is not CSV · ERR_OPTION a column is not there · ERR_SHAPE a row has too
 *   few or too many fields · ERR_DATA no rows, a feature that is not a finite number, a target that is missing or mixed
 */
export async function readCsv(path: string | URL, options: ReadCsvOptions): Promise<CsvData> {
  const { labels, ...rest } = checkOptions(options, [...COMMON, 'labels'], 'readCsv')
  if (labels !== undefined && typeof labels !== 'boolean') throw expected('a boolean', 'labels', labels)
  if (rest.target === undefined) throw expected('the name or place of a column', 'target', rest.target)
  const file = nameOf(path)
  const data = new Growing()
  const texts: string[] = []
  const lines: number[] = []
  let columns: string[] = []
  let target = ''
  for await (const batch of batches(path, rest)) {
    const at = findColumn(rest.target, batch.header, file, 'target')
    target = batch.header[at]
    columns = batch.columns
    data.append(batch.x.data)
    for (const row of batch.fields) texts.push(row[at])
    for (const line of batch.lines) lines.push(line)
  }
  const x = { data: data.take(), rows: texts.length, columns: columns.length }
  return { x, y: readTargets(texts, lines, { name: target, file, asText: labels === true }), columns, target }
}

/**
 * Reads a table batch by batch, at the pace of whoever iterates. Errors are those of `readCsv`.
 * `Readable.from(csvBatches(…))` is the same as a stream.
 */
export function csvBatches(source: string | URL | Readable, options: CsvBatchOptions = {}): AsyncGenerator<CsvBatch> {
  return batches(source, checkOptions(options, [...COMMON, 'batchRows'], 'csvBatches'))
}

function checkOptions<T extends CsvBatchOptions>(options: T, known: string[], where: string): T {
  if (typeof options !== 'object' || options === null) throw expected('an object', `the options of ${where}`, options)
  refuseUnknown(options, known, where)
  const { columns, delimiter, header, target, batchRows } = options
  if (columns !== undefined && !(Array.isArray(columns) && columns.length > 0)) {
    throw expected('a non-empty array of columns', 'columns', columns)
  }
  for (const column of [...(columns ?? []), ...(target === undefined ? [] : [target])]) {
    const isPlace = typeof column === 'number' && Number.isInteger(column) && column >= 0
    if (typeof column !== 'string' && !isPlace) {
      throw expected('the name or place of a column', column === target ? 'target' : 'columns', column)
    }
  }
  if (delimiter !== undefined && (typeof delimiter !== 'string' || delimiter === '')) {
    throw expected('a non-empty string', 'delimiter', delimiter)
  }
  if (header !== undefined && typeof header !== 'boolean') throw expected('a boolean', 'header', header)
  if (batchRows !== undefined && !(Number.isInteger(batchRows) && batchRows > 0)) {
    throw expected('a positive integer', 'batchRows', batchRows)
  }
  return options
}

/** What csv-parse makes of a row with `info: true`. */
interface ParsedRow {
  record: string[]
  info: { lines: number }
}

async function* batches(source: string | URL | Readable, options: CsvBatchOptions): AsyncGenerator<CsvBatch> {
  const { columns: wanted, delimiter = ',', header: hasHeader = true, target, batchRows = 1024 } = options
  const file = nameOf(source)
  const bytes = typeof source === 'string' || source instanceof URL ? createReadStream(source) : source
  // Rows of any length come through here, to be refused in our own words.
  const parser = parse({ bom: true, delimiter, info: true, relax_column_count: true, skip_empty_lines: true })
  // An error of either stream ends both, and arrives where the rows are awaited; whoever leaves early ends both too.
  pipeline(bytes, parser, () => {})
  let header: string[] | null = null
  let features: number[] = []
  let fields: string[][] = []
  let lines: number[] = []
  let hasRows = false
  const batch = (names: string[]): CsvBatch => {
    const x = readNumbers(fields, lines, features, names, file)
    const made = { x, fields, lines, header: names, columns: features.map((c) => names[c]) }
    fields = []
    lines = []
    return made
  }
  try {
    for await (const { record, info } of parser as AsyncIterable<ParsedRow>) {
      if (header === null) {
        header = hasHeader ? record.map((name) => name.trim()) : record.map((_, i) => String(i))
        features = chooseColumns(header, wanted, target, file)
        if (hasHeader) continue
      }
      if (record.length !== header.length) {
        const found = `${record.length} ${record.length === 1 ? 'field' : 'fields'}`
        throw new DownhillError(
          'ERR_SHAPE',
          `Expected ${header.length} fields on line ${info.lines} of ${file} but found ${found}.`,
        )
      }
      hasRows = true
      fields.push(record)
      lines.push(info.lines)
      if (fields.length === batchRows) yield batch(header)
    }
    if (header !== null && fields.length > 0) yield batch(header)
  } catch (cause) {
    throw cause instanceof DownhillError ? cause : fileError(file, cause)
  }
  if (!hasRows) {
    throw new DownhillError(
      'ERR_DATA',
      `Expected rows in ${file} but it ${header === null ? 'is empty' : 'has a header only'}.`,
    )
  }
}

function nameOf(source: string | URL | Readable): string {
  if (typeof source === 'string') return source
  if (source instanceof URL) return source.pathname
  if (typeof source?.pipe === 'function') return 'the stream'
  throw expected('a path', 'the file', source)
}

function fileError(file: string, cause: unknown): DownhillError {
  const { code, message, lines } = cause as { code?: string; message?: string; lines?: number }
  const isFormat = typeof code === 'string' && code.startsWith('CSV_')
  const says = String(message ?? cause).replace(/\.$/, '')
  const sentence = isFormat
    ? `Could not parse ${file} as CSV at line ${lines}: ${says}.`
    : `Could not read ${file}: ${says}.`
  return new DownhillError('ERR_FILE', sentence, { cause })
}

/** The places of the features. */
function chooseColumns(
  header: string[],
  wanted: readonly Column[] | undefined,
  target: Column | undefined,
  file: string,
): number[] {
  const aside = target === undefined ? -1 : findColumn(target, header, file, 'target')
  if (wanted === undefined) {
    const rest = header.map((_, i) => i).filter((i) => i !== aside)
    if (rest.length > 0) return rest
    throw new DownhillError('ERR_DATA', `Expected features in ${file} but its only column is the target.`)
  }
  return wanted.map((column) => {
    const at = findColumn(column, header, file, 'columns')
    if (at !== aside) return at
    throw new DownhillError('ERR_OPTION', `Expected columns without the target but ${describe(column)} is among them.`)
  })
}

function findColumn(column: Column, header: string[], file: string, option: string): number {
  if (typeof column === 'number') {
    if (column < header.length) return column
    throw new DownhillError(
      'ERR_OPTION',
      `Expected a column of ${file} for ${option} but received ${column}; it has ${header.length} columns, counted from 0.`,
    )
  }
  const at = header.indexOf(column)
  if (at < 0) {
    const guess = nearest(column, header)
    const shown = header.slice(0, 8).map((name) => JSON.stringify(name))
    const hint = guess
      ? `did you mean ${JSON.stringify(guess)}?`
      : `it has ${shown.join(', ')}${header.length > 8 ? ', …' : ''}.`
    throw new DownhillError('ERR_OPTION', `No column ${JSON.stringify(column)} in ${file} for ${option}; ${hint}`)
  }
  if (header.indexOf(column, at + 1) >= 0) {
    throw new DownhillError(
      'ERR_OPTION',
      `Two columns of ${file} are called ${JSON.stringify(column)}; give their places instead.`,
    )
  }
  return at
}

/** A number as people write it, or NaN: no blanks, no words. */
function toNumber(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}

function readNumbers(
  fields: string[][],
  lines: number[],
  features: number[],
  header: string[],
  file: string,
): CsvMatrix {
  const data = new Float64Array(fields.length * features.length)
  let at = 0
  for (let r = 0; r < fields.length; r++) {
    for (const c of features) {
      const value = toNumber(fields[r][c])
      if (!Number.isFinite(value)) {
        const [name, held] = [JSON.stringify(header[c]), describe(fields[r][c])]
        const sentence = `Expected a finite number in column ${name} on line ${lines[r]} of ${file} but found ${held}`
        const hint =
          Number.isNaN(value) && /\p{L}/u.test(fields[r][c]) ? '; the option columns chooses the features.' : '.'
        throw new DownhillError('ERR_DATA', `${sentence}${hint}`)
      }
      data[at++] = value
    }
  }
  return { data, rows: fields.length, columns: features.length }
}

/** All numbers, or all text. */
function readTargets(
  texts: string[],
  lines: number[],
  { name, file, asText }: { name: string; file: string; asText: boolean },
): number[] | string[] {
  const fail = (r: number, what: string): DownhillError =>
    new DownhillError(
      'ERR_DATA',
      `Expected ${what} in the target ${JSON.stringify(name)} on line ${lines[r]} of ${file} but found ${describe(texts[r])}.`,
    )
  const hole = texts.findIndex((text) => text.trim() === '')
  if (hole >= 0) throw fail(hole, 'a value')
  if (asText) return texts
  const values = texts.map(toNumber)
  const first = Number.isFinite(values[0])
  const other = values.findIndex((value) => Number.isFinite(value) !== first)
  if (other >= 0) throw fail(other, first ? 'a finite number, like those before it,' : 'text, like that before it,')
  return first ? values : texts
}

/** Floats of unknown number: room doubles. */
class Growing {
  private data = new Float64Array(0)
  private length = 0

  append(more: Float64Array): void {
    if (this.length + more.length > this.data.length) {
      const roomier = new Float64Array(Math.max(2 * this.data.length, this.length + more.length))
      roomier.set(this.data.subarray(0, this.length))
      this.data = roomier
    }
    this.data.set(more, this.length)
    this.length += more.length
  }

  /** The floats in memory of their own size. */
  take(): Float64Array {
    return this.length === this.data.length ? this.data : this.data.slice(0, this.length)
  }
}
