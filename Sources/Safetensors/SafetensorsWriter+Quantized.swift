// Writing weights in NF4 as bitsandbytes reads them. Sizes are known before anything is quantized, so that a checkpoint
// can be written tensor by tensor.

import OrderedJSON
package import Tensor

extension SafetensorsWriter.Entry {
  /// Bytes of the JSON of a weight: what it needs, and spaces.
  package static let quantizationStateByteCount = 256

  /// The entries of the weight `key`, in the order in which ``SafetensorsWriter/write(_:as:)`` writes them.
  package static func quantized(_ key: String, shape: [Int], format: QuantizedTensor.Format)
    -> [SafetensorsWriter.Entry]
  {
    let keys = QuantizedKeys(key)
    let count = shape.reduce(1, *)
    let blocks = QuantizedTensor.blockCount(count, blockSize: format.blockSize)
    let codes = Self(key: keys.codes, dtype: .u8, shape: [(count + 1) / 2, 1])
    let codeBook = Self(key: keys.codeBook, dtype: .f32, shape: [16])
    let state = Self(key: keys.state, dtype: .u8, shape: [quantizationStateByteCount])
    guard format.isDoubleQuantized else {
      return [codeBook, Self(key: keys.absmax, dtype: .f32, shape: [blocks]), state, codes]
    }
    return [
      codeBook, Self(key: keys.nestedCodeBook, dtype: .f32, shape: [256]),
      Self(
        key: keys.nestedAbsmax, dtype: .f32, shape: [QuantizedTensor.nestedBlockCount(blocks)]),
      state, codes, Self(key: keys.absmax, dtype: .u8, shape: [blocks]),
    ]
  }
}

extension SafetensorsWriter {
  /// Writes all parts of a weight; their entries are ``Entry/quantized(_:shape:format:)``.
  package func write(_ tensor: QuantizedTensor, as key: String) throws(TensorFailure) {
    let keys = QuantizedKeys(key)
    var parts: [(String, Tensor)] = [(keys.codeBook, tensor.codeBook)]
    let state = (keys.state, Tensor(Self.stateBytes(of: tensor)))
    switch tensor.scales {
    case .plain(let absmax):
      parts += [(keys.absmax, absmax), state, (keys.codes, tensor.codes)]
    case .nested(let codes, let codeBook, let scales, _):
      parts += [
        (keys.nestedCodeBook, codeBook), (keys.nestedAbsmax, scales), state,
        (keys.codes, tensor.codes), (keys.absmax, codes),
      ]
    }
    for (key, part) in parts {
      let bytes: [UInt8]
      do throws(DeviceError) { bytes = try part.bytes() } catch { throw .device(error) }
      do throws(SafetensorsError) { try write(bytes, of: key) } catch { throw .file(error) }
    }
  }

  private static func stateBytes(of tensor: QuantizedTensor) -> [UInt8] {
    var state = JSONObject([
      ("quant_type", "nf4"), ("blocksize", .integer(tensor.blockSize)),
      ("dtype", .string(tensor.source.rawValue)),
      ("shape", .array(tensor.shape.dimensions.map { .integer($0) })),
    ])
    if case .nested(_, _, _, let offset) = tensor.scales {
      state["nested_blocksize"] = 256
      state["nested_dtype"] = "float32"
      state["nested_offset"] = .number(Double(offset))
    }
    let bytes = JSON.object(state).serializedBytes(style: .compact)
    let length = Entry.quantizationStateByteCount
    precondition(bytes.count <= length, "the state of a quantized weight has \(bytes.count) bytes")
    return bytes + [UInt8](repeating: 0x20, count: length - bytes.count)
  }
}
