/**
 * Are the gradients calculated wrong? Ours, and those of the question with the fault of its `db1`.
 */
import type { CsvData } from 'downhill'
import { formatMeasured } from '../../dist/plot'
import { INPUTS, type Inputs, network, STARTS, type Start } from './network'

/**
 * Are the gradients right? The slope of the loss along a direction is gᵀv; how far, relatively, a centred difference of
 * losses differs from it, at worst over three directions of random signs. An error in any entry of g shows in all three.
 */
export function gradientError({ x, y }: CsvData, start: Start, inputs: Inputs): number {
  const net = network(start, inputs, { backend: 'typescript', dtype: 'float64' })
  // One step at rate 0 changes no weight and lets the model see how the inputs are scaled.
  net.fitSync(x, y, { epochs: 1, learningRate: 0 })
  const weights = net.weights()
  const { layers } = net.gradients(x, y)
  // Raw inputs reach 4254: a longer step bends the loss, a shorter one drowns in rounding.
  const step = 1e-7
  const errors = [1, 2, 3].map((direction) => {
    /** Moves all parameters by `distance` along the direction; the slope adds up on the way. */
    const lossAt = (distance: number): { loss: number; slope: number } => {
      let slope = 0
      let i = 0
      const moved = (from: ArrayLike<number>, g: ArrayLike<number>): Float64Array =>
        Float64Array.from(from, (w, k) => {
          const sign = Math.imul(++i, 0x9e3779b1 * direction) < 0 ? -1 : 1
          slope += sign * g[k]
          return w + sign * distance
        })
      net.setWeights(
        weights.map(({ weights: W, bias }, l) => ({
          weights: { ...W, data: moved(W.data, layers[l].weights.data) },
          bias: bias && moved(bias, layers[l].bias ?? []),
        })),
      )
      return { loss: net.loss(x, y), slope }
    }
    const [ahead, behind] = [lossAt(step), lossAt(-step)]
    return Math.abs((ahead.loss - behind.loss) / (2 * step) / ahead.slope - 1)
  })
  return Math.max(...errors)
}

/** Are the gradients wrong? The asker's db1 was summed over the units too, and handed to all of them. */
export async function gradientsTold({ x, y }: CsvData): Promise<string[]> {
  const net = network(STARTS[0], INPUTS[0])
  net.fitSync(x, y, { epochs: 1, learningRate: 0 })
  const right = await net.checkGradients(x, y)
  const theirs = net.gradients(x, y).layers
  const first = theirs[0].bias ?? []
  const sum = Array.from(first).reduce((total, v) => total + v, 0)
  const faulty = theirs.map(({ weights, bias }, i) => ({ weights, bias: i === 0 && bias ? bias.map(() => sum) : bias }))
  const { tensors } = await net.checkGradients(x, y, { theirs: faulty })
  const wrong = tensors.filter(({ ok }) => !ok)
  return [
    `The network's own gradients agree with differences of its loss in ${right.tensors.filter(({ ok }) => ok).length} of ${right.tensors.length} tensors.`,
    ...wrong.map(
      ({ tensor, layer, fault, relativeError, says }) =>
        `With the asker's db1 the ${tensor} of layer ${layer + 1} is ${formatMeasured(100 * relativeError)} % off (${fault})${says ? `: ${says}` : ''}`,
    ),
  ]
}
