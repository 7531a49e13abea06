// A repository as a hub serves it: a list, heads with digests, ranges, and storage at another address.

import Crypto
package import OrderedJSON

/// A repository with a few files at one commit.
package struct FakeHub: Sendable {
  /// The contents by path.
  package var files: [String: [UInt8]]
  /// The paths kept as large files, which have a SHA-256 and lie elsewhere.
  package var largeFiles: Set<String>
  /// The name of the repository.
  package var name = "owner/model"
  /// The commit.
  package var commit = String(repeating: "0123456789", count: 4)
  /// Whether the list tells sizes and digests.
  package var listsDigests = true
  /// Whether ranges are served.
  package var knowsRanges = true
  /// The server that large files are redirected to; nil serves them here.
  package var storage: String?

  /// A repository with `files`, of which those that end with ".safetensors" are large.
  package init(_ files: [String: [UInt8]]) {
    self.files = files
    largeFiles = Set(files.keys.filter { $0.hasSuffix(".safetensors") })
  }

  /// What the content of `path` is called.
  package func contentName(_ path: String) -> String {
    let bytes = files[path] ?? []
    return largeFiles.contains(path)
      ? Self.sha256(bytes) : Self.hexadecimal(Insecure.SHA1.hash(data: Self.object(bytes)))
  }

  /// The SHA-256 of `bytes` in hexadecimal.
  package static func sha256(_ bytes: [UInt8]) -> String { hexadecimal(SHA256.hash(data: bytes)) }

  /// Where `path` is fetched.
  package func path(of file: String) -> String { "/\(name)/resolve/\(commit)/\(file)" }

  /// The list of files.
  package var listing: JSON {
    let siblings = files.keys.sorted().map { path -> JSON in
      var entry: [(String, JSON)] = [("rfilename", .string(path))]
      if listsDigests {
        let size = JSON.integer(files[path]?.count ?? 0)
        entry += [("size", size), ("blobId", .string(String(repeating: "a", count: 40)))]
        if largeFiles.contains(path) {
          entry.append(
            ("lfs", .object(JSONObject([("sha256", .string(contentName(path))), ("size", size)]))))
        } else {
          entry[2].1 = .string(contentName(path))
        }
      }
      return .object(JSONObject(entry))
    }
    return .object(
      JSONObject([
        ("id", .string(name)), ("sha", .string(commit)), ("siblings", .array(siblings)),
      ]))
  }

  /// What a hub that behaves answers.
  package func answer(_ request: LoopbackServer.Request) -> [LoopbackServer.Piece] {
    let place = request.path.split(separator: "?")[0]
    if place.hasPrefix("/api/models/\(name)/revision/") {
      return .answer(200, ["Content-Type": "application/json"], body: listing.serializedBytes())
    }
    guard let file = files.keys.first(where: { path(of: $0) == place || "/storage/\($0)" == place })
    else {
      return .answer(
        404, ["X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit], body: Array("no".utf8))
    }
    let bytes = files[file] ?? []
    var headers = ["X-Repo-Commit": commit, "ETag": "\"\(contentName(file))\""]
    if largeFiles.contains(file), let storage, !place.hasPrefix("/storage/") {
      headers["ETag"] = nil
      headers["X-Linked-Etag"] = "\"\(contentName(file))\""
      headers["X-Linked-Size"] = "\(bytes.count)"
      headers["Location"] = "\(storage)/storage/\(file)"
      return .answer(302, headers)
    }
    // Storage has names of its own for contents.
    if place.hasPrefix("/storage/") { headers = ["ETag": "\"storage-1\""] }
    if request.method == "HEAD" {
      headers["Content-Length"] = "\(bytes.count)"
      return .answer(200, headers)
    }
    return content(bytes, request, headers)
  }

  /// The bytes, or the range of them that is asked for.
  package func content(
    _ bytes: [UInt8], _ request: LoopbackServer.Request, _ headers: [String: String]
  ) -> [LoopbackServer.Piece] {
    let start = request.rangeStart
    guard start > 0, knowsRanges else { return .answer(200, headers, body: bytes) }
    guard start < bytes.count else {
      return .answer(416, ["Content-Range": "bytes */\(bytes.count)"])
    }
    let range = "bytes \(start)-\(bytes.count - 1)/\(bytes.count)"
    return .answer(
      206, headers.merging(["Content-Range": range]) { $1 }, body: Array(bytes[start...]))
  }

  /// The small files of a model, with `weights` as its weights.
  package static func model(weights: [UInt8]) -> FakeHub {
    FakeHub([
      "config.json": Array(#"{"model_type": "qwen2"}"#.utf8),
      "tokenizer.json": Array("{}".utf8),
      "tokenizer_config.json": Array(#"{"a": 1}"#.utf8),
      "model.safetensors": weights,
      "README.md": Array("# A model".utf8),
      "pytorch_model.bin": Array("pickle".utf8),
    ])
  }

  private static func object(_ bytes: [UInt8]) -> [UInt8] {
    Array("blob \(bytes.count)\0".utf8) + bytes
  }

  private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
