// The operands of an encoded instruction: looked up by name, and checked before anything runs.
#include <algorithm>
#include <cmath>

#include "ops.h"

namespace downhill {
namespace {

constexpr double kMost = 2147483648.0;

}  // namespace

double Operands::number(const char* name) const {
  const auto& names = row_.operands;
  const auto found = std::find(names.begin(), names.end(), name);
  return values_[found - names.begin()];
}

// Sizes are below 2³¹, so that no product of two overflows.
size_t Operands::size(const char* name) const {
  const double value = number(name);
  if (value >= 0 && value < kMost && value == std::floor(value)) return static_cast<size_t>(value);
  fail(name, "is no size");
  return 0;
}

size_t Operands::below(const char* name, size_t end) const {
  const size_t value = size(name);
  if (value >= end) fail(name, "lies beyond the row");
  return value;
}

size_t Operands::size(const char* name, size_t value) const {
  if (number(name) != static_cast<double>(value)) fail(name, "is not the plan's");
  return value;
}

float* Operands::floats(const char* name, size_t count) const {
  const double value = number(name);
  const auto [parameters, own] = arena_;
  if (value >= 0 && value <= static_cast<double>(parameters.count + own.count) && value == std::floor(value)) {
    const auto at = static_cast<size_t>(value);
    const bool isShared = at < parameters.count;
    const Span& span = isShared ? parameters : own;
    const size_t offset = isShared ? at : at - parameters.count;
    if (count <= span.count - offset) {
      touched_.push_back({span.at + offset, count});
      return span.at + offset;
    }
  }
  fail(name, "lies outside the arena");
  return nullptr;
}

float* Operands::optional(const char* name, size_t count) const {
  return number(name) == -1 ? nullptr : floats(name, count);
}

void Operands::fail(const char* name, const char* why) const {
  if (!error_.empty()) return;
  error_ = row_.key + ": operand " + name + " " + why;
}

}  // namespace downhill
