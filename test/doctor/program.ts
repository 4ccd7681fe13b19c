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
import { type Data, makeData, type Preprocess, type TaskName, targetsOf } from './data'

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
  task?: TaskName
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
  const model: ModelOptions = { layers, loss: LOSSES[program.loss](layers.length), task, seed, l2: program.l2 ?? 0 }
  const fit: FitOptions = {
    epochs: program.epochs,
    learningRate: lr,
    optimizer,
    batchSize: program.batch ?? 'full',
    ...(program.validation && { validation: program.validation }),
  }
  return { data, model, fit, theirs: theirsOf(program, { data, model, fit }) }
}

type Plain = { weights: { data: number[]; rows: number; columns: number }; bias: number[] | null }[]

/** What a faulty program knows: the model as it stands, its data, and how it is trained. */
interface Site {
  readonly net: FNN
  readonly data: Data
  readonly model: ModelOptions
  readonly fit: FitOptions
}

const times = (g: Plain, factor: number): Plain =>
  g.map(({ weights, bias }) => ({
    weights: { ...weights, data: weights.data.map((v) => factor * v) },
    bias: bias?.map((v) => factor * v) ?? null,
  }))

function gradientsOf({ net, data }: Site, y: number[] | number[][] = targetsOf(data)): Plain {
  return net.gradients(data.x, y).layers.map(({ weights, bias }) => ({
    weights: { data: Array.from(weights.data), rows: weights.rows, columns: weights.columns },
    bias: bias && Array.from(bias),
  }))
}

/** The model with other layers and its weights. */
function like({ net, model, data }: Site, change: (layer: LayerSpec, isOutput: boolean) => LayerSpec): FNN {
  const layers = model.layers!.map((layer, i, { length }) => change(layer, i === length - 1))
  const other = new FNN({ ...model, layers, inputs: data.x[0].length })
  other.setWeights(net.weights())
  return other
}

const activated = (activation: string) => (layer: LayerSpec, isOutput: boolean) =>
  layer.kind === 'dense' && !isOutput ? { ...layer, activation: activation as 'relu' } : layer

/** Each prediction against each target, as (n, 1) against (n) gives. */
function broadcastLoss({ net, data }: Site): number {
  const p = predictions(net, data.x)
  let sum = 0
  for (const a of p) for (const b of data.y) sum += (a - b) ** 2
  return sum / (p.length * data.y.length)
}

function broadcastGradient(site: Site): Plain {
  const mean = site.data.y.reduce((sum, v) => sum + v, 0) / site.data.y.length
  return gradientsOf(
    site,
    site.data.y.map(() => mean),
  )
}

/** Losses of a run that walks up instead of down. */
function ascent(site: Site): number[] {
  const copy = like(site, (layer) => layer)
  const rate = typeof site.fit.learningRate === 'number' ? site.fit.learningRate : 0.01
  return Array.from({ length: 6 }, () => {
    const { loss, layers } = copy.gradients(site.data.x, targetsOf(site.data))
    const moved = copy.weights().map(({ weights, bias }, l) => ({
      weights: { ...weights, data: weights.data.map((w, i) => w + rate * layers[l].weights.data[i]) },
      bias: bias?.map((b, i) => b + rate * layers[l].bias![i]),
    }))
    copy.setWeights(moved)
    return loss
  })
}

/** What the faulty code of a caller computes, by the fault. */
const BUGS: Record<string, (site: Site) => object> = {
  bias_grad_summed_over_units: (site) => {
    const g = gradientsOf(site)
    const sum = (g[0].bias ?? []).reduce((a, b) => a + b, 0)
    g[0].bias = (g[0].bias ?? []).map(() => sum)
    return { gradients: g }
  },
  sign: (site) => times(gradientsOf(site), -1),
  sign_by_tensor: (site) => times(gradientsOf(site), -1).flatMap(({ weights, bias }) => [weights, bias]),
  sign_update: (site) =>
    site.fit.batchSize === 'full' &&
    JSON.stringify(site.fit.optimizer).startsWith('{"kind":"sgd","settings":{"momentum":0,')
      ? { losses: ascent(site) }
      : { gradients: times(gradientsOf(site), -1) },
  missing_mean: (site) => times(gradientsOf(site), site.data.x.length),
  first_layer_half: (site) => {
    const g = gradientsOf(site)
    g[0].weights.data = g[0].weights.data.map((v) => v / 2)
    return g
  },
  transposed: (site) => {
    const g = gradientsOf(site)
    const { weights } = g[g.length > 1 ? 1 : 0]
    const { rows, columns } = weights
    weights.data = weights.data.map((_, i) => weights.data[(i % rows) * columns + Math.floor(i / rows)])
    // Of one row or column nothing would change.
    if (rows === 1 || columns === 1) g[0].weights.data = g[0].weights.data.map((v) => v * 2)
    return g
  },
  no_bias: (site) => gradientsOf(site).map((g) => ({ ...g, bias: g.bias?.map(() => 0) ?? null })),
  noise: (site) => {
    const g = gradientsOf(site)
    const last = g[g.length - 1].weights
    last.data = last.data.map((v, i) => v * (1 + 0.2 * Math.sin(i + 1)) + 1e-3)
    return g
  },
  relu_for_all: (site) => {
    const other = like(site, (layer, isOutput) =>
      layer.kind === 'dense' && !isOutput
        ? { ...layer, activation: layer.activation === 'relu' ? 'linear' : 'relu' }
        : layer,
    )
    return { gradients: other.gradients(site.data.x, targetsOf(site.data)).layers }
  },
  forward: ({ net, data }) => ({ predictions: predictions(net, data.x).map((v) => 0.9 * v + 0.02) }),
  forward_activation: (site) => ({
    predictions: predictions(like(site, activated('silu')), site.data.x),
  }),
  forward_bias: (site) => {
    const bent = site.net
      .weights()
      .map(({ weights, bias }) => ({ weights, bias: bias?.map((b, i) => b + 0.1 + 0.01 * i) }))
    site.net.setWeights(bent)
    const without = like(site, (layer) => layer)
    without.setWeights(bent.map(({ weights, bias }) => ({ weights, bias: bias?.map(() => 0) })))
    return { predictions: predictions(without, site.data.x) }
  },
  forward_logits: (site) => {
    const isLinear = (site.model.layers!.at(-1) as { activation?: string }).activation === 'linear'
    const raw = new FNN({
      inputs: site.data.x[0].length,
      layers: site.model.layers!.map((layer, i, { length }) =>
        layer.kind === 'dense' && i === length - 1 ? { ...layer, activation: isLinear ? 'tanh' : 'linear' } : layer,
      ),
      task: 'regression',
      loss: 'mse',
    })
    raw.setWeights(site.net.weights())
    return { predictions: flat(raw.predict(site.data.x)) }
  },
  broadcast_loss: (site) => ({ loss: broadcastLoss(site) }),
  broadcast_gradient: (site) => ({ gradients: broadcastGradient(site) }),
  broadcast_both: (site) => ({ loss: broadcastLoss(site), gradients: broadcastGradient(site) }),
}

function theirsOf({ grad_bug, loss }: ProgramSpec, known: Omit<Site, 'net'>): Specimen['theirs'] {
  const bug = grad_bug ?? (loss === 'mse_broadcast' ? 'broadcast_loss' : null)
  return bug === null ? null : (net) => BUGS[bug]({ net, ...known })
}

function flat(values: unknown): number[] {
  return Array.from((values as { data?: ArrayLike<number> }).data ?? (values as ArrayLike<number>))
}

function predictions(net: FNN, x: number[][]): number[] {
  try {
    return flat(net.predictProba(x))
  } catch (error) {
    if ((error as DownhillError).code !== 'ERR_OPTION') throw error
    return flat(net.predict(x))
  }
}

/** Accuracy or r2 on the training rows after a run; as the open cases score. */
export async function scoreOf({ data, model, fit }: Specimen): Promise<number> {
  const net = new FNN(model)
  const history = await net.fit(data.x, targetsOf(data), fit)
  const { accuracy, r2 } = net.evaluate(data.x, targetsOf(data))
  if (history.status === 'diverged') return accuracy === undefined ? -1 : 0
  return accuracy ?? Math.max(-1, r2 ?? -1)
}
