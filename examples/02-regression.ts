/** 2. Numbers instead of classes, another optimizer, rows held back: `validation` is measured and never trained on. */
import { FNN } from 'downhill'

// 200 points of a wave, with a little noise (a hash, so that every run sees the same).
const x = Array.from({ length: 200 }, (_, i) => (i / 200) * 4 - 2)
const noise = (i: number): number => ((Math.imul(i + 1, 0x9e3779b1) >>> 0) / 2 ** 32 - 0.5) * 0.2
const y = x.map((value, i) => Math.sin(3 * value) + noise(i))

async function main(): Promise<void> {
  const net = new FNN({ hidden: [32, 32], task: 'regression', standardize: true, seed: 1 })
  const history = await net.fit(x, y, {
    optimizer: 'adam',
    learningRate: 0.01,
    batchSize: 32,
    epochs: 200,
    validation: 0.2,
    keep: 'best',
  })
  console.log(history.plot())
  console.log(`r² of all rows: ${net.evaluate(x, y).r2?.toFixed(3)}`)
}

main()
