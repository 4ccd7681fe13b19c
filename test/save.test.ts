/**
 * Files: what is saved is loaded, to the bit; what is not whole is refused.
 *
 * The refusals are exhaustive on a small file: every truncation, every single flipped bit.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DownhillError, dense, dropout, FNN, huber } from 'downhill'
import t from 'tap'
import { decodeModel } from '../dist/save/model'
import { decodeTensors, encodeTensors } from '../dist/save/safetensors'
import { onEachBackend } from './truth'

const folder = t.testdir()
const x = Array.from({ length: 30 }, (_, i) => [Math.sin(i), Math.cos(3 * i), (i % 7) / 7])
const animals = x.map(([a, b]) => (a > 0.3 ? 'cat' : b > 0 ? 'dog' : 'cow'))
const amounts = x.map(([a, b, c]) => 1000 + 50 * a - 20 * b * c)

/** Rows: every kind of thing that must come back. */
const MODELS: Record<string, { options: object; y: (string | number | boolean)[] | number[][] }> = {
  'three classes': { options: { hidden: [5] }, y: animals },
  booleans: { options: { hidden: [4], activation: 'gelu' }, y: x.map(([a]) => a > 0) },
  'one label alone': { options: { hidden: [3] }, y: x.map(() => 'only') },
  'standardized amounts': { options: { hidden: [6], standardize: true, loss: huber({ delta: 2 }) }, y: amounts },
  'two amounts': { options: { hidden: [4] }, y: amounts.map((a, i) => [a, i / 7]) },
  'explicit values, no bias, dropout, penalties': {
    options: {
      layers: [
        dense(4, 'relu', { initializer: { data: new Float32Array(12).fill(0.25), rows: 3, columns: 4 }, bias: false }),
        dropout(0.3),
        dense(1, 'linear', { l2: 0.1, bias: [0.5] }),
      ],
    },
    y: amounts,
  },
}

onEachBackend(t, async (t, { options: backend }) => {
  for (const [name, { options, y }] of Object.entries(MODELS))
    await t.test(name, async (t) => {
      const net = new FNN({ ...options, ...backend, seed: 3 })
      net.fitSync(x, y as number[], { epochs: 7, batchSize: 8, optimizer: 'adam' })
      const path = join(folder, 'model.safetensors')
      await net.save(path)
      const loaded = await FNN.load(path, { backend: backend.backend })
      t.same(loaded.predict(x), net.predict(x), 'predicts the same')
      t.same(loaded.weights(), net.weights(), 'the same weights')
      t.same(loaded.evaluate(x, y as number[]), net.evaluate(x, y as number[]))
      t.equal(loaded.seed, 3)
      const more = { epochs: 3, batchSize: 8 }
      t.same(
        loaded.fitSync(x, y as number[], more).loss,
        net.fitSync(x, y as number[], more).loss,
        'trains on the same',
      )
      loaded.reset()
      t.same(loaded.weights(), start(options, backend, y), 'starts afresh from the same start')
      t.notOk(
        readdirSync(folder).some((file) => file.endsWith('.tmp')),
        'nothing is left beside it',
      )
    })
})

/** Weights before any training, of a model built by a fit that changes nothing. */
function start(options: object, backend: object, y: unknown): unknown {
  const net = new FNN({ ...options, ...backend, seed: 3 })
  net.fitSync(x, y as number[], { epochs: 1, learningRate: 0 })
  return net.weights()
}

t.test('the format', async (t) => {
  const net = new FNN({ inputs: 3, outputs: 2, task: 'regression', hidden: [], seed: 1 })
  const path = join(folder, 'plain.safetensors')
  await net.save(path)
  const file = readFileSync(path)
  const { tensors } = decodeTensors(file, path)
  t.same([...tensors.keys()], ['layers.0.weights', 'layers.0.bias'])
  t.same(tensors.get('layers.0.weights')?.data, net.weights()[0].weights.data)
  t.equal((8 + Number(file.readBigUInt64LE(0))) % 8, 0, 'tensors are aligned')

  const isRefused = (bytes: Buffer): boolean => {
    try {
      decodeModel(decodeTensors(bytes, 'it'), 'it')
      return false
    } catch (error) {
      return error instanceof DownhillError && error.code === 'ERR_FILE'
    }
  }
  const whole = Array.from({ length: file.length }, (_, n) => n).filter((n) => !isRefused(file.subarray(0, n)))
  t.same(whole, [], 'every truncation is refused')
  const missed: number[] = []
  for (let bit = 0; bit < file.length * 8; bit++) {
    const flipped = Buffer.from(file)
    flipped[bit >> 3] ^= 1 << (bit & 7)
    if (!isRefused(flipped)) missed.push(bit)
  }
  t.same(missed, [], 'every flipped bit is refused')
  t.ok(isRefused(Buffer.concat([file, Buffer.alloc(1)])), 'a byte too many is refused')

  const forged = (header: object, data: number): Buffer => {
    const json = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(json.length))
    return Buffer.concat([length, json, Buffer.alloc(data)])
  }
  const entry = (shape: unknown, from: number, to: number, dtype: unknown = 'F32') => ({
    a: { dtype, shape, data_offsets: [from, to] },
  })
  t.same(decodeTensors(forged(entry([2], 0, 8), 8), 'it').tensors.size, 1, 'a plain file without a checksum is read')
  for (const [why, bytes] of Object.entries({
    'a product of sizes that overflows': forged(entry([4194305, 4194305, 211106198978564], 0, 4), 4),
    'a gap': forged(entry([1], 4, 8), 8),
    'bytes nobody owns': forged(entry([1], 0, 4), 8),
    'offsets beyond the file': forged(entry([4], 0, 16), 8),
    'an unknown type': forged(entry([1], 0, 4, 'constructor'), 4),
    'a negative size': forged(entry([-1], 0, 4), 4),
    'no shape': forged({ a: {} }, 0),
    'a header that is a list': forged([], 0),
  }))
    t.throws(() => decodeTensors(bytes, 'it'), { code: 'ERR_FILE' }, why)
})

t.test('what cannot be loaded or saved', async (t) => {
  const code = (code: string) => ({ code })
  await t.rejects(FNN.load(join(folder, 'none')), code('ERR_FILE'))
  await t.rejects(FNN.load(''), code('ERR_OPTION'))
  await t.rejects(FNN.load(join(folder, 'plain.safetensors'), { sede: 1 } as object), /Unknown option "sede"/)
  await t.rejects(new FNN().save(join(folder, 'x')), code('ERR_STATE'))
  await t.rejects(new FNN({ inputs: 1, outputs: 1, task: 'binary' }).save(join(folder, 'no', 'x')), code('ERR_FILE'))
  writeFileSync(join(folder, 'empty'), '')
  await t.rejects(FNN.load(join(folder, 'empty')), code('ERR_FILE'))
})

t.test('what a file cannot hold is said as it is', async (t) => {
  const one = { shape: [1], data: new Float64Array(1) }
  const tensors = new Map(Array.from({ length: 4097 }, (_, i) => [`${i}`, one]))
  t.throws(() => encodeTensors({ tensors, metadata: {} }), {
    code: 'ERR_FILE',
    message: 'Expected at most 4096 tensors in a file but there are 4097.',
  })
  t.throws(() => encodeTensors({ tensors: new Map(), metadata: { long: 'x'.repeat(1 << 20) } }), {
    code: 'ERR_FILE',
    message: /^Expected at most 1048576 bytes in the header of a file but there are \d+\.$/,
  })
})
