/**
 * The doctor: classes of outcomes, sweeps, what a bare curve tells, and diagnoses of a few programs of the corpus.
 * The whole corpus is `npm run doctor:score`.
 */
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crossEntropy, DownhillError, dense, diagnoseCurve, FNN, mse, sweep } from 'downhill'
import t from 'tap'
import { chanceLoss, classify } from '../lib/doctor/outcome'
import { readLoss } from '../lib/losses'
import { HEALTHY, OPEN, SICK } from './doctor/cases'
import { numbers as draws } from './doctor/data'
import { add, diagnoseProgram, nothing, tallyOf } from './doctor/score'
import { foreseen } from './outcomes'

const steps = (n: number, loss: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => loss(i))

t.test('five outcomes, in order', async (t) => {
  const chance = 0.69
  const rows: [string, number[], string][] = [
    ['one NaN is enough', [1, Number.NaN, 0.5], 'diverging'],
    ['ended higher', steps(100, (i) => 1 + i / 100), 'diverging'],
    ['stays at chance', steps(100, () => 0.69), 'stalled'],
    ['a plateau below chance', steps(100, (i) => (i < 10 ? 1 - i * 0.05 : 0.5)), 'monotone'],
    ['falls', steps(100, (i) => 1 / (1 + i)), 'monotone'],
    ['rounding', steps(100, (i) => (1 / (1 + i)) * (1 + 1e-7 * (i % 2))), 'monotone'],
    ['saws and falls', steps(100, (i) => (1 + 0.2 * (i % 2)) / (1 + i / 20)), 'edgeOfStability'],
    ['one jump', steps(100, (i) => (i === 3 ? 6 : 1 / (1 + i))), 'transient'],
    ['a jump in the last half', steps(100, (i) => (i === 80 ? 6 : 1 / (1 + i))), 'transient'],
  ]
  for (const [says, losses, outcome] of rows) t.equal(classify(losses, { chance }), outcome, says)
  t.equal(classify([1, 1 + 1e-7, 0.5], { tolerance: 1e-12 }), 'transient', 'float64 counts smaller rises')
})

t.test('chance is the loss of a constant', async (t) => {
  const y = Float64Array.of(0, 0, 0, 1)
  const table = { y, rows: 4, targets: 1 }
  const spec = (
    kind: 'mse' | 'mae' | 'binaryCrossEntropy' | 'crossEntropy' | 'huber',
    reduction: 'mean' | 'sum' = 'mean',
  ) => ({ kind, reduction, scale: 1 }) as const
  const entropy = -0.25 * Math.log(0.25) - 0.75 * Math.log(0.75)
  near(t, chanceLoss(spec('mse'), table), 3 / 16)
  near(t, chanceLoss(spec('mse', 'sum'), table), 3 / 4)
  near(t, chanceLoss(spec('mae'), table), 1 / 4)
  near(t, chanceLoss(spec('huber'), table), 3 / 32)
  near(t, chanceLoss(spec('binaryCrossEntropy'), table), entropy)
  near(t, chanceLoss(spec('crossEntropy'), table), entropy)
})

t.test('of weighted rows chance is the least that any constant has under the weighted loss', async (t) => {
  const weights = [2, 0.5, 0, 3, 1, 1.5, 0.25]
  const numbers = [0.2, 3, 40, 1, 2, 0.5, 1.5]
  const bits = [0, 1, 1, 0, 0, 1, 1]
  const x = weights.map(() => 1)
  type Case = [NonNullable<ConstructorParameters<typeof FNN>[0]>['loss'], 'linear' | 'sigmoid', number[]]
  const cases: Case[] = [
    ['mse', 'linear', numbers],
    [mse({ reduction: 'sum', scale: 0.5 }), 'linear', numbers],
    ['mae', 'linear', numbers],
    ['huber', 'linear', numbers],
    ['logCosh', 'linear', numbers],
    ['quantile', 'linear', numbers],
    ['poisson', 'linear', numbers],
    ['hinge', 'linear', bits],
    ['binaryCrossEntropy', 'sigmoid', bits],
    ['focal', 'sigmoid', bits],
  ]
  for (const [loss, activation, y] of cases) {
    const task = y === bits ? 'binary' : 'regression'
    const net = new FNN({
      inputs: 1,
      outputs: 1,
      layers: [dense(1, activation, { initializer: { kind: 'zeros' } })],
      loss,
      task,
      dtype: 'float64',
      backend: 'typescript',
    })
    net.fitSync(x, y, { epochs: 1, learningRate: 0 })
    const at = (bias: number): number => {
      net.setWeights([{ weights: [[0]], bias: [bias] }])
      return net.loss(x, y, { sampleWeight: weights })
    }
    let [low, high] = [-10, 50]
    for (let turn = 0; turn < 120; turn++) {
      const third = (high - low) / 3
      if (at(low + third) < at(high - third)) high -= third
      else low += third
    }
    const table = { y: Float64Array.from(y), rows: 7, targets: 1, weights: Float64Array.from(weights) }
    const chance = chanceLoss(readLoss(loss as never), table)
    const least = at((low + high) / 2)
    t.ok(Math.abs(chance - least) < 1e-6 * least, `${JSON.stringify(loss)}: ${chance}, searched ${least}`)
  }
  // Of classes: the entropy of their weights.
  const shares = [2 + 0.5, 0 + 3, 1 + 1.5 + 0.25].map((weight) => weight / 8.25)
  const table = {
    y: Float64Array.of(0, 0, 1, 1, 2, 2, 2),
    rows: 7,
    targets: 1,
    weights: Float64Array.from(weights),
  }
  const entropy = shares.reduce((sum, p) => sum - p * Math.log(p), 0)
  near(t, chanceLoss(readLoss('crossEntropy'), table), entropy)
  near(t, chanceLoss(readLoss(crossEntropy({ reduction: 'sum' })), table), 8.25 * entropy)
})

t.test('runs on weighted rows are held to the chance of those', async (t) => {
  const { normal } = draws(5)
  const y = steps(400, (i) => (i % 20 === 0 ? 1 : 0))
  const x = y.map((k) => [1.2 * k + normal(), normal()])
  const options = { x, y, model: { hidden: [], task: 'binary', seed: 1 } as const, learningRate: [0.5] }
  const fit = { epochs: 300, classWeight: 'balanced' } as const
  // It ends flat at 0.6: below ln 2, and far above the entropy of 1 in 20.
  const { runs } = await sweep({ ...options, fit })
  t.match(runs[0].outcome, 'monotone')
  t.match(runs[0].predicted, 'monotone')
  const batches = await sweep({ ...options, fit: { ...fit, batchSize: 100 }, learningRate: [0.1] })
  t.not(batches.runs[0].outcome, 'stalled')
  const page = (await new FNN(options.model).diagnose(x, y, { fit: { ...fit, learningRate: 0.5 }, budget: 5 })).html()
  t.match(page, /chance[^0-9]+0\.693/)
})

t.test('a sweep finds where w² diverges', async (t) => {
  const only = dense(1, 'linear', { initializer: { kind: 'constant', value: 2 }, bias: false })
  const { runs, plot } = await sweep({
    model: { inputs: 1, layers: [only], loss: 'mse', dtype: 'float64' },
    fit: { epochs: 60 },
    x: [1, 1],
    y: [0, 0],
    learningRate: [0.1, 0.9, 1.1],
    initScale: [1, 2],
    seeds: 2,
  })
  t.equal(runs.length, 12)
  for (const run of runs) {
    t.equal(run.outcome, run.learningRate > 1 ? 'diverging' : 'monotone', `at ${run.learningRate}`)
    t.equal(run.predicted, run.outcome)
    t.equal(run.loss[0], 4 * run.initScale ** 2)
  }
  t.match(plot(), /DD/)
  const path = join(mkdtempSync(join(tmpdir(), 'downhill-')), 'sweep.html')
  t.equal(plot(path), path)
  t.ok(existsSync(path))
  t.match(readFileSync(path, 'utf8'), /diverging/)
  await t.rejects(sweep({ x: [1], y: [1], learningRate: [] }), { code: 'ERR_OPTION' })
})

t.test('most outcomes are foretold', async (t) => {
  const runs = await Promise.all(Array.from({ length: 24 }, (_, number) => foreseen(number)))
  const right = runs.filter(({ predicted, outcome }) => predicted === outcome).length
  t.ok(right >= 20, `${right} of 24`)
  t.ok(new Set(runs.map(({ outcome }) => outcome)).size >= 4, 'of different kinds')
})

t.test('a sweep of mini-batches is judged by a fixed sample', async (t) => {
  const x = steps(64, (i) => i / 32 - 1)
  const { runs } = await sweep({
    model: { hidden: [], inputs: 1, outputs: 1, task: 'regression', seed: 1 },
    fit: { epochs: 30, batchSize: 4 },
    x,
    y: x.map((v) => 2 * v),
    learningRate: [0.01, 3],
  })
  t.same(
    runs.map(({ outcome }) => outcome),
    ['monotone', 'diverging'],
    'the mean over the batches of an epoch would be that of many weights',
  )
})

t.test('a bare curve tells little, and says so', async (t) => {
  const diverged = diagnoseCurve([1, 2, 4, 8, 16])
  t.equal(diverged.verdict, 'diverging')
  t.equal(diverged.findings.length, 1)
  const calm = diagnoseCurve(steps(50, (i) => 1 / (1 + i)))
  t.equal(calm.verdict, 'healthy')
  t.same(calm.findings, [])
  for (const { notes } of [diverged, calm]) t.ok(notes.some(({ id }) => id === 'curve_only'))
  t.equal(diagnoseCurve(steps(100, (i) => (1 + 0.2 * (i % 2)) / (1 + i / 20))).findings.length, 0)
  t.throws(() => diagnoseCurve([1]), DownhillError)
  t.throws(() => diagnoseCurve('1, 2, 3' as unknown as number[]), { code: 'ERR_OPTION' })
})

t.test('a diagnosis of the net: verdict, text, page; and the model is as it was', async (t) => {
  const test = OPEN.find(({ id }) => id === 'tdc-ips15')!
  const { diagnosis, made } = await diagnoseProgram(test, test.program, 1)
  const [first] = diagnosis.findings
  t.ok(test.labels.includes(first.id), first.id)
  t.not(diagnosis.verdict, 'healthy')
  t.ok(first.confidence > 0 && first.confidence <= 1)
  t.ok((first.proof?.after.score ?? 0) > 0.9)
  t.match(diagnosis.full(), first.id)
  t.ok(diagnosis.brief().startsWith(first.says.slice(0, -1)))
  t.match(diagnosis.html(), /<svg/)
  t.notMatch(diagnosis.html(), /https?:\/\/(?!www\.w3\.org|github\.com)/, 'nothing is loaded from elsewhere')
  const net = new FNN(made.model)
  await net.fit(made.data.x, made.data.y, { ...made.fit, epochs: 2 })
  const before = net.weights()
  await net.diagnose(made.data.x, made.data.y, { fit: made.fit, budget: 1 })
  t.strictSame(net.weights(), before)
  await t.rejects(net.diagnose(made.data.x, made.data.y, { budgett: 1 } as object), { code: 'ERR_OPTION' })
})

/** The short form of the score: one case of a kind, one seed. */
const SHORT = [
  'qa-dsse73797-db1',
  'qa-statsse432707',
  'bad_init_constant on ball',
  'forward_wrong on plane',
  'gradient_sign on asker',
  'labels_shuffled on blobs',
  'loss_broadcast on plane',
  'lr_too_low on asker',
  'missing_activation on sine',
  'single_class_labels on asker',
  'wrong_output_activation on plane',
  'healthy: momentum',
  'healthy: batch noise',
  'healthy: overlapping classes',
  'healthy: four rows',
]

t.test('the short form of the score', { timeout: 120_000 }, async (t) => {
  const cases = [...OPEN, ...SICK, ...HEALTHY].filter(({ id }) => SHORT.includes(id))
  t.equal(cases.length, SHORT.length)
  const tally = nothing()
  for (const one of cases) add(tally, await tallyOf(one, 1, (line) => t.comment(line)))
  t.equal(tally.found, tally.sick, 'every sick program is found')
  t.equal(tally.first, tally.sick, 'and the first finding is true')
  t.equal(tally.falseReports, 0, 'the others are met with silence')
})

function near(t: Pick<Tap, 'ok'>, ours: number, exact: number): void {
  t.ok(Math.abs(ours - exact) < 1e-9, `${ours} is ${exact}`)
}

type Tap = typeof t
