/**
 * Puts the addon where a published package has it: prebuilds/<platform>-<arch>[-musl]/downhill.node, stripped.
 * Run by npm before packing; refuses to pack without an addon, since most users have no compiler.
 */
const fs = require('node:fs')
const path = require('node:path')
const { root, run, which } = require('./tools')
const { buildNative, target } = require('./build-native')

async function prebuild() {
  if (!fs.existsSync(target) && !(await buildNative())) process.exit(1)
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report.getReport())
  const isMusl = process.platform === 'linux' && report.header.glibcVersionRuntime === undefined
  const folder = path.join(root, 'prebuilds', `${process.platform}-${process.arch}${isMusl ? '-musl' : ''}`)
  const file = path.join(folder, 'downhill.node')
  fs.mkdirSync(folder, { recursive: true })
  fs.copyFileSync(target, file)
  const strip = which('strip')
  if (strip) run(strip, process.platform === 'darwin' ? ['-x', file] : ['--strip-unneeded', file])
  process.stdout.write(`${path.relative(root, file)}: ${(fs.statSync(file).size / 1e6).toFixed(1)} MB\n`)
}

prebuild()
