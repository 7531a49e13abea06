// The models and adapters of Fixtures that exports are tested on.

import Export
import Files
import OrderedJSON
import QwenModel
import SFT
import Tensor
import Testing

/// A fresh folder in /tmp, removed with all it holds when the object goes.
final class TestFolder {
  let path = FileSystem.join("/tmp", FileSystem.temporaryName(prefix: "qwen-sft-test-"))
  init() throws { try FileSystem.makeFolder(path) }
  deinit { try? FileSystem.remove(path) }
  func callAsFunction(_ name: String) -> String { FileSystem.join(path, name) }
}

/// Paths of Fixtures.
enum Fixture {
  static let root: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/") + "/Fixtures"
  }()

  static let demo = root + "/demo-model"

  /// A row of `count` ids below `vocabulary`, all trained.
  static func row(_ count: Int, vocabulary: Int, seed: Int = 1) -> EncodedRow {
    let ids = (0..<count).map { Int32(($0 * 7 + seed * 13) % vocabulary) }
    return EncodedRow(inputIDs: ids, labels: ids, file: "row", line: 1)
  }
}

/// A model with an adapter that PEFT has trained on it.
struct TrainedAdapter: CustomTestStringConvertible {
  let model, variant: String

  static let all = ["qwen2", "qwen3"].flatMap { model in
    ["dora", "rslora", "pissa", "olora", "patterns", "dora_pissa"].map {
      TrainedAdapter(model: model, variant: $0)
    }
  }

  var folder: String { Fixture.root + "/adapters/" + model }
  var adapter: String { folder + "/" + variant + "/end" }
  var testDescription: String { model + " " + variant }
  var rows: [EncodedRow] {
    [Fixture.row(11, vocabulary: 61), Fixture.row(7, vocabulary: 61, seed: 3)]
  }

  /// The model with its adapter, as it is used everywhere else.
  func loaded() throws -> QwenModel {
    let network = try QwenModel.load(directory: folder)
    _ = try AdapterFile.load(adapter, into: network, dropout: 0)
    return network
  }
}

/// The negative log-likelihood of every trained token of `rows`.
func logLikelihoods(_ model: QwenModel, _ rows: [EncodedRow]) throws -> [Double] {
  var values: [Double] = []
  _ = try Evaluator(model: model, on: .cpu).evaluate(rows) { values += $1 }
  return values
}

/// The largest |a − b|.
func largestDifference(_ a: [Double], _ b: [Double]) -> Double {
  a.count == b.count ? zip(a, b).reduce(0) { max($0, ($1.0 - $1.1).magnitude) } : .infinity
}
