/**
 * Optimizers against PyTorch, or where it lacks one their published algorithm (test/fixtures/optimizers.py): every configuration, on full batches and on mini-batches in
 * the given order, from one start. In float64 weights must agree to 1e-9. The float32 backends make the same steps with
 * seven digits; where a gradient is nearly zero, the adam family and rmsprop divide it by itself.
 */
import {
  adagrad,
  adam,
  adamw,
  amsgrad,
  crossEntropy,
  dense,
  dropout,
  type FitOptions,
  FNN,
  lion,
  muon,
  nadam,
  rmsprop,
  sgd,
} from 'downhill'
import t from 'tap'
import { optimizerRow } from '../dist/optimizers'
import type { Floats } from '../dist/plan/plan'
import { dividing, divisor } from '../dist/step-form'
import { evaluation } from '../dist/train/slices'
import { CASES, EXACT, planOf, startOf, tableOf } from './cases'
import { agree, flat, flatStored, onEachBackend, readJson, type StoredLayer, type TestBackend } from './truth'

interface Trace {
  epochs: number
  batchSize: number
  loss: number[]
  afterFirst: StoredLayer[]
  afterLast: StoredLayer[]
}
interface Fixture {
  x: number[][]
  y: number[]
  start: StoredLayer[]
  configurations: {
    name: string
    optimizer: keyof typeof FACTORIES
    options: object | null
    learningRate: number | null
    runs: { full: Trace; batches: Trace }
  }[]
  /** Under momentum, at a rate of 0.1. */
  clipped: { name: string; fit: { clipNorm?: number; clipValue?: number }; runs: { full: Trace; batches: Trace } }[]
}

const FACTORIES = { sgd, rmsprop, adagrad, adam, amsgrad, nadam, adamw, lion, muon }
const { x, y, start, configurations, clipped } = readJson<Fixture>('optimizers.json')

const WEIGHTS = { float64: { absolute: 1e-9 }, float32: { absolute: 1e-5 } }
const LOSSES = { float64: { relative: 1e-12 }, float32: { relative: 1e-5 } }

function startNet(backend: TestBackend) {
  const layers = [dense(7, 'tanh'), dense(4, 'silu'), dense(3, 'softmax')]
  const net = new FNN({ inputs: 5, layers, loss: 'crossEntropy', ...backend.options })
  net.setWeights(start)
  return net
}

/** Runs of one configuration against their traces, whole and in two parts. */
function follows(name: string, options: FitOptions, runs: Readonly<Record<string, Trace>>): void {
  t.test(name, (t) =>
    onEachBackend(t, async (t, backend) => {
      for (const [kind, { epochs, batchSize, loss, afterFirst, afterLast }] of Object.entries(runs)) {
        const settings = { ...options, batchSize, shuffle: false }
        const whole = startNet(backend)
        const history = whole.fitSync(x, y, { ...settings, epochs })
        agree(t, history.loss, loss, LOSSES[backend.dtype], `${kind}: losses`)
        agree(t, flat(whole.weights()), flatStored(afterLast), WEIGHTS[backend.dtype], `${kind}: weights at the end`)

        // The same in two parts: partialFit goes on with the optimizer's state, off the event loop.
        const parts = startNet(backend)
        await parts.partialFit(x, y, { ...settings, epochs: 1 })
        agree(t, flat(parts.weights()), flatStored(afterFirst), WEIGHTS[backend.dtype], `${kind}: after an epoch`)
        await parts.partialFit(x, y, { ...settings, epochs: epochs - 1 })
        t.same(flat(parts.weights()), flat(whole.weights()), `${kind}: the same bits in two parts`)
      }
    }),
  )
}

for (const { name, optimizer, options, learningRate, runs } of configurations) {
  const spec = options === null ? optimizer : FACTORIES[optimizer](options)
  follows(name, { optimizer: spec, ...(learningRate !== null && { learningRate }) }, runs)
}

for (const { name, fit, runs } of clipped)
  follows(name, { optimizer: sgd({ momentum: 0.9 }), learningRate: 0.1, ...fit }, runs)

t.test('gradientNorm is that before clipping', (t) =>
  onEachBackend(t, (t, backend) => {
    const free = startNet(backend).fitSync(x, y, { epochs: 1 })
    const net = startNet(backend)
    const clipped = net.fitSync(x, y, { epochs: 1, clipNorm: 1e-3, clipValue: 1e-4 })
    t.same(clipped.gradientNorm, free.gradientNorm)
    t.same(clipped.loss, free.loss)
    const [before, after] = [flatStored(start), flat(net.weights())]
    const moved = Math.sqrt(before.reduce((sum, w, i) => sum + (w - after[i]) ** 2, 0))
    t.ok(moved > 0 && moved <= 0.01 * 1e-3, `a step of ${moved}`)
    t.ok(Math.max(...before.map((w, i) => Math.abs(w - after[i]))) <= 0.01 * 1.0001e-4 + 2 ** -24)
  }),
)

t.test('accumulated batches are one larger batch', (t) =>
  onEachBackend(t, (t, backend) => {
    // 20 rows in batches of 3, three of them a step: 9, 9 and the 2 that are left.
    for (const loss of [undefined, crossEntropy({ reduction: 'sum' })]) {
      const run = (options: FitOptions) => {
        const layers = [dense(7, 'tanh'), dropout(0.3), dense(4, 'silu'), dense(3, 'softmax')]
        const net = new FNN({ inputs: 5, layers, loss: loss ?? 'crossEntropy', seed: 5, l2: 0.1, ...backend.options })
        net.setWeights(start)
        const history = net.fitSync(x, y, { epochs: 4, optimizer: adam(), learningRate: 0.01, ...options })
        return { loss: history.loss, weights: flat(net.weights()), steps: history.steps }
      }
      const [parts, whole] = [run({ batchSize: 3, accumulate: 3 }), run({ batchSize: 9 })]
      t.equal(parts.steps, 12)
      agree(t, parts.loss, whole.loss, LOSSES[backend.dtype], 'losses')
      agree(t, parts.weights, whole.weights, WEIGHTS[backend.dtype], 'weights')
      t.strictNotSame(parts.weights, run({ batchSize: 3 }).weights)
    }
  }),
)

t.test('the rate: fit’s, else the factory’s, else the default', (t) =>
  onEachBackend(t, (t, backend) => {
    const after = (optimizer: 'sgd' | ReturnType<typeof sgd>, learningRate?: number) => {
      const net = startNet(backend)
      const history = net.fitSync(x, y, { optimizer, epochs: 3, ...(learningRate !== undefined && { learningRate }) })
      t.ok(history.learningRate.every((rate) => rate === history.learningRate[0]))
      return { weights: flat(net.weights()), rate: history.learningRate[0] }
    }
    t.equal(after('sgd').rate, 0.01)
    t.equal(after(adam()).rate, 0.001)
    t.same(after(sgd({ learningRate: 0.3 })), after('sgd', 0.3))
    t.same(after(sgd({ learningRate: 0.3 }), 0.2), after('sgd', 0.2))
    t.strictNotSame(after('sgd', 0.3).weights, after('sgd', 0.2).weights)
  }),
)

/** Those whose step no such formula describes. */
const STRANGERS = ['lion', 'muon', 'lbfgs']

t.test('form: the formula of a step is what its passes do', (t) => {
  for (const row of CASES.filter(({ name }) => name.startsWith('optimizer'))) {
    const engine = EXACT.backend.load(planOf(row, 'float64'), 1)
    const { parameters, state, gradients } = engine.plan
    engine.write(parameters, startOf(row))
    const data = engine.bind(tableOf(row))
    const { settings } = row.optimizer
    const form = optimizerRow(row.optimizer).form(settings)
    if (form === null) {
      t.equal(form, STRANGERS.includes(row.optimizer.kind) ? null : undefined, `${row.name} has no form`)
      continue
    }
    const vector = (of: Floats, i: number) => of.subarray(i * parameters.length, (i + 1) * parameters.length)
    for (let k = 1; k <= 5; k++) {
      const [w, before] = [engine.read(parameters), engine.read(state)]
      engine.run(evaluation(data, 'gradient'))
      const g = engine.read(gradients)
      const rate = 0.1
      engine.run({ ...evaluation(data, 'train'), learningRate: Float64Array.of(rate), step: k - 1 })
      const after = engine.read(state)
      const { memory, preconditioner: P, coupledDecay, decoupledDecay } = form
      const expected = w.map((wi, i) => {
        const m = memory ? memory.weight(k) * vector(before, memory.state)[i] : 0
        const u =
          (form.gradient(k) * (g[i] + coupledDecay * wi) + m) / (P ? divisor(P, k)(vector(after, dividing(P))[i]) : 1)
        return wi - rate * u - rate * decoupledDecay * wi
      })
      agree(t, engine.read(parameters), expected, { absolute: 1e-13 }, `${row.name}, step ${k}`)
    }
  }
  t.end()
})
