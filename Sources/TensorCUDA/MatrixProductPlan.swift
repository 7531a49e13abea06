// What cuBLASLt needs for one product: descriptions of the matrices and an algorithm.

import Tensor

/// The descriptions and the algorithm of a product; what was made goes with it.
///
/// Safety: the handles are never changed after initialization, and the library only reads what they stand for.
final class MatrixProductPlan: @unchecked Sendable {
  /// What a plan is for.
  struct Key: Hashable {
    let product: MatrixProduct
    /// Bytes to which a, b and c are aligned, at most 16.
    let alignment: SIMD3<UInt32>
  }

  private let blas: BLASLt
  private(set) var description, a, b, c: BLASLt.Handle?
  /// The algorithm, as the library hands it over.
  private(set) var algorithm: [UInt64] = []

  /// The plan of a product that may use `workspaceByteCount` bytes beside the matrices; nil where a call fails or there is no
  /// algorithm, so that the product goes to kernels of our own.
  init?(_ key: Key, _ blas: BLASLt, _ handle: BLASLt.Handle?, workspaceByteCount: Int) {
    self.blas = blas
    guard describe(key.product), choose(key, handle, workspaceByteCount) else { return nil }
  }

  deinit {
    for layout in [a, b, c] where layout != nil { _ = blas.destroyLayout(layout) }
    if description != nil { _ = blas.destroyDescription(description) }
  }

  /// Makes the descriptions. cuBLASLt counts matrices by columns: it is given cᵀ = op(b)ᵀ·op(a)ᵀ, whose memory is that of c, and
  /// a matrix that lies by rows is its transpose by columns.
  private func describe(_ product: MatrixProduct) -> Bool {
    func layout(
      _ handle: inout BLASLt.Handle?, _ dtype: DType, rows: Int, columns: Int, stride: Int
    ) -> Bool {
      blas.createLayout(
        &handle, BLASLt.dataType(dtype), UInt64(rows), UInt64(columns), Int64(stride)) == 0
    }
    func transpose(_ attribute: Int32, _ value: Bool) -> Bool {
      var number: Int32 = value ? 1 : 0
      return blas.setDescriptionAttribute(description, attribute, &number, 4) == 0
    }
    return blas.createDescription(
      &description, BLASLt.computeType(product.dtype),
      BLASLt.dataType(product.dtype.accumulation)) == 0
      && transpose(BLASLt.Attribute.transposeA, product.transposeB)
      && transpose(BLASLt.Attribute.transposeB, product.transposeA)
      && layout(
        &a, product.dtype, rows: product.transposeB ? product.k : product.n,
        columns: product.transposeB ? product.n : product.k, stride: product.strideB)
      && layout(
        &b, product.dtype, rows: product.transposeA ? product.m : product.k,
        columns: product.transposeA ? product.k : product.m, stride: product.strideA)
      && layout(
        &c, product.resultDType, rows: product.n, columns: product.m, stride: product.strideC)
  }

  /// Asks for an algorithm.
  private func choose(_ key: Key, _ handle: BLASLt.Handle?, _ workspaceByteCount: Int) -> Bool {
    var preference: BLASLt.Handle?
    guard blas.createPreference(&preference) == 0 else { return false }
    defer { _ = blas.destroyPreference(preference) }
    func prefer<T: BitwiseCopyable>(_ attribute: Int32, _ value: T) -> Bool {
      withUnsafePointer(to: value) {
        blas.setPreferenceAttribute(preference, attribute, $0, MemoryLayout<T>.size) == 0
      }
    }
    let alignments = [key.alignment[1], key.alignment[0], key.alignment[2], key.alignment[2]]
    guard prefer(BLASLt.Attribute.workspaceByteCount, UInt64(workspaceByteCount)),
      prefer(BLASLt.Attribute.reductionSchemes, BLASLt.reductionInComputeType),
      zip(BLASLt.Attribute.alignments, alignments).allSatisfy({ prefer($0, $1) })
    else { return false }
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
    else { return false }
    algorithm = Array(result.prefix(8))
    return true
  }
}
