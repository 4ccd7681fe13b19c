/** The bench measures what it says: the work is the work, everybody gets the same, and the statistics are right. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CONTENDERS, label } from '../bench/contenders'
import { load } from '../bench/contract'
import { prepare } from '../bench/data'
import { open } from '../bench/downhill'
import { besideJavascript, goalsTable } from '../bench/goals'
import { roofline } from '../bench/limits'
import { absent, lacking, newestComplete, refuse, toMarkdown, workloadTable } from '../bench/report'
import { difference, median, slope, spread } from '../bench/statistics'
import type { Results } from '../bench/summary'
import { flops, type Task, UNITS, WORKLOADS } from '../bench/workloads'
import { backendInfo } from '../dist'

const task = (name: string): Task => ({ workload: name, ...WORKLOADS[name].task })

t.test('statistics', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.equal(spread([9, 10, 12]), 0.15)
  t.equal(difference([1, 2.5], [1, 2]), 0.25, 'relative to the largest of the second list')
  t.ok(Number.isNaN(difference([1], [1, 2])), 'lists of different length have no difference')
  const x = [1, 2, 4, 8]
  t.ok(
    Math.abs(
      slope(
        x,
        x.map((v) => 3 * v ** 1.5),
      ) - 1.5,
    ) < 1e-12,
  )
})

t.test('operations counted: as worked out by hand', async (t) => {
  // (30·128 + 128·64 + 64) products forward, as many for dW, and all but the first layer's for dx.
  t.equal(flops(task('seed')), 2 * 569 * 100 * (2 * 12_096 + 8_256))
  t.equal(flops(task('predict-1')), 2 * 256 * 40 * (784 * 128 + 128 * 64 + 640))
  t.equal(UNITS.microsecondsAStep.perBlock(task('xor')), 10_000)
  t.equal(UNITS.microsecondsACall.perBlock(task('predict-1')), 256 * 40)
})

t.test('the bytes of a task: a fixed start, real digits, standardised columns', async (t) => {
  const digits = load(prepare('digits-128'))
  t.same([...digits.labels.subarray(0, 10)], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "MNIST's first labels")
  t.equal(digits.stored.length, 8192 * 784)
  t.equal(Math.max(...digits.floats().subarray(0, 784 * 64)), 1)
  t.same(
    digits.start().map(({ W, b }) => [W.length, b.length]),
    [
      [784 * 128, 128],
      [128 * 64, 64],
      [640, 10],
    ],
  )
  const seed = load(prepare('seed'))
  const x = seed.floats()
  for (let j = 0; j < 30; j++) {
    let [sum, squares] = [0, 0]
    for (let i = 0; i < 569; i++) {
      sum += x[i * 30 + j]
      squares += x[i * 30 + j] ** 2
    }
    t.ok(Math.abs(sum / 569) < 1e-6 && Math.abs(squares / 569 - 1) < 1e-6, `column ${j}`)
  }
  const before = readFileSync(join(prepare('xor'), 'start.bin'))
  t.same(readFileSync(join(prepare('xor'), 'start.bin')), before, 'prepared twice, the same start')
})

t.test('our backends do the same work on a block', { skip: skipNative() }, async (t) => {
  const xor = load(prepare('xor'))
  const [native, typescript] = await Promise.all(['native', 'typescript'].map((name) => open[name](xor, 1)))
  const blocks: number[][] = []
  for (const contender of [native, typescript, native]) {
    await contender.reset()
    blocks.push(Array.from(await contender.block()))
  }
  t.equal(blocks[0].length, 10_000)
  t.ok(difference(blocks[0], blocks[1]) < 1e-5, 'native and TypeScript reach the same losses')
  t.same(blocks[0], blocks[2], 'a block after a reset repeats the first to the bit')
})

t.test('a table: the fastest first, ratios within rounds, a reason in place of a speed', async (t) => {
  const trial = (seconds: number, evidence: number[]) => ({ version: 'v', seconds: [seconds], evidence })
  const results: Results = {
    card: {
      date: '2026-01-01',
      cpu: 'cpu',
      cores: 1,
      caches: '',
      memory: '',
      system: '',
      node: 'v20',
      unset: [],
      load: 0,
    },
    rounds: 3,
    seconds: 1,
    threads: 2,
    limits: null,
    workloads: [
      {
        name: 'seed',
        measured: [
          { label: 'TypeScript', isPeer: false, trials: [trial(10, [2, 1]), null, null] },
          { label: 'native', isPeer: false, trials: [trial(1, [2, 1.01]), trial(2, [2, 1.01]), trial(1, [2, 1.01])] },
          { label: 'tfjs node', isPeer: true, trials: [{ unable: 'not installed' }, null, null] },
        ],
      },
    ],
  }
  t.same(workloadTable(results.workloads[0]).rows, [
    ['native', '100', '50 %', '1 ×', '3.69', '1.0100', '5e-3'],
    ['TypeScript', '10', '1 round', '10 ×', '0.369', '1.0000', 'reference'],
    ['tfjs node', 'not installed', '', '', '', '', ''],
  ])
  t.match(toMarkdown(results), /\| native \| 100 \|/)
})

t.test('goals: reached, not reached, or more than the machine has', async (t) => {
  // A block of seed is 3.69 GFLOP.
  const row = (label: string, seconds: number) => ({
    label,
    isPeer: true,
    trials: [{ version: 'v', seconds: [seconds], evidence: [] }],
  })
  const measured = [row('native', 0.1), row('PyTorch', 0.15), row('tfjs cpu', 2), row('jax-js wasm', 0.9)]
  const ceiling = { threads: 1, flops: 1e11, L2: 1e11, L3: 5e10, memory: 2e10 }
  const limits = { ceilings: [ceiling], L2: 2 ** 20, L3: 2 ** 25 }
  const results = { workloads: [{ name: 'seed', measured }], threads: 2, limits } as unknown as Results
  t.same(goalsTable(results).rows, [
    ['seed', '1', '5.5 × PyTorch', '1.5 × PyTorch', '135', '135 %', 'more than the machine has'],
    ['seed', '1', '60 % of peak', '37 %', '60', '60 %', 'not reached'],
    ['seed', '1', '10 × the best JavaScript peer', '9 × jax-js wasm', '41', '41 %', 'not reached'],
  ])
  t.equal(
    besideJavascript(results.workloads[0]),
    'The best JavaScript peer is jax-js wasm; native on one thread is 9 ×.',
  )
  const [first, ...others] = goalsTable({ ...results, limits: null }).rows
  t.same(first, ['seed', '1', '5.5 × PyTorch', '1.5 × PyTorch', '135', '—', 'not reached'], 'no peak, no verdict on it')
  t.equal(others.length, 1, 'nor a share of it')
})

t.test('goals of TypeScript, which are not native’s', async (t) => {
  // A block of digits-32 is 2 · 8192 rows of 0.45 MFLOP.
  const row = (label: string, seconds: number) => ({
    label,
    isPeer: true,
    trials: [{ version: 'v', seconds: [seconds], evidence: [] }],
  })
  const measured = [
    ...[row('native', 0.01), row('TypeScript', 1), row('TypeScript float64', 2)],
    ...[row('tfjs cpu', 9), row('brain.js', 5)],
  ]
  const results = { workloads: [{ name: 'digits-32', measured }], threads: 2, limits: null } as unknown as Results
  t.same(
    goalsTable(results).rows.map(([, , asked, found, , , verdict]) => [asked, found, verdict]),
    [
      ['10 × the best JavaScript peer', '500 × brain.js', 'reached'],
      ['TypeScript: 4 × tfjs cpu', '9 × tfjs cpu', 'reached'],
      ['TypeScript: 5 × brain.js', '5 × brain.js', 'reached'],
      ['TypeScript float64: 4 × tfjs cpu', '4.5 × tfjs cpu', 'reached'],
      ['TypeScript float64: 5 × brain.js', '2.5 × brain.js', 'not reached'],
    ],
  )
})

t.test('the docs are written from results of everybody, and of nobody less', async (t) => {
  const trials = [{ version: 'v', seconds: [1], evidence: [] }]
  const everybody = CONTENDERS.map((row) => ({ label: label(row, 2), isPeer: row.isPeer, trials }))
  const all = Object.keys(WORKLOADS).map((name) => ({ name, measured: everybody }))
  const alike = (change: (row: (typeof everybody)[number]) => object) =>
    all.map(({ name, measured }) => ({ name, measured: measured.map((row) => ({ ...row, ...change(row) })) }))
  const rows: readonly [says: string, lacks: string, workloads: unknown][] = [
    ['everybody', '', all],
    ['--only seed', 'the workload digits-32', all.slice(0, 1)],
    [
      'without --peers',
      'the contender PyTorch',
      all.map(({ name, measured }) => ({ name, measured: measured.filter(({ isPeer }) => !isPeer) })),
    ],
    [
      'no peer installed',
      'any peer that is installed',
      alike(({ isPeer }) => (isPeer ? { trials: [{ unable: 'not installed' }, null] } : {})),
    ],
  ]
  const folder = t.testdir()
  for (const [i, [says, lacks, workloads]] of rows.entries()) {
    const results = { workloads } as Results
    t.equal(lacking(results), lacks, says)
    if (lacks === '') t.doesNotThrow(() => refuse(lacks))
    else
      t.throws(() => refuse(lacking(results)), new RegExp(`^Expected everybody .* but they lack ${lacks}; run .*\\.$`))
    t.equal(newestComplete(folder) === null, i === 0, 'none yet, or the first and none after it')
    writeFileSync(join(folder, `2026-01-0${i + 1}T00-00-00-000Z.json`), JSON.stringify(results))
    writeFileSync(join(folder, 'latest.json'), JSON.stringify(results))
    t.equal(newestComplete(folder)?.file, '2026-01-01T00-00-00-000Z.json', 'the newest that lacks nobody')
  }
  t.equal(absent({ workloads: all.map(({ name, measured }) => ({ name, measured })) }), '', 'a plan lacks nobody')
  t.equal(newestComplete(join(folder, 'nowhere')), null)
})

t.test('the trial in Python is the twin of the one in TypeScript', async (t) => {
  const read = (file: string, assignment: RegExp) => {
    const text = readFileSync(join(__dirname, '..', 'bench', file), 'utf8')
    return Object.fromEntries([...text.matchAll(assignment)].map(([, name, value]) => [name, Number(value)]))
  }
  const ours = read('trial.ts', /^const ([A-Z_]+) = (\d+)$/gm)
  t.same(Object.keys(ours), ['LEAST_BLOCKS', 'EVIDENCE', 'EVIDENCE_ROWS'])
  t.same(read('peers/contract.py', /^([A-Z_]+) = (\d+)$/gm), ours)
})

t.test('a roofline: as worked out by hand', async (t) => {
  const ceiling = { threads: 1, flops: 1e12, L2: 1e11, L3: 5e10, memory: 2e10 }
  const xor = roofline(task('xor'), { ceilings: [ceiling], L2: 2 ** 20, L3: 2 ** 25 })
  // 2-8-1: 33 parameters, 9 outputs, 4 rows of 2 floats. Forward and dW 2·4·24 each, dx of the second layer 2·4·8.
  t.equal(xor.flop, 2 * 4 * (24 + 24 + 8))
  t.equal(xor.bytes, 4 * (8 + 4 * 4 * 9 + 33 + 9 + 4 * 33))
  t.equal(xor.level, 'L2')
  t.equal(xor.bound, (xor.flop / xor.bytes) * 1e11)
})

function skipNative(): string | false {
  const { name, reason } = backendInfo()
  return name === 'native' ? false : `runs on TypeScript: ${reason}`
}
