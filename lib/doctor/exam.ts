/**
 * The exam: what is known of a program once it has been looked at and run once, and the trials that follow.
 *
 * A trial is the program with one thing changed, from the same seed, on the same rows, for as many epochs. Its score
 * against the unchanged program's is the measured effect of that thing; everything the doctor claims rests on one.
 */
import type { Blueprint } from '../build'
import type { Pair } from '../data/codec'
import type { Coding } from '../data/targets'
import { type OptimizerSpec, optimizerRow } from '../optimizers'
import type { Dtype, Table } from '../plan/plan'
import { rises } from '../plot'
import type { History } from '../train/history'
import type { FitSettings } from '../train/options'
import { type DataFacts, factsOf } from './facts'
import { chanceLoss, classify, type Outcome, TOLERANCE } from './outcome'
import { type LayerProbe, probe } from './probe'
import { applied, asInputs, asTargets, type Change, type Subject, type Trained } from './subject'

export interface Trial {
  readonly change: Change
  /** Accuracy, or r2 no lower than 0, on the training rows after the run; chance where it diverged. */
  readonly score: number
  readonly loss: Float64Array
  readonly status: History['status']
  readonly outcome: Outcome
  readonly first: FirstSteps
  readonly seconds: number
  readonly trained: Trained
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
  /** The budget did not allow the whole run; nothing can be said of its length. */
  readonly isCut: boolean
  /** Steps of the run. */
  readonly steps: number
}

/** Steps that count as the first: later rises of a run that falls are the edge of stability, or noise. */
export const EARLY_STEPS = 20
/**
 * A rise of this share of the loss before it counts. Several of them, or rises that make a quarter of the first loss
 * together, are a symptom; one bump is how a sound run may begin.
 */
const BUMP = { share: 0.05, count: 3, height: 0.25 }

/** What the first steps of a run did. */
export interface FirstSteps {
  /** Rises that count. */
  readonly rises: number
  /** All rises together, as a share of the first loss. */
  readonly height: number
}

const CALM: FirstSteps = { rises: 0, height: 0 }

/** The first steps were too long. */
export function isRestless({ rises, height }: FirstSteps): boolean {
  return rises >= BUMP.count || height >= BUMP.height
}

/** Looks at the start, runs the program once. */
export async function examine(subject: Subject, settings: FitSettings, seconds: number): Promise<Exam> {
  const x = asInputs(subject.features)
  const y = asTargets(subject.targets)
  const still = { model: subject.model, fit: { ...subject.fit, epochs: 1, learningRate: 0, ...QUIET } }
  const begun = await subject.train(still, x, y, { weights: subject.weights })
  const { coding, blueprint, table } = begun
  const isRegression = coding.task === 'regression'
  const data = factsOf(table, isRegression)
  const chance = isRegression ? 0 : Math.max(...data.classCounts) / data.rows
  const batch = settings.batchSize === 'full' ? table.rows : Math.min(settings.batchSize, table.rows)
  const known = {
    subject,
    settings,
    coding,
    blueprint,
    table,
    data,
    start: probe(begun.network, table),
    chance,
    chanceLoss: chanceLoss(blueprint.loss, table),
    isFullBatch: batch === table.rows,
    steps: Math.ceil(table.rows / batch) * settings.epochs,
  }
  begun.network.close()
  const base = await attempt(known, {}, seconds)
  const isCut = base.status === 'stopped'
  // Cut short by the clock: trials run as many epochs, so that they are compared with what was seen.
  const epochs = Math.max(1, base.trained.history.epochs)
  const short = isCut ? { ...subject, fit: { ...subject.fit, epochs } } : subject
  return { ...known, subject: short, isCut, base, end: probe(base.trained.network, table) }
}

/** Nothing drawn, printed or listened to in a trial. */
export const QUIET = { plot: false, dispLoss: 0, callbacks: [], onDivergence: 'stop' } as const

/** Runs the program with a change. */
export async function attempt(
  known: Pick<Exam, 'subject' | 'settings' | 'chance' | 'chanceLoss' | 'isFullBatch' | 'coding'>,
  change: Change,
  seconds: number,
  rows: Pick<Subject, 'features' | 'targets'> & Pick<Pair, 'sampleWeight'> = known.subject,
): Promise<Trial> {
  const { subject } = known
  const program = applied(subject, change)
  const x = asInputs(rows.features)
  const y = asTargets(rows.targets)
  const weights = change.model?.layers || change.model?.initScale ? null : subject.weights
  const began = performance.now()
  const fit = { ...program.fit, ...(rows.sampleWeight && { sampleWeight: rows.sampleWeight }), ...QUIET }
  const trained = await subject.train({ model: program.model, fit }, x, y, { weights, seconds })
  const { history } = trained
  const isRegression = trained.coding.task === 'regression'
  const isJudged = known.isFullBatch && !hasDropout(trained) && !isPreconditioned(known.settings.optimizer)
  const tolerance = TOLERANCE[(program.model.dtype ?? 'float32') as Dtype]
  const score = history.status === 'diverged' ? known.chance : trained.score(x, y)
  return {
    change,
    score: Number.isFinite(score) ? (isRegression ? Math.max(0, score) : score) : known.chance,
    loss: history.loss,
    status: history.status,
    outcome: classify(history.loss, { tolerance, chance: known.chanceLoss }),
    first: isJudged ? firstSteps(history.loss, tolerance) : CALM,
    seconds: (performance.now() - began) / 1000,
    trained,
  }
}

function hasDropout({ blueprint }: Trained): boolean {
  return blueprint.model.layers.some((layer) => layer.kind === 'dropout' && layer.rate > 0)
}

/**
 * Judged of full batches without dropout, where a rise can have no other cause; and not of an optimizer that divides by
 * a running mean of squares, whose first steps are of full length whatever the gradient (Liu et al. 2020).
 */
function firstSteps(loss: Float64Array, tolerance: number): FirstSteps {
  const first = loss.subarray(0, EARLY_STEPS + 1)
  const rose = rises(first, tolerance)
  const counted = rose.filter((i) => first[i] - first[i - 1] > BUMP.share * Math.abs(first[i - 1]))
  const sum = rose.reduce((total, i) => total + (first[i] - first[i - 1]), 0)
  return { rises: counted.length, height: sum / Math.abs(first[0]) }
}

function isPreconditioned(optimizer: OptimizerSpec): boolean {
  const form = optimizerRow(optimizer).form(optimizer.settings)
  return form === null || form.preconditioner !== null
}
