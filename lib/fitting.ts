/**
 * A call of fit around its training: what is given is read and checked, all of it before anything changes; the job that
 * the loop works on is made; and when the loop has ended, what it leaves is kept and what it held is let go.
 */
import type { Bound, Engine } from './backends/backend'
import { blueprint, refuseWavering, toProbabilities } from './build'
import { type Codec, encodePair, fitCodec, type Pair, restoreOutputs, splitPair } from './data/codec'
import { type Coding, inferCoding, readPair } from './data/targets'
import { readWeights, weighClasses } from './data/weights'
import { ledgerWatch } from './doctor/ledger'
import { startWatch } from './doctor/start'
import { DownhillError } from './errors'
import { inCallersUnits, measure } from './evaluation'
import { lossRow } from './losses'
import { type Metric, metricsOf } from './metrics'
import { checkTraining, firstNonFinite, type Network, updateOf } from './network'
import { optimizerRow } from './optimizers'
import type { Floats, Report, Table } from './plan/plan'
import { checkPlotPath } from './plot'
import {
  type Checkpoint,
  CheckpointFile,
  describeRun,
  encodeCheckpoint,
  epochsOfModel,
  readCheckpoint,
  requireSameRun,
} from './save/checkpoint'
import { checkWritable, exists } from './save/durable'
import { type Built, carriedFor, indicesOf, knownBy, networkFor, readRows, type State, savedModel } from './state'
import { Averaged } from './train/averaged'
import { checkMonitor } from './train/best'
import { aborted } from './train/drive'
import type { Epoch, History, Recorder } from './train/history'
import type { Job, Outcome, Watch, Weights } from './train/job'
import type { FitSettings } from './train/options'
import { isSeen, ProgressLine } from './train/progress'
import { hearsEpochs } from './train/schedules'
import { readParameters, writeParameters } from './weights'

export type FitCall = 'fit' | 'partialFit' | 'fitSync'

/** All that a training needs, read, checked and bound. */
export interface Prepared {
  readonly job: Job
  readonly network: Network
  readonly engine: Engine
  /** Validates averaged weights. */
  readonly judge: Engine | null
  readonly averaged: Averaged | null
  readonly recorder: Recorder
  readonly keepsState: boolean
  readonly data: readonly Bound[]
  readonly file: CheckpointFile | null
  /** Whether the training came to an end of its own, so that its engine is at rest. */
  isOver: boolean
}

// ---------------------------------------------------------------------------------------------------- before

/** x and y as the training takes them. */
interface Given extends Omit<Built, 'network'> {
  readonly codec: Codec
  readonly table: Table
  /** Rows held out, and the same in the caller's units. */
  readonly held: Table | null
  readonly measured: Table | null
  readonly metrics: readonly Metric[]
  /** Rows of one pass through the plan, and of a step. */
  readonly rows: number
  readonly batch: number
}

/** Reads and checks everything, then builds what is missing. Nothing has changed if it throws. */
export function prepare(
  state: State,
  call: FitCall,
  x: unknown,
  y: unknown,
  settings: FitSettings,
  recorder: Recorder,
): Prepared {
  const [isAsync, keepsState] = [call !== 'fitSync', call === 'partialFit']
  if (typeof settings.plot === 'string') checkPlotPath(settings.plot)
  if (settings.checkpoint) checkWritable(settings.checkpoint.path)
  const resumed = checkpointFor(state, settings)
  const { table, held, measured, metrics, rows, batch, ...model } = readGiven(state, x, y, settings)
  const { codec, coding, blueprint: plans } = model
  const description = settings.checkpoint || resumed ? describeRun(settings, table, held) : null
  if (resumed && description) requireSameRun(resumed, savedModel(state, model), description, settings.epochs)

  const { dtype } = state.config
  const network = networkFor(state, plans)
  state.built = { network, ...model }
  recorder.backend = network.backendName
  const accounts = settings.ledger === true && batch === table.rows
  const { isSearch = false } = optimizerRow(settings.optimizer)
  const engine = network.trainer(updateOf(settings, accounts), batch, table.targets, isAsync, rows)
  const carried = keepsState && !resumed ? carriedFor(state, settings.optimizer, settings.ema) : null
  const snapshot = resumed?.run.snapshot ?? null
  const vectors = snapshot?.state ?? carried?.state
  const { parameters: block, state: range } = engine.plan
  const isStrange = vectors?.length !== range.length || (snapshot?.weights ?? block).length !== block.length
  if (resumed && isStrange) {
    engine.close()
    throw strangeState(resumed.path)
  }
  if (vectors) engine.write(engine.plan.state, vectors)
  if (resumed) {
    const { weights } = resumed.run.snapshot
    state.given = null
    network.parameters = weights ?? writeParameters(resumed.parameters, network.parameters, network.layout, dtype)
    recorder.resume(resumed.run.snapshot)
  }
  if (isSearch) engine.write(engine.plan.parameters, network.parameters)
  if (carried?.weights) engine.write(engine.plan.parameters, carried.weights)
  const data = engine.bind(table)
  const parameters: Weights = {
    read: () => engine.read(engine.plan.parameters),
    write: (values) => {
      engine.write(engine.plan.parameters, values)
      if (isSearch) network.parameters = values
    },
  }
  const averaged = settings.ema === null ? null : new Averaged(engine, parameters)
  const judge = held && averaged ? network.judge(table.targets, isAsync) : null
  const validation = held && {
    data: (judge ?? engine).bind(held),
    ...(judge && averaged && { on: judge, begin: () => judge.write(judge.plan.parameters, averaged.read()) }),
    metrics: ({ output }: Report) => {
      const outputs = restoreOutputs(codec, toProbabilities(plans, output as Floats))
      return measure(coding, measured ?? held, outputs, metrics as readonly Metric<number>[])
    },
  }
  const file =
    settings.checkpoint && description
      ? new CheckpointFile(settings.checkpoint.path, isAsync, ({ parameters, ...snapshot }) => {
          const saved = savedModel(state, model, epochsOfModel(snapshot))
          return encodeCheckpoint(saved, readParameters(parameters, network.layout), { snapshot, ...description })
        })
      : null
  const line =
    settings.progress && isSeen(process.stderr)
      ? new ProgressLine(settings.epochs, table.rows, Math.ceil(table.rows / batch))
      : null
  const source = {
    settings,
    data,
    batch,
    seed: state.seed,
    firstStep: snapshot?.firstStep ?? carried?.steps ?? 0,
    since: snapshot?.since ?? carried?.since ?? state.epochs,
    firstEpoch: snapshot?.firstEpoch ?? state.epochs,
  }
  const watches: Watch[] = []
  if (!carried && !isSearch) watches.push(startWatch({ engine, network, batch, settings, origin: state, recorder }))
  if (settings.ledger) watches.push(ledgerWatch({ ...source, isAsync, network, engine, table, recorder }))
  const job: Job = {
    ...source,
    earlier: snapshot ? [...snapshot.earlier] : (carried?.epochs ?? []),
    isAsync,
    validation,
    weights: parameters,
    result: averaged ?? parameters,
    finish: () => averaged?.finish(),
    state: () => engine.read(engine.plan.state),
    keeper: file,
    layers: {
      read: () => readParameters(network.parameters, network.layout),
      write: (layers) => {
        state.given = writeParameters(layers, network.parameters, network.layout, dtype)
        state.drawnBy = null
        network.parameters = state.given
      },
    },
    line,
    resumed: snapshot,
    suspect: () => firstNonFinite(engine, network.layout),
    watches,
  }
  const bound = validation ? [data, validation.data] : [data]
  state.loadedFrom = null
  return { job, network, engine, judge, averaged, recorder, keepsState, data: bound, file, isOver: false }
}

/** The checkpoint to go on from; null where the run begins. @throws ERR_FILE, ERR_OPTION */
function checkpointFor({ loadedFrom }: State, { resume, checkpoint }: FitSettings): Checkpoint | null {
  if (typeof resume === 'string') return readCheckpoint(resume)
  if (!resume) return null
  const path = loadedFrom ?? checkpoint?.path
  if (path === undefined)
    throw new DownhillError(
      'ERR_OPTION',
      'Expected a checkpoint for resume: true but the model was loaded from none and fit writes none; give its path.',
    )
  return loadedFrom !== null || exists(path) ? readCheckpoint(path) : null
}

function readGiven(state: State, x: unknown, y: unknown, settings: FitSettings): Given {
  const { config, built } = state
  const { standardize, dtype } = config
  const pair = readRows(state, x, y, settings)
  const coding = built?.codec?.coding ?? inferCoding(pair.targets, knownBy(state))
  const [drawn, others] = split(state, pair, coding, settings)
  const { sampleWeight = null, targets } = drawn
  const train = { ...drawn, sampleWeight: weighClasses(sampleWeight, targets, coding, settings.classWeight) }
  const codec = built?.codec ?? fitCodec(drawn, coding, standardize, indicesOf(state))
  const plans = built?.blueprint ?? blueprint(config, train.features.columns, coding)
  const form = lossRow(plans.loss).classTargets
  const table = encodePair(codec, train, form, dtype)
  const held = others && encodePair(codec, others, form, dtype)
  if (held && held.targets !== table.targets)
    throw new DownhillError('ERR_SHAPE', 'Expected the validation y in the same form as y, labels or probabilities.')
  const rows = settings.batchSize === 'full' ? table.rows : Math.min(settings.batchSize, table.rows)
  const batch = Math.min(rows * settings.accumulate, table.rows)
  checkTraining(plans.model, batch)
  if (optimizerRow(settings.optimizer).isSearch) refuseWavering(plans.model, settings.optimizer)
  const metrics = metricsOf(coding.task, settings.metrics)
  checkMonitor(
    settings,
    metrics.map(({ name }) => name),
  )
  const measured = others && held && inCallersUnits(plans, codec, others, held, dtype)
  return { codec, coding, blueprint: plans, table, held, measured, metrics, rows, batch }
}

/** The rows that train, and those held out. */
function split(state: State, pair: Pair, coding: Coding, { validation }: FitSettings): [Pair, Pair | null] {
  if (validation === null) return [pair, null]
  if (typeof validation === 'number') return splitPair(pair, validation, state.seed, coding)
  const inputs = pair.features.columns
  const { outputs } = coding
  const known = { inputs, outputs, dtype: state.config.dtype, indices: indicesOf(state) }
  const held = readPair(validation.x, validation.y, known)
  const { rows } = held.features
  return [pair, { ...held, sampleWeight: readWeights(validation.sampleWeight, rows, 'validation.sampleWeight') }]
}

function strangeState(path: string): DownhillError {
  return new DownhillError('ERR_FILE', `Expected the state of this optimizer in ${path} but there is another.`)
}

// ---------------------------------------------------------------------------------------------------- after

/** Epochs that are remembered where no schedule asked for them yet; a stream may be endless. */
const REMEMBERED = 1 << 16

/** The epochs of the runs before, which are this run's own, with those of this run. */
function remembered({ earlier, settings }: Job, recorded: readonly Epoch[]): Epoch[] {
  for (const epoch of recorded) earlier.push(epoch)
  const isEnough = !hearsEpochs(settings.schedule) && earlier.length > 2 * REMEMBERED
  if (isEnough) earlier.splice(0, earlier.length - REMEMBERED)
  return earlier
}

/** Keeps what the next run goes on from, and turns the outcome into the history or the error that it is. */
export function conclude(state: State, prepared: Prepared, { status, reason, isAsked }: Outcome): History {
  const { engine, averaged, job, recorder, keepsState, file } = prepared
  prepared.isOver = true
  const { since, firstStep, settings } = job
  const { optimizer, ema } = settings
  const steps = firstStep + recorder.steps
  const weights = averaged?.before ?? null
  state.carried = null
  if (keepsState) {
    const epochs = remembered(job, recorder.epochs)
    state.carried = { optimizer, ema, state: engine.read(engine.plan.state), weights, steps, since, epochs }
  }
  if (settings.signal?.aborted && isAsked) throw aborted(settings.signal, recorder)
  const history = recorder.finish(status, reason)
  try {
    if (file?.error) throw file.error
    if (typeof settings.plot === 'string') history.plot(settings.plot)
    else if (settings.plot) console.log(history.plot())
  } catch (error) {
    // The training is done and its record must not be lost with the file or the picture.
    if (error instanceof DownhillError) error.history = history
    throw error
  }
  if (status === 'diverged' && settings.onDivergence === 'throw') {
    const error = new DownhillError('ERR_DIVERGED', `${reason} A lower learning rate or scaled inputs may help.`)
    error.history = history
    throw error
  }
  return history
}

/** However it ended, also where a callback threw: what was trained was trained. */
export function release(state: State, { network, engine, judge, data, job, recorder, isOver }: Prepared): void {
  job.line?.end()
  state.epochs = job.firstEpoch + recorder.count
  if (recorder.steps > 0) {
    state.drawnBy = null
    state.given = null
  }
  for (const watch of job.watches) watch.close?.()
  // A ledger is looked closer at on the data; they go when it goes.
  for (const bound of data) if (bound !== job.data || !job.settings.ledger) bound.release()
  judge?.close()
  if (isOver) network.release(engine)
  else engine.close()
}
