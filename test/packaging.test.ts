/**
 * The package as npm and Node see it: what it ships, that both entries are one, what the addon shows, which CPU kernel
 * it chooses, and what the loader says of an addon that is not there. Installing from a tarball, without compilers and
 * without network, takes minutes and stands in test/long/packaging.ts.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { backendInfo } from 'downhill'
import t from 'tap'
import type { Addon } from '../dist/backends/addon'

const root = path.join(__dirname, '..')
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
const info = backendInfo()
const noAddon = info.name === 'native' ? false : `no native backend here: ${info.reason}`
const notLinux = process.platform === 'linux' ? false : 'asks the tools of Linux'

/** Runs a script of Node in the repository; `unset` names are taken out of the environment. */
function node(script: string, { env = {}, unset = [] as string[], type = 'commonjs' } = {}) {
  const inherited: NodeJS.ProcessEnv = { ...process.env }
  for (const name of ['NODE_OPTIONS', 'DOWNHILL_BACKEND', ...unset]) delete inherited[name]
  const args = [`--input-type=${type}`, '-e', script]
  const options = { cwd: root, env: { ...inherited, ...env }, encoding: 'utf8' as const }
  const { stdout, stderr, status } = spawnSync(process.execPath, args, options)
  return { stdout, stderr, status }
}

t.test('what the package ships', (t) => {
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const files: string[] = JSON.parse(packed)[0].files.map((file: { path: string }) => file.path)
  const entries = Object.values<{ types: string; default: string }>(manifest.exports['.'])
  for (const target of entries.flatMap(({ types, default: file }) => [types, file]))
    t.ok(files.includes(target.slice(2)), target)
  for (const file of ['package.json', 'README.md', 'LICENSE', 'NOTICE.md']) t.ok(files.includes(file), file)
  const rooms = ['dist', 'prebuilds', 'package.json', 'README.md', 'LICENSE', 'NOTICE.md', 'CHANGELOG.md']
  t.same(
    files.filter((file) => !rooms.includes(file.split('/')[0])),
    [],
    'and nothing else: with binding.gyp, npm would compile at every install',
  )
  t.end()
})

t.test('no script runs at install', (t) => {
  for (const name of ['preinstall', 'install', 'postinstall']) t.notOk(name in manifest.scripts, name)
  t.equal(manifest.gypfile, false, 'nor does npm run node-gyp in a checkout')
  t.end()
})

t.test('the lock file names the public registry or no host', (t) => {
  const lock = readFileSync(path.join(root, 'package-lock.json'), 'utf8')
  const hosts = [...lock.matchAll(/"resolved": "https?:\/\/([^/"]+)/g)].map((match) => match[1])
  t.same(
    hosts.filter((host) => host !== 'registry.npmjs.org'),
    [],
  )
  t.end()
})

t.test('import and require give the same objects', (t) => {
  const script = `
    import { createRequire } from 'node:module'
    import * as imported from 'downhill'
    const required = createRequire(import.meta.url)('downhill')
    const names = Object.keys(required)
    const different = names.filter((name) => imported[name] !== required[name])
    console.log(JSON.stringify({ names, different, extra: Object.keys(imported).filter((n) => !names.includes(n)) }))
  `
  const { stdout, stderr } = node(script, { type: 'module' })
  t.equal(stderr, '')
  const { names, different, extra } = JSON.parse(stdout)
  t.ok(names.includes('FNN') && names.includes('DownhillError'), 'the public names')
  t.same([different, extra], [[], []])
  t.end()
})

t.test('every file of native/ is on the one list of sources', (t) => {
  const recipe = (part: string) =>
    execFileSync(process.execPath, ['scripts/recipe.js', part], { cwd: root, encoding: 'utf8' }).trim().split('\n')
  const there = readdirSync(path.join(root, 'native')).filter((file) => file.endsWith('.cc'))
  t.same(recipe('sources').sort(), there.map((file) => `native/${file}`).sort())
  for (const refused of ['-march=native', '-ffast-math']) t.notOk(recipe('cflags').includes(refused), `no ${refused}`)
  t.end()
})

t.test('the addon shows Node its entry and needs libc only', { skip: noAddon || notLinux }, (t) => {
  const addon = info.path ?? ''
  const symbols = spawnSync('nm', ['-D', '--defined-only', addon], { encoding: 'utf8' })
  if (symbols.error) {
    t.comment('no binutils here')
    t.end()
    return
  }
  const names = symbols.stdout.trim().split('\n')
  t.same(
    names.map((line) => line.split(' ').at(-1)).sort(),
    ['napi_register_module_v1', 'node_api_module_get_api_version_v1'],
    'the two symbols of N-API',
  )
  const header = execFileSync('readelf', ['-dlW', addon], { encoding: 'utf8' })
  const needed = [...header.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1])
  const fine = /^(libc|libm|libgcc_s|libpthread|libdl|ld-linux-.*)\.so\.\d+$/
  t.same(
    needed.filter((name) => !fine.test(name)),
    [],
    'no OpenBLAS, no libstdc++ of this machine',
  )
  t.match(header, /GNU_STACK.*RW /, 'no executable stack')
  t.end()
})

t.test('the CPU kernel is chosen by what the CPU can do', { skip: noAddon || notLinux }, (t) => {
  if (!info.blas.startsWith('OpenBLAS') || process.arch !== 'x64') {
    t.comment(`nothing to choose: ${info.blas}`)
    t.end()
    return
  }
  const flags = new Set(/^flags\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '))
  const has = (...names: string[]) => names.every((name) => flags.has(name))
  const best = has('avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512cd', 'avx2', 'fma')
    ? 'SkylakeX'
    : has('avx2', 'fma')
      ? 'Haswell'
      : has('avx')
        ? 'Sandybridge'
        : ''
  const ask = "console.log(require('downhill').backendInfo().blas, process.env.OPENBLAS_CORETYPE ?? 'unset')"
  const unset = ['OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE']
  const own = node(ask, { unset })
  t.match(own.stdout, new RegExp(`^OpenBLAS \\S+ serial ${best}.* unset$`, 'm'), 'and the environment is as it was')
  t.equal(own.stderr, '')
  const asked = node(ask, { unset, env: { OPENBLAS_CORETYPE: 'Prescott' } })
  t.match(asked.stdout, /^OpenBLAS \S+ serial Prescott Prescott$/m, 'a value that the user sets wins')
  t.end()
})

t.test('an addon that is not there, and one that is none', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'downhill-addon-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const missing = path.join(folder, 'missing.node')
  const broken = path.join(folder, 'broken.node')
  writeFileSync(broken, 'no machine code')
  const ask = `
    const { FNN, backendInfo } = require('downhill')
    const net = new FNN({ inputs: 2, outputs: 1, task: 'binary', seed: 1 })
    new FNN({ inputs: 2, outputs: 1, task: 'binary', seed: 1 })
    let code
    try { new FNN({ inputs: 2, outputs: 1, task: 'binary', backend: 'native' }) } catch (error) { code = error.code }
    const loaded = require('./dist/backends/addon').loadAddon()
    console.log(JSON.stringify({ loaded, code, name: backendInfo().name, p: net.predictProba([[0, 0]]).length }))
  `
  for (const [addon, attempt] of [
    [missing, `${missing}: not there`],
    [broken, `${broken}: `],
  ]) {
    const { stdout, stderr, status } = node(ask, { env: { DOWNHILL_ADDON: addon } })
    t.equal(status, 0, addon)
    const said: { loaded: Addon; code: string; name: string; p: number } = JSON.parse(stdout)
    t.equal(said.name, 'typescript')
    t.equal(said.p, 1, 'which works')
    t.equal(said.code, 'ERR_BACKEND', 'asked for by name, it is an error')
    t.equal(said.loaded.addon, null)
    t.equal(said.loaded.attempts.length, 1, 'the one asked for, no other')
    t.ok(said.loaded.attempts[0].startsWith(attempt), said.loaded.attempts[0])
    t.match(stderr, /^downhill: .*\n$/, 'one line of notice, once')
  }
  t.end()
})

t.test('a build is where the loader looks first', { skip: noAddon }, (t) => {
  const release = path.join(root, 'build', 'Release', 'downhill.node')
  t.equal(info.path, process.env.DOWNHILL_ADDON ? path.resolve(process.env.DOWNHILL_ADDON) : release)
  t.ok(existsSync(info.path ?? ''))
  t.end()
})
