// Products by cuBLASLt. What it needs for a product of given types, sizes and alignment (descriptions and an algorithm) is
// made once and kept.

import Synchronization
import Tensor

/// Products by cuBLASLt with a workspace of our own.
///
/// Safety: the library's handles may be used from any thread; plans are kept behind a lock and never changed.
final class MatrixProductPlans: @unchecked Sendable {
  /// What a plan is for.
  private struct Key: Hashable {
    let product: MatrixProduct
    /// Bytes to which a, b and c are aligned, at most 16.
    let alignment: SIMD3<UInt32>
  }

  /// Handles of a product's descriptions, and the algorithm.
  private struct Plan {
    let description, a, b, c: BLASLt.Handle?
    let algorithm: [UInt64]
  }

  /// Bytes that an algorithm may use beside the matrices.
  private static let workspaceByteCount = 32 << 20

  private let blas: BLASLt
  private let context: CUDAContext
  private let handle: BLASLt.Handle?
  private let pool: BufferPool
  private let workspace = Mutex<Buffer?>(nil)
  private let plans = Mutex<[Key: Plan?]>([:])

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
    // cuBLASLt counts matrices by columns: it is given cᵀ = op(b)ᵀ·op(a)ᵀ, whose memory is that of c.
    let key = Key(
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
    context.makeCurrent()
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

  private func plan(_ key: Key) -> Plan? {
    plans.withLock { plans in
      if let known = plans[key] { return known }
      let plan = makePlan(key)
      plans[key] = .some(plan)
      return plan
    }
  }

  private func makePlan(_ key: Key) -> Plan? {
    let product = key.product
    let type = BLASLt.dataType(product.dtype)
    func layout(_ type: Int32, rows: Int, columns: Int, stride: Int) -> BLASLt.Handle? {
      var handle: BLASLt.Handle?
      let status = blas.createLayout(
        &handle, type, UInt64(rows), UInt64(columns), Int64(stride))
      return status == 0 ? handle : nil
    }
    var description: BLASLt.Handle?
    var preference: BLASLt.Handle?
    guard
      blas.createDescription(
        &description, BLASLt.computeType(product.dtype),
        BLASLt.dataType(product.dtype.accumulation)) == 0,
      blas.createPreference(&preference) == 0,
      // A matrix that lies by rows is its transpose by columns.
      let a = layout(
        type, rows: product.transposeB ? product.k : product.n,
        columns: product.transposeB ? product.n : product.k, stride: product.strideB),
      let b = layout(
        type, rows: product.transposeA ? product.m : product.k,
        columns: product.transposeA ? product.k : product.m, stride: product.strideA),
      let c = layout(
        BLASLt.dataType(product.resultDType), rows: product.n, columns: product.m,
        stride: product.strideC)
    else { return nil }
    defer { _ = blas.destroyPreference(preference) }
    func describe(_ attribute: Int32, _ value: Bool) {
      var number: Int32 = value ? 1 : 0
      _ = blas.setDescriptionAttribute(description, attribute, &number, 4)
    }
    describe(BLASLt.Attribute.transposeA, product.transposeB)
    describe(BLASLt.Attribute.transposeB, product.transposeA)
    var byteCount = UInt64(Self.workspaceByteCount)
    _ = blas.setPreferenceAttribute(
      preference, BLASLt.Attribute.workspaceByteCount, &byteCount, 8)
    let alignments = [key.alignment[1], key.alignment[0], key.alignment[2], key.alignment[2]]
    for (attribute, alignment) in zip(BLASLt.Attribute.alignments, alignments) {
      var bytes = alignment
      _ = blas.setPreferenceAttribute(preference, attribute, &bytes, 4)
    }
    var result = [UInt64](repeating: 0, count: BLASLt.heuristicByteCount / 8)
    var count: Int32 = 0
    let status = result.withUnsafeMutableBytes { bytes in
      bytes.baseAddress.map {
        blas.heuristic(handle, description, a, b, c, c, preference, 1, $0, &count)
      } ?? 7
    }
    // Beside the algorithm stands whether it can run.
    guard status == 0, count > 0,
      UInt32(truncatingIfNeeded: result[BLASLt.stateOffset / 8]) == 0
    else { return nil }
    return Plan(
      description: description, a: a, b: b, c: c, algorithm: Array(result.prefix(8)))
  }
}
