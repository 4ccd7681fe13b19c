/**
 * Read this first. What downhill is, in tests that fit in the head: each small enough to be checked with a pencil, each
 * run on every backend. Everything else in this folder is more of the same.
 */
import { constant, dense, FNN } from 'downhill'
import t from 'tap'
import { onEachBackend } from './truth'

t.test('a neuron is tanh(w·x + b)', (t) =>
  onEachBackend(t, (t, { options }) => {
    const neuron = dense(1, 'tanh', { initializer: [[0.5], [-1]], bias: [0.25] })
    const net = new FNN({ inputs: 2, layers: [neuron], task: 'regression', ...options })
    const [y] = net.predict([[3, 1]]) as Float64Array
    near(t, y, Math.tanh(0.5 * 3 - 1 * 1 + 0.25))
  }),
)

t.test('its gradient is the chain rule', (t) =>
  onEachBackend(t, (t, { options }) => {
    const net = new FNN({
      inputs: 1,
      layers: [dense(1, 'tanh', { initializer: constant(0.5) })],
      loss: 'mse',
      ...options,
    })
    const [x, target] = [2, 0.3]
    const y = Math.tanh(0.5 * x)
    const { loss, layers } = net.gradients([x], [target])
    near(t, loss, (y - target) ** 2)
    near(t, layers[0].weights.data[0], 2 * (y - target) * (1 - y * y) * x)
    near(t, layers[0].bias?.[0], 2 * (y - target) * (1 - y * y))
  }),
)

t.test('a step goes downhill: w − rate · gradient', (t) =>
  onEachBackend(t, (t, { options }) => {
    const net = parabola(options)
    const history = net.fitSync([1], [0], { epochs: 1, learningRate: 0.1 })
    near(t, history.loss[0], 4) // w² at w = 2, before the step
    near(t, weightOf(net), 2 - 0.1 * 2 * 2)
    near(t, net.loss([1], [0]), 1.6 ** 2)
  }),
)

t.test('too long a step goes uphill: the loss w² rises at any rate above 1', (t) =>
  onEachBackend(t, (t, { options }) => {
    for (const [learningRate, rises] of [
      [0.4, false],
      [0.9, false],
      [1.1, true],
    ] as const) {
      const { loss } = parabola(options).fitSync([1], [0], { epochs: 20, learningRate })
      t.equal(loss[19] > loss[0], rises, `at ${learningRate} from ${loss[0]} to ${loss[19]}`)
    }
  }),
)

t.test('a line is learned', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const net = new FNN({ hidden: [], task: 'regression', seed: 1, ...options })
    await net.fit([0, 1, 2, 3], [1, 3, 5, 7], { epochs: 500, learningRate: 0.1 })
    near(t, (net.predict([10]) as Float64Array)[0], 21, 1e-3)
  }),
)

t.test('so is exclusive or, which no line can do', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const net = new FNN({ hidden: [8], seed: 1, ...options })
    const x = [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]
    await net.fit(x, [0, 1, 1, 0], { epochs: 200, optimizer: 'adam', learningRate: 0.05 })
    t.strictSame(net.predict(x), [0, 1, 1, 0])
  }),
)

t.test('labels may be words', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const net = new FNN({ hidden: [4], seed: 1, ...options })
    await net.fit([-2, -1, 1, 2], ['cold', 'cold', 'warm', 'warm'], { epochs: 200, learningRate: 0.5 })
    t.strictSame(net.predict([-3, 3]), ['cold', 'warm'])
  }),
)

t.test('one seed, one model', (t) =>
  onEachBackend(t, (t, { options }) => {
    const start = (seed: number) =>
      new FNN({ inputs: 2, outputs: 1, hidden: [3], task: 'regression', seed, ...options }).weights()
    t.strictSame(start(4), start(4))
    t.notSame(start(4), start(5))
  }),
)

/** One weight, at 2, without bias: with x = 1 and y = 0 its loss is w². */
function parabola(options: object): FNN {
  const only = dense(1, 'linear', { initializer: constant(2), bias: false })
  return new FNN({ inputs: 1, layers: [only], loss: 'mse', ...options })
}

function weightOf(net: FNN): number {
  return net.weights()[0].weights.data[0]
}

function near(t: Tap, ours: number | undefined, exact: number, error = 1e-6): void {
  t.ok(ours !== undefined && Math.abs(ours - exact) <= error * Math.max(1, Math.abs(exact)), `${ours} is ${exact}`)
}

type Tap = Pick<typeof t, 'ok'>
