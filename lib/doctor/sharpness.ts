/**
 * Sharpness: the largest eigenvalues of the objective's Hessian at the weights a network has.
 */
import type { Matrix } from '../data/matrix'
import { refuseUnknown } from '../errors'
import { checkBoolean, checkNumber, RANGES } from '../names'
import type { Network } from '../network'
import type { Table } from '../plan/plan'
import { withCurvature } from './curvature'
import { largestEigenpairs } from './lanczos'

export interface SharpnessOptions {
  /** How many eigenvalues, from the largest on; as many as there are parameters, where there are fewer. @default 3 */
  k?: number
  /** Whether eigenvectors are wanted too. @default false */
  vectors?: boolean
  /** Most products with the Hessian; each needs memory for the parameters in double. @default 50 */
  products?: number
}

/** @throws ERR_OPTION */
export function readSharpnessOptions(options: unknown): Required<SharpnessOptions> {
  refuseUnknown(options, ['k', 'vectors', 'products'], 'sharpness')
  const { k = 3, vectors = false, products = 50 } = options as SharpnessOptions
  return {
    k: checkNumber(k, RANGES.count, 'k'),
    vectors: checkBoolean(vectors, 'vectors'),
    products: checkNumber(products, RANGES.count, 'products'),
  }
}

export interface Sharpness {
  /** The k largest eigenvalues by value, not by size, from the largest on. */
  readonly values: Float64Array
  /**
   * A unit eigenvector a row, where asked for; its columns are the parameters as `weights()` lists them, layer after
   * layer, of each the weights row by row and then the bias.
   */
  readonly vectors?: Matrix
  /** Products with the Hessian that it took, each the price of about two gradients. */
  readonly products: number
  /** The largest ‖Hv − λv‖ over the values: so near to each lies an eigenvalue. */
  readonly residual: number
}

/** A value is good enough where the residual is this share of the largest; its error is usually the square of that. */
const TOLERANCE = 1e-6

/** @throws ERR_DIVERGED where the objective or its derivatives are not finite */
export function sharpness(
  network: Network,
  table: Table,
  { k, vectors: wantsVectors, products: most }: Required<SharpnessOptions>,
  seed: number,
): Promise<Sharpness> {
  return withCurvature(network, table, async (curvature) => {
    const columns = curvature.point.length
    const operator = { size: columns, product: (v: Float64Array) => curvature.product(v) }
    const found = await largestEigenpairs(operator, { k, most, tolerance: TOLERANCE, seed })
    const { values, vectors, products, residual } = found
    if (!wantsVectors) return { values, products, residual }
    const data = new Float64Array(vectors.length * columns)
    for (const [i, vector] of vectors.entries()) data.set(vector, i * columns)
    return { values, vectors: { data, rows: vectors.length, columns }, products, residual }
  })
}
