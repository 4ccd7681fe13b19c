/**
 * A model as a file's contents: its parameters as tensors, everything else as one JSON text in the metadata.
 *
 * What is read is data from a stranger until the constructor has checked it: nothing is trusted here but types, and no
 * network is built before the file is known to hold every tensor it needs, in the right shape.
 */
import type { Codec } from '../data/codec'
import type { Standardization } from '../data/standardize'
import type { Coding, Label } from '../data/targets'
import { DownhillError } from '../errors'
import type { InitializerSpec } from '../initializers'
import { type LayerSpec, readLayer, type TensorSpec } from '../layers'
import type { ModelOptions } from '../options'
import { layOut, type PlacedLayer, parameterised } from '../plan/layout'
import type { Floats } from '../plan/plan'
import type { LayerParameters } from '../weights'
import { CHECKSUM, type Contents, type StoredTensor } from './safetensors'

/** Everything of a model but its parameters. */
export interface SavedModel {
  /** As the constructor takes them, the long form with all filled in. */
  readonly options: ModelOptions & { readonly inputs: number; readonly layers: readonly LayerSpec[] }
  /** null: it has seen no y. */
  readonly codec: Codec | null
  readonly epochs: number
}

const FORMAT = 1
const KEY = 'downhill'

/** Tensors are named by the layer they belong to, counted from 0 over all layers: `layers.0.weights`, `layers.0.bias`. */
export function encodeModel({ options, ...rest }: SavedModel, parameters: readonly LayerParameters[]): Contents {
  const tensors = new Map<string, StoredTensor>()
  for (const [i, layer] of layersOf(options).entries())
    for (const { spec } of layer.tensors) {
      const value = parameters[i][spec.name]
      const data = value && 'rows' in value ? value.data : value
      tensors.set(nameOf(layer, spec), { shape: shapeOf(spec), data: data as Floats })
    }
  // Explicit initial values are tensors too: in JSON they would fill the header.
  const withTensors = (_: string, value: unknown): unknown => {
    if (!isValues(value)) return value
    const name = `initial.${tensors.size}`
    tensors.set(name, { shape: [value.rows, value.columns], data: value.values })
    return { kind: 'values', rows: value.rows, columns: value.columns, tensor: name }
  }
  return { tensors, metadata: { [KEY]: JSON.stringify({ format: FORMAT, options, ...rest }, withTensors) } }
}

/** @throws ERR_FILE where the contents are not those of a model; `name` is what the sentence calls the file */
export function decodeModel(
  { tensors, metadata }: Contents,
  name: string,
): { model: SavedModel; parameters: LayerParameters[] } {
  const refuse = (why: string): DownhillError =>
    new DownhillError('ERR_FILE', `Expected a model saved by downhill at ${name} but ${why}.`)
  const text = metadata[KEY]
  if (text === undefined) throw refuse('it holds other tensors')
  if (metadata[CHECKSUM] === undefined) throw refuse('it has lost its checksum')
  const saved = parse(text, tensors)
  if (saved === null) throw refuse('its description cannot be read')
  if (saved.format !== FORMAT) throw refuse(`its format is ${String(saved.format)}, and this version reads ${FORMAT}`)
  const model = checkModel(saved)
  if (model === null) throw refuse('its description is not that of a model')

  const parameters = layersOf(model.options).map((layer): LayerParameters => {
    const entry: { -readonly [K in keyof LayerParameters]?: LayerParameters[K] } = { bias: null }
    for (const { spec } of layer.tensors) {
      const [key, shape] = [nameOf(layer, spec), shapeOf(spec)]
      const stored = tensors.get(key)
      if (stored === undefined || stored.shape.join() !== shape.join())
        throw refuse(`${key} of ${shape.join(' × ')} is not in it`)
      if (spec.name === 'weights') entry.weights = { data: stored.data, rows: spec.rows, columns: spec.columns }
      else entry[spec.name] = stored.data
    }
    return entry as LayerParameters
  })
  return { model, parameters }
}

/** The layers that have tensors. Places do not depend on what layOut asks of a model beside. */
function layersOf({ inputs, layers }: SavedModel['options']): PlacedLayer[] {
  return parameterised(layOut({ inputs, layers, initializer: { kind: 'zeros' }, l2: 0 }))
}

function nameOf({ path }: PlacedLayer, { name }: TensorSpec): string {
  return ['layers', ...path, name].join('.')
}

/** Weights are matrices, all else is one row of numbers. */
function shapeOf({ name, rows, columns }: TensorSpec): number[] {
  return name === 'weights' ? [rows, columns] : [columns]
}

type Values = Extract<InitializerSpec, { kind: 'values' }>

function isValues(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && (value as Values).values instanceof Float64Array
}

/** The JSON text with references to tensors resolved; null where it is none. */
function parse(text: string, tensors: Contents['tensors']): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text, (_, entry: unknown) => {
      const reference = typeof entry === 'object' && entry !== null ? (entry as { tensor?: unknown }).tensor : undefined
      if (typeof reference !== 'string') return entry
      const stored = tensors.get(reference)
      if (stored === undefined) throw new Error('no such tensor')
      const [rows, columns] = stored.shape
      return { kind: 'values', values: Float64Array.from(stored.data), rows, columns }
    })
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Types looked at, one by one; ranges are the constructor's business. */
function checkModel({ options, codec, epochs }: Record<string, unknown>): SavedModel | null {
  if (!isRecord(options) || !Array.isArray(options.layers) || !Number.isSafeInteger(options.inputs)) return null
  if (!Number.isSafeInteger(epochs) || (codec !== null && !isCodec(codec))) return null
  try {
    const layers = options.layers.map(readLayer)
    return { options: { ...options, inputs: options.inputs as number, layers }, codec, epochs: epochs as number }
  } catch {
    return null
  }
}

function isCodec(value: unknown): value is Codec {
  if (!isRecord(value) || !isRecord(value.coding)) return false
  const { task, outputs, classes } = value.coding as { [K in keyof Coding]: unknown }
  const isLabel = (label: unknown): label is Label => ['string', 'number', 'boolean'].includes(typeof label)
  const isOfClasses = classes === null || (Array.isArray(classes) && classes.length > 0 && classes.every(isLabel))
  const isTask = ['binary', 'multiclass', 'multilabel', 'regression'].includes(task as string)
  return isTask && Number.isSafeInteger(outputs) && isOfClasses && isScaler(value.inputs) && isScaler(value.targets)
}

function isScaler(value: unknown): value is Standardization | null {
  if (value === null) return true
  if (!isRecord(value)) return false
  const isNumbers = (list: unknown): list is number[] => Array.isArray(list) && list.every(Number.isFinite)
  return isNumbers(value.mean) && isNumbers(value.std) && value.mean.length === value.std.length
}
