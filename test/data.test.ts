// What users pass as data: every kind read alike, every wrong one named; tasks, labels, standardization, metrics.
import assert from 'node:assert/strict'
import { createContext, runInContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { type FeatureOptions, type Inputs, readFeatures, selectRows } from '../dist/data/matrix'
import { fitStandardization, standardize, unstandardize } from '../dist/data/standardize'
import {
  type Coding,
  checkClasses,
  classIndices,
  countClasses,
  decodeOutputs,
  decodeProbabilities,
  encodeTargets,
  inferCoding,
  type Known,
  type Label,
  readPair,
  readTargets,
} from '../dist/data/targets'
import { defaultMetric, METRICS } from '../dist/metrics'

const nan = Number.NaN
const inf = Number.POSITIVE_INFINITY

// ---------------------------------------------------------------------------------------------------- features

/** The numbers a table stands for. */
const valuesOf = ({ x, scale }: { x: ArrayLike<number>; scale: number }): number[] => Array.from(x, (v) => v * scale)
const shapeOf = ({ rows, columns }: { rows: number; columns: number }): number[] => [rows, columns]

const six = [1, 2, 3, 4, 5, 6]
// biome-ignore format: one case a line
const KINDS: readonly { name: string; x: Inputs; options?: FeatureOptions }[] = [
  { name: 'number[][]', x: [[1, 2, 3], [4, 5, 6]] },
  { name: 'rows that are typed arrays', x: [Float64Array.of(1, 2, 3), Int8Array.of(4, 5, 6)] },
  { name: 'number[] of known inputs', x: six, options: { inputs: 3 } },
  { name: 'number[] of known rows', x: six, options: { rows: 2 } },
  ...[
    Float32Array,
    Float64Array,
    Int8Array,
    Int16Array,
    Int32Array,
    Uint8Array,
    Uint16Array,
    Uint32Array,
    Uint8ClampedArray,
  ].map((Kind) => ({ name: Kind.name, x: Kind.from(six), options: { inputs: 3 } })),
  { name: 'Buffer', x: Buffer.from(six), options: { inputs: 3 } },
  { name: 'an array of another realm', x: runInContext('Float32Array.of(1, 2, 3, 4, 5, 6)', createContext()), options: { inputs: 3 } },
  { name: 'Matrix of floats', x: { data: Float32Array.from(six), rows: 2, columns: 3 } },
  { name: 'Matrix of doubles', x: { data: Float64Array.from(six), rows: 2, columns: 3, scale: 1 } },
  { name: 'Matrix of bytes with a scale', x: { data: Uint8Array.of(2, 4, 6, 8, 10, 12), rows: 2, columns: 3, scale: 0.5 } },
  { name: 'a subarray', x: Float32Array.of(9, 9, 1, 2, 3, 4, 5, 6).subarray(2), options: { inputs: 3 } },
]

t.test('every kind of x reads as the same numbers, and is not written', async (t) => {
  for (const { name, x, options } of KINDS)
    for (const dtype of ['float32', 'float64'] as const) {
      const before = structuredClone(x)
      const table = readFeatures(x, { ...options, dtype })
      t.same([valuesOf(table), shapeOf(table)], [six, [2, 3]], `${name}, ${dtype}`)
      t.ok(table.x instanceof Float32Array || table.x instanceof Float64Array || table.x instanceof Uint8Array, name)
      t.same(structuredClone(x), before, name)
    }
})

t.test('floats and bytes pass through without a copy', async (t) => {
  for (const data of [
    Float32Array.from(six),
    Float64Array.from(six),
    Uint8Array.from(six),
    Uint8ClampedArray.from(six),
  ])
    for (const x of [data, { data, rows: 2, columns: 3 }] as Inputs[])
      t.equal(readFeatures(x, { inputs: 3 }).x.buffer, data.buffer, data.constructor.name)
})

t.test('a flat x: inputs decide, else the rows of y, else it is one column', async (t) => {
  const flat = Float64Array.from({ length: 12 }, (_, i) => i)
  for (const x of [flat, Array.from(flat)]) {
    t.same(shapeOf(readFeatures(x, { inputs: 4 })), [3, 4])
    t.same(shapeOf(readFeatures(x, { inputs: 4, rows: 3 })), [3, 4])
    t.same(shapeOf(readFeatures(x, { rows: 6 })), [6, 2])
    t.same(shapeOf(readFeatures(x)), [12, 1])
    t.throws(() => readFeatures(x, { inputs: 5 }), { code: 'ERR_SHAPE', message: /rows of 5 numbers in x but its 12/ })
    t.throws(() => readFeatures(x, { rows: 5 }), { code: 'ERR_SHAPE', message: /5 rows in x but its 12 numbers/ })
    t.throws(() => readFeatures(x, { inputs: 4, rows: 4 }), { code: 'ERR_SHAPE', message: /4 rows in x but it has 3/ })
  }
})

const detached = Float32Array.from(six)
structuredClone(detached.buffer, { transfer: [detached.buffer] })
interface Resizable extends ArrayBuffer {
  resize(length: number): void
}
const Shrinking = ArrayBuffer as unknown as new (length: number, options: { maxByteLength: number }) => Resizable
const resizable = new Shrinking(48, { maxByteLength: 48 })
const shrunk = new Float64Array(resizable, 0, 6)
resizable.resize(24)
const sparse: number[] = [1, 2]
sparse[5] = 6
const holed: number[][] = [[1]]
holed[2] = [3]
const overflow = new Float32Array(2 ** 20).fill(1)
overflow[3 * 1024 + 2] = nan

/** Everything that x must not be, for every function that reads one. */
// biome-ignore format: one case a line
const BAD_FEATURES: readonly { name: string; x: unknown; options?: FeatureOptions; code: string; message: RegExp }[] = [
  ...[undefined, null, true, 1, nan, 'x', Symbol('x'), 1n, {}, () => 1, new Map(), new Date(), Promise.resolve()].map(
    (x) => ({
      name: `${String(x)} of type ${typeof x}`,
      x,
      code: 'ERR_DATA',
      message: /^Expected an array of rows, .* for x but received/,
    }),
  ),
  { name: 'BigInt64Array', x: BigInt64Array.of(1n), code: 'ERR_DATA', message: /received a BigInt64Array/ },
  { name: 'DataView', x: new DataView(new ArrayBuffer(8)), code: 'ERR_DATA', message: /received a DataView/ },
  { name: 'ArrayBuffer', x: new ArrayBuffer(8), code: 'ERR_DATA', message: /received an object \(ArrayBuffer\)/ },
  { name: 'empty array', x: [], code: 'ERR_DATA', message: /at least one row in x but it is empty/ },
  { name: 'empty typed array', x: new Float32Array(0), code: 'ERR_DATA', message: /it is empty/ },
  { name: 'no columns', x: [[], []], code: 'ERR_SHAPE', message: /at least one column in x but row 0 is empty/ },
  { name: 'ragged, short', x: [[1, 2], [3]], code: 'ERR_SHAPE', message: /2 columns in every row of x.* row 1 .*has 1/ },
  { name: 'ragged, long', x: [[1], [2], [3, 4]], code: 'ERR_SHAPE', message: /row 2 .*has 2/ },
  { name: 'a row missing', x: holed, code: 'ERR_DATA', message: /row 1 .*is undefined/ },
  { name: 'a number among rows', x: [[1], 2], code: 'ERR_DATA', message: /every row of x to be an array.*row 1 .*is 2/ },
  { name: 'a row among numbers', x: [1, [2]], code: 'ERR_SHAPE', message: /row 1 .*is an array of 1/ },
  { name: 'three dimensions', x: [[[1, 2]]], code: 'ERR_SHAPE', message: /two dimensions.*row 0 .*is an array of 2/ },
  { name: 'NaN', x: [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, nan]], code: 'ERR_DATA', message: /^Expected finite numbers in x but row 3, column 2 \(counted from 0\) is NaN\.$/ },
  { name: 'Infinity', x: [[1, inf]], code: 'ERR_DATA', message: /row 0, column 1 .*is Infinity/ },
  { name: '-Infinity, flat', x: [1, 2, 3, -inf], options: { inputs: 2 }, code: 'ERR_DATA', message: /row 1, column 1 .*is -Infinity/ },
  { name: 'NaN in floats', x: overflow, options: { inputs: 1024 }, code: 'ERR_DATA', message: /row 3, column 2 .*is NaN/ },
  { name: 'Infinity in a Matrix', x: { data: Float64Array.of(1, inf), rows: 2, columns: 1 }, code: 'ERR_DATA', message: /row 1 .*is Infinity/ },
  { name: 'NaN in a typed row', x: [[1, 2], Float32Array.of(1, nan)], code: 'ERR_DATA', message: /row 1, column 1 .*is NaN/ },
  ...['1', null, undefined, true, 1n, {}, new Date(0), Symbol('s')].map((entry) => ({
    name: `the entry ${String(entry)} of type ${typeof entry}`,
    x: [[1, entry]],
    code: 'ERR_DATA',
    message: /^Expected finite numbers in x but row 0, column 1 \(counted from 0\) is /,
  })),
  { name: 'sparse', x: sparse, code: 'ERR_DATA', message: /row 2 .*is undefined/ },
  { name: 'beyond float32', x: [3.5e38], code: 'ERR_DATA', message: /within float32's range in x but row 0 .*is 3.5e\+38/ },
  { name: 'doubles beyond float32', x: Float64Array.of(1, -1e39), code: 'ERR_DATA', message: /row 1 .*is -1e\+39/ },
  { name: 'detached', x: detached, options: { inputs: 3 }, code: 'ERR_DATA', message: /Float32Array whose buffer was detached/ },
  { name: 'detached in a Matrix', x: { data: detached, rows: 2, columns: 3 }, code: 'ERR_DATA', message: /detached/ },
  { name: 'shrunk', x: shrunk, options: { inputs: 3 }, code: 'ERR_DATA', message: /detached or has shrunk/ },
  { name: 'shrunk in a Matrix', x: { data: shrunk, rows: 2, columns: 3 }, code: 'ERR_DATA', message: /has shrunk/ },
  ...[0, -1, 1.5, nan, inf, '2', null, undefined].flatMap((size) => [
    {
      name: `rows ${size}`,
      x: { data: new Float32Array(2), rows: size, columns: 1 },
      code: 'ERR_SHAPE',
      message: /positive integer for rows of x/,
    },
    {
      name: `columns ${size}`,
      x: { data: new Float32Array(2), rows: 1, columns: size },
      code: 'ERR_SHAPE',
      message: /positive integer for columns of x/,
    },
  ]),
  { name: 'too few entries', x: { data: new Float32Array(5), rows: 2, columns: 3 }, code: 'ERR_SHAPE', message: /2 × 3 = 6 entries in data of x but it has 5/ },
  { name: 'too many entries', x: { data: new Uint8Array(7), rows: 2, columns: 3 }, code: 'ERR_SHAPE', message: /it has 7/ },
  { name: 'sizes that overflow', x: { data: new Float32Array(4), rows: 2 ** 53, columns: 2 ** 53 }, code: 'ERR_SHAPE', message: /it has 4/ },
  ...[0, -1, nan, inf, '1', null, true].map((scale) => ({
    name: `scale ${scale}`,
    x: { data: new Uint8Array(1), rows: 1, columns: 1, scale },
    code: 'ERR_DATA',
    message: /positive number for scale of x/,
  })),
  { name: 'a scale that overflows', x: { data: Uint8Array.of(1, 200), rows: 2, columns: 1, scale: 1e37 }, code: 'ERR_DATA', message: /row 1 .*is 2e\+39/ },
  ...[[1], 'ab', null, undefined, new DataView(new ArrayBuffer(1)), BigUint64Array.of(1n)].map((data) => ({
    name: `data ${Object.prototype.toString.call(data)}`,
    x: { data, rows: 1, columns: 1 },
    code: 'ERR_DATA',
    message: /Uint8Array for data of x but received/,
  })),
  { name: 'columns ≠ inputs', x: [[1, 2]], options: { inputs: 3 }, code: 'ERR_SHAPE', message: /3 columns in x but it has 2/ },
  { name: 'rows ≠ rows of y', x: [[1, 2]], options: { rows: 3 }, code: 'ERR_SHAPE', message: /3 rows in x but it has 1/ },
]

t.test('every wrong x is one sentence that names the place', async (t) => {
  for (const { name, x, options, code, message } of BAD_FEATURES)
    t.throws(() => readFeatures(x, options), { name: 'DownhillError', code, message }, name)
})

t.test('float64 takes what float32 cannot', async (t) => {
  t.same(valuesOf(readFeatures([1e300, -1e39], { dtype: 'float64' })), [1e300, -1e39])
  const edge = 2 ** 128 - 2 ** 103 // rounds to Infinity; the double before it to the largest float32
  t.throws(() => readFeatures([edge]), { code: 'ERR_DATA' })
  t.equal(readFeatures([edge - 2 ** 75]).x[0], 3.4028234663852886e38)
  const nearMax = { data: Float64Array.of(1.7e308), rows: 1, columns: 1, scale: 2 }
  t.throws(() => readFeatures(nearMax, { dtype: 'float64' }), { code: 'ERR_DATA' })
})

t.test('anything at all is read or refused with a code', async () => {
  const anything = fc.oneof(
    fc.anything({ withBigInt: true, withTypedArray: true, withSparseArray: true, withNullPrototype: true }),
    fc.array(fc.array(fc.double())),
    fc.record(
      { data: fc.float64Array(), rows: fc.anything(), columns: fc.nat(), scale: fc.anything() },
      { requiredKeys: [] },
    ),
  )
  fc.assert(
    fc.property(anything, (x) => {
      for (const read of [() => readFeatures(x), () => inferCoding(readTargets(x))])
        try {
          read()
        } catch (error) {
          assert.equal((error as Error).name, 'DownhillError', String(error))
        }
    }),
    { numRuns: 5000 },
  )
})

t.test('rows are selected in the order asked for, bytes and scale kept', async (t) => {
  const table = readFeatures({ data: Uint8Array.from(six), rows: 3, columns: 2, scale: 0.5 })
  const selected = selectRows(table, Uint32Array.of(2, 0, 2))
  t.same(
    [valuesOf(selected), shapeOf(selected)],
    [
      [2.5, 3, 0.5, 1, 2.5, 3],
      [3, 2],
    ],
  )
  t.ok(selected.x instanceof Uint8Array)
})

// ---------------------------------------------------------------------------------------------------- tasks

const oneHot = [
  [1, 0, 0],
  [0, 0, 1],
  [0, 1, 0],
]
const multiHot = [
  [1, 0, 1],
  [0, 0, 0],
]
const digits = Array.from({ length: 40 }, (_, i) => i % 10)

/** y and what is known → the coding; in the order of the rules in api.md. */
// biome-ignore format: one case a line
const CODINGS: readonly {
  name: string
  y: unknown
  known?: Known
  task: string
  outputs: number
  classes?: unknown[]
}[] = [
  // given
  { name: 'task decides over y', y: [0, 1], known: { task: 'regression' }, task: 'regression', outputs: 1 },
  { name: 'task decides over the loss', y: [0, 1], known: { task: 'regression', lossTask: 'binary' }, task: 'regression', outputs: 1 },
  { name: 'binary of −1 and 1', y: [1, -1, 1], known: { task: 'binary' }, task: 'binary', outputs: 1, classes: [-1, 1] },
  { name: 'binary of one label', y: ['a', 'a'], known: { task: 'binary' }, task: 'binary', outputs: 1, classes: ['a'] },
  { name: 'binary of zeros', y: [0, 0], known: { task: 'binary' }, task: 'binary', outputs: 1, classes: [0, 1] },
  { name: 'binary of probabilities', y: [0.2, 0.7, 1], known: { task: 'binary' }, task: 'binary', outputs: 1, classes: [0, 1] },
  { name: 'binary of two columns', y: [[1, 0], [0, 1]], known: { task: 'binary' }, task: 'binary', outputs: 1, classes: [0, 1] },
  { name: 'binary with two outputs', y: ['a', 'b'], known: { task: 'binary', outputs: 2 }, task: 'binary', outputs: 2, classes: ['a', 'b'] },
  { name: 'multiclass of any numbers', y: [10, 2.5, 7], known: { task: 'multiclass' }, task: 'multiclass', outputs: 3, classes: [2.5, 7, 10] },
  { name: 'multiclass of two', y: [0, 1], known: { task: 'multiclass' }, task: 'multiclass', outputs: 2, classes: [0, 1] },
  { name: 'binary under crossEntropy', y: [1, 0], known: { task: 'binary', lossTask: 'multiclass' }, task: 'binary', outputs: 2, classes: [0, 1] },
  { name: 'multiclass of one label', y: [4, 4], known: { task: 'multiclass' }, task: 'multiclass', outputs: 1, classes: [4] },
  { name: 'multilabel of one-hot rows', y: oneHot, known: { task: 'multilabel' }, task: 'multilabel', outputs: 3 },
  // from loss or output activation
  { name: 'binaryCrossEntropy', y: [0, 0.5, 1], known: { lossTask: 'binary' }, task: 'binary', outputs: 1, classes: [0, 1] },
  { name: 'binaryCrossEntropy, rows', y: multiHot, known: { lossTask: 'binary' }, task: 'multilabel', outputs: 3 },
  { name: 'binaryCrossEntropy, real rows', y: [[0.1, 0.4]], known: { lossTask: 'binary' }, task: 'multilabel', outputs: 2 },
  { name: 'binaryCrossEntropy, K outputs', y: digits, known: { lossTask: 'binary', outputs: 10 }, task: 'multiclass', outputs: 10, classes: digits.slice(0, 10) },
  { name: 'mse on labels', y: ['a', 'b'], known: { lossTask: 'regression' }, task: 'binary', outputs: 1, classes: ['a', 'b'] },
  { name: 'mse on 0 and 1', y: [0, 1], known: { lossTask: 'regression' }, task: 'regression', outputs: 1 },
  { name: 'crossEntropy, two classes', y: [0, 1, 1], known: { lossTask: 'multiclass' }, task: 'multiclass', outputs: 2, classes: [0, 1] },
  { name: 'crossEntropy, probabilities', y: [[0.2, 0.8]], known: { lossTask: 'multiclass' }, task: 'multiclass', outputs: 2, classes: [0, 1] },
  { name: 'sigmoid', y: [2, 1], known: { activationTask: 'binary' }, task: 'binary', outputs: 1, classes: [1, 2] },
  { name: 'sigmoid on real y', y: [0.1, 0.4], known: { activationTask: 'binary', outputs: 1 }, task: 'regression', outputs: 1 },
  { name: 'sigmoid on counts', y: [1, 2, 3], known: { activationTask: 'binary', outputs: 1 }, task: 'regression', outputs: 1 },
  { name: 'softmax', y: [5, 9], known: { activationTask: 'multiclass' }, task: 'multiclass', outputs: 2, classes: [5, 9] },
  { name: 'softmax on probabilities', y: [[0.5, 0.5]], known: { activationTask: 'multiclass' }, task: 'multiclass', outputs: 2, classes: [0, 1] },
  { name: 'softmax on real rows', y: [[3.5, -1]], known: { activationTask: 'multiclass' }, task: 'regression', outputs: 2 },
  // from y
  { name: 'two strings', y: ['dog', 'cat', 'dog'], task: 'binary', outputs: 1, classes: ['cat', 'dog'] },
  { name: 'three strings', y: ['b', 'a', 'B'], task: 'multiclass', outputs: 3, classes: ['B', 'a', 'b'] },
  { name: 'two strings, two outputs', y: ['b', 'a'], known: { outputs: 2 }, task: 'multiclass', outputs: 2, classes: ['a', 'b'] },
  { name: 'booleans', y: [true, false], task: 'binary', outputs: 1, classes: [false, true] },
  { name: 'booleans, all true', y: [true, true], task: 'binary', outputs: 1, classes: [false, true] },
  { name: '0 and 1', y: [1, 0, 0], task: 'binary', outputs: 1, classes: [0, 1] },
  { name: '0 and 1 in bytes', y: Uint8Array.of(1, 0), task: 'binary', outputs: 1, classes: [0, 1] },
  { name: '0 and 1 in rows', y: [[1], [0]], task: 'binary', outputs: 1, classes: [0, 1] },
  { name: '0 and −0', y: [0, -0], task: 'binary', outputs: 1, classes: [0, 1] },
  { name: '0 and 1, two outputs', y: [1, 0, 0], known: { outputs: 2 }, task: 'multiclass', outputs: 2, classes: [0, 1] },
  { name: 'one-hot', y: oneHot, task: 'multiclass', outputs: 3, classes: [0, 1, 2] },
  { name: 'one-hot bytes', y: { data: Uint8Array.of(255, 0, 0, 255), rows: 2, columns: 2, scale: 1 / 255 }, task: 'multiclass', outputs: 2, classes: [0, 1] },
  { name: 'multi-hot', y: multiHot, task: 'multilabel', outputs: 3 },
  { name: 'real', y: [0, 1, 2.5], task: 'regression', outputs: 1 },
  { name: 'real, 10 outputs known, flat rows', y: Array.from({ length: 20 }, (_, i) => i / 7), known: { outputs: 10 }, task: 'regression', outputs: 10 },
  { name: 'real rows with one 1 each', y: [[1, 0.5], [0.5, 1]], task: 'regression', outputs: 2 },
  { name: 'integer rows', y: [[3, 4]], task: 'regression', outputs: 2 },
  { name: 'class numbers', y: digits, task: 'multiclass', outputs: 10, classes: digits.slice(0, 10) },
  { name: 'class numbers in Int32', y: Int32Array.from(digits), task: 'multiclass', outputs: 10, classes: digits.slice(0, 10) },
  { name: 'class numbers, some missing', y: [9, 0, 3], known: { outputs: 10 }, task: 'multiclass', outputs: 10, classes: digits.slice(0, 10) },
  { name: 'labels 1 … 3 of 3 outputs', y: [1, 3, 2], known: { outputs: 3 }, task: 'multiclass', outputs: 3, classes: [1, 2, 3] },
  { name: 'integers, one output', y: [3, 5, 2, 2], known: { outputs: 1 }, task: 'regression', outputs: 1 },
  { name: 'class numbers, one output', y: digits, known: { outputs: 1 }, task: 'regression', outputs: 1 },
  // the option classes
  { name: 'classes fix order and unseen labels', y: ['dog'], known: { classes: ['dog', 'cat'] }, task: 'binary', outputs: 1, classes: ['dog', 'cat'] },
  { name: 'three classes', y: [3, 1], known: { classes: [3, 2, 1] }, task: 'multiclass', outputs: 3, classes: [3, 2, 1] },
  { name: 'two classes, two outputs', y: ['a'], known: { classes: ['a', 'b'], outputs: 2 }, task: 'multiclass', outputs: 2, classes: ['a', 'b'] },
  { name: 'two classes, crossEntropy', y: ['a'], known: { classes: ['a', 'b'], lossTask: 'multiclass' }, task: 'multiclass', outputs: 2, classes: ['a', 'b'] },
  { name: 'classes name columns', y: oneHot, known: { classes: ['r', 'g', 'b'] }, task: 'multiclass', outputs: 3, classes: ['r', 'g', 'b'] },
]

t.test('task, outputs and classes follow the rules of the contract', async (t) => {
  for (const { name, y, known = {}, task, outputs, classes = null } of CODINGS) {
    const rows = name.includes('flat rows') ? 2 : undefined
    const coding = inferCoding(readTargets(y, { rows, outputs: known.outputs }), known)
    t.same(coding, { task, outputs, classes }, name)
    t.same(JSON.parse(JSON.stringify(coding)), coding, 'plain data')
  }
})

// biome-ignore format: one case a line
const BAD_TARGETS: readonly {
  name: string
  y: unknown
  known?: Known
  rows?: number
  code: string
  message: RegExp
}[] = [
  { name: 'integers that may be either', y: [3, 5, 2], code: 'ERR_OPTION', message: /^Expected the option task/ },
  { name: 'class numbers, too few rows', y: [0, 1, 2], code: 'ERR_OPTION', message: /option task/ },
  { name: 'class numbers with a gap', y: [0, 0, 2, 2, 0, 2], code: 'ERR_OPTION', message: /option task/ },
  { name: 'mixed labels', y: ['a', 1], code: 'ERR_DATA', message: /strings as in row 0, but row 1 .*is 1 of type number/ },
  { name: 'mixed booleans', y: [true, 'b'], code: 'ERR_DATA', message: /booleans as in row 0, but row 1 .*is "b"/ },
  { name: 'a missing label', y: ['a', undefined], code: 'ERR_DATA', message: /row 1 .*is undefined/ },
  { name: 'a string among numbers', y: [0, '1'], code: 'ERR_DATA', message: /finite numbers in y but row 1 .*is "1"/ },
  { name: 'NaN', y: [0, nan], code: 'ERR_DATA', message: /in y but row 1 .*is NaN/ },
  { name: 'NaN in rows', y: [[0, 1], [nan, 1]], code: 'ERR_DATA', message: /in y but row 1, column 0 .*is NaN/ },
  { name: 'empty', y: [], code: 'ERR_DATA', message: /row in y but it is empty/ },
  ...[undefined, null, 'yes', 1, true, {}, () => 1].map((y) => ({
    name: `${y}`,
    y,
    code: 'ERR_DATA',
    message: / for y but received/,
  })),
  { name: 'bigint labels', y: [1n, 2n], code: 'ERR_DATA', message: /row 0 .*is 1n of type bigint/ },
  { name: 'detached', y: detached, code: 'ERR_DATA', message: /in y but it is a Float32Array whose buffer was detached/ },
  { name: 'shorter than x', y: [0, 1], rows: 3, code: 'ERR_SHAPE', message: /3 values in y, one for each row of x, but it has 2/ },
  { name: 'rows fewer than x', y: [[0], [1]], rows: 3, code: 'ERR_SHAPE', message: /3 rows in y, as in x, but it has 2/ },
  { name: 'strings fewer than x', y: ['a', 'b'], rows: 3, code: 'ERR_SHAPE', message: /3 values in y/ },
  { name: 'three labels, binary', y: ['a', 'b', 'c'], known: { task: 'binary' }, code: 'ERR_DATA', message: /two classes in y .*found 3: "a", "b", "c"/ },
  { name: 'three numbers, binaryCrossEntropy', y: [0, 1, 2], known: { lossTask: 'binary' }, code: 'ERR_DATA', message: /two classes/ },
  { name: 'three outputs, binary', y: [0, 1], known: { task: 'binary', outputs: 3 }, code: 'ERR_OPTION', message: /1 or 2 outputs/ },
  { name: 'three columns, binary', y: oneHot, known: { task: 'binary' }, code: 'ERR_SHAPE', message: /2 columns in y but it has 3/ },
  { name: 'strings, regression', y: ['a'], known: { task: 'regression' }, code: 'ERR_DATA', message: /numbers in y for regression but row 0 .*is "a"/ },
  { name: 'booleans, multilabel', y: [true], known: { task: 'multilabel' }, code: 'ERR_DATA', message: /numbers in y for multilabel/ },
  { name: 'columns ≠ outputs', y: [[1.5, 2]], known: { outputs: 3 }, code: 'ERR_SHAPE', message: /3 columns in y, one for each output, but it has 2/ },
  { name: 'one column, three outputs', y: [[1.5], [2]], known: { outputs: 3 }, code: 'ERR_SHAPE', message: /3 columns in y/ },
  { name: 'a class number too large', y: [0, 1, 2, 3], known: { outputs: 3 }, code: 'ERR_DATA', message: /class numbers 0 … 2 in y, .*found 3/ },
  { name: 'a negative class number', y: [0, 1, -1, 2], known: { outputs: 3 }, code: 'ERR_DATA', message: /0 … 2 in y, .*found -1/ },
  { name: 'labels fewer than outputs', y: ['a', 'b'], known: { outputs: 3 }, code: 'ERR_SHAPE', message: /3 classes.*found 2 \("a", "b"\); the option classes/ },
  { name: 'labels more than outputs', y: ['a', 'b', 'c'], known: { outputs: 2 }, code: 'ERR_SHAPE', message: /2 classes.*found 3/ },
  { name: 'classes ≠ columns', y: oneHot, known: { classes: ['a', 'b'] }, code: 'ERR_SHAPE', message: /3 classes, one for each output, but found 2/ },
  { name: 'classes ≠ outputs', y: ['a'], known: { classes: ['a', 'b', 'c'], outputs: 2 }, code: 'ERR_SHAPE', message: /2 classes/ },
  { name: 'classes and regression', y: [1.5], known: { task: 'regression', classes: ['a', 'b'] }, code: 'ERR_OPTION', message: /no classes with task regression/ },
  { name: 'three classes, binary', y: ['a'], known: { task: 'binary', classes: ['a', 'b', 'c'] }, code: 'ERR_OPTION', message: /two classes/ },
]

t.test('every y that makes no task is one sentence', async (t) => {
  for (const { name, y, known = {}, rows, code, message } of BAD_TARGETS)
    t.throws(
      () => inferCoding(readTargets(y, { rows, outputs: known.outputs }), known),
      { name: 'DownhillError', code, message },
      name,
    )
})

t.test('the option classes', async (t) => {
  for (const classes of [
    ['a', 'b'],
    [2, 1, 0],
    [true, false],
  ])
    t.same(checkClasses(classes), classes)
  for (const classes of [
    'ab',
    ['a'],
    [],
    null,
    3,
    {},
    [1, 'a'],
    ['a', null],
    [nan, 1],
    [1, inf],
    [['a'], ['b']],
    [1n, 2n],
    ['a', 'b', 'a'],
  ])
    t.throws(() => checkClasses(classes), { name: 'DownhillError', code: 'ERR_OPTION', message: / for classes but / })
})

t.test('a flat x of unknown width takes its rows from y, any other gives them', async (t) => {
  const flat = readPair([1, 2, 3, 4], [0, 1])
  t.same([shapeOf(flat.features), flat.targets.rows], [[2, 2], 2])
  const wide = readPair([1, 2, 3, 4], [1.5, 2, 3, 4, 5, 6], { inputs: 2, outputs: 3 })
  t.same(
    [shapeOf(wide.features), shapeOf(wide.targets)],
    [
      [2, 2],
      [2, 3],
    ],
  )
  t.throws(() => readPair([[1], [2], [3]], [0, 1]), { code: 'ERR_SHAPE', message: /3 values in y/ })
  t.throws(() => readPair([1, 2, 3], [0, 1]), { code: 'ERR_SHAPE', message: /2 rows in x but its 3 numbers/ })
})

// ---------------------------------------------------------------------------------------------------- there and back

const code = (y: unknown, coding: Coding, form: 'index' | 'dense'): { y: number[]; targets: number } => {
  const { y: encoded, targets } = encodeTargets(readTargets(y), coding, form)
  return { y: Array.from(encoded), targets }
}
const animals: Coding = { task: 'multiclass', outputs: 3, classes: ['cat', 'dog', 'owl'] }
const yesNo: Coding = { task: 'binary', outputs: 1, classes: ['no', 'yes'] }
const bits: Coding = { task: 'binary', outputs: 1, classes: [0, 1] }

t.test('labels become class numbers or one-hot rows', async (t) => {
  t.same(code(['owl', 'cat'], animals, 'index'), { y: [2, 0], targets: 1 })
  t.same(code(['owl', 'cat'], animals, 'dense'), { y: [0, 0, 1, 1, 0, 0], targets: 3 })
  t.same(code(oneHot, animals, 'index'), { y: [0, 2, 1], targets: 1 })
  t.same(code(oneHot, animals, 'dense'), { y: oneHot.flat(), targets: 3 })
  t.same(code([[0.25, 0.5, 0.25]], animals, 'index'), { y: [0.25, 0.5, 0.25], targets: 3 }, 'probabilities stay')
  for (const form of ['index', 'dense'] as const) {
    t.same(code(['yes', 'no'], yesNo, form), { y: [1, 0], targets: 1 })
    t.same(code([[0.25, 0.75]], yesNo, form), { y: [0.75], targets: 1 }, 'the probability of the second class')
    t.same(code([0, 0.5, 1], bits, form), { y: [0, 0.5, 1], targets: 1 })
  }
  t.same(code(['b', 'a'], { task: 'binary', outputs: 2, classes: ['a', 'b'] }, 'dense'), {
    y: [0, 1, 1, 0],
    targets: 2,
  })
  t.same(code([7, 7], { task: 'binary', outputs: 1, classes: [7] }, 'index'), { y: [0, 0], targets: 1 })
  t.same(
    code([-0], bits, 'index').y.map((v) => Object.is(v, -0)),
    [true],
  )
})

t.test('what a coding does not know is refused by name', async (t) => {
  const refuse = (y: unknown, coding: Coding, code: string, message: RegExp): void => {
    t.throws(() => encodeTargets(readTargets(y), coding, 'index'), { name: 'DownhillError', code, message })
    if (coding.task !== 'regression') t.throws(() => encodeTargets(readTargets(y), coding, 'dense'), { code, message })
  }
  refuse(['cat', 'emu'], animals, 'ERR_DATA', /classes "cat", "dog", "owl" in y but row 1 .*is "emu"/)
  refuse([0], animals, 'ERR_DATA', /row 0 .*is 0/)
  refuse([true], animals, 'ERR_DATA', /row 0 .*is true/)
  refuse(['yes', 'maybe'], yesNo, 'ERR_DATA', /"no", "yes" in y but row 1 .*is "maybe"/)
  refuse([0, 2], bits, 'ERR_DATA', /0, 1 in y but row 1 .*is 2/)
  refuse([0, -0.1], bits, 'ERR_DATA', /row 1 .*is -0.1/)
  refuse(
    [3.5],
    { task: 'multiclass', outputs: 10, classes: digits.slice(0, 10) },
    'ERR_DATA',
    /0, 1, 2, … 9 in y .*is 3.5/,
  )
  refuse([[1, 0]], animals, 'ERR_SHAPE', /1 or 3 columns in y but it has 2/)
  refuse([[1, 0, 2]], animals, 'ERR_DATA', /between 0 and 1 in y but row 0, column 2 .*is 2/)
  refuse([[0.5, 0.6]], yesNo, 'ERR_DATA', /sum to 1 but row 0 .*is 0.5, 0.6/)
  refuse([[1, 2]], { task: 'multilabel', outputs: 2, classes: null }, 'ERR_DATA', /between 0 and 1/)
  refuse([[1, 0, 1]], { task: 'multilabel', outputs: 2, classes: null }, 'ERR_SHAPE', /2 columns/)
  refuse(['a'], { task: 'regression', outputs: 1, classes: null }, 'ERR_DATA', /numbers in y for regression/)
  refuse(
    [1e39],
    { task: 'regression', outputs: 1, classes: null },
    'ERR_DATA',
    /float32's range in y but row 0 .*is 1e\+39/,
  )
})

t.test('numbers pass through, in the dtype asked for', async (t) => {
  const real: Coding = { task: 'regression', outputs: 1, classes: null }
  const y = Float64Array.of(0.1, 1e300)
  t.equal(encodeTargets(readTargets(y), real, 'dense', 'float64').y, y)
  t.same(encodeTargets(readTargets([0.1]), real, 'dense').y, Float32Array.of(0.1))
  const scaled = { data: Uint8Array.of(1, 2), rows: 2, columns: 1, scale: 0.25 }
  t.same(encodeTargets(readTargets(scaled), real, 'dense').y, Float32Array.of(0.25, 0.5))
})

t.test('outputs become the caller’s labels or numbers', async (t) => {
  const decode = (outputs: number[], rows: number, coding: Coding) =>
    decodeOutputs(Float32Array.from(outputs), rows, coding)
  t.same(decode([0.5, 0.25, 0.75], 3, yesNo), ['yes', 'no', 'yes'])
  t.same(decode([0.25, 0.5, 0.25, 0.5, 0.5, 0], 2, animals), ['dog', 'cat'], 'the first of equals')
  t.same(decode([0.75, 0.25], 2, { task: 'binary', outputs: 1, classes: [false, true] }), [true, false])
  t.same(decode([0.9, 0.1], 2, { task: 'binary', outputs: 1, classes: [7] }), [7, 7], 'one label knows no other')
  t.same(decode([0.2, 0.8], 1, { task: 'binary', outputs: 2, classes: ['a', 'b'] }), ['b'])
  t.same(decode([0.5, 0.25], 1, { task: 'multilabel', outputs: 2, classes: null }), {
    data: Uint8Array.of(1, 0),
    rows: 1,
    columns: 2,
  })
  t.same(decode([0.5, 0.25], 2, { task: 'regression', outputs: 1, classes: null }), Float64Array.of(0.5, 0.25))
  t.same(decode([0.5, 0.25], 1, { task: 'regression', outputs: 2, classes: null }), {
    data: Float32Array.of(0.5, 0.25),
    rows: 1,
    columns: 2,
  })
})

t.test('probabilities: the second of two classes, a row of many', async (t) => {
  const p = Float32Array.of(0.25, 0.75, 0.5, 0.5)
  t.equal(decodeProbabilities(p, 4, yesNo), p)
  t.same(decodeProbabilities(p, 2, { task: 'multiclass', outputs: 2, classes: ['a', 'b'] }), Float32Array.of(0.75, 0.5))
  t.same(decodeProbabilities(p, 2, { task: 'multilabel', outputs: 2, classes: null }), { data: p, rows: 2, columns: 2 })
  t.same(decodeProbabilities(p.subarray(1), 1, animals), { data: p.subarray(1), rows: 1, columns: 3 })
  t.throws(() => decodeProbabilities(p, 4, { task: 'regression', outputs: 1, classes: null }), { code: 'ERR_OPTION' })
})

t.test('any labels: coded, one-hot, decoded: the same values of the same types', async () => {
  const labels = fc.oneof(
    fc.array(fc.string(), { minLength: 2 }),
    fc.array(fc.boolean(), { minLength: 1 }),
    fc.array(fc.integer(), { minLength: 2 }),
    fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 2 }),
  )
  fc.assert(
    fc.property(labels, (y: readonly Label[]) => {
      const read = readTargets(y)
      const coding = inferCoding(read, { task: 'multiclass' })
      const { y: dense } = encodeTargets(read, coding, 'dense')
      const expected = y.map((label) => (label === 0 ? 0 : label)) // −0 is the class 0
      assert.deepEqual(decodeOutputs(dense, y.length, coding), expected)
      const indices = classIndices(read, coding) as Uint32Array
      assert.deepEqual(
        Array.from(indices, (k) => coding.classes?.[k]),
        expected,
      )
      const counts = countClasses(indices, coding.outputs)
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        y.length,
      )
      // Read again in another order, the classes are the same.
      assert.deepEqual(inferCoding(readTargets([...y].reverse()), { task: 'multiclass' }), coding)
    }),
    { numRuns: 1000 },
  )
})

// ---------------------------------------------------------------------------------------------------- standardize

const columnsOf = (values: ArrayLike<number>, columns: number, c: number): number[] =>
  Array.from(values).filter((_, i) => i % columns === c)
const meanOf = (v: number[]): number => v.reduce((s, x) => s + x / v.length, 0)
const stdOf = (v: number[]): number => Math.sqrt(meanOf(v.map((x) => (x - meanOf(v)) ** 2)))

t.test('mean and population std of each column, over the rows asked for', async (t) => {
  const table = readFeatures([
    [1, 10, 5],
    [3, 10, -1],
    [100, 10, 0],
  ])
  t.same(fitStandardization(table, Float64Array.of(1, 1, 0)), { mean: [2, 10, 2], std: [1, 1, 3] })
  const bytes = readFeatures({ data: Uint8Array.of(0, 255), rows: 2, columns: 1, scale: 2 / 255 })
  t.same(fitStandardization(bytes), { mean: [1], std: [1] })
  t.same(standardize(bytes, { mean: [1], std: [1] }).x, Float32Array.of(-1, 1))
})

t.test('a constant column is constant however its value rounds, and comes out as 0', async (t) => {
  for (const value of [0.1, 1 / 3, 1e300, -1e-300, 5e-324, 0]) {
    const table = readFeatures(new Float64Array(1001).fill(value), { dtype: 'float64' })
    const fitted = fitStandardization(table)
    t.same(fitted, { mean: [value], std: [1] }, `${value}`)
    t.ok(standardize(table, fitted).x.every((z: number) => z === 0))
  }
  const smallest = readFeatures([0, 5e-324], { dtype: 'float64' })
  t.ok(fitStandardization(smallest).std[0] > 0, 'two subnormal values are not one')
})

t.test('standardized columns have mean 0 and std 1, and come back', async () => {
  const centre = fc.constantFrom(0, 1, -1e6, 1e12, 1e-200, 1e200)
  const spread = fc.constantFrom(1, 1e-3, 1e6, 1e-150, 1e150)
  const unit = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 3, maxLength: 40 })
  fc.assert(
    fc.property(unit, centre, spread, (noise, at, by) => {
      const values = noise.map((v) => at + by * v)
      const range = Math.max(...values) - Math.min(...values)
      const table = readFeatures(values, { dtype: 'float64' })
      const fitted = fitStandardization(table)
      const { x } = standardize(table, fitted, 'float64')
      const back = unstandardize(x, fitted)
      for (const [i, value] of values.entries())
        assert.ok(Math.abs(back[i] - value) <= 1e-14 * (Math.abs(value) + range), `${back[i]} ≠ ${value}`)
      if (range <= 1e-9 * Math.abs(at) || range < 1e-290) return
      const column = columnsOf(x, 1, 0)
      assert.ok(Math.abs(meanOf(column)) < 1e-6, `mean ${meanOf(column)}`)
      assert.ok(Math.abs(stdOf(column) - 1) < 1e-6, `std ${stdOf(column)}`)
    }),
    { numRuns: 1000 },
  )
})

t.test('what cannot be standardized', async (t) => {
  const apart = readFeatures(
    [
      [1, 1.5e308],
      [1, -1.5e308],
    ],
    { dtype: 'float64' },
  )
  t.throws(() => fitStandardization(apart), { code: 'ERR_DATA', message: /column 1 \(counted from 0\)/ })
  const narrow = { mean: [0], std: [1e-30] }
  t.throws(() => standardize(readFeatures([1, 1e30]), narrow), {
    code: 'ERR_DATA',
    message: /row 1 .*standardized is 1.*e\+60/,
  })
  t.throws(() => standardize(readFeatures([[1, 2]]), narrow), {
    code: 'ERR_SHAPE',
    message: /1 columns in x but it has 2/,
  })
})

// ---------------------------------------------------------------------------------------------------- metrics

const measure = (
  name: 'accuracy' | 'r2',
  coding: Coding,
  truth: number[],
  targets: number,
  outputs: number[],
): number =>
  (METRICS.get(name)?.compute({
    truth: Float32Array.from(truth),
    targets,
    outputs: Float32Array.from(outputs),
    rows: truth.length / targets,
    coding,
    weights: null,
  }) as number | undefined) ?? nan

t.test('accuracy and r2 are scikit-learn’s', async (t) => {
  t.equal(measure('accuracy', bits, [0, 1, 1, 0.75], 1, [0.2, 0.5, 0.4, 0.9]), 0.75)
  t.equal(measure('accuracy', animals, [0, 2], 1, [0.5, 0.2, 0.3, 0.6, 0.3, 0.1]), 0.5)
  t.equal(measure('accuracy', animals, [1, 0, 0, 0, 0, 1], 3, [0.5, 0.2, 0.3, 0.1, 0.3, 0.6]), 1)
  const lone: Coding = { task: 'binary', outputs: 1, classes: ['only'] }
  t.equal(measure('accuracy', lone, [0, 0], 1, [0.1, 0.9]), 1, 'one label is always right, as predict says')
  const tags: Coding = { task: 'multilabel', outputs: 2, classes: null }
  t.equal(measure('accuracy', tags, [1, 0, 1, 1], 2, [0.9, 0.1, 0.9, 0.1]), 0.5, 'every label of a row')
  const one: Coding = { task: 'regression', outputs: 1, classes: null }
  // sklearn.metrics.r2_score([3, -0.5, 2, 7], [2.5, 0, 2, 8]) of its documentation
  t.match(measure('r2', one, [3, -0.5, 2, 7], 1, [2.5, 0, 2, 8]).toFixed(15), '0.948608137044968'.slice(0, 15))
  const two: Coding = { task: 'regression', outputs: 2, classes: null }
  // r2_score([[0.5, 1], [-1, 1], [7, -6]], [[0, 2], [-1, 2], [8, -5]]) = 0.938…, uniform average
  t.match(measure('r2', two, [0.5, 1, -1, 1, 7, -6], 2, [0, 2, -1, 2, 8, -5]).toFixed(6), '0.936801')
  t.equal(measure('r2', one, [5, 5], 1, [5, 5]), 1, 'constant and met')
  t.equal(measure('r2', one, [5, 5], 1, [5, 6]), 0, 'constant and missed')
  t.ok(Number.isNaN(measure('r2', one, [5], 1, [5])), 'one row has no spread')
  t.same(
    (['binary', 'multiclass', 'multilabel', 'regression'] as const).map((task) => defaultMetric(task).name),
    ['accuracy', 'accuracy', 'accuracy', 'r2'],
  )
})
