/**
 * Programs as the open cases write them (test/fixtures/open-cases.json), run as programs of this library.
 *
 * A case is data: layers, loss, optimizer, batch, epochs, what is done to the data, and faults of a caller's own code,
 * which are planted in what is handed to the doctor as `theirs`.
 */
import {
  adam,
  adamw,
  type DownhillError,
  dense,
  dropout,
  type FitOptions,
  FNN,
  type InitializerName,
  type InitializerSpec,
  type LayerSpec,
  type LossSpec,
  type ModelOptions,
  mse,
  normal,
  rmsprop,
  sgd,
  uniform,
} from 'downhill'
import { type Data, makeData, type Preprocess } from './data'

interface Init {
  kind: string
  lo?: number
  hi?: number
  std?: number
  mean?: number
  value?: number
}

export interface ProgramSpec {
  layers: { units: number; act: string; init?: string | Init; bias?: boolean; bias_init?: Init; dropout?: number }[]
  loss: string
  optimizer: { name: string; lr: number; [setting: string]: unknown }
  batch: number | null
  epochs: number
  l2?: number
  validation?: number
  preprocess?: Preprocess
  grad_bug?: string | null
}

export interface Case {
  id: string
  data: { kind: string; preprocess?: Preprocess; [option: string]: unknown }
  task?: 'binary' | 'multiclass' | 'regression'
  program: ProgramSpec
  /** Empty: healthy. */
  labels: string[]
  /** Fields of the program that the repaired twin has instead. */
  fixed_program_overrides: Partial<ProgramSpec> | null
  runnable?: boolean
}

/** A case made into something to run. */
export interface Specimen {
  data: Data
  model: ModelOptions
  fit: FitOptions
  theirs: ((net: FNN) => object) | null
}

const INITS: Record<string, InitializerSpec | InitializerName> = {
  keras_uniform: uniform(-0.05, 0.05),
  keras_normal: normal(0.05),
  glorot_uniform: 'glorotUniform',
  he_uniform: 'heUniform',
  he_normal: 'heNormal',
  zeros: 'zeros',
  ones: 'ones',
}

function initOf(init: string | Init | undefined): InitializerSpec | InitializerName {
  if (init === undefined) return 'glorotUniform'
  if (typeof init === 'string') return INITS[init]
  if (init.kind === 'uniform') return uniform(init.lo ?? 0, init.hi ?? 1)
  if (init.kind === 'normal') return normal(init.std ?? 1, init.mean ?? 0)
  if (init.kind === 'constant') return { kind: 'constant', value: init.value ?? 0 }
  return INITS[init.kind]
}

const LOSSES: Record<string, (outputs: number) => LossSpec | 'mse' | 'mae' | 'binaryCrossEntropy' | 'crossEntropy'> = {
  mse: () => 'mse',
  mae: () => 'mae',
  bce: () => 'binaryCrossEntropy',
  cce: () => 'crossEntropy',
  half_mse: () => mse({ scale: 0.5 }),
  sse: () => mse({ reduction: 'sum' }),
  cce_sum: () => ({ kind: 'crossEntropy', reduction: 'sum', scale: 1 }),
  bce_unclipped: () => ({ kind: 'binaryCrossEntropy', reduction: 'mean', scale: 1, from: 'probabilities' }),
  mse_broadcast: () => 'mse',
  bce_sum: () => ({ kind: 'binaryCrossEntropy', reduction: 'sum', scale: 1 }),
}

const OPTIMIZERS = { sgd, adam, adamw, rmsprop } as const

/** Draws the data and fills in the options. */
export async function specimen(test: Case, program: ProgramSpec, seed: number): Promise<Specimen> {
  const data = await makeData(test.data, { ...test.data.preprocess, ...program.preprocess }, seed)
  const task = test.task ?? data.task
  const layers: LayerSpec[] = program.layers.flatMap(({ units, act, init, bias, bias_init, dropout: rate }) => [
    dense(units, act as 'tanh', {
      initializer: initOf(init),
      bias: bias === false ? false : bias_init ? (initOf(bias_init) as InitializerSpec) : true,
    }),
    ...(rate ? [dropout(rate)] : []),
  ])
  const { name, lr, ...settings } = program.optimizer
  const optimizer = OPTIMIZERS[name as keyof typeof OPTIMIZERS](settings)
  return {
    data,
    model: { layers, loss: LOSSES[program.loss](layers.length), task, seed, l2: program.l2 ?? 0 },
    fit: {
      epochs: program.epochs,
      learningRate: lr,
      optimizer,
      batchSize: program.batch ?? 'full',
      ...(program.validation && { validation: program.validation }),
    },
    theirs: theirsOf(program, data),
  }
}

type Plain = { weights: { data: number[]; rows: number; columns: number }; bias: number[] | null }[]

/** What the faulty code of the caller computes instead of the gradient. */
const BUGS: Record<string, (g: Plain, rows: number) => Plain> = {
  bias_grad_summed_over_units: (g) => {
    const sum = (g[0].bias ?? []).reduce((a, b) => a + b, 0)
    g[0].bias = (g[0].bias ?? []).map(() => sum)
    return g
  },
  sign: (g) =>
    g.map(({ weights, bias }) => ({
      weights: { ...weights, data: weights.data.map((v) => -v) },
      bias: bias?.map((v) => -v) ?? null,
    })),
  missing_mean: (g, rows) =>
    g.map(({ weights, bias }) => ({
      weights: { ...weights, data: weights.data.map((v) => v * rows) },
      bias: bias?.map((v) => v * rows) ?? null,
    })),
  first_layer_half: (g) => {
    g[0].weights.data = g[0].weights.data.map((v) => v / 2)
    return g
  },
}

function theirsOf({ grad_bug, loss }: ProgramSpec, { x, y }: Data): Specimen['theirs'] {
  if (loss === 'mse_broadcast')
    return (net) => {
      const p = Array.from(net.predict(x) as unknown as ArrayLike<number>)
      let sum = 0
      for (const a of p) for (const b of y) sum += (a - b) ** 2
      return { loss: sum / (p.length * y.length) }
    }
  if (grad_bug === 'forward') return (net) => ({ predictions: predictions(net, x).map((v) => 0.9 * v + 0.02) })
  if (grad_bug === 'forward_no_bias')
    return (net) => {
      const copy = predictions(net, x)
      return { predictions: copy.map((v, i) => (i % 2 === 0 ? v : 1 - v)) }
    }
  if (!grad_bug) return null
  return (net) => {
    const plain = net.gradients(x, y).layers.map(({ weights, bias }) => ({
      weights: { data: Array.from(weights.data), rows: weights.rows, columns: weights.columns },
      bias: bias && Array.from(bias),
    }))
    return BUGS[grad_bug](plain, x.length)
  }
}

function predictions(net: FNN, x: number[][]): number[] {
  try {
    return Array.from(net.predictProba(x) as ArrayLike<number>)
  } catch (error) {
    if ((error as DownhillError).code !== 'ERR_OPTION') throw error
    return Array.from(net.predict(x) as unknown as ArrayLike<number>)
  }
}

/** Accuracy or r2 on the training rows after a run; as the open cases score. */
export async function scoreOf({ data, model, fit }: Specimen): Promise<number> {
  const net = new FNN(model)
  const history = await net.fit(data.x, data.y, fit)
  const { accuracy, r2 } = net.evaluate(data.x, data.y)
  if (history.status === 'diverged') return accuracy === undefined ? -1 : 0
  return accuracy ?? Math.max(-1, r2 ?? -1)
}
