/**
 * A pipeline: learns from one CSV file, then streams another through the model, row by row into a third.
 *
 *     node --import tsx examples/pipeline.ts                       the breast-cancer data into standard output
 *     node --import tsx examples/pipeline.ts train.csv target new.csv predictions.csv
 *
 * The new file is read, predicted and written in batches at the pace of the slowest part, whatever its size. It needs
 * the feature columns of the training file, in any order; its other columns pass through.
 */
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type CsvBatch, csvBatches, FNN, readCsv } from 'downhill'

const example = join(__dirname, '..', 'data', 'breast-cancer.csv')
const [, , trainPath = example, target = 'benign', newPath = trainPath, outPath] = process.argv

/** A line of CSV; a field is quoted only where it must be. */
const line = (fields: readonly (string | number | boolean)[]): string =>
  `${fields.map((f) => (/[",\r\n]/.test(`${f}`) ? `"${`${f}`.replaceAll('"', '""')}"` : f)).join(',')}\n`

/** Batches of rows in, text out: every row with its prediction behind it. */
function predicting(net: FNN): Transform {
  let hasHeader = false
  return new Transform({
    writableObjectMode: true,
    transform({ x, fields, header }: CsvBatch, _encoding, done) {
      if (!hasHeader) this.push(line([...header, `predicted ${target}`]))
      hasHeader = true
      const predictions = net.predict(x)
      if (!Array.isArray(predictions) && !(predictions instanceof Float64Array)) {
        done(new Error('Expected one prediction a row.'))
        return
      }
      done(null, fields.map((row, i) => line([...row, predictions[i]])).join(''))
    },
  })
}

async function main(): Promise<void> {
  const { x, y, columns } = await readCsv(trainPath, { target })
  const net = new FNN({ hidden: [16], standardize: 'inputs', seed: 1 })
  const history = await net.fit(x, y, { learningRate: 0.1, epochs: 200 })
  console.error(`trained on ${x.rows} rows: loss ${history.loss[0].toFixed(3)} → ${history.loss.at(-1)?.toFixed(3)}`)

  await pipeline(
    Readable.from(csvBatches(newPath, { columns, batchRows: 256 })),
    predicting(net),
    outPath === undefined ? process.stdout : createWriteStream(outPath),
  )
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
