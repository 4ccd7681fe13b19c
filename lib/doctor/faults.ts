/**
 * Faults of a gradient: what a tensor would be under each of them.
 *
 * PATTERNS and FACTORS are tables. A row computes exactly what a caller's tensor would hold if that mistake had been
 * made, from our own gradient, from plans of it with an instruction left out, or from the values of single rows; the
 * first row that agrees names the fault. A pattern may be off by a factor besides. What agrees with none is 'other':
 * nothing is guessed here.
 */
import { ACTIVATIONS } from '../activations'
import { outputActivation } from '../layers'
import { placeLoss } from '../losses'
import type { Network } from '../network'
import { CHUNK_ROWS } from '../plan/compile'
import { parameterised } from '../plan/layout'
import { align, type Floats, type Instruction, type InstructionOf, type Plan, type Table } from '../plan/plan'
import { evaluation } from '../train/slices'
import { activationOf } from './activity'
import { agree } from './compare'

/** Ways in which a gradient is wrong. */
export type Fault = 'missingAxis' | 'missingMean' | 'transposed' | 'sign' | 'missingDerivative' | 'other'

export interface NamedFault {
  readonly fault: Fault
  /** A clause about the tensor: *its sign is flipped*. */
  readonly says: string
  /** It is that of a loss that holds every prediction to every target. */
  readonly isBroadcast?: true
}

/** A tensor of ours beside theirs. */
export interface Suspect {
  /** Its layer's place in `weights()`, and where it begins in the gradient. */
  readonly layer: number
  readonly at: number
  readonly name: 'weights' | 'bias'
  /** Inputs and units; of a bias 1 and units. */
  readonly I: number
  readonly O: number
  readonly ours: Floats
  /** Their numbers as they lie, and with what shape: [] of one number, null of ragged rows. */
  readonly values: Floats
  readonly shape: readonly number[] | null
  /** Theirs laid out as ours; null where they do not fit. */
  readonly arranged: Floats | null
  /** How far two entries may be apart besides their relative tolerance. */
  readonly absolute: number
}

/** The first fault under which ours would be theirs. */
export function nameFault(suspect: Suspect, evidence: Evidence): NamedFault {
  const { ours, values: theirs, arranged, absolute } = suspect
  if (!theirs.every(Number.isFinite)) return { fault: 'other', says: 'it holds values that are not finite numbers' }
  const fits = (values: Floats, by = 1): boolean => {
    const scaled = by === 1 ? values : values.map((v) => v * by)
    return (arranged !== null && agree(scaled, arranged, absolute)) || agree(scaled, theirs, absolute)
  }
  const factors = FACTORS.flatMap(({ fault, factors }) => factors(evidence).map((factor) => ({ fault, ...factor })))
  const simple = factors.find(({ by }) => fits(ours, by))
  if (simple) return { fault: simple.fault, says: simple.says }
  for (const { fault, candidates, isBroadcast } of PATTERNS)
    for (const { values, says } of candidates(suspect, evidence)) {
      const named = { fault, ...(isBroadcast && { isBroadcast }) }
      if (fits(values)) return { ...named, says }
      const factor = factors.find(({ by }) => fits(values, by))
      if (factor) return { ...named, says: `${says}; besides, ${factor.says}` }
    }
  return { fault: 'other', says: describe(suspect, evidence) }
}

/** What can still be said of a fault without a name. */
function describe({ name, I, O, ours, shape, arranged, absolute }: Suspect, { isWhole }: Evidence): string {
  if (arranged === null) {
    const size = shape === null ? 'ragged rows' : shape.join(' × ') || 'one number'
    return `its shape, ${size}, is not that of the ${name}, ${name === 'bias' ? O : `${I} × ${O}`}`
  }
  const by = proportion(ours, arranged)
  const isProportional = agree(
    ours.map((v) => v * by),
    arranged,
    absolute,
  )
  if (isProportional) return `it is ${by.toPrecision(6)} times what it should be`
  return isWhole ? 'it agrees with no fault that has a name' : 'it is not what it should be'
}

/** The b that makes b·a nearest to t. */
function proportion(a: Floats, t: Floats): number {
  let [dot, square] = [0, 0]
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * t[i]
    square += a[i] * a[i]
  }
  return square > 0 ? dot / square : 0
}

// ---------------------------------------------------------------------------------------------------- factors

interface FactorRow {
  readonly fault: Fault
  factors(evidence: Pick<Evidence, 'rows' | 'outputs'>): readonly { readonly by: number; readonly says: string }[]
}

/** Numbers that a whole tensor, or a loss, may be off by. */
export const FACTORS: readonly FactorRow[] = [
  { fault: 'sign', factors: () => [{ by: -1, says: 'its sign is flipped' }] },
  {
    fault: 'missingMean',
    factors: ({ rows, outputs }) =>
      [
        { count: rows, over: `the ${rows} rows` },
        { count: outputs, over: `the ${outputs} outputs` },
        { count: rows * outputs, over: `the ${rows} rows and ${outputs} outputs` },
      ]
        .filter(({ count }, i, all) => count > 1 && all.findIndex((other) => other.count === count) === i)
        .flatMap(({ count, over }) => [
          { by: count, says: `it is ${count} times too large: the mean over ${over} is missing` },
          { by: 1 / count, says: `it is ${count} times too small: the mean over ${over} is taken once too often` },
        ]),
  },
  {
    fault: 'sign',
    factors: ({ rows }) =>
      rows === 1
        ? []
        : [
            { by: -rows, says: `its sign is flipped, and the mean over the ${rows} rows is missing` },
            { by: -1 / rows, says: `its sign is flipped, and the mean over the ${rows} rows is taken once too often` },
          ],
  },
  {
    fault: 'other',
    factors: () => [
      { by: 2, says: 'it is twice what it should be, as where a ½ is forgotten' },
      { by: 0.5, says: 'it is half of what it should be, as where the 2 of a square is forgotten' },
    ],
  },
]

// ---------------------------------------------------------------------------------------------------- patterns

/** What a tensor would be under a fault, laid out as ours or as theirs is. */
interface Candidate {
  readonly values: Floats
  readonly says: string
}

interface Pattern {
  readonly fault: Fault
  readonly isBroadcast?: true
  readonly synopsis: string
  candidates(suspect: Suspect, evidence: Evidence): readonly Candidate[]
}

const PATTERNS: readonly Pattern[] = [
  {
    fault: 'transposed',
    synopsis: 'the entries of the transposed matrix',
    candidates({ I, O, ours }) {
      if (I === 1 || O === 1) return []
      const says = `it holds the transpose of the ${I} × ${O} matrix that belongs there`
      return [
        { values: transpose(ours, I, O), says },
        { values: transpose(ours, O, I), says },
      ]
    },
  },
  {
    fault: 'missingAxis',
    synopsis: 'one sum over units too, broadcast to all',
    candidates({ I, O, ours }) {
      if (I * O === 1) return []
      const sums = (place: (i: number) => number): Floats => {
        const to = new Float64Array(ours.length)
        for (let i = 0; i < ours.length; i++) to[place(i)] += ours[i]
        return to.map((_, i) => to[place(i)])
      }
      const all = sums(() => 0)
      const whole = [
        { values: all, says: `every entry is the sum over all ${I * O}, as without an axis` },
        { values: all.map((v) => v / (I * O)), says: `every entry is the mean over all ${I * O}, as without an axis` },
      ]
      if (I === 1 || O === 1) return whole
      return [
        ...whole,
        { values: sums((i) => i % O), says: `each entry is the sum of its column, over the ${I} inputs` },
        { values: sums((i) => i - (i % O)), says: `each entry is the sum of its row, over the ${O} units` },
      ]
    },
  },
  {
    fault: 'missingAxis',
    synopsis: 'of single rows of data, or summed over units instead of rows',
    candidates({ name, layer }, { deltas, rows }) {
      const d = name === 'bias' ? deltas(layer) : null
      if (d === null) return []
      const O = d.length / rows
      const says = `it holds values of single rows of data, which are still to be summed over the ${rows} rows`
      const overUnits = new Float64Array(rows)
      for (let i = 0; i < d.length; i++) overUnits[Math.floor(i / O)] += d[i]
      return [
        { values: d, says },
        { values: transpose(d, rows, O), says },
        { values: overUnits, says: `it is summed over the ${O} units instead of over the ${rows} rows of data` },
      ]
    },
  },
  {
    fault: 'missingDerivative',
    synopsis: 'without the derivative of an activation at or after the layer',
    candidates: ({ at, ours }, { altered }) => part(altered().without, at, ours.length),
  },
  {
    fault: 'other',
    synopsis: 'with the derivative of the output activation, which the gradient of the loss has in it already',
    candidates: ({ at, ours }, { altered }) => part(altered().twice, at, ours.length),
  },
  {
    fault: 'other',
    isBroadcast: true,
    synopsis:
      'of a loss that holds every prediction to every target: of its mean, where the loss is a polynomial in it',
    candidates: ({ at, ours }, { broadcast }) => part(broadcast(), at, ours.length),
  },
]

/** (rows, columns) → (columns, rows). */
export function transpose(values: Floats, rows: number, columns: number): Float64Array {
  const to = new Float64Array(values.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = values[r * columns + c]
  return to
}

function part(gradients: readonly AlteredGradient[], at: number, length: number): Candidate[] {
  return gradients.map(({ gradient, says }) => ({ values: gradient.subarray(at, at + length), says }))
}

// ---------------------------------------------------------------------------------------------------- evidence

/** What patterns are made from beside our gradient; each is computed when first asked for. */
export interface Evidence {
  readonly rows: number
  readonly outputs: number
  /** Whether patterns that take further passes over the rows are there. */
  readonly isWhole: boolean
  /** With every target its mean. */
  broadcast(): readonly AlteredGradient[]
  altered(): { readonly without: readonly AlteredGradient[]; readonly twice: readonly AlteredGradient[] }
  /** ∂L/∂z of a layer, (rows, units); null where those of all layers would take too much memory. */
  deltas(layer: number): Floats | null
}

/** A gradient as it would come out of another way back. */
interface AlteredGradient {
  readonly says: string
  readonly gradient: Floats
}

/** Floats that deltas of all rows may take. */
const MOST_DELTAS = 1 << 24

/** @param exact in float64 */
export function evidenceOf(exact: Network, table: Table): Evidence {
  const altered = once(() => alteredGradients(exact, table))
  const deltas = once(() => deltasOf(exact, table))
  const broadcast = once(() => broadcastGradient(exact, table))
  return {
    rows: table.rows,
    outputs: exact.outputs,
    isWhole: true,
    altered,
    broadcast,
    deltas: (layer) => deltas()[layer] ?? null,
  }
}

/** What can be told from the tensors alone, without another pass over the rows. */
export function tensorsAlone({ outputs }: Network, { rows }: Table): Evidence {
  const none = { without: [], twice: [] }
  return { rows, outputs, isWhole: false, altered: () => none, broadcast: () => [], deltas: () => null }
}

/** Mean over all pairs of (n, 1) predictions and (n) targets: linear and quadratic losses see the targets' mean alone. */
function broadcastGradient(exact: Network, table: Table): AlteredGradient[] {
  const { y, rows, targets } = table
  if (y === null || targets !== 1 || exact.outputs !== 1) return []
  let sum = 0
  for (const t of y) sum += t
  const { gradient } = exact.gradient({ ...table, y: new Float64Array(rows).fill(sum / rows) })
  return [{ says: 'it is that of a loss which holds every prediction to every target: (n, 1) met (n)', gradient }]
}

function once<T>(compute: () => T): () => T {
  let value: { readonly of: T } | null = null
  return () => {
    value ??= { of: compute() }
    return value.of
  }
}

/** Runs a gradient program over a table, and looks into the arena. */
export function lookInto<T>(
  network: Network,
  plan: Plan,
  table: Table,
  look: (read: (at: number, length: number) => Floats) => T,
): T {
  const engine = network.load(plan)
  const data = engine.bind(table)
  try {
    engine.run(evaluation(data, 'gradient'))
    return look((at, length) => engine.read({ at, length }))
  } finally {
    data.release()
    engine.close()
  }
}

/** The way back without each derivative, without all of them, and with the output's once more. */
function alteredGradients(exact: Network, table: Table): ReturnType<Evidence['altered']> {
  const plan = exact.plan(['gradient'], Math.min(table.rows, CHUNK_ROWS), table.targets)
  const { chunk } = plan.programs.gradient as NonNullable<Plan['programs']['gradient']>
  const gradientBy = (instructions: readonly Instruction[], more = 0): Floats => {
    const altered = { ...plan, length: plan.length + more, programs: { gradient: { chunk: instructions, step: [] } } }
    return lookInto(exact, altered, table, (read) => read(plan.gradients.at, plan.gradients.length))
  }
  // dx stands in dy's own place: with the instruction left out, the gradient passes through as if f' were 1.
  const derivatives = chunk.filter(({ op }) => op === 'activateGrad')
  const layers = activeLayers(exact)
  const without = derivatives.map((left, i) => ({
    says: `the derivative of ${left.row} in layers[${layers[layers.length - 1 - i]}] is missing`,
    gradient: gradientBy(chunk.filter((instruction) => instruction !== left)),
  }))
  if (derivatives.length > 1)
    without.push({
      says: 'the derivatives of all activations are missing',
      gradient: gradientBy(chunk.filter((instruction) => !derivatives.includes(instruction))),
    })

  const row = outputActivation(exact.model)
  const loss = chunk.find((instruction): instruction is InstructionOf<'loss'> => instruction.op === 'loss')
  const isApplied = chunk.some((instruction) => instruction.op === 'activate' && instruction.y === loss?.z)
  if (loss === undefined || isApplied || ACTIVATIONS.get(row)?.isIdentity) return { without, twice: [] }
  const { z, dz, O } = loss
  const [y, more] = [plan.length, align(O * plan.capacity)]
  const again: Instruction[] = [
    { op: 'activate', row, x: z, y, O },
    { op: 'activateGrad', row, x: z, y, dy: dz, dx: dz, O },
  ]
  const says = `the derivative of the output's ${row} is in it once more, which the gradient of the loss has in it already`
  const instructions = chunk.flatMap((instruction) => (instruction === loss ? [loss, ...again] : [instruction]))
  return { without, twice: [{ says, gradient: gradientBy(instructions, more) }] }
}

/**
 * Where the activations stand that have an instruction on the way back: each by the place in `weights()` of the layer
 * that it is of, or behind.
 */
export function activeLayers({ model, layout, loss }: Network): number[] {
  const parts = parameterised(layout)
  const isFused = placeLoss(loss, outputActivation(model)).fused
  return layout.layers.flatMap((layer, i) => {
    if (ACTIVATIONS.get(activationOf(layer))?.isIdentity || (isFused && i === layout.layers.length - 1)) return []
    return [layout.layers.slice(0, i + 1).filter((other) => parts.includes(other)).length - 1]
  })
}

/** ∂L/∂z of every product with weights, by the layer's place in `weights()`; none where that is too much. */
function deltasOf(exact: Network, table: Table): readonly (Floats | undefined)[] {
  const { layout } = exact
  const widths = layout.layers.reduce((sum, { outputs }) => sum + outputs, 0)
  if (widths * table.rows > MOST_DELTAS) return []
  const plan = exact.plan(['gradient'], table.rows, table.targets)
  const { chunk } = plan.programs.gradient as NonNullable<Plan['programs']['gradient']>
  const products = chunk.flatMap((instruction) => (instruction.op === 'affineGradWeights' ? [instruction] : []))
  return lookInto(exact, plan, table, (read) =>
    parameterised(layout).map(({ tensors }) => {
      const product = products.find(({ dW }) => tensors.some(({ at }) => plan.gradients.at + at === dW))
      return product && read(product.dy, table.rows * product.O)
    }),
  )
}
