/**
 * Speeds as a picture: a panel a workload, a line a contender, a dot at its share of the fastest one's speed.
 *
 * The axis is logarithmic, for contenders lie five orders of magnitude apart; so dots, not bars, whose length would say
 * nothing. A stroke through the dot spans the rounds. Colours as in lib/plot/style.ts, light ground only.
 */
import { LOOKS, seriesLook } from '../dist/plot/style'
import { median } from './statistics'

export interface Dots {
  readonly title: string
  readonly says: string
  readonly lines: readonly {
    readonly label: string
    /** As the table tells it. */
    readonly text: string
    /** Blocks a second by round. */
    readonly speeds: readonly number[]
    readonly isPeer: boolean
  }[]
}

const [WIDTH, LEFT, RIGHT, LINE, HEAD] = [780, 160, 150, 18, 62]

export function renderDots(panels: readonly Dots[]): string {
  let top = 0
  const drawn = panels.map((panel) => {
    const at = `<g transform="translate(0 ${top})">${draw(panel)}</g>`
    top += HEAD + panel.lines.length * LINE + 34
    return at
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${top}" viewBox="0 0 ${WIDTH} ${top}" font-family="system-ui, sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${top}" fill="${LOOKS.ground.light}"/>`,
    ...drawn,
    '</svg>\n',
  ].join('\n')
}

function draw({ title, says, lines }: Dots): string {
  const fastest = Math.max(...lines.map(({ speeds }) => median(speeds)))
  const decades = Math.max(1, Math.ceil(Math.log10(fastest / Math.min(...lines.flatMap(({ speeds }) => speeds)))))
  // A round may have been faster than the fastest median: its stroke ends before the text.
  const x = (speed: number): number =>
    Math.min(WIDTH - RIGHT + 8, LEFT + (WIDTH - LEFT - RIGHT) * (1 + Math.log10(speed / fastest) / decades))
  const bottom = HEAD + lines.length * LINE
  const parts = [
    `<text x="${LEFT}" y="24" font-size="14" font-weight="600" fill="${LOOKS.ink.light}">${escapeText(title)}</text>`,
    `<text x="${LEFT}" y="40" fill="${LOOKS.faint.light}">${escapeText(says)}</text>`,
  ]
  for (let d = 0; d <= decades; d++) {
    const at = x(fastest / 10 ** d)
    parts.push(`<path d="M${at} ${HEAD - 8}V${bottom}" stroke="${LOOKS.grid.light}"/>`)
    const label = d === 0 ? 'fastest' : `1/${(10 ** d).toLocaleString('en-US')}`
    parts.push(`<text x="${at}" y="${bottom + 12}" text-anchor="middle" fill="${LOOKS.faint.light}">${label}</text>`)
  }
  lines.forEach(({ label, text, speeds, isPeer }, i) => {
    const y = HEAD + i * LINE + 6
    const colour = seriesLook(isPeer ? 1 : 0).light
    const [low, high] = [x(Math.min(...speeds)), x(Math.max(...speeds))]
    parts.push(
      `<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end" fill="${LOOKS.ink.light}">${escapeText(label)}</text>`,
      `<path d="M${low} ${y}H${high}" stroke="${colour}" stroke-width="2"/>`,
      `<circle cx="${x(median(speeds))}" cy="${y}" r="4" fill="${colour}"/>`,
      `<text x="${WIDTH - RIGHT + 14}" y="${y + 4}" fill="${LOOKS.ink.light}">${escapeText(text)}</text>`,
    )
  })
  return parts.join('\n')
}

const escapeText = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
