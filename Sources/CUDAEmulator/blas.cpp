// cuBLASLt by its names and signatures: plain products that honour layouts, transposition, α and β.
#include <cstdint>
#include <cstring>
#include <vector>

#include "emulation.h"
#include "standin.h"

namespace {
struct Description {
  int computeType, scaleType, transA = 0, transB = 0;
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t ld;
};
struct Preference {
  uint32_t reductionSchemes = 7;  // none, in place, in the compute type, and in the result's type
};
/// cublasLtMatmulHeuristicResult_t.
struct Heuristic {
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

// Made by this thread and not destroyed.
thread_local int alive = 0;
template <class T, class... A> int make(const char *call, void **handle, A... values) {
  if (const int status = standin::plannedFailure(call)) return status;
  *handle = new T{values...};
  ++alive;
  return 0;
}
template <class T> int destroy(void *handle) {
  delete static_cast<T *>(handle);
  --alive;
  return 0;
}

int cublasLtCreate(void **handle) { return make<int>(__func__, handle, 0); }
int cublasLtDestroy(void *handle) { return destroy<int>(handle); }
size_t cublasLtGetVersion() { return 130100; }
int cublasLtMatmulDescCreate(void **description, int computeType, int scaleType) {
  return make<Description>(__func__, description, computeType, scaleType);
}
int cublasLtMatmulDescDestroy(void *description) { return destroy<Description>(description); }
int cublasLtMatmulDescSetAttribute(void *description, int attribute, const void *value, size_t size) {
  if (const int status = standin::plannedFailure(__func__)) return status;
  auto *d = static_cast<Description *>(description);
  if (size != 4 || (attribute != 3 && attribute != 4)) return 7;
  memcpy(attribute == 3 ? &d->transA : &d->transB, value, 4);
  return 0;
}
int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld) {
  if (rows == 0 || columns == 0 || ld < int64_t(rows)) return 7;
  return make<Layout>(__func__, layout, type, rows, columns, ld);
}
int cublasLtMatrixLayoutDestroy(void *layout) { return destroy<Layout>(layout); }
int cublasLtMatmulPreferenceCreate(void **preference) { return make<Preference>(__func__, preference); }
int cublasLtMatmulPreferenceDestroy(void *preference) { return destroy<Preference>(preference); }
int cublasLtMatmulPreferenceSetAttribute(void *preference, int attribute, const void *value, size_t size) {
  if (const int status = standin::plannedFailure(__func__)) return status;
  if (attribute == 3 && size == 4) {
    memcpy(&static_cast<Preference *>(preference)->reductionSchemes, value, 4);
    return 0;
  }
  return (attribute == 1 && size == 8) || (attribute >= 5 && attribute <= 8 && size == 4) ? 0 : 7;
}

/// Whether the three layouts fit the description; the sizes of op(A) op(B).
bool sizes(const Description &d, const Layout &a, const Layout &b, const Layout &c, uint64_t &m, uint64_t &n, uint64_t &k) {
  m = d.transA ? a.columns : a.rows;
  k = d.transA ? a.rows : a.columns;
  n = d.transB ? b.rows : b.columns;
  return (d.transB ? b.columns : b.rows) == k && c.rows == m && c.columns == n;
}

int cublasLtMatmulAlgoGetHeuristic(void *, void *description, void *a, void *b, void *c, void *d, void *preference,
                                   int requested, Heuristic *results, int *count) {
  if (const int status = standin::plannedFailure(__func__)) return status;
  // The choice asks for the device; partial sums in bfloat16 are not exact enough.
  if (!standin::hasContext()) return 1;
  if (static_cast<Preference *>(preference)->reductionSchemes != 2) return 7;
  uint64_t m, n, k;
  if (requested < 1 || !sizes(*static_cast<Description *>(description), *static_cast<Layout *>(a),
                              *static_cast<Layout *>(b), *static_cast<Layout *>(c), m, n, k) ||
      static_cast<Layout *>(c)->type != static_cast<Layout *>(d)->type)
    return 7;
  memset(results, 0, sizeof *results);
  results->algorithm[0] = 42;
  *count = 1;
  return 0;
}

double get(const void *p, int type, int64_t i) {
  switch (type) {
    case 0: return static_cast<const float *>(p)[i];
    case 1: return static_cast<const double *>(p)[i];
    default: return wide(static_cast<const bf16 *>(p)[i]);
  }
}
size_t width(int type) { return type == 1 ? 8 : type == 0 ? 4 : 2; }
size_t byteCount(const Layout &l) { return ((l.columns - 1) * uint64_t(l.ld) + l.rows) * width(l.type); }

template <class S> void multiply(const Description &d, const Layout &a, const void *A, const Layout &b, const void *B,
                                 const Layout &c, const void *C, void *D, S alpha, S beta, uint64_t m, uint64_t n,
                                 uint64_t k) {
  std::vector<S> left(m * k), column(k), sum(m);
  for (uint64_t l = 0; l < k; ++l)
    for (uint64_t i = 0; i < m; ++i)
      left[l * m + i] = S(get(A, a.type, d.transA ? int64_t(i) * a.ld + int64_t(l) : int64_t(l) * a.ld + int64_t(i)));
  for (uint64_t j = 0; j < n; ++j) {
    for (uint64_t l = 0; l < k; ++l)
      column[l] = S(get(B, b.type, d.transB ? int64_t(l) * b.ld + int64_t(j) : int64_t(j) * b.ld + int64_t(l)));
    std::fill(sum.begin(), sum.end(), S(0));
    for (uint64_t l = 0; l < k; ++l)
      for (uint64_t i = 0; i < m; ++i) sum[i] += left[l * m + i] * column[l];
    for (uint64_t i = 0; i < m; ++i) {
      const int64_t at = int64_t(j) * c.ld + int64_t(i);
      const S value = alpha * sum[i] + (beta == S(0) ? S(0) : beta * S(get(C, c.type, at)));
      switch (c.type) {
        case 0: static_cast<float *>(D)[at] = float(value); break;
        case 1: static_cast<double *>(D)[at] = double(value); break;
        default: static_cast<bf16 *>(D)[at] = to_bf16(float(value));
      }
    }
  }
}

int cublasLtMatmul(void *, void *description, const void *alpha, const void *A, void *a, const void *B, void *b,
                   const void *beta, const void *C, void *c, void *D, void *d, const uint64_t *algorithm, void *workspace,
                   size_t workspaceBytes, void *stream) {
  if (const int status = standin::plannedFailure(__func__)) return status;
  if (!standin::hasContext()) return 1;
  // Copies, for a product that is kept.
  const auto desc = *static_cast<Description *>(description);
  const auto la = *static_cast<Layout *>(a), lb = *static_cast<Layout *>(b), lc = *static_cast<Layout *>(c);
  uint64_t m, n, k;
  const bool isDouble = lc.type == 1;
  if (!algorithm || algorithm[0] != 42 || !sizes(desc, la, lb, lc, m, n, k) || la.type != lb.type ||
      desc.computeType != (isDouble ? 70 : 68) || desc.scaleType != (isDouble ? 1 : 0) ||
      static_cast<Layout *>(d)->ld != lc.ld || C != D)
    return 7;
  if (!standin::isDeviceMemory(A, byteCount(la)) || !standin::isDeviceMemory(B, byteCount(lb)) ||
      !standin::isDeviceMemory(D, byteCount(lc)) || !standin::isDeviceMemory(workspace, workspaceBytes))
    return 13;
  double factors[2];
  for (int i = 0; i < 2; ++i) {
    const void *factor = i == 0 ? alpha : beta;
    factors[i] = isDouble ? *static_cast<const double *>(factor) : *static_cast<const float *>(factor);
  }
  return standin::queue(stream, [=] {
    if (isDouble) multiply(desc, la, A, lb, B, lc, C, D, factors[0], factors[1], m, n, k);
    else multiply(desc, la, A, lb, B, lc, C, D, float(factors[0]), float(factors[1]), m, n, k);
    return 0;
  });
}
}  // namespace

int standin::descriptions() { return alive; }

void *standin::blasSymbol(const char *name) {
#define ENTRY(f) {#f, reinterpret_cast<void *>(f)}
  static const struct {
    const char *name;
    void *function;
  } table[] = {
      ENTRY(cublasLtCreate), ENTRY(cublasLtDestroy), ENTRY(cublasLtGetVersion), ENTRY(cublasLtMatmulDescCreate),
      ENTRY(cublasLtMatmulDescDestroy), ENTRY(cublasLtMatmulDescSetAttribute), ENTRY(cublasLtMatrixLayoutCreate),
      ENTRY(cublasLtMatrixLayoutDestroy), ENTRY(cublasLtMatmulPreferenceCreate), ENTRY(cublasLtMatmulPreferenceDestroy),
      ENTRY(cublasLtMatmulPreferenceSetAttribute), ENTRY(cublasLtMatmulAlgoGetHeuristic), ENTRY(cublasLtMatmul),
  };
  for (const auto &entry : table)
    if (!strcmp(entry.name, name)) return entry.function;
  return nullptr;
}
