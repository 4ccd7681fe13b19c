/**
 * The compiler: model + loss + optimizer → plan. The only place where a network becomes instructions.
 *
 * The programs share one arena (see plan.ts): `train` goes forward with masks, back, and updates; `gradient` goes
 * forward without masks and back; `evaluate` gives the loss and the outputs; `predict` the outputs. `objective` is the
 * loss as trained, `linearize` that and its gradient, `curvature` the product of its Hessian with the tangent; `update`
 * is an optimizer alone. A plan holds those that were asked for. Each program lays its activations into the same workspace from its start, since none
 * keeps anything there from one step to the next; but for what `linearize` leaves to `curvature`.
 */
import { type LayerSpec, layerRow, outputActivation, type TensorName } from '../layers'
import { type LossSpec, placeLoss } from '../losses'
import { type Matrix, type OptimizerSpec, optimizerRow } from '../optimizers'
import { PENALTIES, type Penalty } from '../penalties'
import { type Layout, layOut, type Model, nothingToTrain, penaltyOf, type Tensor } from './layout'
import { align, type Dtype, type Instruction, type Plan, type Program, type ProgramName, type Range } from './plan'
import {
  type Emitted,
  type Emitter,
  emitStage,
  type Input,
  type Place,
  type Stage,
  type StageParameters,
} from './stages'

export interface CompileOptions {
  readonly dtype: Dtype
  /** Rows of a chunk. */
  readonly capacity: number
  readonly loss: LossSpec
  /** Columns of the targets: 1 for class indices, else as many as outputs. */
  readonly targets: number
  readonly programs: readonly ProgramName[]
  /** Needed by `update`; without one, `train` goes as far as its gradient. */
  readonly optimizer?: OptimizerSpec
  /** Longest norm, and largest entry, of the gradient that `train` gives its optimizer. @default none */
  readonly clipNorm?: number | null
  readonly clipValue?: number | null
  /** Decay of the running average that `train` keeps of what it trains. @default none is kept */
  readonly ema?: number | null
  /**
   * `curvature` goes on from what the last `linearize` left in the workspace, and so is right only if a chunk holds all
   * rows and the parameters are where they were; else it makes the pass anew. @default false
   */
  readonly keepsPass?: boolean
  /** Whether `train` reports the sums that tell what its step is made of. @default false */
  readonly accounts?: boolean
}

/** Rows of a chunk: a function of the data alone, so that bits do not depend on threads. Bounds the activations of a full batch. */
export const CHUNK_ROWS = 1024
/** Rows of a chunk where nothing is trained; few, so that a chunk's activations stay in cache. */
export const PREDICT_ROWS = 256

export function compile(model: Model, options: CompileOptions): Plan {
  const layout = layOut(model)
  const { trainable } = layout
  const wants = (...names: ProgramName[]): boolean => names.some((name) => options.programs.includes(name))
  const behind = ({ at, length }: Range, vectors: number): Range => ({
    at: at + length,
    length: vectors * trainable.length,
  })
  // Of frozen layers nobody but `gradient` wants one.
  const { length: differentiable } = wants('gradient') ? layout.differentiable : trainable
  const gradients: Range = {
    at: layout.parameters.length,
    length: wants('train', 'gradient', 'linearize', 'update') ? differentiable : 0,
  }
  const vectors = options.optimizer ? optimizerRow(options.optimizer).stateVectors(options.optimizer.settings) : 0
  const averages = Number(typeof options.ema === 'number')
  const state = behind(gradients, vectors + averages)
  const average = { at: state.at + vectors * trainable.length, length: averages * trainable.length }
  const tangent = behind(state, Number(wants('curvature')))
  const curvature = behind(tangent, Number(wants('curvature')))
  const site: Site = { model, layout, options, gradients, state, average, tangent, curvature }

  const programs: { [P in ProgramName]?: Program } = {}
  let workspace = curvature.at + curvature.length
  let length = workspace
  let pass: Pass | null = null
  if (wants('linearize')) {
    const to = emitterAt(workspace, options, 'linearize')
    pass = emitPass(site, to, gradients)
    programs.linearize = { chunk: to.instructions, step: [...penalties(site, gradients), guard(site)] }
    length = to.end()
    if (options.keepsPass) workspace = length
  }
  for (const name of options.programs) {
    if (name === 'linearize') continue
    const to = emitterAt(workspace, options, name)
    programs[name] = PROGRAMS[name](site, to, options.keepsPass ? pass : null)
    length = Math.max(length, to.end())
  }
  return {
    dtype: options.dtype,
    inputs: model.inputs,
    targets: options.targets,
    capacity: options.capacity,
    length,
    parameters: layout.parameters,
    trainable,
    gradients,
    state,
    average,
    tangent,
    curvature,
    programs,
  }
}

/** What the programs are made from. */
interface Site {
  readonly model: Model
  readonly layout: Layout
  readonly options: CompileOptions
  readonly gradients: Range
  readonly state: Range
  readonly average: Range
  readonly tangent: Range
  readonly curvature: Range
}

/** Programs whose loss is the objective that training descends. */
const AS_TRAINED: readonly ProgramName[] = ['train', 'objective', 'linearize', 'curvature']

interface Collector extends Emitter {
  readonly instructions: Instruction[]
  /** What a step does when it is made. */
  readonly afterwards: Instruction[]
  /** End of the highest range allocated. */
  end(): number
}

function emitterAt(workspace: number, { capacity }: CompileOptions, name: ProgramName): Collector {
  const instructions: Instruction[] = []
  const afterwards: Instruction[] = []
  let end = workspace
  return {
    isTraining: name === 'train',
    takesBatch: AS_TRAINED.includes(name),
    keepsDeltas: name === 'linearize' || name === 'curvature',
    branches: new Map(),
    instructions,
    afterwards,
    emit: (instruction) => instructions.push(instruction),
    emitAfterwards: (instruction) => afterwards.push(instruction),
    reserve(floats) {
      const at = end
      end += align(floats)
      return at
    },
    allocate(columns) {
      const at = end
      end += align(columns * capacity)
      return at
    },
    end: () => end,
  }
}

const NOWHERE: Place = { W: -1, b: -1, mean: -1, variance: -1 }
const NO_PARAMETERS: StageParameters = { value: NOWHERE, gradient: NOWHERE, tangent: NOWHERE, curvature: NOWHERE }

/** The way there, through all stages but, where the loss takes its place, the output activation; which is returned. */
interface Forward {
  readonly emitted: readonly Emitted[]
  readonly z: number
  readonly width: number
  readonly held: Stage | null
}

/** A stage and the tensors of its layer. */
interface PlacedStage {
  readonly stage: Stage
  readonly parameters: StageParameters
}

/** The stages of all layers in order: a layer's own, those of layers within it, and what closes it. */
function unfold({ model, layout, tangent, curvature }: Site, gradients: Range | null): PlacedStage[] {
  let next = 0
  const visit = (spec: LayerSpec): PlacedStage[] => {
    const index = next++
    const { inputs, tensors } = layout.layers[index]
    const parameters: StageParameters = {
      value: placeIn(layout.parameters, tensors),
      gradient: placeIn(gradients, tensors),
      tangent: placeIn(tangent, tensors),
      curvature: placeIn(curvature, tensors),
    }
    const row = layerRow(spec)
    const own = (stages: readonly Stage[]): PlacedStage[] => stages.map((stage) => ({ stage, parameters }))
    const within = (row.within?.(spec) ?? []).flatMap(visit)
    return [...own(row.stages(spec, inputs, index)), ...within, ...own(row.closing?.(spec, inputs, index) ?? [])]
  }
  return model.layers.flatMap(visit)
}

/** Where a layer's tensors stand in a block that is laid out as the parameters are, or as their beginning. */
function placeIn(block: Range | null, tensors: readonly Tensor[]): Place {
  const find = (name: TensorName): number => {
    const tensor = tensors.find(({ spec }) => spec.name === name)
    return block === null || tensor === undefined || tensor.at >= block.length ? -1 : block.at + tensor.at
  }
  return { W: find('weights'), b: find('bias'), mean: find('runningMean'), variance: find('runningVariance') }
}

/** `gradients`: where dW and db go; null where nobody wants them. */
function emitForward(site: Site, to: Collector, gradients: Range | null = null): Forward {
  const { model, layout, options } = site
  const x = to.allocate(model.inputs)
  to.emit({ op: 'gather', x, I: model.inputs })
  const stages = unfold(site, gradients)
  const last = stages.at(-1)?.stage
  const held = last?.kind === 'activate' && placeLoss(options.loss, last.activation).fused ? last : null
  if (held) stages.pop()
  const emitted: Emitted[] = []
  let input: Input = { x, width: model.inputs, isKept: false }
  // A frozen layer is passed by where its gradient is not asked for.
  const isWanted = ({ gradient, value }: StageParameters): boolean =>
    gradients ? gradient.W >= 0 : value.W < layout.trainable.length
  for (const { stage, parameters } of stages) {
    const step = emitStage(stage, input, parameters, to)
    const hasParameters = step.hasParameters && isWanted(parameters)
    emitted.push({ ...step, hasParameters })
    const { y, width, keepsOutput = false } = step
    input = { x: y, width, isKept: keepsOutput }
  }
  return { emitted, z: input.x, width: input.width, held }
}

/** What `loss` and its tangent take beside z and dz. */
interface LossOperands {
  readonly row: string
  readonly t: number
  readonly O: number
  readonly T: number
  readonly scale: number
  readonly overRows: number
  readonly parameter: number
  readonly second: number
}

function emitLoss(site: Site, to: Collector, { z, width: O }: Forward, dz: number): LossOperands {
  const { loss, targets: T } = site.options
  const { kernel, scale, overRows, constants } = placeLoss(loss, outputActivation(site.model))
  const t = to.allocate(T)
  const operands = { row: kernel, t, O, T, scale: scale(O), overRows: Number(overRows), ...constants }
  to.emit({ op: 'gatherTargets', t, T })
  to.emit({ op: 'loss', z, dz, ...operands })
  return operands
}

/** A pass there and back; `deltas[i]` is where the dy of stage i stands, while it stands. */
interface Pass {
  readonly forward: Forward
  readonly loss: LossOperands
  readonly deltas: readonly number[]
}

/** Forward, loss and back, dW and db to `gradients` if wanted. Whoever has parameters at or before it wants dx. */
function emitPass(site: Site, to: Collector, gradients: Range | null): Pass {
  const forward = emitForward(site, to, gradients)
  const { emitted, width } = forward
  const dz = to.allocate(width)
  const loss = emitLoss(site, to, forward, dz)
  const first = firstWithParameters(emitted)
  if (first < 0) throw nothingToTrain()
  const deltas: number[] = []
  let dy = dz
  for (let i = emitted.length - 1; i >= first; i--) {
    deltas[i] = dy
    dy = emitted[i].back(to, dy, i > first)
  }
  return { forward, loss, deltas }
}

/** The tangent of a pass: there, through the loss, and back to the Hessian times the tangent. */
function emitPassTangent({ forward: { emitted, z, width }, loss, deltas }: Pass, to: Collector): void {
  const inputs: number[] = []
  let Ry = -1
  for (const [i, stage] of emitted.entries()) {
    inputs[i] = Ry
    Ry = stage.tangent(to, Ry)
  }
  let Rdy = to.allocate(width)
  to.emit({ op: 'lossTangent', z, Rz: Ry, Rdz: Rdy, ...loss })
  const first = firstWithParameters(emitted)
  for (let i = emitted.length - 1; i >= first; i--)
    Rdy = emitted[i].backTangent(to, { Rx: inputs[i], dy: deltas[i], Rdy }, i > first)
}

function firstWithParameters(emitted: readonly Emitted[]): number {
  return emitted.findIndex((stage) => stage.hasParameters)
}

/** The activation held back for the loss, applied after it, for whoever wants to see outputs. */
function emitOutput({ held, z, width }: Forward, to: Collector): { at: number; columns: number } {
  if (held === null) return { at: z, columns: width }
  const { y } = emitStage(held, { x: z, width, isKept: true }, NO_PARAMETERS, to)
  return { at: y, columns: width }
}

/** `pass`: what `linearize` leaves to go on from; null where nothing stays. */
type Compile = (site: Site, to: Collector, pass: Pass | null) => Program

const PROGRAMS: { readonly [P in Exclude<ProgramName, 'linearize'>]: Compile } = {
  predict(site, to) {
    const forward = emitForward(site, to)
    const output = emitOutput(forward, to)
    return { chunk: to.instructions, step: [], output }
  },

  evaluate(site, to) {
    const forward = emitForward(site, to)
    emitLoss(site, to, forward, -1)
    const output = emitOutput(forward, to)
    return { chunk: to.instructions, step: [], output }
  },

  objective(site, to) {
    emitLoss(site, to, emitForward(site, to), -1)
    return { chunk: to.instructions, step: penalties(site, null) }
  },

  gradient(site, to) {
    emitPass(site, to, site.gradients)
    return { chunk: to.instructions, step: [] }
  },

  train(site, to) {
    emitPass(site, to, site.gradients)
    const step = [...penalties(site, site.gradients), guard(site), ...clip(site), ...account(site)]
    if (site.options.optimizer) step.push(...update(site, to), ...averaging(site), ...to.afterwards)
    return { chunk: to.instructions, step }
  },

  update(site, to) {
    return { chunk: [], step: update(site, to) }
  },

  curvature(site, to, pass) {
    emitPassTangent(pass ?? emitPass(site, to, null), to)
    return { chunk: to.instructions, step: penaltyCurvature(site) }
  },
}

/** Runs of neighbouring tensors with one λ > 0 of a penalty. */
function penalised({ model, layout }: Site, penalty: Penalty): { at: number; n: number; lambda: number }[] {
  const runs: { at: number; end: number; lambda: number }[] = []
  for (const tensor of [...layout.trained].sort((a, b) => a.at - b.at)) {
    const lambda = penaltyOf(tensor, model, penalty)
    const end = tensor.at + align(tensor.spec.rows * tensor.spec.columns)
    const last = runs.at(-1)
    if (last && last.lambda === lambda && last.end === tensor.at) last.end = end
    else runs.push({ at: tensor.at, end, lambda })
  }
  return runs.filter(({ lambda }) => lambda > 0).map(({ at, end, lambda }) => ({ at, n: end - at, lambda }))
}

/** `gradients`: what they are added to; null where nobody wants that. */
function penalties(site: Site, gradients: Range | null): Instruction[] {
  return PENALTIES.flatMap((penalty) =>
    penalised(site, penalty).map(({ at, n, lambda }) => ({
      op: penalty.op,
      w: at,
      dw: gradients === null ? -1 : gradients.at + at,
      n,
      lambda,
    })),
  )
}

/** λ times the tangent and the bend of a penalty: what it adds to the Hessian's product. */
function penaltyCurvature(site: Site): Instruction[] {
  const { tangent, curvature } = site
  return PENALTIES.filter(({ bend }) => bend > 0).flatMap((penalty) =>
    penalised(site, penalty).map(({ at, n, lambda }) => ({
      op: 'coupleDecay',
      w: tangent.at + at,
      g: curvature.at + at,
      n,
      lambda: lambda * penalty.bend,
    })),
  )
}

function guard({ gradients, layout }: Site): Instruction {
  return { op: 'guard', g: gradients.at, n: layout.trainable.length }
}

function clip({ gradients: { at: g }, layout, options: { clipNorm, clipValue } }: Site): Instruction[] {
  const n = layout.trainable.length
  const list: Instruction[] = []
  if (typeof clipNorm === 'number') list.push({ op: 'clipNorm', g, n, most: clipNorm })
  if (typeof clipValue === 'number') list.push({ op: 'clipValue', g, n, most: clipValue })
  return list
}

/** What the update is made of, where it is more than the gradient: its norm the guard knows. */
function account({ layout, options, gradients, state }: Site): Instruction[] {
  const { optimizer, accounts } = options
  if (!accounts || optimizer === undefined) return []
  const form = optimizerRow(optimizer).form(optimizer.settings)
  if (form === null) return []
  const { memory, preconditioner: P, coupledDecay, decoupledDecay } = form
  const decays = coupledDecay > 0 || decoupledDecay > 0
  if (memory === null && P === null && !decays) return []
  const n = layout.trainable.length
  const vector = (i: number | null | undefined): number => (typeof i === 'number' ? state.at + i * n : -1)
  return [
    {
      op: 'account',
      w: decays ? layout.trainable.at : -1,
      g: gradients.at,
      m: vector(memory?.state),
      v: vector(P?.state),
      most: vector(P?.largest),
      n,
      coupled: coupledDecay,
      decay: P?.decay ?? 0,
      share: P?.share ?? 0,
      corrected: Number(P?.isCorrected ?? false),
      initial: P?.initial ?? 0,
      epsilon: P?.epsilon ?? 0,
    },
  ]
}

/** Those that an optimizer may take for matrices, in the order of the block. */
function hiddenMatrices({ tensors, trained }: Layout): Matrix[] {
  const weights = tensors.filter(({ spec }) => spec.role === 'weights' && !spec.isTable)
  const last = Math.max(...weights.map(({ layer }) => layer))
  return weights
    .filter((tensor) => trained.includes(tensor))
    .filter(({ layer, spec }) => layer !== last && spec.rows > 1 && spec.columns > 1)
    .map(({ at, spec: { rows, columns } }) => ({ at, rows, columns }))
    .sort((a, b) => a.at - b.at)
}

/** The running average of what is trained, once it has moved. */
function averaging({ layout, options, average }: Site): Instruction[] {
  const { at, length } = layout.trainable
  if (typeof options.ema !== 'number') return []
  return [{ op: 'average', w: at, a: average.at, n: length, decay: options.ema }]
}

/** The optimizer's passes. */
function update({ layout, options, gradients, state }: Site, to: Collector): Instruction[] {
  if (options.optimizer === undefined) throw new Error('an update needs an optimizer')
  const weights = layout.trainable
  return optimizerRow(options.optimizer).passes(options.optimizer.settings, {
    weights,
    gradients: { at: gradients.at, length: weights.length },
    hidden: hiddenMatrices(layout),
    state: (i) => state.at + i * weights.length,
    scratch: (floats) => to.reserve(floats),
  })
}
