/**
 * The line on the terminal, and what is printed: on a pretended terminal that keeps its screen, and on a real one.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { type FitOptions, FNN } from 'downhill'
import fc from 'fast-check'
import t from 'tap'
import { duration, isSeen, LineTerminal, ProgressLine, short } from '../dist/train/progress'
import { onEachBackend, printed } from './truth'

/** To the end of the line. */
const CLEAR = `${String.fromCharCode(27)}[K`

/** What a terminal shows of what is written to it. */
class Screen {
  lines = ['']
  column = 0
  writes = 0
  /** Most columns that a line ever took. */
  widest = 0
  readonly isTTY = true

  constructor(readonly columns = 80) {}

  write = (text: string | Uint8Array): boolean => {
    this.writes++
    const shown = typeof text === 'string' ? text : Buffer.from(text).toString()
    for (const part of shown.replaceAll(CLEAR, '\v')) {
      const line = this.lines[this.lines.length - 1]
      if (part === '\n') {
        this.lines.push('')
        this.column = 0
      } else if (part === '\r') this.column = 0
      else if (part === '\v') this.lines[this.lines.length - 1] = line.slice(0, this.column)
      else {
        this.lines[this.lines.length - 1] = line.slice(0, this.column) + part + line.slice(this.column + 1)
        this.column++
        this.widest = Math.max(this.widest, this.column)
      }
    }
    return true
  }

  get last(): string {
    return this.lines[this.lines.length - 1]
  }
}

const lastOf = (epoch: number, valLoss?: number): object | null => (epoch > 0 ? { epoch, loss: 0.5, valLoss } : null)

/** Lets the line be drawn at once. */
function show(screen: Screen, run: { epochs: number; steps: number; valLoss?: number }): ProgressLine {
  const line = new ProgressLine(20, 1000, 10, new LineTerminal([screen]))
  line.update({ last: lastOf(run.epochs, run.valLoss), steps: run.steps } as never, 0.75, 0.0123456)
  return line
}

t.test('the line says where the run is', async (t) => {
  const screen = new Screen(120)
  const line = show(screen, { epochs: 3, steps: 34, valLoss: 0.25 })
  t.equal(screen.last, 'epoch  4/20 40 %  loss 0.5000  validation loss 0.2500  rate 0.0123')
  await new Promise((resolve) => setTimeout(resolve, 130))
  line.update({ last: lastOf(4), steps: 45 } as never, 0.75, 1e-5)
  t.match(screen.last, /^epoch {2}5\/20 50 % {2}loss 0\.5000 {2}\d+ s left {2}rate 0\.00001 {2}[\d.]+ k samples\/s$/)
  line.end()
  t.strictSame(screen.lines, [''], 'nothing is left of it')
})

t.test('before the first epoch has ended it shows the loss of the batch', async (t) => {
  const screen = new Screen()
  show(screen, { epochs: 0, steps: 2 }).end()
  t.equal(screen.last, '')
  show(screen, { epochs: 0, steps: 2 })
  t.match(screen.last, /^epoch {2}1\/20 20 % {2}loss 0\.7500 {2}rate 0\.0123$/)
})

t.test('a narrow terminal gets less of it, and never a second line', async (t) => {
  const shown = (columns: number): string => {
    const screen = new Screen(columns)
    show(screen, { epochs: 3, steps: 30, valLoss: 0.25 })
    t.ok(screen.widest < columns, `${columns} columns`)
    return screen.last
  }
  t.equal(shown(60), 'epoch  3/20  loss 0.5000  validation loss 0.2500')
  t.equal(shown(48), 'epoch  3/20  loss 0.5000')
  t.equal(shown(20), 'epoch  3/20')
  t.equal(shown(10), 'epoch  3/')
  t.equal(shown(1), '')
})

t.test('what others write stands above it, in whole lines, as if it were not there', async (t) => {
  const screen = new Screen()
  const write = screen.write
  const terminal = new LineTerminal([screen])
  const [one, other] = [{}, {}]
  const listeners = process.listenerCount('exit')
  terminal.draw(one, ['epoch 1'])
  screen.write('hello\n')
  t.strictSame(screen.lines, ['hello', 'epoch 1'])
  screen.write('half of ')
  t.strictSame(screen.lines, ['hello', 'half of '])
  terminal.draw(one, ['epoch 2'])
  t.strictSame(screen.lines, ['hello', 'half of '], 'not in the middle of a line')
  screen.write('a line\n')
  t.strictSame(screen.lines, ['hello', 'half of a line', 'epoch 2'])
  terminal.draw(other, ['another run'])
  t.equal(screen.last, 'another run')
  terminal.erase(one)
  t.equal(screen.last, 'another run', 'whose line it no longer is')
  terminal.erase(other)
  t.strictSame(screen.lines, ['hello', 'half of a line', ''])
  t.equal(screen.write, write, 'the stream is as it was')
  t.equal(process.listenerCount('exit'), listeners)

  terminal.draw(one, ['epoch 3'])
  const theirs = screen.write
  screen.write = (text) => theirs(`> ${text}`)
  const outer = screen.write
  terminal.erase(one)
  t.equal(screen.write, outer, 'who came in between is left alone')
  screen.write('later\n')
  t.strictSame(screen.lines.slice(-2), ['> later', ''])
})

t.test('whatever is written in between, the screen ends as without the line', async (t) => {
  const text = fc.oneof(fc.string(), fc.constantFrom('\n', 'a\n', 'a\nb', 'line\nline\n', ''))
  const event = fc.oneof(
    text.map((text) => ({ text: text.replace(/[^\x20-\x7e\n]/g, '?') })),
    fc.constantFrom('draw', 'erase', 'bytes'),
  )
  const check = (): void =>
    fc.assert(
      fc.property(fc.array(event), (events) => {
        const [screen, plain] = [new Screen(), new Screen()]
        const terminal = new LineTerminal([screen])
        const owner = {}
        terminal.draw(owner, ['epoch 1'])
        for (const event of events) {
          if (event === 'draw') terminal.draw(owner, ['epoch 2'])
          else if (event === 'bytes') for (const s of [screen, plain]) s.write(Buffer.from('bytes\n'))
          else if (typeof event === 'object') for (const s of [screen, plain]) s.write(event.text)
        }
        terminal.erase(owner)
        return screen.lines.join('\n') === plain.lines.join('\n')
      }),
      { numRuns: 500 },
    )
  t.doesNotThrow(check)
})

t.test('it is seen on a terminal only', async (t) => {
  const write = (): boolean => true
  t.equal(isSeen({ isTTY: true, write }, {}), true)
  t.equal(isSeen({ isTTY: true, write }, { CI: 'false', TERM: 'xterm', NO_COLOR: '1' }), true, 'it has no colours')
  t.equal(isSeen({ isTTY: false, write }, {}), false)
  t.equal(isSeen({ write }, {}), false)
  t.equal(isSeen({ isTTY: true, write }, { TERM: 'dumb' }), false)
  t.equal(isSeen({ isTTY: true, write }, { CI: 'true' }), false)
  t.equal(isSeen({ isTTY: true, write }, { CI: '1' }), false)
})

t.test('times and counts as people read them', async (t) => {
  t.strictSame([0.2, 59, 61, 187.3, 7509].map(duration), ['1 s', '59 s', '1:01', '3:08', '2:05:09'])
  t.strictSame([7, 950, 12_345, 4_561_000, 2e9].map(short), ['7', '950', '12.3 k', '4.56 M', '2 G'])
})

// ---------------------------------------------------------------------------------------------------- a run

const SOURCE = `
  const { FNN } = require('downhill')
  const x = Array.from({ length: 200 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
  const y = x.map(([a, b]) => Number(a > b))
  const callbacks = { async onEpochEnd({ epoch }) {
    if (epoch % 30 === 0) { console.log('log', epoch); console.error('error', epoch) }
    await new Promise((resolve) => setTimeout(resolve, 3))
  } }
  const net = new FNN({ hidden: [8], seed: 4 })
  net.fit(x, y, { epochs: 90, batchSize: 20, validation: 0.2, callbacks, ...OPTIONS }).then(() => console.log('done'))
`
const LOGS = ['log 30', 'error 30', 'log 60', 'error 60', 'log 90', 'error 90', 'done']
const root = join(__dirname, '..')
const env = { ...process.env, NODE_OPTIONS: '', CI: '', TERM: 'xterm', NO_COLOR: '1', FORCE_COLOR: undefined }

t.test('beside a terminal nothing is said', async (t) => {
  for (const options of [{ progress: true }, { verbose: 1 }]) {
    const source = SOURCE.replace('OPTIONS', JSON.stringify(options))
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', source], { cwd: root, env, encoding: 'utf8' })
    t.equal(stdout, 'log 30\nlog 60\nlog 90\ndone\n')
    t.equal(stderr, 'error 30\nerror 60\nerror 90\n')
  }
})

/** Runs a command under a terminal of its own, and returns what that was sent; null where \`script\` is not there. */
function onTerminal(source: string, more: NodeJS.ProcessEnv = {}): string | null {
  const command = `stty columns 100; exec "${process.execPath}" -e '${source.replaceAll("'", `'\\''`)}'`
  const { status, stdout, error } = spawnSync('script', ['-qec', command, '/dev/null'], {
    cwd: root,
    env: { ...env, SHELL: '/bin/sh', ...more },
    encoding: 'utf8',
  })
  return error || status !== 0 ? null : stdout.replaceAll('\r\n', '\n')
}

const skip = onTerminal('0') === null && 'no `script` of util-linux here'

t.test('on a terminal the line stands below what is printed, and is gone at the end', { skip }, async (t) => {
  const sent = onTerminal(SOURCE.replace('OPTIONS', '{ progress: true }')) as string
  const drawn = [...sent.matchAll(/epoch +\d+\/90 /g)]
  t.ok(drawn.length >= 3, `${drawn.length} drawings`)
  t.match(sent, /validation loss 0\.\d+ {2}\d+ s left {2}rate 0\.01 {2}[\d.]+ [kM]? ?samples\/s/)
  const screen = new Screen(100)
  screen.write(sent)
  t.strictSame(screen.lines, [...LOGS, ''])
  t.notMatch(onTerminal(SOURCE.replace('OPTIONS', '{}')), /epoch/, 'not asked for')
  t.notMatch(onTerminal(SOURCE.replace('OPTIONS', '{ verbose: 1 }'), { CI: 'true' }), /epoch/, 'continuous integration')
  t.match(onTerminal(SOURCE.replace('OPTIONS', '{ verbose: 1 }')), /epoch/)
})

t.test('on a terminal a fit on this thread shows it too, and a failure leaves nothing behind', { skip }, async (t) => {
  const failing = `
    const { FNN } = require('downhill')
    const x = Array.from({ length: 200 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
    const y = x.map(([a, b]) => Number(a > b))
    const callbacks = { onEpochEnd({ epoch }) {
      const until = Date.now() + 12
      while (Date.now() < until);
      if (epoch === 40) throw new Error('a callback failed')
    } }
    try { new FNN({ hidden: [8] }).fitSync(x, y, { epochs: 90, progress: true, callbacks }) } catch ({ message }) { console.log(message) }
  `
  const sent = onTerminal(failing) as string
  t.match(sent, /epoch +\d+\/90/)
  const screen = new Screen(100)
  screen.write(sent)
  t.strictSame(screen.lines, ['a callback failed', ''])
})

t.test('verbose is what Keras means by it', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const count = async (fit: FitOptions): Promise<number> => {
      const net = new FNN({ hidden: [3], seed: 1, ...options })
      return (await printed(t, () => net.fitSync([[1], [2], [3]], [0, 1, 0], { epochs: 6, ...fit }))).length
    }
    t.equal(await count({}), 0)
    t.equal(await count({ verbose: 0 }), 0)
    t.equal(await count({ verbose: 1 }), 0, 'no terminal here')
    t.equal(await count({ verbose: true }), 0)
    t.equal(await count({ verbose: 2 }), 6)
    t.equal(await count({ verbose: 2, dispLoss: 3 }), 2, 'what is said apart counts')
    t.equal(await count({ verbose: 0, dispLoss: true }), 6)
  }),
)
