/**
 * The doctor's score: recall, first findings, repairs and false reports, over the corpus and over drawn programs.
 *
 *     npm run doctor:score -- [--seeds 5] [--programs 1] [--first 100000] [--only part,…] [--budget 20] [--corpus | --drawn] [--list]
 *
 * Every sick program is diagnosed, its fix applied literally and run; every twin and healthy program is diagnosed and
 * should be met with silence. The corpus runs on each seed. Drawn programs (generate.ts): `programs` sick ones for each
 * id and seed, each with its twin, and as many healthy ones as there are ids. `--list` tells what went wrong, a line a
 * case; without it only numbers are told, so that nobody tunes to what they are of.
 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { type Diagnosis, FNN } from 'downhill'
import { HEALTHY, OPEN, SICK } from './cases'
import { targetsOf } from './data'
import { drawHealthy, drawSick, FAULTS, HELD_OUT } from './generate'
import { type Case, type ProgramSpec, type Specimen, scoreOf, specimen } from './program'

/** What came of the programs of one id. */
export interface Tally {
  sick: number
  /** A finding bears one of the ids that the fault may be seen as; the fault's own. */
  found: number
  named: number
  /** The first finding does. */
  first: number
  repairable: number
  repaired: number
  well: number
  falseReports: number
}

export const nothing = (): Tally => ({
  sick: 0,
  found: 0,
  named: 0,
  first: 0,
  repairable: 0,
  repaired: 0,
  well: 0,
  falseReports: 0,
})

/** Seconds: far more than one takes on a quiet machine, so that what is told does not depend on what else runs. */
const BUDGET = 20
/** A repair brings the score within this of the twin's. */
const REPAIRED = 0.1

export async function diagnoseProgram(test: Case, program: ProgramSpec, seed: number, budget = BUDGET) {
  const made = await specimen(test, program, seed)
  const net = new FNN(made.model)
  const y = targetsOf(made.data)
  // Built without a step, so that there are weights to compute something at.
  if (made.theirs) await net.fit(made.data.x, y, { ...made.fit, epochs: 1, learningRate: 0, validation: undefined })
  const theirs = made.theirs?.(net)
  const diagnosis = await net.diagnose(made.data.x, y, { fit: made.fit, budget, ...(theirs && { theirs }) })
  return { made, diagnosis }
}

export function twinOf({ program, fixed_program_overrides: fixed }: Case): ProgramSpec | null {
  return fixed && { ...program, ...fixed }
}

type Say = (line: string) => void

/** Diagnoses a case under a seed: sick program and twin, or the healthy one. */
export async function tallyOf(test: Case, seed: number, say: Say, budget = BUDGET): Promise<Tally> {
  const tally = nothing()
  const twin = twinOf(test)
  const isHealthy = test.labels.length === 0
  if (!isHealthy) await tallySick(test, twin, seed, tally, say, budget)
  const well = isHealthy ? test.program : twin
  if (well === null) return tally
  const { diagnosis, made } = await diagnoseProgram(test, well, seed, budget)
  tally.well++
  if (diagnosis.findings.length === 0) return tally
  tally.falseReports++
  say(
    `FALSE ${isHealthy ? '' : 'twin of '}${test.id} (${seed}): ${told(diagnosis)}; ${(await scoreOf(made)).toFixed(3)}`,
  )
  return tally
}

const told = ({ findings }: Diagnosis): string =>
  findings
    .map(({ id, proof: p }) => `${id}${p ? ` ${p.before.score.toFixed(2)}→${p.after.score.toFixed(2)}` : ''}`)
    .join(', ') || 'silence'

async function tallySick(test: Case, twin: ProgramSpec | null, seed: number, tally: Tally, say: Say, budget: number) {
  const { made, diagnosis } = await diagnoseProgram(test, test.program, seed, budget)
  const ids = diagnosis.findings.map(({ id }) => id)
  const isFound = ids.some((id) => test.labels.includes(id))
  const isFirst = ids.length > 0 && test.labels.includes(ids[0])
  tally.sick++
  tally.found += Number(isFound)
  tally.named += Number(ids.includes(test.labels[0]))
  tally.first += Number(isFirst)
  const before = await scoreOf(made)
  if (!isFirst)
    say(`${isFound ? 'not first' : 'MISSED'} ${test.id} (${seed}): ${told(diagnosis)}; ${before.toFixed(3)}`)
  // A fault outside of the program (labels, the caller's own gradients) cannot be repaired by a change of it.
  if (!twin || OUTSIDE.includes(test.labels[0])) return
  tally.repairable++
  const change = diagnosis.findings[0]?.fix.change
  const target = await scoreOf(await specimen(test, twin, seed))
  const after = change ? await scoreOf(changed(made, change)) : before
  const isRepaired = after >= target - REPAIRED
  tally.repaired += Number(isRepaired)
  if (!isRepaired)
    say(
      `not repaired ${test.id} (${seed}): ${before.toFixed(2)} → ${after.toFixed(2)}, twin ${target.toFixed(2)}; ${told(diagnosis)}`,
    )
}

/** As api.md has it: the change's values replace the caller's. */
function changed(made: Specimen, change: NonNullable<Diagnosis['findings'][number]['fix']['change']>): Specimen {
  return { ...made, model: { ...made.model, ...change.model }, fit: { ...made.fit, ...change.fit } }
}

const OUTSIDE = [
  'forward_wrong',
  'gradient_sign',
  'gradient_wrong',
  'labels_shuffled',
  'loss_broadcast',
  'single_class_labels',
]

// ---------------------------------------------------------------------------------------------------- many of them

/** One piece of work, as it is sent to a process of its own. */
export interface Job {
  /** What its numbers are added up under: an id of the vocabulary, or 'healthy'. */
  readonly group: string
  readonly seed: number
  /** A case of the corpus; null: draw one of the group. */
  readonly name: string | null
  /** Of each diagnosis, in seconds. */
  readonly budget: number
}

export interface Told {
  readonly group: string
  readonly tally: Tally
  readonly lines: readonly string[]
  readonly seconds: number
}

const CORPUS: readonly Case[] = [...OPEN, ...SICK, ...HEALTHY]
export const groupOf = ({ labels }: Case): string => labels[0] ?? 'healthy'

export async function work({ group, seed, name, budget }: Job): Promise<Told> {
  const lines: string[] = []
  const test = name ? CORPUS.find(({ id }) => id === name)! : await drawn(group, seed)
  const began = performance.now()
  const tally = test ? await tallyOf(test, seed, (line) => lines.push(line), budget) : nothing()
  return { group, tally, lines, seconds: (performance.now() - began) / 1000 }
}

const drawn = (group: string, seed: number): Promise<Case | null> =>
  group === 'healthy' ? drawHealthy(seed) : drawSick(group, seed)

/** Every job, by as many processes as there are cores. */
function workAll(jobs: readonly Job[], hear: (told: Told) => void): Promise<void> {
  let next = 0
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(__filename, ['--worker'])
      const give = (): void => {
        if (next < jobs.length) child.send(jobs[next++])
        else child.disconnect()
      }
      child.on('message', (told: Told) => {
        hear(told)
        give()
      })
      child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))))
      give()
    })
  return Promise.all(Array.from({ length: Math.min(jobs.length, availableParallelism()) }, one)).then(() => {})
}

export function add(to: Tally, from: Tally): void {
  for (const key of Object.keys(to) as (keyof Tally)[]) to[key] += from[key]
}

const share = (part: number, whole: number): string =>
  whole === 0 ? '—' : `${part}/${whole} = ${((100 * part) / whole).toFixed(1)} %`

export function tell(tally: Tally): string[] {
  return [
    `recall             ${share(tally.found, tally.sick)}`,
    `by its own id      ${share(tally.named, tally.sick)}`,
    `first finding true ${share(tally.first, tally.sick)}`,
    `repaired           ${share(tally.repaired, tally.repairable)}`,
    `false reports      ${share(tally.falseReports, tally.well)}`,
  ]
}

/** A line for each group. */
function table(groups: ReadonlyMap<string, Tally>): string[] {
  const cell = (part: number, whole: number): string => (whole === 0 ? '—' : `${part}/${whole}`).padStart(9)
  return [
    `${''.padEnd(26)}    found     own    first repaired   false`,
    ...[...groups].map(
      ([id, t]) =>
        id.padEnd(24) +
        [cell(t.found, t.sick), cell(t.named, t.sick), cell(t.first, t.sick), cell(t.repaired, t.repairable)].join('') +
        cell(t.falseReports, t.well),
    ),
  ]
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '5' },
      programs: { type: 'string', default: '1' },
      budget: { type: 'string', default: String(BUDGET) },
      first: { type: 'string', default: String(HELD_OUT) },
      only: { type: 'string', default: '' },
      corpus: { type: 'boolean', default: false },
      drawn: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  })
  const [seeds, programs, first, budget] = [values.seeds, values.programs, values.first, values.budget].map(Number)
  const isAsked = (group: string): boolean => values.only.split(',').some((part) => group.includes(part))
  const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
  const sets: [string, Job[]][] = [
    [
      'corpus',
      CORPUS.filter((test) => isAsked(`${groupOf(test)} ${test.id}`)).flatMap((test) =>
        count(seeds).map((s) => ({ group: groupOf(test), seed: s + 1, name: test.id, budget })),
      ),
    ],
    [
      'drawn',
      [...FAULTS.map(({ id }) => id), ...FAULTS.map(() => 'healthy')].flatMap((group, at) =>
        isAsked(group)
          ? count(seeds * programs).map((i) => ({
              group,
              seed: first + i + (group === 'healthy' ? 100 * at : 0),
              name: null,
              budget,
            }))
          : [],
      ),
    ],
  ]
  for (const [name, jobs] of sets) {
    if (jobs.length === 0 || (values.corpus && name !== 'corpus') || (values.drawn && name !== 'drawn')) continue
    const began = performance.now()
    const all = nothing()
    const groups = new Map<string, Tally>()
    await workAll(jobs, ({ group, tally, lines }) => {
      add(all, tally)
      if (!groups.has(group)) groups.set(group, nothing())
      add(groups.get(group)!, tally)
      if (values.list) for (const line of lines) console.log(`  ${line}`)
    })
    console.log([`\n${name}, ${jobs.length} cases`, ...table(groups), '', ...tell(all)].join('\n'))
    console.log(`seconds            ${((performance.now() - began) / 1000).toFixed(0)}`)
  }
}

if (process.argv.includes('--worker'))
  process.on('message', (job: Job) => {
    work(job).then(
      (told) => process.send!(told),
      (error: Error) =>
        process.send!({
          group: job.group,
          tally: nothing(),
          lines: [`ERROR ${JSON.stringify(job)} ${error.stack}`],
          seconds: 0,
        }),
    )
  })
else if (require.main === module) main()
