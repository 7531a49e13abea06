// The functions of cuBLASLt that matrix products use, and the numbers of its enumerations.

package import Tensor

/// cuBLASLt as a table of functions.
package struct BLASLt: Sendable {
  typealias Handle = UnsafeMutableRawPointer
  typealias Status = Int32
  /// The function that gives the version.
  typealias Version = @convention(c) () -> Int

  /// The library.
  package let source: SymbolSource
  /// Its version, such as 130100.
  package let version: Int

  let create: @convention(c) @Sendable (UnsafeMutablePointer<Handle?>) -> Status
  let destroy: @convention(c) @Sendable (Handle?) -> Status
  let createDescription:
    @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, Int32, Int32) -> Status
  let destroyDescription: @convention(c) @Sendable (Handle?) -> Status
  let setDescriptionAttribute:
    @convention(c) @Sendable (Handle?, Int32, UnsafeRawPointer, Int) -> Status
  let createLayout:
    @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, Int32, UInt64, UInt64, Int64) -> Status
  let destroyLayout: @convention(c) @Sendable (Handle?) -> Status
  let createPreference: @convention(c) @Sendable (UnsafeMutablePointer<Handle?>) -> Status
  let destroyPreference: @convention(c) @Sendable (Handle?) -> Status
  let setPreferenceAttribute:
    @convention(c) @Sendable (Handle?, Int32, UnsafeRawPointer, Int) -> Status
  let heuristic:
    @convention(c) @Sendable (
      Handle?, Handle?, Handle?, Handle?, Handle?, Handle?, Handle?, Int32, UnsafeMutableRawPointer,
      UnsafeMutablePointer<Int32>
    ) -> Status
  let multiply:
    @convention(c) @Sendable (
      Handle?, Handle?, UnsafeRawPointer, UnsafeRawPointer?, Handle?, UnsafeRawPointer?, Handle?,
      UnsafeRawPointer, UnsafeRawPointer?, Handle?, UnsafeMutableRawPointer?, Handle?,
      UnsafeRawPointer, UnsafeMutableRawPointer?, Int, Handle?
    ) -> Status

  /// Looks all functions up.
  package init(_ source: SymbolSource) throws(DeviceError) {
    self.source = source
    create = try source.function("cublasLtCreate")
    destroy = try source.function("cublasLtDestroy")
    createDescription = try source.function("cublasLtMatmulDescCreate")
    destroyDescription = try source.function("cublasLtMatmulDescDestroy")
    setDescriptionAttribute = try source.function("cublasLtMatmulDescSetAttribute")
    createLayout = try source.function("cublasLtMatrixLayoutCreate")
    destroyLayout = try source.function("cublasLtMatrixLayoutDestroy")
    createPreference = try source.function("cublasLtMatmulPreferenceCreate")
    destroyPreference = try source.function("cublasLtMatmulPreferenceDestroy")
    setPreferenceAttribute = try source.function("cublasLtMatmulPreferenceSetAttribute")
    heuristic = try source.function("cublasLtMatmulAlgoGetHeuristic")
    multiply = try source.function("cublasLtMatmul")
    version = try source.function("cublasLtGetVersion", as: Version.self)()
  }

  /// CUDA_R_32F, CUDA_R_64F and CUDA_R_16BF.
  static func dataType(_ dtype: DType) -> Int32 {
    switch dtype {
    case .float32: 0
    case .float64: 1
    case .bfloat16: 14
    case .int32, .uint8, .float16: preconditionFailure("cuBLASLt: no products of \(dtype.rawValue)")
    }
  }

  /// CUBLAS_COMPUTE_64F for float64, else CUBLAS_COMPUTE_32F: sums in float32, and no rounding of float32 to TF32.
  static func computeType(_ dtype: DType) -> Int32 { dtype == .float64 ? 70 : 68 }

  /// Attributes of descriptions and preferences.
  enum Attribute {
    static let transposeA: Int32 = 3
    static let transposeB: Int32 = 4
    static let workspaceByteCount: Int32 = 1
    static let reductionSchemes: Int32 = 3
    static let alignments: ClosedRange<Int32> = 5...8
  }

  /// The mask of CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE: partial sums of a product whose depth is split are kept in the type
  /// of the sums, never in that of the result.
  static let reductionInComputeType: UInt32 = 2

  /// Bytes of a `cublasLtMatmulHeuristicResult_t`: eight words of the algorithm, the workspace's size, state, waves and
  /// four reserved words.
  static let heuristicByteCount = 96
  /// Where in it the state is: 0 where the algorithm can run.
  static let stateOffset = 72
}
