/**
 * `npm run bench:loop`: how long the event loop is held up while `fit` trains, against an idle loop in the same process.
 *
 * Delays are those of a 1 ms timer (perf_hooks), so both figures include it. Idle and busy take turns; what counts is
 * the difference of the 99th percentiles, which should stay within 2 ms.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { FNN } from 'downhill'
import { cardMarkdown, machineCard } from './machine'
import { median } from './statistics'

const SECONDS = 2
const ROUNDS = 5

/** The 99th percentile and the largest delay in milliseconds while `work` runs. */
async function delays(work: () => Promise<unknown>): Promise<{ p99: number; max: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  await work()
  histogram.disable()
  return { p99: histogram.percentile(99) / 1e6, max: histogram.max / 1e6 }
}

const rows = 20000
const x = { data: Float32Array.from({ length: rows * 784 }, (_, i) => ((i * 37) % 255) / 255), rows, columns: 784 }
const y = Float32Array.from({ length: rows }, (_, i) => i % 10)

async function main(): Promise<void> {
  for (const backend of ['native', 'typescript'] as const) {
    const net = new FNN({
      inputs: 784,
      outputs: 10,
      task: 'multiclass',
      hidden: [300],
      activation: 'relu',
      backend,
      seed: 1,
    })
    const idle: number[] = []
    const busy: number[] = []
    let worst = 0
    for (let round = 0; round < ROUNDS; round++) {
      idle.push((await delays(() => sleep(SECONDS * 1000))).p99)
      const run = net.fit(x, y, { epochs: 1e6, batchSize: 128, optimizer: 'adam' })
      await sleep(200) // reading and copying the data is a call of its own, not training
      const { p99, max } = await delays(() => sleep(SECONDS * 1000))
      run.stop()
      await run
      busy.push(p99)
      worst = Math.max(worst, max)
    }
    const [i, b] = [median(idle), median(busy)]
    console.log(
      `${backend}: p99 ${i.toFixed(2)} ms idle, ${b.toFixed(2)} ms in mid-fit (+${(b - i).toFixed(2)}); longest ${worst.toFixed(1)} ms`,
    )
  }
  console.log(`Medians of ${ROUNDS} rounds of ${SECONDS} s, idle and busy in turns. ${cardMarkdown(machineCard())}`)
}

main()
