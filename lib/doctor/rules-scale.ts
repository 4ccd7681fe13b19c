/**
 * Rules of scale: inputs, targets, losses and gradients far from the size that rates and weights are made for.
 */
import { defaultRate, editLayers, freshDense, standardized, together, withRate } from './changes'
import type { LayerProbe } from './probe'
import { hidden, layerName, measuredIn, measuredOn, type Rule, STRICT, sentence, short } from './rule'

/** Standardizing makes directions of x so much more alike: gradient descent goes as much faster along the slowest. */
const ILL = 50

export const OF_SCALE: readonly Rule[] = [
  {
    id: 'input_scale',
    synopsis: 'inputs badly conditioned, or so large that units saturate',
    until: STRICT,
    source: 'LeCun et al. 1998, §4.3: columns of mean 0 and like variance; ten times off is a condition number of 100',
    isSeen: true,
    suspect(exam) {
      const { data } = exam
      const { spread } = data
      const isLarge = data.largest > 10
      const isSmall = data.rms < 0.05
      // Columns that are much smaller than others of usual size do no harm.
      const isOfSize = data.largest > 2
      const isUneven = (isOfSize && spread > 10) || data.offset > 3
      const isIll = isOfSize && data.condition > ILL * data.standardCondition
      if (!isLarge && !isSmall && !isUneven && !isIll) return null
      return {
        evidence: {
          largest: data.largest,
          spread,
          offset: data.offset,
          ...(Number.isFinite(data.condition) && {
            condition: data.condition,
            standardCondition: data.standardCondition,
            ...measuredOn(exam, data.conditionRows, 'conditionOn'),
          }),
        },
        says: sentence(
          [
            ...(isLarge || isSmall ? [`the columns of x reach a root mean square of ${short(data.largest)}`] : []),
            ...(isOfSize && spread > 10
              ? [`the largest standard deviation of a column of x is ${short(spread)} times the median one`]
              : []),
            ...(data.offset > 3 ? [`the means of x lie ${short(data.offset)} deviations from 0`] : []),
            ...(isIll
              ? [
                  `the condition number of x is ${short(data.condition)} where standardized columns have ${short(data.standardCondition)}${measuredIn(exam, data.conditionRows)}`,
                ]
              : []),
          ].slice(0, 2),
        ),
        cure: "Bring the inputs to one size with standardize: 'inputs'.",
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
    isSeen: true,
    suspect(exam) {
      const { data, coding } = exam
      const size = Math.hypot(data.targetMean, data.targetStd)
      if (coding.task !== 'regression' || (size < 10 && data.targetStd > 0.03)) return null
      return {
        evidence: { mean: data.targetMean, std: data.targetStd },
        says: `Targets have mean ${short(data.targetMean)} and standard deviation ${short(data.targetStd)}.`,
        cure: "Bring them to size 1 with standardize: 'targets', or true for inputs as well.",
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
      const { batchSize } = exam.settings
      const { seen, of } = exam.rows
      const rows = batchSize === 'full' ? of : Math.min(batchSize, of)
      // A sum over fewer rows than the caller's is smaller: what rate would do there is not seen here.
      const isTheirs = rows === (exam.isFullBatch ? seen : rows)
      return {
        evidence: { reduction: 'sum', rows },
        says: `The loss is summed over ${rows} rows, so the rate acts ${rows} times as large as on the mean.`,
        cure: "Use reduction: 'mean'.",
        changes: [
          { model: { loss: { ...exam.blueprint.loss, reduction: 'mean' } } },
          { model: { loss: { ...exam.blueprint.loss, reduction: 'mean' } }, fit: { learningRate: defaultRate(exam) } },
          ...(isTheirs ? [withRate(exam, 1 / rows)] : []),
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
      // By what goes back, not by what it is multiplied with there: of an exploding pass the last is huge.
      const ratio = backward(first) / backward(last)
      if (inner.length < 3 || !(ratio < 0.05)) return null
      const relu = editLayers(exam, (spec, isOutput) => freshDense(spec, isOutput ? spec.activation : 'relu'))
      const tanh = editLayers(exam, (spec, isOutput) => freshDense(spec, isOutput ? spec.activation : 'tanh'))
      return {
        evidence: { ratio, layers: inner.length, activation: first.activation, ...measuredOn(exam, first.rows) },
        says: `What comes back to ${layerName(first)} is ${short(ratio)} of what comes back to the last one.`,
        cure: 'Use relu with heNormal weights, or tanh with glorotUniform.',
        changes: [relu, tanh],
      }
    },
  },
]

/** The size of the gradient of a layer's sums: that of its weights over that of its inputs. */
function backward({ gradient, rmsIn }: LayerProbe): number {
  return gradient / Math.max(rmsIn, Number.MIN_VALUE)
}
