/**
 * ONNX Runtime: predictions only, on its CPU provider with all graph optimizations.
 *
 * The model is written here, byte by byte: an ONNX file is a protocol buffer, and a stack of Gemm and Relu needs no more
 * than a page of it (onnx/onnx.proto; numbers are its field numbers).
 */
import { type Contender, type LoadedTask, type Open, peer } from '../contract'

interface OnnxTensor {
  readonly data: Float32Array | BigInt64Array
}
interface Session {
  run(feeds: { x: OnnxTensor }): Promise<{ y: OnnxTensor }>
}
interface Runtime {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> }
  Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => OnnxTensor
}

const cpu: Open = async (task, threads): Promise<Contender> => {
  const { module: ort, version } = await peer<Runtime>('onnxruntime-node')
  const options = {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
  }
  const classify = await ort.InferenceSession.create(model(task, 'ArgMax'), options)
  const soften = await ort.InferenceSession.create(model(task, 'Softmax'), options)
  const { rows, batch, layers } = task
  const floats = task.floats()
  const take = (from: number, n: number): OnnxTensor =>
    new ort.Tensor('float32', floats.subarray(from * layers[0], (from + n) * layers[0]), [n, layers[0]])
  const x = Array.from({ length: rows / batch }, (_, i) => take(i * batch, batch))
  return {
    version,
    reset() {},
    async block() {
      const classes = new Uint8Array(rows)
      for (let pass = 0; pass < task.passes; pass++)
        for (let i = 0; i < x.length; i++) {
          const { data } = (await classify.run({ x: x[i] })).y
          for (let b = 0; b < batch; b++) classes[i * batch + b] = Number(data[b])
        }
      return classes
    },
    probabilities: async (n) => (await soften.run({ x: take(0, n) })).y.data as Float32Array,
  }
}
export const open = { cpu }

type Field = readonly [number: number, value: number | string | Uint8Array | readonly Field[]]

/** A message: numbers as varints, everything else with its length before it. */
function message(fields: readonly Field[]): Buffer {
  const varint = (n: number): Buffer => Buffer.from(n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))])
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      if (typeof value === 'number') return [varint(number * 8), varint(value)]
      const bytes =
        typeof value === 'string' || value instanceof Uint8Array
          ? Buffer.from(value as string)
          : message(value as readonly Field[])
      return [varint(number * 8 + 2), varint(bytes.length), bytes]
    }),
  )
}

function model(task: LoadedTask, last: 'ArgMax' | 'Softmax'): Uint8Array {
  const [FLOAT, INT64] = [1, 7]
  const node = (type: string, inputs: string[], output: string, attributes: readonly Field[] = []): Field => [
    1,
    [...inputs.map((name): Field => [1, name]), [2, output], [4, type], ...attributes],
  ]
  const attribute = (name: string, value: number): Field => [
    5,
    [
      [1, name],
      [3, value],
      [20, 2],
    ],
  ]
  const tensor = (name: string, dims: number[], data: Float32Array): Field => [
    5,
    [
      ...dims.map((d): Field => [1, d]),
      [2, FLOAT],
      [8, name],
      [9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
    ],
  ]
  /** A name with a type and a shape; null is the free number of rows. */
  const place = (number: number, name: string, type: number, dims: (number | null)[]): Field => {
    const shape = dims.map((d): Field => [1, [d === null ? [2, 'rows'] : [1, d]]])
    return [
      number,
      [
        [1, name],
        [
          2,
          [
            [
              1,
              [
                [1, type],
                [2, shape],
              ],
            ],
          ],
        ],
      ],
    ]
  }
  const layers = task.start()
  const graph: Field[] = []
  layers.forEach(({ W, b, I, O }, l) => {
    graph.push(tensor(`W${l}`, [I, O], W), tensor(`b${l}`, [O], b))
    graph.push(node('Gemm', [l === 0 ? 'x' : `a${l - 1}`, `W${l}`, `b${l}`], `z${l}`))
    if (l < layers.length - 1) graph.push(node('Relu', [`z${l}`], `a${l}`))
  })
  const logits = `z${layers.length - 1}`
  const axis = attribute('axis', 1)
  if (last === 'ArgMax') graph.push(node('ArgMax', [logits], 'y', [axis, attribute('keepdims', 0)]))
  else graph.push(node('Softmax', [logits], 'y', [axis]))
  const outputs = task.layers[task.layers.length - 1]
  graph.push([2, 'net'], place(11, 'x', FLOAT, [null, task.layers[0]]))
  graph.push(last === 'ArgMax' ? place(12, 'y', INT64, [null]) : place(12, 'y', FLOAT, [null, outputs]))
  const opset: Field[] = [
    [1, ''],
    [2, 13],
  ]
  return message([
    [1, 8],
    [7, graph],
    [8, opset],
  ])
}
