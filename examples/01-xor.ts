/** 1. A network, a fit, a prediction. The smallest problem that needs a hidden layer. */
import { FNN } from 'downhill'

const x = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
]
const y = [0, 1, 1, 0]

const net = new FNN({ hidden: [8], seed: 1 })
const history = net.fitSync(x, y, { epochs: 500, learningRate: 1 })

console.log(`loss ${history.loss[0].toFixed(3)} → ${history.loss.at(-1)?.toFixed(3)}`)
console.log('predicted', net.predict(x), 'expected', y)
