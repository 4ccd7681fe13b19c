// A pool of threads for one engine: tiles in, nothing out.
//
// What is summed over tiles is cut on a grid that depends on the problem only, never on the number of threads; a
// product, whose elements are each one sum within a tile, may be cut as suits the threads. So they decide who computes,
// never what: the bits are the same for any number of them. The pool knows no order of tiles, no nesting, and one
// caller at a time.
//
// Each worker begins with its own share of neighbouring tiles, the same in every step, so that what it wrote there last
// time is still in its own cache; then it helps where tiles are left. Nobody waits for a thread that sleeps or that the
// system has taken off its core, unless it was in the middle of a tile.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "memory.h"

namespace downhill {

class Pool {
 public:
  // `threads` counts the caller: Pool(1) has none of its own. They start at the first use; where the system grants
  // fewer, fewer work.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // How many compute.
  int threads() const { return using_.load(std::memory_order_relaxed); }
  int most() const { return threads_; }
  // From the next job on so many do, at least 1 and at most all; the others sleep.
  void use(int threads);

  // Calls fn(tile, worker) once for each tile in [0, tiles) and returns when all have returned. `worker` in
  // [0, most()) is whose scratch memory may be used.
  template <class F>
  void parallel(size_t tiles, F&& fn) {
    if (threads() == 1 || tiles <= 1) {
      for (size_t tile = 0; tile < tiles; ++tile) fn(tile, 0);
      return;
    }
    using Fn = std::remove_reference_t<F>;
    share(
        tiles, [](void* context, size_t tile, int worker) { (*static_cast<Fn*>(context))(tile, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // fn(from, count) once for each piece of at most `tile` out of n.
  template <class F>
  void cut(size_t n, size_t tile, F&& fn) {
    parallel((n + tile - 1) / tile, [&](size_t i, int) { fn(i * tile, n - i * tile < tile ? n - i * tile : tile); });
  }

  // At least `floats` floats that belong to `worker`, kept from call to call (allocated anew only to grow), with any
  // content. Null if there is no memory.
  float* scratch(int worker, size_t floats);

 private:
  using Call = void (*)(void* context, size_t tile, int worker);
  void share(size_t tiles, Call call, void* context);
  bool work(int worker);
  void serve(int worker);
  void start();
  void countSleepers();

  struct Scratch {
    Block<float> floats;
    size_t size = 0;
  };

  // A worker's share of the tiles. `ticket` is the number of the job (high 32 bits) and the next tile of the share to
  // be taken (low). Whoever advances it from (job, tile) owns that tile, and knows that the job was not over, hence
  // that what it read of it was of this job.
  struct alignas(kCacheLine) Share {
    std::atomic<uint64_t> ticket{0};
    std::atomic<uint64_t> end{0};
    bool sleeps = false;  // its worker, as the mutex knows
  };

  int threads_;
  std::atomic<int> using_;
  std::vector<std::thread> workers_;
  std::vector<Scratch> scratch_;
  Block<Share> shares_;  // threads_ of them

  // The job.
  alignas(kCacheLine) std::atomic<uint64_t> job_{0};
  std::atomic<size_t> tiles_{0};
  std::atomic<Call> call_{nullptr};
  std::atomic<void*> context_{nullptr};
  alignas(kCacheLine) std::atomic<size_t> done_{0};

  // Sleep, for those who have waited long.
  alignas(kCacheLine) std::atomic<int> sleepers_{0};  // of those that are to compute
  std::atomic<bool> callerSleeps_{false};
  std::atomic<bool> closing_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable finished_;
};

// While it lives, this thread flushes denormal numbers to zero, operands and results; then as it was before. Denormals
// cost a hundred times a normal product, and no training has ever needed them.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t before_;
};

// A name for this thread, seen in debuggers and top.
void nameThread(const char* name);

}  // namespace downhill
