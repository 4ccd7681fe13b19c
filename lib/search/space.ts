/**
 * Search spaces: which values options may take, and the candidates that come of them.
 *
 * A list is a choice; { low, high } is a range of numbers. A candidate replaces whole options, as a diagnosis' change
 * does: `{ ...model, ...candidate.model }`. Nothing here trains.
 */
import { DownhillError, expected, refuseUnknown } from '../errors'
import { checkBoolean, checkName } from '../names'
import type { ModelOptions } from '../options'
import { type Random, random } from '../random'
import type { FitOptions } from '../train/options'

/** Numbers from `low` to `high`, both included. */
export interface Range {
  readonly low: number
  readonly high: number
  /** 'log' draws the logarithm evenly: for rates and penalties; low > 0. @default 'linear' */
  readonly scale?: 'linear' | 'log'
  /** Whole numbers only. @default false */
  readonly whole?: boolean
}

/** A list of values for each option that is searched over, or a range. */
export type Space<Options> = { readonly [K in keyof Options]?: readonly Options[K][] | Range }

export interface SearchSpace {
  readonly model?: Space<ModelOptions>
  readonly fit?: Space<FitOptions>
}

/** The options of one candidate that differ from those of the program. */
export interface Candidate {
  readonly model: ModelOptions
  readonly fit: FitOptions
}

/** One option that is searched over. */
interface Axis {
  readonly part: 'model' | 'fit'
  readonly option: string
  readonly values: readonly unknown[] | Required<Range>
}

/** Every combination, the last option changing fastest. @throws ERR_OPTION for a space that is none, or holds a range */
export function gridOf(space: SearchSpace): Candidate[] {
  const axes = readSpace(space)
  const endless = axes.find(({ values }) => !isList(values))
  if (endless)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected a list of values for ${endless.option} of a grid but received a range, which randomSearch draws from.`,
    )
  return axes.reduce<Candidate[]>(
    (candidates, axis) =>
      candidates.flatMap((candidate) =>
        (axis.values as readonly unknown[]).map((value) => withValue(candidate, axis, value)),
      ),
    [{ model: {}, fit: {} }],
  )
}

/** `count` draws, each option evenly from its list or range. @throws ERR_OPTION for a space that is none */
export function drawFrom(space: SearchSpace, count: number, seed: number): Candidate[] {
  const axes = readSpace(space)
  const from = random(seed, 'search')
  return Array.from({ length: count }, () =>
    axes.reduce<Candidate>((candidate, axis) => withValue(candidate, axis, draw(axis.values, from)), {
      model: {},
      fit: {},
    }),
  )
}

/** Whether a space has combinations that can be counted. */
export function isCountable(space: SearchSpace): boolean {
  return readSpace(space).every(({ values }) => isList(values))
}

function withValue(candidate: Candidate, { part, option }: Axis, value: unknown): Candidate {
  return { ...candidate, [part]: { ...candidate[part], [option]: value } }
}

function draw(values: Axis['values'], from: Random): unknown {
  if (isList(values)) return values[from.below(values.length)]
  const { low, high, scale, whole } = values
  // The borders of a range of whole numbers are as likely as the others.
  if (whole && scale === 'linear') return low + from.below(high - low + 1)
  const u = from.uniform()
  const value = scale === 'log' ? low * (high / low) ** u : low + (high - low) * u
  return whole ? Math.min(high, Math.max(low, Math.round(value))) : value
}

function isList(values: Axis['values']): values is readonly unknown[] {
  return Array.isArray(values)
}

function readSpace(space: unknown): Axis[] {
  refuseUnknown(space, ['model', 'fit'], 'search')
  const axes = (['model', 'fit'] as const).flatMap((part) => {
    const options: unknown = (space as SearchSpace)[part] ?? {}
    if (typeof options !== 'object' || options === null || Array.isArray(options))
      throw expected('an object of lists or ranges', `${part} of search`, options)
    return Object.entries(options).map(([option, values]) => ({ part, option, values: readValues(option, values) }))
  })
  if (axes.length === 0)
    throw new DownhillError(
      'ERR_OPTION',
      'Expected at least one option to search over, e.g. { fit: { learningRate: [0.01, 0.1] } }.',
    )
  return axes
}

function readValues(option: string, values: unknown): Axis['values'] {
  if (Array.isArray(values) && values.length > 0) return values
  const isRange = typeof values === 'object' && values !== null && 'low' in values && 'high' in values
  if (!isRange) throw expected('a list of values or a range { low, high }', `${option} of search`, values)
  refuseUnknown(values, ['low', 'high', 'scale', 'whole'], `${option} of search`)
  const { low, high, scale = 'linear', whole = false } = values as Range
  checkName(scale, ['linear', 'log'], `scale of ${option}`)
  checkBoolean(whole, `whole of ${option}`)
  const fits = Number.isFinite(low) && Number.isFinite(high) && low <= high
  const isWhole = !whole || (Number.isInteger(low) && Number.isInteger(high))
  if (!fits || !isWhole || (scale === 'log' && low <= 0))
    throw new DownhillError(
      'ERR_OPTION',
      `Expected ${whole ? 'whole ' : ''}numbers low ≤ high${scale === 'log' ? ', low > 0,' : ''} for ${option} of search but received ${low} and ${high}.`,
    )
  return { low, high, scale, whole }
}
