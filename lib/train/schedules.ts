/**
 * Schedules: the learning rate as a function of what has been done. A row says which settings a schedule has and what
 * rate it gives; the loop asks it for the rate of each step and knows none by name.
 *
 * A schedule is a pure function of the clock, but for `plateau`, which is one of the epochs recorded; so whoever goes on
 * with a run needs no more of it than its steps and its history. Formulas, defaults and units are PyTorch's
 * (torch.optim.lr_scheduler) unless a row says otherwise; 'epoch' means that the rate stays throughout each epoch.
 */
import { DownhillError, expected, refuseUnknown } from '../errors'
import { checkName, checkNumber, type NumberRange, RANGES } from '../names'
import type { Epoch } from './history'

export type ScheduleName =
  | 'constant'
  | 'step'
  | 'exponential'
  | 'cosine'
  | 'polynomial'
  | 'oneCycle'
  | 'warmup'
  | 'plateau'

/** Where a run stands: what is done, and what there is to be done in all. With `partialFit`, since its state began. */
export interface Clock {
  /** Whole steps made. */
  readonly step: number
  /** Whole epochs made. */
  readonly epoch: number
  readonly steps: number
  readonly epochs: number
}

type Setting = number | string | readonly number[] | null | ScheduleSpec

/** A schedule with its options filled in: plain data. */
export interface ScheduleSpec {
  readonly kind: ScheduleName
  /** Where it begins, or its peak; null: the optimizer's own rate. */
  readonly rate: number | null
  readonly settings: Readonly<Record<string, Setting>>
}

/** What `constant` makes: an initializer too, and here a rate that stays. */
interface Constant {
  readonly kind: 'constant'
  readonly value: number
}

/** A pure function of where the run stands. */
export type RateFunction = (step: number, clock: Clock) => number

/** A rate, a schedule from a factory, or a function of the step. */
export type LearningRate = number | ScheduleSpec | Constant | RateFunction

/** A schedule at work. */
export interface Pacer {
  /** The rate of the step that comes next. */
  rate(clock: Clock): number
  /** Whether it must hear of every epoch before the next is begun. */
  readonly isWaiting: boolean
  hear(epoch: Epoch): void
}

interface Row {
  readonly kind: ScheduleName
  readonly synopsis: string
  /** How each option is read; given undefined, it says the default. */
  readonly options: Readonly<Record<string, (value: unknown, name: string) => Setting>>
  pacer(rate: number, settings: Readonly<Record<string, never>>): Pacer
}

// ---------------------------------------------------------------------------------------------------- options

const numberIn =
  (range: NumberRange, byDefault?: number | null) =>
  (value: unknown, name: string): Setting =>
    value === undefined && byDefault !== undefined ? byDefault : checkNumber(value, range, name)

const oneOf =
  <const K extends string>(names: readonly K[], byDefault: K) =>
  (value: unknown, name: string): Setting =>
    value === undefined ? byDefault : checkName(value, names, name)

const FACTOR: NumberRange = { says: 'a number in (0, 1]', holds: (x) => x > 0 && x <= 1 }
const SHARE: NumberRange = { says: 'a number in (0, 1)', holds: (x) => x > 0 && x < 1 }
const AT_LEAST_ONE: NumberRange = { says: 'a number ≥ 1', holds: (x) => x >= 1 }

const per = (unit: 'epoch' | 'step') => oneOf(['epoch', 'step'], unit)

/** A period, or the ends of stretches in growing order. */
function readEvery(value: unknown, name: string): Setting {
  if (!Array.isArray(value)) return checkNumber(value, RANGES.count, name)
  if (value.length === 0) throw expected('a positive integer or a list of growing ones', name, value)
  for (const [i, at] of value.entries()) {
    checkNumber(at, RANGES.count, `${name}[${i}]`)
    if (i > 0 && at <= value[i - 1]) throw expected('growing numbers', name, value)
  }
  return [...value]
}

// ---------------------------------------------------------------------------------------------------- rows

type Unit = { readonly per: 'epoch' | 'step' }

/** How much of the clock is over, and how much there is, in the schedule's unit. */
const elapsed = (clock: Clock, { per }: Unit): number => (per === 'epoch' ? clock.epoch : clock.step)
const whole = (clock: Clock, { per, length }: Unit & { readonly length: number | null }): number =>
  length ?? (per === 'epoch' ? clock.epochs : clock.steps)

/** One that looks at the clock alone. */
const byClock = (rate: (clock: Clock) => number): Pacer => ({ rate, isWaiting: false, hear() {} })

/** From `a` to `b` on half a wave; share in [0, 1]. */
const halfWave = (a: number, b: number, share: number): number => b + ((a - b) / 2) * (1 + Math.cos(Math.PI * share))

/** A row whose pacer is given its settings by the types that its options read. */
function row<S>(row: Omit<Row, 'pacer'> & { pacer(rate: number, settings: S): Pacer }): Row {
  return row as unknown as Row
}

const ROWS: readonly Row[] = [
  row({
    kind: 'constant',
    synopsis: 'η',
    options: {},
    pacer: (rate) => byClock(() => rate),
  }),

  row<Unit & { every: number | readonly number[]; factor: number }>({
    kind: 'step',
    synopsis: 'η·factor^⌊t/every⌋; with a list, η·factor^(how many of its numbers are ≤ t)',
    options: { every: readEvery, factor: numberIn(FACTOR, 0.1), per: per('epoch') },
    pacer: (rate, { every, factor, ...unit }) =>
      byClock((clock) => {
        const t = elapsed(clock, unit)
        const count = typeof every === 'number' ? Math.floor(t / every) : every.filter((at) => at <= t).length
        return rate * factor ** count
      }),
  }),

  row<Unit & { factor: number }>({
    kind: 'exponential',
    synopsis: 'η·factor^t',
    options: { factor: numberIn(FACTOR), per: per('epoch') },
    pacer: (rate, { factor, ...unit }) => byClock((clock) => rate * factor ** elapsed(clock, unit)),
  }),

  row<Unit & { length: number | null; period: number | null; multiplier: number; min: number }>({
    kind: 'cosine',
    synopsis:
      'min + ½(η − min)(1 + cos πt/T), T the length; with a period, warm restarts after T = period, period·multiplier, … (Loshchilov & Hutter 2017)',
    options: {
      length: numberIn(RANGES.count, null),
      period: numberIn(RANGES.count, null),
      multiplier: numberIn(AT_LEAST_ONE, 1),
      min: numberIn(RANGES.notNegative, 0),
      per: per('epoch'),
    },
    pacer: (rate, { length, period, multiplier, min, ...unit }) =>
      byClock((clock) => {
        let t = elapsed(clock, unit)
        if (period === null) {
          const T = whole(clock, { ...unit, length })
          return halfWave(rate, min, Math.min(t, T) / T)
        }
        let T = period
        for (; t >= T; T *= multiplier) t -= T
        return halfWave(rate, min, t / T)
      }),
  }),

  row<Unit & { length: number | null; power: number; end: number }>({
    kind: 'polynomial',
    synopsis: 'end + (η − end)·(1 − t/T)^power, T the length',
    options: {
      length: numberIn(RANGES.count, null),
      power: numberIn(RANGES.positive, 1),
      end: numberIn(RANGES.notNegative, 0),
      per: per('epoch'),
    },
    pacer: (rate, { length, power, end, ...unit }) =>
      byClock((clock) => {
        const T = whole(clock, { ...unit, length })
        return end + (rate - end) * (1 - Math.min(elapsed(clock, unit), T) / T) ** power
      }),
  }),

  row<Unit & { length: number | null; rise: number; divide: number; finalDivide: number; shape: 'cosine' | 'linear' }>({
    kind: 'oneCycle',
    synopsis:
      'from η/divide up to η in a share `rise` of the length, then down to η/(divide·finalDivide) (Smith & Topin 2017); momentum stays',
    options: {
      length: numberIn(RANGES.count, null),
      rise: numberIn(SHARE, 0.3),
      divide: numberIn(AT_LEAST_ONE, 25),
      finalDivide: numberIn(AT_LEAST_ONE, 1e4),
      shape: oneOf(['cosine', 'linear'], 'cosine'),
      per: per('step'),
    },
    pacer: (rate, { length, rise, divide, finalDivide, shape, ...unit }) => {
      const between = shape === 'cosine' ? halfWave : (a: number, b: number, share: number) => a + (b - a) * share
      return byClock((clock) => {
        // The last of T rates is the lowest.
        const T = whole(clock, { ...unit, length })
        const t = Math.min(elapsed(clock, unit), T - 1)
        const top = rise * T - 1
        return t <= top
          ? between(rate / divide, rate, top > 0 ? t / top : 1)
          : between(rate, rate / divide / finalDivide, (t - top) / (T - 1 - top))
      })
    },
  }),

  row<Unit & { length: number; from: number | null; schedule: ScheduleSpec }>({
    kind: 'warmup',
    synopsis:
      'η·(from + (1 − from)·t/length) for `length` steps, then `schedule`, which begins at η and counts from there',
    options: {
      length: numberIn(RANGES.count),
      from: numberIn({ says: 'a number in [0, 1]', holds: (x) => x >= 0 && x <= 1 }, null),
      schedule: (value, name) =>
        value === undefined ? { kind: 'constant', rate: null, settings: {} } : readSchedule(value, name),
      per: per('step'),
    },
    pacer: (rate, { length, from, schedule, ...unit }) => {
      const after = pacerOf(schedule, rate)
      const low = from ?? 1 / (length + 1)
      return {
        isWaiting: after.isWaiting,
        hear: (epoch) => after.hear(epoch),
        rate(clock) {
          const t = elapsed(clock, unit)
          const rest = later(clock, length, unit)
          return t < length
            ? after.rate({ ...rest, step: 0, epoch: 0 }) * (low + ((1 - low) * t) / length)
            : after.rate(rest)
        },
      }
    },
  }),

  row<{
    monitor: 'valLoss' | 'loss' | null
    factor: number
    patience: number
    threshold: number
    cooldown: number
    min: number
  }>({
    kind: 'plateau',
    synopsis: 'η·factor each time that more than `patience` epochs pass without a loss below best·(1 − threshold)',
    options: {
      monitor: (value, name) => (value === undefined ? null : checkName(value, ['valLoss', 'loss'], name)),
      factor: numberIn(SHARE, 0.1),
      patience: numberIn(RANGES.wholeNotNegative, 10),
      threshold: numberIn(RANGES.fraction, 1e-4),
      cooldown: numberIn(RANGES.wholeNotNegative, 0),
      min: numberIn(RANGES.notNegative, 0),
    },
    pacer: (start, { monitor, factor, patience, threshold, cooldown, min }) => {
      let [rate, best, bad, cooling] = [start, Number.POSITIVE_INFINITY, 0, 0]
      return {
        isWaiting: true,
        rate: () => rate,
        hear(epoch) {
          const loss = monitor === null ? (epoch.valLoss ?? epoch.loss) : epoch[monitor]
          if (loss !== undefined && loss < best * (1 - threshold)) [best, bad] = [loss, 0]
          else bad++
          if (cooling > 0) [cooling, bad] = [cooling - 1, 0]
          if (bad <= patience) return
          const lower = Math.max(rate * factor, min)
          if (rate - lower > LEAST_CHANGE) rate = lower
          ;[cooling, bad] = [cooldown, 0]
        },
      }
    },
  }),
]

/** A smaller reduction is none: PyTorch's eps. */
const LEAST_CHANGE = 1e-8

/** The clock of what begins `length` steps or epochs later. */
function later(clock: Clock, length: number, { per }: Unit): Clock {
  const perEpoch = Math.round(clock.steps / clock.epochs)
  const made = per === 'epoch' ? length * perEpoch : length
  const [step, steps] = [clock.step - made, Math.max(1, clock.steps - made)]
  return { step, steps, epoch: Math.floor(step / perEpoch), epochs: Math.ceil(steps / perEpoch) }
}

/** All schedules by name. */
export const SCHEDULES: ReadonlyMap<ScheduleName, Row> = new Map(ROWS.map((row) => [row.kind, row]))

/** A schedule at work; `rate` where it has none of its own. */
export function pacerOf(spec: ScheduleSpec, rate: number): Pacer {
  return (SCHEDULES.get(spec.kind) as Row).pacer(spec.rate ?? rate, spec.settings as Readonly<Record<string, never>>)
}

/** The rate that a schedule begins with or rises to; `rate` where it has none of its own. */
export function rateOf({ rate, settings: { schedule } }: ScheduleSpec, own: number): number {
  return rate ?? (isSpec(schedule) ? rateOf(schedule, own) : own)
}

/** Whether its rates depend on the epochs that were recorded. */
export const hearsEpochs = (schedule: ScheduleSpec | RateFunction): boolean =>
  typeof schedule !== 'function' && pacerOf(schedule, 0).isWaiting

/** Whether it cannot do without the loss of validation rows. */
export function monitorsValidation({ settings: { monitor, schedule } }: ScheduleSpec): boolean {
  return monitor === 'valLoss' || (isSpec(schedule) && monitorsValidation(schedule))
}

function isSpec(setting: Setting | undefined): setting is ScheduleSpec {
  return typeof setting === 'object' && setting !== null && 'kind' in setting
}

// ---------------------------------------------------------------------------------------------------- reading

/**
 * A checked schedule from what a factory returned, or from a number.
 * @throws ERR_OPTION
 */
export function readSchedule(value: unknown, name = 'learningRate'): ScheduleSpec {
  if (typeof value === 'number') return make('constant', { rate: checkNumber(value, RANGES.notNegative, name) })
  if (typeof value === 'object' && value !== null && 'kind' in value) {
    const { kind, ...rest } = value as { kind: unknown; value?: unknown; rate?: unknown; settings?: object }
    const known = checkName(kind, [...SCHEDULES.keys()], name)
    if (known === 'constant' && 'value' in rest) return readSchedule(rest.value, name)
    // Filled in, an option left out is null.
    const given = Object.entries({ rate: rest.rate, ...rest.settings }).filter(([, setting]) => setting !== null)
    return make(known, Object.fromEntries(given))
  }
  throw expected('a number ≥ 0, or a schedule such as cosine({ … })', name, value)
}

function make(kind: ScheduleName, given: object): ScheduleSpec {
  const { options } = SCHEDULES.get(kind) as Row
  refuseUnknown(given, ['rate', ...Object.keys(options)], kind)
  const { rate, ...rest } = given as Record<string, unknown>
  const read = Object.entries(options).map(([name, read]) => [name, read(rest[name], `${name} of ${kind}`)])
  if (rest.length !== undefined && rest.period !== undefined)
    throw new DownhillError('ERR_OPTION', `Expected either a length or a period for ${kind}, but both were given.`)
  return {
    kind,
    rate: rate === undefined ? null : checkNumber(rate, RANGES.notNegative, `rate of ${kind}`),
    settings: Object.fromEntries(read),
  }
}

// ---------------------------------------------------------------------------------------------------- factories

interface RateOption {
  /** η; ≥ 0. @default the optimizer's own */
  rate?: number
}
interface UnitOption {
  /** What t counts. */
  per?: 'epoch' | 'step'
}
interface LengthOption {
  /**
   * In the schedule's unit; a positive integer. The rate stays where it ended. @default the whole run: of the epochs that
   * this fit asks for, and of those before whose state it goes on with. A run that is resumed for more epochs than it was
   * begun with so follows a longer schedule from there on; one with a length keeps it.
   */
  length?: number
}

/** every: a period, or a list of growing numbers (PyTorch's StepLR and MultiStepLR); factor 0.1; per 'epoch'. */
export const step = (options: RateOption & UnitOption & { every: number | readonly number[]; factor?: number }) =>
  make('step', options)
/** factor in (0, 1]; per 'epoch'. */
export const exponential = (options: RateOption & UnitOption & { factor: number }) => make('exponential', options)
/**
 * Down to min, default 0, on half a wave as long as `length`; or again and again: `period` is the first one's length, and
 * each is `multiplier`, default 1, times the one before. per 'epoch'.
 */
export const cosine = (
  options: RateOption & UnitOption & LengthOption & { period?: number; multiplier?: number; min?: number } = {},
) => make('cosine', options)
/** Down to end, default 0; power 1. per 'epoch'. */
export const polynomial = (options: RateOption & UnitOption & LengthOption & { power?: number; end?: number } = {}) =>
  make('polynomial', options)
/** `rate` is the peak; rise 0.3, divide 25, finalDivide 1e4, shape 'cosine' or 'linear'. per 'step'. */
export const oneCycle = (
  options: RateOption &
    UnitOption &
    LengthOption & { rise?: number; divide?: number; finalDivide?: number; shape?: 'cosine' | 'linear' } = {},
) => make('oneCycle', options)
/**
 * Grows for `length` steps (per: 'epoch', epochs) to where `schedule` begins, default the rate itself, in even parts:
 * `from` is the share of it that the first step has, by default 1 / (length + 1).
 */
export const warmup = (
  options: UnitOption & { length: number; from?: number; schedule?: number | ScheduleSpec | Constant },
) => make('warmup', options)
/**
 * Reduces the rate where the loss of the validation rows, or of training where there are none, stays: monitor 'valLoss'
 * or 'loss', factor 0.1, patience 10 epochs, threshold 1e-4, cooldown 0 epochs, min 0. Epochs then end slices.
 */
export const plateau = (
  options: RateOption & {
    monitor?: 'valLoss' | 'loss'
    factor?: number
    patience?: number
    threshold?: number
    cooldown?: number
    min?: number
  } = {},
) => make('plateau', options)
