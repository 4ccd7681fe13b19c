/**
 * Memory: what a fit takes over Node's own, measured as the peak of resident memory from where the data are there to where
 * the fit has ended, in a process that does nothing else.
 *
 * Allowed are 1.2 × (data + parameters + gradients + optimizer state + inputs, activations and deltas of one chunk) and
 * 8 MiB of packing buffers a thread. Bytes must stay bytes until they are gathered, a full batch must go in chunks, and
 * nothing may be held twice: each of these broken once costs more than the allowance. What holds data twice for the time
 * of reading them says so in its row, and docs/performance.md says it to users.
 */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { backendInfo } from '../dist'

interface Workload {
  readonly name: string
  readonly rows: number
  readonly inputs: number
  readonly hidden: readonly number[]
  readonly batch: number | 'full'
  readonly optimizer: 'sgd' | 'adam'
  readonly form: 'bytes' | 'floats' | 'arrays'
  readonly standardize?: boolean
  readonly validation?: number
  readonly threads?: number
  /** Fits one after the other; the last is measured. */
  readonly fits?: number
  /** Copies that JavaScript makes of the data, for as long as it reads them, beside the engine's own. */
  readonly onTheWay?: number
}

const MNIST = { rows: 60000, inputs: 784, hidden: [128], batch: 128, optimizer: 'sgd', form: 'floats' } as const

const WORKLOADS: readonly Workload[] = [
  { ...MNIST, name: 'MNIST as bytes', hidden: [128, 64], optimizer: 'adam', form: 'bytes' },
  { ...MNIST, name: 'MNIST as floats' },
  { ...MNIST, name: 'MNIST, full batch', hidden: [64], batch: 'full', form: 'bytes' },
  { ...MNIST, name: 'MNIST, two threads', threads: 2, batch: 1024, form: 'bytes' },
  { ...MNIST, name: 'MNIST, a second fit', fits: 2 },
  { ...MNIST, name: 'MNIST as bytes, a fifth held out', validation: 0.2, form: 'bytes', onTheWay: 1 },
  { ...MNIST, name: 'MNIST as floats, a fifth held out', validation: 0.2, onTheWay: 1 },
  { ...MNIST, name: 'MNIST as floats, standardized', standardize: true, onTheWay: 1 },
  { ...MNIST, name: 'MNIST as arrays of rows', rows: 20000, form: 'arrays', onTheWay: 1 },
  { ...MNIST, name: 'wide, sgd', rows: 1024, inputs: 1024, hidden: [2048, 2048], batch: 256 },
  { ...MNIST, name: 'wide, adam', rows: 512, inputs: 1024, hidden: [2048, 1024], batch: 256, optimizer: 'adam' },
]

const OUTPUTS = 10
const CHUNK = 1024
const MIB = 2 ** 20

/** The program of the measuring process; prints bytes. */
const PROGRAM = `
const { readFileSync, writeFileSync } = require('node:fs')
const { FNN } = require('downhill')
const w = JSON.parse(process.argv[1])
const read = (what) => 1024 * Number(new RegExp(what + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1])
const entries = w.rows * w.inputs
const data = w.form === 'bytes' ? new Uint8Array(entries) : new Float32Array(entries)
for (let i = 0; i < entries; i++) data[i] = (i * 31) % 200
const row = (r) => Array.from(data.subarray(r * w.inputs, (r + 1) * w.inputs))
const x = w.form === 'arrays' ? Array.from({ length: w.rows }, (_, r) => row(r)) : { data, rows: w.rows, columns: w.inputs, scale: 1 / 255 }
const y = Float32Array.from({ length: w.rows }, (_, i) => i % ${OUTPUTS})
const { threads = 1, standardize = false, validation, fits = 1 } = w
new FNN({ inputs: 2, outputs: 1, hidden: [2], task: 'binary', threads }).fitSync([[0, 0], [1, 1]], [0, 1], { epochs: 2 })
;(async () => {
  let net, before
  for (let i = 0; i < fits; i++) {
    gc()
    await new Promise(setImmediate)
    gc()
    // From here on the peak is that of what follows.
    writeFileSync('/proc/self/clear_refs', '5')
    before = read('VmRSS')
    net ??= new FNN({ inputs: w.inputs, outputs: ${OUTPUTS}, task: 'multiclass', hidden: w.hidden, activation: 'relu', seed: 1, threads, standardize })
    await net.fit(x, y, { epochs: 1, batchSize: w.batch, optimizer: w.optimizer, validation })
  }
  console.log(read('VmHWM') - before)
})()
`

/** Bytes a fit may take. */
function allowance({
  rows,
  inputs,
  hidden,
  batch,
  optimizer,
  form,
  threads = 1,
  onTheWay = 0,
  ...more
}: Workload): number {
  const widths = [inputs, ...hidden, OUTPUTS]
  const parameters = widths.slice(1).reduce((sum, O, i) => sum + (widths[i] + 1) * O, 0)
  const units = widths.slice(1).reduce((sum, O) => sum + O, 0)
  const chunk = Math.min(batch === 'full' ? rows : batch, CHUNK)
  const isBytes = form === 'bytes' && !more.standardize
  const data = rows * inputs * (isBytes ? 1 : 4) + rows * 4
  const vectors = optimizer === 'adam' ? 4 : 2
  const work = 4 * (vectors * parameters + chunk * (inputs + 2 * units))
  return 1.2 * (data + work) + onTheWay * data + threads * 8 * MIB
}

const { name, reason } = backendInfo()
const skip =
  process.platform !== 'linux'
    ? 'the peak of resident memory is read from /proc'
    : name !== 'native' && `V8 keeps what it likes, so only the native backend is held to this; here ${reason}`

for (const workload of WORKLOADS)
  t.test(workload.name, { skip }, async (t) => {
    const args = ['--expose-gc', '-e', PROGRAM, JSON.stringify(workload)]
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    const [used, allowed] = [Number(stdout.trim() || Number.NaN), allowance(workload)]
    t.ok(used <= allowed, `${(used / MIB).toFixed(0)} MiB of ${(allowed / MIB).toFixed(0)}`, { stderr })
  })
