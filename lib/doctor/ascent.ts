/**
 * Ascent: whether losses of a caller's own run are those of steps uphill.
 *
 * One full-batch step from the weights in hand, along the optimizer's own update and against it, on our exact loss: the
 * second of their losses lies near one of the two.
 */
import type { Network } from '../network'
import type { Table } from '../plan/plan'
import type { FitSettings } from '../train/options'
import { isNear } from './compare'
import { along, withCurvature } from './curvature'
import { updateOf } from './limits'

/** Of the distance between both, so near to one of them counts as it. */
const NEAR = 0.05

export async function isAscent(
  network: Network,
  table: Table,
  { optimizer, learningRate, batchSize }: FitSettings,
  losses: ArrayLike<number>,
): Promise<boolean> {
  if (losses.length < 2 || (batchSize !== 'full' && batchSize < table.rows)) return false
  return withCurvature(network, table, async (curvature) => {
    if (!isNear(losses[0], curvature.loss)) return false
    const u = updateOf(network, optimizer, null, curvature)
    const down = await curvature.objective(along(curvature.point, -learningRate, u))
    const up = await curvature.objective(along(curvature.point, learningRate, u))
    return up > down && Math.abs(losses[1] - up) < NEAR * (up - down)
  }).catch(() => false)
}
