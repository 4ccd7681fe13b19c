/**
 * Layers against PyTorch (test/fixtures/layers.py): outputs, gradients and trainings of small networks of every kind; then
 * what holds of every layer: it is saved and read as it is, shown in summaries, and built from plain data.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  activation,
  batchNorm,
  DownhillError,
  dense,
  type EmbeddingOptions,
  embedding,
  FNN,
  type LayerSpec,
  layerNorm,
  prelu,
  residual,
  sgd,
} from 'downhill'
import t from 'tap'
import { agree, onEachBackend, readJson, type TestBackend } from './truth'

/** A layer as the fixture describes it. */
type Described =
  | { kind: 'dense'; units: number; activation: 'tanh' }
  | { kind: 'activation'; activation: 'tanh' }
  | { kind: 'prelu' | 'layerNorm' | 'batchNorm'; options: object }
  | { kind: 'residual'; layers: Described[] }
  | ({ kind: 'embedding' } & EmbeddingOptions)

/** Values of one layer, by name; null where there is none. */
type Entry = Readonly<Record<string, number[][] | number[] | null>>

interface Network {
  name: string
  layers: Described[]
  x: number[][]
  y: number[][]
  start: Entry[]
  outputs: number[][]
  loss: number
  gradients: Entry[]
  runs: Record<string, { epochs: number; batchSize: number; loss: number[]; weights: Entry[]; outputs: number[][] }>
}

const { networks, learningRate, momentum } = readJson<{ networks: Network[]; learningRate: number; momentum: number }>(
  'layers.json',
)

function made(layer: Described): LayerSpec {
  if (layer.kind === 'dense') return dense(layer.units, layer.activation)
  if (layer.kind === 'activation') return activation(layer.activation)
  if (layer.kind === 'residual') return residual(layer.layers.map(made))
  if (layer.kind === 'embedding') {
    const { kind, ...options } = layer
    return embedding(options)
  }
  return { prelu, layerNorm, batchNorm }[layer.kind](layer.options)
}

function netOf({ layers, x, start }: Network, backend: TestBackend): FNN {
  const net = new FNN({
    inputs: x[0].length,
    layers: layers.map(made),
    loss: 'mse',
    task: 'regression',
    ...backend.options,
  })
  net.setWeights(start)
  return net
}

/** Numbers of a list of entries, names in their order in the alphabet, as ours and theirs alike. */
function flatten(entries: readonly object[]): number[] {
  return entries.flatMap((entry) =>
    Object.entries(entry)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([, value]) => numbersOf(value)),
  )
}

function numbersOf(value: unknown): number[] {
  if (value === null) return []
  if (Array.isArray(value)) return value.flat()
  return Array.from('data' in (value as object) ? (value as { data: Float64Array }).data : (value as Float64Array))
}

/** Lets a wrong argument past the compiler. */
const wrong = (value: unknown): never => value as never

const VALUES = { float64: { absolute: 1e-12 }, float32: { absolute: 3e-6 } }
const TRAINED = { float64: { absolute: 1e-9 }, float32: { absolute: 1e-4 } }

for (const network of networks)
  t.test(network.name, (t) =>
    onEachBackend(t, (t, backend) => {
      const { x, y, outputs, loss, gradients, runs, start } = network
      const net = netOf(network, backend)
      const near = VALUES[backend.dtype]
      agree(t, flatten(net.weights()), flatten(start), { absolute: 1e-7, relative: 1e-7 }, 'the start')
      agree(t, numbersOf(net.predict(x)), outputs.flat(), near, 'outputs')
      agree(t, [net.loss(x, y)], [loss], near, 'loss')
      agree(t, flatten(net.gradients(x, y).layers), flatten(gradients), near, 'gradients')
      for (const [kind, { epochs, batchSize, ...ends }] of Object.entries(runs)) {
        const trained = netOf(network, backend)
        const optimizer = sgd({ momentum })
        const history = trained.fitSync(x, y, { optimizer, learningRate, epochs, batchSize, shuffle: false })
        const allowed = TRAINED[backend.dtype]
        agree(t, history.loss, ends.loss, allowed, `${kind}: losses`)
        agree(t, flatten(trained.weights()), flatten(ends.weights), allowed, `${kind}: parameters`)
        agree(t, numbersOf(trained.predict(x)), ends.outputs.flat(), allowed, `${kind}: outputs`)
      }
    }),
  )

const folder = mkdtempSync(join(tmpdir(), 'downhill-layers-'))
t.teardown(() => rmSync(folder, { recursive: true }))

t.test('saved and read: the same parameters, the same outputs, the same training', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const network of networks) {
      const { x, y } = network
      const net = netOf(network, backend)
      net.fitSync(x, y, { epochs: 3, batchSize: 7 })
      const path = join(folder, 'net.safetensors')
      await net.save(path)
      const read = await FNN.load(path, { backend: backend.options.backend })
      t.strictSame(read.weights(), net.weights(), `${network.name}: parameters`)
      t.strictSame(read.predict(x), net.predict(x), `${network.name}: outputs`)
      t.strictSame(read.summary(), net.summary(), `${network.name}: summary`)
      for (const each of [net, read]) each.fitSync(x, y, { epochs: 2, batchSize: 7 })
      t.strictSame(read.weights(), net.weights(), `${network.name}: trained on`)
    }
  }),
)

t.test('gradients agree with differences, and curvature can be taken', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const network of networks) {
      const net = netOf(network, backend)
      const { ok, tensors } = await net.checkGradients(network.x, network.y)
      t.ok(ok && tensors.every(({ compared = 0 }) => compared > 0), `${network.name}: gradients`)
      const { values } = await net.sharpness(network.x, network.y, { k: 1 })
      const { stable } = await net.learningRateLimits(network.x, network.y)
      t.ok(values[0] > 0 && stable > 0, `${network.name}: sharpness ${values[0]}`)
    }
  }),
)

t.test('what is frozen stays as it is, to the bit, and its gradient is still reported', (t) =>
  onEachBackend(t, (t, backend) => {
    const [x, y] = [networks[0].x, networks[0].y]
    const build = (frozen: boolean) =>
      new FNN({
        inputs: 5,
        layers: [
          dense(6, 'tanh', { frozen }),
          batchNorm({ frozen }),
          prelu({ frozen }),
          dense(4, 'tanh'),
          layerNorm({ frozen }),
          dense(2),
        ],
        loss: 'mse',
        l2: 0.1,
        seed: 3,
        ...backend.options,
      })
    const [net, free] = [build(true), build(false)]
    t.strictSame(net.weights(), free.weights(), 'they start alike')
    t.strictSame(net.gradients(x, y), free.gradients(x, y), 'and have the same gradients')
    const before = net.weights()
    for (const optimizer of ['sgd', 'adamw', 'rmsprop'] as const)
      net.fitSync(x, y, { optimizer, epochs: 4, batchSize: 8 })
    for (const [i, after] of net.weights().entries())
      t[[3, 5].includes(i) ? 'strictNotSame' : 'strictSame'](after, before[i], `entry ${i}`)
    const { penalty } = build(true).fitSync(x, y, { epochs: 1 })
    const squares = [before[3], before[5]]
      .flatMap(({ weights }) => [...weights.data])
      .reduce((sum, w) => sum + w * w, 0)
    t.ok(Math.abs(penalty[0] - 0.05 * squares) < 1e-6, 'the penalty is of what is trained')
  }),
)

t.test('with nothing left to train, training is refused, and predicting is not', async (t) => {
  const layers = [dense(3, 'tanh', { frozen: true }), activation('relu'), dense(1, 'linear', { frozen: true })]
  const net = new FNN({ inputs: 2, layers, loss: 'mse', backend: 'typescript' })
  t.equal((net.predict([[1, 2]]) as Float64Array).length, 1)
  t.equal(net.gradients([[1, 2]], [3]).layers.length, 2)
  t.throws(() => net.fitSync([[1, 2]], [3]), { code: 'ERR_STATE', message: /none has parameters that are not frozen/ })
})

t.test('batchNorm takes the statistics of the whole batch, of however many rows and threads', (t) =>
  onEachBackend(t, (t, backend) => {
    const rows = 2500
    const x = Array.from({ length: rows }, (_, i) => [Math.sin(i) * 3 + 5, Math.cos(3 * i)])
    const y = x.map(([a, b]) => a * b)
    const train = (threads: number) => {
      const layers = [batchNorm({ momentum: 1 }), dense(70, 'tanh'), batchNorm(), dense(1)]
      const net = new FNN({ inputs: 2, layers, loss: 'mse', seed: 1, ...backend.options, threads })
      net.fitSync(x, y, { epochs: 3 })
      return net
    }
    const net = train(1)
    const [{ runningMean = [], runningVariance = [] }] = net.weights()
    for (const c of [0, 1]) {
      const mean = x.reduce((sum, row) => sum + row[c], 0) / rows
      const variance = x.reduce((sum, row) => sum + (row[c] - mean) ** 2, 0) / (rows - 1)
      t.ok(Math.abs(runningMean[c] - mean) < 1e-5 && Math.abs(runningVariance[c] - variance) < 1e-5, `column ${c}`)
    }
    for (const threads of [2, 3, 4, 7]) t.strictSame(train(threads).weights(), net.weights(), `${threads} threads`)
  }),
)

t.test('batchNorm and a batch of one row', (t) =>
  onEachBackend(t, (t, backend) => {
    const build = (momentum = 0.1) =>
      new FNN({ inputs: 2, layers: [batchNorm({ momentum }), dense(1)], loss: 'mse', seed: 1, ...backend.options })
    const x = [[1, 2], [3, 5], [4, 1]] // biome-ignore format: three rows
    const left = build()
    left.fitSync(x, [1, 2, 3], { epochs: 1, batchSize: 2, shuffle: false })
    const two = build()
    two.fitSync(x.slice(0, 2), [1, 2], { epochs: 1 })
    t.strictSame(left.weights()[0].runningMean, two.weights()[0].runningMean, 'the row left over moves nothing')
    const net = build()
    const before = net.weights()
    for (const fit of [{ batchSize: 1 }, { batchSize: 1, epochs: 2 }])
      t.throws(() => net.fitSync(x, [1, 2, 3], fit), { code: 'ERR_OPTION', message: /at least 2 rows/ })
    t.throws(() => new FNN({ layers: [batchNorm(), dense(1)] }).fitSync([[1, 2]], [1]), DownhillError)
    t.strictSame(net.weights(), before)
    t.end()
  }),
)

t.test('running statistics may be set, and are left where they are not given', async (t) => {
  const net = new FNN({ inputs: 2, layers: [batchNorm(), dense(1)], loss: 'mse', dtype: 'float64' })
  const [norm, last] = net.weights()
  net.setWeights([{ ...norm, runningMean: [1, 2], runningVariance: [3, 4] }, last])
  net.setWeights([{ weights: [[1, 1]], bias: [0, 0] }, last])
  t.strictSame(net.weights()[0].runningMean, Float64Array.of(1, 2))
  const [[w1], [w2]] = [last.weights.data.subarray(0, 1), last.weights.data.subarray(1)]
  const [out] = net.predict([[5, 6]]) as Float64Array
  t.ok(Math.abs(out - (w1 * (4 / Math.sqrt(3 + 1e-5)) + w2 * (4 / Math.sqrt(4 + 1e-5)))) < 1e-12)
  t.equal(net.gradients([[1, 2]], [1]).layers[0].runningMean, undefined)
})

t.test('layers within a residual block are shown, saved and numbered', async (t) => {
  const layers = [
    embedding({ columns: [1], sizes: 3, dimensions: 2 }),
    residual([dense(4, 'tanh'), residual([dense(4)])]),
    residual([layerNorm(), dense(4)], { frozen: true }),
    dense(1),
  ]
  const net = new FNN({ inputs: 2, layers, loss: 'mse', backend: 'typescript' })
  t.equal(
    net.summary(),
    `       layer        shape                      parameters
1      embedding    2 → 3  column 1 of 3 by 2           6
2      residual     3 → 4  projected                   12
2.1      dense      3 → 4  tanh                        16
2.2      residual   4 → 4                               0
2.2.1      dense    4 → 4  linear                      20
3      residual     4 → 4                               0
3.1      layerNorm  4 → 4  frozen                       8
3.2      dense      4 → 4  linear, frozen              20
4      dense        4 → 1  linear                       5

87 parameters, 28 of them frozen, loss mse (mean), on the typescript backend`,
  )
  t.strictSame(
    net.weights().map(({ weights: { rows, columns } }) => [rows, columns]),
    [
      [3, 2],
      [3, 4],
      [3, 4],
      [4, 4],
      [1, 4],
      [4, 4],
      [4, 1],
    ],
  )
})

t.test('an index that is none is named by its place, wherever it comes in', (t) =>
  onEachBackend(t, async (t, backend) => {
    const layers = [embedding({ columns: [1, 2], sizes: [3, 5], dimensions: 2 }), dense(1)]
    const net = new FNN({ inputs: 3, layers, loss: 'mse', ...backend.options })
    const x = [
      [0.5, 2, 4],
      [-7, 0, 0],
    ]
    for (const [value, column, size] of [
      [3, 1, 3],
      [-1, 2, 5],
      [0.5, 2, 5],
      [5, 2, 5],
    ] as const) {
      const bad = x.map((row) => [...row])
      bad[1][column] = value
      const refused = {
        code: 'ERR_DATA',
        message: `Expected an integer in [0, ${size}) in x but row 1, column ${column} (counted from 0) is ${value}.`,
      }
      for (const call of [
        () => net.predict(bad),
        () => net.predict(Float64Array.from(bad.flat())),
        () => net.loss(bad, [1, 2]),
        () => net.fitSync(bad, [1, 2]),
        () => net.fitSync(x, [1, 2], { validation: { x: bad, y: [1, 2] } }),
      ])
        t.throws(call, refused)
      await t.rejects(net.fit(bad, [1, 2]).then(), refused)
    }
    t.throws(() => net.predict(Float32Array.of(1, Number.NaN, 2)), { code: 'ERR_DATA' })
  }),
)

t.test('standardize leaves columns of indices as they are', (t) =>
  onEachBackend(t, async (t, backend) => {
    const layers = [
      embedding({ columns: [1], sizes: 4, dimensions: 1, initializer: [[1], [2], [3], [4]] }),
      dense(1, 'linear', { initializer: [[0], [1]] }),
    ]
    const net = new FNN({ inputs: 2, layers, loss: 'mse', standardize: 'inputs', ...backend.options })
    const x = [
      [10, 0],
      [20, 3],
      [30, 1],
      [40, 2],
    ]
    net.fitSync(x, [1, 2, 3, 4], { epochs: 1, learningRate: 0 })
    t.strictSame([...(net.predict(x) as Float64Array)], [1, 4, 2, 3])
  }),
)

t.test('what cannot be laid out is refused', async (t) => {
  const table = embedding({ columns: [2], sizes: 3, dimensions: 2 })
  const refused = (layers: LayerSpec[], code: string, message: RegExp) =>
    t.throws(() => new FNN({ inputs: 2, layers, loss: 'mse' }), { code, message })
  refused([table, dense(1)], 'ERR_SHAPE', /columns of embedding below 2/)
  refused([dense(2), table, dense(1)], 'ERR_OPTION', /embedding to be the first/)
  refused([table], 'ERR_OPTION', /gives outputs/)
  t.throws(() => residual([table]), { code: 'ERR_OPTION', message: /embedding to be the first/ })
  t.throws(() => residual([wrong({ kind: 'dens' })]), { code: 'ERR_OPTION', message: /did you mean "dense"/ })
  t.throws(() => embedding({ columns: [0, 0], sizes: 3, dimensions: 2 }), {
    code: 'ERR_OPTION',
    message: /0 is there twice/,
  })
  t.throws(() => embedding({ columns: [0, 1], sizes: [3], dimensions: 2 }), {
    code: 'ERR_OPTION',
    message: /a list of 2/,
  })
})

t.test('a summary says what a layer is', async (t) => {
  const layers = [
    dense(4),
    layerNorm(),
    activation('relu'),
    prelu({ shared: true }),
    dense(2, 'linear', { frozen: true }),
  ]
  t.equal(
    new FNN({ inputs: 3, layers, loss: 'mse', backend: 'typescript' }).summary(),
    `   layer       shape                  parameters
1  dense       3 → 4  linear                  16
2  layerNorm   4 → 4                           8
3  activation  4 → 4  relu                     0
4  prelu       4 → 4  shared slope             1
5  dense       4 → 2  linear, frozen          10

35 parameters, 10 of them frozen, loss mse (mean), on the typescript backend`,
  )
})

t.test('l2 and initScale are of weights, not of gains and slopes', async (t) => {
  const net = new FNN({
    inputs: 2,
    layers: [layerNorm(), prelu(), dense(1)],
    loss: 'mse',
    l2: 1,
    initScale: 7,
    seed: 1,
    dtype: 'float64',
  })
  const [norm, slopes, last] = net.weights()
  t.strictSame([...norm.weights.data, ...(norm.bias ?? [])], [1, 1, 0, 0])
  t.strictSame([...slopes.weights.data], [0.25, 0.25])
  const [w1, w2] = last.weights.data
  const { penalty } = net.fitSync([[1, 2]], [1], { epochs: 1 })
  t.ok(Math.abs(penalty[0] - 0.5 * (w1 * w1 + w2 * w2)) < 1e-12)
})

t.test('the activation of the outputs is that of the last layer, wherever it stands', async (t) => {
  const net = new FNN({ inputs: 2, layers: [dense(3), activation('softmax')], backend: 'typescript' })
  t.match(net.summary(), /loss crossEntropy/)
  t.match(net.explain(), /loss\.crossEntropyLogits/, 'and with its loss it runs on logits')
  const binary = new FNN({ inputs: 2, layers: [dense(1), activation('sigmoid')], backend: 'typescript' })
  t.match(binary.explain(), /loss\.bceLogits/)
})

t.test('muon takes a table of vectors for no matrix', async (t) => {
  const layers = [embedding({ columns: [0], sizes: 9, dimensions: 4 }), dense(6, 'tanh'), dense(5, 'tanh'), dense(1)]
  const net = new FNN({ inputs: 2, layers, task: 'regression', backend: 'typescript' })
  const orthogonalized = net.explain({ optimizer: 'muon' }).match(/orthogonalize/g) ?? []
  t.equal(orthogonalized.length, 2, 'the two hidden layers, neither the table nor the output')
})
