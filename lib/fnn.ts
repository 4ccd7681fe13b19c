/**
 * The facade: a feed-forward network as users meet it.
 *
 * It reads what it is given, checks all of it before anything changes, and hands it to the rooms below: data/ for x and
 * y, build.ts and network.ts for the network, train/ for the loop. It computes nothing itself.
 */
import { ACTIVATIONS } from './activations'
import type { Bound, Engine } from './backends/backend'
import { type Blueprint, blueprint, knownOf, pendingLink, taskOfOptions } from './build'
import { type FeatureTable, type Inputs, type Matrix, readFeatures, selectRows } from './data/matrix'
import { splitRows } from './data/split'
import { fitStandardization, type Standardization, standardize, unstandardize } from './data/standardize'
import {
  type Coding,
  classIndices,
  decodeOutputs,
  decodeProbabilities,
  encodeTargets,
  inferCoding,
  type Label,
  readPair,
  readTargets,
  selectTargets,
  type Targets,
  type TargetTable,
} from './data/targets'
import { DownhillError } from './errors'
import { LOSS_KERNELS, lossRow, placeLoss } from './losses'
import { defaultMetric } from './metrics'
import { checkNumber, RANGES } from './names'
import { firstNonFinite, Network } from './network'
import type { OptimizerSpec } from './optimizers'
import { type Config, type ModelOptions, readModelOptions } from './options'
import { outputActivation } from './plan/compile'
import { explainProgram } from './plan/explain'
import type { Floats, Report, Slice, Table } from './plan/plan'
import { checkPlotPath } from './plot'
import { summarize } from './summary'
import { type History, Recorder } from './train/history'
import { type FitOptions, type FitSettings, readFitOptions } from './train/options'
import { Run } from './train/run'
import { type Job, type Orders, type Outcome, training } from './train/training'
import { type LayerParameters, readParameters, writeParameters } from './weights'

/** What `predict` returns: labels, numbers (one output), or a Matrix (many outputs; multilabel: 0 and 1). */
export type Predictions<L extends Label> = L[] | Float64Array | Matrix

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
  readonly [metric: string]: number | undefined
}

/** What is settled by the first data: how y is coded, how columns are scaled, and the network. */
interface Built {
  readonly network: Network
  readonly blueprint: Blueprint
  /** null until the first fit where the net was built before any y was seen. */
  readonly coding: Coding | null
  readonly inputScaler: Standardization | null
  readonly targetScaler: Standardization | null
}

/** A training under way: what stops it. */
interface Training {
  readonly orders: Orders
  readonly engine: Engine
}

/** What one partialFit leaves to the next. */
interface Carried {
  readonly optimizer: OptimizerSpec
  readonly state: Floats
  readonly steps: number
}

/** All that a training needs, read, checked and bound. */
interface Prepared {
  readonly job: Job
  readonly engine: Engine
  readonly recorder: Recorder
  readonly network: Network
  readonly optimizer: OptimizerSpec
  readonly keepsState: boolean
  readonly data: readonly Bound[]
}

/**
 * A feed-forward neural network.
 *
 * `new FNN()` is the network of the question this library began with: hidden layers of 128 and 64 tanh units; sizes and
 * task are taken from the first fit. The options describe another. `L` is the type of its labels.
 */
export class FNN<L extends Label = Label> {
  /** Decides every random number: start, shuffles, splits, masks. */
  readonly seed: number
  readonly #config: Config
  #built: Built | null = null
  #training: Training | null = null
  #carried: Carried | null = null
  /** Epochs trained since the last reset, so that no two share an order of rows or a mask. */
  #epochs = 0

  /** @throws ERR_OPTION, ERR_SHAPE; ERR_BACKEND where the backend asked for is not there */
  constructor(options: ModelOptions<L> = {}) {
    this.#config = readModelOptions(options)
    this.seed = this.#config.seed
    const { inputs, outputs, layers } = this.#config
    const task = taskOfOptions(this.#config)
    const width = layers?.findLast((layer) => layer.kind === 'dense')?.units ?? outputs
    if (inputs !== null && width !== null && task !== null)
      this.#built = this.#build(null, blueprint(this.#config, inputs, { task, outputs: width }), null, null)
  }

  // -------------------------------------------------------------------------------------------------- training

  /**
   * Trains from the weights the model has, with a new optimizer state, off the event loop. Starts at once: x and y are
   * read before it returns and never written. Never throws; a bad argument rejects the Run.
   */
  fit(x: Inputs, y: Targets, options: FitOptions<Inputs, Targets> = {}): Run {
    return this.#fitAsync(x, y, options, false)
  }

  /** As `fit`, going on with the optimizer state of the last partialFit, and keeping it for the next. */
  partialFit(x: Inputs, y: Targets, options: FitOptions<Inputs, Targets> = {}): Run {
    return this.#fitAsync(x, y, options, true)
  }

  /** As `fit`, on this thread. @throws what the Run of `fit` rejects with */
  fitSync(x: Inputs, y: Targets, options: FitOptions<Inputs, Targets> = {}): History {
    const settings = readFitOptions(options)
    const orders: Orders = { stop: false }
    const prepared = this.#prepare(x, y, settings, false, false)
    this.#training = { orders, engine: prepared.engine }
    const { job, engine, recorder } = prepared
    const loop = training(job, recorder, orders)
    try {
      let next = loop.next()
      while (!next.done) next = loop.next(engine.run(next.value))
      this.#finish(prepared, next.value)
      return this.#conclude(recorder, settings, next.value)
    } finally {
      this.#release(prepared)
    }
  }

  #fitAsync(x: Inputs, y: Targets, options: FitOptions<Inputs, Targets>, keepsState: boolean): Run {
    const orders: Orders = { stop: false }
    const recorder = new Recorder(this.seed)
    const stop = (): void => {
      orders.stop = true
      this.#training?.orders === orders && this.#training.engine.stop()
    }
    return new Run({ epochs: recorder.epochs, stop }, async (tell) => {
      const settings = readFitOptions(options)
      if (settings.signal?.aborted) throw aborted(settings.signal, recorder)
      const prepared = this.#prepare(x, y, settings, keepsState, true, recorder)
      this.#training = { orders, engine: prepared.engine }
      settings.signal?.addEventListener('abort', stop)
      try {
        const outcome = await drive(training(prepared.job, recorder, orders), prepared.engine, tell)
        this.#finish(prepared, outcome)
        this.#release(prepared)
        if (settings.signal?.aborted && outcome.status === 'stopped') throw aborted(settings.signal, recorder)
        return this.#conclude(recorder, settings, outcome)
      } finally {
        settings.signal?.removeEventListener('abort', stop)
        this.#release(prepared)
      }
    })
  }

  /** Reads and checks everything, then builds what is missing. Nothing has changed if it throws. */
  #prepare(
    x: unknown,
    y: unknown,
    settings: FitSettings,
    keepsState: boolean,
    isAsync: boolean,
    recorder = new Recorder(this.seed),
  ): Prepared {
    this.#refuseBusy('fit')
    if (typeof settings.plot === 'string') checkPlotPath(settings.plot)
    const { inputs, dtype } = this.#config
    const width = this.#built?.network.model.inputs ?? inputs ?? undefined
    const outputs = this.#built?.coding?.outputs
    const pair = readPair(x, y, { ...(width && { inputs: width }), ...(outputs && { outputs }), dtype })
    const coding = this.#built?.coding ?? inferCoding(pair.targets, this.#known())
    const parts = this.#split(pair.features, pair.targets, coding, settings, width)
    const { train, held } = parts

    const scalers = this.#built?.coding
      ? { inputs: this.#built.inputScaler, targets: this.#built.targetScaler }
      : this.#fitScalers(train, coding)
    const plans = this.#built?.blueprint ?? blueprint(this.#config, train.features.columns, coding)
    const table = this.#table(train.features, train.targets, coding, plans, scalers.inputs, scalers.targets)
    const heldTable = held && this.#table(held.features, held.targets, coding, plans, scalers.inputs, scalers.targets)
    if (heldTable && heldTable.targets !== table.targets)
      throw new DownhillError('ERR_SHAPE', 'Expected the validation y in the same form as y, labels or probabilities.')

    this.#built = this.#built?.coding ? this.#built : this.#build(coding, plans, scalers.inputs, scalers.targets)
    const { network } = this.#built
    recorder.backend = network.backendName
    const batch = settings.batchSize === 'full' ? table.rows : Math.min(settings.batchSize, table.rows)
    const engine = network.trainer(settings.optimizer, batch, table.targets, isAsync)
    const carried = keepsState ? this.#carriedFor(settings.optimizer) : null
    if (carried) engine.write(engine.plan.state, carried.state)
    const data = engine.bind(table)
    const validation = heldTable && { data: engine.bind(heldTable), metrics: this.#metricsOf(heldTable, coding) }
    const { layout } = network
    const job: Job = {
      settings,
      data,
      batch,
      seed: this.seed,
      firstStep: carried?.steps ?? 0,
      firstEpoch: this.#epochs,
      validation,
      weights: {
        read: () => engine.read(engine.plan.parameters),
        write: (values) => engine.write(engine.plan.parameters, values),
      },
      suspect: () => firstNonFinite(engine.read(engine.plan.gradients), layout),
    }
    const bound = validation ? [data, validation.data] : [data]
    return { job, engine, recorder, network, optimizer: settings.optimizer, keepsState, data: bound }
  }

  /** Keeps what the next fit or partialFit goes on from. */
  #finish({ engine, job, recorder, optimizer, keepsState }: Prepared, _outcome: Outcome): void {
    this.#epochs += recorder.epochs.length
    this.#carried = keepsState
      ? { optimizer, state: engine.read(engine.plan.state), steps: job.firstStep + recorder.steps }
      : null
  }

  #release({ engine, data }: Prepared): void {
    if (this.#training?.engine !== engine) return
    this.#training = null
    for (const bound of data) bound.release()
    engine.close()
  }

  #conclude(recorder: Recorder, settings: FitSettings, { status, reason }: Outcome): History {
    const history = recorder.finish(status, reason)
    if (typeof settings.plot === 'string') history.plot(settings.plot)
    else if (settings.plot) console.log(history.plot())
    if (status === 'diverged' && settings.onDivergence === 'throw') {
      const error = new DownhillError('ERR_DIVERGED', `${reason} A lower learning rate or scaled inputs may help.`)
      error.history = history
      throw error
    }
    return history
  }

  #carriedFor(optimizer: OptimizerSpec): Carried | null {
    const carried = this.#carried
    return carried && JSON.stringify(carried.optimizer) === JSON.stringify(optimizer) ? carried : null
  }

  // -------------------------------------------------------------------------------------------------- looking

  /** Labels of a model of classes, Float64Array of a regression with one output, Matrix for more and for multilabel. */
  predict(x: Inputs): Predictions<L> {
    const { outputs, rows, coding } = this.#outputs(x, 'predict')
    return decodeOutputs(outputs, rows, coding) as Predictions<L>
  }

  /** Probability of the second class for two classes; Matrix (rows × classes) for more and for multilabel. */
  predictProba(x: Inputs): Floats | Matrix {
    const { outputs, rows, coding } = this.#outputs(x, 'predictProba')
    return decodeProbabilities(outputs, rows, coding)
  }

  /** Loss, and accuracy (classes) or r2 (regression). */
  evaluate(x: Inputs, y: Targets): Evaluation {
    const built = this.#fitted('evaluate')
    const { table, raw } = this.#pair(built, x, y)
    const report = built.network.evaluate(table)
    const outputs = this.#linked(built, report.output as Floats)
    const modelLoss = report.loss[0]
    if (built.targetScaler === null) return { loss: modelLoss, modelLoss, ...metricOf(built.coding, table, outputs) }
    const undone = unstandardize(outputs, built.targetScaler)
    const own: Table = { ...table, y: raw }
    return { loss: this.#lossOf(built, own, undone), modelLoss, ...metricOf(built.coding, own, undone) }
  }

  /** The loss as configured, in the model's units: no penalty, no dropout. */
  loss(x: Inputs, y: Targets): number {
    const built = this.#builtFor('loss', y)
    return built.network.evaluate(this.#pair(built, x, y).table).loss[0]
  }

  /** The loss as `loss` gives it, and its gradient, a copy, one entry a parameterised layer. */
  gradients(x: Inputs, y: Targets): { loss: number; layers: LayerParameters[] } {
    const built = this.#builtFor('gradients', y)
    const { loss, gradient } = built.network.gradient(this.#pair(built, x, y).table)
    return { loss, layers: readParameters(gradient, built.network.layout) }
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
  }

  /** Draws the weights afresh, from `seed` or the model's own, and forgets the optimizer's state. */
  reset(seed: number = this.seed): void {
    this.#refuseBusy('reset')
    checkNumber(seed, RANGES.seed, 'seed')
    this.#carried = null
    this.#epochs = 0
    this.#built?.network.draw(seed, this.#config.initScale)
  }

  /** Layers, shapes and counts as a table. */
  summary(): string {
    const { network } = this.#requireBuilt('summary')
    return summarize(network)
  }

  /** The compiled training step. @param options those of `fit` that decide it */
  explain(options: Pick<FitOptions, 'optimizer' | 'batchSize'> = {}): string {
    const { network, coding } = this.#requireBuilt('explain')
    const { optimizer, batchSize } = readFitOptions(options)
    const isIndexed = lossRow(network.loss).classTargets === 'index' && coding?.task !== 'regression'
    const outputs = network.layout.widths[network.layout.widths.length - 1]
    const rows = batchSize === 'full' ? Number.MAX_SAFE_INTEGER : batchSize
    return explainProgram(network.trainingPlan(optimizer, rows, isIndexed ? 1 : outputs), 'train')
  }

  /** Name of the backend that runs this model; null before it is built. */
  get backend(): string | null {
    return this.#built?.network.backendName ?? null
  }

  // -------------------------------------------------------------------------------------------------- inside

  #known() {
    const known = knownOf(this.#config)
    const { network } = this.#built ?? {}
    return network ? { ...known, outputs: network.layout.widths[network.layout.widths.length - 1] } : known
  }

  #build(
    coding: Coding | null,
    plans: Blueprint,
    inputScaler: Standardization | null,
    targetScaler: Standardization | null,
  ): Built {
    const { dtype, backend, threads, initScale } = this.#config
    const network = this.#built?.network ?? new Network({ ...plans, dtype, backend, threads }, this.seed, initScale)
    return { network, blueprint: plans, coding, inputScaler, targetScaler }
  }

  #fitScalers(
    { features, targets }: Part,
    coding: Coding,
  ): { inputs: Standardization | null; targets: Standardization | null } {
    const asked = this.#config.standardize
    const isRegression = coding.task === 'regression'
    return {
      inputs: asked === true || asked === 'inputs' ? fitStandardization(features) : null,
      targets:
        isRegression && (asked === true || asked === 'targets')
          ? fitStandardization(numbersOf(targets), undefined, 'y')
          : null,
    }
  }

  #split(
    features: FeatureTable,
    targets: TargetTable,
    coding: Coding,
    settings: FitSettings,
    width: number | undefined,
  ) {
    const { validation } = settings
    if (validation === null) return { train: { features, targets }, held: null }
    if (typeof validation === 'object') {
      const pair = readPair(validation.x, validation.y, {
        inputs: width ?? features.columns,
        dtype: this.#config.dtype,
      })
      return { train: { features, targets }, held: pair }
    }
    const split = splitRows(features.rows, validation, { seed: this.seed, classes: classIndices(targets, coding) })
    const part = (rows: Uint32Array): Part => ({
      features: selectRows(features, rows),
      targets: selectTargets(targets, rows),
    })
    return { train: part(split.train), held: part(split.validation) }
  }

  /** A table as the backend binds it. */
  #table(
    features: FeatureTable,
    targets: TargetTable,
    coding: Coding,
    { loss }: Blueprint,
    inputScaler: Standardization | null,
    targetScaler: Standardization | null,
  ): Table {
    const { dtype } = this.#config
    const scaled = inputScaler ? standardize(features, inputScaler, dtype) : features
    const numbers = targetScaler ? standardize(numbersOf(targets), targetScaler, dtype, 'y') : null
    const encoded = numbers
      ? { y: numbers.x as Floats, targets: numbers.columns }
      : encodeTargets(targets, coding, lossRow(loss).classTargets, dtype)
    return { ...scaled, ...encoded }
  }

  #pair(built: Built & { coding: Coding }, x: unknown, y: unknown): { table: Table; raw: Floats } {
    const { network, coding, blueprint: plans, inputScaler, targetScaler } = built
    const { dtype } = this.#config
    const { features, targets } = readPair(x, y, { inputs: network.model.inputs, outputs: coding.outputs, dtype })
    const table = this.#table(features, targets, coding, plans, inputScaler, targetScaler)
    const raw = targetScaler ? encodeTargets(targets, coding, 'dense', dtype).y : (table.y as Floats)
    return { table, raw }
  }

  /** Outputs as probabilities or values in the caller's units. */
  #outputs(x: unknown, call: string): { outputs: Floats; rows: number; coding: Coding } {
    const built = this.#requireBuilt(call)
    const { network, inputScaler, targetScaler } = built
    const { dtype } = this.#config
    const features = readFeatures(x, { inputs: network.model.inputs, dtype })
    const scaled = inputScaler ? standardize(features, inputScaler, dtype) : features
    const outputs = this.#linked(built, network.predict(scaled.x, scaled.rows, scaled.scale))
    const coding = built.coding ?? this.#codingBeforeFit(network)
    return { outputs: targetScaler ? unstandardize(outputs, targetScaler) : outputs, rows: features.rows, coding }
  }

  /** Where the loss reads outputs as logits and the output layer leaves them so, probabilities are one step further. */
  #linked({ blueprint: plans, network }: Built, outputs: Floats): Floats {
    const link = pendingLink(plans)
    if (link === null) return outputs
    const width = network.layout.widths[network.layout.widths.length - 1]
    ACTIVATIONS.get(link)?.forward(outputs, outputs, outputs.length / width, width)
    return outputs
  }

  /** The loss of outputs in the caller's units, by the specification's own kernel. */
  #lossOf({ blueprint: { model, loss } }: Built, table: Table, outputs: Floats): number {
    const { kernel, scale, overRows, parameter } = placeLoss(loss, outputActivation(model))
    const O = outputs.length / table.rows
    const s = overRows ? scale(O) / table.rows : scale(O)
    return LOSS_KERNELS.get(kernel)?.compute(
      outputs,
      table.y as Floats,
      null,
      table.rows,
      O,
      table.targets,
      s,
      parameter,
    ) as number
  }

  #metricsOf(table: Table, coding: Coding): (report: Report) => Record<string, number> {
    return (report) => metricOf(coding, table, this.#linked(this.#built as Built, report.output as Floats))
  }

  /** A net built from options alone that has seen no y: classes are the numbers 0 … K−1. */
  #codingBeforeFit(network: Network): Coding {
    const task = taskOfOptions(this.#config) ?? 'regression'
    const outputs = network.layout.widths[network.layout.widths.length - 1]
    const count = Math.max(2, outputs)
    const isClasses = task === 'binary' || task === 'multiclass'
    const classes = this.#config.classes ?? (isClasses ? Array.from({ length: count }, (_, k) => k) : null)
    return { task, outputs, classes }
  }

  #requireBuilt(call: string): Built {
    if (this.#built) return this.#built
    throw new DownhillError(
      'ERR_STATE',
      `Expected a built model for ${call}; call fit first, or give inputs, outputs and task to the constructor.`,
    )
  }

  /** For calls that compare with y: a net that has seen none yet codes this one, for this call only. */
  #builtFor(call: string, y: unknown): Built & { coding: Coding } {
    const built = this.#requireBuilt(call)
    return { ...built, coding: built.coding ?? inferCoding(readTargets(y), this.#known()) }
  }

  #fitted(call: string): Built & { coding: Coding } {
    const built = this.#requireBuilt(call)
    return { ...built, coding: built.coding ?? this.#codingBeforeFit(built.network) }
  }

  #refuseBusy(call: string): void {
    if (this.#training)
      throw new DownhillError('ERR_BUSY', `Expected an idle model for ${call} but it is training; await its run first.`)
  }
}

interface Part {
  readonly features: FeatureTable
  readonly targets: TargetTable
}

/** Targets that are numbers, as a table that can be scaled. */
function numbersOf({ rows, columns, values, scale }: TargetTable): FeatureTable {
  return { rows, columns, x: values as Floats | Uint8Array, scale }
}

/** The metric that goes with a task, by name. */
function metricOf(coding: Coding, { y, targets, rows }: Table, outputs: Floats): Record<string, number> {
  const { name, compute } = defaultMetric(coding.task)
  return { [name]: compute({ truth: y as Floats, targets, outputs, rows, coding }) }
}

function aborted(signal: AbortSignal, recorder: Recorder): DownhillError {
  const error = new DownhillError('ERR_ABORTED', 'The run was aborted by its signal.', { cause: signal.reason })
  error.history = recorder.finish('stopped', 'The run was aborted by its signal.')
  return error
}

/** Runs the slices of a training on the engine's own thread. */
async function drive(
  loop: Generator<Slice<Bound>, Outcome, Report>,
  engine: Engine,
  tell: () => void,
): Promise<Outcome> {
  let next = loop.next()
  while (!next.done) {
    next = loop.next(await engine.runAsync(next.value))
    tell()
  }
  return next.value
}
