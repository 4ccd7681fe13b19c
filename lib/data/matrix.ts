/**
 * Numbers as users pass them, read into the one form that backends bind: row-major, finite, of a known shape.
 *
 * A row of KINDS reads one kind of input. Float arrays and bytes pass through as views after one look at every float
 * (a backend copies when it binds); anything else is converted once. What a caller gave is never written, and nothing
 * here guesses: what is not a number, not finite or not rectangular is one DownhillError that names the place.
 * Rows and columns in messages count from 0, as the caller's own indices do. Labels and tasks are targets.ts.
 */
import { DownhillError, describe } from '../errors'
import type { Dtype, Floats, Table } from '../plan/plan'

/** A row-major matrix; value (r, c) = data[r · columns + c] × scale, so that images stay bytes: scale 1/255. */
export interface Matrix {
  readonly data: Floats | Uint8Array
  readonly rows: number
  readonly columns: number
  /** Positive and finite. @default 1 */
  readonly scale?: number
}

/** Typed arrays of numbers. 64-bit integers are not among them: a double holds them only to 2⁵³. */
export type NumericArray =
  | Floats
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Uint8ClampedArray

/** All that `x` may be: an array of rows, a flat array, or a Matrix. */
export type Inputs = readonly (readonly number[] | NumericArray)[] | readonly number[] | NumericArray | Matrix

/** The features' half of a Table: value (r, c) = x[r · columns + c] × scale. `x` may be the caller's own memory. */
export type FeatureTable = Pick<Table, 'x' | 'rows' | 'columns' | 'scale'>

/** What is known before the data is looked at; what is left out follows from the data. */
export interface FeatureOptions {
  /** Columns the data must have. */
  inputs?: number
  /** Rows the data must have: those of y. */
  rows?: number
  /** What the sentence of an error calls the data. @default 'x' */
  name?: string
  /** What values must fit into, and what converted ones are stored as. @default 'float32' */
  dtype?: Dtype
  /** Whether whoever reads a typed array next looks at its entries, and then asks `notFinite` for the error. @default false */
  isCheckedLater?: boolean
  /** Columns that must hold indices. @default none */
  indices?: readonly IndexColumn[]
}

/** A column of integers in [0, size). */
export interface IndexColumn {
  readonly column: number
  readonly size: number
}

/** From here on a double rounds to Infinity in float32: 2¹²⁸ − 2¹⁰³, halfway between its largest number and 2¹²⁸. */
const FLOAT32_LIMIT = 2 ** 128 - 2 ** 103
/** The smallest magnitude that a dtype cannot hold. */
export const LIMITS: { readonly [D in Dtype]: number } = { float32: FLOAT32_LIMIT, float64: Number.POSITIVE_INFINITY }

/**
 * Reads features of any kind.
 *
 * A flat array of N numbers has N / inputs rows if `inputs` is given, else `rows` rows, else one column.
 *
 * @returns rows ≥ 1 and columns ≥ 1; every value finite and within `dtype`
 * @throws ERR_SHAPE ragged rows, sizes that do not fit `inputs`, `rows` or each other, more than two dimensions
 * @throws ERR_DATA a column of `indices` with anything but an index
 * @throws ERR_DATA no data, a kind that cannot be read, an entry that is not a finite number or beyond `dtype`, a
 *   typed array whose buffer is gone
 */
export function readFeatures(
  x: unknown,
  { inputs, rows, name = 'x', dtype = 'float32', isCheckedLater = false, indices = [] }: FeatureOptions = {},
): FeatureTable {
  const kind = KINDS.find((row) => row.is(x))
  if (kind === undefined) throw unreadable(name, x)
  const table = kind.read(x as never, { inputs, rows, name, dtype, isCheckedLater })
  if (inputs !== undefined && table.columns !== inputs)
    throw new DownhillError('ERR_SHAPE', `Expected ${inputs} columns in ${name} but it has ${table.columns}.`)
  if (rows !== undefined && table.rows !== rows)
    throw new DownhillError('ERR_SHAPE', `Expected ${rows} rows in ${name} but it has ${table.rows}.`)
  for (const each of indices) checkIndices(table, each, name)
  return table
}

function checkIndices({ x, rows, columns, scale }: FeatureTable, { column, size }: IndexColumn, name: string): void {
  if (column >= columns)
    throw new DownhillError(
      'ERR_SHAPE',
      `Expected a column ${column} in ${name}, as embedding reads, but it has ${columns} columns.`,
    )
  for (let r = 0; r < rows; r++) {
    const value = x[r * columns + column] * scale
    if (Number.isInteger(value) && value >= 0 && value < size) continue
    throw new DownhillError(
      'ERR_DATA',
      `Expected an integer in [0, ${size}) in ${name} but ${place(r, column, columns)} is ${value}.`,
    )
  }
}

/** The error for the first value of a table that was to be checked later, and is not finite in `dtype`. */
export function notFinite({ x, columns, scale }: FeatureTable, dtype: Dtype, name = 'x'): DownhillError {
  const i = Math.max(firstBeyond(x, scale, LIMITS[dtype]), 0) // none is left where another thread wrote meanwhile
  return badEntry(x[i] * scale, i, columns, { name, dtype })
}

/** True for what holds numbers in one row after another without saying how many columns they make. */
export function isFlat(x: unknown): boolean {
  return isNumericArray(x) || (Array.isArray(x) && !isRow(x[0]))
}

/** The rows of `table` at `indices`, in that order, copied. */
export function selectRows(table: FeatureTable, indices: Uint32Array): FeatureTable {
  const { x, columns } = table
  const Kind = x.constructor as new (length: number) => Floats | Uint8Array
  const selected = new Kind(indices.length * columns)
  for (let r = 0; r < indices.length; r++)
    selected.set(x.subarray(indices[r] * columns, (indices[r] + 1) * columns), r * columns)
  return { ...table, x: selected, rows: indices.length }
}

/** *row 3, column 2 (counted from 0)*, without the column where there is only one. */
export function place(row: number, column: number, columns: number): string {
  return `row ${row}${columns > 1 ? `, column ${column}` : ''} (counted from 0)`
}

// ---------------------------------------------------------------------------------------------------- kinds

interface Reading {
  readonly inputs: number | undefined
  readonly rows: number | undefined
  readonly name: string
  readonly dtype: Dtype
  readonly isCheckedLater: boolean
}

/** One kind of input: how it is recognised, and how it is read then. */
interface Kind {
  is(x: unknown): boolean
  read(x: never, reading: Reading): FeatureTable
}

type Row = readonly number[] | NumericArray

const flatTyped = {
  is: isNumericArray,
  read(x: NumericArray, reading: Reading) {
    const values = asEntries(x, reading)
    const shape = flatShape(values.length, reading)
    checkEntries(values, shape.columns, 1, reading)
    return { x: values, rows: shape.rows, columns: shape.columns, scale: 1 }
  },
}

const flatArray = {
  is: (x: unknown) => Array.isArray(x) && !isRow(x[0]),
  read(x: readonly number[], reading: Reading) {
    const { rows, columns } = flatShape(x.length, reading)
    const values = makeFloats(x.length, reading.dtype)
    const limit = LIMITS[reading.dtype]
    for (let i = 0; i < values.length; i++) {
      const value = x[i]
      if (typeof value !== 'number' || !(Math.abs(value) < limit)) throw badEntry(value, i, columns, reading)
      values[i] = value
    }
    return { x: values, rows, columns, scale: 1 }
  },
}

const nestedArray = {
  is: (x: unknown) => Array.isArray(x) && isRow(x[0]),
  read(x: readonly Row[], reading: Reading) {
    const { name, dtype } = reading
    const rows = x.length
    const columns = x[0].length
    if (columns === 0)
      throw new DownhillError('ERR_SHAPE', `Expected at least one column in ${name} but row 0 is empty.`)
    const values = makeFloats(rows * columns, dtype)
    const limit = LIMITS[dtype]
    for (let r = 0, i = 0; r < rows; r++) {
      const row = x[r]
      if (!isRow(row))
        throw new DownhillError(
          'ERR_DATA',
          `Expected every row of ${name} to be an array of numbers but ${place(r, 0, 1)} is ${describe(row)}.`,
        )
      if (row.length !== columns)
        throw new DownhillError(
          'ERR_SHAPE',
          `Expected ${columns} columns in every row of ${name}, as in row 0, but ${place(r, 0, 1)} has ${row.length}.`,
        )
      for (let c = 0; c < columns; c++, i++) {
        const value = row[c]
        if (typeof value !== 'number' || !(Math.abs(value) < limit)) throw badEntry(value, i, columns, reading)
        values[i] = value
      }
    }
    return { x: values, rows, columns, scale: 1 }
  },
}

const matrix = {
  is: (x: unknown) => typeof x === 'object' && x !== null && 'data' in x && !ArrayBuffer.isView(x),
  read({ data, rows, columns, scale = 1 }: Matrix, reading: Reading) {
    const { name } = reading
    checkSize(rows, `rows of ${name}`)
    checkSize(columns, `columns of ${name}`)
    if (!(typeof scale === 'number' && scale > 0 && scale < Number.POSITIVE_INFINITY))
      throw new DownhillError(
        'ERR_DATA',
        `Expected a positive number for scale of ${name} but received ${describe(scale)}.`,
      )
    if (!isNumericArray(data))
      throw new DownhillError(
        'ERR_DATA',
        `Expected a Float32Array, Float64Array or Uint8Array for data of ${name} but received ${describe(data)}.`,
      )
    const values = asEntries(data, reading)
    if (values.length !== rows * columns)
      throw new DownhillError(
        'ERR_SHAPE',
        `Expected ${rows} × ${columns} = ${rows * columns} entries in data of ${name} but it has ${values.length}.`,
      )
    checkEntries(values, columns, scale, reading)
    return { x: values, rows, columns, scale }
  },
}

/** In the order in which they are tried: what costs least to read comes first. */
const KINDS: readonly Kind[] = [flatTyped, matrix, nestedArray, flatArray]

// ---------------------------------------------------------------------------------------------------- typed arrays

/**
 * How each kind of typed array enters: its own memory where a backend can bind it, else a copy as floats. By name, not
 * by instanceof: an array from another realm (a vm context, a test runner's sandbox) is as good.
 */
const TYPED = new Map<string, (x: NumericArray, dtype: Dtype) => Floats | Uint8Array>([
  ['Float32Array', (x) => new Float32Array(x.buffer, x.byteOffset, x.length)],
  ['Float64Array', (x) => new Float64Array(x.buffer, x.byteOffset, x.length)],
  ['Uint8Array', (x) => new Uint8Array(x.buffer, x.byteOffset, x.length)],
  ['Uint8ClampedArray', (x) => new Uint8Array(x.buffer, x.byteOffset, x.length)],
  ...['Float16Array', 'Int8Array', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array'].map(
    (name) => [name, (x: NumericArray, dtype: Dtype) => copyAs(x, dtype)] as const,
  ),
])

const prototype = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array
/** The name of a typed array's kind, and undefined for everything else; no property of the value can fake it. */
const tagOf = Object.getOwnPropertyDescriptor(prototype, Symbol.toStringTag)?.get as (
  this: unknown,
) => string | undefined

function isNumericArray(x: unknown): x is NumericArray {
  if (x instanceof Float32Array) return true
  const tag = tagOf.call(x)
  return tag !== undefined && TYPED.has(tag)
}

function isRow(x: unknown): x is Row {
  return Array.isArray(x) || isNumericArray(x)
}

/** The entries of a typed array, as a view where that is possible. */
function asEntries(x: NumericArray, { name, dtype }: Reading): Floats | Uint8Array {
  if (x.length === 0) throw isGone(x) ? goneError(x, name) : emptyError(name)
  if (x instanceof Float32Array || x instanceof Float64Array || x.constructor === Uint8Array)
    return x as Floats | Uint8Array
  const enter = TYPED.get(tagOf.call(x) as string) as (x: NumericArray, dtype: Dtype) => Floats | Uint8Array
  return enter(x, dtype)
}

/** Whether the memory was transferred away, or a resizable buffer has shrunk from under the array. */
function isGone(x: NumericArray): boolean {
  try {
    // Every method of a typed array throws a TypeError then; `length` alone says 0, as for an empty array.
    prototype.at.call(x as Uint8Array, 0)
    return false
  } catch {
    return true
  }
}

function copyAs(x: ArrayLike<number>, dtype: Dtype): Floats {
  return dtype === 'float64' ? Float64Array.from(x) : Float32Array.from(x)
}

function makeFloats(length: number, dtype: Dtype): Floats {
  return dtype === 'float64' ? new Float64Array(length) : new Float32Array(length)
}

// ---------------------------------------------------------------------------------------------------- checks

/** Refuses the first entry that, times `scale`, is not finite in `dtype`. One pass over floats, none over bytes. */
function checkEntries(values: Floats | Uint8Array, columns: number, scale: number, reading: Reading): void {
  const limit = LIMITS[reading.dtype]
  if (reading.isCheckedLater || (values instanceof Uint8Array && 255 * scale < limit)) return
  const i = firstBeyond(values, scale, limit)
  if (i >= 0) throw badEntry(values[i] * scale, i, columns, reading)
}

/** Index of the first entry whose magnitude, times `scale`, is not below `limit` (NaN is below nothing), or −1. */
function firstBeyond(values: Floats | Uint8Array, scale: number, limit: number): number {
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i] * scale) < limit)) return i
  return -1
}

/** Rows and columns of `length` numbers in a row; see readFeatures. */
function flatShape(length: number, { inputs, rows, name }: Reading): { rows: number; columns: number } {
  if (length === 0) throw emptyError(name)
  const known = inputs ?? rows ?? length
  if (length % known !== 0)
    throw new DownhillError(
      'ERR_SHAPE',
      inputs !== undefined
        ? `Expected rows of ${inputs} numbers in ${name} but its ${length} numbers do not divide into them.`
        : `Expected ${rows} rows in ${name} but its ${length} numbers do not divide into them.`,
    )
  return inputs !== undefined ? { rows: length / inputs, columns: inputs } : { rows: known, columns: length / known }
}

function checkSize(size: unknown, what: string): void {
  if (typeof size === 'number' && Number.isInteger(size) && size > 0) return
  throw new DownhillError('ERR_SHAPE', `Expected a positive integer for ${what} but received ${describe(size)}.`)
}

// ---------------------------------------------------------------------------------------------------- sentences

function badEntry(
  value: unknown,
  index: number,
  columns: number,
  { name, dtype }: Pick<Reading, 'name' | 'dtype'>,
): DownhillError {
  const at = place(Math.floor(index / columns), index % columns, columns)
  if (isRow(value))
    return new DownhillError(
      'ERR_SHAPE',
      `Expected numbers, in at most two dimensions, in ${name} but ${at} is ${describe(value)}.`,
    )
  if (typeof value === 'number' && Number.isFinite(value))
    return new DownhillError('ERR_DATA', `Expected numbers within ${dtype}'s range in ${name} but ${at} is ${value}.`)
  const found = typeof value === 'number' ? String(value) : describe(value)
  return new DownhillError('ERR_DATA', `Expected finite numbers in ${name} but ${at} is ${found}.`)
}

function emptyError(name: string): DownhillError {
  return new DownhillError('ERR_DATA', `Expected at least one row in ${name} but it is empty.`)
}

function goneError(x: NumericArray, name: string): DownhillError {
  return new DownhillError(
    'ERR_DATA',
    `Expected numbers in ${name} but it is a ${x.constructor.name} whose buffer was detached or has shrunk.`,
  )
}

function unreadable(name: string, x: unknown): DownhillError {
  const kinds = 'an array of rows, an array of numbers, a typed array or a Matrix { data, rows, columns }'
  return new DownhillError('ERR_DATA', `Expected ${kinds} for ${name} but received ${describe(x)}.`)
}
