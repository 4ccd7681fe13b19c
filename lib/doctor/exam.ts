/**
 * The exam: what is known of a program once it has been looked at and run once, and the trials that follow.
 *
 * A trial is the program with one thing changed, from the same seed, on the same rows, for as many epochs. Its score
 * against the unchanged program's is the measured effect of that thing; everything the doctor claims rests on one.
 */
import { pickBackend } from '../backends/pick'
import { type Blueprint, blueprint, knownOf } from '../build'
import { type Pair, splitPair } from '../data/codec'
import { type Coding, inferCoding } from '../data/targets'
import { DownhillError } from '../errors'
import { drawsMasks, indexColumns, needsWholeBatch } from '../layers'
import type { Network } from '../network'
import { type OptimizerSpec, optimizerRow } from '../optimizers'
import { type Config, readModelOptions } from '../options'
import { layOut, type Model } from '../plan/layout'
import type { Dtype, Table } from '../plan/plan'
import { rises } from '../plot'
import type { History } from '../train/history'
import { type FitOptions, type FitSettings, QUIET } from '../train/options'
import type { Clock } from './clock'
import { type DataFacts, factsOf } from './facts'
import { type NoiseScale, noiseScale } from './instruments'
import { type LearningRateLimits, learningRateLimits } from './limits'
import { chanceLoss, classify, type Outcome, TOLERANCE } from './outcome'
import { operationsOf, SPEED } from './price'
import { type LayerProbe, probe } from './probe'
import { sampleTable } from './sample'
import { applied, asInputs, asTargets, type Change, type Subject, type Trained } from './subject'

export interface Trial {
  readonly change: Change
  /** Accuracy, or r2 no lower than 0, on the training rows after the run; chance where it diverged. */
  readonly score: number
  readonly loss: Float64Array
  readonly valLoss: Float64Array | null
  readonly status: History['status']
  readonly outcome: Outcome
  readonly first: FirstSteps
}

export interface Exam {
  readonly subject: Subject
  readonly settings: FitSettings
  readonly coding: Coding
  readonly blueprint: Blueprint
  readonly table: Table
  readonly data: DataFacts
  readonly start: readonly LayerProbe[]
  readonly end: readonly LayerProbe[]
  readonly base: Trial
  /** Score and loss of the best prediction that does not look at x. */
  readonly chance: number
  readonly chanceLoss: number
  readonly isFullBatch: boolean
  /** Units are dropped in training. */
  readonly hasDropout: boolean
  /** The budget did not allow the whole run; nothing can be said of its length. */
  readonly isCut: boolean
  /** So many times more steps the caller's run makes, which has rows that were left out here; else 1. */
  readonly shortage: number
  /** Rows that were looked at, of so many. */
  readonly rows: { readonly seen: number; readonly of: number }
  /** What the rate may be where the run begins; null where it got on well, or derivatives are not finite there. */
  readonly limits: Limits | null
  /** Of gradients where the run ended, of one in batches that did not get on well; else null. */
  readonly noise: NoiseScale | null
  /** Every run that was made, in the order in which they ended. */
  readonly trials: Trial[]
}

/** Limits of a rate, and of how many rows they are. */
export type Limits = LearningRateLimits & { readonly rows: number }

/** Steps that count as the first: later rises of a run that falls are the edge of stability, or noise. */
export const EARLY_STEPS = 20
/**
 * A rise of this share of the loss before it counts. Several of them, or rises that make a quarter of the first loss
 * together, are a symptom; one bump is how a sound run may begin.
 */
const BUMP = { share: 0.05, count: 3, height: 0.25 }
/** A loss so many times the first is a rise that anyone sees, however the run ends. */
const PEAK = 1.1

/** What the first steps of a run did. */
export interface FirstSteps {
  /** Rises that count. */
  readonly rises: number
  /** All rises together, as a share of the first loss. */
  readonly height: number
  /** The highest loss, in units of the first. */
  readonly peak: number
}

const CALM: FirstSteps = { rises: 0, height: 0, peak: 1 }

/** The first steps were too long. */
export function isRestless({ rises, height }: FirstSteps): boolean {
  return rises >= BUMP.count || height >= BUMP.height
}

/** They took the loss above where it began. */
export function isClimbing(first: FirstSteps): boolean {
  return isRestless(first) && first.peak > PEAK
}

/** A gain of accuracy or r2 that is worth a word: 0.1, or half of what is left where that is little, of some rows. */
export function isMaterial(gain: number, { chance, data }: Pick<Exam, 'chance' | 'data'>): boolean {
  return gain >= MATERIAL || (gain >= (1 - chance) / 2 && gain * data.rows >= SOME_ROWS)
}
/** One or two rows more that come out right are no gain. */
const SOME_ROWS = 2.5
export const MATERIAL = 0.1

/** It got where it could: nothing material is left to gain. */
export function isFine({ base, chance, data }: Exam): boolean {
  return base.status !== 'diverged' && !isMaterial(1 - base.score, { chance, data })
}

export async function examine(whole: Subject, settings: FitSettings, clock: Clock): Promise<Exam> {
  const { subject, isThinned, operations } = thinned(whole, settings, clock)
  const x = asInputs(subject.features)
  const y = asTargets(subject.targets)
  const still = { model: subject.model, fit: { ...fitOn(subject, subject.fit), epochs: 1, learningRate: 0 } }
  const begun = await subject.train(still, x, y, { weights: subject.weights })
  const { coding, table } = begun
  const data = factsOf(table, coding.task, indexColumns(begun.blueprint.model.layers))
  const chance = coding.task === 'regression' ? 0 : Math.max(...data.classCounts) / data.rows
  const batch = settings.batchSize === 'full' ? table.rows : Math.min(settings.batchSize, table.rows)
  const known = {
    subject,
    settings,
    coding,
    blueprint: begun.blueprint,
    table,
    data,
    start: probe(begun.network, table),
    chance,
    chanceLoss: chanceLoss(begun.blueprint.loss, table),
    isFullBatch: batch === table.rows,
    hasDropout: hasDropout(begun),
    rows: { seen: table.rows, of: whole.features.rows },
    trials: [],
  }
  const { trial: base, trained } = await run(known, {}, clock.seconds(1 / 4))
  const isStopped = base.status === 'stopped'
  // Cut short by the clock: trials run as many epochs, so that they are compared with what was seen.
  const epochs = Math.max(1, trained.history.epochs)
  const seen = {
    ...known,
    subject: isStopped ? { ...subject, fit: { ...subject.fit, epochs } } : subject,
    isCut: isStopped,
    // Fewer rows are fewer steps an epoch, unless an epoch is one step.
    shortage: isThinned && !known.isFullBatch ? whole.features.rows / table.rows : 1,
    base,
    end: probe(trained.network, table),
  }
  const isWell = isFine({ ...seen, limits: null, noise: null }) && !isRestless(base.first)
  const rows = Math.floor((clock.budget / 40) * (operations.perSecond / operations.perRow / PASSES))
  const measured = isWell || rows < LEAST_ROWS ? null : { rows, seed: subject.model.seed ?? 0 }
  const limits = measured && (await limitsOf(begun.network, table, settings, measured))
  // What a row's gradient is depends on its batch there.
  const isOfRows = !needsWholeBatch(begun.blueprint.model.layers)
  const noise = measured && !known.isFullBatch && isOfRows ? noiseOf(trained.network, table, measured) : null
  begun.network.close()
  trained.network.close()
  return { ...seen, limits, noise }
}

/** Passes over the rows that limits take, roughly. */
const PASSES = 200
/** Fewer tell little. */
const LEAST_ROWS = 16
/** Of these many a limit is as good as of all. */
const MOST_ROWS = 2048

interface Measured {
  readonly rows: number
  readonly seed: number
}

async function limitsOf(
  network: Network,
  table: Table,
  { optimizer }: FitSettings,
  { rows, seed }: Measured,
): Promise<Limits | null> {
  const some = sampleTable(table, Math.min(rows, MOST_ROWS), seed)
  try {
    return { ...(await learningRateLimits(network, some, optimizer, null, seed)), rows: some.rows }
  } catch (error) {
    if (error instanceof DownhillError && error.code === 'ERR_DIVERGED') return null
    throw error
  }
}

function noiseOf(network: Network, table: Table, { rows, seed }: Measured): NoiseScale | null {
  const noise = noiseScale(network, table, { rows: Math.min(rows, MOST_ROWS), seed })
  return Number.isFinite(noise.scale) ? noise : null
}

// ---------------------------------------------------------------------------------------------------- what can be afforded

/** Share of the budget that the run itself should take, so that a dozen trials go on top. */
const RUN_SHARE = 1 / 8
/** No fewer rows than these: what is true of them should be true of all. */
const LEAST_KEPT = 1024

/** The subject, with as many of its rows as the budget can pay for, drawn by the seed, each class keeping its share. */
function thinned(subject: Subject, { epochs }: FitSettings, { budget }: Clock) {
  const config = readModelOptions(subject.model)
  const { features, targets } = subject
  const coding = inferCoding(targets, knownOf(config))
  const operations = pricesOf(blueprint(config, features.columns, coding).model, config)
  const affordable = (RUN_SHARE * budget * operations.perSecond) / (operations.perRow * epochs)
  const keep = Math.max(LEAST_KEPT, Math.floor(affordable))
  if (keep >= features.rows) return { subject, isThinned: false, operations }
  const [kept] = splitPair(subject, 1 - keep / features.rows, config.seed, coding)
  // A class too rare to be among them is a class all the same.
  const model = coding.classes ? { ...subject.model, classes: coding.classes } : subject.model
  return { subject: { ...subject, ...kept, model }, isThinned: true, operations }
}

/** Operations of a step, by row, and how many a second its backend makes. */
function pricesOf(model: Model, { backend, dtype }: Config) {
  return { perRow: operationsOf(layOut(model)), perSecond: SPEED[pickBackend(backend, dtype).name] }
}

// ---------------------------------------------------------------------------------------------------- trials

/** The options of a fit for some of the rows, without what it would do besides. */
function fitOn({ sampleWeight }: Rows, fit: FitOptions): FitOptions {
  return { ...fit, ...(sampleWeight && { sampleWeight }), ...QUIET }
}

type Known = Pick<Exam, 'subject' | 'settings' | 'chance' | 'chanceLoss' | 'isFullBatch' | 'coding' | 'trials'>
type Rows = Pick<Subject, 'features' | 'targets'> & Pick<Pair, 'sampleWeight'>

/** Runs the program with a change. */
export async function attempt(known: Known, change: Change, seconds: number): Promise<Trial> {
  const { trial, trained } = await run(known, change, seconds)
  trained.network.close()
  known.trials.push(trial)
  return trial
}

/** Score on rows held out of the program with a change, trained on others; chance where it did not come to its end. */
export async function attemptHeld(
  known: Known,
  change: Change,
  seconds: number,
  train: Rows,
  held: Rows,
): Promise<number> {
  // A class that none of these rows is of is a class all the same.
  const { classes } = known.coding
  const subject = classes ? { ...known.subject, model: { ...known.subject.model, classes } } : known.subject
  const { trial, trained } = await run({ ...known, subject }, change, seconds, train)
  const score = trained.score(asInputs(held.features), asTargets(held.targets))
  trained.network.close()
  return trial.status !== 'completed' || !Number.isFinite(score) ? known.chance : Math.max(0, score)
}

async function run(known: Known, change: Change, seconds: number, rows: Rows = known.subject) {
  const { subject } = known
  const program = applied(subject, change)
  const x = asInputs(rows.features)
  const y = asTargets(rows.targets)
  const weights = change.model?.layers || change.model?.initScale ? null : subject.weights
  const fit = fitOn(rows, program.fit)
  const trained = await subject.train({ model: program.model, fit }, x, y, { weights, seconds })
  const { history } = trained
  const isRegression = trained.coding.task === 'regression'
  const isJudged = known.isFullBatch && !hasDropout(trained) && !isPreconditioned(known.settings.optimizer)
  const tolerance = TOLERANCE[(program.model.dtype ?? 'float32') as Dtype]
  const score = history.status === 'diverged' ? known.chance : trained.score(x, y)
  const trial: Trial = {
    change,
    score: Number.isFinite(score) ? (isRegression ? Math.max(0, score) : score) : known.chance,
    loss: history.loss,
    valLoss: history.valLoss,
    // A program that stops itself has ended; one that the clock stopped has not.
    status: history.status === 'stopped' && !trained.isCut ? 'completed' : history.status,
    outcome: classify(history.loss, { tolerance, chance: known.chanceLoss }),
    first: isJudged ? firstSteps(history.loss, tolerance) : CALM,
  }
  return { trial, trained }
}

function hasDropout({ blueprint }: Trained): boolean {
  return drawsMasks(blueprint.model.layers)
}

/**
 * Judged of full batches without dropout, where a rise can have no other cause; and not of an optimizer that divides by
 * a running mean of squares, whose first steps are of full length whatever the gradient (Liu et al. 2020).
 */
function firstSteps(loss: Float64Array, tolerance: number): FirstSteps {
  const first = loss.subarray(0, EARLY_STEPS + 1)
  if (first.length === 0) return CALM
  const rose = rises(first, tolerance)
  const counted = rose.filter((i) => first[i] - first[i - 1] > BUMP.share * Math.abs(first[i - 1]))
  const sum = rose.reduce((total, i) => total + (first[i] - first[i - 1]), 0)
  const highest = first.reduce((most, loss) => Math.max(most, Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss))
  return { rises: counted.length, height: sum / Math.abs(first[0]), peak: highest / Math.abs(first[0]) }
}

function isPreconditioned(optimizer: OptimizerSpec): boolean {
  const form = optimizerRow(optimizer).form(optimizer.settings)
  return form === null || form.preconditioner !== null
}
