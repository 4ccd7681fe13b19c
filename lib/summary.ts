/**
 * `net.summary()`: layers, shapes and counts as a table.
 */
import { layerRow } from './layers'
import type { Network } from './network'
import { countOf, type Tensor } from './plan/layout'

/** Parameters in tensors; what has no gradient is none. */
function numberOf(tensors: readonly Tensor[]): number {
  return countOf(tensors.filter(({ spec }) => spec.role !== 'kept'))
}

/** One line a layer, and the totals. */
export function summarize(network: Network): string {
  const { layout, loss } = network
  const rows = layout.layers.map(({ spec, path, inputs, outputs, tensors }) => {
    const shape = `${inputs} → ${outputs}`
    const count = numberOf(tensors).toLocaleString('en-US')
    const isFrozen = tensors.length > 0 && tensors.every((tensor) => !layout.trained.includes(tensor))
    const detail = [layerRow(spec).detail(spec, inputs), isFrozen && 'frozen'].filter(Boolean).join(', ')
    return [path.map((i) => i + 1).join('.'), '  '.repeat(path.length - 1) + spec.kind, shape, detail, count]
  })
  const head = ['', 'layer', 'shape', '', 'parameters']
  const widths = head.map((_, c) => Math.max(...[head, ...rows].map((row) => row[c].length)))
  const line = (row: string[]): string =>
    row.map((cell, c) => (c === row.length - 1 ? cell.padStart(widths[c]) : cell.padEnd(widths[c]))).join('  ')
  const frozen = numberOf(layout.tensors) - numberOf(layout.trained)
  const ofThem = frozen > 0 ? `, ${frozen.toLocaleString('en-US')} of them frozen` : ''
  return [
    line(head),
    ...rows.map(line),
    '',
    `${numberOf(layout.tensors).toLocaleString('en-US')} parameters${ofThem}, loss ${loss.kind} (${loss.reduction}), on the ${network.backendName} backend`,
  ].join('\n')
}
