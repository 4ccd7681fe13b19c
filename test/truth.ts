/**
 * What the tests of truth share: the backends they run on, the fixtures they read, and one way to compare numbers.
 *
 * Fixtures come from numpy and PyTorch (test/fixtures, each beside the script that made it). Nothing here computes a
 * network: a test asks the public API, and holds the answer to numbers from elsewhere or to mathematics.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { backendInfo, DownhillError } from 'downhill'
import type { Test } from 'tap'

/** Where every test body runs. `options` goes into the constructor. */
export const BACKENDS = [
  { name: 'native float32', dtype: 'float32', options: { backend: 'native', dtype: 'float32' } },
  { name: 'typescript float32', dtype: 'float32', options: { backend: 'typescript', dtype: 'float32' } },
  { name: 'typescript float64', dtype: 'float64', options: { backend: 'typescript', dtype: 'float64' } },
] as const

export type TestBackend = (typeof BACKENDS)[number]

/** The one backend that is exact enough for finite differences. */
export const FLOAT64 = BACKENDS[2]

/** Runs `body` on each backend, as a subtest named after it; the native one is skipped, with its reason, where it is not. */
export async function onEachBackend(t: Test, body: (t: Test, backend: TestBackend) => void | Promise<void>) {
  const info = backendInfo()
  for (const backend of BACKENDS) {
    const missing = backend.options.backend === 'native' && info.name !== 'native'
    const skip = missing && `no native backend here: ${info.reason}`
    await t.test(backend.name, { skip }, async (t) => body(t, backend))
  }
}

export interface Matrix {
  data: Float64Array
  rows: number
  columns: number
}

/** A matrix of rows of numbers. */
export function matrix(rows: readonly (readonly number[])[]): Matrix {
  return { data: Float64Array.from(rows.flat()), rows: rows.length, columns: rows[0].length }
}

export function identity(n: number): Matrix {
  return matrix(Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => Number(i === j))))
}

/** Weights and bias of a layer as JSON fixtures hold them, as setWeights takes them. */
export interface StoredLayer {
  weights: number[][]
  bias: number[]
}

interface Parameters {
  weights: { data: ArrayLike<number> }
  bias: ArrayLike<number> | null
}

/** All parameters, or gradients, of a net in one row, as `flatStored` lays out a fixture's. */
export function flat(layers: readonly Parameters[]): number[] {
  return layers.flatMap(({ weights, bias }) => [...Array.from(weights.data), ...Array.from(bias ?? [])])
}

export function flatStored(layers: readonly StoredLayer[]): number[] {
  return layers.flatMap(({ weights, bias }) => [...weights.flat(), ...bias])
}

/** `|ours − theirs| ≤ absolute + relative·|theirs|` for every entry. */
export interface Tolerance {
  relative?: number
  absolute?: number
}

/** Fails with the first numbers of both, and the worst error and where it is; passes with the worst error. */
export function agree(
  t: Test,
  ours: ArrayLike<number>,
  theirs: ArrayLike<number>,
  { relative = 0, absolute = 0 }: Tolerance,
  what: string,
): boolean {
  let worst = 0
  let at = 0
  for (let i = 0; i < theirs.length; i++) {
    const share = Math.abs(ours[i] - theirs[i]) / (absolute + relative * Math.abs(theirs[i]))
    if (share <= worst || ours[i] === theirs[i]) continue // never true of NaN, which is the worst
    worst = share
    at = i
    if (Number.isNaN(share)) break
  }
  const right = ours.length === theirs.length && worst <= 1
  const says = `${what}: worst error ${Math.abs(ours[at] - theirs[at]).toExponential(1)} of ${theirs[at]} at [${at}]`
  if (right) return t.pass(says)
  const first = (list: ArrayLike<number>) => Array.from({ length: Math.min(8, list.length) }, (_, i) => list[i])
  return t.fail(says, {
    allowed: { relative, absolute },
    lengths: [ours.length, theirs.length],
    'ours, from the first': first(ours),
    'theirs, from the first': first(theirs),
    'there: ours, theirs': [ours[at], theirs[at]],
  })
}

const FIXTURES = join(__dirname, 'fixtures')

export function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(FIXTURES, ...path), 'utf8')) as T
}

/** Little-endian float64 numbers, as numpy's tofile writes them. */
export function readFloats(...path: string[]): Float64Array {
  const bytes = readFileSync(join(FIXTURES, ...path))
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => bytes.readDoubleLE(8 * i))
}

/** The layers of the question's network, 30 → 128 → 64 → 1, at a stored start: out × in there, in × out here; biases zero. */
export function goldenStart(init: string): { weights: Matrix; bias: Float64Array }[] {
  const stored = readFloats('golden', `seed-net-${init}.f64`)
  const sizes = [30, 128, 64, 1]
  let from = 0
  return sizes.slice(1).map((O, layer) => {
    const I = sizes[layer]
    const data = new Float64Array(I * O)
    for (let o = 0; o < O; o++) for (let i = 0; i < I; i++) data[i * O + o] = stored[from + o * I + i]
    from += I * O
    return { weights: { data, rows: I, columns: O }, bias: new Float64Array(O) }
  })
}

/** data/breast-cancer.csv: 569 rows of 30 numbers, and whether each is benign, 0 or 1. */
export function readBreastCancer(): { x: Matrix; y: Float64Array } {
  const lines = readFileSync(join(__dirname, '..', 'data', 'breast-cancer.csv'), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
  const table = lines.map((line) => line.split(',').map(Number))
  return { x: matrix(table.map((row) => row.slice(0, -1))), y: Float64Array.from(table, (row) => row[row.length - 1]) }
}

/** (x − mean) / std by column, with the population's standard deviation. */
export function standardised({ data, rows, columns }: Matrix): Matrix {
  const out = new Float64Array(data.length)
  for (let j = 0; j < columns; j++) {
    let mean = 0
    for (let i = 0; i < rows; i++) mean += data[i * columns + j] / rows
    let variance = 0
    for (let i = 0; i < rows; i++) variance += (data[i * columns + j] - mean) ** 2 / rows
    for (let i = 0; i < rows; i++) out[i * columns + j] = (data[i * columns + j] - mean) / Math.sqrt(variance)
  }
  return { data: out, rows, columns }
}

/** What console.log is given while `body` runs. */
export async function printed(t: Test, body: () => unknown): Promise<string[]> {
  const lines = t.capture(console, 'log')
  await body()
  const said = lines().map(({ args }) => args.join(' '))
  lines.restore()
  return said
}

/** The error of ours that a call rejects with. */
export async function errorOf(promise: PromiseLike<unknown>): Promise<DownhillError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof DownhillError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
