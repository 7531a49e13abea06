// Models by name, from a hub on loopback to the commands that use them.

import Foundation
import HubTestSupport
import OrderedJSON
import Testing

@Suite("Models from a hub")
struct HubCommandTests {
  let program: Program

  init() throws { program = try Program() }

  /// The demo model as a repository.
  private func demo() throws -> FakeHub {
    let folder = Program.packageRoot.appendingPathComponent("Fixtures/demo-model")
    var files: [String: [UInt8]] = ["pytorch_model.bin": [1]]
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
      files[name] = [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
    }
    return FakeHub(files)
  }

  private func server(_ hub: FakeHub) throws -> LoopbackServer {
    try #require(LoopbackServer { hub.answer($0) })
  }

  @Test("download prints the folder, says the size before it begins, and fetches nothing twice")
  func download() throws {
    let hub = try demo()
    let server = try server(hub)
    let environment = ["HF_ENDPOINT": server.address]
    let outcome = try program.run("download owner/model", environment: environment)
    let folder = program.folder.url(
      "cache/huggingface/hub/models--owner--model/snapshots/\(hub.commit)")
    #expect(outcome.code == 0 && outcome.output == folder.path + "\n")
    #expect(outcome.errorLines.count == 2)
    #expect(outcome.errors.contains("owner/model: downloading "))
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/pytorch_model.bin"))
    let again = try program.run(
      ["download", "owner/model", "--json", "--max_workers", "1"], environment: environment)
    let value = try JSON.parse(again.output)
    #expect(value["fetched_files"] == 0 && value["commit"]?.stringValue == hub.commit)
    #expect(value["folder"]?.stringValue == folder.path)
    let offline = try program.run("download owner/model --offline")
    #expect(offline.code == 0 && offline.output == outcome.output)
    let local = try program.run(
      [
        "download", "owner/model", "--include", "*.json", "--exclude", "tok*", "--local_dir",
        "here",
      ],
      environment: environment)
    #expect(local.code == 0 && local.output == "here\n")
    let names = try FileManager.default.contentsOfDirectory(atPath: program.folder.url("here").path)
    #expect(names.contains("config.json") && !names.contains("tokenizer.json"))
  }

  @Test("a model by name is downloaded once, as far as the command needs it, and then used offline")
  func byName() throws {
    let server = try server(try demo())
    let online = ["HF_ENDPOINT": server.address]
    let input = "\"Hello\"\n"
    let first = try program.run("tokenize --model owner/model", input: input, environment: online)
    #expect(first.code == 0 && first.output.hasPrefix("["))
    #expect(!server.requests.contains { $0.path.hasSuffix(".safetensors") })
    let offline = try program.run(
      "tokenize --model owner/model", input: input, environment: ["HF_HUB_OFFLINE": "1"])
    #expect(offline.code == 0 && offline.output == first.output)
    let refused = try program.run("chat --model owner/model --prompt hi --offline")
    #expect(refused.code == 1 && refused.faults.count == 1 && refused.errorLines.count == 1)
    let chat = try program.run(
      "chat --model owner/model --prompt hi --max_new_tokens 2 --temperature 0",
      environment: online)
    #expect(chat.code == 0 && server.requests.contains { $0.path.hasSuffix("model.safetensors") })
    let own = try program.run("chat --prompt hi --max_new_tokens 2 --temperature 0")
    #expect(chat.output == own.output)
  }

  @Test("an adapter by name is downloaded too")
  func adapter() throws {
    let folder = Program.packageRoot.appendingPathComponent("Fixtures/adapters")
    let name = try #require(
      FileManager.default.subpaths(atPath: folder.path)?.sorted().first {
        $0.hasSuffix("adapter_config.json")
      })
    let place = folder.appendingPathComponent(name).deletingLastPathComponent()
    var hub = FakeHub([:])
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
      hub.files[name] = [UInt8](try Data(contentsOf: place.appendingPathComponent(name)))
    }
    hub.files["README.md"] = [1]
    let server = try server(hub)
    for line in [
      "serve --port 0 --adapter x=owner/model", "serve --port 0 --adapter owner/model",
      "check-adapter --for peft --adapter owner/model",
      "convert-adapter --to mlx --output_dir m --adapter owner/model",
    ] {
      let refused = try program.run(
        line + " --offline", environment: ["HF_ENDPOINT": server.address])
      #expect(refused.code == 1 && refused.faults.count == 1, "\(line): \(refused)")
      #expect(refused.errors.contains("owner/model: not (wholly) in the Hugging Face cache"))
    }
    #expect(server.requests.isEmpty)
    let outcome = try program.run(
      "chat --adapter owner/model --prompt hi --max_new_tokens 1",
      environment: ["HF_ENDPOINT": server.address])
    // It is that of another model: what counts is that it was found and read.
    #expect(outcome.errors.contains("owner/model: 2 files"))
    #expect(!server.requests.contains { $0.path.hasSuffix("README.md") })
    let here = try program.run("check-adapter --for peft --adapter owner/model --offline")
    #expect(here.code == 0, "\(here.errors)")
  }

  @Test("what cannot be downloaded ends with 1 and one line, wrong usage with 64")
  func refusals() throws {
    let hub = FakeHub([:])
    let server = try #require(
      LoopbackServer { _ in .answer(404, ["X-Error-Code": "RepoNotFound"]) })
    _ = hub
    let environment = ["HF_ENDPOINT": server.address]
    for (line, code) in [
      ("download owner/none", 1), ("download ../x", 1), ("download a/b --revision ../x", 1),
      ("tokenize --model owner/none", 1), ("download", 64), ("download a/b --max_workers 0", 64),
    ] as [(String, Int32)] {
      let outcome = try program.run(line, environment: environment)
      #expect(outcome.code == code && outcome.output.isEmpty, "\(line): \(outcome)")
      #expect(outcome.faults.count == 1, "\(line): \(outcome.errors)")
    }
  }

  @Test("SIGINT ends a download with 130, and the next run goes on", arguments: [SIGINT, SIGTERM])
  func interruption(number: Int32) throws {
    let hub = try demo()
    let weights = hub.files["model.safetensors"] ?? []
    let half = weights.count / 2
    let server = try #require(
      LoopbackServer { request in
        guard request.path == hub.path(of: "model.safetensors"), request.earlierCount == 0 else {
          return hub.answer(request)
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: \(weights.count)\r\n\r\n"
        return [.bytes(Array(head.utf8) + weights.prefix(half)), .pause(20)]
      })
    let environment = ["HF_ENDPOINT": server.address]
    let process = program.process(["download", "owner/model"], environment: environment)
    let errors = program.folder.url("errors")
    try Data().write(to: errors)
    process.standardError = try FileHandle(forWritingTo: errors)
    process.standardOutput = FileHandle.nullDevice
    // Threads of a test block all signals, and a process inherits that.
    var (signals, earlier) = (sigset_t(), sigset_t())
    sigfillset(&signals)
    pthread_sigmask(SIG_UNBLOCK, &signals, &earlier)
    defer { pthread_sigmask(SIG_SETMASK, &earlier, nil) }
    try process.run()
    let partial = program.folder.url(
      "cache/huggingface/hub/models--owner--model/blobs/"
        + hub.contentName("model.safetensors") + ".incomplete")
    for _ in 0..<400 {
      let size = try? FileManager.default.attributesOfItem(atPath: partial.path)[.size] as? Int
      if size == half { break }
      usleep(20_000)
    }
    kill(process.processIdentifier, number)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 128 + number)
    let lines = String(decoding: try Data(contentsOf: errors), as: UTF8.self)
    #expect(lines.contains("run it again to go on"))
    let outcome = try program.run("download owner/model", environment: environment)
    #expect(outcome.code == 0)
    #expect(server.requests.last { $0.path.hasSuffix("model.safetensors") }?.rangeStart == half)
  }
}
