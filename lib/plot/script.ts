/**
 * What runs in the page: replaces each SVG by a chart one can zoom in.
 *
 * Plain browser JavaScript as text, since the rest of the library is compiled without the browser's types. It finds
 * `uPlot`, the compiled scale.ts as `scales`, and the charts as JSON in #data.
 */
export const PAGE_SCRIPT = `'use strict'
const { charts, looks } = JSON.parse(document.getElementById('data').textContent)
const dark = matchMedia('(prefers-color-scheme: dark)')
const DISTRIBUTION = { linear: 1, log: 3, asinh: 4 } // uPlot's numbers for them
const HEIGHT = 260

function element(name, text) {
  const made = document.createElement(name)
  made.textContent = text
  return made
}

function draw(figure) {
  const chart = charts[figure.dataset.chart]
  const theme = dark.matches ? 'dark' : 'light'
  const ends = (scale) => [scales.valueAt(scale, 0), scales.valueAt(scale, 1)]
  const [start, end] = ends(chart.x)
  const whole = ends(chart.y)
  const pixels = window.devicePixelRatio

  const axis = (scale, label, space, more) => ({
    stroke: looks.faint[theme],
    grid: { stroke: looks.grid[theme], width: 1 },
    ticks: { stroke: looks.grid[theme], width: 1 },
    font: '11px system-ui, sans-serif',
    label,
    labelFont: '11px system-ui, sans-serif',
    labelSize: 18,
    splits: (u, i, low, high) => {
      const shown = scales.scaleOver(scale.kind, low, high, scale.knee, true)
      const length = i === 0 ? u.bbox.width : u.bbox.height
      const found = scales.ticks(shown, Math.max(2, Math.floor(length / pixels / space)))
      return i === 0 && chart.isCounted ? found.filter(Number.isInteger) : found
    },
    filter: (u, splits) => splits,
    values: (u, splits) => splits.map((v) => scales.formatNumber(v)),
    ...more,
  })

  // Zoomed in, the y axis follows what is seen; zoomed out, it is the chart's own.
  // uPlot asks for the range of x first and tells y nothing of it.
  let isWhole = true
  const rangeX = (u, low, high) => {
    isWhole = low == null || (low <= start && high >= end)
    return isWhole ? [start, end] : [Math.max(low, start), Math.min(high, end)]
  }
  const rangeY = (u, low, high) => {
    if (low == null || isWhole) return whole
    return ends(scales.scaleOver(chart.y.kind, low, high, chart.y.knee))
  }

  const drawMarks = (u) => {
    const { ctx, bbox } = u
    ctx.save()
    ctx.beginPath()
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
    ctx.clip()
    ctx.lineWidth = pixels
    for (const level of chart.levels) {
      const y = u.valToPos(level.value, 'y', true)
      ctx.strokeStyle = looks.level[theme]
      ctx.setLineDash([pixels, 4 * pixels])
      ctx.beginPath()
      ctx.moveTo(bbox.left, y)
      ctx.lineTo(bbox.left + bbox.width, y)
      ctx.stroke()
    }
    ctx.setLineDash([])
    ctx.strokeStyle = looks.mark[theme]
    const bottom = bbox.top + bbox.height
    for (const { name, at } of chart.marks) {
      ctx.beginPath()
      for (const value of at) {
        const x = u.valToPos(value, 'x', true)
        ctx.moveTo(x, bottom)
        ctx.lineTo(x, bottom - (name === 'not finite' ? 14 : 7) * pixels)
      }
      ctx.stroke()
    }
    ctx.restore()
  }

  const options = {
    width: figure.clientWidth - 24,
    height: HEIGHT,
    scales: {
      x: { time: false, distr: DISTRIBUTION[chart.x.kind], range: rangeX },
      y: { distr: DISTRIBUTION[chart.y.kind], asinh: chart.y.knee, range: rangeY },
    },
    axes: [axis(chart.x, chart.unit, 70, { size: 30 }), axis(chart.y, chart.quantity, 40, { size: 56 })],
    series: [
      { label: chart.unit },
      ...chart.series.map(({ name, look, y }) => ({
        label: name,
        stroke: look[theme],
        width: 1.6,
        dash: look.dash.length > 0 ? look.dash : undefined,
        points: { show: y.length === 1 },
        value: (u, v) => (v == null ? '–' : scales.formatNumber(v, 5)),
      })),
    ],
    cursor: { y: false, sync: { key: 'group ' + chart.group, scales: ['x', null] } },
    hooks: { draw: [drawMarks] },
  }

  const tables = chart.series.map(({ x, y }) => [x, y])
  const data = tables.length === 1 ? tables[0] : uPlot.join(tables)
  const caption = element('figcaption', '')
  caption.append(element('b', chart.title))
  for (const note of chart.notes) caption.append(element('small', note))
  for (const { name, value } of chart.levels) {
    caption.append(element('small', '┄ ' + name + ' ' + scales.formatMeasured(value)))
  }
  for (const { name } of chart.marks) {
    const line = element('small', '╷ ' + name)
    line.style.color = looks.mark[theme]
    caption.append(line)
  }
  figure.replaceChildren(caption)
  const plot = new uPlot(options, data, figure)
  return () => plot.setSize({ width: figure.clientWidth - 24, height: HEIGHT })
}

let resizers = []
function drawAll() {
  resizers = Array.from(document.querySelectorAll('figure[data-chart]'), draw)
}
addEventListener('resize', () => { for (const resize of resizers) resize() })
dark.addEventListener('change', drawAll)
drawAll()
`
