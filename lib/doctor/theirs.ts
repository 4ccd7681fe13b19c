/**
 * Gradients, losses and predictions that a caller computed elsewhere, held to ours.
 *
 * What was given is read into plain numbers and a shape, and laid out as ours is: by its shape, and by how the others
 * lie. A wrong shape is a finding, never an error. What then disagrees is named by faults.ts.
 */
import { type Blueprint, lossOf, toProbabilities } from '../build'
import { type Codec, restoreOutputs } from '../data/codec'
import { decodeOutputs } from '../data/targets'
import { expected, refuseUnknown } from '../errors'
import { withOutputActivation } from '../layers'
import { LOSS_KERNELS, type LossKernel } from '../losses'
import { type Network, tensorIn } from '../network'
import { type Layout, parameterised, type Tensor } from '../plan/layout'
import type { Floats, InstructionOf, Table } from '../plan/plan'
import { evaluation } from '../train/slices'
import { ABSOLUTE, agree, disagreement, isNear, relativeError } from './compare'
import { type Evidence, evidenceOf, FACTORS, type Fault, lookInto, nameFault, type Suspect, transpose } from './faults'
import { addPenaltyGradient, hasPenalty, penaltyAt } from './objective'

/** What a caller computed elsewhere, at `net.weights()` on the same x and y. */
export interface Theirs {
  /**
   * A list with one { weights, bias } a layer, of any shape and orientation; or [dW1, db1, dW2, db2, …]; or what
   * `gradients()` of another net returned. What is left out is not compared.
   */
  gradients?: unknown
  loss?: number
  /** Probabilities of classes, or values in the caller's units: what predictProba or predict would return. */
  predictions?: unknown
  /** One loss a row, or the losses of a run from these weights, of which the first is compared. */
  losses?: ArrayLike<number>
}

/** Two numbers that should agree, at an index of the row-major values. */
export interface Pair {
  readonly index: number
  readonly ours: number
  readonly theirs: number
}

/** What came of a tensor. */
export interface TensorComparison {
  /** Its layer's place in the list that `weights()` and `gradients()` return. */
  readonly layer: number
  readonly tensor: 'weights' | 'bias'
  readonly ok: boolean
  /** ‖ours − theirs‖ / max(‖ours‖, ‖theirs‖) over the entries compared; 0 where both are 0, NaN where they do not fit. */
  readonly relativeError: number
  /** The entry that disagrees most; null where nothing could be compared. */
  readonly worst: Pair | null
  /** Entries compared, and entries left out. */
  readonly compared: number
  readonly skipped: number
  /** What is wrong with theirs, and in a sentence. */
  readonly fault?: Fault
  readonly says?: string
  /** It is that of a loss that holds every prediction to every target. */
  readonly isBroadcast?: true
}

/** What came of a loss, losses or predictions of theirs. */
export interface ValueComparison {
  readonly ok: boolean
  readonly relativeError: number
  readonly worst: Pair | null
  readonly fault?: Fault | 'broadcast'
  readonly says?: string
}

/** How weight matrices lie. */
export type Orientation = 'inputsByOutputs' | 'outputsByInputs'

/** Ours. */
export interface Ours {
  /** The model, and the same in float64 with its gradient and loss on the table. */
  readonly network: Network
  readonly exact: Network
  readonly table: Table
  readonly gradient: Floats
  readonly loss: number
  /** How data go in and come out. */
  readonly blueprint: Blueprint
  readonly codec: Codec
}

// ---------------------------------------------------------------------------------------------------- reading

/** Numbers as given. What is no number is NaN, which agrees with nothing. */
interface Given {
  readonly values: Float64Array
  /** [] of a single number; null where the rows are ragged or there are more than two dimensions. */
  readonly shape: readonly number[] | null
}

export interface ReadTheirs {
  /** In the order of the layers; undefined where nothing was given. null: no gradients at all. */
  readonly gradients: readonly { readonly weights?: Given; readonly bias?: Given }[] | null
  readonly loss?: Given
  readonly predictions?: Given
  readonly losses?: Given
}

/** @throws ERR_OPTION for what is neither a list nor an object of the four */
export function readTheirs(value: unknown): ReadTheirs {
  if (Array.isArray(value)) return { gradients: readLayers(value) }
  if (!isObject(value))
    throw expected('a list of gradients or { gradients, loss, predictions, losses }', 'theirs', value)
  // What gradients() of another net returned, as it is.
  if ('layers' in value) return { gradients: readLayers(value), loss: readGiven(value.loss) }
  refuseUnknown(value, ['gradients', 'loss', 'predictions', 'losses'], 'theirs')
  const { gradients, loss, predictions, losses } = value
  return {
    gradients: gradients === undefined || gradients === null ? null : readLayers(gradients),
    loss: readGiven(loss),
    predictions: readGiven(predictions),
    losses: readGiven(losses),
  }
}

function readLayers(value: unknown): NonNullable<ReadTheirs['gradients']> {
  const list: unknown = isObject(value) && 'layers' in value ? value.layers : value
  if (!Array.isArray(list)) throw expected('a list with one { weights, bias } a layer', 'gradients of theirs', value)
  if (list.some((entry) => isObject(entry) && ('weights' in entry || 'bias' in entry)))
    return list.map((entry: unknown) => {
      const { weights, bias } = isObject(entry) ? entry : ({} as Record<string, unknown>)
      return { weights: readGiven(weights), bias: readGiven(bias) }
    })
  // Tensor after tensor, as written down by hand.
  return Array.from({ length: Math.ceil(list.length / 2) }, (_, i) => ({
    weights: readGiven(list[2 * i]),
    bias: readGiven(list[2 * i + 1]),
  }))
}

function readGiven(value: unknown): Given | undefined {
  if (value === undefined || value === null) return undefined
  if (isObject(value) && isList(value.data)) {
    const { data, rows, columns, scale = 1 } = value
    const values = Float64Array.from(data, (v) => toNumber(v) * toNumber(scale))
    const fits = typeof rows === 'number' && typeof columns === 'number' && rows * columns === values.length
    return { values, shape: fits ? [rows, columns] : null }
  }
  if (!isList(value)) return { values: Float64Array.of(toNumber(value)), shape: [] }
  const rows = Array.from(value)
  if (!rows.some(isList)) return { values: Float64Array.from(rows, toNumber), shape: [rows.length] }
  const lists = rows.map((row) => (isList(row) ? Array.from(row) : [row]))
  const isEven = lists.every((row) => row.length === lists[0].length && !row.some(isList))
  const values = Float64Array.from(lists.flat(), toNumber)
  return { values, shape: isEven ? [lists.length, lists[0].length] : null }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !isList(value)
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))
}

function toNumber(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN
}

// ---------------------------------------------------------------------------------------------------- gradients

/** Tensors in the order in which `weights()` shows them, with their layer's place in that list. */
export function namedTensors(layout: Layout): { layer: number; name: 'weights' | 'bias'; tensor: Tensor }[] {
  return parameterised(layout).flatMap(({ tensors }, layer) =>
    (['weights', 'bias'] as const).flatMap((name) => {
      const tensor = tensors.find(({ spec }) => spec.name === name)
      return tensor ? [{ layer, name, tensor }] : []
    }),
  )
}

/** How many times our own float32 rounding theirs may have, where all their numbers are float32's. */
const FLOAT32 = 16

/** A tensor of ours beside what was given, not yet laid out. */
type Site = Omit<Suspect, 'arranged'>

/** Theirs against our exact gradient. */
export function compareGradients(
  { network, exact, table, gradient, loss }: Ours,
  given: NonNullable<ReadTheirs['gradients']>,
  evidence: Evidence = evidenceOf(exact, table),
): { tensors: TensorComparison[]; orientation: Orientation } {
  const rounded = network.dtype === 'float32' ? network.gradient(table).gradient : gradient
  const hold = (reference: Floats): Held => {
    const sites = namedTensors(exact.layout).flatMap(({ layer, name, tensor }) => {
      const { rows: I, columns: O } = tensor.spec
      const numbers = given[layer]?.[name]
      if (numbers === undefined) return []
      const isFloat32 = numbers.values.every((value) => Math.fround(value) === value)
      const rounding = isFloat32 ? FLOAT32 * farthest(tensorIn(rounded, tensor), tensorIn(gradient, tensor)) : 0
      const absolute = ABSOLUTE * Math.max(1, Math.abs(loss)) + rounding
      return [{ layer, at: tensor.at, name, I, O, ours: tensorIn(reference, tensor), ...numbers, absolute }]
    })
    const orientation = orientationOf(sites)
    const suspects = sites.map((site) => ({ ...site, arranged: arrange(site, orientation) }))
    return { orientation, suspects, agreeing: suspects.filter(isRight).length }
  }
  // With an l2 theirs may be of the loss or of the objective: of whichever it agrees with more.
  const ofLoss = hold(gradient)
  const ofObjective = hasPenalty(exact) && hold(addPenaltyGradient(exact, exact.parameters, gradient.slice()))
  const held = ofObjective && ofObjective.agreeing > ofLoss.agreeing ? ofObjective : ofLoss
  const tensors = namedTensors(exact.layout).map(({ layer, name, tensor }): TensorComparison => {
    const size = tensor.spec.rows * tensor.spec.columns
    const suspect = held.suspects.find((other) => other.layer === layer && other.name === name)
    const place = { layer, tensor: name }
    if (suspect === undefined) return { ...place, ok: true, relativeError: 0, worst: null, compared: 0, skipped: size }
    const { ours, arranged, absolute } = suspect
    const ok = isRight(suspect)
    const outcome = arranged
      ? { relativeError: relativeError(ours, arranged), worst: worstOf(ours, arranged, absolute) }
      : { relativeError: Number.NaN, worst: null }
    const counts = { compared: arranged ? size : 0, skipped: arranged ? 0 : size }
    if (ok) return { ...place, ok, ...outcome, ...counts }
    const { says, ...named } = nameFault(suspect, evidence)
    return { ...place, ok, ...outcome, ...counts, ...named, says: `layers[${layer}].${name}: ${says}.` }
  })
  return { tensors, orientation: held.orientation }
}

interface Held {
  readonly orientation: Orientation
  readonly suspects: readonly Suspect[]
  readonly agreeing: number
}

function isRight({ ours, arranged, absolute }: Suspect): boolean {
  return arranged !== null && agree(ours, arranged, absolute)
}

function worstOf(ours: Floats, theirs: Floats, absolute: number): Pair {
  const { index } = disagreement(ours, theirs, absolute)
  return { index, ours: ours[index], theirs: theirs[index] }
}

function farthest(a: Floats, b: Floats): number {
  let most = 0
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]))
  return most
}

/** As ours, unless every matrix that can tell lies the other way. */
function orientationOf(sites: readonly Site[]): Orientation {
  const matrices = sites.filter(({ name }) => name === 'weights')
  const shapes = matrices.flatMap(({ I, O, shape }) =>
    I !== O && shape?.length === 2 && shape[0] * shape[1] === I * O ? [shape[0] === O] : [],
  )
  if (shapes.length > 0) return shapes.every((isSwapped) => isSwapped) ? 'outputsByInputs' : 'inputsByOutputs'
  // Square or flat: the shapes say nothing, so the numbers must. One matrix alone is no way of laying out.
  const telling = matrices.filter(({ I, O, values }) => I > 1 && O > 1 && values.length === I * O)
  const areSwapped = telling.every(
    ({ I, O, ours, values, absolute }) =>
      !agree(ours, values, absolute) && agree(ours, transpose(values, O, I), absolute),
  )
  return telling.length > 1 && areSwapped ? 'outputsByInputs' : 'inputsByOutputs'
}

/** Theirs as I × O: transposed where they lie so, broadcast as numpy would; null where they do not fit. */
function arrange({ name, I, O, values, shape }: Site, orientation: Orientation): Floats | null {
  const isSwapped = orientation === 'outputsByInputs' && name === 'weights'
  if (values.length === I * O) return isSwapped ? transpose(values, O, I) : values
  if (shape === null || values.length === 0) return null
  const [R, C] = isSwapped ? [O, I] : [I, O]
  const rows = shape.length === 2 ? shape[0] : 1
  const columns = shape.length === 0 ? 1 : shape[shape.length - 1]
  if ((rows !== 1 && rows !== R) || (columns !== 1 && columns !== C)) return null
  const spread = Float64Array.from({ length: R * C }, (_, i) => {
    const [r, c] = [Math.floor(i / C), i % C]
    return values[(rows === 1 ? 0 : r) * columns + (columns === 1 ? 0 : c)]
  })
  return isSwapped ? transpose(spread, O, I) : spread
}

// ---------------------------------------------------------------------------------------------------- values

/** Their loss against the loss, the objective, and the loss in the caller's units. */
export function compareLoss(ours: Ours, { values: [theirs = Number.NaN] }: Given): ValueComparison {
  const { exact, table, loss } = ours
  const meant = [loss, loss + penaltyAt(exact, exact.parameters), lossOfCaller(ours)]
  const check = compareValues([meant.find((value) => isNear(value, theirs)) ?? loss], [theirs])
  if (check.ok) return check
  for (const { fault, factors } of FACTORS)
    for (const { by, says } of factors({ rows: table.rows, outputs: exact.outputs }))
      if (isNear(loss * by, theirs)) return { ...check, fault, says: `The loss: ${says}.` }
  const broadcast = broadcastLoss(exact, table)
  if (broadcast !== null && isNear(broadcast, theirs)) {
    const says = `The loss holds each of ${table.rows} predictions to every target: (n, 1) was broadcast against (n).`
    return { ...check, fault: 'broadcast', says }
  }
  return { ...check, fault: 'other', says: `The loss should be ${loss.toPrecision(6)}.` }
}

/** The loss in the caller's units, where targets are standardized. */
function lossOfCaller({ exact, table, blueprint, codec, loss }: Ours): number {
  if (codec.targets === null) return loss
  const outputs = restoreOutputs(codec, toProbabilities(blueprint, exact.evaluate(table).output as Floats))
  return lossOf(blueprint, { ...table, y: restoreOutputs(codec, (table.y as Floats).slice()) }, outputs)
}

/** Pairs that are summed at most. */
const MOST_PAIRS = 1 << 22

/** The mean loss of every prediction against every target; null where there are more columns than one, or too many rows. */
function broadcastLoss(exact: Network, table: Table): number | null {
  const { rows, targets, y } = table
  if (rows < 2 || rows * rows > MOST_PAIRS || targets !== 1 || exact.outputs !== 1 || y === null) return null
  const plan = exact.plan(['gradient'], rows, targets)
  const loss = plan.programs.gradient?.chunk.find((i): i is InstructionOf<'loss'> => i.op === 'loss')
  if (loss === undefined) return null
  const z = lookInto(exact, plan, table, (read) => read(loss.z, rows))
  const kernel = LOSS_KERNELS.get(loss.row as string) as LossKernel
  const same = new Float64Array(rows)
  const s = loss.overRows ? loss.scale / (rows * rows) : loss.scale
  let sum = 0
  for (const prediction of z) sum += kernel.compute(same.fill(prediction), y, null, rows, 1, 1, s, loss)
  return sum
}

/** Outputs as a caller may show them; `isRight`: as predict or predictProba shows them. */
interface Shown {
  readonly as: string
  readonly isRight: boolean
  readonly values: Floats
}

/** What belongs to these of so many rows, which lie as rows or, in a matrix, as columns; all where they do not fit. */
export function pickRows(given: Given, rows: Uint32Array | null, of: number): Given {
  const { values, shape } = given
  if (rows === null || values.length % of !== 0) return given
  const [n, columns] = [rows.length, values.length / of]
  const isSwapped = shape?.length === 2 && shape[0] !== of && shape[1] === of
  const picked = Float64Array.from({ length: n * columns }, (_, i) =>
    isSwapped
      ? values[Math.floor(i / n) * of + rows[i % n]]
      : values[rows[Math.floor(i / columns)] * columns + (i % columns)],
  )
  if (shape === null) return { values: picked, shape }
  return { values: picked, shape: shape.length < 2 ? [picked.length] : isSwapped ? [columns, n] : [n, columns] }
}

/** The usual form first. */
function shownBy({ exact, table, blueprint, codec }: Ours): readonly Shown[] {
  const raw = exact.evaluate(table).output as Floats
  const values = restoreOutputs(codec, toProbabilities(blueprint, raw.slice()))
  const { coding } = codec
  const { rows } = table
  if (coding.task === 'regression')
    return [
      { as: "values in y's units", isRight: true, values },
      { as: 'standardized values', isRight: false, values: raw },
    ]
  const labels = decodeOutputs(values, rows, coding)
  const columns = values.length / rows
  const [one, two] = [values.length === rows, columns === 2 && coding.task === 'binary']
  return [
    { as: 'probabilities', isRight: true, values },
    // Of two classes, both or the second's alone.
    ...(one ? [{ as: 'probabilities', isRight: true, values: bothClasses(values) }] : []),
    ...(two ? [{ as: 'probabilities', isRight: true, values: values.filter((_, i) => i % 2 === 1) }] : []),
    ...(Array.isArray(labels) ? [{ as: 'labels', isRight: true, values: Float64Array.from(labels, toNumber) }] : []),
    { as: 'logits', isRight: false, values: logitsOf(exact, table) },
  ]
}

function bothClasses(second: Floats): Float64Array {
  return Float64Array.from({ length: 2 * second.length }, (_, i) => (i % 2 ? second[i >> 1] : 1 - second[i >> 1]))
}

/** What the output activation is applied to. */
function logitsOf(exact: Network, { x, rows, scale }: Table): Floats {
  const cut = exact.copy({ layers: withOutputActivation(exact.model.layers, 'linear') })
  try {
    return cut.predict(x, rows, scale) as Floats // a table was read and checked
  } finally {
    cut.close()
  }
}

/**
 * Their predictions against the outputs, as probabilities or values, or as whatever else they turn out to be.
 * @param of rows of which the table's are a part
 */
export function comparePredictions(ours: Ours, { values, shape }: Given, of = ours.table.rows): ValueComparison {
  const { rows } = ours.table
  const ways = shownBy(ours)
  const [usual] = ways
  const O = usual.values.length / rows
  // Samples as columns, as the question's own code has them.
  const isSwapped = shape?.length === 2 && shape[0] === O && shape[1] === rows
  const theirs = isSwapped ? transpose(values, O, rows) : values
  const fits = theirs.length === usual.values.length
  const check = fits ? compareValues(usual.values, theirs) : NOT_COMPARED
  if (check.ok) return check
  const way = ways.find((other) => other.values.length === theirs.length && compareValues(other.values, theirs).ok)
  if (way?.isRight) return compareValues(way.values, theirs)
  const says = way
    ? `The predictions are ${way.as} instead of ${usual.as}.`
    : fits
      ? `The forward pass differs: at [${check.worst?.index}] it should give ${check.worst?.ours.toPrecision(6)}.`
      : `The predictions are ${theirs.length} numbers where there should be ${O * of}.`
  return { ...check, fault: 'other', says }
}

const NOT_COMPARED = { ok: false, relativeError: Number.NaN, worst: null } as const

/** One loss a row, where there are as many and they are those; else the first of a run's losses. */
export function compareLosses(ours: Ours, given: Given): ValueComparison {
  const { exact, table } = ours
  const { values } = given
  if (values.length === 0) return { ...NOT_COMPARED, fault: 'other', says: 'There are no losses.' }
  if (values.length === table.rows) {
    const check = compareValues(lossesOfRows(exact, table), values)
    if (check.ok) return check
  }
  return compareLoss(ours, given)
}

/** The loss of each row on its own. */
function lossesOfRows(exact: Network, table: Table): Float64Array {
  const engine = exact.load(exact.plan(['evaluate'], 1, table.targets))
  const data = engine.bind(table)
  try {
    return engine.run({ ...evaluation(data), batch: 1, steps: table.rows }).loss
  } finally {
    data.release()
    engine.close()
  }
}

function compareValues(ours: ArrayLike<number>, theirs: ArrayLike<number>): ValueComparison {
  let ok = ours.length > 0
  let worst: Pair | null = null
  let most = -1
  for (let index = 0; index < ours.length; index++) {
    const [a, b] = [ours[index], theirs[index]]
    if (!isNear(a, b)) ok = false
    const off = a === b ? 0 : Math.abs(a - b)
    if (off <= most || Number.isNaN(most)) continue
    most = off
    worst = { index, ours: a, theirs: b }
  }
  return { ok, relativeError: relativeError(ours, theirs), worst }
}
