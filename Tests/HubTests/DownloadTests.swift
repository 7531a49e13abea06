// Downloads from hubs that behave: what is fetched, where it lies, and what is not fetched again.

import Files
import Foundation
import Hub
import HubTestSupport
import Synchronization
import Testing

@Suite("Downloads")
struct DownloadTests {
  private static let needed = [
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
  ]

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test(
    "a download lays the cache out as huggingface_hub does", arguments: [true, false],
    [true, false])
  func layout(listsDigests: Bool, usesStorage: Bool) throws {
    var hub = FakeHub.model(weights: HubScene.weights)
    hub.listsDigests = listsDigests
    let scene = try HubScene(hub, usesStorage: usesStorage)
    let summary = try scene.download()
    let folder = scene.repository.appendingPathComponent("snapshots/\(hub.commit)").path
    #expect(summary.folder == folder && summary.commit == hub.commit)
    #expect(try names(folder) == Self.needed)
    for name in Self.needed {
      let path = folder + "/" + name
      #expect(FileSystem.linkTarget(of: path) == "../../blobs/\(hub.contentName(name))")
      #expect(try FileSystem.readFile(path) == hub.files[name])
    }
    let reference = scene.repository.appendingPathComponent("refs/main").path
    #expect(try FileSystem.readText(reference) == hub.commit)
    let hidden = scene.repository.appendingPathComponent(".no_exist/\(hub.commit)").path
    #expect(try names(hidden).contains("chat_template.jinja"))
    #expect(try names(hidden).contains("config.json") == false)
    let locks = scene.root.appendingPathComponent("hub/.locks/models--owner--model").path
    #expect(try names(locks) == Self.needed.map { hub.contentName($0) + ".lock" }.sorted())
    #expect(try names(scene.cacheFolder) == [".locks", "CACHEDIR.TAG", "models--owner--model"])
    #expect(scene.server.requests.contains { $0.method == "HEAD" } == !listsDigests)
    try scene.requireSoundCache()
  }

  @Test("what is there is not fetched again, unless asked to")
  func again() throws {
    let scene = try HubScene()
    #expect(try scene.download().fetchedFileCount == 4)
    let count = scene.server.requests.count
    #expect(try scene.download().fetchedFileCount == 0)
    #expect(scene.server.requests.count == count + 1)
    // A link that is gone is made again, without a request.
    let link = scene.repository.appendingPathComponent(
      "snapshots/\(scene.hub.commit)/model.safetensors")
    try FileManager.default.removeItem(at: link)
    try scene.download()
    #expect(scene.gets().count == 1)
    #expect(try Data(contentsOf: link) == Data(HubScene.weights))
    #expect(try scene.download(isForced: true).fetchedFileCount == 4)
    #expect(scene.gets().count == 2)
    try scene.requireSoundCache()
  }

  @Test("a blob of the wrong size is fetched anew")
  func damagedBlob() throws {
    let scene = try HubScene()
    try scene.download()
    let blob = scene.repository.appendingPathComponent(
      "blobs/\(scene.hub.contentName("model.safetensors"))")
    try Data("short".utf8).write(to: blob)
    #expect(try scene.download().fetchedFileCount == 1)
    try scene.requireSoundCache()
  }

  @Test("an interrupted download goes on in the next run with the bytes that are missing")
  func resumption() throws {
    let runs = Atomic(0)
    let weights = HubScene.weights
    let scene = try HubScene { hub, request in
      guard request.path == hub.path(of: "model.safetensors"), runs.load(ordering: .relaxed) == 0
      else { return nil }
      let head = "HTTP/1.1 200 OK\r\nContent-Length: \(weights.count)\r\n\r\n"
      return [.bytes(Array(head.utf8) + weights.prefix(150_000)), .pause(5)]
    }
    #expect(throws: HubError.stopped) {
      try scene.download(isStopRequested: { [partial = scene.partial.path] in
        (try? FileSystem.byteCount(of: partial)) == 150_000
      })
    }
    #expect(!scene.hasReference)
    runs.store(1, ordering: .relaxed)
    try scene.download()
    #expect(scene.gets().last?.headers["range"] == "bytes=150000-")
    #expect(scene.hasReference)
    try scene.requireSoundCache()
  }

  @Test("bad bytes of an earlier run cost one more try", arguments: [100, 200_000, 300_000])
  func badRest(count: Int) throws {
    let scene = try HubScene()
    try FileManager.default.createDirectory(
      at: scene.partial.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(repeating: 7, count: count).write(to: scene.partial)
    try scene.download()
    try scene.requireSoundCache()
    #expect(!FileManager.default.fileExists(atPath: scene.partial.path))
  }

  @Test("two downloads at once fetch each file once")
  func contention() throws {
    let scene = try HubScene { hub, request in
      request.path == hub.path(of: "model.safetensors")
        ? [.pause(0.2)] + hub.answer(request) : nil
    }
    let failures = Mutex<[String]>([])
    Threads.run(3) {
      do { try scene.download() } catch { failures.withLock { $0.append("\(error)") } }
    }
    #expect(failures.withLock { $0 } == [])
    #expect(scene.gets().count == 1)
    try scene.requireSoundCache()
  }

  @Test("a folder of its own gets files and notes as huggingface_hub keeps them")
  func localFolder() throws {
    let scene = try HubScene()
    let folder = scene.root.appendingPathComponent("local").path
    let summary = try scene.download(localFolder: folder)
    #expect(summary.folder == folder)
    #expect(try names(folder) == [".cache"] + Self.needed)
    for name in Self.needed {
      #expect(try FileSystem.readFile(folder + "/" + name) == scene.hub.files[name])
      let note = try FileSystem.readText(
        "\(folder)/.cache/huggingface/download/\(name).metadata")
      #expect(note.hasPrefix("\(scene.hub.commit)\n\(scene.hub.contentName(name))\n"))
    }
    #expect(try scene.download(localFolder: folder).fetchedFileCount == 0)
    // A file that was changed is not the repository's.
    let config = URL(fileURLWithPath: folder + "/config.json")
    try Data("{}".utf8).write(to: config)
    #expect(try scene.download(localFolder: folder).fetchedFileCount == 1)
    #expect(try Data(contentsOf: config) == Data(scene.hub.files["config.json"] ?? []))
  }

  @Test("contents in the cache are copied into a folder without a request")
  func localCopy() throws {
    let scene = try HubScene()
    try scene.download()
    try scene.download(localFolder: scene.root.appendingPathComponent("local").path)
    #expect(scene.gets().count == 1)
  }

  @Test("offline, nothing is asked")
  func offline() throws {
    let scene = try HubScene()
    let settings = try HubSettings(
      cacheFolder: scene.cacheFolder,
      environment: { ["HF_HUB_OFFLINE": "1", "HF_ENDPOINT": scene.server.address][$0] })
    #expect(throws: HubError.self) { try scene.download(settings) }
    #expect(scene.server.requests.isEmpty)
  }

  @Test("a hub that cannot be reached is given up soon, with a line on it")
  func unreachable() throws {
    let scene = try HubScene()
    scene.server.stop()
    #expect {
      try scene.download()
    } throws: {
      "\($0)".contains("after 3 tries") && "\($0)".contains("127.0.0.1")
    }
    try scene.requireSoundCache()
  }

  @Test("a hub whose name is not found is asked three times, and named")
  func unknownName() throws {
    let scene = try HubScene()
    let settings = try HubSettings(
      cacheFolder: scene.cacheFolder,
      environment: { ["HF_ENDPOINT": "http://hub.invalid"][$0] })
    #expect {
      try scene.download(settings)
    } throws: {
      "\($0)".contains("after 3 tries") && "\($0)".contains("hub.invalid")
    }
  }

  @Test("progress ends with all bytes and files, and never shrinks below nothing")
  func progress() throws {
    let scene = try HubScene { hub, request in
      request.earlierCount == 0 && request.path == hub.path(of: "model.safetensors")
        ? .answer(200, body: HubScene.weights.reversed()) : nil
    }
    let summary = try scene.download()
    let total = summary.files.reduce(0) { $0 + ($1.byteCount ?? 0) }
    let events = scene.events.withLock { $0 }
    #expect(
      events.first
        == .planned(fileCount: 4, byteCount: total, presentByteCount: 0))
    #expect(events.last == .progressed(byteCount: total, of: total, filesDone: 4))
    for case .progressed(let byteCount, _, _) in events {
      #expect((0...total * 2).contains(byteCount))
    }
  }

  @Test("a need is met by the files it names")
  func needs() throws {
    let scene = try HubScene()
    let cache = HubCache(scene.cacheFolder)
    let name = try RepositoryName("owner/model")
    try scene.download(selection: .init(need: .tokenizer))
    #expect(try cache.snapshot(name, .main, need: .tokenizer) != nil)
    #expect(try cache.snapshot(name, .main, need: .model) == nil)
    try scene.download()
    #expect(try cache.snapshot(name, .main, need: .model) != nil)
    #expect(try cache.snapshot(name, .main, need: .adapter) == nil)
    #expect(try cache.snapshot(name, Revision("other"), need: .model) == nil)
    #expect(try cache.snapshot(name, Revision(scene.hub.commit), need: .model) != nil)
  }
}
