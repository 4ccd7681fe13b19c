/** ml-fnn: full batches, softmax, tanh. Sums gradients over the rows, where the task takes their mean: the rate makes up for it. */
import { type Contender, type Open, peer, Unable } from '../contract'

interface Matrix {
  set(row: number, column: number, value: number): void
}
interface Network {
  iterations: number
  model: { W: Matrix; b: Matrix }[]
  train(features: number[][], labels: number[]): void
}
type Fnn = new (options: object) => Network

const cpu: Open = async (task): Promise<Contender> => {
  if (task.activation !== 'tanh')
    throw new Unable('trains with tanh whatever it is given (its check of the name never holds)')
  if (task.batch !== task.rows) throw new Unable('knows full batches only')
  const { module: Fnn, version } = await peer<Fnn>('ml-fnn')
  const { layers: sizes, rows } = task
  const floats = task.floats()
  const x = Array.from({ length: rows }, (_, i) => Array.from(floats.subarray(i * sizes[0], (i + 1) * sizes[0])))
  const labels = Array.from(task.labels)
  let net: Network
  return {
    version,
    differs: 'softmax over two classes; tells no loss',
    reset() {
      net = new Fnn({
        hiddenLayers: sizes.slice(1, -1),
        iterations: 1,
        learningRate: task.learningRate / rows,
        // 0 would be taken for not given, and become 0.01.
        regularization: Number.MIN_VALUE,
        activation: task.activation,
      })
      // The layers are made by the first training, which two rows of either class do cheaply.
      net.train([x[labels.indexOf(0)], x[labels.indexOf(1)]], [0, 1])
      task.start().forEach(({ W, b, I, O }, l) => {
        const { W: mine, b: bias } = net.model[l]
        for (let o = 0; o < Math.max(O, l === net.model.length - 1 ? 2 : 1); o++) {
          // A single output becomes the second of two classes, the first being 0.
          const from = l === net.model.length - 1 ? o - 1 : o
          for (let i = 0; i < I; i++) mine.set(i, o, from < 0 ? 0 : W[i * O + from])
          bias.set(0, o, from < 0 ? 0 : b[from])
        }
      })
      net.iterations = task.passes
    },
    block() {
      net.train(x, labels)
      return []
    },
  }
}
export const open = { cpu }
