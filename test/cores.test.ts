/**
 * Cores and threads: what the system's files say of cores, and what `threads: 'auto'` makes of them: all but one for what
 * runs beside the event loop, all for what runs on its thread, one where a net is too small to gain.
 *
 * No thread is started to see it: the backend is asked for engines, and how many threads each is given is written down.
 */
import { availableParallelism } from 'node:os'
import { adam, type FitOptions, FNN, lbfgs } from 'downhill'
import t from 'tap'
import { physicalCores, quota, siblings } from '../dist/backends/cores'
import { nativeStatus } from '../dist/backends/native'
import { typescriptBackend } from '../dist/backends/typescript'

// ---------------------------------------------------------------------------------------------------- what files say

const NONE = Number.POSITIVE_INFINITY

const QUOTAS: readonly [says: string, text: string, cores: number][] = [
  ['v2, none', 'max 100000\n', NONE],
  ['v2, two', '200000 100000\n', 2],
  ['v2, one and a half', '150000 100000\n', 1],
  ['v2, half a core', '50000 100000\n', 1],
  ['v2, another period', '300000 50000\n', 6],
  ['v1, none', '-1\n 100000\n', NONE],
  ['v1, two', '200000\n 100000\n', 2],
  ['v1, without its period', '200000\n ', NONE],
  ['neither', 'max ', NONE],
  ['an empty file', '', NONE],
  ['a period of 0', '200000 0', NONE],
]

t.test('quotas of control groups', async (t) => {
  for (const [says, text, cores] of QUOTAS) t.equal(quota(text), cores, says)
})

/** /proc/cpuinfo with a line for each processor: its socket and its core, or null for a kernel that tells neither. */
const cpuinfo = (processors: readonly (readonly [socket: number, core: number] | null)[]): string =>
  processors
    .map((at, i) => {
      const says = at === null ? '' : `physical id\t: ${at[0]}\nsiblings\t: 2\ncore id\t\t: ${at[1]}\ncpu cores\t: 1\n`
      return `processor\t: ${i}\nmodel name\t: CPU @ 2.00GHz: fast\n${says}flags\t\t: fpu vme\n`
    })
    .join('\n')

const PROCESSORS: readonly [says: string, text: string, cores: number][] = [
  ['one', cpuinfo([[0, 0]]), 1],
  ['four cores', cpuinfo([[0, 0], [0, 1], [0, 2], [0, 3]]), 4], // biome-ignore format: a row is a processor
  ['two cores of two hyperthreads', cpuinfo([[0, 0], [0, 1], [0, 0], [0, 1]]), 2], // biome-ignore format: as above
  ['cores of the same number in two sockets', cpuinfo([[0, 0], [0, 1], [1, 0], [1, 1]]), 4], // biome-ignore format: as above
  ['numbers with gaps', cpuinfo([[0, 0], [0, 8], [0, 9]]), 3], // biome-ignore format: as above
  ['no core id, as on ARM', cpuinfo([null, null]), NONE],
  ['no such file', '', NONE],
]

t.test('physical cores', async (t) => {
  for (const [says, text, cores] of PROCESSORS) t.equal(siblings(text), cores, says)
  const here = physicalCores()
  t.ok(Number.isInteger(here) && here >= 1 && here <= availableParallelism(), `${here} here`)
})

// ---------------------------------------------------------------------------------------------------- threads: 'auto'

const backend = nativeStatus().backend ?? typescriptBackend

/** Threads of each engine that is loaded while `work` runs on a machine of so many cores. */
async function threadsOf(cores: number, work: () => unknown): Promise<number[]> {
  const module = require('../dist/backends/cores')
  const replaced = { physicalCores: module.physicalCores, load: backend.load }
  const seen: number[] = []
  const load: typeof backend.load = (plan, threads, parametersOf) => {
    seen.push(threads)
    return replaced.load.call(backend, plan, 1, parametersOf)
  }
  module.physicalCores = () => cores
  Object.assign(backend, { load })
  try {
    await work()
  } finally {
    module.physicalCores = replaced.physicalCores
    Object.assign(backend, { load: replaced.load })
  }
  return seen
}

const ROWS = 300
const x = Array.from({ length: ROWS }, (_, r) => Array.from({ length: 40 }, (_, c) => Math.sin(r * 41 + c * c)))
const y = Array.from({ length: ROWS }, (_, r) => r % 2)

const netOf = (hidden: number[], threads: number | 'auto' = 'auto'): FNN =>
  new FNN({ inputs: 40, outputs: 1, task: 'binary', hidden, seed: 1, backend: backend.name, threads })

/** Large enough for more than a thread: 40 · 512 + 512 weights, 100 rows at once. */
const LARGE = [512]
const SMALL = [4]

/** What a training may ask for beside its engine, and engines in all. */
const FITS: readonly [name: string, engines: number, options: FitOptions][] = [
  ['adam', 1, { optimizer: adam() }],
  ['L-BFGS, which searches on an engine of its own', 1, { optimizer: lbfgs(), batchSize: 'full' }],
  ['ema, whose average is judged on another', 2, { ema: 0.9, validation: { x, y } }],
  ['a ledger, which looks on two others', 3, { ledger: 'all' }],
]

t.test("threads: 'auto'", async (t) => {
  for (const [name, engines, options] of FITS) {
    const given = { batchSize: 100, epochs: 1, ...options }
    const each = (threads: number): number[] => Array.from({ length: engines }, () => threads)
    const [net, tiny, asked] = [netOf(LARGE), netOf(SMALL), netOf(SMALL, 3)]
    for (const [cores, beside] of [
      [1, 1],
      [2, 1],
      [8, 7],
    ]) {
      // biome-ignore format: cores, and those of them for fit
      t.same(await threadsOf(cores, () => net.fit(x, y, given)), each(beside), `${name}: fit on ${cores} cores`)
      t.same(await threadsOf(cores, () => net.fitSync(x, y, given)), each(cores), `${name}: fitSync on ${cores} cores`)
    }
    t.same(await threadsOf(8, () => tiny.fitSync(x, y, given)), each(1), `${name}: a tiny net`)
    t.same(await threadsOf(8, () => asked.fit(x, y, given)), each(3), `${name}: a number that was asked for`)
  }
  const net = netOf(LARGE)
  t.same(await threadsOf(8, () => netOf(LARGE)), [8], 'predicting')
  t.same(await threadsOf(8, () => net.evaluate(x, y)), [8], 'evaluating')
  t.same(await threadsOf(8, () => net.gradients(x, y)), [8], 'gradients')
})
