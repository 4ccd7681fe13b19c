/**
 * Curvature: products with the Hessian against differences of exact gradients and against themselves; eigenvalues
 * against dense matrices, against problems whose answers are published, and against the golden network.
 */
import { dense, FNN, mse, sgd } from 'downhill'
import t, { type Test } from 'tap'
import { nativeStatus } from '../dist/backends/native'
import { Curvature } from '../dist/doctor/curvature'
import { largestEigenpairs } from '../dist/doctor/lanczos'
import { needsWholeBatch } from '../dist/layers'
import { Network } from '../dist/network'
import { compile } from '../dist/plan/compile'
import { pack } from '../dist/plan/layout'
import { encodeOperands, type Plan, type ProgramName } from '../dist/plan/plan'
import { random } from '../dist/random'
import { CASES, type Case, scatter, startOf, tableOf } from './cases'
import { goldenStart, readBreastCancer, readJson, standardised } from './truth'

t.setTimeout(180_000)

const SIZE = ({ model }: Case): number => model.inputs
/** Small enough for differences in every direction, and one of each activation, loss and part. */
const SMALL = CASES.filter((row) => row.rows < 100 && SIZE(row) < 40 && !row.name.startsWith('optimizer'))
const hasKinks = ({ model, loss }: Case): boolean =>
  /relu|elu/i.test(JSON.stringify(model.layers)) || loss.kind === 'mae' || loss.kind === 'huber'

function networkOf(row: Case, dtype: 'float64' | 'float32', backend: 'typescript' | 'native'): Network {
  const { model, loss } = row
  const network = new Network({ model, loss, dtype, backend, threads: 1 }, row.seed, 1)
  network.parameters = startOf(row)
  return network
}

const norm = (v: Float64Array): number => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0))
const minus = (a: Float64Array, b: Float64Array): Float64Array => a.map((v, i) => v - b[i])

/** ‖Hv − (∇L(θ + hv) − ∇L(θ − hv)) / 2h‖ by the formula of fourth order, relative. */
async function differenceError(curvature: Curvature, v: Float64Array, h: number): Promise<number> {
  const point = curvature.point
  await curvature.look(point)
  const Hv = await curvature.product(v)
  const at = async (s: number): Promise<Float64Array> => {
    await curvature.look(point.map((w, i) => w + s * h * v[i]))
    return curvature.gradient
  }
  const [g1, g2, g3, g4] = [await at(1), await at(-1), await at(2), await at(-2)]
  const slope = Hv.map((_, i) => (8 * (g1[i] - g2[i]) - (g3[i] - g4[i])) / (12 * h))
  await curvature.look(point)
  return norm(minus(Hv, slope)) / Math.max(norm(slope), norm(v) * 1e-3)
}

t.test('products with the Hessian are differences of exact gradients', async (t) => {
  for (const row of SMALL) {
    const curvature = new Curvature(networkOf(row, 'float64', 'typescript'), tableOf(row))
    const v = Float64Array.from(scatter(curvature.point.length, row.seed, 5))
    // At a kink differences see the jump, which is not in the Hessian; hardly any row lies within h of one.
    const error = await differenceError(curvature, v, hasKinks(row) ? 1e-7 : 1e-4)
    t.ok(error < (hasKinks(row) ? 1e-5 : 1e-9), `${row.name}: relative error ${error.toExponential(1)}`)
    curvature.close()
  }
})

t.test('the Hessian is symmetric', async (t) => {
  for (const row of SMALL) {
    const curvature = new Curvature(networkOf(row, 'float64', 'typescript'), tableOf(row))
    await curvature.look()
    const n = curvature.point.length
    const [u, v] = [4, 5].map((part) => Float64Array.from(scatter(n, row.seed, part)))
    const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0)
    const [Hu, Hv] = [await curvature.product(u), await curvature.product(v)]
    const error = Math.abs(dot(u, Hv) - dot(v, Hu)) / (norm(u) * norm(Hv) || 1)
    t.ok(error < 1e-12, `${row.name}: ${error.toExponential(1)}`)
    curvature.close()
  }
})

t.test('float32 agrees with float64, on both backends', async (t) => {
  for (const backend of ['typescript', 'native'] as const) {
    const skip = backend === 'native' && nativeStatus().backend === null && nativeStatus().reason
    await t.test(backend, { skip }, async (t) => {
      for (const row of CASES.filter(({ name }) => !name.startsWith('optimizer'))) {
        const [ours, exact] = [networkOf(row, 'float32', backend), networkOf(row, 'float64', 'typescript')]
        const [one, two] = [ours, exact].map((network) => new Curvature(network, tableOf(row)))
        const v = Float64Array.from(scatter(one.point.length, row.seed, 5))
        await Promise.all([one.look(), two.look()])
        const [a, b] = [await one.product(v), await two.product(v)]
        const error = norm(minus(a, b)) / Math.max(norm(b), 1e-3 * norm(v))
        t.ok(error < 1e-4, `${row.name}: ${error.toExponential(1)}`)
        for (const each of [one, two]) each.close()
      }
    })
  }
})

/** A plan's product, by whatever program remakes or keeps the pass. */
function planOf({ model, loss, rows }: Case, capacity: number, keepsPass: boolean): Plan {
  const programs: ProgramName[] = ['gradient', 'linearize', 'curvature', 'objective']
  return compile(model, { dtype: 'float64', capacity: Math.min(rows, capacity), loss, targets: 1, programs, keepsPass })
}

/** Multiply-adds a row of the products of a program. */
function work(plan: Plan, name: ProgramName): number {
  let sum = 0
  for (const instruction of plan.programs[name]?.chunk ?? []) {
    if (!instruction.op.startsWith('affine')) continue
    const operands = encodeOperands(instruction)
    const [I, O] = operands.slice(-2)
    const isTangent = instruction.op.endsWith('Tangent')
    const isAtInputs = 'Rx' in instruction && instruction.Rx === -1
    sum += I * O * (isTangent && !isAtInputs ? 2 : 1)
  }
  return sum
}

t.test('a product costs two gradients at most where the pass is kept, 8/3 where it is remade', async (t) => {
  const row = CASES.find(({ name }) => name === "the question's") as Case
  const kept = planOf(row, 1e9, true)
  const remade = planOf(row, 100, false)
  const [a, b] = [kept, remade].map((plan) => work(plan, 'curvature') / work(plan, 'gradient'))
  t.ok(a <= 2 && a > 1.5, `kept: ${a.toFixed(2)} gradients`)
  t.ok(b <= 8 / 3 && b > a, `remade: ${b.toFixed(2)} gradients`)
})

t.test('a pass remade chunk by chunk gives the same products', async (t) => {
  // Statistics of a batch are those of the whole of it: it is never cut.
  for (const row of SMALL.filter(({ rows, model }) => rows > 8 && !needsWholeBatch(model.layers))) {
    const table = tableOf(row)
    const network = networkOf(row, 'float64', 'typescript')
    const curvature = new Curvature(network, table)
    await curvature.look()
    const { model, loss } = row
    const programs = ['linearize', 'curvature'] as const
    const plan = compile(model, { dtype: 'float64', capacity: 4, loss, targets: table.targets, programs })
    const engine = network.load(plan)
    const v = scatter(plan.tangent.length, row.seed, 5)
    const data = engine.bind(table)
    engine.write(plan.tangent, v)
    const slice = { data, rows: null, pass: row.rows, batch: row.rows, start: 0, steps: 1, step: 0, seed: 0 }
    engine.run({ ...slice, program: 'curvature', learningRate: new Float64Array(1), follows: false })
    const chunked = engine.read(plan.curvature)
    const whole = await curvature.product(pack(v, network.layout))
    const error = norm(minus(pack(chunked, network.layout), whole)) / Math.max(norm(whole), 1e-3)
    t.ok(error < 1e-12, `${row.name}: ${error.toExponential(1)}`)
    data.release()
    engine.close()
    curvature.close()
  }
})

// ---------------------------------------------------------------------------------------------------- eigenvalues

/** A symmetric matrix as a tridiagonal one of the same eigenvalues, by Householder's reflections. */
function tridiagonal(matrix: readonly (readonly number[])[]): { diagonal: number[]; beside: number[] } {
  const a = matrix.map((row) => Float64Array.from(row))
  const n = a.length
  const beside: number[] = []
  for (let k = 0; k < n - 1; k++) {
    const v = a[k].slice(k + 1)
    const length = norm(v) * (v[0] > 0 ? -1 : 1)
    beside.push(length)
    v[0] -= length
    const scale = 2 / v.reduce((sum, x) => sum + x * x, 0)
    if (!Number.isFinite(scale)) continue
    // A − v·wᵀ − w·vᵀ below and right of k.
    const p = v.map((_, i) => scale * v.reduce((sum, x, j) => sum + a[k + 1 + i][k + 1 + j] * x, 0))
    const half = (scale / 2) * v.reduce((sum, x, i) => sum + x * p[i], 0)
    const w = p.map((x, i) => x - half * v[i])
    for (let i = 0; i < v.length; i++) {
      const row = a[k + 1 + i]
      for (let j = 0; j < v.length; j++) row[k + 1 + j] -= v[i] * w[j] + w[i] * v[j]
    }
  }
  return { diagonal: a.map((row, i) => row[i]), beside }
}

/** Its largest eigenvalues, by bisection of how many lie above a number (Sturm); written for this test alone. */
function largestEigenvalues(matrix: readonly (readonly number[])[], k: number): number[] {
  const { diagonal, beside } = tridiagonal(matrix)
  const above = (x: number): number => {
    let count = 0
    let pivot = 1
    for (const [i, d] of diagonal.entries()) {
      pivot = d - x - (i > 0 ? beside[i - 1] ** 2 / (pivot || Number.MIN_VALUE) : 0)
      if (pivot > 0) count++
    }
    return count
  }
  const bound = Math.max(...matrix.map((row) => row.reduce((sum, x) => sum + Math.abs(x), 0)))
  return Array.from({ length: k }, (_, i) => {
    let [low, high] = [-bound, bound]
    for (let halving = 0; halving < 60; halving++) {
      const middle = (low + high) / 2
      if (above(middle) > i) low = middle
      else high = middle
    }
    return low
  })
}

async function denseHessian(curvature: Curvature): Promise<number[][]> {
  const rows: number[][] = []
  for (let i = 0; i < curvature.point.length; i++)
    rows.push([...(await curvature.product(Float64Array.from(curvature.point, (_, j) => Number(i === j))))])
  return rows
}

t.test('the largest eigenvalues are those of the dense Hessian, saddles and multiples among them', async (t) => {
  const names = ['3-7-1, batches of 7', 'five layers', 'activation gelu', 'l2', 'crossEntropy mean of softmax, classes']
  const rows = CASES.filter(({ name }) => names.includes(name))
  t.ok(rows.length >= 4)
  const wide = CASES.find(({ name }) => name === 'no hidden layer') as Case
  for (const row of [...rows, { ...wide, name: 'five outputs, each eigenvalue five times' }]) {
    const curvature = new Curvature(networkOf(row, 'float64', 'typescript'), tableOf(row))
    await curvature.look()
    const exact = largestEigenvalues(await denseHessian(curvature), 3)
    const before = curvature.products
    const operator = { size: curvature.point.length, product: (v: Float64Array) => curvature.product(v) }
    const found = await largestEigenpairs(operator, { k: 3, most: 50, tolerance: 1e-6, seed: 1 })
    for (const [i, value] of found.values.entries()) {
      const error = Math.abs(value - exact[i]) / Math.abs(exact[0])
      t.ok(error < 1e-6, `${row.name}: eigenvalue ${i + 1} off by ${error.toExponential(1)}`)
      const residual = norm(
        minus(
          await curvature.product(found.vectors[i]),
          found.vectors[i].map((v) => value * v),
        ),
      )
      t.ok(
        residual <= found.residual * 1.01 + 1e-9,
        `${row.name}: residual ${residual.toExponential(1)} is as reported`,
      )
    }
    t.ok(found.products <= 50 && curvature.products - before >= found.products, `${found.products} products`)
    curvature.close()
  }
})

t.test('operators with known spectra', async (t) => {
  const diagonal = (values: readonly number[]) => ({
    size: values.length,
    product: async (v: Float64Array) => v.map((x, i) => values[i] * x),
  })
  const options = { k: 2, most: 50, tolerance: 1e-9, seed: 3 }
  for (const [name, values, largest] of [
    ['the largest by size is negative', [-100, 1, 2, 3, 0.5], [3, 2]],
    ['all negative', [-5, -1, -3], [-1, -3]],
    ['zero', [0, 0, 0], [0, 0]],
    ['multiples', [7, 7, 7, 1, 0], [7, 7]],
    ['one number', [4], [4]],
  ] as const) {
    const found = await largestEigenpairs(diagonal(values), options)
    const right = [...found.values].every((value, i) => Math.abs(value - largest[i]) < 1e-8)
    t.ok(right, `${name}: ${[...found.values]}`)
  }
  const from = random(5, 'sample')
  const wide = Array.from({ length: 1000 }, () => from.normal())
  const found = await largestEigenpairs(diagonal([...wide, 9, 8]), options)
  t.ok(Math.abs(found.values[0] - 9) < 1e-6 && Math.abs(found.values[1] - 8) < 1e-6, 'two above a thousand')
  t.ok(found.products <= 50)
})

// ---------------------------------------------------------------------------------------------------- published answers

const near = (t: Test, value: number, expected: number, relative: number, says: string): void => {
  t.ok(Math.abs(value - expected) <= relative * Math.abs(expected), `${says}: ${value} for ${expected}`)
}

const FLOAT64 = { dtype: 'float64', backend: 'typescript' } as const

t.test(
  'stats.stackexchange.com 432707: eigenvalues, limit, growth and condition of a line through 20 points',
  async (t) => {
    const { data_kinds } = readJson<{ data_kinds: { se432707: { x: number[]; y: number[] } } }>('open-cases.json')
    const { x, y } = data_kinds.se432707
    const make = (more: object = {}) =>
      new FNN({
        layers: [dense(1, 'linear', { initializer: 'zeros' })],
        loss: 'mse',
        task: 'regression',
        ...FLOAT64,
        ...more,
      })
    const rows = x.map((v) => [v])
    const net = make()
    await net.fit(rows, y, { epochs: 1, learningRate: 0 })
    const { values } = await net.sharpness(rows, y)
    t.equal(values.length, 2)
    near(t, values[0], 4169.5418, 1e-7, 'largest eigenvalue')
    near(t, values[1], 0.258196, 1e-5, 'smallest')
    near(t, values[0] / values[1], 16148.7, 1e-5, 'condition')
    const limits = await net.learningRateLimits(rows, y)
    near(t, limits.stable, 4.79669e-4, 1e-5, 'stable rate')
    near(t, limits.nextStepQuadratic, limits.nextStep, 1e-5, 'on a quadratic the two next-step limits agree')
    const slopes: number[] = []
    for (let i = 0; i < 400; i++) {
      await net.partialFit(rows, y, { epochs: 1, learningRate: 5e-4, optimizer: sgd() })
      slopes.push(net.weights()[0].weights.data[0])
    }
    const [a, b, c] = slopes.slice(-3)
    near(t, -(c - b) / (b - a), 1.0847709018819494, 1e-9, 'growth a step at 5e-4')
    const scaled = make({ standardize: true })
    await scaled.fit(rows, y, { epochs: 1, learningRate: 0 })
    const after = (await scaled.sharpness(rows, y)).values
    near(t, after[0] / after[1], 1, 1e-9, 'condition once standardised')
  },
)

t.test('tdc-ips15 and tdc-ips17: a line through a ramp, a parabola through four points', async (t) => {
  const ramp = new FNN({ layers: [dense(1)], loss: mse({ scale: 0.5 }), task: 'regression', ...FLOAT64 })
  const x = Array.from({ length: 100 }, (_, i) => [i])
  const y = x.map(([i]) => 2 * i + 4.5)
  await ramp.fit(x, y, { epochs: 1, learningRate: 0 })
  const { stable, sharpness } = await ramp.learningRateLimits(x, y)
  near(t, sharpness, 3284.246, 1e-6, 'ips15: eigenvalue')
  near(t, stable, 6.0897e-4, 1e-5, 'ips15: limit')
  t.equal(Math.round(0.5 / stable), 821)

  const loss = mse({ reduction: 'sum' })
  const parabola = new FNN({ layers: [dense(1)], loss, task: 'regression', seed: 1, ...FLOAT64 })
  const [u, v] = [[0, 1, 2, 3].map((i) => [i * i, i]), [0, 1, 4, 9]]
  await parabola.fit(u, v, { epochs: 1, learningRate: 0 })
  const { values } = await parabola.sharpness(u, v)
  for (const [i, value] of [226.86398, 4.51059, 0.62543].entries()) near(t, values[i], value, 1e-5, `ips17: ${i}`)
  near(t, (await parabola.learningRateLimits(u, v)).stable, 8.8159e-3, 1e-5, 'ips17: limit')
  near(t, 1 - 0.01 * values[0], -1.26864, 1e-5, 'ips17: growth at 0.01')
})

t.test('the golden network: 2/λ at step 0, and how far a quadratic is from the truth', async (t) => {
  const { x: raw, y } = readBreastCancer()
  const inputs = { raw, standardised: standardised(raw) }
  for (const [init, input, limit] of [
    ['asker', 'standardised', 0.023],
    ['randn', 'standardised', 0.27],
    ['scaled', 'standardised', 0.42],
    ['asker', 'raw', 0.045],
    ['scaled', 'raw', 0.0058],
  ] as const) {
    const net = new FNN({ inputs: 30, outputs: 1, task: 'binary', ...FLOAT64 })
    net.setWeights(goldenStart(init))
    const { values } = await net.sharpness(inputs[input], y, { k: 1 })
    near(t, Number((2 / values[0]).toPrecision(2)), limit, 1e-9, `${init}, ${input}`)
    if (init !== 'asker' || input === 'raw') continue
    const { nextStep, nextStepQuadratic } = await net.learningRateLimits(inputs[input], y)
    near(t, Number(nextStepQuadratic.toPrecision(2)), 0.044, 1e-9, 'the quadratic estimate of the next step')
    near(t, nextStep, 1.4921, 1e-4, 'the exact one') // 1.525 where it was first measured, on a coarser grid
  }
})
