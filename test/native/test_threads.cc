// The pool: every tile once, whoever is asleep; the pace: fewer threads only where they are faster; and the gate: fair,
// and never two where one may be.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "gate.h"
#include "pace.h"
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

TEST(poolUsesItsThreads) {
  Pool pool(3);
  std::atomic<int> seen{0};
  for (int i = 0; i < 100 && seen != 7; ++i) {
    pool.parallel(30, [&](size_t, int worker) {
      seen |= 1 << worker;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    });
  }
  CHECK(seen == 7);
}

// Whoever is not to compute does not, and does again when asked.
TEST(poolUsesAsManyAsAsked) {
  Pool pool(4);
  for (const int threads : {4, 2, 1, 3, 9, 0, 4, 2}) {
    pool.use(threads);
    const int count = std::max(1, std::min(threads, 4));
    CHECK(pool.threads() == count && pool.most() == 4);
    std::atomic<int> calls{0}, beyond{0};
    for (int job = 0; job < 50; ++job) {
      pool.parallel(8, [&](size_t, int worker) {
        ++calls;
        // One that was late for the last job may take a tile of the first.
        if (worker >= count && job > 10) ++beyond;
        std::this_thread::sleep_for(std::chrono::microseconds(5));
      });
    }
    CHECK(calls == 400 && beyond == 0);
  }
}

TEST(poolSleepsWhileNobodyAsks) {
  const auto used = [] {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  Pool pool(3);
  pool.parallel(8, [](size_t, int) {});
  const double before = used();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(used() - before < 0.05);
}

// ---- The pace: a machine that is made up says how long a step takes.

// Steps of each number of threads out of `steps`, the last of which took seconds(threads).
template <class F>
std::vector<int> paced(Pace& pace, int steps, F&& seconds) {
  std::vector<int> counts(17);
  for (int i = 0; i < steps; ++i) {
    ++counts[static_cast<size_t>(pace.threads())];
    pace.took(seconds(pace.threads()));
  }
  return counts;
}

TEST(paceKeepsAllThreadsThatHelp) {
  for (const int most : {2, 3, 4, 16}) {
    Pace pace(most);
    const auto counts = paced(pace, 10000, [](int threads) { return 1e-4 / threads; });
    CHECK(counts[static_cast<size_t>(most)] >= 9700);
  }
}

TEST(paceFindsTheFastestNumber) {
  for (const double best : {1, 2, 4, 8, 16}) {
    Pace pace(16);
    const auto counts = paced(pace, 10000, [best](int threads) { return 1e-5 * (threads + best * best / threads); });
    CHECK(counts[static_cast<size_t>(best)] >= 9000);
  }
}

TEST(paceFollowsTheMachine) {
  Pace pace(2);
  paced(pace, 5000, [](int threads) { return threads == 1 ? 2e-4 : 1e-4; });
  const auto slow = paced(pace, 5000, [](int threads) { return threads == 1 ? 2e-4 : 2.3e-4; });
  CHECK(slow[1] >= 4000);
  const auto fast = paced(pace, 5000, [](int threads) { return threads == 1 ? 2e-4 : 1e-4; });
  CHECK(fast[2] >= 4500);
}

// A tenth of the steps take ten times as long, whoever computes them.
TEST(paceIsNotMisledByDisturbances) {
  Pace pace(2);
  int i = 0;
  const auto counts = paced(
      pace, 10000, [&i](int threads) { return (++i * 7919 % 10 == 0 ? 10 : 1) * (threads == 1 ? 1.8e-4 : 1e-4); });
  CHECK(counts[2] >= 9700);
}

TEST(paceLeavesLongStepsAlone) {
  Pace pace(4);
  CHECK(paced(pace, 1000, [](int) { return 5e-3; })[4] == 1000);
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
