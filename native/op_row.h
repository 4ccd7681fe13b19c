// How a struct of operands becomes a row of the vocabulary. Such a struct is an operation: `names` are its operands in
// order, its constructor resolves them, `run` does the work; or, of a pass, `begin` and `part` (ops.h). Included by the
// files that define operations.
#pragma once

#include <algorithm>
#include <new>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "ops.h"

namespace downhill {

// Floats in a tile of elementwise work: four vectors of them fit a first-level cache, and they are more work than it
// costs to hand over.
constexpr size_t kTile = 2048;

// Rows of a tile for rows of O floats.
inline size_t rowsOf(size_t O) { return std::max<size_t>(1, kTile / std::max<size_t>(1, O)); }

inline std::vector<std::string> split(const char* names) {
  std::istringstream words(names);
  std::vector<std::string> list;
  for (std::string word; words >> word;) list.push_back(word);
  return list;
}

template <class Op>
void runOp(const void* operands, Step& step) {
  static_cast<const Op*>(operands)->run(step);
}

template <class Op, class = void>
constexpr bool isPass = false;
template <class Op>
constexpr bool isPass<Op, std::void_t<decltype(&Op::part)>> = true;

template <class Op, class = void>
constexpr bool isDescent = false;
template <class Op>
constexpr bool isDescent<Op, std::void_t<decltype(Op::kDescends)>> = true;

template <class Op>
Instruction load(const Operands& in) {
  static_assert(sizeof(Op) <= sizeof(Instruction::operands) && std::is_trivially_copyable_v<Op>);
  Instruction made{};
  const Op* const op = new (made.operands) Op(in);
  if constexpr (isPass<Op>) {
    made.n = op->n;
    if constexpr (isDescent<Op>) made.w = op->w, made.g = op->g;
    made.begin = [](void* operands, const Step& step) { static_cast<Op*>(operands)->begin(step); };
    made.part = [](const void* operands, size_t from, size_t count) {
      static_cast<const Op*>(operands)->part(from, count);
    };
  } else {
    (void)op;
    made.run = runOp<Op>;
  }
  return made;
}

template <class Op>
OpRow row(const std::string& key, Scope scope, const void* tableRow = nullptr, bool needsTargets = false) {
  return {key, scope, split(Op::names), tableRow, load<Op>, needsTargets};
}

// Gains and shifts, normalisation, slopes (units.cc); branches and tables (columns.cc).
void addUnitOps(std::vector<OpRow>& all);
void addColumnOps(std::vector<OpRow>& all);

}  // namespace downhill
