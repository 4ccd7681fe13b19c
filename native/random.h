// The random bits of masks: twin of mix32, maskKey and maskBits in lib/random.ts, held to the same numbers by tests.
#pragma once

#include <cstdint>

namespace downhill {

// A bijection of 32-bit integers (Wellons, "lowbias32", 2018).
inline uint32_t mix32(uint32_t h) {
  h = (h ^ (h >> 16)) * 0x7feb352du;
  h = (h ^ (h >> 15)) * 0x846ca68bu;
  return h ^ (h >> 16);
}

// All of a mask that does not change from element to element.
inline uint32_t maskKey(uint32_t seed, uint32_t stream, uint32_t step) {
  return mix32(mix32(mix32(seed) ^ stream) ^ step);
}

// 32 uniform bits for element `index`.
inline uint32_t maskBits(uint32_t key, uint32_t index) { return mix32(key + index * 0x9e3779b9u); }

}  // namespace downhill
