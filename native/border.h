// Values of N-API and what they are here, both ways; calls, and classes of objects. Every status is looked at, see
// addon.cc, which alone includes this.
#pragma once

#include <node_api.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine.h"

namespace downhill {
namespace {

// ------------------------------------------------------------------------------------------------- errors

// What we throw at misuse. Users do not see these: lib/backends/native.ts is the only caller.
napi_value fail(napi_env env, const std::string& message, const char* code = "ERR_BACKEND") {
  napi_throw_error(env, code, ("downhill's addon: " + message).c_str());
  return nullptr;
}

// What native.ts tells users of.
napi_value failForMemory(napi_env env) { return fail(env, "not enough memory", "ERR_MEMORY"); }

// ------------------------------------------------------------------------------------------------- values in

// Each read* is false, and leaves no exception behind, for a value of another kind.

napi_valuetype typeOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type;
}

bool readNumber(napi_env env, napi_value value, double& to) {
  return napi_get_value_double(env, value, &to) == napi_ok;
}

// A whole number in [0, 2⁵³).
bool readSize(napi_env env, napi_value value, size_t& to) {
  double number = 0;
  if (!readNumber(env, value, number)) return false;
  if (!(number >= 0 && number < 9007199254740992.0) || number != std::floor(number)) return false;
  to = static_cast<size_t>(number);
  return true;
}

bool readString(napi_env env, napi_value value, std::string& to) {
  char text[64];
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, text, sizeof text, &length) != napi_ok) return false;
  to.assign(text, length);
  return true;
}

// The entries of a typed array, good during this call only.
struct View {
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;

  bool isFloats() const { return type == napi_float32_array || type == napi_float64_array; }
};

bool readView(napi_env env, napi_value value, View& to) {
  return napi_get_typedarray_info(env, value, &to.type, &to.length, &to.data, nullptr, nullptr) == napi_ok;
}

bool readView(napi_env env, napi_value value, napi_typedarray_type type, View& to) {
  return readView(env, value, to) && to.type == type;
}

// A view of what x may be.
bool readEntries(napi_env env, napi_value value, View& view, Source::Kind& kind) {
  if (!readView(env, value, view)) return false;
  if (!view.isFloats() && view.type != napi_uint8_array) return false;
  kind = view.type == napi_float32_array   ? Source::Kind::float32
         : view.type == napi_float64_array ? Source::Kind::float64
                                           : Source::Kind::bytes;
  return true;
}

// Whether `length` entries are `rows` rows of `columns`.
bool isTable(size_t length, size_t rows, size_t columns) {
  return columns == 0 ? length == 0 : length % columns == 0 && length / columns == rows;
}

// The properties of an object. A property that is not there is undefined, which no read* takes.
class Properties {
 public:
  Properties(napi_env env, napi_value object) : env_(env), object_(object) {}
  napi_value get(const char* name) const {
    napi_value value = nullptr;
    if (napi_get_named_property(env_, object_, name, &value) != napi_ok) return nullptr;
    return value;
  }
  bool read(const char* name, size_t& to) const { return readSize(env_, get(name), to); }
  bool read(const char* name, double& to) const { return readNumber(env_, get(name), to); }
  bool read(const char* name, std::vector<double>& to) const {
    View view;
    if (!readView(env_, get(name), napi_float64_array, view)) return false;
    const auto* entries = static_cast<const double*>(view.data);
    to.assign(entries, entries + view.length);
    return true;
  }
  bool read(const char* name, std::vector<std::string>& to) const {
    const napi_value list = get(name);
    uint32_t length = 0;
    if (napi_get_array_length(env_, list, &length) != napi_ok) return false;
    to.resize(length);
    for (uint32_t i = 0; i < length; ++i) {
      napi_value entry = nullptr;
      if (napi_get_element(env_, list, i, &entry) != napi_ok || !readString(env_, entry, to[i])) return false;
    }
    return true;
  }

 private:
  napi_env env_;
  napi_value object_;
};

// ------------------------------------------------------------------------------------------------- values out

// Each is null where Node refuses to make it, and passes on a null it is given.

// A typed array of `count` entries of `size` bytes, and where they stand.
napi_value newArray(napi_env env, napi_typedarray_type type, size_t size, size_t count, void** entries) {
  napi_value buffer = nullptr, array = nullptr;
  if (napi_create_arraybuffer(env, count * size, entries, &buffer) != napi_ok) return nullptr;
  return napi_create_typedarray(env, type, count, buffer, 0, &array) == napi_ok ? array : nullptr;
}

napi_value newFloats(napi_env env, size_t count, float** entries) {
  return newArray(env, napi_float32_array, sizeof(float), count, reinterpret_cast<void**>(entries));
}

template <class T>
napi_value newArray(napi_env env, napi_typedarray_type type, const std::vector<T>& from) {
  void* entries = nullptr;
  const napi_value array = newArray(env, type, sizeof(T), from.size(), &entries);
  if (array != nullptr && !from.empty()) std::memcpy(entries, from.data(), from.size() * sizeof(T));
  return array;
}

napi_value newNumber(napi_env env, double number) {
  napi_value value = nullptr;
  return napi_create_double(env, number, &value) == napi_ok ? value : nullptr;
}

napi_value newString(napi_env env, const std::string& text) {
  napi_value value = nullptr;
  return napi_create_string_utf8(env, text.data(), text.size(), &value) == napi_ok ? value : nullptr;
}

napi_value newNull(napi_env env) {
  napi_value value = nullptr;
  return napi_get_null(env, &value) == napi_ok ? value : nullptr;
}

napi_value newObject(napi_env env, std::initializer_list<std::pair<const char*, napi_value>> properties) {
  napi_value object = nullptr;
  if (napi_create_object(env, &object) != napi_ok) return nullptr;
  for (const auto& [name, value] : properties) {
    if (value == nullptr || napi_set_named_property(env, object, name, value) != napi_ok) return nullptr;
  }
  return object;
}

// [make(0), make(1), …]
template <class F>
napi_value newList(napi_env env, size_t length, F&& make) {
  napi_value list = nullptr;
  if (napi_create_array_with_length(env, length, &list) != napi_ok) return nullptr;
  for (uint32_t i = 0; i < length; ++i) {
    const napi_value entry = make(i);
    if (entry == nullptr || napi_set_element(env, list, i, entry) != napi_ok) return nullptr;
  }
  return list;
}

napi_value newReport(napi_env env, const Report& report) {
  const auto stopped = [&] {
    if (report.stopped == Stopped::no) return newNull(env);
    return newString(env, report.stopped == Stopped::asked ? "asked" : "nonFinite");
  };
  return newObject(env,
                   {{"steps", newNumber(env, static_cast<double>(report.steps))},
                    {"loss", newArray(env, napi_float64_array, report.loss)},
                    {"penalty", newArray(env, napi_float64_array, report.penalty)},
                    {"weight", newArray(env, napi_float64_array, report.weight)},
                    {"gradientNorm", newArray(env, napi_float64_array, report.gradientNorm)},
                    {"sums", newArray(env, napi_float64_array, report.sums)},
                    {"milliseconds", newNumber(env, report.milliseconds)},
                    {"stopped", stopped()},
                    {"output", report.hasOutput ? newArray(env, napi_float32_array, report.output) : newNull(env)}});
}

// ------------------------------------------------------------------------------------------------- calls and classes

// The arguments of a call; those that were not given are undefined.
class Call {
 public:
  Call(napi_env given, napi_callback_info info) : env(given) {
    size_t count = kMost;
    isThere = napi_get_cb_info(env, info, &count, arguments_, &self, nullptr) == napi_ok;
  }
  napi_value operator[](size_t i) const { return arguments_[i]; }

  const napi_env env;
  napi_value self = nullptr;
  bool isThere;

 private:
  static constexpr size_t kMost = 12;
  napi_value arguments_[kMost] = {};
};

// A class of JavaScript over a C++ one: `T::create` makes the object of a constructor's call, or throws and returns
// null; `T::tag` tells its objects from all others.
template <class T>
napi_value construct(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  napi_value target = nullptr;
  if (!call.isThere || napi_get_new_target(env, info, &target) != napi_ok) return nullptr;
  if (target == nullptr) return fail(env, "a constructor called without new");
  try {
    std::unique_ptr<T> object = T::create(call);
    if (object == nullptr) return nullptr;
    if (napi_type_tag_object(env, call.self, &T::tag) != napi_ok) return nullptr;
    const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
    if (napi_wrap(env, call.self, object.get(), finalize, nullptr, nullptr) != napi_ok) return nullptr;
    object->weigh(env);
    object.release();
  } catch (const std::bad_alloc&) {
    return failForMemory(env);
  }
  return call.self;
}

// The C++ object of a value, or null for anything else.
template <class T>
T* unwrap(napi_env env, napi_value value) {
  bool isOurs = false;
  void* object = nullptr;
  if (typeOf(env, value) != napi_object) return nullptr;
  if (napi_check_object_type_tag(env, value, &T::tag, &isOurs) != napi_ok || !isOurs) return nullptr;
  return napi_unwrap(env, value, &object) == napi_ok ? static_cast<T*>(object) : nullptr;
}

template <class T, napi_value (T::*kMethod)(const Call&)>
napi_value method(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  void* object = nullptr;
  // V8 lets no other receiver through to a method of a class.
  if (!call.isThere || napi_unwrap(env, call.self, &object) != napi_ok) return nullptr;
  try {
    return (static_cast<T*>(object)->*kMethod)(call);
  } catch (const std::bad_alloc&) {
    return failForMemory(env);
  }
}

template <class T>
napi_value newClass(napi_env env, const char* name, const std::vector<napi_property_descriptor>& methods) {
  napi_value made = nullptr;
  const auto status =
      napi_define_class(env, name, NAPI_AUTO_LENGTH, construct<T>, nullptr, methods.size(), methods.data(), &made);
  return status == napi_ok ? made : nullptr;
}

template <class T, napi_value (T::*kMethod)(const Call&)>
napi_property_descriptor describe(const char* name) {
  return {name, nullptr, method<T, kMethod>, nullptr, nullptr, nullptr, napi_default_method, nullptr};
}

// Memory that the garbage collector should know of.
class Weight {
 public:
  void set(napi_env env, size_t bytes) {
    int64_t all = 0;
    const auto now = static_cast<int64_t>(bytes);
    if (now != bytes_) napi_adjust_external_memory(env, now - bytes_, &all);
    bytes_ = now;
  }

 private:
  int64_t bytes_ = 0;
};

}  // namespace
}  // namespace downhill
