// The weights of a model folder with an adapter merged in, a few rows at a time: neither the model nor a large tensor is ever
// whole in memory. Sums are in float32; whoever writes the rows rounds them once.

import Files
import Autograd
import NN
import OrderedJSON
package import QwenModel
package import SFT
package import Safetensors
package import Tensor

/// A model folder, and an adapter on it where there is one.
package final class MergedWeights {
  /// The model's folder.
  package let folder: String
  /// The architecture.
  package let config: QwenConfig
  /// The settings of the adapter; nil without one.
  package let adapterConfig: AdapterConfig?
  /// What the adapter adds, by the paths of linear maps.
  package let deltas: [String: LowRankDelta]
  /// The names of the model's tensors with their extents, in the order of the model. A tied head is not among them.
  package let keys: [(key: String, shape: [Int])]
  /// Asked whenever weights are read; once it is true the reading ends with ``ExportError/stopped``.
  package var isStopRequested: () -> Bool = { false }
  private let checkpoint: Checkpoint
  private let device: Device

  /// Opens the model in `folder` and reads the adapter in `adapter`; tensors that do not fit are found now.
  package init(folder: String, adapter: String?, on device: Device = .cpu) throws(ExportError) {
    self.folder = folder
    self.device = device
    do throws(ModelError) {
      let stated = try QwenConfig(directory: folder)
      do throws(SafetensorsError) {
        checkpoint = try Checkpoint(folder: folder)
        config = try stated.untyingDifferentHead(in: checkpoint)
      } catch { throw .checkpoint(error) }
      let model = QwenModel(config)
      _ = try model.weights(in: checkpoint)
      keys = model.namedParameters().map { ($0.key, $0.parameter.shape.dimensions) }
    } catch { throw .model(error) }
    guard let adapter else {
      (adapterConfig, deltas) = (nil, [:])
      return
    }
    do throws(AdapterError) {
      let needsWeights = try AdapterConfig(directory: adapter).initialization.changesBase
      let model: QwenModel
      if needsWeights {
        do throws(ModelError) {
          model = try QwenModel.load(directory: folder, on: device)
        } catch { throw .config(path: folder, problem: error.description) }
      } else {
        model = QwenModel(config)
      }
      let (config, deltas) = try LowRankDelta.read(adapter, for: model, on: device)
      (adapterConfig, self.deltas) = (config, deltas)
    } catch { throw .adapter(error) }
    if config.tieWordEmbeddings, deltas["lm_head"] != nil {
      throw .refused(path: adapter, problem: "it adapts lm_head, which is tied to the embedding")
    }
  }

  /// Whether linear maps are in NF4.
  package var isQuantized: Bool { config.isQuantized }

  /// Whether the embedding is in bfloat16, as then the other weights are.
  package var isBFloat16: Bool { storedDType(of: "model.embed_tokens.weight") == .bf16 }

  /// The type in which `key` is stored; nil where it is in NF4.
  package func storedDType(of key: String) -> SafetensorsDType? {
    checkpoint.isNF4(key) ? nil : try? checkpoint.dtype(of: key)
  }

  /// The number of parameters.
  package var parameterCount: Int { keys.reduce(0) { $0 + $1.shape.reduce(1, *) } }

  /// Calls `body` with the rows of `key`, merged, in pieces of whole rows.
  package func forEachPiece(
    of key: String, shape: [Int], _ body: ([Float]) throws(ExportError) -> Void
  ) throws(ExportError) {
    let (rows, columns) = (shape[0], shape.count > 1 ? shape[1] : 1)
    let step = max(1, Self.elementsPerPiece / max(1, columns))
    for start in stride(from: 0, to: rows, by: step) {
      if isStopRequested() { throw .stopped }
      let range = start..<min(rows, start + step)
      let values = try merged(key, rows: range, of: shape)
      let numbers: [Float]
      do throws(DeviceError) { numbers = try values.array(of: Float.self) } catch {
        throw .device(error)
      }
      try body(numbers)
    }
    checkpoint.advise(.dontNeed, for: key)
  }

  private static let elementsPerPiece = 1 << 22

  /// `rows` of tensor `key` with the adapter merged in, float32.
  package func merged(_ key: String, rows: Range<Int>, of shape: [Int]) throws(ExportError)
    -> Tensor
  {
    let base = try base(key, rows: rows, of: shape)
    let suffix = ".weight"
    guard key.hasSuffix(suffix), let delta = deltas[String(key.dropLast(suffix.count))] else {
      return base
    }
    return delta.merged(into: base, rows: rows)
  }

  /// `rows` of tensor `key` as the model's folder has it, float32.
  package func base(_ key: String, rows: Range<Int>, of shape: [Int]) throws(ExportError) -> Tensor
  {
    let columns = shape.count > 1 ? shape[1] : 1
    let extents = shape.count > 1 ? Shape([rows.count, columns]) : Shape([rows.count])
    do throws(SafetensorsError) {
      if checkpoint.isNF4(key) {
        return try checkpoint.nf4Tensor(key, shape: shape, on: device).dequantized(rows: rows)
      }
      let info = try checkpoint.info(of: key)
      let width = info.dtype.bitCount / 8
      let values = try checkpoint.withUnsafeBytes(of: key) { bytes in
        [Float](unsafeUninitializedCapacity: rows.count * columns) { buffer, count in
          count = rows.count * columns
          let first = rows.lowerBound * columns * width
          FloatConversion.convert(
            UnsafeRawBufferPointer(rebasing: bytes[first..<first + count * width]), info.dtype,
            into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
        }
      }
      return Tensor(values, shape: extents, on: device)
    } catch { throw .checkpoint(error) }
  }

  /// The whole tensor `key` as the model's folder has it. A matrix in bfloat16 or float32 stays in the mapped file; all else is
  /// float32.
  package func base(_ key: String, shape: [Int]) throws(ExportError) -> Tensor {
    if isStopRequested() { throw .stopped }
    let dtype: DType
    switch storedDType(of: key) {
    case .bf16? where shape.count == 2: dtype = .bfloat16
    case .f32?: dtype = .float32
    default: return try base(key, rows: 0..<shape[0], of: shape)
    }
    do throws(SafetensorsError) {
      return try checkpoint.tensor(key, dtype: dtype, on: device)
    } catch { throw .checkpoint(error) }
  }

  /// The weight `key` quantized to NF4 and back, float32: what a QLoRA run computes with.
  package func requantized(_ key: String, as format: QuantizedTensor.Format) throws(ExportError)
    -> Tensor
  {
    if isStopRequested() { throw .stopped }
    do throws(SafetensorsError) {
      return try checkpoint.quantized(key, as: format, on: device).dequantized()
    } catch { throw .checkpoint(error) }
  }
}
