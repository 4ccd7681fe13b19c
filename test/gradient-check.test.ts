/**
 * The doctor's gradient check: the model's own gradient against differences, and a caller's own with a fault in it.
 *
 * Every fault is planted in several nets and has to be named, on the tensors that have it and on no others. The way back
 * is written out by hand here, in plain loops, as a caller would write it; nothing of the library's is in it.
 */
import {
  binaryCrossEntropy,
  crossEntropy,
  DownhillError,
  dense,
  dropout,
  FNN,
  type GradientCheck,
  huber,
  type LayerParameters,
  mae,
  mse,
} from 'downhill'
import t from 'tap'
import { FLOAT64, onEachBackend, readBreastCancer, readFloats, readJson, standardised } from './truth'

type Rows = number[][]
type Theirs = NonNullable<Parameters<FNN['checkGradients']>[2]>['theirs']

/** Numbers without pattern in [−size, size]. */
function scatter(n: number, columns: number, salt: number, size = 1): Rows {
  return Array.from({ length: n }, (_, r) =>
    Array.from({ length: columns }, (_, c) => size * Math.sin(1.7 * (r * columns + c + 1) ** 2 + salt)),
  )
}

/** Random-looking biases too, so that nothing is zero by accident. */
function withBiases(net: FNN): FNN {
  net.setWeights(
    net.weights().map(({ weights, bias }, l) => ({ weights, bias: bias?.map((_, i) => 0.3 * Math.sin(7 * i + l)) })),
  )
  return net
}

const faults = (check: GradientCheck): (string | undefined)[] => check.tensors.map(({ fault }) => fault)
const rowsOf = ({ data, rows, columns }: LayerParameters['weights']): Rows =>
  Array.from({ length: rows }, (_, r) => Array.from(data.subarray(r * columns, (r + 1) * columns)))
const transposed = (rows: Rows): Rows => rows[0].map((_, c) => rows.map((row) => row[c]))

// ---------------------------------------------------------------------------------------------------- the model's own

const OWN = [
  {
    name: 'tanh and binary cross-entropy',
    layers: [dense(7, 'tanh'), dense(1, 'sigmoid')],
    loss: binaryCrossEntropy(),
  },
  {
    name: 'relu, leakyRelu, softmax',
    layers: [dense(9, 'relu'), dense(8, 'leakyRelu'), dense(3, 'softmax')],
    loss: crossEntropy(),
  },
  { name: 'elu, selu, mae', layers: [dense(9, 'elu'), dense(8, 'selu'), dense(3)], loss: mae() },
  { name: 'gelu, silu, huber', layers: [dense(9, 'gelu'), dense(8, 'silu'), dense(3)], loss: huber({ delta: 0.5 }) },
  {
    name: 'dropout and l2',
    layers: [dense(9, 'softplus'), dropout(0.5), dense(3)],
    loss: mse({ reduction: 'sum' }),
    l2: 0.1,
  },
] as const

t.test('the gradient of the model is right', (t) =>
  onEachBackend(t, async (t, { options, dtype }) => {
    for (const { name, layers, ...rest } of OWN) {
      const net = withBiases(new FNN({ inputs: 4, layers: [...layers], seed: 3, ...rest, ...options }))
      const O = net.weights().at(-1)!.weights.columns
      const y =
        rest.loss.kind === 'binaryCrossEntropy'
          ? scatter(20, 1, 2).map(([v]) => Number(v > 0))
          : rest.loss.kind === 'crossEntropy'
            ? scatter(20, 1, 2).map((_, i) => i % 3)
            : scatter(20, O, 1)
      const before = net.weights()
      const check = await net.checkGradients(scatter(20, 4, 0.4, 2), y, { entries: 'all' })
      t.ok(check.ok, name, { check })
      t.equal(check.against, 'differences')
      t.equal(check.tensors.length, net.weights().length * 2)
      for (const { compared, skipped, worst, relativeError, rounding, tensor, layer } of check.tensors) {
        const { weights, bias } = net.weights()[layer]
        t.equal(compared + skipped, tensor === 'weights' ? weights.data.length : bias!.length)
        t.ok(worst && relativeError < 1e-6, `${name}: ${relativeError}`)
        t.ok(dtype === 'float64' ? rounding === 0 : rounding > 0 && rounding < 1e-4, `rounding ${rounding}`)
      }
      t.same(net.weights(), before, 'the model is as it was')
    }
  }),
)

t.test('a gradient that is wrong does not pass', async (t) => {
  // The derivative of tanh, broken for as long as the check runs.
  const { ACTIVATIONS } = await import('../dist/activations.js')
  const tanh = ACTIVATIONS.get('tanh')!
  const right = tanh.backward
  t.teardown(() => Object.assign(tanh, { backward: right }))
  const net = new FNN({
    inputs: 4,
    layers: [dense(7, 'tanh'), dense(5, 'tanh'), dense(1)],
    loss: 'mse',
    seed: 3,
    ...FLOAT64.options,
  })
  const [x, y] = [scatter(20, 4, 0.4), scatter(20, 1, 1)]
  t.ok((await net.checkGradients(x, y)).ok)
  Object.assign(tanh, {
    backward: (v: Float64Array, dy: Float64Array, dx: Float64Array, rows: number, width: number) => {
      for (let i = 0; i < rows * width; i++) dx[i] = dy[i] * (1 - 0.999 * v[i] * v[i])
    },
  })
  const check = await net.checkGradients(x, y)
  t.notOk(check.ok)
  t.same(
    check.tensors.map(({ ok }) => ok),
    [false, false, false, false, true, true],
    'and where: behind the activations',
  )
})

t.test('inputs in the thousands bend the loss within a step: no fault', async (t) => {
  const { x, y } = readBreastCancer()
  for (const activation of ['tanh', 'relu'] as const) {
    const net = new FNN({
      inputs: 30,
      outputs: 1,
      hidden: [16, 8],
      activation,
      task: 'binary',
      seed: 1,
      initScale: 0.01,
    })
    const check = await net.checkGradients(x, y)
    t.ok(check.ok, activation, { tensors: check.tensors })
    t.equal(check.rows, 256)
    t.ok(check.tensors.every(({ compared, skipped }) => compared + skipped <= 50 && compared > 0))
  }
})

t.test('kinks are left out and counted', async (t) => {
  const net = new FNN({ inputs: 1, layers: [dense(2, 'relu'), dense(1)], loss: 'mse', ...FLOAT64.options })
  // At x = 0 and bias 0 the first unit stands on its kink, for its bias; its weight moves nothing there.
  net.setWeights([
    { weights: [[1, 1]], bias: [0, 1] },
    { weights: [[1], [1]], bias: [0] },
  ])
  const check = await net.checkGradients([[0], [1]], [1, 2], { entries: 'all' })
  t.ok(check.ok)
  t.same(
    check.tensors.map(({ skipped }) => skipped),
    [0, 1, 0, 0],
  )
})

// ---------------------------------------------------------------------------------------------------- a caller's

/** Layers of a net as plain rows. */
interface Plain {
  W: Rows
  b: number[]
  f: 'tanh' | 'sigmoid' | 'relu' | 'linear'
}
const F = {
  tanh: { f: Math.tanh, df: (a: number) => 1 - a * a },
  sigmoid: { f: (z: number) => 1 / (1 + Math.exp(-z)), df: (a: number) => a * (1 - a) },
  relu: { f: (z: number) => Math.max(0, z), df: (a: number) => Number(a > 0) },
  linear: { f: (z: number) => z, df: () => 1 },
}

/** The way back, by hand. `dz` of the last layer is given; `skip` leaves out the derivative of that layer. */
function back(x: Rows, layers: Plain[], lossDelta: (output: number[], row: number) => number[], skip = -1) {
  const activations = [x]
  for (const { W, b, f } of layers) {
    const input = activations[activations.length - 1]
    activations.push(input.map((row) => b.map((bias, o) => F[f].f(row.reduce((s, v, i) => s + v * W[i][o], bias)))))
  }
  const gradients: { weights: Rows; bias: number[]; deltas: Rows }[] = []
  let delta = activations.at(-1)!.map(lossDelta)
  for (let l = layers.length - 1; l >= 0; l--) {
    const input = activations[l]
    gradients.unshift({
      weights: layers[l].W.map((_, i) =>
        layers[l].b.map((_, o) => delta.reduce((s, d, r) => s + d[o] * input[r][i], 0)),
      ),
      bias: layers[l].b.map((_, o) => delta.reduce((s, d) => s + d[o], 0)),
      deltas: delta,
    })
    if (l === 0) break
    const { df } = F[layers[l - 1].f]
    delta = delta.map((d, r) =>
      layers[l].W.map((row, i) => row.reduce((s, w, o) => s + w * d[o], 0) * (skip === l - 1 ? 1 : df(input[r][i]))),
    )
  }
  return { gradients, outputs: activations.at(-1)! }
}

/** A net, its data, and the same by hand. */
function subjectOf(name: string, inputs: number, units: [number, Plain['f']][], rows: number, loss: 'bce' | 'mse') {
  const layers = units.map(([n, f]) => dense(n, f))
  const net = withBiases(
    new FNN({
      inputs,
      layers,
      loss: loss === 'bce' ? binaryCrossEntropy() : mse(),
      seed: 5,
      task: loss === 'bce' ? (units.at(-1)![0] > 1 ? 'multilabel' : 'binary') : 'regression',
    }),
  )
  const plain = net
    .weights()
    .map(({ weights, bias }, l): Plain => ({ W: rowsOf(weights), b: Array.from(bias!), f: units[l][1] }))
  const x = scatter(rows, inputs, 0.4)
  const O = units.at(-1)![0]
  const y = scatter(rows, O, 2.2).map((row) => row.map((v) => (loss === 'bce' ? Number(v > 0) : v)))
  const last = units.at(-1)![1]
  // sigmoid with binary cross-entropy is a − y; a squared error goes through the output's derivative.
  const lossDelta = (a: number[], r: number): number[] =>
    a.map((v, o) => (loss === 'bce' ? v - y[r][o] : 2 * (v - y[r][o]) * F[last].df(v)) / (rows * O))
  return { name, net, plain, x, y: O === 1 ? y.map(([v]) => v) : y, lossDelta, rows, O }
}

const SUBJECTS = [
  subjectOf(
    '7-5-1 of the question’s kind',
    6,
    [
      [7, 'tanh'],
      [5, 'tanh'],
      [1, 'sigmoid'],
    ],
    23,
    'bce',
  ),
  subjectOf(
    '5-4-3 relu, squared error',
    6,
    [
      [5, 'relu'],
      [4, 'sigmoid'],
      [3, 'linear'],
    ],
    17,
    'mse',
  ),
  subjectOf(
    'square matrices, labels',
    4,
    [
      [4, 'tanh'],
      [4, 'tanh'],
      [4, 'sigmoid'],
    ],
    31,
    'bce',
  ),
]

/** What a mistake makes of right gradients, and the tensors (in order W0 b0 W1 b1 …) on which it has to be named. */
interface Mistake {
  fault: string
  name: string
  make(
    subject: (typeof SUBJECTS)[number],
    right: ReturnType<typeof back>['gradients'],
  ): { theirs: unknown[]; at: number[] }
}

const MISTAKES: Mistake[] = [
  {
    fault: 'missingAxis',
    name: 'the question’s db1: one sum for all units',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({
        weights,
        bias: l === 0 ? bias.map(() => bias.reduce((a, b) => a + b)) : bias,
      })),
      at: [1],
    }),
  },
  {
    fault: 'missingAxis',
    name: 'the same, as a number that broadcasts',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({ weights, bias: l === 1 ? bias.reduce((a, b) => a + b) : bias })),
      at: [3],
    }),
  },
  {
    fault: 'missingAxis',
    name: 'summed over units instead of rows',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias, deltas }, l) => ({
        weights,
        bias: l === 0 ? deltas.map((row) => row.reduce((a, b) => a + b)) : bias,
      })),
      at: [1],
    }),
  },
  {
    fault: 'missingAxis',
    name: 'not summed at all, samples as columns',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias, deltas }, l) => ({ weights, bias: l === 1 ? transposed(deltas) : bias })),
      at: [3],
    }),
  },
  {
    fault: 'missingMean',
    name: 'summed over rows',
    make: ({ rows }, right) => ({
      theirs: right.map(({ weights, bias }) => ({
        weights: weights.map((r) => r.map((v) => v * rows)),
        bias: bias.map((v) => v * rows),
      })),
      at: [0, 1, 2, 3, 4, 5],
    }),
  },
  {
    fault: 'missingMean',
    name: 'divided twice, in one tensor',
    make: ({ rows }, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({
        weights: l === 1 ? weights.map((r) => r.map((v) => v / rows)) : weights,
        bias,
      })),
      at: [2],
    }),
  },
  {
    fault: 'sign',
    name: 'flipped in the last layer',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) =>
        l < 2 ? { weights, bias } : { weights: weights.map((r) => r.map((v) => -v)), bias: bias.map((v) => -v) },
      ),
      at: [4, 5],
    }),
  },
  {
    fault: 'transposed',
    name: 'one matrix',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({ weights: l === 1 ? transposed(weights) : weights, bias })),
      at: [2],
    }),
  },
  {
    fault: 'transposed',
    name: 'one matrix, flat',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({
        weights: l === 0 ? transposed(weights).flat() : weights.flat(),
        bias,
      })),
      at: [0],
    }),
  },
  {
    fault: 'missingDerivative',
    name: 'of the first layer',
    make: ({ plain, x, lossDelta }) => ({ theirs: back(x, plain, lossDelta, 0).gradients, at: [0, 1] }),
  },
  {
    fault: 'missingDerivative',
    name: 'of the second layer, and of all before it',
    make: ({ plain, x, lossDelta }) => ({ theirs: back(x, plain, lossDelta, 1).gradients, at: [0, 1, 2, 3] }),
  },
  {
    fault: 'other',
    name: 'noise on one entry',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({
        weights,
        bias: l === 1 ? bias.map((v, i) => (i === 2 ? v + 0.01 : v)) : bias,
      })),
      at: [3],
    }),
  },
  {
    fault: 'other',
    name: 'the wrong shape',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({ weights, bias: l === 0 ? [...bias, 0] : bias })),
      at: [1],
    }),
  },
  {
    fault: 'other',
    name: 'not a number',
    make: (_, right) => ({
      theirs: right.map(({ weights, bias }, l) => ({ weights, bias: l === 0 ? bias.map(() => Number.NaN) : bias })),
      at: [1],
    }),
  },
]

for (const subject of SUBJECTS)
  t.test(subject.name, async (t) => {
    const { net, x, y, plain, lossDelta } = subject
    const { gradients: right, outputs } = back(x, plain, lossDelta)
    const check = (theirs: Theirs) => net.checkGradients(x, y, { theirs })

    const fine = await check(right)
    t.ok(fine.ok, 'right gradients pass', { tensors: fine.tensors })
    t.equal(fine.against, 'theirs')
    t.ok(
      fine.tensors.every(
        ({ fault, says, relativeError }) => fault === undefined && says === undefined && relativeError < 1e-6,
      ),
    )

    for (const { fault, name, make } of MISTAKES) {
      const { theirs, at } = make(subject, right)
      const found = await check(theirs)
      t.notOk(found.ok, `${fault}: ${name}`)
      t.same(
        faults(found),
        [0, 1, 2, 3, 4, 5].map((i) => (at.includes(i) ? fault : undefined)),
        `${fault}: ${name}`,
        { says: found.tensors.map(({ says }) => says) },
      )
      for (const i of at) t.match(found.tensors[i].says, `layers[${i >> 1}].${i % 2 ? 'bias' : 'weights'}: `)
    }

    t.test('shapes and orientations', async (t) => {
      const bothWays: [string, unknown][] = [
        ['out × in', right.map(({ weights, bias }) => ({ weights: transposed(weights), bias: bias.map((v) => [v]) }))],
        ['tensor after tensor', right.flatMap(({ weights, bias }) => [weights, [bias]])],
        [
          'flat',
          right.map(({ weights, bias }) => ({
            weights: Float64Array.from(weights.flat()),
            bias: Float64Array.from(bias),
          })),
        ],
        [
          'Matrix',
          {
            layers: right.map(({ weights, bias }) => ({
              weights: { data: weights.flat(), rows: weights.length, columns: weights[0].length },
              bias,
            })),
          },
        ],
        ['what gradients() returns', net.gradients(x, y)],
        ['some left out', [{ bias: right[0].bias }, {}, { weights: right[2].weights, bias: null }]],
      ]
      for (const [name, gradients] of bothWays) {
        const found = await check({ gradients })
        t.ok(found.ok, name, { tensors: found.tensors })
        t.equal(found.orientation, name === 'out × in' ? 'outputsByInputs' : 'inputsByOutputs', name)
      }
    })

    t.test('loss, predictions, losses', async (t) => {
      const loss = net.loss(x, y)
      const own = await check({ loss, predictions: outputs, losses: [loss, 0.1] })
      t.ok(own.ok, 'right ones pass', { own })
      t.equal(own.against, 'differences')
      t.ok(
        (
          await check({
            predictions: transposed(outputs),
            losses: x.map((row, r) => net.loss([row], [y[r]] as number[])),
          })
        ).ok,
        'samples as columns, one loss a row',
      )
      t.equal((await check({ loss: loss * subject.rows * (1 + 1e-7) })).lossCheck?.fault, 'missingMean')
      t.equal((await check({ loss: -loss })).lossCheck?.fault, 'sign')
      t.equal((await check({ loss: loss + 0.1 })).lossCheck?.fault, 'other')
      t.equal((await check({ losses: [loss + 0.1, 1] })).lossesCheck?.fault, 'other')
      const bent = await check({ predictions: outputs.map((row) => row.map((v) => v * v)) })
      t.notOk(bent.ok)
      t.match(bent.predictionsCheck?.says, 'The forward pass differs')
      t.match((await check({ predictions: outputs.slice(1) })).predictionsCheck?.says, 'numbers where there should be')
    })
  })

t.test('what only some nets can have', async (t) => {
  const [x, y] = [scatter(12, 3, 0.4), scatter(12, 1, 1).map(([v]) => v)]
  const net = new FNN({ inputs: 3, hidden: [4], outputs: 1, task: 'regression', seed: 2, l2: 0.3 })
  const predicted = Array.from(net.predict(x) as Float64Array)
  const pairs = predicted.reduce((sum, p) => sum + y.reduce((s, v) => s + (p - v) ** 2, 0), 0) / 144
  t.equal((await net.checkGradients(x, y, { theirs: { loss: pairs } })).lossCheck?.fault, 'broadcast')

  const { layers, loss } = net.gradients(x, y)
  const penalty = net.weights().reduce((sum, { weights }) => sum + 0.15 * Math.hypot(...weights.data) ** 2, 0)
  const objective = layers.map(({ weights, bias }, l) => ({
    weights: { ...weights, data: weights.data.map((v, i) => v + 0.3 * net.weights()[l].weights.data[i]) },
    bias,
  }))
  t.ok(
    (await net.checkGradients(x, y, { theirs: { gradients: objective, loss: loss + penalty } })).ok,
    'theirs may hold the penalty',
  )

  const half = layers.map(({ weights, bias }) => ({
    weights: { ...weights, data: weights.data.map((v) => v / 2) },
    bias: bias!.map((v) => v / 2),
  }))
  t.match((await net.checkGradients(x, y, { theirs: half })).tensors[0].says, 'half of what it should be')

  const classes = new FNN({ inputs: 3, hidden: [4], outputs: 1, task: 'binary', seed: 2, ...FLOAT64.options })
  const labels = y.map((v) => Number(v > 0))
  const plain = classes
    .weights()
    .map(({ weights, bias }, l): Plain => ({ W: rowsOf(weights), b: Array.from(bias!), f: l ? 'sigmoid' : 'tanh' }))
  const twice = back(x, plain, ([a], r) => [((a - labels[r]) * a * (1 - a)) / 12]).gradients
  const found = await classes.checkGradients(x, labels, { theirs: twice })
  t.same(faults(found), ['other', 'other', 'other', 'other'])
  t.match(found.tensors[0].says, "the derivative of the output's sigmoid is in it once more")
  const logits = back(
    x,
    plain.map((layer, l) => (l ? { ...layer, f: 'linear' as const } : layer)),
    () => [0],
  ).outputs
  t.match(
    (await classes.checkGradients(x, labels, { theirs: { predictions: logits } })).predictionsCheck?.says,
    'logits instead of probabilities',
  )

  const scaled = new FNN({ hidden: [4], standardize: true, seed: 2 })
  const prices = y.map((v) => 1e5 + 1e4 * v)
  await scaled.fit(x, prices, { epochs: 2 })
  const { loss: ofPrices, modelLoss } = scaled.evaluate(x, prices)
  for (const theirs of [{ loss: ofPrices }, { loss: modelLoss }, { predictions: scaled.predict(x) as Float64Array }])
    t.ok((await scaled.checkGradients(x, prices, { theirs })).ok, 'in the caller’s units or the model’s')
})

// ---------------------------------------------------------------------------------------------------- the question's

t.test('the question’s own code: b1 lacks its axis, and nothing else is wrong', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const { x: raw, y } = readBreastCancer()
    const x = standardised(raw)
    const run = readJson<{
      runs: {
        missingAxisBug: boolean
        learningRate: number
        gradientNormsAtStep0: Record<string, number>
        loss: number[]
      }[]
    }>('golden', 'seed-net.json').runs.find((run) => run.missingAxisBug)!
    const stored = readFloats('golden', 'seed-net-asker.f64')
    const sizes = [30, 128, 64, 1]
    let from = 0
    const weights = sizes.slice(1).map((O, l) => {
      const rows = Array.from({ length: O }, (_, o) =>
        Array.from(stored.subarray(from + o * sizes[l], from + (o + 1) * sizes[l])),
      )
      from += O * sizes[l]
      return rows
    })
    const net = new FNN({ inputs: 30, outputs: 1, task: 'binary', ...options })
    net.setWeights(weights.map((W) => ({ weights: transposed(W), bias: W.map(() => 0) })))

    // As the question has them: out × in, biases as columns, at the weights that the model holds (rounded, in float32).
    const exact = new FNN({ inputs: 30, outputs: 1, task: 'binary', ...FLOAT64.options })
    exact.setWeights(net.weights())
    const { layers } = exact.gradients(x, y)
    const posted = layers.map(({ weights, bias }, l) => {
      const sum = Array.from(bias!).reduce((a, b) => a + b)
      return { weights: transposed(rowsOf(weights)), bias: Array.from(bias!, (v) => [l === 0 ? sum : v]) }
    })
    const norm = Math.hypot(...posted[0].bias.flat())
    const golden = run.gradientNormsAtStep0.b1
    t.ok(
      Math.abs(norm - golden) < (options.dtype === 'float64' ? 1e-9 : 1e-5) * golden,
      `the norm of numpy’s b1: ${norm}`,
    )

    const found = await net.checkGradients(x, y, { theirs: { gradients: posted, loss: run.loss[0] } })
    t.same(faults(found), [undefined, 'missingAxis', undefined, undefined, undefined, undefined])
    t.equal(found.orientation, 'outputsByInputs')
    t.equal(found.tensors[1].says, 'layers[0].bias: every entry is the sum over all 128, as without an axis.')
    t.ok(found.tensors[1].relativeError > 0.5)
    t.ok(found.lossCheck?.ok)
  }),
)

t.test('float32 numbers may have float32’s rounding, where it is large too', async (t) => {
  const { x, y } = readBreastCancer()
  const net = new FNN({ inputs: 30, outputs: 1, task: 'binary', seed: 1 })
  const found = await net.checkGradients(x, y, { theirs: net.gradients(x, y) })
  t.ok(found.ok, 'our own float32 gradient on raw inputs', { tensors: found.tensors })
  t.ok(
    found.tensors.some(({ rounding }) => rounding > 1e-6),
    'whose rounding is told',
  )
})

t.test('wrong arguments', async (t) => {
  const net = new FNN({ inputs: 2, outputs: 1, task: 'regression' })
  const [x, y] = [[[1, 2]], [1]]
  const refused = (options: unknown, code = 'ERR_OPTION') =>
    t.rejects(net.checkGradients(x, y, options as never), { code, name: 'DownhillError' })
  for (const entries of [0, -1, 1.5, Number.NaN, '50', null, true]) await refused({ entries })
  for (const theirs of [null, 3, 'x', true, { gradient: [] }, { gradients: 3 }, { gradients: {} }])
    await refused({ theirs })
  await refused({ their: [] })
  await t.rejects(net.checkGradients([[Number.NaN, 1]], y), { code: 'ERR_DATA' })
  await t.rejects(new FNN().checkGradients(x, y), DownhillError)
})
