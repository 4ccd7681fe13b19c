/**
 * Parity: every backend against the specification, which is the TypeScript backend in float64.
 *
 * First instruction by instruction, from the very same floats, within the bounds of lockstep.ts; then the numbers that
 * hurt (NaN, ±0, ±Infinity, denormals, every exponent); then whole programs; then what must hold bit for bit within one
 * backend. Every body takes the backend as an argument, and a skip says why.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ACTIVATIONS } from '../dist/activations'
import type { Bound, Engine } from '../dist/backends/backend'
import { nativeStatus } from '../dist/backends/native'
import { LOSS_KERNELS } from '../dist/losses'
import { sgd } from '../dist/optimizers'
import type { Floats, Plan, Program, ProgramName, Report, Slice, Table } from '../dist/plan/plan'
import { countTo, random, shuffle } from '../dist/random'
import {
  CASES,
  type Case,
  CONTENDERS,
  type Contender,
  EXACT,
  PROGRAMS,
  planOf,
  scatter,
  startOf,
  tableOf,
} from './cases'
import { blocksOf, type Done, Expectation, isInPlace, runOne, type Steps, type Worst } from './lockstep'

/** Runs `body` on each backend there is. */
async function onEach(
  t: Test,
  contenders: readonly Contender[],
  body: (t: Test, on: Contender) => void | Promise<void>,
) {
  for (const on of contenders)
    await t.test(on.name, { skip: on.backend === null && on.reason }, async (t) => body(t, on))
}
const ALL = [EXACT, ...CONTENDERS]

const flushes = ({ name }: Contender): boolean => name.startsWith('native')

// ---------------------------------------------------------------------------------------------------- instructions

const STEPS: Steps = {
  rows: null,
  pass: 1,
  batch: 1,
  start: 0,
  steps: 1,
  learningRate: Float64Array.of(0.0123),
  step: 3,
  seed: 0x9e3779b9,
  follows: false,
}

/** Parameters, state as it is in mid-training, a tangent, and nothing else. */
function arenaOf(row: Case, plan: Plan): Float32Array {
  const arena = new Float32Array(plan.length)
  arena.set(startOf(row))
  arena.set(scatter(plan.state.length, row.seed, 3).map(Math.abs), plan.state.at)
  arena.set(scatter(plan.tangent.length, row.seed, 4), plan.tangent.at)
  return arena
}

const NOTHING: Worst = { key: '', share: 0, roundings: 0, says: 'nothing' }

/** The worst of each operation on each backend, for the table of docs/numerics.md. */
const seen = new Map<string, Map<string, Worst>>()

function see({ name }: Contender, found: Worst): Worst {
  const worst = seen.get(name) ?? new Map<string, Worst>()
  seen.set(name, worst)
  if (found.roundings > (worst.get(found.key)?.roundings ?? 0)) worst.set(found.key, found)
  return found
}

/** What is found of something on each backend there is. */
interface Found {
  readonly what: string
  readonly worst: ReadonlyMap<Contender, Worst>
}

const HERE = CONTENDERS.filter(({ backend }) => backend !== null)

/** Holds every backend to what one instruction ought to do from an arena, which is worked out once; what each did. */
function hold(
  worst: Map<Contender, Worst>,
  ...[plan, instruction, arena, table, steps]: ConstructorParameters<typeof Expectation>
): Done[] {
  const expected = new Expectation(plan, instruction, arena, table, steps)
  return HERE.map((on) => {
    const done = runOne(on, plan, instruction, arena, table, steps)
    const found = see(on, expected.check(done, flushes(on)))
    if (found.share >= (worst.get(on) ?? NOTHING).share) worst.set(on, found)
    return done
  })
}

/** Walks a program; each instruction starts from what float32 in TypeScript left of the one before. */
function walk(row: Case, plan: Plan, program: Program, start: Float32Array, table: Table): Map<Contender, Worst> {
  const order = shuffle(countTo(row.rows), random(row.seed, 'shuffle'))
  let arena = start
  const worst = new Map<Contender, Worst>()
  for (const instruction of [...program.chunk, ...program.step]) {
    const batch = isInPlace(instruction) ? row.capacity : row.batch
    const steps = { ...STEPS, rows: order, pass: row.rows, batch }
    const [next] = hold(worst, plan, instruction, arena, table, steps)
    if (next.report.stopped) break
    arena = next.arena as Float32Array
  }
  return worst
}

/** Says of each backend what was found. */
function tell(t: Test, found: readonly Found[]): Promise<void> {
  return onEach(t, CONTENDERS, (t, on) => {
    for (const { what, worst } of found) {
      const { share, says } = worst.get(on) ?? NOTHING
      t.ok(share <= 1, `${what}: at worst ${share.toFixed(2)} of what is allowed (${says})`)
    }
  })
}

t.test('each instruction of each case', (t) => {
  const found = CASES.flatMap((row) => {
    const plan = planOf(row, 'float32')
    return (['train', 'evaluate', 'curvature'] as const).map((name): Found => {
      const program = plan.programs[name] as Program
      return { what: `${row.name}, ${name}`, worst: walk(row, plan, program, arenaOf(row, plan), tableOf(row)) }
    })
  })
  return tell(t, found)
})

// ---------------------------------------------------------------------------------------------------- numbers that hurt

const INFINITY = Number.POSITIVE_INFINITY
const LARGEST = (2 - 2 ** -23) * 2 ** 127
const SPECIALS = [
  Number.NaN,
  INFINITY,
  -INFINITY,
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  2 ** -126 - 2 ** -149,
  2 ** -126,
  1,
  -1,
]

/** One row of a model's inputs after another hurts; the last are ordinary. */
function poisoned(row: Case, values: readonly number[]): Table {
  const table = tableOf(row)
  const x = Float32Array.from(table.x)
  for (const [r, value] of values.entries()) {
    if (r >= row.rows - 1) break
    x[r * table.columns + (r % table.columns)] = value
  }
  return { ...table, x, scale: 1 }
}

const MILD = SPECIALS.filter(Number.isFinite)

t.test('NaN, infinities, zeros and denormals in the data and the parameters', (t) => {
  const found: Found[] = []
  for (const row of CASES.filter(({ bytes, rows }) => !bytes && rows > 8 && rows < 500))
    for (const [what, values] of Object.entries({ all: SPECIALS, finite: MILD })) {
      const plan = planOf(row, 'float32')
      const arena = arenaOf(row, plan)
      for (const [i, value] of MILD.entries()) arena[(i * 7) % plan.trainable.length] = value
      const worst = walk(row, plan, plan.programs.train as Program, arena, poisoned(row, values))
      found.push({ what: `${row.name}, ${what} in x`, worst })
    }
  return tell(t, found)
})

/** Columns of the sweeps. */
const O = 8

/** Rows of O numbers: each special among ordinary ones, then every exponent of both signs, then −30 … 30 finely. */
function sweep(): Float32Array {
  const ordinary = scatter(SPECIALS.length * O, 1, 0)
  for (const [r, value] of SPECIALS.entries()) ordinary[r * O + (r % O)] = value
  const exponents = Array.from({ length: 277 }, (_, i) => 1.37 * 2 ** (i - 149)).filter((v) => v < LARGEST)
  const fine = Array.from({ length: 4001 }, (_, i) => (i - 2000) / (2000 / 30))
  const rest = [...exponents, ...exponents.map((v) => -v), LARGEST, -LARGEST, ...fine]
  while (rest.length % O !== 0) rest.push(0.5)
  return Float32Array.from([...ordinary, ...rest])
}

/** A plan for one hand-made instruction over blocks of `n` floats, the i-th at i·n + 16; no network makes it. */
function barePlan(blocks: number, n: number, capacity: number): Plan {
  const none = { at: 16, length: 0 }
  const parameters = { at: 0, length: 16 }
  const length = 16 + blocks * n
  return {
    dtype: 'float32',
    inputs: 1,
    targets: 1,
    capacity,
    length,
    parameters,
    trainable: parameters,
    gradients: none,
    state: none,
    average: none,
    tangent: none,
    curvature: none,
    programs: {},
  }
}

const bareTable = (rows: number): Table => ({
  rows,
  columns: 1,
  x: new Float32Array(rows),
  scale: 1,
  targets: 1,
  y: new Float32Array(rows),
})

t.test('every exponent through every activation and its derivatives', (t) => {
  const x = sweep()
  const n = x.length
  const rows = n / O
  const plan = barePlan(6, n, rows)
  const [atX, atY, atDy, atDx, atRx, atRdy] = [0, 1, 2, 3, 4, 5].map((block) => 16 + block * n)
  const steps = { ...STEPS, pass: rows, batch: rows }
  const found: Found[] = []
  for (const [row, { keeps, forward }] of ACTIVATIONS) {
    const arena = new Float32Array(plan.length)
    arena.set(x, atX)
    forward(x, arena.subarray(atY, atY + n), rows, O)
    for (const [part, at] of [atDy, atRx, atRdy].entries()) arena.set(scatter(n, 2, part), at)
    const read = keeps === 'input' ? atX : atY
    for (const instruction of [
      { op: 'activate', row, x: atX, y: atY, O },
      { op: 'activateGrad', row, x: read, y: atY, dy: atDy, dx: atDx, O },
      { op: 'activateGradTangent', row, x: read, y: atY, Rx: atRx, dy: atDy, Rdy: atRdy, Rdx: atDx, O },
    ] as const) {
      const worst = new Map<Contender, Worst>()
      hold(worst, plan, instruction, arena, bareTable(rows), steps)
      found.push({ what: `${instruction.op}.${row}`, worst })
    }
  }
  return tell(t, found)
})

/** Target columns and constants of a kernel: δ and q of 0.7, labels as they are and smoothed, γ with α and without. */
function constantsOf(kernel: string): readonly (readonly [T: number, parameter: number, second: number])[] {
  const forms = /^(focalC|c)rossEntropy/.test(kernel) ? [O, 1] : [O]
  const constants = kernel.startsWith('focal')
    ? [[2, -1] as const, [0.7, 0.25] as const]
    : /rossEntropy|^bce/.test(kernel)
      ? [[0, 0] as const, [0.1, 0] as const]
      : [[0.7, 0] as const]
  return forms.flatMap((T) => constants.map(([parameter, second]) => [T, parameter, second] as const))
}

t.test('every exponent through every loss and its derivatives', (t) => {
  const logits = sweep()
  const probabilities = Float32Array.from([
    ...[0, 1, 2 ** -149, 2 ** -126, 1 - 2 ** -24, 0.5, Number.NaN, INFINITY],
    ...Array.from({ length: 150 * O }, (_, i) => 2 ** -(i / O)),
    ...Array.from({ length: 100 * O }, (_, i) => i / (100 * O)),
  ])
  const labels = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => [0, 1, 0.25][(i * 7) % 3])
  const classes = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => (i * 5) % O)
  const found: Found[] = []
  for (const row of LOSS_KERNELS.keys())
    for (const [T, parameter, second] of constantsOf(row)) {
      const z = row.endsWith('Probabilities') ? probabilities : row.endsWith('Rates') ? logits.map(Math.abs) : logits
      const t_ = T === 1 ? classes(z.length / O) : labels(z.length)
      // A row at a time, so that one NaN does not hide the other losses.
      const plan = barePlan(5, 16, 1)
      const kernel = { row, z: 16, t: 32, O, T, scale: 0.3, overRows: 1, parameter, second }
      const Rz = scatter(O, 3, 0)
      const worst = new Map<Contender, Worst>()
      for (let r = 0; r < z.length / O; r++) {
        const arena = new Float32Array(plan.length)
        arena.set(z.subarray(r * O, (r + 1) * O), 16)
        arena.set(t_.subarray(r * T, (r + 1) * T), 32)
        arena.set(Rz, 64)
        for (const instruction of [
          { op: 'loss', dz: 48, ...kernel },
          { op: 'lossTangent', Rz: 64, Rdz: 80, ...kernel },
        ] as const)
          hold(worst, plan, instruction, arena, bareTable(1), STEPS)
      }
      found.push({ what: `${row} of ${T} targets, ${parameter}, ${second}`, worst })
    }
  return tell(t, found)
})

// ---------------------------------------------------------------------------------------------------- whole programs

/** An engine over a whole plan, with the case's start and data in it. */
class Loaded {
  readonly engine: Engine
  readonly data: Bound

  constructor(
    on: Contender,
    readonly row: Case,
    readonly plan = planOf(row, on.dtype),
    threads = 1,
  ) {
    if (on.backend === null) throw new Error(on.reason)
    this.engine = on.backend.load(plan, threads)
    this.engine.write(plan.parameters, startOf(row))
    this.data = this.engine.bind(tableOf(row))
  }

  slice(program: ProgramName, steps: number, more: Partial<Slice<Bound>> = {}): Slice<Bound> {
    const { rows, batch } = this.row
    const updates = this.plan.programs[program]?.step.length ?? 0
    const learningRate = new Float64Array(updates > 0 ? steps : 0).fill(STEPS.learningRate[0])
    return { ...STEPS, program, data: this.data, pass: rows, batch, steps, step: 0, learningRate, ...more }
  }

  /** The whole arena. */
  arena(): Floats[] {
    return blocksOf(this.plan).map((block) => this.engine.read(block))
  }

  close(): void {
    this.data.release()
    this.engine.close()
  }
}

/** Loads each case, hands it to `body`, and closes it. */
function eachLoaded(on: Contender, rows: readonly Case[], body: (loaded: Loaded) => void): void {
  for (const row of rows) {
    const loaded = new Loaded(on, row)
    body(loaded)
    loaded.close()
  }
}

/** ‖a − b‖ / ‖b‖; 0 where both are 0. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2
    norm += b[i] ** 2
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm)
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

/** Five steps, then a look at everything; shuffled rows, and a short last batch where the batch does not divide. */
function fiveSteps(on: Contender, row: Case): Record<string, ArrayLike<number>> {
  const loaded = new Loaded(on, row)
  const { engine, plan } = loaded
  const from = random(row.seed, 'shuffle')
  const orders = Array.from({ length: 5 }, () => [...shuffle(countTo(row.rows), from)]).flat()
  const report = engine.run(loaded.slice('train', 5, { rows: Uint32Array.from(orders) }))
  const parameters = engine.read(plan.parameters)
  const start = startOf(row)
  const moved = start.map((w, i) => parameters[i] - w)
  const whole = { batch: row.rows, rows: null }
  const seen = engine.run(loaded.slice('evaluate', 1, whole))
  engine.run(loaded.slice('gradient', 1, whole))
  const gradient = engine.read(plan.gradients)
  const predicted = engine.run(loaded.slice('predict', 1, whole))
  loaded.close()
  const { loss, penalty, gradientNorm } = report
  const outputs = { evaluated: seen.output as Floats, predicted: predicted.output as Floats }
  return { loss, penalty, gradientNorm, moved, 'loss after': seen.loss, ...outputs, gradient }
}

/**
 * Five steps of float32 from those of float64, as distances of whole vectors. A rounding in a step is about 1e-7, five
 * steps multiply it by little; adam and rmsprop divide small gradients by their own size, which multiplies it by more.
 */
const PROGRAM_TOLERANCE = 1e-4

t.test('five steps of each case, and what it has learned', (t) =>
  onEach(t, CONTENDERS, (t, on) => {
    for (const row of CASES) {
      const [ours, exact] = [fiveSteps(on, row), fiveSteps(EXACT, row)]
      const distances = Object.keys(exact).map((name) => ({ name, share: distance(ours[name], exact[name]) }))
      const { name, share } = distances.reduce((a, b) => (a.share >= b.share ? a : b))
      const lengths = Object.keys(exact).every((key) => ours[key].length === exact[key].length)
      t.ok(lengths && share < PROGRAM_TOLERANCE, `${row.name}: ${name} at a distance of ${share.toExponential(1)}`)
    }
  }),
)

t.test('the gradient of each case is that of its loss, masks and penalty in it', (t) => {
  const on = EXACT
  for (const row of CASES) {
    // What is clipped is no longer its gradient.
    const plan = planOf({ ...row, clipNorm: null, clipValue: null }, on.dtype, sgd())
    const loaded = new Loaded(on, row, plan)
    const start = Float64Array.from(startOf(row))
    // Along all that has a gradient: not along running statistics.
    const direction = Float64Array.from(scatter(start.length, row.seed, 9)).fill(0, plan.gradients.length)
    /** Loss at `start + h·direction`, over all rows, by a step that moves nothing; it leaves the gradient behind. */
    const lossAt = (h: number): number => {
      loaded.engine.write(
        plan.parameters,
        start.map((w, i) => w + h * direction[i]),
      )
      return loaded.engine.run(loaded.slice('train', 1, { batch: row.rows, learningRate: new Float64Array(1) })).loss[0]
    }
    const h = 1e-6
    const slope = (lossAt(h) - lossAt(-h)) / (2 * h)
    lossAt(0)
    const gradient = loaded.engine.read(plan.gradients)
    const ours = dot(gradient, direction)
    const size = Math.sqrt(dot(gradient, gradient) * dot(direction, direction))
    // 1e-10, but where some of 67,000 relus change sides within h: 1e-7.
    const error = Math.abs(ours - slope) / size
    t.ok(error < 1e-6, `${row.name}: off by ${error.toExponential(1)} of |gradient|·|direction|`)
    loaded.close()
  }
  t.end()
})

// ---------------------------------------------------------------------------------------------------- bit for bit

/** Bytes of numbers as doubles, which is exact for floats. */
const bitsOf = (list: ArrayLike<number>): Buffer => Buffer.from(Float64Array.from(list).buffer)
const sameBits = (a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): boolean =>
  a.length === b.length && a.every((list, i) => bitsOf(list).equals(bitsOf(b[i])))

const series = ({ loss, penalty, gradientNorm }: Report): Float64Array[] => [loss, penalty, gradientNorm]
const joined = (reports: readonly Report[]): Float64Array[] =>
  [0, 1, 2].map((i) => Float64Array.from(reports.flatMap((report) => [...series(report)[i]])))

/** Small ones: what is asked of them does not depend on size. */
const SMALL = CASES.filter(({ rows, model }) => rows < 100 && model.inputs < 40)

/** Enough rows or weights for several tiles of work. */
const LARGE = [
  "the question's",
  'wide enough for BLAS',
  'more than a chunk',
  'one row more than two chunks',
  'units in tiles',
  'batchNorm of many units',
  'embedding of many rows',
]

t.test('however a training is cut into slices, sync or not, the bits are the same', (t) =>
  onEach(t, ALL, async (t, on) => {
    for (const row of SMALL) {
      const steps = 3 * Math.ceil(row.rows / row.batch)
      const whole = new Loaded(on, row)
      const report = whole.engine.run(whole.slice('train', steps))

      const cut = new Loaded(on, row)
      const reports: Report[] = []
      for (let step = 0; step < steps; step++) {
        const start = (step % Math.ceil(row.rows / row.batch)) * row.batch
        reports.push(cut.engine.run(cut.slice('train', 1, { step, start })))
      }
      t.ok(sameBits(joined(reports), series(report)), `${row.name}: reports of single steps`)
      t.ok(sameBits(cut.arena(), whole.arena()), `${row.name}: single steps`)

      const async = new Loaded(on, row)
      const later = await async.engine.runAsync(async.slice('train', steps))
      t.ok(sameBits(series(later), series(report)), `${row.name}: report from another thread`)
      t.ok(sameBits(async.arena(), whole.arena()), `${row.name}: another thread`)
      for (const loaded of [whole, cut, async]) loaded.close()
    }
  }),
)

t.test('an engine that has trained, even to NaN, trains anew as a fresh one does', (t) =>
  onEach(t, ALL, (t, on) => {
    for (const row of SMALL) {
      const [fresh, used] = [new Loaded(on, row), new Loaded(on, row)]
      const { parameters, state } = fresh.plan
      const start = fresh.engine.read(parameters)
      used.engine.run(used.slice('train', 3))
      // Between tensors there are gaps, which are zero and stay so.
      used.engine.write(
        parameters,
        start.map((value) => (value === 0 ? 0 : Number.NaN)),
      )
      used.engine.run(used.slice('train', 1))
      used.engine.write(parameters, start)
      used.engine.clear(state)
      t.ok(
        used.engine.read(state).every((value) => value === 0),
        `${row.name}: a state that is cleared is zero`,
      )
      const [report, again] = [fresh, used].map((loaded) => loaded.engine.run(loaded.slice('train', 3)))
      t.ok(sameBits(series(report), series(again)), `${row.name}: the same losses`)
      for (const range of [parameters, state])
        t.ok(sameBits([fresh.engine.read(range)], [used.engine.read(range)]), `${row.name}: the same floats`)
      for (const loaded of [fresh, used]) loaded.close()
    }
  }),
)

t.test('a row gives the same output alone, among others, in chunks of any size, and in a slice', (t) =>
  onEach(t, ALL, (t, on) => {
    for (const row of CASES.filter(({ rows }) => rows < 200)) {
      const { x, columns, scale, rows } = tableOf(row)
      const loaded = new Loaded(on, row)
      const together = loaded.engine.predict(x, rows, scale) as Floats
      const alone = Array.from(
        { length: rows },
        (_, r) => loaded.engine.predict(x.slice(r * columns, (r + 1) * columns), 1, scale) as Floats,
      )
      t.ok(sameBits([alone.flatMap((outputs) => [...outputs])], [together]), `${row.name}: each alone`)
      const sliced = loaded.engine.run(loaded.slice('predict', 1, { batch: rows })).output as Floats
      t.ok(sameBits([sliced], [together]), `${row.name}: in a slice`)
      const chunked = new Loaded(on, { ...row, capacity: 5 })
      t.ok(sameBits([chunked.engine.predict(x, rows, scale) as Floats], [together]), `${row.name}: in chunks of 5`)
      for (const each of [loaded, chunked]) each.close()
    }
  }),
)

t.test('any number of threads gives the same bits', (t) =>
  onEach(t, ALL, (t, on) => {
    for (const row of CASES.filter(({ name }) => LARGE.includes(name))) {
      const [alone, ...others] = [1, 2, 3, 4, 7].map((threads) => {
        const loaded = new Loaded(on, row, planOf(row, on.dtype), threads)
        loaded.engine.run(loaded.slice('train', 3))
        const arena = loaded.arena()
        loaded.close()
        return arena
      })
      t.ok(
        others.every((arena) => sameBits(arena, alone)),
        row.name,
      )
    }
  }),
)

/** Trains a net of every activation and prints a hash of all its losses and weights. */
const HASH = `
  const { dense, dropout, FNN } = require('downhill')
  const hash = require('node:crypto').createHash('sha256')
  const x = Array.from({ length: 97 }, (_, i) => Array.from({ length: 30 }, (_, j) => Math.sin(i * 31 + j * j)))
  for (const activation of ${JSON.stringify([...ACTIVATIONS.keys()])})
    for (const fit of [{ batchSize: 'full' }, { batchSize: 10, optimizer: 'adam' }]) {
      const layers = [dense(65, activation), dropout(0.2), dense(33, activation), dense(1, 'sigmoid')]
      const net = new FNN({ layers, seed: 4, backend: 'native' })
      hash.update(net.fitSync(x, x.map(([v]) => Number(v > 0)), { epochs: 3, ...fit }).loss)
      for (const { weights, bias } of net.weights()) hash.update(weights.data).update(bias)
    }
  console.log(require('downhill').backendInfo().simd, hash.digest('hex'))
`

const { simd } = nativeStatus()
const skip = simd !== 'avx512' && `not on this machine: the addon runs ${simd}`
t.test('kernels for AVX2 and for AVX-512 give the same bits', { skip }, async (t) => {
  const [avx2, avx512] = ['avx2', 'avx512'].map((set) => {
    const env = { ...process.env, NODE_OPTIONS: '', DOWNHILL_SIMD: set }
    return spawnSync(process.execPath, ['-e', HASH], { cwd: join(__dirname, '..'), env, encoding: 'utf8' }).stdout
  })
  t.match(avx2, /^avx2 [0-9a-f]{64}\n$/)
  t.equal(avx512, avx2.replace('avx2', 'avx512'))
})

t.test('programs that only look change no parameter, no state', (t) =>
  onEach(t, ALL, (t, on) =>
    eachLoaded(on, SMALL, (loaded) => {
      const { engine, plan, row } = loaded
      engine.run(loaded.slice('train', 1))
      const kept = [plan.parameters, plan.state]
      const before = kept.map((range) => engine.read(range))
      for (const program of PROGRAMS.filter((name) => name !== 'train' && name !== 'update'))
        engine.run(loaded.slice(program, 1))
      t.ok(
        sameBits(
          kept.map((range) => engine.read(range)),
          before,
        ),
        row.name,
      )
    }),
  ),
)

t.test('what is not finite ends a slice before it changes a parameter, with the evidence in the report', (t) =>
  onEach(t, ALL, (t, on) => {
    for (const row of SMALL.filter(({ bytes }) => !bytes))
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const loaded = new Loaded(on, row)
        const { engine, plan } = loaded
        const table = tableOf(row)
        const x = Float32Array.from(table.x)
        x[x.length - 1] = value
        const data = engine.bind({ ...table, x })
        const stepsToIt = Math.ceil(row.rows / row.batch)
        const { stopped, steps, loss, gradientNorm } = engine.run(loaded.slice('train', stepsToIt + 3, { data }))
        const what = `${row.name}, ${value} in the last row`
        t.strictSame([stopped, steps, loss.length], ['nonFinite', stepsToIt - 1, stepsToIt], what)
        const isSeen = ![loss, gradientNorm].every((list) => Number.isFinite(list[stepsToIt - 1]))
        t.ok(isSeen && engine.read(plan.parameters).every(Number.isFinite), `${what}: reported, and not in the weights`)
        data.release()
        loaded.close()
      }
  }),
)

t.teardown(() => {
  for (const [name, worst] of seen)
    for (const key of [...worst.keys()].sort()) {
      const { roundings, share } = worst.get(key) as Worst
      t.comment(
        `${name}  ${key}: at worst ${roundings.toPrecision(2)} roundings, ${share.toFixed(2)} of what is allowed`,
      )
    }
})
