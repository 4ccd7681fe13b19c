/**
 * The best epoch of a run: which it was, the weights it had, and when there is no hope of a better one.
 *
 * `keep: 'best'` and `earlyStopping` are this one thing. What it knows follows from the epochs recorded, so that a run
 * that goes on from a checkpoint shows it those again; only the weights have to be kept.
 */
import { DownhillError, describe, expected, refuseUnknown } from '../errors'
import { METRICS, type Metric, type MetricName } from '../metrics'
import { checkBoolean, checkName, checkNumber, RANGES } from '../names'
import type { Floats } from '../plan/plan'
import { type BestEpoch, type Epoch, valName } from './history'

export interface EarlyStoppingOptions {
  /** 'loss', 'valLoss', or a metric of the validation rows: 'valAccuracy', or 'accuracy' for short. @default 'valLoss' */
  monitor?: 'loss' | 'valLoss' | MetricName | (string & {})
  /** Epochs without improvement after which the run ends; a positive integer. @default 10 */
  patience?: number
  /** Least change that is an improvement; ≥ 0. @default 0 */
  minDelta?: number
  /** Whether the weights of the best epoch are restored at the end, however the run ends. @default true */
  restoreBest?: boolean
  /** Epochs at the beginning that are not looked at. @default 0 */
  startFrom?: number
}

/** Options with nothing left to ask; `monitor` as the history calls it. */
export type EarlyStopping = Readonly<Required<EarlyStoppingOptions>>

/** @throws ERR_OPTION */
export function readEarlyStopping(value: unknown, metrics: readonly Metric[] = []): EarlyStopping | null {
  if (value === undefined || value === null || value === false) return null
  if (value === true) return readEarlyStopping({}, metrics)
  if (typeof value !== 'object') throw expected('true or { monitor, patience, … }', 'earlyStopping', value)
  refuseUnknown(value, ['monitor', 'patience', 'minDelta', 'restoreBest', 'startFrom'], 'earlyStopping')
  const {
    monitor = 'valLoss',
    patience = 10,
    minDelta = 0,
    restoreBest = true,
    startFrom = 0,
  } = value as EarlyStoppingOptions
  return {
    monitor: readMonitor(monitor, metrics),
    patience: checkNumber(patience, RANGES.count, 'patience'),
    minDelta: checkNumber(minDelta, RANGES.notNegative, 'minDelta'),
    restoreBest: checkBoolean(restoreBest, 'restoreBest'),
    startFrom: checkNumber(startFrom, RANGES.wholeNotNegative, 'startFrom'),
  }
}

function readMonitor(value: unknown, asked: readonly Metric[]): string {
  const metrics = [...new Set([...asked.map(({ name }) => name), ...METRICS.keys()])]
  if (metrics.some((name) => name === value)) return valName(value as string)
  return checkName(value, ['loss', 'valLoss', ...metrics.map(valName)], 'monitor')
}

/** What of a fit's settings decides what is watched. */
interface Settings {
  readonly earlyStopping: EarlyStopping | null
  readonly keep: 'last' | 'best'
  readonly validation: unknown
  readonly metrics: readonly Metric[]
}

/** What is watched of a run with these settings; null where nothing is. */
export function monitorOf({ earlyStopping, keep, validation }: Settings): string | null {
  if (earlyStopping) return earlyStopping.monitor
  if (keep === 'last') return null
  return validation === null ? 'loss' : 'valLoss'
}

/**
 * Refuses to wait for what is never measured. @param metrics names of those that are, of the validation rows
 * @throws ERR_OPTION
 */
export function checkMonitor(settings: Settings, metrics: readonly string[]): void {
  const monitor = monitorOf(settings)
  if (monitor === null || monitor === 'loss') return
  if (settings.validation === null)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected validation rows for the ${monitor} that earlyStopping monitors but there are none; give validation: 0.2, or monitor: 'loss'.`,
    )
  const known = ['loss', 'valLoss', ...metrics.map(valName)]
  if (known.includes(monitor)) return
  throw new DownhillError(
    'ERR_OPTION',
    `Expected one of ${known.map((name) => JSON.stringify(name)).join(', ')}, which this run measures, for monitor but received ${describe(monitor)}.`,
  )
}

/** What the best epoch is told of the weights. */
interface Weights {
  read(): Floats
  write(values: Floats): void
}

export class Best {
  readonly #settings: Settings
  readonly #monitor: string
  /** −1 where less is better. */
  readonly #sign: number
  /** A full batch's loss belongs to the weights before its update; any other value to those after it. */
  readonly isOfStart: boolean
  readonly #keepsWeights: boolean
  readonly #weights: Weights
  #before: Floats | null = null
  #seen = 0
  #best: BestEpoch | null = null
  /** Those of the best epoch; replaced, never written. */
  kept: Floats | null

  /** @param kept of a run that goes on: the weights of the best of its `epochs` */
  constructor(
    settings: Settings,
    isFullBatch: boolean,
    weights: Weights,
    kept: Floats | null = null,
    epochs: readonly Epoch[] = [],
  ) {
    this.#settings = settings
    this.#monitor = monitorOf(settings) ?? 'loss'
    this.#sign = signOf(this.#monitor, settings.metrics)
    this.isOfStart = this.#monitor === 'loss' && isFullBatch
    this.#keepsWeights = settings.keep === 'best' || settings.earlyStopping?.restoreBest === true
    this.#weights = weights
    this.kept = kept
    for (const epoch of epochs) this.#look(epoch)
  }

  get epoch(): BestEpoch | null {
    return this.#best
  }

  beginEpoch(): void {
    if (this.isOfStart && this.#keepsWeights) this.#before = this.#weights.read()
  }

  endEpoch(epoch: Epoch): void {
    if (this.#look(epoch) && this.#keepsWeights) this.kept = this.#before ?? this.#weights.read()
  }

  /** Whether an epoch is the best so far. */
  #look(epoch: Epoch): boolean {
    const { minDelta = 0, startFrom = 0 } = this.#settings.earlyStopping ?? {}
    this.#seen = epoch.epoch
    const value = monitored(epoch, this.#monitor)
    const least = this.#best ? this.#sign * this.#best.value + minDelta : Number.NEGATIVE_INFINITY
    if (epoch.epoch <= startFrom || !(this.#sign * value > least)) return false
    this.#best = { epoch: epoch.epoch, monitor: this.#monitor, value }
    return true
  }

  /** Why the run is to end, once it is; null before. */
  get verdict(): string | null {
    const { earlyStopping } = this.#settings
    if (earlyStopping === null) return null
    const { patience, startFrom } = earlyStopping
    const last = this.#best?.epoch ?? startFrom
    if (this.#seen - last < patience) return null
    const best = this.#best ? `the best was epoch ${this.#best.epoch}` : 'no epoch had one that is finite'
    return `No improvement of ${this.#monitor} for ${patience} epoch${patience === 1 ? '' : 's'}; ${best}.`
  }

  restore(): void {
    if (this.kept) this.#weights.write(this.kept)
  }
}

function signOf(monitor: string, asked: readonly Metric[]): number {
  const metric = [...asked, ...METRICS.values()].find(({ name }) => valName(name) === monitor)
  return metric?.better === 'higher' ? 1 : -1
}

function monitored({ loss, valLoss = Number.NaN, valMetrics = {} }: Epoch, monitor: string): number {
  if (monitor === 'loss') return loss
  if (monitor === 'valLoss') return valLoss
  const name = Object.keys(valMetrics).find((metric) => valName(metric) === monitor)
  return name === undefined ? Number.NaN : valMetrics[name]
}
