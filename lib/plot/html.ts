/**
 * Charts as a page: headings, text, tables, and charts one can zoom in, in one HTML file that needs nothing else.
 *
 * uPlot and this library's own scales are written into the page, which forbids itself (by its Content-Security-Policy)
 * every connection. Each chart stands in the file as SVG first, so that a reader without scripts sees it too;
 * script.ts then puts the one that can be zoomed in its place.
 */

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Chart, frame, thin } from './chart'
import { formatNumber } from './scale'
import { PAGE_SCRIPT } from './script'
import { LOOKS, seriesLook } from './style'
import { escapeText, renderSvg } from './svg'

export interface Page {
  title: string
  /** Paragraphs under the title. */
  text?: readonly string[]
  sections: readonly Section[]
}

export interface Section {
  heading?: string
  text?: readonly string[]
  /** Side by side as far as the window is wide; their cursors move together. */
  charts?: readonly Chart[]
  table?: Table
}

export interface Table {
  columns: readonly string[]
  rows: readonly (readonly (string | number)[])[]
}

/** A series longer than this is thinned: a page of more than some megabytes opens slowly. */
const MOST_POINTS = 200_000

export function renderHtml(page: Page): string {
  const charts: object[] = []
  const sections = page.sections.map((section, group) => {
    const figures = (section.charts ?? []).map((chart) => {
      // Bars stay as they are drawn: the script knows lines.
      if (chart.stack) return `<figure>\n${renderSvg(chart, { width: 480, height: 320 })}</figure>`
      charts.push(forScript(chart, group))
      return `<figure data-chart="${charts.length - 1}">\n${renderSvg(chart, { width: 480, height: 320 })}</figure>`
    })
    return [
      '<section>',
      section.heading === undefined ? '' : `<h2>${escapeText(section.heading)}</h2>`,
      ...paragraphs(section.text),
      figures.length > 0 ? `<div class="charts">\n${figures.join('\n')}\n</div>` : '',
      section.table ? tableOf(section.table) : '',
      '</section>',
    ]
      .filter((line) => line !== '')
      .join('\n')
  })
  const hint = charts.length > 0 ? '<p class="hint">Drag across a chart to zoom in, double-click to zoom out.</p>' : ''
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeText(page.title)}</title>
<style>${charts.length > 0 ? uplot('dist/uPlot.min.css').trim() : ''}
${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeText(page.title)}</h1>
${[...paragraphs(page.text), hint].join('\n')}
${sections.join('\n')}
</main>
${charts.length > 0 ? scripts(charts) : ''}</body>
</html>
`
}

function paragraphs(text: readonly string[] = []): string[] {
  return text.map((paragraph) => `<p>${escapeText(paragraph)}</p>`)
}

function tableOf({ columns, rows }: Table): string {
  const cell = (value: string | number): string =>
    typeof value === 'number' ? `<td class="number">${formatNumber(value, 4)}</td>` : `<td>${escapeText(value)}</td>`
  const head = columns.map((name, i) => {
    const isNumber = rows.length > 0 && typeof rows[0][i] === 'number'
    return `<th${isNumber ? ' class="number"' : ''}>${escapeText(name)}</th>`
  })
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`)
  return `<div class="scroll"><table>\n<thead><tr>${head.join('')}</tr></thead>\n<tbody>\n${body.join('\n')}\n</tbody>\n</table></div>`
}

/** A chart as the script wants it: framed here, so that page and picture cannot differ. */
function forScript(chart: Chart, group: number): object {
  const framed = frame(chart)
  const notes = [...framed.notes]
  const series = framed.series.map((s, i) => {
    const isLong = s.y.length > MOST_POINTS
    if (isLong)
      notes.push(
        `${s.name}: ${s.y.length} values, drawn as lowest and highest of each ${Math.ceil(s.y.length / (MOST_POINTS / 4))}.`,
      )
    const { x, y } = isLong ? thin(s.x, s.y, framed.x, MOST_POINTS / 4) : s
    return { name: s.name, x: Array.from(x, digits), y: Array.from(y, digits), look: seriesLook(i) }
  })
  return {
    title: chart.title,
    notes,
    group,
    unit: chart.x.label,
    quantity: chart.y.label,
    x: framed.x,
    y: framed.y,
    isCounted: framed.isCounted,
    series,
    marks: framed.marks.map((m) => ({ name: m.name, at: Array.from(m.at) })),
    levels: framed.levels,
  }
}

/** Nine significant digits hold every float32 exactly. What is not finite becomes JSON's null, a gap. */
function digits(value: number): number {
  return Number(value.toPrecision(9))
}

function scripts(charts: object[]): string {
  const scale = readFileSync(join(__dirname, 'scale.js'), 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '')
  const data = JSON.stringify({ charts, looks: LOOKS }).replace(/</g, '\\u003c')
  return `<!--\n${uplot('LICENSE').replace(/--/g, '- -').trim()}\n-->
<script>${inScript(uplot('dist/uPlot.iife.min.js'))}</script>
<script>const scales = (() => { const exports = {}; ${inScript(scale)}
return exports })()</script>
<script type="application/json" id="data">${data}</script>
<script>${inScript(PAGE_SCRIPT)}</script>
`
}

/** Script text that cannot end its element early. */
function inScript(source: string): string {
  return source.replace(/<(?=\/script|!--|script)/gi, '\\x3c')
}

/** A file of the package uplot, from wherever it is installed. */
function uplot(file: string): string {
  return readFileSync(join(dirname(require.resolve('uplot/package.json')), file), 'utf8')
}

const variables = (theme: 'light' | 'dark'): string =>
  Object.entries(LOOKS)
    .map(([name, colours]) => `--${name}:${colours[theme]}`)
    .join(';')

const STYLE = `:root{${variables('light')}}
@media (prefers-color-scheme:dark){:root{${variables('dark')}}}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;line-height:1.25;margin:0 0 12px}
h2{font-size:19px;margin:40px 0 8px}
p{max-width:76ch;margin:8px 0}
.hint{color:var(--faint);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(270px,100%),1fr));gap:20px;margin:16px 0}
figure{margin:0;min-width:0;border:1px solid var(--grid);border-radius:8px;padding:12px 12px 6px;overflow:hidden}
figure svg{max-width:100%;height:auto;display:block}
figcaption{margin:0 4px}
figcaption b{display:block;font-weight:600}
figcaption small{display:inline-block;margin-right:14px;font-size:12.5px;color:var(--faint)}
.scroll{overflow-x:auto;margin:16px 0}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--grid);vertical-align:top}
th{color:var(--faint);font-weight:600}
.number{text-align:right;white-space:nowrap}
.u-legend{font-size:12px;color:var(--faint)}
.u-legend th{color:inherit;padding:0}
.u-legend td,.u-legend th{border:0;padding:1px 4px}
.u-select{background:var(--faint);opacity:.2}
.u-hz .u-cursor-x,.u-hz .u-cursor-y{border-color:var(--faint)}`
