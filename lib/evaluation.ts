/**
 * Evaluation: how well a network does on rows it is shown, as a loss and as metrics, in the caller's units.
 *
 * A regression whose targets are standardized is measured on what the caller gave, not on what the network was given.
 */
import { type Blueprint, lossOf, toProbabilities } from './build'
import { type Codec, encodePair, type Pair, restoreOutputs } from './data/codec'
import type { Coding } from './data/targets'
import type { SampleWeights } from './data/weights'
import { lossRow } from './losses'
import type { Metric, MetricOption, MetricValue } from './metrics'
import type { Network } from './network'
import type { Dtype, Floats, Table } from './plan/plan'

/** Loss and metrics as `evaluate` reports them. */
export interface Evaluation {
  /** The loss as configured, without penalty or dropout; in the caller's units where targets are standardized. */
  readonly loss: number
  /** The same in the model's own units; differs only where targets are standardized. */
  readonly modelLoss: number
  /** Share of rows predicted right; of a model of classes. */
  readonly accuracy?: number
  /** Share of the variance explained; of a regression. */
  readonly r2?: number
  /** What else was asked for: one number, one for each class, or a Matrix. */
  readonly [metric: string]: MetricValue | undefined
}

/** What may be said of the rows that are measured. */
export interface RowOptions {
  /** How much each row counts, ≥ 0; as in `fit`. @default 1 each */
  sampleWeight?: SampleWeights
}

export interface EvaluateOptions extends RowOptions {
  /** Beside the task's own: names such as 'f1', 'auc', 'confusionMatrix', functions, or { name, compute }. */
  metrics?: MetricOption | readonly MetricOption[]
}

/** Loss, and metrics of a task, of a network on rows. */
export function evaluate(
  network: Network,
  plans: Blueprint,
  codec: Codec,
  pair: Pair,
  metrics: readonly Metric[],
): Evaluation {
  const table = encodePair(codec, pair, lossRow(plans.loss).classTargets, network.dtype)
  const report = network.evaluate(table)
  const modelLoss = report.loss[0]
  const outputs = restoreOutputs(codec, toProbabilities(plans, report.output as Floats))
  const own = inCallersUnits(plans, codec, pair, table, network.dtype)
  const loss = codec.targets ? lossOf(plans, own, outputs) : modelLoss
  return { loss, modelLoss, ...measure(codec.coding, own, outputs, metrics) }
}

/** Rows as the caller has them; `table`, which the network takes, where that is the same. */
export function inCallersUnits(plans: Blueprint, codec: Codec, pair: Pair, table: Table, dtype: Dtype): Table {
  if (codec.targets === null) return table
  return encodePair({ ...codec, inputs: null, targets: null }, pair, lossRow(plans.loss).classTargets, dtype)
}

/** Metrics by name. */
export function measure<V extends MetricValue>(
  coding: Coding,
  { y, targets, rows, weights = null }: Table,
  outputs: Floats,
  metrics: readonly Metric<V>[],
): Record<string, V> {
  const comparison = { truth: y as Floats, targets, outputs, rows, coding, weights }
  return Object.fromEntries(metrics.map(({ name, compute }) => [name, compute(comparison)]))
}
