/**
 * A fit leaves nothing behind: resident memory of a process that makes, trains and drops one model after another does not
 * grow, nor do its threads and open files. Half of the fits run on threads of their own, and one in three is refused.
 *
 * The slope is that of least squares over the last seven of ten blocks, in bytes a fit. What is reported by AddressSanitizer
 * (`npm run test:sanitize`) is exact; this also sees what is kept alive. The harness is shown to catch a leak first.
 */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { backendInfo } from '../dist'

const PROGRAM = `
const { FNN } = require('downhill')
const { readdirSync } = require('node:fs')
const FITS = Number(process.argv[2])
const leaked = []
const of = (last) => ({ data: Float32Array.from({ length: 600 }, (_, i) => (i === 599 ? last : Math.sin(i))), rows: 200, columns: 3 })
const x = of(1), wrong = of(NaN), y = Uint8Array.from({ length: 200 }, (_, i) => i % 2)
async function block() {
  for (let i = 0; i < FITS; i++) {
    const net = new FNN({ inputs: 3, outputs: 1, hidden: [16], task: 'binary', seed: 1, threads: 2 })
    const options = { epochs: 2, batchSize: 50 }
    if (i % 2) net.fitSync(x, y, options)
    else await net.fit(x, y, options)
    if (i % 3 === 0) try { net.fitSync(wrong, y, options) } catch {}
    net.predict(x)
    leaked.push(new Uint8Array(Number(process.argv[1])).fill(1))
    // Often, so that no heap of garbage is built up that the allocator then keeps.
    if (i % 10 === 9) { gc(); await new Promise(setImmediate) }
  }
}
const held = () => ['fd', 'task'].map((what) => readdirSync('/proc/self/' + what).length).join()
;(async () => {
  await block()
  const before = held()
  const rss = []
  for (let b = 0; b < 10; b++) { await block(); rss.push(process.memoryUsage().rss) }
  const last = rss.slice(3)
  const mean = last.reduce((sum, v) => sum + v) / last.length
  const top = last.reduce((sum, v, i) => sum + (i - 3) * (v - mean), 0)
  console.log(JSON.stringify({ slope: top / 28 / FITS, isSame: before === held() }))
})()
`

function measure(leak: number, fits: number): { slope: number; isSame: boolean; said: string } {
  const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', PROGRAM, String(leak), String(fits)], {
    encoding: 'utf8',
  })
  const last = stdout.trim().split('\n').pop() ?? ''
  return { ...(last.startsWith('{') ? JSON.parse(last) : { slope: Number.NaN, isSame: false }), said: stderr }
}

const skip =
  process.platform !== 'linux'
    ? 'threads and files are counted in /proc'
    : backendInfo().name === 'native'
      ? false
      : 'V8 keeps what it likes: only the native backend is held to this'

t.test('memory, threads and files are as before', { skip }, async (t) => {
  const { slope: planted } = measure(20_000, 60)
  t.ok(planted > 10_000, `a planted leak of 20,000 bytes a fit is seen as ${planted.toFixed(0)}`)
  const { slope, isSame, said } = measure(0, 150)
  t.ok(slope < 6_000, `${slope.toFixed(0)} bytes a fit`, { said })
  t.ok(isSame, 'no thread and no file more')
})
