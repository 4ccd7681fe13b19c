/**
 * The table of cases: small networks, none a multiple of anything, that together use every operation of the plan.
 *
 * One row is a parity test of each instruction on each backend, a run of whole programs, and a gradient check
 * (parity.test.ts). The rows after SHAPES are made from the library's own tables, so that a new activation, loss or
 * optimizer is under test the moment it has a row; architecture.test.ts sees to it that no operation is left out.
 * Numbers are drawn by the library's own streams, one for each row, and are exact in float32.
 */
import { ACTIVATIONS, type ActivationName } from '../dist/activations'
import type { Backend } from '../dist/backends/backend'
import { nativeStatus } from '../dist/backends/native'
import { typescriptBackend } from '../dist/backends/typescript'
import { normal } from '../dist/initializers'
import {
  activation,
  batchNorm,
  type DenseOptions,
  dense,
  dropout,
  embedding,
  indexColumns,
  type LayerSpec,
  layerNorm,
  prelu,
  residual,
} from '../dist/layers'
import {
  binaryCrossEntropy,
  crossEntropy,
  focal,
  hinge,
  huber,
  type LossSpec,
  logCosh,
  mae,
  mse,
  poisson,
  quantile,
} from '../dist/losses'
import {
  adagrad,
  adam,
  adamw,
  amsgrad,
  lion,
  nadam,
  OPTIMIZERS,
  type OptimizerSpec,
  readOptimizer,
  rmsprop,
  sgd,
} from '../dist/optimizers'
import { CHUNK_ROWS, compile } from '../dist/plan/compile'
import { drawParameters, layOut, type Model, outputsOf } from '../dist/plan/layout'
import type { Dtype, Plan, ProgramName, Table } from '../dist/plan/plan'
import { random } from '../dist/random'

// ---------------------------------------------------------------------------------------------------- backends

/** A backend at a precision; null, with the reason, where it is not. */
export interface Contender {
  readonly name: string
  readonly dtype: Dtype
  readonly backend: Backend | null
  readonly reason: string
}

const { backend: native, reason } = nativeStatus()

/** The specification first: float64 is what the others are measured against. */
export const EXACT = { name: 'typescript float64', dtype: 'float64', backend: typescriptBackend, reason: '' } as const
export const CONTENDERS: readonly Contender[] = [
  { name: 'typescript float32', dtype: 'float32', backend: typescriptBackend, reason: '' },
  { name: 'native float32', dtype: 'float32', backend: native, reason: native ? '' : `no native backend: ${reason}` },
]

// ---------------------------------------------------------------------------------------------------- cases

/** numbers: real ones; counts: whole ones; bits: 0 and 1; classes: a column of class numbers; shares: a column a class, of sum 1. */
export type TargetKind = 'numbers' | 'counts' | 'bits' | 'classes' | 'shares'

export interface Case {
  readonly name: string
  readonly model: Model
  readonly loss: LossSpec
  readonly targets: TargetKind
  readonly optimizer: OptimizerSpec
  readonly rows: number
  /** Rows a step. */
  readonly batch: number
  /** Rows a chunk. */
  readonly capacity: number
  /** x as bytes, with scale 1/255. */
  readonly bytes: boolean
  /** Rows have weights, one in five of them 0. */
  readonly weighted: boolean
  readonly clipNorm: number | null
  readonly clipValue: number | null
  readonly ema: number | null
  /** Whether the sums of its steps are reported. */
  readonly accounts: boolean
  /** Numbers of this stream fill the case. */
  readonly seed: number
}

/** What a row says; the rest is filled in. */
interface CaseRow {
  readonly inputs: number
  readonly layers: readonly LayerSpec[]
  readonly rows: number
  readonly batch?: number
  readonly capacity?: number
  readonly loss?: LossSpec
  readonly targets?: TargetKind
  readonly optimizer?: OptimizerSpec
  readonly l1?: number
  readonly l2?: number
  readonly bytes?: true
  readonly weighted?: true
  readonly clipNorm?: number
  readonly clipValue?: number
  readonly ema?: number
  readonly accounts?: true
}

/** A dense layer whose biases are numbers too. */
function layer(units: number, activation: ActivationName = 'linear', options: DenseOptions = {}): LayerSpec {
  return dense(units, activation, { bias: normal(0.3), ...options })
}

/** Names what a row leaves to be guessed from the code. */
function caseOf(name: string, row: CaseRow, seed: number): Case {
  const { inputs, layers, rows, batch = rows, l1 = 0, l2 = 0, optimizer = sgd() } = row
  const { bytes = false, weighted = false, accounts = false } = row
  const { capacity = Math.min(batch, CHUNK_ROWS), loss = mse(), targets = 'numbers' } = row
  const model: Model = { inputs, layers, initializer: { kind: 'glorotUniform' }, l1, l2 }
  const { clipNorm = null, clipValue = null, ema = null } = row
  return {
    name,
    model,
    loss,
    targets,
    optimizer,
    rows,
    batch,
    capacity,
    bytes,
    weighted,
    clipNorm,
    clipValue,
    ema,
    accounts,
    seed,
  }
}

/** Sizes around which kernels change their ways: 1, small odd ones, one more than a power of two, one chunk and more. */
const SHAPES: readonly [name: string, row: CaseRow][] = [
  ['one number', { inputs: 1, layers: [layer(1)], rows: 1 }],
  ['one row, wide', { inputs: 129, layers: [layer(31, 'tanh'), layer(129)], rows: 1 }],
  ['3-7-1, batches of 7', { inputs: 3, layers: [layer(7, 'tanh'), layer(1)], rows: 31, batch: 7 }],
  ['7-31-3', { inputs: 7, layers: [layer(31, 'tanh'), layer(3)], rows: 129 }],
  ['31-129-7, batches of 31', { inputs: 31, layers: [layer(129, 'relu'), layer(7)], rows: 33, batch: 31 }],
  ['1-257-1', { inputs: 1, layers: [layer(257, 'tanh'), layer(1)], rows: 17 }],
  ["the question's", { inputs: 30, layers: [layer(128, 'tanh'), layer(64, 'tanh'), layer(1)], rows: 569, batch: 569 }],
  ['five layers', { inputs: 5, layers: [3, 9, 1, 17, 2].map((units) => layer(units, 'tanh')), rows: 15 }],
  ['wide enough for BLAS', { inputs: 300, layers: [layer(517, 'relu'), layer(10)], rows: 130, batch: 65 }],
  ['no hidden layer', { inputs: 33, layers: [layer(5)], rows: 9 }],
  ['chunks of 7', { inputs: 3, layers: [layer(7, 'tanh'), layer(2)], rows: 31, capacity: 7 }],
  ['more than a chunk', { inputs: 5, layers: [layer(9, 'tanh'), layer(2)], rows: CHUNK_ROWS + 476 }],
  ['one row more than two chunks', { inputs: 2, layers: [layer(3, 'tanh'), layer(1)], rows: 2 * CHUNK_ROWS + 1 }],
  ['bytes', { inputs: 49, layers: [layer(31, 'relu'), layer(3)], rows: 33, batch: 10, bytes: true }],
  [
    'no biases',
    { inputs: 7, layers: [layer(9, 'tanh', { bias: false }), layer(3, 'linear', { bias: false })], rows: 9 },
  ],
]

/** Parts that have no table of their own. */
const PARTS: readonly [name: string, row: CaseRow][] = [
  ['dropout', { inputs: 7, layers: [layer(31, 'tanh'), dropout(0.3), layer(3)], rows: 33, batch: 31 }],
  [
    'dropout of inputs, twice',
    { inputs: 7, layers: [dropout(0.2), layer(5, 'relu'), dropout(0.5), layer(3)], rows: 9 },
  ],
  ['dropout in chunks', { inputs: 3, layers: [layer(9, 'gelu'), dropout(0.4), layer(2)], rows: 31, capacity: 7 }],
  [
    'activations as layers',
    {
      inputs: 7,
      layers: [activation('leakyRelu'), layer(9, 'tanh'), activation('relu'), layer(3), activation('gelu')],
      rows: 33,
    },
  ],
  ['an activation as output', { inputs: 5, layers: [layer(9, 'elu'), layer(3), activation('softmax')], rows: 33 }],
  [
    'slopes',
    { inputs: 7, layers: [layer(31), prelu(), layer(9), prelu({ shared: true }), layer(3)], rows: 33, batch: 31 },
  ],
  ['slopes in chunks', { inputs: 3, layers: [prelu(), layer(9), prelu({ initial: -0.5 })], rows: 31, capacity: 7 }],
  ['layerNorm', { inputs: 7, layers: [layer(31, 'tanh'), layerNorm(), layer(3)], rows: 33, batch: 31 }],
  [
    'layerNorm first, last, and of one unit',
    {
      inputs: 5,
      layers: [layerNorm(), layer(17), layerNorm({ epsilon: 0.1 }), layer(1), layerNorm()],
      rows: 31,
      capacity: 7,
    },
  ],
  [
    'units in tiles',
    { inputs: 40, layers: [layer(300), layerNorm(), prelu(), layer(70), prelu({ shared: true })], rows: 500 },
  ],
  ['batchNorm', { inputs: 7, layers: [layer(31), batchNorm(), activation('tanh'), layer(3)], rows: 33, batch: 16 }],
  [
    'batchNorm first and last, one row left over',
    {
      inputs: 5,
      layers: [batchNorm({ momentum: 0.4 }), layer(9, 'tanh'), layer(2), batchNorm({ epsilon: 0.1 })],
      rows: 25,
      batch: 8,
    },
  ],
  ['batchNorm of many units', { inputs: 5, layers: [layer(150, 'tanh'), batchNorm(), layer(2)], rows: 300 }],
  [
    'residual',
    {
      inputs: 5,
      layers: [layer(9, 'tanh'), residual([layer(9, 'tanh'), layer(9)]), activation('relu'), layer(3)],
      rows: 33,
      batch: 31,
    },
  ],
  [
    'residual, projected and nested',
    {
      inputs: 5,
      layers: [
        residual([layer(9, 'tanh'), residual([layerNorm(), activation('silu'), layer(9), dropout(0.3)])]),
        residual([activation('tanh'), layer(4), activation('elu')]),
        residual([dropout(0.2)]),
        layer(3),
      ],
      rows: 31,
      capacity: 7,
      l2: 0.1,
      // Plain descent leaves for infinity from here, and takes what rounding tells apart along.
      optimizer: adam(),
    },
  ],
  [
    'residual at the end, frozen within and whole',
    {
      inputs: 5,
      layers: [
        layer(4, 'tanh'),
        residual([layer(6, 'tanh'), batchNorm()], { frozen: true }),
        residual([layer(3, 'linear', { frozen: true }), prelu()]),
        residual([layer(3, 'tanh'), batchNorm()]),
      ],
      rows: 25,
      batch: 8,
    },
  ],
  [
    'embedding',
    {
      inputs: 5,
      layers: [embedding({ columns: [3, 0], sizes: [7, 4], dimensions: 3 }), layer(9, 'tanh'), layer(2)],
      rows: 33,
      batch: 31,
      l2: 0.1,
    },
  ],
  [
    'embedding in chunks, of wide vectors, frozen, of nothing else',
    {
      inputs: 3,
      layers: [embedding({ columns: [1, 0], sizes: 5, dimensions: 40 }), layerNorm(), layer(2)],
      rows: 31,
      capacity: 7,
    },
  ],
  [
    'embedding, frozen',
    { inputs: 3, layers: [embedding({ columns: [0], sizes: 5, dimensions: 2, frozen: true }), layer(2)], rows: 9 },
  ],
  [
    'embedding of many rows',
    {
      inputs: 3,
      layers: [embedding({ columns: [0, 1], sizes: 50, dimensions: 70 }), layer(2)],
      rows: 600,
      capacity: 250,
    },
  ],
  [
    'frozen layers',
    {
      inputs: 5,
      layers: [
        layer(9, 'linear', { frozen: true }),
        layer(7),
        layerNorm({ frozen: true }),
        prelu({ frozen: true }),
        batchNorm({ frozen: true }),
        layer(6, 'tanh', { frozen: true }),
        layer(3),
      ],
      rows: 31,
      capacity: 7,
      optimizer: adamw({ weightDecay: 0.1 }),
      l2: 0.1,
    },
  ],
  ['frozen at first', { inputs: 5, layers: [layerNorm({ frozen: true }), prelu({ frozen: true }), layer(3)], rows: 9 }],
  ['l2', { inputs: 7, layers: [layer(31, 'tanh'), layer(3)], rows: 33, l2: 0.1 }],
  [
    'weighted rows',
    {
      inputs: 3,
      layers: [layer(7, 'tanh'), layer(5, 'softmax')],
      rows: 33,
      batch: 10,
      loss: crossEntropy(),
      targets: 'classes',
      weighted: true,
    },
  ],
  [
    'a weighted sum in chunks',
    {
      inputs: 3,
      layers: [layer(7, 'tanh'), layer(2)],
      rows: 31,
      capacity: 7,
      loss: mse({ reduction: 'sum' }),
      weighted: true,
    },
  ],
  ['l1', { inputs: 7, layers: [layer(31, 'tanh'), layer(3)], rows: 33, l1: 0.1 }],
  [
    'l1 of one layer, l2 of the other',
    { inputs: 7, layers: [layer(9, 'tanh', { l1: 0.2, l2: 0 }), layer(3)], rows: 33, l2: 0.5 },
  ],
  ['l2 of one layer', { inputs: 7, layers: [layer(9, 'tanh'), layer(3, 'linear', { l2: 0.5 })], rows: 33 }],
  ['clipped', { inputs: 7, layers: [layer(31, 'tanh'), layer(3)], rows: 33, clipNorm: 0.5, clipValue: 0.1 }],
  ['averaged', { inputs: 7, layers: [layer(31, 'tanh'), layer(3)], rows: 33, batch: 10, optimizer: adam(), ema: 0.7 }],
]

/** One hidden layer of each; inputs are large enough to reach the tails. */
const activations = [...ACTIVATIONS.keys()].map((name): [string, CaseRow] => {
  const activation = name as ActivationName
  return [`activation ${name}`, { inputs: 7, layers: [layer(31, activation), layer(3)], rows: 33 }]
})

/** Each loss behind the outputs that reach each of its kernels, with each form of target and a batch in two chunks. */
const LOSSES: readonly [loss: LossSpec, output: ActivationName, targets: TargetKind][] = [
  [mse(), 'linear', 'numbers'],
  [mse({ reduction: 'sum', scale: 0.5 }), 'tanh', 'numbers'],
  [mae(), 'linear', 'numbers'],
  [huber({ delta: 0.7 }), 'linear', 'numbers'],
  [logCosh(), 'linear', 'numbers'],
  [quantile({ q: 0.8 }), 'linear', 'numbers'],
  [hinge(), 'linear', 'bits'],
  [poisson(), 'linear', 'counts'],
  [poisson({ from: 'rates' }), 'softplus', 'counts'],
  [focal(), 'sigmoid', 'bits'],
  [focal({ gamma: 1.5, alpha: 0.25, reduction: 'sum' }), 'linear', 'bits'],
  [focal({ from: 'probabilities' }), 'sigmoid', 'bits'],
  [focal({ gamma: 1.5 }), 'softmax', 'shares'],
  [focal({ from: 'probabilities' }), 'softmax', 'classes'],
  [binaryCrossEntropy({ labelSmoothing: 0.1 }), 'sigmoid', 'bits'],
  [crossEntropy({ labelSmoothing: 0.1 }), 'softmax', 'classes'],
  [binaryCrossEntropy(), 'sigmoid', 'bits'],
  [binaryCrossEntropy({ reduction: 'sum' }), 'linear', 'bits'],
  [binaryCrossEntropy({ from: 'probabilities' }), 'sigmoid', 'bits'],
  [crossEntropy(), 'softmax', 'classes'],
  [crossEntropy(), 'softmax', 'shares'],
  [crossEntropy({ from: 'probabilities' }), 'softmax', 'classes'],
  [crossEntropy({ from: 'probabilities' }), 'softmax', 'shares'],
]

const losses = LOSSES.map(([loss, output, targets]): [string, CaseRow] => {
  const more = `${loss.from ? ` from ${loss.from}` : ''}${loss.labelSmoothing ? ', smoothed,' : ''}`
  const name = `${loss.kind} ${loss.reduction}${more} of ${output}, ${targets}`
  return [name, { inputs: 3, layers: [layer(7, 'tanh'), layer(5, output)], rows: 33, capacity: 20, loss, targets }]
})

/** Each optimizer as it comes, and with every pass it can have. */
const OPTIMIZER_SPECS: readonly OptimizerSpec[] = [
  ...[...OPTIMIZERS.keys()].map((name) => readOptimizer(name)),
  sgd({ momentum: 0.9 }),
  sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
  rmsprop({ decay: 0.9, weightDecay: 0.1 }),
  adam({ beta1: 0.5, beta2: 0.9, epsilon: 1e-4 }),
  adamw({ weightDecay: 0.3 }),
  adagrad({ initialAccumulator: 0.1, lrDecay: 0.3, weightDecay: 0.1, epsilon: 1e-3 }),
  amsgrad({ beta1: 0.5, beta2: 0.7, epsilon: 1e-4 }),
  nadam({ beta1: 0.8, beta2: 0.95, momentumDecay: 0.3 }),
  lion({ beta1: 0.7, beta2: 0.8, weightDecay: 0.3 }),
]

const optimizers = OPTIMIZER_SPECS.map((optimizer): [string, CaseRow] => {
  const name = `optimizer ${optimizer.kind} ${JSON.stringify(optimizer.settings)}`
  return [name, { inputs: 7, layers: [layer(31, 'tanh'), layer(3)], rows: 33, batch: 10, optimizer, accounts: true }]
})

export const CASES: readonly Case[] = [...SHAPES, ...PARTS, ...activations, ...losses, ...optimizers].map(
  ([name, row], index) => caseOf(name, row, index + 1),
)

// ---------------------------------------------------------------------------------------------------- a case filled in

/** Every program. */
export const PROGRAMS: readonly ProgramName[] = [
  'train',
  'gradient',
  'evaluate',
  'predict',
  'objective',
  'linearize',
  'curvature',
  'update',
]

/** `optimizer` in place of the case's. */
export function planOf(row: Case, dtype: Dtype, optimizer = row.optimizer): Plan {
  const { model, loss, capacity, clipNorm, clipValue, ema, accounts } = row
  const targets = targetColumns(row)
  const update = { optimizer, clipNorm, clipValue, ema, accounts }
  return compile(model, { dtype, capacity, loss, targets, programs: PROGRAMS, ...update })
}

function targetColumns({ model, targets }: Case): number {
  return targets === 'classes' ? 1 : outputsOf(model)
}

/** `n` normal numbers of standard deviation `size`, exact in float32. */
export function scatter(n: number, seed: number, part: number, size = 1): Float32Array {
  const from = random(seed, 'sample', part)
  return Float32Array.from({ length: n }, () => size * from.normal())
}

/** Parameters to start from: the library's own, rounded to float32. */
export function startOf({ model, seed }: Case): Float32Array {
  const layout = layOut(model)
  const parameters = new Float32Array(layout.parameters.length)
  drawParameters(model, layout, seed, 1, 'float64', (at, values) => parameters.set(values, at))
  return parameters
}

export function tableOf(row: Case): Table {
  const { model, rows, bytes, weighted, seed } = row
  const columns = model.inputs
  const targets = targetColumns(row)
  const x = bytes
    ? Uint8Array.from(scatter(rows * columns, seed, 0, 60), (v) => Math.min(255, Math.abs(v)))
    : scatter(rows * columns, seed, 0, 3)
  const y = TARGETS[row.targets](row, outputsOf(model))
  const weights = weighted ? Float64Array.from(scatter(rows, seed, 2), (v, r) => (r % 5 === 4 ? 0 : Math.abs(v))) : null
  for (const { column, size } of indexColumns(model.layers))
    for (let r = 0; r < rows; r++) x[r * columns + column] = Math.floor(Math.abs(x[r * columns + column] * 100)) % size
  return { rows, columns, x, scale: bytes ? 1 / 255 : 1, targets, y, weights }
}

const TARGETS: { readonly [K in TargetKind]: (row: Case, O: number) => Float32Array } = {
  numbers: ({ rows, seed }, O) => scatter(rows * O, seed, 1),
  counts: ({ rows, seed }, O) => scatter(rows * O, seed, 1, 2).map((v) => Math.round(Math.abs(v))),
  bits: ({ rows, seed }, O) => scatter(rows * O, seed, 1).map((v) => Number(v > 0)),
  classes: ({ rows, seed }, O) => {
    const from = random(seed, 'sample', 1)
    return Float32Array.from({ length: rows }, () => from.below(O))
  },
  shares: ({ rows, seed }, O) => {
    const y = scatter(rows * O, seed, 1).map(Math.abs)
    for (let r = 0; r < rows; r++) {
      const sum = y.subarray(r * O, (r + 1) * O).reduce((a, b) => a + b)
      for (let o = 0; o < O; o++) y[r * O + o] /= sum
    }
    // A class of share 0 beside others, as one-hot rows have.
    y[0] = 0
    return y
  },
}
