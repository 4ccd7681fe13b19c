// The engine as a whole: its steps against a plain double-precision twin, and what must not change a bit: threads,
// slices, who else looks.
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>

#include "nets.h"
#include "test.h"

namespace test {
namespace {

// Waits for the report of a slice given to `start`.
class Awaited {
 public:
  void operator()(Report&& report) {
    std::lock_guard<std::mutex> lock(mutex_);
    report_ = std::move(report);
    isHere_ = true;
    came_.notify_all();
  }
  Report get() {
    std::unique_lock<std::mutex> lock(mutex_);
    came_.wait(lock, [&] { return isHere_; });
    return report_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  Report report_;
  bool isHere_ = false;
};

Report runAsync(Engine& engine, const Slice& slice, const std::shared_ptr<const Table>& table) {
  Awaited awaited;
  if (!engine.start(slice, table, [&](Report&& report) { awaited(std::move(report)); })) return {};
  return awaited.get();
}

// Full-batch gradient descent on the mean squared error of a net with tanh between its layers, in double, by the
// textbook: the twin of Net.
struct Twin {
  explicit Twin(const Net& net, const std::vector<float>& start) : net(net), p(start.begin(), start.end()) {}

  double step(const Source& source, double rate) {
    const auto& widths = net.options.widths;
    const size_t layers = widths.size() - 1, N = source.rows;
    std::vector<double> g(p.size(), 0.0);
    double loss = 0;
    for (size_t n = 0; n < N; ++n) {
      const auto* x = static_cast<const float*>(source.x) + n * widths[0];
      std::vector<std::vector<double>> a{std::vector<double>(x, x + widths[0])};
      for (size_t l = 0; l < layers; ++l) {
        std::vector<double> y(widths[l + 1]);
        for (size_t o = 0; o < y.size(); ++o) {
          y[o] = p[net.b[l] + o];
          for (size_t i = 0; i < widths[l]; ++i) y[o] += a[l][i] * p[net.W[l] + i * y.size() + o];
          if (l + 1 < layers) y[o] = std::tanh(y[o]);
        }
        a.push_back(y);
      }
      const double s = 1.0 / static_cast<double>(N * widths.back());
      std::vector<double> d(widths.back());
      for (size_t o = 0; o < d.size(); ++o) {
        const double e = a[layers][o] - source.y[n * d.size() + o];
        loss += s * e * e;
        d[o] = 2 * s * e;
      }
      for (size_t l = layers; l-- > 0;) {
        std::vector<double> below(widths[l], 0.0);
        for (size_t o = 0; o < d.size(); ++o) {
          g[net.b[l] + o] += d[o];
          for (size_t i = 0; i < widths[l]; ++i) {
            g[net.W[l] + i * d.size() + o] += a[l][i] * d[o];
            below[i] += d[o] * p[net.W[l] + i * d.size() + o];
          }
        }
        for (size_t i = 0; i < below.size(); ++i) below[i] *= 1 - a[l][i] * a[l][i];
        d = below;
      }
    }
    const size_t weights = net.b[0];
    for (size_t i = 0; i < weights; ++i) {
      loss += 0.5 * net.options.lambda * p[i] * p[i];
      g[i] += net.options.lambda * p[i];
    }
    norm = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      norm += g[i] * g[i];
      p[i] -= rate * g[i];
    }
    norm = std::sqrt(norm);
    return loss;
  }

  const Net& net;
  std::vector<double> p;
  double norm = 0;
};

}  // namespace

TEST(engineTrainsAsItsTwinDoes) {
  for (const auto& widths : std::vector<std::vector<size_t>>{{1, 1}, {3, 5, 2}, {7, 31, 17, 3}, {33, 129, 64, 1}}) {
    NetOptions options;
    options.widths = widths;
    options.lambda = 0.01;
    options.capacity = 13;
    const Net net(options);
    const auto engine = net.load();
    const auto table = noiseTable(37, widths.front(), widths.back());
    Twin twin(net, parametersOf(*engine));
    const Report report = engine->run(sliceOver(kTrain, 37, 37, 10, 0.1), table->source);
    CHECK(report.steps == 10 && report.loss.size() == 10 && report.stopped == Stopped::no && !report.hasOutput);
    for (size_t i = 0; i < 10; ++i) {
      const double loss = twin.step(table->source, 0.1);
      CHECK_NEAR(report.loss[i], loss, 1e-5 * loss);
      CHECK_NEAR(report.gradientNorm[i], twin.norm, 1e-4 * twin.norm + 1e-7);
      CHECK(report.penalty[i] > 0 && report.penalty[i] < report.loss[i]);
    }
    const auto after = parametersOf(*engine);
    for (size_t i = 0; i < after.size(); ++i) CHECK_NEAR(after[i], twin.p[i], 2e-5);
  }
}

// One slice of all steps, slices of one step, a thread of its own, and any number of threads: the same bits. The layers
// are wide enough for their products to be cut.
TEST(engineBitsDependOnTheStepsAlone) {
  NetOptions options;
  options.widths = {190, 300, 130, 5};
  options.optimizer = "adam";
  options.capacity = 64;
  options.dropout = 0.25;
  options.lambda = 1e-3;
  const Net net(options);
  const auto table = noiseTable(301, 190, 5);
  const Slice whole = sliceOver(kTrain, 301, 128, 9, 0.01);
  const auto first = net.load(1);
  const Report expected = first->run(whole, table->source);
  const uint64_t hash = hashOf(parametersOf(*first));
  CHECK(expected.steps == 9);

  for (const int threads : {1, 2, 3, 4, 7}) {
    const auto engine = net.load(threads);
    const Report report = runAsync(*engine, whole, table);
    CHECK(report.loss == expected.loss && report.gradientNorm == expected.gradientNorm);
    CHECK(hashOf(parametersOf(*engine)) == hash);
  }

  const auto engine = net.load(2);
  const size_t starts[] = {0, 128, 256};
  for (size_t i = 0; i < 9; ++i) {
    Slice part = sliceOver(kTrain, 301, 128, 1, 0.01);
    part.start = starts[i % 3];
    part.step = i;
    const Report report = i % 2 ? runAsync(*engine, part, table) : engine->run(part, table->source);
    CHECK(report.loss.size() == 1 && report.loss[0] == expected.loss[i]);
  }
  CHECK(hashOf(parametersOf(*engine)) == hash);
}

// Rows by number are the same as rows in place, in any order and more than once.
TEST(engineTakesRowsByNumber) {
  const Net net({});
  const auto table = noiseTable(20, 3, 2);
  Slice slice = sliceOver(kEvaluate, 20, 7, 3, 0);
  slice.hasRows = true;
  for (uint32_t i = 0; i < 20; ++i) slice.rows.push_back(19 - i / 2);
  const auto engine = net.load();
  const Report report = engine->run(slice, table->source);
  CHECK(report.steps == 3 && report.output.size() == 40);
  std::vector<float> all(40);
  CHECK(engine->predict(table->source, all.data()));
  for (size_t i = 0; i < 20; ++i) {
    for (size_t o = 0; o < 2; ++o) CHECK(report.output[2 * i + o] == all[2 * slice.rows[i] + o]);
  }
}

// Rows of floats are read where they were given, others through the arena: the same bits. A row that is not finite is
// refused wherever it stands, and one whose outputs overflow is not.
TEST(engineReadsRowsWhereTheyAreGiven) {
  for (const size_t inputs : {3, 300}) {
    NetOptions options;
    options.widths = {inputs, 200, 2};
    options.activation = "relu";
    const Net net(options);
    for (const int threads : {1, 3}) {
      const auto engine = net.load(threads);
      const auto table = noiseTable(20, inputs, 2);
      const float* const rows = static_cast<const float*>(table->source.x);
      std::vector<float> x(rows, rows + 20 * inputs);
      const std::vector<double> doubles(x.begin(), x.end());
      Source given = table->source, copied = table->source;
      given.x = x.data();
      copied.x = doubles.data();
      copied.kind = Source::Kind::float64;
      given.isChecked = copied.isChecked = false;
      std::vector<float> first(40), second(40);
      CHECK(engine->predict(given, first.data()) && engine->predict(copied, second.data()));
      CHECK(first == second);
      for (const size_t at : {size_t{0}, 11 * inputs + 1, 20 * inputs - 1}) {
        const float before = x[at];
        for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()}) {
          x[at] = odd;
          CHECK(!engine->predict(given, first.data()));
        }
        x[at] = before;
      }
      x[inputs] = std::numeric_limits<float>::max();
      const std::vector<float> huge(inputs * 200, 1e10f);
      engine->write(net.W[0], huge.size(), huge.data());
      CHECK(engine->predict(given, first.data()));
      CHECK(!std::isfinite(first[2]));
    }
  }
}

TEST(engineRefusesAStepThatIsNotFinite) {
  const Net net({});
  const auto engine = net.load();
  const auto table = noiseTable(20, 3, 2);
  Slice slice = sliceOver(kTrain, 20, 20, 6, 0.1);
  slice.learningRate[3] = 1e30;  // throws the weights out; the step after it sees it
  const Report report = engine->run(slice, table->source);
  CHECK(report.stopped == Stopped::nonFinite && report.steps == 5 - 1 && report.loss.size() == 5);
  CHECK(!std::isfinite(report.loss.back()) || !std::isfinite(report.gradientNorm.back()));
  for (size_t i = 0; i < 4; ++i) CHECK(std::isfinite(report.loss[i]));
  for (const float value : parametersOf(*engine)) CHECK(std::isfinite(value));

  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto before = parametersOf(*engine);
  engine->write(net.W[0], 1, &nan);
  const Report refused = engine->run(sliceOver(kTrain, 20, 20, 2, 0.1), table->source);
  CHECK(refused.steps == 0 && refused.loss.size() == 1 && std::isnan(refused.loss[0]));
  CHECK(refused.stopped == Stopped::nonFinite);
  auto after = parametersOf(*engine);
  after[net.W[0]] = before[net.W[0]];
  CHECK(hashOf(after) == hashOf(before));
}

TEST(engineStopsAfterAStep) {
  const Net net({});
  const auto engine = net.load();
  const auto table = noiseTable(200, 3, 2);
  Awaited awaited;
  CHECK(engine->start(sliceOver(kTrain, 200, 200, 1000000, 1e-3), table,
                      [&](Report&& report) { awaited(std::move(report)); }));
  CHECK(engine->isRunning());
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  engine->stop(Stop::afterStep);
  const Report report = awaited.get();
  CHECK(report.stopped == Stopped::asked && report.steps == report.loss.size() && report.steps > 0);
  CHECK(runAsync(*engine, sliceOver(kTrain, 200, 200, 3, 1e-3), table).steps == 3);  // and can be used again
}

TEST(engineClosesInTheMiddle) {
  for (int i = 0; i < 20; ++i) {
    const Net net({});
    const auto engine = net.load(2);
    std::atomic<int> reports{0};
    CHECK(
        engine->start(sliceOver(kTrain, 200, 200, 1000000, 1e-3), noiseTable(200, 3, 2), [&](Report&&) { ++reports; }));
    if (i % 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    engine->close();
    CHECK(reports == 1);
  }
}

TEST(enginesShareParameters) {
  const Net net({});
  const auto trainer = net.load();
  const auto looker = net.load(1, trainer.get());
  const auto table = noiseTable(20, 3, 2);
  CHECK(hashOf(parametersOf(*looker)) == hashOf(parametersOf(*trainer)));
  trainer->run(sliceOver(kTrain, 20, 20, 5, 0.1), table->source);
  CHECK(hashOf(parametersOf(*looker)) == hashOf(parametersOf(*trainer)));
  std::vector<float> a(40), b(40);
  trainer->predict(table->source, a.data());
  trainer->close();
  looker->predict(table->source, b.data());  // the block outlives the engine that made it
  CHECK(a == b);

  NetOptions other;
  other.widths = {3, 6, 2};
  std::string error;
  CHECK(Engine::load(Net(other).plan, 1, looker.get(), error) == nullptr && !error.empty());
}

// While one engine trains, what another sees of the parameters is a state after a whole step, and it sees it soon.
TEST(enginesSeeWholeSteps) {
  NetOptions options;
  options.widths = {5, 40, 3};
  const Net net(options);
  const auto table = noiseTable(64, 5, 3);

  // All states there are.
  const auto alone = net.load();
  std::vector<uint64_t> states{hashOf(parametersOf(*alone))};
  Slice one = sliceOver(kTrain, 64, 64, 1, 0.05);
  for (size_t i = 0; i < 3000; ++i) {
    one.step = i;
    alone->run(one, table->source);
    states.push_back(hashOf(parametersOf(*alone)));
  }
  std::sort(states.begin(), states.end());

  const auto trainer = net.load();
  const auto looker = net.load(1, trainer.get());
  Awaited awaited;
  CHECK(trainer->start(sliceOver(kTrain, 64, 64, 3000, 0.05), table,
                       [&](Report&& report) { awaited(std::move(report)); }));
  size_t looks = 0;
  std::vector<float> output(64 * 3);
  while (trainer->isRunning()) {
    CHECK(std::binary_search(states.begin(), states.end(), hashOf(parametersOf(*looker))));
    CHECK(std::binary_search(states.begin(), states.end(), hashOf(parametersOf(*trainer))));
    looker->predict(table->source, output.data());
    trainer->predict(table->source, output.data());
    ++looks;
  }
  CHECK(awaited.get().steps == 3000);
  CHECK(looks > 0);
  CHECK(hashOf(parametersOf(*looker)) == hashOf(parametersOf(*alone)));
}

TEST(engineRefusesPlansThatLeaveTheArena) {
  const Net net({});
  const auto fails = [](EncodedPlan plan) {
    std::string error;
    return Engine::load(std::move(plan), 1, nullptr, error) == nullptr && !error.empty();
  };
  EncodedPlan unknown = net.plan;
  unknown.keys[0] = "polish";
  CHECK(fails(unknown));
  EncodedPlan shorter = net.plan;
  shorter.length -= 64;
  CHECK(fails(shorter));
  EncodedPlan wider = net.plan;
  wider.capacity *= 2;
  CHECK(fails(wider));
  EncodedPlan cut = net.plan;
  cut.programs[kTrain].step.pop_back();
  CHECK(fails(cut));
  EncodedPlan misplaced = net.plan;
  std::swap(misplaced.programs[kTrain].step, misplaced.programs[kTrain].chunk);
  CHECK(fails(misplaced));
  EncodedPlan fraction = net.plan;
  fraction.programs[kTrain].chunk[1] += 0.5;
  CHECK(fails(fraction));
  EncodedPlan nan = net.plan;
  nan.programs[kTrain].chunk[1] = std::nan("");
  CHECK(fails(nan));
}

TEST(engineRefusesSlicesThatLeaveTheData) {
  const Net net({});
  const auto engine = net.load();
  const auto table = noiseTable(20, 3, 2);
  const Slice good = sliceOver(kTrain, 20, 7, 3, 0.1);
  CHECK(engine->check(good, table->source).empty());
  const auto fails = [&](void (*spoil)(Slice&)) {
    Slice slice = good;
    spoil(slice);
    return !engine->check(slice, table->source).empty();
  };
  CHECK(fails([](Slice& slice) { slice.pass = 21; }));
  CHECK(fails([](Slice& slice) { slice.batch = 0; }));
  CHECK(fails([](Slice& slice) { slice.start = 20; }));
  CHECK(fails([](Slice& slice) { slice.learningRate.pop_back(); }));
  CHECK(fails([](Slice& slice) { slice.program = kGradient; }));
  CHECK(fails([](Slice& slice) {
    slice.hasRows = true;
    slice.rows.assign(19, 0);
  }));
  CHECK(fails([](Slice& slice) {
    slice.hasRows = true;
    slice.rows.assign(20, 0);
    slice.rows[13] = 20;
  }));
  CHECK(!engine->check(good, noiseTable(20, 4, 2)->source).empty());
  CHECK(!engine->check(good, noiseTable(20, 3, 1)->source).empty());
}

TEST(tablesAreCopies) {
  double x[] = {1, 2, 3, 4};
  const double y[] = {0.5, 0.25};
  Source source;
  source.x = x;
  source.kind = Source::Kind::float64;
  source.scale = 0.5;
  source.rows = source.columns = 2;
  source.targets = 1;
  const auto table = copyTable(source, nullptr, y);
  x[0] = 100;
  const auto* copied = static_cast<const float*>(table->source.x);
  CHECK(copied[0] == 0.5f && copied[3] == 2.0f && table->source.scale == 1);
  CHECK(table->source.y[1] == 0.25f && table->bytes() == 4 * 4 + 2 * 4);

  const uint8_t pixels[] = {0, 128, 255, 1};
  source.x = pixels;
  source.kind = Source::Kind::bytes;
  const auto image = copyTable(source, nullptr);
  CHECK(image->source.kind == Source::Kind::bytes && image->source.scale == 0.5 && image->bytes() == 4);
}

}  // namespace test
