// Weights in NF4 as bitsandbytes stores them in a checkpoint: for a weight W the tensors W (codes), W.absmax,
// W.quant_map, W.quant_state.bitsandbytes__nf4 (JSON) and, with double quantization, W.nested_absmax and
// W.nested_quant_map.

import Files
import OrderedJSON
public import Tensor

/// The names of the parts of a quantized weight.
package struct QuantizedKeys: Sendable {
  /// The name of the weight: its codes.
  package let codes: String
  package var absmax: String { codes + ".absmax" }
  package var codeBook: String { codes + ".quant_map" }
  package var nestedAbsmax: String { codes + ".nested_absmax" }
  package var nestedCodeBook: String { codes + ".nested_quant_map" }
  package var state: String { codes + Self.stateInfix + "nf4" }

  /// What precedes the name of the data type in the name of the state.
  package static let stateInfix = ".quant_state.bitsandbytes__"

  package init(_ key: String) { codes = key }

  /// The names beside that of the weight.
  package var companions: [String] {
    [absmax, codeBook, nestedAbsmax, nestedCodeBook, state]
  }
}

extension Checkpoint {
  /// Whether `key` is stored in NF4.
  public func isNF4(_ key: String) -> Bool { contains(QuantizedKeys(key).state) }

  /// The weight `key` of shape `shape`, which is stored in NF4. Codes are used where they lie in the mapped file, if the
  /// device can read them there.
  public func nf4Tensor(_ key: String, shape: [Int], on device: Device = .cpu)
    throws(SafetensorsError) -> QuantizedTensor
  {
    let keys = QuantizedKeys(key)
    let state = try QuantizationState(bytes: bytes(of: keys.state), key: keys.state, of: self)
    func fault(_ key: String, _ problem: String) -> SafetensorsError {
      .entry(path: path, key: key, problem: problem)
    }
    guard state.shape == shape else {
      throw fault(
        keys.state,
        "shape is \(state.shape), expected \(shape) (is config.json from another model?)")
    }
    let count = Shape(shape).count
    let blocks = QuantizedTensor.blockCount(count, blockSize: state.blockSize)
    let codes = try part(keys.codes, .uint8, (count + 1) / 2, device)
    let codeBook = try part(keys.codeBook, .float32, 16, device)
    guard let nestedOffset = state.nestedOffset else {
      return QuantizedTensor(
        shape: Shape(shape), blockSize: state.blockSize, source: state.source, codes: codes,
        codeBook: codeBook, scales: .plain(try part(keys.absmax, .float32, blocks, device)))
    }
    return QuantizedTensor(
      shape: Shape(shape), blockSize: state.blockSize, source: state.source, codes: codes,
      codeBook: codeBook,
      scales: .nested(
        codes: try part(keys.absmax, .uint8, blocks, device),
        codeBook: try part(keys.nestedCodeBook, .float32, 256, device),
        scales: try part(
          keys.nestedAbsmax, .float32, QuantizedTensor.nestedBlockCount(blocks), device),
        offset: nestedOffset))
  }

  /// `count` elements of `key`. Codes may be stored under any type (`bnb_4bit_quant_storage`): their bytes count.
  private func part(_ key: String, _ dtype: DType, _ count: Int, _ device: Device)
    throws(SafetensorsError) -> Tensor
  {
    let file = try file(of: key)
    let info = try file.supportedInfo(of: key)
    guard dtype == .uint8 || info.dtype == .f32 else {
      throw .unsupportedDType(path: file.path, key: key, dtype: info.dtype, expected: "F32")
    }
    let (expected, found) = (count * dtype.byteWidth, info.byteCount)
    guard found == expected else {
      throw .entry(
        path: file.path, key: key, problem: "expected \(expected) bytes, found \(found)")
    }
    return Tensor(
      hostBytes: try file.unsafeBytes(of: key), shape: [count], dtype: dtype, owner: file,
      on: device)
  }

  /// The weight `key`, which is F32, F16 or BF16, quantized now; its pages in the mapped file are given back.
  public func quantized(
    _ key: String, as format: QuantizedTensor.Format, on device: Device = .cpu
  ) throws(SafetensorsError) -> QuantizedTensor {
    let file = try file(of: key)
    let info = try file.supportedInfo(of: key)
    guard let stored = info.dtype.quantizationSource, info.shape.count <= Shape.maximumRank else {
      throw .unsupportedDType(
        path: file.path, key: key, dtype: info.dtype, expected: "F32, F16 or BF16")
    }
    let bytes = try file.unsafeBytes(of: key)
    let width = info.dtype.bitCount / 8
    let tensor = QuantizedTensor(
      shape: Shape(info.shape), source: stored, format: format, on: device
    ) { range in
      let piece = UnsafeRawBufferPointer(
        rebasing: bytes[range.lowerBound * width..<range.upperBound * width])
      if stored == .float16 {
        let values = [Float](unsafeUninitializedCapacity: range.count) { buffer, count in
          count = range.count
          FloatConversion.convert(
            piece, info.dtype, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
        }
        return Tensor(values, on: device)
      }
      return Tensor(
        hostBytes: piece, shape: [range.count], dtype: stored == .float32 ? .float32 : .bfloat16,
        owner: file, on: device)
    }
    file.advise(.dontNeed, for: key)
    guard tensor.hasFiniteScales else {
      throw .entry(
        path: file.path, key: key,
        problem: "expected finite numbers, found others (is the checkpoint damaged?)")
    }
    return tensor
  }
}

extension SafetensorsDType {
  /// The type as the quantizer knows it, nil where it takes none such.
  package var quantizationSource: QuantizedTensor.SourceDType? {
    switch self {
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    default: nil
    }
  }
}

/// The JSON that goes with the codes of a weight.
struct QuantizationState {
  let source: QuantizedTensor.SourceDType
  let blockSize: Int
  let shape: [Int]
  /// Nil without double quantization.
  let nestedOffset: Float?

  /// Reads and checks the bytes of tensor `key`.
  init(bytes: [UInt8], key: String, of checkpoint: Checkpoint) throws(SafetensorsError) {
    func fault(_ problem: String) -> SafetensorsError {
      .entry(path: checkpoint.path, key: key, problem: problem)
    }
    guard bytes.count <= 1 << 16 else { throw fault("expected JSON of at most 65536 bytes") }
    let json: JSON
    do throws(JSONError) { json = try JSON.parse(bytes) } catch {
      throw fault("expected JSON: \(error.message)")
    }
    guard json["quant_type"]?.stringValue == "nf4" else { throw fault("expected quant_type nf4") }
    guard let size = json["blocksize"]?.integerValue,
      QuantizedTensor.Format.blockSizes.contains(size)
    else { throw fault("blocksize: expected a power of two from 32 to 4096") }
    guard
      let source = json["dtype"]?.stringValue.flatMap({ QuantizedTensor.SourceDType(rawValue: $0) })
    else {
      throw fault("dtype: expected float32, float16 or bfloat16")
    }
    guard let extents = json["shape"]?.arrayValue, extents.count <= Shape.maximumRank else {
      throw fault("shape: expected a list of extents")
    }
    let shape = extents.compactMap(\.integerValue)
    guard shape.count == extents.count else { throw fault("shape: expected integers") }
    (self.source, blockSize, self.shape) = (source, size, shape)
    guard json["nested_blocksize"] != nil || json["nested_offset"] != nil else {
      nestedOffset = nil
      return
    }
    guard json["nested_blocksize"]?.integerValue == 256,
      json["nested_dtype"]?.stringValue ?? "float32" == "float32"
    else { throw fault("expected nested_blocksize 256 and nested_dtype float32") }
    guard let offset = json["nested_offset"]?.doubleValue, Float(offset).isFinite else {
      throw fault("nested_offset: expected a finite number")
    }
    nestedOffset = Float(offset)
  }
}
