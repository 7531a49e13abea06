// A merged model in Hugging Face layout, tensor by tensor.

import Files
import GGUF
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor

/// Writes a model with its adapter merged in, as transformers' `save_pretrained` lays it out.
package struct CheckpointMerge: Sendable {
  /// The element types that can be asked for; the raw value is torch's name.
  package enum OutputDType: String, Sendable, Hashable, CaseIterable {
    case float32, bfloat16, float16

    var stored: SafetensorsDType {
      switch self {
      case .float32: .f32
      case .bfloat16: .bf16
      case .float16: .f16
      }
    }
  }

  /// The type of all tensors; nil for that of the base checkpoint, or bfloat16 where that is quantized.
  package var dtype: OutputDType?
  /// The most bytes of a file with several tensors.
  package var maxShardSize = 50_000_000_000

  /// transformers' defaults.
  package init() {}

  /// What was written.
  package struct Summary: Sendable {
    /// Tensors that the adapter has changed, and all.
    package var mergedCount = 0, tensorCount = 0
    /// Files and bytes of weights.
    package var fileCount = 0, byteCount = 0
  }

  /// Files and folders beside the weights that are copied where they are there: tokenizer, templates, sampling.
  package static let companions =
    RunArtifacts.tokenizerFiles
    + ["generation_config.json", "chat_template.json", "additional_chat_templates"]

  /// Fills the existing folder `output`: weights, config.json, tokenizer, template and generation_config.json.
  package func write(_ weights: MergedWeights, to output: String) throws(ExportError) -> Summary {
    let entries = weights.keys.map { key, shape in
      SafetensorsWriter.Entry(key: key, dtype: type(of: key, weights), shape: shape)
    }
    let shards = Self.shards(entries, maxShardSize: maxShardSize)
    var summary = Summary(
      mergedCount: weights.deltas.count, tensorCount: entries.count, fileCount: shards.count)
    var weightMap: [(String, String)] = []
    do throws(FileError) {
      for name in Self.companions {
        try FileSystem.copyIfPresent(
          FileSystem.join(weights.folder, name), to: FileSystem.join(output, name))
      }
    } catch { throw .file(error) }
    for (index, shard) in shards.enumerated() {
      let name = Self.name(of: index, among: shards.count)
      try write(shard, of: weights, to: FileSystem.join(output, name))
      for entry in shard {
        weightMap.append((entry.key, name))
        summary.byteCount += Self.byteCount(entry)
      }
    }
    if shards.count > 1 {
      try writeIndex(weightMap, weights, summary, in: output)
    }
    try writeConfig(weights, in: output)
    return summary
  }

  /// The element type of `key` in the output.
  private func type(of key: String, _ weights: MergedWeights) -> SafetensorsDType {
    if let dtype { return dtype.stored }
    if weights.isQuantized { return .bf16 }
    switch weights.storedDType(of: key) {
    case .f16?: return .f16
    case .bf16?: return .bf16
    default: return .f32
    }
  }

  private static func byteCount(_ entry: SafetensorsWriter.Entry) -> Int {
    entry.shape.reduce(entry.dtype.bitCount / 8, *)
  }

  private static func shards(_ entries: [SafetensorsWriter.Entry], maxShardSize: Int)
    -> [[SafetensorsWriter.Entry]]
  {
    shardIndices(entries.map(byteCount), maxShardSize: maxShardSize).map { $0.map { entries[$0] } }
  }

  /// Which tensors of the given sizes go into which file, as transformers has it: in their order, a new file where the next
  /// would not fit, one of its own for what is larger than `maxShardSize`.
  private static func shardIndices(_ counts: [Int], maxShardSize: Int) -> [[Int]] {
    var shards: [[Int]] = []
    var (current, size) = ([Int](), 0)
    for (index, count) in counts.enumerated() {
      if count > maxShardSize {
        shards.append([index])
        continue
      }
      if size + count > maxShardSize {
        shards.append(current)
        (current, size) = ([], 0)
      }
      current.append(index)
      size += count
    }
    if !current.isEmpty { shards.append(current) }
    return shards
  }

  /// The sizes of the tensors in each file.
  package static func shardSizes(_ counts: [Int], maxShardSize: Int) -> [[Int]] {
    shardIndices(counts, maxShardSize: maxShardSize).map { $0.map { counts[$0] } }
  }

  private static func name(of index: Int, among count: Int) -> String {
    func digits(_ number: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
    return count == 1
      ? Checkpoint.fileName : "model-\(digits(index + 1))-of-\(digits(count)).safetensors"
  }

  private func write(
    _ shard: [SafetensorsWriter.Entry], of weights: MergedWeights, to path: String
  ) throws(ExportError) {
    let entries = SafetensorsWriter.Entry.inReferenceOrder(shard)
    let writer: SafetensorsWriter
    do { writer = try SafetensorsWriter(path: path, entries: entries) } catch {
      throw .checkpoint(error)
    }
    for entry in entries {
      try weights.forEachPiece(of: entry.key, shape: entry.shape) { values throws(ExportError) in
        let bytes: [UInt8]
        do throws(BlockEncoding.Fault) {
          bytes = try BlockEncoding.encode(values, as: Self.plainType(entry.dtype))
        } catch { throw .value(path: weights.folder, key: entry.key, problem: error.problem) }
        do throws(SafetensorsError) { try writer.write(bytes, of: entry.key) } catch {
          throw .checkpoint(error)
        }
      }
    }
    do { try writer.commit() } catch { throw .checkpoint(error) }
  }

  private static func plainType(_ dtype: SafetensorsDType) -> GGMLType {
    switch dtype {
    case .f16: .f16
    case .bf16: .bf16
    default: .f32
    }
  }

  private func writeIndex(
    _ weightMap: [(String, String)], _ weights: MergedWeights, _ summary: Summary, in output: String
  ) throws(ExportError) {
    let sorted = weightMap.sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
    let index = JSON.object(
      JSONObject([
        (
          "metadata",
          .object(
            JSONObject([
              ("total_parameters", .integer(weights.parameterCount)),
              ("total_size", .integer(summary.byteCount)),
            ]))
        ), ("weight_map", .object(JSONObject(sorted.map { ($0.0, .string($0.1)) }))),
      ]))
    do throws(FileError) {
      try AtomicFile.write(
        index.serialized(style: .indented(2)) + "\n",
        to: FileSystem.join(output, Checkpoint.indexName))
    } catch { throw .file(error) }
  }

  /// config.json without `quantization_config`, naming the type that the weights now have, and a head that is not tied.
  private func writeConfig(_ weights: MergedWeights, in output: String) throws(ExportError) {
    let path = FileSystem.join(weights.folder, "config.json")
    var object: JSONObject
    do {
      guard
        case .object(let found) = try JSON.parse(
          FileSystem.readFile(path, maximumByteCount: 1 << 24))
      else { throw ExportError.refused(path: path, problem: "is not an object") }
      object = found
    } catch let error as FileError {
      throw .file(error)
    } catch let error as ExportError {
      throw error
    } catch {
      throw .refused(path: path, problem: "is not JSON: \(error)")
    }
    object.removeValue(forKey: "quantization_config")
    weights.config.stateTie(in: &object)
    if let name = dtype?.rawValue ?? (weights.isQuantized ? "bfloat16" : nil) {
      object[object["torch_dtype"] != nil ? "torch_dtype" : "dtype"] = .string(name)
      if object["torch_dtype"] != nil, object["dtype"] != nil { object["dtype"] = .string(name) }
    }
    do throws(FileError) {
      try AtomicFile.write(
        JSON.object(object).serialized(style: .indented(2)) + "\n",
        to: FileSystem.join(output, "config.json"))
    } catch { throw .file(error) }
  }
}

extension BlockEncoding.Fault {
  /// What is wrong, as the rest of a sentence.
  var problem: String {
    switch self {
    case .notFinite: "a number is infinite or none (are the model and the adapter whole?)"
    case .tooLarge(let value):
      "\(value) is beyond what half precision can hold (choose bfloat16 or float32)"
    }
  }
}
