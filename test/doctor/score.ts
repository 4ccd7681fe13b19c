/**
 * The doctor's score (`npm run doctor:score`): recall, false reports, first findings and repairs over the corpus.
 *
 *     npm run doctor:score -- [seeds] [part of a case's name]
 *
 * Every sick program is diagnosed, its fix applied and run; every twin and healthy program is diagnosed and should be
 * met with silence. Each on every seed. What went wrong is printed a line a case.
 */
import { FNN } from 'downhill'
import { HEALTHY, OPEN, SICK } from './cases'
import { type Case, type ProgramSpec, scoreOf, specimen } from './program'

export interface Tally {
  sick: number
  found: number
  first: number
  repairable: number
  repaired: number
  well: number
  falseReports: number
  seconds: number
}

const BUDGET = 5
/** A repair brings the score within this of the twin's. */
const REPAIRED = 0.1

export async function diagnoseProgram(test: Case, program: ProgramSpec, seed: number, budget = BUDGET) {
  const made = await specimen(test, program, seed)
  const net = new FNN(made.model)
  if (made.theirs)
    await net.fit(made.data.x, made.data.y, { ...made.fit, epochs: 1, learningRate: 0, validation: undefined })
  const theirs = made.theirs?.(net)
  const diagnosis = await net.diagnose(made.data.x, made.data.y, { fit: made.fit, budget, ...(theirs && { theirs }) })
  return { made, diagnosis }
}

export function twinOf({ program, fixed_program_overrides: fixed }: Case): ProgramSpec | null {
  return fixed && { ...program, ...fixed }
}

/** Diagnoses all of the cases, each on `seeds` seeds. */
export async function tallyOf(cases: readonly Case[], seeds: number, say: (line: string) => void): Promise<Tally> {
  const tally = { sick: 0, found: 0, first: 0, repairable: 0, repaired: 0, well: 0, falseReports: 0, seconds: 0 }
  const began = performance.now()
  for (const test of cases)
    for (let seed = 1; seed <= seeds; seed++) {
      const twin = twinOf(test)
      if (test.labels.length > 0) await sick(test, twin, seed, tally, say)
      for (const program of test.labels.length === 0 ? [test.program] : twin ? [twin] : []) {
        const { diagnosis, made } = await diagnoseProgram(test, program, seed)
        tally.well++
        if (diagnosis.findings.length === 0) continue
        tally.falseReports++
        const named = diagnosis.findings.map(
          ({ id, proof }) => `${id} ${proof?.before.score.toFixed(2)}→${proof?.after.score.toFixed(2)}`,
        )
        say(
          `  FALSE ${program === twin ? 'twin of ' : ''}${test.id} (${seed}): ${named.join(', ')}; score ${(await scoreOf(made)).toFixed(3)}`,
        )
      }
    }
  tally.seconds = (performance.now() - began) / 1000
  return tally
}

async function sick(test: Case, twin: ProgramSpec | null, seed: number, tally: Tally, say: (line: string) => void) {
  const { made, diagnosis } = await diagnoseProgram(test, test.program, seed)
  const named = diagnosis.findings.map(({ id }) => id)
  const isFound = named.some((id) => test.labels.includes(id))
  const isFirst = named.length > 0 && test.labels.includes(named[0])
  tally.sick++
  tally.found += Number(isFound)
  tally.first += Number(isFirst)
  if (!isFound || !isFirst)
    say(
      `  ${isFound ? 'not first' : 'MISSED'} ${test.id} (${seed}): ${named.join(', ') || 'silence'}; score ${(await scoreOf(made)).toFixed(3)}`,
    )
  const change = diagnosis.findings[0]?.fix.change
  // A fault outside of the program (labels, the caller's own gradients) cannot be repaired by a change of it.
  if (!twin || !isInside(test)) return
  tally.repairable++
  if (!change) return
  const fixed = { ...made, model: { ...made.model, ...change.model }, fit: { ...made.fit, ...change.fit } }
  const [before, after] = [await scoreOf(fixed), await scoreOf(await specimen(test, twin, seed))]
  const isRepaired = before >= after - REPAIRED
  tally.repaired += Number(isRepaired)
  if (!isRepaired)
    say(
      `  not repaired ${test.id} (${seed}): ${before.toFixed(3)} against the twin's ${after.toFixed(3)} by ${named[0]}`,
    )
}

const OUTSIDE = [
  'forward_wrong',
  'gradient_sign',
  'gradient_wrong',
  'labels_shuffled',
  'loss_broadcast',
  'single_class_labels',
]

function isInside({ labels }: Case): boolean {
  return !OUTSIDE.includes(labels[0])
}

const share = (part: number, whole: number): string => `${part}/${whole} = ${((100 * part) / whole).toFixed(1)} %`

export function tell(tally: Tally): string[] {
  return [
    `recall             ${share(tally.found, tally.sick)}`,
    `first finding true ${share(tally.first, tally.sick)}`,
    `repaired           ${share(tally.repaired, tally.repairable)}`,
    `false reports      ${share(tally.falseReports, tally.well)}`,
    `seconds            ${tally.seconds.toFixed(0)}`,
  ]
}

async function main(): Promise<void> {
  const seeds = Number(process.argv[2] ?? 5)
  const part = process.argv[3] ?? ''
  const cases = [...OPEN, ...SICK, ...HEALTHY].filter(({ id }) => id.includes(part))
  for (const line of tell(await tallyOf(cases, seeds, console.log))) console.log(line)
}

if (require.main === module) main()
