/**
 * Charts as PNG: the SVG, rasterised by the optional package @resvg/resvg-js, loaded when a PNG is asked for.
 *
 * resvg draws text in a font of the system; where there is none, as in a bare container, the curve has no words.
 */

import { DownhillError } from '../errors'
import type { Chart } from './chart'
import { renderSvg, type SvgOptions } from './svg'

/** The part of resvg that is used here. */
interface Resvg {
  new (svg: string, options: object): { render(): { asPng(): Buffer } }
}

/** The rasteriser, or ERR_PEER with the command that installs it. */
export function findResvg(): Resvg {
  try {
    return (require('@resvg/resvg-js') as { Resvg: Resvg }).Resvg
  } catch (cause) {
    throw new DownhillError(
      'ERR_PEER',
      'A plot as .png needs a package that is not installed: npm install @resvg/resvg-js',
      { cause },
    )
  }
}

/** Draws at twice the pixels of the SVG, on a light ground. */
export function renderPng(chart: Chart | readonly Chart[], options: Omit<SvgOptions, 'theme'> = {}): Buffer {
  const Resvg = findResvg()
  const svg = renderSvg(chart, { ...options, theme: 'light' })
  return new Resvg(svg, { fitTo: { mode: 'zoom', value: 2 }, font: { defaultFontFamily: 'DejaVu Sans' } })
    .render()
    .asPng()
}
