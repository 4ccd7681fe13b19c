/**
 * Small networks of every kind with data, drawn by a number: what limits and curvature are proved on, a few in
 * `npm test`, many in test/long.
 */
import {
  type ActivationName,
  adagrad,
  adam,
  adamw,
  amsgrad,
  binaryCrossEntropy,
  crossEntropy,
  dense,
  FNN,
  huber,
  mae,
  mse,
  nadam,
  type OptimizerSpec,
  rmsprop,
  sgd,
} from 'downhill'
import { random } from '../dist/random'

export const OPTIMIZERS: readonly OptimizerSpec[] = [
  sgd(),
  sgd({ momentum: 0.9 }),
  sgd({ momentum: 0.9, nesterov: true }),
  adam(),
  adamw(),
  rmsprop(),
  sgd({ weightDecay: 0.01 }),
  adagrad(),
  amsgrad(),
  nadam(),
]
const ACTIVATIONS: readonly ActivationName[] = [
  ...(['tanh', 'relu', 'gelu', 'sigmoid', 'softplus', 'silu', 'elu', 'leakyRelu', 'selu'] as const),
]
const TASKS = [
  {
    task: 'regression',
    losses: [mse(), mse({ scale: 0.5, reduction: 'sum' }), mae(), huber()],
    output: 'linear',
    K: 1,
  },
  { task: 'binary', losses: [binaryCrossEntropy()], output: 'sigmoid', K: 1 },
  { task: 'multiclass', losses: [crossEntropy()], output: 'softmax', K: 3 },
] as const

export interface SmallNet {
  readonly name: string
  readonly optimizer: OptimizerSpec
  readonly x: number[][]
  readonly y: number[]
  /** Epochs trained before, with the state kept. */
  readonly warm: number
  /** A net in float64 after those epochs; each call makes the same one. */
  make(): Promise<FNN>
}

/** Sizes, scales, task, loss, activation, optimizer and penalty are drawn by `number`. */
export function smallNet(number: number): SmallNet {
  const from = random(number, 'sample')
  const pick = <T>(list: readonly T[]): T => list[from.below(list.length)]
  const [inputs, rows] = [1 + from.below(8), 5 + from.below(60)]
  const hidden = Array.from({ length: from.below(3) }, () => 2 + from.below(24))
  const activation = pick(ACTIVATIONS)
  const { task, losses, output, K } = TASKS[number % TASKS.length]
  const loss = pick(losses)
  const optimizer = pick(OPTIMIZERS)
  const [l2, initScale, size] = [pick([0, 0.01]), pick([0.3, 1, 3]), pick([1, 5])]
  const warm = pick([0, 10])
  const x = Array.from({ length: rows }, () => Array.from({ length: inputs }, () => size * from.normal()))
  const targets = {
    regression: (row: number[]) => row.reduce((sum, v) => sum + Math.sin(v), 0),
    binary: (row: number[]) => Number(row[0] + 0.5 * from.normal() > 0),
    multiclass: () => from.below(3),
  }
  const y = x.map(targets[task])
  const layers = [...hidden.map((units) => dense(units, activation)), dense(K, output)]
  const options = { inputs, layers, loss, task, l2, initScale, seed: number, dtype: 'float64' } as const
  const name = `${number}: ${task} ${loss.kind}, ${inputs}-${hidden.join('-')} ${activation}, ${optimizer.kind}, warm ${warm}`
  return {
    name,
    optimizer,
    x,
    y,
    warm,
    async make() {
      const net = new FNN({ ...options, backend: 'typescript' })
      await net.partialFit(x, y, { epochs: 1, learningRate: 0, optimizer: 'sgd' })
      if (warm > 0) await net.partialFit(x, y, { epochs: warm, optimizer, learningRate: 1e-4 })
      return net
    },
  }
}

export interface Verdict {
  readonly nextStep: number
  /** Whether it rises at 1.01 times the limit, and not at 0.99 times; null where there is no limit to try. */
  readonly holds: boolean | null
}

/** Asks a net for its limit, and takes one step at 1.01 and at 0.99 times that. */
export async function tryNextStep({ optimizer, x, y, make }: SmallNet): Promise<Verdict> {
  const net = await make()
  const { nextStep } = await net.learningRateLimits(x, y, { optimizer })
  if (!(nextStep > 0 && Number.isFinite(nextStep))) return { nextStep, holds: null }
  const rises = async (factor: number): Promise<boolean> => {
    const options = { epochs: 2, optimizer, learningRate: factor * nextStep }
    const { loss } = await (await make()).partialFit(x, y, options)
    // A rise is more than 1e-12 of the loss; what is not finite has risen.
    return !(loss[1] <= loss[0] * (1 + 1e-12))
  }
  return { nextStep, holds: (await rises(1.01)) && !(await rises(0.99)) }
}
