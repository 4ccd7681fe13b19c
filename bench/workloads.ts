/**
 * What the bench measures: one table, a row a workload.
 *
 * A *task* is the work itself, free of any library: a net, a start, rows in a fixed order, so many passes. Every
 * contender does one task from the same start on the same bytes again and again; one time through is a *block*. So two
 * contenders that finished a block have done the same arithmetic, and their losses can be laid side by side.
 *
 * Rows are never shuffled: every library draws its own order, and then nobody's loss could be compared.
 */

/** The work, as it is written to task.json for contenders of any language. Letters: B batch, I inputs, O outputs. */
export interface Task {
  readonly workload: string
  /** `train`: a block is `passes` passes of updates. `predict`: a block is `passes` passes of calls with B rows each. */
  readonly kind: 'train' | 'predict'
  /** Sizes from the inputs to the outputs. */
  readonly layers: readonly number[]
  /** Of the hidden layers. */
  readonly activation: 'tanh' | 'relu'
  /** sigmoid goes with binary cross-entropy, softmax with cross-entropy; means over the rows of a batch. */
  readonly output: 'sigmoid' | 'softmax'
  readonly optimizer: 'sgd' | 'adam'
  readonly learningRate: number
  readonly rows: number
  readonly batch: number
  readonly passes: number
  /** How x.bin is stored, (rows, I): a value is entry × scale. labels.bin holds a class number a row, one byte each. */
  readonly x: { readonly dtype: 'float32' | 'uint8'; readonly scale: number }
}

/** How a speed is told. `perBlock` of these are in a block. */
export interface Unit {
  readonly name: string
  readonly perBlock: (task: Task) => number
  /** Times, such as µs a step, are told per unit; rates, such as samples/s, per second. */
  readonly time?: { readonly scale: number }
}

const steps = (task: Task) => Math.ceil(task.rows / task.batch) * task.passes
const samples = (task: Task) => task.rows * task.passes
export const UNITS = {
  epochsPerSecond: { name: 'epochs/s', perBlock: (task) => task.passes },
  samplesPerSecond: { name: 'samples/s', perBlock: samples },
  microsecondsAStep: { name: 'µs a step', perBlock: steps, time: { scale: 1e6 } },
  microsecondsACall: { name: 'µs a call', perBlock: steps, time: { scale: 1e6 } },
} as const satisfies Record<string, Unit>

export interface Workload {
  readonly says: string
  readonly task: Omit<Task, 'workload'>
  /** Where x, the labels and the start come from; see data.ts. */
  readonly data: 'cancer' | 'mnist' | 'teacher' | 'xor'
  readonly unit: Unit
  /** Whether more threads could help at all. */
  readonly threaded: boolean
}

const FLOATS = { dtype: 'float32', scale: 1 } as const
const DIGITS = {
  kind: 'train',
  layers: [784, 128, 64, 10],
  activation: 'relu',
  output: 'softmax',
  optimizer: 'adam',
  learningRate: 0.001,
  rows: 8192,
  passes: 2,
  x: { dtype: 'uint8', scale: 1 / 255 },
} as const
const digits = (batch: number): Workload => ({
  says: `MNIST's first 8192 images, 784-128-64-10 relu, Adam 0.001, batch ${batch}, 2 epochs`,
  task: { ...DIGITS, batch },
  data: 'mnist',
  unit: UNITS.samplesPerSecond,
  threaded: true,
})

export const WORKLOADS: Readonly<Record<string, Workload>> = {
  seed: {
    says: 'breast cancer, 569 × 30 standardised, 128-64-1 tanh, full batch, SGD 0.1, 100 epochs',
    task: {
      kind: 'train',
      layers: [30, 128, 64, 1],
      activation: 'tanh',
      output: 'sigmoid',
      optimizer: 'sgd',
      learningRate: 0.1,
      rows: 569,
      batch: 569,
      passes: 100,
      x: FLOATS,
    },
    data: 'cancer',
    unit: UNITS.epochsPerSecond,
    threaded: true,
  },
  'digits-32': digits(32),
  'digits-128': digits(128),
  'digits-1024': digits(1024),
  wide: {
    says: '1024-2048-2048-10 relu, SGD 0.01, batch 256, 2 epochs of 512 Gaussian rows labelled by a fixed linear teacher',
    task: {
      kind: 'train',
      layers: [1024, 2048, 2048, 10],
      activation: 'relu',
      output: 'softmax',
      optimizer: 'sgd',
      learningRate: 0.01,
      rows: 512,
      batch: 256,
      passes: 2,
      x: FLOATS,
    },
    data: 'teacher',
    unit: UNITS.samplesPerSecond,
    threaded: true,
  },
  'predict-1': {
    says: 'classes of MNIST images, 784-128-64-10 relu, one row a call',
    task: { ...DIGITS, kind: 'predict', rows: 256, batch: 1, passes: 40, x: FLOATS },
    data: 'mnist',
    unit: UNITS.microsecondsACall,
    threaded: false,
  },
  'predict-4096': {
    says: 'the same, 4096 rows a call',
    task: { ...DIGITS, kind: 'predict', rows: 4096, batch: 4096, passes: 4, x: FLOATS },
    data: 'mnist',
    unit: UNITS.samplesPerSecond,
    threaded: true,
  },
  xor: {
    says: 'exclusive or, 2-8-1 tanh, full batch of 4, SGD 0.5, 10,000 steps',
    task: {
      kind: 'train',
      layers: [2, 8, 1],
      activation: 'tanh',
      output: 'sigmoid',
      optimizer: 'sgd',
      learningRate: 0.5,
      rows: 4,
      batch: 4,
      passes: 10_000,
      x: FLOATS,
    },
    data: 'xor',
    unit: UNITS.microsecondsAStep,
    threaded: false,
  },
}

/**
 * Floating-point operations of the products in one block: 2·I·O a row forward, as much again for dW, and for dx in all
 * layers but the first. Everything else (activations, loss, optimizer) is not counted, so shares of the peak are low
 * rather than high.
 */
export function flops(task: Task): number {
  let a = 0
  for (let l = 1; l < task.layers.length; l++) {
    const product = 2 * task.layers[l - 1] * task.layers[l]
    a += product * (task.kind === 'predict' ? 1 : l === 1 ? 2 : 3)
  }
  return a * task.rows * task.passes
}
