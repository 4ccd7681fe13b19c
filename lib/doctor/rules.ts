/**
 * The rules, in the order in which, of causes whose removal helps equally, the first is named: what is written down wrong
 * before what is scaled wrong, scales before rates, rates before patience.
 */
import type { Rule } from './rule'
import { OF_PROGRAM } from './rules-program'
import { OF_RATE } from './rules-rate'
import { OF_SCALE } from './rules-scale'
import { OF_SETTINGS } from './rules-settings'
import { OF_START } from './rules-start'

export const RULES: readonly Rule[] = [...OF_PROGRAM, ...OF_START, ...OF_SETTINGS, ...OF_SCALE, ...OF_RATE]
