/**
 * Progress: one line on a terminal that says where a run is, and what `dispLoss` prints.
 *
 * The line is for eyes alone: on stderr, where that is a terminal, and nowhere else; so logs and pipes never see it. While
 * it stands, whatever else the process writes to the terminal goes above it. It is gone when the run is over.
 */
import { expected } from '../errors'
import { checkBoolean, checkNumber, RANGES } from '../names'
import type { Epoch, Recorder } from './history'

/** What is shown of a run. */
export interface Display {
  /** A line on the terminal while it goes on. */
  readonly progress: boolean
  /** A line on stdout every so many epochs; 0 is never. */
  readonly dispLoss: number
}

/** `verbose` as Keras has it, in place of what is not given. @throws ERR_OPTION */
export function readDisplay(verbose: unknown, progress: unknown, dispLoss: unknown): Display {
  const level = readVerbose(verbose)
  return {
    progress: progress === undefined ? level === 1 : checkBoolean(progress, 'progress'),
    dispLoss: dispLoss === undefined ? Number(level === 2) : readDispLoss(dispLoss),
  }
}

function readVerbose(value: unknown): number {
  if (value === undefined || value === 0 || value === false) return 0
  if (value === true || value === 1) return 1
  if (value === 2) return value
  throw expected('0, 1 or 2', 'verbose', value)
}

function readDispLoss(value: unknown): number {
  if (typeof value === 'boolean') return Number(value)
  return checkNumber(value, RANGES.wholeNotNegative, 'dispLoss')
}

/** `epoch  3/10  loss 0.123456  validation loss 0.234567`, if it is this epoch's turn. */
export function display(epoch: Epoch, { dispLoss }: Display, epochs: number): void {
  if (dispLoss === 0 || (epoch.epoch % dispLoss !== 0 && epoch.epoch !== epochs)) return
  const validation = epoch.valLoss === undefined ? '' : `  validation loss ${epoch.valLoss.toPrecision(6)}`
  console.log(`${place(epoch.epoch, epochs)}  loss ${epoch.loss.toPrecision(6)}${validation}`)
}

function place(epoch: number, epochs: number): string {
  return `epoch ${String(epoch).padStart(String(epochs).length)}/${epochs}`
}

// ---------------------------------------------------------------------------------------------------- the line

/** Where a line may stand: what is used of a tty.WriteStream. */
export interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  write: (...args: never[]) => boolean
}

/** Whether anybody sees a line there that is written over again and again. */
export function isSeen({ isTTY }: Terminal, { CI, TERM }: NodeJS.ProcessEnv = process.env): boolean {
  return isTTY === true && TERM !== 'dumb' && (CI === undefined || CI === '' || CI === 'false' || CI === '0')
}

const CLEAR = '\r\x1b[K'
/** Milliseconds between two drawings. */
const PAUSE = 100

/** The line of one run. */
export class ProgressLine {
  readonly #epochs: number
  readonly #rows: number
  readonly #steps: number
  readonly #terminal: LineTerminal
  /** Where speed is counted from: the first report. */
  #first: { readonly steps: number; readonly at: number } | null = null
  #drawn = Number.NEGATIVE_INFINITY

  /** @param rows of an epoch @param steps of an epoch */
  constructor(epochs: number, rows: number, steps: number, terminal: LineTerminal = shared()) {
    this.#epochs = epochs
    this.#rows = rows
    this.#steps = steps
    this.#terminal = terminal
  }

  /** After a report. */
  update(recorder: Pick<Recorder, 'last' | 'steps'>, loss: number, learningRate: number): void {
    const { steps } = recorder
    const now = performance.now()
    this.#first ??= { steps, at: now }
    if (now - this.#drawn < PAUSE) return
    this.#drawn = now
    const { last } = recorder
    const perSecond = (1000 * (steps - this.#first.steps)) / (now - this.#first.at)
    const whole = this.#epochs * this.#steps
    const open = steps % this.#steps
    const share = open > 0 ? ` ${String(Math.floor((100 * open) / this.#steps)).padStart(2)} %` : ''
    // The most telling first: what a narrow terminal has no room for is left out from the end.
    this.#terminal.draw(this, [
      place(Math.ceil(steps / this.#steps), this.#epochs) + share,
      `loss ${(last?.loss ?? loss).toPrecision(4)}`,
      ...(last?.valLoss === undefined ? [] : [`validation loss ${last.valLoss.toPrecision(4)}`]),
      ...(perSecond > 0 ? [`${duration((whole - steps) / perSecond)} left`] : []),
      `rate ${Number(learningRate.toPrecision(3))}`,
      ...(perSecond > 0 ? [`${short((perSecond * this.#rows) / this.#steps)} samples/s`] : []),
    ])
  }

  end(): void {
    this.#terminal.erase(this)
  }
}

/** 42 s, 3:07, 2:05:09 */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, '0'))
  const hours = Math.floor(whole / 3600)
  return hours > 0 ? `${hours}:${parts.join(':')}` : parts.join(':').replace(/^0/, '')
}

/** 950, 12.3 k, 4.56 M */
export function short(count: number): string {
  const [divisor, unit] = count >= 1e9 ? [1e9, ' G'] : count >= 1e6 ? [1e6, ' M'] : count >= 1e3 ? [1e3, ' k'] : [1, '']
  return `${Number((count / divisor).toPrecision(3))}${unit}`
}

/**
 * A terminal with a line at its bottom. Runs that go on at once share it: the line is of the one that drew it last.
 *
 * While a line stands, `write` of the streams that lead to the terminal is ours: it clears the line, writes, and draws the
 * line again if the text ended one. Who has replaced it in the meantime is left alone.
 */
export class LineTerminal {
  readonly #streams: readonly Terminal[]
  readonly #restore: (() => void)[] = []
  #line = ''
  /** Whose line it is; null while none stands. */
  #owner: object | null = null
  /** Else somebody has begun a line of text and not ended it: nothing is drawn before they have. */
  #isAtStart = true
  #write: (text: string) => void = () => {}

  /** @param streams the line's own first, then others that lead to the same terminal */
  constructor(streams: readonly Terminal[]) {
    this.#streams = streams
  }

  draw(owner: object, parts: readonly string[]): void {
    if (this.#owner === null) this.#watch()
    this.#owner = owner
    this.#line = fit(parts, this.#streams[0].columns ?? 80)
    if (this.#isAtStart) this.#write(`${CLEAR}${this.#line}`)
  }

  erase(owner: object): void {
    if (this.#owner !== owner) return
    if (this.#isAtStart) this.#write(CLEAR)
    this.#owner = null
    for (const restore of this.#restore.splice(0)) restore()
  }

  #watch(): void {
    // Who exits, or dies of an error, finds the terminal as it was.
    const leave = (): void => void (this.#owner && this.erase(this.#owner))
    process.once('exit', leave)
    this.#restore.push(() => process.off('exit', leave))
    for (const [i, stream] of this.#streams.entries()) {
      const { write } = stream
      const isOwn = Object.hasOwn(stream, 'write')
      const direct = (...args: unknown[]): boolean => Reflect.apply(write, stream, args)
      if (i === 0) this.#write = direct
      const ours = (...args: unknown[]): boolean => {
        const [text] = args
        const isText = typeof text === 'string' || text instanceof Uint8Array
        if (this.#owner === null || !isText || text.length === 0) return direct(...args)
        if (this.#isAtStart) this.#write(CLEAR)
        const result = direct(...args)
        this.#isAtStart = text.at(-1) === '\n' || text.at(-1) === 10
        if (this.#isAtStart) this.#write(this.#line)
        return result
      }
      stream.write = ours as Terminal['write']
      this.#restore.push(() => {
        if (stream.write !== (ours as Terminal['write'])) return
        if (isOwn) stream.write = write
        else delete (stream as { write?: unknown }).write
      })
    }
  }
}

/** Parts as long as they fit, two spaces between; a terminal wraps a line that fills its last column. */
function fit(parts: readonly string[], columns: number): string {
  let line = ''
  for (const part of parts) {
    const longer = line === '' ? part : `${line}  ${part}`
    if (longer.length >= columns) return line === '' ? part.slice(0, Math.max(0, columns - 1)) : line
    line = longer
  }
  return line
}

let terminal: LineTerminal | null = null

function shared(): LineTerminal {
  terminal ??= new LineTerminal([process.stderr, process.stdout].filter((stream) => stream.isTTY))
  return terminal
}
