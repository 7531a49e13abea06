// A weight in 4 bits an element. It is what bitsandbytes keeps for a `Linear4bit`, part by part, so that files can be
// read and written without conversion.

/// A matrix of NF4 codes with the scales of its blocks.
///
/// Element i of the row-major matrix is codeBook[codeᵢ] · scale of block i / blockSize. The code of an even i is in the
/// high half of byte i / 2.
public struct QuantizedTensor: Sendable {
  /// How a weight is quantized.
  public struct Format: Sendable, Hashable {
    /// Elements that share a scale: a power of two from 32 to 4096.
    public var blockSize: Int
    /// Whether the scales are quantized in turn, to 8 bits.
    public var isDoubleQuantized: Bool

    /// The defaults are those of QLoRA.
    public init(blockSize: Int = 64, isDoubleQuantized: Bool = true) {
      self.blockSize = blockSize
      self.isDoubleQuantized = isDoubleQuantized
    }

    /// The block sizes that there are.
    public static let blockSizes = NF4.blockSizes
  }

  /// The type of the numbers before they were quantized; the raw value is torch's name. Files name it; nothing that is
  /// computed depends on it.
  public enum SourceDType: String, Sendable, Hashable, CaseIterable {
    case float32, float16, bfloat16
  }

  /// The scales of the blocks.
  package enum Scales: Sendable {
    /// float32 [blocks].
    case plain(Tensor)
    /// Scale b is codeBook[codes[b]] · scales[b / 256] + offset.
    ///
    /// codes uint8 [blocks], codeBook float32 [256], scales float32 [⌈blocks / 256⌉].
    case nested(codes: Tensor, codeBook: Tensor, scales: Tensor, offset: Float)
  }

  /// Extents, outermost first.
  public let shape: Shape
  /// Elements that share a scale.
  public let blockSize: Int
  /// The type of the numbers before they were quantized.
  public let source: SourceDType
  /// uint8 [⌈count / 2⌉].
  package let codes: Tensor
  /// float32 [16].
  package let codeBook: Tensor
  /// The scales of the blocks.
  package let scales: Scales

  /// Puts the parts together; traps where their sizes do not fit.
  package init(
    shape: Shape, blockSize: Int, source: SourceDType, codes: Tensor, codeBook: Tensor,
    scales: Scales
  ) {
    let blocks = QuantizedTensor.blockCount(shape.count, blockSize: blockSize)
    precondition(
      NF4.blockSizes.contains(blockSize) && codes.dtype == .uint8
        && codes.count == (shape.count + 1) / 2 && codeBook.dtype == .float32
        && codeBook.count == NF4.codeBook.count,
      "QuantizedTensor: \(codes.count) codes and \(codeBook.count) levels for \(shape)")
    switch scales {
    case .plain(let values):
      precondition(
        values.dtype == .float32 && values.count == blocks,
        "QuantizedTensor: \(values.count) scales for \(blocks) blocks")
    case .nested(let codes, let codeBook, let scales, _):
      precondition(
        codes.dtype == .uint8 && codes.count == blocks && codeBook.dtype == .float32
          && codeBook.count == DynamicMap.signed.values.count && scales.dtype == .float32
          && scales.count == QuantizedTensor.nestedBlockCount(blocks),
        "QuantizedTensor: \(codes.count) codes and \(scales.count) scales for \(blocks) scales")
    }
    self.shape = shape
    self.blockSize = blockSize
    self.source = source
    self.codes = codes
    self.codeBook = codeBook
    self.scales = scales
  }

  /// Blocks of `count` elements.
  package static func blockCount(_ count: Int, blockSize: Int) -> Int {
    (count + blockSize - 1) / blockSize
  }

  /// Blocks of `blocks` scales in double quantization.
  package static func nestedBlockCount(_ blocks: Int) -> Int {
    (blocks + NF4.nestedBlockSize - 1) / NF4.nestedBlockSize
  }

  /// How it was quantized.
  public var format: Format {
    if case .plain = scales { return Format(blockSize: blockSize, isDoubleQuantized: false) }
    return Format(blockSize: blockSize, isDoubleQuantized: true)
  }

  /// Bytes of all parts.
  public var byteCount: Int {
    switch scales {
    case .plain(let values): codes.byteCount + codeBook.byteCount + values.byteCount
    case .nested(let scaleCodes, let scaleBook, let values, _):
      codes.byteCount + codeBook.byteCount + scaleCodes.byteCount + scaleBook.byteCount
        + values.byteCount
    }
  }

  /// What computes with it.
  package var backend: any Backend { codes.backend }

  /// The parts, for kernels that read them. Valid as long as this value is.
  package var operand: NF4Operand {
    let scales: NF4Operand.Scales =
      switch scales {
      case .plain(let values): .plain(values.operand)
      case .nested(let codes, let codeBook, let scales, let offset):
        .nested(
          codes: codes.operand, codeBook: codeBook.operand, scales: scales.operand, offset: offset)
      }
    return NF4Operand(
      codes: codes.operand, codeBook: codeBook.operand, scales: scales, count: shape.count,
      blockSize: blockSize)
  }

  /// The numbers of some rows of a matrix, in float32.
  package func dequantized(rows: Range<Int>) -> Tensor {
    PackedWeight.nf4(self).unpacked(rows: rows)
  }

  /// The numbers that the codes stand for: level · scale in float32, converted to `dtype`.
  public func dequantized(dtype: DType = .float32) -> Tensor {
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, y) { backend.unpack(.nf4(operand), from: 0, into: y.destination) }
    return y
  }

  /// The parts that lie in a mapped file, in bytes.
  package var mappedByteCount: Int {
    var parts = [codes, codeBook]
    switch scales {
    case .plain(let values): parts.append(values)
    case .nested(let codes, let codeBook, let values, _): parts += [codes, codeBook, values]
    }
    return parts.reduce(0) { $0 + ($1.storage.isWritable ? 0 : $1.byteCount) }
  }

  /// A weight of the same sizes without contents.
  package func outline(on backend: SizingBackend) -> QuantizedTensor {
    func part(_ tensor: Tensor) -> Tensor { backend.tensor(tensor.shape, tensor.dtype) }
    let scales: Scales =
      switch scales {
      case .plain(let values): .plain(part(values))
      case .nested(let codes, let codeBook, let values, let offset):
        .nested(
          codes: part(codes), codeBook: part(codeBook), scales: part(values), offset: offset)
      }
    return QuantizedTensor(
      shape: shape, blockSize: blockSize, source: source, codes: part(codes),
      codeBook: part(codeBook), scales: scales)
  }
}
