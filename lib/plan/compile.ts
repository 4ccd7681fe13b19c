/**
 * The compiler: model + loss + optimizer → plan. The only place where a network becomes instructions.
 *
 * Four programs share one arena (see plan.ts): `train` goes forward with masks, back, and updates; `gradient` goes
 * forward without masks and back; `evaluate` gives the loss and the outputs; `predict` the outputs. A plan holds those
 * that were asked for. Each program lays its activations into the same workspace from its start, since none keeps
 * anything there from one step to the next.
 */
import { layerRow } from '../layers'
import { type LossSpec, placeLoss } from '../losses'
import { type OptimizerSpec, optimizerRow } from '../optimizers'
import { type Layout, layOut, type Model, penaltyOf } from './layout'
import { align, type Dtype, type Instruction, type Plan, type Program, type ProgramName, type Range } from './plan'
import { type Emitted, type Emitter, emitStage, type Stage, type StageParameters } from './stages'

export interface CompileOptions {
  readonly dtype: Dtype
  /** Rows of a chunk. */
  readonly capacity: number
  readonly loss: LossSpec
  /** Columns of the targets: 1 for class indices, else as many as outputs. */
  readonly targets: number
  readonly programs: readonly ProgramName[]
  /** Needed by `train`. */
  readonly optimizer?: OptimizerSpec
}

/** Rows of a chunk: a function of the data alone, so that bits do not depend on threads. Bounds the activations of a full batch. */
export const CHUNK_ROWS = 1024
/** Rows of a chunk where nothing is trained; few, so that a chunk's activations stay in cache. */
export const PREDICT_ROWS = 256

export function compile(model: Model, options: CompileOptions): Plan {
  const layout = layOut(model)
  const { trainable } = layout
  const wantsGradient = options.programs.includes('train') || options.programs.includes('gradient')
  const gradients: Range = { at: trainable.length, length: wantsGradient ? trainable.length : 0 }
  const vectors = options.optimizer ? optimizerRow(options.optimizer).stateVectors(options.optimizer.settings) : 0
  const state: Range = { at: gradients.at + gradients.length, length: vectors * trainable.length }
  const workspace = state.at + state.length
  const site: Site = { model, layout, options, gradients, state }

  const programs: { [P in ProgramName]?: Program } = {}
  let length = workspace
  for (const name of options.programs) {
    const to = emitterAt(workspace, options.capacity, name === 'train')
    programs[name] = PROGRAMS[name](site, to)
    length = Math.max(length, to.end())
  }
  return {
    dtype: options.dtype,
    inputs: model.inputs,
    targets: options.targets,
    capacity: options.capacity,
    length,
    parameters: trainable,
    trainable,
    gradients,
    state,
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
}

interface Collector extends Emitter {
  readonly instructions: Instruction[]
  /** End of the highest range allocated. */
  end(): number
}

function emitterAt(workspace: number, capacity: number, isTraining: boolean): Collector {
  const instructions: Instruction[] = []
  let end = workspace
  return {
    isTraining,
    instructions,
    emit: (instruction) => instructions.push(instruction),
    allocate(columns) {
      const at = end
      end += align(columns * capacity)
      return at
    },
    end: () => end,
  }
}

/** Forward through all stages but, where the loss takes its place, the output activation; which is returned. */
function emitForward(site: Site, to: Collector): { emitted: Emitted[]; z: number; width: number; held: Stage | null } {
  const { model, layout, options, gradients } = site
  const x = to.allocate(model.inputs)
  to.emit({ op: 'gather', x, I: model.inputs })
  const stages: { stage: Stage; parameters: StageParameters }[] = []
  for (const [index, layer] of model.layers.entries()) {
    const place = (name: 'weights' | 'bias'): number =>
      layout.tensors.find((tensor) => tensor.layer === index && tensor.spec.name === name)?.at ?? -1
    const [W, b] = [place('weights'), place('bias')]
    const parameters = { W, b, dW: W < 0 ? -1 : gradients.at + W, db: b < 0 ? -1 : gradients.at + b }
    for (const stage of layerRow(layer).stages(layer, layout.widths[index], index)) stages.push({ stage, parameters })
  }
  const last = stages.at(-1)?.stage
  const held = last?.kind === 'activate' && placeLoss(options.loss, last.activation).fused ? last : null
  if (held) stages.pop()
  const emitted: Emitted[] = []
  let [y, width] = [x, model.inputs]
  for (const { stage, parameters } of stages) {
    const step = emitStage(stage, y, width, parameters, to)
    emitted.push(step)
    y = step.y
    width = step.width
  }
  return { emitted, z: y, width, held }
}

/** The activation that a layer list ends with; 'linear' where it ends with none. */
export function outputActivation(model: Model): string {
  const last = model.layers.at(-1)
  const stage = last && layerRow(last).stages(last, 1, 0).at(-1)
  return stage?.kind === 'activate' ? stage.activation : 'linear'
}

function emitLoss(site: Site, to: Collector, z: number, O: number, wantsGradient: boolean): number {
  const { loss, targets: T } = site.options
  const { kernel, scale, overRows, parameter } = placeLoss(loss, outputActivation(site.model))
  const t = to.allocate(T)
  const dz = wantsGradient ? to.allocate(O) : -1
  to.emit({ op: 'gatherTargets', t, T })
  to.emit({ op: 'loss', row: kernel, z, t, dz, O, T, scale: scale(O), overRows: Number(overRows), parameter })
  return dz
}

/** Forward, loss and back: what `train` and `gradient` share. Whoever has parameters at or before it wants dx. */
function emitGradient(site: Site, to: Collector): void {
  const { emitted, z, width } = emitForward(site, to)
  let dy = emitLoss(site, to, z, width, true)
  const first = emitted.findIndex((step) => step.hasParameters)
  for (let i = emitted.length - 1; i >= first && i >= 0; i--) dy = emitted[i].back(to, dy, i > first)
}

/** The activation held back for the loss, applied after it, for whoever wants to see outputs. */
function emitOutput(held: Stage | null, z: number, width: number, to: Collector): { at: number; columns: number } {
  if (held === null) return { at: z, columns: width }
  const { y } = emitStage(held, z, width, { W: -1, b: -1, dW: -1, db: -1 }, to)
  return { at: y, columns: width }
}

type Compile = (site: Site, to: Collector) => Program

const PROGRAMS: { readonly [P in ProgramName]: Compile } = {
  predict(site, to) {
    const { z, width, held } = emitForward(site, to)
    const output = emitOutput(held, z, width, to)
    return { chunk: to.instructions, step: [], output }
  },

  evaluate(site, to) {
    const { z, width, held } = emitForward(site, to)
    emitLoss(site, to, z, width, false)
    const output = emitOutput(held, z, width, to)
    return { chunk: to.instructions, step: [], output }
  },

  gradient(site, to) {
    emitGradient(site, to)
    return { chunk: to.instructions, step: [] }
  },

  train(site, to) {
    emitGradient(site, to)
    return { chunk: to.instructions, step: [...penalties(site), ...update(site)] }
  },
}

/** One penalty instruction for each run of neighbouring tensors with one λ. */
function penalties({ model, layout, gradients }: Site): Instruction[] {
  const runs: { at: number; end: number; lambda: number }[] = []
  for (const tensor of [...layout.tensors].sort((a, b) => a.at - b.at)) {
    const lambda = penaltyOf(tensor, model)
    const end = tensor.at + align(tensor.spec.rows * tensor.spec.columns)
    const last = runs.at(-1)
    if (last && last.lambda === lambda && last.end === tensor.at) last.end = end
    else runs.push({ at: tensor.at, end, lambda })
  }
  return runs
    .filter(({ lambda }) => lambda > 0)
    .map(({ at, end, lambda }) => ({ op: 'penalty', w: at, dw: gradients.at + at, n: end - at, lambda }))
}

/** The guard, then the optimizer's passes. */
function update({ layout, options, gradients, state }: Site): Instruction[] {
  if (options.optimizer === undefined) throw new Error('a training plan needs an optimizer')
  const weights = layout.trainable
  const guard: Instruction = { op: 'guard', g: gradients.at, n: gradients.length }
  const passes = optimizerRow(options.optimizer).passes(options.optimizer.settings, {
    weights,
    gradients,
    state: (i) => state.at + i * weights.length,
  })
  return [guard, ...passes]
}
