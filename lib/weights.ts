/**
 * Parameters as users see them: one entry a parameterised layer, copied out of and into the parameter block.
 */
import type { Matrix } from './data/matrix'
import { readFeatures } from './data/matrix'
import { DownhillError, describe } from './errors'
import { tensorIn } from './network'
import type { Layout, Tensor } from './plan/layout'
import type { Dtype, Floats } from './plan/plan'

/** Parameters or gradients of a layer; weights are inputs × units, bias is null where the layer has none. */
export interface LayerParameters {
  readonly weights: Matrix
  readonly bias: Floats | null
}

/** Weights and bias of each parameterised layer, in order. */
function byLayer({ tensors }: Layout): { weights: Tensor; bias: Tensor | null }[] {
  return tensors
    .filter(({ spec }) => spec.name === 'weights')
    .map((weights) => ({
      weights,
      bias: tensors.find(({ layer, spec }) => layer === weights.layer && spec.name === 'bias') ?? null,
    }))
}

/** A copy of a block laid out as the parameters are. */
export function readParameters(block: Floats, layout: Layout): LayerParameters[] {
  return byLayer(layout).map(({ weights, bias }) => ({
    weights: { data: tensorIn(block, weights).slice(), rows: weights.spec.rows, columns: weights.spec.columns },
    bias: bias && tensorIn(block, bias).slice(),
  }))
}

/** A copy of `block` with the parameters of all layers replaced. @throws ERR_SHAPE, ERR_DATA; block is never written */
export function writeParameters(layers: unknown, block: Floats, layout: Layout, dtype: Dtype): Floats {
  const places = byLayer(layout)
  if (!Array.isArray(layers) || layers.length !== places.length)
    throw new DownhillError(
      'ERR_SHAPE',
      `Expected a list of ${places.length} layers, one for each layer with parameters, but received ${describe(layers)}.`,
    )
  const written = block.slice()
  for (const [i, { weights, bias }] of places.entries()) {
    const layer: unknown = layers[i]
    if (typeof layer !== 'object' || layer === null || !('weights' in layer))
      throw new DownhillError('ERR_SHAPE', `Expected { weights, bias } for layer ${i} but received ${describe(layer)}.`)
    const given = layer as { weights: unknown; bias?: unknown }
    put(written, weights, given.weights, `weights of layer ${i}`, dtype)
    if (bias) put(written, bias, given.bias, `bias of layer ${i}`, dtype)
    else if (given.bias !== undefined && given.bias !== null)
      throw new DownhillError('ERR_SHAPE', `Expected no bias for layer ${i}, which has none.`)
  }
  return written
}

function put(block: Floats, tensor: Tensor, value: unknown, name: string, dtype: Dtype): void {
  const { rows, columns } = tensor.spec
  const { x, scale } = readFeatures(value, { inputs: columns, rows, name, dtype })
  const to = tensorIn(block, tensor)
  for (let i = 0; i < to.length; i++) to[i] = x[i] * scale
}
