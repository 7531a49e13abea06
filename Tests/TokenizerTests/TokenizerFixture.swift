// The small tokenizer of Fixtures/tokenizer and its variants, and the folder of shared test data.

import Files
import OrderedJSON
import Testing
import Tokenizer

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A fresh folder in /tmp, removed with all it holds when the object goes.
final class TestFolder {
  let path = FileSystem.join("/tmp", FileSystem.temporaryName(prefix: "qwen-sft-test-"))

  init() throws { try FileSystem.makeFolder(path) }

  deinit { try? FileSystem.remove(path) }

  func write(_ text: String, to name: String) throws {
    try AtomicFile.write(text, to: FileSystem.join(path, name))
  }

  func write(_ bytes: [UInt8], to name: String) throws {
    try AtomicFile.write(bytes, to: FileSystem.join(path, name))
  }
}

enum Fixture {
  static let packageRoot: String = {
    var root = #filePath
    for _ in 0..<3 { root = FileSystem.parent(of: root) }
    return root
  }()

  static let folder = FileSystem.join(packageRoot, "Fixtures/tokenizer")

  static let variants = [
    "plain", "qwen35", "gpt2", "added", "trimmed", "ignore_merges", "missing_bytes",
  ]

  static func bytes(_ name: String) throws -> [UInt8] {
    try FileSystem.readFile(FileSystem.join(folder, name))
  }

  static func json(_ name: String) throws -> JSON { try JSON.parse(bytes(name)) }

  /// The lines of vectors.jsonl of one variant.
  static func vectors(of variant: String) throws -> [JSON] {
    try lines(FileSystem.join(folder, "vectors.jsonl")).filter { $0["variant"] == .string(variant) }
  }

  static func lines(_ path: String) throws -> [JSON] {
    try FileSystem.readFile(path).split(separator: 0x0A).map { try JSON.parse($0) }
  }

  /// tokenizer.json with the changes of a variant.
  static func file(_ variant: String) throws -> JSON {
    var object = try #require(json("tokenizer.json").objectValue)
    var model = try #require(object["model"]?.objectValue)
    let change = try #require(json("variants.json")[variant]?.objectValue)
    for (key, value) in change {
      switch key {
      case "ignore_merges": model[key] = value
      case "dropped_merges":
        var merges = try #require(model["merges"]?.arrayValue)
        let bounds = try #require(value.arrayValue).compactMap(\.integerValue)
        merges.removeSubrange(bounds[0]..<bounds[1])
        model["merges"] = .array(merges)
      case "dropped_tokens":
        var vocabulary = try #require(model["vocab"]?.objectValue)
        for token in try #require(value.arrayValue).compactMap(\.stringValue) {
          vocabulary.removeValue(forKey: token)
        }
        model["vocab"] = .object(vocabulary)
      default: object[key] = value
      }
    }
    object["model"] = .object(model)
    return .object(object)
  }

  /// A tokenizer from a tokenizer.json that is only in memory.
  static func load(_ file: JSON, config: String? = nil) throws -> Tokenizer {
    try load(Array(file.serialized().utf8), config: config)
  }

  static func load(_ file: [UInt8], config: String? = nil) throws -> Tokenizer {
    let folder = try TestFolder()
    try folder.write(file, to: "tokenizer.json")
    if let config { try folder.write(config, to: "tokenizer_config.json") }
    return try Tokenizer(directory: folder.path)
  }

  static func ids(_ value: JSON?) throws -> [Int32] {
    try #require(value?.arrayValue).map { Int32(try #require($0.integerValue)) }
  }
}

enum SharedData {
  /// `QWEN_SFT_SHARED`, else `shared` beside the package root.
  static let folder: String = {
    if let value = getenv("QWEN_SFT_SHARED") { return String(cString: value) }
    return FileSystem.join(FileSystem.parent(of: Fixture.packageRoot), "shared")
  }()

  static let isThere = FileSystem.kind(of: FileSystem.join(folder, "data")) == .folder

  static let hint: Comment = "needs the shared test data: set QWEN_SFT_SHARED to its folder"

  static func path(_ name: String) -> String { FileSystem.join(folder, "data/\(name)") }

  static func tokenizer(_ name: String) throws -> Tokenizer {
    try Tokenizer(directory: path("tokenizer/\(name)"))
  }
}

/// A small seeded generator, the same everywhere (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
