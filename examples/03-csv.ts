/** 3. A table from a file: features by column, labels as they are written, classes never seen in training. */
import { join } from 'node:path'
import { FNN, readCsv } from 'downhill'

async function main(): Promise<void> {
  const file = join(__dirname, '..', 'data', 'breast-cancer.csv')
  const { x, y, columns, target } = await readCsv(file, { target: 'benign' })
  console.log(`${x.rows} rows, ${columns.length} features, target ${target}`)

  const net = new FNN({ hidden: [16], standardize: 'inputs', seed: 1 })
  const history = await net.fit(x, y, { learningRate: 0.1, epochs: 200, validation: 0.25 })
  console.log(net.summary())
  const accuracy = history.metrics.valAccuracy.at(-1) ?? Number.NaN
  console.log(`${(100 * accuracy).toFixed(1)} % right on the quarter of the rows that was held back`)
}

main()
