/**
 * This library as a contender, through its public names only, as a user would call it: `fit` awaited, data handed over
 * anew for each fit, so that the check, the copy and the crossing are all inside the figure.
 */
import { backendInfo, FNN } from 'downhill'
import type { Contender, LoadedTask, Open } from './contract'

type Kind = { readonly backend: 'native' | 'typescript'; readonly dtype?: 'float64' }
const on =
  (kind: Kind): Open =>
  async (task, threads) =>
    contender(task, kind, threads)

/** Variants. */
export const open: Readonly<Record<string, Open>> = {
  native: on({ backend: 'native' }),
  typescript: on({ backend: 'typescript' }),
  float64: on({ backend: 'typescript', dtype: 'float64' }),
}

function contender(task: LoadedTask, kind: Kind, threads: number): Contender {
  const { layers, rows, batch } = task
  const [inputs, outputs] = [layers[0], layers[layers.length - 1]]
  const net = new FNN({
    inputs,
    outputs,
    hidden: layers.slice(1, -1),
    activation: task.activation,
    task: task.output === 'sigmoid' ? 'binary' : 'multiclass',
    seed: 1,
    ...kind,
    threads,
  })
  const start = task.start().map(({ W, b, I, O }) => ({ weights: { data: W, rows: I, columns: O }, bias: b }))
  net.setWeights(start)
  const { blas, simd } = backendInfo()
  const version = kind.backend === 'native' ? `${blas}, ${simd}` : `this Node`
  const x = { data: task.stored, rows, columns: inputs, scale: task.x.scale }

  if (task.kind === 'train') {
    return {
      version,
      reset: () => net.setWeights(start),
      async block() {
        const { optimizer, learningRate, passes: epochs } = task
        const options = { optimizer, learningRate, batchSize: batch, epochs, shuffle: false }
        return (await net.fit(x, task.labels, options)).loss
      },
    }
  }
  const floats = task.floats()
  const classes = new Uint8Array(rows)
  const calls = Array.from({ length: rows / batch }, (_, i) =>
    floats.subarray(i * batch * inputs, (i + 1) * batch * inputs),
  )
  const arguments_ = batch === 1 ? calls : calls.map((data) => ({ data, rows: batch, columns: inputs }))
  return {
    version,
    reset() {},
    block() {
      for (let pass = 0; pass < task.passes; pass++)
        for (let i = 0; i < arguments_.length; i++) classes.set(net.predict(arguments_[i]) as number[], i * batch)
      return classes
    },
    probabilities: (n) => flat(net.predictProba({ data: floats.subarray(0, n * inputs), rows: n, columns: inputs })),
  }
}

const flat = (p: ArrayLike<number> | { data: ArrayLike<number> }): ArrayLike<number> => ('data' in p ? p.data : p)
