/**
 * Schedules: rates against PyTorch (test/fixtures/schedules.py), and in runs: step by step, however they are cut, with
 * callbacks, in parts.
 */
import { join } from 'node:path'
import {
  constant,
  cosine,
  dense,
  exponential,
  FNN,
  type LearningRate,
  oneCycle,
  plateau,
  polynomial,
  step,
  warmup,
} from 'downhill'
import t from 'tap'
import type { Epoch } from '../dist/train/history'
import { type Clock, pacerOf, SCHEDULES, type ScheduleName, type ScheduleSpec } from '../dist/train/schedules'
import { agree, flat, onEachBackend, readJson, type TestBackend } from './truth'

interface Fixture {
  rate: number
  losses: number[]
  configurations: { kind: keyof typeof FACTORIES; options: object; rates: number[] }[]
}

const FACTORIES = { step, exponential, cosine, polynomial, oneCycle, warmup, plateau }
const { rate, losses, configurations } = readJson<Fixture>('schedules.json')
const make = (kind: keyof typeof FACTORIES, options: object): ScheduleSpec =>
  (FACTORIES[kind] as (options: object) => ScheduleSpec)(options)

/** An epoch with this loss, as schedules hear of it. */
const heard = (loss: number, epoch = 1): Epoch => ({ epoch, loss, penalty: 0, gradientNorm: 1, learningRate: 1 })

t.test('rates are those of PyTorch', async (t) => {
  for (const { kind, options, rates } of configurations) {
    const pacer = pacerOf(make(kind, options), rate)
    const ours = losses.map((loss, i) => {
      // One step an epoch: whichever it counts.
      const at = pacer.rate({ step: i, epoch: i, steps: losses.length, epochs: losses.length })
      pacer.hear(heard(loss, i + 1))
      return at
    })
    agree(t, ours, rates, { absolute: 1e-15, relative: 1e-13 }, `${kind} ${JSON.stringify(options)}`)
  }
  const known = new Set<ScheduleName>(configurations.map(({ kind }) => kind))
  t.same(
    [...SCHEDULES.keys()].filter((kind) => !known.has(kind)),
    ['constant'],
    'every schedule is in the fixture',
  )
})

// ---------------------------------------------------------------------------------------------------- runs

const x = Array.from({ length: 10 }, (_, i) => [Math.sin(3 * i), Math.cos(5 * i)])
const y = x.map(([a, b]) => a * b)

const net = (backend: TestBackend) =>
  new FNN({ inputs: 2, layers: [dense(5, 'tanh'), dense(1)], loss: 'mse', seed: 1, ...backend.options })

/** Three steps an epoch. */
const BATCHES = { epochs: 4, batchSize: 4 }

/** The rate of each step, seen from within. */
function ratesOf(backend: TestBackend, learningRate: LearningRate): number[] {
  const rates: number[] = []
  const see = (moment: { readonly learningRate: number }): void => void rates.push(moment.learningRate)
  net(backend).fitSync(x, y, { ...BATCHES, learningRate, callbacks: { onTrainBegin: see, onBatchEnd: see } })
  return rates.slice(0, 12)
}

t.test('per epoch a rate stays through it, per step it does not', (t) =>
  onEachBackend(t, (t, backend) => {
    const byEpoch = ratesOf(backend, exponential({ rate: 0.1, factor: 0.5 }))
    agree(
      t,
      byEpoch,
      [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3].map((e) => 0.1 * 0.5 ** e),
      { relative: 1e-15 },
      'epoch',
    )
    const byStep = ratesOf(backend, exponential({ rate: 0.1, factor: 0.5, per: 'step' }))
    agree(
      t,
      byStep,
      byStep.map((_, i) => 0.1 * 0.5 ** i),
      { relative: 1e-15 },
      'step',
    )
    const warm = ratesOf(backend, warmup({ length: 3, schedule: 0.4 }))
    agree(t, warm, [0.1, 0.2, 0.3, ...Array(9).fill(0.4)], { relative: 1e-14 }, 'a warm-up of even parts')
    const linear = ratesOf(backend, warmup({ length: 1, per: 'epoch', schedule: polynomial({ rate: 0.3 }) }))
    agree(t, linear, [0.15, 0.15, 0.15, ...[0.3, 0.2, 0.1].flatMap((v) => [v, v, v])], { relative: 1e-14 }, 'then down')
  }),
)

t.test('a function is asked for each step, and told where the run stands', (t) =>
  onEachBackend(t, async (t, backend) => {
    const clocks: Clock[] = []
    const history = await net(backend).fit(x, y, {
      ...BATCHES,
      learningRate: (step, clock) => {
        t.equal(step, clock.step)
        clocks.push({ ...clock })
        return 0.01 * (step + 1)
      },
    })
    t.same(
      clocks.map((clock) => clock.step),
      Array.from({ length: 12 }, (_, i) => i),
    )
    t.same(
      clocks.map((clock) => clock.epoch),
      [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    )
    t.ok(clocks.every(({ steps, epochs }) => steps === 12 && epochs === 4))
    agree(t, history.learningRate, [0.03, 0.06, 0.09, 0.12], { relative: 1e-15 }, 'the last of each epoch is recorded')
    for (const wrong of [Number.NaN, -1, '0.1', undefined]) {
      const options = { learningRate: () => wrong as number }
      await t.rejects(async () => net(backend).fit(x, y, options), { code: 'ERR_OPTION' })
    }
  }),
)

const SCHEDULES_OF_ALL_KINDS: LearningRate[] = [
  cosine({ rate: 0.1, per: 'step' }),
  oneCycle({ rate: 0.2 }),
  warmup({ length: 5, schedule: cosine({ rate: 0.1 }) }),
  step({ every: 2 }),
  plateau({ rate: 0.3, patience: 0, threshold: 0.2 }),
  (step) => 0.1 / (1 + step),
]

t.test('the bits do not depend on how a run is cut, or on the thread', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const learningRate of SCHEDULES_OF_ALL_KINDS) {
      const options = { ...BATCHES, epochs: 30, learningRate }
      const [here, there, watched] = [net(backend), net(backend), net(backend)]
      const history = here.fitSync(x, y, options)
      await there.fit(x, y, options)
      watched.fitSync(x, y, { ...options, callbacks: { onBatchEnd() {} } })
      t.same(flat(there.weights()), flat(here.weights()))
      t.same(flat(watched.weights()), flat(here.weights()))
      t.ok(new Set(history.learningRate).size > 1, 'the rate changes')
    }
  }),
)

t.test('partialFit goes on where the schedule stood', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const learningRate of [
      exponential({ rate: 0.1, factor: 0.7 }),
      cosine({ rate: 0.1, length: 8 }),
      cosine({ rate: 0.1, period: 3, per: 'step' }),
      warmup({ length: 7, schedule: step({ rate: 0.1, every: 3, per: 'step' }) }),
      plateau({ rate: 0.3, patience: 0, threshold: 0.2 }),
    ]) {
      const [whole, parts] = [net(backend), net(backend)]
      const once = await whole.partialFit(x, y, { ...BATCHES, epochs: 6, learningRate })
      const first = await parts.partialFit(x, y, { ...BATCHES, epochs: 2, learningRate })
      const second = await parts.partialFit(x, y, { ...BATCHES, epochs: 4, learningRate })
      t.same([...first.learningRate, ...second.learningRate], [...once.learningRate])
      t.same(flat(parts.weights()), flat(whole.weights()), 'the same bits in two parts')
    }
  }),
)

t.test('a resumed run goes on where the schedule stood', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const [i, learningRate] of [
      cosine({ rate: 0.1, per: 'step', length: 40 }),
      plateau({ rate: 0.3, patience: 0, threshold: 0.2 }),
      (step: number) => 0.1 / (1 + step),
    ].entries()) {
      const checkpoint = join(t.testdir(), `${i}.safetensors`)
      const options = { ...BATCHES, learningRate, optimizer: 'adam' } as const
      const [whole, first, second] = [net(backend), net(backend), net(backend)]
      const once = await whole.fit(x, y, { ...options, epochs: 7 })
      await first.fit(x, y, { ...options, epochs: 3, checkpoint })
      const resumed = await second.fit(x, y, { ...options, epochs: 7, resume: checkpoint })
      t.same(resumed.learningRate, once.learningRate)
      t.same(flat(second.weights()), flat(whole.weights()), 'the same bits')
    }
  }),
)

t.test('plateau listens to the validation rows, or to the loss', (t) =>
  onEachBackend(t, async (t, backend) => {
    const run = (monitor?: 'valLoss' | 'loss') =>
      net(backend).fit(x, y, {
        epochs: 6,
        validation: { x, y: y.map((v) => -v) },
        learningRate: plateau({ rate: 0.1, patience: 0, factor: 0.5, ...(monitor && { monitor }) }),
      })
    // Towards y is away from −y: the validation loss rises from the first epoch on, the other falls.
    t.same((await run()).learningRate, [0.1, 0.1, 0.05, 0.025, 0.0125, 0.00625])
    t.same((await run('valLoss')).learningRate, (await run()).learningRate)
    t.same((await run('loss')).learningRate, Array(6).fill(0.1))
    const learningRate = warmup({ length: 2, schedule: plateau({ monitor: 'valLoss' }) })
    await t.rejects(async () => net(backend).fit(x, y, { learningRate }), { code: 'ERR_OPTION', message: /validation/ })
  }),
)

t.test('a rate that a callback sets stays', (t) =>
  onEachBackend(t, (t, backend) => {
    const history = net(backend).fitSync(x, y, {
      ...BATCHES,
      learningRate: exponential({ rate: 0.1, factor: 0.5 }),
      callbacks: {
        onEpochEnd(m) {
          if (m.epoch === 2) m.learningRate = 0.7
        },
      },
    })
    t.same(history.learningRate, [0.1, 0.05, 0.7, 0.7])
  }),
)

t.test('the rate: the schedule’s, else the factory’s, else the optimizer’s', (t) =>
  onEachBackend(t, (t, backend) => {
    const first = (options: object): number => net(backend).fitSync(x, y, { epochs: 1, ...options }).learningRate[0]
    t.equal(first({ learningRate: cosine() }), 0.01)
    t.equal(first({ learningRate: cosine(), optimizer: { kind: 'adam', settings: {}, learningRate: 0.3 } }), 0.3)
    t.equal(first({ learningRate: cosine({ rate: 0.2 }), optimizer: 'adam' }), 0.2)
    t.equal(first({ learningRate: constant(0.4) }), 0.4, 'constant is that of the initializers')
    t.equal(first({ learningRate: warmup({ length: 3, schedule: constant(0.4) }) }), 0.1)
  }),
)
