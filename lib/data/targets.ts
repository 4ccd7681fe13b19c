/**
 * Targets: what a user passes as y, which task it makes, and how labels become numbers and numbers labels again.
 *
 * Three steps. readTargets reads y without judging it. inferCoding decides, once a model, the task, the outputs and the
 * classes: TASK_RULES in order, then the task's row in TASKS. The Coding is plain data, saved with the model;
 * encodeTargets and decodeOutputs follow it and decide nothing. This file knows no loss and no network: what those say
 * about the task comes in as a hint. It refuses to guess where two tasks are as likely, and asks.
 */
import { DownhillError, describe, expected } from '../errors'
import type { Dtype, Floats } from '../plan/plan'
import {
  type FeatureTable,
  type IndexColumn,
  type Inputs,
  isFlat,
  LIMITS,
  type Matrix,
  place,
  readFeatures,
  selectRows,
} from './matrix'

export type Task = 'binary' | 'multiclass' | 'multilabel' | 'regression'
/** What a class is called: the caller's own value, in the caller's own type. */
export type Label = string | number | boolean
/** All that `y` may be: labels or numbers, one or more a row. */
export type Targets = Inputs | readonly string[] | readonly boolean[]

/** How y stands to a model's outputs. Plain data: JSON keeps it. */
export interface Coding {
  readonly task: Task
  /** Outputs of the network: one for a binary task (two if the model says so), else one a class or target column. */
  readonly outputs: number
  /**
   * The labels, in the order of their indices; for multilabel the names of the columns or null, for regression null.
   * One label alone (every y the same) is a class of its own: such a model trains, and the doctor names it.
   */
  readonly classes: readonly Label[] | null
}

/** What a loss or an output activation says of the task; 'classes': that there are some. */
export type LossTask = 'binary' | 'multiclass' | 'regression' | 'classes'

/** What is known of a model before its first y. */
export interface Known {
  /** The caller's own word. */
  task?: Task
  /** What the loss says, or where there is none the output activation: binaryCrossEntropy binary, mse regression, … */
  lossTask?: LossTask
  /** What the output activation says beside a loss of distances; yields to a y that cannot be so read. */
  activationTask?: 'binary' | 'multiclass'
  outputs?: number
  /** The caller's own order of the labels; see checkClasses. */
  classes?: readonly Label[]
}

/** y as read: numbers in `values`, or one label a row in `labels`. */
export interface TargetTable {
  readonly rows: number
  readonly columns: number
  /** Number (r, c) = values[r · columns + c] × scale. */
  readonly values: Floats | Uint8Array | null
  readonly scale: number
  readonly labels: readonly (string | boolean)[] | null
}

// ---------------------------------------------------------------------------------------------------- reading

/**
 * Reads y: labels (strings or booleans), numbers, or rows of numbers.
 *
 * A flat y has one value a row; where `rows` and `outputs` are given and its length is their product, it is rows of
 * `outputs` numbers.
 *
 * @throws ERR_SHAPE where it does not have `rows` rows, ERR_DATA for anything but finite numbers or labels of one type
 */
export function readTargets(y: unknown, { rows, outputs }: { rows?: number; outputs?: number } = {}): TargetTable {
  const length = isFlat(y) ? (y as ArrayLike<unknown>).length : undefined
  const isWide = outputs !== undefined && rows !== undefined && outputs > 1 && length === rows * outputs
  if (rows !== undefined && length !== undefined && length > 0 && length !== rows && !isWide)
    throw new DownhillError('ERR_SHAPE', `Expected ${rows} values in y, one for each row of x, but it has ${length}.`)
  if (Array.isArray(y) && (typeof y[0] === 'string' || typeof y[0] === 'boolean')) return readLabels(y)
  // Read in double whatever the backend computes in: a label such as 0.1 must come back as it was.
  const inputs = length === undefined ? undefined : isWide ? outputs : 1
  const { x: values, columns, scale, rows: found } = readFeatures(y, { inputs, name: 'y', dtype: 'float64' })
  if (rows !== undefined && found !== rows)
    throw new DownhillError('ERR_SHAPE', `Expected ${rows} rows in y, as in x, but it has ${found}.`)
  return { rows: found, columns, values, scale, labels: null }
}

function readLabels(y: readonly unknown[]): TargetTable {
  const type = typeof y[0]
  for (let r = 0; r < y.length; r++) {
    if (typeof y[r] === type) continue
    const found = `${place(r, 0, 1)} is ${describe(y[r])}`
    throw new DownhillError('ERR_DATA', `Expected labels of one type in y, ${type}s as in row 0, but ${found}.`)
  }
  return { rows: y.length, columns: 1, values: null, scale: 1, labels: y as readonly (string | boolean)[] }
}

/**
 * x and y, read in the order in which one tells the other its rows: a flat x of unknown width has the rows of y.
 * @throws ERR_SHAPE, ERR_DATA
 */
export function readPair(
  x: unknown,
  y: unknown,
  known: { inputs?: number; outputs?: number; dtype?: Dtype; indices?: readonly IndexColumn[] } = {},
): { features: FeatureTable; targets: TargetTable } {
  const { inputs, outputs, dtype, indices } = known
  if (inputs === undefined && isFlat(x)) {
    const targets = readTargets(y)
    return { features: readFeatures(x, { rows: targets.rows, dtype, indices }), targets }
  }
  const features = readFeatures(x, { inputs, dtype, indices })
  return { features, targets: readTargets(y, { rows: features.rows, outputs }) }
}

/** The rows of `y` at `indices`, in that order, copied. */
export function selectTargets(y: TargetTable, indices: Uint32Array): TargetTable {
  const { columns, scale } = y
  if (y.labels)
    return {
      ...y,
      rows: indices.length,
      labels: Array.from(indices, (r) => (y.labels as readonly (string | boolean)[])[r]),
    }
  const values = y.values as Floats | Uint8Array
  return { ...y, rows: indices.length, values: selectRows({ x: values, rows: y.rows, columns, scale }, indices).x }
}

/** The numbers of a regression's targets, as a table that can be scaled. @throws ERR_DATA for labels */
export function numbersOf(y: TargetTable): FeatureTable {
  requireNumbers(y, 'regression')
  const { rows, columns, values, scale } = y
  return { x: values as Floats | Uint8Array, rows, columns, scale }
}

/**
 * The option `classes`: at least two labels of one type, all different.
 * @throws ERR_OPTION
 */
export function checkClasses(classes: unknown): readonly Label[] {
  if (!Array.isArray(classes) || classes.length < 2)
    throw expected('an array of at least two labels', 'classes', classes)
  const type = typeof classes[0]
  for (const label of classes as unknown[]) {
    const isLabel = typeof label === 'string' || typeof label === 'boolean' || Number.isFinite(label)
    if (!isLabel || typeof label !== type)
      throw expected('strings, finite numbers or booleans, all of one type,', 'classes', label)
  }
  const twice = (classes as Label[]).find((label, i) => classes.indexOf(label) !== i)
  if (twice !== undefined)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected different labels for classes but ${labelName(twice)} is there twice.`,
    )
  return [...(classes as Label[])]
}

// ---------------------------------------------------------------------------------------------------- the task

/** What inference asks of y, gathered in one pass. */
interface Facts {
  readonly columns: number
  readonly isLabels: boolean
  /** Every number is 0 or 1; every row holds exactly one 1 and else 0; every number lies in [0, 1]; is an integer. */
  readonly isZeroOne: boolean
  readonly isOneHot: boolean
  readonly isUnit: boolean
  readonly isInteger: boolean
  /** No more than two distinct values. */
  readonly isTwoValued: boolean
  /** One column of exactly the integers 0 … K−1, with at least two rows each on average. */
  readonly isCount: boolean
}

function factsOf(y: TargetTable): Facts {
  if (y.labels)
    return {
      columns: 1,
      isLabels: true,
      isZeroOne: false,
      isOneHot: false,
      isUnit: false,
      isInteger: false,
      isTwoValued: isTwoValued(y.labels.length, (r) => (y.labels as readonly Label[])[r]),
      isCount: false,
    }
  const { rows, columns, scale } = y
  const values = y.values as Floats | Uint8Array
  let isZeroOne = true
  let isOneHot = true
  let isUnit = true
  let isInteger = true
  for (let r = 0, i = 0; r < rows; r++) {
    let ones = 0
    for (let c = 0; c < columns; c++, i++) {
      const value = values[i] * scale
      if (value === 1) ones++
      else if (value !== 0) {
        isZeroOne = false
        if (!(value > 0 && value < 1)) isUnit = false
        if (!Number.isInteger(value)) isInteger = false
      }
    }
    if (ones !== 1) isOneHot = false
  }
  return {
    columns,
    isLabels: false,
    isZeroOne,
    isOneHot: isOneHot && isZeroOne,
    isUnit,
    isInteger,
    isTwoValued: isZeroOne || (columns === 1 && isTwoValued(rows, (r) => values[r] * scale)),
    isCount: isInteger && columns === 1 && isCount(rows, (r) => values[r] * scale),
  }
}

function isTwoValued(rows: number, at: (row: number) => Label): boolean {
  const first = at(0)
  let second: Label | undefined
  for (let r = 1; r < rows; r++) {
    const value = at(r)
    if (value === first || value === second) continue
    if (second !== undefined) return false
    second = value
  }
  return true
}

function isCount(rows: number, at: (row: number) => number): boolean {
  const most = Math.floor(rows / 2)
  const isSeen = new Uint8Array(most)
  let distinct = 0
  let largest = 0
  for (let r = 0; r < rows; r++) {
    const value = at(r)
    if (!(value >= 0 && value < most)) return false
    distinct += 1 - isSeen[value]
    isSeen[value] = 1
    largest = Math.max(largest, value)
  }
  return distinct === largest + 1
}

/**
 * The task, by the first rule that has an answer: given; from the loss; from the output activation, unless y cannot be
 * read so (a sigmoid trained by mse on 3.7 is a regression); from y.
 */
const TASK_RULES: readonly ((y: Facts, known: Known) => Task | undefined)[] = [
  (_, { task }) => task,
  ({ columns }, known) => {
    if (!known.classes || columns > 1) return undefined
    const isMulticlass = known.classes.length > 2 || isWider(known) || known.lossTask === 'multiclass'
    return isMulticlass || known.activationTask === 'multiclass' ? 'multiclass' : 'binary'
  },
  ({ columns, isLabels, isOneHot, isTwoValued, isUnit, isInteger }, known) => {
    // Distances can be taken from labels too, once they are coded.
    if (known.lossTask === 'regression') return isLabels ? undefined : 'regression'
    if (known.lossTask === 'classes') {
      if (columns > 1) return isOneHot || known.activationTask === 'multiclass' ? 'multiclass' : 'multilabel'
      const isPair = isTwoValued || isUnit || !(isLabels || isInteger)
      return isPair && !isWider(known) && known.activationTask !== 'multiclass' ? 'binary' : 'multiclass'
    }
    if (known.lossTask !== 'binary') return known.lossTask
    if (columns === 1) return isWider(known) ? 'multiclass' : 'binary'
    return isOneHot ? 'multiclass' : 'multilabel'
  },
  ({ columns, isLabels, isInteger, isTwoValued }, known) =>
    known.activationTask === 'binary' && columns === 1 && (isLabels || isInteger) && isTwoValued && !isWider(known)
      ? 'binary'
      : undefined,
  ({ columns, isLabels, isInteger, isUnit }, known) =>
    known.activationTask === 'multiclass' && (columns > 1 ? isUnit : isLabels || isInteger) ? 'multiclass' : undefined,
  ({ isLabels, isTwoValued }, known) =>
    isLabels ? (isTwoValued && !isWider(known) ? 'binary' : 'multiclass') : undefined,
  ({ columns, isZeroOne }, known) =>
    columns === 1 && isZeroOne ? (isWider(known) ? 'multiclass' : 'binary') : undefined,
  ({ isOneHot }) => (isOneHot ? 'multiclass' : undefined),
  ({ isZeroOne }) => (isZeroOne ? 'multilabel' : undefined),
  ({ columns, isInteger }) => (!isInteger || columns > 1 ? 'regression' : undefined),
  ({ isCount }, { outputs }) =>
    outputs === 1 ? 'regression' : outputs !== undefined || isCount ? 'multiclass' : undefined,
]

/** The model has an output for each class, so that even two classes are told apart by the larger. */
function isWider({ outputs }: Known): boolean {
  return outputs !== undefined && outputs > 1
}

/**
 * The task, outputs and classes of a model from its first y.
 * @throws ERR_OPTION where y may be classes or numbers, ERR_SHAPE and ERR_DATA where y does not fit what is known
 */
export function inferCoding(y: TargetTable, known: Known = {}): Coding {
  const facts = factsOf(y)
  for (const rule of TASK_RULES) {
    const task = rule(facts, known)
    if (task === undefined) continue
    checkKnown(task, known)
    return TASKS[task].code(y, known)
  }
  throw new DownhillError(
    'ERR_OPTION',
    "Expected the option task, 'multiclass' or 'regression', because y holds integers that may be classes or amounts.",
  )
}

// ---------------------------------------------------------------------------------------------------- tasks

/**
 * Refuses outputs and classes that `task` cannot have, before there is any y.
 * @throws ERR_OPTION, ERR_SHAPE
 */
export function checkKnown(task: Task, known: Known): void {
  TASKS[task].check(known)
}

/** Encoded targets as a backend binds them: `targets` columns. */
export interface EncodedTargets {
  readonly y: Floats
  readonly targets: number
}

/** One task: what its coding is, and the way there and back. */
export interface TaskRow {
  readonly synopsis: string
  /** Refuses outputs and classes that the task cannot have. */
  check(known: Known): void
  code(y: TargetTable, known: Known): Coding
  encode(y: TargetTable, coding: Coding, form: 'index' | 'dense', dtype: Dtype): EncodedTargets
  decode(outputs: Floats, rows: number, coding: Coding): Label[] | Float64Array | Matrix
}

/** All tasks by name. */
export const TASKS: { readonly [T in Task]: TaskRow } = {
  regression: {
    synopsis: 'one or more numbers a row',
    check({ classes }) {
      if (classes) throw expected('no classes with task regression', 'classes', classes)
    },
    code(y, known) {
      requireNumbers(y, 'regression')
      return { task: 'regression', outputs: requireOutputs(y.columns, known), classes: null }
    },
    encode(y, coding, _, dtype) {
      requireNumbers(y, 'regression')
      requireColumns(y, [coding.outputs])
      return { y: toFloats(y, dtype), targets: coding.outputs }
    },
    decode: (outputs, rows, { outputs: columns }) =>
      columns === 1 ? Float64Array.from(outputs) : { data: outputs, rows, columns },
  },
  multilabel: {
    synopsis: 'columns of 0 and 1, each for itself',
    check({ outputs, classes }) {
      if (classes && outputs !== undefined && classes.length !== outputs) throw classCountError(classes, outputs)
    },
    code(y, known) {
      requireNumbers(y, 'multilabel')
      if (known.classes && known.classes.length !== y.columns)
        throw new DownhillError(
          'ERR_SHAPE',
          `Expected ${known.classes.length} columns in y, one for each of classes, but it has ${y.columns}.`,
        )
      return { task: 'multilabel', outputs: requireOutputs(y.columns, known), classes: known.classes ?? null }
    },
    encode(y, coding, _, dtype) {
      requireNumbers(y, 'multilabel')
      requireColumns(y, [coding.outputs])
      requireUnit(y)
      return { y: toFloats(y, dtype), targets: coding.outputs }
    },
    decode(outputs, rows, { outputs: columns }) {
      const data = new Uint8Array(rows * columns)
      for (let i = 0; i < data.length; i++) data[i] = outputs[i] >= 0.5 ? 1 : 0
      return { data, rows, columns }
    },
  },
  binary: {
    synopsis: 'one of two classes; y may also be the probability of the second',
    check({ outputs = 1, classes }) {
      if (outputs > 2)
        throw new DownhillError('ERR_OPTION', `Expected 1 or 2 outputs for a binary task but received ${outputs}.`)
      if (classes && classes.length !== 2) throw expected('two classes for a binary task', 'classes', classes)
    },
    code(y, known) {
      const { outputs = known.lossTask === 'multiclass' ? 2 : 1, classes } = known // crossEntropy takes one a class
      if (y.columns > 1) {
        requireColumns(y, [2])
        return { task: 'binary', outputs, classes: classes ?? [0, 1] }
      }
      const found = classes ?? (isUnitNumbers(y) ? [0, 1] : distinctLabels(y))
      if (found.length > 2)
        throw new DownhillError(
          'ERR_DATA',
          `Expected two classes in y for a binary task but found ${found.length}: ${listLabels(found)}.`,
        )
      return { task: 'binary', outputs, classes: found }
    },
    encode: (y, coding, form, dtype) =>
      coding.outputs > 1 ? encodeClasses(y, coding, form, dtype) : encodeSecond(y, coding, dtype),
    decode: (outputs, rows, coding) => decodeClasses(outputs, rows, coding),
  },
  multiclass: {
    synopsis: 'one of K classes; y may also be rows of K probabilities',
    check({ outputs, classes }) {
      if (classes && outputs !== undefined && classes.length !== outputs) throw classCountError(classes, outputs)
    },
    code(y, known) {
      if (y.columns > 1) {
        const outputs = requireOutputs(y.columns, known)
        if (known.classes && known.classes.length !== outputs) throw classCountError(known.classes, outputs)
        return { task: 'multiclass', outputs, classes: known.classes ?? Array.from({ length: outputs }, (_, k) => k) }
      }
      const classes = known.classes ?? indicesUnder(y, known.outputs) ?? distinctLabels(y)
      const { outputs = classes.length } = known
      if (classes.length !== outputs) throw classCountError(classes, outputs)
      return { task: 'multiclass', outputs, classes }
    },
    encode: (y, coding, form, dtype) => encodeClasses(y, coding, form, dtype),
    decode: (outputs, rows, coding) => decodeClasses(outputs, rows, coding),
  },
}

/**
 * Targets as numbers.
 *
 * Classes in the form 'index' are one column of 0 … K−1, in the form 'dense' one column a class (one-hot); probabilities
 * stay dense in either form, so that `targets` says which came out. With one output both forms are one column of 0 and
 * 1. Numbers (regression, multilabel) are themselves.
 *
 * @throws ERR_DATA a label the coding does not know, a number beyond `dtype`; ERR_SHAPE a wrong number of columns
 */
export function encodeTargets(
  y: TargetTable,
  coding: Coding,
  form: 'index' | 'dense',
  dtype: Dtype = 'float32',
): EncodedTargets {
  return TASKS[coding.task].encode(y, coding, form, dtype)
}

/**
 * Predictions in the caller's terms from (rows, coding.outputs) probabilities or values.
 *
 * Classes: an array of the caller's labels. With one output the second class where p ≥ 0.5; with more the largest, the
 * first of equals. Multilabel: a Matrix of bytes, 1 where p ≥ 0.5. Regression: Float64Array for one output, else a
 * Matrix over `outputs` itself.
 */
export function decodeOutputs(outputs: Floats, rows: number, coding: Coding): Label[] | Float64Array | Matrix {
  return TASKS[coding.task].decode(outputs, rows, coding)
}

/**
 * Probabilities in the caller's terms from (rows, coding.outputs) probabilities: for two classes those of the second,
 * one a row; else a Matrix with one column a class.
 * @throws ERR_OPTION for a regression
 */
export function decodeProbabilities(outputs: Floats, rows: number, coding: Coding): Floats | Matrix {
  const { task, outputs: columns } = coding
  if (task === 'regression')
    throw new DownhillError('ERR_OPTION', 'Expected a model of classes for predictProba but its task is regression.')
  if (task === 'multilabel' || columns > 2) return { data: outputs, rows, columns }
  return columns === 1 ? outputs : outputs.filter((_, i) => i % 2 === 1)
}

/**
 * The class index of each row (of probabilities: the likeliest), for splits and counts; null where there are none.
 * @throws ERR_DATA a label the coding does not know
 */
export function classIndices(y: TargetTable, coding: Coding): Uint32Array | null {
  if (coding.task !== 'binary' && coding.task !== 'multiclass') return null
  const { y: encoded, targets } = encodeTargets(y, coding, 'index', 'float64')
  return indicesOf(encoded, targets, y.rows, coding)
}

/**
 * Class indices from encoded targets or from outputs of `columns` columns: with one output the side of 0.5, with one
 * column of more the number itself, else the largest of the row. A coding of one label knows no other index than 0.
 */
export function indicesOf(values: Floats, columns: number, rows: number, { outputs, classes }: Coding): Uint32Array {
  const indices = new Uint32Array(rows)
  if (classes?.length === 1) return indices
  for (let r = 0; r < rows; r++)
    indices[r] = columns > 1 ? largestOf(values, r * columns, columns) : outputs > 1 ? values[r] : +(values[r] >= 0.5)
  return indices
}

/** How many rows each of `classes` classes has. */
export function countClasses(indices: Uint32Array, classes: number): Uint32Array {
  const counts = new Uint32Array(classes)
  for (const index of indices) counts[index]++
  return counts
}

// ---------------------------------------------------------------------------------------------------- classes

/** Sorted distinct labels: numbers by value, strings by code unit, booleans always both. */
export function distinctLabels(...tables: readonly TargetTable[]): Label[] {
  const labels = tables.flatMap((y) => y.labels ?? [])
  if (labels.length > 0) return typeof labels[0] === 'boolean' ? [false, true] : [...new Set(labels as string[])].sort()
  const distinct = new Set<number>()
  for (const { values, scale } of tables)
    for (let i = 0; values && i < values.length; i++) distinct.add(values[i] * scale + 0) // + 0: −0 is no label
  return [...distinct].sort((a, b) => a - b)
}

/** 0 … K−1 where the model has K outputs and y holds nothing else. */
function indicesUnder(y: TargetTable, outputs: number | undefined): number[] | undefined {
  const { values, scale } = y
  if (outputs === undefined || !values) return undefined
  for (let i = 0; i < values.length; i++) {
    const value = values[i] * scale
    if (!(Number.isInteger(value) && value >= 0 && value < outputs)) return undefined
  }
  return Array.from({ length: outputs }, (_, k) => k)
}

/** Numbers in [0, 1]: the labels 0 and 1, or probabilities of the second class. */
function isUnitNumbers({ values, scale }: TargetTable): boolean {
  return values?.every((value: number) => value * scale >= 0 && value * scale <= 1) ?? false
}

/** y as the one column of a single output: 0, 1, or the probability of the second class. */
function encodeSecond(y: TargetTable, coding: Coding, dtype: Dtype): EncodedTargets {
  const { rows, values, scale } = y
  requireColumns(y, [1, 2])
  const encoded = makeFloats(rows, dtype)
  if (values && y.columns === 2) {
    requireUnit(y)
    for (let r = 0; r < rows; r++) {
      const [first, second] = [values[2 * r] * scale, values[2 * r + 1] * scale]
      if (Math.abs(first + second - 1) > 1e-5)
        throw new DownhillError(
          'ERR_DATA',
          `Expected two columns in y that sum to 1 but ${place(r, 0, 1)} is ${first}, ${second}.`,
        )
      encoded[r] = second
    }
    return { y: encoded, targets: 1 }
  }
  const indexOf = classIndexer(coding)
  const [zero, one] = coding.classes as readonly Label[]
  const isProbability = zero === 0 && one === 1
  for (let r = 0; r < rows; r++) {
    const value = labelAt(y, r)
    encoded[r] = isProbability && typeof value === 'number' && value >= 0 && value <= 1 ? value : indexOf(value, r)
  }
  return { y: encoded, targets: 1 }
}

/** y as class indices, as one-hot rows, or as the rows of probabilities it already is. */
function encodeClasses(y: TargetTable, coding: Coding, form: 'index' | 'dense', dtype: Dtype): EncodedTargets {
  const { rows, columns } = y
  const K = coding.outputs
  requireColumns(y, [1, K])
  if (columns > 1) {
    requireUnit(y)
    const dense = toFloats(y, dtype)
    if (form === 'dense' || !factsOf(y).isOneHot) return { y: dense, targets: K }
    return { y: makeFloats(rows, dtype).map((_, r) => largestOf(dense, r * K, K)), targets: 1 }
  }
  const indexOf = classIndexer(coding)
  const encoded = makeFloats(form === 'index' ? rows : rows * K, dtype)
  for (let r = 0; r < rows; r++) {
    const index = indexOf(labelAt(y, r), r)
    if (form === 'index') encoded[r] = index
    else encoded[r * K + index] = 1
  }
  return { y: encoded, targets: form === 'index' ? 1 : K }
}

/** The caller's labels from probabilities. */
function decodeClasses(outputs: Floats, rows: number, coding: Coding): Label[] {
  const classes = coding.classes as readonly Label[]
  const labels: Label[] = []
  for (const index of indicesOf(outputs, coding.outputs, rows, coding)) labels.push(classes[index])
  return labels
}

/** A function from a label to its index. */
function classIndexer({ classes }: Coding): (label: Label, row: number) => number {
  const labels = classes as readonly Label[]
  const indices = new Map(labels.map((label, index) => [label, index]))
  return (label, row) => {
    const index = indices.get(label)
    if (index !== undefined) return index
    throw new DownhillError(
      'ERR_DATA',
      `Expected one of the classes ${listLabels(labels)} in y but ${place(row, 0, 1)} is ${labelName(label)}.`,
    )
  }
}

function labelAt({ labels, values, scale }: TargetTable, row: number): Label {
  return labels ? labels[row] : (values as Floats | Uint8Array)[row] * scale
}

/** The first of the largest entries of a row. */
function largestOf(values: Floats, from: number, columns: number): number {
  let best = 0
  for (let c = 1; c < columns; c++) if (values[from + c] > values[from + best]) best = c
  return best
}

// ---------------------------------------------------------------------------------------------------- numbers

function makeFloats(length: number, dtype: Dtype): Floats {
  return dtype === 'float64' ? new Float64Array(length) : new Float32Array(length)
}

/** The numbers themselves in `dtype`, scale multiplied out; the caller's own memory where nothing changes. */
function toFloats(y: TargetTable, dtype: Dtype): Floats {
  const values = y.values as Floats | Uint8Array
  const limit = LIMITS[dtype]
  if (y.scale === 1 && values instanceof (dtype === 'float64' ? Float64Array : Float32Array)) return values
  const floats = makeFloats(values.length, dtype)
  for (let i = 0; i < floats.length; i++) {
    const value = values[i] * y.scale
    if (!(Math.abs(value) < limit)) {
      const at = place(Math.floor(i / y.columns), i % y.columns, y.columns)
      throw new DownhillError('ERR_DATA', `Expected numbers within ${dtype}'s range in y but ${at} is ${value}.`)
    }
    floats[i] = value
  }
  return floats
}

// ---------------------------------------------------------------------------------------------------- requirements

function requireNumbers(y: TargetTable, task: Task): void {
  if (!y.labels) return
  throw new DownhillError(
    'ERR_DATA',
    `Expected numbers in y for ${task} but ${place(0, 0, 1)} is ${labelName(y.labels[0])}.`,
  )
}

function requireColumns(y: TargetTable, allowed: readonly number[]): void {
  if (allowed.includes(y.columns)) return
  const counts = [...new Set(allowed)].join(' or ')
  throw new DownhillError('ERR_SHAPE', `Expected ${counts} columns in y but it has ${y.columns}.`)
}

function requireOutputs(columns: number, { outputs = columns }: Known): number {
  if (outputs === columns) return outputs
  throw new DownhillError('ERR_SHAPE', `Expected ${outputs} columns in y, one for each output, but it has ${columns}.`)
}

function requireUnit(y: TargetTable): void {
  const values = y.values as Floats | Uint8Array
  for (let i = 0; i < values.length; i++) {
    const value = values[i] * y.scale
    if (value >= 0 && value <= 1) continue
    const at = place(Math.floor(i / y.columns), i % y.columns, y.columns)
    throw new DownhillError('ERR_DATA', `Expected numbers between 0 and 1 in y but ${at} is ${value}.`)
  }
}

// ---------------------------------------------------------------------------------------------------- sentences

/** y has labels that the outputs have no room for, or the other way about. */
function classCountError(classes: readonly Label[], outputs: number): DownhillError {
  const beyond = classes.find(
    (label) => typeof label !== 'number' || !(label >= 0 && label < outputs && label % 1 === 0),
  )
  if (typeof beyond === 'number')
    return new DownhillError(
      'ERR_DATA',
      `Expected class numbers 0 … ${outputs - 1} in y, one for each output, but found ${beyond}.`,
    )
  return new DownhillError(
    'ERR_SHAPE',
    `Expected ${outputs} classes, one for each output, but found ${classes.length} (${listLabels(classes)}); the option classes names them all.`,
  )
}

function labelName(label: Label): string {
  return typeof label === 'string' ? describe(label) : String(label)
}

/** The labels, or the first and the last few. e.g. 0, 1, 2, … 9 */
function listLabels(labels: readonly Label[]): string {
  const names = labels.map(labelName)
  return (names.length > 5 ? [...names.slice(0, 3), `… ${names[names.length - 1]}`] : names).join(', ')
}
