/**
 * The edge of stability on Chebyshev regression (Cohen et al. 2021; locuslab/edge-of-stability, `chebyshev-4-20`): 1-100-1
 * tanh without an output bias, ½·mse, full-batch descent. Sharpness settles where the rate allows no more, at 2/η.
 */
import { dense, FNN, mse, normal } from 'downhill'

export interface Edge {
  /** Mean sharpness over the second half of the run, times η/2. */
  readonly product: number
  readonly first: number
  readonly last: number
  readonly rises: number
}

/** Of the long form, `npm run doctor:edge`. */
const STEPS = 40_000
/** Points in the second half at which the sharpness is taken. */
const SAMPLES = 40

export async function edgeOfStability(
  degree: number,
  learningRate: number,
  seed: number,
  steps = STEPS,
): Promise<Edge> {
  const x = Array.from({ length: 20 }, (_, i) => -1 + (2 * i) / 19)
  const y = x.map((v) => Math.cos(degree * Math.acos(v)))
  // Xavier normal of gains 1.9 and 1.
  const xavier = Math.sqrt(2 / 101)
  const layers = [
    dense(100, 'tanh', { initializer: normal(1.9 * xavier) }),
    dense(1, 'linear', { initializer: normal(xavier), bias: false }),
  ]
  const net = new FNN({
    layers,
    loss: mse({ scale: 0.5 }),
    task: 'regression',
    seed,
    dtype: 'float64',
    backend: 'typescript',
  })
  const half = await net.partialFit(x, y, { epochs: steps / 2, learningRate })
  const losses = [...half.loss]
  let sum = 0
  for (let i = 0; i < SAMPLES; i++) {
    const { loss } = await net.partialFit(x, y, { epochs: steps / 2 / SAMPLES, learningRate })
    losses.push(...loss)
    sum += (await net.sharpness(x, y, { k: 1 })).values[0]
  }
  const rises = losses.filter((loss, i) => i > 0 && loss - losses[i - 1] > 1e-12 * losses[i - 1]).length
  return { product: ((sum / SAMPLES) * learningRate) / 2, first: losses[0], last: losses[losses.length - 1], rises }
}
