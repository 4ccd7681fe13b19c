/**
 * The public face: every name that callers rely on is there, says what it is said to say, and has the default it is said
 * to have. Defaults are shown by what they do: a model told nothing equals, bit for bit, one told everything.
 *
 * What is refused is manners.test.ts, tasks and labels tasks.test.ts, the run run.test.ts, numbers golden.test.ts,
 * gradients.test.ts and optimizers.test.ts.
 */
import * as downhill from 'downhill'
import {
  adam,
  adamw,
  backendInfo,
  binaryCrossEntropy,
  crossEntropy,
  DownhillError,
  dense,
  dropout,
  type FitOptions,
  FNN,
  huber,
  type Label,
  type Matrix,
  type ModelOptions,
  mae,
  mse,
  rmsprop,
  sgd,
  uniform,
} from 'downhill'
import t from 'tap'
import { ERROR_CODES } from '../dist/errors'
import { flat, onEachBackend, type TestBackend } from './truth'

type Options = TestBackend['options']

const ROWS = 23
const x = Array.from({ length: ROWS }, (_, i) => [Math.sin(i), Math.cos(i * i), Math.sin(3 * i)])
const zeroOne = x.map(([a]) => Number(a > 0))
const names = x.map(([a, b]) => (a > 0 ? 'ant' : b > 0 ? 'bee' : 'cat'))
const numbers = x.map(([a, b]) => a - 2 * b)

const same = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  a.length === b.length && Array.from(a).every((v, i) => Object.is(v, b[i]))
const near = (a: number, b: number, error = 1e-5): boolean => Math.abs(a - b) <= error * Math.max(1, Math.abs(b))

// ---------------------------------------------------------------------------------------------------- names

const FUNCTIONS = [
  ...['FNN', 'dense', 'dropout', 'DownhillError', 'backendInfo', 'readCsv', 'csvBatches'],
  ...['sgd', 'adam', 'adamw', 'rmsprop', 'adagrad', 'amsgrad', 'nadam', 'lion', 'muon', 'lbfgs'],
  ...['mse', 'mae', 'huber', 'binaryCrossEntropy', 'crossEntropy'],
  ...['step', 'exponential', 'cosine', 'warmup', 'oneCycle', 'polynomial', 'plateau'],
  ...['uniform', 'normal', 'constant'],
]
const METHODS = [
  ...['fit', 'fitSync', 'partialFit', 'predict', 'predictProba', 'evaluate', 'loss', 'gradients'],
  ...['weights', 'setWeights', 'reset', 'summary', 'explain'],
]

t.test('the names', async (t) => {
  for (const name of FUNCTIONS) t.type((downhill as Record<string, unknown>)[name], 'function', name)
  for (const name of METHODS) t.type(FNN.prototype[name as keyof FNN], 'function', `FNN.prototype.${name}`)
})

t.test('backendInfo says what runs, and why', async (t) => {
  const { name, reason, blas, simd, threads, path, attempts } = backendInfo()
  t.ok(['native', 'typescript'].includes(name))
  t.ok(reason.length > 0 && blas.length > 0 && simd.length > 0)
  t.ok(Number.isInteger(threads) && threads >= 1)
  if (name === 'native') t.match(path, /\.node$/)
  t.ok(attempts.length > 0 && attempts.every((attempt) => typeof attempt === 'string'))
})

t.test('a DownhillError is an Error with a code and one sentence', async (t) => {
  try {
    new FNN({ seed: -1 })
    t.fail('nothing was thrown')
  } catch (error) {
    t.ok(error instanceof DownhillError && error instanceof Error)
    const { name, code, message } = error as DownhillError
    t.strictSame([name, code], ['DownhillError', 'ERR_OPTION'])
    t.equal(message, 'Expected an integer in [0, 2³²) for seed but received -1 of type number.')
  }
  t.ok(Object.keys(ERROR_CODES).every((code) => /^ERR_[A-Z]+$/.test(code)))
})

// ---------------------------------------------------------------------------------------------------- defaults

/** Whether two ways to say a model and its training come to the same weights and losses. */
function isSameTraining(options: Options, y: number[] | string[], ...ways: readonly [Way, Way]): boolean {
  const [a, b] = ways.map(({ model, fit }) => {
    const net = new FNN({ seed: 4, ...options, ...model } as ModelOptions)
    const history = net.fitSync(x, y, { epochs: 3, ...fit })
    return [...flat(net.weights()), ...history.loss]
  })
  return same(a, b)
}

interface Way {
  readonly model?: ModelOptions
  readonly fit?: FitOptions
}

const said = (model: ModelOptions): Way => ({ model })
const trained = (fit: FitOptions): Way => ({ fit })
const ofLayers = (activation: 'sigmoid' | 'softmax' | 'linear', units: number): ModelOptions['layers'] => [
  dense(128, 'tanh', { initializer: 'glorotUniform', bias: true }),
  dense(64, 'tanh', { bias: { kind: 'zeros' } }),
  dense(units, activation),
]

/** What is left out, and the same said. */
const DEFAULTS: readonly [name: string, y: number[] | string[], left: Way, said: Way][] = [
  ['hidden, activation', zeroOne, {}, said({ hidden: [128, 64], activation: 'tanh' })],
  ['binary', zeroOne, {}, said({ task: 'binary', loss: 'binaryCrossEntropy', layers: ofLayers('sigmoid', 1) })],
  ['multiclass', names, {}, said({ task: 'multiclass', loss: 'crossEntropy', layers: ofLayers('softmax', 3) })],
  ['regression', numbers, {}, said({ task: 'regression', loss: 'mse', layers: ofLayers('linear', 1) })],
  ['inputs, outputs', zeroOne, {}, said({ inputs: 3, outputs: 1 })],
  ['initializer', zeroOne, {}, said({ initializer: 'glorotUniform' })],
  ['l2, standardize, initScale', zeroOne, {}, said({ l2: 0, standardize: false, initScale: 1 })],
  ['classes', names, {}, said({ classes: ['ant', 'bee', 'cat'] })],
  [
    'activation of dense',
    zeroOne,
    said({ layers: [dense(1)], task: 'binary' }),
    said({ layers: [dense(1, 'linear')], task: 'binary' }),
  ],
  ['loss by name', numbers, said({ loss: 'mse' }), said({ loss: mse({ reduction: 'mean', scale: 1 }) })],
  ['huber', numbers, said({ loss: 'huber' }), said({ loss: huber({ delta: 1 }) })],
  ['optimizer', zeroOne, {}, trained({ optimizer: sgd({ momentum: 0, nesterov: false, weightDecay: 0 }) })],
  ['learningRate of sgd', zeroOne, {}, trained({ learningRate: 0.01 })],
  [
    'learningRate of rmsprop',
    zeroOne,
    trained({ optimizer: 'rmsprop' }),
    trained({ optimizer: 'rmsprop', learningRate: 0.01 }),
  ],
  [
    'learningRate of adam',
    zeroOne,
    trained({ optimizer: 'adam' }),
    trained({ optimizer: 'adam', learningRate: 0.001 }),
  ],
  [
    'learningRate of adamw',
    zeroOne,
    trained({ optimizer: 'adamw' }),
    trained({ optimizer: 'adamw', learningRate: 0.001 }),
  ],
  ["the factory's rate", zeroOne, trained({ optimizer: sgd({ learningRate: 0.3 }) }), trained({ learningRate: 0.3 })],
  [
    "fit's rate first",
    zeroOne,
    trained({ optimizer: sgd({ learningRate: 9 }), learningRate: 0.3 }),
    trained({ learningRate: 0.3 }),
  ],
  [
    'rmsprop',
    zeroOne,
    trained({ optimizer: 'rmsprop' }),
    trained({ optimizer: rmsprop({ decay: 0.99, epsilon: 1e-8, weightDecay: 0 }) }),
  ],
  [
    'adam',
    zeroOne,
    trained({ optimizer: 'adam' }),
    trained({ optimizer: adam({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }) }),
  ],
  ['adamw', zeroOne, trained({ optimizer: 'adamw' }), trained({ optimizer: adamw({ weightDecay: 0.01 }) })],
  ['batchSize', zeroOne, {}, trained({ batchSize: 'full' })],
  ['batchSize beyond the rows', zeroOne, {}, trained({ batchSize: 1000 })],
  ['shuffle', zeroOne, trained({ batchSize: 4 }), trained({ batchSize: 4, shuffle: true })],
  ['the rest of fit', zeroOne, {}, trained({ plot: false, dispLoss: 0, onDivergence: 'stop', keep: 'last' })],
  [
    'dropout of nothing',
    zeroOne,
    said({ layers: [dense(4, 'tanh'), dense(1, 'sigmoid')] }),
    said({ layers: [dense(4, 'tanh'), dropout(0), dense(1, 'sigmoid')] }),
  ],
]

t.test('what is left out is as if it had been said', (t) =>
  onEachBackend(t, (t, { options }) => {
    for (const [name, y, left, right] of DEFAULTS) t.ok(isSameTraining(options, y, left, right), name)
    t.notOk(isSameTraining(options, zeroOne, {}, trained({ learningRate: 0.02 })), 'and not as if anything had been')
    t.notOk(isSameTraining(options, zeroOne, trained({ batchSize: 4 }), trained({ batchSize: 4, shuffle: false })))
  }),
)

t.test('a hundred epochs, on the threads and the backend there are, in float32', async (t) => {
  const net = new FNN({ hidden: [2] })
  const history = await net.fit(x, zeroOne)
  t.strictSame([history.epochs, history.steps, history.loss.length], [100, 100, 100])
  t.equal(net.backend, backendInfo().name)
  t.equal(history.backend, backendInfo().name)
  t.ok(net.weights()[0].weights.data instanceof Float32Array)
  t.ok(Number.isInteger(net.seed) && net.seed >= 0 && net.seed < 2 ** 32)
  t.not(new FNN().seed, new FNN().seed, 'a seed is drawn')
})

// ---------------------------------------------------------------------------------------------------- building

t.test('a net is built at once where inputs, outputs and a task are known', (t) =>
  onEachBackend(t, (t, { options }) => {
    const known: readonly ModelOptions[] = [
      { inputs: 3, outputs: 1, task: 'binary' },
      { inputs: 3, outputs: 1, loss: 'mse' },
      { inputs: 3, layers: [dense(1, 'sigmoid')] },
      { inputs: 3, layers: [dense(4, 'relu'), dense(2, 'softmax')] },
    ]
    for (const model of known) t.ok(new FNN({ ...options, ...model }).weights().length > 0, JSON.stringify(model))
    const unknown: readonly ModelOptions[] = [
      {},
      { inputs: 3 },
      { inputs: 3, outputs: 1 },
      { outputs: 1, task: 'binary' },
    ]
    for (const model of unknown)
      t.throws(() => new FNN({ ...options, ...model }).weights(), { code: 'ERR_STATE' }, JSON.stringify(model))
  }),
)

t.test('a flat x has N / inputs rows, else as many as y, else one column', (t) =>
  onEachBackend(t, (t, { options }) => {
    const flatX = Float32Array.from(x.flat())
    const fit = (model: ModelOptions, data: ArrayLike<number>, y: number[]): number => {
      const net = new FNN({ hidden: [2], seed: 4, ...options, ...model })
      net.fitSync(data as Float32Array, y, { epochs: 1 })
      return net.weights()[0].weights.rows
    }
    t.equal(fit({ inputs: 3 }, flatX, zeroOne), 3)
    t.equal(fit({}, flatX, zeroOne), 3)
    t.equal(fit({}, flatX.subarray(0, ROWS), zeroOne), 1)
    t.throws(() => fit({ inputs: 2 }, flatX, zeroOne), { code: 'ERR_SHAPE' })
  }),
)

t.test('a Matrix of bytes is what its scale makes of it', (t) =>
  onEachBackend(t, (t, { options }) => {
    const data = Uint8Array.from({ length: ROWS * 3 }, (_, i) => (i * 37) % 256)
    const bytes = { data, rows: ROWS, columns: 3, scale: 1 / 255 }
    const floats = { data: Float64Array.from(data, (v) => v / 255), rows: ROWS, columns: 3 }
    const net = new FNN({ inputs: 3, outputs: 1, task: 'regression', seed: 4, ...options })
    const [a, b] = [bytes, floats].map((matrix) => net.predict(matrix) as Float64Array)
    t.ok(a.every((v, i) => near(v, b[i])))
  }),
)

// ---------------------------------------------------------------------------------------------------- looking

t.test('predict, predictProba, evaluate: types and shapes', (t) =>
  onEachBackend(t, (t, { options, dtype }) => {
    const Floats = dtype === 'float64' ? Float64Array : Float32Array
    const fitted = (y: number[] | string[] | number[][], model: ModelOptions = {}): FNN => {
      const net = new FNN({ hidden: [3], seed: 4, ...options, ...model })
      net.fitSync(x, y, { epochs: 1 })
      return net
    }
    const binary = fitted(zeroOne)
    const labels = binary.predict(x) as Label[]
    t.ok(Array.isArray(labels) && labels.length === ROWS && labels.every((label) => label === 0 || label === 1))
    const p = binary.predictProba(x)
    t.ok(p instanceof Floats && p.length === ROWS && p.every((v) => v > 0 && v < 1))
    t.strictSame(
      labels,
      Array.from(p as Float64Array, (v) => Number(v > 0.5)),
    )
    t.equal((binary.predict([x[0]]) as Label[]).length, 1)

    const three = fitted(names)
    const shares = three.predictProba(x) as Matrix
    t.strictSame([shares.rows, shares.columns, shares.data.length], [ROWS, 3, ROWS * 3])
    for (let r = 0; r < ROWS; r++)
      t.ok(
        near(
          [...shares.data.slice(3 * r, 3 * r + 3)].reduce((a, b) => a + b),
          1,
        ),
      )

    const regression = fitted(numbers)
    t.ok(regression.predict(x) instanceof Float64Array)
    t.throws(() => regression.predictProba(x), { code: 'ERR_OPTION' })
    const many = fitted(x).predict(x) as Matrix
    t.strictSame([many.rows, many.columns], [ROWS, 3])

    for (const [net, y, metric] of [
      [binary, zeroOne, 'accuracy'],
      [three, names, 'accuracy'],
      [regression, numbers, 'r2'],
    ] as const) {
      const found = net.evaluate(x, y as number[])
      t.strictSame(Object.keys(found).sort(), ['loss', 'modelLoss', metric].sort())
      t.ok(near(found.loss, net.loss(x, y as number[])) && found.loss === found.modelLoss)
    }
  }),
)

t.test(
  'weights and gradients are copies, one entry a layer, inputs × units; setWeights takes them, and plain arrays',
  (t) =>
    onEachBackend(t, (t, { options, dtype }) => {
      const layers = [dense(4, 'tanh'), dropout(0.5), dense(1, 'linear', { bias: false })]
      const net = new FNN({ inputs: 3, layers, task: 'regression', seed: 4, ...options })
      const [first, last] = net.weights()
      t.equal(net.weights().length, 2)
      t.strictSame([first.weights.rows, first.weights.columns, first.bias?.length], [3, 4, 4])
      t.strictSame([last.weights.rows, last.weights.columns, last.bias], [4, 1, null])
      t.ok(first.weights.data instanceof (dtype === 'float64' ? Float64Array : Float32Array))

      const before = flat(net.weights())
      ;(first.weights.data as Float64Array).fill(9)
      t.ok(same(flat(net.weights()), before), 'a copy')
      const { loss, layers: gradients } = net.gradients(x, numbers)
      t.equal(loss, net.loss(x, numbers))
      t.strictSame(
        gradients.map(({ weights, bias }) => [weights.rows, weights.columns, bias?.length ?? null]),
        [
          [3, 4, 4],
          [4, 1, null],
        ],
      )
      net.setWeights([
        {
          weights: [
            [1, 2, 3, 4],
            [5, 6, 7, 8],
            [9, 10, 11, 12],
          ],
          bias: [0.5, 0, 0, 0],
        },
        { weights: [[1], [2], [3], [4]] },
      ])
      t.strictSame(flat(net.weights()), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0.5, 0, 0, 0, 1, 2, 3, 4])
      const kept = net.weights()
      net.fitSync(x, numbers, { epochs: 1 })
      net.setWeights(kept)
      t.ok(same(flat(net.weights()), flat(kept)))
    }),
)

t.test('summary and explain describe the model', (t) =>
  onEachBackend(t, (t, { options }) => {
    const net = new FNN({ inputs: 3, outputs: 1, task: 'binary', ...options })
    const summary = net.summary()
    for (const part of [
      '3 → 128',
      '128 → 64',
      '64 → 1',
      'tanh',
      'sigmoid',
      '8,833 parameters',
      'binaryCrossEntropy',
      options.backend,
    ])
      t.ok(summary.includes(part), `summary: ${part}`)
    const plain = net.explain()
    for (const part of ['gather', 'affine', 'activate.tanh', 'loss.bceLogits', 'affineGradWeights', 'guard', 'descend'])
      t.ok(plain.includes(part), `explain: ${part}`)
    t.notOk(plain.includes('activate.sigmoid'), 'the loss runs on logits')
    t.ok(net.explain({ optimizer: 'adam', batchSize: 32 }).includes('scaleByAdam'))
  }),
)

// ---------------------------------------------------------------------------------------------------- rows

const ACTIVATIONS = [
  'linear',
  'relu',
  'leakyRelu',
  'elu',
  'selu',
  'gelu',
  'silu',
  'softplus',
  'tanh',
  'sigmoid',
  'softmax',
] as const
// biome-ignore format: a list
const LOSSES = [
  'binaryCrossEntropy', 'crossEntropy', 'focal', 'hinge', 'mse', 'mae', 'huber', 'logCosh', 'quantile', 'poisson',
] as const
const INITIALIZERS = [
  ...(['glorotUniform', 'glorotNormal', 'heUniform', 'heNormal', 'lecunUniform', 'lecunNormal'] as const),
  ...(['orthogonal', 'zeros', 'ones'] as const),
]

t.test('any output activation goes with any loss', (t) =>
  onEachBackend(t, (t, { options }) => {
    for (const activation of ACTIVATIONS)
      for (const loss of LOSSES) {
        const units = loss === 'crossEntropy' || activation === 'softmax' ? 3 : 1
        const net = new FNN({ layers: [dense(4, 'tanh'), dense(units, activation)], loss, seed: 4, ...options })
        const { status, loss: losses } = net.fitSync(x, units === 3 ? names : zeroOne, { epochs: 2 })
        // relu under binaryCrossEntropy is unwise, not refused.
        t.ok(['completed', 'diverged'].includes(status) && losses.length > 0, `${loss} of ${activation}: ${status}`)
      }
  }),
)

t.test('every initializer, by name, by number, by hand; of weights and of biases', (t) =>
  onEachBackend(t, (t, { options }) => {
    const built = (initializer: ModelOptions['initializer']): number[] =>
      flat(new FNN({ inputs: 3, hidden: [5], outputs: 1, task: 'binary', seed: 4, ...options, initializer }).weights())
    for (const name of INITIALIZERS) t.ok(built(name).every(Number.isFinite), name)
    const drawn = built(uniform(2, 3)).filter((w) => w !== 0)
    t.ok(drawn.length === 20 && drawn.every((w) => w >= 2 && w < 3), 'uniform(2, 3), biases at 0')
    t.ok(built(downhill.constant(0.5)).filter((w) => w === 0.5).length === 20, 'constant(0.5)')
    t.ok(built(downhill.normal(1e-3, 5)).filter((w) => Math.abs(w - 5) < 0.01).length === 20, 'normal(0.001, 5)')
    const matrix = { data: Float32Array.of(1, 2, 3), rows: 3, columns: 1 }
    const byHand = new FNN({ inputs: 3, layers: [dense(1, 'sigmoid', { initializer: matrix, bias: [7] })], ...options })
    t.strictSame(flat(byHand.weights()), [1, 2, 3, 7])
    const scaled = (initScale: number): number[] =>
      flat(
        new FNN({
          inputs: 3,
          layers: [dense(2, 'sigmoid', { bias: 'ones' })],
          seed: 4,
          initScale,
          ...options,
        }).weights(),
      )
    const [one, two] = [scaled(1), scaled(2)]
    t.ok(
      one.every((w, i) => (i < 6 ? two[i] === 2 * w : two[i] === 1)),
      'initScale multiplies weights, not biases',
    )
  }),
)

t.test('options of losses: the sum of the terms, their scale, what outputs are taken for', (t) =>
  onEachBackend(t, (t, { options }) => {
    const of = (loss: ModelOptions['loss'], units: number, y: number[] | string[] | number[][]): number => {
      const layers = [dense(units, units === 3 ? 'softmax' : 'sigmoid')]
      const net = new FNN({ inputs: 3, layers, loss, seed: 4, ...options })
      const value = net.loss(x, y)
      t.ok(near(net.gradients(x, y).loss, value), 'gradients say the same')
      return value
    }
    for (const [loss, units, y, terms] of [
      [mse, 1, numbers, ROWS],
      [mae, 1, numbers, ROWS],
      [huber, 1, numbers, ROWS],
      [mse, 3, x, ROWS * 3],
      [binaryCrossEntropy, 1, zeroOne, ROWS],
      [crossEntropy, 3, names, ROWS],
    ] as const) {
      const mean = of(loss(), units, y as number[])
      const name = `${loss().kind}, ${units} outputs`
      t.ok(near(of(loss({ reduction: 'sum' }), units, y as number[]), mean * terms), `${name}: sum`)
      t.ok(near(of(loss({ scale: 0.5 }), units, y as number[]), mean / 2), `${name}: scale`)
    }
    t.ok(near(of(binaryCrossEntropy({ from: 'probabilities' }), 1, zeroOne), of('binaryCrossEntropy', 1, zeroOne)))
    t.ok(near(of(crossEntropy({ from: 'probabilities' }), 3, names), of('crossEntropy', 3, names)))
    t.notOk(near(of(huber({ delta: 0.1 }), 1, numbers), of('huber', 1, numbers)))
  }),
)

t.test('standardize: fitted on the training rows, kept, undone', (t) =>
  onEachBackend(t, (t, { options }) => {
    const far = x.map((row) => row.map((v, c) => 1000 * (c + 1) + 10 * v))
    const price = numbers.map((v) => 5000 + 100 * v)
    for (const [standardize, inputs] of [
      ['targets', x],
      ['inputs', far],
      [true, far],
    ] as const) {
      const net = new FNN({ hidden: [8], standardize, seed: 4, ...options })
      const y = standardize === 'inputs' ? numbers : price
      net.fitSync(inputs, y, { epochs: 400, optimizer: 'adam', learningRate: 0.02 })
      const { r2, loss, modelLoss } = net.evaluate(inputs, y)
      t.ok((r2 ?? 0) > 0.95, `${standardize}: r2 ${r2}`)
      // 100² in the caller's units, as its targets vary by about 150.
      if (standardize === 'inputs') t.equal(loss, modelLoss)
      else t.ok(loss / modelLoss > 1000, `${standardize}: ${loss} and ${modelLoss}`)
      const predicted = net.predict(inputs) as Float64Array
      t.ok(near(mean(predicted), mean(y), 0.05), 'in the caller’s units')
    }
  }),
)

function mean(values: ArrayLike<number>): number {
  return Array.from(values).reduce((sum, v) => sum + v, 0) / values.length
}

t.test('history.plot draws for the terminal', async (t) => {
  const history = new FNN({ hidden: [2], seed: 4 }).fitSync(x, zeroOne, { epochs: 20 })
  t.ok(history.plot().split('\n').length > 5)
})
