/**
 * `diagnose` itself: what it takes, what it leaves alone, what it costs, what it says. Whether it is right is
 * test/doctor.test.ts and `npm run doctor:score`.
 */
import {
  activation,
  adam,
  backendInfo,
  type Diagnosis,
  dense,
  diagnoseCurve,
  dropout,
  type FitOptions,
  FNN,
  type LayerSpec,
  layerNorm,
  type ModelOptions,
  mse,
  prelu,
  sgd,
} from 'downhill'
import t from 'tap'
import { numbers } from './doctor/data'

/** 120 rows around two centres, the labels of which are words, bits or bits in a row. */
const { normal } = numbers(3)
const y = Array.from({ length: 120 }, (_, i) => i % 2)
const x = y.map((k) => [3 * k - 1.5 + normal(), normal(), 2 * normal()])

const DIVERGES: ModelOptions = { hidden: [16], activation: 'relu', task: 'regression', seed: 5 }
const TOO_HIGH: FitOptions = { epochs: 40, learningRate: 50 }
const SLOW: FitOptions = { epochs: 30, learningRate: 1e-5 }
const NET: ModelOptions = { hidden: [8], task: 'binary', seed: 2 }

/** What a diagnosis says, without what time it took. */
const told = ({ verdict, findings, notes }: Diagnosis): unknown =>
  JSON.parse(JSON.stringify({ verdict, findings, notes }))

t.test('the same seed, the same diagnosis', async (t) => {
  const [one, two] = [
    await new FNN(NET).diagnose(x, y, { fit: SLOW }),
    await new FNN(NET).diagnose(x, y, { fit: SLOW }),
  ]
  t.ok(one.findings.length > 0)
  t.strictSame(told(one), told(two))
})

t.test('data of every form', async (t) => {
  const flat = x.flat()
  const forms: [string, unknown, unknown][] = [
    ['rows', x, y],
    ['a matrix', { data: Float32Array.from(flat), rows: 120, columns: 3 }, Uint8Array.from(y)],
    ['typed rows', x.map((row) => Float64Array.from(row)), y],
    ['words', x, y.map((k) => (k ? 'yes' : 'no'))],
    ['booleans', x, y.map(Boolean)],
    ['one-hot rows', x, y.map((k) => [1 - k, k])],
    ['a flat list', Float64Array.from(flat), y],
  ]
  for (const [says, features, targets] of forms) {
    const isWide = says === 'one-hot rows'
    const net = new FNN({ ...NET, inputs: 3, ...(isWide && { task: 'multiclass' as const }) })
    const { findings } = await net.diagnose(features as number[][], targets as number[], { fit: SLOW, budget: 10 })
    t.equal(findings[0]?.id, 'lr_too_low', says)
  }
})

t.test('before training, after it, on a run that became NaN, and from its history alone', async (t) => {
  const target = x.map(([a, b]) => 3 * a + b * b)
  const before = await new FNN(DIVERGES).diagnose(x, target, { fit: TOO_HIGH })
  t.equal(before.verdict, 'diverging')
  t.match(before.findings[0].id, /^lr_/)
  const net = new FNN(DIVERGES)
  const history = await net.fit(x, target, TOO_HIGH)
  t.equal(history.status, 'diverged')
  const weights = net.weights()
  const after = await net.diagnose(x, target, { fit: TOO_HIGH, history })
  t.strictSame(net.weights(), weights, 'the model is as it was')
  t.strictSame(told(after), told(before), 'a diverged run is looked at from its beginning')
  const alone = await net.diagnose(x, target, { history })
  t.match(alone.findings[0].id, /^lr_/)
  const bare = await new FNN(DIVERGES).diagnose(x, target, {
    fit: TOO_HIGH,
    history: { loss: Array.from(history.loss) } as never,
  })
  t.match(bare.findings[0].id, /^lr_/)
})

t.test('weights that were set are where it begins', async (t) => {
  const net = new FNN({ ...NET, inputs: 3, outputs: 1 })
  net.setWeights(
    net.weights().map(({ weights, bias }) => ({ weights: { ...weights, data: weights.data.map(() => 0) }, bias })),
  )
  const { findings, verdict } = await net.diagnose(x, y, { fit: { epochs: 100, learningRate: 0.1 } })
  t.ok(findings.length === 0 || findings.some(({ id }) => id === 'bad_init_constant'), `${verdict}`)
  const fitted = new FNN({ ...NET, inputs: 3, outputs: 1 })
  fitted.setWeights(net.weights())
  const history = await fitted.fit(x, y, { epochs: 5 })
  const again = await fitted.diagnose(x, y, { fit: { epochs: 100, learningRate: 0.1 }, history })
  t.strictSame(told(again), told({ verdict, findings, notes: again.notes } as Diagnosis), 'as its history has them')
})

t.test('every change is taken literally', async (t) => {
  const rows = x.map(([a, b, c]) => [1000 * a + 5000, b, c])
  const target = x.map(([a, b]) => 400 * Math.sin(a) + 100 * b + 3000)
  const programs: [string, ModelOptions, FitOptions, number[][], number[]][] = [
    ['inputs', { ...NET, hidden: [16] }, { epochs: 60, learningRate: 0.1 }, rows, y],
    ['targets', { hidden: [16], task: 'regression', seed: 1 }, { epochs: 200, learningRate: 0.05 }, x, target],
    [
      'one softmax',
      { layers: [dense(8, 'tanh'), dense(1, 'softmax')], loss: 'binaryCrossEntropy', task: 'binary', seed: 1 },
      { epochs: 60, learningRate: 0.3 },
      x,
      y,
    ],
    [
      'dropout',
      { layers: [dense(16, 'relu'), dropout(0.97), dense(1, 'sigmoid')], l2: 2, task: 'binary', seed: 1 },
      { epochs: 60, learningRate: 0.3 },
      x,
      y,
    ],
    ['epsilon', NET, { epochs: 60, optimizer: adam({ epsilon: 1000 }) }, x, y],
    [
      'shorthand',
      { ...NET, activation: 'relu', initializer: { kind: 'constant', value: 0 } as never },
      { epochs: 60, learningRate: 0.3 },
      x,
      y,
    ],
  ]
  for (const [says, options, fit, features, targets] of programs) {
    const { findings } = await new FNN(options).diagnose(features, targets, { fit, budget: 20 })
    t.ok(findings.length > 0, says)
    for (const { id, fix, proof } of findings) {
      if (!fix.change) continue
      const net = new FNN({ ...options, ...fix.change.model })
      const { status } = await net.fit(features, targets, { ...fit, ...fix.change.fit })
      const { accuracy, r2 = 0 } = net.evaluate(features, targets)
      if (!proof) continue
      t.equal(status, proof.after.status, `${says}: ${id}`)
      t.ok(Math.abs(Math.max(0, accuracy ?? r2) - proof.after.score) < 1e-6, `${says}: ${id} is what was measured`)
    }
  }
})

t.test('what was computed elsewhere, in any shape', async (t) => {
  const net = new FNN({ ...NET, inputs: 3, outputs: 1 })
  const { loss, layers } = net.gradients(x, y)
  const rowsOf = (data: ArrayLike<number>, columns: number): number[][] =>
    Array.from({ length: data.length / columns }, (_, r) =>
      Array.from({ length: columns }, (_, c) => data[r * columns + c]),
    )
  const matrices = layers.map(({ weights }) => rowsOf(weights.data, weights.columns))
  const transposed = matrices.map((rows) => rows[0].map((_, c) => rows.map((row) => row[c])))
  const biases = layers.map(({ bias }) => Array.from(bias as Float32Array))
  const minus = (rows: number[][]): number[][] => rows.map((row) => row.map((v) => -v))
  const p = Array.from(net.predictProba(x) as Float32Array)
  const ones = p.map((v) => [v])
  const rows: [string, object | unknown[], string | null][] = [
    ['as it is', layers, null],
    ['lists of lists', layers.flatMap((_, l) => [matrices[l], biases[l]]), null],
    ['the other orientation', layers.map((_, l) => ({ weights: transposed[l], bias: biases[l] })), null],
    ['biases as rows', layers.map((_, l) => ({ weights: matrices[l], bias: [biases[l]] })), null],
    ['minus', layers.map((_, l) => ({ weights: minus(matrices[l]), bias: biases[l].map((v) => -v) })), 'gradient_sign'],
    [
      'one tensor halved',
      layers.map((_, l) => ({ weights: l ? matrices[l] : matrices[l].map((r) => r.map((v) => v / 2)) })),
      'gradient_wrong',
    ],
    ['a number for a bias', [{ weights: matrices[0], bias: 0.3 }], 'gradient_wrong'],
    ['ragged', [{ weights: [[1, 2], [3]] }], 'gradient_wrong'],
    ['NaN', [{ weights: matrices[0].map((row) => row.map(() => Number.NaN)) }], 'gradient_wrong'],
    ['loss', { loss }, null],
    ['sum instead of mean', { loss: 120 * loss }, 'forward_wrong'],
    ['columns of predictions', { predictions: ones }, null],
    ['other predictions', { predictions: p.map((v) => v * 0.9) }, 'forward_wrong'],
    ['too few predictions', { predictions: p.slice(1) }, 'forward_wrong'],
    ['losses that rise', { losses: [loss, 2 * loss] }, null],
  ]
  for (const [says, theirs, id] of rows) {
    const { findings } = await net.diagnose(x, y, {
      fit: { epochs: 60, learningRate: 0.5 },
      theirs: theirs as never,
      budget: 10,
    })
    t.equal(findings[0]?.id ?? null, id, says)
    for (const { fix } of findings) t.equal(fix.change, undefined)
  }
})

t.test('steps uphill are told from steps downhill', async (t) => {
  const fit: FitOptions = { epochs: 40, learningRate: 0.2, optimizer: sgd() }
  const model = { ...NET, inputs: 3, outputs: 1 }
  const lossesOf = (sign: 1 | -1): number[] => {
    const net = new FNN(model)
    return Array.from({ length: 4 }, () => {
      const { loss, layers } = net.gradients(x, y)
      const step = (values: ArrayLike<number>, by: ArrayLike<number>) =>
        Array.from(values, (v, i) => v - sign * 0.2 * by[i])
      net.setWeights(
        net.weights().map(({ weights, bias }, l) => ({
          weights: { ...weights, data: Float32Array.from(step(weights.data, layers[l].weights.data)) },
          bias: bias && step(bias, layers[l].bias as Float32Array),
        })),
      )
      return loss
    })
  }
  const up = await new FNN(model).diagnose(x, y, { fit, theirs: { losses: lossesOf(-1) } })
  t.equal(up.findings[0]?.id, 'gradient_sign')
  const down = await new FNN(model).diagnose(x, y, { fit, theirs: { losses: lossesOf(1) } })
  t.same(down.findings, [])
})

t.test('silence is healthy, and healthy is silence', async (t) => {
  const well = await new FNN(NET).diagnose(x, y, { fit: { epochs: 100, learningRate: 0.5 } })
  t.equal(well.verdict, 'healthy')
  t.same(well.findings, [])
  t.match(well.brief(), /^Nothing/)
  const ill = await new FNN(NET).diagnose(x, y, { fit: SLOW })
  t.not(ill.verdict, 'healthy')
  const [{ fix, proof, evidence, says }] = ill.findings
  t.ok(fix.change?.fit?.learningRate)
  t.ok((proof?.after.score ?? 0) > (proof?.before.score ?? 1))
  t.ok(Object.keys(evidence).length > 0)
  for (const page of [ill.full(), ill.html()]) t.ok(page.includes(says))
})

/** Rows around two centres. */
function many(rows: number): { x: number[][]; y: number[] } {
  const { normal } = numbers(12)
  const y = Array.from({ length: rows }, (_, i) => i % 2)
  return { x: y.map((k) => Array.from({ length: 8 }, () => k - 0.5 + normal())), y }
}

t.test('what is measured on fewer rows says so, and is the number that the instrument has for those', async (t) => {
  const { x, y } = many(3000)
  const options: ModelOptions = { inputs: 8, outputs: 1, hidden: [24, 24], activation: 'tanh', task: 'binary', seed: 4 }
  const fit: FitOptions = { epochs: 20, learningRate: 400 }
  const few = await new FNN(options).diagnose(x, y, { fit, budget: 8 })
  const of = few.findings.find(({ evidence }) => 'nextStep' in evidence)
  t.ok(of, few.brief())
  const rows = Number(/^([\d,]+) of 3,000 rows$/.exec(String(of?.evidence.limitsOn))?.[1].replaceAll(',', ''))
  t.ok(rows >= 16 && rows < 3000, String(of?.evidence.limitsOn))
  t.match(of?.says ?? '', `raises the loss, measured on ${of?.evidence.limitsOn}`)
  const { nextStep } = await new FNN(options).learningRateLimits(x, y, { rows })
  t.equal(of?.evidence.nextStep, nextStep)
  for (const page of [few.full(), few.html()]) t.match(page, String(of?.evidence.limitsOn))
  for (const { evidence } of few.findings) t.equal(evidence.measuredOn, undefined, 'the run was of all rows')

  const [short, shorter] = [x.slice(0, 200), y.slice(0, 200)]
  const all = await new FNN(options).diagnose(short, shorter, { fit, budget: 20 })
  t.ok(all.findings.some(({ evidence }) => 'nextStep' in evidence))
  for (const { evidence, says } of all.findings) {
    t.strictSame(
      Object.keys(evidence).filter((name) => /on$/i.test(name)),
      [],
    )
    t.notMatch(says, / of [\d,]+ rows/)
  }
})

const isNative = backendInfo().name === 'native'
t.test(
  'of a part of the rows every finding and note says so',
  {
    skip: !isNative && 'what is too much for the native backend in three seconds takes minutes without it',
  },
  async (t) => {
    const { x, y } = many(4000)
    // A softmax of one is certain, whatever the budget leaves time for.
    const layers = [dense(64, 'relu'), dense(64, 'relu'), dense(1, 'softmax')]
    const options: ModelOptions = { layers, loss: 'binaryCrossEntropy', task: 'binary', seed: 4 }
    const { findings, notes, html } = await new FNN(options).diagnose(x, y, {
      fit: { epochs: 400, learningRate: 1e-5 },
      budget: 3,
    })
    t.ok(findings.length > 0)
    for (const { evidence, id } of findings) t.match(String(evidence.measuredOn), /^[\d,]+ of 4,000 rows$/, id)
    t.match(notes.at(-1)?.says ?? '', /^Looked at [\d,]+ of 4,000 rows/)
    t.match(html(), /The run as it is, on [\d,]+ of 4,000 rows/)
  },
)

t.test('a summed loss is one over the rows of a step', async (t) => {
  const target = x.map(([a, b]) => 3 * a + b)
  const options: ModelOptions = { hidden: [16], task: 'regression', loss: mse({ reduction: 'sum' }), seed: 5 }
  for (const [batchSize, rows] of [
    ['full', 120],
    [40, 40],
  ] as const) {
    const { findings } = await new FNN(options).diagnose(x, target, {
      fit: { epochs: 40, learningRate: 0.05, batchSize },
    })
    t.match(findings[0], { id: 'loss_reduction_sum', evidence: { rows } })
    t.match(findings[0].says, `the rate acts ${rows} times as large`)
  }
})

t.test('wrong options', async (t) => {
  const net = new FNN(NET)
  for (const options of [{ budget: 0 }, { budget: Number.NaN }, { history: 3 }, { fits: {} }, { fit: { epoch: 3 } }])
    await t.rejects(net.diagnose(x, y, options as never), { code: 'ERR_OPTION' }, JSON.stringify(options))
  await t.rejects(net.diagnose(x, y, { theirs: 'no' as never }), { code: /ERR_/ })
})

const list = (n: number, loss: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => loss(i))

t.test('a bare curve: what it can tell', (t) => {
  const { normal: noise } = numbers(8)
  const rows: [string, number[], Diagnosis['verdict']][] = [
    ['falls', list(60, (i) => Math.exp(-i / 20)), 'healthy'],
    ['falls slowly to a floor', list(60, (i) => 0.5 + Math.exp(-i / 5)), 'healthy'],
    ['saws and falls', list(200, (i) => (1 + 0.3 * (i % 2)) * Math.exp(-i / 50)), 'healthy'],
    ['falls in noise', list(200, (i) => 0.2 + Math.exp(-i / 30) + 0.02 * noise()), 'healthy'],
    ['one jump early', list(60, (i) => (i === 2 ? 6 : Math.exp(-i / 20))), 'healthy'],
    ['constant', list(50, () => 0.69), 'stalled'],
    ['noise about a constant', list(100, () => 0.69 + 0.01 * noise()), 'stalled'],
    ['to and fro', list(100, (i) => 1 + (i % 2)), 'stalled'],
    ['grows', list(50, (i) => 1.1 ** i), 'diverging'],
    ['falls and then grows beyond its start', list(60, (i) => 1 + (i - 20) ** 2 / 300), 'diverging'],
    ['NaN in the end', [1, 0.9, 0.8, Number.NaN], 'diverging'],
    ['NaN at once', [Number.NaN, 1, 2], 'diverging'],
    ['infinite', [1, 10, Number.POSITIVE_INFINITY], 'diverging'],
    ['three that fall', [3, 2, 1], 'healthy'],
  ]
  for (const [says, losses, verdict] of rows) {
    const diagnosis = diagnoseCurve(losses)
    t.equal(diagnosis.verdict, verdict, says)
    t.equal(diagnosis.findings.length > 0, verdict === 'diverging', says)
    for (const { confidence, fix } of diagnosis.findings) t.ok(confidence <= 0.5 && fix.change === undefined, says)
    t.match(diagnosis.full(), /read off the losses alone/, says)
    t.match(diagnosis.html(), /<svg/, says)
  }
  t.equal(diagnoseCurve(Float32Array.of(3, 2, 1)).verdict, 'healthy', 'typed arrays too')
  for (const wrong of [[], [1], [1, 2], ['1', '2', '3'], null, undefined, 5, 'abc', { length: 3 }])
    t.throws(() => diagnoseCurve(wrong as never), { code: 'ERR_OPTION' }, JSON.stringify(wrong))
  t.end()
})

t.test('layers of every kind: a sound net is met with silence, a slow one with its rate', async (t) => {
  const kinds: [string, LayerSpec[]][] = [
    ['an activation on its own', [dense(12), activation('tanh')]],
    ['a norm before it', [dense(12), layerNorm(), activation('relu')]],
    ['learnt slopes', [dense(12), prelu(), dropout(0.1)]],
  ]
  const amounts = x.map(([a, b]) => (a + b) / 3)
  for (const [says, layers] of kinds) {
    const sound = new FNN({ layers: [...layers, dense(1, 'sigmoid')], task: 'binary', seed: 4 })
    const well = await sound.diagnose(x, y, { fit: { epochs: 100, learningRate: 0.3 } })
    t.same(well.findings, [], says)
    // Of amounts an untrained net knows nothing; of two classes it may, by luck.
    const slow = new FNN({ layers: [...layers, dense(1)], task: 'regression', seed: 4 })
    const { findings } = await slow.diagnose(x, amounts, { fit: SLOW })
    t.equal(findings[0]?.id, 'lr_too_low', says)
  }
})
