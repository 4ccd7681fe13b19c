/**
 * Twelve runs: two starts, two kinds of input, three rates; what became of each, drawn and in words.
 */
import type { CsvData } from 'downhill'
import { type Chart, formatMeasured, lossChart, rises } from '../../dist/plot'
import { EPOCHS, INPUTS, type Inputs, network, STARTS, type Start, TOLERANCE } from './network'
import { listed, plural } from './words'

/** What came of one run. `loss[n]` is the loss after n steps. */
export interface Result {
  start: Start
  inputs: Inputs
  rate: number
  loss: Float64Array
  /** The steps that raised the loss; step n leads from loss[n − 1] to loss[n]. */
  rose: number[]
  accuracy: number
  stopReason: string
  /** Share of each layer's values at the first step where its activation hardly passes a gradient on. */
  saturated: number[]
  /** Every loss and gradient was finite. */
  isWhole: boolean
}

export async function train({ x, y }: CsvData, start: Start, inputs: Inputs, rate: number): Promise<Result> {
  const net = network(start, inputs)
  const history = await net.fit(x, y, { epochs: EPOCHS, learningRate: rate, batchSize: 'full' })
  const end = net.evaluate(x, y)
  const isWhole = history.status === 'completed'
  // The history holds the loss before each update; the loss after the last one completes the curve.
  const loss = isWhole ? Float64Array.of(...history.loss, end.loss) : history.loss
  const rose = rises(loss, TOLERANCE)
  return {
    start,
    inputs,
    rate,
    loss,
    rose,
    accuracy: end.accuracy ?? Number.NaN,
    stopReason: history.stopReason,
    saturated: (history.start?.layers ?? []).map(({ saturated }) => saturated ?? Number.NaN),
    isWhole,
  }
}

export function chartOf(result: Result, chance: number): Chart {
  return lossChart(result, {
    title: `rate ${result.rate}`,
    unit: 'step',
    first: 0,
    tolerance: TOLERANCE,
    levels: [{ name: 'label entropy', value: chance }],
  })
}

/** As the first column of a table has room for. */
export const briefly = (start: Start, inputs: Inputs): string => `${start.short}, ${inputs.short}`
export const named = (start: Start, inputs: Inputs): string => `${start.name}, ${inputs.name}`

/** What became of one run, in words. */
export function reading({ loss, rose, isWhole, stopReason }: Result, chance: number): string {
  const [first, last] = [loss[0], loss[loss.length - 1]]
  const how = rose.length === 0 ? 'never rose' : `rose on ${rose.length} of ${plural(loss.length - 1, 'step')}`
  if (!isWhole) return `${how}, then stopped: ${stopReason}`
  const where = last > first ? 'ended above where it began' : rose.length > 0 ? 'ended lower' : 'fell'
  const near = Math.abs(last - chance) < 0.01 * chance ? ', as good as knowing only how many are benign' : ''
  return `${how}, ${where}${near}`
}

/** Where a run began and ended. */
export function fromTo({ loss }: Result): string {
  return `${formatMeasured(loss[0])} → ${formatMeasured(loss[loss.length - 1])}`
}

/** The same start on the same inputs at all rates: which of them rose. */
function compared(results: Result[]): string {
  const calm = results.filter((r) => r.rose.length === 0)
  const others = results.filter((r) => r.rose.length > 0)
  const never = calm.length > 0 ? `never rose at ${listed(calm.map((r) => r.rate))}` : ''
  const steps = others.map((run) => `rose on ${plural(run.rose.length, 'step')} at ${run.rate} (${fromTo(run)})`)
  return `${results[0].start.name} ${listed([never, ...steps].filter((s) => s !== ''))}`
}

/** What the question asked, in sentences that hold measured numbers only. */
export function answer(results: Result[], gradientError: number): string[] {
  const sentences = INPUTS.map((inputs) => {
    const parts = STARTS.map((start) => compared(results.filter((r) => r.inputs === inputs && r.start === start)))
    return `On ${inputs.name}, ${parts.join('; ')}.`
  })
  const rising = results.filter((r) => r.rose.length > 0)
  const lower = rising.filter((r) => r.isWhole && r.loss[r.loss.length - 1] < r.loss[0])
  return [
    ...sentences,
    `The loss rose in ${rising.length} of the ${results.length} runs and ended below its start in ${lower.length} of those; the gradients ` +
      'were right where they were checked, at all four starting points: slopes along random directions agree with differences of ' +
      `the loss to ${gradientError.toExponential(0)} of their size (float64).`,
  ]
}

/** −Σ p ln p of the labels: the loss of a network that knows only how many are benign. */
export function entropy(y: ArrayLike<number | string>): number {
  const share = Array.from(y, Number).reduce((sum, value) => sum + value, 0) / y.length
  return -share * Math.log(share) - (1 - share) * Math.log(1 - share)
}
