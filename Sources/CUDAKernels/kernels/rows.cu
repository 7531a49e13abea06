// Rows of tables: rotary embedding with and without the norm of heads, look-up and its gradient.
#include "prelude.cuh"

/// The angles by which heads are rotated: tables [·, half] and the position of each row.
template <class C> struct Rotation {
  const C *cosines, *sines;
  const int32_t *positions;
  int heads, dim, half, table_rows;
};

/// Two elements side by side, one access.
template <class T> struct __align__(2 * sizeof(T)) Couple {
  T v[2];
};
template <class T> DEV void load_couple(const T *p, Compute<T> (&v)[2]) {
  const Couple<T> couple = *reinterpret_cast<const Couple<T> *>(p);
  v[0] = up(couple.v[0]);
  v[1] = up(couple.v[1]);
}
template <class T> DEV void store_couple(T *p, const Compute<T> (&v)[2]) {
  *reinterpret_cast<Couple<T> *>(p) = Couple<T>{{down<T>(v[0]), down<T>(v[1])}};
}

/// The angles of one head (of all rows); those of a position beyond the table are NaN.
template <class C> struct Angles {
  const C *cosines, *sines;
  bool known;

  DEV_INLINE Angles(const Rotation<C> &r, uint32_t head) {
    const int position = r.positions[head / uint32_t(r.heads)];
    known = position >= 0 && position < r.table_rows;
    const int64_t row = int64_t(known ? position : 0) * r.half;
    cosines = r.cosines + row;
    sines = r.sines + row;
  }
  /// Cosine and sine of pair i.
  DEV_INLINE void get(int i, C &cosine, C &sine) const {
    const C nan = C(bits_to_float(0x7fffffffu));
    cosine = known ? cosines[i] : nan;
    sine = known ? sines[i] : nan;
  }
  /// Those of pairs i and i + 1; i is even, and so is the number of pairs.
  DEV_INLINE void get(int i, C (&cosine)[2], C (&sine)[2]) const {
    if (known) {
      load_couple(cosines + i, cosine);
      load_couple(sines + i, sine);
    } else {
      cosine[0] = cosine[1] = sine[0] = sine[1] = C(bits_to_float(0x7fffffffu));
    }
  }
};

template <class T> DEV uint64_t bits_of(const T *p) { return reinterpret_cast<uint64_t>(p); }
/// Couples of pairs that a lane may have: heads of up to 256 dims.
constexpr int COUPLES = 2;
/// Whether a warp can take the pairs of a head by couples, from 2·lane on, and keep them in registers. `addresses` are those of
/// matrices of T, or'ed.
template <class T> DEV bool takes_couples(const Rotation<Compute<T>> &r, uint64_t addresses) {
  const uint64_t tables = bits_of(r.cosines) | bits_of(r.sines);
  return r.half % 2 == 0 && r.dim == 2 * r.half && r.half <= 64 * COUPLES && addresses % (2 * sizeof(T)) == 0 &&
         tables % (2 * sizeof(Compute<T>)) == 0;
}

/// y₁ = x₁·cos − s·x₂·sin, y₂ = x₂·cos + s·x₁·sin over the first 2·half dims of each head; the rest is copied.
/// One thread a pair or a copied element.
template <class T> DEV void rotate(const T *x, T *y, uint32_t n, const Rotation<Compute<T>> &r, int inverse) {
  using C = Compute<T>;
  const uint32_t t = blockIdx.x * blockDim.x + threadIdx.x, width = r.dim - r.half;
  if (t >= n) return;
  const uint32_t head = t / width;  // of all rows
  const int i = int(t - head * width);
  const T *from = x + int64_t(head) * r.dim;
  T *to = y + int64_t(head) * r.dim;
  if (i >= r.half) {
    to[i + r.half] = from[i + r.half];
    return;
  }
  C c, s;
  Angles<C>(r, head).get(i, c, s);
  if (inverse) s = -s;
  const C a = up(from[i]), b = up(from[r.half + i]);
  to[i] = down<T>(a * c - b * s);
  to[r.half + i] = down<T>(b * c + a * s);
}
#define ROTATE(T, S)                                                                                     \
  KERNEL(256, rotate_##S)(const T *x, T *y, uint32_t n, Rotation<Compute<T>> r, int inverse) {           \
    rotate(x, y, n, r, inverse);                                                                         \
  }                                                                                                      \
  EXPORT(rotate_##S)
FOR_FLOATS(ROTATE)

/// The rotated RMSNorm of each of n heads, rounded to T in between. Block (32, 8): a warp a head. Where it is not kept in
/// registers, it is read from the cache the second time.
template <class T>
DEV void rotate_normalized(const T *x, const T *w, T *y, Compute<T> *rstd, uint32_t n, const Rotation<Compute<T>> &r,
                           double epsilon) {
  using C = Compute<T>;
  const uint32_t head = blockIdx.x * blockDim.y + threadIdx.y;
  if (head >= n) return;  // a whole warp, or nobody
  const int lane = threadIdx.x;
  const T *from = x + int64_t(head) * r.dim;
  T *to = y + int64_t(head) * r.dim;
  const Angles<C> angles(r, head);
  C sum = 0;
  auto factor = [&] { return C(1) / sqrt_(warp_sum(sum) / C(r.dim) + C(epsilon)); };
  auto rounded = [](C v) { return up(down<T>(v)); };
  if (takes_couples<T>(r, bits_of(x) | bits_of(w) | bits_of(y))) {
    C a[COUPLES][2], b[COUPLES][2];
#pragma unroll
    for (int j = 0; j < COUPLES; ++j) {
      const int i = 2 * lane + 64 * j;
      if (i >= r.half) continue;
      load_couple(from + i, a[j]);
      load_couple(from + r.half + i, b[j]);
#pragma unroll
      for (int e = 0; e < 2; ++e) sum += a[j][e] * a[j][e] + b[j][e] * b[j][e];
    }
    const C scale = factor();
#pragma unroll
    for (int j = 0; j < COUPLES; ++j) {
      const int i = 2 * lane + 64 * j;
      if (i >= r.half) continue;
      C wa[2], wb[2], c[2], s[2], first[2], second[2];
      load_couple(w + i, wa);
      load_couple(w + r.half + i, wb);
      angles.get(i, c, s);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const C na = rounded(a[j][e] * scale * wa[e]), nb = rounded(b[j][e] * scale * wb[e]);
        first[e] = na * c[e] - nb * s[e];
        second[e] = nb * c[e] + na * s[e];
      }
      store_couple(to + i, first);
      store_couple(to + r.half + i, second);
    }
    if (lane == 0) rstd[head] = scale;
    return;
  }
  for (int i = lane; i < r.dim; i += 32) sum += up(from[i]) * up(from[i]);
  const C scale = factor();
  auto normalized = [&](int i) { return down<T>(up(from[i]) * scale * up(w[i])); };
  for (int i = lane; i < r.half; i += 32) {
    C c, s;
    angles.get(i, c, s);
    const C a = up(normalized(i)), b = up(normalized(r.half + i));
    to[i] = down<T>(a * c - b * s);
    to[r.half + i] = down<T>(b * c + a * s);
  }
  for (int i = 2 * r.half + lane; i < r.dim; i += 32) to[i] = normalized(i);
  if (lane == 0) rstd[head] = scale;
}
#define ROTATE_NORMALIZED(T, S)                                                                          \
  KERNEL(256, rotate_normalized_##S)(const T *x, const T *w, T *y, Compute<T> *rstd, uint32_t n,         \
                                     Rotation<Compute<T>> r, double epsilon) {                           \
    rotate_normalized(x, w, y, rstd, n, r, epsilon);                                                     \
  }                                                                                                      \
  EXPORT(rotate_normalized_##S)
FOR_FLOATS(ROTATE_NORMALIZED)

/// With d = dy rotated back and rounded to T, g = d ⊙ w and x̂ = x·rstd:  dx = rstd·(g − x̂·mean(g ⊙ x̂)). Block (32, 8): a
/// warp a head.
template <class T>
DEV void rotate_normalized_backward(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, uint32_t n,
                                    const Rotation<Compute<T>> &r) {
  using C = Compute<T>;
  const uint32_t head = blockIdx.x * blockDim.y + threadIdx.y;
  if (head >= n) return;
  const int lane = threadIdx.x;
  const T *d = dy + int64_t(head) * r.dim, *from = x + int64_t(head) * r.dim;
  T *to = dx + int64_t(head) * r.dim;
  const C scale = rstd[head];
  const Angles<C> angles(r, head);
  C sum = 0;
  auto mean = [&] { return warp_sum(sum) * scale * scale / C(r.dim); };
  auto rounded = [](C v) { return up(down<T>(v)); };
  if (takes_couples<T>(r, bits_of(dy) | bits_of(x) | bits_of(w) | bits_of(dx))) {
    C a[COUPLES][2], b[COUPLES][2], ga[COUPLES][2], gb[COUPLES][2];
#pragma unroll
    for (int j = 0; j < COUPLES; ++j) {
      const int i = 2 * lane + 64 * j;
      if (i >= r.half) continue;
      C da[2], db[2], wa[2], wb[2], c[2], s[2];
      load_couple(d + i, da);
      load_couple(d + r.half + i, db);
      load_couple(w + i, wa);
      load_couple(w + r.half + i, wb);
      load_couple(from + i, a[j]);
      load_couple(from + r.half + i, b[j]);
      angles.get(i, c, s);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        ga[j][e] = rounded(da[e] * c[e] + db[e] * s[e]) * wa[e];
        gb[j][e] = rounded(db[e] * c[e] - da[e] * s[e]) * wb[e];
        sum += ga[j][e] * a[j][e] + gb[j][e] * b[j][e];
      }
    }
    const C factor = mean();
#pragma unroll
    for (int j = 0; j < COUPLES; ++j) {
      const int i = 2 * lane + 64 * j;
      if (i >= r.half) continue;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        ga[j][e] = scale * (ga[j][e] - a[j][e] * factor);
        gb[j][e] = scale * (gb[j][e] - b[j][e] * factor);
      }
      store_couple(to + i, ga[j]);
      store_couple(to + r.half + i, gb[j]);
    }
    return;
  }
  auto weighted = [&](int i, C gradient) { return rounded(gradient) * up(w[i]); };
  // g of both elements of pair i.
  auto pair = [&](int i, C &first, C &second) {
    C c, s;
    angles.get(i, c, s);
    const C a = up(d[i]), b = up(d[r.half + i]);
    first = weighted(i, a * c + b * s);
    second = weighted(r.half + i, b * c - a * s);
  };
  for (int i = lane; i < r.half; i += 32) {
    C first, second;
    pair(i, first, second);
    sum += first * up(from[i]) + second * up(from[r.half + i]);
  }
  for (int i = 2 * r.half + lane; i < r.dim; i += 32) sum += weighted(i, up(d[i])) * up(from[i]);
  const C factor = mean();
  for (int i = lane; i < r.half; i += 32) {
    C first, second;
    pair(i, first, second);
    to[i] = down<T>(scale * (first - up(from[i]) * factor));
    to[r.half + i] = down<T>(scale * (second - up(from[r.half + i]) * factor));
  }
  for (int i = 2 * r.half + lane; i < r.dim; i += 32)
    to[i] = down<T>(scale * (weighted(i, up(d[i])) - up(from[i]) * factor));
}
#define ROTATE_NORMALIZED_BACKWARD(T, S)                                                                 \
  KERNEL(256, rotate_normalized_backward_##S)(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, \
                                              uint32_t n, Rotation<Compute<T>> r) {                      \
    rotate_normalized_backward(dy, x, w, rstd, dx, n, r);                                                \
  }                                                                                                      \
  EXPORT(rotate_normalized_backward_##S)
FOR_FLOATS(ROTATE_NORMALIZED_BACKWARD)

/// y[n] ← table[ids[n]], rows of `width` elements of W bytes each. A block a row; an id beyond the table gives all ones,
/// which is NaN in every float type.
#define GATHER(W, S)                                                                                     \
  KERNEL(256, gather_rows_##S)(const W *table, const int32_t *ids, W *y, int64_t width, int table_rows) { \
    const int id = ids[blockIdx.x];                                                                      \
    const bool known = id >= 0 && id < table_rows;                                                       \
    const W *from = table + int64_t(known ? id : 0) * width;                                             \
    W *to = y + int64_t(blockIdx.x) * width;                                                             \
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x) to[i] = known ? from[i] : W(~W(0));        \
  }                                                                                                      \
  EXPORT(gather_rows_##S)
GATHER(uint8_t, b8)
GATHER(uint16_t, b16)
GATHER(uint32_t, b32)
GATHER(uint64_t, b64)

/// table[ids[n]] += x[n]. A block owns columns of every gridDim.y-th row of the table, so that each row receives its additions in the
/// order of n. It looks through 256 ids at a time and lists those that are its own.
template <class T>
DEV void scatter_add_rows(const T *x, const int32_t *ids, T *table, int rows, int columns, int table_rows) {
  __shared__ int listed[256], count_of[8];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, c = int(first_lane<T>());
  const bool packed = columns % LANES<T> == 0 && is_aligned(x) && is_aligned(table);
  for (int start = 0; start < rows; start += 256) {
    const int n = start + int(threadIdx.x), id = n < rows ? ids[n] : -1;
    const uint32_t votes = warp_votes(id >= 0 && id < table_rows && uint32_t(id) % gridDim.y == blockIdx.y);
    if (lane == 0) count_of[warp] = __popc(votes);
    __syncthreads();
    int place = __popc(votes & ((1u << lane) - 1)), count = 0;
    for (int w = 0; w < 8; ++w) {
      if (w < warp) place += count_of[w];
      count += count_of[w];
    }
    if (votes >> lane & 1) listed[place] = n;
    __syncthreads();
    if (c < columns)
      for (int i = 0; i < count; ++i) {
        T *to = table + int64_t(ids[listed[i]]) * columns + c;
        Compute<T> v[LANES<T>], sum[LANES<T>];
        load(x + int64_t(listed[i]) * columns + c, columns - c, packed, v);
        load(to, columns - c, packed, sum);
#pragma unroll
        for (int j = 0; j < LANES<T>; ++j) sum[j] += v[j];
        store(to, columns - c, packed, sum);
      }
    __syncthreads();  // the list has been read
  }
}
#define SCATTER_ADD(T, S)                                                                                \
  KERNEL(256, scatter_add_rows_##S)(const T *x, const int32_t *ids, T *table, int rows, int columns, int table_rows) { \
    scatter_add_rows(x, ids, table, rows, columns, table_rows);                                          \
  }                                                                                                      \
  EXPORT(scatter_add_rows_##S)
FOR_FLOATS(SCATTER_ADD)
