/**
 * The facade: a feed-forward network as users meet it.
 *
 * It reads what it is given, checks all of it before anything changes, and hands it to the rooms below: data/ for x and
 * y, build.ts and network.ts for the network, train/ for the loop. It computes nothing itself.
 */
import { resolve } from 'node:path'
import type { Bound, Engine } from './backends/backend'
import {
  type Blueprint,
  blueprint,
  codingOf,
  knownOf,
  outputsAsked,
  refuseWavering,
  taskOfOptions,
  toProbabilities,
} from './build'
import { type Codec, encodeInputs, encodePair, fitCodec, type Pair, restoreOutputs, splitPair } from './data/codec'
import { type IndexColumn, type Inputs, type Matrix, notFinite, readFeatures } from './data/matrix'
import {
  type Coding,
  decodeOutputs,
  decodeProbabilities,
  inferCoding,
  type Known,
  type Label,
  readPair,
  readTargets,
  type Targets,
  type Task,
} from './data/targets'
import { checkClassWeights, readWeights, weighClasses } from './data/weights'
import { Clock } from './doctor/clock'
import { diagnose } from './doctor/diagnose'
import { holdTheirs } from './doctor/elsewhere'
import { checkGradients, type GradientCheck, type GradientCheckOptions } from './doctor/gradients'
import { ledgerWatch } from './doctor/ledger'
import {
  type LearningRateLimits,
  type LimitOptions,
  learningRateLimits,
  readLimitOptions,
  takeRows,
} from './doctor/limits'
import { type DiagnoseOptions, readDiagnoseOptions } from './doctor/options'
import type { Diagnosis } from './doctor/report'
import { readSharpnessOptions, type Sharpness, type SharpnessOptions, sharpness } from './doctor/sharpness'
import { startWatch } from './doctor/start'
import type { Limits, Program, Trained } from './doctor/subject'
import { DownhillError, expected, refuseUnknown } from './errors'
import { type EvaluateOptions, type Evaluation, evaluate, inCallersUnits, measure, type RowOptions } from './evaluation'
import { indexColumns } from './layers'
import { lossRow } from './losses'
import { type Metric, metricsOf, readMetrics } from './metrics'
import { checkNumber, RANGES } from './names'
import { checkTraining, firstNonFinite, Network, updateOf } from './network'
import { type OptimizerSpec, optimizerRow, readOptimizer } from './optimizers'
import { type Config, type ModelOptions, type Predictions, readModelOptions, type TaskOf } from './options'
import { explainProgram } from './plan/explain'
import type { Floats, Report, Table } from './plan/plan'
import { checkPlotPath } from './plot'
import {
  type Checkpoint,
  CheckpointFile,
  decodeRun,
  describeRun,
  encodeCheckpoint,
  epochsOfModel,
  readCheckpoint,
  requireSameRun,
} from './save/checkpoint'
import { checkWritable, exists, readWhole, writeDurably } from './save/durable'
import { decodeModel, encodeModel, type SavedModel } from './save/model'
import { decodeTensors, encodeInTurns } from './save/safetensors'
import { summarize } from './summary'
import { Averaged } from './train/averaged'
import { checkMonitor } from './train/best'
import { aborted, drive, driveHere } from './train/drive'
import { type Epoch, type History, Recorder } from './train/history'
import type { Job, Orders, Outcome, Watch, Weights } from './train/job'
import { type FitOptions, type FitSettings, readFitOptions } from './train/options'
import { isSeen, ProgressLine } from './train/progress'
import { Run } from './train/run'
import { trainingOf } from './train/search'
import { type LayerParameters, readParameters, writeParameters } from './weights'

/** A network, and how data go into it and come out. */
interface Built {
  readonly network: Network
  readonly blueprint: Blueprint
  /** null until the first fit where the net was built before any y was seen. */
  readonly codec: Codec | null
  /** That of the codec; before the first fit what the options say, classes being the numbers 0 … K−1. */
  readonly coding: Coding
}

/** A training under way: what stops it. */
interface Training {
  readonly orders: Orders
  readonly engine: Engine
}

/** What one partialFit leaves to the next. */
interface Carried {
  readonly optimizer: OptimizerSpec
  readonly ema: number | null
  readonly state: Floats
  /** Those to go on from, where the model was left with their average, and has it still. */
  readonly weights: Floats | null
  readonly steps: number
  /** Epochs trained before the state began; tells the masks of two runs apart. */
  readonly since: number
  /** Those recorded since. */
  readonly epochs: readonly Epoch[]
}

type FitCall = 'fit' | 'partialFit' | 'fitSync'

/** All that a training needs, read, checked and bound. */
interface Prepared {
  readonly job: Job
  readonly engine: Engine
  /** Validates averaged weights. */
  readonly judge: Engine | null
  readonly averaged: Averaged | null
  readonly recorder: Recorder
  readonly keepsState: boolean
  readonly data: readonly Bound[]
  readonly file: CheckpointFile | null
}

/**
 * A feed-forward neural network.
 *
 * `new FNN()` is the network of the question this library began with: hidden layers of 128 and 64 tanh units; sizes and
 * task are taken from the first fit. The options describe another. `L` is the type of its labels; with `T`, its task, and
 * `O`, its outputs, it decides what `predict` returns.
 */
export class FNN<L extends Label = Label, T extends Task = TaskOf<L>, O extends number = number> {
  /** Decides every random number: start, shuffles, splits, masks. */
  readonly seed: number
  readonly #config: Config
  /** As given: what a diagnosis changes and builds again. */
  readonly #options: ModelOptions
  #built: Built | null = null
  #training: Training | null = null
  #carried: Carried | null = null
  /** Draws the weights as they are; null once they were set or trained. */
  #drawnBy: number | null
  /** Epochs trained since the last reset, so that no two share an order of rows or a mask. */
  #epochs = 0
  /** The checkpoint that the model as it is came from. */
  #loadedFrom: string | null = null

  /** @throws ERR_OPTION, ERR_SHAPE; ERR_BACKEND where the backend asked for is not there */
  constructor(options: ModelOptions<L, T, O> = {}) {
    this.#config = readModelOptions(options)
    this.#options = { ...options } as ModelOptions
    this.seed = this.#config.seed
    this.#drawnBy = this.seed
    const { inputs } = this.#config
    const task = taskOfOptions(this.#config)
    const width = outputsAsked(this.#config)
    if (inputs !== null && width !== null && task !== null) {
      const plans = blueprint(this.#config, inputs, { task, outputs: width })
      const coding = codingOf(this.#config, task, width)
      this.#built = { network: this.#networkFor(plans), blueprint: plans, codec: null, coding }
    }
  }

  // -------------------------------------------------------------------------------------------------- training

  /**
   * Trains from the weights the model has, with a new optimizer state, off the event loop. Starts at once: x and y are
   * read before it returns and never written. Never throws; a bad argument rejects the Run.
   */
  fit(x: Inputs, y: Targets, options: FitOptions<Inputs, Targets> = {}): Run {
    return this.#fitAsync('fit', x, y, options)
  }

  /** As `fit`, going on with the optimizer state of the last partialFit, and keeping it for the next. */
  partialFit(x: Inputs, y: Targets, options: FitOptions<Inputs, Targets> = {}): Run {
    return this.#fitAsync('partialFit', x, y, options)
  }

  /** As `fit`, on this thread. @throws what the Run of `fit` rejects with */
  fitSync(x: Inputs, y: Targets, options: FitOptions<Inputs, Targets> = {}): History {
    const orders: Orders = { stop: false }
    const recorder = new Recorder(this.seed)
    const settings = readFitOptions(options)
    if (settings.signal?.aborted) throw aborted(settings.signal, recorder)
    const prepared = this.#prepare('fitSync', x, y, settings, recorder)
    this.#training = { orders, engine: prepared.engine }
    const stop = (): void => {
      orders.stop = true
    }
    settings.signal?.addEventListener('abort', stop) // nobody but a callback can, here
    try {
      const outcome = driveHere(trainingOf(prepared, orders), prepared.engine)
      return this.#conclude(prepared, settings, outcome)
    } finally {
      settings.signal?.removeEventListener('abort', stop)
      this.#release(prepared)
    }
  }

  #fitAsync(call: FitCall, x: Inputs, y: Targets, options: FitOptions<Inputs, Targets>): Run {
    const orders: Orders = { stop: false }
    const recorder = new Recorder(this.seed)
    const stop = (): void => {
      orders.stop = true
      this.#training?.orders === orders && this.#training.engine.stop()
    }
    return new Run({ epochs: recorder.epochs, stop }, async (tell) => {
      const settings = readFitOptions(options)
      if (settings.signal?.aborted) throw aborted(settings.signal, recorder)
      const prepared = this.#prepare(call, x, y, settings, recorder)
      this.#training = { orders, engine: prepared.engine }
      settings.signal?.addEventListener('abort', stop)
      try {
        const outcome = await drive(trainingOf(prepared, orders), prepared.engine, tell)
        await prepared.file?.settle()
        return this.#conclude(prepared, settings, outcome)
      } finally {
        await prepared.file?.settle()
        settings.signal?.removeEventListener('abort', stop)
        this.#release(prepared)
      }
    })
  }

  /** Reads and checks everything, then builds what is missing. Nothing has changed if it throws. */
  #prepare(call: FitCall, x: unknown, y: unknown, settings: FitSettings, recorder: Recorder): Prepared {
    this.#refuseBusy(call)
    const [isAsync, keepsState] = [call !== 'fitSync', call === 'partialFit']
    if (typeof settings.plot === 'string') checkPlotPath(settings.plot)
    if (settings.checkpoint) checkWritable(settings.checkpoint.path)
    const resumed = this.#checkpointFor(settings)
    const { standardize, dtype } = this.#config
    const pair = this.#read(x, y, settings)
    const coding = this.#built?.codec?.coding ?? inferCoding(pair.targets, this.#known())
    const [drawn, held] = this.#split(pair, coding, settings)
    const { sampleWeight = null, targets } = drawn
    const train = { ...drawn, sampleWeight: weighClasses(sampleWeight, targets, coding, settings.classWeight) }
    const codec = this.#built?.codec ?? fitCodec(drawn, coding, standardize, this.#indices)
    const plans = this.#built?.blueprint ?? blueprint(this.#config, train.features.columns, coding)
    const form = lossRow(plans.loss).classTargets
    const table = encodePair(codec, train, form, dtype)
    const heldTable = held && encodePair(codec, held, form, dtype)
    if (heldTable && heldTable.targets !== table.targets)
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
    const measured = held && heldTable && inCallersUnits(plans, codec, held, heldTable, dtype)
    const description = settings.checkpoint || resumed ? describeRun(settings, table, heldTable) : null
    if (resumed && description) {
      const model = this.#saved({ blueprint: plans, codec, coding })
      requireSameRun(resumed, model, description, settings.epochs)
    }

    const built = { network: this.#networkFor(plans), blueprint: plans, codec, coding }
    this.#built = built
    const { network } = built
    recorder.backend = network.backendName
    const accounts = settings.ledger === true && batch === table.rows
    const { isSearch = false } = optimizerRow(settings.optimizer)
    const engine = network.trainer(updateOf(settings, accounts), batch, table.targets, isAsync, rows)
    const carried = keepsState && !resumed ? this.#carriedFor(settings.optimizer, settings.ema) : null
    const snapshot = resumed?.run.snapshot ?? null
    const state = snapshot?.state ?? carried?.state
    if (resumed && state?.length !== engine.plan.state.length) {
      engine.close()
      throw strangeState(resumed.path)
    }
    if (state) engine.write(engine.plan.state, state)
    if (resumed) {
      network.parameters = writeParameters(resumed.parameters, network.parameters, network.layout, dtype)
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
    const judge = heldTable && averaged ? network.judge(table.targets) : null
    const validation = heldTable && {
      data: (judge ?? engine).bind(heldTable),
      ...(judge && averaged && { on: judge, begin: () => judge.write(judge.plan.parameters, averaged.read()) }),
      metrics: ({ output }: Report) => {
        const outputs = restoreOutputs(codec, toProbabilities(plans, output as Floats))
        return measure(coding, measured ?? heldTable, outputs, metrics as readonly Metric<number>[])
      },
    }
    const file =
      settings.checkpoint && description
        ? new CheckpointFile(settings.checkpoint.path, isAsync, ({ parameters, ...snapshot }) => {
            const model = this.#saved(built, epochsOfModel(snapshot))
            return encodeCheckpoint(model, readParameters(parameters, network.layout), { snapshot, ...description })
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
      seed: this.seed,
      firstStep: snapshot?.firstStep ?? carried?.steps ?? 0,
      since: snapshot?.since ?? carried?.since ?? this.#epochs,
      firstEpoch: snapshot?.firstEpoch ?? this.#epochs,
    }
    const watches: Watch[] = []
    if (!carried && !isSearch)
      watches.push(startWatch({ engine, network, batch, settings, drawnBy: this.#drawnBy, recorder }))
    if (settings.ledger) watches.push(ledgerWatch({ ...source, network, engine, table, recorder }))
    const job: Job = {
      ...source,
      earlier: snapshot?.earlier ?? carried?.epochs ?? [],
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
          network.parameters = writeParameters(layers, network.parameters, network.layout, dtype)
        },
      },
      line,
      resumed: snapshot,
      suspect: () => firstNonFinite(engine, network.layout),
      watches,
    }
    const bound = validation ? [data, validation.data] : [data]
    this.#loadedFrom = null
    return { job, engine, judge, averaged, recorder, keepsState, data: bound, file }
  }

  #release({ engine, judge, data, job, recorder }: Prepared): void {
    job.line?.end()
    if (this.#training?.engine !== engine) return
    // Also where a callback threw: what was trained was trained.
    this.#epochs = job.firstEpoch + recorder.epochs.length
    if (recorder.steps > 0) this.#drawnBy = null
    this.#training = null
    for (const watch of job.watches) watch.close?.()
    // A ledger is looked closer at on the data; they go when it goes.
    for (const bound of data) if (bound !== job.data || !job.settings.ledger) bound.release()
    judge?.close()
    engine.close()
  }

  /** Keeps what the next run goes on from, and turns the outcome into the history or the error that it is. */
  #conclude(prepared: Prepared, settings: FitSettings, { status, reason, isAsked }: Outcome): History {
    const { engine, averaged, job, recorder, keepsState, file } = prepared
    const { optimizer, ema } = settings
    const { since, firstStep } = job
    const steps = firstStep + recorder.steps
    const epochs = [...job.earlier, ...recorder.epochs]
    const weights = averaged?.before ?? null
    this.#carried = keepsState
      ? { optimizer, ema, state: engine.read(engine.plan.state), weights, steps, since, epochs }
      : null
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

  /** The checkpoint to go on from; null where the run begins. @throws ERR_FILE, ERR_OPTION */
  #checkpointFor({ resume, checkpoint }: FitSettings): Checkpoint | null {
    if (typeof resume === 'string') return readCheckpoint(resume)
    if (!resume) return null
    const path = this.#loadedFrom ?? checkpoint?.path
    if (path === undefined)
      throw new DownhillError(
        'ERR_OPTION',
        'Expected a checkpoint for resume: true but the model was loaded from none and fit writes none; give its path.',
      )
    return this.#loadedFrom !== null || exists(path) ? readCheckpoint(path) : null
  }

  /** `ema`: @default whatever it is */
  #carriedFor(optimizer: OptimizerSpec, ema = this.#carried?.ema ?? null): Carried | null {
    const carried = this.#carried
    const meaning = ({ kind, settings }: OptimizerSpec, ema: number | null): string =>
      JSON.stringify([kind, settings, ema])
    return carried && meaning(carried.optimizer, carried.ema) === meaning(optimizer, ema) ? carried : null
  }

  // -------------------------------------------------------------------------------------------------- looking

  /** Labels of a model of classes, Float64Array of a regression with one output, Matrix for more and for multilabel. */
  predict(x: Inputs): Predictions<L, T, O> {
    const { outputs, rows, coding } = this.#outputs(x, 'predict')
    return decodeOutputs(outputs, rows, coding) as Predictions<L, T, O>
  }

  /** Probability of the second class for two classes; Matrix (rows × classes) for more and for multilabel. */
  predictProba(x: Inputs): Floats | Matrix {
    const { outputs, rows, coding } = this.#outputs(x, 'predictProba')
    return decodeProbabilities(outputs, rows, coding)
  }

  /** Loss, accuracy (classes) or r2 (regression), and the metrics asked for; in the caller's units. */
  evaluate(x: Inputs, y: Targets, options: EvaluateOptions = {}): Evaluation {
    refuseUnknown(options, ['sampleWeight', 'metrics'], 'evaluate')
    const asked = readMetrics(options.metrics)
    const { network, blueprint: plans, codec } = this.#requireCodec('evaluate', y)
    const metrics = metricsOf(codec.coding.task, asked)
    return evaluate(network, plans, codec, this.#read(x, y, options), metrics)
  }

  /** The loss as configured, in the model's units: no penalty, no dropout. */
  loss(x: Inputs, y: Targets, options: RowOptions = {}): number {
    refuseUnknown(options, ['sampleWeight'], 'loss')
    return this.#requireBuilt('loss').network.evaluate(this.#table(x, y, 'loss', options)).loss[0]
  }

  /** The loss as `loss` gives it, and its gradient, a copy, one entry a parameterised layer. */
  gradients(x: Inputs, y: Targets, options: RowOptions = {}): { loss: number; layers: LayerParameters[] } {
    refuseUnknown(options, ['sampleWeight'], 'gradients')
    const { network } = this.#requireBuilt('gradients')
    const { loss, gradient } = network.gradient(this.#table(x, y, 'gradients', options))
    return { loss, layers: readParameters(gradient, network.layout) }
  }

  /** A copy of the parameters, one entry a parameterised layer; weights are inputs × units. @throws ERR_STATE */
  weights(): LayerParameters[] {
    const { network } = this.#requireBuilt('weights')
    return readParameters(network.parameters, network.layout)
  }

  /** Sets all parameters, in the form that `weights` returns; plain arrays too. @throws ERR_SHAPE, ERR_DATA, ERR_STATE */
  setWeights(layers: readonly unknown[]): void {
    this.#refuseBusy('setWeights')
    const { network } = this.#requireBuilt('setWeights')
    network.parameters = writeParameters(layers, network.parameters, network.layout, this.#config.dtype)
    this.#drawnBy = null
    this.#loadedFrom = null
    if (this.#carried) this.#carried = { ...this.#carried, weights: null }
  }

  /**
   * Why the loss does not fall as it should: the program is run again, then without each suspected fault, and what makes
   * it better is named. Silent where nothing does. The model is not changed. @throws as `fit` rejects
   */
  async diagnose(x: Inputs, y: Targets, options: DiagnoseOptions = {}): Promise<Diagnosis> {
    const { fit, settings, history, theirs, budget } = readDiagnoseOptions(options)
    const clock = new Clock(budget)
    const { features, targets, sampleWeight = null } = this.#read(x, y, settings)
    const isDrawn = this.#drawnBy === this.seed || this.#epochs > 0
    // Where the run in question began: as its history has it, else from the weights there are, else as the seed draws.
    const weights = history?.start?.weights ?? (this.#built && !isDrawn && !history?.start ? this.weights() : null)
    const model = { ...this.#options, seed: history?.start?.seed ?? this.seed }
    const subject = { model, fit, features, targets, sampleWeight, weights, train: FNN.#train }
    if (theirs === undefined) return diagnose(subject, { settings, history, clock, check: null })
    const { network, blueprint: plans, codec } = this.#requireCodec('diagnose', y)
    const table = this.#table(x, y, 'diagnose', fit, 'float64')
    const own = (): Table => this.#table(x, y, 'diagnose', fit)
    const asked = { network, blueprint: plans, codec, table, seed: this.seed, settings, own }
    return diagnose(subject, { settings, history, clock, check: await holdTheirs(asked, theirs, clock) })
  }

  /** Trains a program on a copy, for the doctor. */
  static async #train({ model, fit }: Program, x: Inputs, y: Targets, { weights, seconds }: Limits): Promise<Trained> {
    const net = new FNN({ threads: 1, ...model })
    if (weights) {
      // One step at rate 0 builds the network; it is not an epoch of the run.
      const { sampleWeight } = fit
      await net.fit(x, y, { epochs: 1, learningRate: 0, ...(sampleWeight && { sampleWeight }) })
      net.setWeights(weights)
      net.#epochs = 0
    }
    const run = net.fit(x, y, fit)
    let isCut = false
    const cut = (): void => {
      isCut = true
      run.stop()
    }
    const timer = seconds === undefined ? undefined : setTimeout(cut, 1000 * seconds)
    const history = await run
    clearTimeout(timer)
    const { network, codec, blueprint } = net.#requireCodec('diagnose', y)
    const { coding } = codec
    const { sampleWeight = null, targets, ...rest } = net.#read(x, y, fit)
    // As it is trained: the weights of classes are weights of its rows.
    const counts = weighClasses(sampleWeight, targets, coding, checkClassWeights(fit.classWeight))
    const pair = { ...rest, targets, sampleWeight: counts }
    return {
      history,
      isCut,
      network,
      blueprint,
      coding,
      table: encodePair(codec, pair, lossRow(blueprint.loss).classTargets, net.#config.dtype),
      score(x, y) {
        const { accuracy, r2 = Number.NaN } = net.evaluate(x, y)
        return accuracy ?? r2
      },
    }
  }

  /** Draws the weights afresh, from `seed` or the model's own, and forgets the optimizer's state. */
  reset(seed: number = this.seed): void {
    this.#refuseBusy('reset')
    checkNumber(seed, RANGES.seed, 'seed')
    this.#carried = null
    this.#loadedFrom = null
    this.#epochs = 0
    this.#built?.network.draw(seed, this.#config.initScale)
    this.#drawnBy = this.#built ? seed : this.seed
  }

  /** Layers, shapes and counts as a table. */
  summary(): string {
    const { network } = this.#requireBuilt('summary')
    return summarize(network)
  }

  /** The compiled training step. @param options those of `fit` that decide it */
  explain(
    options: Pick<FitOptions, 'optimizer' | 'batchSize' | 'clipNorm' | 'clipValue' | 'ema' | 'ledger'> = {},
  ): string {
    const { network, codec } = this.#requireBuilt('explain')
    const settings = readFitOptions(options)
    const { batchSize, ledger } = settings
    const isIndexed = lossRow(network.loss).classTargets === 'index' && codec?.coding.task !== 'regression'
    const rows = batchSize === 'full' ? Number.MAX_SAFE_INTEGER : batchSize
    const update = updateOf(settings, ledger === true && batchSize === 'full')
    return explainProgram(network.trainingPlan(update, rows, isIndexed ? 1 : network.outputs), 'train')
  }

  /**
   * Writes the model to a safetensors file: parameters, how data are coded and scaled, and its options. Atomic and
   * durable: after any interruption the old file stands there or the new one. During a fit, the state after a whole step.
   * @throws ERR_STATE, ERR_FILE
   */
  async save(path: string): Promise<void> {
    const built = this.#requireBuilt('save')
    checkPath(path, 'save')
    const parameters = readParameters(built.network.parameters, built.network.layout)
    await writeDurably(path, await encodeInTurns(encodeModel(this.#saved(built), parameters)))
  }

  /**
   * A model from a file that `save` wrote, or a checkpoint, of which it is the model last trained; it predicts the same bits on the same backend.
   * @param options where it is to run; as in the constructor
   * @throws ERR_FILE for anything but a whole, unchanged file
   */
  static async load(path: string, options: Pick<ModelOptions, 'backend' | 'threads'> = {}): Promise<FNN> {
    checkPath(path, 'load')
    refuseUnknown(options, ['backend', 'threads'], 'load')
    const contents = decodeTensors(await readWhole(path), path)
    const { model, parameters } = decodeModel(contents, path)
    const net = new FNN({ ...model.options, ...options })
    const { network } = net.#requireBuilt('load')
    network.parameters = writeParameters(parameters, network.parameters, network.layout, net.#config.dtype)
    net.#epochs = model.epochs
    net.#drawnBy = null
    if (decodeRun(contents, path)) net.#loadedFrom = resolve(path)
    if (model.codec) net.#built = { ...(net.#built as Built), codec: model.codec, coding: model.codec.coding }
    return net
  }

  /** Name of the backend that runs this model; null before it is built. */
  get backend(): string | null {
    return this.#built?.network.backendName ?? null
  }

  // -------------------------------------------------------------------------------------------------- the doctor

  /**
   * Whether the gradient is right: the model's own against centred differences in float64, or, with `theirs`, one
   * computed elsewhere at `weights()` against ours, with the fault named where it can be told.
   */
  async checkGradients(x: Inputs, y: Targets, options: GradientCheckOptions & RowOptions = {}): Promise<GradientCheck> {
    const { sampleWeight, ...rest } = options
    const { network, blueprint: plans, codec } = this.#requireCodec('checkGradients', y)
    const table = this.#table(x, y, 'checkGradients', { sampleWeight }, 'float64')
    return checkGradients({ network, blueprint: plans, codec, table, seed: this.seed }, rest)
  }

  /**
   * The largest eigenvalues, by value, of the Hessian of the objective on x and y: data loss and penalty, no dropout, at
   * the weights as they are at the call. Full-batch descent on a quadratic is stable below a rate of 2 / values[0].
   * Rejects with ERR_DIVERGED where the objective or its derivatives are not finite.
   */
  async sharpness(x: Inputs, y: Targets, options: SharpnessOptions & RowOptions = {}): Promise<Sharpness> {
    const { sampleWeight, ...rest } = options
    const settings = readSharpnessOptions(rest)
    const { network } = this.#requireBuilt('sharpness')
    return sharpness(network, this.#table(x, y, 'sharpness', { sampleWeight }), settings, this.seed)
  }

  /**
   * The learning rates that the next step and a neighbourhood allow an optimizer: with the state that a partialFit kept
   * for it, else before its first step. Objective, weights and rejections are those of `sharpness`.
   */
  async learningRateLimits(
    x: Inputs,
    y: Targets,
    options: LimitOptions & RowOptions = {},
  ): Promise<LearningRateLimits> {
    const { sampleWeight, ...rest } = options
    const { optimizer: asked, rows } = readLimitOptions(rest)
    const { network } = this.#requireBuilt('learningRateLimits')
    const optimizer = asked ?? this.#carried?.optimizer ?? readOptimizer('sgd')
    const carried = this.#carriedFor(optimizer)
    const state = carried && { vectors: carried.state, steps: carried.steps }
    const table = takeRows(this.#table(x, y, 'learningRateLimits', { sampleWeight }), rows, this.seed)
    return learningRateLimits(network, table, optimizer, state, this.seed)
  }

  // -------------------------------------------------------------------------------------------------- inside

  /** All of a model but its parameters. */
  #saved({ blueprint: { model, loss }, codec, coding }: Omit<Built, 'network'>, epochs = this.#epochs): SavedModel {
    const { initializer, l1, l2, standardize, initScale, dtype } = this.#config
    const options = { inputs: model.inputs, layers: model.layers, loss, task: coding.task, initializer, l1, l2 }
    return { options: { ...options, standardize, initScale, dtype, seed: this.seed }, codec, epochs }
  }

  #networkFor(plans: Blueprint): Network {
    const { dtype, backend, threads, initScale } = this.#config
    return this.#built?.network ?? new Network({ ...plans, dtype, backend, threads }, this.seed, initScale)
  }

  #known(): Known {
    const known = knownOf(this.#config)
    return this.#built ? { ...known, outputs: this.#built.network.outputs } : known
  }

  #read(
    x: unknown,
    y: unknown,
    { sampleWeight }: { readonly sampleWeight?: unknown },
    dtype = this.#config.dtype,
  ): Pair {
    const inputs = this.#built?.network.model.inputs ?? this.#config.inputs ?? undefined
    const { outputs } = this.#known()
    const pair = readPair(x, y, { inputs, outputs, dtype, indices: this.#indices })
    return { ...pair, sampleWeight: readWeights(sampleWeight, pair.features.rows) }
  }

  /** Columns of x that hold indices. */
  get #indices(): readonly IndexColumn[] {
    return indexColumns(this.#config.layers ?? [])
  }

  /** The rows that train, and those held out. */
  #split(pair: Pair, coding: Coding, { validation }: FitSettings): [Pair, Pair | null] {
    if (validation === null) return [pair, null]
    if (typeof validation === 'number') return splitPair(pair, validation, this.seed, coding)
    const inputs = pair.features.columns
    const { outputs } = coding
    const known = { inputs, outputs, dtype: this.#config.dtype, indices: this.#indices }
    const held = readPair(validation.x, validation.y, known)
    const { rows } = held.features
    return [pair, { ...held, sampleWeight: readWeights(validation.sampleWeight, rows, 'validation.sampleWeight') }]
  }

  #table(x: unknown, y: unknown, call: string, options: RowOptions, dtype = this.#config.dtype): Table {
    const { blueprint: plans, codec } = this.#requireCodec(call, y)
    return encodePair(codec, this.#read(x, y, options, dtype), lossRow(plans.loss).classTargets, dtype)
  }

  /** Outputs as probabilities, or as values in the caller's units. */
  #outputs(x: unknown, call: string): { outputs: Floats; rows: number; coding: Coding } {
    const { network, blueprint: plans, codec, coding } = this.#requireBuilt(call)
    const { dtype } = this.#config
    const isCheckedLater = !codec?.inputs // by the network, as it reads them; a look of our own costs as much as a layer
    const features = readFeatures(x, { inputs: network.model.inputs, dtype, isCheckedLater, indices: this.#indices })
    const scaled = codec ? encodeInputs(codec, features, dtype) : features
    const raw = network.predict(scaled.x, scaled.rows, scaled.scale)
    if (raw === null) throw notFinite(scaled, dtype)
    const outputs = toProbabilities(plans, raw)
    return {
      outputs: codec ? restoreOutputs(codec, outputs) : outputs,
      rows: features.rows,
      coding,
    }
  }

  #requireBuilt(call: string): Built {
    if (this.#built) return this.#built
    throw new DownhillError(
      'ERR_STATE',
      `Expected a built model for ${call}; call fit first, or give inputs, outputs and task to the constructor.`,
    )
  }

  /** For calls that compare with y: a net that has seen none yet codes this one, for this call only. */
  #requireCodec(call: string, y: unknown): Built & { codec: Codec } {
    const built = this.#requireBuilt(call)
    if (built.codec) return { ...built, codec: built.codec }
    return { ...built, codec: { coding: inferCoding(readTargets(y), this.#known()), inputs: null, targets: null } }
  }

  #refuseBusy(call: string): void {
    if (this.#training)
      throw new DownhillError('ERR_BUSY', `Expected an idle model for ${call} but it is training; await its run first.`)
  }
}

function strangeState(path: string): DownhillError {
  return new DownhillError('ERR_FILE', `Expected the state of this optimizer in ${path} but there is another.`)
}

function checkPath(path: unknown, call: string): void {
  if (typeof path !== 'string' || path === '') throw expected('a path', `the file of ${call}`, path)
}
