// Memory for floats: zeroed, aligned to cache lines, never grown. What does not fit is a null pointer, not an
// exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace downhill {

constexpr size_t kCacheLine = 64;

// Frees what an aligned block was cut from, which stands just before it.
struct FreeAligned {
  void operator()(void* at) const {
    if (at != nullptr) std::free(static_cast<void**>(at)[-1]);
  }
};

template <class T>
using Block = std::unique_ptr<T[], FreeAligned>;

// Asks for pages of 2 MiB, where a block is many of them: a fit of a wide net would else begin with as many page faults
// as it has pages of 4 KiB, a microsecond each. Only a wish, and nobody hears whether it is granted.
inline void inLargePages(void* at, size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t kLargePage = uintptr_t{1} << 21;
  if (bytes < 4 * kLargePage) return;
  const auto first = (reinterpret_cast<uintptr_t>(at) + kLargePage - 1) & ~(kLargePage - 1);
  const auto last = (reinterpret_cast<uintptr_t>(at) + bytes) & ~(kLargePage - 1);
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)at, (void)bytes;
#endif
}

// `count` zeros. calloc leaves untouched pages to the system, so that a large arena costs what is used of it.
template <class T>
Block<T> allocate(size_t count) {
  constexpr size_t extra = kCacheLine + sizeof(void*);
  if (count > (SIZE_MAX - extra) / sizeof(T)) return nullptr;
  void* whole = std::calloc(1, count * sizeof(T) + extra);
  if (whole == nullptr) return nullptr;
  inLargePages(whole, count * sizeof(T) + extra);
  const auto first = reinterpret_cast<uintptr_t>(whole) + sizeof(void*);
  void* at = reinterpret_cast<void*>((first + kCacheLine - 1) & ~(uintptr_t{kCacheLine} - 1));
  static_cast<void**>(at)[-1] = whole;
  return Block<T>(static_cast<T*>(at));
}

}  // namespace downhill
