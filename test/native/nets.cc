#include "nets.h"

#include <cstdio>
#include <cstring>

namespace test {

Net::Net(const NetOptions& given) : options(given) {
  const auto& widths = options.widths;
  const size_t layers = widths.size() - 1;
  size_t at = 0;
  for (size_t l = 0; l < layers; ++l) {
    W.push_back(at);
    at += align(widths[l] * widths[l + 1]);
  }
  const size_t weights = at;
  for (size_t l = 0; l < layers; ++l) {
    b.push_back(at);
    at += align(widths[l + 1]);
  }
  const size_t P = at;
  gradients = P;
  state = 2 * P;
  const size_t workspace = options.optimizer == "adam" ? 4 * P : 2 * P;

  plan.inputs = widths.front();
  plan.targets = widths.back();
  plan.capacity = options.capacity;
  plan.parameters = P;
  const double O = static_cast<double>(widths.back());
  for (const size_t p : {kTrain, kEvaluate, kPredict}) {
    end_ = workspace;
    EncodedProgram& program = plan.programs[p];
    program.isThere = true;
    std::vector<size_t> outputs;
    const size_t z = emitForward(program.chunk, outputs, p == kTrain);
    if (p != kTrain) {
      program.outputAt = static_cast<double>(z);
      program.columns = widths.back();
    }
    if (p == kPredict) continue;
    const size_t t = allocate(widths.back());
    const double dz = p == kTrain ? static_cast<double>(allocate(widths.back())) : -1;
    emit(program.chunk, "gatherTargets", {double(t), O});
    emit(program.chunk, "loss." + options.loss, {double(z), double(t), dz, O, O, 1 / O, 1, 1, 0});
    if (p != kTrain) continue;
    double dy = dz;
    for (size_t l = layers; l-- > 0;) {
      const double I = static_cast<double>(widths[l]), out = static_cast<double>(widths[l + 1]);
      if (l + 1 < layers) {
        const double y = static_cast<double>(outputs[2 * l + 1]);
        if (options.dropout > 0) emit(program.chunk, "mask", {dy, dy, out, options.dropout, double(l)});
        emit(program.chunk, "activateGrad." + options.activation, {y, y, dy, dy, out});
      }
      const double x = static_cast<double>(outputs[2 * l]);
      emit(program.chunk, "affineGradWeights", {x, dy, double(P + W[l]), double(P + b[l]), I, out});
      if (l == 0) break;
      const double dx = static_cast<double>(allocate(widths[l]));
      emit(program.chunk, "affineGradInput", {dy, double(W[l]), dx, I, out});
      dy = dx;
    }
    const double n = static_cast<double>(P), g = n;
    if (options.lambda > 0) emit(program.step, "penalty", {0, g, double(weights), options.lambda});
    emit(program.step, "guard", {g, n});
    if (options.optimizer == "adam") emit(program.step, "scaleByAdam", {g, 2 * n, 3 * n, n, 0.9, 0.999, 1e-8});
    emit(program.step, "descend", {0, g, n});
    plan.length = std::max(plan.length, end_);
  }
  plan.length = std::max(plan.length, end_);
}

void Net::emit(std::vector<double>& list, const std::string& key, const std::vector<double>& operands) {
  auto found = std::find(plan.keys.begin(), plan.keys.end(), key);
  if (found == plan.keys.end()) found = plan.keys.insert(found, key);
  list.push_back(static_cast<double>(found - plan.keys.begin()));
  list.insert(list.end(), operands.begin(), operands.end());
}

size_t Net::allocate(size_t columns) {
  const size_t at = end_;
  end_ += align(columns * options.capacity);
  plan.length = std::max(plan.length, end_);
  return at;
}

// `outputs`: for each layer where its input and where its activation stand.
size_t Net::emitForward(std::vector<double>& list, std::vector<size_t>& outputs, bool isTraining) {
  const auto& widths = options.widths;
  size_t x = allocate(widths[0]);
  emit(list, "gather", {double(x), double(widths[0])});
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    const double I = static_cast<double>(widths[l]), O = static_cast<double>(widths[l + 1]);
    const size_t y = allocate(widths[l + 1]);
    emit(list, "affine", {double(x), double(W[l]), double(b[l]), double(y), I, O});
    outputs.push_back(x);
    outputs.push_back(y);
    x = y;
    if (l + 2 == widths.size()) break;
    emit(list, "activate." + options.activation, {double(y), double(y), O});
    if (!isTraining || options.dropout == 0) continue;
    x = allocate(widths[l + 1]);
    emit(list, "mask", {double(y), double(x), O, options.dropout, double(l)});
  }
  return x;
}

std::shared_ptr<Engine> Net::load(int threads, const Engine* parametersOf) const {
  std::string error;
  auto engine = Engine::load(plan, threads, parametersOf, error);
  if (engine == nullptr) std::printf("  load: %s\n", error.c_str());
  if (engine != nullptr && parametersOf == nullptr) fill(*engine);
  return engine;
}

void Net::fill(Engine& engine) const {
  const auto& widths = options.widths;
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    std::vector<float> weights(widths[l] * widths[l + 1]), bias(widths[l + 1]);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.5f * noise(W[l] + i);
    for (size_t i = 0; i < bias.size(); ++i) bias[i] = 0.1f * noise(b[l] + i);
    engine.write(W[l], weights.size(), weights.data());
    engine.write(b[l], bias.size(), bias.data());
  }
}

std::shared_ptr<const Table> noiseTable(size_t rows, size_t inputs, size_t targets) {
  std::vector<float> x(rows * inputs), y(rows * targets);
  for (size_t i = 0; i < x.size(); ++i) x[i] = noise(i);
  for (size_t i = 0; i < y.size(); ++i) y[i] = noise(i + 1000003);
  Source source;
  source.x = x.data();
  source.rows = rows;
  source.columns = inputs;
  source.targets = targets;
  return copyTable(source, y.data());
}

Slice sliceOver(size_t program, size_t rows, size_t batch, size_t steps, double learningRate) {
  Slice slice;
  slice.program = program;
  slice.pass = rows;
  slice.batch = batch;
  slice.steps = steps;
  slice.seed = 4;
  if (program == kTrain) slice.learningRate.assign(steps, learningRate);
  return slice;
}

std::vector<float> parametersOf(Engine& engine) {
  std::vector<float> values(engine.plan().parameters);
  engine.read(0, values.size(), values.data());
  return values;
}

uint64_t hashOf(const std::vector<float>& values) {
  uint64_t hash = 14695981039346656037u;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
  }
  return hash;
}

}  // namespace test
