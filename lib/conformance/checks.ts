/**
 * The checks, rows of one table. scikit-learn's `check_estimator` in meaning, as far as it applies, and what this library
 * promises beside. A check builds its models from the trial and throws what does not hold.
 */
import { REFUSED, REPRODUCIBLE, UNTOUCHED } from './calls'
import type { Check } from './check'
import { FILES, FORMS, PREDICTIONS, RUN, SHAPES, WEIGHTS } from './numbers'

/** All, in order. */
export const CHECKS: readonly Check[] = [
  ...REPRODUCIBLE,
  ...UNTOUCHED,
  ...REFUSED,
  ...FORMS,
  ...PREDICTIONS,
  ...WEIGHTS,
  ...SHAPES,
  ...RUN,
  ...FILES,
]
