// Hubs that misbehave: every download is completed or refused with one clear line, and the cache never holds a bad
// file under its final name.

import Foundation
import Hub
import HubTestSupport
import Testing

/// A way to misbehave, and what is to come of it.
struct Misbehaviour: Sendable, CustomTestStringConvertible {
  /// What is to come of it.
  enum Outcome: Sendable {
    /// The download is completed.
    case completed
    /// The download is refused with a line that has these words.
    case refused(String)
  }

  let name: String
  let outcome: Outcome
  var usesStorage = false
  var listsDigests = true
  var storage: HubScene.Answer = { _, _ in nil }
  let answer: HubScene.Answer

  var testDescription: String { name }

  init(
    _ name: String, _ outcome: Outcome, usesStorage: Bool = false, listsDigests: Bool = true,
    _ answer: @escaping HubScene.Answer = { _, _ in nil },
    storage: @escaping HubScene.Answer = { _, _ in nil }
  ) {
    (self.name, self.outcome, self.usesStorage) = (name, outcome, usesStorage)
    (self.listsDigests, self.storage, self.answer) = (listsDigests, storage, answer)
  }

  /// A way to misbehave when the weights are fetched: `answer` gets the try, from 0, and may leave it to the hub.
  static func weights(
    _ name: String, _ outcome: Outcome, listsDigests: Bool = true,
    _ answer: @escaping @Sendable (FakeHub, LoopbackServer.Request, Int) -> [LoopbackServer.Piece]?
  ) -> Misbehaviour {
    Misbehaviour(name, outcome, listsDigests: listsDigests) { hub, request in
      guard request.method == "GET", request.path == hub.path(of: "model.safetensors") else {
        return nil
      }
      return answer(hub, request, request.earlierCount)
    }
  }

  private static let bytes = HubScene.weights
  private static let length = "\(HubScene.weights.count)"
  private static let half = Array(HubScene.weights.prefix(100_000))

  private static func head(_ fields: String...) -> LoopbackServer.Piece {
    .bytes(Array((["HTTP/1.1 200 OK"] + fields + ["", ""]).joined(separator: "\r\n").utf8))
  }

  /// Half of the weights under the length of all.
  private static let cut: [LoopbackServer.Piece] = [
    head("Content-Length: \(length)"), .bytes(half),
  ]

  /// After a cut, `answer` to the request for the rest.
  private static func afterCut(
    _ name: String, _ outcome: Outcome,
    _ answer: @escaping @Sendable (FakeHub, LoopbackServer.Request) -> [LoopbackServer.Piece]?
  ) -> Misbehaviour {
    weights(name, outcome) { hub, request, index in
      index == 0 ? cut : index == 1 ? answer(hub, request) : nil
    }
  }

  static let all: [Misbehaviour] = [
    weights("cut in the middle", .completed) { _, _, index in index == 0 ? cut : nil },
    weights("cut three times", .completed) { _, request, index in
      let end = [50_000, 90_000, 130_000]
      guard index < 3 else { return nil }
      let start = request.rangeStart
      let range = "Content-Range: bytes \(start)-\(bytes.count - 1)/\(length)"
      let rest = "Content-Length: \(bytes.count - start)"
      let first = index == 0 ? "HTTP/1.1 200 OK" : "HTTP/1.1 206 Partial Content\r\n\(range)"
      return [
        .bytes(Array("\(first)\r\n\(rest)\r\n\r\n".utf8)), .bytes(Array(bytes[start..<end[index]])),
      ]
    },
    weights("cut at every try", .refused("connection was cut")) { _, _, _ in cut },
    afterCut("no ranges after a cut", .completed) { _, _ in .answer(200, body: bytes) },
    weights("closed before a word", .completed) { _, _, index in index < 2 ? [] : nil },
    weights("announces too little", .refused("the server announces 100")) { _, _, _ in
      .answer(200, body: Array(bytes.prefix(100)))
    },
    weights("announces too much", .refused("the server announces 200010")) { _, _, _ in
      [head("Content-Length: 200010"), .bytes(bytes)]
    },
    weights("announces nonsense", .refused("model.safetensors")) { _, _, _ in
      [head("Content-Length: twelve"), .bytes(bytes)]
    },
    weights("ends early without a length", .completed) { _, _, index in
      index == 0 ? [head("Connection: close"), .bytes(half)] : nil
    },
    weights("sends more than it should", .refused("expected 200000 bytes, found more")) { _, _, _ in
      [head("Connection: close"), .bytes(bytes + [0])]
    },
    weights("other bytes at every try", .refused("expected SHA-256")) { _, _, _ in
      .answer(200, body: bytes.reversed())
    },
    weights("other bytes once", .completed) { _, _, index in
      index == 0 ? .answer(200, body: bytes.reversed()) : nil
    },
    afterCut("other bytes after a cut", .completed) { _, _ in
      .answer(
        206, ["Content-Range": "bytes 100000-199999/200000"], body: Array(half.reversed()))
    },
    afterCut("416 after a cut", .completed) { _, _ in
      .answer(416, ["Content-Range": "bytes */200000"])
    },
    afterCut("a range that begins elsewhere", .completed) { _, _ in
      .answer(206, ["Content-Range": "bytes 0-99999/200000"], body: half)
    },
    afterCut("a range of another file", .completed) { _, _ in
      .answer(206, ["Content-Range": "bytes 100000-199999/200001"], body: half)
    },
    afterCut("a range that is none", .completed) { _, _ in
      .answer(206, ["Content-Range": "bytes of all sorts"], body: half)
    },
    weights("a range that nobody asked for", .refused("the server sends others")) { _, _, _ in
      .answer(206, ["Content-Range": "bytes 0-199999/200000"], body: bytes)
    },
    afterCut("another ETag after a cut", .refused("changed on the hub")) { hub, _ in
      .answer(
        200, ["ETag": "\"\(String(repeating: "b", count: 64))\"", "X-Repo-Commit": hub.commit],
        body: bytes)
    },
    weights("too many requests, wait a moment", .completed) { _, _, index in
      index < 2 ? .answer(429, ["Retry-After": "0"]) : nil
    },
    weights("too many requests, wait a day", .refused("asks to wait 86400 s")) { _, _, _ in
      .answer(429, ["Retry-After": "86400"])
    },
    weights("503 once", .completed) { _, _, index in index == 0 ? .answer(503) : nil },
    weights("500 for ever", .refused("the server answers 500")) { _, _, _ in .answer(500) },
    weights("gone", .refused("no file \"model.safetensors\"")) { _, _, _ in .answer(404) },
    weights("a redirection in a circle", .refused("in a circle")) { hub, request, _ in
      .answer(302, ["Location": request.path])
    },
    Misbehaviour("redirections without end", .refused("more than 10 redirections")) {
      hub, request in
      let place = request.path
      guard place == hub.path(of: "model.safetensors") || place.hasPrefix("/next/") else {
        return nil
      }
      let number = place.hasPrefix("/next/") ? Int(place.dropFirst(6)) ?? 0 : 0
      return .answer(302, ["Location": "/next/\(number + 1)"])
    },
    weights("a redirection to a file", .refused("no web address")) { _, _, _ in
      .answer(302, ["Location": "file:///etc/passwd"])
    },
    weights("a redirection with a password", .refused("no web address")) { _, _, _ in
      .answer(302, ["Location": "http://a:b@127.0.0.1/"])
    },
    weights("a redirection to nowhere", .refused("no web address")) { _, _, _ in .answer(302) },
    Misbehaviour(
      "an address of the storage that has expired", .completed, usesStorage: true,
      storage: { _, request in request.earlierCount == 0 ? .answer(403) : nil }),
    Misbehaviour(
      "a storage that cuts", .completed, usesStorage: true,
      storage: { _, request in request.earlierCount == 0 ? cut : nil }),
    weights("a stall in the middle", .completed) { _, _, index in
      index == 0 ? cut + [.pause(5)] : nil
    },
    weights("stalls for ever", .refused("the transfer stalled")) { _, _, _ in
      [head("Content-Length: \(length)"), .pause(5)]
    },
    weights("a byte at a time", .refused("the transfer stalled")) { _, _, _ in
      [head("Content-Length: \(length)")]
        + (0..<40).flatMap { [.bytes([bytes[$0]]), .pause(0.05)] }
    },
    weights("no answer once", .completed) { _, _, index in index == 0 ? [.pause(5)] : nil },
    weights("no HTTP", .refused("model.safetensors")) { _, _, _ in
      [.bytes(Array("220 mail.example.org ready\r\n\r\n".utf8))]
    },
    weights("an endless head", .refused("model.safetensors")) { _, _, _ in
      [.bytes(Array("HTTP/1.1 200 OK\r\n".utf8))]
        + (0..<40).map {
          .bytes(Array("X-\($0): \(String(repeating: "a", count: 16_000))\r\n".utf8))
        }
        + [.bytes(Array("\r\n".utf8))]
    },
    weights("a head of nonsense", .refused("model.safetensors")) { _, _, _ in
      [.bytes([0, 1, 2, 255, 13, 10, 13, 10])]
    },
    weights("chunks that end early", .completed) { _, _, index in
      index == 0
        ? [
          head("Transfer-Encoding: chunked"), .bytes(Array("186A0\r\n".utf8)), .bytes(half),
          .bytes(Array("\r\n186A0\r\nabc".utf8)),
        ] : nil
    },
    weights("chunks of nonsense", .refused("model.safetensors")) { _, _, _ in
      [head("Transfer-Encoding: chunked"), .bytes(Array("zz\r\nabc\r\n".utf8))]
    },
    weights("packed bytes that are damaged", .refused("model.safetensors")) { _, _, _ in
      .answer(200, ["Content-Encoding": "gzip"], body: half)
    },
    Misbehaviour("packed although plain was asked for", .completed) { hub, request in
      guard request.path == hub.path(of: "tokenizer_config.json") else { return nil }
      return .answer(
        200, ["Content-Encoding": "gzip"],
        body: [
          31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 84, 178, 82, 48, 172, 5, 0, 151, 142, 161,
          251, 8, 0, 0, 0,
        ])
    },
    Misbehaviour("no ETag", .refused("gives no ETag"), listsDigests: false) { hub, request in
      request.method == "HEAD" ? .answer(200, ["Content-Length": "5"]) : nil
    },
    Misbehaviour("an ETag that leads elsewhere", .refused("a bad ETag"), listsDigests: false) {
      hub, request in
      request.method == "HEAD"
        ? .answer(200, ["Content-Length": "5", "ETag": "\"../../../evil\""]) : nil
    },
    Misbehaviour("a size beyond belief", .refused("more than a file can have"), listsDigests: false)
    { hub, request in
      let digest = String(repeating: "a", count: 40)
      return request.method == "HEAD"
        ? .answer(200, ["Content-Length": "999999999999999999", "ETag": "\"\(digest)\""]) : nil
    },
    Misbehaviour("a list without end", .refused("at most 100 kB")) { hub, request in
      request.path.hasPrefix("/api/")
        ? .answer(200, body: [UInt8](repeating: 0x20, count: 300_000)) : nil
    },
    Misbehaviour("a list that is no JSON", .refused("bad JSON")) { hub, request in
      request.path.hasPrefix("/api/") ? .answer(200, body: Array("<html>".utf8)) : nil
    },
    Misbehaviour("a list nested without end", .refused("bad JSON")) { hub, request in
      request.path.hasPrefix("/api/")
        ? .answer(200, body: [UInt8](repeating: 0x5B, count: 90_000)) : nil
    },
    Misbehaviour("a commit that leads elsewhere", .refused("expected the commit")) { hub, request in
      request.path.hasPrefix("/api/")
        ? .answer(200, body: Array(#"{"sha": "../../evil", "siblings": []}"#.utf8)) : nil
    },
    Misbehaviour("a list cut in the middle", .completed) { hub, request in
      request.path.hasPrefix("/api/") && request.earlierCount == 0
        ? [head("Content-Length: 500"), .bytes(Array(#"{"sha": "#.utf8))] : nil
    },
  ]
}

@Suite("Hubs that misbehave")
struct HostileDownloadTests {
  @Test("a hub that misbehaves is outlasted or refused", arguments: Misbehaviour.all)
  func misbehaviour(_ kind: Misbehaviour) throws {
    var hub = FakeHub.model(weights: HubScene.weights)
    hub.listsDigests = kind.listsDigests
    let scene = try HubScene(
      hub, usesStorage: kind.usesStorage, kind.answer, storage: kind.storage)
    do {
      let summary = try scene.download()
      if case .refused(let words) = kind.outcome { Issue.record("expected a refusal: \(words)") }
      let weights = URL(fileURLWithPath: summary.folder).appendingPathComponent("model.safetensors")
      #expect(try Data(contentsOf: weights) == Data(HubScene.weights))
      #expect(scene.hasReference)
    } catch let error as HubError {
      switch kind.outcome {
      case .completed: Issue.record("expected the download to be completed, found: \(error)")
      case .refused(let words): #expect(error.description.contains(words), "\(error)")
      }
      #expect(!error.description.contains("\n"))
      #expect(!scene.hasReference)
    }
    try scene.requireSoundCache()
  }

  @Test("sizes that add up to more than a number holds are refused")
  func sizes() throws {
    let digest = String(repeating: "a", count: 64)
    let files = (0..<8192).map {
      #"{"rfilename":"model-\#($0).safetensors","lfs":{"sha256":"\#(digest)","size":\#(1 << 50)}}"#
    }
    let list = #"{"sha":"\#(digest.prefix(40))","siblings":[\#(files.joined(separator: ","))]}"#
    let scene = try HubScene { _, request in
      request.path.hasPrefix("/api/") ? .answer(200, body: Array(list.utf8)) : nil
    }
    var settings = try scene.settings()
    settings.maximumListingByteCount = 4_000_000
    #expect {
      try scene.download(settings)
    } throws: {
      ($0 as? HubError)?.description.contains("add up to more than can be") == true
    }
    try scene.requireSoundCache()
  }

  @Test("the token is shown to the hub and to nobody else")
  func token() throws {
    let scene = try HubScene(usesStorage: true)
    try scene.download()
    #expect(scene.server.requests.allSatisfy { $0.headers["authorization"] == "Bearer hf_secret" })
    #expect(scene.storage.requests.count == 1)
    #expect(scene.storage.requests.allSatisfy { $0.headers["authorization"] == nil })
  }

  @Test(
    "names that lead elsewhere are refused before anything is written",
    arguments: [
      "../evil", "a/../../evil", "/etc/evil", "a//b", "./a", "a/./b", "..", "a\\b", "..\\evil",
      "a\u{0}b",
      "a\nb", ".git/hooks/post-checkout", "a/.GIT/config", "C:evil", "",
      String(repeating: "a", count: 300),
    ])
  func names(_ name: String) throws {
    var hub = FakeHub.model(weights: HubScene.weights)
    hub.files[name] = Array("evil".utf8)
    let scene = try HubScene(hub)
    #expect {
      try scene.download(selection: .init(include: ["*"]))
    } throws: {
      ($0 as? HubError)?.description.contains("which is refused") == true
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: scene.root.path) == [])
  }

  @Test("names that cannot stand beside each other are refused")
  func neighbours() throws {
    for (first, second) in [("a.json", "A.json"), ("b", "b/c")] {
      let scene = try HubScene(FakeHub([first: [1], second: [2]]))
      #expect(throws: HubError.self) { try scene.download(selection: .init(include: ["*"])) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: scene.root.path) == [])
    }
  }

  @Test("a link in the place of gathered bytes is not followed")
  func link() throws {
    let scene = try HubScene()
    let victim = scene.root.appendingPathComponent("local")
    try Data("mine".utf8).write(to: victim)
    try FileManager.default.createDirectory(
      at: scene.partial.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(at: scene.partial, withDestinationURL: victim)
    #expect(throws: HubError.self) { try scene.download() }
    #expect(try Data(contentsOf: victim) == Data("mine".utf8))
  }

  @Test("what the hub refuses comes with a way out")
  func refusals() throws {
    let cases: [(status: Int, code: String, hasToken: Bool, words: String)] = [
      (401, "", false, "set HF_TOKEN"), (401, "", true, "does not accept the token"),
      (401, "GatedRepo", false, "accept the terms on"), (403, "GatedRepo", true, "your token"),
      (403, "", true, "may the token read"), (404, "RepoNotFound", true, "no such repository on"),
      (404, "RevisionNotFound", true, "no branch, tag or commit \"main\""),
      (451, "", true, "the server answers 451"),
    ]
    for item in cases {
      let scene = try HubScene { _, _ in .answer(item.status, ["X-Error-Code": item.code]) }
      var settings = try scene.settings()
      if !item.hasToken { settings.token = nil }
      #expect {
        try scene.download(settings)
      } throws: { error in
        (error as? HubError)?.description.contains(item.words) == true
      }
      #expect(scene.server.requests.count == 1)
    }
  }
}
