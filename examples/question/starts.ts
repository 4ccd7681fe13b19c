/**
 * What the initial weights do, and what standardising does: the four cells compared.
 */
import type { CsvData } from 'downhill'
import { conditionNumber } from '../../dist/doctor/instruments'
import { formatMeasured, type Table } from '../../dist/plot'
import type { Cell } from './limits'
import { INPUTS, type Inputs, STARTS, type Start } from './network'
import { briefly, type Result } from './runs'
import { percent, plural } from './words'

/** A cell with what its runs say of it. */
interface Standing extends Cell {
  /** Share of each layer's values at the first step where its activation hardly passes a gradient on. */
  saturated: readonly number[]
  condition: number
  /** Its run that ended lowest. */
  best: Result
  rises: number
}

export function compareStarts({ x }: CsvData, cells: readonly Cell[], results: readonly Result[]): Standing[] {
  return cells.map((cell) => {
    const runs = results.filter(({ start, inputs }) => start === cell.start && inputs === cell.inputs)
    return {
      ...cell,
      saturated: runs[0].saturated,
      condition: conditionOf(x, cell.inputs),
      best: runs.reduce((a, b) => (endOf(b) < endOf(a) ? b : a)),
      rises: runs.reduce((sum, { rose }) => sum + rose.length, 0),
    }
  })
}

export function startsTable(standings: readonly Standing[]): Table {
  return {
    columns: ['', 'saturated', 'sharpness', 'condition', 'lowest end'],
    rows: standings.map(({ start, inputs, saturated, limits, condition, best }) => [
      briefly(start, inputs),
      saturated.map(percent).slice(0, 2).join(', '),
      limits.sharpness,
      condition,
      endOf(best),
    ]),
  }
}

export function startsTold(standings: readonly Standing[]): string[] {
  const of = (start: Start, inputs: Inputs): Standing =>
    standings.find((s) => s.start === start && s.inputs === inputs) as Standing
  const [theirs, scaled] = STARTS.map((start) => of(start, INPUTS[0]))
  const raw = of(STARTS[1], INPUTS[1])
  return [
    'Saturated: values of the first and second tanh layer beyond ±0.99 at the first step, where the curve is flat and hardly any ' +
      'gradient comes through. Condition: how many times more the inputs vary, squared, along one direction than along another.',
    `The initial weights, on standardised inputs: with ${theirs.start.name} ${percent(theirs.saturated[0])} and ` +
      `${percent(theirs.saturated[1])} of the two layers are saturated, with ${scaled.start.name} ${percent(scaled.saturated[0])} and ` +
      `${percent(scaled.saturated[1])}. The sum that a unit makes of its ` +
      `inputs grows with their number; weights divided by √(fan-in) keep it in the range where tanh has a slope. The sharpness is ${formatMeasured(theirs.limits.sharpness)} against ` +
      `${formatMeasured(scaled.limits.sharpness)}, and the three runs rose on ${plural(theirs.rises, 'step')} against ${scaled.rises}.`,
    `Standardising, from ${scaled.start.name}: on raw inputs ${percent(raw.saturated[0])} of the first layer is saturated instead of ` +
      `${percent(scaled.saturated[0])}, the condition number is ${formatMeasured(raw.condition)} instead of ${formatMeasured(scaled.condition)}, ` +
      `the sharpness ${formatMeasured(raw.limits.sharpness)} instead of ${formatMeasured(scaled.limits.sharpness)}; the three runs rose on ` +
      `${plural(raw.rises, 'step')} instead of ${scaled.rises}, and the best of them ended at ${formatMeasured(endOf(raw.best))} ` +
      `instead of ${formatMeasured(endOf(scaled.best))}.`,
  ]
}

const endOf = ({ loss }: Result): number => loss[loss.length - 1]

/** Condition number of the inputs as the network sees them, the bias's constant among them. */
function conditionOf({ data, rows, columns }: CsvData['x'], { standardize }: Inputs): number {
  const x = Float64Array.from(data)
  for (let c = 0; standardize && c < columns; c++) {
    let [sum, squares] = [0, 0]
    for (let i = c; i < x.length; i += columns) sum += x[i] / rows
    for (let i = c; i < x.length; i += columns) squares += (x[i] - sum) ** 2 / rows
    for (let i = c; i < x.length; i += columns) x[i] = (x[i] - sum) / Math.sqrt(squares)
  }
  return conditionNumber({ rows, columns, x, scale: 1, targets: 0, y: null }).condition
}
