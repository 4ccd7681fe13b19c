#include "engine.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <system_error>

namespace downhill {
namespace {

// A sync run has nobody who could stop it.
const std::atomic<Stop> kNeverStopped{Stop::no};

}  // namespace

std::shared_ptr<const Table> copyTable(const Source& from, const float* y, const double* y64) {
  auto table = std::make_shared<Table>();
  table->source = from;
  const size_t n = from.rows * from.columns;
  if (from.kind == Source::Kind::bytes) {
    table->xBytes = allocate<uint8_t>(n);
    if (table->xBytes == nullptr) return nullptr;
    std::memcpy(table->xBytes.get(), from.x, n);
    table->source.x = table->xBytes.get();
  } else {
    table->x = allocate<float>(n);
    if (table->x == nullptr) return nullptr;
    const auto copy = [&](const auto* x) {
      for (size_t i = 0; i < n; ++i) table->x[i] = static_cast<float>(x[i] * from.scale);
    };
    if (from.kind == Source::Kind::float64) {
      copy(static_cast<const double*>(from.x));
    } else {
      copy(static_cast<const float*>(from.x));
    }
    table->source.x = table->x.get();
    table->source.kind = Source::Kind::float32;
    table->source.scale = 1;
  }
  if (from.weights != nullptr) {
    table->weights = allocate<double>(from.rows);
    if (table->weights == nullptr) return nullptr;
    std::memcpy(table->weights.get(), from.weights, from.rows * sizeof(double));
    table->source.weights = table->weights.get();
  }
  if (y == nullptr && y64 == nullptr) return table;
  const size_t m = from.rows * from.targets;
  table->y = allocate<float>(m);
  if (table->y == nullptr) return nullptr;
  for (size_t i = 0; i < m; ++i) table->y[i] = y64 != nullptr ? static_cast<float>(y64[i]) : y[i];
  table->source.y = table->y.get();
  return table;
}

size_t Table::bytes() const {
  const size_t entry = source.kind == Source::Kind::bytes ? sizeof(uint8_t) : sizeof(float);
  return source.rows * source.columns * entry + (y == nullptr ? 0 : source.rows * source.targets * sizeof(float)) +
         (weights == nullptr ? 0 : source.rows * sizeof(double));
}

std::shared_ptr<Engine> Engine::load(EncodedPlan plan, int threads, const Engine* parametersOf, std::string& error) {
  std::shared_ptr<Engine> engine(new Engine(std::move(plan), threads));
  const EncodedPlan& given = engine->plan_;
  if (parametersOf != nullptr) {
    engine->parameters_ = parametersOf->parameters_;
    if (engine->parameters_ == nullptr || engine->parameters_->count != given.parameters) {
      error = "the engine to share with has other parameters";
      return nullptr;
    }
  } else {
    engine->parameters_ = std::make_shared<Parameters>();
    engine->parameters_->count = given.parameters;
    engine->parameters_->floats = allocate<float>(given.parameters);
  }
  const size_t rest = given.length - given.parameters;
  engine->own_ = allocate<float>(rest);
  if (engine->parameters_->floats == nullptr || engine->own_ == nullptr) {
    error = kOutOfMemory;
    return nullptr;
  }
  const Arena arena{{engine->parameters_->floats.get(), given.parameters}, {engine->own_.get(), rest}};
  for (size_t i = 0; i < kProgramCount && error.empty(); ++i) {
    error = loadProgram(given, given.programs[i], arena, engine->programs_[i]);
  }
  if (!error.empty()) return nullptr;
  return engine;
}

size_t Engine::bytes() const { return isClosed_ ? 0 : plan_.length * sizeof(float); }

Machine Engine::machine(size_t program, const std::atomic<Stop>& stop) {
  return {pool_, paces_[program], programs_[program], plan_.capacity, gate_, parameters_->gate, stop};
}

template <class Use, class F>
void Engine::eachPart(size_t at, size_t count, F&& fn) {
  const size_t shared = at < plan_.parameters ? std::min(count, plan_.parameters - at) : 0;
  const size_t own = count - shared;
  std::optional<Use> memory, parameters;
  if (own > 0) memory.emplace(gate_);
  if (shared > 0) parameters.emplace(parameters_->gate);
  if (shared > 0) fn(parameters_->floats.get() + at, 0, shared);
  if (own > 0) fn(own_.get() + (at + shared - plan_.parameters), shared, own);
}

void Engine::read(size_t at, size_t count, float* to) {
  eachPart<Shared>(at, count, [to](const float* floats, size_t place, size_t n) {
    std::memcpy(to + place, floats, n * sizeof(float));
  });
}

void Engine::write(size_t at, size_t count, const float* from) {
  eachPart<Alone>(at, count, [from](float* floats, size_t place, size_t n) {
    std::memcpy(floats, from + place, n * sizeof(float));
  });
}

void Engine::clear(size_t at, size_t count) {
  eachPart<Alone>(at, count, [](float* floats, size_t, size_t n) { std::memset(floats, 0, n * sizeof(float)); });
}

std::string Engine::check(const Slice& slice, const Source& source) const {
  return checkSlice(slice, programs_[slice.program], source, plan_);
}

Report Engine::run(const Slice& slice, const Source& source) {
  return runSlice(machine(slice.program, kNeverStopped), slice, source);
}

bool Engine::predict(const Source& source, float* output) {
  return downhill::predict(machine(kPredict, kNeverStopped), source, output);
}

bool Engine::start(Slice slice, std::shared_ptr<const Table> table, std::function<void(Report&&)> done) {
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { serve(); });
    } catch (const std::system_error&) {
      return false;
    }
  }
  if (!slice.follows) stop_ = Stop::no;
  unended_.fetch_add(1, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_back(Job{std::move(slice), std::move(table), std::move(done)});
  }
  news_.notify_one();
  return true;
}

void Engine::serve() {
  nameThread("downhill");
  bool endedEarly = false;
  for (;;) {
    Job job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      news_.wait(lock, [&] { return isEnding_ || !jobs_.empty(); });
      if (jobs_.empty()) return;  // jobs given before the end are answered, if only with a report of no step
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    Report report;
    if (job.slice.follows && endedEarly) {
      report.stopped = Stopped::asked;
    } else {
      try {
        report = runSlice(machine(job.slice.program, stop_), job.slice, job.table->source);
      } catch (const std::bad_alloc&) {
        report.isOutOfMemory = true;
      }
    }
    endedEarly = report.stopped != Stopped::no || report.isOutOfMemory;
    job.table.reset();
    unended_.fetch_sub(1, std::memory_order_release);
    job.done(std::move(report));
  }
}

void Engine::stop(Stop how) {
  Stop current = stop_.load();
  while (current < how && !stop_.compare_exchange_weak(current, how)) {
  }
}

void Engine::close() {
  stop(Stop::now);
  if (thread_.joinable()) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      isEnding_ = true;
    }
    news_.notify_one();
    thread_.join();
  }
  if (isClosed_) return;
  isClosed_ = true;
  own_.reset();
  parameters_.reset();
}

}  // namespace downhill
