// How many threads the steps of a training are fastest with: found by trying.
//
// What a second thread brings depends on more than the work. Two cores of one cluster hand each other a line of cache
// in 30 ns, of different ones in 170, and a virtual machine may be moved from the one to the other at any time; another
// process may need the core. Since no bit depends on the number of threads, a run may change it from step to step. So
// it takes all there are, now and then tries half as many or twice as many for a few steps, and stays with what was
// faster.
#pragma once

#include <algorithm>
#include <limits>

namespace downhill {

class Pace {
 public:
  // `most` threads, at least 1.
  explicit Pace(int most) : most_(most), chosen_(most), next_(most) {}

  // For the next step.
  int threads() const { return next_; }

  // Tells how long the step took. Steps that cannot be compared (a last batch of fewer rows) are not told.
  void took(double seconds) {
    ++steps_;
    if (steps_ <= kSettle) return;
    if (next_ != chosen_) {
      least_ = std::min(least_, seconds);
      if (steps_ == kSettle + kLook) judge();
      return;
    }
    if (steps_ > wait_ - kLook) least_ = std::min(least_, seconds);
    if (steps_ < wait_) return;
    if (least_ < kLong) {
      tryAnother();
    } else {
      begin();
    }
  }

 private:
  // Steps after a change in which data move to the cores that now want them; then steps of which the fastest counts,
  // since whatever disturbs a step makes it longer.
  static constexpr int kSettle = 2, kLook = 4;
  // Between two trials: so many that a trial costs a hundredth, but within these.
  static constexpr int kSoon = 24, kLate = 4096;
  static constexpr double kCost = 0.01;
  // By so much faster another number must be.
  static constexpr double kGain = 0.96;
  // Longer steps are worth all threads: a trial would cost more than what passes between cores.
  static constexpr double kLong = 2e-3;

  void tryAnother() {
    const int fewer = (chosen_ + 1) / 2, more = std::min(2 * chosen_, most_);
    next_ = fewer == chosen_ || (triesMore_ && more != chosen_) ? more : fewer;
    before_ = least_;
    begin();
  }

  void judge() {
    const double ratio = least_ / before_;
    if (ratio < kGain) {
      triesMore_ = next_ > chosen_;
      chosen_ = next_;
      wait_ = kSoon;
    } else {
      triesMore_ = next_ < chosen_;
      next_ = chosen_;
      const double steps = (kSettle + kLook) * (ratio - 1) / kCost;
      wait_ = static_cast<int>(std::clamp<double>(steps, kSoon, kLate));
    }
    begin();
  }

  void begin() {
    steps_ = 0;
    least_ = std::numeric_limits<double>::infinity();
  }

  int most_, chosen_, next_;
  bool triesMore_ = false;
  int steps_ = 0;  // since the number last changed, or the last trial
  int wait_ = kSettle + 2 * kLook;
  double least_ = std::numeric_limits<double>::infinity();
  double before_ = 0;
};

}  // namespace downhill
