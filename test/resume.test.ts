/**
 * Stop and go on: a run that goes on from a checkpoint is, to the bit, the run that nobody stopped.
 *
 * Every seventh step here; `npm run test:resume` asks at every one. That each part of a checkpoint is needed is shown by
 * spoiling it. What a file must survive is faults.test.ts.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  adam,
  constant,
  cosine,
  type DownhillError,
  dense,
  type Epoch,
  type FitOptions,
  FNN,
  type History,
  type Moment,
  plateau,
  sgd,
} from 'downhill'
import t, { type Test } from 'tap'
import { encodeCheckpoint, readCheckpoint } from '../dist/save/checkpoint'
import { decodeTensors, encodeTensors } from '../dist/save/safetensors'
import { goOn, hashOf, labels, TRAININGS, train, trainTo, x } from './continuation'
import * as old from './fixtures/checkpoint'
import { agree, errorOf, flat, onEachBackend, type TestBackend } from './truth'

type Options = TestBackend['options']

const pathOf = (t: Test): string => join(t.testdir(), 'run.safetensors')

const weightsOf = (net: FNN): number[] => flat(net.weights())
const animals = (options: Options, more: object = {}): FNN => new FNN({ hidden: [5], seed: 4, ...options, ...more })

// ---------------------------------------------------------------------------------------------------- the same bits

t.test('from any step a run goes on as if nobody had stopped it', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    for (const [name, training] of Object.entries(TRAININGS)) {
      const whole = await train(training, options)
      const hash = hashOf(whole)
      const { steps } = whole.history
      const points = Array.from({ length: steps }, (_, i) => i + 1).filter((step) => step % 7 === 1 || step === steps)
      const missed: number[] = []
      for (const step of points) {
        await trainTo(step, path, training, options)
        if (hashOf(await goOn(path, training, options, step % 2 === 0)) !== hash) missed.push(step)
      }
      t.strictSame(missed, [], `${name}: ${points.length} of ${steps} steps`)
    }
  }),
)

t.test('where nobody looks, and slices are submitted ahead, it is the same', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const fit: FitOptions = { epochs: 3000, batchSize: 10, optimizer: 'adam' }
    const whole = animals(options)
    const { loss, steps } = whole.fitSync(x, labels, fit)
    const ends: number[] = []
    let last: History | undefined
    // Aborted at any time, as often as it takes; the checkpoints in between fall where they fall.
    for (let life = 0; last === undefined; life++) {
      const checkpoint = life % 2 ? { path, everyEpochs: 7 } : { path, everyMinutes: 5e-5 }
      const signal = AbortSignal.timeout(30 + 20 * life)
      try {
        last = await animals(options).fit(x, labels, { ...fit, checkpoint, resume: true, signal })
      } catch (error) {
        ends.push(((error as DownhillError).history as History).steps)
      }
    }
    t.ok(ends.length > 0, `aborted after ${ends.join(', ')} of ${steps} steps`)
    t.ok(
      ends.every((end, i) => i === 0 || end >= ends[i - 1]),
      'never back',
    )
    t.strictSame(last.loss, loss)
    t.equal(last.steps, steps)
  }),
)

t.test('every part of a checkpoint is needed', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const [first, , , , averaged] = Object.values(TRAININGS)
    const spoilt = async (
      name: string,
      step: number,
      spoil: (run: Spoilable) => void,
      training = first,
    ): Promise<void> => {
      await trainTo(step, path, training, options)
      rewrite(path, spoil)
      t.not(hashOf(await goOn(path, training, options)), hashOf(await train(training, options)), name)
    }
    await spoilt('the state of the optimizer', 8, ({ tensors }) => tensors.get('run.state')?.data.fill(0))
    await spoilt('the epochs', 8, ({ tensors }) => tensors.get('run.epochs.valLoss')?.data.fill(0))
    await spoilt('the epoch begun', 8, ({ snapshot }) => (snapshot.open.loss += 1))
    await spoilt('the rate', 8, ({ snapshot }) => (snapshot.learningRate *= 2))
    await spoilt('the count of steps', 8, ({ snapshot }) => (snapshot.firstStep += 1))
    await spoilt('the count of epochs', 8, ({ snapshot }) => (snapshot.firstEpoch += 1))
    await spoilt('the best weights', 100, ({ tensors }) => tensors.get('run.best')?.data.fill(0))
    await spoilt('the weights', 8, ({ tensors }) => tensors.get('run.weights')?.data.fill(0), averaged)
  }),
)

interface Spoilable {
  readonly tensors: ReturnType<typeof decodeTensors>['tensors']
  readonly snapshot: {
    open: { loss: number }
    learningRate: number
    firstStep: number
    firstEpoch: number
    steps: unknown
  }
}

/** Changes a checkpoint and gives it a checksum that fits. */
function rewrite(path: string, change: (run: Spoilable) => void): void {
  const { tensors, metadata } = decodeTensors(readFileSync(path), path)
  const run = JSON.parse(metadata['downhill.run'])
  change({ tensors, snapshot: run.snapshot })
  writeFileSync(
    path,
    Buffer.concat(encodeTensors({ tensors, metadata: { ...metadata, 'downhill.run': JSON.stringify(run) } })),
  )
}

t.test('more epochs, and more patience, may be asked for than before', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const fit: FitOptions = { batchSize: 10, optimizer: 'adam', validation: 0.2 }
    const [whole, part] = [animals(options), animals(options)]
    const { loss } = whole.fitSync(x, labels, { ...fit, epochs: 9 })
    part.fitSync(x, labels, { ...fit, epochs: 4, checkpoint: path })
    const more = part.fitSync(x, labels, { ...fit, epochs: 9, resume: path })
    t.strictSame([...more.loss], [...loss])
    t.strictSame(weightsOf(part), weightsOf(whole))

    const impatient = { ...fit, epochs: 300, learningRate: 0.3 }
    const early = animals(options)
    const first = early.fitSync(x, labels, { ...impatient, earlyStopping: { patience: 2 }, checkpoint: path })
    t.equal(first.status, 'stopped')
    const again = animals(options).fitSync(x, labels, { ...impatient, earlyStopping: { patience: 2 }, resume: path })
    t.equal(again.stopReason, first.stopReason, 'with no more, it has already ended')
    t.equal(again.steps, first.steps)
    const patient = early.fitSync(x, labels, { ...impatient, earlyStopping: { patience: 5 }, resume: path })
    const straight = animals(options).fitSync(x, labels, { ...impatient, earlyStopping: { patience: 5 } })
    t.strictSame([...patient.loss], [...straight.loss])
    t.equal(patient.stopReason, straight.stopReason)
  }),
)

t.test(
  'for more epochs, a schedule without a length is that of the longer run from there on; one with a length stays',
  (t) =>
    onEachBackend(t, async (t, { options }) => {
      const path = pathOf(t)
      for (const length of [undefined, 6]) {
        const learningRate = cosine({ rate: 0.1, ...(length && { length }) })
        const rates = (epochs: number, more: FitOptions = {}): number[] => [
          ...animals(options).fitSync(x, labels, { epochs, batchSize: 30, learningRate, ...more }).learningRate,
        ]
        const [short, long] = [rates(4, { checkpoint: path }), rates(8)]
        t.strictSame(rates(8, { resume: path }), [...short, ...long.slice(4)])
        t.equal(short[3] === long[3], length !== undefined)
      }
    }),
)

t.test('a run that goes on shows all its epochs, and counts the time of all', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const first = animals(options).fitSync(x, labels, { epochs: 5, batchSize: 10, checkpoint: path })
    const run = animals(options).fit(x, labels, { epochs: 7, batchSize: 10, resume: path })
    const seen: number[] = []
    for await (const { epoch } of run) seen.push(epoch)
    t.strictSame(seen, [1, 2, 3, 4, 5, 6, 7])
    const { seconds, steps } = await run
    t.equal(steps, 42)
    t.ok(seconds > first.seconds / 2)
  }),
)

// ---------------------------------------------------------------------------------------------------- the file

t.test('a checkpoint is the file of the model last trained', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const net = animals(options)
    await net.fit(x, labels, { epochs: 6, checkpoint: path, batchSize: 10 })
    const loaded = await FNN.load(path, { backend: options.backend })
    t.strictSame(weightsOf(loaded), weightsOf(net))
    t.strictSame(loaded.predict(x), net.predict(x))
    // It has used up as many orders of rows: trained on without its run, it goes as the model itself.
    const fit = { epochs: 2, batchSize: 10 }
    t.strictSame([...loaded.fitSync(x, labels, fit).loss], [...net.fitSync(x, labels, fit).loss])
    t.strictSame(readdirSync(dirname(path)), ['run.safetensors'], 'nothing is left beside it')
  }),
)

t.test('the history of a million epochs is saved, and gone on from', async (t) => {
  const path = pathOf(t)
  const many = 1_000_000
  const options = { backend: 'typescript', dtype: 'float64' } as const
  const make = (): FNN => new FNN({ hidden: [2], seed: 4, ...options })
  const fit: FitOptions = { epochs: 3, optimizer: 'adam' }
  const [two, labelled] = [x.slice(0, 2), labels.slice(0, 2)]
  const net = make()
  await net.partialFit(two, labelled, fit)
  await net.partialFit(two, labelled, { ...fit, checkpoint: path })
  // As if there had been as many, and many in the partialFits before.
  const { model, parameters, run } = readCheckpoint(path)
  const epochs = Array.from({ length: many }, (_, i) => ({
    ...run.snapshot.epochs[0],
    epoch: i + 1,
    loss: 1 / (i + 1),
  }))
  const snapshot = { ...run.snapshot, epochs, earlier: epochs.slice(0, many / 10), steps: many }
  writeFileSync(path, Buffer.concat(encodeTensors(encodeCheckpoint(model, parameters, { ...run, snapshot }))))
  t.ok(metadataBytes(path) < 10_000, `${metadataBytes(path)} bytes beside the tensors`)
  const heard: Epoch[] = []
  const callbacks = { onTrainBegin: (moment: Moment) => void heard.push(...moment.history.slice(-1)) }
  const { epochs: count, loss } = make().fitSync(two, labelled, { ...fit, epochs: many + 1, resume: path, callbacks })
  t.strictSame([count, loss[0], loss[many - 1]], [many + 1, 1, 1 / many])
  t.strictSame(heard, [epochs[many - 1]])
})

/** Of a checkpoint, all but its tensors. */
function metadataBytes(path: string): number {
  return Number(readFileSync(path).readBigUInt64LE(0))
}

t.test('an epoch comes back with all that it had, and nothing else', async (t) => {
  const base = { loss: 1, penalty: 0, gradientNorm: Number.NaN, learningRate: 0.1 }
  const matrix = { data: Float64Array.of(1, 0, 2, 3), rows: 2, columns: 2 }
  const metrics: object[] = [
    { valLoss: 0.5, valMetrics: { recallPerClass: Float64Array.of(0.1, 0.2, -0), confusionMatrix: matrix } },
    {},
    { valLoss: Number.NaN, valMetrics: { 'f0.5': 1, f0: { 5: 2 }, recallPerClass: Float64Array.of(1, 2) } },
    { valMetrics: { none: new Float64Array(0), rows: 3, '': 4, recallPerClass: Float64Array.of(3, 4, 5) } },
    { valMetrics: { recallPerClass: 6 } },
  ]
  const epochs = metrics.map((more, i) => ({ epoch: i + 1, ...base, ...more })) as Epoch[]
  const path = pathOf(t)
  const net = animals({ backend: 'typescript', dtype: 'float32' } as Options)
  net.fitSync(x, labels, { epochs: 1, checkpoint: path })
  const { model, parameters, run } = readCheckpoint(path)
  const again = (epochs: Epoch[]): readonly Epoch[] => {
    const snapshot = { ...run.snapshot, epochs, earlier: epochs.slice(1) }
    const contents = encodeCheckpoint(model, parameters, { ...run, snapshot })
    writeFileSync(path, Buffer.concat(encodeTensors(contents)))
    const back = readCheckpoint(path).run.snapshot
    t.strictSame(
      back.earlier,
      epochs.slice(1).map((epoch, i) => ({ ...epoch, epoch: i + 1 })),
    )
    return back.epochs
  }
  t.strictSame(again(epochs), epochs)
  t.strictSame(again([]), [])
})

t.test('a metric with a dot in its name, and epochs before that had no validation', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const before: FitOptions = { epochs: 3, batchSize: 20, optimizer: 'adam' }
    const half = { name: 'f0.5', compute: () => 0.25 }
    const fit: FitOptions = {
      ...before,
      epochs: 6,
      validation: 0.2,
      metrics: half,
      learningRate: plateau({ rate: 0.1, patience: 0, threshold: 0.2 }),
    }
    const trained = async (more: FitOptions): Promise<[FNN, History]> => {
      const net = animals(options)
      await net.partialFit(x, labels, before)
      return [net, await net.partialFit(x, labels, { ...fit, ...more })]
    }
    const [net, history] = await trained({})
    const stop = { onEpochEnd: (moment: { epoch: number; stop(): void }) => void (moment.epoch === 2 && moment.stop()) }
    await trained({ checkpoint: path, callbacks: stop })
    const other = animals(options)
    const last = await other.fit(x, labels, { ...fit, resume: path })
    t.equal(hashOf({ net: other, history: last }), hashOf({ net, history }))
    t.equal(last.metrics['valF0.5'].length, 6)
  }),
)

t.test('a checkpoint of version 1 is gone on from', async (t) => {
  const path = join(__dirname, 'fixtures', 'checkpoint-1.safetensors')
  const [whole, other] = [old.make(), old.make()]
  await whole.partialFit(old.x, old.y, old.BEFORE)
  const history = await whole.partialFit(old.x, old.y, old.FIT)
  const last = await other.partialFit(old.x, old.y, { ...old.FIT, resume: path })
  // Its numbers may be of another version of Node's Math.
  const near = { absolute: 1e-12 }
  agree(t, weightsOf(other), weightsOf(whole), near, 'weights')
  agree(t, last.metrics.valMae, history.metrics.valMae, near, 'a metric')
  t.strictSame(last.learningRate, history.learningRate, 'the plateau has heard of the epochs before')
  t.equal(last.best?.epoch, history.best?.epoch)
})

t.test('it is written every so many epochs or minutes, and at the end', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const stepsAt = (): number =>
      JSON.parse(decodeTensors(readFileSync(path), path).metadata['downhill.run']).snapshot.steps
    const steps = async (
      checkpoint: FitOptions['checkpoint'],
      moment: 'onEpochBegin' | 'onBatchEnd',
    ): Promise<unknown[]> => {
      const seen: unknown[] = []
      const look = (): void => {
        try {
          seen.push(stepsAt())
        } catch {
          seen.push(null)
        }
      }
      rmSync(path, { force: true })
      animals(options).fitSync(x, labels, { epochs: 5, batchSize: 30, checkpoint, callbacks: { [moment]: look } })
      return [...seen, stepsAt()]
    }
    t.strictSame(await steps(path, 'onEpochBegin'), [null, 2, 4, 6, 8, 10])
    t.strictSame(await steps({ path, everyEpochs: 2 }, 'onEpochBegin'), [null, null, 4, 4, 8, 10])
    t.strictSame(await steps({ path, everyEpochs: 9 }, 'onEpochBegin'), [null, null, null, null, null, 10])
    const always = { path, everyMinutes: 1e-9 }
    t.strictSame(await steps(always, 'onBatchEnd'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    t.strictSame(await steps({ path, everyMinutes: 60 }, 'onEpochBegin'), [null, null, null, null, null, 10])
  }),
)

t.test('off the event loop one is written at a time, and the last one before the run is over', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const most = { beside: 0 }
    const callbacks = {
      async onEpochEnd() {
        await new Promise((resolve) => setImmediate(resolve))
        const beside = readdirSync(dirname(path)).filter((file) => file.endsWith('.tmp'))
        most.beside = Math.max(most.beside, beside.length)
      },
    }
    const net = animals(options)
    const { steps } = await net.fit(x, labels, { epochs: 60, batchSize: 30, checkpoint: path, callbacks })
    t.equal(JSON.parse(decodeTensors(readFileSync(path), path).metadata['downhill.run']).snapshot.steps, steps)
    t.ok(most.beside <= 1, `${most.beside} at once`)
    t.strictSame(readdirSync(dirname(path)), ['run.safetensors'])
  }),
)

t.test('a divergence leaves the last checkpoint as it was', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const parabola = (): FNN =>
      new FNN({
        inputs: 1,
        layers: [dense(1, 'linear', { initializer: constant(2), bias: false })],
        loss: 'mse',
        seed: 1,
        ...options,
      })
    const fit: FitOptions = { epochs: 10_000, learningRate: 10 }
    const { status, steps } = parabola().fitSync([1], [0], { ...fit, checkpoint: { path, everyEpochs: 4 } })
    t.equal(status, 'diverged')
    const again = parabola().fitSync([1], [0], { ...fit, resume: path })
    t.equal(again.status, 'diverged')
    t.equal(again.steps, steps)
    t.ok((await FNN.load(path)).weights()[0].weights.data.every(Number.isFinite))
  }),
)

t.test('a state that is not finite is not written, and said', async (t) => {
  // A gradient of 2e25 is a float; its square, which adam keeps, is none.
  const path = pathOf(t)
  const warnings: string[] = []
  const listen = (warning: Error): number => warnings.push(warning.message)
  process.on('warning', listen)
  for (const backend of ['typescript', 'auto'] as const) {
    const net = new FNN({ inputs: 1, layers: [dense(1, 'linear')], loss: 'mse', backend, seed: 1 })
    net.fitSync([[1]], [1], { epochs: 2, optimizer: adam(), checkpoint: path })
    const before = readFileSync(path)
    const { status } = net.fitSync([[1]], [1e25], { epochs: 2, optimizer: adam(), checkpoint: path })
    t.equal(status, 'completed')
    t.ok(readFileSync(path).equals(before))
  }
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', listen)
  t.match(warnings[0], /^No checkpoint was written to .* after step 1, where the optimizer's state is not finite\.$/)
})

// ---------------------------------------------------------------------------------------------------- refusals

t.test('resume: true goes on from the file that the model came from, else from that of checkpoint', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const fit: FitOptions = { epochs: 8, batchSize: 10, checkpoint: path, resume: true }
    const whole = animals(options)
    const { loss } = whole.fitSync(x, labels, { ...fit, resume: false, checkpoint: undefined })
    // One program, killed and begun again as often as it takes.
    const stop = {
      onEpochEnd: (moment: { epoch: number; stop(): void }) => moment.epoch % 3 === 0 && moment.stop(),
    } as object
    const statuses: string[] = []
    let last: History | null = null
    for (let life = 0; life < 3; life++) {
      last = animals(options).fitSync(x, labels, { ...fit, callbacks: stop })
      statuses.push(`${last.status} ${last.epochs}`)
    }
    t.strictSame(statuses, ['stopped 3', 'stopped 6', 'completed 8'])
    t.strictSame([...(last?.loss ?? [])], [...loss])

    const error = await errorOf(animals(options).fit(x, labels, { resume: true }))
    t.equal(error.code, 'ERR_OPTION')
    t.match(error.message, /^Expected a checkpoint for resume: true but .*; give its path\.$/)
    const loaded = await FNN.load(path)
    loaded.reset()
    t.equal((await errorOf(loaded.fit(x, labels, { resume: true }))).code, 'ERR_OPTION', 'a model that was reset')
  }),
)

t.test('another model, other data, other options are refused, and what differs is named', async (t) => {
  const path = pathOf(t)
  const model = { hidden: [5], seed: 4, l2: 0.1 }
  const fit: FitOptions = { epochs: 3, batchSize: 10, optimizer: sgd({ momentum: 0.5 }), validation: 0.2 }
  new FNN(model).fitSync(x, labels, { ...fit, checkpoint: path })
  const moved = x.map(([a, b, c], i) => [a, b, i === 17 ? c + 1e-3 : c])
  const renamed = labels.map((label) => label.toUpperCase())
  const rows: readonly [name: string, model: object, x: number[][], y: string[], fit: object, message: RegExp][] = [
    [
      'seed',
      { seed: 5 },
      x,
      labels,
      {},
      /the model .* different here: seed \(5, was 4\); FNN\.load gives that model\.$/,
    ],
    ['layers', { hidden: [6] }, x, labels, {}, /the model .* here: layers;/],
    ['penalty', { l2: 0.2 }, x, labels, {}, /l2 \(0\.2, was 0\.1\)/],
    ['dtype', { dtype: 'float64', backend: 'typescript' }, x, labels, {}, /dtype \("float64", was "float32"\)/],
    ['scaling', { standardize: true }, x, labels, {}, /the model .* here: scaling;/],
    ['labels', {}, x, renamed, {}, /the model .* here: classes/],
    ['rows', {}, x.slice(5), labels.slice(5), {}, /the data .* here: rows \(44, was 48\), values, validation rows/],
    ['a value', {}, moved, labels, {}, /the data .* here: (validation )?values\.$/],
    ['another share', {}, x, labels, { validation: 0.3 }, /the data .* here: rows/],
    ['no validation', {}, x, labels, { validation: undefined }, /the data .* here: rows/],
    ['batch', {}, x, labels, { batchSize: 11 }, /the options .* here: batchSize \(11, was 10\)\.$/],
    ['rate', {}, x, labels, { learningRate: 0.3 }, /learningRate \(0\.3, was 0\.01\)/],
    ['optimizer', {}, x, labels, { optimizer: sgd({ momentum: 0.6 }) }, /the options .* here: optimizer\.$/],
    ['order', {}, x, labels, { shuffle: false }, /shuffle \(false, was true\)/],
    ['keep', {}, x, labels, { keep: 'best' }, /keep \("best", was "last"\)/],
    ['several', {}, x, labels, { shuffle: false, batchSize: 11 }, /here: batchSize .*, shuffle/],
    [
      'epochs',
      {},
      x,
      labels,
      { epochs: 2 },
      /^Expected epochs of at least 3, as many as the checkpoint .* but received 2\.$/,
    ],
  ]
  for (const [name, otherModel, otherX, otherY, otherFit, message] of rows) {
    const net = new FNN({ ...model, ...otherModel })
    const error = await errorOf(net.fit(otherX, otherY, { ...fit, ...otherFit, resume: path }))
    t.equal(error.code, 'ERR_OPTION', name)
    t.match(error.message, message, name)
    t.throws(() => net.weights(), { code: 'ERR_STATE' }, 'nothing was built')
  }
})

t.test('what is no checkpoint, and what cannot be written', async (t) => {
  const path = pathOf(t)
  const net = animals({ backend: 'typescript', dtype: 'float32' } as Options)
  net.fitSync(x, labels, { epochs: 2, checkpoint: path })
  const before = weightsOf(net)
  const refused = async (fit: FitOptions, code: string, message: RegExp): Promise<void> => {
    const error = await errorOf(net.fit(x, labels, { epochs: 2, ...fit }))
    t.equal(error.code, code, error.message)
    t.match(error.message, message)
    t.strictSame(weightsOf(net), before, 'the model is as it was')
  }
  await net.save(join(dirname(path), 'model'))
  await refused({ resume: join(dirname(path), 'none') }, 'ERR_FILE', /no such file/)
  await refused({ resume: join(dirname(path), 'model') }, 'ERR_FILE', /holds no run/)
  await refused({ checkpoint: join(dirname(path), 'no', 'file') }, 'ERR_FILE', /Could not write/)
  await refused({ checkpoint: dirname(path) }, 'ERR_FILE', /it is a folder/)
  const whole = readFileSync(path)
  const spoils: readonly [name: string, change: (run: Spoilable) => void][] = [
    ['no steps', ({ snapshot }) => (snapshot.steps = null)],
    ['a count of −1', ({ snapshot }) => (snapshot.steps = -1)],
    ['a reference to nothing', ({ tensors }) => (tensors as Map<string, unknown>).delete('run.epochs.loss')],
    [
      'ragged series',
      ({ tensors }) =>
        (tensors as Map<string, object>).set('run.epochs.loss', { shape: [1], data: new Float64Array(1) }),
    ],
  ]
  for (const [name, change] of spoils) {
    writeFileSync(path, whole)
    rewrite(path, change)
    await refused({ resume: path }, 'ERR_FILE', /its run cannot be read/)
    t.equal((await errorOf(FNN.load(path))).code, 'ERR_FILE', name)
  }
  writeFileSync(path, whole)
  rewrite(path, ({ tensors }) =>
    (tensors as Map<string, object>).set('run.state', { shape: [1], data: new Float32Array(1) }),
  )
  await refused({ resume: path }, 'ERR_FILE', /state/)
})

t.test('a disk that fails does not end a training: it is said, and tried again', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const path = pathOf(t)
    const warnings: Error[] = []
    const listen = (warning: Error): number => warnings.push(warning)
    process.on('warning', listen)
    const folder = dirname(path)
    const fit = (isSync: boolean, gone: number, back: number): PromiseLike<History> => {
      const callbacks = {
        async onEpochEnd() {},
        onEpochBegin({ epoch }: { epoch: number }) {
          if (epoch === gone) rmSync(folder, { recursive: true })
          if (epoch === back) t.testdir()
        },
      }
      const { onEpochBegin } = callbacks
      const options_ = { epochs: 6, batchSize: 10, checkpoint: path }
      if (!isSync) return animals(options).fit(x, labels, { ...options_, callbacks })
      return Promise.resolve(animals(options).fitSync(x, labels, { ...options_, callbacks: { onEpochBegin } }))
    }
    t.equal((await fit(true, 2, 4)).status, 'completed')
    t.equal((await FNN.load(path)).weights().length, 2, 'the last one is there')
    t.testdir()
    for (const isSync of [true, false]) {
      const error = await errorOf((async () => fit(isSync, 2, -1))())
      t.equal(error.code, 'ERR_FILE')
      t.equal((error.history as History).epochs, 6, 'nothing that was learned is lost')
      t.testdir()
    }
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', listen)
    t.match(warnings[0].message, /^Could not write .* The training goes on\.$/)
  }),
)
