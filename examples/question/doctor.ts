/**
 * The doctor on the same network: what it finds, and what becomes of other rates and scales.
 */
import { type CsvData, type Diagnosis, FNN, type SweepRun, sweep } from 'downhill'
import { formatMeasured, type Table } from '../../dist/plot'
import { EPOCHS, INPUTS, type Inputs, program, STARTS, type Start } from './network'
import { named } from './runs'
import { capital, counted } from './words'

/** The long form asks for more of everything. */
const LONG = process.argv.includes('--long')
const SWEEP = LONG
  ? { learningRate: [0.01, 0.03, 0.1, 0.3, 1, 3], initScale: [0.1, 0.3, 1, 3, 10], seeds: 5 }
  : { learningRate: [0.01, 0.1, 1], initScale: [0.1, 1, 10], seeds: 2 }
/** Seconds the doctor may try causes out, a program. */
const BUDGET = LONG ? 30 : 2

/** What the doctor finds at a start, on inputs, at a rate. */
export async function diagnosed({ x, y }: CsvData, start: Start, inputs: Inputs, learningRate: number) {
  const net = new FNN(program(start, inputs))
  const diagnosis = await net.diagnose(x, y, { fit: { epochs: EPOCHS, learningRate }, budget: BUDGET })
  return { heading: `${named(start, inputs)}, rate ${learningRate}`, diagnosis }
}

/** Its findings and notes as paragraphs. */
export function paragraphsOf({ brief, findings, notes }: Diagnosis): string[] {
  const found = findings.map(({ says, fix, proof }, i) => {
    const tried = proof
      ? ` Tried: accuracy ${formatMeasured(proof.before.score)} → ${formatMeasured(proof.after.score)}, loss ${formatMeasured(proof.before.loss)} → ${formatMeasured(proof.after.loss)}.`
      : ''
    return `${i + 1}. ${capital(says)} ${capital(fix.says)}${tried}`
  })
  const budget =
    `Found in ${BUDGET} s. Where that is too little for all rows it says on how many it measured: ` +
    'a limit of those need not be the one of all rows in the table above.'
  const text = findings.length > 0 ? [budget, ...found] : [brief()]
  return [...text, ...notes.map(({ says }) => capital(says))]
}

/** The scaled start over rates and initial scales: what came of each, and what was foretold. */
export async function outcomesTold({ x, y }: CsvData) {
  const swept = await sweep({ model: program(STARTS[1], INPUTS[0]), fit: { epochs: EPOCHS }, x, y, ...SWEEP })
  const right = swept.runs.filter(({ predicted, outcome }) => predicted === outcome).length
  const says = `Of ${swept.runs.length} runs of the scaled start over rates and initial scales, ${right} became what two fifths of them, run before on a copy, had foretold.`
  return { says, plot: swept.plot(), table: outcomes(swept.runs) }
}

/** How many of the runs of each rate and scale ended how. */
function outcomes(runs: readonly SweepRun[]): Table {
  const keys = new Map<string, SweepRun[]>()
  for (const run of runs) {
    const key = `${run.learningRate} ${run.initScale}`
    keys.set(key, [...(keys.get(key) ?? []), run])
  }
  return {
    columns: ['rate', 'initial scale', 'outcomes'],
    rows: [...keys.values()].map((of) => [
      of[0].learningRate,
      of[0].initScale,
      counted(of.map(({ outcome }) => outcome)),
    ]),
  }
}
