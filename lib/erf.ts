/**
 * The error function, which JavaScript lacks. Needed by gelu.
 */

const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI)

/**
 * erfc(x) = 1 − erf(x). Relative error below 1e-12 for x < 27; 0 above. Domain: all, NaN gives NaN.
 *
 * Below 2.5 the series erf(x) = 2/√π · e^(−x²) · Σ 2ⁿx²ⁿ⁺¹/(2n+1)!!, whose terms are all of one sign (Abramowitz & Stegun
 * 7.1.6); above it the continued fraction (7.1.14), sixty levels, from the inside out.
 */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x)
  if (x > 27) return 0
  if (x < 2.5) {
    let term = x
    let sum = x
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1)
      sum += term
    }
    return 1 - TWO_OVER_ROOT_PI * Math.exp(-x * x) * sum
  }
  let tail = 0
  for (let n = 60; n > 0; n--) tail = n / 2 / (x + tail)
  return (TWO_OVER_ROOT_PI / 2) * (Math.exp(-x * x) / (x + tail))
}
