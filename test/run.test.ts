/**
 * Runs: what `fit` returns, and what holds while it goes on and when it ends, on every backend.
 *
 * Awaiting and iterating, stopping, reading in mid-run, what the history says, and what must be the same to the last bit
 * however a training is driven. What a run refuses is manners.test.ts; how a process may end around a native one is
 * native.test.ts.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import {
  adam,
  constant,
  dense,
  dropout,
  type Epoch,
  type FitOptions,
  FNN,
  type History,
  type Moment,
  sgd,
} from 'downhill'
import t from 'tap'
import { errorOf, flat, onEachBackend, printed, type TestBackend } from './truth'

type Options = TestBackend['options']

// ---------------------------------------------------------------------------------------------------- something to train

/** Two noisy rings, 97 rows: a batch of 10 leaves 7. */
const ROWS = 97
const angle = (i: number): number => 2.4 * i
const x = Array.from({ length: ROWS }, (_, i) => [
  (1 + (i % 2)) * Math.cos(angle(i)) + 0.1 * Math.sin(i * i),
  (1 + (i % 2)) * Math.sin(angle(i)) + 0.1 * Math.cos(i * i),
])
const y = Array.from({ length: ROWS }, (_, i) => i % 2)

const makeNet = (options: Options, more: object = {}): FNN =>
  new FNN({ ...('layers' in more ? {} : { hidden: [7] }), seed: 4, ...options, ...more })

/** w² at w = 2: at rate r a step multiplies w by 1 − 2r, so that every state of a run can be written down. */
const parabola = (options: Options): FNN =>
  new FNN({
    inputs: 1,
    layers: [dense(1, 'linear', { initializer: constant(2), bias: false })],
    loss: 'mse',
    ...options,
  })

/** Long enough to be met in the middle: one that nobody stops would take minutes. */
const ENDLESS: FitOptions = { epochs: 5_000_000, batchSize: 10, learningRate: 0.001 }

const weightsOf = (net: FNN): number[] => flat(net.weights())
const sameBits = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  a.length === b.length && Array.from(a).every((v, i) => Object.is(v, b[i]))

const nearly = (a: number | undefined, b: number): boolean => a !== undefined && Math.abs(a - b) <= 1e-12 * Math.abs(b)

/** All that a history says but for the time. */
function seriesOf(history: History): number[] {
  const { loss, penalty, gradientNorm, learningRate, valLoss, metrics } = history
  return [loss, penalty, gradientNorm, learningRate, valLoss ?? [], ...Object.values(metrics)].flatMap((list) => [
    ...list,
  ])
}

async function epochsOf(run: AsyncIterable<Epoch>): Promise<number[]> {
  const seen: number[] = []
  for await (const { epoch } of run) seen.push(epoch)
  return seen
}

const countTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)

// ---------------------------------------------------------------------------------------------------- listening

t.test('a run is awaited any number of times, and gives one history', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const run = makeNet(options).fit(x, y, { epochs: 3 })
    const [first, second] = await Promise.all([run, run])
    const third = await run
    const fourth = await run.then((history) => history)
    const fifth = await run.catch(() => null)
    let ended = 0
    const sixth = await run.finally(() => ended++)
    t.ok([second, third, fourth, fifth, sixth].every((history) => history === first))
    t.equal(ended, 1)
    t.equal(first.status, 'completed')
    t.match(first.stopReason, /^All 3 epochs were trained\.$/)
  }),
)

t.test('whoever iterates sees every epoch from the first, at their own pace, also late, also several', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const run = makeNet(options).fit(x, y, { epochs: 9 })
    const slowly: Epoch[] = []
    for await (const epoch of run) {
      // Whoever reads holds nobody up: by the second epoch read, all have been trained.
      if (slowly.length === 1) await run
      slowly.push(epoch)
    }
    const { loss, penalty, gradientNorm, learningRate } = await run
    t.strictSame(
      slowly,
      countTo(9).map((epoch, i) => ({
        epoch,
        loss: loss[i],
        penalty: penalty[i],
        gradientNorm: gradientNorm[i],
        learningRate: learningRate[i],
      })),
    )
    t.strictSame(await Promise.all([epochsOf(run), epochsOf(run)]), [countTo(9), countTo(9)])
  }),
)

t.test('break stops listening, not training', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const run = makeNet(options).fit(x, y, { epochs: 50, batchSize: 1 })
    for await (const { epoch } of run) if (epoch === 2) break
    t.equal((await run).epochs, 50)
  }),
)

// ---------------------------------------------------------------------------------------------------- ending early

t.test('stop ends a run after a whole step; what it learned stays, and is what the history says', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const batchSize of ['full', 10] as const) {
      const net = makeNet(options)
      const run = net.fit(x, y, { ...ENDLESS, batchSize })
      for await (const _ of run) break
      run.stop()
      run.stop()
      const { status, stopReason, loss, epochs, steps } = await run
      t.equal(status, 'stopped')
      t.match(stopReason, new RegExp(`^The run was asked to stop after ${steps} steps\\.$`))
      t.ok(epochs >= 1 && epochs < 5_000_000 && loss.length === epochs)
      const stepsPerEpoch = batchSize === 'full' ? 1 : 10
      t.equal(Math.ceil(steps / stepsPerEpoch), epochs, 'an epoch begun is an epoch in the history')
      t.strictSame(await epochsOf(run), countTo(epochs))
      t.equal((await net.fit(x, y, { epochs: 1, learningRate: 0 })).status, 'completed', 'idle again')
      if (steps % stepsPerEpoch !== 0) continue
      // The same number of steps, by a model that nobody stops, is the same model.
      const other = makeNet(options)
      other.fitSync(x, y, { ...ENDLESS, batchSize, epochs })
      t.ok(sameBits(weightsOf(net), weightsOf(other)), `${steps} steps`)
    }
  }),
)

t.test('stopped before it began, a run makes no step', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const net = makeNet(options, { inputs: 2, task: 'binary' })
    const run = net.fit(x, y, ENDLESS)
    run.stop()
    const { status, steps } = await run
    t.equal(status, 'stopped')
    t.ok(steps <= 1000 && Number.isInteger(steps), `${steps} steps`)
  }),
)

t.test('a signal aborts a run before it begins, in the middle, and not when it is over', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const reason = new Error('enough')
    const fresh = makeNet(options)
    const early = await errorOf(fresh.fit(x, y, { signal: AbortSignal.abort(reason) }))
    t.equal(early.code, 'ERR_ABORTED')
    t.equal(early.cause, reason)
    t.throws(() => fresh.weights(), { code: 'ERR_STATE' }, 'nothing was built')

    const net = makeNet(options, { hidden: [64, 64] })
    const controller = new AbortController()
    // Rates are asked for when steps are submitted; so far ahead of what is known to be made, not all has been.
    let submitted = 0
    const learningRate = (step: number): number => {
      submitted = step + 1
      return 0.001
    }
    const run = net.fit(x, y, { ...ENDLESS, learningRate, signal: controller.signal })
    for await (const { epoch } of run) if (submitted - 10 * epoch > 2000) break
    const most = submitted
    controller.abort(reason)
    const error = await errorOf(run)
    t.equal(error.code, 'ERR_ABORTED')
    t.equal(error.cause, reason)
    const history = error.history as History
    t.ok(history.steps > 0 && history.steps < most, `${history.steps} steps of ${most} submitted`)
    t.equal(submitted, most, 'and nothing is submitted after it')
    t.equal((await errorOf(epochsOf(run))).code, 'ERR_ABORTED', 'whoever iterates is told too')
    t.ok(weightsOf(net).every(Number.isFinite))

    const late = new AbortController()
    const whole = await net.fit(x, y, { epochs: 2, signal: late.signal })
    late.abort()
    t.equal(whole.status, 'completed')
    t.equal((await net.fit(x, y, { epochs: 1 })).status, 'completed', 'idle again')
  }),
)

t.test('after an abort no batch is begun', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const last of [1, 4, 13]) {
      const controller = new AbortController()
      let batches = 0
      const callbacks = {
        onBatchEnd() {
          if (++batches === last) controller.abort()
        },
      }
      const error = await errorOf(makeNet(options).fit(x, y, { ...ENDLESS, signal: controller.signal, callbacks }))
      t.equal(error.code, 'ERR_ABORTED')
      t.strictSame([batches, (error.history as History).steps], [last, last])
    }
  }),
)

t.test('an abort does not wait for a validation, which is made when the run goes on', (t) =>
  onEachBackend(t, async (t, { options }) => {
    // Ten rows train, in next to no time, and 300,000 are looked at: that is where an abort finds the run.
    const rows = 300_000
    const columns = 2
    const many = { data: Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i)), rows, columns }
    const validation = { x: many, y: Float32Array.from({ length: rows }, (_, i) => i % 2) }
    const some = [x.slice(0, 10), y.slice(0, 10)] as const
    for (const more of [{ batchSize: 5 }, { ema: true }]) {
      const name = Object.keys(more)[0]
      const checkpoint = join(t.testdir(), `${name}.safetensors`)
      const fit: FitOptions = { epochs: 3, validation, ...more }
      const [net, whole, again] = [0, 1, 2].map(() => makeNet(options))
      const controller = new AbortController()
      const last = name === 'ema' ? 2 : 4
      const callbacks = {
        onBatchEnd({ step }: Moment) {
          // After what is done at once, which begins the validation, and before any report is heard.
          if (step === last) setImmediate(() => controller.abort())
        },
      }
      const run = net.fit(...some, { ...fit, checkpoint, callbacks, signal: controller.signal })
      const error = await errorOf(run)
      t.equal(error.code, 'ERR_ABORTED')
      const { loss, valLoss, steps } = error.history as History
      t.strictSame([loss.length, steps], [2, last], 'the second epoch was trained')
      t.ok(loss.every(Number.isFinite))
      t.strictSame(Array.from(valLoss as Float64Array, Number.isFinite), [true, false], 'and not validated')
      const resumed = await again.fit(...some, { ...fit, resume: checkpoint })
      t.ok(sameBits(seriesOf(resumed), seriesOf(await whole.fit(...some, fit))), `${name}: as if nothing had been`)
      t.ok(sameBits(weightsOf(again), weightsOf(whole)))
    }
  }),
)

t.test('wherever an abort finds a run that validates, it can go on', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const fit: FitOptions = { epochs: 1000, batchSize: 40, validation: 0.2 }
    const whole = makeNet(options)
    const series = seriesOf(await whole.fit(x, y, fit))
    for (let wait = 0; wait < 12; wait++) {
      const checkpoint = join(t.testdir(), `${wait}.safetensors`)
      const controller = new AbortController()
      const { signal } = controller
      const run = makeNet(options).fit(x, y, { ...fit, signal, checkpoint: { path: checkpoint, everyEpochs: 1e6 } })
      for await (const { epoch } of run) if (epoch > 20 * wait) break
      for (let turn = 0; turn < wait; turn++) await new Promise(setImmediate)
      controller.abort()
      const { history } = await errorOf(run)
      const { valLoss, steps } = history as History
      t.ok(
        valLoss?.subarray(0, -1).every(Number.isFinite),
        `${steps} steps: but for the last, every epoch is validated`,
      )
      const again = makeNet(options)
      t.ok(sameBits(seriesOf(await again.fit(x, y, { ...fit, resume: checkpoint })), series), 'the same history')
      t.ok(sameBits(weightsOf(again), weightsOf(whole)), 'and weights')
    }
  }),
)

t.test('a run that is asked to stop ends with the validation of the epoch that it has trained', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const validation = { x, y }
    for (let wait = 0; wait < 30; wait++) {
      const run = makeNet(options).fit(x, y, { ...ENDLESS, batchSize: 'full', validation })
      for await (const _ of run) break
      for (let turn = 0; turn < wait; turn++) await new Promise(setImmediate)
      run.stop()
      const { valLoss, metrics } = await run
      t.ok(valLoss?.every(Number.isFinite) && metrics.valAccuracy.every(Number.isFinite), `after ${wait} turns`)
    }
  }),
)

// ---------------------------------------------------------------------------------------------------- reading in mid-run

t.test('who reads in the middle of a run sees whole steps', (t) =>
  onEachBackend(t, async (t, { options }) => {
    // 5,000 weights that start alike, with gradients alike: half a step would tell them apart.
    const units = 5000
    const alike = dense(units, 'linear', { initializer: constant(2), bias: false })
    const net = new FNN({ inputs: 1, layers: [alike], loss: 'mse', ...options })
    const target = [Array<number>(units).fill(0)]
    const run = net.fit([1], target, { epochs: 100_000_000, learningRate: 1e-3 })
    const seen = new Set<number>()
    // Sixty looks, and as many more as a busy machine takes to make a step between two.
    for (let look = 0; look < 60 || (seen.size < 2 && look < 10_000); look++) {
      const w = weightsOf(net)
      const predicted = (net.predict([1]) as { data: ArrayLike<number> }).data
      const loss = net.loss([1], target)
      const isWhole = w.every((v) => v === w[0]) && Array.from(predicted).every((v) => v === predicted[0])
      const isLoss = loss <= w[0] ** 2 * (1 + 1e-6) && loss <= predicted[0] ** 2 * (1 + 1e-6)
      if (!isWhole || !isLoss) t.fail(`look ${look}: half a step`, { w: w.slice(0, 4), loss })
      seen.add(w[0])
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    run.stop()
    await run
    t.ok(seen.size > 1, `${seen.size} states seen`)
  }),
)

t.test('the event loop turns while a run goes on, and several runs go on at once', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const alone = makeNet(options)
    alone.fitSync(x, y, { epochs: 20, batchSize: 10 })
    const nets = Array.from({ length: 4 }, () => makeNet(options))
    const runs = nets.map((net) => net.fit(x, y, { epochs: 20, batchSize: 10 }))
    const endless = makeNet(options).fit(x, y, ENDLESS)
    let turns = 0
    while (turns < 500) {
      await new Promise((resolve) => setImmediate(resolve))
      turns += 1
    }
    t.equal(await Promise.race([endless, 'still training']), 'still training', `after ${turns} turns of the loop`)
    await Promise.all(runs)
    t.ok(
      nets.every((net) => sameBits(weightsOf(net), weightsOf(alone))),
      'each as if it were alone',
    )
    endless.stop()
    await endless
  }),
)

t.test('training goes on while the event loop is held up, also where epochs are validated', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const more of [{}, { validation: 0.2 }]) {
      const run = makeNet(options).fit(x, y, { ...ENDLESS, ...more })
      let last = 0
      for await (const { epoch } of run) {
        last = epoch
        if (epoch === 100) break
      }
      const until = performance.now() + 200
      while (performance.now() < until);
      run.stop()
      const { epochs } = await run
      t.ok(epochs > last + 5, `${epochs - last} epochs meanwhile`)
    }
  }),
)

t.test('steps that are faster than their reports are heard let others have their turn', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const xor = [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]
    const controller = new AbortController()
    // Of a run of a second or more; who is not heard in the middle of it is heard at its end.
    setTimeout(() => controller.abort(), 200)
    const run = makeNet(options).fit(xor, [0, 1, 1, 0], { epochs: 3_000_000, signal: controller.signal })
    t.equal((await errorOf(run)).code, 'ERR_ABORTED')
  }),
)

t.test('rows are drawn in the same order however many they are', (t) =>
  onEachBackend(t, async (t, { options }) => {
    // More than are shuffled in one go, in slices that begin and end within an epoch.
    const rows = 70_001
    const many = { data: Float32Array.from({ length: rows }, (_, i) => Math.sin(i)), rows, columns: 1 }
    const labels = Float32Array.from({ length: rows }, (_, i) => Number(Math.sin(i + 0.3) > 0))
    const fit: FitOptions = { epochs: 2, batchSize: 19, learningRate: 0.1 }
    const [here, there] = [makeNet(options), makeNet(options)]
    const losses = [here.fitSync(many, labels, fit), await there.fit(many, labels, fit)].map(({ loss }) => loss)
    t.ok(sameBits(losses[0], losses[1]))
    t.ok(sameBits(weightsOf(here), weightsOf(there)))
  }),
)

// ---------------------------------------------------------------------------------------------------- bit for bit

/** Everything that draws a random number or looks at a run. */
const VARIANTS: { readonly [name: string]: { readonly model?: object; readonly fit?: FitOptions } } = {
  'full batch': {},
  'mini-batches': { fit: { batchSize: 10 } },
  'adam, dropout, l2': {
    model: { layers: [dense(7, 'tanh'), dropout(0.3), dense(1, 'sigmoid')], l2: 0.01 },
    fit: { batchSize: 10, optimizer: adam() },
  },
  'validation, standardize': { model: { standardize: true }, fit: { batchSize: 16, validation: 0.2 } },
  'the best kept': { fit: { batchSize: 10, keep: 'best', learningRate: 0.5 } },
}

t.test('fit, fitSync and a run that is watched are one training, bit for bit', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const [name, { model, fit }] of Object.entries(VARIANTS)) {
      const settings = { epochs: 12, ...fit }
      const [sync, async, watched] = [0, 1, 2].map(() => makeNet(options, model))
      const histories = [
        sync.fitSync(x, y, settings),
        await async.fit(x, y, settings),
        await watched.fit(x, y, { ...settings, callbacks: { onBatchEnd() {}, onEpochEnd: async () => {} } }),
      ]
      const [losses] = histories.map(seriesOf)
      t.ok(
        histories.every((history) => sameBits(seriesOf(history), losses)),
        `${name}: histories`,
      )
      t.ok(
        [async, watched].every((net) => sameBits(weightsOf(net), weightsOf(sync))),
        `${name}: weights`,
      )
    }
  }),
)

t.test('one seed, one training; another seed, another', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const [name, { model, fit }] of Object.entries(VARIANTS)) {
      const train = (seed: number): number[] => {
        const net = makeNet(options, { ...model, seed })
        return seriesOf(net.fitSync(x, y, { epochs: 4, ...fit }))
      }
      t.ok(sameBits(train(7), train(7)), `${name}: the same`)
      t.notOk(sameBits(train(7), train(8)), `${name}: another`)
    }
    const drawn = new FNN({ hidden: [7], ...options })
    const history = drawn.fitSync(x, y, { epochs: 2 })
    t.equal(history.seed, drawn.seed)
    t.ok(sameBits(seriesOf(makeNet(options, { seed: drawn.seed }).fitSync(x, y, { epochs: 2 })), seriesOf(history)))
  }),
)

t.test('partialFit goes on where the last one ended; fit begins with a new state', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const layers = [dense(7, 'tanh'), dropout(0.3), dense(1, 'sigmoid')]
    for (const optimizer of [sgd(), sgd({ momentum: 0.9 }), adam()]) {
      const fit = { optimizer, batchSize: 10, learningRate: 0.05 }
      const [longer, parts, anew] = [0, 1, 2].map(() => makeNet(options, { layers }))
      const whole = await longer.partialFit(x, y, { ...fit, epochs: 6 })
      const first = await parts.partialFit(x, y, { ...fit, epochs: 2 })
      const second = await parts.partialFit(x, y, { ...fit, epochs: 4 })
      const name = `${optimizer.kind} ${JSON.stringify(optimizer.settings)}`
      t.ok(sameBits([...first.loss, ...second.loss], whole.loss), `${name}: losses of 2 + 4 epochs`)
      t.ok(sameBits(weightsOf(parts), weightsOf(longer)), `${name}: weights`)

      await anew.partialFit(x, y, { ...fit, epochs: 2 })
      await anew.fit(x, y, { ...fit, epochs: 4 })
      t.notOk(sameBits(weightsOf(anew), weightsOf(longer)), `${name}: fit keeps no state`)
    }
  }),
)

t.test('reset starts afresh', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const fit: FitOptions = { epochs: 4, batchSize: 10, optimizer: 'adam' }
    const [used, fresh] = [makeNet(options), makeNet(options)]
    await used.partialFit(x, y, fit)
    used.reset()
    const [again, first] = [await used.partialFit(x, y, fit), await fresh.partialFit(x, y, fit)]
    t.ok(sameBits(seriesOf(again), seriesOf(first)))
    t.ok(sameBits(weightsOf(used), weightsOf(fresh)))
    used.reset(5)
    t.notOk(sameBits(weightsOf(used), weightsOf(fresh)), 'from another seed')
  }),
)

// ---------------------------------------------------------------------------------------------------- the history

t.test('a loss of an epoch is the mean of its batches by rows, before each update; the penalty is in it', (t) =>
  onEachBackend(t, (t, { options, dtype }) => {
    const close = (a: number, b: number): boolean =>
      Math.abs(a - b) <= (dtype === 'float64' ? 1e-12 : 1e-5) * Math.abs(b)
    const net = makeNet(options, { l2: 0.1, inputs: 2, task: 'binary' })
    // At rate 0 every batch meets the same weights, so that the mean is the loss of all rows.
    const still = net.fitSync(x, y, { epochs: 2, batchSize: 10, learningRate: 0 })
    const squares = net
      .weights()
      .flatMap(({ weights }) => [...weights.data])
      .reduce((sum, w) => sum + w * w, 0)
    t.equal(still.steps, 20)
    t.ok(close(still.penalty[0], 0.05 * squares))
    for (const loss of still.loss) t.ok(close(loss, net.loss(x, y) + still.penalty[0]))
    const before = net.loss(x, y)
    const { loss, penalty, learningRate } = net.fitSync(x, y, { epochs: 2, learningRate: 0.5 })
    t.ok(close(loss[0] - penalty[0], before), 'a full batch: the loss before its update')
    t.strictSame([...learningRate], [0.5, 0.5])
  }),
)

t.test('validation rows train nothing, and are reported after each epoch', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const held = { x: x.slice(0, 20), y: y.slice(0, 20) }
    const rest = [x.slice(20), y.slice(20)] as const
    const fit: FitOptions = { epochs: 5, batchSize: 10 }
    const [watched, plain] = [makeNet(options), makeNet(options)]
    const history = await watched.fit(...rest, { ...fit, validation: held })
    await plain.fit(...rest, fit)
    t.ok(sameBits(weightsOf(watched), weightsOf(plain)))
    t.equal(history.valLoss?.length, 5)
    // Summed in chunks of another size: the last bit of a double may differ.
    t.ok(nearly(history.valLoss?.[4], watched.loss(held.x, held.y)))
    t.equal(history.metrics.valAccuracy[4], watched.evaluate(held.x, held.y).accuracy)
    t.equal((await plain.fit(...rest, { epochs: 1 })).valLoss, null)
    // A share is drawn by the seed, so that a model trained on it can be told what was held out.
    const shares = await Promise.all([0, 1].map(() => makeNet(options).fit(x, y, { epochs: 2, validation: 0.3 })))
    t.ok(sameBits(shares[0].valLoss as Float64Array, shares[1].valLoss as Float64Array))
  }),
)

t.test('a history becomes JSON and back', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const net = makeNet(options)
    const history = await net.fit(x, y, { epochs: 3, validation: 0.2 })
    const json = JSON.parse(JSON.stringify(history))
    const { loss, penalty, gradientNorm, learningRate, valLoss, metrics, seconds, start } = history
    t.strictSame(json, {
      epochs: 3,
      steps: 3,
      loss: [...loss],
      penalty: [...penalty],
      gradientNorm: [...gradientNorm],
      learningRate: [...learningRate],
      valLoss: [...(valLoss as Float64Array)],
      metrics: { valAccuracy: [...metrics.valAccuracy] },
      status: 'completed',
      stopReason: 'All 3 epochs were trained.',
      best: null,
      seconds,
      backend: options.backend,
      seed: 4,
      start,
      ledger: null,
      ledgerNotes: null,
    })
    t.ok(seconds > 0)
  }),
)

t.test('dispLoss prints a line every n epochs and at the last; plot draws', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const lines = (dispLoss: number | boolean): Promise<string[]> =>
      printed(t, () => makeNet(options).fit(x, y, { epochs: 7, dispLoss }))
    t.strictSame(await lines(0), [])
    t.strictSame(await lines(false), [])
    t.equal((await lines(true)).length, 7)
    const every = await lines(3)
    t.strictSame(
      every.map((line) => line.split('  ')[0]),
      ['epoch 3/7', 'epoch 6/7', 'epoch 7/7'],
    )
    for (const line of every) t.match(line, /^epoch \d\/7 {2}loss 0\.\d+$/)
    const [validated] = await printed(t, () =>
      makeNet(options).fitSync(x, y, { epochs: 1, dispLoss: 1, validation: 0.2 }),
    )
    t.match(validated, /^epoch 1\/1 {2}loss 0\.\d+ {2}validation loss 0\.\d+$/)
    const drawn = await printed(t, () => makeNet(options).fit(x, y, { epochs: 7, plot: true }))
    t.ok(drawn.length === 1 && drawn[0].split('\n').length > 5, 'a drawing')
  }),
)

// ---------------------------------------------------------------------------------------------------- divergence

t.test('divergence leaves the weights at which it showed, and its value as the last loss', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const wild = { epochs: 10_000, learningRate: 10 }
    const net = parabola(options)
    const history = await net.fit([1], [0], wild)
    t.equal(history.status, 'diverged')
    t.match(history.stopReason, /^The (loss became Infinity|gradient stopped being finite) at step \d+ \(epoch \d+\)/)
    t.equal(history.steps, history.epochs - 1)
    const { loss } = history
    t.ok(loss.subarray(0, -1).every(Number.isFinite))
    const [w] = weightsOf(net)
    t.ok(Number.isFinite(w))
    const evidence = net.gradients([1], [0])
    t.notOk(
      Number.isFinite(evidence.loss) && Number.isFinite(evidence.layers[0].weights.data[0]),
      'the evidence is kept',
    )
    t.ok(Object.is(loss[loss.length - 1], evidence.loss) || !Number.isFinite(history.gradientNorm[loss.length - 1]))

    const thrown = await errorOf(parabola(options).fit([1], [0], { ...wild, onDivergence: 'throw' }))
    t.equal(thrown.code, 'ERR_DIVERGED')
    t.ok(sameBits((thrown.history as History).loss, loss))
    t.throws(() => parabola(options).fitSync([1], [0], { ...wild, onDivergence: 'throw' }), { code: 'ERR_DIVERGED' })

    const best = parabola(options)
    t.equal((await best.fit([1], [0], { ...wild, keep: 'best' })).status, 'diverged')
    t.strictSame(weightsOf(best), [2], 'the best were the first')
  }),
)

t.test('a divergence names its step, and the layer and tensor that was not finite first', (t) =>
  onEachBackend(t, (t, { options, dtype }) => {
    // Square roots of what is too large for the type.
    const big = dtype === 'float64' ? 1e160 : 1e20
    const net = new FNN({
      inputs: 1,
      layers: [dense(1, 'linear'), dropout(0), dense(1, 'relu'), dense(1, 'linear')],
      loss: 'mse',
      seed: 1,
      ...options,
    })
    const reasonOf = (weights: readonly number[], x: number, y: number): string => {
      net.setWeights(weights.map((w) => ({ weights: [[w]], bias: [0] })))
      const { status, stopReason, steps } = net.fitSync([x], [y], { epochs: 3, learningRate: 1e-30 })
      t.strictSame([status, steps], ['diverged', 0])
      return stopReason
    }
    const first = (where: string): RegExp => new RegExp(` at step 1 \\(epoch 1\\); not finite first: the ${where}\\.$`)
    t.match(reasonOf([big, 1, 1], big, 0), first('outputs of layer 1'))
    t.match(reasonOf([big, big, 1], 1, 0), first('outputs of layer 3'), 'dropout is a layer')
    t.match(reasonOf([1, big, big], 1, 0), first('outputs of layer 4'))
    t.match(reasonOf([1, big, 1 / big], 1, big * 1e5), first('gradient of the weights of layer 4'))
    t.match(reasonOf([1, 1, big], 1, -big), first('gradient of the weights of layer 3'))
    t.match(reasonOf([1, 1, 1], big, -big), first('gradient of the weights of layer 4'))

    // And where it takes some steps, as it does for who asks too much.
    const wild = makeNet(options, { layers: [dense(5, 'relu'), dense(5, 'relu'), dense(1, 'linear')], loss: 'mse' })
    const { stopReason, steps } = wild.fitSync(x, y, { epochs: 99, batchSize: 10, learningRate: 1e9 })
    const where =
      /^The .* at step (\d+) \(epoch (\d+)\); not finite first: the (loss itself|(outputs|gradient of the (weights|bias)) of layer [1-3])\.$/
    t.match(stopReason, where)
    t.equal(Number(where.exec(stopReason)?.[1]), steps + 1)
    t.equal(Number(where.exec(stopReason)?.[2]), Math.floor(steps / 10) + 1)
  }),
)

t.test("keep: 'best' restores the weights of the lowest loss, of the validation rows if there are any", (t) =>
  onEachBackend(t, async (t, { options }) => {
    // Each step multiplies w by −0.9, then by −1.5: the loss falls for four epochs and rises again.
    const rate = (epoch: number): number => (epoch < 4 ? 0.95 : 1.25)
    const callbacks = {
      onEpochBegin(moment: { epoch: number; learningRate: number }) {
        moment.learningRate = rate(moment.epoch)
      },
    }
    const net = parabola(options)
    const { loss } = await net.fit([1], [0], { epochs: 10, keep: 'best', callbacks })
    const lowest = loss.indexOf(Math.min(...loss))
    t.equal(lowest, 4)
    t.equal(net.loss([1], [0]), loss[lowest], 'a full batch: those before the update of that epoch')

    const held = { x: x.slice(0, 20), y: y.slice(0, 20) }
    const overfit = makeNet(options)
    const fit: FitOptions = { epochs: 200, learningRate: 0.05, optimizer: 'adam', validation: held, keep: 'best' }
    const { valLoss } = await overfit.fit(x.slice(20), y.slice(20), fit)
    t.ok(nearly(Math.min(...(valLoss as Float64Array)), overfit.loss(held.x, held.y)))
  }),
)

// ---------------------------------------------------------------------------------------------------- callbacks

t.test('callbacks hear five moments, in order, and may read and change the run at each', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const heard: string[] = []
    const hear =
      (name: string) =>
      (moment: Moment): void =>
        void heard.push(`${name} ${moment.epoch}.${moment.step}`)
    const names = ['onTrainBegin', 'onEpochBegin', 'onBatchEnd', 'onEpochEnd', 'onTrainEnd']
    const callbacks = Object.fromEntries(names.map((name) => [name, hear(name.slice(2))]))
    makeNet(options).fitSync(x, y, { epochs: 2, batchSize: 50, callbacks })
    t.strictSame(heard, [
      ...['TrainBegin 0.0', 'EpochBegin 0.0', 'BatchEnd 0.1', 'BatchEnd 0.2', 'EpochEnd 1.2'],
      ...['EpochBegin 1.2', 'BatchEnd 1.3', 'BatchEnd 1.4', 'EpochEnd 2.4', 'TrainEnd 2.4'],
    ])

    // w² at w = 2: each step multiplies w by 1 − 2r.
    const net = parabola(options)
    const seen: number[] = []
    const change = {
      onTrainBegin: (moment: Moment) => moment.setWeights([{ weights: [[4]] }]),
      onEpochBegin(moment: Moment) {
        moment.learningRate = moment.epoch === 1 ? 0.25 : 0
      },
      async onEpochEnd(moment: Moment) {
        seen.push(moment.weights()[0].weights.data[0], weightsOf(net)[0], moment.loss)
        t.throws(() => net.setWeights([{ weights: [[4]] }]), { code: 'ERR_BUSY' })
        t.throws(() => moment.setWeights([{ weights: [[Number.NaN]] }]), { code: 'ERR_DATA' })
        t.throws(() => moment.setWeights([]), { code: 'ERR_SHAPE' })
        if (moment.epoch === 3) moment.setWeights([{ weights: [[7]] }])
        if (moment.epoch === 4) moment.stop()
      },
      onTrainEnd: (moment: Moment) => moment.setWeights([{ weights: [[9]] }]),
    }
    const { status, loss, start } = await net.fit([1], [0], { epochs: 99, callbacks: change })
    t.equal(status, 'stopped')
    t.strictSame([start?.seed, ...(start?.weights?.[0].weights.data ?? [])], [null, 4], 'where the first step began')
    t.strictSame([...loss], [16, 16, 4, 49])
    t.strictSame(seen, [4, 4, 16, 2, 2, 16, 2, 2, 4, 7, 7, 49])
    t.strictSame(weightsOf(net), [9])
  }),
)

t.test('a callback that throws ends the run with its error; the model is idle, and as it was then', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const thrown = new Error('enough')
    const callbacks = {
      onEpochEnd(moment: Moment) {
        if (moment.epoch === 3) throw thrown
      },
    }
    const [net, other] = [makeNet(options), makeNet(options)]
    t.equal(await net.fit(x, y, { epochs: 9, batchSize: 10, callbacks }).catch((error) => error), thrown)
    other.fitSync(x, y, { epochs: 3, batchSize: 10 })
    t.ok(sameBits(weightsOf(net), weightsOf(other)))
    const again = [net, other].map((model) => model.fitSync(x, y, { epochs: 2, batchSize: 10 }))
    t.ok(sameBits(seriesOf(again[0]), seriesOf(again[1])), 'and no order of rows is used twice')
    t.equal(again[0].start?.seed, null, 'no seed drew those weights')
  }),
)

/** Settles like a promise, and is none of this realm. */
const LATER: { readonly [name: string]: (then: () => void) => PromiseLike<void> } = {
  'a promise': (then) => new Promise<void>((resolve) => setTimeout(resolve, 20)).then(then),
  'a promise of another realm': (then) =>
    runInNewContext('new Promise((resolve) => setTimeout(resolve, 20)).then(() => then())', { then, setTimeout }),
  'a thenable': (then) => ({
    // biome-ignore lint/suspicious/noThenProperty: that is what it is for
    then: (resolve) => void setTimeout(() => resolve?.(void then() as never), 20) as never,
  }),
}

t.test('training waits for what a callback does later', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const [name, later] of Object.entries(LATER)) {
      // w² at w = 2: each step multiplies w by 1 − 2r.
      const net = parabola(options)
      const callbacks = {
        onEpochBegin: (moment: Moment) =>
          later(() => {
            if (moment.epoch === 1) moment.learningRate = 0
          }),
        onEpochEnd: (moment: Moment) =>
          later(() => {
            if (moment.epoch < 3) moment.setWeights([{ weights: [[4 + moment.epoch]] }])
          }),
      }
      const { loss } = await net.fit([1], [0], { epochs: 4, learningRate: 0.25, callbacks })
      t.strictSame([...loss], [4, 25, 36, 36], name)
      t.throws(() => parabola(options).fitSync([1], [0], { callbacks }), { code: 'ERR_OPTION', message: /use fit\.$/ })
    }
  }),
)

t.test('a callback that fails later ends the run with its error', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const name of ['onTrainBegin', 'onEpochBegin', 'onBatchEnd', 'onEpochEnd', 'onTrainEnd'] as const) {
      const thrown = new Error('enough')
      const callbacks = {
        async [name]() {
          await new Promise((resolve) => setTimeout(resolve, 5))
          throw thrown
        },
      }
      const net = parabola(options)
      t.equal(await net.fit([1], [0], { epochs: 2, learningRate: 0.25, callbacks }).catch((error) => error), thrown)
      const steps = { onTrainBegin: 0, onEpochBegin: 0, onBatchEnd: 1, onEpochEnd: 1, onTrainEnd: 2 }[name]
      t.strictSame(weightsOf(net), [2 * 0.5 ** steps], `${name}: as it was then`)
    }
  }),
)

t.test('an error that a rate foresees ends the run where it is, and nothing is trained after it', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const [batchSize, last] of [
      ['full', 5000],
      [10, 990],
    ] as const) {
      const thrown = new Error('enough')
      // Rates are asked for long before their steps are made.
      const learningRate = (step: number): number => {
        if (step === last) throw thrown
        return 0.1
      }
      const [there, here, other] = [makeNet(options), makeNet(options), makeNet(options)]
      const fit = { epochs: 1_000_000, batchSize, learningRate }
      t.equal(await there.fit(x, y, fit).catch((error) => error), thrown)
      const weights = weightsOf(there)
      try {
        here.fitSync(x, y, fit)
      } catch (error) {
        t.equal(error, thrown)
      }
      other.fitSync(x, y, { epochs: batchSize === 'full' ? last : last / 10, batchSize, learningRate: 0.1 })
      t.ok(sameBits(weights, weightsOf(other)), `${last} steps`)
      t.ok(sameBits(weightsOf(here), weights), 'on this thread too')
      await new Promise((resolve) => setTimeout(resolve, 100))
      t.ok(sameBits(weightsOf(there), weights), 'and so they stay')
    }
  }),
)

// ---------------------------------------------------------------------------------------------------- the process

/** Runs a script in a process of its own, from a folder where `downhill` is found. */
function runScript(options: Options, source: string): { status: number | null; out: string } {
  const prelude = `
    const { FNN } = require('downhill')
    const x = ${JSON.stringify(x)}, y = ${JSON.stringify(y)}
    const train = (epochs) => new FNN({ hidden: [7], seed: 4, ...${JSON.stringify(options)} }).fit(x, y, { epochs })
  `
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', prelude + source], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  return { status, out: stdout + stderr }
}

t.test('a process lives while something trains, and no longer', (t) =>
  onEachBackend(t, (t, { options, dtype }) => {
    if (dtype === 'float64') return void t.pass('threads know no type: as in float32')
    const scripts: readonly [name: string, source: string, out: string, status: number][] = [
      ['nobody awaits', `train(30).then(({ epochs }) => console.log(epochs))`, '30\n', 0],
      ['nobody even listens', `train(30)`, '', 0],
      ['idle after a fit', `train(3).then(() => setTimeout(() => console.log('late'), 1e6).unref())`, '', 0],
      ['it exits in the middle', `train(5e6); setTimeout(() => process.exit(3), 100)`, '', 3],
      [
        'a worker is terminated in the middle',
        `const { Worker, isMainThread } = require('node:worker_threads')
         const source = 'const { FNN } = require("downhill"); new FNN({ hidden: [7], ...${JSON.stringify(options).replaceAll('"', '\\"')} })'
           + '.fit([[1], [2]], [0, 1], { epochs: 5e6 }); require("node:worker_threads").parentPort.postMessage(0)'
         const worker = new Worker(source, { eval: true })
         worker.on('message', () => setTimeout(() => worker.terminate().then(() => console.log('gone')), 50))`,
        'gone\n',
        0,
      ],
    ]
    for (const [name, source, out, status] of scripts) t.strictSame(runScript(options, source), { status, out }, name)
  }),
)
