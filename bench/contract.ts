/**
 * What a contender is: the one contract for our own backends and for every peer (peers/contract.py is its twin).
 *
 * A contender is opened on a task and then asked for blocks (workloads.ts). It may keep what a careful user of that
 * library would keep between fits (converted data, a compiled step, a session); it may not skip, merge or approximate
 * any of the block's work. Whatever brings it back to the start happens in `reset`, which is not timed.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Task } from './workloads'

/** A task with its bytes. */
export interface LoadedTask extends Task {
  /** As stored: floats, or bytes that are to be scaled. */
  readonly stored: Float32Array | Uint8Array
  /** x as floats, (rows, I). */
  readonly floats: () => Float32Array
  readonly labels: Uint8Array
  /** The start, a fresh copy: W is in × out. */
  readonly start: () => { readonly W: Float32Array; readonly b: Float32Array; readonly I: number; readonly O: number }[]
}

export interface Contender {
  /** Library, version, and the backend or kernel it runs on. */
  readonly version: string
  /** What it chose for this task, where there was a choice, e.g. its thread pools. */
  readonly setting?: string
  /** Why its losses are not comparable, e.g. it knows no mini-batches; undefined where they are. */
  readonly differs?: string
  /** Back to the start, optimizer state and all. */
  reset(): void | Promise<void>
  /** The timed work. `train`: the mean loss of each pass, in the order of the passes. `predict`: a class a row, of the last pass. */
  block(): ArrayLike<number> | Promise<ArrayLike<number>>
  /** `predict` only: probabilities of the first `rows` rows, row-major; not timed. */
  probabilities?(rows: number): ArrayLike<number> | Promise<ArrayLike<number>>
}

export type Open = (task: LoadedTask, threads: number) => Promise<Contender>

/** Thrown by a contender that cannot do a task; its message becomes the row. */
export class Unable extends Error {}

export function load(folder: string): LoadedTask {
  const task = JSON.parse(readFileSync(join(folder, 'task.json'), 'utf8')) as Task
  const bytes = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)))
  const raw = bytes('x.bin')
  const stored = task.x.dtype === 'uint8' ? raw : new Float32Array(raw.buffer)
  return {
    ...task,
    stored,
    floats: () => (stored instanceof Float32Array ? stored : Float32Array.from(stored, (byte) => byte * task.x.scale)),
    labels: bytes('labels.bin'),
    start() {
      const floats = new Float32Array(bytes('start.bin').buffer)
      let at = 0
      const take = (n: number): Float32Array => {
        at += n
        return floats.subarray(at - n, at)
      }
      return task.layers.slice(1).map((O, l) => ({ I: task.layers[l], O, W: take(task.layers[l] * O), b: take(O) }))
    },
  }
}

const peers = join(__dirname, 'peers')

/**
 * Loads a package of bench/peers, as the narrow interface that the peer's file states.
 * @throws Unable if it is not installed or does not load
 */
export async function peer<Module>(name: string): Promise<{ module: Module; version: string }> {
  const from = createRequire(join(peers, 'package.json'))
  try {
    const { version } = from(`${peers}/node_modules/${name}/package.json`) as { version: string }
    const module = (await import(pathToFileURL(from.resolve(name)).href)) as Module & { default?: Module }
    return { module: module.default ?? module, version: `${name} ${version}` }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new Unable(
      code === 'MODULE_NOT_FOUND' && message.includes(`node_modules/${name}/package.json`)
        ? 'not installed: npm ci --prefix bench/peers'
        : `does not load: ${message
            .split('\n')[0]
            .replaceAll(join(__dirname, '..', '/'), '')
            .trim()}`,
    )
  }
}

/** Position of the largest of each row: the classes of a matrix of probabilities or logits. */
export function argmax(values: ArrayLike<number>, columns: number): Uint8Array {
  const classes = new Uint8Array(values.length / columns)
  for (let i = 0; i < classes.length; i++) {
    let best = 0
    for (let o = 1; o < columns; o++) if (values[i * columns + o] > values[i * columns + best]) best = o
    classes[i] = best
  }
  return classes
}

/** Rows as 0/1 vectors over the classes. */
export function oneHot(labels: ArrayLike<number>, classes: number): Float32Array {
  const rows = new Float32Array(labels.length * classes)
  for (let i = 0; i < labels.length; i++) rows[i * classes + labels[i]] = 1
  return rows
}
