/**
 * A checkpoint: a model's file with, beside the model, all that decides how its training goes on.
 *
 * `FNN.load` reads it as the model that it is. The series of the history, the optimizer's state and the best weights are
 * tensors, so that every number comes back to the bit; the rest is one JSON text in the metadata. A run goes on only where
 * nothing is other than it was: model, data and options are compared, and what differs is named.
 */
import { createHash } from 'node:crypto'
import { DownhillError } from '../errors'
import { areFinite } from '../plan/layout'
import type { Floats, Table } from '../plan/plan'
import type { Keeper, RunState, Snapshot } from '../train/checkpoint'
import type { Epoch } from '../train/history'
import type { FitSettings } from '../train/options'
import type { LayerParameters } from '../weights'
import { readWholeSync, writeDurably, writeDurablySync } from './durable'
import { decodeModel, encodeModel, type SavedModel } from './model'
import { type Contents, decodeTensors, encodeInTurns, encodeTensors, type StoredTensor } from './safetensors'
import { restoreEpochs, seriesOfVersion1, storeEpochs } from './series'

/** What a run was made of, but for the model. */
export interface RunDescription {
  /** The options that decide its numbers. */
  readonly fit: Readonly<Record<string, unknown>>
  readonly data: Readonly<Record<string, unknown>>
}

export interface SavedRun extends RunDescription {
  readonly snapshot: RunState
}

/** A file that a run goes on from. */
export interface Checkpoint {
  readonly path: string
  readonly model: SavedModel
  readonly parameters: LayerParameters[]
  readonly run: SavedRun
}

/** Version 1 is read: it had its series by dotted names. */
const FORMAT = 2
const KEY = 'downhill.run'
const PREFIX = 'run'

// ---------------------------------------------------------------------------------------------------- contents

/** The contents of a checkpoint. */
export function encodeCheckpoint(model: SavedModel, parameters: readonly LayerParameters[], run: SavedRun): Contents {
  const [own, added] = [encodeModel(model, parameters), encodeRun(run)]
  return {
    tensors: new Map([...own.tensors, ...added.tensors]),
    metadata: { ...own.metadata, ...added.metadata },
  }
}

/** Epochs that the model has seen, one begun included: the orders of rows that are used up. */
export function epochsOfModel({ firstEpoch, epochs, open }: RunState): number {
  return firstEpoch + epochs.length + (open.rows > 0 ? 1 : 0)
}

/** @throws ERR_FILE for anything but a whole checkpoint */
export function readCheckpoint(path: string): Checkpoint {
  const contents = decodeTensors(readWholeSync(path), path)
  const run = decodeRun(contents, path)
  if (run !== null) return { path, ...decodeModel(contents, path), run }
  throw new DownhillError(
    'ERR_FILE',
    `Expected a checkpoint at ${path} but it holds no run; fit({ checkpoint }) writes one.`,
  )
}

function encodeRun({ snapshot, ...description }: SavedRun): Contents {
  const tensors = new Map<string, StoredTensor>()
  const { epochs, earlier, ...rest } = snapshot
  const value = {
    ...(lift(rest, PREFIX, tensors) as object),
    epochs: storeEpochs(epochs, `${PREFIX}.epochs`, tensors),
    earlier: storeEpochs(earlier, `${PREFIX}.earlier`, tensors),
  }
  return { tensors, metadata: { [KEY]: JSON.stringify({ format: FORMAT, snapshot: value, ...description }) } }
}

/** null where the file is a model alone. @throws ERR_FILE where there is a run that cannot be read */
export function decodeRun({ tensors, metadata }: Contents, name: string): SavedRun | null {
  const text = metadata[KEY]
  if (text === undefined) return null
  const run = parse(text, tensors)
  if (run !== null) return run
  throw new DownhillError(
    'ERR_FILE',
    `Expected a checkpoint written by downhill at ${name} but its run cannot be read.`,
  )
}

function parse(text: string, tensors: Contents['tensors']): SavedRun | null {
  try {
    const { format, snapshot, fit, data } = JSON.parse(text) as Record<string, unknown>
    if ((format !== 1 && format !== FORMAT) || !isRecord(snapshot) || !isRecord(fit) || !isRecord(data)) return null
    const { epochs, earlier, ...rest } = snapshot
    const restored = (stored: unknown): Epoch[] =>
      restoreEpochs(format === 1 ? seriesOfVersion1(stored, tensors) : stored, tensors)
    const value = lower(rest, tensors) as Record<string, unknown>
    // Once a model was written with the weights that are trained, whatever it was judged by.
    const whole = { weights: null, ...value, epochs: restored(epochs), earlier: restored(earlier) }
    return isSnapshot(whole) ? { snapshot: whole, fit, data } : null
  } catch {
    return null
  }
}

/** Types looked at; whether sizes fit the model is seen where they meet it. */
function isSnapshot(value: Record<string, unknown>): value is Record<string, unknown> & RunState {
  const { open, state, weights, best, start } = value
  const counts = [value.steps, value.firstStep, value.firstEpoch, value.since, isRecord(open) ? open.rows : null]
  const numbers = [value.loss, value.learningRate ?? 0, value.seconds, ...Object.values(isRecord(open) ? open : {})]
  return (
    counts.every((count) => Number.isSafeInteger(count) && (count as number) >= 0) &&
    numbers.every((number) => typeof number === 'number') &&
    isFloats(state) &&
    [weights, best].every((floats) => floats === null || isFloats(floats)) &&
    (start === null || isRecord(start))
  )
}

/** Plain data for JSON: vectors become tensors named by their place, and numbers that JSON has not become text. */
function lift(value: unknown, name: string, tensors: Map<string, StoredTensor>): unknown {
  if (isFloats(value)) {
    tensors.set(name, { shape: [value.length], data: value })
    return { tensor: name }
  }
  if (typeof value === 'number')
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { number: Object.is(value, -0) ? '-0' : `${value}` }
  if (Array.isArray(value)) return value.map((entry, i) => lift(entry, `${name}.${i}`, tensors))
  if (!isRecord(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, lift(entry, `${name}.${key}`, tensors)]))
}

function lower(value: unknown, tensors: Contents['tensors']): unknown {
  if (Array.isArray(value)) return value.map((entry) => lower(entry, tensors))
  if (!isRecord(value)) return value
  if (typeof value.number === 'string') return Number(value.number)
  if (typeof value.tensor !== 'string')
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, lower(entry, tensors)]))
  const stored = tensors.get(value.tensor)
  if (stored === undefined) throw new Error('no such tensor')
  return stored.data
}

function isFloats(value: unknown): value is Floats {
  return value instanceof Float32Array || value instanceof Float64Array
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}

// ---------------------------------------------------------------------------------------------------- comparing

/** Settings that decide no number, or whose every number is in the data. */
const FREE: ReadonlySet<string> = new Set<keyof FitSettings>([
  'epochs',
  'plot',
  'dispLoss',
  'progress',
  'ledger',
  'validation',
  'sampleWeight',
  'signal',
  'onDivergence',
  'callbacks',
  'checkpoint',
  'resume',
])

/** @param held rows held out */
export function describeRun(settings: FitSettings, table: Table, held: Table | null): RunDescription {
  const entries = Object.entries(settings).filter(([name]) => !FREE.has(name))
  const fit = Object.fromEntries(entries.map(([name, value]) => [name, plain(value)]))
  const { optimizer, earlyStopping } = settings
  // A rate of the factory's own has become that of the fit. More patience is no other run: it is looked at again.
  const { patience, ...goal } = earlyStopping ?? {}
  return {
    fit: { ...fit, optimizer: plain([optimizer.kind, optimizer.settings]), earlyStopping: earlyStopping && goal },
    data: { ...fingerprint(table, ''), ...(held && fingerprint(held, 'validation ')) },
  }
}

/** What it takes to be the same model, by name. */
function describeModel({ options, codec }: SavedModel): Record<string, unknown> {
  const { inputs, layers, loss, task, l1, l2, dtype, seed } = options
  const { classes, ...rest } = codec?.coding ?? {}
  const scaling = [codec?.inputs, codec?.targets]
  return plain({ inputs, layers, loss, task, l1, l2, dtype, seed, classes, coding: rest, scaling }) as Record<
    string,
    unknown
  >
}

/** Sizes, and a hash of every value. */
function fingerprint(table: Table, of: string): Record<string, unknown> {
  const hash = createHash('sha256')
  for (const [name, value] of Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name} ${ArrayBuffer.isView(value) ? value.constructor.name : String(value)};`)
    if (ArrayBuffer.isView(value)) hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
  }
  const { rows, columns, targets } = table
  const sizes = { rows, columns, targets, values: hash.digest('hex') }
  return Object.fromEntries(Object.entries(sizes).map(([name, value]) => [of + name, value]))
}

/** As JSON has it, with keys in order. A function is a function: what it does cannot be compared. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_, entry: unknown) => {
    if (typeof entry === 'function') return 'a function'
    if (!isRecord(entry)) return entry
    return Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
  return text === undefined ? null : JSON.parse(text)
}

/**
 * Refuses to go on with another model, other data or other options.
 * @throws ERR_OPTION; ERR_FILE where the state is not that of such a run
 */
export function requireSameRun(
  { path, model, run }: Checkpoint,
  here: SavedModel,
  { fit, data }: RunDescription,
  epochs: number,
): void {
  const load = '; FNN.load gives that model'
  requireSame('the model', describeModel(model), describeModel(here), path, load)
  requireSame('the options', run.fit, fit, path)
  requireSame('the data', run.data, data, path)
  const done = run.snapshot.epochs.length
  if (epochs < done)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected epochs of at least ${done}, as many as the checkpoint at ${path} has, but received ${epochs}.`,
    )
}

/**
 * Refuses what differs from what a checkpoint has.
 * @param what such as `the options`
 * @param wayOut where there is one
 */
function requireSame(
  what: string,
  there: Readonly<Record<string, unknown>>,
  here: Readonly<Record<string, unknown>>,
  name: string,
  wayOut = '',
): void {
  const others: string[] = []
  for (const key of new Set([...Object.keys(there), ...Object.keys(here)])) {
    const [was, is] = [there[key], here[key]].map((value) => JSON.stringify(value ?? null))
    if (was !== is) others.push(was.length + is.length < MOST_SHOWN ? `${key} (${is}, was ${was})` : key)
  }
  if (others.length === 0) return
  throw new DownhillError(
    'ERR_OPTION',
    `Expected ${what} that made the checkpoint at ${name} for resume; different here: ${others.join(', ')}${wayOut}.`,
  )
}

/** Characters of two values that a sentence bears. */
const MOST_SHOWN = 60

// ---------------------------------------------------------------------------------------------------- writing

/** The file of a run's checkpoints. One is written at a time; what cannot be written is said, and tried again with the next. */
export class CheckpointFile implements Keeper {
  readonly #path: string
  readonly #isAsync: boolean
  readonly #contents: (snapshot: Snapshot) => Contents
  #last = Promise.resolve()
  #pending = 0
  #steps = -1
  /** Why the last one is not there, if it is not. */
  error: DownhillError | null = null

  constructor(path: string, isAsync: boolean, contents: (snapshot: Snapshot) => Contents) {
    this.#path = path
    this.#isAsync = isAsync
    this.#contents = contents
  }

  get isBusy(): boolean {
    return this.#pending > 0
  }

  has(steps: number): boolean {
    return this.#steps === steps
  }

  write(snapshot: Snapshot): void {
    const { parameters, weights, state } = snapshot
    if (![parameters, ...(weights ? [weights] : []), state].every(areFinite)) {
      const where = `after step ${snapshot.steps}, where the optimizer's state is not finite`
      process.emitWarning(`No checkpoint was written to ${this.#path} ${where}.`)
      return
    }
    this.#steps = snapshot.steps
    const contents = this.#contents(snapshot)
    if (this.#isAsync) this.#last = this.#writeAfter(this.#last, contents)
    else this.#writeHere(contents)
  }

  /** Resolves when the last one is written, or could not be. */
  settle(): Promise<void> {
    return this.#last
  }

  async #writeAfter(before: Promise<void>, contents: Contents): Promise<void> {
    this.#pending++
    await before
    try {
      await writeDurably(this.#path, await encodeInTurns(contents))
      this.error = null
    } catch (error) {
      this.#fail(error)
    }
    this.#pending--
  }

  #writeHere(contents: Contents): void {
    try {
      writeDurablySync(this.#path, encodeTensors(contents))
      this.error = null
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.error = error as DownhillError
    this.#steps = -1
    process.emitWarning(`${this.error.message} The training goes on.`, { code: this.error.code })
  }
}
