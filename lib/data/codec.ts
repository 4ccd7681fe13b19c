/**
 * The codec: how a model's data become the table that a backend binds, and how outputs become the caller's again.
 *
 * It is fitted once, on the rows that train, and is plain data kept with the model. Coding of labels is targets.ts,
 * scaling of columns standardize.ts; this file only puts the two together.
 */
import type { Dtype, Floats, Table } from '../plan/plan'
import { type FeatureTable, type IndexColumn, selectRows } from './matrix'
import { splitRows } from './split'
import { fitStandardization, type Standardization, standardize, unstandardize } from './standardize'
import { type Coding, classIndices, encodeTargets, numbersOf, selectTargets, type TargetTable } from './targets'
import { selectWeights } from './weights'

export interface Codec {
  readonly coding: Coding
  /** null: columns are taken as they come. */
  readonly inputs: Standardization | null
  /** null: targets are taken as they come; of a regression only. */
  readonly targets: Standardization | null
}

/** x and y as read, row by row the same samples, and how much each counts. */
export interface Pair {
  readonly features: FeatureTable
  readonly targets: TargetTable
  /** Left out, null: 1 each. */
  readonly sampleWeight?: Float64Array | null
}

/** What to standardize; targets only where they are numbers. */
export type StandardizeOption = boolean | 'inputs' | 'targets'

/**
 * @param indices columns of x that are no quantities, and are left as they are
 * @throws ERR_DATA where a column's values lie too far apart to be standardized
 */
export function fitCodec(
  pair: Pair,
  coding: Coding,
  option: StandardizeOption,
  indices: readonly IndexColumn[] = [],
): Codec {
  const { features, targets, sampleWeight } = pair
  const wantsInputs = option === true || option === 'inputs'
  const wantsTargets = coding.task === 'regression' && (option === true || option === 'targets')
  return {
    coding,
    inputs: wantsInputs ? leaving(indices, fitStandardization(features, sampleWeight)) : null,
    targets: wantsTargets ? fitStandardization(numbersOf(targets), sampleWeight, 'y') : null,
  }
}

function leaving(indices: readonly IndexColumn[], { mean, std }: Standardization): Standardization {
  const isLeft = (c: number): boolean => indices.some(({ column }) => column === c)
  return { mean: mean.map((value, c) => (isLeft(c) ? 0 : value)), std: std.map((value, c) => (isLeft(c) ? 1 : value)) }
}

/** x as the network takes it. @throws ERR_SHAPE, ERR_DATA */
export function encodeInputs({ inputs }: Pick<Codec, 'inputs'>, features: FeatureTable, dtype: Dtype): FeatureTable {
  return inputs ? standardize(features, inputs, dtype) : features
}

/** x and y as a backend binds them; classes in the form the loss takes. @throws ERR_SHAPE, ERR_DATA */
export function encodePair(codec: Codec, pair: Pair, form: 'index' | 'dense', dtype: Dtype): Table {
  const { features, targets, sampleWeight: weights = null } = pair
  const x = encodeInputs(codec, features, dtype)
  if (codec.targets === null) return { ...x, ...encodeTargets(targets, codec.coding, form, dtype), weights }
  const y = standardize(numbersOf(targets), codec.targets, dtype, 'y')
  return { ...x, y: y.x, targets: y.columns, weights }
}

/** Outputs of the network in the caller's units. */
export function restoreOutputs({ targets }: Pick<Codec, 'targets'>, outputs: Floats): Floats {
  return targets ? unstandardize(outputs, targets) : outputs
}

/** Rows that train and rows held out: a share drawn by the seed, each class keeping its own. @throws ERR_SHAPE */
export function splitPair(pair: Pair, share: number, seed: number, coding: Coding): [Pair, Pair] {
  const { features, targets, sampleWeight = null } = pair
  const { train, validation } = splitRows(features.rows, share, { seed, classes: classIndices(targets, coding) })
  const part = (rows: Uint32Array): Pair => ({
    features: selectRows(features, rows),
    targets: selectTargets(targets, rows),
    sampleWeight: selectWeights(sampleWeight, rows),
  })
  return [part(train), part(validation)]
}
