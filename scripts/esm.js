/**
 * Writes the ESM entry beside the CommonJS one: dist/index.mjs takes every name from dist/index.js, so that a process
 * which imports and requires has one addon, one pool and one DownhillError. Run after tsc.
 */
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('./tools')

const dist = path.join(root, 'dist')
const names = Object.keys(require(path.join(dist, 'index.js')))

fs.writeFileSync(
  path.join(dist, 'index.mjs'),
  `import downhill from './index.js'

export const {
${names.map((name) => `  ${name},\n`).join('')}} = downhill
`,
)
fs.writeFileSync(path.join(dist, 'index.d.mts'), "export * from './index.js'\n")
