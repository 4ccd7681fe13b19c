// What only the native backend promises: slices on threads of their own, data that are copies, engines that share
// parameters, a border that no argument crosses unseen, clean ends. That it computes as the TypeScript backend does is
// parity.test.ts's affair.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { ACTIVATIONS } from '../dist/activations'
import { loadAddon } from '../dist/backends/addon'
import type { Bound, Engine } from '../dist/backends/backend'
import { encodePlan, faultOf, nativeStatus } from '../dist/backends/native'
import { typescriptBackend } from '../dist/backends/typescript'
import { LOSS_KERNELS } from '../dist/losses'
import { type Floats, OPS, type Plan, type Slice, type Table } from '../dist/plan/plan'
import { CASES, type Case, planOf, scatter, startOf, tableOf } from './cases'

const status = nativeStatus()
const skip = status.backend === null && `no native backend here: ${status.reason}`
const native = status.backend as NonNullable<typeof status.backend>

/** 3 inputs, 7 tanh, 2 outputs, 31 rows in chunks of 7. */
const NET = CASES.find(({ name }) => name === 'chunks of 7') as Case
const ROWS = NET.rows
const PLAN: Plan = planOf(NET, 'float32')
const TABLE: Table = tableOf(NET)
const none = new Float64Array(0)

/** An engine of NET at its start. */
function load(backend = native, threads = 1): Engine {
  const engine = backend.load(PLAN, threads)
  engine.write(PLAN.parameters, startOf(NET))
  return engine
}

/** A slice of the program `train` over a table in whole, but for `more`. */
function sliceOf(engine: Engine, more: Partial<Slice<Bound>> = {}, table = TABLE): Slice<Bound> {
  const steps = more.steps ?? 1
  const common = { program: 'train', rows: null, pass: ROWS, batch: ROWS, start: 0, step: 0, seed: 4 } as const
  const learningRate = new Float64Array(steps).fill(0.05)
  return { ...common, data: engine.bind(table), steps, learningRate, follows: false, ...more }
}

const evaluation = { program: 'evaluate', learningRate: none } as const

/** Largest difference, relative to the larger number where that is above 1. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.NaN
  return Array.from(a, (x, i) => Math.abs(x - b[i]) / Math.max(1, Math.abs(x), Math.abs(b[i]))).reduce(
    (most, d) => (d > most || Number.isNaN(d) ? d : most),
    0,
  )
}

// ---------------------------------------------------------------------------------------------------- slices

t.test('rows, passes and batches, as in TypeScript', { skip }, async (t) => {
  const order = Uint32Array.from(scatter(ROWS * 3, 33, 0), (value) => Math.abs(Math.floor(value * 1e6)) % ROWS)
  const slices: Record<string, Partial<Slice<Bound>>> = {
    'full batch': { steps: 5 },
    'batches, a rest at the end of a pass': { batch: 9, steps: 7 },
    'from the middle of a pass': { batch: 9, start: 18, steps: 4 },
    'rows by number': { batch: 10, rows: order, steps: 8 },
    'rows by number, a pass shorter than the data': { batch: 10, pass: 17, rows: order, steps: 5 },
    'a step that cannot be made': { steps: 4, learningRate: Float64Array.of(0.05, 1e35, 0.05, 0.05) },
    gradient: { program: 'gradient', learningRate: none },
    evaluate: { ...evaluation, batch: 10, steps: 4 },
    'evaluate rows by number': { ...evaluation, batch: 10, rows: order, steps: 3 },
  }
  for (const [name, slice] of Object.entries(slices)) {
    const [ours, theirs] = [native, typescriptBackend].map((backend) => {
      const engine = load(backend)
      const report = engine.run(sliceOf(engine, slice))
      return { ...report, parameters: engine.read(PLAN.parameters), gradients: engine.read(PLAN.gradients) }
    })
    t.equal(ours.steps, theirs.steps, `${name}: steps`)
    t.equal(ours.stopped, theirs.stopped, `${name}: why it stopped`)
    t.equal(ours.loss.length, theirs.loss.length, `${name}: entries`)
    if (ours.stopped !== null) continue
    for (const key of ['loss', 'penalty', 'gradientNorm', 'parameters', 'gradients'] as const)
      t.ok(distance(ours[key], theirs[key]) < 1e-5, `${name}: ${key}`)
    t.ok(distance(ours.output ?? none, theirs.output ?? none) < 1e-5, `${name}: output`)
  }
})

t.test('a slice on its own thread has the same bits, also in parts', { skip }, async (t) => {
  const [sync, async_, parts] = [load(), load(native, 2), load()]
  const whole = sync.run(sliceOf(sync, { batch: 9, steps: 20 }))
  const same = await async_.runAsync(sliceOf(async_, { batch: 9, steps: 20 }))
  t.same({ ...same, milliseconds: 0 }, { ...whole, milliseconds: 0 })
  const losses: number[] = []
  const submitted = [0, 4, 8, 12, 16].map((step) =>
    parts.runAsync(sliceOf(parts, { batch: 9, steps: 4, step, follows: step > 0 })),
  )
  for (const part of submitted) losses.push(...(await part).loss)
  t.same(losses, Array.from(whole.loss))
  for (const engine of [async_, parts]) t.same(engine.read(PLAN.parameters), sync.read(PLAN.parameters))
  for (const engine of [sync, async_, parts]) engine.close()
})

t.test('what follows a slice that ended early is not begun', { skip }, async (t) => {
  const engine = load()
  const diverges = { steps: 3, learningRate: Float64Array.of(1e35, 0.1, 0.1) }
  const reports = await Promise.all(
    [diverges, { steps: 2, follows: true }, { steps: 2, follows: true }].map((more) =>
      engine.runAsync(sliceOf(engine, more)),
    ),
  )
  t.same(
    reports.map(({ steps, stopped }) => [steps, stopped]),
    [
      [1, 'nonFinite'],
      [0, 'asked'],
      [0, 'asked'],
    ],
  )
  engine.write(PLAN.parameters, startOf(NET))
  t.equal((await engine.runAsync(sliceOf(engine, { steps: 2 }))).steps, 2)
  engine.close()
})

t.test('predict takes every kind of entry, any number of rows', { skip }, async (t) => {
  const [ours, theirs] = [load(), load(typescriptBackend)]
  for (const rows of [0, 1, 2, 7, 8, 100]) {
    const x = scatter(rows * NET.model.inputs, 34, 0)
    const bytes = Uint8Array.from(x, (value) => Math.min(255, Math.abs(value) * 80))
    for (const entries of [x, Float64Array.from(x), bytes])
      for (const scale of [1, 1 / 255]) {
        const [output, expected] = [ours, theirs].map((engine) => engine.predict(entries, rows, scale) as Floats)
        t.equal(output.length, rows * 2)
        if (rows > 0) t.ok(distance(output, expected) < 1e-5, entries.constructor.name)
      }
  }
  ours.close()
})

t.test('predict refuses what is not finite as a float32, wherever it stands', { skip }, async (t) => {
  const rows = 600 // more than two chunks
  const { inputs } = NET.model
  const refused: [value: number, scale: number, is: boolean][] = [
    [Number.NaN, 1, true],
    [Number.NEGATIVE_INFINITY, 1e-30, true],
    [3e38, 1, false],
    [3e38, 2, true],
    [1e39, 1, true],
    [-Number.MAX_VALUE, 1e-300, false],
    [1e39, 0.1, false],
  ]
  for (const engine of [load(), load(typescriptBackend)])
    for (const Kind of [Float32Array, Float64Array])
      for (const [value, scale, is] of refused)
        for (const at of [0, 300 * inputs + 1, rows * inputs - 1]) {
          const x = new Kind(rows * inputs)
          x[at] = value
          if (Kind === Float64Array || !(Math.abs(value) >= 1e39 && Number.isFinite(value)))
            // else it is no float32
            t.equal(engine.predict(x, rows, scale) === null, is, `${Kind.name} ${value} × ${scale} at ${at}`)
        }
})

t.test('data are copied, and outlive their handle while a slice runs', { skip }, async (t) => {
  const engine = load()
  const first = engine.run(sliceOf(engine, evaluation)).loss[0]
  const table = { ...TABLE, x: TABLE.x.slice(), y: TABLE.y?.slice() ?? null }
  const slice = sliceOf(engine, { ...evaluation, steps: 200 }, table)
  table.x.fill(Number.NaN)
  table.y?.fill(Number.NaN)
  const running = engine.runAsync(slice)
  slice.data.release()
  const report = await running
  t.ok(report.loss.every((loss) => loss === first))
  t.throws(() => engine.run(slice), { code: 'ERR_BACKEND' }, 'released data are refused')
  engine.close()
})

t.test('bytes with a scale are the numbers they stand for', { skip }, async (t) => {
  const engine = load()
  const bytes = Uint8Array.from({ length: ROWS * 3 }, (_, i) => (i * 7919) & 255)
  const ofBytes = sliceOf(engine, evaluation, { ...TABLE, x: bytes, scale: 1 / 255 })
  const ofFloats = sliceOf(engine, evaluation, { ...TABLE, x: Float32Array.from(bytes, (byte) => byte / 255) })
  t.ok(distance(engine.run(ofBytes).loss, engine.run(ofFloats).loss) < 1e-6)
  engine.close()
})

t.test('stop ends a slice after its step; close ends it and settles its promise', { skip }, async (t) => {
  const engine = load()
  const long = sliceOf(engine, { steps: 1_000_000, learningRate: new Float64Array(1_000_000).fill(1e-3) })
  const running = engine.runAsync(long)
  while (distance(engine.read(PLAN.parameters), startOf(NET)) === 0) await new Promise(setImmediate)
  engine.stop()
  const report = await running
  t.equal(report.stopped, 'asked')
  t.equal(report.steps, report.loss.length)
  t.ok(report.steps > 0 && report.steps < 1_000_000, `${report.steps} steps`)
  const again = engine.runAsync(long)
  await t.rejects(engine.runAsync(long), { code: 'ERR_BACKEND' }, 'one at a time')
  t.throws(() => engine.write(PLAN.parameters, startOf(NET)), { code: 'ERR_BACKEND' })
  t.equal(engine.read(PLAN.parameters).length, PLAN.parameters.length, 'reading goes on')
  engine.close()
  t.equal((await again).stopped, 'asked')
  t.throws(() => engine.read(PLAN.parameters), { code: 'ERR_BACKEND' })
  engine.close()
})

t.test('an engine closed in the middle of a slice changes nothing any more', { skip }, async (t) => {
  for (const backend of [native, typescriptBackend]) {
    const owner = load(backend)
    const trainer = backend.load(PLAN, 1, owner)
    const running = trainer.runAsync(
      sliceOf(trainer, { steps: 1_000_000, learningRate: new Float64Array(1_000_000).fill(1e-3) }),
    )
    while (distance(owner.read(PLAN.parameters), startOf(NET)) === 0) await new Promise(setImmediate)
    trainer.close()
    const at = owner.read(PLAN.parameters)
    t.equal((await running).stopped, 'asked')
    t.same(owner.read(PLAN.parameters), at, backend.name)
    owner.close()
  }
})

t.test('engines that share parameters read what the other trains, step by step', { skip }, async (t) => {
  const trainer = load()
  const looker = native.load(PLAN, 1, trainer)
  const x = scatter(3, 36, 0)
  const before = looker.predict(x, 1, 1)
  t.same(before, trainer.predict(x, 1, 1))
  const running = trainer.runAsync(sliceOf(trainer, { steps: 3000 }))
  const seen = new Set<string>()
  let isRunning = true
  running.finally(() => {
    isRunning = false
  })
  while (isRunning) {
    seen.add(String(looker.predict(x, 1, 1)))
    await new Promise(setImmediate)
  }
  t.equal((await running).steps, 3000)
  t.ok(seen.size > 1, `${seen.size} states seen`)
  trainer.close()
  t.notSame(looker.predict(x, 1, 1), before, 'the block outlives the engine that made it')
  looker.close()
})

// ---------------------------------------------------------------------------------------------------- the border

t.test('the vocabulary is the plan’s', { skip }, async (t) => {
  const rows = { activations: [...ACTIVATIONS.keys()], losses: [...LOSS_KERNELS.keys()] }
  const expected = Object.entries(OPS).flatMap(([op, row]) =>
    'rows' in row ? rows[row.rows].map((name) => `${op}.${name}`) : [op],
  )
  t.same([...native.ops].sort(), expected.sort())

  const { addon } = loadAddon() as { addon: Record<string, unknown> & { ops: { key: string; operands: string[] }[] } }
  t.equal(faultOf(addon), '')
  const [first, ...others] = addon.ops
  t.match(faultOf({ ...addon, ops: [{ ...first, operands: ['x'] }, ...others] }), /another version/)
  t.match(faultOf({ ...addon, ops: [{ ...first, key: 'polish' }, ...others] }), /another version/)
  t.match(faultOf({ ...addon, Engine: undefined }), /something else/)
  for (const strange of [null, 7, {}]) t.match(faultOf(strange), /something else/)
})

// Whatever is passed, an Error with a code comes back: each argument of each call, replaced by each wrong thing.
t.test('misuse is an error, never a crash', { skip }, async (t) => {
  // biome-ignore lint/suspicious/noExplicitAny: nothing here is of the type it should be
  type Anything = any
  const { addon } = loadAddon() as { addon: Anything }
  const wrongs: Anything[] = [
    undefined,
    null,
    -1,
    0.5,
    NaN,
    1e300,
    'x',
    {},
    [],
    new Float32Array(3),
    new Uint32Array(3),
    Symbol('s'),
    () => {},
    1n,
  ]
  const engine = new addon.Engine(encodePlan(PLAN), 1, undefined)
  const data = new addon.Data(new Float32Array(30), 10, 3, 1, new Float32Array(20), 2, null)
  const slice = [0, data, null, 10, 10, 0, new Float64Array(1), 0, 0, 1]
  const calls: Record<string, [(...args: Anything[]) => unknown, Anything[]]> = {
    Data: [(...args) => new addon.Data(...args), [new Float32Array(30), 10, 3, 1, new Float32Array(20), 2, null]],
    Engine: [(...args) => new addon.Engine(...args), [encodePlan(PLAN), 1, undefined]],
    read: [(...args) => engine.read(...args), [0, 16]],
    write: [(...args) => engine.write(...args), [0, new Float32Array(16)]],
    run: [(...args) => engine.run(...args), slice],
    start: [(...args) => engine.start(...args), [...slice, 4e9, false]],
    predict: [(...args) => engine.predict(...args), [new Float32Array(30), 10, 1]],
    stop: [(...args) => engine.stop(...args), [true]],
  }
  let refused = 0
  for (const [name, [call, good]] of Object.entries(calls)) {
    t.doesNotThrow(() => call(...good), `${name} works`)
    for (let i = 0; i < good.length; i++)
      for (const wrong of wrongs) {
        try {
          // What happens to be valid may pass; what fails must fail as an error of ours.
          call(...good.with(i, wrong))
        } catch (error) {
          refused++
          if ((error as { code?: string }).code !== 'ERR_BACKEND' && (error as { code?: string }).code !== 'ERR_MEMORY')
            t.fail(`${name} with ${String(wrong)} as argument ${i}`, { error })
        }
      }
  }
  t.ok(refused > 300, `${refused} refused`)
  const detached = new Float32Array(30)
  structuredClone(detached, { transfer: [detached.buffer] })
  t.throws(() => engine.predict(detached, 10, 1), { code: 'ERR_BACKEND' }, 'a detached buffer')
  t.throws(() => engine.run(0, engine, ...slice.slice(2)), { code: 'ERR_BACKEND' }, 'an engine for data')
  t.throws(() => addon.Engine.prototype.read.call(data, 0, 1), 'a method on another object')
  t.throws(() => addon.Engine(encodePlan(PLAN), 1), 'no new')
  engine.close()
})

// ---------------------------------------------------------------------------------------------------- endings

/**
 * What a script of the tests below begins with. `busy` trains in short slices; `long` in steps that take two seconds at the
 * very least (800 GFLOP), so that whoever waits for the end of one is found out. `leave` takes down when.
 */
const PRELUDE = `const { FNN } = require('downhill')
  const x = new Float32Array(3000).map((_, i) => Math.sin(i)), y = new Float32Array(1000).map((_, i) => Math.cos(i))
  const busy = (options) => {
    const net = new FNN({ inputs: 3, outputs: 1, task: 'regression', seed: 1, backend: 'native' })
    return net.fit(x, y, { epochs: 10_000_000, learningRate: 1e-3, ...options })
  }
  const long = (callbacks = []) => {
    const net = new FNN({ inputs: 3, outputs: 1, hidden: [256, 256], task: 'regression', seed: 1, backend: 'native', threads: 1 })
    return net.fit(new Float32Array(6e6), new Float32Array(2e6).fill(1), { epochs: 1000, batchSize: 'full', callbacks })
  }
  const leave = (code) => { console.log('left at', Date.now()); process.exit(code) }\n`

/** Under a sanitizer (scripts/test-addon.js) everything takes some ten times as long, a step of `long` too. */
const isSlow = process.env.TSAN_OPTIONS !== undefined

/** Longest that a process may take to end once it has begun to, in seconds: less than a step of `long`. */
const LEAVING = isSlow ? 15 : 1.5

interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly out: string
  readonly seconds: number
  /** Seconds from `leave` to the end of the process; 0 where it was not called. */
  readonly leaving: number
}

/** Runs a script in a process of its own, PRELUDE before it, which it also has as a string for its workers. */
function runScript(source: string): Ended {
  const started = Date.now()
  const done = spawnSync(process.execPath, ['-e', `const prelude = ${JSON.stringify(PRELUDE)}\n${PRELUDE}${source}`], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  const now = Date.now()
  const said = done.stdout + done.stderr
  const left = Number(/left at (\d+)\n/.exec(said)?.[1] ?? now)
  const out = said.replace(/left at \d+\n/, '')
  return { code: done.status, signal: done.signal, out, seconds: (now - started) / 1000, leaving: (now - left) / 1000 }
}

/** Lines in any order: who is first among processes and workers is nobody's promise. */
const sorted = (text: string): string[] => text.split('\n').sort()

t.test('endings in the middle of a slice', { skip }, async (t) => {
  const scripts: Record<string, { source: string; out: string; code?: number }> = {
    'process.exit': {
      source: `busy(); long(); long(); setTimeout(() => leave(3), 100)`,
      out: '',
      code: 3,
    },
    'the end of a script waits for its fit': {
      source: `busy({ epochs: 200 }).then((history) => console.log(history.loss.length))`,
      out: '200\n',
    },
    'an idle engine keeps nobody waiting': {
      source: `busy({ epochs: 2 }).then(() => setTimeout(() => console.log('still here'), 1e6).unref())`,
      out: '',
    },
    'an uncaught error': {
      source: `process.on('exit', (code) => console.log('code', code)); process.on('uncaughtException', () => leave(5)); busy(); long(); setTimeout(() => { throw new Error('x') }, 100)`,
      out: 'code 5\n',
      code: 5,
    },
    'worker.terminate, again and again': {
      source: `const { Worker } = require('node:worker_threads')
        const source = prelude + 'busy(); busy(); long(); require("worker_threads").parentPort.postMessage(0)'
        let worst = 0
        const one = () => new Promise((resolve) => {
          const worker = new Worker(source, { eval: true })
          worker.on('message', () => setTimeout(async () => {
            const started = performance.now()
            await worker.terminate()
            worst = Math.max(worst, performance.now() - started)
            resolve()
          }, Math.random() * 20))
        })
        ;(async () => {
          for (let i = 0; i < ${isSlow ? 3 : 12}; i++) await Promise.all([one(), one()])
          console.log(worst < ${1000 * LEAVING} ? 'terminated' : worst)
        })()`,
      out: 'terminated\n',
    },
    'process.exit in a worker, and a fit that ends beside it': {
      source: `const { Worker } = require('node:worker_threads')
        new Worker(prelude + 'busy(); setTimeout(() => process.exit(4), 50)', { eval: true })
          .on('exit', (code) => console.log('worker', code))
        busy({ epochs: 300 }).then(() => console.log('done'))`,
      out: 'worker 4\ndone\n',
    },
    'a file is read before the first of more steps ends than the pool of libuv has threads': {
      source: `process.env.UV_THREADPOOL_SIZE = '1'
        let steps = 0
        for (let i = 0; i < 3; i++) long([{ onBatchEnd() { steps++ } }])
        require('node:fs').stat('.', () => { console.log('read after', steps, 'steps'); leave(0) })`,
      out: 'read after 0 steps\n',
    },
    'two models in each of three workers at once, all with the same bits': {
      source: `const { Worker } = require('node:worker_threads')
        const source = prelude + \`
          const train = () => {
            const net = new FNN({ inputs: 3, outputs: 1, task: 'regression', seed: 1, backend: 'native' })
            return net.fit(x, y, { epochs: 40 }).then(() => String(net.weights()[0].weights.data))
          }
          Promise.all([train(), train()]).then((said) => require('node:worker_threads').parentPort.postMessage(said))\`
        const worker = () => new Promise((resolve) => new Worker(source, { eval: true }).on('message', resolve))
        Promise.all([worker(), worker(), worker()]).then((said) => {
          console.log(said.flat().length, 'models', new Set(said.flat()).size, 'result')
        })`,
      out: '6 models 1 result\n',
    },
    'engines left to the garbage collector in mid-slice': {
      source: `const v8 = require('node:v8'); v8.setFlagsFromString('--expose-gc')
        const gc = require('node:vm').runInNewContext('gc')
        let open = 8
        for (let i = 0; i < 8; i++) busy({ epochs: 50 }).then(() => { if (--open === 0) console.log('all') })
        const timer = setInterval(() => { gc(); if (open === 0) clearInterval(timer) }, 5)`,
      out: 'all\n',
    },
  }
  for (const [name, { source, out, code = 0 }] of Object.entries(scripts)) {
    const done = runScript(source)
    t.equal(done.signal, null, `${name}: no signal`)
    t.equal(done.code, code, `${name}: exit code`)
    t.same(sorted(done.out), sorted(out), `${name}: what it says`)
    t.ok(done.leaving < LEAVING, `${name}: ${done.leaving.toFixed(2)} s to leave`)
    t.ok(done.seconds < (isSlow ? 60 : 30), `${name}: ${done.seconds.toFixed(1)} s, so it does not hang`)
  }
})
