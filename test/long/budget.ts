/**
 * What a diagnosis takes of its budget (`npm run doctor:budget`): seconds for programs from a few rows to MNIST's size.
 *
 *     npm run doctor:budget -- [budget …]
 */
import { dense, type FitOptions, FNN, type Matrix, type ModelOptions, mse } from 'downhill'
import { numbers } from '../doctor/data'

/** Classes that a net can learn, as bytes or floats. */
function data(rows: number, columns: number, classes: number): { x: Matrix; y: number[] } {
  const { uniform } = numbers(1)
  const values = new Uint8Array(rows * columns)
  const y = Array.from({ length: rows }, (_, r) => r % classes)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) values[r * columns + c] = 120 * uniform() + (c % classes === y[r] ? 60 : 0)
  return { x: { data: values, rows, columns, scale: 1 / 255 }, y }
}

const layers = (units: number[], classes: number, activation: 'relu' | 'tanh') => [
  ...units.map((n) => dense(n, activation)),
  dense(classes, 'softmax'),
]

const PROGRAMS: [string, number, number, ModelOptions, FitOptions][] = [
  ['400 × 10, 64-32', 400, 10, { layers: layers([64, 32], 4, 'tanh') }, { epochs: 200, learningRate: 1e-4 }],
  [
    '5,000 × 100, 128-64',
    5000,
    100,
    { layers: layers([128, 64], 10, 'relu') },
    { epochs: 20, learningRate: 1e-5, batchSize: 32 },
  ],
  [
    '60,000 × 784, 128-64',
    60_000,
    784,
    { layers: layers([128, 64], 10, 'relu') },
    { epochs: 10, learningRate: 1e-4, batchSize: 128 },
  ],
  [
    '60,000 × 784, full batch, diverges',
    60_000,
    784,
    { layers: layers([128, 64], 10, 'relu'), loss: mse() },
    { epochs: 50, learningRate: 1e4 },
  ],
]

async function main(): Promise<void> {
  const budgets = process.argv.slice(2).map(Number)
  for (const [name, rows, columns, model, fit] of PROGRAMS) {
    const { x, y } = data(rows, columns, name.startsWith('400') ? 4 : 10)
    for (const budget of budgets.length > 0 ? budgets : [3, 10]) {
      const net = new FNN({ ...model, task: 'multiclass', seed: 1 })
      const began = performance.now()
      const { findings } = await net.diagnose(x, y, { fit, budget })
      const seconds = (performance.now() - began) / 1000
      console.log(`${name.padEnd(36)} ${budget} s: ${seconds.toFixed(2)} s  ${findings.map(({ id }) => id).join(', ')}`)
    }
  }
}

main()
