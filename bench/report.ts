/**
 * From trials to what is read: tables for the terminal and Markdown, a picture, and the tables inside docs/.
 *
 * Never a speed without its spread, the loss that was reached with it and the machine it ran on.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CONTENDERS } from './contenders'
import { renderDots } from './dots'
import { besideJavascript, ceilingsLine, goalsTable, rooflineTable } from './goals'
import { cardMarkdown } from './machine'
import { median, spread } from './statistics'
import {
  furthest,
  known,
  markdownTable,
  REFERENCE,
  type Results,
  type Row,
  ratio,
  rounded,
  SPECIFICATION,
  speed,
  summarize,
  type TableOf,
  terminalTable,
  times,
} from './summary'
import { flops, type Task, WORKLOADS } from './workloads'

const ROOT = join(__dirname, '..')
export const RESULTS = join(__dirname, 'results')
export const LATEST = join(RESULTS, 'latest.json')

/** One workload: a row a contender, the fastest first. */
export function workloadTable({ name, measured }: Results['workloads'][number]): TableOf {
  const { task, unit } = WORKLOADS[name]
  const whole: Task = { workload: name, ...task }
  const rows = measured.map(summarize)
  const native = rows.find(({ label }) => label === REFERENCE)
  const truth = rows.find(({ label, unable }) => label === SPECIFICATION && !unable) ?? native
  const trains = task.kind === 'train'
  const head = ['', unit.name, '±', 'native is', 'GFLOP/s', ...(trains ? ['loss reached'] : []), 'largest difference']
  const cells = (row: Row): string[] => {
    if (row.unable) return [row.label, `${row.unable}`, '', '', '', ...(trains ? [''] : []), '']
    const blocks = known(row.blocks)
    const seconds = median(blocks)
    return [
      row.setting ? `${row.label} (${row.setting})` : row.label,
      rounded(speed(name, seconds)),
      blocks.length > 1 ? `${(100 * spread(blocks)).toFixed(0)} %` : '1 round',
      row === native ? '1 ×' : times(ratio(native, row)),
      rounded(flops(whole) / seconds / 1e9),
      ...(trains ? [row.evidence[0].at(-1)?.toPrecision(5) ?? '—'] : []),
      row.differs ?? (row === truth || !truth ? 'reference' : furthest(row, truth)),
    ]
  }
  const time = (row: Row): number => (row.unable ? Number.POSITIVE_INFINITY : median(known(row.blocks)))
  return { head, rows: rows.sort((a, b) => time(a) - time(b)).map(cells) }
}

/** Everything at a glance: a row a contender, a column a workload. */
export function overview(results: Results): TableOf {
  const head = ['', ...results.workloads.map(({ name }) => `${name}, ${WORKLOADS[name].unit.name}`)]
  const labels = [...new Set(results.workloads.flatMap(({ measured }) => measured.map(({ label }) => label)))]
  const order = (label: string): number => CONTENDERS.findIndex(({ name }) => label.split(',')[0] === name)
  labels.sort((a, b) => order(a) - order(b))
  const rows = labels.map((label) => [
    label,
    ...results.workloads.map(({ name, measured }) => {
      const found = measured.find((entry) => entry.label === label)
      const row = found && summarize(found)
      return row && !row.unable ? rounded(speed(name, median(known(row.blocks)))) : '—'
    }),
  ])
  // Whoever ran nowhere is in the tables below, with the reason.
  return { head, rows: rows.filter(([, ...cells]) => cells.some((cell) => cell !== '—')) }
}

/** The same as dots; whoever has no speed is left out. */
export function picture(results: Results): string {
  return renderDots(
    results.workloads.map(({ name, measured }) => {
      const rows = measured
        .map((entry) => ({ ...summarize(entry), isPeer: entry.isPeer }))
        .filter(({ unable }) => !unable)
      const lines = rows
        .map(({ label, isPeer, blocks }) => ({ label, isPeer, seconds: known(blocks) }))
        .sort((a, b) => median(a.seconds) - median(b.seconds))
        .map(({ label, isPeer, seconds }) => ({
          label,
          isPeer,
          text: `${rounded(speed(name, median(seconds)))} ${WORKLOADS[name].unit.name}`,
          speeds: seconds.map((value) => 1 / value),
        }))
      return { title: name, says: WORKLOADS[name].says, lines }
    }),
  )
}

/** Versions as the contenders told them, one line each. */
function versions(results: Results): string[] {
  const found = new Map<string, string>()
  for (const { measured } of results.workloads)
    for (const row of measured.map(summarize)) if (row.version) found.set(row.label.split(',')[0], row.version)
  return [...found].map(([label, version]) => `${label}: ${version}`)
}

const method = ({ rounds, seconds }: Results): string =>
  `Medians of ${rounds} interleaved rounds, a fresh process and ${seconds} s each; ± is half the range over the rounds; "native is" is the median over rounds of how many times native on one thread was as fast. ` +
  'GFLOP/s counts the products only. "Largest difference" is of the mean losses of all passes (of the probabilities, for predictions), relative to the largest, against the TypeScript backend.'

export function toMarkdown(results: Results): string {
  const parts = [cardMarkdown(results.card), method(results), markdownTable(overview(results))]
  for (const workload of results.workloads) {
    parts.push(`**${workload.name}**: ${WORKLOADS[workload.name].says}.`, markdownTable(workloadTable(workload)))
    const beside = besideJavascript(workload)
    if (beside) parts.push(beside)
  }
  parts.push(`Versions. ${versions(results).join('; ')}.`)
  return `${parts.join('\n\n')}\n`
}

export function toTerminal(results: Results): string {
  const parts = [cardMarkdown(results.card)]
  for (const workload of results.workloads) {
    const lines = [
      `${workload.name}: ${WORKLOADS[workload.name].says}`,
      terminalTable(workloadTable(workload)),
      besideJavascript(workload),
    ]
    parts.push(lines.filter(Boolean).join('\n'))
  }
  const [goals, roofs] = [goalsTable(results), rooflineTable(results)]
  if (goals.rows.length > 0) parts.push(`goals\n${terminalTable(goals)}`)
  if (roofs) parts.push(`rooflines on one thread. ${ceilingsLine(results)}\n${terminalTable(roofs)}`)
  parts.push(versions(results).join('\n'))
  return `${parts.join('\n\n')}\n`
}

/** Whether it came true, and what arithmetic and memory allow. */
function goalsMarkdown(results: Results): string {
  const roofs = rooflineTable(results)
  return [ceilingsLine(results), markdownTable(goalsTable(results)), ...(roofs ? [markdownTable(roofs)] : [])].join(
    '\n\n',
  )
}

/** README's rows, in its words. */
const README_ROWS: readonly [workload: string, says: string][] = [
  ['seed', 'the question’s net (569 × 30, full batch)'],
  ['digits-32', 'MNIST 784-128-64-10, Adam, batch 32'],
  ['digits-128', 'the same, batch 128'],
  ['digits-1024', 'the same, batch 1024'],
  ['wide', '1024-2048-2048-10, sgd, batch 256'],
  ['predict-1', 'predict one row'],
  ['predict-4096', 'predict 4,096 rows'],
  ['xor', '2-8-1, batch 4'],
]

function readmeMarkdown(results: Results): string {
  const columns = ['native', `native, ${results.threads} threads`, SPECIFICATION, 'PyTorch']
  const rows = README_ROWS.flatMap(([name, says]) => {
    const workload = results.workloads.find((one) => one.name === name)
    if (!workload) return []
    const found = workload.measured.map(summarize).filter(({ unable }) => !unable)
    const row = (label: string): Row | undefined => found.find((one) => one.label === label)
    const [native, typescript, torch] = [REFERENCE, SPECIFICATION, 'PyTorch'].map(row)
    const cell = (one: Row | undefined): string => (one ? rounded(speed(name, median(known(one.blocks)))) : '—')
    return [
      [
        `${says}, ${WORKLOADS[name].unit.name}`,
        ...columns.map(row).map(cell),
        native && torch ? times(ratio(native, torch)) : '—',
        native && typescript ? furthest(native, typescript) : '—',
      ],
    ]
  })
  return `${markdownTable({ head: ['', ...columns, 'native is', 'difference'], rows })}\n\n${cardMarkdown(results.card)} ${versions(results).join('; ')}.`
}

/**
 * Replaces what stands between `<!-- marker:begin -->` and `<!-- marker:end -->` in a page.
 * @throws if the page has no such place
 */
export function fill(page: string, marker: string, text: string): void {
  const path = join(ROOT, page)
  const [begin, end] = [`<!-- ${marker}:begin -->`, `<!-- ${marker}:end -->`]
  const whole = readFileSync(path, 'utf8')
  const [from, to] = [whole.indexOf(begin), whole.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${page} has no ${begin} … ${end}.`)
  writeFileSync(path, `${whole.slice(0, from + begin.length)}\n${text.trim()}\n${whole.slice(to)}`)
  process.stdout.write(`${page}: ${marker} written.\n`)
}

/** Whom a plan of results leaves out: `the workload wide`; '' where nobody. */
export function absent({ workloads }: Pick<Results, 'workloads'>): string {
  const workload = Object.keys(WORKLOADS).find((name) => !workloads.some((one) => one.name === name))
  if (workload !== undefined) return `the workload ${workload}`
  const labels = workloads.flatMap(({ measured }) => measured.map(({ label }) => label.split(',')[0]))
  const contender = CONTENDERS.find(({ name }) => !labels.includes(name))
  return contender === undefined ? '' : `the contender ${contender.name}`
}

/** Whom results leave out who must be in the tables of the docs. */
export function lacking(results: Results): string {
  const rows = results.workloads.flatMap(({ measured }) => measured)
  const hasPeers = rows.some((row) => row.isPeer && !summarize(row).unable)
  return absent(results) || (hasPeers ? '' : 'any peer that is installed')
}

/** @throws a sentence where there is somebody */
export function refuse(lack: string): void {
  if (lack === '') return
  throw new Error(
    `Expected everybody in results for the docs but they lack ${lack}; run \`npm run bench -- --peers --write-docs\`, or ` +
      'without a run `npm run bench -- --write-docs`, which takes the newest that lack nobody.',
  )
}

/** The newest results in `folder`, which are named by their date, that lack nobody; null where there are none. */
export function newestComplete(folder: string): { readonly file: string; readonly results: Results } | null {
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => /^\d.*\.json$/.test(name)) : []
  for (const file of files.sort().reverse()) {
    const results = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Results
    if (lacking(results) === '') return { file, results }
  }
  return null
}

/** Results into docs/performance.md and README.md: these, or the newest that lack nobody. */
export function writeDocs(given?: Results): void {
  if (given) refuse(lacking(given))
  const newest = given ? { file: 'this run', results: given } : newestComplete(RESULTS)
  if (newest === null)
    throw new Error('There are no results that lack nobody yet: run `npm run bench -- --peers` first.')
  const { file, results } = newest
  process.stdout.write(`Results of ${file}.\n`)
  fill('docs/performance.md', 'bench', toMarkdown(results))
  fill('docs/performance.md', 'goals', goalsMarkdown(results))
  fill('README.md', 'bench', readmeMarkdown(results))
  writeFileSync(join(ROOT, 'docs/speeds.svg'), picture(results))
}
