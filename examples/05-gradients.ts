/**
 * 5. Weights and gradients in and out: one step of gradient descent made by hand is the step that `fit` makes.
 * What someone else's code computed can be checked the same way.
 */
import { dense, FNN, type LayerParameters, mse } from 'downhill'

const x = [
  [0.5, -1],
  [1.5, 2],
  [-1, 0.3],
]
const y = [1, -2, 0.5]
const learningRate = 0.1

const make = (): FNN =>
  new FNN({ inputs: 2, layers: [dense(3, 'tanh'), dense(1)], loss: mse({ scale: 0.5 }), dtype: 'float64', seed: 1 })

// By the library …
const trained = make()
trained.fitSync(x, y, { epochs: 1, learningRate })

// … and by hand: w − η·dw.
const byHand = make()
const { layers } = byHand.gradients(x, y)
const stepped = byHand.weights().map(({ weights, bias }, l) => ({
  weights: { ...weights, data: weights.data.map((w, i) => w - learningRate * layers[l].weights.data[i]) },
  bias: bias?.map((b, i) => b - learningRate * (layers[l].bias ?? [])[i]),
}))
byHand.setWeights(stepped)

const flat = (net: FNN): number[] =>
  net.weights().flatMap(({ weights, bias }: LayerParameters) => [...weights.data, ...(bias ?? [])])
const apart = flat(trained).map((w, i) => Math.abs(w - flat(byHand)[i]))
console.log('largest difference of a weight:', Math.max(...apart))
console.log(byHand.explain())
