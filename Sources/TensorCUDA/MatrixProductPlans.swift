// Products by cuBLASLt. What it needs for a product of given types, sizes and alignment (descriptions and an algorithm) is
// made once and kept.

import Synchronization
import Tensor

/// Products by cuBLASLt with a workspace of our own.
///
/// Safety: the library's handles may be used from any thread; plans are kept behind a lock and never changed.
final class MatrixProductPlans: @unchecked Sendable {
  /// A plan, nil where there is no algorithm, and when it was used last.
  private struct Entry {
    let plan: MatrixProductPlan?
    var use: Int
  }

  /// The plans by what they are for.
  private struct State {
    var entries: [MatrixProductPlan.Key: Entry] = [:]
    var use = 0
  }

  /// Bytes that an algorithm may use beside the matrices.
  static let workspaceByteCount = 32 << 20

  /// Plans that are kept: many times those of a model, and few enough where every batch has a length of its own.
  private static let limit = 4096

  private let blas: BLASLt
  private let context: CUDAContext
  private let handle: BLASLt.Handle?
  private let pool: BufferPool
  private let workspace = Mutex<Buffer?>(nil)
  private let plans = Mutex(State())

  init(_ blas: BLASLt, context: CUDAContext, pool: BufferPool) throws(DeviceError) {
    self.blas = blas
    self.context = context
    var handle: BLASLt.Handle?
    context.makeCurrent()
    let status = blas.create(&handle)
    guard status == 0 else {
      throw .unavailable(device: "cuda", reason: "cublasLtCreate gives status \(status)")
    }
    self.handle = handle
    self.pool = pool
  }

  deinit {
    plans.withLock { $0 = State() }
    context.makeCurrent()
    _ = blas.destroy(handle)
  }

  /// Gives the workspace back; the plans stay.
  func releaseWorkspace() {
    workspace.withLock {
      if let buffer = $0 { pool.release(buffer) }
      $0 = nil
    }
  }

  /// The address of the workspace, taken at the first product; nil, and the error kept, where there is no memory for it.
  private func workspaceAddress() -> UInt? {
    workspace.withLock { workspace in
      if workspace == nil { workspace = pool.buffer(byteCount: Self.workspaceByteCount) }
      if workspace == nil {
        context.fail(
          .failed(
            call: "cuMemAllocAsync", detail: "out of memory: no workspace for matrix products"))
      }
      return workspace?.address
    }
  }

  /// Queues a product; false where cuBLASLt has no algorithm for it, and nothing is queued.
  func multiply(
    _ product: MatrixProduct, _ a: Operand, _ b: Operand, into c: Destination, alpha: Double,
    beta: Double
  ) -> Bool {
    // The choice of an algorithm asks for the device as well.
    context.makeCurrent()
    let key = MatrixProductPlan.Key(
      product: product,
      alignment: SIMD3(
        alignment(a.address, product.strideA, a.dtype),
        alignment(b.address, product.strideB, b.dtype),
        alignment(c.address, product.strideC, c.dtype)))
    guard let plan = plan(key) else { return false }
    guard let workspace = workspaceAddress() else { return true }
    func run<S: BitwiseCopyable>(_ alpha: S, _ beta: S) -> Int32 {
      withUnsafePointer(to: alpha) { alpha in
        withUnsafePointer(to: beta) { beta in
          plan.algorithm.withUnsafeBytes { algorithm in
            guard let algorithm = algorithm.baseAddress else { return 7 }
            let target = UnsafeMutableRawPointer(bitPattern: c.address)
            return blas.multiply(
              handle, plan.description, alpha, UnsafeRawPointer(bitPattern: b.address), plan.a,
              UnsafeRawPointer(bitPattern: a.address), plan.b, beta, UnsafeRawPointer(target),
              plan.c, target, plan.c, algorithm,
              UnsafeMutableRawPointer(bitPattern: workspace), Self.workspaceByteCount,
              context.stream)
          }
        }
      }
    }
    let status =
      product.dtype == .float64 ? run(alpha, beta) : run(Float(alpha), Float(beta))
    if status != 0 {
      context.fail(
        .failed(
          call:
            "cublasLtMatmul(\(product.m) x \(product.n) x \(product.k) \(product.dtype.rawValue))",
          detail: "status \(status)"))
    }
    return true
  }

  /// The largest power of two up to 16 that divides address and row distance.
  private func alignment(_ address: UInt, _ stride: Int, _ dtype: DType) -> UInt32 {
    let bits = address | UInt(stride * dtype.byteWidth) | 16
    return UInt32(bits & (~bits &+ 1))
  }

  /// The plan of a product, made at its first use.
  private func plan(_ key: MatrixProductPlan.Key) -> MatrixProductPlan? {
    plans.withLock { state in
      state.use += 1
      if let known = state.entries[key] {
        state.entries[key]?.use = state.use
        return known.plan
      }
      if state.entries.count >= Self.limit {
        // The half that was used last stays, so that this is rare.
        let uses = state.entries.values.map(\.use).sorted()
        let bound = uses[uses.count / 2]
        state.entries = state.entries.filter { $0.value.use >= bound }
      }
      let plan = MatrixProductPlan(
        key, blas, handle, workspaceByteCount: Self.workspaceByteCount)
      state.entries[key] = Entry(plan: plan, use: state.use)
      return plan
    }
  }
}
