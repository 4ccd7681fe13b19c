// Memory for floats: zeroed, aligned to cache lines, never grown. What does not fit is a null pointer, not an
// exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

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

// `count` zeros. calloc leaves untouched pages to the system, so that a large arena costs what is used of it.
template <class T>
Block<T> allocate(size_t count) {
  constexpr size_t extra = kCacheLine + sizeof(void*);
  if (count > (SIZE_MAX - extra) / sizeof(T)) return nullptr;
  void* whole = std::calloc(1, count * sizeof(T) + extra);
  if (whole == nullptr) return nullptr;
  const auto first = reinterpret_cast<uintptr_t>(whole) + sizeof(void*);
  void* at = reinterpret_cast<void*>((first + kCacheLine - 1) & ~(uintptr_t{kCacheLine} - 1));
  static_cast<void**>(at)[-1] = whole;
  return Block<T>(static_cast<T*>(at));
}

}  // namespace downhill
