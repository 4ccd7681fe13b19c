/**
 * The subject: what the doctor is given to examine, and the one thing it may ask for, a training.
 *
 * The doctor stands below the facade: whoever calls it says how a variant of the program is built and run. It never
 * changes the caller's model; every training begins from a copy.
 */
import type { Blueprint } from '../build'
import type { FeatureTable, Inputs } from '../data/matrix'
import type { Coding, Targets, TargetTable } from '../data/targets'
import type { Network } from '../network'
import type { ModelOptions } from '../options'
import type { Table } from '../plan/plan'
import type { History } from '../train/history'
import type { FitOptions } from '../train/options'
import type { LayerParameters } from '../weights'

/** Values that replace the caller's whole values: `{ ...options, ...change.model }`, `{ ...fit, ...change.fit }`. */
export interface Change {
  readonly model?: ModelOptions
  readonly fit?: FitOptions
}

/** A program: options of model and fit. */
export interface Program {
  readonly model: ModelOptions
  readonly fit: FitOptions
}

/** A training that ended, with the network it left. */
export interface Trained {
  readonly history: History
  /** Whether the clock ended it. */
  readonly isCut: boolean
  readonly network: Network
  /** The training rows as the network takes them. */
  readonly table: Table
  readonly coding: Coding
  readonly blueprint: Blueprint
  /** Accuracy or r2 on other rows of the same kind. */
  score(x: Inputs, y: Targets): number
}

/** Trains a fresh model of a program; from `weights`, where given, instead of drawn ones. */
export type Train = (program: Program, x: Inputs, y: Targets, limits: Limits) => Promise<Trained>

export interface Limits {
  readonly weights?: readonly LayerParameters[] | null
  /** Ends the training after its current step, so many seconds from its start. */
  readonly seconds?: number
}

export interface Subject extends Program {
  readonly features: FeatureTable
  readonly targets: TargetTable
  /** How much each row counts; that of `fit`, read. */
  readonly sampleWeight: Float64Array | null
  /** The parameters the run began with, where they were not drawn by its seed. */
  readonly weights: readonly LayerParameters[] | null
  readonly train: Train
}

/** Features as `fit` takes them. */
export function asInputs({ x, rows, columns, scale }: FeatureTable): Inputs {
  return { data: x, rows, columns, scale }
}

/** Targets as `fit` takes them. */
export function asTargets({ labels, values, rows, columns, scale }: TargetTable): Targets {
  if (labels) return labels as Targets
  return columns === 1 && scale === 1 ? (values as Float64Array) : { data: values!, rows, columns, scale }
}

/** The program with the change applied. */
export function applied({ model, fit }: Program, change: Change): Program {
  return { model: { ...model, ...change.model }, fit: { ...fit, ...change.fit } }
}
