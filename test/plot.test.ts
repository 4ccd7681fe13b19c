/**
 * Plots: what is drawn, and that it can be drawn whatever the numbers are.
 *
 * First the parts that decide (scales, ticks, thinning, rises), then the renderers: exact drawings of small charts, and
 * for a table of odd ones the properties every drawing must have.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import Module from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import vm from 'node:vm'
import { FNN } from 'downhill'
import t from 'tap'
import {
  alike,
  type Chart,
  checkPlotPath,
  formatMeasured,
  formatNumber,
  lossChart,
  plotHistory,
  renderHtml,
  renderSvg,
  renderTerminal,
  rises,
  writeChart,
  writePage,
} from '../dist/plot'
import { frame, thin } from '../dist/plot/chart'
import { place, type ScaleKind, scaleOver, ticks, valueAt } from '../dist/plot/scale'
import { FILLS } from '../lib/plot/style'

const folder = mkdtempSync(join(tmpdir(), 'downhill-plot-'))
t.teardown(() => rmSync(folder, { recursive: true }))

const wave = Float64Array.from({ length: 1e5 }, (_, i) => Math.exp(-i / 2e4) * (1.5 + Math.sin(i * i)))
const ODD: Record<string, ArrayLike<number>> = {
  nothing: [],
  'one point': [1],
  zero: [0],
  'all zero': [0, 0, 0],
  'two points': [2, 1],
  constant: new Float64Array(50).fill(0.7),
  'nearly constant': [1, 1 + 1e-15, 1],
  'zeros at the end': [3, 1, 0.1, 0, 0],
  negative: [3, 1, -2, -5],
  'only negative': [-1, -2],
  'no finite value': [Number.NaN, Number.POSITIVE_INFINITY],
  'ends in NaN': [1, 2, 4, Number.NaN],
  'infinities between': [1, Number.POSITIVE_INFINITY, 2, Number.NEGATIVE_INFINITY, Number.NaN, 3],
  'the range of a double': [5e-324, 1e-300, 1, 1e300, Number.MAX_VALUE],
  'the range of a double, both signs': [-Number.MAX_VALUE, 0, Number.MAX_VALUE],
  denormal: [5e-324, 1e-323],
  '100,000 points': wave,
}
const oddCharts = Object.entries(ODD).map(([title, loss]) => lossChart({ loss }, { title }))

// ---------------------------------------------------------------------------------------------------- what decides

t.test('rises', async (t) => {
  const rows: [number[], number[]][] = [
    [[], []],
    [[1], []],
    [[3, 2, 1], []],
    [
      [1, 2, 1, 1, 3],
      [1, 4],
    ],
    [[1, 1 + 0.9e-5, 1 + 2.1e-5], [2]],
    [[-2, -1, -1 + 0.9e-5], [1]],
    [[0, 0, 1e-30], [2]],
    [[1, Number.NaN, 2, Number.POSITIVE_INFINITY], [3]],
  ]
  for (const [loss, want] of rows) t.same(rises(loss), want, JSON.stringify(loss))
  t.same(rises([1, 1 + 1e-11, 1 + 1e-11 + 1e-13], 1e-12), [1], 'a tolerance of its own')
})

t.test('numbers on axes', async (t) => {
  const rows: [number, string, string][] = [
    [0, '0', '0'],
    [0.1 + 0.2, '0.3', '0.300'],
    [12, '12', '12.0'],
    [150000, '150000', '150000'],
    [1e6, '1e6', '1e6'],
    [0.0001, '0.0001', '0.000100'],
    [0.00001, '1e-5', '1e-5'],
    [-2.5, '−2.5', '−2.50'],
    [Number.POSITIVE_INFINITY, '∞', '∞'],
    [Number.NEGATIVE_INFINITY, '−∞', '−∞'],
    [Number.NaN, 'NaN', 'NaN'],
  ]
  for (const [value, tick, measured] of rows) {
    t.equal(formatNumber(value), tick)
    t.equal(formatMeasured(value), measured)
  }
})

t.test('ticks are where one would put them', async (t) => {
  const rows: [ScaleKind, number, number, number, number[]][] = [
    ['linear', 0, 10, 5, [0, 2, 4, 6, 8, 10]],
    ['linear', -1, 1, 4, [-1, -0.5, 0, 0.5, 1]],
    ['linear', 1000, 1001, 4, [1000, 1000.5, 1001]],
    ['log', 0.001, 1000, 6, [0.001, 0.01, 0.1, 1, 10, 100, 1000]],
    ['log', 0.02, 6, 7, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]],
    ['log', 0.03, 6, 4, [0.03, 0.1, 0.3, 1, 3]],
    ['log', 0.6, 0.75, 3, [0.6, 0.65, 0.7, 0.75]],
    ['log', 1e-12, 1, 4, [1e-12, 1e-9, 1e-6, 1e-3, 1]],
    ['asinh', 0, 10, 5, [0, 0.01, 0.1, 1, 10]],
  ]
  for (const [kind, low, high, wanted, want] of rows) {
    t.same(ticks(scaleOver(kind, low, high, 0.01, true), wanted), want, `${kind} ${low} … ${high}`)
  }
})

t.test('a scale and its ticks, whatever its ends', async (t) => {
  const ends = [0, 5e-324, 1e-300, 1e-9, 0.3, 1, 1.0000001, 7, 1e5, 1e300, Number.MAX_VALUE]
  for (const kind of ['linear', 'log', 'asinh'] as const) {
    for (const low of [...ends.map((end) => -end), ...ends]) {
      for (const high of ends) {
        if (high < low || (kind === 'log' && low <= 0)) continue
        const name = `${kind} ${low} … ${high}`
        const scale = scaleOver(kind, low, high)
        if (!(scale.from < scale.to && Number.isFinite(scale.to - scale.from))) t.fail(name)
        for (const value of [low, high]) {
          const where = place(scale, value)
          if (!(where > -1e-9 && where < 1 + 1e-9)) t.fail(`${name}: ${value} at ${where}`)
        }
        const found = ticks(scale, 5)
        const isFine = found.every(
          (v, i) =>
            Number.isFinite(v) &&
            place(scale, v) > -1e-6 &&
            place(scale, v) < 1 + 1e-6 &&
            (i === 0 || v > found[i - 1]),
        )
        if (!isFine || found.length > 20) t.fail(`${name}: ticks ${found}`)
        // Between denormals there are no values to come back to.
        const isDense = Math.max(high, -low) > 1e-290
        if (isDense && Math.abs(place(scale, valueAt(scale, 0.3)) - 0.3) > 1e-6) t.fail(`${name}: no way back`)
      }
    }
  }
  t.pass('all of them')
})

t.test('which scale a chart gets, and what it says', async (t) => {
  const rows: [string, ScaleKind, RegExp | undefined][] = [
    ['two points', 'log', undefined],
    ['constant', 'log', undefined],
    ['zeros at the end', 'asinh', /^Log scale down to 0.10, then linear to 0\.$/],
    ['all zero', 'linear', /every value is 0/],
    ['negative', 'linear', /no place for negative values/],
    ['no finite value', 'linear', /No finite value/],
  ]
  for (const [name, kind, says] of rows) {
    const { y, notes } = frame(lossChart({ loss: ODD[name] }, { note: 'n' }))
    t.equal(y.kind, kind, name)
    if (says) t.match(notes[1], says)
    else t.same(notes, ['n'])
  }
  const { marks } = frame(lossChart({ loss: ODD['infinities between'] }))
  t.same(marks.find((m) => m.name === 'not finite')?.at, [2, 4, 5])
  t.match(frame(lossChart({ loss: [1, 2], penalty: [0, 0] })).series, { length: 1 }, 'no penalty, no curve of it')
})

t.test('thinning keeps every extreme and every gap', async (t) => {
  const x = Float64Array.from(wave, (_, i) => i)
  const y = wave.slice()
  y[777] = 1e6
  y[50_000] = 1e-6
  y[60_000] = Number.NaN
  const scale = scaleOver('linear', 0, 1e5, 1, true)
  const kept = thin(x, y, scale, 100)
  t.ok(kept.y.length <= 4 * 102, `${kept.y.length} points`)
  t.ok(kept.y.includes(1e6) && kept.y.includes(1e-6))
  t.equal(kept.y.filter(Number.isNaN).length, 1)
  t.equal(kept.x[0], 0)
  t.equal(kept.x.at(-1), 99_999)
  t.ok(
    kept.x.every((value, i) => i === 0 || value > kept.x[i - 1]),
    'in order',
  )
})

t.test('charts made alike have one y axis', async (t) => {
  const [a, b] = alike([lossChart({ loss: [1, 0.1] }), lossChart({ loss: [50, 2, Number.NaN] })]).map(frame)
  t.same([a.y.from, a.y.to], [b.y.from, b.y.to])
  t.ok(valueAt(a.y, 0) < 0.1 && valueAt(a.y, 1) > 50)
})

// ---------------------------------------------------------------------------------------------------- the terminal

const ONE = `
   Loss
   8.00 → 1.00
  │⠒⠤⣀⡀
5 ┤   ⠈⠑⠒⠤⣀     ⢀⡠⠔⢄
2 ┤        ⠉⠒⠤⠔⠊⠁   ⠑⠤⡀
1 ┤                   ⠈⠢
  └─────┬─────────┬─────
                  ▴
        2  epoch  4
   ▴ 1 rise
`

const TWO = `
     left                   right
     100 → 1.00             1.00 → NaN
100 ┤⠒⠤⣀                   ├
    │   ⠉⠑⠢⢄⡀              │
 10 ┤       ⠈⠉⠒⠤⣀⡀         ├        ⢀⡠⠄
    │            ⠈⠑⠢⢄⣀     │⠁ ⠁⢀⡡⠤⠓⠉⠁ ⠁ ⠁ ⠁ ⠁ ⠁
  1 ┤                 ⠉⠒⠤  ├⠤⠒⠉⠁
    └┬──────────────────┬  └┬─────────┬────────┬
                                      ▴        ×
     1      epoch       2   1         2 epoch  3
                            ⠄⠄ chance 5.00
                            ▴ 1 rise
                            × not finite
`

t.test('a drawing, dot by dot', async (t) => {
  const drawn = renderTerminal(lossChart({ loss: [8, 4, 2, 4, 1] }), { width: 24, height: 4 })
  t.equal(`\n${drawn}\n`, ONE)
})

t.test('two beside each other share their axis', async (t) => {
  const charts = alike([
    lossChart({ loss: [100, 1] }, { title: 'left' }),
    lossChart({ loss: [1, 10, Number.NaN] }, { title: 'right', levels: [{ name: 'chance', value: 5 }] }),
  ])
  t.equal(`\n${renderTerminal(charts, { width: 48, height: 5 })}\n`, TWO)
  t.equal(
    renderTerminal(charts, { width: 40, height: 5 })
      .split('\n')
      .filter((line) => line.includes('epoch')).length,
    2,
  )
})

const BARS = `
   Ledger
  │▒▒▒▒▒▒ ▒▒▒▒▒▒▒
  │▒▒▒▒▒▒ ▒▒▒▒●▒▒ ░░░░░░░
0 ┤██████ ███████ ████●██     ●
  │███●██         ▒▒▒▒▒▒▒
  │██████
  │██████
  └────┬──────────────┬───────────
       0              2       step
   ██ descent   ░░ noise
   ▒▒ bending   ● change
`

/** Four steps whose terms are of every sign. */
function bars(): Chart {
  const x = [0, 1, 2, 3]
  return {
    title: 'Ledger',
    x: { label: 'step', range: [-0.5, 3.5] },
    y: { label: 'change', range: [0, 0] },
    series: [{ name: 'change', x, y: [-2, 1, -1, 0] }],
    stack: [
      { name: 'descent', x, y: [-4, -1, -1, 0], fill: 0 },
      { name: 'noise', x, y: [0, 0, 1, 0], fill: 1 },
      { name: 'bending', x, y: [2, 2, -1, 0], fill: 6 },
    ],
  }
}

t.test('bars on each other: what is positive above 0, what is negative below, the change a spot', async (t) => {
  t.equal(`\n${renderTerminal(bars(), { width: 34, height: 6 })}\n`, BARS)
  const looks = FILLS.map(({ sign, ansi }) => [sign, ansi] as const)
  t.equal(new Set(looks.map(([sign]) => sign)).size, FILLS.length, 'told apart without colour')
  t.equal(new Set(looks.map(([, ansi]) => ansi)).size, FILLS.length, 'and with it')
  const coloured = renderTerminal(bars(), { width: 34, height: 6, colour: true })
  for (const [sign, ansi] of [looks[0], looks[1], looks[6]]) t.match(coloured, `[${ansi}m${sign}`)
})

t.test('more bars than columns: the longest of those that share one is seen', async (t) => {
  const x = Array.from({ length: 500 }, (_, i) => i)
  const y = x.map((i) => (i === 250 ? -8 : -1))
  const drawn = renderTerminal(
    { ...bars(), x: { label: 'step' }, series: [], stack: [{ name: 'descent', x, y }] },
    { width: 40, height: 8 },
  )
  const lengths = drawn.split('\n').map((line) => line.split('█').length - 1)
  t.ok(lengths.filter((length) => length === 1).length >= 5, 'one long bar')
  t.equal(lengths.filter((length) => length > 30).length, 1, 'and all others, a row')
})

t.test('every drawing fits its width, and colour changes no character', async (t) => {
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')
  for (const chart of [...oddCharts, oddCharts, oddCharts.slice(0, 2), bars(), [bars(), oddCharts[0]]] as (
    | Chart
    | Chart[]
  )[]) {
    for (const width of [24, 33, 80, 121]) {
      const plain = renderTerminal(chart, { width, height: 6 })
      const name = Array.isArray(chart) ? `${chart.length} charts` : chart.title
      const widest = Math.max(...plain.split('\n').map((line) => [...line].length))
      t.ok(widest <= width, `${name}: ${widest} of ${width}`)
      t.notMatch(plain, /undefined| \n|\n$/, name)
      t.equal(renderTerminal(chart, { width, height: 6, colour: true }).replace(escapes, ''), plain, name)
    }
  }
})

t.test('control characters of a title do not reach the terminal', async (t) => {
  const drawn = renderTerminal(lossChart({ loss: [1] }, { title: 'a\u001b[2Jb\nc' }))
  t.match(drawn.split('\n')[0], /a \[2Jb c$/)
})

// ---------------------------------------------------------------------------------------------------- pictures and pages

/** Walks the tags of XML or of the page's body; returns what is wrong. */
function malformed(xml: string): string | undefined {
  const open: string[] = []
  for (const [tag, slash, name, attributes, empty] of xml.matchAll(
    /<(\/?)([a-z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/gi,
  )) {
    if (slash) {
      const last = open.pop()
      if (last !== name) return `${tag} closes ${last}`
    } else if (!empty) open.push(name)
    const names = [...attributes.matchAll(/([\w:-]+)="/g)].map((m) => m[1])
    if (new Set(names).size !== names.length) return `${tag} repeats an attribute`
  }
  const rest = xml.replace(/<\/?[a-z][\w:-]*(?:\s+[\w:-]+="[^"<]*")*\s*\/?>/gi, '')
  if (/[<>]/.test(rest)) return `stray bracket near ${rest.slice(Math.max(0, rest.search(/[<>]/) - 20)).slice(0, 60)}`
  return open.length > 0 ? `${open} never closed` : undefined
}

t.test('the checker of this test can fail', async (t) => {
  for (const bad of ['<a>', '<a></b>', '<a x="1" x="2"/>', '<a b=1/>', 'a < b']) t.ok(malformed(bad), bad)
})

const hostile = '</script><script>alert("1")</script> & <b> \u0000 \ud800 "quoted"'

t.test('SVG is well formed, self-contained and of numbers only', async (t) => {
  const named = lossChart(
    { loss: [3, 2], valLoss: [3, 4], penalty: [1, 1] },
    { title: hostile, note: hostile, unit: hostile },
  )
  for (const chart of [...oddCharts, named, oddCharts] as (Chart | Chart[])[]) {
    const name = Array.isArray(chart) ? `${chart.length} charts` : JSON.stringify(chart.title)
    const svg = renderSvg(chart, { columns: 3, width: 400, height: 250 })
    t.equal(malformed(svg), undefined, name)
    t.notMatch(svg.replace(/<(text|title)[^>]*>[^<]*/g, ''), /NaN|Infinity|undefined|null/, name)
    t.notMatch(svg, /href|url\(|@import|<script/, name)
    t.equal(svg.match(/https?:/g)?.length, 1, 'the namespace only')
  }
  t.ok(renderSvg(lossChart({ loss: wave })).length < 120_000, '100,000 points make a small file')
  t.match(renderSvg(named), /prefers-color-scheme:dark/)
  t.notMatch(renderSvg(named, { theme: 'dark' }), /<style|class="[fs]/)
})

t.test('marks, levels and lone points are drawn', async (t) => {
  const svg = renderSvg(lossChart({ loss: [1, 2, 1, Number.NaN, 3] }, { levels: [{ name: 'chance', value: 0.66 }] }))
  for (const text of ['1 rise', 'not finite', 'chance 0.660', '1.00 → 3.00']) t.match(svg, new RegExp(`>${text}<`))
  t.match(svg, /a1\.5 1\.5/, 'a dot')
})

const page = {
  title: hostile,
  text: [hostile],
  sections: [
    { heading: 'all', text: ['one', 'two'], charts: oddCharts },
    { charts: [lossChart({ loss: [3, 2, 4], valLoss: [3, 4, 5] }, { title: hostile })] },
    { table: { columns: ['name', 'value'], rows: [[hostile, 1 / 3]] } },
  ],
}

t.test('a page is one file that needs no other', async (t) => {
  const html = renderHtml(page)
  const parts = html.split(/<script[^>]*>/)
  t.equal(parts.length, html.split('</script>').length, 'no script ends early')
  const still = html.replace(
    /<script[^>]*>[\s\S]*?<\/script>|<style>[\s\S]*?<\/style>|<!--[\s\S]*?-->|<!doctype html>|<meta [^>]*>/g,
    '',
  )
  t.equal(malformed(still), undefined)
  t.notMatch(still, /<(link|img|iframe)|\s(src|href)=|alert\("1"\)/)
  t.notMatch(html.match(/<style>[\s\S]*?<\/style>/)?.[0] ?? '', /url\(|@import/)
  t.match(html, /Content-Security-Policy" content="default-src 'none'/)
  t.match(html, /Permission is hereby granted/, "uPlot's licence is in the page")
  t.notMatch(html, /sourceMappingURL/)
  t.match(html, '<td class="number">0.3333</td>')
})

t.test('the script of a page runs and makes the charts that the picture shows', async (t) => {
  const { options, data, captions } = runPage(renderHtml(page))
  t.equal(options.length, oddCharts.length + 1)
  t.equal(captions.at(-1), hostile, 'titles are text')
  for (const [i, given] of options.entries()) {
    const framed = frame(i < oddCharts.length ? oddCharts[i] : page.sections[1].charts![0])
    const name = i < oddCharts.length ? oddCharts[i].title : 'two series'
    t.same(given.scales.y.distr, { linear: 1, log: 3, asinh: 4 }[framed.y.kind], name)
    t.equal(given.series.length, framed.series.length + 1)
    const u = { bbox: { left: 0, top: 0, width: 400, height: 200 }, scales: {}, valToPos: () => 1, ctx: canvasStub() }
    const [from, to] = given.scales.x.range(u, null, null)
    const [low, high] = given.scales.y.range(u, null, null)
    t.ok(from < to && low < high, `${name}: ${from} < ${to}, ${low} < ${high}`)
    // A picture's axis may end beyond what a double holds, and with it a page's cannot.
    if (!name.startsWith('the range')) {
      t.same(given.axes[1].splits(u, 1, low, high), ticks(framed.y, 5), `${name}: the ticks of the picture`)
    }
    t.ok(given.axes[0].splits(u, 0, from, to).every(Number.isInteger), `${name}: epochs are whole`)
    given.hooks.draw[0](u)
    // Zoomed in on a part, the y axis is that part's own; zoomed out again, the chart's.
    given.scales.x.range(u, from, (from + to) / 2)
    if (framed.y.kind === 'log') t.ok(given.scales.y.range(u, 1, 2)[1] < 3)
    given.scales.x.range(u, from, to)
    t.same(given.scales.y.range(u, 1, 2), [low, high])
    t.ok(JSON.stringify(data[i]).length > 3)
  }
  t.same(data.at(-1), [
    [
      [1, 2, 3],
      [3, 2, 4],
    ],
    [
      [1, 2, 3],
      [3, 4, 5],
    ],
  ])
})

interface PlotOptions {
  scales: Record<
    'x' | 'y',
    { distr: number; range(u: object, low: number | null, high: number | null): [number, number] }
  >
  axes: { splits(u: object, i: number, low: number, high: number): number[] }[]
  series: object[]
  hooks: { draw: ((u: object) => void)[] }
}

/** Runs the scripts of a page with a document and a uPlot that only remember. */
function runPage(html: string): { options: PlotOptions[]; data: unknown[]; captions: string[] } {
  const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map((m) => m[1])
  const json = html.match(/<script type="application\/json"[^>]*>([\s\S]*?)<\/script>/)?.[1] ?? ''
  const options: PlotOptions[] = []
  const data: unknown[] = []
  const captions: string[] = []
  const element = (tag: string) => ({
    set textContent(text: string) {
      if (tag === 'b') captions.push(text)
    },
    style: {},
    append: () => {},
  })
  const figures = [...html.matchAll(/data-chart="(\d+)"/g)].map((m) => ({
    dataset: { chart: m[1] },
    clientWidth: 500,
    replaceChildren: () => {},
  }))
  class Plot {
    static join = (tables: unknown) => tables
    constructor(given: PlotOptions, values: unknown) {
      options.push(given)
      data.push(values)
    }
  }
  const window = { devicePixelRatio: 1 }
  const document = {
    createElement: element,
    getElementById: () => ({ textContent: json }),
    querySelectorAll: () => figures,
  }
  const matchMedia = () => ({ matches: false, addEventListener: () => {} })
  const context = vm.createContext({ window, document, matchMedia, addEventListener: () => {}, uPlot: Plot })
  // The first script is uPlot itself, which wants a real browser.
  for (const script of scripts.slice(1)) vm.runInContext(script, context)
  // Across the border of a context, arrays have another prototype.
  return { options, data: JSON.parse(JSON.stringify(data)), captions }
}

/** A 2d context that takes every call. */
function canvasStub(): object {
  return new Proxy({}, { get: () => () => {}, set: () => true })
}

// ---------------------------------------------------------------------------------------------------- files

t.test('the ending of a path decides', async (t) => {
  const chart = lossChart({ loss: [2, 1] })
  const at = (name: string): string => join(folder, name)
  t.equal(writeChart(chart, at('a.svg')), at('a.svg'))
  t.match(readFileSync(at('a.svg'), 'utf8'), /^<svg /)
  writeChart([chart, chart], at('a.HTML'))
  t.equal(readFileSync(at('a.HTML'), 'utf8').match(/<figure/g)?.length, 2)
  writePage(page, at('b.html'))
  t.match(readFileSync(at('b.html'), 'utf8'), /^<!doctype html>/)
  for (const path of ['a.gif', 'a', '.svg.', '', 7, null]) {
    t.throws(() => checkPlotPath(path), {
      code: 'ERR_OPTION',
      message: /^Expected a path ending in \.svg, \.png or \.html for the plot but received .*\.$/,
    })
  }
  t.throws(() => writeChart(chart, at('none/a.svg')), {
    code: 'ERR_FILE',
    message: /Could not write the plot to .*none/,
  })
})

t.test('PNG: through its optional package, or the command that installs it', async (t) => {
  const loader = Module as unknown as { _resolveFilename(request: string, ...rest: unknown[]): string }
  const original = loader._resolveFilename
  t.teardown(() => {
    loader._resolveFilename = original
  })
  const path = join(folder, 'a.png')
  loader._resolveFilename = (request, ...rest) => {
    if (request === '@resvg/resvg-js') throw new Error('Cannot find module')
    return original.call(loader, request, ...rest)
  }
  t.throws(() => checkPlotPath(path), { code: 'ERR_PEER', message: /npm install @resvg\/resvg-js$/ })
  const stub = join(folder, 'resvg.js')
  writeFileSync(
    stub,
    'exports.Resvg = class { constructor(svg) { this.svg = svg } render() { return { asPng: () => Buffer.from(this.svg) } } }',
  )
  loader._resolveFilename = (request, ...rest) =>
    request === '@resvg/resvg-js' ? stub : original.call(loader, request, ...rest)
  writeChart(lossChart({ loss: [2, 1] }), path)
  t.match(readFileSync(path, 'utf8'), /^<svg /)
  t.notMatch(readFileSync(path, 'utf8'), /<style/, 'in colours that a plain renderer sees')
})

t.test('the history of a run draws itself', async (t) => {
  const x = [[0], [1], [2], [3]]
  const y = [0, 1, 2, 3]
  const path = join(folder, 'run.svg')
  const net = new FNN({ hidden: [3], task: 'regression', seed: 1 })
  const history = await net.fit(x, y, { epochs: 20, validation: 0.25, plot: path })
  t.match(readFileSync(path, 'utf8'), /validation loss/)
  t.equal(history.plot(), plotHistory(history))
  t.match(history.plot(), /validation loss/)
  const before = net.weights()
  await t.rejects(async () => net.fit(x, y, { plot: 'loss.gif' }), {
    code: 'ERR_OPTION',
    message: /\.svg, \.png or \.html/,
  })
  t.same(net.weights(), before, 'refused before a step was made')
})
