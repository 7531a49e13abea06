// The tiny models of Fixtures/ and what transformers computes with them.

import Files
import OrderedJSON
import QwenModel
import Safetensors
import Tensor
import Testing

/// One of the golden folders.
struct Goldens: CustomTestStringConvertible {
  let name: String

  static let all = ["tiny-qwen2", "tiny-qwen2-tied", "tiny-qwen3", "tiny-qwen3-bf16"].map {
    Goldens(name: $0)
  }

  static let fixtures: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/") + "/Fixtures"
  }()

  var directory: String { Goldens.fixtures + "/" + name }
  var testDescription: String { name }

  func json() throws -> JSON { try JSON.parse(FileSystem.readFile(directory + "/goldens.json")) }

  func tensors() throws -> Checkpoint { try Checkpoint(file: directory + "/goldens.safetensors") }

  /// The rows that the tensors were computed on.
  func goldenRows() throws -> [(ids: [Int32], labels: [Int32])] {
    let json = try json()
    let rows = try #require(json["rows"]?.arrayValue)
    let indices = try #require(json["golden_rows"]?.arrayValue).compactMap(\.integerValue)
    return try indices.map { index in
      (
        try #require(rows[index]["input_ids"]?.arrayValue).compactMap {
          $0.integerValue.map { Int32($0) }
        },
        try #require(rows[index]["labels"]?.arrayValue).compactMap {
          $0.integerValue.map { Int32($0) }
        }
      )
    }
  }
}

/// Positions whose next token is trained, in the concatenation of rows, and those tokens.
func trainedPositions(_ rows: [(ids: [Int32], labels: [Int32])]) -> (
  rows: [Int32], targets: [Int32]
) {
  var (positions, targets) = ([Int32](), [Int32]())
  var start = 0
  for (ids, labels) in rows {
    for i in 0..<ids.count - 1 where labels[i + 1] != -100 {
      positions.append(Int32(start + i))
      targets.append(labels[i + 1])
    }
    start += ids.count
  }
  return (positions, targets)
}

/// The largest |a − b| over the largest |b|.
func relativeError(_ a: Tensor, _ b: Tensor) throws -> Double {
  let (x, y) = (try a.doubles(), try b.doubles())
  try #require(x.count == y.count)
  let largest = y.reduce(0) { max($0, $1.magnitude) }
  let difference = zip(x, y).reduce(0) { max($0, ($1.0 - $1.1).magnitude) }
  return difference / max(largest, 1e-30)
}
