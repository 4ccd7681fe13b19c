// Asks an OpenBLAS for its version and whether it has threads of its own, and proves that a program can be linked with
// it and run. Prints e.g. "0.3.21 serial". Built and run by openblas.js, never part of the addon.

#include <cstdio>

extern "C" {
void cblas_sgemm(int order, int transA, int transB, int m, int n, int k, float alpha, const float* A, int lda,
                 const float* B, int ldb, float beta, float* C, int ldc);
char* openblas_get_config(void);
int openblas_get_parallel(void);
}

int main() {
  const float A[4] = {1, 2, 3, 4}, B[4] = {5, 6, 7, 8};
  float C[4] = {0, 0, 0, 0};
  cblas_sgemm(101, 111, 111, 2, 2, 2, 1.0f, A, 2, B, 2, 0.0f, C, 2);
  if (C[0] != 19 || C[1] != 22 || C[2] != 43 || C[3] != 50) return 1;
  char version[32] = "";
  if (std::sscanf(openblas_get_config(), "OpenBLAS %31s", version) != 1) return 1;
  std::printf("%s %s\n", version, openblas_get_parallel() == 0 ? "serial" : "threaded");
  return 0;
}
