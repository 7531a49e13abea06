// A hub, a cache in a folder of its own, and what must be true of the cache whatever the hub did.

import Crypto
import Files
import Foundation
import Hub
import HubTestSupport
import Synchronization
import Testing

/// A hub that answers as it is told, and a download from it.
final class HubScene: Sendable {
  typealias Answer = @Sendable (FakeHub, LoopbackServer.Request) -> [LoopbackServer.Piece]?

  let hub: FakeHub
  let server: LoopbackServer
  let storage: LoopbackServer
  let root: URL
  let events = Mutex<[HubEvent]>([])

  /// The folder of the cache.
  var cacheFolder: String { root.appendingPathComponent("hub").path }

  init(
    _ hub: FakeHub = .model(weights: HubScene.weights), usesStorage: Bool = false,
    _ answer: @escaping Answer = { _, _ in nil },
    storage answerOfStorage: @escaping Answer = { _, _ in nil }
  ) throws {
    root = FileManager.default.temporaryDirectory
      .appendingPathComponent("qwen-sft-hub-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    typealias Respond = @Sendable (LoopbackServer.Request) -> [LoopbackServer.Piece]
    let plain = hub
    let fromStorage: Respond = { answerOfStorage(plain, $0) ?? plain.answer($0) }
    storage = try #require(LoopbackServer(fromStorage))
    var changed = hub
    if usesStorage { changed.storage = storage.address }
    let own = changed
    self.hub = own
    let fromHub: Respond = { answer(own, $0) ?? own.answer($0) }
    server = try #require(LoopbackServer(fromHub))
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  /// Bytes without a pattern.
  static let weights: [UInt8] = {
    var state: UInt64 = 1
    return (0..<200_000).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 33)
    }
  }()

  /// Settings that do not keep a test waiting.
  func settings() throws -> HubSettings {
    var settings = try HubSettings(endpoint: server.address, cacheFolder: cacheFolder)
    settings.token = "hf_secret"
    settings.connectSeconds = 2
    settings.answerSeconds = 0.5
    settings.stallSeconds = 0.3
    settings.firstDelaySeconds = 0.005
    settings.maximumDelaySeconds = 0.01
    settings.maximumTries = 4
    settings.pollSeconds = 0.01
    settings.maximumListingByteCount = 100_000
    return settings
  }

  /// Downloads the repository.
  @discardableResult
  func download(
    _ settings: HubSettings? = nil, selection: FileSelection = .init(), localFolder: String? = nil,
    isForced: Bool = false, isStopRequested: @escaping @Sendable () -> Bool = { false }
  ) throws -> Downloader.Summary {
    var request = Downloader.Request(try RepositoryName(hub.name), selection: selection)
    request.localFolder = localFolder
    request.isForced = isForced
    let downloader = Downloader(
      try settings ?? self.settings(), isStopRequested: isStopRequested
    ) { [self] event in events.withLock { $0.append(event) } }
    return try downloader.download(request)
  }

  /// The requests for the content of `file`.
  func gets(_ file: String = "model.safetensors") -> [LoopbackServer.Request] {
    server.requests.filter { $0.method == "GET" && $0.path == hub.path(of: file) }
  }

  /// The folder of the repository in the cache.
  var repository: URL { root.appendingPathComponent("hub/models--owner--model") }

  /// Where the weights are gathered.
  var partial: URL {
    repository.appendingPathComponent("blobs/\(hub.contentName("model.safetensors")).incomplete")
  }

  /// Requires that the cache holds nothing but whole files under their final names, that every link leads to one, and
  /// that nothing was written beside it.
  func requireSoundCache(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: root.path)
    #expect(Set(names).isSubset(of: ["hub", "local"]), sourceLocation: sourceLocation)
    guard FileManager.default.fileExists(atPath: repository.path) else { return }
    let known = Dictionary(
      hub.files.map { (hub.contentName($0.key), $0.value) }, uniquingKeysWith: { $1 })
    let blobs = repository.appendingPathComponent("blobs")
    for name in (try? FileManager.default.contentsOfDirectory(atPath: blobs.path)) ?? []
    where !name.hasSuffix(".incomplete") {
      let bytes = try Data(contentsOf: blobs.appendingPathComponent(name))
      #expect(known[name].map { Data($0) } == bytes, "blob \(name)", sourceLocation: sourceLocation)
    }
    let snapshot = repository.appendingPathComponent("snapshots/\(hub.commit)")
    for case let name as String in FileManager.default.enumerator(atPath: snapshot.path) ?? .init()
    {
      let path = snapshot.appendingPathComponent(name).path
      let target = FileSystem.linkTarget(of: path)
      #expect(FileSystem.kind(of: path) != nil, "link \(name)", sourceLocation: sourceLocation)
      if let target { #expect(target.hasPrefix("../../blobs/"), sourceLocation: sourceLocation) }
    }
  }

  /// Whether the cache says that the branch is here.
  var hasReference: Bool {
    FileManager.default.fileExists(atPath: repository.appendingPathComponent("refs/main").path)
  }
}
