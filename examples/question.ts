/**
 * The question, run: why does my loss rise? (`npm start`)
 *
 * A network of 128 and 64 tanh units and one sigmoid, trained by full-batch gradient descent, whose loss falls at a rate
 * of 0.01 and rises at a larger one or from larger weights. Here it is trained on real data from the asker's start and
 * from one scaled by fan-in, on raw and on standardised inputs, at three rates: twelve runs, drawn here and on one page.
 * Then, on the same network and data, a chapter of `question/` each: are the gradients right, with and without the fault of
 * the asker's `db1`; which rate is too large, and why; may full-batch descent rise, with the ledger of a run that does;
 * what do the initial weights do, and standardising; what do L2 and dropout add to the loss one reads; what does the
 * doctor find. Everything said at the end was measured in the run that says it; nothing is explained that was not looked at.
 * `npm run question` is the long form: more rates, scales and starts, and more time for the doctor.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { readCsv } from 'downhill'
import { alike, formatMeasured, renderTerminal, type Section, writePage } from '../dist/plot'
import { diagnosed, outcomesTold, paragraphsOf } from './question/doctor'
import { gradientError, gradientsTold } from './question/gradients'
import { limitsTable, limitsTold, measureLimits } from './question/limits'
import { EPOCHS, INPUTS, RATES, SEED, STARTS, TOLERANCE } from './question/network'
import { added } from './question/penalties'
import { ledgerOfRises } from './question/rise'
import { answer, chartOf, entropy, fromTo, type Result, reading, train } from './question/runs'
import { race } from './question/speed'
import { compareStarts, startsTable, startsTold } from './question/starts'
import { capital, colour, percent, say, sayTable, spans, width } from './question/words'

async function main(): Promise<void> {
  const data = await readCsv(join(__dirname, '..', 'data', 'breast-cancer.csv'), { target: 'benign' })
  const chance = entropy(data.y)
  const about =
    `30 → 128 tanh → 64 tanh → 1 sigmoid, binary cross-entropy, full-batch gradient descent, ${EPOCHS} steps, seed ${SEED}, ` +
    `on ${data.x.rows} tumours (UCI breast cancer, diagnostic). A rise is a step that raises the loss by more than ` +
    `${TOLERANCE.toExponential()} of it. The dotted line is the entropy of the labels, ${formatMeasured(chance)}: the loss of knowing ` +
    'only how many are benign.'
  say('Why does my loss rise?')
  say(about)

  const results: Result[] = []
  const sections: Section[] = []
  for (const start of STARTS) {
    for (const inputs of INPUTS) {
      const heading = `${capital(start.name)}, ${inputs.name}`
      const row: Result[] = []
      for (const rate of RATES) row.push(await train(data, start, inputs, rate))
      const charts = alike(row.map((result) => chartOf(result, chance)))
      console.log('')
      say(`${heading} (${start.says})`)
      console.log(renderTerminal(charts, { width, height: 8, colour }))
      for (const result of row) {
        say(
          `rate ${result.rate}: ${fromTo(result)}, ${percent(result.accuracy)} right; ${reading(result, chance)}`,
          '  ',
        )
        if (result.rose.length > 0)
          say(`rose at ${result.rose.length === 1 ? 'step' : 'steps'} ${spans(result.rose)}`, '    ')
      }
      results.push(...row)
      sections.push({
        heading,
        text: [`Start: ${start.says}.`],
        charts,
        table: {
          columns: ['rate', 'loss at the start', 'at the end', 'right', 'reading', 'rose at steps'],
          rows: row.map((r) => [
            r.rate,
            r.loss[0],
            r.loss[r.loss.length - 1],
            percent(r.accuracy),
            reading(r, chance),
            spans(r.rose) || '–',
          ]),
        },
      })
    }
  }

  const error = Math.max(...STARTS.flatMap((start) => INPUTS.map((inputs) => gradientError(data, start, inputs))))
  const answers = answer(results, error)
  const speed = race(data)
  console.log('')
  for (const sentence of [...answers, speed]) say(sentence)

  /** A chapter, told here and on the page. */
  const tell = (section: Section): void => {
    console.log('')
    say(section.heading ?? '')
    if (section.table) sayTable(section.table)
    for (const sentence of section.text ?? []) say(sentence, '  ')
    sections.push(section)
  }
  tell({ heading: 'Are the gradients wrong?', text: await gradientsTold(data) })
  const cells = await measureLimits(data)
  tell({
    heading: 'Which rate is too large, and why?',
    table: limitsTable(cells),
    text: limitsTold(cells, results),
  })
  const rising = await ledgerOfRises(data)
  tell({ heading: 'May the loss of full-batch descent rise?', text: rising.text, charts: rising.charts })
  const standings = compareStarts(data, cells, results)
  tell({
    heading: 'What do the initial weights do, and what does standardising?',
    table: startsTable(standings),
    text: startsTold(standings),
  })
  tell({ heading: 'What do L2 and dropout add to the loss?', text: await added(data) })

  const { says, plot, table } = await outcomesTold(data)
  console.log(`\n${plot}\n`)
  say(says)
  sections.push({ heading: 'Rates and initial scales', text: [says], table })

  const folder = join(__dirname, '..', 'build')
  mkdirSync(folder, { recursive: true })
  const cases = [
    await diagnosed(data, STARTS[0], INPUTS[0], 1),
    await diagnosed(data, STARTS[0], INPUTS[1], 0.1),
    await diagnosed(data, STARTS[1], INPUTS[0], 0.1),
  ]
  for (const [i, { heading, diagnosis }] of cases.entries()) {
    console.log('')
    say(`${heading}: ${diagnosis.brief()}`)
    const file = join(folder, `question-doctor-${i + 1}.html`)
    writeFileSync(file, diagnosis.html())
    console.log(pathToFileURL(resolve(file)).href)
    sections.push({
      heading: `The doctor: ${heading}`,
      text: paragraphsOf(diagnosis),
    })
  }
  const text = [...answers, about, speed]
  const path = writePage({ title: 'Why does my loss rise?', text, sections }, join(folder, 'question.html'))
  say(`\nAll curves on one page: ${pathToFileURL(resolve(path)).href}`)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
