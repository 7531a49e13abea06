// Rows of tables: rotary embedding with and without the norm of heads, look-up and its gradient.
#include "prelude.cuh"

/// The angles by which heads are rotated: tables [·, half] and the position of each row.
template <class C> struct Rotation {
  const C *cosines, *sines;
  const int32_t *positions;
  int heads, dim, half, table_rows;
};

/// The angles of one row; those of a position beyond the table are NaN.
template <class C> struct Angles {
  const C *cosines, *sines;
  bool known;

  DEV_INLINE Angles(const Rotation<C> &r, uint32_t row) {
    const int position = r.positions[row];
    known = position >= 0 && position < r.table_rows;
    const int64_t start = int64_t(known ? position : 0) * r.half;
    cosines = r.cosines + start;
    sines = r.sines + start;
  }
  /// Cosine and sine of pair i.
  DEV_INLINE void get(int i, C &cosine, C &sine) const {
    const C nan = C(bits_to_float(0x7fffffffu));
    cosine = known ? cosines[i] : nan;
    sine = known ? sines[i] : nan;
  }
};

/// Four elements side by side.
template <class T> struct __align__(4 * sizeof(T)) Four {
  T v[4];
};
template <class T> DEV void load4(const T *p, Compute<T> (&v)[4]) {
  const Four<T> four = *reinterpret_cast<const Four<T> *>(p);
#pragma unroll
  for (int e = 0; e < 4; ++e) v[e] = up(four.v[e]);
}
template <class T> DEV void store4(T *p, const Compute<T> (&v)[4]) {
  Four<T> four;
#pragma unroll
  for (int e = 0; e < 4; ++e) four.v[e] = down<T>(v[e]);
  *reinterpret_cast<Four<T> *>(p) = four;
}
/// Rounds four numbers to T, two of them by one instruction.
template <class T> struct Rounding {
  static DEV_INLINE void apply(Compute<T> (&)[4]) {}
};
template <> struct Rounding<bf16> {
  static DEV_INLINE void apply(float (&v)[4]) {
#pragma unroll
    for (int e = 0; e < 4; e += 2) {
      const uint32_t both = pack_bf16(v[e], v[e + 1]);
      v[e] = bits_to_float(both << 16);
      v[e + 1] = bits_to_float(both & 0xffff0000u);
    }
  }
};

template <class T> DEV uint64_t bits_of(const T *p) { return reinterpret_cast<uint64_t>(p); }
/// Whether lanes can take four pairs of a head each, a warp one, two or four heads at a time: heads of 256, 128 or 64 dims. `addresses`
/// are those of matrices of T, or'ed.
template <class T> DEV bool takes_fours(const Rotation<Compute<T>> &r, uint64_t addresses) {
  const uint64_t tables = bits_of(r.cosines) | bits_of(r.sines);
  return r.dim == 2 * r.half && (r.half == 128 || r.half == 64 || r.half == 32) && addresses % sizeof(Four<T>) == 0 &&
         tables % sizeof(Four<Compute<T>>) == 0;
}

/// What a lane has of the heads of a row that it goes through: the pairs from `first` on, their angles and weights.
template <class T> struct Lane {
  using C = Compute<T>;
  int lanes, first, head;
  C wa[4], wb[4], c[4], s[4];

  DEV_INLINE Lane(const Rotation<C> &r, const Angles<C> &angles, const T *w) {
    lanes = r.half / 4;
    first = 4 * (threadIdx.x % lanes);
    head = threadIdx.x / lanes;
    load4(w + first, wa);
    load4(w + r.half + first, wb);
    if (angles.known) {
      load4(angles.cosines + first, c);
      load4(angles.sines + first, s);
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) c[e] = s[e] = C(bits_to_float(0x7fffffffu));
    }
  }
  /// Heads that a warp goes through at a time.
  DEV_INLINE int heads() const { return 32 / lanes; }
  /// Σ over the lanes of a head.
  DEV_INLINE C sum(C v) const {
    for (int o = lanes / 2; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
  }
};

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
  Angles<C>(r, head / uint32_t(r.heads)).get(i, c, s);
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

/// The rotated RMSNorm of each head, rounded to T in between. Block (32, 8): a warp a row of heads, of which it goes through those from
/// heads·blockIdx.y on, `heads` of them.
template <class T>
DEV void rotate_normalized(const T *x, const T *w, T *y, Compute<T> *rstd, int rows, int heads,
                           const Rotation<Compute<T>> &r, double epsilon) {
  using C = Compute<T>;
  const int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  if (row >= rows) return;  // a whole warp, or nobody
  const int begin = blockIdx.y * heads, end = begin + heads < r.heads ? begin + heads : r.heads;
  const Angles<C> angles(r, row);
  if (takes_fours<T>(r, bits_of(x) | bits_of(w) | bits_of(y))) {
    const Lane<T> l(r, angles, w);
#pragma unroll 2
    for (int from = begin; from < end; from += l.heads()) {
      const int64_t head = int64_t(row) * r.heads + from + l.head;
      const bool there = from + l.head < end;
      const T *source = x + head * r.dim + l.first;
      C a[4] = {}, b[4] = {}, first[4], second[4], sum = 0;
      if (there) {
        load4(source, a);
        load4(source + r.half, b);
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) sum += a[e] * a[e] + b[e] * b[e];
      const C scale = C(1) / sqrt_(l.sum(sum) / C(r.dim) + C(epsilon));
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        a[e] *= scale * l.wa[e];
        b[e] *= scale * l.wb[e];
      }
      Rounding<T>::apply(a);
      Rounding<T>::apply(b);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        first[e] = a[e] * l.c[e] - b[e] * l.s[e];
        second[e] = b[e] * l.c[e] + a[e] * l.s[e];
      }
      if (!there) continue;
      store4(y + head * r.dim + l.first, first);
      store4(y + head * r.dim + l.first + r.half, second);
      if (l.first == 0) rstd[head] = scale;
    }
    return;
  }
  for (int h = begin; h < end; ++h) {
    const int64_t head = int64_t(row) * r.heads + h;
    const T *from = x + head * r.dim;
    T *to = y + head * r.dim;
    C sum = 0;
    for (int i = lane; i < r.dim; i += 32) sum += up(from[i]) * up(from[i]);
    const C scale = C(1) / sqrt_(warp_sum(sum) / C(r.dim) + C(epsilon));
    auto normalized = [&](int i) { return down<T>(up(from[i]) * (scale * up(w[i]))); };
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
}
#define ROTATE_NORMALIZED(T, S)                                                                          \
  KERNEL(256, rotate_normalized_##S)(const T *x, const T *w, T *y, Compute<T> *rstd, int rows, int heads, \
                                     Rotation<Compute<T>> r, double epsilon) {                           \
    rotate_normalized(x, w, y, rstd, rows, heads, r, epsilon);                                           \
  }                                                                                                      \
  EXPORT(rotate_normalized_##S)
FOR_FLOATS(ROTATE_NORMALIZED)

/// With d = dy rotated back and rounded to T, g = d ⊙ w and x̂ = x·rstd:  dx = rstd·(g − x̂·mean(g ⊙ x̂)). Blocks as above.
template <class T>
DEV void rotate_normalized_backward(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, int rows, int heads,
                                    const Rotation<Compute<T>> &r) {
  using C = Compute<T>;
  const int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  if (row >= rows) return;
  const int begin = blockIdx.y * heads, end = begin + heads < r.heads ? begin + heads : r.heads;
  const Angles<C> angles(r, row);
  if (takes_fours<T>(r, bits_of(dy) | bits_of(x) | bits_of(w) | bits_of(dx))) {
    const Lane<T> l(r, angles, w);
#pragma unroll 2
    for (int from = begin; from < end; from += l.heads()) {
      const int64_t head = int64_t(row) * r.heads + from + l.head, at = head * r.dim + l.first;
      const bool there = from + l.head < end;
      C a[4] = {}, b[4] = {}, da[4] = {}, db[4] = {}, ga[4], gb[4], scale = 0, sum = 0;
      if (there) {
        load4(dy + at, da);
        load4(dy + at + r.half, db);
        load4(x + at, a);
        load4(x + at + r.half, b);
        scale = rstd[head];
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        ga[e] = da[e] * l.c[e] + db[e] * l.s[e];
        gb[e] = db[e] * l.c[e] - da[e] * l.s[e];
      }
      Rounding<T>::apply(ga);
      Rounding<T>::apply(gb);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        ga[e] *= l.wa[e];
        gb[e] *= l.wb[e];
        sum += ga[e] * a[e] + gb[e] * b[e];
      }
      const C factor = l.sum(sum) * scale * scale / C(r.dim);
      if (!there) continue;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        ga[e] = scale * (ga[e] - a[e] * factor);
        gb[e] = scale * (gb[e] - b[e] * factor);
      }
      store4(dx + at, ga);
      store4(dx + at + r.half, gb);
    }
    return;
  }
  for (int h = begin; h < end; ++h) {
    const int64_t head = int64_t(row) * r.heads + h;
    const T *d = dy + head * r.dim, *from = x + head * r.dim;
    T *to = dx + head * r.dim;
    const C scale = rstd[head];
    C sum = 0;
    auto weighted = [&](int i, C gradient) { return up(down<T>(gradient)) * up(w[i]); };
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
    const C factor = warp_sum(sum) * scale * scale / C(r.dim);
    for (int i = lane; i < r.half; i += 32) {
      C first, second;
      pair(i, first, second);
      to[i] = down<T>(scale * (first - up(from[i]) * factor));
      to[r.half + i] = down<T>(scale * (second - up(from[r.half + i]) * factor));
    }
    for (int i = 2 * r.half + lane; i < r.dim; i += 32)
      to[i] = down<T>(scale * (weighted(i, up(d[i])) - up(from[i]) * factor));
  }
}
#define ROTATE_NORMALIZED_BACKWARD(T, S)                                                                 \
  KERNEL(256, rotate_normalized_backward_##S)(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, \
                                              int rows, int heads, Rotation<Compute<T>> r) {             \
    rotate_normalized_backward(dy, x, w, rstd, dx, rows, heads, r);                                      \
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
    __syncthreads();  // the list is whole; it is written again behind the next barrier, where all have read it
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
  }
}
#define SCATTER_ADD(T, S)                                                                                \
  KERNEL(256, scatter_add_rows_##S)(const T *x, const int32_t *ids, T *table, int rows, int columns, int table_rows) { \
    scatter_add_rows(x, ids, table, rows, columns, table_rows);                                          \
  }                                                                                                      \
  EXPORT(scatter_add_rows_##S)
FOR_FLOATS(SCATTER_ADD)
