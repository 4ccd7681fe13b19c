// Runs the tests of the core: all, or those whose names contain one of the arguments.
#include <vector>

#include "test.h"

namespace test {

Test* first = nullptr;
int failures = 0;

static int shown = 0;

bool fails(const char* file, int line, const char* what) {
  ++failures;
  if (++shown <= kShown) std::printf("  %s:%d: %s\n", file, line, what);
  if (shown == kShown + 1) std::printf("  …\n");
  return false;
}

static bool isWanted(const char* name, int argc, char** argv) {
  if (argc < 2) return true;
  for (int i = 1; i < argc; ++i) {
    if (std::strstr(name, argv[i]) != nullptr) return true;
  }
  return false;
}

}  // namespace test

int main(int argc, char** argv) {
  std::vector<test::Test*> tests;
  for (test::Test* at = test::first; at != nullptr; at = at->next) tests.insert(tests.begin(), at);
  int passed = 0, failed = 0;
  for (test::Test* at : tests) {
    if (!test::isWanted(at->name, argc, argv)) continue;
    const int before = test::failures;
    test::shown = 0;
    at->run();
    if (test::failures == before) {
      ++passed;
    } else {
      ++failed;
      std::printf("not ok: %s\n", at->name);
    }
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
