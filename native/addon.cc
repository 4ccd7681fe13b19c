// The border with Node: what the addon exports, argument checks, threads' way back. With border.h, which it alone
// includes, it is all that knows Node; it computes nothing.
//
// Threads and JavaScript meet in one place, the Host. What a thread has done is put down there under the Host's mutex,
// and a threadsafe function carries its number to JavaScript, nothing that could be freed twice. At the end of an
// environment (process.exit, worker.terminate) Node runs cleanup hooks last in first out: ours, registered after the
// threadsafe function was made, shuts the Host, stops the slices and joins their threads before anything they need
// goes.
//
// Plain N-API, every status looked at. An environment may end in the middle of any call of ours, and from then on Node
// refuses to unwrap an object, to make one, to throw: such a call gives up quietly. (A layer that turns each refusal
// into an exception ends the process there: node-addon-api does, when a worker is terminated while it calls us.)

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "blas.h"
#include "border.h"
#include "cpu.h"
#include "engine.h"

namespace downhill {
namespace {

// ------------------------------------------------------------------------------------------------- host

// Where slices on threads of their own are kept account of; one an environment.
class Host {
 public:
  explicit Host(napi_env env) : env_(env) {}
  static Host* of(napi_env env) {
    void* host = nullptr;
    return napi_get_instance_data(env, &host) == napi_ok ? static_cast<Host*>(host) : nullptr;
  }

  // Who hears of slices that have ended: settle(number, report | null for want of memory).
  bool listen(napi_value settle);
  // A slice for the engine's own thread. False if there is no thread to be had.
  bool start(uint32_t id, const std::shared_ptr<Engine>& engine, Slice slice, std::shared_ptr<const Table> table);

 private:
  static void settle(napi_env env, napi_value callback, void* context, void* data);
  static void close(void* host);
  static void closeAtExit();

  // This thread's, while it listens.
  static inline thread_local Host* ofThread = nullptr;

  struct Job {
    std::shared_ptr<Engine> engine;  // kept until it is settled, and so never let go on its own thread
    Report report;
  };

  const napi_env env_;
  napi_threadsafe_function call_ = nullptr;
  std::mutex mutex_;  // of what follows, and of every use of call_ on another thread
  bool isClosed_ = false;
  std::map<uint32_t, Job> jobs_;
};

bool Host::listen(napi_value settle) {
  if (call_ != nullptr) return false;
  const napi_value name = newString(env_, "downhill");
  if (name == nullptr || napi_create_threadsafe_function(env_, settle, nullptr, name, 0, 1, nullptr, nullptr, this,
                                                         Host::settle, &call_) != napi_ok) {
    return false;
  }
  static const int isRegistered = std::atexit(closeAtExit);
  (void)isRegistered;
  ofThread = this;
  // Idle, it keeps no process alive. The hook comes after it, to run before Node's own for it.
  return napi_unref_threadsafe_function(env_, call_) == napi_ok &&
         napi_add_env_cleanup_hook(env_, Host::close, this) == napi_ok;
}

bool Host::start(uint32_t id, const std::shared_ptr<Engine>& engine, Slice slice, std::shared_ptr<const Table> table) {
  if (call_ == nullptr) return false;
  const auto forget = [&] {
    jobs_.erase(id);
    if (jobs_.empty()) napi_unref_threadsafe_function(env_, call_);
  };
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (jobs_.empty()) napi_ref_threadsafe_function(env_, call_);
    jobs_[id].engine = engine;
  }
  const bool isStarted = engine->start(std::move(slice), std::move(table), [this, id](Report&& report) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (isClosed_) return;
    jobs_[id].report = std::move(report);
    napi_call_threadsafe_function(call_, reinterpret_cast<void*>(static_cast<uintptr_t>(id)), napi_tsfn_nonblocking);
  });
  if (isStarted) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  forget();
  return false;
}

// On JavaScript's thread. When the environment has ended Node empties the queue through here once more, without an env:
// then there is nobody to tell, and the Host may be gone.
void Host::settle(napi_env env, napi_value callback, void* context, void* data) {
  if (env == nullptr || callback == nullptr) return;
  auto* host = static_cast<Host*>(context);
  const auto id = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data));
  Job job;
  {
    const std::lock_guard<std::mutex> lock(host->mutex_);
    const auto found = host->jobs_.find(id);
    if (found == host->jobs_.end()) return;
    job = std::move(found->second);
    host->jobs_.erase(found);
    if (host->jobs_.empty()) napi_unref_threadsafe_function(env, host->call_);
  }
  const napi_value report = job.report.isOutOfMemory ? newNull(env) : newReport(env, job.report);
  const napi_value arguments[] = {newNumber(env, id), report};
  napi_value undefined = nullptr;
  if (napi_get_undefined(env, &undefined) != napi_ok || report == nullptr || arguments[0] == nullptr) return;
  napi_call_function(env, undefined, callback, 2, arguments, nullptr);
}

// The cleanup hook.
void Host::close(void* data) {
  auto* host = static_cast<Host*>(data);
  ofThread = nullptr;
  std::map<uint32_t, Job> jobs;
  {
    const std::lock_guard<std::mutex> lock(host->mutex_);
    host->isClosed_ = true;
    jobs.swap(host->jobs_);
  }
  for (auto& job : jobs) job.second.engine->stop(Stop::now);
  for (auto& job : jobs) job.second.engine->close();
}

// On the thread that ends the process. Environments of other threads are Node's to end.
void Host::closeAtExit() {
  if (ofThread != nullptr) close(ofThread);
}

// ------------------------------------------------------------------------------------------------- data

// A copied table as JavaScript holds it.
class Data {
 public:
  static constexpr napi_type_tag tag = {0x7d6f1c0e5a9b4d21, 0x9f3e8a7c1b2d4e60};

  // new Data(x, rows, columns, scale, y | null, targets, weights | null)
  static std::unique_ptr<Data> create(const Call& call);
  static napi_value define(napi_env env) {
    return newClass<Data>(env, "Data", {describe<Data, &Data::release>("release")});
  }

  const std::shared_ptr<const Table>& table() const { return table_; }
  void weigh(napi_env env) { weight_.set(env, table_ == nullptr ? 0 : table_->bytes()); }

 private:
  napi_value release(const Call& call) {
    table_.reset();
    weigh(call.env);
    return nullptr;
  }

  std::shared_ptr<const Table> table_;
  Weight weight_;
};

std::unique_ptr<Data> Data::create(const Call& call) {
  const napi_env env = call.env;
  Source source;
  View x, y, weights;
  const bool hasY = typeOf(env, call[4]) != napi_null;
  const bool hasWeights = typeOf(env, call[6]) != napi_null;
  if (!readEntries(env, call[0], x, source.kind) || !readSize(env, call[1], source.rows) ||
      !readSize(env, call[2], source.columns) || !readNumber(env, call[3], source.scale) ||
      (hasY && !(readView(env, call[4], y) && y.isFloats())) || !readSize(env, call[5], source.targets) ||
      (hasWeights && !readView(env, call[6], napi_float64_array, weights))) {
    fail(env, "data of wrong kinds");
    return nullptr;
  }
  if (!isTable(x.length, source.rows, source.columns) || (hasY && !isTable(y.length, source.rows, source.targets)) ||
      (hasWeights && weights.length != source.rows)) {
    fail(env, "data of another size than it says");
    return nullptr;
  }
  source.x = x.data;
  if (hasWeights) source.weights = static_cast<const double*>(weights.data);
  auto data = std::make_unique<Data>();
  data->table_ = copyTable(source, hasY && y.type == napi_float32_array ? static_cast<const float*>(y.data) : nullptr,
                           hasY && y.type == napi_float64_array ? static_cast<const double*>(y.data) : nullptr);
  if (data->table_ != nullptr) return data;
  failForMemory(env);
  return nullptr;
}

// ------------------------------------------------------------------------------------------------- engine

// { keys, inputs, targets, capacity, length, parameters, programs: { train: { chunk, step, outputAt, columns }, … } }
bool readPlan(napi_env env, napi_value value, EncodedPlan& plan) {
  const Properties from(env, value);
  if (typeOf(env, value) != napi_object || !from.read("inputs", plan.inputs) || !from.read("targets", plan.targets) ||
      !from.read("capacity", plan.capacity) || !from.read("length", plan.length) ||
      !from.read("parameters", plan.parameters) || !from.read("keys", plan.keys)) {
    return false;
  }
  const napi_value programs = from.get("programs");
  if (typeOf(env, programs) != napi_object) return false;
  for (size_t i = 0; i < kProgramCount; ++i) {
    const napi_value program = Properties(env, programs).get(kPrograms[i]);
    if (typeOf(env, program) == napi_undefined) continue;
    if (typeOf(env, program) != napi_object) return false;
    const Properties parts(env, program);
    EncodedProgram& to = plan.programs[i];
    to.isThere = true;
    if (!parts.read("chunk", to.chunk) || !parts.read("step", to.step) || !parts.read("outputAt", to.outputAt) ||
        !parts.read("columns", to.columns)) {
      return false;
    }
  }
  return true;
}

class EngineObject {
 public:
  static constexpr napi_type_tag tag = {0x2b8c4f1a6e7d4903, 0xa4d5c6b7e8f90123};

  // new Engine(plan, threads, parametersOf | undefined)
  static std::unique_ptr<EngineObject> create(const Call& call);
  static napi_value define(napi_env env);

  void weigh(napi_env env) { weight_.set(env, engine_ == nullptr ? 0 : engine_->bytes()); }

 private:
  // (at, length) → Float32Array
  napi_value read(const Call& call);
  // (at, Float32Array)
  napi_value write(const Call& call);
  napi_value clear(const Call& call);
  // (program, data, rows | null, pass, batch, start, learningRate, step, seed, steps) → report
  napi_value run(const Call& call);
  // The same, the number under which it is settled, and whether it follows the slice before.
  napi_value start(const Call& call);
  // (x, rows, scale) → Float32Array
  napi_value predict(const Call& call);
  // (whether in the middle of a step)
  napi_value stop(const Call& call);
  napi_value close(const Call& call);

  bool isOpen(const Call& call) const {
    if (engine_ == nullptr) fail(call.env, "the engine is closed");
    return engine_ != nullptr;
  }
  bool isInside(size_t at, size_t length) const {
    return at <= engine_->plan().length && length <= engine_->plan().length - at;
  }
  bool readRange(const Call& call, size_t& at, size_t& length) const;
  bool readSlice(const Call& call, Slice& slice, std::shared_ptr<const Table>& table) const;

  std::shared_ptr<Engine> engine_;
  Weight weight_;
};

napi_value EngineObject::define(napi_env env) {
  return newClass<EngineObject>(
      env, "Engine",
      {describe<EngineObject, &EngineObject::read>("read"), describe<EngineObject, &EngineObject::write>("write"),
       describe<EngineObject, &EngineObject::clear>("clear"), describe<EngineObject, &EngineObject::run>("run"),
       describe<EngineObject, &EngineObject::start>("start"), describe<EngineObject, &EngineObject::predict>("predict"),
       describe<EngineObject, &EngineObject::stop>("stop"), describe<EngineObject, &EngineObject::close>("close")});
}

std::unique_ptr<EngineObject> EngineObject::create(const Call& call) {
  const napi_env env = call.env;
  EncodedPlan plan;
  size_t threads = 0;
  const Engine* parametersOf = nullptr;
  std::string error;
  if (typeOf(env, call[2]) != napi_undefined) {
    const auto* other = unwrap<EngineObject>(env, call[2]);
    if (other == nullptr || other->engine_ == nullptr) error = "parametersOf is no open engine";
    if (error.empty()) parametersOf = other->engine_.get();
  }
  if (!readSize(env, call[1], threads) || threads < 1) error = "no number of threads";
  if (!readPlan(env, call[0], plan)) error = "not a plan";
  auto object = std::make_unique<EngineObject>();
  if (error.empty()) {
    const int most = static_cast<int>(std::min<size_t>(threads, kMostThreads));
    object->engine_ = Engine::load(std::move(plan), most, parametersOf, error);
  }
  if (error.empty()) return object;
  if (error == kOutOfMemory) {
    failForMemory(env);
  } else {
    fail(env, error);
  }
  return nullptr;
}

bool EngineObject::readRange(const Call& call, size_t& at, size_t& length) const {
  if (readSize(call.env, call[0], at) && readSize(call.env, call[1], length) && isInside(at, length)) return true;
  fail(call.env, "a range outside the arena");
  return false;
}

napi_value EngineObject::read(const Call& call) {
  size_t at = 0, length = 0;
  float* entries = nullptr;
  if (!isOpen(call) || !readRange(call, at, length)) return nullptr;
  const napi_value array = newFloats(call.env, length, &entries);
  if (array != nullptr) engine_->read(at, length, entries);
  return array;
}

napi_value EngineObject::write(const Call& call) {
  size_t at = 0;
  View values;
  if (!isOpen(call)) return nullptr;
  if (!readSize(call.env, call[0], at) || !readView(call.env, call[1], napi_float32_array, values) ||
      !isInside(at, values.length)) {
    return fail(call.env, "a range outside the arena, or values that are no Float32Array");
  }
  if (engine_->isRunning()) return fail(call.env, "a write during a slice");
  engine_->write(at, values.length, static_cast<const float*>(values.data));
  return nullptr;
}

napi_value EngineObject::clear(const Call& call) {
  size_t at = 0, length = 0;
  if (!isOpen(call) || !readRange(call, at, length)) return nullptr;
  if (engine_->isRunning()) return fail(call.env, "a write during a slice");
  engine_->clear(at, length);
  return nullptr;
}

bool EngineObject::readSlice(const Call& call, Slice& slice, std::shared_ptr<const Table>& table) const {
  const napi_env env = call.env;
  const auto* data = unwrap<Data>(env, call[1]);
  if (data == nullptr || data->table() == nullptr) {
    fail(env, "not data, or data that was released");
    return false;
  }
  table = data->table();
  View rows, rates;
  size_t seed = 0, step = 0;
  slice.hasRows = typeOf(env, call[2]) != napi_null;
  if (!readSize(env, call[0], slice.program) || slice.program >= kProgramCount ||
      (slice.hasRows && !readView(env, call[2], napi_uint32_array, rows)) || !readSize(env, call[3], slice.pass) ||
      !readSize(env, call[4], slice.batch) || !readSize(env, call[5], slice.start) ||
      !readView(env, call[6], napi_float64_array, rates) || !readSize(env, call[7], step) ||
      !readSize(env, call[8], seed) || !readSize(env, call[9], slice.steps)) {
    fail(env, "a slice of wrong kinds");
    return false;
  }
  slice.step = step;
  slice.seed = static_cast<uint32_t>(seed);
  const auto* rate = static_cast<const double*>(rates.data);
  slice.learningRate.assign(rate, rate + rates.length);
  const auto* row = static_cast<const uint32_t*>(rows.data);
  slice.rows.assign(row, row + rows.length);
  const std::string error = engine_->check(slice, table->source);
  if (!error.empty()) fail(env, error);
  return error.empty();
}

napi_value EngineObject::run(const Call& call) {
  Slice slice;
  std::shared_ptr<const Table> table;
  if (!isOpen(call) || !readSlice(call, slice, table)) return nullptr;
  return newReport(call.env, engine_->run(slice, table->source));
}

napi_value EngineObject::start(const Call& call) {
  Slice slice;
  std::shared_ptr<const Table> table;
  size_t id = 0;
  if (!isOpen(call) || !readSlice(call, slice, table)) return nullptr;
  if (!readSize(call.env, call[10], id) || id > UINT32_MAX ||
      napi_get_value_bool(call.env, call[11], &slice.follows) != napi_ok) {
    return fail(call.env, "a slice of wrong kinds");
  }
  if (engine_->isRunning() && !slice.follows) return fail(call.env, "a slice is running");
  Host* const host = Host::of(call.env);
  if (host == nullptr) return nullptr;
  if (!host->start(static_cast<uint32_t>(id), engine_, std::move(slice), std::move(table))) {
    return fail(call.env, "no thread to be had", "ERR_MEMORY");
  }
  return nullptr;
}

napi_value EngineObject::predict(const Call& call) {
  Source source;
  View x;
  float* entries = nullptr;
  if (!isOpen(call)) return nullptr;
  if (!readEntries(call.env, call[0], x, source.kind) || !readSize(call.env, call[1], source.rows) ||
      !readNumber(call.env, call[2], source.scale)) {
    return fail(call.env, "entries of wrong kinds");
  }
  const Program& program = engine_->program(kPredict);
  if (program.output == nullptr) return fail(call.env, "the plan has no program predict");
  source.columns = engine_->plan().inputs;
  if (!isTable(x.length, source.rows, source.columns)) return fail(call.env, "not rows of the plan's inputs");
  source.x = x.data;
  source.isChecked = false;
  const napi_value output = newFloats(call.env, source.rows * program.columns, &entries);
  return output == nullptr || engine_->predict(source, entries) ? output : newNull(call.env);
}

napi_value EngineObject::stop(const Call& call) {
  bool isNow = false;
  if (napi_get_value_bool(call.env, call[0], &isNow) != napi_ok) return fail(call.env, "not whether to stop now");
  if (engine_ != nullptr) engine_->stop(isNow ? Stop::now : Stop::afterStep);
  return nullptr;
}

napi_value EngineObject::close(const Call& call) {
  if (engine_ != nullptr) engine_->close();
  engine_.reset();
  weigh(call.env);
  return nullptr;
}

// ------------------------------------------------------------------------------------------------- module

// [{ key, scope, operands }]
napi_value newOps(napi_env env) {
  return newList(env, ops().size(), [&](size_t i) {
    const OpRow& row = ops()[i];
    const auto operand = [&](size_t j) { return newString(env, row.operands[j]); };
    return newObject(env, {{"key", newString(env, row.key)},
                           {"scope", newString(env, row.scope == Scope::chunk ? "chunk" : "step")},
                           {"operands", newList(env, row.operands.size(), operand)}});
  });
}

// listen(settle): once, before the first start.
napi_value listen(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Host* const host = Host::of(env);
  if (!call.isThere || host == nullptr) return nullptr;
  if (typeOf(env, call[0]) != napi_function || !host->listen(call[0])) return fail(env, "cannot listen");
  return nullptr;
}

napi_value initialize(napi_env env, napi_value exports) {
  const auto free = [](napi_env, void* host, void*) { delete static_cast<Host*>(host); };
  auto host = std::make_unique<Host>(env);
  if (napi_set_instance_data(env, host.get(), free, nullptr) != napi_ok) return nullptr;
  host.release();
  napi_value listenTo = nullptr;
  if (napi_create_function(env, "listen", NAPI_AUTO_LENGTH, listen, nullptr, &listenTo) != napi_ok) return nullptr;
  const std::pair<const char*, napi_value> all[] = {
      {"ops", newOps(env)},        {"blas", newString(env, blas().name)}, {"simd", newString(env, nameOf(simd()))},
      {"Data", Data::define(env)}, {"Engine", EngineObject::define(env)}, {"listen", listenTo}};
  for (const auto& [name, value] : all) {
    if (value == nullptr || napi_set_named_property(env, exports, name, value) != napi_ok) return nullptr;
  }
  return exports;
}

}  // namespace
}  // namespace downhill

NAPI_MODULE_INIT() { return downhill::initialize(env, exports); }
