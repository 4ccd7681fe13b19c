/**
 * Words: numbers, changes and trials as a reader is told them. Nothing is decided here.
 */
import { formatMeasured } from '../plot'
import type { Change } from './subject'

/** Widest line of a text for the terminal. */
const WIDTH = 96

/** Text in lines of at most WIDTH, each after `indent`; words are not broken. */
export function wrap(text: string, indent = ''): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > WIDTH) {
      lines.push(indent + line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, indent + line].join('\n')
}

/** Several sentences as clauses of one, without its end: *Lower the rate. Draw weights.* → *lower the rate, draw weights*. */
export function clauses(text: string): string {
  const parts = text.split(/(?<=[a-z0-9)'’%])\.\s+(?=[A-Z])/).map((part) => part.trim().replace(/\.$/, ''))
  return parts.map((part) => part[0].toLowerCase() + part.slice(1)).join(', ')
}

/** *1,024 of 8,192 rows*. */
export function rowsInWords(seen: number, of: number): string {
  return `${seen.toLocaleString('en-US')} of ${of.toLocaleString('en-US')} rows`
}

/** A sentence without its end. */
export function open(sentence: string): string {
  return sentence.trim().replace(/\.$/, '')
}

/** What a change replaces, by option: `learningRate 0.01`, `layers dense(units 8, activation tanh), …`. */
export function changeInWords({ model, fit }: Change): string[] {
  const told = (of: string, options: object | undefined): string[] =>
    Object.entries(options ?? {}).flatMap(([name, value]) =>
      value === undefined ? [] : [`${of}: ${name} ${valueInWords(value)}`],
    )
  return [...told('model', model), ...told('fit', fit)]
}

function valueInWords(value: unknown): string {
  if (typeof value === 'number') return formatMeasured(value)
  if (value === null) return 'none'
  if (ArrayBuffer.isView(value)) return `${(value as Float64Array).length} values`
  if (Array.isArray(value)) return value.length > 16 ? `${value.length} values` : value.map(valueInWords).join(', ')
  if (typeof value !== 'object') return String(value)
  const { kind, ...rest } = value as Record<string, unknown>
  const told = Object.entries(rest).flatMap(([name, part]) => {
    if (part === undefined || (typeof part === 'object' && part !== null && Object.keys(part).length === 0)) return []
    return [`${name} ${valueInWords(part)}`]
  })
  if (kind === undefined) return `{ ${told.join(', ')} }`
  return told.length > 0 ? `${kind}(${told.join(', ')})` : String(kind)
}
