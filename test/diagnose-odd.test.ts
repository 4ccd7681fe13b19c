/**
 * `diagnose` on input that nobody plans for: it ends with a sentence that has a code, or with a diagnosis that is true.
 */
import {
  binaryCrossEntropy,
  type Diagnosis,
  DownhillError,
  dense,
  type FitOptions,
  FNN,
  type ModelOptions,
} from 'downhill'
import t from 'tap'
import { numbers } from './doctor/data'

const { normal } = numbers(21)
const ROWS = 60
const y = Array.from({ length: ROWS }, (_, i) => i % 2)
const x = y.map((k) => [1.6 * k - 0.8 + 0.8 * normal(), normal(), normal()])
const amounts = x.map(([a, b]) => a + 0.5 * b)
const column = (c: number, value: number): number[][] => x.map((row) => row.map((v, i) => (i === c ? value : v)))
const times = (values: number[], by: number): number[] => values.map((v) => v * by)

const CLASSES: ModelOptions = { hidden: [8], task: 'binary', seed: 1 }
const AMOUNTS: ModelOptions = { hidden: [8], task: 'regression', seed: 1 }
const DOUBLE = { dtype: 'float64', backend: 'typescript' } as const
const FIT: FitOptions = { epochs: 20, learningRate: 0.1 }

interface Case {
  readonly says: string
  readonly model?: ModelOptions
  readonly fit?: FitOptions
  readonly x?: unknown
  readonly y?: unknown
  readonly more?: object
  /** The first finding, null for silence; a code that starts with ERR_; undefined: whatever is true. */
  readonly ends?: string | null
}

const CASES: readonly Case[] = [
  { says: 'no row', x: [], y: [], ends: 'ERR_DATA' },
  { says: 'one row', x: [x[0]], y: [1], ends: 'single_class_labels' },
  { says: 'one row of an amount', model: AMOUNTS, x: [x[0]], y: [1.5], ends: 'single_class_labels' },
  { says: 'two rows', x: x.slice(0, 2), y: [0, 1] },
  { says: 'two rows of amounts', model: AMOUNTS, x: x.slice(0, 2), y: [0.5, 1] },
  { says: 'as many classes as rows', model: { ...CLASSES, task: 'multiclass' }, y: y.map((_, i) => `c${i}`) },
  { says: 'a constant target', model: AMOUNTS, y: y.map(() => 3), ends: 'single_class_labels' },
  { says: 'a constant target, huge', model: AMOUNTS, y: y.map(() => 1e12), ends: 'single_class_labels' },
  {
    says: 'the same labels in every row',
    model: { ...CLASSES, task: 'multilabel' },
    y: y.map(() => [0, 1]),
    ends: 'single_class_labels',
  },
  { says: 'one target of two constant', model: AMOUNTS, y: amounts.map((v) => [v, 5]) },
  { says: 'a constant column', x: column(1, 7), ends: null, fit: { epochs: 100, learningRate: 0.5 } },
  { says: 'a column of 0', x: column(1, 0), ends: null, fit: { epochs: 100, learningRate: 0.5 } },
  { says: 'a constant column, standardized', model: { ...CLASSES, standardize: true }, x: column(1, 7) },
  { says: 'a column of NaN', x: column(0, Number.NaN), ends: 'ERR_DATA' },
  { says: 'a column of Infinity', x: column(0, Number.POSITIVE_INFINITY), ends: 'ERR_DATA' },
  { says: 'NaN among the targets', model: AMOUNTS, y: [...amounts.slice(1), Number.NaN], ends: 'ERR_DATA' },
  { says: 'like rows', x: x.map(() => [1, 2, 3]), ends: 'labels_shuffled' },
  { says: 'rows alike in float32', x: x.map((row) => row.map((v) => 1e-7 * v + 1e3)), ends: 'labels_shuffled' },
  { says: 'no epoch', fit: { epochs: 0 }, ends: 'ERR_OPTION' },
  { says: 'one epoch', model: AMOUNTS, y: amounts, fit: { epochs: 1, learningRate: 0.01 } },
  { says: 'a batch of more rows than there are', fit: { ...FIT, batchSize: 1000 } },
  { says: 'batches of one row', fit: { ...FIT, batchSize: 1 } },
  { says: 'one linear unit', model: { layers: [dense(1)], task: 'regression', seed: 1 }, y: amounts, ends: null },
  {
    says: 'one linear unit, one column',
    model: { layers: [dense(1)], task: 'regression' },
    x: x.map(([a]) => [a]),
    y: amounts,
  },
  { says: 'float64', model: { ...CLASSES, ...DOUBLE } },
  {
    says: 'float64 that diverges',
    model: { ...AMOUNTS, ...DOUBLE },
    y: amounts,
    fit: { ...FIT, learningRate: 100 },
    ends: 'lr_above_one_step_limit',
  },
  { says: 'a class of weight 0', fit: { ...FIT, classWeight: [0, 1] }, ends: 'single_class_labels' },
  {
    says: 'one row that counts',
    fit: { ...FIT, sampleWeight: y.map((_, i) => Number(i === 0)) },
    ends: 'single_class_labels',
  },
  { says: 'classes of weight 0', fit: { ...FIT, classWeight: [0, 0] }, ends: 'ERR_DATA' },
  { says: 'weights next to nothing', fit: { ...FIT, sampleWeight: y.map(() => 1e-30) } },
  { says: 'huge targets', model: AMOUNTS, y: times(amounts, 1e12), ends: 'target_scale' },
  { says: 'huge targets in float64', model: { ...AMOUNTS, ...DOUBLE }, y: times(amounts, 1e12), ends: 'target_scale' },
  { says: 'tiny targets', model: AMOUNTS, y: times(amounts, 1e-12), ends: 'target_scale' },
  { says: 'targets whose squares are infinite', model: { ...AMOUNTS, ...DOUBLE }, y: times(amounts, 1e200) },
  { says: 'targets beyond float32', model: AMOUNTS, y: times(amounts, 1e300), ends: 'ERR_DATA' },
  { says: 'huge inputs', x: x.map((row) => times(row, 1e30)) },
  { says: 'tiny inputs', x: x.map((row) => times(row, 1e-12)), ends: 'input_scale' },
  { says: 'one row of a class', y: y.map((_, i) => Number(i === 0)), ends: null },
  { says: 'a rate of 0', fit: { ...FIT, learningRate: 0 }, ends: 'lr_too_low' },
  { says: 'a rate beyond measure', fit: { ...FIT, learningRate: 1e300 }, ends: 'lr_above_one_step_limit' },
  { says: 'a budget of nothing', more: { budget: 1e-9 } },
  {
    says: 'a budget of a hundredth',
    model: AMOUNTS,
    y: amounts,
    fit: { ...FIT, learningRate: 1e-5 },
    more: { budget: 0.01 },
  },
  { says: 'a stream', x: (async function* () {})(), ends: 'ERR_DATA' },
  { says: 'a generator', x: (function* () {})(), ends: 'ERR_DATA' },
  { says: 'a promise', x: Promise.resolve(x), ends: 'ERR_DATA' },
  { says: 'a map', x: new Map(), ends: 'ERR_DATA' },
  { says: 'no y', y: null, ends: 'ERR_DATA' },
  { says: 'an aborted signal', fit: { ...FIT, signal: AbortSignal.abort() }, ends: 'ERR_ABORTED' },
  { says: 'a history of nothing', more: { history: { loss: [] } } },
  { says: 'a history with holes', more: { history: { loss: [1, null, Number.NaN] } } },
  { says: 'a history of letters', more: { history: { loss: 'abc' } }, ends: 'ERR_OPTION' },
  { says: 'no losses of theirs', model: { ...CLASSES, inputs: 3, outputs: 1 }, more: { theirs: { losses: [] } } },
  {
    says: 'NaN of theirs',
    model: { ...CLASSES, inputs: 3, outputs: 1 },
    more: { theirs: { loss: Number.NaN } },
    ends: 'forward_wrong',
  },
  { says: 'probabilities', model: { ...CLASSES, loss: binaryCrossEntropy({ from: 'probabilities' }) } },
]

for (const { says, model = CLASSES, fit = FIT, ends, more, ...data } of CASES)
  t.test(says, async (t) => {
    const [features, targets] = ['x' in data ? data.x : x, 'y' in data ? data.y : y] as [number[][], number[]]
    let diagnosis: Diagnosis
    try {
      diagnosis = await new FNN(model).diagnose(features, targets, { fit, budget: 4, ...more })
    } catch (error) {
      t.ok(error instanceof DownhillError, String(error))
      const { code, message } = error as DownhillError
      t.equal(code, ends)
      t.match(message, /^(Expected|The) .*\.$/)
      return
    }
    if (ends !== undefined) t.equal(diagnosis.findings[0]?.id ?? null, ends, diagnosis.brief())
    if (diagnosis.verdict === 'healthy') t.same(diagnosis.findings, [])
    t.notMatch(diagnosis.full(), /undefined|\[object/)
    for (const { evidence } of [...diagnosis.findings, ...diagnosis.notes])
      for (const [name, value] of Object.entries(evidence)) t.ok(!Number.isNaN(value), `${name} is a number`)
    t.match(diagnosis.html(), /^<!doctype html>/i)
  })

t.test('what ended infinite is not called healthy, whatever was found', async (t) => {
  const fit = { ...FIT, learningRate: 50 }
  const { verdict, notes, findings } = await new FNN(AMOUNTS).diagnose(x, amounts, { fit, budget: 1e-6 })
  t.same(findings, [])
  t.equal(verdict, 'diverging')
  t.match(notes[0].says, /became infinite or NaN at epoch/)
  t.match(notes[1].says, /^The budget of .* was over before all that could be wrong was tried/)
})

t.test('a model that became NaN is looked at from its beginning', async (t) => {
  const net = new FNN({ ...AMOUNTS, activation: 'relu' })
  await net.fit(x, amounts, { epochs: 30, learningRate: 1e6 })
  const { findings } = await net.diagnose(x, amounts, { fit: { epochs: 30, learningRate: 1e6 }, budget: 5 })
  t.match(findings[0]?.id, /^lr_/)
  const theirs = { loss: 1, losses: [1, 2], predictions: amounts, gradients: [] }
  const compared = await net.diagnose(x, amounts, { fit: FIT, theirs, budget: 5 })
  t.equal(compared.findings[0]?.id, 'forward_wrong')
})

t.test('few rows of one class say nothing of all labels', async (t) => {
  const rows = Array.from({ length: 800 }, () => [normal(), normal()])
  const rare = rows.map((_, i) => Number(i % 80 === 0))
  const { findings } = await new FNN(CLASSES).diagnose(rows, rare, { fit: FIT, budget: 5 })
  t.same(findings, [])
})
