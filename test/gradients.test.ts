/**
 * Gradients: the rows of the tables against PyTorch (test/fixtures/rows.py), then whole networks against central
 * differences, all through the public API.
 *
 * Two nets make a row visible. One input row times the identity puts any numbers through an activation at once, and
 * the bias gradient of a sum of absolute errors, all of one sign, is its derivative. The identity as *data* makes the
 * weights the logits, and their gradient the loss's.
 *
 * Finite differences are taken in float64: at a step of 1e-5 truncation and rounding both stay below the tolerance,
 * 1e-9·max(1, |L|) + 1e-6·(|a| + |n|). Rows of data within ten steps of a kink (relu at 0, mae at its target, …) are left
 * out, and counted.
 */
import {
  adamw,
  binaryCrossEntropy,
  crossEntropy,
  dense,
  dropout,
  FNN,
  focal,
  hinge,
  huber,
  logCosh,
  mae,
  mse,
  poisson,
  quantile,
} from 'downhill'
import t, { type Test } from 'tap'
import { agree, FLOAT64, flat, identity, type Matrix, matrix, onEachBackend, readJson } from './truth'

// ------------------------------------------------------------------------------------------------------ rows

type ActivationName = Parameters<typeof dense>[1] & string
type LossName = keyof typeof LOSSES
interface Options {
  reduction?: 'mean' | 'sum'
  scale?: number
  from?: 'logits' | 'probabilities'
  delta?: number
  q?: number
  labelSmoothing?: number
  gamma?: number
  alpha?: number
}
interface Rows {
  points: number[]
  activations: Record<ActivationName, { y: number[]; dy: number[] }>
  z: number[][]
  targets: { numbers: number[][]; labels: number[][]; oneHot: number[][]; counts: number[][]; classes: number[] }
  losses: {
    targets: 'numbers' | 'labels' | 'oneHot' | 'counts'
    loss: LossName
    options: Options
    activation: ActivationName
    value: number
    dz: number[][]
  }[]
}

const LOSSES = {
  ...{ mse, mae, huber, logCosh, quantile, hinge, binaryCrossEntropy, crossEntropy, focal },
  poisson: (options: Options) => poisson(options as Parameters<typeof poisson>[0]),
}
const rows = readJson<Rows>('rows.json')

/**
 * Elementwise functions keep their absolute error: 1 − y², or e^x − 1 + 1, knows a small number no better than its
 * parts. float32 adds the rounding of x itself.
 */
const ROW_TOLERANCE = {
  float64: { absolute: 1e-14, relative: 1e-12 },
  float32: { absolute: 4e-7, relative: 4e-6 },
}

/** A float32 near 1 knows its distance from 1, which log(1 − p) is made of, to a few digits only. */
const OF_PROBABILITIES = { float64: ROW_TOLERANCE.float64, float32: { absolute: 2e-3, relative: 2e-3 } }

/** Whether a loss takes logarithms of what the output activation yields. */
function takesProbabilities({ loss, options, activation }: Rows['losses'][number]): boolean {
  const own = { binaryCrossEntropy: 'sigmoid', crossEntropy: 'softmax', focal: activation }[loss as string]
  const given = ['sigmoid', 'softmax'].includes(activation) && activation !== own && options.from !== 'logits'
  return options.from === 'probabilities' || (given && own !== undefined)
}

/** Losses of any classes do not say which; a net is built before it sees data only if somebody does. */
function taskOf(loss: string, targets: string) {
  if (loss !== 'focal' && loss !== 'hinge') return {}
  return { task: targets === 'oneHot' ? ('multiclass' as const) : ('multilabel' as const) }
}

t.test('activations and their derivatives, from −30 to 30', (t) =>
  onEachBackend(t, (t, { dtype, options }) => {
    // What float32 cannot tell from 0 is left to float64: it lies on the kinks.
    const holds = (_: number, i: number) =>
      dtype === 'float64' || rows.points[i] === 0 || Math.fround(rows.points[i]) !== 0
    const points = rows.points.filter(holds)
    const n = points.length
    t.equal(n, dtype === 'float64' ? 41 : 39)
    for (const [name, row] of Object.entries(rows.activations)) {
      const [y, dy] = [row.y.filter(holds), row.dy.filter(holds)]
      const layers = [dense(n, name as ActivationName, { initializer: identity(n) })]
      const net = new FNN({ inputs: n, layers, loss: mae({ reduction: 'sum' }), task: 'regression', ...options })
      agree(t, (net.predict([points]) as Matrix).data, y, ROW_TOLERANCE[dtype], name)
      const below = [points.map(() => -1000)] // every prediction is above its target, so that dL/dy is 1
      agree(t, net.gradients([points], below).layers[0].bias!, dy, ROW_TOLERANCE[dtype], `${name}, derivative`)
    }
  }),
)

t.test('losses behind every output activation', (t) =>
  onEachBackend(t, (t, { dtype, options }) => {
    const { z, targets, losses } = rows
    for (const row of losses) {
      const { loss, options: lossOptions, activation, targets: kind, value, dz } = row
      const name = `${loss} ${JSON.stringify(lossOptions)} of ${activation}`
      const layers = [dense(z[0].length, activation, { initializer: matrix(z), bias: false })]
      const task = taskOf(loss, kind)
      const net = new FNN({ inputs: z.length, layers, loss: LOSSES[loss](lossOptions), ...task, ...options })
      const x = identity(z.length)
      const tolerance = (takesProbabilities(row) ? OF_PROBABILITIES : ROW_TOLERANCE)[dtype]
      // Classes may come as one column each, or as numbers.
      for (const y of kind === 'oneHot' ? [targets.oneHot, targets.classes] : [targets[kind]]) {
        const ours = net.gradients(x, y)
        agree(t, [ours.loss, net.loss(x, y)], [value, value], tolerance, name)
        agree(t, ours.layers[0].weights.data, dz.flat(), tolerance, `${name}, gradient`)
      }
    }
  }),
)

// ------------------------------------------------------------------------------------------------------ finite differences

const EPSILON = 1e-5
const NEAR_KINK = 10 * EPSILON

type Dense = ReturnType<typeof dense>
type Layer = Dense | ReturnType<typeof dropout>
type ModelOptions = ConstructorParameters<typeof FNN>[0] & object
type Weights = ReturnType<FNN['weights']>

/** Numbers without pattern in [−size, size], the same on every machine to the last bits of a sine. */
function scatter(n: number, salt: number, size = 1): number[] {
  return Array.from({ length: n }, (_, i) => size * Math.sin(1.7 * (i + 1) ** 2 + salt))
}

function scatterRows(n: number, columns: number, salt: number, size = 1): number[][] {
  const flat = scatter(n * columns, salt, size)
  return Array.from({ length: n }, (_, r) => flat.slice(r * columns, (r + 1) * columns))
}

/** The net's weights, after its biases were given numbers too. */
function startOf(net: FNN): Weights {
  const start = net.weights()
  for (const [layer, { bias }] of start.entries()) bias?.set(scatter(bias.length, layer, 0.5))
  net.setWeights(start)
  return start
}

/** ∂objective/∂w of every parameter, by central differences, laid out as `weights` is. */
function differences(weights: Weights, objective: (at: Weights) => number): number[] {
  const nudged = weights.map(({ weights, bias }) => ({
    weights: { ...weights, data: Float64Array.from(weights.data) },
    bias: bias && Float64Array.from(bias),
  }))
  return nudged.flatMap(({ weights, bias }) =>
    [weights.data, bias ?? new Float64Array(0)].flatMap((tensor) =>
      Array.from(tensor, (w, i) => {
        tensor[i] = w + EPSILON
        const above = objective(nudged)
        tensor[i] = w - EPSILON
        const below = objective(nudged)
        tensor[i] = w
        return (above - below) / (2 * EPSILON)
      }),
    ),
  )
}

/** Fails with the worst entry where |a − n| > 1e-9·max(1, |L|) + 1e-6·(|a| + |n|). */
function agreeWithDifferences(t: Test, analytic: number[], numeric: number[], loss: number, what: string) {
  const share = analytic.map((a, i) => {
    const n = numeric[i]
    return Math.abs(a - n) / (1e-9 * Math.max(1, Math.abs(loss)) + 1e-6 * (Math.abs(a) + Math.abs(n)))
  })
  const at = share.reduce((worst, s, i) => (s > share[worst] || Number.isNaN(s) ? i : worst), 0)
  const right = Number.isFinite(loss) && analytic.length === numeric.length && share.every((s) => s <= 1)
  return t.ok(right, `${what}: ${numeric.length} entries, worst ${share[at].toFixed(3)} of the allowed`, {
    loss,
    'worst at': at,
    'analytic, numeric there': [analytic[at], numeric[at]],
    'analytic, from the first': analytic.slice(0, 8),
    'numeric, from the first': numeric.slice(0, 8),
  })
}

const HAS_KINK = ['relu', 'leakyRelu', 'elu', 'selu']

/** How far z is from a kink of a loss: of mae at t, of huber where the parabola ends (its second derivative jumps there). */
const LOSS_KINKS: { readonly [name: string]: (z: number, t: number, of: Way['of']) => number } = {
  mae: (z, t) => Math.abs(z - t),
  quantile: (z, t) => Math.abs(z - t),
  huber: (z, t, { delta = 1 }) => Math.abs(Math.abs(z - t) - delta),
  hinge: (z, t) => Math.abs(1 - (2 * t - 1) * z),
}

/** Which rows of x keep clear of every kink; what a layer holds before its activation is asked of the net cut there. */
function clearRows(layers: Dense[], weights: Weights, x: number[][], y: number[][] | number[], loss: Way): boolean[] {
  const clear = x.map(() => true)
  const check = (depth: number, last: Dense, distance: (value: number, row: number, column: number) => number) => {
    const cutLayers = [...layers.slice(0, depth), last]
    const cut = new FNN({ inputs: x[0].length, layers: cutLayers, task: 'regression', loss: 'mse', ...FLOAT64.options })
    cut.setWeights(weights.slice(0, depth + 1))
    const { data } = cut.predict(x) as Matrix
    data.forEach((value, i) => {
      const row = Math.floor(i / last.units)
      if (!(distance(value, row, i % last.units) > NEAR_KINK)) clear[row] = false
    })
  }
  for (const [depth, layer] of layers.entries())
    if (HAS_KINK.includes(layer.activation)) check(depth, { ...layer, activation: 'linear' }, (z) => Math.abs(z))
  const distance = LOSS_KINKS[loss.of.kind]
  const targets = y as number[][]
  if (distance) check(layers.length - 1, layers[layers.length - 1], (z, r, o) => distance(z, targets[r][o], loss.of))
  return clear
}

/** A loss as configured, and the targets it takes. */
interface Way {
  name: string
  of: ReturnType<typeof mse>
  targets: 'numbers' | 'labels' | 'oneHot' | 'classes' | 'counts'
  /** Only behind activations whose values lie in (0, 1): elsewhere a logarithm has nothing to take. */
  needsProbabilities?: true
}

const WAYS: Way[] = [
  { name: 'mse', of: mse(), targets: 'numbers' },
  { name: 'mse, sum', of: mse({ reduction: 'sum' }), targets: 'numbers' },
  { name: '½ mse', of: mse({ scale: 0.5 }), targets: 'numbers' },
  { name: 'mae', of: mae(), targets: 'numbers' },
  { name: 'mae, sum, scaled', of: mae({ reduction: 'sum', scale: 0.1 }), targets: 'numbers' },
  { name: 'huber', of: huber(), targets: 'numbers' },
  { name: 'huber, 0.5', of: huber({ delta: 0.5 }), targets: 'numbers' },
  { name: 'logCosh', of: logCosh(), targets: 'numbers' },
  { name: 'quantile', of: quantile({ q: 0.9 }), targets: 'numbers' },
  { name: 'hinge', of: hinge(), targets: 'labels' },
  { name: 'poisson', of: poisson(), targets: 'counts' },
  { name: 'poisson of rates', of: poisson({ from: 'rates' }), targets: 'counts', needsProbabilities: true },
  { name: 'focal', of: focal(), targets: 'oneHot' },
  { name: 'focal, weighed, sum', of: focal({ gamma: 0.7, alpha: 0.3, reduction: 'sum' }), targets: 'oneHot' },
  { name: 'focal of probabilities', of: focal({ from: 'probabilities' }), targets: 'oneHot', needsProbabilities: true },
  { name: 'smoothed binaryCrossEntropy', of: binaryCrossEntropy({ labelSmoothing: 0.1 }), targets: 'labels' },
  { name: 'smoothed crossEntropy', of: crossEntropy({ labelSmoothing: 0.1 }), targets: 'classes' },
  { name: 'binaryCrossEntropy', of: binaryCrossEntropy(), targets: 'labels' },
  { name: 'binaryCrossEntropy, sum', of: binaryCrossEntropy({ reduction: 'sum' }), targets: 'labels' },
  { name: 'binaryCrossEntropy of logits', of: binaryCrossEntropy({ from: 'logits', scale: 3 }), targets: 'labels' },
  {
    name: 'binaryCrossEntropy of probabilities',
    of: binaryCrossEntropy({ from: 'probabilities' }),
    targets: 'labels',
    needsProbabilities: true,
  },
  { name: 'crossEntropy', of: crossEntropy(), targets: 'classes' },
  { name: 'crossEntropy, one-hot, sum', of: crossEntropy({ reduction: 'sum' }), targets: 'oneHot' },
  { name: 'crossEntropy of logits', of: crossEntropy({ from: 'logits' }), targets: 'classes' },
  {
    name: 'crossEntropy of probabilities',
    of: crossEntropy({ from: 'probabilities', scale: 2 }),
    targets: 'classes',
    needsProbabilities: true,
  },
]

const ACTIVATIONS = [...(Object.keys(rows.activations) as ActivationName[]), 'softmax'] as const
const x = scatterRows(8, 3, 0.4, 2)
const TARGETS = {
  numbers: scatterRows(8, 4, 1.1),
  labels: scatterRows(8, 4, 2.2).map((row) => row.map((v) => Number(v > 0))),
  classes: [0, 3, 1, 2, 2, 0, 1, 3],
  counts: scatterRows(8, 4, 3.3, 2).map((row) => row.map((v) => Math.round(Math.abs(v)))),
  oneHot: [0, 3, 1, 2, 2, 0, 1, 3].map((k) => [0, 1, 2, 3].map((o) => Number(o === k))),
}

t.test('every loss behind every activation, against finite differences', (t) => {
  let left = 0
  let cases = 0
  for (const activation of ACTIVATIONS)
    for (const way of WAYS) {
      if (way.needsProbabilities && activation !== 'sigmoid' && activation !== 'softmax') continue
      // The hidden activation moves on with each case, so that all of them are met as hidden ones too.
      const hidden = ACTIVATIONS[cases++ % ACTIVATIONS.length]
      const layers = [dense(5, hidden), dense(4, activation)]
      const task = taskOf(way.of.kind, way.targets)
      const net = new FNN({ inputs: 3, layers, loss: way.of, seed: cases, ...task, ...FLOAT64.options })
      const start = startOf(net)

      const clear = clearRows(layers, start, x, TARGETS[way.targets] as number[][], way)
      const keep = <T>(list: T[]): T[] => list.filter((_, r) => clear[r])
      left += clear.filter((is) => !is).length
      const [xs, ys] = [keep(x), keep(TARGETS[way.targets] as number[][])]
      const { loss, layers: ours } = net.gradients(xs, ys)
      const numeric = differences(start, (weights) => {
        net.setWeights(weights)
        return net.loss(xs, ys)
      })
      agreeWithDifferences(t, flat(ours), numeric, loss, `${way.name} of ${activation}, ${hidden} within`)
    }
  t.comment(`${cases} cases; ${left} of ${cases * x.length} rows left out near a kink`)
  t.ok(cases >= ACTIVATIONS.length * WAYS.filter((way) => !way.needsProbabilities).length, 'every pair was tried')
  t.ok(left < cases, 'hardly any row was left out')

  const layers = [dense(2, 'relu', { bias: false }), dense(2, 'linear', { bias: false })]
  const weights = [
    { weights: matrix([[1, 1]]), bias: null },
    { weights: identity(2), bias: null },
  ]
  const values = [[0], [5e-5], [-1], [1], [1]] // at relu's kink, near it, at mae's, near it, clear of both
  const targets = [
    [1, 1],
    [1, 1],
    [0, 3],
    [1 + 1e-5, 3],
    [0, 3],
  ]
  const clear = clearRows(layers, weights, values, targets, WAYS[3])
  t.same(clear, [false, false, false, false, true], 'rows at a kink of relu or of mae are seen')
  t.end()
})

/** One step of plain descent from `weights` on a fresh net: the objective there, and its gradient as the step shows it. */
function objectiveAt(options: ModelOptions, weights: Weights, y: number[][]) {
  const learningRate = 2 ** -10 // a power of two: w − ηg loses nothing but the last bits of g
  const net = new FNN({ inputs: 3, loss: 'mse', seed: 5, ...FLOAT64.options, ...options })
  net.setWeights(weights)
  const before = flat(net.weights())
  const { loss, penalty } = net.fitSync(x, y, { epochs: 1, learningRate })
  const gradient = flat(net.weights()).map((w, i) => (before[i] - w) / learningRate)
  return { loss: loss[0], penalty: penalty[0], gradient }
}

const OBJECTIVES: { name: string; options: ModelOptions & { layers: Layer[] }; lambdas: number[]; l1?: number[] }[] = [
  {
    name: 'l1 of the model, and of a layer',
    options: { l1: 0.3, layers: [dense(5, 'tanh', { l1: 0.05 }), dense(4, 'linear')] },
    lambdas: [0, 0],
    l1: [0.05, 0.3],
  },
  {
    name: 'l1 and l2',
    options: { l1: 0.1, l2: 0.2, layers: [dense(5, 'silu', { l1: 0 }), dense(4, 'linear')] },
    lambdas: [0.2, 0.2],
    l1: [0, 0.1],
  },
  {
    name: 'l2 of the model',
    options: { l2: 0.3, layers: [dense(5, 'tanh'), dense(4, 'linear')] },
    lambdas: [0.3, 0.3],
  },
  {
    name: 'l2 of layers before that of the model',
    options: { l2: 0.3, layers: [dense(5, 'tanh', { l2: 2 }), dense(6, 'silu'), dense(4, 'linear', { l2: 0 })] },
    lambdas: [2, 0.3, 0],
  },
  {
    name: 'no biases',
    options: { l2: 0.1, layers: [dense(5, 'gelu', { bias: false }), dense(4, 'softplus', { bias: false })] },
    lambdas: [0.1, 0.1],
  },
  {
    name: 'dropout, first, between and twice',
    options: { layers: [dropout(0.2), dense(5, 'tanh'), dropout(0.5), dense(6, 'silu'), dropout(0.1), dense(4)] },
    lambdas: [0, 0, 0],
  },
  {
    name: 'dropout and l2',
    options: { l2: 0.5, layers: [dense(5, 'softplus'), dropout(0.5), dense(4, 'linear')] },
    lambdas: [0.5, 0.5],
  },
]

t.test('the objective as trained: penalty and dropout in it', (t) => {
  const y = TARGETS.numbers
  for (const { name, options, lambdas, l1 = [] } of OBJECTIVES) {
    const net = new FNN({ inputs: 3, loss: 'mse', seed: 5, ...FLOAT64.options, ...options })
    const start = startOf(net)
    const { loss, penalty, gradient } = objectiveAt(options, start, y)

    // The masks follow from seed and step, so a dropped-out objective is a function like any other.
    const numeric = differences(start, (weights) => objectiveAt(options, weights, y).loss)
    agreeWithDifferences(t, gradient, numeric, loss, name)

    const squares = start.map(({ weights }) => Math.hypot(...weights.data) ** 2)
    const sizes = start.map(({ weights }) => [...weights.data].reduce((sum, w) => sum + Math.abs(w), 0))
    const expected = lambdas.reduce(
      (sum, lambda, layer) => sum + 0.5 * lambda * squares[layer] + (l1[layer] ?? 0) * sizes[layer],
      0,
    )
    agree(t, [penalty], [expected], { relative: 1e-13, absolute: 1e-300 }, `${name}: penalty`)
    const drops = options.layers.some((layer) => layer.kind === 'dropout')
    if (drops) t.not(loss - penalty, net.loss(x, y), `${name}: dropout is in the objective`)
    else agree(t, [net.loss(x, y)], [loss - penalty], { relative: 1e-13 }, `${name}: net.loss has no penalty`)
    t.equal(net.gradients(x, y).loss, net.loss(x, y), `${name}: gradients are those of net.loss`)
  }
  t.end()
})

t.test('l1 draws what the data do not need to 0; decay beside the gradient is in no penalty', (t) =>
  onEachBackend(t, (t, { options }) => {
    const xs = scatterRows(60, 3, 0.2)
    const ys = xs.map(([a]) => 2 * a)
    const small = (more: ModelOptions): number[] => {
      const net = new FNN({ layers: [dense(1)], task: 'regression', seed: 3, ...options, ...more })
      net.fitSync(xs, ys, { epochs: 400, learningRate: 0.1 })
      return [...net.weights()[0].weights.data]
    }
    const [needed, ...others] = small({ l1: 0.1 })
    t.ok(needed > 1.5 && others.every((w) => Math.abs(w) < 0.02), `l1: ${needed}, ${others}`)
    const decayed = new FNN({ hidden: [3], task: 'regression', seed: 3, ...options })
    const { penalty } = decayed.fitSync(xs, ys, { epochs: 3, optimizer: adamw({ weightDecay: 0.5 }) })
    t.same([...penalty], [0, 0, 0])
  }),
)

t.test(
  'dropout: each input is zeroed with its probability or scaled up, anew at each step, equally everywhere',
  (t) => {
    const n = 10_000
    const rate = 0.3
    // One row of ones into one unit: its weights' gradient is the mask, and a step at rate 1 from zero leaves −mask.
    const masks = async (options: ModelOptions, steps: number) => {
      const layers = [dropout(rate), dense(1, 'linear', { initializer: 'zeros', bias: false })]
      const net = new FNN({
        inputs: n,
        layers,
        loss: mae({ reduction: 'sum' }),
        task: 'regression',
        seed: 3,
        ...options,
      })
      const after: number[][] = []
      for (let step = 0; step < steps; step++) {
        await net.partialFit([new Float64Array(n).fill(1)], [-1e6], { epochs: 1, learningRate: 1 })
        after.push(flat(net.weights()))
      }
      return after.map((weights, step) => weights.map((w, i) => (step === 0 ? 0 : after[step - 1][i]) - w))
    }
    return onEachBackend(t, async (t, { dtype, options }) => {
      const [first, second] = await masks(options, 2)
      const kept = dtype === 'float64' ? 1 / (1 - rate) : Math.fround(1 / (1 - rate))
      t.same([...new Set(first)].sort(), [0, kept], 'inverted')
      const error = Math.sqrt((rate * (1 - rate)) / n)
      const dropped = (mask: number[]) => mask.filter((v) => v === 0).length / n
      agree(t, [first, second].map(dropped), [rate, rate], { absolute: 5 * error }, 'share dropped')
      const both = first.filter((v, i) => v === 0 && second[i] === 0).length / n
      agree(t, [both], [rate * rate], { absolute: 5 * error }, 'share dropped in both steps: their product')
      const [exact] = await masks(FLOAT64.options, 1)
      t.ok(
        first.every((v, i) => (v === 0) === (exact[i] === 0)),
        'the same mask as in float64',
      )
      const [other] = await masks({ ...options, seed: 4 }, 1)
      t.ok(
        first.some((v, i) => v !== other[i]),
        'another seed, another mask',
      )
    })
  },
)

t.test('a sum’s gradient is the sum of its parts’, past one chunk of rows', (t) =>
  onEachBackend(t, (t, { dtype, options }) => {
    const [many, targets] = [scatterRows(2500, 3, 0.4, 2), scatterRows(2500, 4, 1.1)]
    const layers = [dense(33, 'tanh'), dense(4, 'linear')]
    const net = new FNN({ inputs: 3, layers, loss: mse({ reduction: 'sum' }), seed: 2, ...options })
    const of = (from: number, to: number) => {
      const { loss, layers } = net.gradients(many.slice(from, to), targets.slice(from, to))
      return [loss, ...flat(layers)]
    }
    const parts = [of(0, 7), of(7, 1031), of(1031, 2500)]
    const sum = parts[0].map((_, i) => parts[0][i] + parts[1][i] + parts[2][i])
    const size = parts[0].map((_, i) => Math.abs(parts[0][i]) + Math.abs(parts[1][i]) + Math.abs(parts[2][i]))
    const absolute = Math.max(...size) * (dtype === 'float64' ? 1e-13 : 1e-5)
    agree(t, of(0, 2500), sum, { absolute }, '2500 rows against 7 + 1024 + 1469')
  }),
)
