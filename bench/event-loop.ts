/**
 * `npm run bench:loop`: how long the event loop is held up while `fit` trains, against an idle loop in the same process.
 *
 * Delays are those of a 1 ms timer (perf_hooks), so both figures include it. Idle and busy take turns; what counts is
 * the difference of the 99th percentiles, which should stay within 2 ms, on a machine that has nothing else to do: who is
 * busy waits for a core longer than who sleeps.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FitOptions, FNN, lbfgs, type Matrix, type ModelOptions } from 'downhill'
import { cardMarkdown, machineCard } from './machine'
import { median } from './statistics'

const SECONDS = 1
const ROUNDS = 3

interface Delays {
  readonly p99: number
  readonly max: number
}

/** The 99th percentile and the largest delay in milliseconds while `work` runs. */
async function delays(work: () => Promise<unknown>): Promise<Delays> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  await work()
  histogram.disable()
  return { p99: histogram.percentile(99) / 1e6, max: histogram.max / 1e6 }
}

// ---------------------------------------------------------------------------------------------------- what trains

interface Row {
  readonly says: string
  readonly model: ModelOptions
  readonly x: Matrix
  readonly y: Float32Array
  readonly fit: FitOptions
}

const tableOf = (rows: number, columns: number): Matrix => ({
  data: Float32Array.from({ length: rows * columns }, (_, i) => ((i * 37) % 255) / 255),
  rows,
  columns,
})
const digitsOf = (rows: number): Float32Array => Float32Array.from({ length: rows }, (_, i) => i % 10)

/** Each finds another thing to hold the loop up with. */
const ROWS: readonly Row[] = [
  {
    says: '784-300-10, 20,000 rows in batches of 128',
    model: { inputs: 784, outputs: 10, task: 'multiclass', hidden: [300], activation: 'relu' },
    x: tableOf(20_000, 784),
    y: digitsOf(20_000),
    fit: { epochs: 1e6, batchSize: 128, optimizer: 'adam' },
  },
  {
    says: '2-8-1, 4 rows: steps faster than they are heard of',
    model: { inputs: 2, outputs: 1, task: 'binary', hidden: [8] },
    x: { data: Float32Array.of(0, 0, 0, 1, 1, 0, 1, 1), rows: 4, columns: 2 },
    y: Float32Array.of(0, 1, 1, 0),
    fit: { epochs: 1e9, learningRate: 0.5 },
  },
  {
    says: '20-32-10, 10,000 rows validated each epoch',
    model: { inputs: 20, outputs: 10, task: 'multiclass', hidden: [32] },
    x: tableOf(1000, 20),
    y: digitsOf(1000),
    fit: { epochs: 1e6, batchSize: 128, validation: { x: tableOf(10_000, 20), y: digitsOf(10_000) } },
  },
  {
    says: '20-64-10, 2000 rows, L-BFGS, whose searches are made on this thread',
    model: { inputs: 20, outputs: 10, task: 'multiclass', hidden: [64] },
    x: tableOf(2000, 20),
    y: digitsOf(2000),
    fit: { epochs: 1e6, optimizer: lbfgs() },
  },
]

async function main(): Promise<void> {
  for (const { says, model, x, y, fit } of ROWS)
    for (const backend of ['native', 'typescript'] as const) {
      const idle: Delays[] = []
      const busy: Delays[] = []
      for (let round = 0; round < ROUNDS; round++) {
        idle.push(await delays(() => sleep(SECONDS * 1000)))
        const run = new FNN({ ...model, backend, seed: 1 }).fit(x, y, fit)
        await sleep(200) // reading and copying the data is a call of its own, not training
        busy.push(await delays(() => sleep(SECONDS * 1000)))
        run.stop()
        await run
      }
      const [i, b] = [idle, busy].map((rounds) => ({
        p99: median(rounds.map(({ p99 }) => p99)),
        max: Math.max(...rounds.map(({ max }) => max)),
      }))
      const difference = (b.p99 - i.p99).toFixed(2)
      console.log(`${says}, ${backend}:`)
      console.log(
        `  p99 ${i.p99.toFixed(2)} ms idle, ${b.p99.toFixed(2)} ms in mid-fit (${b.p99 < i.p99 ? '' : '+'}${difference}); longest ${i.max.toFixed(1)} and ${b.max.toFixed(1)} ms`,
      )
    }
  console.log(`Medians of ${ROUNDS} rounds of ${SECONDS} s, idle and busy in turns. ${cardMarkdown(machineCard())}`)
}

main()
