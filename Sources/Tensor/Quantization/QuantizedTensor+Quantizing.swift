// From numbers to codes, piece by piece, with the bits of bitsandbytes' CPU code on one thread.

extension QuantizedTensor {
  /// Elements that are asked for at a time: a multiple of every block size.
  private static let pieceSize = 1 << 22

  /// Quantizes a float32 or bfloat16 tensor.
  public init(quantizing x: Tensor, as format: Format = Format()) {
    let source: SourceDType = x.dtype == .bfloat16 ? .bfloat16 : .float32
    let flat = x.reshaped([x.count])
    self.init(
      shape: x.shape, source: source, format: format,
      on: Device(backend: x.backend, preferredComputeDType: .float32)
    ) {
      flat.rows($0)
    }
  }

  /// Quantizes a tensor that is handed over in pieces: `elements` gives those of a range, as float32 or bfloat16.
  package init(
    shape: Shape, source: SourceDType, format: Format, on device: Device,
    elements: (Range<Int>) -> Tensor
  ) {
    precondition(
      NF4.blockSizes.contains(format.blockSize), "NF4: block size \(format.blockSize)")
    let backend = device.backend
    let (count, blockSize) = (shape.count, format.blockSize)
    let codes = Tensor(uninitialized: [(count + 1) / 2], .uint8, backend: backend)
    let blocks = QuantizedTensor.blockCount(count, blockSize: blockSize)
    let absmax = Tensor(uninitialized: [blocks], .float32, backend: backend)
    for start in stride(from: 0, to: count, by: QuantizedTensor.pieceSize) {
      let range = start..<min(start + QuantizedTensor.pieceSize, count)
      let piece = elements(range)
      precondition(piece.count == range.count, "NF4: \(piece.count) elements for \(range)")
      launch(piece, codes, absmax) {
        backend.quantizeNF4(
          piece.operand, blockSize: blockSize,
          into: codes.destination.slice(start / 2, (range.count + 1) / 2),
          absmax: absmax.destination.slice(
            start / blockSize, QuantizedTensor.blockCount(range.count, blockSize: blockSize)))
      }
    }
    self.init(
      shape: shape, blockSize: blockSize, source: source, codes: codes,
      codeBook: Tensor(NF4.codeBook, on: device),
      scales: format.isDoubleQuantized
        ? QuantizedTensor.nested(absmax, on: device) : .plain(absmax))
  }

  /// The scales `absmax` in 8 bits each.
  private static func nested(_ absmax: Tensor, on device: Device) -> Scales {
    let codes = Tensor(uninitialized: absmax.shape, .uint8, backend: device.backend)
    let scales = Tensor(
      uninitialized: [nestedBlockCount(absmax.count)], .float32, backend: device.backend)
    let offset = launch(absmax, codes, scales) {
      device.backend.quantizeScales(
        absmax.operand, into: codes.destination, scales: scales.destination)
    }
    return .nested(
      codes: codes, codeBook: Tensor(DynamicMap.signed.values, on: device), scales: scales,
      offset: offset)
  }
}

extension QuantizedTensor {
  /// Whether all scales are numbers; false where the source held infinities or NaN.
  package var hasFiniteScales: Bool {
    switch scales {
    case .plain(let absmax):
      // In Double the sum of finite numbers cannot overflow.
      absmax.count == 0 || (try? absmax.cast(to: .float64).sum().item().isFinite) ?? false
    case .nested(_, _, _, let offset): offset.isFinite
    }
  }
}
