/**
 * A fit leaves nothing behind: memory of a process that makes, trains and drops one model after another does not grow, nor
 * do its threads and open files. Half of the fits run on threads of their own, and one in three is refused.
 *
 * Three kinds of memory, in bytes a fit: what JavaScript holds on its heap and what it holds outside (engines and tables
 * weigh there too) is counted, the one but for what the compiler keeps; what is resident also has what C++ has lost, and
 * the whims of two allocators. So a slope is the median of those between any two of the last seven of ten blocks, and
 * what is too steep is measured again: a leak comes back. The harness is shown to catch one first. What C++ loses at all
 * is told to the byte by LeakSanitizer (`npm run test:sanitize`), in fits of every kind.
 */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { backendInfo } from '../dist'

const PROGRAM = `
const { FNN } = require('downhill')
const { readdirSync } = require('node:fs')
const [LEAK, FITS] = process.argv.slice(1).map(Number)
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
    if (LEAK > 0) leaked.push(new Uint8Array(LEAK).fill(1), new Array(LEAK / 8).fill(i))
    // Often, so that no heap of garbage is built up that the allocator then keeps.
    if (i % 10 === 9) { gc(); await new Promise(setImmediate) }
  }
}
const held = () => ['fd', 'task'].map((what) => readdirSync('/proc/self/' + what).length).join()
;(async () => {
  await block()
  const before = held()
  const blocks = []
  for (let b = 0; b < 10; b++) {
    await block()
    for (let i = 0; i < 2; i++) { gc(); await new Promise(setImmediate) }
    const { heapUsed, external, rss } = process.memoryUsage()
    blocks.push({ heapUsed, external, rss })
  }
  const last = blocks.slice(3)
  const slopeOf = (what) => {
    const pairs = last.flatMap((b, j) => last.slice(0, j).map((a, i) => (b[what] - a[what]) / (j - i) / FITS))
    return pairs.sort((a, b) => a - b)[pairs.length >> 1]
  }
  console.log(JSON.stringify({ heapUsed: slopeOf('heapUsed'), external: slopeOf('external'), rss: slopeOf('rss'), isSame: before === held() }))
})()
`

interface Slopes {
  readonly heapUsed: number
  readonly external: number
  readonly rss: number
  /** Whether there are as many threads and files as before. */
  readonly isSame: boolean
}

/** Most bytes a fit that are no leak. */
const BOUNDS = { heapUsed: 500, external: 1, rss: 2000 } as const
const KINDS = ['heapUsed', 'external', 'rss'] as const

function measure(leak: number, fits: number): Slopes {
  const args = ['--expose-gc', '-e', PROGRAM, String(leak), String(fits)]
  // One arena, so that freed memory is found again by whichever thread asks.
  const env = { ...process.env, MALLOC_ARENA_MAX: '1' }
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env })
  const last = stdout.trim().split('\n').pop() ?? ''
  if (!last.startsWith('{')) throw new Error(stderr)
  return JSON.parse(last)
}

const isWithin = (slopes: Slopes): boolean => slopes.isSame && KINDS.every((kind) => slopes[kind] < BOUNDS[kind])

const skip =
  process.platform !== 'linux'
    ? 'threads and files are counted in /proc'
    : backendInfo().name === 'native'
      ? false
      : 'V8 keeps what it likes: only the native backend is held to this'

t.test('memory, threads and files are as before', { skip }, async (t) => {
  const planted = measure(20_000, 60)
  for (const kind of KINDS)
    t.ok(
      planted[kind] > BOUNDS[kind],
      `${kind}: a planted leak of 20,000 bytes of it is seen as ${planted[kind].toFixed(0)}`,
    )
  let found = measure(0, 150)
  for (let again = 0; again < 2 && !isWithin(found); again++) found = measure(0, 150)
  for (const kind of KINDS) t.ok(found[kind] < BOUNDS[kind], `${kind}: ${found[kind].toFixed(0)} bytes a fit`)
  t.ok(found.isSame, 'no thread and no file more')
})
