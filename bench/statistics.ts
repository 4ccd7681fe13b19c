/** Medians, spreads and slopes: the only statistics the bench uses. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/** Half the range over the median: 0.05 reads ±5 %. With a handful of rounds the range says more than a deviation. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values)
}

/**
 * Largest |a − b| between two lists of evidence, relative to the largest |b|; NaN if they have no common length.
 * Relative to the list, not entry by entry: a loss near 0 is reached with the error of the losses before it.
 */
export function difference(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Number.NaN
  const scale = Math.max(...b.map(Math.abs))
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]))) / scale
}

/** Least squares of log y on log x: the s of y ∝ xˢ. */
export function slope(x: readonly number[], y: readonly number[]): number {
  const [u, v] = [x.map(Math.log), y.map(Math.log)]
  const [mu, mv] = [u, v].map((list) => list.reduce((sum, value) => sum + value, 0) / list.length)
  const top = u.reduce((sum, value, i) => sum + (value - mu) * (v[i] - mv), 0)
  return top / u.reduce((sum, value) => sum + (value - mu) ** 2, 0)
}
