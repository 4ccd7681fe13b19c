/**
 * convnetjs: one sample at a time, gradients summed over a batch, double precision.
 *
 * It has no Adam (Adadelta, which its author recommends, stands in) and no sigmoid cross-entropy (softmax over two).
 */
import { type Contender, type LoadedTask, type Open, peer } from '../contract'

interface Vol {
  w: Float64Array
}
interface Layer {
  layer_type: string
  filters: Vol[]
  biases: Vol
}
interface Net {
  layers: Layer[]
  makeLayers(definitions: object[]): void
  forward(x: Vol, isTraining: boolean): Vol
  getPrediction(): number
}
interface Convnet {
  Net: new () => Net
  Vol: new (sx: number, sy: number, depth: number, fill: number) => Vol
  Trainer: new (net: Net, options: object) => { train(x: Vol, label: number): { cost_loss: number } }
}

const cpu: Open = async (task) => {
  const { module: convnet, version } = await peer<Convnet>('convnetjs')
  return contender(task, convnet, version)
}
export const open = { cpu }

function contender(task: LoadedTask, convnet: Convnet, version: string): Contender {
  const { layers: sizes, rows, passes, labels } = task
  const classes = Math.max(2, sizes[sizes.length - 1])
  const net = new convnet.Net()
  net.makeLayers([
    { type: 'input', out_sx: 1, out_sy: 1, out_depth: sizes[0] },
    ...sizes.slice(1, -1).map((num_neurons) => ({ type: 'fc', num_neurons, activation: task.activation })),
    { type: 'softmax', num_classes: classes },
  ])
  const floats = task.floats()
  const x = Array.from({ length: rows }, (_, i) => {
    const vol = new convnet.Vol(1, 1, sizes[0], 0)
    vol.w.set(floats.subarray(i * sizes[0], (i + 1) * sizes[0]))
    return vol
  })
  let trainer = new convnet.Trainer(net, {})
  const differences = [
    ...(task.optimizer === 'adam' && task.kind === 'train' ? ['Adadelta, for want of Adam'] : []),
    ...(task.output === 'sigmoid' ? ['softmax over two classes'] : []),
  ]
  return {
    version,
    differs: differences.join(', ') || undefined,
    reset() {
      const full = net.layers.filter(({ layer_type }) => layer_type === 'fc')
      task.start().forEach(({ W, b, I, O }, l) => {
        full[l].filters.forEach((filter, o) => {
          // A single output becomes the second of two classes, the first being 0.
          const from = O === 1 ? o - 1 : o
          for (let i = 0; i < I; i++) filter.w[i] = from < 0 ? 0 : W[i * O + from]
          full[l].biases.w[o] = from < 0 ? 0 : b[from]
        })
      })
      trainer = new convnet.Trainer(net, {
        method: task.optimizer === 'adam' ? 'adadelta' : 'sgd',
        learning_rate: task.learningRate,
        batch_size: task.batch,
        momentum: 0,
      })
    },
    block() {
      if (task.kind === 'predict') {
        const found = new Uint8Array(rows)
        for (let pass = 0; pass < passes; pass++)
          for (let i = 0; i < rows; i++) {
            net.forward(x[i], false)
            found[i] = net.getPrediction()
          }
        return found
      }
      const losses = new Float64Array(passes)
      for (let pass = 0; pass < passes; pass++)
        for (let i = 0; i < rows; i++) losses[pass] += trainer.train(x[i], labels[i]).cost_loss / rows
      return losses
    },
    probabilities: (n) => x.slice(0, n).flatMap((row) => Array.from(net.forward(row, false).w)),
  }
}
