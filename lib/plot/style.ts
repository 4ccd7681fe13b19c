/**
 * What a series looks like, once for all renderers: the i-th series of a chart takes row i, and starts over after the
 * last. Rows differ in colour and in dash, so that they can be told apart in grey and by the colour-blind
 * (the hues are Okabe and Ito's, darkened or lightened to a contrast of at least 3 : 1 on their ground).
 */

export interface Look {
  light: string
  dark: string
  /** Lengths of stroke and gap in pixels; none is a full line. */
  dash: readonly number[]
  /** The nearest of the terminal's own colours (SGR parameter). */
  ansi: number
}

export const SERIES: readonly Look[] = [
  { light: '#0b67b2', dark: '#56b4e9', dash: [], ansi: 34 },
  { light: '#c2570c', dark: '#f0a04b', dash: [6, 3], ansi: 33 },
  { light: '#00805c', dark: '#3fc99d', dash: [2, 3], ansi: 32 },
  { light: '#a3487c', dark: '#dd8fbb', dash: [8, 3, 2, 3], ansi: 35 },
]

export interface Fill extends Pick<Look, 'light' | 'dark' | 'ansi'> {
  /** What a terminal fills with, so that bars are told apart without colour. */
  sign: string
}

/** What bars are filled with, from the first of a stack on: as wide apart in lightness as in hue. */
export const FILLS: readonly Fill[] = [
  { light: '#7fbce6', dark: '#3a7fb0', ansi: 34, sign: '█' },
  { light: '#f2d24b', dark: '#a98d1c', ansi: 93, sign: '░' },
  { light: '#d39ac0', dark: '#8f5a7d', ansi: 35, sign: ':' },
  { light: '#58b795', dark: '#2f7d61', ansi: 32, sign: '▓' },
  { light: '#b4bac2', dark: '#6a7380', ansi: 37, sign: '+' },
  { light: '#8d7cc3', dark: '#6d5fa6', ansi: 36, sign: '×' },
  { light: '#e58a4e', dark: '#b2612b', ansi: 33, sign: '▒' },
]

export function fillOf(i: number): Fill {
  return FILLS[i % FILLS.length]
}

export function seriesLook(i: number): Look {
  return SERIES[i % SERIES.length]
}

/** Marks, the comparison levels, and the parts of the page. */
export const LOOKS = {
  mark: { light: '#c81e1e', dark: '#ff7b72', ansi: 31 },
  level: { light: '#6b7280', dark: '#9aa3ad', ansi: 90 },
  ground: { light: '#ffffff', dark: '#15181c' },
  ink: { light: '#1f2328', dark: '#e6e8ea' },
  faint: { light: '#5f6770', dark: '#9aa3ad' },
  grid: { light: '#e5e7ea', dark: '#2b3036' },
} as const
