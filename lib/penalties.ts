/**
 * Penalties: what an objective adds for the size of the weights themselves, whatever the data. Rows; each is λ times a sum
 * over weights, never biases, and has an operation of its own. Weight decay that an optimizer takes off the weights beside
 * the gradient (adamw, lion) is none of them: it is in no objective, and no history reports it.
 */
export interface Penalty {
  readonly name: 'l1' | 'l2'
  readonly op: 'penaltyL1' | 'penalty'
  readonly synopsis: string
  /** Of one weight, before λ. */
  value(w: number): number
  /** Its derivative; 0 where there is none. */
  slope(w: number): number
  /** And that one's, which is constant; the jump of l1 at 0 is not in it. */
  readonly bend: number
}

/** All of them. */
export const PENALTIES: readonly Penalty[] = [
  {
    name: 'l1',
    op: 'penaltyL1',
    synopsis: 'λ·Σ|w|, with slope 0 at 0: draws weights to 0 and leaves them near it (Tibshirani 1996)',
    value: Math.abs,
    slope: Math.sign,
    bend: 0,
  },
  {
    name: 'l2',
    op: 'penalty',
    synopsis: '½·λ·Σw²: draws each weight by its share (ridge, Tikhonov)',
    value: (w) => 0.5 * w * w,
    slope: (w) => w,
    bend: 1,
  },
]
