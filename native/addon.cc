// The border with Node, and the only file that knows it: argument checks, promises, cleanup. It computes nothing.
//
// Threads and JavaScript meet in one place, the Host. What a thread has done is put down there under the Host's mutex,
// and a threadsafe function carries its number to JavaScript, nothing that could be freed twice. At the end of an
// environment (process.exit, worker.terminate) Node runs cleanup hooks last in first out: ours, registered after the
// threadsafe function was made, shuts the Host, stops the slices and joins their threads before anything they need
// goes.

#ifndef NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS
#define NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS
#endif
#include <napi.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "blas.h"
#include "engine.h"

namespace downhill {
namespace {

// ------------------------------------------------------------------------------------------------- errors, arguments

// What we throw at misuse. Users do not see these: lib/backends/native.ts is the only caller.
Napi::Value fail(Napi::Env env, const std::string& message, const char* code = "ERR_BACKEND") {
  Napi::Error error = Napi::Error::New(env, "downhill's addon: " + message);
  error.Set("code", Napi::String::New(env, code));
  error.ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value failForMemory(Napi::Env env) { return fail(env, "not enough memory", "ERR_MEMORY"); }

// Runs `body`, and makes of memory that is not there an error like any other.
template <class F>
auto withMemory(Napi::Env env, F&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    failForMemory(env);
    return decltype(body())();
  }
}

// A whole number in [0, 2⁵³), or false.
bool readSize(const Napi::Value& value, size_t& to) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number < 9007199254740992.0) || number != std::floor(number)) return false;
  to = static_cast<size_t>(number);
  return true;
}

bool readSize(const Napi::Object& from, const char* name, size_t& to) { return readSize(from.Get(name), to); }

bool readDoubles(const Napi::Value& value, std::vector<double>& to) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) return false;
  const auto array = value.As<Napi::Float64Array>();
  to.assign(array.Data(), array.Data() + array.ElementLength());
  return true;
}

// A view of floats or bytes: valid during this call only.
struct View {
  napi_typedarray_type type;
  size_t length;
  void* data;
};

bool readView(napi_env env, napi_value value, View& view) {
  bool isArray = false;
  if (napi_is_typedarray(env, value, &isArray) != napi_ok || !isArray) return false;
  return napi_get_typedarray_info(env, value, &view.type, &view.length, &view.data, nullptr, nullptr) == napi_ok;
}

// The view as entries of x.
bool readEntries(napi_env env, napi_value value, View& view, Source::Kind& kind) {
  if (!readView(env, value, view)) return false;
  switch (view.type) {
    case napi_float32_array:
      kind = Source::Kind::float32;
      return true;
    case napi_float64_array:
      kind = Source::Kind::float64;
      return true;
    case napi_uint8_array:
      kind = Source::Kind::bytes;
      return true;
    default:
      return false;
  }
}

// ------------------------------------------------------------------------------------------------- host

class Host {
 public:
  Host(napi_env env) : env_(env) {}

  // A slice for the engine's own thread; `settle(number, report)` is called when it has ended. False with an exception
  // pending if it cannot be.
  bool start(uint32_t number, std::shared_ptr<Engine> engine, Slice slice, std::shared_ptr<const Table> table);
  // settle, on the way to JavaScript.
  bool listen(napi_value settle);

 private:
  static void settle(napi_env env, napi_value callback, void* context, void* data);
  static void close(void* host);

  struct Job {
    std::shared_ptr<Engine> engine;
    Report report;
  };

  napi_env env_;
  napi_threadsafe_function call_ = nullptr;  // on JavaScript's thread, and under mutex_ on others
  std::mutex mutex_;
  bool isClosed_ = false;
  std::map<uint32_t, Job> jobs_;
};

Napi::Value reportToJs(Napi::Env env, const Report& report) {
  const auto doubles = [&](const std::vector<double>& from) {
    auto array = Napi::Float64Array::New(env, from.size());
    if (!from.empty()) std::memcpy(array.Data(), from.data(), from.size() * sizeof(double));
    return array;
  };
  auto object = Napi::Object::New(env);
  object.Set("steps", static_cast<double>(report.steps));
  object.Set("milliseconds", report.milliseconds);
  object.Set("loss", doubles(report.loss));
  object.Set("penalty", doubles(report.penalty));
  object.Set("gradientNorm", doubles(report.gradientNorm));
  const char* const stopped[] = {nullptr, "asked", "nonFinite"};
  const char* why = stopped[static_cast<int>(report.stopped)];
  object.Set("stopped", why == nullptr ? env.Null() : Napi::Value(Napi::String::New(env, why)));
  if (!report.hasOutput) {
    object.Set("output", env.Null());
  } else {
    auto output = Napi::Float32Array::New(env, report.output.size());
    if (!report.output.empty()) {
      std::memcpy(output.Data(), report.output.data(), report.output.size() * sizeof(float));
    }
    object.Set("output", output);
  }
  return object;
}

bool Host::listen(napi_value settle) {
  napi_value name;
  if (napi_create_string_utf8(env_, "downhill", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env_, settle, nullptr, name, 0, 1, nullptr, nullptr, this, Host::settle,
                                      &call_) != napi_ok) {
    return false;
  }
  // Idle, it keeps no process alive. The hook after it, so that it runs before Node's own for it.
  return napi_unref_threadsafe_function(env_, call_) == napi_ok &&
         napi_add_env_cleanup_hook(env_, Host::close, this) == napi_ok;
}

bool Host::start(uint32_t id, std::shared_ptr<Engine> engine, Slice slice, std::shared_ptr<const Table> table) {
  bool isFirst = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    isFirst = jobs_.empty();
    jobs_[id] = Job{engine, {}};
  }
  if (isFirst) napi_ref_threadsafe_function(env_, call_);
  Engine* const runs = engine.get();  // kept by jobs_, and so never let go on its own thread
  const bool isStarted = runs->start(std::move(slice), std::move(table), [this, id](Report&& report) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (isClosed_) return;
    jobs_[id].report = std::move(report);
    napi_call_threadsafe_function(call_, reinterpret_cast<void*>(static_cast<uintptr_t>(id)), napi_tsfn_nonblocking);
  });
  if (isStarted) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  jobs_.erase(id);
  if (jobs_.empty()) napi_unref_threadsafe_function(env_, call_);
  return false;
}

// On JavaScript's thread. When the environment has ended Node empties the queue through here once more, without an env:
// then there is nobody to tell.
void Host::settle(napi_env env, napi_value callback, void* context, void* data) {
  if (env == nullptr || callback == nullptr) return;
  auto* host = static_cast<Host*>(context);
  const auto id = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data));
  Job job;
  {
    std::lock_guard<std::mutex> lock(host->mutex_);
    const auto found = host->jobs_.find(id);
    if (found == host->jobs_.end()) return;
    job = std::move(found->second);
    host->jobs_.erase(found);
    if (host->jobs_.empty()) napi_unref_threadsafe_function(env, host->call_);
  }
  const Napi::Env js(env);
  const Napi::HandleScope scope(js);
  const napi_value undefined = js.Undefined();
  const napi_value arguments[] = {Napi::Number::New(js, id),
                                  job.report.isOutOfMemory ? js.Null() : reportToJs(js, job.report)};
  napi_call_function(env, undefined, callback, 2, arguments, nullptr);
}

// The cleanup hook.
void Host::close(void* data) {
  auto* host = static_cast<Host*>(data);
  std::vector<std::shared_ptr<Engine>> running;
  {
    std::lock_guard<std::mutex> lock(host->mutex_);
    host->isClosed_ = true;
    for (auto& job : host->jobs_) running.push_back(job.second.engine);
  }
  for (auto& engine : running) engine->stop(Stop::now);
  for (auto& engine : running) engine->close();
  host->jobs_.clear();
}

// ------------------------------------------------------------------------------------------------- data

constexpr napi_type_tag kDataTag = {0x7d6f1c0e5a9b4d21, 0x9f3e8a7c1b2d4e60};
constexpr napi_type_tag kEngineTag = {0x2b8c4f1a6e7d4903, 0xa4d5c6b7e8f90123};

template <class T>
T* unwrap(const Napi::Value& value, const napi_type_tag& tag) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&tag)) return nullptr;
  return T::Unwrap(value.As<Napi::Object>());
}

// A copied table as JavaScript holds it.
class Data : public Napi::ObjectWrap<Data> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Data", {InstanceMethod<&Data::release>("release")});
  }

  // new Data(x, rows, columns, scale, y | null, targets)
  explicit Data(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const Napi::Env env = info.Env();
    withMemory(env, [&] {
      Source source;
      View x{}, y{};
      const bool hasY = !info[4].IsNull();
      if (!readEntries(env, info[0], x, source.kind) || !readSize(info[1], source.rows) ||
          !readSize(info[2], source.columns) || !info[3].IsNumber() || !readSize(info[5], source.targets) ||
          (hasY && !readView(env, info[4], y))) {
        return fail(env, "data of wrong kinds");
      }
      if (hasY && y.type != napi_float32_array && y.type != napi_float64_array) return fail(env, "y is not of floats");
      if (!isProduct(x.length, source.rows, source.columns) ||
          (hasY && !isProduct(y.length, source.rows, source.targets))) {
        return fail(env, "data of another size than it says");
      }
      source.x = x.data;
      source.scale = info[3].As<Napi::Number>().DoubleValue();
      if (hasY && y.type == napi_float32_array) source.y = static_cast<const float*>(y.data);
      table_ = copyTable(source, hasY && y.type == napi_float64_array ? static_cast<const double*>(y.data) : nullptr);
      if (table_ == nullptr) return failForMemory(env);
      bytes_ = static_cast<int64_t>(table_->bytes());
      Napi::MemoryManagement::AdjustExternalMemory(env, bytes_);
      info.This().As<Napi::Object>().TypeTag(&kDataTag);
      return env.Undefined();
    });
  }

  void Finalize(Napi::BasicEnv env) override { letGo(env); }
  const std::shared_ptr<const Table>& table() const { return table_; }

  static bool isProduct(size_t length, size_t rows, size_t columns) {
    return columns == 0 ? length == 0 : length % columns == 0 && length / columns == rows;
  }

 private:
  void release(const Napi::CallbackInfo& info) { letGo(info.Env()); }
  void letGo(Napi::BasicEnv env) {
    table_.reset();
    if (bytes_ != 0) Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(bytes_, 0));
  }

  std::shared_ptr<const Table> table_;
  int64_t bytes_ = 0;
};

// ------------------------------------------------------------------------------------------------- engine

// { keys, inputs, targets, capacity, length, parameters, programs: { train: { chunk, step, outputAt, columns }, … } }
bool readPlan(const Napi::Object& from, EncodedPlan& plan) {
  if (!readSize(from, "inputs", plan.inputs) || !readSize(from, "targets", plan.targets) ||
      !readSize(from, "capacity", plan.capacity) || !readSize(from, "length", plan.length) ||
      !readSize(from, "parameters", plan.parameters) || !from.Get("keys").IsArray() ||
      !from.Get("programs").IsObject()) {
    return false;
  }
  if (plan.capacity == 0 || plan.capacity >= kMostRows || plan.parameters > plan.length) return false;
  const auto keys = from.Get("keys").As<Napi::Array>();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    if (!keys.Get(i).IsString()) return false;
    plan.keys.push_back(keys.Get(i).As<Napi::String>());
  }
  const auto programs = from.Get("programs").As<Napi::Object>();
  for (size_t i = 0; i < kProgramCount; ++i) {
    const Napi::Value value = programs.Get(kPrograms[i]);
    if (value.IsUndefined()) continue;
    if (!value.IsObject()) return false;
    const auto program = value.As<Napi::Object>();
    EncodedProgram& to = plan.programs[i];
    to.isThere = true;
    if (!readDoubles(program.Get("chunk"), to.chunk) || !readDoubles(program.Get("step"), to.step) ||
        !program.Get("outputAt").IsNumber() || !readSize(program, "columns", to.columns)) {
      return false;
    }
    to.outputAt = program.Get("outputAt").As<Napi::Number>().DoubleValue();
  }
  return true;
}

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Engine",
                       {InstanceMethod<&EngineObject::read>("read"), InstanceMethod<&EngineObject::write>("write"),
                        InstanceMethod<&EngineObject::run>("run"), InstanceMethod<&EngineObject::start>("start"),
                        InstanceMethod<&EngineObject::predict>("predict"), InstanceMethod<&EngineObject::stop>("stop"),
                        InstanceMethod<&EngineObject::close>("close")});
  }

  // new Engine(plan, threads, parametersOf | undefined)
  explicit EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const Napi::Env env = info.Env();
    withMemory(env, [&] {
      EncodedPlan plan;
      size_t threads = 1;
      if (!info[0].IsObject() || !readPlan(info[0].As<Napi::Object>(), plan)) return fail(env, "not a plan");
      if (!readSize(info[1], threads) || threads < 1) return fail(env, "threads is no number of threads");
      const Engine* parametersOf = nullptr;
      if (!info[2].IsUndefined()) {
        const auto* other = unwrap<EngineObject>(info[2], kEngineTag);
        if (other == nullptr || other->engine_ == nullptr) return fail(env, "parametersOf is no open engine");
        parametersOf = other->engine_.get();
      }
      std::string error;
      engine_ =
          Engine::load(std::move(plan), static_cast<int>(std::min<size_t>(threads, kMostThreads)), parametersOf, error);
      if (engine_ == nullptr) return error == kOutOfMemory ? failForMemory(env) : fail(env, error);
      bytes_ = static_cast<int64_t>(engine_->bytes());
      Napi::MemoryManagement::AdjustExternalMemory(env, bytes_);
      info.This().As<Napi::Object>().TypeTag(&kEngineTag);
      return env.Undefined();
    });
  }

  void Finalize(Napi::BasicEnv env) override { letGo(env); }

 private:
  // (at, length) → Float32Array
  Napi::Value read(const Napi::CallbackInfo& info) {
    size_t at = 0, length = 0;
    if (!isOpen(info)) return info.Env().Undefined();
    if (!readSize(info[0], at) || !readSize(info[1], length) || !isInside(at, length)) {
      return fail(info.Env(), "a range outside the arena");
    }
    auto array = Napi::Float32Array::New(info.Env(), length);
    if (array.IsEmpty()) return info.Env().Undefined();
    engine_->read(at, length, array.Data());
    return array;
  }

  // (at, Float32Array)
  Napi::Value write(const Napi::CallbackInfo& info) {
    size_t at = 0;
    View values{};
    if (!isOpen(info)) return info.Env().Undefined();
    if (!readSize(info[0], at) || !readView(info.Env(), info[1], values) || values.type != napi_float32_array ||
        !isInside(at, values.length)) {
      return fail(info.Env(), "a range outside the arena, or values that are no Float32Array");
    }
    if (engine_->isRunning()) return fail(info.Env(), "a write during a slice");
    engine_->write(at, values.length, static_cast<const float*>(values.data));
    return info.Env().Undefined();
  }

  // (program, data, rows | null, pass, batch, start, learningRate, step, seed, steps) → report
  Napi::Value run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return withMemory(env, [&]() -> Napi::Value {
      Slice slice;
      std::shared_ptr<const Table> table;
      if (!isOpen(info) || !readSlice(info, slice, table)) return env.Undefined();
      return reportToJs(env, engine_->run(slice, table->source));
    });
  }

  // The same, a number, and whether it follows the slice before: ends with settle(number, report | null for want of
  // memory).
  Napi::Value start(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return withMemory(env, [&]() -> Napi::Value {
      Slice slice;
      std::shared_ptr<const Table> table;
      if (!isOpen(info)) return env.Undefined();
      size_t id = 0;
      if (!readSize(info[10], id) || id > UINT32_MAX) return fail(env, "not a number of a slice");
      if (!readSlice(info, slice, table)) return env.Undefined();
      slice.follows = info[11].ToBoolean();
      if (engine_->isRunning() && !slice.follows) return fail(env, "a slice is running");
      auto* host = env.GetInstanceData<Host>();
      if (!host->start(static_cast<uint32_t>(id), engine_, std::move(slice), std::move(table))) {
        return fail(env, "no thread to be had", "ERR_MEMORY");
      }
      return env.Undefined();
    });
  }

  // (x, rows, scale) → Float32Array
  Napi::Value predict(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Source source;
    View x{};
    if (!isOpen(info)) return env.Undefined();
    if (!readEntries(env, info[0], x, source.kind) || !readSize(info[1], source.rows) || !info[2].IsNumber()) {
      return fail(env, "entries of wrong kinds");
    }
    const Program& program = engine_->program(kPredict);
    source.columns = engine_->plan().inputs;
    if (program.output == nullptr) return fail(env, "the plan has no program predict");
    if (!Data::isProduct(x.length, source.rows, source.columns)) return fail(env, "not rows of the plan's inputs");
    source.x = x.data;
    source.scale = info[2].As<Napi::Number>().DoubleValue();
    auto output = Napi::Float32Array::New(env, source.rows * program.columns);
    if (output.IsEmpty()) return env.Undefined();
    engine_->predict(source, output.Data());
    return output;
  }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    if (engine_ != nullptr) engine_->stop(Stop::afterStep);
    return info.Env().Undefined();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    if (engine_ != nullptr) engine_->close();
    letGo(info.Env());
    return info.Env().Undefined();
  }

  bool isOpen(const Napi::CallbackInfo& info) {
    if (engine_ != nullptr) return true;
    fail(info.Env(), "the engine is closed");
    return false;
  }

  bool isInside(size_t at, size_t length) const {
    return at <= engine_->plan().length && length <= engine_->plan().length - at;
  }

  bool readSlice(const Napi::CallbackInfo& info, Slice& slice, std::shared_ptr<const Table>& table) {
    const Napi::Env env = info.Env();
    const auto* data = unwrap<Data>(info[1], kDataTag);
    if (data == nullptr || data->table() == nullptr) {
      fail(env, "not data, or data that was released");
      return false;
    }
    table = data->table();
    View rows{}, rates{};
    slice.hasRows = !info[2].IsNull();
    size_t seed = 0, step = 0;
    if (!readSize(info[0], slice.program) || slice.program >= kProgramCount || !readSize(info[3], slice.pass) ||
        !readSize(info[4], slice.batch) || !readSize(info[5], slice.start) || !readView(env, info[6], rates) ||
        rates.type != napi_float64_array || !readSize(info[7], step) || !readSize(info[8], seed) ||
        !readSize(info[9], slice.steps) ||
        (slice.hasRows && (!readView(env, info[2], rows) || rows.type != napi_uint32_array))) {
      fail(env, "a slice of wrong kinds");
      return false;
    }
    slice.step = step;
    slice.seed = static_cast<uint32_t>(seed);
    const auto* rate = static_cast<const double*>(rates.data);
    slice.learningRate.assign(rate, rate + rates.length);
    if (slice.hasRows) {
      const auto* row = static_cast<const uint32_t*>(rows.data);
      slice.rows.assign(row, row + rows.length);
    }
    const std::string error = engine_->check(slice, table->source);
    if (error.empty()) return true;
    fail(env, error);
    return false;
  }

  void letGo(Napi::BasicEnv env) {
    engine_.reset();
    if (bytes_ != 0) Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(bytes_, 0));
  }

  std::shared_ptr<Engine> engine_;
  int64_t bytes_ = 0;
};

// ------------------------------------------------------------------------------------------------- module

// [{ key, scope, operands }]
Napi::Value opsToJs(Napi::Env env) {
  auto list = Napi::Array::New(env);
  uint32_t i = 0;
  for (const OpRow& row : ops()) {
    auto operands = Napi::Array::New(env);
    uint32_t j = 0;
    for (const std::string& name : row.operands) operands.Set(j++, name);
    auto object = Napi::Object::New(env);
    object.Set("key", row.key);
    object.Set("scope", row.scope == Scope::chunk ? "chunk" : "step");
    object.Set("operands", operands);
    list.Set(i++, object);
  }
  return list;
}

// listen(settle): once, before the first start.
Napi::Value listen(const Napi::CallbackInfo& info) {
  auto* host = info.Env().GetInstanceData<Host>();
  if (!info[0].IsFunction() || !host->listen(info[0])) return fail(info.Env(), "cannot listen");
  return info.Env().Undefined();
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Host(env));
  exports.Set("ops", opsToJs(env));
  exports.Set("blas", blas().name);
  exports.Set("simd", "portable");
  exports.Set("Data", Data::define(env));
  exports.Set("Engine", EngineObject::define(env));
  exports.Set("listen", Napi::Function::New<listen>(env, "listen"));
  return exports;
}

}  // namespace
}  // namespace downhill

static Napi::Object initialize(Napi::Env env, Napi::Object exports) { return downhill::initialize(env, exports); }

NODE_API_MODULE(downhill, initialize)
