// Models and adapters as GGUF files, tensor by tensor.

import Files
package import GGUF
import NN
import OrderedJSON
import QwenModel
import SFT
import Tensor
import Tokenizer

/// Writes GGUF files.
package struct GGUFExport: Sendable {
  /// The mixture of types.
  package var type: GGUFFileType
  /// What the file calls the model.
  package var name: String

  /// An export under the name `name`.
  package init(type: GGUFFileType, name: String) {
    (self.type, self.name) = (type, name)
  }

  /// What was written: how many tensors of each type, and the bytes of the file.
  package struct Summary: Sendable {
    /// Tensors of each type, the most frequent first.
    package var counts: [(type: GGMLType, count: Int)] = []
    /// Bytes of the file.
    package var byteCount = 0

    /// "20 Q4_K, 9 F32".
    package var countsText: String {
      counts.map { "\($0.count) \($0.type.name)" }.joined(separator: ", ")
    }

    init(_ entries: [GGUFWriter.Entry], path: String) throws(ExportError) {
      counts = Dictionary(grouping: entries, by: \.type).map { ($0.key, $0.value.count) }
        .sorted { ($1.count, $0.type.rawValue) < ($0.count, $1.type.rawValue) }
      do { byteCount = try FileSystem.byteCount(of: path) } catch { throw .file(error) }
    }
  }

  /// Writes the model with its adapter merged in to `path`.
  package func write(_ weights: MergedWeights, to path: String) throws(ExportError) -> Summary {
    let config = weights.config
    let tokenizer: Tokenizer
    do { tokenizer = try Tokenizer(directory: weights.folder) } catch { throw .tokenizer(error) }
    guard !config.oBias else {
      throw .refused(
        path: weights.folder,
        problem: "attention_bias is true, which llama.cpp's qwen3 has no place for")
    }
    var entries: [(key: String, entry: GGUFWriter.Entry)] = []
    for (key, shape) in weights.keys {
      guard let name = GGUFNames.name(of: key) else {
        throw .refused(path: weights.folder, problem: "tensor \(key) has no name in GGUF")
      }
      let type = type.type(
        of: name, shape: shape, layerCount: config.numHiddenLayers,
        isTied: config.tieWordEmbeddings)
      entries.append((key, GGUFWriter.Entry(name: name, type: type, shape: shape)))
    }
    let metadata = try GGUFMetadata.model(weights, name: name, type: type, tokenizer: tokenizer)
    let writer = try Self.writer(path, metadata, entries.map(\.entry))
    for (key, entry) in entries {
      try weights.forEachPiece(of: key, shape: entry.shape) { values throws(ExportError) in
        try Self.write(values, entry, key, weights.folder, writer)
      }
    }
    do throws(GGUFError) { try writer.commit() } catch { throw .gguf(error) }
    return try Summary(entries.map(\.entry), path: path)
  }

  private static func writer(
    _ path: String, _ metadata: GGUFMetadata.Pairs, _ entries: [GGUFWriter.Entry]
  ) throws(ExportError) -> GGUFWriter {
    do throws(GGUFError) {
      return try GGUFWriter(path: path, metadata: metadata, entries: entries)
    } catch { throw .gguf(error) }
  }

  private static func write(
    _ values: [Float], _ entry: GGUFWriter.Entry, _ key: String, _ folder: String,
    _ writer: GGUFWriter
  ) throws(ExportError) {
    let bytes: [UInt8]
    do throws(BlockEncoding.Fault) {
      bytes = try BlockEncoding.encode(values, as: entry.type)
    } catch { throw .value(path: folder, key: key, problem: error.problem) }
    do throws(GGUFError) { try writer.write(bytes, of: entry.name) } catch { throw .gguf(error) }
  }

  /// Writes the adapter of `weights` alone to `path`.
  ///
  /// llama.cpp multiplies by one α over the rank of each module: where modules ask for different factors (patterns, rsLoRA
  /// with them) the difference is in B.
  package func writeAdapter(_ weights: MergedWeights, baseName: String, to path: String)
    throws(ExportError) -> Summary
  {
    let modules = weights.deltas.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    guard let first = (modules.first { $0.value.scale != 0 } ?? modules.first)?.value else {
      throw .refused(path: weights.folder, problem: "there is no adapter to export")
    }
    guard modules.allSatisfy({ $0.value.magnitude == nil }) else {
      throw .refused(
        path: path,
        problem: "llama.cpp's adapters have no DoRA (leave --adapter_only out to merge it)")
    }
    // The α of most modules: s·R is the same for all of them unless patterns say otherwise. One of 0 would leave nothing
    // of the others.
    let alpha = first.scale * Double(first.rank)
    var parts: [(entry: GGUFWriter.Entry, values: Tensor, key: String)] = []
    for (module, delta) in modules {
      guard let name = GGUFNames.name(of: module + ".weight") else {
        throw .refused(path: weights.folder, problem: "\(module) has no name in GGUF")
      }
      let factor = delta.scale * Double(delta.rank) / alpha
      let isPlain = alpha != 0 && Float(factor) == 1
      let b = isPlain ? delta.b : delta.b.scaled(by: alpha == 0 ? 0 : factor)
      for (suffix, tensor) in [("lora_a", delta.a), ("lora_b", b)] {
        let type = type.type(
          of: name, shape: tensor.shape.dimensions, layerCount: weights.config.numHiddenLayers,
          isTied: false)
        parts.append(
          (
            GGUFWriter.Entry(
              name: "\(name).\(suffix)", type: type, shape: tensor.shape.dimensions), tensor, module
          ))
      }
    }
    let metadata = GGUFMetadata.adapter(
      weights.config, name: name, baseName: baseName, alpha: alpha, type: type)
    let writer = try Self.writer(path, metadata, parts.map(\.entry))
    for (entry, tensor, module) in parts {
      let values: [Float]
      do throws(DeviceError) { values = try tensor.array(of: Float.self) } catch {
        throw .device(error)
      }
      try Self.write(values, entry, module, weights.folder, writer)
    }
    do throws(GGUFError) { try writer.commit() } catch { throw .gguf(error) }
    return try Summary(parts.map(\.entry), path: path)
  }
}

extension GGUFExport {
  /// The number of parameters as the names of models have it: "0.60B", "75M".
  package static func sizeLabel(_ count: Int) -> String { GGUFMetadata.sizeLabel(count) }
}
