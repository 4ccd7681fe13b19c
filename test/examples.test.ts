/**
 * The examples run, and say what their comments promise. The question's own (`npm start`) is among them: it must answer
 * in two minutes, on whichever backend is there.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

t.setTimeout(240_000)

const root = join(__dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'downhill-examples-'))
t.teardown(() => rmSync(folder, { recursive: true }))

/** What an example prints; rejects if it ends in an error. */
async function run(example: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const file = join(root, 'examples', `${example}.ts`)
  return await promisify(execFile)(process.execPath, ['--import=tsx', file, ...args], { cwd: root, maxBuffer: 2 ** 24 })
}

const SAYS: Record<string, RegExp[]> = {
  '01-xor': [/predicted \[ 0, 1, 1, 0 \] expected \[ 0, 1, 1, 0 \]/],
  '02-regression': [/── loss {3}╌╌ validation loss/, /r² of all rows: 0\.9\d/],
  '03-csv': [/569 rows, 30 features, target benign/, /9\d\.\d % right/],
  '04-watching': [/epoch 50: loss 0\.0/, /stopped after \d+ epochs/, /── loss/],
  '05-gradients': [/largest difference of a weight: (0|\d\.?\d*e-1[5-9])\n/, /descend/],
}

for (const [example, says] of Object.entries(SAYS)) {
  t.test(example, async (t) => {
    const { stdout } = await run(example)
    for (const line of says) t.match(stdout, line)
  })
}

t.test('pipeline: a file in, a file with predictions out', async (t) => {
  const train = join(folder, 'train.csv')
  const fresh = join(folder, 'new.csv')
  const out = join(folder, 'out.csv')
  const value = (i: number): number => (i % 20) - 9.5
  const kind = (i: number): string => (value(i) > 0 ? 'up, surely' : 'down')
  writeFileSync(
    train,
    `a,kind,b\n${Array.from({ length: 200 }, (_, i) => `${value(i)},"${kind(i)}",${i % 7}\n`).join('')}`,
  )
  // More rows than one batch holds, other columns, another order.
  writeFileSync(
    fresh,
    `b,id,a\n${Array.from({ length: 600 }, (_, i) => `${i % 7},"row, ${i}",${value(i)}\n`).join('')}`,
  )
  await run('pipeline', train, 'kind', fresh, out)
  const lines = readFileSync(out, 'utf8').trimEnd().split('\n')
  t.equal(lines[0], 'b,id,a,predicted kind')
  t.equal(lines.length, 601)
  t.equal(lines[600], `${599 % 7},"row, 599",${value(599)},"up, surely"`)
  t.equal(lines[1], '0,"row, 0",-9.5,down')
  const said = await run('pipeline', join(folder, 'none.csv')).catch((error: { stderr?: string }) => error.stderr)
  t.match(said, /^Could not read .*none\.csv: ENOENT/)
})

t.test('proof: a goal that was set before is reached', async (t) => {
  const { stdout } = await run('proof', 'cancer')
  t.match(stdout, /^cancer: .*\n {2}seed 0: 0\.9\d+ in .*\n {2}mean 0\.9[78]\d+, goal 0\.97: reached\n$/)
  const said = await run('proof', 'canser').catch((error: { stderr?: string }) => error.stderr)
  t.match(said, /^Expected cancer, diamonds, mnist, fashion but got canser\./)
})

t.test('the question: every run drawn, read and on the page', async (t) => {
  const page = join(root, 'build', 'question.html')
  rmSync(page, { force: true })
  const began = performance.now()
  const { stdout } = await run('question')
  t.ok(performance.now() - began < 120_000, `${((performance.now() - began) / 1000).toFixed(1)} s`)
  t.equal(stdout.match(/^ {2}rate (0\.01|0\.1|1): [\d.]+ → [\d.]+, /gm)?.length, 12)
  t.match(stdout, /^On standardised inputs, the asker's start (never )?rose/m)
  t.match(stdout.replace(/\s+/g, ' '), /The native backend ran .* times as fast|The TypeScript backend ran/)
  t.ok(
    stdout.split('\n').every((line) => [...line].length <= 80 || line.includes('file://')),
    'in 80 columns',
  )
  t.match(stdout.replace(/\s+/g, ' '), /With the asker's db1 the bias of layer 1 is [\d.]+ % off \(missingAxis\)/)
  t.match(stdout.replace(/\s+/g, ' '), /It fell below and rose above in 4 of 4\./)
  t.equal(stdout.match(/^ {2}step \d+: \+[\d.]+: first order −[\d.]+, bending \+[\d.]+; the best point/gm)?.length, 4)
  t.match(stdout, /^the asker's start, standardised inputs, rate 1: /m)
  t.ok(existsSync(page))
  // Curves one can zoom, of twelve runs and of the one with a ledger; and that ledger.
  const html = readFileSync(page, 'utf8')
  t.equal(html.match(/<figure /g)?.length, 13)
  t.equal(html.match(/<figure>/g)?.length, 1)
})
