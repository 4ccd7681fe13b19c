#include "threads.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <system_error>

#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace downhill {
namespace {

// How long a waiting thread spins before it sleeps. Longer than the gaps between the layers of a small net, shorter
// than anybody sees in top. Waking a sleeper costs about as much.
constexpr auto kSpin = std::chrono::microseconds(20);

void relax() {
#if defined(__SSE2__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `ready()` or until kSpin has passed; returns which.
template <class F>
bool spin(F&& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

constexpr uint64_t tileOf(uint64_t ticket) { return ticket & 0xffffffffu; }
constexpr uint64_t kClosed = 0xffffffffu;

}  // namespace

Pool::Pool(int threads)
    : threads_(threads < 1 ? 1 : threads), using_(threads_), scratch_(static_cast<size_t>(threads_)) {}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Pool::start() {
  shares_ = allocate<Share>(static_cast<size_t>(threads_));  // zeros are what an atomic of 0 is made of
  try {
    workers_.reserve(static_cast<size_t>(threads_ - 1));
    while (shares_ != nullptr && workers_.size() + 1 < static_cast<size_t>(threads_)) {
      const int worker = static_cast<int>(workers_.size()) + 1;
      workers_.emplace_back([this, worker] { serve(worker); });
    }
  } catch (const std::system_error&) {
  }
}

void Pool::use(int threads) {
  const int count = std::clamp(threads, 1, threads_);
  if (count == using_.load(std::memory_order_relaxed)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  using_.store(count, std::memory_order_relaxed);
  countSleepers();
}

// Under the mutex.
void Pool::countSleepers() {
  int count = 0;
  if (shares_ != nullptr)
    for (int i = 1; i < threads(); ++i) count += shares_[i].sleeps ? 1 : 0;
  sleepers_.store(count, std::memory_order_seq_cst);
}

void Pool::share(size_t tiles, Call call, void* context) {
  if (workers_.empty()) start();
  if (workers_.empty()) {  // none to be had
    for (size_t tile = 0; tile < tiles; ++tile) call(context, tile, 0);
    return;
  }
  const uint64_t job = job_.load(std::memory_order_relaxed) + 1;
  // First tickets that nobody can take: whoever still looks at the last job and reads of the new one below must not
  // find that job's last ticket unchanged.
  for (int i = 0; i < threads_; ++i) shares_[i].ticket.store(job << 32 | kClosed, std::memory_order_relaxed);
  tiles_.store(tiles, std::memory_order_release);
  call_.store(call, std::memory_order_release);
  context_.store(context, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  const auto count = static_cast<size_t>(threads());
  for (size_t i = 0; i < count; ++i) {
    shares_[i].end.store(tiles * (i + 1) / count, std::memory_order_release);
    shares_[i].ticket.store(job << 32 | tiles * i / count, std::memory_order_release);
  }
  job_.store(job, std::memory_order_seq_cst);  // before the look at sleepers_, as they look the other way round
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  while (work(0)) {
  }
  const auto isDone = [&] { return done_.load(std::memory_order_acquire) == tiles; };
  if (spin(isDone)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  callerSleeps_.store(true, std::memory_order_seq_cst);
  finished_.wait(lock, [&] { return done_.load(std::memory_order_seq_cst) == tiles; });
  callerSleeps_.store(false, std::memory_order_relaxed);
}

// Takes one tile, of the worker's own share or else of the next that has any, and computes it; false if there is none.
bool Pool::work(int worker) {
  const int count = threads();
  for (int i = 0; i < count; ++i) {
    Share& share = shares_[(worker + i) % count];
    uint64_t ticket = share.ticket.load(std::memory_order_acquire);
    for (;;) {
      const uint64_t end = share.end.load(std::memory_order_acquire);
      const size_t tiles = tiles_.load(std::memory_order_acquire);
      const Call call = call_.load(std::memory_order_acquire);
      void* const context = context_.load(std::memory_order_acquire);
      if (tileOf(ticket) >= end) break;
      if (!share.ticket.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
        continue;
      }
      call(context, tileOf(ticket), worker);
      if (done_.fetch_add(1, std::memory_order_seq_cst) + 1 == tiles && callerSleeps_.load(std::memory_order_seq_cst)) {
        { std::lock_guard<std::mutex> lock(mutex_); }
        finished_.notify_one();
      }
      return true;
    }
  }
  return false;
}

void Pool::serve(int worker) {
  char name[16];
  std::snprintf(name, sizeof name, "downhill-%d", worker % 1000);
  nameThread(name);
  const FlushDenormals flush;
  uint64_t seen = 0;
  const auto hasNews = [&] {
    const bool isNew = worker < threads() && job_.load(std::memory_order_seq_cst) != seen;
    return isNew || closing_.load(std::memory_order_relaxed);
  };
  const auto sleeps = [&](bool does) {
    shares_[worker].sleeps = does;
    countSleepers();
  };
  while (!closing_.load(std::memory_order_relaxed)) {
    if (!spin(hasNews)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeps(true);
      wake_.wait(lock, hasNews);
      sleeps(false);
    }
    seen = job_.load(std::memory_order_acquire);
    while (work(worker)) {
    }
  }
}

float* Pool::scratch(int worker, size_t floats) {
  Scratch& own = scratch_[static_cast<size_t>(worker)];
  if (own.size < floats) {
    own.floats.reset();
    own.floats = allocate<float>(floats);
    own.size = own.floats ? floats : 0;
  }
  return own.floats.get();
}

#if defined(__SSE2__) || defined(_M_X64)
FlushDenormals::FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(static_cast<unsigned>(before_) | 0x8040u); }
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(before_)); }
#elif defined(__aarch64__)
FlushDenormals::FlushDenormals() {
  asm volatile("mrs %0, fpcr" : "=r"(before_));
  asm volatile("msr fpcr, %0" ::"r"(before_ | (uint64_t{1} << 24)));
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }
#else
FlushDenormals::FlushDenormals() : before_(0) {}
FlushDenormals::~FlushDenormals() { (void)before_; }
#endif

void nameThread(const char* name) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
  pthread_setname_np(name);
#else
  (void)name;
#endif
}

}  // namespace downhill
