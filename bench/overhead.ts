/**
 * The price of one crossing from the loop in TypeScript to an engine and back, against the length of a slice.
 *
 *     node --import tsx bench/overhead.ts [--rounds 21] [--write-docs]
 *
 * Through the backend interface (lib/backends/backend.ts), below the facade: the same steps of the same plan are run in
 * slices of 1, 2, 5 … steps, synchronously and on the other thread. A step in slices of L costs t(L) = s + c/L, s the
 * work and c the crossing; so c = (t(1) − t(L))/(1 − 1/L) with the longest L, taken within a round, then the median.
 * What it decides is in docs/decisions/0001-crossing.md, which quotes this table.
 */
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import type { Backend, Bound, Engine } from '../dist/backends/backend'
import { nativeStatus } from '../dist/backends/native'
import { typescriptBackend } from '../dist/backends/typescript'
import { readInitializer } from '../dist/initializers'
import { dense } from '../dist/layers'
import { binaryCrossEntropy } from '../dist/losses'
import { readOptimizer } from '../dist/optimizers'
import { compile } from '../dist/plan/compile'
import { drawParameters, layOut, type Model } from '../dist/plan/layout'
import type { Plan, Slice } from '../dist/plan/plan'
import { FORCED } from './contenders'
import { load } from './contract'
import { prepare } from './data'
import { cardMarkdown, machineCard } from './machine'
import { fill } from './report'
import { median } from './statistics'
import { markdownTable, type TableOf, terminalTable } from './summary'

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '21' }, 'write-docs': { type: 'boolean', default: false } },
})
const rounds = Number(options.rounds)

const LENGTHS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]

/** What is run: a workload of workloads.ts, `steps` of it by each length up to that. Less where a step is long. */
const CASES = [
  { workload: 'xor', backend: 'native', steps: 1000, share: 1 },
  { workload: 'xor', backend: 'typescript', steps: 1000, share: 1 },
  { workload: 'seed', backend: 'native', steps: 200, share: 1 },
  { workload: 'seed', backend: 'typescript', steps: 10, share: 0.25 },
] as const

interface Bench {
  readonly engine: Engine
  readonly plan: Plan
  readonly data: Bound
  readonly rows: number
}

function bench(workload: string, backend: Backend): Bench {
  const task = load(prepare(workload))
  const sizes = task.layers
  const model: Model = {
    inputs: sizes[0],
    layers: sizes.slice(1).map((units, l) => dense(units, l < sizes.length - 2 ? task.activation : task.output)),
    initializer: readInitializer('glorotUniform'),
    l2: 0,
  }
  const plan = compile(model, {
    dtype: 'float32',
    capacity: task.rows,
    loss: binaryCrossEntropy(),
    targets: 1,
    programs: ['train'],
    optimizer: readOptimizer('sgd'),
  })
  const engine = backend.load(plan, 1)
  drawParameters(model, layOut(model), 1, 1, 'float32', (at, values) =>
    engine.write({ at, length: values.length }, values),
  )
  const y = Float32Array.from(task.labels)
  const data = engine.bind({ rows: task.rows, columns: sizes[0], x: task.floats(), scale: 1, targets: 1, y })
  return { engine, plan, data, rows: task.rows }
}

/** Runs `steps` steps in slices of `length`; µs a step. */
async function time({ engine, data, rows }: Bench, length: number, steps: number, isAsync: boolean): Promise<number> {
  const learningRate = new Float64Array(length).fill(0.01)
  const slice = {
    program: 'train',
    data,
    rows: null,
    pass: rows,
    batch: rows,
    start: 0,
    seed: 1,
    follows: false,
  } as const
  const start = performance.now()
  for (let step = 0; step < steps; step += length) {
    const one: Slice<Bound> = { ...slice, step, steps: length, learningRate }
    if (isAsync) await engine.runAsync(one)
    else engine.run(one)
  }
  return ((performance.now() - start) * 1000) / steps
}

interface Line {
  readonly name: string
  /** µs a step, by length. */
  readonly perStep: readonly number[]
  /** µs a crossing, by round. */
  readonly price: readonly number[]
  readonly instructions: number
}

async function main(): Promise<void> {
  // Before the addon is loaded, so that it chooses its kernel as on a user's machine; and after the card, which tells.
  const card = cardMarkdown(machineCard())
  for (const name of FORCED) delete process.env[name]
  const native = nativeStatus().backend
  const lines: Line[] = []
  const skipped: string[] = []
  for (const { workload, backend: name, steps, share } of CASES) {
    const backend = name === 'native' ? native : typescriptBackend
    if (!backend) {
      skipped.push(`${workload}, native: not available (${nativeStatus().reason}).`)
      continue
    }
    const it = bench(workload, backend)
    const { chunk, step } = it.plan.programs.train ?? { chunk: [], step: [] }
    const lengths = LENGTHS.filter((length) => length <= steps)
    for (const isAsync of [false, true]) {
      const times = lengths.map((): number[] => [])
      await time(it, 1, Math.min(steps, 100), isAsync)
      for (let round = 0; round < Math.ceil(rounds * share); round++) {
        const order = lengths.map((_, i) => (round % 2 ? lengths.length - 1 - i : i))
        for (const i of order) times[i].push(await time(it, lengths[i], steps, isAsync))
      }
      const longest = lengths.length - 1
      lines.push({
        name: `${workload}, ${name === 'native' ? 'native' : 'TypeScript'}, ${isAsync ? 'runAsync' : 'run'}`,
        perStep: times.map(median),
        price: times[0].map((one, round) => (one - times[longest][round]) / (1 - 1 / lengths[longest])),
        instructions: chunk.length + step.length,
      })
    }
    it.data.release()
    it.engine.close()
  }

  const number = (value: number): string => (Math.abs(value) < 100 ? value.toPrecision(3) : value.toFixed(0))
  const table: TableOf = {
    head: ['µs a step in slices of', ...LENGTHS.map(String), 'a crossing, µs', '(range)', 'instructions a step'],
    rows: lines.map(({ name, perStep, price, instructions }) => [
      name,
      ...LENGTHS.map((_, i) => (perStep[i] === undefined ? '' : number(perStep[i]))),
      number(median(price)),
      `${number(Math.min(...price))} … ${number(Math.max(...price))}`,
      String(instructions),
    ]),
  }
  const note = [`Medians of ${rounds} interleaved rounds, one thread. ${card}`, ...skipped].join('\n')
  process.stdout.write(`${note}\n\n${terminalTable(table)}\n`)
  if (options['write-docs']) fill('docs/decisions/0001-crossing.md', 'overhead', `${markdownTable(table)}\n\n${note}`)
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
