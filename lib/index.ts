/**
 * The public names. What is not here is not promised.
 */
export type { ActivationName } from './activations'
export { type BackendInfo, backendInfo } from './backends/pick'
export { type CheckModelOptions, checkModel, type ModelCheck, type ModelChecks } from './conformance/check-model'
export {
  type CsvBatch,
  type CsvBatchOptions,
  type CsvData,
  type CsvOptions,
  csvBatches,
  type ReadCsvOptions,
  readCsv,
} from './data/csv'
export type { Inputs, Matrix } from './data/matrix'
export type { Label, Targets, Task } from './data/targets'
export type { ClassWeights, SampleWeights } from './data/weights'
export { diagnoseCurve } from './doctor/curve'
export type { Fault } from './doctor/faults'
export type { GradientCheck, GradientCheckOptions, TensorCheck } from './doctor/gradients'
export type { LearningRateLimits, LimitOptions } from './doctor/limits'
export type { DiagnoseOptions } from './doctor/options'
export type { Outcome } from './doctor/outcome'
export type { Diagnosis, Finding, Note, Verdict } from './doctor/report'
export { explainRises, type Rise, type RiseCause } from './doctor/rises'
export type { Sharpness, SharpnessOptions } from './doctor/sharpness'
export type { Orientation, Theirs, ValueComparison } from './doctor/theirs'
export { DownhillError, type ErrorCode } from './errors'
export type { EvaluateOptions, Evaluation, RowOptions } from './evaluation'
export { FNN } from './fnn'
export { constant, type InitializerName, type InitializerSpec, normal, uniform } from './initializers'
export {
  activation,
  type BatchNormOptions,
  batchNorm,
  type DenseOptions,
  dense,
  dropout,
  type EmbeddingOptions,
  embedding,
  type LayerNormOptions,
  type LayerSpec,
  layerNorm,
  type PreluOptions,
  prelu,
  type ResidualOptions,
  residual,
} from './layers'
export {
  binaryCrossEntropy,
  crossEntropy,
  focal,
  hinge,
  huber,
  type LossName,
  type LossSpec,
  logCosh,
  mae,
  mse,
  poisson,
  quantile,
} from './losses'
export {
  type MetricFunction,
  type MetricName,
  type MetricOption,
  type MetricValue,
  type OwnMetric,
  topK,
} from './metrics'
export {
  adagrad,
  adam,
  adamw,
  amsgrad,
  lbfgs,
  lion,
  muon,
  nadam,
  type OptimizerName,
  type OptimizerSpec,
  rmsprop,
  sgd,
} from './optimizers'
export type { ModelOptions, Predictions } from './options'
export { type ScoreOptions, score } from './score'
export {
  type GridSearchOptions,
  gridSearch,
  type HalvingSearchOptions,
  halvingSearch,
  type RandomSearchOptions,
  randomSearch,
  type SearchResult,
  type Trial,
} from './search/search'
export type { Candidate, Range, SearchSpace, Space } from './search/space'
export { type CrossValidateOptions, type CrossValidation, crossValidate, type Fold } from './search/validate'
export { type Sweep, type SweepOptions, type SweepRun, sweep } from './sweep'
export type { EarlyStoppingOptions } from './train/best'
export type { Callback, Moment } from './train/callbacks'
export type { CheckpointOptions } from './train/checkpoint'
export type { BestEpoch, Epoch, History, Status } from './train/history'
export type { Entry, LedgerNotes, Terms } from './train/ledger'
export type { FitOptions } from './train/options'
export type { Run } from './train/run'
export {
  type Clock,
  cosine,
  exponential,
  type LearningRate,
  oneCycle,
  plateau,
  polynomial,
  type ScheduleName,
  type ScheduleSpec,
  step,
  warmup,
} from './train/schedules'
export type { LayerParameters } from './weights'
