/**
 * The network of the question at its two starts, on its two kinds of input, and the rates at which it is trained.
 */
import { dense, FNN, normal, uniform } from 'downhill'

export const SEED = 1
export const EPOCHS = 100
export const RATES = [0.01, 0.1, 1]
/** A rise is more than this share of the loss: less is rounding in float32. */
export const TOLERANCE = 1e-5

/** How W1, W2 and W3 are drawn. Biases begin at zero. */
export const STARTS = [
  {
    name: "the asker's start",
    short: "asker's",
    says: 'W1 uniform in [0, 1), W2 and W3 standard normal',
    weights: [uniform(0, 1), normal(1), normal(1)],
  },
  {
    name: 'the scaled start',
    short: 'scaled',
    says: 'normal, with standard deviation 1/√(fan-in)',
    weights: [normal(1 / Math.sqrt(30)), normal(1 / Math.sqrt(128)), normal(1 / Math.sqrt(64))],
  },
] as const
export type Start = (typeof STARTS)[number]

export const INPUTS = [
  { name: 'standardised inputs', short: 'standardised', standardize: 'inputs' },
  { name: 'raw inputs', short: 'raw', standardize: false },
] as const
export type Inputs = (typeof INPUTS)[number]

/** Two starts on two kinds of input. */
export const CELLS = STARTS.flatMap((start) => INPUTS.map((inputs) => ({ start, inputs })))

interface Options {
  backend?: 'native' | 'typescript'
  dtype?: 'float64'
}

/** The options of `network`, as the doctor changes them. */
export function program(start: Start, inputs: Inputs) {
  const [W1, W2, W3] = start.weights
  return {
    inputs: 30,
    layers: [
      dense(128, 'tanh', { initializer: W1 }),
      dense(64, 'tanh', { initializer: W2 }),
      dense(1, 'sigmoid', { initializer: W3 }),
    ],
    loss: 'binaryCrossEntropy',
    standardize: inputs.standardize,
    seed: SEED,
  } as const
}

/** The question's network at one of its starts. */
export function network(start: Start, inputs: Inputs, options: Options = {}): FNN {
  return new FNN({ ...program(start, inputs), ...options })
}
