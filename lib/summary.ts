/**
 * `net.summary()`: layers, shapes and counts as a table.
 */
import { ACTIVATIONS } from './activations'
import { layerRow } from './layers'
import type { Network } from './network'

/** One line a layer, and the totals. */
export function summarize(network: Network): string {
  const { model, layout, loss } = network
  const rows = model.layers.map((layer, index) => {
    const [I, O] = [layout.widths[index], layout.widths[index + 1]]
    const count = layerRow(layer)
      .tensors(layer, I)
      .reduce((sum, { rows, columns }) => sum + rows * columns, 0)
    const detail = Object.values(layer).filter((value) => typeof value === 'string' && ACTIVATIONS.has(value))
    const rate = 'rate' in layer ? [`rate ${layer.rate}`] : []
    return [String(index + 1), layer.kind, `${I} → ${O}`, [...detail, ...rate].join(' '), count.toLocaleString('en-US')]
  })
  const head = ['', 'layer', 'shape', '', 'parameters']
  const widths = head.map((_, c) => Math.max(...[head, ...rows].map((row) => row[c].length)))
  const line = (row: string[]): string =>
    row.map((cell, c) => (c === row.length - 1 ? cell.padStart(widths[c]) : cell.padEnd(widths[c]))).join('  ')
  const total = layout.tensors.reduce((sum, { spec }) => sum + spec.rows * spec.columns, 0)
  return [
    line(head),
    ...rows.map(line),
    '',
    `${total.toLocaleString('en-US')} parameters, loss ${loss.kind} (${loss.reduction}), on the ${network.backendName} backend`,
  ].join('\n')
}
