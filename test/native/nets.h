// Small nets for tests of the engine: a plan as lib/plan/compile.ts makes it, data, and a slice over all of it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"
#include "random.h"

namespace test {

using namespace downhill;

inline size_t align(size_t n) { return (n + 15) / 16 * 16; }

// Numbers in [−1, 1) without a pattern: reproducible, and different for each i.
inline float noise(size_t i) {
  return static_cast<float>(mix32(static_cast<uint32_t>(i) + 1)) * (1.0f / 2147483648.0f) - 1.0f;
}

struct NetOptions {
  std::vector<size_t> widths{3, 5, 2};
  std::string activation = "tanh";
  std::string loss = "mse";
  std::string optimizer = "sgd";  // or adam
  size_t capacity = 8;
  double lambda = 0;
  double dropout = 0;
};

// inputs → tanh … → linear, and its programs train, evaluate and predict.
struct Net {
  explicit Net(const NetOptions& options);

  std::shared_ptr<Engine> load(int threads = 1, const Engine* parametersOf = nullptr) const;
  // The weights all engines start from.
  void fill(Engine& engine) const;

  NetOptions options;
  EncodedPlan plan;
  std::vector<size_t> W, b;  // offsets, by layer
  size_t gradients = 0, state = 0;

 private:
  void emit(std::vector<double>& list, const std::string& key, const std::vector<double>& operands);
  size_t allocate(size_t columns);
  size_t emitForward(std::vector<double>& list, std::vector<size_t>& outputs, bool isTraining);
  size_t end_ = 0;
};

// `rows` rows of noise; targets of noise too.
std::shared_ptr<const Table> noiseTable(size_t rows, size_t inputs, size_t targets);

// `steps` steps over all rows in order.
Slice sliceOver(size_t program, size_t rows, size_t batch, size_t steps, double learningRate);

constexpr size_t kTrain = 0, kGradient = 1, kEvaluate = 2;

std::vector<float> parametersOf(Engine& engine);

// FNV-1a of the bits.
uint64_t hashOf(const std::vector<float>& values);

}  // namespace test
