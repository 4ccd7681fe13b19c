/**
 * The loop of training, free of threads: a generator that yields orders to whoever carries them out (this thread or
 * another). What it records does not depend on how epochs are cut into slices.
 *
 * Where what comes next is decided after each epoch or step (by a callback, the best epoch, a plateau, an average that is
 * validated), a slice ends there and is waited for. Where nothing is, slices are cut by time, validations among them, and
 * some are always submitted ahead, so that training never waits for the event loop.
 */
import { METRICS, type MetricName } from '../metrics'
import { optimizerRow } from '../optimizers'
import type { Report } from '../plan/plan'
import { Best, monitorOf } from './best'
import { type Callback, listens, type Moment, type MomentName, momentOf, told } from './callbacks'
import { type Snapshot, Timetable } from './checkpoint'
import { type Epoch, EpochSum, type Recorder, type Seen } from './history'
import type { Job, Loop, Orders, Outcome, Validation, Watch } from './job'
import type { FitSettings } from './options'
import { display } from './progress'
import { Rates } from './rates'
import { evaluation, isShuffled, mostSteps, Pace, sliceOf } from './slices'

/** Slices ahead where epochs are validated, the validations among them. */
const MOST_VALIDATED = 32

export function* training(job: Job, recorder: Recorder, orders: Orders): Loop<Outcome> {
  const { settings, data, validation, keeper, resumed } = job
  const { callbacks } = settings
  const stepsPerEpoch = Math.ceil(data.rows / job.batch)
  const total = settings.epochs * stepsPerEpoch
  const best =
    monitorOf(settings) === null
      ? null
      : new Best(settings, job.batch === data.rows, job.result, resumed?.best, recorder.epochs)
  const isBatchWatched = listens(callbacks, 'onBatchEnd')
  const rates = new Rates(job, stepsPerEpoch, recorder.epochs)
  const isEpochWatched =
    best !== null ||
    validation !== null ||
    rates.isWaiting ||
    listens(callbacks, 'onEpochBegin') ||
    listens(callbacks, 'onEpochEnd')
  const isWatched = isBatchWatched || isEpochWatched
  const isTold = isEpochWatched || settings.dispLoss > 0
  // Where nobody decides by it, an epoch's validation is queued behind its steps, and the next epoch behind that.
  const isFree =
    job.isAsync &&
    validation !== null &&
    !validation.on &&
    best === null &&
    !rates.isWaiting &&
    !isBatchWatched &&
    !listens(callbacks, 'onEpochBegin') &&
    !listens(callbacks, 'onEpochEnd') &&
    !optimizerRow(settings.optimizer).isSearch &&
    settings.metrics.every((metric) => METRICS.get(metric.name as MetricName) === metric) // another's may throw

  const sum = new EpochSum(data.rows, job.batch, resumed?.open)
  const pace = new Pace(stepsPerEpoch, isBatchWatched ? 1 : mostSteps(job.batch, isShuffled(job)))
  const timetable = settings.checkpoint && new Timetable(settings.checkpoint, stepsPerEpoch, recorder.steps)
  recorder.best = best?.epoch ?? null
  let planned = recorder.steps
  let inFlight = 0
  /** Those of the slices in flight, null for a validation; and of the last step collected. */
  const paced: (Float64Array | null)[] = []
  let learningRate = planned > 0 ? rates.at(planned - 1) : Number.NaN
  let watched: number | null = null
  const reach = Math.min(...job.watches.map((watch) => watch.reach ?? Number.POSITIVE_INFINITY))
  let loss = resumed?.loss ?? Number.NaN
  const moment = momentOf(settings.epochs, recorder, {
    get loss() {
      return loss
    },
    get learningRate() {
      return rates.at(planned)
    },
    set learningRate(value: number) {
      rates.set = value
    },
    layers: job.layers,
    stop() {
      orders.stop = true
    },
  })

  const snapshot = (): Snapshot => ({
    epochs: recorder.epochs.slice(),
    open: sum.open,
    steps: recorder.steps,
    firstStep: job.firstStep,
    firstEpoch: job.firstEpoch,
    since: job.since,
    loss,
    learningRate: rates.set,
    earlier: job.earlier,
    parameters: job.result.read(),
    weights: job.result === job.weights ? null : job.weights.read(),
    state: job.state(),
    best: best?.kept ?? null,
    start: recorder.start,
    seconds: recorder.seconds,
  })

  /** Whether an epoch is not validated any more. Of a best one that is known by its beginning nothing would remain. */
  const isCut = (): boolean => orders.abort && !best?.isOfStart

  /** Ends the epoch all of whose steps are made. False where the run was aborted first: it stays open, to be gone on from. */
  function* close(rate: number): Loop<boolean> {
    const seen = validation && (yield* validate(validation, isCut))
    if (seen === null && validation) return false
    yield* conclude(rate, seen ?? undefined)
    return true
  }

  function* conclude(rate: number, seen?: Seen): Loop<void> {
    recorder.end(sum, rate, seen)
    const last = recorder.last as Epoch
    best?.endEpoch(last)
    recorder.best = best?.epoch ?? null
    rates.hear(last)
    display(last, settings, settings.epochs)
    yield* tell(callbacks, 'onEpochEnd', moment)
  }

  yield* tell(callbacks, 'onTrainBegin', moment)
  let outcome: Outcome | null = null
  while (outcome === null) {
    // What was submitted before the order came has been or is being trained: it counts, so it is collected first.
    if (inFlight === 0) {
      // Of an epoch whose validation an order has ended, here or in the run that is gone on with.
      if (sum.isFull) yield* close(learningRate)
      outcome = ended(recorder, settings, best, orders)
      if (outcome !== null) break
      if (timetable?.isDue(recorder.steps)) {
        // Where the disk is slower than the epochs, the training does not wait for it.
        if (keeper && !keeper.isBusy) keeper.write(snapshot())
        timetable.taken(recorder.steps)
      }
    }
    if (sum.isEmpty) {
      best?.beginEpoch()
      yield* tell(callbacks, 'onEpochBegin', moment)
    }
    // Reports that have piled up are handed over in one go, so that of the small ones there must not be too many.
    const ahead = isBatchWatched || !job.isAsync ? 1 : isFree ? MOST_VALIDATED : Number.POSITIVE_INFINITY
    const depth = Math.min(pace.depth, ahead)
    for (; inFlight < depth && planned < total && watched === null && !orders.stop; inFlight++) {
      const next = Math.min(...job.watches.map((watch) => watch.next(planned)))
      // A watched step begins when all before it is collected, and nothing is submitted behind it.
      if (next === planned && inFlight > 0) break
      if (timetable?.isDue(planned) && inFlight > 0) break
      const isAlone = next === planned
      // Where somebody looks at the end of an epoch, nothing is submitted beyond it; nor in one slice with it, to validate.
      const under = isFree ? planned : recorder.steps
      const end = isWatched ? (Math.floor(under / stepsPerEpoch) + 1) * stepsPerEpoch : total
      const until = Math.min(end, total, recorder.steps + reach, timetable?.next ?? total)
      const most = Math.min(until, isAlone ? planned + 1 : next) - planned
      const steps = Math.min(pace.steps, most)
      if (steps <= 0) break
      const paces = rates.of(planned, steps, inFlight === 0)
      if (paces.length === 0) break
      const slice = yield* sliceOf(job, planned, stepsPerEpoch, paces, inFlight > 0)
      if (orders.stop) break
      if (isAlone) {
        watched = planned
        for (const watch of watchesAt(job, watched)) yield* watch.before?.(watched, slice) ?? []
      }
      yield { submit: slice }
      paced.push(paces)
      planned += paces.length
      if (!isFree || isAlone || planned % stepsPerEpoch > 0) continue
      yield { submit: { ...evaluation(validation.data), follows: true } }
      paced.push(null)
      inFlight++
    }
    if (inFlight === 0) continue
    const report = (yield { collect: true }) as Report
    inFlight--
    const taken = paced.shift() as Float64Array | null
    if (taken === null) {
      if (report.stopped === null && validation) yield* conclude(learningRate, seenOf(validation, report))
      continue
    }
    pace.learn(report)
    learningRate = taken[report.loss.length - 1] ?? learningRate
    const first = recorder.steps
    recorder.steps += report.steps
    for (const watch of job.watches) watch.hear?.(first, report, taken)
    if (watched !== null) {
      for (const watch of watchesAt(job, watched)) yield* watch.after?.(watched, report, learningRate) ?? []
      watched = null
    }
    loss = report.loss[report.loss.length - 1] ?? loss

    let at = sum.add(report, 0)
    if (isBatchWatched && report.steps > 0) yield* tell(callbacks, 'onBatchEnd', moment)
    for (; at > 0 && sum.isFull; at = sum.add(report, at)) {
      const isRefused = report.stopped === 'nonFinite' && at === report.loss.length
      if (isRefused || !isTold) recorder.end(sum, taken[at - 1])
      else if (paced[0] === null) break
      else if (!(yield* close(taken[at - 1]))) break
    }
    job.line?.update(recorder, loss, learningRate)
    if (report.stopped === 'nonFinite')
      outcome = { status: 'diverged', reason: divergence(job, recorder, report, stepsPerEpoch) }
    // An order that came in the middle of a slice has ended it.
    else if (report.stopped === 'asked') {
      for (; inFlight > 0; inFlight--) yield { collect: true }
      if (sum.isFull) yield* close(learningRate)
      outcome = ended(recorder, settings, best, { stop: true })
    }
  }
  // What was submitted ahead of an early end is not begun, but has still to be collected.
  for (; inFlight > 0; inFlight--) yield { collect: true }
  // The state from which the run can go on: before the best weights are restored, and never that of a divergence.
  if (keeper && outcome.status !== 'diverged' && !keeper.has(recorder.steps)) keeper.write(snapshot())
  if (!sum.isEmpty) recorder.end(sum, learningRate)
  if (!orders.abort) for (const watch of job.watches) yield* watch.end?.() ?? []
  job.finish()
  best?.restore()
  yield* tell(callbacks, 'onTrainEnd', moment)
  return outcome
}

function watchesAt({ watches }: Job, step: number): Watch[] {
  return watches.filter((watch) => watch.next(step) === step)
}

function* tell(callbacks: readonly Callback[], name: MomentName, moment: Moment): Loop<void> {
  for (const promise of told(callbacks, name, moment)) yield { wait: promise }
}

/** Null where it was cut. */
function* validate(validation: Validation, isCut: () => boolean): Loop<Seen | null> {
  const { data, on, begin } = validation
  while (!isCut()) {
    begin?.()
    yield { submit: evaluation(data), ...(on && { on }) }
    const report = (yield { collect: true }) as Report
    // An order to stop that came before it began has ended it: that was meant for the training.
    if (report.stopped === null) return seenOf(validation, report)
  }
  return null
}

function seenOf({ metrics }: Validation, report: Report): Seen {
  return { valLoss: report.loss[0], valMetrics: metrics(report) }
}

/** How a run that has come to rest ends here, if it does. */
function ended(
  { count, steps }: Recorder,
  settings: FitSettings,
  best: Best | null,
  orders: Pick<Orders, 'stop'>,
): Outcome | null {
  if (count >= settings.epochs) return { status: 'completed', reason: `All ${settings.epochs} epochs were trained.` }
  const verdict = best?.verdict ?? null
  if (verdict !== null) return { status: 'stopped', reason: verdict }
  if (!orders.stop) return null
  return { status: 'stopped', reason: `The run was asked to stop after ${steps} steps.`, isAsked: true }
}

/** *The loss became NaN at step 12 (epoch 3); not finite first: the outputs of layer 2.* */
function divergence(job: Job, recorder: Recorder, report: Report, stepsPerEpoch: number): string {
  const loss = report.loss[report.loss.length - 1]
  const step = recorder.steps + 1
  const what = Number.isFinite(loss) ? 'The gradient stopped being finite' : `The loss became ${loss}`
  const where = job.suspect() ?? (Number.isFinite(loss) ? "the gradient's norm" : 'the loss itself')
  return `${what} at step ${step} (epoch ${Math.ceil(step / stepsPerEpoch)}); not finite first: ${where}.`
}
