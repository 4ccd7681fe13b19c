/**
 * npm runs this in a checkout after `npm ci` and before packing: lib/ is compiled, then the addon is built.
 *
 * A type error ends it with an error. A missing compiler, OpenBLAS, python or cmake does not: the addon is then built
 * with less, or left out, and one line says so.
 */
const path = require('node:path')
const { root, run, has, folderOf } = require('./tools')
const { buildNative } = require('./build-native')

if (!has('typescript')) {
  process.stdout.write('downhill: nothing was built, since the development tools are not installed\n')
  process.exit(0)
}
const steps = [
  [path.join(folderOf('typescript'), 'bin', 'tsc'), '-p', 'tsconfig.build.json'],
  [path.join(root, 'scripts', 'esm.js')],
]
for (const step of steps) {
  const done = run(process.execPath, step)
  if (done.ok) continue
  process.stderr.write(done.log)
  process.exit(1)
}
buildNative()
