/**
 * L-BFGS and its line search: on functions whose minimum is known, against scipy's on a small classifier
 * (test/fixtures/lbfgs.py), and as a run like any other.
 */
import { join } from 'node:path'
import { dense, dropout, type FitOptions, FNN, lbfgs } from 'downhill'
import t from 'tap'
import { strongWolfe, type Trial } from '../dist/train/wolfe'
import {
  agree,
  FLOAT64,
  flat,
  onEachBackend,
  readBreastCancer,
  readJson,
  type StoredLayer,
  standardised,
  type TestBackend,
} from './truth'

// ---------------------------------------------------------------------------------------------------- the line

/** Searches φ; the trials that it took. */
function searchLine(phi: (alpha: number) => number, slope: (alpha: number) => number, first: number, most = 30) {
  const trials: Trial[] = []
  const at = (alpha: number): Trial => ({ alpha, f: phi(alpha), slope: slope(alpha) })
  // biome-ignore lint/correctness/useYield: values are at hand here
  const look = function* (alpha: number): Generator<never, Trial, never> {
    const trial = at(alpha)
    trials.push(trial)
    return trial
  }
  const { value } = strongWolfe<Trial, never, never>({ start: at(0), first, most, look }).next()
  return { found: value as Trial | null, trials }
}

t.test('the line search ends where the strong Wolfe conditions hold', async (t) => {
  const lines: [name: string, phi: (a: number) => number, slope: (a: number) => number][] = [
    ['a parabola', (a) => (a - 1) ** 2, (a) => 2 * (a - 1)],
    // Moré & Thuente 1994, functions 1 and 2.
    ['a hollow far away', (a) => -a / (a * a + 2), (a) => (a * a - 2) / (a * a + 2) ** 2],
    ['a corner', (a) => (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4, (a) => 5 * (a + 0.004) ** 4 - 8 * (a + 0.004) ** 3],
    ['waves', (a) => (a - 3) ** 2 + 2 * Math.sin(5 * a), (a) => 2 * (a - 3) + 10 * Math.cos(5 * a) - 20],
    ['a cliff', (a) => (a < 0.7 ? -a : Number.NaN), (a) => (a < 0.7 ? -1 + 0.5 * a : Number.NaN)],
  ]
  for (const [name, phi, slope] of lines)
    for (const first of [1e-3, 0.1, 1, 10, 1000]) {
      if (name === 'waves' || name === 'a cliff') continue
      const { found, trials } = searchLine(phi, slope, first)
      if (found === null) {
        t.fail(`${name} from ${first}: nothing found`)
        continue
      }
      t.ok(found.f <= phi(0) + 1e-4 * found.alpha * slope(0), `${name} from ${first}: low enough`)
      t.ok(Math.abs(found.slope) <= 0.9 * Math.abs(slope(0)), `${name} from ${first}: flat enough`)
      t.ok(trials.length <= 20, `${name} from ${first}: ${trials.length} trials`)
    }
})

t.test('beyond a cliff, and where there is nothing to find', async (t) => {
  const cliff = searchLine(
    (a) => (a < 0.7 ? -a : Number.POSITIVE_INFINITY),
    (a) => (a < 0.7 ? -1 : Number.NaN),
    1,
  )
  t.ok(cliff.found !== null && cliff.found.alpha > 0.6 && cliff.found.alpha < 0.7, 'the lowest before it')
  const uphill = searchLine(
    (a) => a,
    () => -1,
    1,
  )
  t.equal(uphill.found, null, 'a slope that lies')
  t.equal(uphill.trials.length, 30)
  t.equal(
    searchLine(
      () => Number.NaN,
      () => Number.NaN,
      1,
    ).found,
    null,
    'no number anywhere',
  )
})

// ---------------------------------------------------------------------------------------------------- the minimum

t.test('a quadratic: the solution of the normal equations in few steps', (t) =>
  onEachBackend(t, async (t, backend) => {
    const x = Array.from({ length: 30 }, (_, i) => [Math.sin(3 * i), Math.cos(5 * i), Math.sin(7 * i + 1)])
    const y = x.map(([a, b, c]) => 2 * a - b + 0.5 * c + 3)
    const net = new FNN({ inputs: 3, layers: [dense(1)], loss: 'mse', seed: 1, ...backend.options })
    const history = await net.fit(x, y, { optimizer: lbfgs({ tolerance: 1e-6 }), epochs: 50 })
    t.equal(history.status, 'completed')
    t.match(history.stopReason, /gradient|objective/)
    t.ok(history.steps <= 12, `${history.steps} steps`)
    agree(t, flat(net.weights()), [2, -1, 0.5, 3], { absolute: backend.dtype === 'float64' ? 1e-5 : 1e-4 }, 'weights')
    t.equal(history.learningRate[history.epochs - 1], 0, 'the last entry is where it rests')
    t.ok(
      history.loss.every((loss, i) => i === 0 || loss <= history.loss[i - 1]),
      'no step raises the objective',
    )
  }),
)

interface Fixture {
  start: StoredLayer[]
  loss: [start: number, end: number]
  evaluations: number
}
const { start, loss, evaluations } = readJson<Fixture>('lbfgs.json')
const cancer = readBreastCancer()
const inputs = standardised(cancer.x)

function classifier(backend: TestBackend): FNN {
  const layers = [dense(5, 'tanh'), dense(1, 'sigmoid')]
  const net = new FNN({ inputs: 30, layers, loss: 'binaryCrossEntropy', l2: 0.02, seed: 1, ...backend.options })
  net.setWeights(start)
  return net
}

t.test('the objective that scipy reaches, penalty in it', (t) =>
  onEachBackend(t, async (t, backend) => {
    const history = await classifier(backend).fit(inputs, cancer.y, { optimizer: 'lbfgs', epochs: 300 })
    const end = history.loss[history.epochs - 1]
    const near = backend.dtype === 'float64' ? 1e-6 : 1e-5
    t.ok(Math.abs(history.loss[0] - loss[0]) < near, 'from the same start')
    t.ok(end < loss[1] * (1 + near), `${end} for ${loss[1]}`)
    t.ok(end > loss[1] * (1 - near), 'and no lower')
    t.ok(history.penalty[history.epochs - 1] > 0.01)
    t.equal(history.status, 'completed')
    const steps = history.loss.findIndex((value) => value <= loss[1] * (1 + 1e-5))
    t.ok(steps > 0 && steps <= 2 * evaluations, `${steps} steps to 1e-5 of it, scipy's evaluations ${evaluations}`)
  }),
)

// ---------------------------------------------------------------------------------------------------- a run

t.test('here, on another thread, in two parts, from a checkpoint: the same bits', (t) =>
  onEachBackend(t, async (t, backend) => {
    const options: FitOptions = { optimizer: lbfgs({ history: 4 }) }
    const nets = Array.from({ length: 5 }, () => classifier(backend))
    const [here, there, parts, first, resumed] = nets
    const history = here.fitSync(inputs, cancer.y, { ...options, epochs: 20 })
    t.equal(history.steps, 20)
    await there.fit(inputs, cancer.y, { ...options, epochs: 20, callbacks: { async onBatchEnd() {} } })
    t.same(flat(there.weights()), flat(here.weights()))
    for (const epochs of [1, 7, 12]) await parts.partialFit(inputs, cancer.y, { ...options, epochs })
    t.same(flat(parts.weights()), flat(here.weights()), 'partialFit')
    const checkpoint = join(t.testdir(), 'run.safetensors')
    await first.fit(inputs, cancer.y, { ...options, epochs: 9, checkpoint })
    const whole = await resumed.fit(inputs, cancer.y, { ...options, epochs: 20, resume: checkpoint })
    t.same(flat(resumed.weights()), flat(here.weights()), 'resume')
    t.same(whole.loss, history.loss)
  }),
)

t.test('callbacks, validation, early stopping and orders are those of any run', (t) =>
  onEachBackend(t, async (t, backend) => {
    const net = classifier(backend)
    const seen: number[] = []
    const history = await net.fit(inputs, cancer.y, {
      optimizer: 'lbfgs',
      epochs: 100,
      validation: 0.3,
      callbacks: {
        onEpochEnd(moment) {
          seen.push(moment.epoch)
          if (moment.epoch === 6) moment.stop()
        },
      },
    })
    t.equal(history.status, 'stopped')
    t.same(seen, [1, 2, 3, 4, 5, 6])
    t.equal(history.valLoss?.length, 6)
    t.ok(
      history.learningRate.every((length) => length > 0),
      'lengths found',
    )

    const early = await classifier(backend).fit(inputs, cancer.y, {
      optimizer: lbfgs({ tolerance: 0, toleranceChange: 0 }),
      epochs: 300,
      validation: 0.3,
      earlyStopping: { patience: 5 },
    })
    t.ok(early.epochs < 300, `${early.epochs} epochs, ${early.stopReason}`)

    const controller = new AbortController()
    const stopped = classifier(backend)
    const run = stopped.fit(inputs, cancer.y, {
      optimizer: lbfgs({ tolerance: 0, toleranceChange: 0 }),
      epochs: 300,
      signal: controller.signal,
      callbacks: { onEpochEnd: ({ epoch }) => void (epoch === 3 && controller.abort()) },
    })
    await t.rejects(async () => run, { code: 'ERR_ABORTED' })
    const three = classifier(backend)
    three.fitSync(inputs, cancer.y, { optimizer: 'lbfgs', epochs: 3 })
    t.same(flat(stopped.weights()), flat(three.weights()), 'the last whole step')
  }),
)

t.test('from where nothing is finite it says so and moves nothing', (t) =>
  onEachBackend(t, (t, backend) => {
    const net = new FNN({ inputs: 1, layers: [dense(1)], loss: 'mse', ...backend.options })
    const big = backend.dtype === 'float64' ? 1e200 : 1e30
    net.setWeights([{ weights: [[big]], bias: [0] }])
    const history = net.fitSync([[big], [1]], [0, 1], { optimizer: 'lbfgs', epochs: 5 })
    t.equal(history.status, 'diverged')
    t.equal(history.steps, 0)
    t.match(history.stopReason, /step 1 /)
  }),
)

t.test('what a search cannot do is refused', async (t) => {
  const net = classifier(FLOAT64)
  const refused: [FitOptions, RegExp][] = [
    [{ batchSize: 10 }, /full batches for lbfgs/],
    [{ clipNorm: 1 }, /no clipNorm for lbfgs/],
    [{ clipValue: 1 }, /no clipValue for lbfgs/],
    [{ ema: true }, /no ema for lbfgs/],
    [{ ledger: true }, /no ledger for lbfgs/],
  ]
  for (const [options, message] of refused)
    await t.rejects(async () => net.fit(inputs, cancer.y, { optimizer: 'lbfgs', ...options }), {
      code: 'ERR_OPTION',
      message,
    })
  await t.rejects(net.learningRateLimits(inputs, cancer.y, { optimizer: 'lbfgs' }), { code: 'ERR_OPTION' })
  const dropped = new FNN({ inputs: 30, layers: [dense(5), dropout(0.3), dense(1, 'sigmoid')], ...FLOAT64.options })
  await t.rejects(async () => dropped.fit(inputs, cancer.y, { optimizer: 'lbfgs' }), {
    code: 'ERR_OPTION',
    message: /it has dropout/,
  })
})
