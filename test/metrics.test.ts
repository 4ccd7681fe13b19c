// Metrics: each row against scikit-learn (test/fixtures/metrics.py), by score() and through a model's evaluate and fit; what
// scikit-learn leaves undefined, what is refused, and metrics of the caller's own.
import {
  dense,
  FNN,
  type Matrix,
  type MetricFunction,
  type MetricName,
  type MetricOption,
  type MetricValue,
  score,
  sweep,
  topK,
} from 'downhill'
import t from 'tap'
import { METRICS } from '../dist/metrics'
import { agree, FLOAT64, onEachBackend, readJson } from './truth'

interface Case {
  readonly name: string
  readonly task: 'binary' | 'multiclass' | 'multilabel' | 'regression'
  readonly truth: number[] | number[][]
  readonly prediction: number[] | number[][]
  readonly shares: number[][]
  readonly weights: number[]
  readonly values: Readonly<Record<string, number | number[] | number[][]>>
}
const { cases } = readJson<{ cases: Case[] }>('metrics.json')

const entries = (value: MetricValue | number[] | number[][]): number[] =>
  typeof value === 'number' ? [value] : 'data' in value ? [...value.data] : [...(value as number[])].flat()

const CLOSE = { absolute: 1e-12, relative: 1e-12 }

t.test('every metric is scikit-learn’s', async (t) => {
  const seen = new Set<string>()
  for (const { name, task, truth, prediction, shares, weights, values } of cases) {
    const K = task === 'multiclass' ? shares[0].length : 0
    const options = {
      ...(weights.length > 0 && { sampleWeight: weights }),
      ...(K > 0 && { classes: Array.from({ length: K }, (_, k) => k) }),
    }
    for (const [metric, theirs] of Object.entries(values)) {
      const isOfShares = ['auc', 'logLoss'].includes(metric) || metric.startsWith('top')
      const given = isOfShares && shares.length > 0 ? shares : prediction
      const ours = score(metric as MetricName, truth, given, options)
      agree(t, entries(ours), entries(theirs), CLOSE, `${name}${weights.length ? ', weighed' : ''}: ${metric}`)
      seen.add(metric)
    }
  }
  t.same(
    [...METRICS.keys()].filter((name) => !seen.has(name)),
    [],
    'each is in a case',
  )
})

/** A net that says what it is given: the identity, behind whatever makes of it what a case predicts. */
function saying({ task, shares, prediction }: Case, options: object): { net: FNN; x: number[][] } {
  const said = shares.length > 0 ? shares : (prediction as number[][])
  const x = task === 'binary' ? said.map((row) => row.slice(1)) : said
  const n = x[0].length
  const identity = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => Number(i === j)))
  const layers = [dense(n, 'linear', { initializer: identity, bias: false })]
  return { net: new FNN({ inputs: n, layers, loss: 'mse', task, ...options }), x }
}

t.test('a model measures what score does', async (t) => {
  await onEachBackend(t, (t, { options, dtype }) => {
    const tolerance = dtype === 'float64' ? CLOSE : { absolute: 2e-6, relative: 2e-6 }
    for (const one of cases) {
      // float32 rounds probabilities apart that are ties.
      const names = Object.keys(one.values).filter((name) => dtype === 'float64' || !/auc|top/.test(name))
      const { net, x } = saying(one, options)
      const metrics = names as MetricOption[]
      const found = net.evaluate(x, one.truth, {
        metrics,
        ...(one.weights.length > 0 && { sampleWeight: one.weights }),
      })
      for (const name of names)
        agree(t, entries(found[name] as MetricValue), entries(one.values[name]), tolerance, `${one.name}: ${name}`)
    }
  })
})

t.test('what has no value', async (t) => {
  t.ok(Number.isNaN(score('auc', [1, 1], [0.2, 0.7]) as number), 'auc of one class')
  t.equal(score('precision', [0, 1], [0, 0]), 0, 'nothing said to be of the class')
  t.equal(score('recall', [0, 0], [0, 1]), 0, 'nothing of the class')
  t.equal(score('mcc', [0, 1, 1], [1, 1, 1]), 0, 'a constant prediction')
  t.equal(score('balancedAccuracy', ['a', 'a'], ['a', 'b']), 0.5, 'a class that is only predicted')
  t.equal(score('f1', [true, false, true], [true, true, true]), 0.8)
  t.equal(score('mape', [0, 1], [0, 2]), 0.5)
  t.equal(score('logLoss', [1], [0]), 52 * Math.LN2 * (1 + 0), 'no probability is below 2⁻⁵²')
  t.same((score('confusionMatrix', ['b', 'a', 'b'], ['a', 'a', 'b']) as Matrix).data, Float64Array.of(1, 0, 1, 1))
  const tied = [0.4, 0.4, 0.2]
  const top = score('top1', [1, 0], [tied, tied], { classes: [0, 1, 2] })
  t.equal(top, 0.5, 'of equals the one of higher index comes first')
})

const x = Array.from({ length: 60 }, (_, i) => [Math.sin(1.3 * i), Math.cos(2.1 * i)])
const names = x.map(([a, b]) => (a > 0.3 ? 'cat' : b > 0 ? 'bee' : 'ant'))

t.test('metrics of a fit: of the validation rows, monitored, plotted in the history', async (t) => {
  await onEachBackend(t, (t, { options }) => {
    const net = new FNN({ hidden: [8], seed: 1, ...options })
    const sameLength: MetricFunction = function sameLength(truth, prediction) {
      return Number(
        (truth as string[]).length === (prediction as string[]).length && typeof (truth as string[])[0] === 'string',
      )
    }
    const errors = {
      name: 'errors',
      better: 'lower',
      compute: (truth: unknown, prediction: unknown) =>
        (truth as string[]).filter((label, r) => label !== (prediction as string[])[r]).length,
    } as const
    const history = net.fitSync(x, names, {
      epochs: 12,
      validation: { x, y: names },
      metrics: ['f1', 'auc', topK(2), 'logLoss', sameLength, errors],
      optimizer: 'adam',
      learningRate: 0.1,
      earlyStopping: { monitor: 'errors', patience: 5 },
    })
    t.same(Object.keys(history.metrics), [
      'valAccuracy',
      'valF1',
      'valAuc',
      'valTop2',
      'valLogLoss',
      'valSameLength',
      'valErrors',
    ])
    const last = history.epochs - 1
    const { valErrors, valSameLength, valAccuracy, valTop2 } = history.metrics
    t.equal(Math.round((1 - valAccuracy[last]) * 60), valErrors[last])
    t.ok(valErrors[last] < valErrors[0] && valTop2[last] >= valAccuracy[last])
    t.same(valSameLength, new Float64Array(history.epochs).fill(1))
    const now = net.evaluate(x, names, { metrics: [errors, 'recallPerClass'] })
    t.equal(now.errors, Math.min(...valErrors), 'the best of a metric that is better lower was restored')
    t.equal((now.recallPerClass as Float64Array).length, 3)
  })
})

t.test('of standardized targets in the caller’s units', async (t) => {
  const y = x.map(([a, b]) => 5000 + 300 * a + 100 * b)
  const net = new FNN({ hidden: [6], seed: 1, standardize: true, ...FLOAT64.options })
  const history = net.fitSync(x, y, { epochs: 3, validation: { x, y }, metrics: ['mae', 'rmse'] })
  const measured = net.evaluate(x, y, { metrics: ['mae', 'rmse'] })
  agree(
    t,
    [history.metrics.valMae[2], history.metrics.valRmse[2]],
    [Number(measured.mae), Number(measured.rmse)],
    CLOSE,
    'both',
  )
  const wanted = score('mae', y, net.predict(x) as Float64Array)
  agree(t, [Number(measured.mae)], [Number(wanted)], CLOSE, 'mae')
  t.ok(Number(measured.mae) > 1, 'euros, not deviations')
})

t.test('a sweep and a diagnosis of a program with metrics', async (t) => {
  const y = x.map(([a]) => a)
  const fit = { epochs: 20, learningRate: 0.05, validation: 0.2, metrics: ['mae'] as const }
  const net = new FNN({ hidden: [3], seed: 1, ...FLOAT64.options })
  t.type((await net.diagnose(x, y, { fit, budget: 1 })).verdict, 'string')
  const model = { hidden: [3], seed: 1, ...FLOAT64.options }
  t.equal((await sweep({ model, fit, x, y, learningRate: [0.01, 0.1] })).runs.length, 2)
})

t.test('wrong metrics are refused in a sentence', async (t) => {
  const net = new FNN({ hidden: [3], seed: 1, ...FLOAT64.options })
  net.fitSync(x, names, { epochs: 1 })
  const refused = (metrics: unknown, message: RegExp, fit: object = { validation: 0.2 }): void =>
    void t.throws(() => net.fitSync(x, names, { epochs: 1, ...fit, metrics: metrics as MetricOption }), {
      code: 'ERR_OPTION',
      message,
    })
  refused('acuracy', /"acuracy"; did you mean "accuracy"\?$/)
  refused(['f1', 'f1'], /different metrics but f1 is there twice/)
  refused('mae', /metrics of a multiclass task but mae is one of regression\.$/)
  refused('confusionMatrix', /one number for metrics of fit but confusionMatrix is more than one; evaluate gives it/)
  refused('f1', /validation rows for metrics/, {})
  refused(() => 1, /a named function, or \{ name, compute \}/)
  refused({ name: 'x' }, /a function for compute of a metric/)
  refused({ name: 'x', compute: () => 1, beter: 'lower' }, /did you mean "better"\?/)
  refused({ name: 'x', compute: () => 'much' }, /a number for the value of the metric x but received "much"/)
  refused('top0', /name of a metric/)
  t.throws(() => topK(0), { code: 'ERR_OPTION', message: /positive integer for k of topK/ })
  t.throws(() => net.evaluate(x, names, { metrics: 'r2' }), { code: 'ERR_OPTION', message: /multiclass task but r2/ })
  t.throws(() => score('f1', [0, 1], [0]), { code: 'ERR_SHAPE' })
  t.throws(
    () =>
      score(
        'auc',
        [0, 1, 2],
        [
          [0.5, 0.5],
          [0.5, 0.5],
          [0.5, 0.5],
        ],
      ),
    { code: 'ERR_SHAPE', message: /3 columns/ },
  )
  t.throws(
    () =>
      score(
        'logLoss',
        [
          [0, 1],
          [1, 1],
        ],
        [
          [0, 1],
          [1, 1],
        ],
      ),
    { code: 'ERR_SHAPE', message: /one label a row/ },
  )
  t.throws(() => score('top2', [0, 1], [0.2, 0.4]), { code: 'ERR_DATA', message: /more than two classes/ })
})
