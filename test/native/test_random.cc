// The random bits of masks are those of lib/random.ts: numbers taken from there (test/random.test.ts holds the other
// side to them).
#include "random.h"
#include "test.h"

namespace downhill {

TEST(randomBitsAreTheTwins) {
  CHECK(mix32(0) == 0);
  CHECK(mix32(1) == 1753845952u);
  CHECK(mix32(0xffffffffu) == 1734902346u);
  CHECK(maskKey(4, 1, 0) == 2689721498u);
  CHECK(maskBits(maskKey(4, 1, 7), 12345) == 2337651595u);
  CHECK(maskBits(0xffffffffu, 0xffffffffu) == 903996321u);
}

}  // namespace downhill
