/**
 * The table of the edge of stability (npm run doctor:edge): degrees 3 to 5, three rates, three seeds. The product of mean
 * sharpness and η/2 is 1 to ± 0.1; the count of rises varies from start to start and is only shown.
 */
import { edgeOfStability } from '../chebyshev'

async function main(): Promise<void> {
  for (const degree of [3, 4, 5])
    for (const learningRate of [0.1, 0.2, 0.4]) {
      const edges = []
      for (const seed of [1, 2, 3]) edges.push(await edgeOfStability(degree, learningRate, seed))
      const products = edges.map(({ product }) => product.toFixed(3)).join(' ')
      const rises = edges.map((edge) => edge.rises).join(' ')
      console.log(`degree ${degree}, η ${learningRate}: sharpness·η/2 ${products}; rises ${rises} of 40000`)
      if (!edges.every(({ product }) => Math.abs(product - 1) <= 0.1)) process.exitCode = 1
    }
}

main()
