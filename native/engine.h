// An engine: one loaded plan, the memory it works on, and a thread of its own for slices that should not be waited for.
//
// The memory is this engine's, not JavaScript's; the parameter block at its start may be shared with other engines. Not
// thread-safe from outside: one thread calls, and the engine's own thread runs slices meanwhile, one after the other.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "plan.h"

namespace downhill {

// Data copied for engines to read; several may, on several threads.
struct Table {
  Block<float> x;
  Block<uint8_t> xBytes;
  Block<float> y;
  Block<double> weights;
  Source source;
  size_t bytes() const;
};

// What Engine::load says when that is the fault.
constexpr const char* kOutOfMemory = "out of memory";

// Copies x of `from`, floats scaled once and kept as float32, bytes as they are; its weights; and the targets, of
// either kind of float or none. Null if there is no memory.
std::shared_ptr<const Table> copyTable(const Source& from, const float* y, const double* y64 = nullptr);

class Engine {
 public:
  // An engine with its arena zeroed. With `parametersOf`, the parameter block is that engine's. On a fault null, and
  // `error` says which.
  static std::shared_ptr<Engine> load(EncodedPlan plan, int threads, const Engine* parametersOf, std::string& error);
  ~Engine() { close(); }

  const EncodedPlan& plan() const { return plan_; }
  // Bytes of memory that are this engine's.
  size_t bytes() const;
  bool isClosed() const { return isClosed_; }
  // Whether a slice given to `start` has not ended yet.
  bool isRunning() const { return unended_.load(std::memory_order_acquire) > 0; }

  // Copies from or to the arena; a range inside [0, length).
  void read(size_t at, size_t count, float* to);
  void write(size_t at, size_t count, const float* from);
  void clear(size_t at, size_t count);

  // Why a slice cannot be run on this data, as a sentence; empty if it can.
  std::string check(const Slice& slice, const Source& source) const;
  // On this thread.
  Report run(const Slice& slice, const Source& source);
  // On the engine's thread, behind those started before; it calls `done` with the report as the last thing it does.
  // False if the system grants no thread. While a slice is running only one that follows it.
  bool start(Slice slice, std::shared_ptr<const Table> table, std::function<void(Report&&)> done);
  // False, and any output, if x is not checked and holds a value that is not finite.
  bool predict(const Source& source, float* output);

  const Program& program(size_t number) const { return programs_[number]; }

  // Asks a running slice to end: after its step, or before its next chunk.
  void stop(Stop how);
  // Ends a running slice before its next chunk, the thread, and the memory.
  void close();

 private:
  struct Parameters {
    Block<float> floats;
    size_t count = 0;
    Gate gate;
  };
  struct Job {
    Slice slice;
    std::shared_ptr<const Table> table;
    std::function<void(Report&&)> done;
  };

  Engine(EncodedPlan plan, int threads)
      : plan_(std::move(plan)), pool_(threads), paces_(kProgramCount, Pace(pool_.most())) {}
  Machine machine(size_t program, const std::atomic<Stop>& stop);
  void serve();
  // Calls fn(floats, place in the range, count) with the part of [at, at + count) in the parameter block and with the
  // part behind it, each of them held as Use does.
  template <class Use, class F>
  void eachPart(size_t at, size_t count, F&& fn);

  EncodedPlan plan_;
  std::shared_ptr<Parameters> parameters_;
  Block<float> own_;
  Program programs_[kProgramCount];
  Gate gate_;  // of own_, of pool_ and of paces_
  Pool pool_;
  std::vector<Pace> paces_;  // of each program
  bool isClosed_ = false;

  std::atomic<Stop> stop_{Stop::no};
  std::atomic<int> unended_{0};
  std::mutex mutex_;  // of what follows
  std::condition_variable news_;
  std::deque<Job> jobs_;
  bool isEnding_ = false;
  std::thread thread_;
};

}  // namespace downhill
