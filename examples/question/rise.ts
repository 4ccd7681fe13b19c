/**
 * May the loss of full-batch descent rise? The ledger of one run that does: what each step did to the loss, and why.
 */
import { type CsvData, explainRises } from 'downhill'
import { type Chart, formatMeasured, lossChart } from '../../dist/plot'
import { ledgerChart } from '../../dist/plot/ledger'
import { EPOCHS, INPUTS, network, STARTS, TOLERANCE } from './network'
import { plural } from './words'

const RATE = 1
/** Rises that are told, besides the first. */
const TOLD = 3

export async function ledgerOfRises({ x, y }: CsvData): Promise<{ text: string[]; charts: Chart[] }> {
  const [start, inputs] = [STARTS[0], INPUTS[0]]
  const net = network(start, inputs)
  const history = await net.fit(x, y, { epochs: EPOCHS, learningRate: RATE, ledger: true })
  // A closer look at every rise: where on its way was the step lowest?
  await history.examine(EPOCHS)
  const rises = explainRises(history)
  const entries = history.ledger ?? []
  const long = rises.filter(({ cause }) => cause === 'overshoot')
  const largest = rises
    .slice(1)
    .sort((a, b) => b.change - a.change)
    .slice(0, TOLD)
  const short = entries.filter(({ bestFraction }) => bestFraction !== null && bestFraction < 0.5)
  const gap = Math.max(
    ...entries.map(({ change, terms }) => Math.abs(change - Object.values(terms).reduce((a, b) => a + b, 0))),
  )
  const text = [
    `Yes. The gradient says which way is down where one stands, not how far. At rate ${RATE}, from ${start.name} on ${inputs.name}, ` +
      `the loss rose on ${rises.length} of ${plural(history.steps, 'step')} and ended all the same at ${formatMeasured(net.loss(x, y))}, from ${formatMeasured(history.loss[0])}.`,
    'In the ledger, first order is what the slope promised for the step, and bending what became of the promise because the slope ' +
      'changed on the way; the two add up to what happened, here to within ' +
      `${formatMeasured(gap)}. The best point is where on the way the loss was lowest: 0.25 is a step four times too long. Steps are ` +
      'counted from 0: step 0 is the one called 1 above. The first rise, and the largest after it:',
    ...[...rises.slice(0, 1), ...largest].map(({ says }) => says),
    `Of the ${plural(rises.length, 'rise')}, ${long.length} were such an overshoot, downhill at first and too far; in ${short.length} the lowest ` +
      'point lay in the first half of the step.',
  ]
  const losses = lossChart(
    { loss: Float64Array.of(...history.loss, net.loss(x, y)) },
    { title: `Loss at rate ${RATE}`, unit: 'step', first: 0, tolerance: TOLERANCE },
  )
  return {
    text,
    charts: [
      losses,
      ledgerChart(
        entriesOf(entries),
        rises.map(({ step }) => step),
      ),
    ],
  }
}

/** As a chart takes them. */
function entriesOf(entries: readonly { step: number; change: number; terms: object }[]) {
  return entries.map(({ step, change, terms }) => ({ step, change, terms: { ...terms } as Record<string, number> }))
}
