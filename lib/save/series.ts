/**
 * Epochs as series: what they have a number or a list of becomes a tensor each, so that a run of a million epochs is a few
 * tensors and no text that grows with it. What an epoch has not, it has not when it comes back either.
 */
import type { Floats } from '../plan/plan'
import type { Epoch } from '../train/history'
import type { StoredTensor } from './safetensors'

/** Where a series is, as the JSON of a checkpoint says it. */
interface Entry {
  /** Of names, `['valMetrics', 'accuracy']`. */
  readonly path: readonly string[]
  readonly tensor: string
  /** Numbers an epoch, of a list; null for one number. */
  readonly width: number | null
  /** The tensor of the epochs, from 0, that have it; null where all have. */
  readonly rows: string | null
}

export interface StoredEpochs {
  readonly count: number
  readonly series: readonly Entry[]
}

type Tensors = ReadonlyMap<string, StoredTensor>

interface Series extends Pick<Entry, 'path' | 'width'> {
  readonly values: number[]
  readonly rows: number[]
}

/** Puts the series into `tensors`, named `<place>.valMetrics.accuracy`. The epoch's number is its place. */
export function storeEpochs(epochs: readonly Epoch[], place: string, tensors: Map<string, StoredTensor>): StoredEpochs {
  const add = (name: string, values: number[], width: number | null = null): string => {
    // Names are the user's, who may have metrics called a, a.b and { b }.
    const free = tensors.has(name) ? `${name}#${tensors.size}` : name
    const shape = width === null ? [values.length] : [values.length / Math.max(width, 1), width]
    tensors.set(free, { shape, data: Float64Array.from(values) })
    return free
  }
  const series = seriesOf(epochs).map(({ path, width, values, rows }) => {
    const name = [place, ...path].join('.')
    const tensor = add(name, values, width)
    return { path, width, tensor, rows: rows.length === epochs.length ? null : add(`${name}.rows`, rows) }
  })
  return { count: epochs.length, series }
}

/** A place in an epoch: its series, one a width, and what is below it. */
interface Place {
  readonly path: readonly string[]
  readonly series: Series[]
  readonly below: Map<string, Place>
}

function seriesOf(epochs: readonly Epoch[]): Series[] {
  const all: Series[] = []
  const placeAt = (path: readonly string[]): Place => ({ path, series: [], below: new Map() })
  const put = ({ path, series, below }: Place, row: number, value: unknown): void => {
    if (isList(value) || typeof value === 'number') {
      const width = typeof value === 'number' ? null : value.length
      let own = series.find((one) => one.width === width)
      if (own === undefined) {
        own = { path, width, values: [], rows: [] }
        series.push(own)
        all.push(own)
      }
      own.rows.push(row)
      if (typeof value === 'number') own.values.push(value)
      else for (let i = 0; i < value.length; i++) own.values.push(value[i])
    } else if (typeof value === 'object' && value !== null)
      for (const [key, entry] of Object.entries(value)) {
        if (path.length === 0 && key === 'epoch') continue
        const place = below.get(key) ?? placeAt([...path, key])
        below.set(key, place)
        put(place, row, entry)
      }
  }
  const root = placeAt([])
  for (const [row, epoch] of epochs.entries()) put(root, row, epoch)
  return all
}

/**
 * The epochs again, from what the JSON has; every list is a Float64Array.
 * @throws where it is not what `storeEpochs` wrote
 */
export function restoreEpochs(stored: unknown, tensors: Tensors): Epoch[] {
  const { count, series } = stored as StoredEpochs
  const epochs = Array.from({ length: countOf(series, tensors) }, (_, row) => ({ epoch: row + 1 }))
  if (count !== epochs.length) throw new Error('ragged series')
  for (const { path, width, tensor, rows } of series) {
    const values = dataOf(tensor, tensors)
    const at = rows === null ? null : dataOf(rows, tensors)
    const among = at?.length ?? count
    if (values.length !== among * (width ?? 1)) throw new Error('ragged series')
    for (let i = 0; i < among; i++)
      set(
        epochs[at?.[i] ?? i],
        path,
        width === null ? values[i] : Float64Array.from(values.subarray(i * width, (i + 1) * width)),
      )
  }
  return epochs as unknown as Epoch[]
}

/** Those of version 1: `{ 'valMetrics.accuracy': { tensor } }`, and every epoch had all of them. */
export function seriesOfVersion1(columns: unknown, tensors: Tensors): StoredEpochs {
  const series = Object.entries(columns as Record<string, { tensor: string }>).map(([name, { tensor }]): Entry => {
    const [, metric] = /^valMetrics\.(.*)$/s.exec(name) ?? []
    return { path: metric === undefined ? [name] : ['valMetrics', metric], tensor, width: null, rows: null }
  })
  return { count: countOf(series, tensors), series }
}

/** As many as have a loss: all. */
function countOf(series: readonly Entry[], tensors: Tensors): number {
  const loss = series.find(({ path }) => path[0] === 'loss')
  return loss ? dataOf(loss.tensor, tensors).length : 0
}

function dataOf(name: string, tensors: Tensors): Floats {
  const stored = tensors.get(name)
  if (stored === undefined) throw new Error('no such tensor')
  return stored.data
}

function set(epoch: object, path: readonly string[], value: unknown): void {
  let place = epoch as Record<string, unknown>
  for (const key of path.slice(0, -1)) {
    if (!Object.hasOwn(place, key)) place[key] = {}
    place = place[key] as Record<string, unknown>
  }
  place[path[path.length - 1]] = value
}

function isList(value: unknown): value is ArrayLike<number> {
  return Array.isArray(value) || ArrayBuffer.isView(value)
}
