// A plan as it is run: programs of resolved instructions, and the loop over them (slices → steps → chunks →
// instructions). It decides nothing; what a step means was compiled in lib/plan/compile.ts.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gate.h"
#include "ops.h"
#include "pace.h"

namespace downhill {

// A program as it comes over the border: instruction after instruction, each [index into the keys, operands…].
struct EncodedProgram {
  bool isThere = false;
  std::vector<double> chunk;
  std::vector<double> step;
  double outputAt = -1;  // −1: no output
  size_t columns = 0;
};

// The names of programs, in the order in which they are numbered.
constexpr const char* kPrograms[] = {"train",     "gradient",  "evaluate",  "predict",
                                     "objective", "linearize", "curvature", "update"};
constexpr size_t kProgramCount = 8;
constexpr size_t kPredict = 3;

constexpr size_t kMostRows = size_t{1} << 31;  // in a chunk
constexpr int kMostThreads = 256;

struct EncodedPlan {
  std::vector<std::string> keys;
  EncodedProgram programs[kProgramCount];
  size_t inputs = 0;
  size_t targets = 0;
  size_t capacity = 0;    // rows of a chunk
  size_t length = 0;      // floats in the arena
  size_t parameters = 0;  // floats of it that engines may share, from its start
};

struct Program {
  bool isThere = false;
  std::vector<Instruction> chunk;
  std::vector<Instruction> step;
  const float* output = nullptr;
  size_t columns = 0;
  bool needsTargets = false;
};

// Decodes and resolves. On a fault returns it as a sentence, else an empty string.
std::string loadProgram(const EncodedPlan& plan, const EncodedProgram& encoded, const Arena& arena, Program& program);

// A run of steps; see Slice in lib/plan/plan.ts.
struct Slice {
  size_t program = 0;
  std::vector<uint32_t> rows;  // in order of use, where `hasRows`
  bool hasRows = false;
  size_t pass = 0;
  size_t batch = 0;
  size_t start = 0;
  std::vector<double> learningRate;  // one a step, or none
  size_t steps = 0;
  uint64_t step = 0;
  uint32_t seed = 0;
  bool follows = false;  // not begun if the slice before it on the engine's thread ended early
};

enum class Stopped { no, asked, nonFinite };

struct Report {
  size_t steps = 0;
  std::vector<double> loss, penalty, weight, gradientNorm;  // an entry for each step begun
  std::vector<double> sums;                                 // kSums for each whole step, where the program accounts
  Stopped stopped = Stopped::no;
  std::vector<float> output;  // rows × columns of the program's output
  bool hasOutput = false;
  bool isOutOfMemory = false;  // it never began
  double milliseconds = 0;
};

// How a run is asked to end early: after the step, or between two chunks, the step forgotten.
enum class Stop { no, afterStep, now };

// What a run needs beside the slice. Two gates keep whole what others see: `memory`, of this engine's own part of the
// arena, is held alone from step to step; `parameters`, perhaps of several engines, is held alone for the update only.
// Always in that order.
struct Machine {
  Pool& pool;
  Pace& pace;  // of this program's steps
  Program& program;
  size_t capacity;
  Gate& memory;
  Gate& parameters;
  const std::atomic<Stop>& stop;
};

// Why a slice cannot be run on this data, as a sentence; empty if it can.
std::string checkSlice(const Slice& slice, const Program& program, const Source& source, const EncodedPlan& plan);

// Runs a checked slice.
Report runSlice(const Machine& machine, const Slice& slice, const Source& source);

// Forward over all rows of `source`; writes rows × columns to `output`. False, and any output, if x is not checked and
// holds a value that is not finite.
bool predict(const Machine& machine, const Source& source, float* output);

}  // namespace downhill
