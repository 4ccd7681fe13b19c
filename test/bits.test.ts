/**
 * The same bits, as users reach them: through `fit`, `gradients` and `predict`, on a net whose products are cut for
 * threads and, where that is asked for, computed by BLAS. For each set of kernels and each way to multiply: whatever the
 * number of threads, and for a row alone as among others, in batches that fill no panel, no chunk and no vector.
 *
 * One process a row of ENVIRONMENTS, since what multiplies is decided when the addon is loaded.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { nativeStatus } from '../dist/backends/native'

const THREADS = [1, 2, 3, 4, 7]

/** Batches that are predicted at once; the first are one row. A chunk is 256 rows, a panel of BLAS 64. */
const BATCHES = [1, 1, 2, 3, 31, 63, 64, 65, 257, 300]
const ROWS = BATCHES[BATCHES.length - 1]

/** Trains and predicts with each number of threads; prints hashes, and the batches whose rows are not those of all. */
const PROGRAM = `
  const { createHash } = require('node:crypto')
  const { backendInfo, dense, dropout, FNN } = require('downhill')
  const hash = (...lists) => lists.reduce((sum, list) => sum.update(list), createHash('sha256')).digest('hex')
  const [I, rows] = [784, ${ROWS}]
  const data = Float32Array.from({ length: rows * I }, (_, i) => Math.sin(i * 31 + ((i * i) % 1009)))
  const table = (from, rows) => ({ data: data.subarray(from * I, (from + rows) * I), rows, columns: I })
  const x = table(0, rows)
  const y = Float32Array.from({ length: rows }, (_, r) => Math.cos(r) + data[r * I])
  const at = (threads) => {
    const layers = [dense(600, 'relu'), dropout(0.2), dense(520, 'tanh'), dense(1)]
    const net = new FNN({ layers, inputs: I, outputs: 1, task: 'regression', l2: 1e-3, seed: 4, backend: 'native', threads })
    const drawn = net.predict(x)
    const { loss } = net.fitSync(x, y, { epochs: 1, batchSize: 130, optimizer: 'adam', clipNorm: 0.5 })
    const tensors = (layers) => layers.flatMap(({ weights, bias }) => [weights.data, bias])
    const gradients = net.gradients(x, y)
    const together = net.predict(x)
    // The last rows of all, so that a row stands elsewhere in its batch than among all.
    const others = ${JSON.stringify(BATCHES)}.filter((count, i) => {
      const from = i === 0 ? 0 : rows - count
      return Buffer.compare(Buffer.from(net.predict(table(from, count)).buffer), Buffer.from(together.slice(from, from + count).buffer))
    })
    const learned = hash(loss, ...tensors(net.weights()))
    return { threads, drawn: hash(drawn), learned, gradients: hash(...tensors(gradients.layers)), together: hash(together), others }
  }
  const { simd, blas } = backendInfo()
  console.log(JSON.stringify({ simd, blas, runs: ${JSON.stringify(THREADS)}.map(at) }))
`

interface Said {
  readonly simd: string
  readonly blas: string
  readonly runs: readonly {
    readonly threads: number
    /** Hashes: predictions of the weights as drawn; weights and losses of a fit; gradients; predictions after it. */
    readonly drawn: string
    readonly learned: string
    readonly gradients: string
    readonly together: string
    readonly others: readonly number[]
  }[]
}

interface Environment {
  readonly DOWNHILL_SIMD: string
  /** '': whoever is the faster, which is BLAS for these layers on the portable set. */
  readonly DOWNHILL_PRODUCTS: string
  readonly OPENBLAS_CORETYPE?: string
}

const SETS = ['portable', 'avx2', 'avx512'] as const
/** OpenBLAS' kernels by what they need: Haswell's keep no rows, so that only gradients of weights go to them. */
const CORES = { Prescott: 'portable', Sandybridge: 'avx2', Haswell: 'avx2' } as const

const ENVIRONMENTS: readonly Environment[] = [
  ...SETS.flatMap((set) => ['own', 'blas'].map((by) => ({ DOWNHILL_SIMD: set, DOWNHILL_PRODUCTS: by }))),
  { DOWNHILL_SIMD: 'portable', DOWNHILL_PRODUCTS: '' },
  ...Object.keys(CORES).map((core) => ({
    DOWNHILL_SIMD: 'portable',
    DOWNHILL_PRODUCTS: 'blas',
    OPENBLAS_CORETYPE: core,
  })),
]

const status = nativeStatus()
const here: readonly string[] = SETS.slice(0, SETS.indexOf(status.simd as (typeof SETS)[number]) + 1)

/** Why an environment cannot be had on this machine; false where it can. */
function lacking({ DOWNHILL_SIMD: set, OPENBLAS_CORETYPE: core }: Environment): string | false {
  if (status.backend === null) return `no native backend here: ${status.reason}`
  const needed = core === undefined ? set : CORES[core as keyof typeof CORES]
  if (!here.includes(needed)) return `not on this machine: the addon runs ${status.simd}`
  if (core !== undefined && !status.blas.startsWith('OpenBLAS')) return `no OpenBLAS here: ${status.blas}`
  return false
}

function run(environment: Environment): Promise<{ said: Said | null; text: string }> {
  const env = { ...process.env, NODE_OPTIONS: '', ...environment }
  const child = spawn(process.execPath, ['-e', PROGRAM], { cwd: join(__dirname, '..'), env })
  let [out, text] = ['', '']
  child.stdout.on('data', (chunk) => (out += chunk))
  child.stderr.on('data', (chunk) => (text += chunk))
  return new Promise((resolve) =>
    child.on('close', () => resolve({ said: out.startsWith('{') ? JSON.parse(out) : null, text: out + text })),
  )
}

/** What is said in each environment, by its name. */
const seen = new Map<string, Said>()

for (const environment of ENVIRONMENTS) {
  const { DOWNHILL_SIMD: set, DOWNHILL_PRODUCTS: by, OPENBLAS_CORETYPE: core } = environment
  const name = [set, by || 'whoever is faster', core].filter(Boolean).join(', ')
  t.test(name, { skip: lacking(environment) }, async (t) => {
    const { said, text } = await run(environment)
    if (said === null) {
      t.fail('it ended without a word', { text })
      return
    }
    seen.set(name, said)
    t.equal(said.simd, set, 'the set asked for')
    if (core !== undefined) t.match(said.blas, core, "OpenBLAS' kernels asked for")
    const [{ threads: _, ...alone }, ...others] = said.runs
    t.same(alone.others, [], 'each row as among all, one thread')
    for (const { threads, ...found } of others) t.same(found, alone, `${threads} threads`)
  })
}

t.test('the rows above go different ways', { skip: lacking(ENVIRONMENTS[0]) }, async (t) => {
  const [own, blas, faster] = ['own', 'blas', 'whoever is faster'].map((by) => seen.get(`portable, ${by}`)?.runs[0])
  if (!status.blas.startsWith('OpenBLAS')) return t.comment(`no OpenBLAS here: ${status.blas}`)
  t.not(blas?.gradients, own?.gradients, 'gradients of weights on BLAS have other bits than ours')
  t.same(faster, blas, 'for layers of 512 × 512 and more BLAS is the faster, where only portable kernels run')
  for (const [name, { runs }] of seen) {
    const [set, by, core] = name.split(', ')
    if (by === 'own') continue
    const isOurs = runs[0].drawn === seen.get(`${set}, own`)?.runs[0].drawn
    t.comment(`${name}: outputs by ${isOurs ? 'us' : 'BLAS'}`)
    if (core === 'Haswell')
      t.ok(isOurs, "Haswell's kernels keep no rows (docs/decisions/0003-kernels.md): outputs are ours")
  }
})
