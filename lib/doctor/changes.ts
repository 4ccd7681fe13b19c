/**
 * Changes: one thing of a program set right, as values that replace the caller's.
 *
 * Each is a function of the exam, so that it keeps what it does not mean to change: layers stay as wide as they are,
 * a standardization that was there stays. None knows why it is tried.
 */
import { ACTIVATIONS, type ActivationName } from '../activations'
import type { Task } from '../data/targets'
import { type DenseSpec, type LayerSpec, layerRow, outputActivation, withOutputActivation } from '../layers'
import { type LossSpec, readLoss } from '../losses'
import { optimizerRow, readOptimizer } from '../optimizers'
import { isOfUnits } from './activity'
import type { Exam } from './exam'
import { isHalfLine } from './rule'
import { applied, type Change } from './subject'

type Edit = (layer: DenseSpec, isOutput: boolean) => DenseSpec

/**
 * Every layer of units through `edit`, those within others too, and what is dropped through `rate`; other layers stay as
 * they are. An output whose activation is a layer of its own is given to `edit` with that activation.
 */
export function editLayers(exam: Exam, edit: Edit, rate: (rate: number) => number = (r) => r): Change {
  const { layers } = exam.blueprint.model
  const output = layers.findLastIndex(isOfUnits)
  const isApart = output < layers.length - 1
  const last = outputActivation(exam.blueprint.model)
  let activation = last
  const edited = layers.flatMap((layer, i): LayerSpec[] => {
    if ('rate' in layer) return rate(layer.rate) > 0 ? [{ ...layer, rate: rate(layer.rate) }] : []
    if (i !== output || !isApart || !isOfUnits(layer)) return [editLayer(layer, i === output, edit, rate)]
    const changed = edit({ ...layer, activation: last }, true)
    activation = changed.activation
    return [{ ...changed, activation: layer.activation }]
  })
  const whole = activation === last ? edited : withOutputActivation(edited, activation)
  return { model: { layers: whole, ...LONG_FORM, loss: exam.blueprint.loss, task: exam.coding.task } }
}

function editLayer(layer: LayerSpec, isOutput: boolean, edit: Edit, rate: (rate: number) => number): LayerSpec {
  if (isOfUnits(layer)) return edit(layer, isOutput)
  // Within a layer one that drops nothing stays, since it may be the only one there.
  if ('rate' in layer) return { ...layer, rate: rate(layer.rate) }
  const { within, withWithin } = layerRow(layer)
  if (!within || !withWithin) return layer
  return withWithin(
    layer,
    within(layer).map((inner) => editLayer(inner, false, edit, rate)),
  )
}

/** What the long form of the layers makes superfluous. */
const LONG_FORM = { hidden: undefined, activation: undefined } as const

/** Output activation and loss of a task, as a textbook has them. */
export const TEXTBOOK: { readonly [T in Task]: { activation: ActivationName; loss: LossSpec['kind'] } } = {
  binary: { activation: 'sigmoid', loss: 'binaryCrossEntropy' },
  multiclass: { activation: 'softmax', loss: 'crossEntropy' },
  multilabel: { activation: 'sigmoid', loss: 'binaryCrossEntropy' },
  regression: { activation: 'linear', loss: 'mse' },
}

/** Textbook output of the exam's task; two outputs of a binary task are a softmax. */
export function textbook({ coding }: Exam) {
  return TEXTBOOK[coding.task === 'binary' && coding.outputs === 2 ? 'multiclass' : coding.task]
}

/** Starting weights by the activation: variance 2/fan-in for halves of lines, Glorot's else; biases 0. */
export function redraw(exam: Exam): Change {
  const change = editLayers(exam, (layer) => freshDense(layer))
  return { model: { ...change.model, initScale: 1 } }
}

export function freshDense(layer: DenseSpec, activation = layer.activation): DenseSpec {
  const { initializer: _, ...rest } = layer
  return {
    ...rest,
    activation,
    initializer: { kind: initializerFor(activation) },
    bias: layer.bias && { kind: 'zeros' },
  }
}

/** He et al. 2015 for activations that are zero on one side, LeCun's for selu, Glorot & Bengio 2010 for the others. */
function initializerFor(name: ActivationName): 'heNormal' | 'lecunNormal' | 'glorotUniform' {
  const ends = Float64Array.of(-30, 30)
  ACTIVATIONS.get(name)!.forward(ends, ends, 2, 1)
  if (name === 'selu') return 'lecunNormal'
  return ends[1] > 20 && Math.abs(ends[0]) < 2 ? 'heNormal' : 'glorotUniform'
}

export function withRate(exam: Exam, factor: number): Change {
  return { fit: { learningRate: exam.settings.learningRate * factor } }
}

/** Inputs, targets or both standardized, and what was so before stays so. */
export function standardized({ subject, coding }: Exam, what: 'inputs' | 'targets'): Change {
  const now = subject.model.standardize ?? false
  const other = what === 'inputs' ? 'targets' : 'inputs'
  const both = now === other && coding.task === 'regression'
  return { model: { standardize: both || now === true ? true : what } }
}

/** leakyRelu where an activation is zero on one side, and weights drawn afresh. */
export function leaky(exam: Exam): Change {
  return editLayers(exam, (spec, isOutput) =>
    freshDense(spec, !isOutput && isHalfLine(spec.activation) ? 'leakyRelu' : spec.activation),
  )
}

/** The optimizer with its constants as published. */
export function freshOptimizer({ settings }: Exam): Change {
  const { kind, learningRate } = settings.optimizer
  const momentum = Math.min(settings.optimizer.settings.momentum ?? 0, 0.9)
  const spec = readOptimizer({ kind, settings: kind === 'sgd' ? { momentum } : {}, learningRate })
  return { fit: { optimizer: spec } }
}

/** The rate that the optimizer's row has by default. */
export function defaultRate({ settings }: Exam): number {
  return optimizerRow(settings.optimizer).learningRate
}

/** The exam's program as a change leaves it: what a further change is made of. Nothing is run. */
export function amend(exam: Exam, { model = {}, fit = {} }: Change): Exam {
  const { subject, settings, blueprint } = exam
  const { layers = blueprint.model.layers, l1 = blueprint.model.l1, l2 = blueprint.model.l2, loss } = model
  const optimizer = fit.optimizer === undefined ? settings.optimizer : readOptimizer(fit.optimizer)
  return {
    ...exam,
    subject: { ...subject, ...applied(subject, { model, fit }) },
    settings: {
      ...settings,
      optimizer,
      learningRate: typeof fit.learningRate === 'number' ? fit.learningRate : settings.learningRate,
      epochs: fit.epochs ?? settings.epochs,
      batchSize: fit.batchSize ?? settings.batchSize,
    },
    blueprint: {
      model: { ...blueprint.model, layers, l1, l2 },
      loss: loss === undefined ? blueprint.loss : readLoss(loss),
    },
  }
}

/** Both changes at once. */
export function together(...changes: readonly Change[]): Change {
  const models = changes.map((change) => change.model ?? {})
  const model = Object.assign({}, ...models)
  // Two standardizations are one of both.
  if (new Set(models.map(({ standardize }) => standardize).filter(Boolean)).size > 1) model.standardize = true
  const fit = Object.assign({}, ...changes.map((change) => change.fit))
  return {
    ...(Object.keys(model).length > 0 && { model }),
    ...(Object.keys(fit).length > 0 && { fit }),
  }
}
