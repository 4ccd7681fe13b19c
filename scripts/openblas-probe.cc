// Asks a candidate what the addon would ask it: is it serial, does it multiply rightly. Proves besides that a program
// can be linked with it and run. Built with native/blas.cc and run by openblas.js; never part of the addon.

#include <cstdio>

#include "../native/blas.h"

int main() {
  std::puts(downhill::blas().name);
  return downhill::blas().available ? 0 : 1;
}
