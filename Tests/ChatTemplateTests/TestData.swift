// Where the tests find their data: the package's own Fixtures, and the shared test data where there is any.

import Foundation
import OrderedJSON

/// Files for tests.
enum TestData {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// A file of Fixtures/templates as bytes.
  static func fixture(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: root.appending(path: "Fixtures/templates/\(name)")))
  }

  /// The shared data folder, or nil with no test data beside the package.
  static let shared: URL? = {
    var folders: [URL] = []
    if let path = ProcessInfo.processInfo.environment["QWEN_SFT_SHARED"] {
      folders.append(URL(fileURLWithPath: path))
    }
    folders.append(root.deletingLastPathComponent().appending(path: "shared"))
    return folders.map { $0.appending(path: "data") }
      .first { FileManager.default.fileExists(atPath: $0.appending(path: "goldens").path) }
  }()

  static var hasShared: Bool { shared != nil }

  /// A file of the shared data as bytes.
  static func sharedFile(_ path: String) throws -> [UInt8] {
    guard let shared else { return [] }
    return Array(try Data(contentsOf: shared.appending(path: path)))
  }

  /// The values of a JSON Lines file.
  static func lines(_ bytes: [UInt8]) throws -> [JSON] {
    try bytes.split(separator: 0x0A).map { try JSON.parse(Array($0)) }
  }
}

/// A small seeded generator (SplitMix64), so that random tests are the same everywhere.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
