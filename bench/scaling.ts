/**
 * How the cost of a step grows with the width, the depth, the batch and the threads: log-log, with slopes.
 *
 *     node --import tsx bench/scaling.ts [--rounds 3] [--seconds 0.15] [--threads N] [--write-docs]
 *
 * Through the public API: `fit` on full batches of random rows, long enough that what a fit costs besides its steps
 * does not show. A step whose cost is all products has slope 2 in the width and 1 in depth and batch; where small steps
 * have a lower one, it is the fixed cost of a step that shows, so the slope is fitted over the upper half of the points.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { FNN } from 'downhill'
import { type Chart, renderSvg } from '../dist/plot'
import { random } from '../dist/random'
import { FORCED } from './contenders'
import { cardMarkdown, machineCard } from './machine'
import { fill, RESULTS } from './report'
import { median, slope } from './statistics'
import { markdownTable, type TableOf, terminalTable } from './summary'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '0.15' },
    threads: { type: 'string', default: String(availableParallelism()) },
    'write-docs': { type: 'boolean', default: false },
  },
})
const [rounds, seconds, threads] = [options.rounds, options.seconds, options.threads].map(Number)

interface Net {
  readonly hidden: readonly number[]
  readonly batch: number
}
const powers = (from: number, to: number): number[] =>
  Array.from({ length: Math.log2(to / from) + 1 }, (_, i) => from * 2 ** i)

interface Series {
  readonly name: string
  readonly backend: 'native' | 'typescript'
  readonly threads: (x: number) => number
}
const SERIES: readonly Series[] = [
  { name: 'native, 1 thread', backend: 'native', threads: () => 1 },
  ...(threads > 1 ? [{ name: `native, ${threads} threads`, backend: 'native', threads: () => threads } as const] : []),
  { name: 'TypeScript', backend: 'typescript', threads: () => 1 },
]

interface Axis {
  readonly name: string
  readonly says: string
  readonly at: readonly number[]
  readonly net: (x: number) => Net
  readonly series: readonly Series[]
}
/** What grows. Every net has 64 inputs, tanh, 10 classes and SGD. */
const AXES: readonly Axis[] = [
  {
    name: 'width',
    says: '64-w-w-10, batch 64',
    at: powers(8, 4096),
    net: (w) => ({ hidden: [w, w], batch: 64 }),
    series: SERIES,
  },
  {
    name: 'depth',
    says: '64-64-…-10, batch 64',
    at: powers(1, 32),
    net: (d) => ({ hidden: Array(d).fill(64), batch: 64 }),
    series: SERIES,
  },
  {
    name: 'batch',
    says: '64-128-64-10',
    at: powers(1, 8192),
    net: (batch) => ({ hidden: [128, 64], batch }),
    series: SERIES,
  },
  {
    name: 'threads',
    says: 'native, 64-w-w-10, batch 256',
    at: Array.from({ length: threads }, (_, i) => i + 1),
    net: () => ({ hidden: [512, 512], batch: 256 }),
    series: [{ name: 'w = 512', backend: 'native', threads: (x) => x }],
  },
]

/** A step that takes longer than this ends a series: a curve is not worth minutes. */
const LONGEST_STEP = 1.5
const INPUTS = 64
const CLASSES = 10

interface Runner {
  readonly fit: (steps: number) => Promise<number>
  readonly steps: number
}

/** A net with its rows; `fit` returns seconds a step. */
async function runner({ hidden, batch }: Net, backend: 'native' | 'typescript', count: number): Promise<Runner> {
  const net = new FNN({
    inputs: INPUTS,
    outputs: CLASSES,
    hidden: [...hidden],
    task: 'multiclass',
    seed: 1,
    backend,
    threads: count,
  })
  const from = random(1, 'sample')
  const x = Float32Array.from({ length: batch * INPUTS }, () => from.normal())
  const y = Uint8Array.from({ length: batch }, () => from.below(CLASSES))
  const fit = async (steps: number): Promise<number> => {
    const start = performance.now()
    const { loss } = await net.fit(x, y, { epochs: steps, learningRate: 1e-4 })
    if (loss.length !== steps) throw new Error(`${loss.length} steps of ${steps} were made`)
    return (performance.now() - start) / 1000 / steps
  }
  await fit(1)
  let steps = 1
  // Until a fit is long enough to tell, then as many steps as the time allowed.
  for (let took = await fit(1); ; took = await fit(steps)) {
    const enough = Math.ceil(seconds / took)
    if (took * steps > seconds / 4 || steps >= 50_000) return { fit, steps: Math.max(1, Math.min(enough, 50_000)) }
    steps = Math.min(steps * 8, enough, 50_000)
  }
}

/** Seconds a step of every series at every place of an axis; NaN where a series was ended. */
async function measure({ at, net, series }: Axis): Promise<number[][]> {
  const found = series.map((): number[] => [])
  for (const [place, x] of at.entries()) {
    const ready: (Runner | null)[] = []
    for (const [s, { backend, threads }] of series.entries()) {
      const ended = place > 0 && !(found[s][place - 1] < LONGEST_STEP / 4)
      ready.push(ended ? null : await runner(net(x), backend, threads(x)))
    }
    const times = series.map((): number[] => [])
    for (let round = 0; round < rounds; round++)
      for (const [s, it] of ready.entries()) if (it) times[s].push(await it.fit(it.steps))
    for (const [s, list] of times.entries()) found[s].push(list.length ? median(list) : Number.NaN)
  }
  return found
}

/** Slope over the upper half of the places measured; over all, where they are few. */
function upperSlope(at: readonly number[], times: readonly number[]): number {
  const kept = at.map((x, i) => [x, times[i]]).filter(([, y]) => !Number.isNaN(y))
  const upper = kept.length < 4 ? kept : kept.slice(kept.length >> 1)
  return slope(
    upper.map(([x]) => x),
    upper.map(([, y]) => y),
  )
}

const microseconds = (value: number): string =>
  Number.isNaN(value) ? '' : Number((value * 1e6).toPrecision(3)).toLocaleString('en-US')

async function main(): Promise<void> {
  const card = cardMarkdown(machineCard())
  for (const name of FORCED) delete process.env[name]
  const charts: Chart[] = []
  const sections: { title: string; table: TableOf }[] = []
  for (const axis of AXES) {
    const times = await measure(axis)
    const slopes = times.map((list) => upperSlope(axis.at, list))
    const { series } = axis
    const title = `Seconds a step against the ${axis.name} (${axis.says})`
    charts.push({
      title,
      note: `Slopes over the upper half: ${series.map(({ name }, s) => `${name} ${slopes[s].toFixed(2)}`).join(', ')}.`,
      x: { label: axis.name, scale: 'log' },
      y: { label: 'seconds a step', scale: 'log' },
      series: series.map(({ name }, s) => {
        const kept = axis.at.map((x, i) => ({ x, y: times[s][i] })).filter(({ y }) => !Number.isNaN(y))
        return { name, x: kept.map(({ x }) => x), y: kept.map(({ y }) => y) }
      }),
    })
    sections.push({
      title: `µs a step against the ${axis.name}: ${axis.says}`,
      table: {
        head: [axis.name, ...axis.at.map(String), 'slope'],
        rows: series.map(({ name }, s) => [name, ...times[s].map(microseconds), slopes[s].toFixed(2)]),
      },
    })
    const { title: said, table } = sections[sections.length - 1]
    process.stdout.write(`${said}\n${terminalTable(table)}\n\n`)
  }
  mkdirSync(RESULTS, { recursive: true })
  const path = join(RESULTS, 'scaling.svg')
  writeFileSync(path, renderSvg(charts))
  process.stdout.write(`${card}\nWritten to ${path}.\n`)
  if (!options['write-docs']) return
  writeFileSync(join(__dirname, '../docs/scaling.svg'), renderSvg(charts))
  const tables = sections.map(({ title, table }) => `${title}.\n\n${markdownTable(table)}`)
  fill('docs/performance.md', 'scaling', [`Medians of ${rounds} interleaved rounds. ${card}`, ...tables].join('\n\n'))
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
