/**
 * From options and what the first data say to a network: layers and loss filled in where the caller left them out.
 */
import { ACTIVATIONS, type ActivationName } from './activations'
import { type Coding, checkKnown, type Known, type Task } from './data/targets'
import { DownhillError } from './errors'
import { dense, indexColumns, type LayerSpec, layerRow, outputActivation, unitsOf } from './layers'
import {
  formOf,
  LOSS_KERNELS,
  type LossKernel,
  type LossName,
  type LossSpec,
  lossRow,
  placeLoss,
  readLoss,
} from './losses'
import type { OptimizerSpec } from './optimizers'
import type { Config } from './options'
import { layOut, type Model, outputsOf } from './plan/layout'
import type { Floats, Table } from './plan/plan'

/** What a task needs at the output where nothing else was asked for. */
const OUTPUTS: { readonly [T in Task]: { readonly activation: ActivationName; readonly loss: LossName } } = {
  binary: { activation: 'sigmoid', loss: 'binaryCrossEntropy' },
  multiclass: { activation: 'softmax', loss: 'crossEntropy' },
  multilabel: { activation: 'sigmoid', loss: 'binaryCrossEntropy' },
  regression: { activation: 'linear', loss: 'mse' },
}

/** The task that an output activation says. */
const ACTIVATION_TASKS: { readonly [name: string]: 'binary' | 'multiclass' | undefined } = {
  sigmoid: 'binary',
  softmax: 'multiclass',
}

/** What the options say of the task, for inferCoding. */
export function knownOf(config: Config): Known {
  const outputs = outputsAsked(config)
  const { layers } = config
  const activationTask = layers ? ACTIVATION_TASKS[outputActivation({ layers })] : undefined
  // A loss of distances says regression where the output activation does not say otherwise; no loss is the task's own.
  const lossTask = config.loss
    ? (lossRow(config.loss).task ?? (activationTask ? undefined : 'regression'))
    : activationTask
  return {
    ...(config.task && { task: config.task }),
    ...(lossTask && { lossTask }),
    ...(activationTask && { activationTask }),
    ...(outputs !== null && { outputs }),
    ...(config.classes && { classes: config.classes }),
  }
}

/** Units of the output layer, where the options decide it. */
export function outputsAsked({ layers, outputs }: Pick<Config, 'layers' | 'outputs'>): number | null {
  return (layers && unitsOf(layers)) ?? outputs
}

/**
 * The task where the options alone decide it, so that a net can be built before it sees data; else null.
 * @throws ERR_OPTION, ERR_SHAPE where outputs and classes do not go with it
 */
export function taskOfOptions(config: Config): Task | null {
  const known = knownOf(config)
  const task = taskOf(known)
  if (task) checkKnown(task, known)
  return task
}

function taskOf({ task, lossTask, activationTask, classes, outputs = 1 }: Known): Task | null {
  if (task) return task
  if (classes) return classes.length > 2 || outputs > 1 ? 'multiclass' : 'binary'
  // A loss of any classes: the output says which, but for many outputs, which may be of one class each or of several.
  const ofClasses = activationTask === 'multiclass' ? activationTask : outputs === 1 ? 'binary' : undefined
  const hint = lossTask === 'classes' ? ofClasses : (lossTask ?? activationTask)
  if (hint === 'binary') return outputs > 1 ? 'multilabel' : 'binary'
  return hint ?? null
}

export interface Blueprint {
  readonly model: Model
  readonly loss: LossSpec
}

/** Layers and loss of a model of `inputs` columns for `task` with `outputs` outputs. */
export function blueprint(
  config: Config,
  inputs: number,
  { task, outputs }: Pick<Coding, 'task' | 'outputs'>,
): Blueprint {
  const row = OUTPUTS[task]
  // A loss that is asked for brings its own output: ten classes under binaryCrossEntropy are ten sigmoids. One with a
  // form for each link goes by the task.
  const asked = config.loss && lossRow(config.loss)
  const activation = (asked && !asked.wide && (asked.link ?? asked.output)) || row.activation
  const layers: LayerSpec[] = config.layers
    ? [...config.layers]
    : [...config.hidden.map((units) => dense(units, config.activation)), dense(outputs, activation)]
  const model = { inputs, layers, initializer: config.initializer, l2: config.l2, l1: config.l1 }
  const beyond = indexColumns(layers).find(({ column }) => column >= inputs)
  if (beyond)
    throw new DownhillError(
      'ERR_SHAPE',
      `Expected columns of embedding below ${inputs}, as many as x has, but received ${beyond.column}.`,
    )
  const width = outputsOf(model)
  if (width !== outputs)
    throw new DownhillError(
      'ERR_SHAPE',
      `Expected the last layer to have ${outputs} units, as y needs, but it has ${width}.`,
    )
  return { model, loss: config.loss ?? readLoss(row.loss) }
}

/**
 * The network's outputs as probabilities, or whatever it predicts, in place: where the loss reads them as logits and the
 * output layer leaves them so, the loss's own activation is one step further. Else they are taken as they are.
 */
export function toProbabilities({ model, loss }: Blueprint, outputs: Floats): Floats {
  const activation = outputActivation(model)
  const { predicts } = lossRow(loss)
  const { link } = formOf(loss, activation)
  const { reads, fused } = placeLoss(loss, activation)
  if (reads === 'probabilities' || fused) return outputs
  if (predicts) {
    for (let i = 0; i < outputs.length; i++) outputs[i] = predicts(outputs[i])
    return outputs
  }
  if (link === undefined || ACTIVATIONS.get(activation)?.isProbability) return outputs
  const width = outputsOf(model)
  ACTIVATIONS.get(link)?.forward(outputs, outputs, outputs.length / width, width)
  return outputs
}

/** The loss of what `toProbabilities` made of outputs, in the caller's units, by the specification's own kernel. */
export function lossOf({ model, loss }: Blueprint, { y, rows, targets: T, weights }: Table, outputs: Floats): number {
  const activation = outputActivation(model)
  const { scale, overRows, constants } = placeLoss(loss, activation)
  const kernel = formOf(loss, activation).probabilities
  const O = outputs.length / rows
  const total = weights ? weights.reduce((sum, weight) => sum + weight, 0) : rows
  const s = overRows ? scale(O) / total : scale(O)
  const { compute } = LOSS_KERNELS.get(kernel) as LossKernel
  if (!weights) return compute(outputs, y as Floats, null, rows, O, T, s, constants)
  const row = (v: Floats, r: number, columns: number): Floats => v.subarray(r * columns, (r + 1) * columns)
  return weights.reduce(
    (sum, weight, r) => sum + compute(row(outputs, r, O), row(y as Floats, r, T), null, 1, O, T, s * weight, constants),
    0,
  )
}

/**
 * Refuses a network whose pass in training is another than at a point: masks, and statistics that training gathers.
 * @throws ERR_OPTION
 */
export function refuseWavering(model: Model, { kind }: OptimizerSpec): void {
  const found = layOut(model).layers.find(
    ({ spec, tensors }) => layerRow(spec).drawsMasks?.(spec) || tensors.some((tensor) => tensor.spec.role === 'kept'),
  )
  if (found)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected a network that is one function of its weights for ${kind} but it has ${found.spec.kind}; leave it out, or train by steps, with adam.`,
    )
}

/** The coding of a net that has seen no y. */
export function codingOf({ classes }: Config, task: Task, outputs: number): Coding {
  const isOfClasses = task === 'binary' || task === 'multiclass'
  const numbers = Array.from({ length: Math.max(2, outputs) }, (_, k) => k)
  return { task, outputs, classes: classes ?? (isOfClasses ? numbers : null) }
}
