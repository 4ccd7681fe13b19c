// The pool: every tile once, whoever is asleep; and the gate: fair, and never two where one may be.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "gate.h"
#include "test.h"
#include "threads.h"

namespace downhill {

TEST(poolCallsEachTileOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    Pool pool(threads);
    for (const size_t tiles : {0, 1, 2, 5, 64, 1000}) {
      std::vector<int> calls(tiles);
      pool.parallel(tiles, [&](size_t tile, int worker) {
        ++calls[tile];
        if (worker < 0 || worker >= threads) calls[tile] = -1000;
      });
      for (const int count : calls) CHECK(count == 1);
    }
  }
}

// Jobs of few tiles after each other, so that late workers meet the next job while they look for the last.
TEST(poolRunsManyShortJobs) {
  Pool pool(3);
  uint64_t sum = 0;
  for (uint64_t job = 0; job < 20000; ++job) {
    uint64_t parts[5] = {};
    const size_t tiles = 2 + job % 4;
    pool.parallel(tiles, [&](size_t tile, int) { parts[tile] += job + tile; });
    uint64_t expected = 0;
    for (size_t tile = 0; tile < tiles; ++tile) expected += job + tile;
    for (const uint64_t part : parts) sum += part;
    sum -= expected;
  }
  CHECK(sum == 0);
}

TEST(poolWakesSleepers) {
  Pool pool(2);
  for (int i = 0; i < 20; ++i) {
    std::atomic<int> done{0};
    pool.parallel(8, [&](size_t, int) { ++done; });
    CHECK(done == 8);
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // longer than a worker spins
  }
}

TEST(poolScratchBelongsToItsWorker) {
  Pool pool(2);
  float* const first = pool.scratch(0, 100);
  float* const second = pool.scratch(1, 100);
  CHECK(first != nullptr && second != nullptr && first != second);
  CHECK(pool.scratch(0, 50) == first);
  first[99] = 1;
}

TEST(denormalsAreFlushedWhileAsked) {
  volatile float tiny = 1e-30f;
  CHECK(tiny * 1e-10f != 0);
  {
    const FlushDenormals flush;
    CHECK(tiny * 1e-10f == 0);
  }
  CHECK(tiny * 1e-10f != 0);
}

TEST(gateKeepsChangesWhole) {
  Gate gate;
  int a = 0, b = 0;  // equal whenever nobody changes them
  std::atomic<bool> isOver{false};
  std::atomic<int> torn{0};
  std::thread trainer([&] {
    while (!isOver) {
      const Alone alone(gate);
      ++a;
      ++b;
    }
  });
  std::thread reader([&] {
    while (!isOver) {
      const Shared shared(gate);
      if (a != b) ++torn;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const Shared shared(gate);
    if (a != b) ++torn;
  }
  isOver = true;
  trainer.join();
  reader.join();
  CHECK(torn == 0);
}

// The trainer passes the gate again and again; a reader that comes waits for one passage, not for a pause.
TEST(gateLetsReadersInAfterOneUpdate) {
  Gate gate;
  std::atomic<int> updates{0};
  std::atomic<bool> isOver{false};
  std::thread trainer([&] {
    while (!isOver) {
      const Alone alone(gate);
      ++updates;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  while (updates == 0) std::this_thread::yield();
  int most = 0;
  for (int i = 0; i < 20; ++i) {
    const int before = updates;
    const Shared shared(gate);
    most = std::max(most, updates - before);
  }
  isOver = true;
  trainer.join();
  CHECK(most <= 2);  // the one that was under way, and one that was first in the queue
}

TEST(gateLetsReadersInTogether) {
  Gate gate;
  std::atomic<int> inside{0};
  std::atomic<bool> wereTwo{false};
  const auto read = [&] {
    const Shared shared(gate);
    ++inside;
    for (int i = 0; i < 1000 && !wereTwo; ++i) {
      if (inside == 2) wereTwo = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    --inside;
  };
  std::thread one(read), two(read);
  one.join();
  two.join();
  CHECK(wereTwo);
}

}  // namespace downhill
