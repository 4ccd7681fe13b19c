// Weights of rows and of classes: weight 2 is the row twice and weight 0 none, in the loss, its gradient and its curvature,
// in a training and in what is measured; with 'balanced' as scikit-learn has it. Held to the same calls without weights.
import { dense, FNN, type LossSpec, type ModelOptions, mae, mse, type Targets } from 'downhill'
import t from 'tap'
import { agree, FLOAT64, flat, onEachBackend } from './truth'

const rows = 23
const x = Array.from({ length: rows }, (_, i) => [Math.sin(1.3 * i), Math.cos(2.1 * i), Math.sin(i * i)])
const kinds = x.map(([a, b]) => (a > 0.3 ? 2 : b > 0 ? 1 : 0))
/** 0, 1 and 2, and the rows that these stand for. */
const counts = x.map((_, i) => [1, 2, 0, 1, 1][i % 5])
const repeated = counts.flatMap((count, i) => new Array<number>(count).fill(i))
const taken = <T>(list: readonly T[]): T[] => repeated.map((i) => list[i])

interface Way {
  readonly name: string
  readonly options: ModelOptions
  readonly y: readonly unknown[]
}
const numbers = x.map(([a, b, c]) => [a * b, b - c])
const regression = (loss: LossSpec): ModelOptions => ({ task: 'regression', loss })
// biome-ignore format: one case a line
const WAYS: readonly Way[] = [
  { name: 'mse', options: regression(mse()), y: numbers },
  { name: 'a sum', options: regression(mse({ reduction: 'sum', scale: 0.5 })), y: numbers },
  { name: 'mae', options: regression(mae()), y: numbers },
  { name: 'binaryCrossEntropy', options: {}, y: kinds.map((k) => Number(k > 0)) },
  { name: 'crossEntropy', options: {}, y: kinds },
  { name: 'one column a class', options: {}, y: kinds.map((k) => [0, 1, 2].map((j) => Number(j === k))) },
  { name: 'multilabel', options: {}, y: x.map(([a, b]) => [Number(a > 0), Number(b > 0)]) },
  { name: 'standardized', options: { ...regression(mse()), standardize: true }, y: numbers },
]
const LAYERS = { hidden: [6, 5], activation: 'tanh', seed: 5, l2: 0.1 } as const
/** Sums of the same terms in another order. */
const TOLERANCE = { float64: { relative: 1e-11, absolute: 1e-13 }, float32: { relative: 2e-5, absolute: 2e-6 } }

t.test('weight 2 is the row twice, weight 0 is none', async (t) => {
  await onEachBackend(t, async (t, { options: backend, dtype }) => {
    const tolerance = TOLERANCE[dtype]
    for (const { name, options, y } of WAYS) {
      const make = (): FNN => new FNN({ ...LAYERS, ...backend, ...options })
      const [weighted, whole] = [make(), make()]
      const fit = { epochs: 5, learningRate: 0.1, optimizer: 'adam' } as const
      const [yes, twice] = [y as Targets, taken(y) as Targets]
      const sampleWeight = counts
      const ours = weighted.fitSync(x, yes, { ...fit, sampleWeight, validation: { x, y: yes, sampleWeight } })
      const theirs = whole.fitSync(taken(x), twice, { ...fit, validation: { x: taken(x), y: twice } })
      for (const series of ['loss', 'penalty', 'gradientNorm', 'valLoss'] as const)
        agree(t, ours[series] ?? [], theirs[series] ?? [], tolerance, `${name}: ${series}`)
      for (const [metric, values] of Object.entries(ours.metrics))
        agree(t, values, theirs.metrics[metric], tolerance, `${name}: ${metric}`)
      agree(t, flat(weighted.weights()), flat(whole.weights()), tolerance, `${name}: weights after`)
      whole.setWeights(weighted.weights())
      const measured = (net: FNN, ...data: Parameters<FNN['evaluate']>): number[] => {
        const { loss, layers } = net.gradients(...data)
        return [loss, net.loss(...data), ...Object.values(net.evaluate(...data)).map(Number), ...flat(layers)]
      }
      const [a, b] = [measured(weighted, x, yes, { sampleWeight }), measured(whole, taken(x), twice)]
      agree(t, a, b, tolerance, `${name}: loss, measures, gradient`)
      const curved = await weighted.sharpness(x, yes, { sampleWeight, k: 1 })
      const as = await whole.sharpness(taken(x), twice, { k: 1 })
      const few = { relative: dtype === 'float64' ? 1e-9 : 1e-3 }
      agree(t, curved.values, as.values, few, `${name}: sharpness`)
      const check = await weighted.checkGradients(x, yes, { sampleWeight, entries: 10 })
      t.ok(check.ok && Math.abs(check.loss - a[0]) < 1e-4, `${name}: the gradient is right by differences`)
    }
  })
})

t.test('in batches: each divides by its own weight, and the history by all of it', async (t) => {
  await onEachBackend(t, (t, { options, dtype }) => {
    const net = new FNN({ ...LAYERS, l2: 0, task: 'regression', ...options })
    const y = numbers
    const fit = { epochs: 1, batchSize: 5, shuffle: false, learningRate: 0 }
    const { loss } = net.fitSync(x, y, { ...fit, sampleWeight: counts })
    agree(t, loss, [net.loss(x, y, { sampleWeight: counts })], TOLERANCE[dtype], 'the mean over all rows')
    // Rows 0 … 4 alone count: the other batches have no weight, no loss and no gradient.
    const some = x.map((_, i) => Number(i < 5))
    const only = net.fitSync(x, y, { ...fit, sampleWeight: some })
    agree(t, only.loss, [net.loss(x.slice(0, 5), y.slice(0, 5))], TOLERANCE[dtype], 'a batch of no weight')
    const before = flat(net.weights())
    const { status, gradientNorm } = net.fitSync(x, y, { ...fit, learningRate: 0.1, sampleWeight: some.toReversed() })
    t.equal(status, 'completed')
    t.ok(Number.isFinite(gradientNorm[0]) && flat(net.weights()).every(Number.isFinite))
    t.not(flat(net.weights())[0], before[0], 'the last batch was a step')
  })
})

t.test('a penalty knows no weights', async (t) => {
  const net = new FNN({ ...LAYERS, l2: 0.3, task: 'regression', ...FLOAT64.options })
  const light = net.fitSync(x, numbers, { epochs: 1, learningRate: 0, sampleWeight: counts.map((c) => c / 1000) })
  const heavy = net.fitSync(x, numbers, { epochs: 1, learningRate: 0, sampleWeight: counts })
  t.equal(light.penalty[0], heavy.penalty[0])
  agree(t, light.loss, heavy.loss, { relative: 1e-14 }, 'a factor of all weights changes no mean')
})

t.test('rows held out take their weights along', async (t) => {
  await onEachBackend(t, (t, { options, dtype }) => {
    const fit = { epochs: 2, validation: 0.3 }
    const few = new FNN({ ...LAYERS, ...options }).fitSync(x, kinds, { ...fit, sampleWeight: x.map(() => 0.25) })
    const plain = new FNN({ ...LAYERS, ...options }).fitSync(x, kinds, fit)
    agree(t, few.valLoss ?? [], plain.valLoss ?? [], TOLERANCE[dtype], 'a constant weight')
    // A weight for each class alone says which rows were held out: every class keeps its share on both sides.
    const ofClass = (k: number) =>
      new FNN({ ...LAYERS, ...options }).fitSync(x, kinds, {
        ...fit,
        sampleWeight: kinds.map((kind) => (kind === k ? 1 : 1e-9)),
      })
    const shares = [0, 1, 2].map(
      (k) => ofClass(k).metrics.valAccuracy[0] * Math.round(0.3 * kinds.filter((kind) => kind === k).length),
    )
    for (const share of shares) t.ok(Math.abs(share - Math.round(share)) < 1e-6, `${share} rows right`)
  })
})

t.test('class weights are weights of rows', async (t) => {
  const names = kinds.map((k) => ['ant', 'bee', 'cat'][k])
  const count = (k: number): number => kinds.filter((kind) => kind === k).length
  const balanced = kinds.map((k) => rows / (3 * count(k)))
  await onEachBackend(t, (t, { options }) => {
    const trained = (fit: object, y: Targets = names): number[] => {
      const net = new FNN({ ...LAYERS, ...options })
      const { loss } = net.fitSync(x, y, { epochs: 3, batchSize: 7, learningRate: 0.1, ...fit })
      return [...loss, ...flat(net.weights())]
    }
    const same = (fit: object, weights: number[], what: string, y?: Targets): void =>
      void t.same(trained(fit, y), trained({ sampleWeight: weights }, y), what)
    same({ classWeight: 'balanced' }, balanced, 'n / (K·count)')
    same(
      { classWeight: [3, 1, 0.5] },
      kinds.map((k) => [3, 1, 0.5][k]),
      'a list in the order of the classes',
    )
    same(
      { classWeight: { cat: 0.25, ant: 2 } },
      kinds.map((k) => [2, 1, 0.25][k]),
      'a record; left out is 1',
    )
    same(
      { classWeight: { 1: 5 } },
      kinds.map((k) => [1, 5, 1][k]),
      'labels that are numbers',
      kinds,
    )
    const isBee = kinds.map((k) => k === 1)
    same(
      { classWeight: { true: 4 } },
      isBee.map((is) => (is ? 4 : 1)),
      'booleans',
      isBee,
    )
    const oneHot = kinds.map((k) => [0, 1, 2].map((j) => Number(j === k)))
    same(
      { classWeight: [3, 1, 2] },
      kinds.map((k) => [3, 1, 2][k]),
      'one column a class',
      oneHot,
    )
    const both = trained({ classWeight: [3, 1, 2], sampleWeight: counts })
    t.same(both, trained({ sampleWeight: kinds.map((k, i) => [3, 1, 2][k] * counts[i]) }), 'times the rows\u2019 own')
  })
  const held = (fit: object) =>
    new FNN({ ...LAYERS, ...FLOAT64.options }).fitSync(x, names, {
      epochs: 1,
      learningRate: 0,
      validation: 0.3,
      ...fit,
    })
  t.same(held({ classWeight: [9, 1, 1] }).valLoss, held({}).valLoss, 'the validation loss knows none')
})

t.test('no classes, no class weights', async (t) => {
  const net = (): FNN => new FNN({ ...LAYERS, ...FLOAT64.options })
  t.throws(() => net().fitSync(x, numbers, { classWeight: [1, 2] }), {
    code: 'ERR_OPTION',
    message: 'Expected no classWeight for a regression task, which has no classes; use sampleWeight.',
  })
  const tags = x.map(([a, b]) => [Number(a > 0), Number(b > 0)])
  t.throws(() => net().fitSync(x, tags, { classWeight: 'balanced' }), { code: 'ERR_OPTION', message: /multilabel/ })
})

t.test('a diagnosis weighs the rows as the fit did', async (t) => {
  const net = new FNN({ layers: [dense(4, 'tanh'), dense(1)], task: 'regression', seed: 2, backend: 'typescript' })
  const y = x.map(([a]) => 3 * a)
  const fit = { epochs: 30, learningRate: 0.05, sampleWeight: x.map((_, i) => 1 + (i % 3)) }
  const { verdict } = await net.diagnose(x, y, { fit, budget: 3 })
  t.type(verdict, 'string')
  await t.rejects(net.diagnose(x, y, { fit: { sampleWeight: [1] } }), { code: 'ERR_SHAPE' })
})
