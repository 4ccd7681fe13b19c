/**
 * The doctor's instruments, each against the same number by another way: brute force over single rows, a public method,
 * or an exact value from outside.
 */
import { adam, adamw, dense, dropout, FNN, type LayerSpec, type OptimizerSpec, rmsprop, sgd } from 'downhill'
import t from 'tap'
import { symmetricEigenvalues } from '../dist/doctor/eigenvalues'
import {
  conditionNumber,
  gradientNorms,
  noiseScale,
  overfitOneBatch,
  rateRangeTest,
  saturation,
  startingLoss,
  suggestions,
  updateRatios,
} from '../dist/doctor/instruments'
import { type LossOptions, readLoss } from '../dist/losses'
import { Network } from '../dist/network'
import type { Table } from '../dist/plan/plan'
import { random } from '../dist/random'
import { agree, identity, onEachBackend, readBreastCancer, readJson, standardised } from './truth'

interface Made {
  layers: LayerSpec[]
  inputs: number
  loss?: string | ({ kind: string } & LossOptions)
  l2?: number
  seed?: number
  dtype?: 'float32' | 'float64'
  backend?: 'native' | 'typescript'
}

function networkOf({
  layers,
  inputs,
  loss = 'mse',
  l2 = 0,
  seed = 1,
  dtype = 'float64',
  backend = 'typescript',
}: Made) {
  const model = { inputs, layers, initializer: { kind: 'glorotUniform' } as const, l2 }
  return new Network({ model, loss: readLoss(loss), dtype, backend, threads: 1 }, seed, 1)
}

function tableOf(x: ArrayLike<number>, columns: number, y: ArrayLike<number>): Table {
  const rows = x.length / columns
  return { rows, columns, x: Float64Array.from(x), scale: 1, targets: y.length / rows, y: Float64Array.from(y) }
}

const from = random(7, 'sample')
const normals = (n: number) => Float64Array.from({ length: n }, () => from.normal())

t.test('eigenvalues', async (t) => {
  t.same(symmetricEigenvalues(Float64Array.of(5), 1), Float64Array.of(5))
  agree(
    t,
    symmetricEigenvalues(Float64Array.of(2, 0, 0, 1, 3, 0, 0, 1, 4), 3),
    [3 - Math.sqrt(3), 3, 3 + Math.sqrt(3)],
    { relative: 1e-14 },
    '3 ± √3',
  )
  // Reflections of a known diagonal keep its eigenvalues.
  const n = 60
  const values = Float64Array.from({ length: n }, (_, i) => (i < 5 ? 1 : i < 8 ? 0 : i ** 2 - 400)).sort()
  const A = new Float64Array(n * n)
  for (let i = 0; i < n; i++) A[i * n + i] = values[i]
  for (let turn = 0; turn < 5; turn++) {
    const v = normals(n)
    const h = 2 / v.reduce((s, x) => s + x * x, 0)
    const B = A.slice()
    const Av = Float64Array.from({ length: n }, (_, i) => v.reduce((s, x, j) => s + B[i * n + j] * x, 0))
    const vAv = v.reduce((s, x, i) => s + x * Av[i], 0)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++)
        A[i * n + j] = B[i * n + j] - h * (v[i] * Av[j] + Av[i] * v[j]) + h * h * vAv * v[i] * v[j]
  }
  agree(
    t,
    symmetricEigenvalues(A, n),
    values,
    { absolute: 1e-11, relative: 1e-12 },
    'multiple ones, zeros, negative ones',
  )
})

t.test('condition number of the inputs', async (t) => {
  const { data_kinds } = readJson<{ data_kinds: { se432707: { x: number[]; y: number[] } } }>('open-cases.json')
  const { x, y } = data_kinds.se432707
  const { condition, rank } = conditionNumber(tableOf(x, 1, y))
  agree(t, [condition], [16148.7], { absolute: 0.05 }, 'question 432707')
  t.equal(rank, 2)
  const mean = x.reduce((a, b) => a + b) / x.length
  const std = Math.sqrt(x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length)
  agree(
    t,
    [
      conditionNumber(
        tableOf(
          x.map((v) => (v - mean) / std),
          1,
          y,
        ),
      ).condition,
    ],
    [1],
    { relative: 1e-12 },
    'standardised',
  )
  const twice = tableOf(
    x.flatMap((v) => [v, v, 0]),
    3,
    y,
  )
  t.match(conditionNumber(twice), { rank: 2, columns: 3 }, 'a copy and a constant 0 are no directions')
  t.equal(conditionNumber(twice, { bias: false }).condition, 1)
  t.ok(conditionNumber(tableOf(x, 1, y), { rows: 5 }).condition !== condition, 'of a sample')
})

t.test('saturation and dead units', (t) =>
  onEachBackend(t, (t, { options }) => {
    const x = [
      [-9, 0.5, 9, 0],
      [-9, -0.5, 2.6, 0],
      [-9, 3, 2.7, 0],
      [-9, -3, -2.7, -1],
    ].flat()
    const table = tableOf(x, 4, x)
    const of = (activation: 'tanh' | 'relu' | 'sigmoid' | 'gelu' | 'elu' | 'linear') => {
      const layers = [
        dense(4, activation, { initializer: identity(4) }),
        dropout(0.5),
        dense(4, 'linear', { initializer: identity(4) }),
      ]
      return saturation(networkOf({ inputs: 4, layers, ...options }), table)
    }
    const [tanh, last] = of('tanh')
    // |tanh x| > 0.99 from |x| = 2.6467 on.
    t.match(tanh, { layer: 0, activation: 'tanh', units: 4, saturated: 9 / 16, dead: null })
    const rms = Math.sqrt(x.reduce((s, v) => s + Math.tanh(v) ** 2, 0) / 16)
    agree(t, [tanh.rms, last.rms], [rms, rms], { relative: 1e-6 }, 'rms, dropout off')
    t.match(last, { layer: 1, activation: 'linear', saturated: null, dead: null })
    t.match(of('relu')[0], { saturated: null, dead: 0.5 }, 'units 0 and 3 are never above 0')
    t.match(of('sigmoid')[0], { saturated: 5 / 16, dead: null }, 'from |x| = ln 99 on')
    t.match(of('elu')[0], { saturated: 4 / 16 })
    t.match(of('gelu')[0], { saturated: null, dead: null })
    t.match(of('linear')[0], { saturated: null })
  }),
)

t.test('loss at the start against chance', async (t) => {
  const x = normals(60)
  const labels = Float64Array.from({ length: 30 }, (_, i) => Number(i < 10))
  const zeros = [dense(1, 'sigmoid', { initializer: 'zeros' })]
  const { loss, chance, ratio } = startingLoss(
    networkOf({ inputs: 2, layers: zeros, loss: 'binaryCrossEntropy' }),
    tableOf(x, 2, labels),
  )
  agree(
    t,
    [loss, chance],
    [Math.log(2), -(Math.log(1 / 3) / 3 + (2 * Math.log(2 / 3)) / 3)],
    { relative: 1e-12 },
    'ln 2 against the entropy of 1 : 2',
  )
  t.equal(ratio, loss / chance)
  const y = normals(30)
  const mean = y.reduce((a, b) => a + b) / 30
  const flat = networkOf({ inputs: 2, layers: [dense(1, 'linear', { initializer: 'zeros', bias: [mean] })] })
  agree(t, [startingLoss(flat, tableOf(x, 2, y)).ratio], [1], { relative: 1e-12 }, 'the mean is at chance')
})

t.test('norms of the gradient', async (t) => {
  const layers = [dense(5, 'tanh'), dropout(0.2), dense(4, 'relu', { bias: false }), dense(2)]
  const net = new FNN({ inputs: 3, layers, task: 'regression', seed: 1, dtype: 'float64' })
  const [x, y] = [normals(60), normals(40)]
  const rows = (v: Float64Array, n: number) =>
    Array.from({ length: 20 }, (_, r) => Array.from(v.subarray(r * n, r * n + n)))
  const found = gradientNorms(networkOf({ inputs: 3, layers }), tableOf(x, 3, y))
  const theirs = net.gradients(rows(x, 3), rows(y, 2)).layers
  t.same(
    found.map(({ layer }) => layer),
    [0, 1, 2],
  )
  agree(
    t,
    found.map(({ weights }) => weights),
    theirs.map(({ weights }) => Math.hypot(...weights.data)),
    { relative: 1e-12 },
    'weights',
  )
  agree(
    t,
    [found[0].bias!, found[2].bias!],
    [Math.hypot(...theirs[0].bias!), Math.hypot(...theirs[2].bias!)],
    { relative: 1e-12 },
    'biases',
  )
  t.equal(found[1].bias, null)
  agree(
    t,
    found.map(({ rms }) => rms),
    theirs.map(({ weights }) => Math.hypot(...weights.data) / Math.sqrt(weights.data.length)),
    { relative: 1e-12 },
    'by entry',
  )
})

const OPTIMIZERS: [string, OptimizerSpec, number][] = [
  ['sgd', sgd(), 0.1],
  ['sgd with everything', sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }), 0.1],
  ['rmsprop', rmsprop({ weightDecay: 0.1 }), 0.01],
  ['adam', adam(), 0.01],
  ['adamw', adamw({ weightDecay: 0.5 }), 0.01],
]

t.test('update ratios, and the start that a history keeps', (t) =>
  onEachBackend(t, async (t, { options, dtype }) => {
    const { x: raw, y } = readBreastCancer()
    const x = standardised(raw)
    const relative = dtype === 'float64' ? 1e-9 : 1e-4
    for (const [name, optimizer, learningRate] of OPTIMIZERS)
      for (const batchSize of ['full', 100] as const) {
        const net = new FNN({
          inputs: 30,
          outputs: 1,
          hidden: [20, 10],
          activation: 'relu',
          task: 'binary',
          seed: 3,
          ...options,
        })
        const before = net.weights()
        const first = { data: x.data.slice(0, 3000), rows: 100, columns: 30 }
        const { layers } = batchSize === 'full' ? net.gradients(x, y) : net.gradients(first, y.slice(0, 100))
        const { start } = await net.fit(x, y, { epochs: 3, optimizer, learningRate, batchSize, shuffle: false })
        const what = `${name}, batch ${batchSize}`
        t.equal(start?.seed, 3, what)
        t.equal(start?.weights, null)
        t.equal(start?.rows, batchSize === 'full' ? 569 : 100)
        agree(
          t,
          start!.layers.map(({ gradientNorm }) => gradientNorm),
          layers.map(({ weights, bias }) => Math.hypot(...weights.data, ...bias!)),
          { relative },
          `${what}: norms`,
        )

        // The step once more, alone.
        const again = new FNN({
          inputs: 30,
          outputs: 1,
          hidden: [20, 10],
          activation: 'relu',
          task: 'binary',
          seed: 3,
          ...options,
        })
        const rows = batchSize === 'full' ? { x, y } : { x: first, y: y.slice(0, 100) }
        await again.fit(rows.x, rows.y, { epochs: 1, optimizer, learningRate })
        const ratios = again.weights().map(({ weights }, l) => {
          const w = before[l].weights.data
          return Math.hypot(...Array.from(weights.data, (v, i) => v - w[i])) / Math.hypot(...w)
        })
        agree(
          t,
          start!.layers.map(({ updateRatio }) => updateRatio),
          ratios,
          { relative: dtype === 'float64' ? 1e-9 : 1e-3 },
          `${what}: ratios`,
        )
        if (batchSize === 'full') {
          const made = [20, 10].map((n) => dense(n, 'relu'))
          const network = networkOf({
            inputs: 30,
            layers: [...made, dense(1, 'sigmoid')],
            loss: 'binaryCrossEntropy',
            seed: 3,
            ...options,
          })
          const table = tableOf(x.data, 30, y)
          agree(
            t,
            updateRatios(network, table, { optimizer, learningRate }).map(({ ratio }) => ratio),
            ratios,
            { relative: dtype === 'float64' ? 1e-12 : 1e-3 },
            `${what}: the instrument`,
          )
          t.same(
            start!.layers.slice(0, 2).map(({ dead }) => dead),
            saturation(network, table)
              .slice(0, 2)
              .map(({ dead }) => dead),
            'dead units',
          )
        }
      }
  }),
)

t.test('the start: where it comes from, and when there is none', async (t) => {
  const x = Array.from({ length: 30 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
  const y = x.map(([a]) => Number(a > 0))
  const net = new FNN({ inputs: 2, outputs: 1, hidden: [3], task: 'binary', seed: 5 })
  t.equal((await net.fit(x, y, { epochs: 2 })).start?.seed, 5)
  const trained = net.weights()
  const second = await net.fit(x, y, { epochs: 2 })
  t.equal(second.start?.seed, null, 'trained weights are no seed’s')
  t.same(second.start?.weights, trained)
  t.ok(JSON.parse(JSON.stringify(second)).start.weights[0].weights.data.length === 6)
  net.reset(9)
  const begun = await net.partialFit(x, y, { epochs: 2 })
  t.equal(begun.start?.seed, 9)
  t.equal((await net.partialFit(x, y, { epochs: 2 })).start, null, 'a partialFit goes on from another')
  net.setWeights(trained)
  t.same(net.fitSync(x, y, { epochs: 1, learningRate: 0 }).start?.weights, trained)
  t.equal(net.fitSync(x, y, { epochs: 1, learningRate: 0 }).start?.layers[0].updateRatio, 0)

  const big = x.map(([a, b]) => [1e30 * a, 1e30 * b])
  const lost = new FNN({ inputs: 2, outputs: 1, hidden: [3], activation: 'linear', task: 'regression', seed: 5 })
  const { status, start } = await lost.fit(big, y, { epochs: 2 })
  t.equal(status, 'diverged')
  t.notOk(
    start!.layers.every(({ gradientNorm }) => Number.isFinite(gradientNorm)),
    'a refused step shows its gradient',
  )
  t.same(
    start!.layers.map(({ updateRatio }) => updateRatio),
    [0, 0],
  )
})

t.test('a watched step changes nothing that is recorded', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const x = Array.from({ length: 50 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
    const y = x.map(([a]) => Number(a > 0))
    const run = async (more: object) => {
      const net = new FNN({ hidden: [6], task: 'binary', seed: 5, ...options })
      const epochs: number[] = []
      const history = await net.fit(x, y, {
        epochs: 4,
        batchSize: 7,
        optimizer: adam(),
        ...more,
        callbacks: { onEpochEnd: ({ epoch }) => void epochs.push(epoch) },
      })
      return { loss: history.loss, steps: history.steps, weights: net.weights(), epochs }
    }
    const one = await run({})
    t.same(one.epochs, [1, 2, 3, 4])
    t.equal(one.steps, 32)
    const net = new FNN({ hidden: [6], task: 'binary', seed: 5, ...options })
    const parts: number[] = []
    for (let epoch = 0; epoch < 4; epoch++)
      parts.push((await net.partialFit(x, y, { epochs: 1, batchSize: 7, optimizer: adam() })).loss[0])
    t.same(Array.from(one.loss), parts)
    t.same(one.weights, net.weights())
  }),
)

t.test('gradient noise scale', (t) =>
  onEachBackend(t, async (t, { options, dtype }) => {
    const layers = [dense(6, 'tanh'), dropout(0.4), dense(1, 'sigmoid')]
    const made = (rows: number) => {
      const x = normals(rows * 4)
      const y = Float64Array.from({ length: rows }, (_, r) => Number(x[4 * r] + 0.5 * from.normal() > 0))
      return tableOf(x, 4, y)
    }
    const exact = (network: Network, table: Table) => {
      const full = Array.from(network.gradient(table).gradient)
      let trace = 0
      for (let r = 0; r < table.rows; r++) {
        const { gradient } = network.gradient({
          ...table,
          rows: 1,
          x: table.x.subarray(4 * r, 4 * r + 4),
          y: table.y!.subarray(r, r + 1),
        })
        trace += full.reduce((s, g, i) => s + (gradient[i] - g) ** 2, 0) / table.rows
      }
      return trace / full.reduce((s, g) => s + g * g, 0)
    }
    const network = networkOf({ inputs: 4, layers, loss: 'binaryCrossEntropy', ...options })
    const small = made(300)
    const { scale, batch, trace, squaredNorm } = noiseScale(network, small)
    t.equal(batch, 1)
    t.equal(scale, trace / squaredNorm)
    agree(t, [scale], [exact(network, small)], { relative: dtype === 'float64' ? 1e-9 : 1e-3 }, 'row by row: exact')
    const large = made(6000)
    const estimate = noiseScale(network, large)
    t.equal(estimate.batch, 3)
    agree(t, [estimate.scale], [exact(network, large)], { relative: 0.2 }, 'in batches: within 20 %')
    t.equal(noiseScale(network, tableOf(normals(4), 4, [1])).scale, 0, 'one row has no noise')
  }),
)

t.test('one batch overfitted', async (t) => {
  const x = normals(400)
  const y = Float64Array.from({ length: 100 }, () => from.normal())
  const table = tableOf(x, 4, y)
  const right = await overfitOneBatch(networkOf({ inputs: 4, layers: [dense(32, 'tanh'), dense(1)] }), table)
  t.equal(right.rows, 16)
  t.equal(right.losses.length, 301)
  t.ok(right.ratio < 0.1, `a net whose parts are right learns sixteen rows: ${right.ratio}`)
  const dead = [dense(32, 'relu', { bias: { kind: 'constant', value: -50 } as never }), dense(1)]
  const broken = await overfitOneBatch(networkOf({ inputs: 4, layers: dead }), table)
  t.ok(broken.ratio > 0.9, `one with dead units does not: ${broken.ratio}`)
})

t.test('rate range test', async (t) => {
  const { x: raw, y } = readBreastCancer()
  const network = networkOf({
    inputs: 30,
    layers: [dense(16, 'tanh'), dense(1, 'sigmoid')],
    loss: 'binaryCrossEntropy',
  })
  const before = network.parameters
  const table = tableOf(standardised(raw).data, 30, y)
  const found = await rateRangeTest(network, table)
  t.same(network.parameters, before, 'on a copy')
  agree(
    t,
    [found.rates[0], found.rates[1] / found.rates[0]],
    [1e-7, 1e8 ** (1 / 99)],
    { relative: 1e-12 },
    '1e-7 → 10 in 100 steps',
  )
  t.ok(
    found.steep! > 1e-3 && found.valley! > 1e-3 && found.valley! < 10,
    `steep ${found.steep}, valley ${found.valley}`,
  )
  const first = network.evaluate(table).loss[0]
  t.ok(Math.abs(found.losses[0] - first) < 0.5 * first)

  // A squared error diverges at some rate: the test ends there.
  const linear = networkOf({ inputs: 30, layers: [dense(1)], loss: { kind: 'mse' } })
  const raised = await rateRangeTest(linear, tableOf(raw.data, 30, y))
  t.ok(['rose', 'nonFinite'].includes(raised.ended), raised.ended)
  t.ok(raised.rates.length < 100)
  const last = raised.smoothed.length - 1
  if (raised.ended === 'rose') t.ok(raised.smoothed[last] > 4 * Math.min(...raised.smoothed))
  t.same(raised.smoothed[0], raised.losses[0], 'corrected for its start')

  // By hand: ten are left out in front, five behind; of the rest 20 fall in a row, and one falls steeply.
  const rates = Float64Array.from({ length: 100 }, (_, i) => 10 ** (i / 10))
  const curve = Array.from(rates, (_, i) => (i < 40 ? 1 : i < 60 ? 1 - 0.01 * (i - 39) : i === 60 ? 0.1 : 2))
  t.same(suggestions(rates, curve, 100), { steep: rates[59], valley: rates[48] })
  t.same(suggestions(rates.subarray(0, 12), curve.slice(0, 12), 100), { steep: null, valley: null })
})
