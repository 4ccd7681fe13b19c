/**
 * `npm run bench`: workloads × contenders, told as medians with their spread, with the losses beside the speeds.
 *
 *     npm run bench                      native (1 thread, all cores) and TypeScript, every workload, about 3 minutes
 *     npm run bench -- --peers           … and every other library that is installed (npm ci --prefix bench/peers)
 *     npm run bench -- --only seed,wide --rounds 5 --seconds 2 --threads 4 --contenders native,PyTorch
 *     npm run bench -- --peers --write-docs   … and then the results into docs/performance.md and README.md
 *     npm run bench -- --write-docs      no trial: writes the newest results there that lack no workload and nobody
 *
 * How a figure is made. A round runs every contender on every workload once, each in a fresh process (trial.ts), in an
 * order that turns with the round, so that a slow minute of the machine falls on all. A trial's figure is the median of
 * its blocks, a contender's the median over rounds. A ratio is taken within a round and then the median of the ratios:
 * what slows both down cancels. Whoever takes longer than --slow seconds for a block, or is more than --far times slower
 * than native, is measured in the first round only.
 *
 * Nothing is asserted about time. That the work was done is: the losses of all contenders are compared.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { CONTENDERS, type ContenderRow, command, environment, label } from './contenders'
import { prepare } from './data'
import { measureHandover, measureLimits } from './limits'
import { machineCard } from './machine'
import { absent, LATEST, picture, refuse, toMarkdown, toTerminal, writeDocs } from './report'
import { median } from './statistics'
import { type Measured, REFERENCE, type Results } from './summary'
import type { Finding, Outcome } from './trial'
import { type Task, WORKLOADS } from './workloads'

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(WORKLOADS).join(',') },
    contenders: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '0.8' },
    slow: { type: 'string', default: '2' },
    far: { type: 'string', default: '30' },
    threads: { type: 'string', default: String(availableParallelism()) },
    timeout: { type: 'string', default: '90' },
    peers: { type: 'boolean', default: false },
    'write-docs': { type: 'boolean', default: false },
  },
})

const [rounds, seconds, slow, far, threads, timeout] = (
  ['rounds', 'seconds', 'slow', 'far', 'threads', 'timeout'] as const
).map((name) => {
  const value = Number(options[name])
  if (!(value > 0)) throw new Error(`Expected a positive number for --${name} but received ${options[name]}.`)
  return value
})

/** Runs one trial and returns the last line it printed; whatever goes wrong becomes its reason. */
function trial(row: ContenderRow, folder: string): Promise<Outcome> {
  const count = row.threads === 'all' ? threads : 1
  const line = command(row, folder, seconds, count)
  if ('unable' in line) return Promise.resolve(line)
  return new Promise((resolve) => {
    const child = spawn(line[0], line.slice(1), { env: environment(count), stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => (err += chunk))
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout * 1000)
    child.on('error', (error) => resolve({ unable: error.message }))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const last = out.trim().split('\n').pop() ?? ''
      if (code === 0 && last.startsWith('{')) return resolve(JSON.parse(last) as Outcome)
      if (signal === 'SIGKILL') return resolve({ unable: `not done after ${timeout} s` })
      const said = err.split('\n').filter((text) => /\w*(Error|Exception)\b.*:/.test(text))
      resolve({ unable: said.pop()?.trim().slice(0, 160) ?? `ended with ${signal ?? code}` })
    })
  })
}

/** Order of a round: begun one further each time, and every second time backwards. */
function turned<T>(list: readonly T[], round: number): T[] {
  const from = round % list.length
  const order = [...list.slice(from), ...list.slice(0, from)]
  return round % 2 ? order.reverse() : order
}

/** Whether three rounds would tell no more than one: a contender many times slower than native in the first. */
function isFarBehind(first: Finding, measured: readonly Measured[]): boolean {
  const native = measured.find(({ label }) => label === REFERENCE)?.trials[0]
  return (
    native !== undefined &&
    native !== null &&
    'seconds' in native &&
    median(first.seconds) > far * median(native.seconds)
  )
}

/** One line that is written over again; nothing where nobody watches. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

function chosen(threaded: boolean): ContenderRow[] {
  const names = options.contenders?.split(',').map((name) => name.trim().toLowerCase())
  return CONTENDERS.filter(
    (row) =>
      (names ? names.some((name) => row.name.toLowerCase() === name) : options.peers || !row.isPeer) &&
      (row.threads === 'one' || (threaded && threads > 1)),
  )
}

async function main(): Promise<void> {
  const names = options.only.split(',').map((name) => name.trim())
  const unknown = names.find((name) => !(name in WORKLOADS))
  if (unknown !== undefined)
    throw new Error(`Unknown workload ${unknown}; there are ${Object.keys(WORKLOADS).join(', ')}.`)

  const plan = names.map((name) => {
    const { task, threaded } = WORKLOADS[name]
    const whole: Task = { workload: name, ...task }
    const measured = chosen(threaded).map((row): Measured & { row: ContenderRow } => {
      const unable = row.sitsOut?.(whole)
      return { row, label: label(row, threads), isPeer: row.isPeer, trials: unable ? [{ unable }] : [] }
    })
    return { name, folder: prepare(name), measured }
  })
  if (options['write-docs']) refuse(absent({ workloads: plan }))
  const results: Results = {
    card: machineCard(),
    rounds,
    seconds,
    threads,
    limits: measureLimits(threads),
    handovers: [],
    workloads: plan.map(({ name, measured }) => ({ name, measured: measured.map(({ row: _, ...rest }) => rest) })),
  }
  for (let round = 0; round < rounds; round++) {
    for (const { name, folder, measured } of plan) {
      const handover = threads > 1 ? measureHandover() : null
      if (handover !== null) results.handovers?.push(handover)
      for (const { row, label, trials } of turned(measured, round)) {
        const before = trials[0]
        if (before && ('unable' in before || before.seconds[0] > slow || isFarBehind(before, measured))) continue
        progress(`round ${round + 1} of ${rounds}: ${name}, ${label} …`)
        trials[round] = await trial(row, folder)
      }
    }
  }
  progress('')
  // JSON has no holes: rounds sat out are null.
  const json = JSON.stringify(results, (_, value) =>
    Array.isArray(value) ? Array.from(value, (v) => v ?? null) : value,
  )
  const folder = join(LATEST, '..')
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true })
  for (const path of [LATEST, join(folder, `${new Date().toISOString().replace(/[:.]/g, '-')}.json`)])
    writeFileSync(path, json)
  const kept = JSON.parse(readFileSync(LATEST, 'utf8')) as Results
  writeFileSync(join(folder, 'latest.md'), toMarkdown(kept))
  writeFileSync(join(folder, 'latest.svg'), picture(kept))
  process.stdout.write(toTerminal(kept))
  process.stdout.write(`\nWritten to ${join(folder, 'latest.{json,md,svg}')}.\n`)
  if (options['write-docs']) writeDocs(kept)
}

/** `--write-docs` alone writes the newest results of everybody, beside anything else those of this run. */
const isForDocsOnly = options['write-docs'] && process.argv.length === 3

const work = isForDocsOnly ? async () => writeDocs() : main
work().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
