/**
 * What L2 and dropout add to the loss one reads.
 */
import { type CsvData, dropout, FNN } from 'downhill'
import { formatMeasured, rises } from '../../dist/plot'
import { EPOCHS, INPUTS, program, STARTS, TOLERANCE } from './network'
import { plural } from './words'

/** What L2 and dropout add to the loss one reads: the last loss of the run, and the loss of the data alone. */
export async function added({ x, y }: CsvData): Promise<string[]> {
  const plain = program(STARTS[1], INPUTS[0])
  const fit = { epochs: EPOCHS, learningRate: 0.1 }
  const [first, second, last] = plain.layers
  const variants = [
    { name: 'Without either', model: plain },
    { name: 'With l2 0.01', model: { ...plain, l2: 0.01 } },
    { name: 'With dropout 0.5', model: { ...plain, layers: [first, dropout(0.5), second, dropout(0.5), last] } },
  ]
  const told: string[] = []
  for (const { name, model } of variants) {
    const net = new FNN(model)
    const { loss, penalty } = await net.fit(x, y, fit)
    told.push(
      `${name}, the loss one reads ends at ${formatMeasured(loss[loss.length - 1])}, of which the penalty is ${formatMeasured(penalty[penalty.length - 1])}; ` +
        `the data's own loss is then ${formatMeasured(net.loss(x, y))}, and the loss one reads rose on ${plural(rises(loss, TOLERANCE).length, 'step')}.`,
    )
  }
  return told
}
