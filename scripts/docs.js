/**
 * The tables of docs/, written from the tables of lib/: what a page says of a row is what the row says of itself.
 *
 *     node scripts/docs.js [--check]      writes what lies between <!-- table: name --> and <!-- end -->;
 *                                         with --check only says which pages are behind
 *
 * It reads dist/, so `npm run build` comes first. Prose is nobody's but its author's: a page without markers is left alone.
 */
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('./tools')

/** @param {string} file */
const lib = (file) => require(path.join(root, 'dist', file))

/** @param {string} text */
const code = (text) => (text === '' ? '' : `\`${text}\``)

/** A Markdown table; a bar within a cell is no border. @param {string[]} head @param {string[][]} rows */
function table(head, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/**
 * Every table there is to write, by the name in its marker.
 * @type {Record<string, () => string>}
 */
const TABLES = {
  operations() {
    const { OPS } = lib('plan/plan')
    return table(
      ['operation', 'scope', 'operands', 'meaning'],
      Object.entries(OPS).map(([name, { scope, operands, rows, synopsis }]) => [
        code(rows ? `${name}.<row>` : name),
        scope,
        code(operands.join(' ')),
        synopsis,
      ]),
    )
  },

  activations() {
    const { ACTIVATIONS } = lib('activations')
    return table(
      ['activation', 'definition', "f' from"],
      [...ACTIVATIONS.values()].map(({ name, synopsis, keeps }) => [code(name), synopsis, keeps]),
    )
  },

  losses() {
    const { LOSSES } = lib('losses')
    return table(
      ['loss', 'meaning', 'on logits behind', 'kernels', "'mean' divides by", 'options'],
      [...LOSSES.values()]
        .flatMap((row) => (row.wide ? [row, { ...row, ...row.wide }] : [row]))
        .map((row) => [
          code(row.name),
          row.synopsis,
          code(row.link ?? ''),
          [...new Set([row.logits, row.probabilities])].map(code).join(', '),
          row.meanOver === 'rows' ? 'rows' : 'rows × outputs',
          ['reduction', 'scale', ...row.options].map(code).join(', '),
        ]),
    )
  },

  kernels() {
    const { LOSS_KERNELS } = lib('losses')
    return table(
      ['kernel', 'definition'],
      [...LOSS_KERNELS.values()].map(({ name, synopsis }) => [code(name), synopsis]),
    )
  },

  optimizers() {
    const { OPTIMIZERS } = lib('optimizers')
    return table(
      ['optimizer', 'meaning', 'rate', 'settings and defaults'],
      [...OPTIMIZERS.values()].map(({ name, synopsis, learningRate, settings }) => [
        code(name),
        synopsis,
        String(learningRate),
        Object.entries(settings)
          .map(([key, setting]) =>
            code(`${key} ${setting.range === 'boolean' ? Boolean(setting.default) : setting.default}`),
          )
          .join(', '),
      ]),
    )
  },

  schedules() {
    const { SCHEDULES } = lib('train/schedules')
    return table(
      ['schedule', 'rate', 'options beside `rate`'],
      [...SCHEDULES.values()].map(({ kind, synopsis, options }) => [
        code(kind),
        synopsis,
        Object.keys(options).map(code).join(', '),
      ]),
    )
  },

  initializers() {
    const { INITIALIZER_NAMES } = lib('initializers')
    return INITIALIZER_NAMES.map(code).join(', ')
  },

  layers() {
    const { LAYERS } = lib('layers')
    return table(
      ['layer', 'meaning'],
      Object.values(LAYERS).map(({ kind, synopsis }) => [code(kind), synopsis]),
    )
  },

  metrics() {
    const { METRICS } = lib('metrics')
    return table(
      ['metric', 'meaning', 'better', 'tasks'],
      [...METRICS.values()].map(({ name, synopsis, better, tasks }) => [
        code(name),
        synopsis,
        better,
        tasks.join(', '),
      ]),
    )
  },

  errors() {
    const { ERROR_CODES } = lib('errors')
    return table(
      ['code', 'stands for'],
      Object.entries(ERROR_CODES).map(([name, meaning]) => [code(name), meaning]),
    )
  },
}

const MARKED = /(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g

/** A page with its tables filled in. @param {string} text */
function fill(text) {
  return text.replace(MARKED, (_, begin, name, end) => {
    if (!(name in TABLES))
      throw new Error(`docs: there is no table ${name}; there are ${Object.keys(TABLES).join(', ')}`)
    return `${begin}${TABLES[name]()}\n${end}`
  })
}

/** Pages and what they ought to say. @returns {{ file: string, is: string, ought: string }[]} */
function pages() {
  const folder = path.join(root, 'docs')
  const files = fs.readdirSync(folder).filter((file) => file.endsWith('.md'))
  return files.map((file) => {
    const is = fs.readFileSync(path.join(folder, file), 'utf8')
    return { file: path.join('docs', file), is, ought: fill(is) }
  })
}

/** Names of tables that no page shows. */
function unshown() {
  const shown = new Set(pages().flatMap(({ is }) => [...is.matchAll(MARKED)].map((match) => match[2])))
  return Object.keys(TABLES).filter((name) => !shown.has(name))
}

module.exports = { pages, unshown }

if (require.main === module) {
  const isCheck = process.argv.includes('--check')
  const behind = pages().filter(({ is, ought }) => is !== ought)
  for (const { file, ought } of behind) {
    if (!isCheck) fs.writeFileSync(path.join(root, file), ought)
    process.stdout.write(`${file}: ${isCheck ? 'behind; run `npm run docs`' : 'written'}\n`)
  }
  if (isCheck && behind.length > 0) process.exitCode = 1
}
