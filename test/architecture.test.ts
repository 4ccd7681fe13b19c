/**
 * The house as docs/house.md draws it: the page's table of rooms is the rule, and this test reads it there. Then the habits
 * that a machine can see: rows with their twins and their tests, pages that are not behind, files that are no drawers.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import t from 'tap'
import { ACTIVATIONS } from '../dist/activations'
import { nativeStatus } from '../dist/backends/native'
import { operationKeys } from '../dist/backends/operations'
import { ERROR_CODES } from '../dist/errors'
import { LOSS_KERNELS } from '../dist/losses'
import { OPS, opKey } from '../dist/plan/plan'
import { pages, unshown } from '../scripts/docs'
import { CASES, PROGRAMS, planOf } from './cases'

const ROOT = join(__dirname, '..')
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

/** Files of ours below a folder, with one of the endings, by their path from the root. */
function filesOf(folder: string, ...endings: string[]): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => !/node_modules|\/fixtures\/|\/results\//.test(file))
}

// ---------------------------------------------------------------------------------------------------- rooms

interface Room {
  readonly name: string
  /** `data/*`, `plan/plan` */
  readonly files: readonly string[]
  readonly uses: readonly string[]
}

function readRooms(page: string): Room[] {
  const [, table] = page.split('<!-- rooms -->')
  const lines = table.split('<!-- end -->')[0].trim().split('\n').slice(2)
  return lines.map((line) => {
    const [name, files, uses] = line.split('|').slice(1, -1)
    const list = (text: string, separator: RegExp): string[] =>
      text
        .trim()
        .split(separator)
        .filter((word) => word !== '')
    return { name: name.trim(), files: list(files.replaceAll('`', ''), / +/), uses: list(uses, /, */) }
  })
}

const ROOMS = readRooms(read('docs/house.md'))
const LIB = filesOf('lib', '.ts').map((file) => file.slice('lib/'.length, -'.ts'.length))

const holds = (room: Room, file: string): boolean =>
  room.files.some((pattern) => (pattern.endsWith('/*') ? dirname(file) === pattern.slice(0, -2) : file === pattern))
const roomOf = (file: string): Room | undefined => ROOMS.find((room) => holds(room, file))

/** Files of lib/ that one imports, types included. */
function importsOf(file: string): string[] {
  const source = read(`lib/${file}.ts`)
  const paths = [...source.matchAll(/(?:\bfrom |\bimport |\bimport\(|\brequire\()'(\.[^']*)'/g)].map(
    (match) => match[1],
  )
  return [...new Set(paths)].map((path) => {
    const target = join(dirname(file), path).split(sep).join('/')
    return LIB.includes(target) ? target : `${target}/index`
  })
}

t.test('every file of lib/ is in one room, and no room stands empty', async (t) => {
  for (const file of LIB) t.equal(ROOMS.filter((room) => holds(room, file)).length, 1, file)
  for (const room of ROOMS) t.ok(LIB.some((file) => holds(room, file)) || room.name === 'doctor', room.name)
})

t.test('imports point down', async (t) => {
  for (const [i, room] of ROOMS.entries())
    for (const name of room.uses)
      t.ok(ROOMS.findIndex((other) => other.name === name) < i, `${name} is below ${room.name}`)
  for (const file of LIB)
    for (const target of importsOf(file)) {
      const [from, to] = [roomOf(file), roomOf(target)]
      t.ok(
        from && to && (from === to || from.uses.includes(to.name)),
        `${file} (${from?.name}) → ${target} (${to?.name})`,
      )
    }
})

t.test('no file imports itself, by whatever way round', async (t) => {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) return void t.fail([...path.slice(path.indexOf(file)), file].join(' → '))
    if (done.has(file)) return
    for (const target of importsOf(file)) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of LIB) visit(file, [])
  t.equal(done.size, LIB.length)
})

t.test('what decides meaning needs no Node', async (t) => {
  const rooms = ROOMS.filter(({ name }) => ['ground', 'tables', 'compiler'].includes(name))
  for (const file of LIB.filter((name) => rooms.some((room) => holds(room, name))))
    t.notMatch(read(`lib/${file}.ts`), /'node:/, file)
})

t.test('one file knows the addon, one knows Node', async (t) => {
  t.strictSame(
    LIB.filter((file) => importsOf(file).includes('backends/addon')),
    ['backends/native'],
  )
  const nodes = filesOf('native', '.cc', '.h').filter((file) => /#include <(node_api|napi|uv|v8)/.test(read(file)))
  t.strictSame(nodes, ['native/border.h'])
  const bordering = filesOf('native', '.cc', '.h').filter((file) => read(file).includes('#include "border.h"'))
  t.strictSame(bordering, ['native/addon.cc'])
})

// ---------------------------------------------------------------------------------------------------- rows

t.test('every operation is in the specification, and in a case', async (t) => {
  const rows = { activations: ACTIVATIONS, losses: LOSS_KERNELS }
  const keys = Object.entries(OPS).flatMap(([op, row]) =>
    'rows' in row ? [...rows[row.rows].keys()].map((name) => opKey({ op, row: name })) : [op],
  )
  t.strictSame([...operationKeys()].sort(), keys.sort())
  const used = new Set(
    CASES.flatMap((row) => {
      const { programs } = planOf(row, 'float32')
      return PROGRAMS.flatMap((name) => [...(programs[name]?.chunk ?? []), ...(programs[name]?.step ?? [])]).map(opKey)
    }),
  )
  // An identity is not worth an instruction; the sweeps of parity.test.ts run it all the same.
  const emitted = keys.filter((key) => !ACTIVATIONS.get(key.split('.')[1])?.isIdentity)
  t.strictSame(
    emitted.filter((key) => !used.has(key)),
    [],
  )
})

t.test('every row has its twin in C++', async (t) => {
  for (const [file, table] of [
    ['native/activations.cc', ACTIVATIONS],
    ['native/losses.cc', LOSS_KERNELS],
  ] as const) {
    const source = read(file)
    for (const name of table.keys()) t.ok(source.includes(`"${name}"`), `${file}: ${name}`)
  }
})

const { backend, reason } = nativeStatus()
t.test('the addon has every operation', { skip: backend === null && `no native backend: ${reason}` }, async (t) => {
  t.strictSame([...(backend?.ops ?? [])].sort(), [...operationKeys()].sort())
})

t.test('every code of an error is used, and no other', async (t) => {
  const used = LIB.filter((file) => file !== 'errors').flatMap(
    (file) => read(`lib/${file}.ts`).match(/'ERR_\w+'/g) ?? [],
  )
  const codes = new Set(used.map((quoted) => quoted.slice(1, -1)))
  codes.delete('ERR_MEMORY') // the addon's own, which users meet as ERR_BACKEND
  t.strictSame([...codes].sort(), Object.keys(ERROR_CODES).sort())
})

// ---------------------------------------------------------------------------------------------------- habits

t.test('the pages are not behind the tables they show', async (t) => {
  for (const { file, is, ought } of pages()) t.ok(is === ought, `${file}: \`npm run docs\` writes it`)
  t.strictSame(unshown(), [], 'every table is on a page')
})

t.test('what a page links to is there', async (t) => {
  const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...filesOf('docs', '.md')]
  for (const file of documents)
    for (const [, link] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      t.ok(existsSync(join(ROOT, dirname(file), link)), `${file} → ${link}`)
    }
})

const SOURCES = [
  ...['lib', 'test', 'bench', 'examples'].flatMap((folder) => filesOf(folder, '.ts')),
  ...filesOf('scripts', '.js'),
  ...['native', 'test/native'].flatMap((folder) => filesOf(folder, '.cc', '.h')),
]

/** Lines that are neither empty nor comment. */
function linesOf(source: string): number {
  const lines = source.replace(/\/\*[\s\S]*?\*\//g, '').split('\n')
  return lines.filter((line) => !/^\s*(\/\/.*)?$/.test(line)).length
}

/** Of code. A chapter, not a drawer. */
const MOST_LINES = 600

t.test('a file is a chapter with a head', async (t) => {
  for (const file of SOURCES) {
    const source = read(file)
    // Those beside a header of the same name have theirs there.
    const hasHeader = file.endsWith('.cc') && SOURCES.includes(file.replace(/\.cc$/, '.h'))
    t.ok(hasHeader || /^(#!.*\n)?(\/\*\*|\/\/)/.test(source), `${file} begins with what it is for`)
    const length = linesOf(source)
    t.ok(length <= MOST_LINES || file.startsWith('test/'), `${file}: ${length} lines of code`)
  }
})

t.test('types are said, and nothing is left for later', async (t) => {
  const forbidden =
    /:\s*any\b(?! )|\bas any\b|<any>|\bany\[\]|@ts-(?:ignore|nocheck|expect-error)|\bTO[D]O\b|\bFIX[M]E\b/
  for (const file of SOURCES.filter((name) => name !== 'test/architecture.test.ts'))
    t.notMatch(read(file), forbidden, file)
})

t.test('the repository stands alone', async (t) => {
  const texts = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'package.json',
    'binding.gyp',
    'CMakeLists.txt',
    '.ci/run',
  ]
  for (const file of [...SOURCES, ...texts, ...filesOf('docs', '.md')])
    t.notMatch(read(file), /\/work\/|\.\.\/shared\b|shared\/(?:design|golden)/, file)
})
