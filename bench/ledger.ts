/**
 * What a ledger costs: the same fit with `ledger: true` and without, through the public API, interleaved.
 *
 *     node --import tsx bench/ledger.ts [--rounds 7] [--backend native | typescript] [--write-docs]
 *
 * The question's network on full batches, with plain descent (every step recorded from what training computes) and with
 * Adam (one pass of sums more a step); MNIST in batches of 128 with Adam (entries on a grid). The price is the median
 * over rounds of the ratio within a round, less 1; beside it the range, since a busy machine moves it by more.
 */
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { backendInfo, FNN, type History } from 'downhill'
import { FORCED } from './contenders'
import { load } from './contract'
import { prepare } from './data'
import { cardMarkdown, machineCard } from './machine'
import { fill } from './report'
import { median } from './statistics'
import { markdownTable, type TableOf, terminalTable } from './summary'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    backend: { type: 'string' },
    'write-docs': { type: 'boolean', default: false },
  },
})
const rounds = Number(options.rounds)

/** Passes that take some seconds at most; fewer rounds where one takes long. */
const CASES = [
  { name: 'the question’s, sgd', workload: 'seed', backend: 'native', epochs: 3000, share: 1 },
  { name: 'the question’s, adam', workload: 'seed', backend: 'native', epochs: 3000, share: 1, optimizer: 'adam' },
  { name: 'MNIST, adam, batch 128', workload: 'digits-128', backend: 'native', epochs: 30, share: 1 },
  { name: 'the question’s, sgd', workload: 'seed', backend: 'typescript', epochs: 60, share: 0.7 },
  { name: 'MNIST, adam, batch 128', workload: 'digits-128', backend: 'typescript', epochs: 6, share: 0.3 },
] as const
type Case = (typeof CASES)[number]

interface Line {
  readonly line: Case
  readonly bare: number
  /** With over without, less 1, by round. */
  readonly price: readonly number[]
  readonly history: History
}

async function measure(line: Case): Promise<Line> {
  const task = load(prepare(line.workload))
  const { layers, rows, batch, learningRate } = task
  const net = new FNN({
    inputs: layers[0],
    outputs: layers[layers.length - 1],
    hidden: layers.slice(1, -1),
    activation: task.activation,
    task: task.output === 'sigmoid' ? 'binary' : 'multiclass',
    seed: 1,
    backend: line.backend,
    threads: 1,
  })
  const start = task.start().map(({ W, b, I, O }) => ({ weights: { data: W, rows: I, columns: O }, bias: b }))
  const x = { data: task.stored, rows, columns: layers[0], scale: task.x.scale }
  const optimizer = 'optimizer' in line ? line.optimizer : task.optimizer
  const rate = 'optimizer' in line ? {} : { learningRate }
  const run = async (ledger: boolean, epochs: number = line.epochs): Promise<{ seconds: number; history: History }> => {
    net.setWeights(start)
    const began = performance.now()
    const history = await net.fit(x, task.labels, { optimizer, ...rate, batchSize: batch, epochs, ledger })
    void history.ledger // its entries are made when they are asked for: that belongs to the price
    return { seconds: (performance.now() - began) / 1000, history }
  }
  for (const ledger of [false, true]) await run(ledger, Math.ceil(line.epochs / 10))
  const [bare, price]: [number[], number[]] = [[], []]
  let last = (await run(true, 1)).history
  for (let round = 0; round < Math.max(1, Math.round(rounds * line.share)); round++) {
    const seconds = { with: 0, without: 0 }
    for (const ledger of round % 2 ? [true, false] : [false, true]) {
      const { seconds: taken, history } = await run(ledger)
      seconds[ledger ? 'with' : 'without'] = taken
      if (ledger) last = history
    }
    bare.push(seconds.without)
    price.push(seconds.with / seconds.without - 1)
  }
  return { line, bare: median(bare), price, history: last }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

async function main(): Promise<void> {
  const card = cardMarkdown(machineCard())
  for (const name of FORCED) delete process.env[name]
  const lines: Line[] = []
  for (const line of CASES) {
    if (line.backend === 'native' && backendInfo().name !== 'native') continue
    if (options.backend !== undefined && options.backend !== line.backend) continue
    const measured = await measure(line)
    process.stderr.write(`${line.name}, ${line.backend}: ${percent(median(measured.price))}\n`)
    lines.push(measured)
  }
  const table: TableOf = {
    head: ['', 'backend', 'steps', 'entries', 'seconds without', 'price of `ledger: true`', '(range)'],
    rows: lines.map(({ line, bare, price, history }) => [
      line.name,
      line.backend === 'native' ? 'native' : 'TypeScript',
      String(history.steps),
      String(history.ledger?.length),
      bare.toPrecision(3),
      percent(median(price)),
      `${percent(Math.min(...price))} … ${percent(Math.max(...price))}`,
    ]),
  }
  const note = `Medians of interleaved rounds, one thread (\`npm run bench:ledger\`). ${card}`
  process.stdout.write(`${note}\n\n${terminalTable(table)}\n`)
  if (options['write-docs']) fill('docs/doctor.md', 'ledger', `${markdownTable(table)}\n\n${note}`)
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
