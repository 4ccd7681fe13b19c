/**
 * Which rate is too large, and why: three numbers that are often taken for one, and the proof of the first by running.
 */
import type { CsvData, LearningRateLimits } from 'downhill'
import { formatMeasured, type Table } from '../../dist/plot'
import { CELLS, EPOCHS, type Inputs, network, type Start } from './network'
import { briefly, named, type Result } from './runs'
import { listed, plural, signed } from './words'

export interface Cell {
  start: Start
  inputs: Inputs
  limits: LearningRateLimits
  /** What one step does to the loss, just below the limit of the next step and just above it. */
  below: number
  above: number
}

/** All in float64: in float32 a change of a hundredth could be rounding. */
const EXACT = { backend: 'typescript', dtype: 'float64' } as const

export async function measureLimits({ x, y }: CsvData): Promise<Cell[]> {
  const cells: Cell[] = []
  for (const { start, inputs } of CELLS) {
    const net = network(start, inputs, EXACT)
    // One step at rate 0 changes no weight and lets the model see how the inputs are scaled.
    net.fitSync(x, y, { epochs: 1, learningRate: 0 })
    const before = net.loss(x, y)
    const limits = await net.learningRateLimits(x, y)
    const changeAt = (rate: number): number => {
      const moved = network(start, inputs, EXACT)
      moved.fitSync(x, y, { epochs: 1, learningRate: rate })
      return moved.loss(x, y) - before
    }
    cells.push({
      start,
      inputs,
      limits,
      below: changeAt(0.99 * limits.nextStep),
      above: changeAt(1.01 * limits.nextStep),
    })
  }
  return cells
}

export function limitsTable(cells: readonly Cell[]): Table {
  return {
    columns: ['', 'next step', 'its estimate', 'stable', 'sharpness'],
    rows: cells.map(({ start, inputs, limits }) => [
      briefly(start, inputs),
      limits.nextStep,
      limits.nextStepQuadratic,
      limits.stable,
      limits.sharpness,
    ]),
  }
}

/** What the columns mean, and what came of trying them. */
export function limitsTold(cells: readonly Cell[], results: readonly Result[]): string[] {
  const holds = cells.filter(({ below, above }) => below <= 0 && above > 0)
  const tried = cells.map(
    ({ start, inputs, below, above }) => `${signed(below)} and ${signed(above)} (${named(start, inputs)})`,
  )
  const limitsOf = (run: Result): LearningRateLimits | undefined =>
    cells.find(({ start, inputs }) => start === run.start && inputs === run.inputs)?.limits
  const over = results.filter((run) => run.rate > (limitsOf(run)?.stable ?? Number.NaN))
  const under = results.filter((run) => !over.includes(run))
  const calm = over.filter(({ rose }) => rose.length === 0)
  const foretold = results.filter((run) => run.rose.includes(1) === run.rate > (limitsOf(run)?.nextStep ?? Number.NaN))
  const most = cells.reduce((a, b) => (missOf(b) > missOf(a) ? b : a))
  const rose = under.filter((run) => run.rose.length > 0)
  const later =
    rose.length === 0
      ? `None of the ${under.length} below it rose.`
      : `Nor does a rate below it promise anything for later, the curvature changes with the weights: of ${under.length} below, ${rose.length} rose.`
  const example = calm.at(-1)
  const seen = example
    ? `, as ${named(example.start, example.inputs)} at ${example.rate}, where stable is ${formatMeasured(limitsOf(example)?.stable ?? Number.NaN)}`
    : ''
  return [
    'All rates are those at the start, before any step. Next step: the gradient points downhill, but a step along it may be so long ' +
      'that it comes out on the other side higher than it began; this is the smallest rate at which it does. Its estimate: the same, ' +
      'if the loss were a parabola along that step. Stable: 2 divided by the sharpness, which is the largest curvature in any ' +
      'direction; at the bottom of a valley so curved, a larger rate swings further out with each step.',
    `Tried by one step in float64: at 0.99 × and at 1.01 × the limit of the next step, the loss changed by ${listed(tried)}. ` +
      `It fell below and rose above in ${holds.length} of ${cells.length}.`,
    `The parabola may be a poor guide: for ${named(most.start, most.inputs)} it says ` +
      `${formatMeasured(most.limits.nextStepQuadratic)}, and the loss rises from ${formatMeasured(most.limits.nextStep)} on.`,
    `Of the ${results.length} runs above, ${foretold.length} began as their limit says: with a rise where the rate was larger, and else with a fall.`,
    `A rate above stable need not raise the loss: of ${plural(over.length, 'run')} with such a rate, ${over.filter(({ rose }) => !rose.includes(1)).length} ` +
      `fell in the first step, and ${calm.length} never rose in ${EPOCHS} steps${seen}. ` +
      later,
  ]
}

/** How far off the estimate is, as a factor. */
function missOf({ limits }: Cell): number {
  return Math.abs(Math.log(limits.nextStep / limits.nextStepQuadratic))
}
