/**
 * Activity: what the units of each layer hold after a forward pass, read out of an engine's arena.
 *
 * Which values count as saturated or dead is said by the activation's own row.
 */
import { ACTIVATIONS, type Activation, type Region } from '../activations'
import type { Engine } from '../backends/backend'
import { type DenseSpec, type LayerSpec, layerRow } from '../layers'
import { type Layout, type PlacedLayer, parameterised } from '../plan/layout'
import type { Floats, Instruction, InstructionOf, Program } from '../plan/plan'

export interface LayerActivity {
  /** The layer's place in `weights()`. */
  readonly layer: number
  readonly activation: string
  readonly units: number
  /** Share of values where the activation hardly passes a gradient on; null where it has no such region. */
  readonly saturated: number | null
  /** Share of units that pass none on any row; null as above. */
  readonly dead: number | null
  /** Root mean square of the outputs: how a signal grows or vanishes from layer to layer. */
  readonly rms: number
}

/** A layer with weights of units and an activation of its own. */
export function isOfUnits(layer: LayerSpec): layer is DenseSpec {
  return 'units' in layer && 'activation' in layer
}

/** Share of its inputs that a layer drops in training; 0 of one that drops none. */
export function rateOf(layer: LayerSpec): number {
  return 'rate' in layer ? layer.rate : 0
}

/** The activation that a layer's outputs have gone through. */
export function activationOf({ spec }: PlacedLayer): string {
  return layerRow(spec).activation(spec)
}

/**
 * The layers whose activation the program applies, over the first `rows` rows of the last batch that it ran.
 *
 * An output that the loss takes the place of (sigmoid under binary cross-entropy, while training) is not among them.
 */
export function readActivity(
  engine: Engine,
  { chunk }: Pick<Program, 'chunk'>,
  { layout }: { readonly layout: Layout },
  rows: number,
): LayerActivity[] {
  const layers = parameterised(layout)
  const read = (at: number, O: number): Floats => engine.read({ at, length: rows * O })
  return chunk.flatMap((instruction, i) => {
    if (instruction.op !== 'affine') return []
    const { W, y, O } = instruction
    const layer = layers.findIndex(({ tensors }) => tensors.some(({ at }) => at === W))
    const activation = activationOf(layers[layer])
    const row = ACTIVATIONS.get(activation) as Activation
    const applied = appliedTo(chunk, i)
    if (applied === null && !row.isIdentity) return []
    const outputs = read(applied?.y ?? y, O)
    const kept = applied && row.keeps === 'input' ? read(applied.x, O) : outputs
    const saturated = row.saturated ? shareIn(row.saturated, kept) : null
    const dead = row.dead ? shareAlways(row.dead, kept, O) : null
    return [{ layer, activation, units: O, saturated, dead, rms: rootMeanSquare(outputs) }]
  })
}

/** The activation of what the instruction at `i` computes. */
export function appliedTo(chunk: readonly Instruction[], i: number): InstructionOf<'activate'> | null {
  const next = chunk[i + 1]
  return next?.op === 'activate' && next.x === (chunk[i] as InstructionOf<'affine'>).y ? next : null
}

function shareIn(region: Region, values: Floats): number {
  let count = 0
  for (let i = 0; i < values.length; i++) if (region.holds(values[i])) count++
  return count / values.length
}

function shareAlways(region: Region, values: Floats, O: number): number {
  let always = 0
  for (let o = 0; o < O; o++) {
    let i = o
    while (i < values.length && region.holds(values[i])) i += O
    if (i >= values.length) always++
  }
  return always / O
}

export function rootMeanSquare(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i]
  return Math.sqrt(sum / values.length)
}
