/**
 * What a caller computed elsewhere is held to the model within the budget of a diagnosis: the work is counted here, row
 * by row that an engine passes over, so that no clock decides.
 */
import t from 'tap'
import type { Engine } from '../lib/backends/backend'
import { SPEED } from '../lib/doctor/price'
import { FNN } from '../lib/index'
import { Network } from '../lib/network'
import { numbers } from './doctor/data'

const ROWS = 40_000
const COLUMNS = 20
const { normal } = numbers(7)
const y = Float64Array.from({ length: ROWS }, (_, i) => i % 2)
const x = {
  data: Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => y[Math.floor(i / COLUMNS)] - 0.5 + normal()),
  rows: ROWS,
  columns: COLUMNS,
}
const options = {
  inputs: COLUMNS,
  outputs: 1,
  hidden: [64, 64],
  activation: 'tanh',
  task: 'binary',
  seed: 3,
} as const
const net = new FNN(options)
const WEIGHTS = COLUMNS * 64 + 64 + 64 * 64 + 64 + 64 + 1
const fit = { epochs: 1, batchSize: 1000, learningRate: 0.5 }

/** Rows that engines in float64 pass over meanwhile: what is exact is computed there, and what is tried out is not. */
async function countRows<T>(work: () => Promise<T>): Promise<{ rows: number; result: T }> {
  let rows = 0
  const { load } = Network.prototype
  Network.prototype.load = function (...args): Engine {
    const engine = load.apply(this, args)
    if (this.dtype === 'float64') {
      const { run } = engine
      engine.run = (slice) => {
        rows += slice.batch * slice.steps
        return run.call(engine, slice)
      }
    }
    return engine
  }
  try {
    return { result: await work(), rows }
  } finally {
    Network.prototype.load = load
  }
}

t.test('a small budget: what it does not pay for is left out and said', async (t) => {
  const { layers, loss } = net.gradients(x, y)
  const predictions = net.predictProba(x) as Float32Array
  const losses = predictions.map((p, i) => -Math.log(y[i] ? p : 1 - p))
  const budget = 1
  const { rows, result } = await countRows(() =>
    net.diagnose(x, y, { fit, budget, theirs: { gradients: layers, loss, predictions, losses } }),
  )
  // Half of the budget, and the layers' probes of a few hundred rows.
  t.ok(rows <= (budget * SPEED.typescript) / 2 / (2 * WEIGHTS) + 2048, `${rows} rows`)
  t.same(result.findings, [])
  const leftOut = result.notes.flatMap(({ evidence }) => evidence.leftOut ?? [])
  t.strictSame(leftOut, ['gradients', 'loss'])
  for (const { evidence, says } of result.notes.filter(({ evidence }) => 'leftOut' in evidence)) {
    t.ok(Number(evidence.needs) > budget, says)
    t.match(says, /could not be compared within the budget of 1 s, since it takes all 40,000 rows/)
  }
  const part = result.notes.find(({ says }) => says.startsWith('Their values row by row'))
  t.match(part?.says, /on [\d,]+ of 40,000 rows/)
})

t.test('what is wrong shows on a part of the rows, and says of which', async (t) => {
  const p = Array.from(net.predictProba(x) as Float32Array)
  const wrong: [string, object][] = [
    ['predictions', { predictions: p.map((v) => 0.9 * v) }],
    ['predictions as a row', { predictions: [p.map((v) => 0.9 * v)] }],
    ['losses of rows', { losses: p.map((v, i) => -2 * Math.log(y[i] ? v : 1 - v)) }],
    ['too few', { predictions: p.slice(1) }],
  ]
  for (const [says, theirs] of wrong) {
    const { findings } = await net.diagnose(x, y, { fit, budget: 1, theirs })
    t.match(findings[0], { id: 'forward_wrong', evidence: { measuredOn: /of 40,000 rows$/ } }, says)
  }
  const { findings } = await net.diagnose(x, y, { fit, budget: 1, theirs: { predictions: p.slice(1) } })
  t.match(findings[0].says, /39999 numbers where there should be 40000/)
})

t.test('a budget that pays for the gradient but not for the name of its fault', async (t) => {
  const [head, target] = [2000, 16]
  const few = { data: x.data.subarray(0, head * COLUMNS), rows: head, columns: COLUMNS }
  const labels = y.subarray(0, head)
  const { layers } = net.gradients(few, labels)
  const scattered = layers.map(({ weights, bias }) => ({
    weights: { ...weights, data: weights.data.map((v, i) => v * (1 + 0.1 * Math.sin(i))) },
    bias,
  }))
  const seconds = (6 * WEIGHTS * head) / SPEED.typescript
  const poor = await net.diagnose(few, labels, { fit, budget: 6 * seconds, theirs: scattered })
  t.equal(poor.findings[0].id, 'gradient_wrong')
  t.match(poor.findings[0].says, /it is not what it should be/)
  t.ok(poor.notes.some(({ evidence }) => evidence.leftOut === 'gradients and those of every known fault'))
  const rich = await net.diagnose(few, labels, { fit, budget: target, theirs: scattered })
  t.equal(rich.findings[0].id, 'gradient_wrong')
  t.match(rich.findings[0].says, /it agrees with no fault that has a name/)
  t.notOk(rich.notes.some(({ evidence }) => 'leftOut' in evidence))
})
