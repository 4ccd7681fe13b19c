/**
 * Tables from files: what is read, and what is refused with which words.
 *
 * The first table holds files that are fine, the second those that are not: a row is a file's text, the options, and
 * what must come out.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { type CsvData, csvBatches, type ReadCsvOptions, readCsv } from '../dist/data/csv'
import { DownhillError } from '../dist/errors'

const folder = mkdtempSync(join(tmpdir(), 'downhill-csv-'))
t.teardown(() => rmSync(folder, { recursive: true }))
let files = 0
function write(text: string | Buffer): string {
  const path = join(folder, `${files++}.csv`)
  writeFileSync(path, text)
  return path
}

const shape = ({ x, y, columns, target }: CsvData) => ({
  x: [...x.data],
  rows: x.rows,
  wide: x.columns,
  y,
  columns,
  target,
})

const FINE: { name: string; text: string; options: ReadCsvOptions; want: Partial<ReturnType<typeof shape>> }[] = [
  {
    name: 'numbers, target last',
    text: 'a,b,y\n1,2,0\n3,-4.5e1,1\n',
    options: { target: 'y' },
    want: { x: [1, 2, 3, -45], rows: 2, wide: 2, y: [0, 1], columns: ['a', 'b'], target: 'y' },
  },
  {
    name: 'target by place',
    text: 'y,a\n5,1\n6,2\n',
    options: { target: 0 },
    want: { x: [1, 2], y: [5, 6], target: 'y' },
  },
  { name: 'no last line end', text: 'a,y\n1,2', options: { target: 'y' }, want: { x: [1], y: [2] } },
  { name: 'carriage returns', text: 'a,y\r\n1,2\r\n', options: { target: 'y' }, want: { x: [1], y: [2] } },
  {
    name: 'byte order mark',
    text: '\ufeff"a",y\n1,2\n',
    options: { target: 'a' },
    want: { x: [2], y: [1], target: 'a' },
  },
  {
    name: 'quotes around everything, commas and line ends inside',
    text: '"a, ""of"" all","b","the\ny"\n"1","2","x,1"\n"3","4","x\n2"\n',
    options: { target: 'the\ny' },
    want: { x: [1, 2, 3, 4], y: ['x,1', 'x\n2'], columns: ['a, "of" all', 'b'] },
  },
  {
    name: 'blanks around',
    text: ' a , y \n 1 , 2 \n',
    options: { target: 'y' },
    want: { x: [1], y: [2], columns: ['a'] },
  },
  { name: 'empty lines', text: 'a,y\n\n1,2\n\n\n3,4\n\n', options: { target: 'y' }, want: { x: [1, 3], y: [2, 4] } },
  {
    name: 'chosen columns, in the order given, text left out',
    text: 'name,a,b,y\nu,1,2,0\nv,3,4,1\n',
    options: { target: 'y', columns: ['b', 1] },
    want: { x: [2, 1, 4, 3], columns: ['b', 'a'] },
  },
  { name: 'text target', text: 'a,y\n1,cat\n2,dog\n', options: { target: 'y' }, want: { y: ['cat', 'dog'] } },
  {
    name: 'numbers kept as labels',
    text: 'a,y\n1,01\n2,A\n',
    options: { target: 'y', labels: true },
    want: { y: ['01', 'A'] },
  },
  {
    name: 'semicolons and no header',
    text: '1;2;3\n4;5;6\n',
    options: { target: 2, delimiter: ';', header: false },
    want: { x: [1, 2, 4, 5], y: [3, 6], columns: ['0', '1'], target: '2' },
  },
  { name: 'tabs', text: 'a\ty\n1\t2\n', options: { target: 'y', delimiter: '\t' }, want: { x: [1], y: [2] } },
]

t.test('files that are fine', async (t) => {
  for (const { name, text, options, want } of FINE) {
    t.match(shape(await readCsv(write(text), options)), want, name)
  }
})

t.test('more rows than a batch, in order', async (t) => {
  const rows = 2500
  const lines = Array.from({ length: rows }, (_, i) => `${i},${-i},${i % 2}`)
  const { x, y } = await readCsv(write(`a,b,y\n${lines.join('\n')}\n`), { target: 'y' })
  t.equal(x.rows, rows)
  t.equal(x.data.length, 2 * rows, 'no room left over')
  t.ok(x.data.every((value, i) => value === (i % 2 === 0 ? i / 2 : -(i - 1) / 2)))
  t.ok((y as number[]).every((value, i) => value === i % 2))
})

const target = 'y'
const REFUSED: { text: string; options?: object; code: string; says: RegExp }[] = [
  { text: '', code: 'ERR_DATA', says: /is empty/ },
  { text: '\n\n', code: 'ERR_DATA', says: /is empty/ },
  { text: 'a,y\n', code: 'ERR_DATA', says: /has a header only/ },
  { text: 'y\n1\n', code: 'ERR_DATA', says: /its only column is the target/ },
  { text: 'a,y\n1,2\n3\n', code: 'ERR_SHAPE', says: /Expected 2 fields on line 3 of .* but found 1 field\./ },
  { text: 'a,y\n1,2\n3,4,5\n', code: 'ERR_SHAPE', says: /Expected 2 fields on line 3 of .* but found 3 fields\./ },
  { text: 'a,y\n1,2\n,4\n', code: 'ERR_DATA', says: /finite number in column "a" on line 3 of .* found ""\./ },
  { text: 'a,y\n1,2\n\n\n1e999,4\n', code: 'ERR_DATA', says: /column "a" on line 5 .*"1e999"\./ },
  { text: 'a,y\nNaN,4\n', code: 'ERR_DATA', says: /column "a" on line 2 .*"NaN"/ },
  { text: 'a,y\n"1,5",4\n', code: 'ERR_DATA', says: /"1,5"\./ },
  {
    text: 'kind,y\nred,4\n',
    code: 'ERR_DATA',
    says: /column "kind" on line 2 .*"red"; the option columns chooses the features\./,
  },
  { text: 'a,y\n1,2\n3,\n', code: 'ERR_DATA', says: /Expected a value in the target "y" on line 3/ },
  {
    text: 'a,y\n1,2\n3,x\n',
    code: 'ERR_DATA',
    says: /a finite number, like those before it, in the target "y" on line 3/,
  },
  { text: 'a,y\n1,x\n3,2\n', code: 'ERR_DATA', says: /text, like that before it, in the target "y" on line 3/ },
  { text: 'a,y\n1,"2\n', code: 'ERR_FILE', says: /Could not parse .* as CSV at line \d+/ },
  {
    text: 'a,benign\n1,2\n',
    options: { target: 'benin' },
    code: 'ERR_OPTION',
    says: /No column "benin" .* for target; did you mean "benign"\?/,
  },
  {
    text: 'a,b\n1,2\n',
    options: { target: 'price' },
    code: 'ERR_OPTION',
    says: /No column "price" .*; it has "a", "b"\./,
  },
  { text: 'a,y\n1,2\n', options: { target: 2 }, code: 'ERR_OPTION', says: /received 2; it has 2 columns/ },
  {
    text: 'a,a,y\n1,2,3\n',
    options: { target, columns: ['a'] },
    code: 'ERR_OPTION',
    says: /Two columns of .* are called "a"/,
  },
  {
    text: 'a,y\n1,2\n',
    options: { target, columns: ['a', 'y'] },
    code: 'ERR_OPTION',
    says: /columns without the target/,
  },
  {
    text: 'a,y\n1,2\n',
    options: { target, columns: [] },
    code: 'ERR_OPTION',
    says: /non-empty array of columns for columns/,
  },
  { text: 'a,y\n1,2\n', options: { target, columns: [-1] }, code: 'ERR_OPTION', says: /name or place of a column/ },
  {
    text: 'a,y\n1,2\n',
    options: {},
    code: 'ERR_OPTION',
    says: /name or place of a column for target but received undefined/,
  },
  { text: 'a,y\n1,2\n', options: { target, delimiter: '' }, code: 'ERR_OPTION', says: /delimiter/ },
  { text: 'a,y\n1,2\n', options: { target, header: 'yes' }, code: 'ERR_OPTION', says: /a boolean for header/ },
  { text: 'a,y\n1,2\n', options: { target, labels: 1 }, code: 'ERR_OPTION', says: /a boolean for labels/ },
  {
    text: 'a,y\n1,2\n',
    options: { target, colums: ['a'] },
    code: 'ERR_OPTION',
    says: /"colums" .*did you mean "columns"\?/,
  },
]

t.test('files and options that are refused', async (t) => {
  for (const { text, options = { target }, code, says } of REFUSED) {
    const name = `${JSON.stringify(text)} with ${JSON.stringify(options)}`
    const error = await readCsv(write(text), options as ReadCsvOptions).then(
      () => undefined,
      (error: unknown) => error,
    )
    t.ok(error instanceof DownhillError, name)
    t.match(error, { code, message: says }, name)
    t.match((error as Error).message, /^[A-Z][^\n]*[.?]$/, 'one sentence')
  }
})

t.test('a file that is not there, a folder, not a path', async (t) => {
  const cases = [join(folder, 'none.csv'), folder]
  for (const path of cases) await t.rejects(readCsv(path, { target }), { code: 'ERR_FILE', message: path })
  await t.rejects(readCsv(7 as unknown as string, { target }), { code: 'ERR_OPTION', message: /a path/ })
  await t.rejects(readCsv(write('a,y\n1,2\n'), null as unknown as ReadCsvOptions), { code: 'ERR_OPTION' })
})

t.test('batches keep the fields as written, and the rows in order', async (t) => {
  const path = write(`id,a,y\n${Array.from({ length: 10 }, (_, i) => `"row ${i}", ${i}.50,${i % 2}`).join('\n')}\n`)
  const seen: string[] = []
  const sizes: number[] = []
  for await (const batch of csvBatches(path, { columns: ['a'], target: 'y', batchRows: 4 })) {
    sizes.push(batch.x.rows)
    t.same(batch.columns, ['a'])
    t.same(batch.header, ['id', 'a', 'y'])
    batch.fields.forEach((row, i) => {
      seen.push(row[0])
      t.equal(batch.x.data[i], Number(row[1]))
      t.equal(batch.lines[i], seen.length + 1)
    })
  }
  t.same(sizes, [4, 4, 2])
  t.same(
    seen,
    Array.from({ length: 10 }, (_, i) => `row ${i}`),
  )
})

t.test('batches of a stream; leaving early lets go of it', async (t) => {
  const source = Readable.from(['a,y\n', '1,2\n3,', '4\n5,6\n'])
  for await (const batch of csvBatches(source, { batchRows: 1 })) {
    t.same([...batch.x.data], [1, 2])
    break
  }
  t.ok(source.destroyed)
  t.throws(() => csvBatches('x.csv', { batchRows: 0 }), { code: 'ERR_OPTION', message: /batchRows/ })
})

t.test('an error of the stream arrives', async (t) => {
  const source = new Readable({ read: () => source.destroy(new Error('the line went dead')) })
  await t.rejects(csvBatches(source).next(), { code: 'ERR_FILE', message: /the stream: the line went dead\./ })
})

t.test("the project's own data", async (t) => {
  const { x, y, columns } = await readCsv(join(__dirname, '..', 'data', 'breast-cancer.csv'), { target: 'benign' })
  t.equal(x.rows, 569)
  t.equal(x.columns, 30)
  t.equal(columns[0], 'mean_radius')
  t.equal(x.data[0], 17.99)
  t.equal((y as number[]).filter((value) => value === 1).length, 357)
})
