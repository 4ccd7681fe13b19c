/**
 * `net.summary()`: layers, shapes and counts as a table.
 */
import { layerRow } from './layers'
import type { Network } from './network'
import { countOf } from './plan/layout'

/** One line a layer, and the totals. */
export function summarize(network: Network): string {
  const { layout, loss } = network
  const rows = layout.layers.map(({ spec, path, inputs, outputs, tensors }) => {
    const shape = `${inputs} → ${outputs}`
    const count = countOf(tensors).toLocaleString('en-US')
    return [path.map((i) => i + 1).join('.'), spec.kind, shape, layerRow(spec).detail(spec), count]
  })
  const head = ['', 'layer', 'shape', '', 'parameters']
  const widths = head.map((_, c) => Math.max(...[head, ...rows].map((row) => row[c].length)))
  const line = (row: string[]): string =>
    row.map((cell, c) => (c === row.length - 1 ? cell.padStart(widths[c]) : cell.padEnd(widths[c]))).join('  ')
  const total = countOf(layout.tensors)
  return [
    line(head),
    ...rows.map(line),
    '',
    `${total.toLocaleString('en-US')} parameters, loss ${loss.kind} (${loss.reduction}), on the ${network.backendName} backend`,
  ].join('\n')
}
