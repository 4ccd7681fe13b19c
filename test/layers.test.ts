/**
 * Layers against PyTorch (test/fixtures/layers.py): outputs, gradients and trainings of small networks of every kind; then
 * what holds of every layer: it is saved and read as it is, shown in summaries, and built from plain data.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { activation, dense, FNN, type LayerSpec, layerNorm, prelu, sgd } from 'downhill'
import t from 'tap'
import { agree, onEachBackend, readJson, type TestBackend } from './truth'

/** A layer as the fixture describes it. */
type Described =
  | { kind: 'dense'; units: number; activation: 'tanh' }
  | { kind: 'activation'; activation: 'tanh' }
  | { kind: 'prelu' | 'layerNorm'; options: object }

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
  return { prelu, layerNorm }[layer.kind](layer.options)
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

const VALUES = { float64: { absolute: 1e-12 }, float32: { absolute: 3e-6 } }
const TRAINED = { float64: { absolute: 1e-9 }, float32: { absolute: 1e-4 } }

for (const network of networks)
  t.test(network.name, (t) =>
    onEachBackend(t, (t, backend) => {
      const { x, y, outputs, loss, gradients, runs, start } = network
      const net = netOf(network, backend)
      const near = VALUES[backend.dtype]
      agree(t, flatten(net.weights()), flatten(start), { absolute: 1e-7 }, 'the start')
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

t.test('a summary says what a layer is', async (t) => {
  const layers = [dense(4), layerNorm(), activation('relu'), prelu({ shared: true }), dense(2)]
  t.equal(
    new FNN({ inputs: 3, layers, loss: 'mse', backend: 'typescript' }).summary(),
    `   layer       shape                parameters
1  dense       3 → 4  linear                16
2  layerNorm   4 → 4                         8
3  activation  4 → 4  relu                   0
4  prelu       4 → 4  shared slope           1
5  dense       4 → 2  linear                10

35 parameters, loss mse (mean), on the typescript backend`,
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
