/**
 * Memory: what a fit takes over Node's own, measured as the peak of resident memory of a process that does nothing else.
 *
 * Allowed are 1.2 × (data + parameters + gradients + optimizer state + inputs, activations and deltas of one chunk) and
 * 8 MiB of packing buffers a thread. Bytes must stay bytes until they are gathered, a full batch must go in chunks, and
 * nothing may be held twice: each of these broken once costs more than the allowance.
 */
import { spawnSync } from 'node:child_process'
import t from 'tap'

interface Workload {
  readonly name: string
  readonly rows: number
  readonly inputs: number
  readonly hidden: readonly number[]
  readonly batch: number | 'full'
  readonly optimizer: 'sgd' | 'adam'
  readonly isBytes: boolean
}

const WORKLOADS: readonly Workload[] = [
  { name: 'MNIST as bytes', rows: 60000, inputs: 784, hidden: [128, 64], batch: 128, optimizer: 'adam', isBytes: true },
  { name: 'MNIST as floats', rows: 60000, inputs: 784, hidden: [128], batch: 128, optimizer: 'sgd', isBytes: false },
  { name: 'MNIST, full batch', rows: 60000, inputs: 784, hidden: [64], batch: 'full', optimizer: 'sgd', isBytes: true },
  { name: 'wide, sgd', rows: 1024, inputs: 1024, hidden: [2048, 2048], batch: 256, optimizer: 'sgd', isBytes: false },
  { name: 'wide, adam', rows: 512, inputs: 1024, hidden: [2048, 1024], batch: 256, optimizer: 'adam', isBytes: false },
]

const OUTPUTS = 10
const CHUNK = 1024
const MIB = 2 ** 20

/** The program of the measuring process; prints bytes. */
const PROGRAM = `
const { readFileSync } = require('node:fs')
const { FNN } = require('downhill')
const w = JSON.parse(process.argv[1])
const peak = () => 1024 * Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
const entries = w.rows * w.inputs
const data = w.isBytes ? new Uint8Array(entries) : new Float32Array(entries)
for (let i = 0; i < entries; i++) data[i] = (i * 31) % 200
const x = { data, rows: w.rows, columns: w.inputs, scale: 1 / 255 }
const y = Float32Array.from({ length: w.rows }, (_, i) => i % ${OUTPUTS})
new FNN({ inputs: 2, outputs: 1, hidden: [2], task: 'binary', threads: 1 }).fitSync([[0, 0], [1, 1]], [0, 1], { epochs: 2 })
gc()
const before = peak()
const net = new FNN({ inputs: w.inputs, outputs: ${OUTPUTS}, task: 'multiclass', hidden: w.hidden, activation: 'relu', seed: 1, threads: 1 })
net.fit(x, y, { epochs: 1, batchSize: w.batch, optimizer: w.optimizer }).then(() => console.log(net.backend, peak() - before))
`

/** Bytes a fit may take. */
function allowance({ rows, inputs, hidden, batch, optimizer, isBytes }: Workload): number {
  const widths = [inputs, ...hidden, OUTPUTS]
  const parameters = widths.slice(1).reduce((sum, O, i) => sum + (widths[i] + 1) * O, 0)
  const units = widths.slice(1).reduce((sum, O) => sum + O, 0)
  const chunk = Math.min(batch === 'full' ? rows : batch, CHUNK)
  const data = rows * inputs * (isBytes ? 1 : 4) + rows * 4
  const vectors = optimizer === 'adam' ? 4 : 2
  return 1.2 * (data + 4 * (vectors * parameters + chunk * (inputs + 2 * units))) + 8 * MIB
}

const reason = process.platform === 'linux' ? false : 'the peak of resident memory is read from /proc'
for (const workload of WORKLOADS)
  t.test(workload.name, { skip: reason }, (t) => {
    const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', PROGRAM, JSON.stringify(workload)], {
      encoding: 'utf8',
    })
    const [backend, used] = stdout.trim().split(' ')
    const allowed = allowance(workload)
    const fits = Number(used) <= allowed
    // The allowance is that of the native backend: V8 keeps what it likes.
    t.ok(fits || backend === 'typescript', `${(Number(used) / MIB).toFixed(0)} MiB of ${(allowed / MIB).toFixed(0)}`, {
      stderr,
    })
    t.end()
  })
