// Kernels with one fault each, which the emulator must notice.

/// A tree sum without the barrier in its loop: wrong unless the threads run in the right order.
KERNEL(256, fault_missing_barrier)(const float *x, float *y, int n) {
  DYNAMIC_SHARED(float, s);
  const int i = threadIdx.x;
  s[i] = i < n ? x[i] : 0.f;
  for (int h = blockDim.x >> 1; h > 0; h >>= 1)
    if (i < h) s[i] += s[i + h];
  if (i == 0) y[0] = s[0];
}
EXPORT(fault_missing_barrier)

/// Half a warp at the block's barrier, half at a warp-wide operation: hangs on a GPU.
KERNEL(256, fault_divergent_barrier)(const float *x, float *y, int n) {
  if (threadIdx.x & 1)
    __syncthreads();
  else
    y[0] = __shfl_xor_sync(0xffffffffu, x[0], 1) + float(n);
}
EXPORT(fault_divergent_barrier)

/// Reads behind the end of x.
KERNEL(256, fault_out_of_bounds)(const float *x, float *y, int n) {
  if (threadIdx.x == 0) y[0] = x[n + 1024];
}
EXPORT(fault_out_of_bounds)

/// Uses shared memory that nobody wrote.
KERNEL(256, fault_uninitialized)(const float *x, float *y, int n) {
  DYNAMIC_SHARED(float, s);
  if (int(threadIdx.x) < n) s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  float sum = 0;
  for (int i = 0; i <= n; ++i) sum += s[i];
  if (threadIdx.x == 0) y[0] = sum;
}
EXPORT(fault_uninitialized)

/// Reads what an asynchronous copy brings without waiting for it.
KERNEL(256, fault_missing_wait)(const float *x, float *y, int n) {
  DYNAMIC_SHARED(float, s);
  if (int(threadIdx.x) * 4 < n) cp_async_16(shared_address(s + threadIdx.x * 4), x + threadIdx.x * 4, true);
  cp_async_commit();
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += s[i];
  if (threadIdx.x == 0) y[0] = sum;
}
EXPORT(fault_missing_wait)

/// Lets the next copy overwrite what others still read.
KERNEL(256, fault_early_overwrite)(const float *x, float *y, int n) {
  DYNAMIC_SHARED(float, s);
  float sum = 0;
  for (int part = 0; part < 2; ++part) {
    if (int(threadIdx.x) * 4 < n) cp_async_16(shared_address(s + threadIdx.x * 4), x + part * n + threadIdx.x * 4, true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    for (int i = 0; i < n; ++i) sum += s[i];
  }
  if (threadIdx.x == blockDim.x - 1) y[0] = sum;
  if (threadIdx.x == 0) y[1] = sum;
}
EXPORT(fault_early_overwrite)
