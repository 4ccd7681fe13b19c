/**
 * jax-js on WebAssembly: the whole step (loss, gradient, update) in one `jit`, as its documentation advises.
 *
 * Its arrays are reference-counted: an argument is consumed by the call unless `.ref` is passed.
 */
import { type Contender, type LoadedTask, type Open, oneHot, peer } from '../contract'

interface Arr {
  readonly ref: Arr
  add(other: Arr | number): Arr
  sub(other: Arr | number): Arr
  mul(other: Arr | number): Arr
  div(other: Arr | number): Arr
  neg(): Arr
  sum(axis?: number): Arr
  mean(): Arr
  reshape(shape: number[]): Arr
  dispose(): void
  data(): Promise<Float32Array>
  dataSync(): Float32Array
}
interface Jax {
  init(device: 'wasm'): Promise<string[]>
  defaultDevice(device: 'wasm'): string
  jit<F>(f: F): F
  valueAndGrad<F extends (params: Arr[], x: Arr, t: Arr) => Arr>(f: F): (params: Arr[], x: Arr, t: Arr) => [Arr, Arr[]]
  numpy: {
    array(values: Float32Array | number): Arr
    zerosLike(a: Arr): Arr
    matmul(a: Arr, b: Arr): Arr
    tanh(a: Arr): Arr
    sqrt(a: Arr): Arr
    argmax(a: Arr, axis: number): Arr
  }
  nn: {
    relu(a: Arr): Arr
    softplus(a: Arr): Arr
    softmax(a: Arr, axis: number): Arr
    logSoftmax(a: Arr, axis: number): Arr
  }
}

const wasm: Open = async (task) => {
  const { module: jax, version } = await peer<Jax>('@jax-js/jax')
  await jax.init('wasm')
  jax.defaultDevice('wasm')
  return task.kind === 'train' ? trainer(task, jax, version) : predictor(task, jax, version)
}
export const open = { wasm }

function forward({ activation }: LoadedTask, { numpy: np, nn }: Jax, params: Arr[], x: Arr): Arr {
  let h = x
  for (let l = 0; l < params.length; l += 2) {
    const z = np.matmul(h, params[l]).add(params[l + 1])
    h = l + 2 < params.length ? (activation === 'tanh' ? np.tanh(z) : nn.relu(z)) : z
  }
  return h
}

function upload({ numpy: np }: Jax, task: LoadedTask): Arr[] {
  return task.start().flatMap(({ W, b, I, O }) => [np.array(W.slice()).reshape([I, O]), np.array(b.slice())])
}

function trainer(task: LoadedTask, jax: Jax, version: string): Contender {
  const { rows, batch, layers, learningRate, optimizer } = task
  const { numpy: np, nn } = jax
  const [inputs, outputs] = [layers[0], layers[layers.length - 1]]
  const cut = (values: Float32Array, columns: number): Arr[] =>
    Array.from({ length: rows / batch }, (_, i) =>
      np.array(values.slice(i * batch * columns, (i + 1) * batch * columns)).reshape([batch, columns]),
    )
  const x = cut(task.floats(), inputs)
  const t = cut(outputs === 1 ? Float32Array.from(task.labels) : oneHot(task.labels, outputs), outputs)

  // Two jits, not one: in one, the products that make a gradient are computed again for each use of it.
  const gradient = jax.jit(
    jax.valueAndGrad((params, bx, bt) => {
      const z = forward(task, jax, params, bx)
      if (task.output === 'sigmoid') return nn.softplus(z.ref).sub(z.mul(bt)).mean()
      return nn.logSoftmax(z, 1).mul(bt).sum(1).mean().neg()
    }),
  )
  const descend = jax.jit((params: Arr[], g: Arr[]) => params.map((p, i) => p.sub(g[i].mul(learningRate))))
  const adam = jax.jit((params: Arr[], g: Arr[], m: Arr[], v: Arr[], first: Arr, second: Arr) => {
    const m1 = m.map((mi, i) => mi.mul(0.9).add(g[i].ref.mul(0.1)))
    const v1 = v.map((vi, i) => vi.mul(0.999).add(g[i].ref.mul(g[i]).mul(0.001)))
    const next = params.map((p, i) => p.sub(m1[i].ref.mul(first.ref).div(np.sqrt(v1[i].ref.mul(second.ref)).add(1e-8))))
    first.dispose()
    second.dispose()
    return { params: next, m: m1, v: v1 }
  })

  let params: Arr[] = []
  let [m, v]: Arr[][] = [[], []]
  let k = 0
  const step = (i: number): Arr => {
    const refs = params.map((p) => p.ref)
    const [loss, g] = gradient(refs, x[i].ref, t[i].ref)
    if (optimizer === 'sgd') {
      params = descend(params, g)
      return loss
    }
    k++
    const first = np.array(learningRate / (1 - 0.9 ** k))
    const second = np.array(1 / (1 - 0.999 ** k))
    const next = adam(params, g, m, v, first, second)
    params = next.params
    m = next.m
    v = next.v
    return loss
  }
  return {
    version: `${version} wasm`,
    reset() {
      for (const a of [...params, ...m, ...v]) a.dispose()
      params = upload(jax, task)
      m = optimizer === 'adam' ? params.map((p) => np.zerosLike(p.ref)) : []
      v = optimizer === 'adam' ? params.map((p) => np.zerosLike(p.ref)) : []
      k = 0
    },
    block() {
      const losses: number[] = []
      for (let pass = 0; pass < task.passes; pass++) {
        let total = 0
        // Reading the loss runs what is pending; left to pile up, that queue makes steps slower and slower.
        for (let i = 0; i < x.length; i++) total += step(i).dataSync()[0]
        losses.push(total / x.length)
      }
      return losses
    },
  }
}

function predictor(task: LoadedTask, jax: Jax, version: string): Contender {
  const { rows, batch, layers } = task
  const { numpy: np, nn } = jax
  const inputs = layers[0]
  const floats = task.floats()
  const params = upload(jax, task)
  const logits = jax.jit((p: Arr[], x: Arr) => forward(task, jax, p, x))
  const refs = (): Arr[] => params.map((p) => p.ref)
  const take = (from: number, n: number): Arr =>
    np.array(floats.slice(from * inputs, (from + n) * inputs)).reshape([n, inputs])
  const x = Array.from({ length: rows / batch }, (_, i) => take(i * batch, batch))
  const classify = jax.jit((p: Arr[], bx: Arr) => np.argmax(forward(task, jax, p, bx), 1))
  return {
    version: `${version} wasm`,
    reset() {},
    async block() {
      const classes = new Uint8Array(rows)
      for (let pass = 0; pass < task.passes; pass++)
        for (let i = 0; i < x.length; i++) classes.set(await classify(refs(), x[i].ref).data(), i * batch)
      return classes
    },
    probabilities: (n) => nn.softmax(logits(refs(), take(0, n)), 1).data(),
  }
}
