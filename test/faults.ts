/**
 * Faults on purpose, for the writer of files: system calls that fail or are never heard of again, and processes killed in
 * mid-write. Whatever happens, the old file stands there or the new one, whole.
 *
 * A saver is a body of a function of `path` and `bytes`, run in a process of its own. `PLAIN` is the twin that must be
 * caught, or the harness proves nothing (random kills of it have been known to find nothing: they came at idle times).
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = join(__dirname, '..')
/** strace counts the calls of each thread apart: one thread makes them all. */
const env = { ...process.env, NODE_OPTIONS: '', UV_THREADPOOL_SIZE: '1' }

/** Ours: off the event loop, and on this thread. */
export const SAVERS = {
  writeDurably: `await require('./dist/save/durable').writeDurably(path, [bytes.subarray(0, 9), bytes.subarray(9)])`,
  writeDurablySync: `require('./dist/save/durable').writeDurablySync(path, [bytes.subarray(0, 9), bytes.subarray(9)])`,
} as const
/** What most programs do. */
export const PLAIN = `require('fs').writeFileSync(path, bytes)`
/** As ours, without waiting for the disk: no kill of a process can tell, only a power cut; a failed fsync can. */
export const UNSYNCED = `require('fs').writeFileSync(beside, bytes); require('fs').renameSync(beside, path)`

/** The name of the temporary file, for strace: it follows files by their names. */
const SUFFIX = `.${'ab'.repeat(6)}.tmp`

/** Bytes of which the two files differ in every one, so that no part of one passes for the other. */
const fill = (seed: number, size: number): string => `Buffer.alloc(${size}, ${seed})`
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const contents = (seed: number, size: number): Buffer => Buffer.alloc(size, seed)

// ---------------------------------------------------------------------------------------------------- system calls

/** Calls that a save makes on its files, and what may become of each. */
const CALLS = ['openat', 'write', 'writev', 'pwrite64', 'fsync', 'rename', 'close'] as const
export const KINDS = ['signal=KILL', 'error=ENOSPC', 'error=EIO', 'error=EINTR'] as const
export type Kind = (typeof KINDS)[number]

/** A fault at one call of one save, and what was left. */
export interface Fault {
  readonly name: string
  readonly left: 'old' | 'new' | 'broken'
  /** Whether the saver said that it had saved. */
  readonly isSaid: boolean
}

const traces = (...more: string[]): boolean =>
  spawnSync('strace', [...more, '-qq', '-o', '/dev/null', 'true']).status === 0
export const hasStrace = traces()
/**
 * Where strace can leave all other calls alone (5.3 and later), they cost nothing. Not for a signal, which is to come before
 * its call is made.
 */
const FILTER: readonly string[] = traces('-f', '--seccomp-bpf', '-e', 'trace=close') ? ['--seccomp-bpf'] : []

const SIZE = 1 << 16

/** Saves once for every call that the saver makes and every kind of fault, with the fault there. */
export function sweep(saver: string, folder: string, kinds: readonly Kind[] = KINDS): Fault[] {
  const path = join(folder, 'file')
  const old = contents(1, SIZE)
  const [before, after] = [hashOf(old), hashOf(contents(2, SIZE))]
  const once = (inject: readonly string[]): { status: number | null; log: string } => {
    writeFileSync(path, old)
    rmSync(path + SUFFIX, { force: true })
    const source = `
      require('node:crypto').randomBytes = (n) => Buffer.alloc(n, 0xab)
      const [path, beside, bytes] = [${JSON.stringify(path)}, ${JSON.stringify(path + SUFFIX)}, ${fill(2, SIZE)}]
      ;(async () => { ${saver} })().catch(() => process.exit(3))
    `
    const files = [path, path + SUFFIX, folder].flatMap((file) => ['-P', file])
    const log = join(dirname(folder), 'strace.log')
    const filter = inject.some((word) => word.includes('signal')) ? [] : FILTER
    const trace = ['-f', ...filter, '-qq', '-o', log, ...files, '-e', `trace=${CALLS.join()}`, ...inject]
    const { status } = spawnSync('strace', [...trace, process.execPath, '-e', source], {
      cwd: root,
      env,
      timeout: 60_000,
    })
    return { status, log: readFileSync(log, 'utf8') }
  }
  const { log } = once([])
  const faults: Fault[] = []
  for (const call of CALLS) {
    const count = log.split('\n').filter((line) => new RegExp(`^\\d+ +${call}\\(`).test(line)).length
    for (let at = 1; at <= count; at++)
      for (const kind of kinds) {
        const { status } = once(['-e', `inject=${call}:${kind}:when=${at}`])
        const is = existsSync(path) ? hashOf(readFileSync(path)) : ''
        const left = is === before ? 'old' : is === after ? 'new' : 'broken'
        faults.push({ name: `${call} ${at} of ${count}: ${kind}`, left, isSaid: status === 0 })
      }
  }
  rmSync(path + SUFFIX, { force: true })
  return faults
}

/** Whether a fault did what must never be: a broken file, or an old one of which it was said that it is the new one. */
export function isHarm({ left, isSaid }: Fault): boolean {
  return left === 'broken' || (left === 'old' && isSaid)
}

// ---------------------------------------------------------------------------------------------------- kills

const LARGE = 1 << 22

/** Saves two files by turns without a pause, and is killed in the middle; how often neither stood there, whole. */
export async function kills(saver: string, path: string, rounds: number): Promise<number> {
  const known = [1, 2].map((seed) => hashOf(contents(seed, LARGE)))
  writeFileSync(path, contents(1, LARGE))
  let broken = 0
  for (let round = 0; round < rounds; round++) {
    const source = `
      const [path, two] = [${JSON.stringify(path)}, [${fill(1, LARGE)}, ${fill(2, LARGE)}]]
      ;(async () => {
        process.stdout.write('ready')
        for (let i = 0; ; i++) { const bytes = two[i % 2], beside = path + '.tmp'; ${saver} }
      })()
    `
    // From no time to some saves' time: anywhere within one.
    await killed(['-e', source], (40 * round) / rounds)
    if (!known.includes(hashOf(readFileSync(path)))) broken++
  }
  return broken
}

/** Runs node until it has said so many bytes and some time more, unless it ends before; whether it was killed. */
export function killed(args: readonly string[], milliseconds: number, bytes = 1): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
    let timer: NodeJS.Timeout | undefined
    let heard = 0
    child.stdout.on('data', (said: Buffer) => {
      heard += said.length
      if (heard >= bytes) timer ??= setTimeout(() => child.kill('SIGKILL'), milliseconds)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      if (signal !== 'SIGKILL' && code !== 0) reject(new Error(`it ended with ${code ?? signal}`))
      else resolve(signal === 'SIGKILL')
    })
  })
}

// ---------------------------------------------------------------------------------------------------- a training

/**
 * A program that can be killed and begun again as often as it takes; says a byte an epoch, and writes a hash of what it
 * learned when it is done.
 */
export function program(folder: string, backend: string): string {
  return `
    const { FNN, dense, dropout } = require('downhill')
    const { createHash } = require('node:crypto')
    const x = Array.from({ length: 60 }, (_, i) => [Math.sin(i), Math.cos(3 * i), (i % 7) / 7])
    const y = x.map(([a, b]) => (a > 0.3 ? 'cat' : b > 0 ? 'dog' : 'cow'))
    const layers = [dense(7, 'tanh'), dropout(0.3), dense(3, 'softmax')]
    const net = new FNN({ layers, seed: 3, l2: 0.01, backend: '${backend}' })
    const checkpoint = process.argv[1] && { path: process.argv[1], everyEpochs: 1 }
    const callbacks = { async onEpochEnd() { process.stdout.write('.'); await new Promise((resolve) => setTimeout(resolve, 1)) } }
    const fit = { epochs: 80, batchSize: 10, optimizer: 'adam', validation: 0.2, keep: 'best', callbacks }
    net.fit(x, y, { ...fit, ...(checkpoint && { checkpoint, resume: true }) }).then((history) => {
      const learned = JSON.stringify([net.weights(), { ...history.toJSON(), seconds: 0 }])
      require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'learned'))}, createHash('sha256').update(learned).digest('hex'))
    })
  `
}

/** Kills the program until it is done; how many times it was, and whether it learned what it does when it is left alone. */
export async function restarts(folder: string, backend: string): Promise<{ kills: number; isSame: boolean }> {
  const source = program(folder, backend)
  const learned = (): string => readFileSync(join(folder, 'learned'), 'utf8')
  await killed(['-e', source], 0, Number.POSITIVE_INFINITY)
  const whole = learned()
  rmSync(join(folder, 'learned'))
  let kills = 0
  // At any time within an epoch, and some epochs further each time, however slow the machine.
  while (await killed(['-e', source, join(folder, 'run.safetensors')], Math.random() * 4, 5 + 7 * (kills % 4))) kills++
  return { kills, isSame: learned() === whole }
}
