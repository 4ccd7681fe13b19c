// The vocabulary: every operation a plan may hold, as data and as code. Twin of OPS in lib/plan/plan.ts, which says
// what each means; a test compares the two lists.
//
// Letters: B rows in a chunk, N rows in the batch, I inputs and O outputs of a layer, T target columns, n elements; ω
// the weight of a row, 1 where the data have no weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "threads.h"

namespace downhill {

// Data that a batch is gathered from, row-major; `value = entry × scale`. Y is null where there are no targets.
struct Source {
  enum class Kind { float32, float64, bytes };
  const void* x = nullptr;
  Kind kind = Kind::float32;
  double scale = 1;
  bool isChecked = true;  // else a step that meets a value of x which is not finite is refused
  const float* y = nullptr;
  const double* weights = nullptr;  // of each row in the loss; null: 1 each
  size_t rows = 0;
  size_t columns = 0;
  size_t targets = 0;
};

// What account finds of a step.
constexpr size_t kSums = 4;

// Everything an instruction sees beside its own operands. One lives as long as a step; the chunk's part changes.
struct Step {
  Pool& pool;
  const Source& source;
  // The batch: N rows that weigh so much together.
  size_t N = 0;
  double weight = 0;
  uint32_t seed = 0;
  uint64_t number = 0;  // steps since the optimizer's state began
  double learningRate = 0;
  // The chunk: B rows from row `first` of the batch. Their numbers are rows[0 … B), or from `row` on where it is null.
  size_t B = 0;
  size_t first = 0;
  const uint32_t* rows = nullptr;
  size_t row = 0;
  // The chunk's rows of x: in the arena, or where they were given (see leaveInPlace).
  const float* x = nullptr;
  // What the step found.
  double loss = 0;
  double penalty = 0;
  double gradientNorm = 0;
  double sums[kSums] = {};
  bool isAccounted = false;
  bool isRefused = false;
};

// An instruction as it is run: operands resolved to pointers, ready to be called.
struct Instruction {
  alignas(8) unsigned char operands[112];
  // Null where the instruction is a pass.
  void (*run)(const void* operands, Step& step);

  // A pass changes n floats of each of its vectors, each by what stands at the same place in the others. So neighbours
  // of one length can go over a piece together while it is in cache: `begin` of each, then `part` of each, piece by
  // piece.
  size_t n;
  void (*begin)(void* operands, const Step& step);
  void (*part)(const void* operands, size_t from, size_t count);
  // The weights and their gradient, where the pass is the one that moves weights; else null.
  float* w;
  const float* g;
};

// Runs a list up to its end or to a refusal.
void runAll(std::vector<Instruction>& list, Step& step);

// Makes of two neighbours one instruction, where that can be done and changes no bit: then `last` does the work of
// both.
bool fuse(Instruction& last, const Instruction& next);

// Tells the products of `chunk` which weights `step` goes on to move by what they compute.
void foresee(std::vector<Instruction>& chunk, const std::vector<Instruction>& step);

struct Span;

// Lets the products that read x of the batch read it where it was given, if they are all that wants it. `touched` is
// what each instruction was given of the arena. A look at rows that were copied for a run leaves them in the arena all
// the same, for others to read; what is given to `predict` is not copied at all.
void leaveInPlace(std::vector<Instruction>& list, const std::vector<std::vector<Span>>& touched);

// The arena as the loader sees it: offsets below `shared.count` lie in the parameter block, those above behind it.
struct Span {
  float* at;
  size_t count;
};
struct Arena {
  Span parameters;
  Span own;
};

// Sizes of the plan: rows of the largest chunk, columns of x and of the targets.
struct Sizes {
  size_t capacity, inputs, targets;
};

struct OpRow;

// The operands of one instruction by name, checked as they are read. The first fault is kept in `error`.
class Operands {
 public:
  Operands(const OpRow& row, const double* values, const Arena& arena, const Sizes& sizes, std::vector<Span>& touched,
           std::string& error)
      : row_(row), values_(values), arena_(arena), sizes_(sizes), touched_(touched), error_(error) {}

  size_t capacity() const { return sizes_.capacity; }
  const Sizes& sizes() const { return sizes_; }
  double number(const char* name) const;
  size_t size(const char* name) const;
  // A size below `end`.
  size_t below(const char* name, size_t end) const;
  // A size that must be `value`.
  size_t size(const char* name, size_t value) const;
  // `count` floats, all inside one block of the arena.
  float* floats(const char* name, size_t count) const;
  // The same, or null for −1.
  float* optional(const char* name, size_t count) const;
  // The activation or loss that the key names.
  template <class T>
  const T& table() const;
  const OpRow& row() const { return row_; }

 private:
  void fail(const char* name, const char* why) const;

  const OpRow& row_;
  const double* values_;
  const Arena& arena_;
  Sizes sizes_;
  std::vector<Span>& touched_;  // what `floats` gave
  std::string& error_;
};

enum class Scope { chunk, step };

struct OpRow {
  std::string key;  // e.g. affine, activate.tanh
  Scope scope;
  std::vector<std::string> operands;
  const void* tableRow;  // the Activation or Loss, for keys that have one
  Instruction (*load)(const Operands&);
  bool needsTargets;
};

template <class T>
const T& Operands::table() const {
  return *static_cast<const T*>(row_.tableRow);
}

// All of them. Their places in this list mean nothing; plans name them by key.
const std::vector<OpRow>& ops();

// The row of a key, or null.
const OpRow* findOp(const std::string& key);

}  // namespace downhill
