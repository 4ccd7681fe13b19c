/**
 * The layout: which tensors a model has and where they stand in the parameter block, weights first, then biases.
 *
 * The order of the list is the order of the layers, which is the order users see; the order in memory is by role, so
 * that penalties and saving are few ranges. Everything here depends on the layers alone, not on data or optimizer.
 */
import { DownhillError } from '../errors'
import { drawTensor, type InitializerSpec } from '../initializers'
import { type LayerSpec, layerRow, type TensorSpec } from '../layers'
import { random } from '../random'
import { align, type Floats, type Range } from './plan'

/** A model as the compiler takes it: sizes known, every option checked. */
export interface Model {
  readonly inputs: number
  readonly layers: readonly LayerSpec[]
  readonly initializer: InitializerSpec
  /** λ of ½λΣw² for layers that name none. */
  readonly l2: number
}

/** One parameter tensor and its place. */
export interface Tensor {
  /** Index into model.layers. */
  readonly layer: number
  readonly spec: TensorSpec
  readonly at: number
}

export interface Layout {
  readonly tensors: readonly Tensor[]
  /** Columns that go into each layer, and those that come out of the last. */
  readonly widths: readonly number[]
  /** Weights, then biases: what is trained. */
  readonly trainable: Range
}

export function outputsOf(model: Model): number {
  return model.layers.reduce((width, layer) => layerRow(layer).outputs(layer, width), model.inputs)
}

/** Offsets are 32-bit integers on the other side of the border. */
const MOST_PARAMETERS = 2 ** 31 - 1

/** @throws ERR_OPTION for more parameters than can be addressed */
export function layOut(model: Model): Layout {
  const widths = [model.inputs]
  const specs: { layer: number; spec: TensorSpec }[] = []
  for (const [index, layer] of model.layers.entries()) {
    const width = widths[index]
    for (const spec of layerRow(layer).tensors(layer, width)) specs.push({ layer: index, spec })
    widths.push(layerRow(layer).outputs(layer, width))
  }
  let at = 0
  const places = new Map<TensorSpec, number>()
  for (const role of ['weights', 'bias'] as const)
    for (const { spec } of specs) {
      if (spec.name !== role) continue
      places.set(spec, at)
      at += align(spec.rows * spec.columns)
    }
  if (at > MOST_PARAMETERS)
    throw new DownhillError('ERR_OPTION', `Expected at most ${MOST_PARAMETERS} parameters but these sizes make ${at}.`)
  const tensors = specs.map(({ layer, spec }) => ({ layer, spec, at: places.get(spec) as number }))
  return { tensors, widths, trainable: { at: 0, length: at } }
}

/** λ of a tensor's penalty. */
export function penaltyOf(tensor: Tensor, model: Model): number {
  return tensor.spec.l2 === null ? 0 : (tensor.spec.l2 ?? model.l2)
}

/** Entries drawn at a time: a large tensor is never held twice. */
const DRAWN_AT_ONCE = 1 << 16

/**
 * Draws the parameters at the start and puts them, in double and piece by piece, where they belong in the block. `scale`
 * multiplies the drawn weights, not the biases. Each tensor draws from a stream of its own, so that changing one layer
 * does not change another's start.
 */
export function drawParameters(
  model: Model,
  layout: Layout,
  seed: number,
  scale: number,
  put: (at: number, values: Float64Array) => void,
): void {
  for (const [index, { spec, at }] of layout.tensors.entries()) {
    const { rows, columns, name } = spec
    const next = drawTensor(spec.initializer ?? model.initializer, rows, columns, random(seed, 'weights', index))
    const factor = name === 'weights' ? scale : 1
    for (let done = 0; done < rows * columns; done += DRAWN_AT_ONCE) {
      const piece = new Float64Array(Math.min(DRAWN_AT_ONCE, rows * columns - done))
      for (let i = 0; i < piece.length; i++) piece[i] = next() * factor
      put(at + done, piece)
    }
  }
}

/** How many parameters there are; the block is longer, for the zeros between its tensors. */
export function parameterCount({ tensors }: Layout): number {
  return tensors.reduce((sum, { spec }) => sum + spec.rows * spec.columns, 0)
}

/** The parameters of a block as one vector, without gaps: tensor after tensor as users see them. */
export function pack(block: Floats, layout: Layout): Float64Array {
  const vector = new Float64Array(parameterCount(layout))
  let from = 0
  for (const { at, spec } of layout.tensors) {
    const length = spec.rows * spec.columns
    vector.set(block.subarray(at, at + length), from)
    from += length
  }
  return vector
}

/** The block of a packed vector, zeros in its gaps. */
export function unpack(vector: Floats, layout: Layout): Float64Array {
  const block = new Float64Array(layout.trainable.length)
  let from = 0
  for (const { at, spec } of layout.tensors) {
    const length = spec.rows * spec.columns
    block.set(vector.subarray(from, from + length), at)
    from += length
  }
  return block
}
