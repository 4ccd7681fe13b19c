/** 4. A run is a promise and a stream of epochs: watch it, stop it, draw it. Training goes on meanwhile. */
import { join } from 'node:path'
import { FNN, readCsv } from 'downhill'

async function main(): Promise<void> {
  const { x, y } = await readCsv(join(__dirname, '..', 'data', 'breast-cancer.csv'), { target: 'benign' })
  const net = new FNN({ standardize: 'inputs', seed: 1 })

  const run = net.fit(x, y, { learningRate: 0.1, epochs: 1000, validation: 0.2 })
  for await (const { epoch, loss, valLoss } of run) {
    if (epoch % 50 === 0)
      console.log(`epoch ${epoch}: loss ${loss.toFixed(4)}, on held-back rows ${valLoss?.toFixed(4)}`)
    if (loss < 0.06) run.stop()
  }

  const history = await run
  console.log(`${history.status} after ${history.epochs} epochs: ${history.stopReason}`)
  console.log(history.plot())
}

main()
