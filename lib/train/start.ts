/**
 * The start of a run, kept in its history: what a later diagnosis asks for when the weights have long moved on.
 *
 * Plain data. It is measured by the doctor (doctor/start.ts) from what the first step leaves behind.
 */
import type { Matrix } from '../data/matrix'
import type { Floats } from '../plan/plan'

export interface Start {
  /** The seed that drew the weights which the run began from; null where they were set or trained before. */
  readonly seed: number | null
  /** Those weights, as `weights()` returns them, where no seed draws them; else null. */
  readonly weights: readonly { readonly weights: Matrix; readonly bias: Floats | null }[] | null
  /** Rows of the first batch whose activations were looked at. */
  readonly rows: number
  /** One entry a layer of `weights()`. */
  readonly layers: readonly LayerStart[]
}

/** A layer at the first step. */
export interface LayerStart {
  readonly layer: number
  readonly activation: string
  /** Share of values where the activation hardly passes a gradient on (tanh: |y| > 0.99); null where it has no such region. */
  readonly saturated: number | null
  /** Share of units that pass none on any of the rows (relu: y = 0); null as above. */
  readonly dead: number | null
  /**
   * Norm of the first gradient, weights and bias together, before clipNorm and after clipValue; NaN where the update does
   * not tell it (lion, muon).
   */
  readonly gradientNorm: number
  /** ‖Δw‖ / ‖w‖ of the weights in the first step; about 1e-3 is usual. Infinity from zero weights; 0 where no step was made. */
  readonly updateRatio: number
}

/** For JSON: typed arrays become lists. */
export function startToJson({ weights, ...rest }: Start): Record<string, unknown> {
  const layers = weights?.map(({ weights: { data, ...size }, bias }) => ({
    weights: { data: Array.from(data), ...size },
    bias: bias && Array.from(bias),
  }))
  return { ...rest, weights: layers ?? null }
}
