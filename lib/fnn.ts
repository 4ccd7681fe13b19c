/**
 * The facade: a feed-forward network as users meet it.
 *
 * It reads what it is given, checks all of it before anything changes, and hands it to the rooms below: data/ for x and
 * y, build.ts and network.ts for the network, fitting.ts and train/ for a run. It computes nothing itself.
 */
import { resolve } from 'node:path'
import type { Engine } from './backends/backend'
import { blueprint, codingOf, outputsAsked, taskOfOptions, toProbabilities } from './build'
import { type Codec, encodeInputs, encodePair, restoreOutputs } from './data/codec'
import { type Inputs, type Matrix, notFinite, readFeatures } from './data/matrix'
import {
  type Coding,
  decodeOutputs,
  decodeProbabilities,
  inferCoding,
  type Label,
  readTargets,
  type Targets,
  type Task,
} from './data/targets'
import { checkClassWeights, weighClasses } from './data/weights'
import { Clock } from './doctor/clock'
import { diagnose } from './doctor/diagnose'
import { holdTheirs } from './doctor/elsewhere'
import { checkGradients, type GradientCheck, type GradientCheckOptions } from './doctor/gradients'
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
import type { Limits, Program, Trained } from './doctor/subject'
import { DownhillError, expected, refuseUnknown } from './errors'
import { type EvaluateOptions, type Evaluation, evaluate, type RowOptions } from './evaluation'
import { conclude, type FitCall, prepare, release } from './fitting'
import { lossRow } from './losses'
import { metricsOf, readMetrics } from './metrics'
import { checkNumber, RANGES } from './names'
import { updateOf } from './network'
import { readOptimizer } from './optimizers'
import { type ModelOptions, type Predictions, readModelOptions, type TaskOf } from './options'
import { explainProgram } from './plan/explain'
import type { Floats, Table } from './plan/plan'
import { decodeRun } from './save/checkpoint'
import { readWhole, writeDurably } from './save/durable'
import { decodeModel, encodeModel } from './save/model'
import { decodeTensors, encodeInTurns } from './save/safetensors'
import { type Built, carriedFor, indicesOf, knownBy, networkFor, readRows, type State, savedModel } from './state'
import { summarize } from './summary'
import { aborted, drive, driveHere } from './train/drive'
import { type History, Recorder } from './train/history'
import type { Orders } from './train/job'
import { type FitOptions, readFitOptions } from './train/options'
import { Run } from './train/run'
import { trainingOf } from './train/search'
import { type LayerParameters, readParameters, writeParameters } from './weights'

/** A training under way: what stops it. */
interface Training {
  readonly orders: Orders
  readonly engines: readonly Engine[]
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
  /** As given: what a diagnosis changes and builds again. */
  readonly #options: ModelOptions
  readonly #state: State
  #training: Training | null = null

  /** @throws ERR_OPTION, ERR_SHAPE; ERR_BACKEND where the backend asked for is not there */
  constructor(options: ModelOptions<L, T, O> = {}) {
    const config = readModelOptions(options)
    const { seed, inputs } = config
    this.seed = seed
    this.#options = { ...options } as ModelOptions
    this.#state = { seed, config, built: null, carried: null, drawnBy: seed, given: null, epochs: 0, loadedFrom: null }
    const task = taskOfOptions(config)
    const width = outputsAsked(config)
    if (inputs !== null && width !== null && task !== null) {
      const plans = blueprint(config, inputs, { task, outputs: width })
      const coding = codingOf(config, task, width)
      this.#state.built = { network: networkFor(this.#state, plans), blueprint: plans, codec: null, coding }
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
    const orders: Orders = { stop: false, abort: false }
    const recorder = new Recorder(this.seed)
    const settings = readFitOptions(options)
    if (settings.signal?.aborted) throw aborted(settings.signal, recorder)
    this.#refuseBusy('fitSync')
    const prepared = prepare(this.#state, 'fitSync', x, y, settings, recorder)
    this.#training = { orders, engines: [] }
    const abort = (): void => {
      orders.stop = orders.abort = true
    }
    settings.signal?.addEventListener('abort', abort) // nobody but a callback can, here
    try {
      const outcome = driveHere(trainingOf(prepared, orders), prepared.engine)
      return conclude(this.#state, prepared, outcome)
    } finally {
      settings.signal?.removeEventListener('abort', abort)
      this.#training = null
      release(this.#state, prepared)
    }
  }

  #fitAsync(call: FitCall, x: Inputs, y: Targets, options: FitOptions<Inputs, Targets>): Run {
    const orders: Orders = { stop: false, abort: false }
    const recorder = new Recorder(this.seed)
    const end = (isAborted: boolean): void => {
      orders.stop = true
      orders.abort ||= isAborted
      if (this.#training?.orders === orders) for (const engine of this.#training.engines) engine.stop(isAborted)
    }
    const stop = (): void => end(false)
    const abort = (): void => end(true)
    return new Run({ recorder, stop }, async (tell) => {
      const settings = readFitOptions(options)
      if (settings.signal?.aborted) throw aborted(settings.signal, recorder)
      this.#refuseBusy(call)
      const prepared = prepare(this.#state, call, x, y, settings, recorder)
      const { engine, judge } = prepared
      this.#training = { orders, engines: judge ? [engine, judge] : [engine] }
      settings.signal?.addEventListener('abort', abort)
      try {
        const outcome = await drive(trainingOf(prepared, orders), engine, tell)
        await prepared.file?.settle()
        return conclude(this.#state, prepared, outcome)
      } finally {
        await prepared.file?.settle()
        settings.signal?.removeEventListener('abort', abort)
        this.#training = null
        release(this.#state, prepared)
      }
    })
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
    return evaluate(network, plans, codec, readRows(this.#state, x, y, options), metrics)
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
    this.#state.given = writeParameters(layers, network.parameters, network.layout, this.#state.config.dtype)
    network.parameters = this.#state.given
    this.#state.drawnBy = null
    this.#state.loadedFrom = null
    if (this.#state.carried) this.#state.carried = { ...this.#state.carried, weights: null }
  }

  /**
   * Why the loss does not fall as it should: the program is run again, then without each suspected fault, and what makes
   * it better is named. Silent where nothing does. The model is not changed. @throws as `fit` rejects
   */
  async diagnose(x: Inputs, y: Targets, options: DiagnoseOptions = {}): Promise<Diagnosis> {
    const { fit, settings, history, theirs, budget } = readDiagnoseOptions(options)
    const clock = new Clock(budget)
    const { features, targets, sampleWeight = null } = readRows(this.#state, x, y, settings)
    const isDrawn = this.#state.drawnBy === this.seed || this.#state.epochs > 0
    // Where the run in question began: as its history has it, else from the weights there are, else as the seed draws.
    const weights =
      history?.start?.weights ?? (this.#state.built && !isDrawn && !history?.start ? this.weights() : null)
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
      net.#state.epochs = 0
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
    const { sampleWeight = null, targets, ...rest } = readRows(net.#state, x, y, fit)
    // As it is trained: the weights of classes are weights of its rows.
    const counts = weighClasses(sampleWeight, targets, coding, checkClassWeights(fit.classWeight))
    const pair = { ...rest, targets, sampleWeight: counts }
    return {
      history,
      isCut,
      network,
      blueprint,
      coding,
      table: encodePair(codec, pair, lossRow(blueprint.loss).classTargets, net.#state.config.dtype),
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
    this.#state.carried = null
    this.#state.given = null
    this.#state.loadedFrom = null
    this.#state.epochs = 0
    this.#state.built?.network.draw(seed, this.#state.config.initScale)
    this.#state.drawnBy = this.#state.built ? seed : this.seed
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
    await writeDurably(path, await encodeInTurns(encodeModel(savedModel(this.#state, built), parameters)))
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
    net.#state.given = writeParameters(parameters, network.parameters, network.layout, net.#state.config.dtype)
    network.parameters = net.#state.given
    net.#state.epochs = model.epochs
    net.#state.drawnBy = null
    if (decodeRun(contents, path)) net.#state.loadedFrom = resolve(path)
    if (model.codec)
      net.#state.built = { ...(net.#state.built as Built), codec: model.codec, coding: model.codec.coding }
    return net
  }

  /** Name of the backend that runs this model; null before it is built. */
  get backend(): string | null {
    return this.#state.built?.network.backendName ?? null
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
    const optimizer = asked ?? this.#state.carried?.optimizer ?? readOptimizer('sgd')
    const carried = carriedFor(this.#state, optimizer)
    const state = carried && { vectors: carried.state, steps: carried.steps }
    const table = takeRows(this.#table(x, y, 'learningRateLimits', { sampleWeight }), rows, this.seed)
    return learningRateLimits(network, table, optimizer, state, this.seed)
  }

  // -------------------------------------------------------------------------------------------------- inside

  #table(x: unknown, y: unknown, call: string, options: RowOptions, dtype = this.#state.config.dtype): Table {
    const { blueprint: plans, codec } = this.#requireCodec(call, y)
    return encodePair(codec, readRows(this.#state, x, y, options, dtype), lossRow(plans.loss).classTargets, dtype)
  }

  /** Outputs as probabilities, or as values in the caller's units. */
  #outputs(x: unknown, call: string): { outputs: Floats; rows: number; coding: Coding } {
    const { network, blueprint: plans, codec, coding } = this.#requireBuilt(call)
    const { dtype } = this.#state.config
    const isCheckedLater = !codec?.inputs // by the network, as it reads them; a look of our own costs as much as a layer
    const features = readFeatures(x, {
      inputs: network.model.inputs,
      dtype,
      isCheckedLater,
      indices: indicesOf(this.#state),
    })
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
    if (this.#state.built) return this.#state.built
    throw new DownhillError(
      'ERR_STATE',
      `Expected a built model for ${call}; call fit first, or give inputs, outputs and task to the constructor.`,
    )
  }

  /** For calls that compare with y: a net that has seen none yet codes this one, for this call only. */
  #requireCodec(call: string, y: unknown): Built & { codec: Codec } {
    const built = this.#requireBuilt(call)
    if (built.codec) return { ...built, codec: built.codec }
    return {
      ...built,
      codec: { coding: inferCoding(readTargets(y), knownBy(this.#state)), inputs: null, targets: null },
    }
  }

  #refuseBusy(call: string): void {
    if (this.#training)
      throw new DownhillError('ERR_BUSY', `Expected an idle model for ${call} but it is training; await its run first.`)
  }
}

function checkPath(path: unknown, call: string): void {
  if (typeof path !== 'string' || path === '') throw expected('a path', `the file of ${call}`, path)
}
