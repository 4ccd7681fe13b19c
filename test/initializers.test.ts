/**
 * Initializers: what is drawn has the distribution its paper says, and one seed decides every bit, on every backend.
 *
 * Bounds are five standard errors of what is estimated from 200 × 300 draws; seeds are fixed, so a test that passes
 * passes always. A uniform and a normal of the same variance are told apart by their fourth moment (1.8 and 3 times the
 * squared variance) and by their largest entry.
 */
import { constant, dense, FNN, normal, uniform } from 'downhill'
import t from 'tap'
import { agree, type BACKENDS, FLOAT64, flat, type Matrix, onEachBackend } from './truth'

const I = 200
const O = 300
type DenseOptions = NonNullable<Parameters<typeof dense>[2]>
type Initializer = DenseOptions['initializer']

/** The drawn weights of a layer of inputs × units, in double. */
function draw(initializer: Initializer, inputs = I, units = O, seed = 1): Matrix {
  const layers = [dense(units, 'linear', { initializer })]
  const net = new FNN({ inputs, layers, loss: 'mse', seed, ...FLOAT64.options })
  return net.weights()[0].weights as Matrix
}

interface Distribution {
  initializer: Initializer
  name?: string
  mean?: number
  variance: number
  shape: 'uniform' | 'normal'
}

const DISTRIBUTIONS: Distribution[] = [
  { initializer: 'glorotUniform', variance: 2 / (I + O), shape: 'uniform' },
  { initializer: 'glorotNormal', variance: 2 / (I + O), shape: 'normal' },
  { initializer: 'heUniform', variance: 2 / I, shape: 'uniform' },
  { initializer: 'heNormal', variance: 2 / I, shape: 'normal' },
  { initializer: 'lecunUniform', variance: 1 / I, shape: 'uniform' },
  { initializer: 'lecunNormal', variance: 1 / I, shape: 'normal' },
  { initializer: uniform(-1, 3), name: 'uniform(−1, 3)', mean: 1, variance: 16 / 12, shape: 'uniform' },
  { initializer: uniform(0, 1), name: 'uniform(0, 1)', mean: 0.5, variance: 1 / 12, shape: 'uniform' },
  { initializer: normal(0.1), name: 'normal(0.1)', variance: 0.01, shape: 'normal' },
  { initializer: normal(2, -5), name: 'normal(2, −5)', mean: -5, variance: 4, shape: 'normal' },
]

/** Fourth and eighth moments over powers of the variance: they give the errors of the estimates below. */
const MOMENTS = { uniform: { fourth: 9 / 5, eighth: 9 }, normal: { fourth: 3, eighth: 105 } }

for (const { initializer, name = String(initializer), mean = 0, variance, shape } of DISTRIBUTIONS)
  t.test(name, (t) => {
    const { data, rows, columns } = draw(initializer)
    t.same([rows, columns, data.length], [I, O, I * O], 'inputs × units')
    const n = data.length
    const moment = (power: number) => data.reduce((sum, w) => sum + (w - mean) ** power, 0) / n
    const { fourth, eighth } = MOMENTS[shape]
    const error = (spread: number) => ({ absolute: 5 * Math.sqrt(spread / n) })
    agree(t, [moment(1) / Math.sqrt(variance)], [0], error(1), 'mean, in standard deviations')
    agree(t, [moment(2) / variance], [1], error(fourth - 1), 'variance, over what it should be')
    agree(t, [moment(4) / variance ** 2], [fourth], error(eighth - fourth ** 2), 'fourth moment')
    const largest = data.reduce((max, w) => Math.max(max, Math.abs(w - mean)), 0) / Math.sqrt(variance)
    if (shape === 'uniform') t.ok(largest <= Math.sqrt(3) && largest > 1.73, `within ±√3 of a deviation: ${largest}`)
    else t.ok(largest > 3.5 && largest < 6, `a normal's tails, not cut: ${largest}`)
    // Neighbours along a row and down a column know nothing of each other.
    for (const step of [1, O]) {
      let sum = 0
      for (let i = step; i < n; i++) sum += (data[i] - mean) * (data[i - step] - mean)
      agree(t, [sum / n / variance], [0], error(1), `correlation at distance ${step}`)
    }
    t.end()
  })

t.test('constants', (t) => {
  const all = (initializer: Initializer) => [...new Set(draw(initializer, 3, 4).data)]
  t.same(all('zeros'), [0])
  t.same(all('ones'), [1])
  t.same(all(constant(-0.25)), [-0.25])
  t.end()
})

t.test('orthogonal: the shorter side is orthonormal', (t) =>
  onEachBackend(t, (t, { dtype, options }) => {
    const allowed = dtype === 'float64' ? 1e-13 : 1e-6
    for (const [rows, columns] of [
      [40, 40],
      [200, 300],
      [300, 200],
      [5, 1],
      [1, 5],
    ]) {
      const layers = [dense(columns, 'linear', { initializer: 'orthogonal' })]
      const net = new FNN({ inputs: rows, layers, loss: 'mse', seed: 3, ...options })
      const { data } = net.weights()[0].weights
      const at = (k: number, i: number) => (rows <= columns ? data[k * columns + i] : data[i * columns + k])
      const [few, long] = [Math.min(rows, columns), Math.max(rows, columns)]
      let worst = 0
      for (let a = 0; a < few; a++)
        for (let b = a; b < few; b++) {
          let dot = 0
          for (let i = 0; i < long; i++) dot += at(a, i) * at(b, i)
          worst = Math.max(worst, Math.abs(dot - Number(a === b)))
        }
      t.ok(worst < allowed, `${rows} × ${columns}: WᵀW − I is at most ${worst.toExponential(1)}`)
    }
  }),
)

t.test('one seed, the same bits on every backend', (t) => {
  const start = (backend: (typeof BACKENDS)[number], seed: number) => {
    const layers = [dense(31, 'tanh'), dense(31, 'tanh', { bias: uniform(0, 1) }), dense(7, 'linear', { bias: false })]
    const initializer = 'heNormal'
    return flat(new FNN({ inputs: 31, layers, loss: 'mse', initializer, seed, ...backend.options }).weights())
  }
  const exact = start(FLOAT64, 4)
  t.not(exact[0], Math.fround(exact[0]), 'drawn in double')
  return onEachBackend(t, (t, backend) => {
    const ours = start(backend, 4)
    t.same(ours, backend.dtype === 'float64' ? exact : exact.map(Math.fround), 'seed 4')
    t.same(start(backend, 4), ours, 'again')
    t.not(start(backend, 5)[0], ours[0], 'seed 5 is another')
    t.not(ours[0], ours[31 * 31 + 31], 'two layers of one shape are drawn apart')
  })
})

t.test('reset draws the start again, and a seed left out can be read', (t) =>
  onEachBackend(t, (t, { options }) => {
    const net = new FNN({ inputs: 3, hidden: [5], outputs: 1, task: 'binary', ...options })
    const again = new FNN({ inputs: 3, hidden: [5], outputs: 1, task: 'binary', seed: net.seed, ...options })
    const start = flat(net.weights())
    t.same(flat(again.weights()), start, 'the seed that was drawn')
    net.setWeights(net.weights().map(({ weights, bias }) => ({ weights, bias: bias?.map(() => 1) ?? null })))
    t.strictNotSame(flat(net.weights()), start)
    net.reset()
    t.same(flat(net.weights()), start, 'reset()')
    net.reset(net.seed + 1)
    t.strictNotSame(flat(net.weights()), start, 'reset with another seed')
  }),
)

t.test('explicit weights, and biases', (t) =>
  onEachBackend(t, (t, { options }) => {
    const rows = [
      [1, 2, 3],
      [-4, 0.5, 0],
    ]
    const data = rows.flat()
    const forms: Initializer[] = [
      rows,
      { data: Float64Array.from(data), rows: 2, columns: 3 },
      { data: Float32Array.from(data), rows: 2, columns: 3 },
      { data: data.map((w) => w * 2), rows: 2, columns: 3, scale: 0.5 } as Initializer,
    ]
    const start = (initializer: Initializer, bias?: DenseOptions['bias']) =>
      new FNN({ inputs: 2, layers: [dense(3, 'linear', { initializer, bias })], loss: 'mse', seed: 1, ...options })
    for (const form of forms) t.same(Array.from(start(form).weights()[0].weights.data), data)

    // What the caller does to the array afterwards is the caller's affair.
    const mine = Float64Array.from(data)
    const net = start({ data: mine, rows: 2, columns: 3 })
    mine.fill(9)
    net.reset()
    t.same(Array.from(net.weights()[0].weights.data), data, 'copied')

    const biases = (bias?: DenseOptions['bias']) => start('zeros', bias).weights()[0].bias
    t.same(Array.from(biases()!), [0, 0, 0], 'zeros by default')
    t.same(Array.from(biases(true)!), [0, 0, 0])
    t.equal(biases(false), null)
    t.same(Array.from(biases('ones')!), [1, 1, 1])
    t.same(Array.from(biases(constant(0.5))!), [0.5, 0.5, 0.5])
    t.same(Array.from(biases([1, 2, 3])!), [1, 2, 3])
    t.same(Array.from(biases(Float32Array.of(1, 2, 3))!), [1, 2, 3])

    const shape = { name: 'DownhillError', code: 'ERR_SHAPE' }
    t.throws(() => start([[1, 2, 3]]), shape, 'too few rows')
    t.throws(() => start([[1, 2], [3, 4], [5, 6]]), shape, 'units × inputs') // biome-ignore format: one case a line
    t.throws(() => start([[1, 2, 3], [4, 5]] as number[][]), shape, 'ragged') // biome-ignore format: one case a line
    t.throws(() => start('zeros', [1, 2]), shape, 'a bias too short')
    t.throws(() => start([[1, 2, 3], [4, 5, Number.NaN]]), { code: 'ERR_DATA' }, 'NaN') // biome-ignore format: one case a line
    t.throws(() => start('heNormall' as Initializer), { code: 'ERR_OPTION', message: /did you mean "heNormal"/ })
  }),
)
