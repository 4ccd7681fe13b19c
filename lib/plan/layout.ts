/**
 * The layout: which tensors a model has and where they stand in the parameter block: weights first, then biases, then
 * those of frozen layers, then what is kept but has no gradient.
 *
 * The order of the list is the order of the layers, which is the order users see; the order in memory is by role, so
 * that penalties and saving are few ranges. Everything here depends on the layers alone, not on data or optimizer.
 */
import { DownhillError } from '../errors'
import { drawTensor, type InitializerSpec } from '../initializers'
import { type LayerSpec, layerRow, type TensorRole, type TensorSpec, widthOf } from '../layers'
import type { Penalty } from '../penalties'
import { random } from '../random'
import { align, type Dtype, type Floats, type Range } from './plan'

/** A model as the compiler takes it: sizes known, every option checked. */
export interface Model {
  readonly inputs: number
  readonly layers: readonly LayerSpec[]
  readonly initializer: InitializerSpec
  /** λ of ½λΣw² for layers that name none. */
  readonly l2: number
  /** λ of λΣ|w| for layers that name none. @default 0 */
  readonly l1?: number
}

/** One tensor and its place. */
export interface Tensor {
  /** Index into layout.layers. */
  readonly layer: number
  readonly spec: TensorSpec
  readonly at: number
}

/** A layer where it stands. */
export interface PlacedLayer {
  readonly spec: LayerSpec
  /** Its place in model.layers; of one within another, that one's and then its own. */
  readonly path: readonly number[]
  readonly inputs: number
  readonly outputs: number
  readonly tensors: readonly Tensor[]
}

export interface Layout {
  /** All layers in order, those within another right behind it. */
  readonly layers: readonly PlacedLayer[]
  /** All tensors, layer after layer. */
  readonly tensors: readonly Tensor[]
  /** Those of them that have a gradient and are changed by it. */
  readonly trained: readonly Tensor[]
  /** Weights, then biases: what is trained. The gradient vector mirrors it. */
  readonly trainable: Range
  /** That, and what is frozen behind it: all that has a gradient. */
  readonly differentiable: Range
  /** The whole block. */
  readonly parameters: Range
}

export function outputsOf(model: Model): number {
  return widthOf(model.layers, model.inputs)
}

/** Offsets are 32-bit integers on the other side of the border. */
const MOST_PARAMETERS = 2 ** 31 - 1

/** The order in memory: what is trained, what could be, and the rest. */
const ORDER: readonly { readonly role: TensorRole; readonly isFrozen: boolean | null }[] = [
  { role: 'weights', isFrozen: false },
  { role: 'bias', isFrozen: false },
  { role: 'weights', isFrozen: true },
  { role: 'bias', isFrozen: true },
  { role: 'kept', isFrozen: null },
]

/** @throws ERR_OPTION for more parameters than can be addressed */
export function layOut(model: Model): Layout {
  const sized: { spec: LayerSpec; path: number[]; inputs: number; outputs: number; tensors: readonly TensorSpec[] }[] =
    []
  const size = (layers: readonly LayerSpec[], width: number, path: readonly number[]): void => {
    let inputs = width
    for (const [i, spec] of layers.entries()) {
      const row = layerRow(spec)
      const outputs = row.outputs(spec, inputs)
      sized.push({ spec, path: [...path, i], inputs, outputs, tensors: row.tensors(spec, inputs) })
      size(row.within?.(spec) ?? [], inputs, [...path, i])
      inputs = outputs
    }
  }
  size(model.layers, model.inputs, [])
  let at = 0
  let [trained, differentiable] = [0, 0]
  const places = new Map<TensorSpec, number>()
  for (const { role, isFrozen } of ORDER) {
    for (const { spec, tensors } of sized)
      for (const tensor of tensors) {
        if (tensor.role !== role || (isFrozen !== null && isFrozen !== isFrozenLayer(spec))) continue
        places.set(tensor, at)
        at += align(tensor.rows * tensor.columns)
      }
    if (isFrozen === false) trained = at
    if (isFrozen !== null) differentiable = at
  }
  if (at > MOST_PARAMETERS)
    throw new DownhillError('ERR_OPTION', `Expected at most ${MOST_PARAMETERS} parameters but these sizes make ${at}.`)
  const layers = sized.map((layer, index): PlacedLayer => {
    const tensors = layer.tensors.map((spec) => ({ layer: index, spec, at: places.get(spec) as number }))
    return { ...layer, tensors }
  })
  const tensors = layers.flatMap((layer) => layer.tensors)
  return {
    layers,
    tensors,
    trained: tensors.filter((tensor) => tensor.at < trained),
    trainable: { at: 0, length: trained },
    differentiable: { at: 0, length: differentiable },
    parameters: { at: 0, length: at },
  }
}

function isFrozenLayer(spec: LayerSpec): boolean {
  return 'frozen' in spec && spec.frozen === true
}

/** Of a model whose every parameter is frozen, or that has none. */
export function nothingToTrain(): DownhillError {
  return new DownhillError('ERR_STATE', 'Expected a layer to train, but none has parameters that are not frozen.')
}

/** The layers that have tensors: those that `weights()` lists, in its order. */
export function parameterised({ layers }: Layout): PlacedLayer[] {
  return layers.filter(({ tensors }) => tensors.length > 0)
}

/** λ of a tensor's penalty. */
export function penaltyOf({ spec }: Tensor, model: Model, { name }: Pick<Penalty, 'name'>): number {
  return spec.role === 'weights' ? (spec[name] ?? model[name] ?? 0) : 0
}

/** Entries drawn at a time: a large tensor is never held twice. */
const DRAWN_AT_ONCE = 1 << 16

/**
 * Draws the parameters at the start, in double, and puts them piece by piece where they belong in the block; a piece is
 * to be copied at once. `scale` multiplies what has the role of weights. Each tensor draws from a stream of its own, so that changing one layer
 * does not change another's start.
 */
export function drawParameters(
  model: Model,
  layout: Layout,
  seed: number,
  scale: number,
  dtype: Dtype,
  put: (at: number, values: Floats) => void,
): void {
  // One piece for all: what waits for the garbage collector is memory held, too.
  const most = Math.min(DRAWN_AT_ONCE, layout.parameters.length)
  const piece = dtype === 'float64' ? new Float64Array(most) : new Float32Array(most)
  for (const [index, { spec, at }] of layout.tensors.entries()) {
    const { rows, columns, role } = spec
    const next = drawTensor(spec.initializer ?? model.initializer, rows, columns, random(seed, 'weights', index))
    const factor = role === 'weights' ? scale : 1
    for (let done = 0; done < rows * columns; done += piece.length) {
      const length = Math.min(piece.length, rows * columns - done)
      for (let i = 0; i < length; i++) piece[i] = next() * factor
      put(at + done, piece.subarray(0, length))
    }
  }
}

/** How many numbers tensors hold; the block is longer, for the zeros between them. */
export function countOf(tensors: readonly { readonly spec: TensorSpec }[]): number {
  return tensors.reduce((sum, { spec }) => sum + spec.rows * spec.columns, 0)
}

/** What is trained, out of a block, as one vector without gaps: tensor after tensor as users see them. */
export function pack(block: Floats, { trained }: Layout): Float64Array {
  const vector = new Float64Array(countOf(trained))
  let from = 0
  for (const { at, spec } of trained) {
    const length = spec.rows * spec.columns
    vector.set(block.subarray(at, at + length), from)
    from += length
  }
  return vector
}

/** What is trained, as it stands in a block, from a packed vector; zeros in the gaps. */
export function unpack(vector: Floats, { trained, trainable }: Layout): Float64Array {
  const block = new Float64Array(trainable.length)
  let from = 0
  for (const { at, spec } of trained) {
    const length = spec.rows * spec.columns
    block.set(vector.subarray(from, from + length), at)
    from += length
  }
  return block
}

/** Whether all are finite. A loop: `every` takes ten times as long, which a product with a Hessian feels. */
export function areFinite(values: Floats): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false
  return true
}
