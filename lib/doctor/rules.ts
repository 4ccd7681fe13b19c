/**
 * The rules: for each fault, what must be seen before it is suspected, and what to change to see whether it is it.
 *
 * A row only suspects. Whether a suspect is guilty is measured (diagnose.ts): the program runs again without it, and
 * unless that run ends clearly better the row is silent. So thresholds here may be generous; they decide which trials are
 * worth their time. Rows stand in the order in which, of causes whose removal helps equally, the first is named: what
 * is written down wrong before what is scaled wrong, scales before rates, rates before patience.
 */
import { ACTIVATIONS, type ActivationName } from '../activations'
import { outputActivation } from '../layers'
import { lossRow } from '../losses'
import { optimizerRow } from '../optimizers'
import {
  defaultRate,
  editLayers,
  freshDense,
  freshOptimizer,
  redraw,
  standardized,
  textbook,
  together,
  withRate,
} from './changes'
import { EARLY_STEPS, type Exam, isRestless } from './exam'
import type { LayerProbe } from './probe'
import type { Change } from './subject'

export type Evidence = Record<string, number | string>

export interface Suspicion {
  readonly evidence: Evidence
  /** What was seen, one sentence. */
  readonly says: string
  /** What to do, one sentence. */
  readonly cure: string
  /** Tried in turn; the one that helps most is the fix. */
  readonly changes: readonly Change[]
  /** True whatever a run shows, so that the finding stands without a trial that helps. */
  readonly isCertain?: true
}

export interface Rule {
  readonly id: string
  readonly synopsis: string
  /** Where the threshold comes from. */
  readonly source: string
  /**
   * The run counts as sick only where it came less than this share of the way from chance to what the change reaches. What
   * is wrong by the book may be judged strictly; a start, a scale or a rate that others would choose differently is a
   * fault only where it costs much.
   */
  readonly until: number
  /** The change could as well only memorise: it must help on rows held out, too. */
  readonly isPatience?: true
  suspect(exam: Exam): Suspicion | null
}

const percent = (share: number): string => `${Math.round(100 * share)} %`
const short = (value: number): string => String(Number(value.toPrecision(3)))
const hidden = (probes: readonly LayerProbe[]): LayerProbe[] => probes.filter((p) => !p.isOutput)
const name = (p: LayerProbe): string => `layer ${p.layer + 1}`

/** [low, high] of an activation's values. */
function rangeOf(activation: string): readonly [number, number] {
  const ends = Float64Array.of(-1e4, 1e4, 0)
  if (activation === 'softmax') return [0, 1]
  ACTIVATIONS.get(activation)!.forward(ends, ends, 3, 1)
  const low = Math.min(...ends)
  const high = Math.max(...ends)
  return [low < -50 ? Number.NEGATIVE_INFINITY : low, high > 50 ? Number.POSITIVE_INFINITY : high]
}

/** See Rule.until: 0.9 is a tenth of the way missing; 0.62 lies below every run that its author would call trained. */
const STRICT = 0.9
const LENIENT = 0.62

export const RULES: readonly Rule[] = [
  {
    id: 'wrong_output_activation',
    synopsis: 'outputs that cannot reach the targets, or that the loss cannot read',
    until: STRICT,
    source: 'ranges of the activations; a softmax over one output is 1 whatever it is given',
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
      const reads = row.link ?? book.activation
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
        cure: `Use ${change.model?.layers?.findLast((l) => l.kind === 'dense')?.activation} for the output.`,
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
    suspect(exam) {
      const { coding, blueprint } = exam
      const book = textbook(exam)
      const kind = blueprint.loss.kind
      const isDistance = lossRow(blueprint.loss).task === undefined
      if (kind === book.loss || (coding.task === 'regression' && isDistance)) return null
      return {
        evidence: { loss: kind, task: coding.task, outputs: coding.outputs },
        says: `The loss is ${kind} on a ${coding.task} task.`,
        cure: `Use ${book.loss} with a ${book.activation} output.`,
        changes: [textbookOutput(exam)],
      }
    },
  },
  {
    id: 'bad_init_constant',
    synopsis: 'units that begin equal and stay equal',
    until: STRICT,
    source: 'equal weights have equal gradients: the units of such a layer never differ',
    suspect(exam) {
      const at = exam.start.findIndex((p, i) => !p.isOutput && p.isConstant && exam.start[i + 1]?.isConstantIn)
      const end = exam.end[at]
      if (at < 0 || !end?.isConstant) return null
      const layer = exam.start[at]
      return {
        evidence: { layer: layer.layer + 1, units: layer.units },
        says: `The ${layer.units} units of ${name(layer)} begin with equal weights, in and out, and still had equal weights when the run ended: they are one unit.`,
        cure: 'Draw the weights: glorotUniform, or heNormal for relu.',
        changes: [redraw(exam)],
        isCertain: true,
      }
    },
  },
  {
    id: 'dead_relu',
    synopsis: 'units that begin at zero on every row, and so learn nothing',
    until: LENIENT,
    source: 'slope 0 passes no gradient; half of the units or more is past what He initialization leaves (about none)',
    suspect(exam) {
      const layer = deadLayer(exam.start)
      if (!layer) return null
      return {
        evidence: { layer: layer.layer + 1, dead: layer.dead, seen: 'start' },
        says: `${percent(layer.dead)} of the ${layer.units} ${layer.activation} units of ${name(layer)} are zero on every row at the start.`,
        cure: 'Draw the weights by heNormal and let the biases begin at 0.',
        changes: [redraw(exam), leaky(exam)],
      }
    },
  },
  {
    id: 'bad_init_all_positive',
    synopsis: 'a layer whose weights all have one sign',
    until: LENIENT,
    source: 'the mean of what it passes on grows with fan-in, not its root; 16 weights of one sign happen once in 2¹⁵',
    suspect(exam) {
      const layer = exam.start.find((p) => p.isOneSigned)
      if (!layer || layer.saturated + layer.gain < 1) return null
      return {
        evidence: { layer: layer.layer + 1, weights: layer.inputs * layer.units, saturated: layer.saturated },
        says: `All ${layer.inputs * layer.units} weights of ${name(layer)} have one sign at the start.`,
        cure: 'Draw weights around zero, scaled by fan-in: glorotUniform, or heNormal for relu.',
        changes: [redraw(exam)],
      }
    },
  },
  {
    id: 'bad_init_scale',
    synopsis: 'weights far from 1/√fan-in',
    until: LENIENT,
    source:
      'Glorot & Bengio 2010, He et al. 2015: std·√fan-in of 0.8 to 1.4 keeps signals; 0.25 and 3 are outside of every published one',
    suspect(exam) {
      const layer = exam.start.find((p) => p.gain > 3 || p.gain < (p.isOutput ? 1e-3 : 0.25))
      if (!layer) return null
      const full = exam.start.reduce((most, p) => Math.max(most, p.saturated), 0)
      return {
        evidence: { layer: layer.layer + 1, gain: layer.gain, saturated: full },
        says: `The weights of ${name(layer)} begin ${short(layer.gain)} times as large as 1/√fan-in, and ${percent(full)} of a layer is saturated at the start.`,
        cure: 'Draw weights scaled by fan-in: glorotUniform, or heNormal for relu.',
        changes: [redraw(exam)],
      }
    },
  },
  {
    id: 'exploding_forward',
    synopsis: 'activations that grow from layer to layer',
    until: STRICT,
    source: 'a hundredfold over the hidden layers is a factor that no published initialization gives',
    suspect(exam) {
      const inner = hidden(exam.start)
      const last = inner[inner.length - 1]
      if (inner.length < 2 || !(last.rms > 100 * Math.max(exam.start[0].rmsIn, 1e-12))) return null
      return {
        evidence: { in: exam.start[0].rmsIn, out: last.rms, layers: inner.length },
        says: `Activations grow from ${short(exam.start[0].rmsIn)} to ${short(last.rms)} through ${inner.length} hidden layers.`,
        cure: 'Draw weights scaled by fan-in: heNormal for relu, glorotUniform for tanh.',
        changes: [redraw(exam)],
      }
    },
  },
  {
    id: 'over_regularised',
    synopsis: 'penalty, decay or dropout that keeps the model from fitting',
    until: STRICT,
    source: 'measured: the run without it',
    suspect(exam) {
      const { blueprint, settings } = exam
      const l2 = Math.max(
        blueprint.model.l2,
        ...blueprint.model.layers.map((layer) => (layer.kind === 'dense' ? (layer.l2 ?? 0) : 0)),
      )
      const drop = Math.max(0, ...blueprint.model.layers.map((layer) => (layer.kind === 'dropout' ? layer.rate : 0)))
      const decay = settings.optimizer.settings.weightDecay ?? 0
      if (l2 < 1e-4 && drop < 0.3 && decay < 1e-3) return null
      const bare = editLayers(
        exam,
        ({ l2: _, ...layer }) => layer,
        () => 0,
      )
      const { optimizer } = settings
      return {
        evidence: { l2, dropout: drop, weightDecay: decay },
        says: `The penalty is ${short(l2)}, weight decay ${short(decay)}, dropout up to ${short(drop)}.`,
        cure: 'Take the regularisation away until the model fits, then add as much as validation rewards.',
        changes: [
          together(
            { model: { ...bare.model, l2: 0 } },
            decay > 0
              ? { fit: { optimizer: { ...optimizer, settings: { ...optimizer.settings, weightDecay: 0 } } } }
              : {},
          ),
        ],
      }
    },
  },
  {
    id: 'optimizer_eps',
    synopsis: 'a constant of the optimizer that swallows the update',
    until: STRICT,
    source: 'Kingma & Ba 2015: ε far above the root of the mean square makes the step g/ε, not g/√v',
    suspect(exam) {
      const { settings, kind } = exam.settings.optimizer
      const rows = optimizerRow(exam.settings.optimizer).settings
      const odd = Object.keys(settings).find((key) => {
        const value = settings[key]
        const usual = rows[key]?.default
        if (key === 'epsilon') return value > 1e-4
        if (key === 'weightDecay' || key === 'nesterov') return false
        if (key === 'momentum') return value > 0.95
        return (1 - value) / (1 - usual) > 5 || (1 - value) / (1 - usual) < 0.2
      })
      if (odd === undefined) return null
      return {
        evidence: { constant: odd, value: settings[odd], usual: rows[odd].default },
        says: `The ${odd} of ${kind} is ${short(settings[odd])}; usual is ${short(rows[odd].default)}.`,
        cure: `Leave ${odd} at its default.`,
        changes: [freshOptimizer(exam)],
      }
    },
  },
  {
    id: 'missing_activation',
    synopsis: 'hidden layers without a bend, which together are one linear map',
    until: STRICT,
    source: 'a product of matrices is a matrix',
    suspect(exam) {
      const layer = hidden(exam.start).find((p) => p.activation === 'linear')
      if (!layer) return null
      const bent = (activation: ActivationName): Change =>
        editLayers(exam, (spec, isOutput) =>
          !isOutput && spec.activation === 'linear' ? freshDense(spec, activation) : spec,
        )
      return {
        evidence: { layer: layer.layer + 1, activation: layer.activation },
        says: `The hidden ${name(layer)} is linear.`,
        cure: "Give hidden layers an activation such as 'relu' or 'tanh'.",
        changes: [bent('tanh'), bent('relu')],
      }
    },
  },
  {
    id: 'missing_bias',
    synopsis: 'a layer without a bias where the data is not centred',
    until: STRICT,
    source: 'without it every unit is 0 at x = 0',
    suspect(exam) {
      const layer = exam.start.find((p) => !p.hasBias)
      if (!layer) return null
      return {
        evidence: { layer: layer.layer + 1 },
        says: `The units of ${name(layer)} have no bias.`,
        cure: 'Leave the bias on.',
        changes: [editLayers(exam, (spec) => ({ ...spec, bias: spec.bias ?? { kind: 'zeros' } }))],
      }
    },
  },
  {
    id: 'input_scale',
    synopsis: 'inputs badly conditioned, or so large that units saturate',
    until: STRICT,
    source: 'LeCun et al. 1998, §4.3: columns of mean 0 and like variance; ten times off is a condition number of 100',
    suspect(exam) {
      const { data } = exam
      const { spread } = data
      const isLarge = data.largest > 10
      const isSmall = data.rms < 0.05
      const isUneven = spread > 10 || data.offset > 3
      if (!isLarge && !isSmall && !isUneven) return null
      return {
        evidence: {
          largest: data.largest,
          spread,
          offset: data.offset,
          conditionAtLeast: Math.max(spread, data.offset) ** 2,
        },
        says: `The columns of x reach a root mean square of ${short(data.largest)}, the largest standard deviation is ${short(spread)} times the median one, and the means lie ${short(data.offset)} deviations from 0.`,
        cure: "Standardize the inputs: standardize: 'inputs'.",
        changes: [
          standardized(exam, 'inputs'),
          ...[1, 10].map((factor) =>
            together(standardized(exam, 'inputs'), { fit: { learningRate: factor * defaultRate(exam) } }),
          ),
        ],
      }
    },
  },
  {
    id: 'target_scale',
    synopsis: 'targets of a regression far from unit size',
    until: STRICT,
    source: 'the gradient of a squared error grows with the error; outputs begin near ±1',
    suspect(exam) {
      const { data, coding } = exam
      const size = Math.hypot(data.targetMean, data.targetStd)
      if (coding.task !== 'regression' || (size < 10 && data.targetStd > 0.03)) return null
      return {
        evidence: { mean: data.targetMean, std: data.targetStd },
        says: `Targets have mean ${short(data.targetMean)} and standard deviation ${short(data.targetStd)}.`,
        cure: "Standardize them: standardize: 'targets', or true for both.",
        changes: [standardized(exam, 'targets'), together(standardized(exam, 'targets'), standardized(exam, 'inputs'))],
      }
    },
  },
  {
    id: 'loss_reduction_sum',
    synopsis: 'a loss summed over samples',
    until: STRICT,
    source: 'the gradient of a sum over N rows is N times that of the mean, and so is the rate',
    suspect(exam) {
      if (exam.blueprint.loss.reduction !== 'sum') return null
      return {
        evidence: { reduction: 'sum', rows: exam.data.rows },
        says: `The loss is summed over ${exam.data.rows} rows, so the rate acts ${exam.data.rows} times as large as on the mean.`,
        cure: "Use reduction: 'mean'.",
        changes: [
          { model: { loss: { ...exam.blueprint.loss, reduction: 'mean' } } },
          { model: { loss: { ...exam.blueprint.loss, reduction: 'mean' } }, fit: { learningRate: defaultRate(exam) } },
          withRate(exam, 1 / exam.data.rows),
        ],
      }
    },
  },
  {
    id: 'vanishing_gradient',
    synopsis: 'early layers that hardly get a gradient',
    until: STRICT,
    source:
      'Hochreiter 1991: sigmoid passes at most 1/4 of a gradient a layer; a twentieth is two such layers and a little',
    suspect(exam) {
      const inner = hidden(exam.start)
      const [first, last] = [exam.start[0], exam.start[exam.start.length - 1]]
      if (inner.length < 3 || !(first.gradient < 0.05 * last.gradient)) return null
      const relu = editLayers(exam, (spec, isOutput) => freshDense(spec, isOutput ? spec.activation : 'relu'))
      const tanh = editLayers(exam, (spec, isOutput) => freshDense(spec, isOutput ? spec.activation : 'tanh'))
      return {
        evidence: { ratio: first.gradient / last.gradient, layers: inner.length, activation: first.activation },
        says: `The gradient of ${name(first)} is ${short(first.gradient / last.gradient)} of the last layer's.`,
        cure: 'Use relu with heNormal weights, or tanh with glorotUniform.',
        changes: [relu, tanh],
      }
    },
  },
  {
    id: 'lr_above_one_step_limit',
    synopsis: 'a first step longer than the loss allows',
    until: LENIENT,
    source: 'doctor: next-step limit; three rises, or a quarter of the first loss, are neither rounding nor one bump',
    suspect(exam) {
      const { first } = exam.base
      if (!isRestless(first)) return null
      return {
        evidence: { rises: first.rises, height: first.height, learningRate: exam.settings.learningRate },
        says: `Within its first ${EARLY_STEPS} steps the full-batch loss rose ${first.rises} times by more than 5 %, all rises together by ${percent(first.height)} of where it began.`,
        cure: `Lower the rate from ${short(exam.settings.learningRate)}.`,
        changes: [withRate(exam, 1 / 3), withRate(exam, 0.1), withRate(exam, 0.03), withRate(exam, 0.01)],
      }
    },
  },
  {
    id: 'lr_too_high',
    synopsis: 'a rate at which the run cannot reach what a lower one reaches',
    until: LENIENT,
    source: 'measured: the run at a lower rate',
    suspect: (exam) => ({
      evidence: { learningRate: exam.settings.learningRate },
      says: `At a rate of ${short(exam.settings.learningRate)} the run ends worse than at a lower one.`,
      cure: 'Lower the rate.',
      changes: [withRate(exam, 0.1), withRate(exam, 0.01), withRate(exam, 1e-3)],
    }),
  },
  {
    id: 'dead_relu',
    synopsis: 'units that the run left at zero on every row',
    until: LENIENT,
    source: 'as above; what killed them, where the run shows it, is named before',
    suspect(exam) {
      const layer = deadLayer(exam.end)
      if (!layer || deadLayer(exam.start)) return null
      return {
        evidence: { layer: layer.layer + 1, dead: layer.dead, seen: 'end' },
        says: `${percent(layer.dead)} of the ${layer.units} ${layer.activation} units of ${name(layer)} are zero on every row when the run ends.`,
        cure: 'Lower the rate, or use leakyRelu with heNormal weights.',
        changes: [withRate(exam, 0.1), withRate(exam, 0.01), leaky(exam), redraw(exam)],
      }
    },
  },
  {
    id: 'minibatch_noise',
    synopsis: 'steps taken on too few rows to point anywhere',
    until: LENIENT,
    source: 'McCandlish et al. 2018: below the noise scale a step is mostly noise',
    suspect(exam) {
      const { batchSize } = exam.settings
      if (batchSize === 'full' || batchSize > 8 || batchSize * 8 > exam.data.rows) return null
      return {
        evidence: { batchSize },
        says: `Each step is taken on ${batchSize} rows.`,
        cure: 'Take larger batches.',
        changes: [{ fit: { batchSize: batchSize * 16 } }, { fit: { batchSize: batchSize * 64 } }],
      }
    },
  },
  {
    id: 'lr_too_low',
    synopsis: 'a rate so low that the epochs asked for do not get there',
    until: LENIENT,
    source: 'measured: the run at a higher rate',
    isPatience: true,
    suspect: (exam) => ({
      evidence: { learningRate: exam.settings.learningRate, epochs: exam.settings.epochs },
      says: `At a rate of ${short(exam.settings.learningRate)}, ${exam.settings.epochs} epochs do not get to where a higher rate gets.`,
      cure: 'Raise the rate.',
      changes: [withRate(exam, 10), withRate(exam, 100), withRate(exam, 1000)],
    }),
  },
  {
    id: 'too_few_epochs',
    synopsis: 'a run that ended while it was still falling',
    until: LENIENT,
    source: 'measured: the same run, longer',
    isPatience: true,
    suspect(exam) {
      const { loss } = exam.base
      if (exam.base.status === 'diverged') return null
      const { epochs } = exam.settings
      return {
        evidence: { epochs, first: loss[0], last: loss[loss.length - 1] },
        says: `The loss was still falling when ${epochs} epochs were over.`,
        cure: 'Train longer.',
        changes: [{ fit: { epochs: 5 * epochs } }, { fit: { epochs: 20 * epochs } }],
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

function deadLayer(probes: readonly LayerProbe[]): LayerProbe | undefined {
  return hidden(probes).find((p) => isHalfLine(p.activation) && p.dead >= 0.5)
}

function leaky(exam: Exam): Change {
  return editLayers(exam, (spec, isOutput) =>
    freshDense(spec, !isOutput && isHalfLine(spec.activation) ? 'leakyRelu' : spec.activation),
  )
}

function isHalfLine(activation: string): boolean {
  const at = Float64Array.of(-2, 2)
  ACTIVATIONS.get(activation)!.forward(at, at, 2, 1)
  return at[0] === 0 && at[1] === 2
}

/** The outputs stay on one side of targets they should reach on both: no weights can help. */
function isTouching({ data }: Exam, low: number, high: number): boolean {
  const reach = Math.min(high, data.targetHigh) - Math.max(low, data.targetLow)
  return reach > 0.9 * (data.targetHigh - data.targetLow)
}

function isReadAsProbability({ blueprint }: Exam): boolean {
  const activation = outputActivation(blueprint.model)
  const row = lossRow(blueprint.loss)
  if (blueprint.loss.from) return blueprint.loss.from === 'probabilities'
  return activation !== row.link && ACTIVATIONS.get(activation)?.isProbability === true
}
