// From a 16- or 32-bit model folder to one in bitsandbytes' NF4, tensor by tensor: the memory it takes does not depend on
// the size of the model.

import Files
import NN
import OrderedJSON
import Safetensors
public import Tensor

/// Writes quantized checkpoints in Hugging Face layout, as transformers and bitsandbytes read them.
public struct NF4Export: Sendable {
  /// How the linear maps of the blocks are quantized.
  public var format = QuantizedTensor.Format()
  /// torch's name of the type that the peers compute in, for config.json.
  public var computeDTypeName = "float32"

  /// Asked before each tensor; once it is true the work ends with ``ModelError/stopped``.
  public var isStopRequested: @Sendable () -> Bool = { false }

  /// The defaults of QLoRA.
  public init() {}

  /// What was written.
  public struct Summary: Sendable {
    /// Linear maps that were quantized.
    public var quantizedCount = 0
    /// Bytes of the checkpoints before and after.
    public var sourceByteCount = 0, byteCount = 0
  }

  /// Writes the model in `directory` into the new or existing folder `output`: config.json, model.safetensors, and copies
  /// of `companions`, files or folders, where they are there.
  public func write(
    _ directory: String, to output: String, companions: [String], on device: Device = .cpu
  ) throws(ModelError) -> Summary {
    let config = try QwenConfig(directory: directory)
    guard !config.isQuantized else {
      throw .config(
        path: FileSystem.join(directory, "config.json"), problem: "the model is quantized already")
    }
    guard canonicalPath(directory) != canonicalPath(output) else {
      throw .file(.alreadyExists(path: output))
    }
    let (checkpoint, fitting): (Checkpoint, QwenConfig)
    do {
      checkpoint = try Checkpoint(folder: directory)
      fitting = try config.untyingDifferentHead(in: checkpoint)
    } catch { throw .checkpoint(error) }
    let (dense, linears) = try QwenModel(fitting).weights(in: checkpoint)
    var summary = Summary(
      quantizedCount: linears.count, sourceByteCount: checkpoint.byteCount, byteCount: 0)
    do {
      try FileSystem.makeFolder(output)
      for name in companions {
        try FileSystem.copyIfPresent(
          FileSystem.join(directory, name), to: FileSystem.join(output, name))
      }
      let path = FileSystem.join(output, Checkpoint.fileName)
      try writeWeights(checkpoint, dense: dense, linears: linears, to: path, on: device)
      try AtomicFile.write(
        try quantizedConfig(directory, of: fitting).serialized(style: .indented(2)) + "\n",
        to: FileSystem.join(output, "config.json"))
      summary.byteCount = try FileSystem.byteCount(of: path)
      return summary
    } catch let error as FileError {
      throw .file(error)
    } catch let error as SafetensorsError {
      throw .checkpoint(error)
    } catch let error as ModelError {
      throw error
    } catch let error as JSONError {
      // It could be read a moment ago.
      throw .config(path: FileSystem.join(directory, "config.json"), problem: error.message)
    } catch let error as SafetensorsWriter.TensorFailure {
      throw .export(path: output, problem: error.description)
    } catch {
      preconditionFailure("write: unexpected error \(error)")
    }
  }

  private func canonicalPath(_ path: String) -> String { FileSystem.canonicalPath(path) ?? path }

  private func writeWeights(
    _ checkpoint: Checkpoint, dense: [String], linears: [String], to path: String, on device: Device
  ) throws {
    var entries: [SafetensorsWriter.Entry] = []
    for key in dense {
      let info = try checkpoint.info(of: key)
      entries.append(.init(key: key, dtype: info.dtype, shape: info.shape))
    }
    // The widest types first, so that all data are aligned.
    entries = SafetensorsWriter.Entry.inReferenceOrder(entries)
    let denseInOrder = entries.map(\.key)
    for key in linears {
      entries += SafetensorsWriter.Entry.quantized(
        key, shape: try checkpoint.shape(of: key), format: format)
    }
    let writer = try SafetensorsWriter(path: path, entries: entries)
    for key in denseInOrder {
      if isStopRequested() { throw ModelError.stopped }
      let file = try checkpoint.file(of: key)
      try writer.write(file.unsafeBytes(of: key), of: key)
      file.advise(.dontNeed, for: key)
    }
    for key in linears {
      if isStopRequested() { throw ModelError.stopped }
      try writer.write(try checkpoint.quantized(key, as: format, on: device), as: key)
    }
    try writer.commit()
  }

  /// config.json with `quantization_config`, in the keys and order of transformers.
  private func quantizedConfig(_ directory: String, of model: QwenConfig) throws -> JSON {
    let path = FileSystem.join(directory, "config.json")
    guard
      case .object(var config) = try JSON.parse(
        FileSystem.readFile(path, maximumByteCount: 1 << 24))
    else { throw ModelError.config(path: path, problem: "is not an object") }
    model.stateTie(in: &config)
    config["quantization_config"] = .object(
      JSONObject([
        ("_load_in_4bit", .bool(true)), ("_load_in_8bit", .bool(false)),
        ("bnb_4bit_compute_dtype", .string(computeDTypeName)),
        ("bnb_4bit_quant_storage", .string("uint8")), ("bnb_4bit_quant_type", .string("nf4")),
        ("bnb_4bit_use_double_quant", .bool(format.isDoubleQuantized)),
        ("llm_int8_enable_fp32_cpu_offload", .bool(false)),
        ("llm_int8_has_fp16_weight", .bool(false)), ("llm_int8_skip_modules", .null),
        ("llm_int8_threshold", .number(6)), ("load_in_4bit", .bool(true)),
        ("load_in_8bit", .bool(false)), ("quant_method", .string("bitsandbytes")),
      ]))
    return .object(config)
  }
}
