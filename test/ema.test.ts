/**
 * Averaged weights: the average by its definition, from the weights that a run without it goes through; what is judged by
 * it and what is left behind; the same bits however a run is cut.
 */
import { join } from 'node:path'
import { adam, dense, type FitOptions, FNN } from 'downhill'
import t from 'tap'
import { agree, flat, onEachBackend, type TestBackend } from './truth'

const x = Array.from({ length: 20 }, (_, i) => [Math.sin(3 * i), Math.cos(5 * i)])
const y = x.map(([a, b]) => a * b)
const NEAR = { float64: { absolute: 1e-14 }, float32: { absolute: 1e-6 } }
const OPTIONS: FitOptions = { epochs: 6, batchSize: 8, optimizer: adam(), learningRate: 0.05 }

const make = (backend: TestBackend) =>
  new FNN({ inputs: 2, layers: [dense(5, 'tanh'), dense(1)], loss: 'mse', seed: 1, ...backend.options })

/** Weights after each step of a run without averages, and their average. */
function byHand(backend: TestBackend, decay: number, options = OPTIONS) {
  const net = make(backend)
  const path: number[][] = []
  net.fitSync(x, y, { ...options, callbacks: { onBatchEnd: () => void path.push(flat(net.weights())) } })
  const average = path.reduce((a, w, k) => (k === 0 ? w : a.map((v, i) => decay * v + (1 - decay) * w[i])))
  return { raw: path[path.length - 1], average }
}

t.test('the model is left with the average of all steps', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const [ema, decay] of [
      [0.7, 0.7],
      [true, 0.99],
      [0, 0],
    ] as const) {
      const { average } = byHand(backend, decay)
      const [here, there] = [make(backend), make(backend)]
      here.fitSync(x, y, { ...OPTIONS, ema })
      await there.fit(x, y, { ...OPTIONS, ema })
      agree(t, flat(here.weights()), average, NEAR[backend.dtype], `ema ${ema}`)
      t.same(flat(there.weights()), flat(here.weights()), 'the same bits on another thread')
    }
    t.notSame(byHand(backend, 0.7).average, byHand(backend, 0.7).raw)
  }),
)

t.test('partialFit goes on from the weights themselves', (t) =>
  onEachBackend(t, async (t, backend) => {
    const [whole, parts, set] = [make(backend), make(backend), make(backend)]
    await whole.partialFit(x, y, { ...OPTIONS, ema: 0.7 })
    for (const epochs of [1, 2, 3]) await parts.partialFit(x, y, { ...OPTIONS, epochs, ema: 0.7 })
    t.same(flat(parts.weights()), flat(whole.weights()), 'the same bits in three parts')
    // Weights that somebody has set are those to go on from.
    await set.partialFit(x, y, { ...OPTIONS, epochs: 5, ema: 0.7 })
    set.setWeights(set.weights())
    await set.partialFit(x, y, { ...OPTIONS, epochs: 1, ema: 0.7 })
    t.notSame(flat(set.weights()), flat(whole.weights()))
  }),
)

t.test('a checkpoint is the model with the average, and goes on from the weights', (t) =>
  onEachBackend(t, async (t, backend) => {
    const path = join(t.testdir(), 'run.safetensors')
    const fit = { ...OPTIONS, ema: 0.7, checkpoint: path }
    const load = () => FNN.load(path, { backend: backend.options.backend })
    const stop = { onEpochEnd: (moment: { epoch: number; stop(): void }) => void (moment.epoch === 4 && moment.stop()) }
    const [whole, part] = [make(backend), make(backend)]
    await whole.fit(x, y, { ...OPTIONS, ema: 0.7 })
    await part.fit(x, y, { ...fit, callbacks: stop })
    const loaded = await load()
    t.same(loaded.predict(x), part.predict(x), 'in mid-run, as the model that was stopped there')
    await loaded.fit(x, y, { ...fit, resume: true })
    t.same(flat(loaded.weights()), flat(whole.weights()), 'the same bits')
    t.same(flat((await load()).weights()), flat(whole.weights()), 'and at the end')
    // Trained on without its run, it goes as the model itself.
    const again = await load()
    t.same(again.fitSync(x, y, OPTIONS).loss, whole.fitSync(x, y, OPTIONS).loss)
  }),
)

t.test('validation and the best epoch are of the average', (t) =>
  onEachBackend(t, async (t, backend) => {
    const net = make(backend)
    const validation = { x, y }
    const history = await net.fit(x, y, { ...OPTIONS, ema: 0.7, validation })
    t.equal(history.valLoss?.[5], net.loss(x, y), 'the last is that of the model')
    const plain = await make(backend).fit(x, y, { ...OPTIONS, validation })
    t.same(history.loss, plain.loss, 'training knows nothing of it')
    t.notSame(history.valLoss, plain.valLoss)
    const best = make(backend)
    const wild = await best.fit(x, y, { ...OPTIONS, ema: 0.7, learningRate: 2, validation, keep: 'best' })
    t.equal(best.loss(x, y), Math.min(...(wild.valLoss ?? [])))
  }),
)
