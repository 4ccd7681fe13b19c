/**
 * A built network: sizes known, parameters drawn and held by an engine, plans compiled when they are first needed.
 *
 * The parameters live in one block that belongs to the engine that predicts; engines that train or differentiate share
 * it. So predicting is always possible, also in mid-training, and nothing is copied back and forth.
 */
import type { Backend, Bound, Engine } from './backends/backend'
import { physicalCores } from './backends/cores'
import { type BackendName, backendFor, pickBackend } from './backends/pick'
import { drop, keep, take } from './backends/spare'
import { typescriptBackend } from './backends/typescript'
import { DownhillError } from './errors'
import { type LayerSpec, needsWholeBatch } from './layers'
import type { LossSpec } from './losses'
import { type OptimizerSpec, optimizerRow } from './optimizers'
import { CHUNK_ROWS, type CompileOptions, compile, PREDICT_ROWS } from './plan/compile'
import {
  areFinite,
  drawParameters,
  type Layout,
  layOut,
  type Model,
  nothingToTrain,
  outputsOf,
  type Tensor,
} from './plan/layout'
import type { Dtype, Floats, Plan, ProgramName, Report, Table } from './plan/plan'
import type { FitSettings } from './train/options'
import { evaluation } from './train/slices'

export interface NetworkOptions {
  readonly model: Model
  readonly loss: LossSpec
  readonly dtype: Dtype
  readonly backend: BackendName
  readonly threads: number | 'auto'
}

/** What a copy of a network may have other than the network. */
export interface CopyOptions {
  readonly layers?: readonly LayerSpec[]
  readonly dtype?: Dtype
}

/** What a step makes of its gradient. */
export interface Update extends Pick<CompileOptions, 'clipNorm' | 'clipValue' | 'ema'> {
  readonly optimizer: OptimizerSpec
  /** Whether it reports what its steps are made of, and knows the objective. @default false */
  readonly accounts?: boolean
}

/** What of the options decides what a step makes of its gradient. */
export function updateOf({ optimizer, clipNorm, clipValue, ema }: FitSettings, accounts: boolean): Update {
  return { optimizer, clipNorm, clipValue, ema, accounts }
}

/** Most that is kept of a pass between products with the Hessian, in floats: 256 MB of float32. Beyond, it is remade. */
const MOST_KEPT = 1 << 26

/** A step too small to be worth the hand-over to a second thread, in multiplications. */
const SMALL_STEP = 1 << 20

export class Network {
  readonly layout: Layout
  readonly #options: NetworkOptions
  readonly #backend: Backend
  /** Holds the parameters; predicts. */
  readonly #engine: Engine
  /** Evaluates; loaded when first needed, for so many target columns. */
  #evaluator: Engine | null = null
  /** What the trainers were asked for as. */
  readonly #keys = new WeakMap<Engine, string>()

  constructor(options: NetworkOptions, seed: number, initScale: number) {
    this.#options = options
    this.layout = layOut(options.model)
    const plan = this.#plan(['predict'], PREDICT_ROWS, 0)
    this.#backend = backendFor(plan, pickBackend(options.backend, options.dtype), options.backend)
    this.#engine = this.#backend.load(plan, this.#threads(PREDICT_ROWS, false))
    this.draw(seed, initScale)
  }

  get model(): Model {
    return this.#options.model
  }
  get loss(): LossSpec {
    return this.#options.loss
  }
  /** Units of the last layer. */
  get outputs(): number {
    return outputsOf(this.model)
  }
  get backendName(): Backend['name'] {
    return this.#backend.name
  }
  get dtype(): Dtype {
    return this.#options.dtype
  }

  /** Draws the parameters afresh. */
  draw(seed: number, initScale: number): void {
    drawParameters(this.model, this.layout, seed, initScale, this.dtype, (at, values) =>
      this.#engine.write({ at, length: values.length }, values),
    )
  }

  /** The whole parameter block, copied. */
  get parameters(): Floats {
    return this.#engine.read(this.#engine.plan.parameters)
  }
  set parameters(values: ArrayLike<number>) {
    this.#engine.write(this.#engine.plan.parameters, values)
  }

  /** Outputs of all rows, rows × outputs; null where a value of x is not finite. */
  predict(x: Floats | Uint8Array, rows: number, scale: number): Floats | null {
    return this.#engine.predict(x, rows, scale)
  }

  /** Loss (no penalty, no dropout) and outputs. */
  evaluate(table: Table): Report {
    const engine = this.#evaluatorFor(table.targets)
    const data = engine.bind(table)
    try {
      return engine.run(evaluation(data))
    } finally {
      data.release()
    }
  }

  /** Loss and its gradient at the parameters as they are; the gradient mirrors the parameter block. */
  gradient(table: Table): { loss: number; gradient: Floats } {
    const engine = this.#load(this.#plan(['gradient'], Math.min(table.rows, CHUNK_ROWS), table.targets), false)
    const data = engine.bind(table)
    try {
      const report = engine.run(evaluation(data, 'gradient'))
      return { loss: report.loss[0], gradient: engine.read(engine.plan.gradients) }
    } finally {
      data.release()
      engine.close()
    }
  }

  /**
   * An engine that trains these parameters, its state zero; or where the optimizer searches, one that visits others
   * (train/search.ts). Whoever has done with it gives it back with `release`.
   * @param batch rows a step
   * @param targets columns of the targets as the loss takes them
   * @param isAsync whether it leaves a core free, as engines do that run beside the event loop
   * @param rows that are to be held at once, at most, where a layer does not need the whole batch
   */
  trainer(update: Update, batch: number, targets: number, isAsync: boolean, rows = batch): Engine {
    if (optimizerRow(update.optimizer).isSearch) return this.#searcher(update.optimizer, batch, targets, isAsync)
    const key = JSON.stringify([update, batch, targets, isAsync, rows])
    const kept = take(this, key)
    if (kept) {
      kept.clear(kept.plan.state)
      return kept
    }
    drop() // two would be more than this training needs
    const programs: readonly ProgramName[] = update.accounts
      ? ['train', 'evaluate', 'objective']
      : ['train', 'evaluate']
    const plan = this.#plan(programs, this.#chunkRows(batch, rows), targets, update)
    const engine = this.#load(plan, isAsync)
    this.#keys.set(engine, key)
    return engine
  }

  /** Takes back a trainer that is at rest, for the next who asks for such a one. */
  release(trainer: Engine): void {
    const key = this.#keys.get(trainer)
    if (key === undefined) trainer.close()
    else keep(this, key, trainer)
  }

  /** The training plan, as `explain` shows it. */
  trainingPlan(update: Update, rows: number, targets: number): Plan {
    return this.#plan(['train'], Math.min(rows, CHUNK_ROWS), targets, update)
  }

  bind(table: Table): Bound {
    return this.#engine.bind(table)
  }

  /** A plan of this model with `programs`, `train` not among them, in chunks of `capacity` rows. */
  plan(programs: readonly ProgramName[], capacity: number, targets: number): Plan {
    return this.#plan(programs, capacity, targets)
  }

  /** An engine for a plan of this model, over this network's own parameters. Whoever loads it closes it. */
  load(plan: Plan): Engine {
    return this.#load(plan, false)
  }

  /**
   * An engine for the objective, its gradient and, where `curves`, its curvature over `rows` rows. Its parameters are its
   * own, and those of this moment: whoever looks around moves nobody else's.
   */
  surveyor(rows: number, targets: number, { curves = true, isAsync = true } = {}): Engine {
    const plan = (capacity: number, keepsPass: boolean): Plan => {
      const { model, loss, dtype } = this.#options
      const programs: readonly ProgramName[] = ['linearize', 'objective', ...(curves ? (['curvature'] as const) : [])]
      return compile(model, { dtype, capacity, loss, targets, programs, keepsPass })
    }
    const whole = curves ? plan(rows, true) : null
    const engine = this.#loadApart(
      whole !== null && whole.length <= MOST_KEPT ? whole : plan(this.#chunkRows(rows), false),
      isAsync,
    )
    engine.write(engine.plan.parameters, this.parameters)
    return engine
  }

  /**
   * An engine for the gradient of a training step of `batch` rows, masks and all, that makes no step; and without masks.
   * Its parameters are its own, and zero.
   */
  twin(batch: number, targets: number, isAsync: boolean): Engine {
    return this.#loadApart(this.#plan(['train', 'linearize'], this.#chunkRows(batch), targets), isAsync)
  }

  /** An engine that evaluates other parameters than these: its own, which are zero. */
  judge(targets: number, isAsync: boolean): Engine {
    return this.#loadApart(this.#plan(['evaluate'], PREDICT_ROWS, targets), isAsync)
  }

  /**
   * An engine for a search: the objective and its gradient at parameters of its own, which are zero, in chunks of at most
   * `rows` rows; and the optimizer's state.
   */
  #searcher(optimizer: OptimizerSpec, rows: number, targets: number, isAsync: boolean): Engine {
    const plan = this.#plan(['linearize', 'evaluate'], Math.min(rows, CHUNK_ROWS), targets, { optimizer })
    return this.#loadApart(plan, isAsync)
  }

  /** An engine for the passes of an optimizer alone, in float64, its parameters its own. Its data: one row. */
  updater(optimizer: OptimizerSpec): Engine {
    const { model, loss } = this.#options
    const programs = ['update'] as const
    const plan = compile(model, { dtype: 'float64', capacity: 1, loss, targets: 0, programs, optimizer })
    return typescriptBackend.load(plan, 1)
  }

  /**
   * A network of its own at the same parameters, on the same backend, or in float64 on the one that has it; what is
   * tried out there leaves this one alone. `layers` may differ in what has no parameters.
   */
  copy({ layers = this.model.layers, dtype = this.#options.dtype }: CopyOptions = {}): Network {
    const backend = dtype === this.#options.dtype ? this.#backend.name : 'typescript'
    const copy = new Network({ ...this.#options, model: { ...this.model, layers }, dtype, backend }, 0, 1)
    copy.parameters = this.parameters
    return copy
  }

  close(): void {
    drop(this)
    this.#evaluator?.close()
    this.#engine.close()
  }

  #evaluatorFor(targets: number): Engine {
    if (this.#evaluator?.plan.targets === targets) return this.#evaluator
    this.#evaluator?.close()
    this.#evaluator = this.#load(this.#plan(['evaluate'], PREDICT_ROWS, targets), false)
    return this.#evaluator
  }

  #plan(programs: readonly ProgramName[], capacity: number, targets: number, update?: Update): Plan {
    const { model, loss, dtype } = this.#options
    return compile(model, { dtype, capacity, loss, targets, programs, ...update })
  }

  #load(plan: Plan, isAsync: boolean): Engine {
    return this.#backend.load(plan, this.#threads(plan.capacity, isAsync), this.#engine)
  }

  /** As #load, sharing nothing. */
  #loadApart(plan: Plan, isAsync: boolean): Engine {
    const backend = backendFor(plan, this.#backend, this.#options.backend)
    return backend.load(plan, this.#threads(plan.capacity, isAsync))
  }

  /** Rows of a chunk of a batch that is trained on. */
  #chunkRows(batch: number, rows = batch): number {
    return needsWholeBatch(this.model.layers) ? batch : Math.min(rows, CHUNK_ROWS)
  }

  #threads(rows: number, isAsync: boolean): number {
    const { threads } = this.#options
    if (threads !== 'auto') return threads
    if (rows * this.layout.parameters.length < SMALL_STEP) return 1
    return isAsync ? Math.max(1, physicalCores() - 1) : physicalCores()
  }
}

/** @throws ERR_STATE, ERR_OPTION where batches of so many rows cannot train the model */
export function checkTraining(model: Model, batch: number): void {
  if (layOut(model).trained.length === 0) throw nothingToTrain()
  if (batch === 1 && needsWholeBatch(model.layers))
    throw new DownhillError(
      'ERR_OPTION',
      'Expected batches of at least 2 rows for batchNorm, whose statistics are those of the batch; layerNorm needs none.',
    )
}

/** A tensor's floats within a block laid out as the parameters are. */
export function tensorIn(block: Floats, { at, spec }: Tensor): Floats {
  return block.subarray(at, at + spec.rows * spec.columns)
}

/**
 * What was not finite first in the step that an engine refused, in the order of its pass: `the outputs of layer 2`, then,
 * from the last layer to the first, `the gradient of the weights of layer 1`; null if all of that is finite. Of a batch of
 * several chunks the outputs of the last are still there.
 */
export function firstNonFinite(engine: Engine, layout: Layout): string | null {
  const { plan } = engine
  let layer = 0
  for (const instruction of plan.programs.train?.chunk ?? []) {
    if (instruction.op === 'loss') break
    if ('W' in instruction) layer = layout.tensors.find(({ at }) => at === instruction.W)?.layer ?? layer
    if (!('y' in instruction && 'O' in instruction)) continue
    if (!areFinite(engine.read({ at: instruction.y, length: plan.capacity * instruction.O })))
      return `the outputs of layer ${layer + 1}`
  }
  const block = engine.read(plan.gradients)
  const strange = layout.trained.filter((tensor) => !areFinite(tensorIn(block, tensor)))
  const last = Math.max(...strange.map((tensor) => tensor.layer))
  const first = strange.find((tensor) => tensor.layer === last)
  return first ? `the gradient of the ${first.spec.name} of layer ${last + 1}` : null
}
