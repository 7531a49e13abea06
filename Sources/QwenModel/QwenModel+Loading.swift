// Weights from a checkpoint directory. All missing, unexpected and mis-shaped tensors are found before the first
// byte of a weight is read.

import Autograd
import NN
public import Safetensors
public import Tensor

extension QwenModel {
  /// Reads the configuration and the weights of a model directory in Hugging Face layout.
  ///
  /// float32, float16 and bfloat16 files are converted to `dtype`; weights that have it already are used where they
  /// lie or copied, as `placement` says.
  public static func load(
    directory: String, dtype: DType = .float32, placement: Checkpoint.Placement = .mapped,
    on device: Device = .cpu
  ) throws(ModelError) -> QwenModel {
    let config = try QwenConfig(directory: directory)
    if let method = config.quantizationMethod {
      throw .config(
        path: directory + "/config.json",
        problem:
          "quantization_config has quant_method \"\(method)\": quantized checkpoints cannot be loaded yet"
      )
    }
    let model = QwenModel(config)
    try model.load(
      checkpoint(directory: directory), dtype: dtype, placement: placement, on: device)
    return model
  }

  private static func checkpoint(directory: String) throws(ModelError) -> Checkpoint {
    do { return try Checkpoint(folder: directory) } catch { throw .checkpoint(error) }
  }

  /// Gives every parameter its value from a checkpoint.
  public func load(
    _ checkpoint: Checkpoint, dtype: DType = .float32, placement: Checkpoint.Placement = .mapped,
    on device: Device = .cpu
  ) throws(ModelError) {
    let parameters = namedParameters()
    let expected = Set(parameters.map(\.key))
    let missing = parameters.map(\.key).filter { !checkpoint.contains($0) }
    let unexpected = checkpoint.keys.filter { !expected.contains($0) && !isIgnored($0) }
    guard missing.isEmpty && unexpected.isEmpty else {
      throw .keys(path: checkpoint.path, missing: missing, unexpected: unexpected)
    }
    do {
      for (key, parameter) in parameters {
        let info = try checkpoint.info(of: key)
        guard info.shape == parameter.shape.dimensions else {
          throw ModelError.shape(
            path: checkpoint.path, key: key, expected: parameter.shape.dimensions,
            found: info.shape)
        }
        guard info.dtype.isFloatingPoint else {
          throw ModelError.dtype(path: checkpoint.path, key: key, found: info.dtype.rawValue)
        }
      }
      for (key, parameter) in parameters {
        parameter.value = try checkpoint.tensor(
          key, dtype: dtype, placement: placement, on: device)
      }
    } catch let error as SafetensorsError {
      throw .checkpoint(error)
    } catch let error as ModelError {
      throw error
    } catch {
      preconditionFailure("load: unexpected error \(error)")
    }
  }

  /// Tensors that may be in a file without a use: the second copy of a tied head, and buffers of old versions.
  private func isIgnored(_ key: String) -> Bool {
    (config.tieWordEmbeddings && key == "lm_head.weight") || key.hasSuffix("rotary_emb.inv_freq")
  }
}
