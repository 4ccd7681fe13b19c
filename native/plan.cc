#include "plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

namespace downhill {
namespace {

// Decodes one list of instructions into `to`.
std::string loadList(const EncodedPlan& plan, const std::vector<double>& code, Scope scope, const Arena& arena,
                     std::vector<Instruction>& to, bool& needsTargets) {
  std::string error;
  std::vector<std::vector<Span>> touched;  // of each in `to`
  for (size_t at = 0; at < code.size();) {
    const double index = code[at++];
    if (!(index >= 0 && index < static_cast<double>(plan.keys.size()))) return "an instruction has no key";
    const std::string& key = plan.keys[static_cast<size_t>(index)];
    const OpRow* row = findOp(key);
    if (row == nullptr) return "no operation " + key;
    if (row->scope != scope) return key + " stands in the wrong list";
    if (code.size() - at < row->operands.size()) return key + " lacks operands";
    std::vector<Span> own;
    const Sizes sizes{plan.capacity, plan.inputs, plan.targets};
    const Instruction next = row->load(Operands(*row, code.data() + at, arena, sizes, own, error));
    if (!error.empty()) return error;
    if (!to.empty() && fuse(to.back(), next)) {
      touched.back().insert(touched.back().end(), own.begin(), own.end());
    } else {
      to.push_back(next);
      touched.push_back(std::move(own));
    }
    needsTargets = needsTargets || row->needsTargets;
    at += row->operands.size();
  }
  leaveInPlace(to, touched);
  return error;
}

// Runs the chunks of a batch that begins `position` rows into a pass. False if told to stop before the next one.
bool runChunks(const Machine& machine, Step& step, const uint32_t* rows, size_t position, float* output) {
  Program& program = machine.program;
  for (step.first = 0; step.first < step.N; step.first += step.B) {
    if (machine.stop.load(std::memory_order_relaxed) == Stop::now) return false;
    step.B = std::min(machine.capacity, step.N - step.first);
    step.rows = rows == nullptr ? nullptr : rows + step.first;
    step.row = position + step.first;
    runAll(program.chunk, step);
    if (step.isRefused) return true;
    if (output == nullptr) continue;
    std::memcpy(output, program.output, step.B * program.columns * sizeof(float));
    output += step.B * program.columns;
  }
  return true;
}

// Rows of the batch that begins `position` rows into a pass.
size_t batchAt(const Slice& slice, size_t position) { return std::min(slice.batch, slice.pass - position); }

// Rows that a slice uses in all.
size_t rowsUsed(const Slice& slice) {
  size_t used = 0;
  for (size_t i = 0, position = slice.start; i < slice.steps; ++i) {
    const size_t size = batchAt(slice, position);
    used += size;
    position = position + size == slice.pass ? 0 : position + size;
  }
  return used;
}

// Σω of `count` rows of the batch that begins `position` rows into a pass.
double weightOf(const Source& source, const uint32_t* rows, size_t position, size_t count) {
  if (source.weights == nullptr) return static_cast<double>(count);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += source.weights[rows == nullptr ? position + i : rows[i]];
  return sum;
}

// Shared use of a gate that may be given up and taken again.
class SharedAgain {
 public:
  explicit SharedAgain(Gate& gate) : gate_(gate) { gate_.enterShared(); }
  ~SharedAgain() { gate_.leaveShared(); }
  // Calls fn alone, between two uses.
  template <class F>
  void alone(F&& fn) {
    gate_.leaveShared();
    {
      const Alone alone(gate_);
      fn();
    }
    gate_.enterShared();
  }

 private:
  Gate& gate_;
};

}  // namespace

std::string loadProgram(const EncodedPlan& plan, const EncodedProgram& encoded, const Arena& arena, Program& program) {
  program.isThere = encoded.isThere;
  if (!encoded.isThere) return "";
  std::string error = loadList(plan, encoded.chunk, Scope::chunk, arena, program.chunk, program.needsTargets);
  if (error.empty()) error = loadList(plan, encoded.step, Scope::step, arena, program.step, program.needsTargets);
  if (error.empty()) foresee(program.chunk, program.step);
  if (!error.empty() || encoded.outputAt < 0) return error;
  const size_t count = plan.capacity * encoded.columns;
  const size_t at = static_cast<size_t>(encoded.outputAt);
  if (at < plan.parameters || at > plan.length || count > plan.length - at) return "the output lies outside the arena";
  program.output = arena.own.at + (at - plan.parameters);
  program.columns = encoded.columns;
  return "";
}

std::string checkSlice(const Slice& slice, const Program& program, const Source& source, const EncodedPlan& plan) {
  if (!program.isThere) return std::string("the plan has no program ") + kPrograms[slice.program];
  if (source.columns != plan.inputs) return "the data has another number of columns than the plan";
  if (program.needsTargets && (source.y == nullptr || source.targets != plan.targets)) {
    return "the data has other targets than the plan";
  }
  if (slice.batch == 0 || slice.pass == 0 || slice.start >= slice.pass) return "a slice without rows";
  if (!program.step.empty() && slice.learningRate.size() != slice.steps) return "not one learning rate a step";
  if (!slice.hasRows) return slice.pass <= source.rows ? "" : "more rows in a pass than in the data";
  if (slice.rows.size() < rowsUsed(slice)) return "fewer row numbers than rows to be used";
  uint32_t largest = 0;
  for (const uint32_t row : slice.rows) largest = std::max(largest, row);
  return largest < source.rows ? "" : "a row number beyond the data";
}

Report runSlice(const Machine& machine, const Slice& slice, const Source& source) {
  const FlushDenormals flush;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto began = now();
  Pool& pool = machine.pool;
  const bool isPaced = pool.most() > 1;
  Program& program = machine.program;
  Report report;
  report.loss.reserve(slice.steps);
  report.penalty.reserve(slice.steps);
  report.weight.reserve(slice.steps);
  report.gradientNorm.reserve(slice.steps);
  report.hasOutput = program.output != nullptr;
  if (report.hasOutput) report.output.resize(rowsUsed(slice) * program.columns);

  const uint32_t* rows = slice.hasRows ? slice.rows.data() : nullptr;
  float* output = report.hasOutput ? report.output.data() : nullptr;
  size_t position = slice.start;
  for (size_t i = 0; i < slice.steps; ++i) {
    if (machine.stop.load(std::memory_order_relaxed) != Stop::no) {
      report.stopped = Stopped::asked;
      break;
    }
    Step step{pool, source};
    step.N = batchAt(slice, position);
    step.weight = weightOf(source, rows, position, step.N);
    step.seed = slice.seed;
    step.number = slice.step + i;
    if (!slice.learningRate.empty()) step.learningRate = slice.learningRate[i];

    const Alone memory(machine.memory);
    if (isPaced) pool.use(machine.pace.threads());
    const auto stepBegan = isPaced ? now() : began;
    SharedAgain parameters(machine.parameters);
    if (!runChunks(machine, step, rows, position, output)) {
      report.stopped = Stopped::asked;
      break;
    }
    if (!program.step.empty()) {
      parameters.alone([&] { runAll(program.step, step); });
    }
    report.loss.push_back(step.loss + step.penalty);
    report.penalty.push_back(step.penalty);
    report.weight.push_back(step.weight);
    report.gradientNorm.push_back(step.gradientNorm);
    if (step.isAccounted) report.sums.insert(report.sums.end(), step.sums, step.sums + kSums);
    if (step.isRefused) {
      report.stopped = Stopped::nonFinite;
      break;
    }
    ++report.steps;
    if (isPaced && step.N == slice.batch) machine.pace.took(std::chrono::duration<double>(now() - stepBegan).count());
    if (rows != nullptr) rows += step.N;
    if (output != nullptr) output += step.N * program.columns;
    position = position + step.N == slice.pass ? 0 : position + step.N;
  }
  if (output != nullptr) report.output.resize(static_cast<size_t>(output - report.output.data()));
  report.milliseconds = std::chrono::duration<double, std::milli>(now() - began).count();
  return report;
}

bool predict(const Machine& machine, const Source& source, float* output) {
  const FlushDenormals flush;
  const Alone memory(machine.memory);
  const Shared parameters(machine.parameters);
  machine.pool.use(machine.pool.most());
  Step step{machine.pool, source};
  step.N = source.rows;
  runChunks(machine, step, nullptr, 0, output);
  return !step.isRefused;
}

}  // namespace downhill
