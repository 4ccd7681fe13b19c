/**
 * TensorFlow.js on its cpu, wasm and node backends: variables, an optimizer's `minimize`, everything inside `tidy`.
 *
 * The core API rather than `model.fit`, which adds its callbacks and yields to every batch; fused products where they
 * have gradients (relu).
 */
import { type Contender, type LoadedTask, type Open, oneHot, peer, Unable } from '../contract'

interface Tensor {
  readonly shape: number[]
  add(other: Tensor): Tensor
  tanh(): Tensor
  argMax(axis: number): Tensor
  softmax(): Tensor
  slice(begin: number[], size: number[]): Tensor
  dispose(): void
  dataSync(): Float32Array
}
interface Variable extends Tensor {
  assign(value: Tensor): void
}
interface Optimizer {
  minimize(f: () => Tensor, returnCost: true): Tensor
  dispose(): void
}
interface Tensorflow {
  setBackend(name: string): Promise<boolean>
  ready(): Promise<void>
  getBackend(): string
  tidy<T>(f: () => T): T
  tensor2d(values: Float32Array, shape: [number, number]): Tensor
  tensor1d(values: Float32Array): Tensor
  variable(value: Tensor): Variable
  matMul(a: Tensor, b: Tensor): Tensor
  fused: { matMul(of: { a: Tensor; b: Tensor; bias: Tensor; activation: 'relu' | 'linear' }): Tensor }
  losses: {
    sigmoidCrossEntropy(labels: Tensor, logits: Tensor): Tensor
    softmaxCrossEntropy(labels: Tensor, logits: Tensor): Tensor
  }
  train: { sgd(rate: number): Optimizer; adam(rate: number, beta1: number, beta2: number, epsilon: number): Optimizer }
}

const on =
  (backend: 'cpu' | 'wasm' | 'node'): Open =>
  async (task) => {
    const { module: tf, version } = await peer<Tensorflow>(
      backend === 'node' ? '@tensorflow/tfjs-node' : '@tensorflow/tfjs',
    )
    if (backend === 'wasm') await peer('@tensorflow/tfjs-backend-wasm')
    const name = backend === 'node' ? 'tensorflow' : backend
    await tf.setBackend(name)
    await tf.ready()
    if (tf.getBackend() !== name) throw new Unable(`its ${name} backend does not start`)
    return task.kind === 'train'
      ? trainer(task, tf, `${version} ${backend}`)
      : predictor(task, tf, `${version} ${backend}`)
  }
export const open = { cpu: on('cpu'), wasm: on('wasm'), node: on('node') }

function forward(tf: Tensorflow, { activation }: LoadedTask, layers: readonly Variable[][], x: Tensor): Tensor {
  return layers.reduce((a, [W, bias], l) => {
    const hidden = l < layers.length - 1
    if (activation === 'relu') return tf.fused.matMul({ a, b: W, bias, activation: hidden ? 'relu' : 'linear' })
    const z = tf.matMul(a, W).add(bias)
    return hidden ? z.tanh() : z
  }, x)
}

function variables(tf: Tensorflow, task: LoadedTask): Variable[][] {
  return task.start().map(({ W, b, I, O }) => [tf.variable(tf.tensor2d(W, [I, O])), tf.variable(tf.tensor1d(b))])
}

function trainer(task: LoadedTask, tf: Tensorflow, version: string): Contender {
  const { rows, batch, layers: sizes, learningRate } = task
  const [inputs, outputs] = [sizes[0], sizes[sizes.length - 1]]
  const cut = (values: Float32Array, columns: number): Tensor[] =>
    Array.from({ length: rows / batch }, (_, i) =>
      tf.tensor2d(values.slice(i * batch * columns, (i + 1) * batch * columns), [batch, columns]),
    )
  const x = cut(task.floats(), inputs)
  const t = cut(outputs === 1 ? Float32Array.from(task.labels) : oneHot(task.labels, outputs), outputs)
  const { sigmoidCrossEntropy, softmaxCrossEntropy } = tf.losses
  const loss = task.output === 'sigmoid' ? sigmoidCrossEntropy : softmaxCrossEntropy
  const layers = variables(tf, task)
  let optimizer: Optimizer | undefined
  return {
    version,
    reset() {
      tf.tidy(() => {
        task.start().forEach(({ W, b, I, O }, l) => {
          layers[l][0].assign(tf.tensor2d(W, [I, O]))
          layers[l][1].assign(tf.tensor1d(b))
        })
      })
      optimizer?.dispose()
      optimizer = task.optimizer === 'sgd' ? tf.train.sgd(learningRate) : tf.train.adam(learningRate, 0.9, 0.999, 1e-8)
    },
    block() {
      const losses: number[] = []
      for (let pass = 0; pass < task.passes; pass++) {
        let total = 0
        for (let i = 0; i < x.length; i++)
          total += tf.tidy(
            () => optimizer!.minimize(() => loss(t[i], forward(tf, task, layers, x[i])), true).dataSync()[0],
          )
        losses.push(total / x.length)
      }
      return losses
    },
  }
}

function predictor(task: LoadedTask, tf: Tensorflow, version: string): Contender {
  const { rows, batch, layers: sizes } = task
  const inputs = sizes[0]
  const layers = variables(tf, task)
  const floats = task.floats()
  const take = (from: number, n: number): Tensor =>
    tf.tensor2d(floats.slice(from * inputs, (from + n) * inputs), [n, inputs])
  const x = Array.from({ length: rows / batch }, (_, i) => take(i * batch, batch))
  return {
    version,
    reset() {},
    block() {
      const classes = new Uint8Array(rows)
      for (let pass = 0; pass < task.passes; pass++)
        for (let i = 0; i < x.length; i++)
          classes.set(
            tf.tidy(() => forward(tf, task, layers, x[i]).argMax(1).dataSync()),
            i * batch,
          )
      return classes
    },
    probabilities: (n) => tf.tidy(() => forward(tf, task, layers, take(0, n)).softmax().dataSync()),
  }
}
