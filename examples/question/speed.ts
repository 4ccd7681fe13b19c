/**
 * How fast it ran, and whether both backends say the same.
 */
import { backendInfo, type CsvData } from 'downhill'
import { formatMeasured } from '../../dist/plot'
import { INPUTS, network, STARTS } from './network'

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]

/** The same training on both backends, in turns. */
export function race({ x, y }: CsvData): string {
  const info = backendInfo()
  const ran =
    info.name === 'native' ? `The native backend ran (${info.blas}, ${info.simd})` : 'The TypeScript backend ran'
  if (info.name !== 'native') return `${ran} (${info.reason}), and nothing was compared with it.`
  const turns = 5
  const epochs = 20
  const [rate, start, inputs] = [0.1, STARTS[1], INPUTS[0]]
  const runs = { native: [] as number[], typescript: [] as number[] }
  const loss: Record<keyof typeof runs, ArrayLike<number>> = { native: [], typescript: [] }
  for (let turn = 0; turn <= turns; turn++) {
    for (const backend of ['native', 'typescript'] as const) {
      const net = network(start, inputs, { backend })
      const began = performance.now()
      loss[backend] = net.fitSync(x, y, { epochs, learningRate: rate }).loss
      // The first turn warms both up and does not count.
      if (turn > 0) runs[backend].push(performance.now() - began)
    }
  }
  const [native, typescript] = [median(runs.native), median(runs.typescript)]
  const apart = Math.max(...Array.from(loss.native, (value, i) => Math.abs(value - loss.typescript[i])))
  return (
    `${ran}, ${formatMeasured(typescript / native)} times as fast as the TypeScript backend: ${formatMeasured(native / epochs)} ms an epoch ` +
    `against ${formatMeasured(typescript / epochs)} (medians of ${turns} runs of ${epochs} epochs each, in turns, on this machine; ` +
    `${start.name}, ${inputs.name}, rate ${rate}); the largest difference between their losses was ${apart.toExponential(1)}.`
  )
}
