// The smallest runner that will do: a test is a function, a failed check prints where and what and goes on.
//
//   TEST(gateLetsManyReadersIn) { CHECK(inside == 2); }
//
// Each file of test/native registers its tests; main.cc runs those whose names contain an argument, or all.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>

namespace test {

struct Test {
  const char* name;
  void (*run)();
  Test* next;
};

extern Test* first;
extern int failures;  // of checks, in all

struct Registration {
  Test test;
  Registration(const char* name, void (*run)()) : test{name, run, first} { first = &test; }
};

// At most this many failures of one test are printed: the first numbers say it.
constexpr int kShown = 8;
bool fails(const char* file, int line, const char* what);

// Whether two numbers agree: both NaN, the same infinity, or |a − b| ≤ tolerance.
inline bool near(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::fabs(a - b) <= tolerance;
}

}  // namespace test

#define TEST(name)                                              \
  static void name();                                           \
  static ::test::Registration name##Registration(#name, &name); \
  static void name()

#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) ::test::fails(__FILE__, __LINE__, #condition); \
  } while (false)

#define CHECK_NEAR(a, b, tolerance)                                                                   \
  do {                                                                                                \
    const double a_ = (a), b_ = (b), tolerance_ = (tolerance);                                        \
    if (!::test::near(a_, b_, tolerance_)) {                                                          \
      char what_[256];                                                                                \
      std::snprintf(what_, sizeof what_, "%s = %.9g, %s = %.9g, off by %.3g of %.3g", #a, a_, #b, b_, \
                    std::fabs(a_ - b_), tolerance_);                                                  \
      ::test::fails(__FILE__, __LINE__, what_);                                                       \
    }                                                                                                 \
  } while (false)
