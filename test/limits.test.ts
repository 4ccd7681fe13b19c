/**
 * Learning-rate limits, proved by running: one step rises at 1.01 times the next-step limit and not at 0.99 times; small
 * deviations from a stationary point grow at 1.005 times the stable rate and die out at 0.995 times.
 */
import {
  adagrad,
  adam,
  adamw,
  amsgrad,
  dense,
  FNN,
  type LayerParameters,
  lion,
  nadam,
  type OptimizerSpec,
  rmsprop,
  sgd,
} from 'downhill'
import t, { type Test } from 'tap'
import { Curvature } from '../dist/doctor/curvature'
import { firstRise } from '../dist/doctor/linesearch'
import { mse } from '../dist/losses'
import { Network } from '../dist/network'
import { optimizerRow } from '../dist/optimizers'
import { unpack } from '../dist/plan/layout'
import type { Table } from '../dist/plan/plan'
import { random } from '../dist/random'
import { edgeOfStability } from './chebyshev'
import { OPTIMIZERS, smallNet, tryNextStep } from './small-nets'

t.setTimeout(180_000)

t.test('the next step rises at 1.01 times its limit, and not at 0.99 times', async (t) => {
  let limits = 0
  for (let number = 1000; number < 1040; number++) {
    const net = smallNet(number)
    const { nextStep, holds } = await tryNextStep(net)
    if (holds !== null) limits++
    t.ok(holds !== false, `${net.name}: ${nextStep}`)
  }
  t.ok(limits >= 20, `${limits} nets have a limit`)
})

t.test('the search for the first rise', async (t) => {
  const search = async (excess: (x: number) => number, start: number, farthest = 1e6) =>
    firstRise({ excess: async (x) => excess(x), start, farthest })
  for (const start of [1e-6, 0.01, 1.9, 2.1, 1e5]) {
    const { at, locating } = await search((x) => x * (x - 2), start)
    t.ok(Math.abs(at - 2) < 1e-4 && locating <= 10, `a parabola from ${start}: ${at} in ${locating}`)
  }
  const cliff = await search((x) => (x < 3 ? -1 : Number.NaN), 0.1)
  t.ok(Math.abs(cliff.at - 3) < 0.005 && cliff.locating <= 10, `not a number from 3 on: ${cliff.at}`)
  t.equal((await search(() => -1, 1)).at, Number.POSITIVE_INFINITY, 'never')
  t.equal((await search(() => 1, 1)).at, 0, 'at once')
  t.equal((await search((x) => x - 1e7, 1)).at, Number.POSITIVE_INFINITY, 'beyond what is looked at')
})

// ---------------------------------------------------------------------------------------------------- stability

const from = random(7, 'sample')
const [ROWS, INPUTS] = [24, 3]
const x = Array.from({ length: ROWS }, () => Array.from({ length: INPUTS }, () => from.normal()))
const y = x.map(([a, b, c]) => Math.sin(a) + 0.5 * b - 0.2 * c * a)

const LAYERS = { linear: [dense(1)], tanh: [dense(2, 'tanh'), dense(1)] }
/** A penalty keeps the minimum of the tanh net from running off to infinity. */
const L2 = { linear: 0, tanh: 0.01 }
const FLOAT64 = { dtype: 'float64', backend: 'typescript' } as const

interface Stationary {
  readonly net: FNN
  readonly parameters: Float64Array
  /** The Hessian there, its largest eigenvector first. */
  readonly direction: Float64Array
}

/** The parameters of a net in one vector, and back. */
const flatten = (layers: readonly LayerParameters[]): Float64Array =>
  Float64Array.from(layers.flatMap(({ weights, bias }) => [...weights.data, ...(bias ?? [])]))
function unflatten(vector: Float64Array, like: readonly LayerParameters[]) {
  let at = 0
  const take = (n: number): Float64Array => {
    at += n
    return vector.slice(at - n, at)
  }
  return like.map(({ weights, bias }) => ({
    weights: { ...weights, data: take(weights.data.length) },
    bias: bias && take(bias.length),
  }))
}

const gradientOf = (net: FNN): Float64Array => flatten(net.gradients(x, y).layers)

/** Newton's method on exact products: descends first, then solves H·d = g densely until the gradient vanishes. */
async function stationary(kind: keyof typeof LAYERS): Promise<Stationary> {
  const net = new FNN({ inputs: INPUTS, layers: LAYERS[kind], loss: 'mse', l2: L2[kind], seed: 3, ...FLOAT64 })
  await net.fit(x, y, { epochs: 20_000, learningRate: 0.1 })
  const like = net.weights()
  const table: Table = {
    rows: ROWS,
    columns: INPUTS,
    x: Float64Array.from(x.flat()),
    scale: 1,
    targets: 1,
    y: Float64Array.from(y),
  }
  const model = { inputs: INPUTS, layers: LAYERS[kind], initializer: { kind: 'zeros' }, l2: L2[kind] } as const
  const network = new Network({ model, loss: mse(), dtype: 'float64', backend: 'typescript', threads: 1 }, 0, 1)
  network.parameters = unpack(flatten(like), network.layout)
  const curvature = new Curvature(network, table)
  let point = flatten(like)
  for (let i = 0; i < 40; i++) {
    await curvature.look(point)
    if (curvature.gradientNorm < 1e-13) break
    const n = point.length
    const H: number[][] = []
    for (let j = 0; j < n; j++)
      H.push([...(await curvature.product(Float64Array.from(point, (_, k) => Number(j === k))))])
    // A little damping, which vanishes with the gradient, for directions that are all but flat.
    for (let j = 0; j < n; j++) H[j][j] += curvature.gradientNorm
    const d = solve(H, [...curvature.gradient])
    point = point.map((w, j) => w - d[j])
  }
  curvature.close()
  net.setWeights(unflatten(point, like))
  const { vectors } = await net.sharpness(x, y, { k: 1, vectors: true })
  return { net, parameters: point, direction: vectors?.data as Float64Array }
}

/** Gaussian elimination with pivots. */
function solve(A: number[][], b: number[]): number[] {
  const n = b.length
  const rows = A.map((row, i) => [...row, b[i]])
  for (let p = 0; p < n; p++) {
    const best = rows.slice(p).reduce((k, row, i) => (Math.abs(row[p]) > Math.abs(rows[p + k][p]) ? i : k), 0)
    ;[rows[p], rows[p + best]] = [rows[p + best], rows[p]]
    for (let r = 0; r < n; r++) {
      if (r === p) continue
      const factor = rows[r][p] / rows[p][p]
      for (let c = p; c <= n; c++) rows[r][c] -= factor * rows[p][c]
    }
  }
  return rows.map((row, i) => row[n] / row[i])
}

const distance = (a: Float64Array, b: Float64Array): number =>
  Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]) ** 2, 0))

/** How far a deviation of 1e-7 along `direction` is after so many steps, as a share of what it was. */
async function growth({ net, parameters, direction }: Stationary, steps: number, run: () => Promise<void>) {
  const like = net.weights()
  net.setWeights(
    unflatten(
      parameters.map((w, i) => w + 1e-7 * direction[i]),
      like,
    ),
  )
  await run()
  const end = distance(flatten(net.weights()), parameters)
  net.setWeights(unflatten(parameters, like))
  return { share: end / 1e-7, steps }
}

async function proveStable(t: Test, at: Stationary, optimizer: OptimizerSpec, name: string): Promise<void> {
  const { stable } = await at.net.learningRateLimits(x, y, { optimizer })
  const shares: number[] = []
  for (const factor of [0.995, 1.005]) {
    const options = { epochs: 1500, optimizer, learningRate: factor * stable }
    const { share } = await growth(at, 1500, async () => void (await at.net.fit(x, y, options)))
    shares.push(share)
  }
  t.ok(shares[0] < 0.1, `${name}: at 0.995 times ${stable} it dies out, to ${shares[0].toExponential(1)}`)
  t.ok(shares[1] > 10, `${name}: at 1.005 times it grows, to ${shares[1].toExponential(1)}`)
}

t.test('at a stationary point deviations grow above the stable rate and die out below', async (t) => {
  for (const kind of ['linear', 'tanh'] as const) {
    const at = await stationary(kind)
    const { gradientNorm } = await at.net.learningRateLimits(x, y)
    t.ok(gradientNorm < 1e-11, `${kind}: the gradient is ${gradientNorm.toExponential(1)}`)
    const optimizers = {
      sgd: sgd(),
      momentum: sgd({ momentum: 0.9 }),
      nesterov: sgd({ momentum: 0.9, nesterov: true }),
    }
    for (const [name, optimizer] of Object.entries(optimizers)) await proveStable(t, at, optimizer, `${kind}, ${name}`)
  }
})

t.test('those that divide likewise, with the preconditioner of the state in hand held as it is', async (t) => {
  const some = [adam(), rmsprop(), adamw({ weightDecay: 0 }), amsgrad({ beta2: 0.6 }), adagrad(), nadam()]
  for (const optimizer of some) {
    const at = await stationary('linear')
    // Some steps give the state a preconditioner of some size; the weights go back to where they were.
    const away = unflatten(
      at.parameters.map((w) => w + 1),
      at.net.weights(),
    )
    const back = at.net.weights()
    at.net.setWeights(away)
    await at.net.partialFit(x, y, { epochs: 7, optimizer, learningRate: 0.01 })
    at.net.setWeights(back)
    const { stable, preconditionedSharpness: mu } = await at.net.learningRateLimits(x, y, { optimizer })
    t.ok(Math.abs(stable * mu - optimizerRow(optimizer).threshold(optimizer.settings, 8)) < 1e-9 * stable * mu)

    // The same recursion by hand, P frozen, on gradients from elsewhere: v is that of the seven steps above.
    const P = await frozen(optimizer, away)
    const { beta1 = 0 } = optimizer.settings
    const ahead = momentumOf(optimizer, 8)
    const direction = Float64Array.from(at.parameters, () => random(9, 'sample').normal())
    for (const [factor, grows] of [
      [0.995, false],
      [1.005, true],
    ] as const) {
      const { share } = await growth({ ...at, direction }, 4000, async () => {
        const m = new Float64Array(at.parameters.length)
        for (let step = 0; step < 4000; step++) {
          const g = gradientOf(at.net)
          const w = flatten(at.net.weights())
          for (let i = 0; i < w.length; i++) {
            m[i] = beta1 * m[i] + (1 - beta1) * g[i]
            w[i] -= (factor * stable * ((1 - ahead) * g[i] + ahead * m[i])) / P[i]
          }
          at.net.setWeights(unflatten(w, back))
        }
      })
      t.ok(grows ? share > 3 : share < 0.3, `${optimizer.kind} at ${factor} times ${stable}: ${share.toExponential(1)}`)
    }
  }
})

/** The share of the memory in a step, bias corrections over: Nadam's μ_k; 1 where no gradient is added to it. */
function momentumOf({ settings: { beta1, momentumDecay } }: OptimizerSpec, k: number): number {
  return momentumDecay === undefined ? 1 : beta1 * (1 - 0.5 * 0.96 ** (k * momentumDecay))
}

/** √v̂ + ε after seven steps from `start`, by the definition. */
async function frozen(optimizer: OptimizerSpec, start: ReturnType<typeof unflatten>): Promise<Float64Array> {
  const { kind, settings } = optimizer
  const { beta1 = 0, beta2, decay = 1, epsilon } = settings
  const rho = beta2 ?? decay
  const net = new FNN({ inputs: INPUTS, layers: LAYERS.linear, loss: 'mse', seed: 3, ...FLOAT64 })
  net.setWeights(start)
  const n = flatten(net.weights()).length
  const [m, v, u] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)]
  const corrects = beta2 !== undefined
  let product = 1
  for (let k = 1; k <= 7; k++) {
    const [mu, next] = [momentumOf(optimizer, k), momentumOf(optimizer, k + 1)]
    product *= mu
    const g = gradientOf(net)
    const w = flatten(net.weights())
    for (let i = 0; i < n; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * g[i]
      v[i] = rho * v[i] + (kind === 'adagrad' ? 1 : 1 - rho) * g[i] ** 2
      u[i] = kind === 'amsgrad' ? Math.max(u[i], v[i]) : v[i]
      const corrected = corrects ? m[i] / (1 - beta1 ** k) : m[i]
      const ahead = ((1 - mu) * g[i]) / (1 - product) + (next * m[i]) / (1 - product * next)
      const square = corrects ? u[i] / (1 - rho ** k) : u[i]
      w[i] -= (0.01 * (kind === 'nadam' ? ahead : corrected)) / (Math.sqrt(square) + epsilon)
    }
    net.setWeights(unflatten(w, net.weights()))
  }
  return u.map((value) => Math.sqrt(corrects ? value / (1 - rho ** 7) : value) + epsilon)
}

// ---------------------------------------------------------------------------------------------------- rules

t.test('what has no limit, and what no rate can help', async (t) => {
  const net = new FNN({ inputs: INPUTS, layers: LAYERS.tanh, loss: 'mse', seed: 2, ...FLOAT64 })
  const momentum = sgd({ momentum: 0.9 })
  await net.partialFit(x, y, { epochs: 3, learningRate: 0.5, optimizer: momentum })
  // The targets turned round: what is remembered points uphill now.
  const uphill = await net.learningRateLimits(
    x,
    y.map((v) => -10 * v),
    { optimizer: momentum },
  )
  t.ok(uphill.nextStep >= 0 && uphill.nextStepQuadratic >= 0)
  const fresh = await net.learningRateLimits(x, y, { optimizer: sgd() })
  t.ok(fresh.nextStep > 0)
  t.not(
    (await net.learningRateLimits(x, y)).nextStep,
    fresh.nextStep,
    'left out, the optimizer is that of the state kept',
  )

  const flat = new FNN({
    inputs: INPUTS,
    layers: [dense(1, 'linear', { initializer: 'zeros' })],
    ...FLOAT64,
    loss: 'mae',
  })
  const none = await flat.learningRateLimits(x, new Float64Array(ROWS))
  t.equal(none.nextStep, Number.POSITIVE_INFINITY, 'an update of nothing')
  t.equal(none.stable, Number.POSITIVE_INFINITY, 'no curvature')
})

t.test('rows: a sample, a list, all', async (t) => {
  const net = new FNN({ inputs: INPUTS, layers: LAYERS.tanh, loss: 'mse', seed: 2, ...FLOAT64 })
  const few = await net.learningRateLimits(x.slice(0, 5), y.slice(0, 5))
  t.same(await net.learningRateLimits(x, y, { rows: [0, 1, 2, 3, 4] }), few)
  t.same(await net.learningRateLimits(x, y, { rows: ROWS + 1 }), await net.learningRateLimits(x, y))
  t.notSame(await net.learningRateLimits(x, y, { rows: 7 }), await net.learningRateLimits(x, y))
  for (const rows of [0, 1.5, [], [ROWS], [-1], ['a'], 'all'])
    await t.rejects(net.learningRateLimits(x, y, { rows } as object), { code: 'ERR_OPTION' })
})

t.test('nothing of the model changes, and every optimizer of a form has a limit', async (t) => {
  const net = new FNN({ inputs: INPUTS, layers: LAYERS.tanh, loss: 'mse', l2: 0.01, seed: 2, ...FLOAT64 })
  const before = flatten(net.weights())
  for (const optimizer of OPTIMIZERS) {
    const limits = await net.learningRateLimits(x, y, { optimizer })
    for (const [name, value] of Object.entries(limits)) t.ok(value > 0, `${optimizer.kind}: ${name} ${value}`)
  }
  // A step of one length wherever it stands: it can be too long, but no rate makes it come to rest.
  const { nextStep, stable, preconditionedSharpness } = await net.learningRateLimits(x, y, { optimizer: lion() })
  t.ok(nextStep > 0 && Number.isNaN(stable) && Number.isNaN(preconditionedSharpness))
  await net.sharpness(x, y)
  t.same(flatten(net.weights()), before)
  await t.rejects(new FNN().sharpness(x, y), { code: 'ERR_STATE' })
  await t.rejects(net.sharpness(x, y, { k: 0 }), { code: 'ERR_OPTION' })
  await t.rejects(net.sharpness(x, y, { kk: 1 } as object), { code: 'ERR_OPTION' })
  const wild = unflatten(before.fill(1e200), net.weights())
  net.setWeights(wild)
  await t.rejects(net.learningRateLimits(x, y), { code: 'ERR_DIVERGED' })
})

t.test('the edge of stability: sharpness settles at 2/η, and the loss rises again and again and falls', async (t) => {
  const { product, first, last, rises } = await edgeOfStability(4, 0.4, 1, 16_000)
  t.ok(Math.abs(product - 1) < 0.1, `mean sharpness over the second half times η/2: ${product}`)
  t.ok(last < 0.01 * first, `${first} falls to ${last}`)
  t.ok(rises > 500, `${rises} rises`)
})
