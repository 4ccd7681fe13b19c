/**
 * `diagnose` on nets of every kind of layer: a sound one is met with silence, a sick one with what is wrong, and no fault
 * of the vocabulary makes it throw.
 */
import {
  activation,
  adam,
  batchNorm,
  binaryCrossEntropy,
  type DenseOptions,
  type Diagnosis,
  dense,
  dropout,
  embedding,
  type FitOptions,
  FNN,
  type LayerSpec,
  layerNorm,
  type ModelOptions,
  mse,
  prelu,
  residual,
} from 'downhill'
import t from 'tap'
import { numbers } from './doctor/data'

const { normal, uniform } = numbers(11)
const y = Array.from({ length: 120 }, (_, i) => i % 2)
const x = y.map((k) => [1.6 * k - 0.8 + 0.8 * normal(), normal(), normal()])
/** Their first column is an index, whose parity is the class. */
const indexed = y.map((k) => [2 * Math.floor(3 * uniform()) + k, normal(), normal()])
const amounts = x.map(([a, b]) => a + 0.5 * b)
const ofIndex = indexed.map(([i, b]) => [1, -1, 0.5, -0.5, 2, -2][i] + 0.3 * b)

type Hidden = (options?: DenseOptions) => LayerSpec[]
interface Kind {
  readonly name: string
  readonly layers: Hidden
  readonly x?: number[][]
  readonly amounts?: number[]
}

const KINDS: readonly Kind[] = [
  { name: 'residual', layers: (o) => [dense(12, 'relu', o), residual([dense(12, 'relu', o), dense(12, 'linear', o)])] },
  { name: 'projected', layers: (o) => [residual([dense(12, 'relu', o), dense(10, 'linear', o)]), activation('relu')] },
  { name: 'batchNorm', layers: (o) => [dense(12, 'linear', o), batchNorm(), activation('relu')] },
  { name: 'layerNorm', layers: (o) => [dense(12, 'linear', o), layerNorm(), activation('relu')] },
  {
    name: 'embedding',
    layers: (o) => [embedding({ columns: [0], sizes: 6, dimensions: 3 }), dense(12, 'relu', o)],
    x: indexed,
    amounts: ofIndex,
  },
  { name: 'prelu', layers: (o) => [dense(12, 'linear', o), prelu(), dense(12, 'linear', o), prelu()] },
  { name: 'dropout', layers: (o) => [dense(24, 'relu', o), dropout(0.2), dense(12, 'relu', o)] },
]

const binary = ({ layers }: Kind, options: DenseOptions = {}): ModelOptions => ({
  layers: [...layers(options), dense(1, 'sigmoid', options)],
  task: 'binary',
  seed: 3,
})
const regression = ({ layers }: Kind, options: DenseOptions = {}): ModelOptions => ({
  layers: [...layers(options), dense(1, 'linear', options)],
  task: 'regression',
  seed: 3,
})
const FIT: FitOptions = { epochs: 60, learningRate: 0.3 }
const SLOWER: FitOptions = { epochs: 60, learningRate: 0.05 }

const ids = ({ findings }: Diagnosis): string[] => findings.map(({ id }) => id)

for (const kind of KINDS)
  t.test(kind.name, async (t) => {
    const rows = kind.x ?? x
    const targets = kind.amounts ?? amounts
    const diagnose = (options: ModelOptions, fit: FitOptions, to: readonly unknown[] = y, of = rows, budget = 10) =>
      new FNN(options).diagnose(of, to as number[], { fit, budget })

    const sound: [string, ModelOptions, FitOptions, number[]][] = [
      ['classes', binary(kind), FIT, y],
      ['amounts', regression(kind), SLOWER, targets],
      ['adam in batches', binary(kind), { epochs: 20, batchSize: 20, optimizer: adam({ learningRate: 0.01 }) }, y],
    ]
    for (const [says, options, fit, to] of sound) {
      const { verdict, findings } = await diagnose(options, fit, to)
      t.same(findings, [], `sound: ${says}`)
      t.equal(verdict, 'healthy')
    }

    const high = await diagnose(regression(kind), { ...SLOWER, learningRate: 50 }, targets)
    t.match(ids(high)[0], /^lr_(above_one_step_limit|too_high)$/, 'a rate too high')
    const low = await diagnose(regression(kind), { ...SLOWER, learningRate: 1e-5 }, targets)
    t.equal(ids(low)[0], 'lr_too_low', 'a rate too low')
    const constant = await diagnose(binary(kind, { initializer: { kind: 'zeros' } }), FIT)
    t.equal(ids(constant)[0], 'bad_init_constant', 'weights that are all 0')
    const held = await diagnose({ ...binary(kind), l2: 5 }, FIT)
    t.equal(ids(held)[0], 'over_regularised', 'held down by l2')

    const scaled = (by: number) => rows.map((row) => row.map((v, c) => (kind.x && c === 0 ? v : by * v)))
    const wide = { initializer: { kind: 'normal', std: 30, mean: 0 } } as const
    const faults: [string, ModelOptions, FitOptions, readonly unknown[], number[][]?][] = [
      ['single_class_labels', { ...binary(kind), classes: [0, 1] }, FIT, y.map(() => 1)],
      ['labels_shuffled', binary(kind), FIT, y.map((_, i) => Number(Math.sin(i * i) > 0))],
      ['wrong_output_activation', { ...binary(kind), layers: [...kind.layers(), dense(1, 'softmax')] }, FIT, y],
      ['numerical_log_of_zero', { ...binary(kind, wide), loss: binaryCrossEntropy({ from: 'probabilities' }) }, FIT, y],
      ['loss_mismatch', { ...regression(kind), task: 'binary', loss: 'mse' }, FIT, y],
      ['dead_relu', binary(kind, { bias: { kind: 'constant', value: -50 } }), FIT, y],
      ['bad_init_all_positive', regression(kind, { initializer: { kind: 'uniform', low: 0, high: 1 } }), FIT, targets],
      ['bad_init_scale', binary(kind, wide), FIT, y],
      ['optimizer_eps', binary(kind), { ...FIT, optimizer: adam({ epsilon: 1000 }) }, y],
      ['missing_bias', binary(kind, { bias: false }), FIT, y],
      ['input_scale', binary(kind), FIT, y, scaled(1e4)],
      ['loss_reduction_sum', { ...regression(kind), loss: mse({ reduction: 'sum' }) }, FIT, targets],
      ['target_scale', regression(kind), FIT, targets.map((v) => 1000 * v + 5000)],
      ['minibatch_noise', regression(kind), { ...FIT, batchSize: 2 }, targets],
      ['too_few_epochs', regression(kind), { ...FIT, epochs: 2 }, targets],
      ['under_regularised', regression(kind), { ...FIT, validation: 0.5 }, targets],
    ]
    for (const [says, options, fit, to, of] of faults) {
      const diagnosis = await diagnose(options, { ...fit, epochs: Math.min(8, fit.epochs ?? 8) }, to, of, 0.03)
      if (diagnosis.verdict === 'healthy') t.same(diagnosis.findings, [], `${says}, in no time`)
      t.notMatch(diagnosis.full(), /undefined|\[object/, says)
    }
  })

// ---------------------------------------------------------------------------------------------------- in general

const nets = (layers: LayerSpec[], more: ModelOptions = {}): FNN =>
  new FNN({ layers: [...layers, dense(1, 'sigmoid')], task: 'binary', seed: 1, ...more })
const product = x.map(([, b, c]) => Number(b * c > 0))

t.test('what is wrong within a layer is mended there', async (t) => {
  const dead: DenseOptions = { bias: { kind: 'constant', value: -50 } }
  const rows: [string, LayerSpec[], FitOptions, number[]][] = [
    ['dead_relu', [dense(16, 'relu', dead), residual([dense(16, 'relu', dead)])], FIT, y],
    [
      'missing_activation',
      [residual([dense(16), dense(16)])],
      { epochs: 150, optimizer: adam({ learningRate: 0.03 }) },
      product,
    ],
    [
      'over_regularised',
      [residual([dense(8, 'relu', { l2: 50 }), dense(8, 'linear', { l2: 50 })]), activation('relu')],
      FIT,
      y,
    ],
  ]
  for (const [id, layers, fit, to] of rows) {
    const { findings } = await nets(layers, id === 'over_regularised' ? { l2: 2 } : {}).diagnose(x, to, {
      fit,
      budget: 10,
    })
    t.equal(findings[0]?.id, id)
    const inner = findings[0].fix.change?.model?.layers?.find((layer) => layer.kind === 'residual')
    t.ok(inner, 'the layer around it stays')
    t.notSame(
      inner,
      layers.find((layer) => layer.kind === 'residual'),
      'and what is in it is another',
    )
  }
})

t.test('an output whose activation is a layer of its own', async (t) => {
  const layers = [dense(8, 'relu'), dense(1), activation('softmax')]
  const options: ModelOptions = { layers, loss: 'binaryCrossEntropy', task: 'binary', seed: 1 }
  const { findings } = await new FNN(options).diagnose(x, y, { fit: FIT })
  t.equal(findings[0]?.id, 'wrong_output_activation')
  const net = new FNN({ ...options, ...findings[0].fix.change?.model })
  net.fitSync(x, y, { ...FIT, ...findings[0].fix.change?.fit })
  t.ok((net.evaluate(x, y).accuracy ?? 0) > 0.75)
})

t.test('indices are no amounts: their size is no fault, their order tells nothing', async (t) => {
  const of = Array.from({ length: 240 }, (_, i) => [(7 * i) % 24, normal()])
  const to = of.map(([i, b]) => Math.sin(12.9 * i) + 0.3 * b)
  const layers = [embedding({ columns: [0], sizes: 24, dimensions: 4 }), dense(16, 'relu'), dense(1)]
  const options: ModelOptions = { layers, task: 'regression', seed: 1 }
  const fit: FitOptions = { epochs: 60, learningRate: 1e-5 }
  const { findings } = await new FNN(options).diagnose(of, to, { fit, budget: 10 })
  t.equal(findings[0]?.id, 'lr_too_low')
  t.notOk(findings.some(({ id }) => id === 'input_scale' || id === 'labels_shuffled'))
})

t.test('rises under dropout are its noise, and no edge of stability', async (t) => {
  const { findings, notes } = await nets([dense(24, 'relu'), dropout(0.3)]).diagnose(x, y, { fit: FIT })
  t.same(findings, [])
  t.match(notes[0].says, /^Dropout/)
  t.notOk(notes.some(({ id }) => id === 'edge_of_stability' || id === 'transient'))
})
