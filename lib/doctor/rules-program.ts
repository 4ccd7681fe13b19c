/**
 * Rules of the program as it is written: an output, a loss that no weights and no rate set right.
 */
import { ACTIVATIONS, type ActivationName } from '../activations'
import { outputActivation } from '../layers'
import { formOf, lossRow } from '../losses'
import { isOfUnits } from './activity'
import { editLayers, freshDense, redraw, standardized, textbook, together } from './changes'
import type { Exam } from './exam'
import { type Rule, rangeOf, STRICT, short } from './rule'
import type { Change } from './subject'

export const OF_PROGRAM: readonly Rule[] = [
  {
    id: 'wrong_output_activation',
    synopsis: 'outputs that cannot reach the targets, or that the loss cannot read',
    until: STRICT,
    source: 'ranges of the activations; a softmax over one output is 1 whatever it is given',
    isSeen: true,
    suspect(exam) {
      const { coding, blueprint, data } = exam
      const output = exam.start[exam.start.length - 1]
      const [low, high] = rangeOf(output.activation)
      const row = lossRow(blueprint.loss)
      const book = textbook(exam)
      const isSingleSoftmax = output.activation === 'softmax' && output.units === 1
      const margin = 0.02 * (data.targetHigh - data.targetLow)
      const isOutOfRange =
        coding.task === 'regression' && (data.targetLow < low - margin || data.targetHigh > high + margin)
      const reads = formOf(blueprint.loss, output.activation).link ?? row.output ?? book.activation
      const isMisread =
        coding.task !== 'regression' && output.activation !== reads && output.activation !== book.activation
      if (!isSingleSoftmax && !isOutOfRange && !isMisread) return null
      const right =
        coding.task === 'regression' || (output.units === 1 && book.activation === 'softmax')
          ? 'linear'
          : book.activation
      const change = editLayers(exam, (layer, isOutput) =>
        isOutput ? freshDense(layer, isSingleSoftmax && coding.task !== 'regression' ? 'sigmoid' : right) : layer,
      )
      const what = isSingleSoftmax
        ? 'A softmax over one output is always 1, so nothing can be learned.'
        : isOutOfRange
          ? `The output is ${output.activation}, whose values lie in [${short(low)}, ${short(high)}], and the targets in [${short(data.targetLow)}, ${short(data.targetHigh)}].`
          : `The output is ${output.activation} where ${blueprint.loss.kind} on a ${coding.task} task reads ${reads}.`
      return {
        evidence: {
          activation: output.activation,
          low,
          high,
          targetLow: data.targetLow,
          targetHigh: data.targetHigh,
        },
        says: what,
        cure: `Use ${change.model?.layers?.findLast(isOfUnits)?.activation} for the output.`,
        changes: [
          change,
          textbookOutput(exam),
          ...(coding.task === 'regression'
            ? [
                together(textbookOutput(exam), standardized(exam, 'targets')),
                together(textbookOutput(exam), { model: { standardize: true } }),
              ]
            : []),
        ],
        ...((isSingleSoftmax || (isOutOfRange && !isTouching(exam, low, high))) && { isCertain: true as const }),
      }
    },
  },
  {
    id: 'numerical_log_of_zero',
    synopsis: 'a logarithm of a probability that is exactly 0 or 1',
    until: STRICT,
    source: 'IEEE 754: log 0 is −∞ and 0·log 0 is NaN; log-sum-exp forms have neither (Blanchard et al. 2021)',
    isSeen: true,
    suspect(exam) {
      const { loss } = exam.blueprint
      const output = exam.start[exam.start.length - 1]
      const row = lossRow(loss)
      const isOfProbabilities = row.logits !== row.probabilities && isReadAsProbability(exam)
      if (!isOfProbabilities || exam.base.status !== 'diverged') return null
      const last = exam.base.loss[exam.base.loss.length - 1]
      const { from: _, ...fromLogits } = loss
      const repaired = editLayers(exam, (layer, isOutput) =>
        isOutput ? { ...layer, activation: row.link as ActivationName } : layer,
      )
      const change = { model: { ...repaired.model, loss: fromLogits } }
      return {
        evidence: { loss: String(last), step: exam.base.loss.length, outputActivation: output.activation },
        says: `The loss takes the logarithm of ${output.activation} outputs as they are and became ${last} after ${exam.base.loss.length - 1} epochs, though every weight is finite.`,
        cure: `Compute the loss from logits: ${row.link} output with ${loss.kind}, without from: 'probabilities'.`,
        changes: [change, together(redraw(exam), withLoss(change))],
        isCertain: true,
      }
    },
  },
  {
    id: 'loss_mismatch',
    synopsis: 'a loss that is not of the task',
    until: STRICT,
    source: 'classes are told apart by the likelihood of a label, numbers by distance (Bishop 2006, §4.3, §5.2)',
    isSeen: true,
    suspect(exam) {
      const { coding, blueprint } = exam
      const book = textbook(exam)
      const kind = blueprint.loss.kind
      if (kind === book.loss || lossRow(blueprint.loss).tasks.includes(coding.task)) return null
      return {
        evidence: { loss: kind, task: coding.task, outputs: coding.outputs },
        says: `The loss is ${kind} on a ${coding.task} task.`,
        cure: `Use ${book.loss} with a ${book.activation} output.`,
        changes: [textbookOutput(exam)],
      }
    },
  },
]

function withLoss({ model }: Change): Change {
  return { model: { loss: model?.loss } }
}

/** Output and loss as a textbook has them for the task. */
function textbookOutput(exam: Exam): Change {
  const book = textbook(exam)
  const change = editLayers(exam, (layer, isOutput) => (isOutput ? freshDense(layer, book.activation) : layer))
  return { model: { ...change.model, loss: book.loss } }
}

/** The outputs stay on one side of targets they should reach on both: no weights can help. */
function isTouching({ data }: Exam, low: number, high: number): boolean {
  const reach = Math.min(high, data.targetHigh) - Math.max(low, data.targetLow)
  return reach > 0.9 * (data.targetHigh - data.targetLow)
}

function isReadAsProbability({ blueprint }: Exam): boolean {
  const activation = outputActivation(blueprint.model)
  if (blueprint.loss.from) return blueprint.loss.from === 'probabilities'
  return activation !== lossRow(blueprint.loss).link && ACTIVATIONS.get(activation)?.isProbability === true
}
