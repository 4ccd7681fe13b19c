/**
 * Runs that are stopped between two steps and gone on with: programs, a way to stop them anywhere, and what must be the
 * same. `test/resume.test.ts` asks at some steps, `test/long/resume.ts` at every one.
 */
import { createHash } from 'node:crypto'
import {
  activation,
  adam,
  batchNorm,
  cosine,
  DownhillError,
  dense,
  dropout,
  type FitOptions,
  FNN,
  type History,
  type ModelOptions,
  plateau,
  sgd,
  warmup,
} from 'downhill'
import { flat } from './truth'

/** Three noisy clouds, 60 rows: of the 48 that train, a batch of 10 leaves 8. */
export const x = Array.from({ length: 60 }, (_, i) => [Math.sin(i), Math.cos(3 * i), (i % 7) / 7])
export const labels = x.map(([a, b]) => (a > 0.3 ? 'cat' : b > 0 ? 'dog' : 'cow'))
const amounts = x.map(([a, b, c]) => 1000 + 50 * a - 20 * b * c)

export interface Training {
  readonly model: ModelOptions
  readonly y: readonly (string | number)[]
  readonly fit: FitOptions
  /** Trained before, with the state kept: the run begins in the middle of a model's life. */
  readonly before?: FitOptions
}

const layers = [dense(7, 'tanh'), dropout(0.3), dense(3, 'softmax')]
const halved = {
  onEpochBegin(moment: { epoch: number; learningRate: number }) {
    if (moment.epoch % 3 === 2) moment.learningRate /= 2
  },
}

/** Everything that a run carries from step to step. */
export const TRAININGS: Readonly<Record<string, Training>> = {
  'adam, dropout, mini-batches, validation, l2, early stopping': {
    model: { layers, l2: 0.01 },
    y: labels,
    fit: {
      epochs: 20,
      batchSize: 10,
      optimizer: adam(),
      learningRate: 0.05,
      validation: 0.2,
      earlyStopping: { patience: 8 },
    },
  },
  'full batch, momentum, standardized, the best of a loss that rises again': {
    model: { hidden: [6], standardize: true },
    y: amounts,
    fit: { epochs: 20, optimizer: sgd({ momentum: 0.95 }), learningRate: 0.1, keep: 'best' },
  },
  'a rate that callbacks change, a metric monitored, running statistics': {
    model: { layers: [dense(7), batchNorm(), activation('tanh'), dense(3, 'softmax')] },
    y: labels,
    fit: {
      epochs: 12,
      batchSize: 16,
      sampleWeight: x.map((_, i) => (i % 5) / 2),
      classWeight: 'balanced',
      optimizer: 'rmsprop',
      validation: { x: x.slice(0, 9), y: labels.slice(0, 9) },
      earlyStopping: { monitor: 'accuracy', patience: 20 },
      callbacks: halved,
    },
  },
  'a partialFit after another, rows in their order': {
    model: { layers },
    y: labels,
    fit: { epochs: 6, batchSize: 25, optimizer: adam({ beta1: 0.8 }), shuffle: false },
    before: { epochs: 3, batchSize: 25, optimizer: adam({ beta1: 0.8 }) },
  },
  'averaged weights, a schedule with warm-up, clipped and accumulated gradients': {
    model: { layers },
    y: labels,
    fit: {
      epochs: 6,
      batchSize: 7,
      accumulate: 2,
      clipNorm: 0.5,
      ema: 0.9,
      optimizer: 'nadam',
      learningRate: warmup({ length: 4, schedule: cosine({ rate: 0.02, length: 6 }) }),
      validation: 0.2,
    },
  },
  'a rate that falls where the loss stays, orthogonal steps': {
    model: { hidden: [6, 5] },
    y: labels,
    fit: {
      epochs: 8,
      batchSize: 20,
      optimizer: 'muon',
      learningRate: plateau({ rate: 0.5, patience: 1, factor: 0.5, monitor: 'loss' }),
    },
  },
  'L-BFGS': {
    model: { hidden: [6], standardize: true },
    y: amounts,
    fit: { epochs: 12, optimizer: 'lbfgs' },
  },
}

export interface Outcome {
  readonly net: FNN
  readonly history: History
}

/** Trains without interruption. */
export async function train(training: Training, backend: ModelOptions, more: FitOptions = {}): Promise<Outcome> {
  const net = await begin(training, backend)
  const history = await start(net, training, more)
  return { net, history }
}

async function begin({ model, y, before }: Training, backend: ModelOptions): Promise<FNN> {
  const net = new FNN({ ...model, ...backend, seed: 3 })
  if (before) await net.partialFit(x, y as string[], before)
  return net
}

function start(net: FNN, { y, fit, before }: Training, more: FitOptions): PromiseLike<History> {
  const options = { ...fit, ...more }
  return before ? net.partialFit(x, y as string[], options) : net.fit(x, y as string[], options)
}

/** Trains to a step and stops there, by a signal or by `stop`; its checkpoint is then at `path`. */
export async function trainTo(step: number, path: string, training: Training, backend: ModelOptions): Promise<void> {
  const controller = new AbortController()
  const stopper = {
    onBatchEnd(moment: { step: number; stop(): void }) {
      if (moment.step !== step) return
      if (step % 2) controller.abort()
      else moment.stop()
    },
  }
  const callbacks = [training.fit.callbacks ?? [], stopper].flat()
  const net = await begin(training, backend)
  try {
    await start(net, training, { checkpoint: { path, everyEpochs: 1000 }, callbacks, signal: controller.signal })
  } catch (error) {
    if (!(error instanceof DownhillError && error.code === 'ERR_ABORTED')) throw error
  }
}

/** Goes on in a model of the same options, or in the one that the file holds. */
export async function goOn(
  path: string,
  training: Training,
  backend: ModelOptions,
  isLoaded = false,
): Promise<Outcome> {
  const { backend: name } = backend
  const net = isLoaded
    ? await FNN.load(path, { ...(name && { backend: name }) })
    : new FNN({ ...training.model, ...backend, seed: 3 })
  const history = await start(net, training, { resume: isLoaded ? true : path })
  return { net, history }
}

/** A hash of weights, predictions and history, all but the time. */
export function hashOf({ net, history }: Outcome): string {
  const { seconds, ...rest } = history.toJSON()
  const text = JSON.stringify([flat(net.weights()), net.predict(x), rest], (_, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  )
  return createHash('sha256').update(text).digest('hex')
}
