/**
 * brain.js: an update after every sample, squared error, one activation for all layers, the output's among them.
 *
 * So it cannot do the tasks as they stand; what it does is as many passes over the same rows with a net of that size.
 */
import { type Contender, type LoadedTask, type Open, peer } from '../contract'

interface NeuralNetwork {
  sizes: number[]
  weights: Float32Array[][]
  biases: Float32Array[]
  initialize(): void
  train(data: { input: Float32Array; output: Float32Array }[], options: object): { error: number }
  run(input: Float32Array): Float32Array
}
interface Brain {
  NeuralNetwork: new (options: object) => NeuralNetwork
}

const cpu: Open = async (task) => {
  const { module: brain, version } = await peer<Brain>('brain.js')
  return contender(task, brain, version)
}
export const open = { cpu }

function contender(task: LoadedTask, brain: Brain, version: string): Contender {
  const { layers: sizes, rows, passes } = task
  const [inputs, outputs] = [sizes[0], sizes[sizes.length - 1]]
  const floats = task.floats()
  const data = Array.from({ length: rows }, (_, i) => ({
    input: floats.subarray(i * inputs, (i + 1) * inputs),
    output: Float32Array.from({ length: outputs }, (_, o) =>
      Number(outputs === 1 ? task.labels[i] : o === task.labels[i]),
    ),
  }))
  const net = new brain.NeuralNetwork({ hiddenLayers: sizes.slice(1, -1), activation: task.activation })
  net.sizes = [...sizes]
  return {
    version,
    differs:
      task.kind === 'train'
        ? 'an update a sample with momentum 0.1, squared error'
        : `${task.activation} at the output too`,
    reset() {
      net.initialize()
      task.start().forEach(({ W, b, I, O }, l) => {
        net.biases[l + 1].set(b)
        net.weights[l + 1].forEach((to, o) => {
          for (let i = 0; i < I; i++) to[i] = W[i * O + o]
        })
      })
    },
    block() {
      if (task.kind === 'predict') {
        const classes = new Uint8Array(rows)
        for (let pass = 0; pass < passes; pass++)
          for (let i = 0; i < rows; i++) {
            const out = net.run(data[i].input)
            classes[i] = out.indexOf(Math.max(...out))
          }
        return classes
      }
      net.train(data, { iterations: passes, errorThresh: Number.MIN_VALUE, learningRate: 0.01, log: false })
      return []
    },
    probabilities: (n) => data.slice(0, n).flatMap(({ input }) => Array.from(net.run(input))),
  }
}
