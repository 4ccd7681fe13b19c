/**
 * What a model is between two calls: its network, how data go into it and come out, and what one run leaves to the next.
 *
 * Plain data that the facade keeps and fitting.ts changes; the functions here read it.
 */
import { type Blueprint, knownOf } from './build'
import type { Codec, Pair } from './data/codec'
import type { IndexColumn } from './data/matrix'
import { type Coding, type Known, readPair } from './data/targets'
import { readWeights } from './data/weights'
import { indexColumns } from './layers'
import { Network } from './network'
import type { OptimizerSpec } from './optimizers'
import type { Config } from './options'
import type { Floats } from './plan/plan'
import type { SavedModel } from './save/model'
import type { Epoch } from './train/history'

/** A network, and how data go into it and come out. */
export interface Built {
  readonly network: Network
  readonly blueprint: Blueprint
  /** null until the first fit where the net was built before any y was seen. */
  readonly codec: Codec | null
  /** That of the codec; before the first fit what the options say, classes being the numbers 0 … K−1. */
  readonly coding: Coding
}

/** What one partialFit leaves to the next. */
export interface Carried {
  readonly optimizer: OptimizerSpec
  readonly ema: number | null
  readonly state: Floats
  /** Those to go on from, where the model was left with their average, and has it still. */
  readonly weights: Floats | null
  readonly steps: number
  /** Epochs trained before the state began; tells the masks of two runs apart. */
  readonly since: number
  /** Those recorded since; the next run adds its own. */
  readonly epochs: Epoch[]
}

export interface State {
  /** Decides every random number: start, shuffles, splits, masks. */
  readonly seed: number
  readonly config: Config
  built: Built | null
  carried: Carried | null
  /** Draws the weights as they are; null once they were set or trained. */
  drawnBy: number | null
  /** The parameters as they were set, as long as nothing has trained them; nobody writes to it. */
  given: Floats | null
  /** Epochs trained since the last reset, so that no two share an order of rows or a mask. */
  epochs: number
  /** The checkpoint that the model as it is came from. */
  loadedFrom: string | null
}

/** The network there is, or a new one of the blueprint. */
export function networkFor({ config, built, seed }: State, plans: Blueprint): Network {
  const { dtype, backend, threads, initScale } = config
  return built?.network ?? new Network({ ...plans, dtype, backend, threads }, seed, initScale)
}

/** What of y is known before one is read. */
export function knownBy({ config, built }: State): Known {
  const known = knownOf(config)
  return built ? { ...known, outputs: built.network.outputs } : known
}

/** Columns of x that hold indices. */
export function indicesOf({ config }: State): readonly IndexColumn[] {
  return indexColumns(config.layers ?? [])
}

/** @throws ERR_SHAPE, ERR_DATA, ERR_OPTION */
export function readRows(
  state: State,
  x: unknown,
  y: unknown,
  { sampleWeight }: { readonly sampleWeight?: unknown },
  dtype = state.config.dtype,
): Pair {
  const inputs = state.built?.network.model.inputs ?? state.config.inputs ?? undefined
  const { outputs } = knownBy(state)
  const pair = readPair(x, y, { inputs, outputs, dtype, indices: indicesOf(state) })
  return { ...pair, sampleWeight: readWeights(sampleWeight, pair.features.rows) }
}

/** All of a model but its parameters. */
export function savedModel(
  { config, seed, ...state }: State,
  { blueprint: { model, loss }, codec, coding }: Omit<Built, 'network'>,
  epochs = state.epochs,
): SavedModel {
  const { initializer, l1, l2, standardize, initScale, dtype } = config
  const options = { inputs: model.inputs, layers: model.layers, loss, task: coding.task, initializer, l1, l2 }
  return { options: { ...options, standardize, initScale, dtype, seed }, codec, epochs }
}

/** What the last partialFit left, where an optimizer can go on with it. @param ema by default whatever it is */
export function carriedFor({ carried }: State, optimizer: OptimizerSpec, ema = carried?.ema ?? null): Carried | null {
  const meaning = ({ kind, settings }: OptimizerSpec, ema: number | null): string =>
    JSON.stringify([kind, settings, ema])
  return carried && meaning(carried.optimizer, carried.ema) === meaning(optimizer, ema) ? carried : null
}
