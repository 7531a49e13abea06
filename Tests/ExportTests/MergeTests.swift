// Merged checkpoints against the adapter on its base.

import Export
import Files
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import Testing

@Suite("Merging")
struct MergeTests {
  @Test("a merged model computes what the adapter on its base does", arguments: TrainedAdapter.all)
  func merge(_ case: TrainedAdapter) throws {
    let folder = try TestFolder()
    let weights = try MergedWeights(folder: `case`.folder, adapter: `case`.adapter)
    let summary = try CheckpointMerge().write(weights, to: folder.path)
    #expect(summary.mergedCount == weights.deltas.count && summary.fileCount == 1)
    let expected = try logLikelihoods(`case`.loaded(), `case`.rows)
    let found = try logLikelihoods(QwenModel.load(directory: folder.path), `case`.rows)
    #expect(largestDifference(found, expected) < 2e-5)
    let base = try logLikelihoods(QwenModel.load(directory: `case`.folder), `case`.rows)
    #expect(largestDifference(base, expected) > 1e-3)
    let checkpoint = try Checkpoint(folder: folder.path)
    #expect(checkpoint.contains("lm_head.weight") == (`case`.model == "qwen3"))
  }

  @Test("merging, exporting and comparing end when they are asked to")
  func stopping() throws {
    let folder = try TestFolder()
    try FileSystem.makeFolder(folder("merged"))
    let weights = try MergedWeights(folder: Fixture.demo, adapter: nil)
    var piecesLeft = 0
    weights.isStopRequested = {
      piecesLeft -= 1
      return piecesLeft < 0
    }
    func expectStopped(_ work: () throws -> Void) {
      for count in [0, 5] {
        piecesLeft = count
        #expect {
          try work()
        } throws: {
          if case ExportError.stopped? = $0 as? ExportError { return true }
          return false
        }
      }
    }
    expectStopped { _ = try CheckpointMerge().write(weights, to: folder("merged")) }
    expectStopped {
      let place = try CheckedExport(path: folder("model.gguf"))
      try place.run { path in
        _ = try GGUFExport(type: .f32, name: "x").write(weights, to: path)
      } check: { _ in
      } file: {
        ExportError.file($0)
      }
    }
    expectStopped {
      _ = try ModelComparison(
        of: StreamedModel(BaseWeights(try MergedWeights(folder: Fixture.demo, adapter: nil))),
        with: StreamedModel(BaseWeights(weights)), on: [Fixture.row(9, vocabulary: 1200)])
    }
    #expect(FileSystem.kind(of: folder("merged/model.safetensors")) == nil)
    #expect(try FileSystem.list(folder.path).filter { $0.kind == .file }.isEmpty)
  }

  @Test("a pass that reads its weights block by block gives the same scores")
  func streamed() throws {
    for adapter in TrainedAdapter.all
    where adapter.variant == "dora_pissa" || adapter.variant == "patterns" {
      let weights = try MergedWeights(folder: adapter.folder, adapter: adapter.adapter)
      let folder = try TestFolder()
      _ = try CheckpointMerge().write(weights, to: folder.path)
      let comparison = try ModelComparison(
        of: StreamedModel(BaseWeights(try MergedWeights(folder: folder.path, adapter: nil))),
        with: StreamedModel(BaseWeights(weights), deltas: weights.deltas), on: adapter.rows)
      #expect(comparison.rowCount == 2 && comparison.tokenCount == 16)
      #expect(comparison.maximalLogitChange < 1e-4 && comparison.topAgreement == 1)
      #expect(comparison.meanDivergence < 1e-9)
      let bare = try ModelComparison(
        of: StreamedModel(BaseWeights(weights)),
        with: StreamedModel(BaseWeights(weights), deltas: weights.deltas), on: adapter.rows)
      #expect(bare.maximalLogitChange > 1e-3 && bare.meanDivergence > 0)
    }
  }

  @Test("types are the base's own unless told, each number rounded once")
  func types() throws {
    let (folder, path) = (try TestFolder(), Fixture.root + "/tiny-qwen3-bf16")
    let weights = try MergedWeights(folder: path, adapter: path + "/adapter")
    _ = try CheckpointMerge().write(weights, to: folder.path)
    let own = try Checkpoint(folder: folder.path)
    for (dtype, stored) in [
      (CheckpointMerge.OutputDType.float32, SafetensorsDType.f32), (.float16, .f16),
      (.bfloat16, .bf16),
    ] {
      let other = try TestFolder()
      var merge = CheckpointMerge()
      merge.dtype = dtype
      _ = try merge.write(weights, to: other.path)
      let checkpoint = try Checkpoint(folder: other.path)
      for (key, shape) in weights.keys {
        #expect(try checkpoint.dtype(of: key) == stored)
        let exact = try weights.merged(key, rows: 0..<shape[0], of: shape).array(of: Float.self)
        let found = try checkpoint.floats(of: key)
        let unit: Float = dtype == .float32 ? 0 : dtype == .float16 ? 0x1p-11 : 0x1p-8
        #expect(zip(found, exact).allSatisfy { abs($0 - $1) <= unit * abs($1) + 1e-7 })
        if dtype == .bfloat16 { #expect(try checkpoint.bytes(of: key) == own.bytes(of: key)) }
      }
      let config = try JSON.parse(FileSystem.readFile(other("config.json")))
      #expect((config["dtype"] ?? config["torch_dtype"])?.stringValue == dtype.rawValue)
    }
  }

  @Test("shards are those of transformers, and load")
  func shards() throws {
    func sizes(_ counts: [Int], _ limit: Int) -> [[Int]] {
      CheckpointMerge.shardSizes(counts, maxShardSize: limit)
    }
    #expect(sizes([6, 6, 2, 6, 2, 2], 10) == [[6], [6, 2], [6, 2, 2]])
    #expect(sizes([12, 3, 4], 10) == [[12], [3, 4]])
    let (folder, path) = (try TestFolder(), Fixture.root + "/tiny-qwen3")
    let weights = try MergedWeights(folder: path, adapter: path + "/adapter")
    var merge = CheckpointMerge()
    merge.maxShardSize = 20_000
    let summary = try merge.write(weights, to: folder.path)
    #expect(summary.fileCount > 1)
    let index = try JSON.parse(FileSystem.readFile(folder("model.safetensors.index.json")))
    #expect(index["metadata"]?["total_size"]?.integerValue == 4 * weights.parameterCount)
    #expect(index["metadata"]?["total_parameters"]?.integerValue == weights.parameterCount)
    #expect(index["weight_map"]?.objectValue?.count == weights.keys.count)
    let whole = try TestFolder()
    _ = try CheckpointMerge().write(weights, to: whole.path)
    let (parts, one) = (try Checkpoint(folder: folder.path), try Checkpoint(folder: whole.path))
    for (key, _) in weights.keys { #expect(try parts.bytes(of: key) == one.bytes(of: key)) }
  }

  @Test(
    "a base in NF4 is merged from its dequantized weights, in bfloat16, and is quantized no more")
  func quantized() throws {
    let (base, folder, path) = (try TestFolder(), try TestFolder(), Fixture.root + "/tiny-qwen3")
    _ = try NF4Export().write(path, to: base.path, companions: [])
    let weights = try MergedWeights(folder: base.path, adapter: path + "/adapter")
    #expect(weights.isQuantized)
    _ = try CheckpointMerge().write(weights, to: folder.path)
    let config = try JSON.parse(FileSystem.readFile(folder("config.json")))
    #expect(config["quantization_config"] == nil)
    #expect((config["dtype"] ?? config["torch_dtype"])?.stringValue == "bfloat16")
    let checkpoint = try Checkpoint(folder: folder.path)
    for key in checkpoint.keys { #expect(try checkpoint.dtype(of: key) == .bf16) }
    let rows = [Fixture.row(12, vocabulary: weights.config.vocabSize)]
    let network = try QwenModel.load(directory: base.path)
    _ = try AdapterFile.load(path + "/adapter", into: network, dropout: 0)
    let found = try logLikelihoods(QwenModel.load(directory: folder.path), rows)
    #expect(largestDifference(found, try logLikelihoods(network, rows)) < 0.05)
  }

  @Test("what cannot be merged is refused")
  func refused() throws {
    let path = Fixture.root + "/adapters/qwen3"
    #expect(throws: ExportError.self) {
      try MergedWeights(folder: path, adapter: Fixture.root + "/adapters/qwen2/rslora/end")
    }
    let folder = try TestFolder()
    try FileSystem.copyFolder(path + "/rslora/end", to: folder("a"))
    let text = try FileSystem.readText(folder("a/adapter_config.json"))
    let changed = text.replacing(
      "\"modules_to_save\": null", with: "\"modules_to_save\": [\"lm_head\"]")
    #expect(changed != text)
    try AtomicFile.write(changed, to: folder("a/adapter_config.json"))
    let error = #expect(throws: ExportError.self) {
      try MergedWeights(folder: path, adapter: folder("a"))
    }
    #expect(error?.description.contains("modules_to_save") == true)
  }
}
