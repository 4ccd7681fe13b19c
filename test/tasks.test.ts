// Every task from y to the answer, through the public API: what is inferred, what comes back, in which type.
// A row is one way to say what is wanted; each must learn a rule that it can learn, on every backend.
import {
  binaryCrossEntropy,
  crossEntropy,
  dense,
  FNN,
  type Label,
  type Matrix,
  type ModelOptions,
  poisson,
  type Targets,
} from 'downhill'
import t from 'tap'
import { onEachBackend } from './truth'

const rows = 200
const x = Array.from({ length: rows }, (_, i) => [Math.sin(1.3 * i), Math.cos(2.1 * i), Math.sin(i * i)])
const isRight = x.map(([a]) => a > 0)
const kinds = x.map(([a, b]) => (a > 0.3 ? 2 : b > 0 ? 1 : 0))
const animals = ['ant', 'bee', 'cat']
const named = kinds.map((k) => animals[k])
const oneHot = kinds.map((k) => [0, 1, 2].map((j) => Number(j === k)))
const tags = x.map(([a, b]) => [Number(a > 0), Number(b > 0)])
const rates = x.map(([a, b]) => Math.exp(1 + 0.5 * a + 0.3 * b))
const price = x.map(([a, b]) => 5000 + 300 * a + 100 * b)

interface Case {
  readonly name: string
  readonly options: ModelOptions
  readonly y: Targets
  /** What predict returns for rows that were learnt; labels, or the tolerance of numbers. */
  readonly says: readonly Label[] | number
  /** Columns of predictProba's Matrix, 1 for a plain array of the second class, null where it is refused. */
  readonly probabilities: number | null
}
const yes = isRight.map((right) => (right ? 'yes' : 'no'))
const zeroOne = isRight.map(Number)
const head = (activation: 'linear' | 'sigmoid' | 'softmax' | 'softplus', units: number) => [
  dense(16, 'tanh'),
  dense(units, activation),
]

// biome-ignore format: one case a line
const CASES: readonly Case[] = [
  { name: '0 and 1', options: {}, y: zeroOne, says: zeroOne, probabilities: 1 },
  { name: '0 and 1 in bytes', options: {}, y: Uint8Array.from(zeroOne), says: zeroOne, probabilities: 1 },
  { name: 'two strings', options: {}, y: yes, says: yes, probabilities: 1 },
  { name: 'booleans', options: {}, y: isRight, says: isRight, probabilities: 1 },
  { name: '−1 and 1', options: { task: 'binary' }, y: zeroOne.map((v) => 2 * v - 1), says: zeroOne.map((v) => 2 * v - 1), probabilities: 1 },
  { name: 'two outputs', options: { outputs: 2 }, y: yes, says: yes, probabilities: 1 },
  { name: 'binary of two outputs', options: { task: 'binary', outputs: 2 }, y: yes, says: yes, probabilities: 1 },
  { name: 'binary under crossEntropy', options: { task: 'binary', loss: 'crossEntropy' }, y: yes, says: yes, probabilities: 1 },
  { name: 'classes turned round', options: { classes: ['yes', 'no'] }, y: yes, says: yes, probabilities: 1 },
  { name: 'probabilities of the second', options: { task: 'binary' }, y: zeroOne.map((v) => 0.1 + 0.8 * v), says: zeroOne, probabilities: 1 },
  { name: 'logits and binaryCrossEntropy', options: { layers: head('linear', 1), loss: 'binaryCrossEntropy' }, y: yes, says: yes, probabilities: 1 },
  { name: 'hinge on two strings', options: { loss: 'hinge' }, y: yes, says: yes, probabilities: 1 },
  { name: 'hinge on three', options: { loss: 'hinge' }, y: named, says: named, probabilities: 3 },
  { name: 'hinge on tags', options: { loss: 'hinge' }, y: tags, says: tags.flat(), probabilities: 2 },
  { name: 'focal on two strings', options: { loss: 'focal' }, y: yes, says: yes, probabilities: 1 },
  { name: 'focal on three', options: { loss: 'focal' }, y: named, says: named, probabilities: 3 },
  { name: 'focal on class numbers behind sigmoids', options: { layers: head('sigmoid', 3), loss: 'focal' }, y: kinds, says: kinds, probabilities: 3 },
  { name: 'focal on tags', options: { loss: 'focal' }, y: tags, says: tags.flat(), probabilities: 2 },
  { name: 'focal on logits', options: { layers: head('linear', 1), loss: 'focal' }, y: zeroOne, says: zeroOne, probabilities: 1 },
  { name: 'focal, built early', options: { inputs: 3, layers: head('softmax', 3), loss: 'focal' }, y: kinds, says: kinds, probabilities: 3 },
  { name: 'smoothed, three', options: { loss: crossEntropy({ labelSmoothing: 0.1 }) }, y: named, says: named, probabilities: 3 },
  { name: 'smoothed, two', options: { loss: binaryCrossEntropy({ labelSmoothing: 0.1 }) }, y: yes, says: yes, probabilities: 1 },
  { name: 'counts', options: { loss: 'poisson' }, y: rates, says: 0.7, probabilities: null },
  { name: 'counts, of a rate', options: { layers: head('softplus', 1), loss: poisson({ from: 'rates' }) }, y: rates, says: 0.7, probabilities: null },
  { name: 'a price by logCosh', options: { standardize: true, loss: 'logCosh' }, y: price, says: 20, probabilities: null },
  { name: 'a price by quantiles', options: { standardize: true, loss: 'quantile' }, y: price, says: 40, probabilities: null },
  { name: 'mse on two strings', options: { loss: 'mse' }, y: yes, says: yes, probabilities: 1 },
  { name: 'built early', options: { inputs: 3, outputs: 1, task: 'binary' }, y: yes, says: yes, probabilities: 1 },
  { name: 'built early by its sigmoid', options: { inputs: 3, layers: head('sigmoid', 1) }, y: yes, says: yes, probabilities: 1 },
  { name: 'one label', options: {}, y: x.map(() => 'only'), says: x.map(() => 'only'), probabilities: 1 },
  { name: 'class numbers', options: {}, y: kinds, says: kinds, probabilities: 3 },
  { name: 'class numbers in Int32', options: {}, y: Int32Array.from(kinds), says: kinds, probabilities: 3 },
  { name: 'three strings', options: {}, y: named, says: named, probabilities: 3 },
  { name: 'one-hot rows', options: {}, y: oneHot, says: kinds, probabilities: 3 },
  { name: 'one-hot rows, named', options: { classes: animals }, y: oneHot, says: named, probabilities: 3 },
  { name: 'rows of probabilities', options: { loss: 'crossEntropy' }, y: oneHot.map((row) => row.map((v) => 0.1 + 0.7 * v)), says: kinds, probabilities: 3 },
  { name: 'logits and crossEntropy', options: { layers: head('linear', 3), loss: 'crossEntropy' }, y: named, says: named, probabilities: 3 },
  { name: 'three under mse', options: { loss: 'mse' }, y: named, says: named, probabilities: 3 },
  { name: 'three under binaryCrossEntropy', options: { outputs: 3, loss: 'binaryCrossEntropy' }, y: named, says: named, probabilities: 3 },
  { name: 'three, built early', options: { inputs: 3, outputs: 3, task: 'multiclass' }, y: named, says: named, probabilities: 3 },
  { name: 'multilabel', options: {}, y: tags, says: tags.flat(), probabilities: 2 },
  { name: 'multilabel, flat', options: { outputs: 2, task: 'multilabel' }, y: Uint8Array.from(tags.flat()), says: tags.flat(), probabilities: 2 },
  { name: 'a price', options: { standardize: 'targets' }, y: price, says: 20, probabilities: null },
  { name: 'two prices', options: { standardize: true }, y: price.map((p) => [p, -p]), says: 20, probabilities: null },
  { name: 'a sigmoid under mse', options: { layers: head('sigmoid', 1), loss: 'mse' }, y: price.map((p) => (p - 4200) / 1600), says: 0.05, probabilities: null },
]

/** Labels in order: an array as it is, a Matrix of 0 and 1 entry by entry. */
const entriesOf = (predicted: Label[] | Float64Array | Matrix): Label[] =>
  'data' in predicted ? [...predicted.data] : [...predicted]

t.test('every task learns, and answers in the caller’s terms', async (t) => {
  await onEachBackend(t, async (t, { options: backend }) => {
    for (const { name, options, y, says, probabilities } of CASES) {
      const net = new FNN({ ...(options.layers ? {} : { hidden: [16] }), seed: 1, ...backend, ...options })
      const history = net.fitSync(x, y, {
        epochs: 120,
        optimizer: 'adam',
        learningRate: 0.04,
        batchSize: 32,
        validation: 0.2,
      })
      t.equal(history.status, 'completed', name)
      const predicted = net.predict(x)
      const entries = entriesOf(predicted)
      const measured = net.evaluate(x, y)
      if (typeof says === 'number') {
        const wanted = (y as (number | number[])[]).flat()
        const worst = Math.max(...entries.map((v, i) => Math.abs(Number(v) - wanted[i])))
        t.ok(worst < says, `${name}: off by ${worst}`)
        t.ok((measured.r2 ?? 0) > 0.99 && measured.accuracy === undefined, `${name}: r2 ${measured.r2}`)
        t.same(Object.keys(history.metrics), ['valR2'], name)
        t.throws(() => net.predictProba(x), { code: 'ERR_OPTION' }, name)
      } else {
        const share = entries.filter((v, i) => v === says[i]).length / says.length
        t.ok(share > 0.97, `${name}: ${share} of the labels are right, type and all`)
        t.ok((measured.accuracy ?? 0) > 0.95 && measured.r2 === undefined, `${name}: accuracy ${measured.accuracy}`)
        t.same(Object.keys(history.metrics), ['valAccuracy'], name)
        const p = net.predictProba(x)
        const shape = 'data' in p ? [p.rows, p.columns, p.data.length] : [p.length, 1, p.length]
        t.same(shape, [rows, probabilities, rows * (probabilities ?? 0)], name)
        t.ok(
          ('data' in p ? [...p.data] : [...p]).every((v) => v >= 0 && v <= 1) ||
            ['mse', 'hinge'].includes(options.loss as string),
          name,
        )
      }
      // One row in, length 1 out; and row by row as in the batch.
      const one = net.predict(x.slice(7, 8))
      t.equal('data' in one ? one.rows : one.length, 1, name)
      const flat = entriesOf(net.predict(Float32Array.from(x[7])))
      t.equal(flat.length, entries.length / rows, name)
      for (const [i, value] of flat.entries()) {
        const before = entries[7 * flat.length + i]
        t.ok(
          value === before || Math.abs(Number(value) - Number(before)) < 1e-3 * Math.abs(Number(before)),
          `${name}: ${value}`,
        )
      }
    }
  })
})

t.test('the type of labels follows from classes, or is wide', async (t) => {
  const net = new FNN({ classes: ['no', 'yes'] as const, hidden: [4], seed: 1, backend: 'typescript' })
  net.fitSync(x, yes, { epochs: 2 })
  const answers = net.predict(x) as ('no' | 'yes')[]
  t.ok(answers.every((answer) => answer === 'no' || answer === 'yes'))
  const evaluated: number = net.evaluate(x, yes).loss
  t.ok(evaluated > 0)
})

t.test('labels after the first fit: the same classes whatever comes', async (t) => {
  const net = new FNN({ hidden: [4], seed: 1, backend: 'typescript' })
  net.fitSync(x, named, { epochs: 1 })
  net.fitSync(x.slice(0, 2), ['cat', 'cat'], { epochs: 1 })
  t.equal((net.predictProba(x) as Matrix).columns, 3)
  t.throws(() => net.fitSync(x.slice(0, 1), ['dog'], { epochs: 1 }), {
    code: 'ERR_DATA',
    message: /"ant", "bee", "cat" in y but row 0 .*is "dog"/,
  })
  t.throws(() => net.evaluate(x.slice(0, 1), ['dog']), { code: 'ERR_DATA' })
})

t.test('stratified validation keeps every class on both sides', async (t) => {
  const y = Array.from({ length: rows }, (_, i) => (i < 4 ? 'rare' : 'common'))
  const net = new FNN({ hidden: [4], seed: 3, backend: 'typescript' })
  const history = net.fitSync(x, y, { epochs: 1, validation: 0.25 })
  t.ok(Number.isFinite(history.valLoss?.[0]))
  t.equal((history.metrics.valAccuracy?.[0] * 50) % 1, 0, 'of 50 rows')
})
