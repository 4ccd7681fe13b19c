/**
 * Initializers: how weights are drawn. Numbers are drawn in double, row by row, from a stream of their own for each
 * tensor, then rounded to the model's type: one seed gives the same start on every backend.
 *
 * I is fan-in and O fan-out of an I × O tensor. Limits: Glorot & Bengio 2010, He et al. 2015, LeCun et al. 1998;
 * the *Normal ones are plain normals (PyTorch's), not truncated.
 */
import { DownhillError, expected, refuseUnknown } from './errors'
import { checkName, checkNumber, RANGES } from './names'
import type { Random } from './random'

export type InitializerName =
  | 'glorotUniform'
  | 'glorotNormal'
  | 'heUniform'
  | 'heNormal'
  | 'lecunUniform'
  | 'lecunNormal'
  | 'orthogonal'
  | 'zeros'
  | 'ones'

/** An initializer with its numbers: plain data. `values`: an explicit I × O matrix, row-major. */
export type InitializerSpec =
  | { readonly kind: InitializerName }
  | { readonly kind: 'uniform'; readonly low: number; readonly high: number }
  | { readonly kind: 'normal'; readonly std: number; readonly mean: number }
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'values'; readonly values: Float64Array; readonly rows: number; readonly columns: number }

/** Draws the entries of an I × O tensor one after the other, row by row; so that a large one is never held in double. */
type Draw<S = InitializerSpec> = (spec: S, I: number, O: number, from: Random) => () => number

/** Uniform in ±√(3·variance), which has that variance. */
const uniformOf =
  (variance: (I: number, O: number) => number): Draw =>
  (_, I, O, from) => {
    const limit = Math.sqrt(3 * variance(I, O))
    return () => (2 * from.uniform() - 1) * limit
  }

const normalOf =
  (variance: (I: number, O: number) => number): Draw =>
  (_, I, O, from) => {
    const std = Math.sqrt(variance(I, O))
    return () => from.normal() * std
  }

/** The entries of what is known as a whole. */
function each(values: Float64Array): () => number {
  let next = 0
  return () => values[next++]
}

const glorot = (I: number, O: number): number => 2 / (I + O)
const he = (I: number): number => 2 / I
const lecun = (I: number): number => 1 / I

/**
 * Rows or columns, whichever are fewer, orthonormal (Saxe et al. 2014): modified Gram–Schmidt on a normal matrix, each
 * vector orthogonalised twice, which holds orthogonality to rounding (Giraud et al. 2005).
 */
const orthogonal: Draw = (_, I, O, from) => {
  const count = Math.min(I, O)
  const length = Math.max(I, O)
  const vectors: Float64Array[] = []
  while (vectors.length < count) {
    const v = Float64Array.from({ length }, () => from.normal())
    for (let pass = 0; pass < 2; pass++)
      for (const u of vectors) {
        let dot = 0
        for (let i = 0; i < length; i++) dot += u[i] * v[i]
        for (let i = 0; i < length; i++) v[i] -= dot * u[i]
      }
    let square = 0
    for (let i = 0; i < length; i++) square += v[i] * v[i]
    const norm = Math.sqrt(square)
    if (norm < 1e-8) continue // a draw within rounding of the others' span: draw again
    for (let i = 0; i < length; i++) v[i] /= norm
    vectors.push(v)
  }
  const weights = new Float64Array(I * O)
  for (let k = 0; k < count; k++)
    for (let i = 0; i < length; i++) weights[I <= O ? k * O + i : i * O + k] = vectors[k][i]
  return each(weights)
}

const DRAWS: { readonly [K in InitializerSpec['kind']]: Draw<Extract<InitializerSpec, { kind: K }>> } = {
  zeros: () => () => 0,
  ones: () => () => 1,
  glorotUniform: uniformOf(glorot),
  glorotNormal: normalOf(glorot),
  heUniform: uniformOf(he),
  heNormal: normalOf(he),
  lecunUniform: uniformOf(lecun),
  lecunNormal: normalOf(lecun),
  orthogonal,
  uniform:
    ({ low, high }, _I, _O, from) =>
    () =>
      low + (high - low) * from.uniform(),
  normal:
    ({ std, mean }, _I, _O, from) =>
    () =>
      mean + std * from.normal(),
  constant:
    ({ value }) =>
    () =>
      value,
  values: ({ values, rows, columns }, I, O) => {
    const isVector = I === 1 && rows * columns === O
    if (!isVector && (rows !== I || columns !== O))
      throw new DownhillError(
        'ERR_SHAPE',
        `Expected initial values of ${I} × ${O} (inputs × units) but received ${rows} × ${columns}.`,
      )
    return each(values)
  },
}

/** Every name that may be given as a string. */
export const INITIALIZER_NAMES = (Object.keys(DRAWS) as InitializerSpec['kind'][]).filter(
  (kind): kind is InitializerName => !['uniform', 'normal', 'constant', 'values'].includes(kind),
)

/** A function that yields the I × O entries of a tensor, row by row. @throws ERR_SHAPE for values of another shape */
export function drawTensor(spec: InitializerSpec, I: number, O: number, from: Random): () => number {
  return (DRAWS[spec.kind] as Draw)(spec, I, O, from)
}

/** Uniform in [low, high). */
export function uniform(low: number, high: number): InitializerSpec {
  checkNumber(low, RANGES.any, 'low of uniform')
  checkNumber(high, RANGES.any, 'high of uniform')
  if (high < low) throw expected(`a number ≥ low (${low})`, 'high of uniform', high)
  return { kind: 'uniform', low, high }
}

/** Normal with standard deviation `std` ≥ 0 around `mean`. */
export function normal(std: number, mean = 0): InitializerSpec {
  checkNumber(std, RANGES.notNegative, 'std of normal')
  checkNumber(mean, RANGES.any, 'mean of normal')
  return { kind: 'normal', std, mean }
}

/** One value everywhere. */
export function constant(value: number): Extract<InitializerSpec, { kind: 'constant' }> {
  return { kind: 'constant', value: checkNumber(value, RANGES.any, 'value of constant') }
}

/**
 * A checked initializer: a name, what a factory returned, a Matrix of I × O, rows of numbers, or (for a bias) a flat
 * array.
 * @throws ERR_OPTION, ERR_SHAPE, ERR_DATA
 */
export function readInitializer(value: unknown, option = 'initializer'): InitializerSpec {
  if (typeof value === 'string') return { kind: checkName(value, INITIALIZER_NAMES, option) }
  if (typeof value === 'object' && value !== null) {
    if ('kind' in value) return readSpec(value as { kind: unknown }, option)
    const matrix = readValues(value)
    if (matrix) {
      const bad = matrix.values.findIndex((v) => !Number.isFinite(v))
      if (bad >= 0)
        throw new DownhillError(
          'ERR_DATA',
          `Expected finite numbers in ${option} but entry ${bad} is ${matrix.values[bad]}.`,
        )
      return matrix
    }
  }
  throw expected('an initializer such as "heNormal", normal(0.1) or a Matrix', option, value)
}

function readSpec(value: { kind: unknown }, option: string): InitializerSpec {
  const kind = checkName(value.kind, Object.keys(DRAWS) as InitializerSpec['kind'][], option)
  const given = value as Record<string, number>
  if (kind === 'uniform') return uniform(given.low, given.high)
  if (kind === 'normal') return normal(given.std, given.mean)
  if (kind === 'constant') return constant(given.value)
  if (kind === 'values') return value as InitializerSpec
  refuseUnknown(value, ['kind'], option)
  return { kind }
}

/** The three forms of explicit values, or null. */
function readValues(value: object): Extract<InitializerSpec, { kind: 'values' }> | null {
  const of = (values: ArrayLike<unknown>, rows: number, columns: number) => ({
    kind: 'values' as const,
    values: Float64Array.from(values as ArrayLike<number>, (v) => (typeof v === 'number' ? v : Number.NaN)),
    rows,
    columns,
  })
  if ('data' in value && 'rows' in value && 'columns' in value) {
    const { data, rows, columns, scale } = value as {
      data: ArrayLike<number>
      rows: number
      columns: number
      scale?: number
    }
    if (data?.length !== rows * columns)
      throw new DownhillError('ERR_SHAPE', `Expected ${rows} × ${columns} values but received ${data?.length}.`)
    const matrix = of(data, rows, columns)
    if (scale !== undefined) for (let i = 0; i < matrix.values.length; i++) matrix.values[i] *= scale
    return matrix
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const flat = value as unknown as ArrayLike<number>
    return of(flat, 1, flat.length)
  }
  if (!Array.isArray(value) || value.length === 0) return null
  if (!Array.isArray(value[0])) return of(value, 1, value.length)
  const columns = value[0].length
  const ragged = value.findIndex((row) => !Array.isArray(row) || row.length !== columns)
  if (ragged >= 0)
    throw new DownhillError('ERR_SHAPE', `Expected rows of ${columns} initial values but row ${ragged} differs.`)
  return of(value.flat(), value.length, columns)
}
