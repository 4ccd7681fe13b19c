/**
 * Fits of every kind, each to its end: trained here and on other threads, looked at in the middle, two at once, refused,
 * stopped, aborted, diverged, on data of every form, in a worker. Says nothing but what failed.
 *
 * For the sanitizers (scripts/test-addon.js). LeakSanitizer tells what was lost when the process ends: so it ends as a process should,
 * with nothing under way. Neither it nor Node 20 loses a byte of their own then, and no list of suppressions is needed.
 */
import { Worker } from 'node:worker_threads'
import { backendInfo, type FitOptions, FNN, lbfgs, type ModelOptions } from 'downhill'

const ROWS = 300
const x = Float32Array.from({ length: 3 * ROWS }, (_, i) => Math.sin(i))
const y = Uint8Array.from({ length: ROWS }, (_, i) => i % 2)
const wrong = x.with(-1, Number.NaN)
const weights = new Float32Array(ROWS).fill(2)

const net = (more: ModelOptions = {}): FNN =>
  new FNN({ inputs: 3, outputs: 1, hidden: [16], task: 'binary', seed: 1, threads: 2, backend: 'native', ...more })

const FITS: readonly FitOptions[] = [
  { batchSize: 50, validation: 0.2, sampleWeight: weights },
  { batchSize: 'full', optimizer: lbfgs() },
  { ema: 0.9, validation: { x, y, sampleWeight: weights }, keep: 'best' },
  { ledger: 'all', clipNorm: 1 },
  { learningRate: 1e30 },
]
const FORMS: readonly unknown[] = [
  Array.from({ length: ROWS }, (_, r) => [...x.subarray(3 * r, 3 * r + 3)]),
  Float64Array.from(x),
  { data: Uint8Array.from(x, (v) => 100 + 90 * v), rows: ROWS, columns: 3, scale: 1 / 255 },
]

function looksAt(model: FNN): void {
  model.predict(x)
  model.evaluate(x, y)
  model.gradients(x, y)
  model.weights()
}

async function everyKind(): Promise<void> {
  for (const options of FITS) {
    net().fitSync(x, y, { epochs: 3, ...options })
    await net().fit(x, y, { epochs: 3, ...options })
    const twice = net({ standardize: true })
    for (let i = 0; i < 2; i++) await twice.partialFit(x, y, { epochs: 3, ...options })
  }
  for (const form of FORMS) net().fitSync(form as Float32Array, y, { epochs: 1 })
  const refused = [() => net().fitSync(wrong, y), () => net().predict(wrong), () => net().evaluate(x, y.slice(1))]
  for (const call of refused)
    try {
      call()
      throw new Error('It was not refused.')
    } catch (error) {
      if (!(error as { code?: string }).code) throw error
    }
  looksAt(net())
  const busy = [net(), net()]
  const runs = busy.map((model) => model.fit(x, y, { epochs: 1_000_000, batchSize: 50 }))
  for (let i = 0; i < 20; i++) {
    for (const model of busy) looksAt(model)
    await new Promise(setImmediate)
  }
  for (const run of runs) run.stop()
  await Promise.all(runs)
  const controller = new AbortController()
  const aborted = net().fit(x, y, { epochs: 1_000_000, signal: controller.signal })
  setTimeout(() => controller.abort(), 20)
  const error = await aborted.then(() => null).catch((error) => error)
  if (error?.code !== 'ERR_ABORTED') throw error ?? new Error('It was not aborted.')
}

const source = `
  const { FNN } = require('downhill')
  new FNN({ hidden: [4], seed: 1 }).fit([[0], [1], [2]], [0, 1, 0.5], { epochs: 20 })`

async function main(): Promise<void> {
  if (backendInfo().name !== 'native') throw new Error(`Expected the native backend: ${backendInfo().reason}`)
  for (let i = 0; i < 3; i++) await everyKind()
  const code = await new Promise((resolve) => new Worker(source, { eval: true }).on('exit', resolve))
  if (code !== 0) throw new Error(`A worker ended with ${code}.`)
}

main()
