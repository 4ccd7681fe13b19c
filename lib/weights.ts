/**
 * Parameters as users see them: one entry a parameterised layer, copied out of and into the parameter block.
 */
import type { Matrix } from './data/matrix'
import { readFeatures } from './data/matrix'
import { DownhillError, describe } from './errors'
import type { TensorName } from './layers'
import { tensorIn } from './network'
import { type Layout, type PlacedLayer, parameterised, type Tensor } from './plan/layout'
import type { Dtype, Floats, Range } from './plan/plan'

/**
 * Parameters or gradients of a layer. Weights of a dense layer are inputs × units; of another layer they are what
 * multiplies. Bias is what it adds, null where it adds nothing.
 */
export interface LayerParameters {
  readonly weights: Matrix
  readonly bias: Floats | null
  /** What batchNorm predicts with; no gradient has them, and `setWeights` may leave them out. */
  readonly runningMean?: Floats
  readonly runningVariance?: Floats
}

const named = ({ tensors }: PlacedLayer, name: TensorName): Tensor | null =>
  tensors.find(({ spec }) => spec.name === name) ?? null

/** A copy of a block laid out as the parameters are, or of its beginning, as a gradient is. */
export function readParameters(block: Floats, layout: Layout): LayerParameters[] {
  return parametersBy(({ at, length }) => block.slice(at, at + length), layout, block.length)
}

/** The same of an engine's memory, copied once. @param read copies a range @param end of what is read */
export function parametersBy(
  read: (range: Range) => Floats,
  layout: Layout,
  end = layout.parameters.length,
): LayerParameters[] {
  const copy = ({ at, spec }: Tensor): Floats => read({ at, length: spec.rows * spec.columns })
  return parameterised(layout).map((layer) => {
    const [weights, bias] = [named(layer, 'weights') as Tensor, named(layer, 'bias')]
    const { rows, columns } = weights.spec
    const kept = layer.tensors.filter(({ spec, at }) => spec.role === 'kept' && at < end)
    return {
      weights: { data: copy(weights), rows, columns },
      bias: bias && copy(bias),
      ...Object.fromEntries(kept.map((tensor) => [tensor.spec.name, copy(tensor)])),
    }
  })
}

/** `block`, the caller's own copy of the parameters, with those of all layers replaced. @throws ERR_SHAPE, ERR_DATA */
export function writeParameters(layers: unknown, block: Floats, layout: Layout, dtype: Dtype): Floats {
  const places = parameterised(layout)
  if (!Array.isArray(layers) || layers.length !== places.length)
    throw new DownhillError(
      'ERR_SHAPE',
      `Expected a list of ${places.length} layers, one for each layer with parameters, but received ${describe(layers)}.`,
    )
  for (const [i, place] of places.entries()) {
    const layer: unknown = layers[i]
    if (typeof layer !== 'object' || layer === null || !('weights' in layer))
      throw new DownhillError('ERR_SHAPE', `Expected { weights, bias } for layer ${i} but received ${describe(layer)}.`)
    const given = layer as { readonly [K in TensorName]?: unknown }
    for (const tensor of place.tensors) {
      const { name, role } = tensor.spec
      if (role === 'kept' && given[name] === undefined) continue
      put(block, tensor, given[name], `${name} of layer ${i}`, dtype)
    }
    if (named(place, 'bias') === null && given.bias !== undefined && given.bias !== null)
      throw new DownhillError('ERR_SHAPE', `Expected no bias for layer ${i}, which has none.`)
  }
  return block
}

function put(block: Floats, tensor: Tensor, value: unknown, name: string, dtype: Dtype): void {
  const { rows, columns } = tensor.spec
  const { x, scale } = readFeatures(value, { inputs: columns, rows, name, dtype })
  const to = tensorIn(block, tensor)
  if (scale === 1) to.set(x)
  else for (let i = 0; i < to.length; i++) to[i] = x[i] * scale
}
