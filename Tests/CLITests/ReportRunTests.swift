// What a run leaves to look at: the page, the card, TensorBoard's files; also of runs that did not reach their end.

import Foundation
import OrderedJSON
import Report
import SFT
import Testing
import qwen_sft

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

@Suite("Reports of runs")
struct ReportRunTests {
  let program: Program

  init() throws { program = try Program() }

  private func text(_ name: String) throws -> String {
    try String(contentsOf: program.folder.url(name), encoding: .utf8)
  }

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: program.folder.url(folder).path).sorted()
  }

  static let short =
    "train --output_dir out --max_steps 4 --lora_r 2 --gradient_accumulation_steps 1 "
    + "--logging_steps 1 --num_threads 1 "

  @Test("a run with everything leaves page, card and event file")
  func everything() throws {
    try program.folder.write("What is <your> name?\n", to: "prompts.txt")
    let run = try program.run(
      Self.short + "--report_to all --val_size 4 --eval_strategy steps --eval_steps 0.5 "
        + "--save_steps 0.5 --sample_prompts prompts.txt")
    #expect(run.code == 0, "\(run.errors)")
    let page = try text("out/report.html")
    #expect(page.contains("<strong>finished</strong> step 4 of 4"))
    for part in [
      "chart-loss", "chart-accuracy", "chart-rate", "chart-norm", "chart-speed", "chart-memory",
      "What is &lt;your&gt; name?", "Before training", "After training, step 4",
      "Rows with the highest loss", "lora_r", "Rows evaluated", "Lowest, at step",
    ] {
      #expect(page.contains(part), "\(part)")
    }
    let card = try text("out/README.md")
    #expect(card.hasPrefix("---\nbase_model: \"") && card.contains("library_name: peft\n"))
    #expect(card.contains("| lora\\_r | 2 |") && card.contains("| Evaluation loss | "))
    let recipe = try text("out/recipe.yaml")
    #expect(recipe.contains("report_to: [all]") && recipe.contains("eval_steps: 0.5"))
    let folder = try #require(names("out/runs").first)
    let file = try #require(names("out/runs/" + folder).first)
    #expect(file.hasPrefix("events.out.tfevents."))
    let bytes = try Data(contentsOf: program.folder.url("out/runs/\(folder)/\(file)"))
    for tag in ["train/loss", "train/grad_norm", "train/epoch", "eval/loss", "train/train_loss"] {
      #expect(bytes.range(of: Data(tag.utf8)) != nil, "\(tag)")
    }
    // The recipe that a run has written makes it again, reports included.
    let again = try program.run("train --config out/recipe.yaml --output_dir again")
    #expect(again.code == 0, "\(again.errors)")
    #expect(try names("again").contains("runs"))
    #expect(
      try Data(contentsOf: program.folder.url("again/adapter_model.safetensors"))
        == Data(contentsOf: program.folder.url("out/adapter_model.safetensors")))
  }

  @Test("none leaves the card alone, and a README.md of somebody else stays")
  func none() throws {
    try program.folder.write("mine\n", to: "out/README.md")
    let run = try program.run(Self.short + "--report_to none --save_strategy no")
    #expect(run.code == 0 && run.errors.contains("README.md is not this program's"))
    #expect(try text("out/README.md") == "mine\n")
    let names = try names("out")
    for name in ["metrics.jsonl", "report.html", "runs"] { #expect(!names.contains(name)) }
    let other = try program.run(
      Self.short.replacingOccurrences(of: "output_dir out", with: "output_dir other")
        + "--report_to tensorboard,html --save_strategy no")
    #expect(other.code == 0, "\(other.errors)")
    #expect(
      try self.names("other").filter { ["metrics.jsonl", "report.html", "runs"].contains($0) }
        == ["report.html", "runs"])
  }

  @Test("a target that is none is wrong usage", arguments: ["wandb", "all,jsonl", "none html"])
  func wrong(_ value: String) throws {
    let run = try program.run("train --output_dir out --report_to " + value)
    #expect(run.code == 64 && run.faults.count == 1, "\(run.errors)")
    #expect(
      run.errors.contains("--report_to: expected jsonl, html and tensorboard, or all, or none"))
  }

  @Test("a run that is stopped, and one that fails, leave a page that says so")
  func broken() throws {
    let process = program.process(
      ("train --output_dir out --max_steps 1000000 --lora_r 2 --gradient_accumulation_steps 1 "
        + "--logging_steps 1 --num_threads 1").split(separator: " ").map(String.init))
    process.standardError = FileHandle.nullDevice
    // Threads of a test block all signals, and a process inherits that.
    var (signals, earlier) = (sigset_t(), sigset_t())
    sigfillset(&signals)
    pthread_sigmask(SIG_UNBLOCK, &signals, &earlier)
    defer { pthread_sigmask(SIG_SETMASK, &earlier, nil) }
    try process.run()
    for _ in 0..<600 {
      if let log = try? text("out/metrics.jsonl"), log.contains("loss") { break }
      usleep(50_000)
    }
    kill(process.processIdentifier, SIGTERM)
    for _ in 0..<600 where process.isRunning { usleep(50_000) }
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 143)
    let page = try text("out/report.html")
    #expect(page.contains("<strong>interrupted</strong>"))
    #expect(page.contains("--resume_from_checkpoint true") && page.contains("chart-loss"))
    #expect(try !names("out").contains("README.md"))
    let failed = try program.run(
      "train --output_dir bad --max_steps 40 --lora_r 2 --learning_rate 1e30 --max_grad_norm 0 "
        + "--gradient_accumulation_steps 1 --logging_steps 1 --num_threads 1")
    #expect(failed.code == 1 && failed.faults.count == 1, "\(failed.errors)")
    #expect(try text("bad/report.html").contains("<strong>failed</strong>"))
    #expect(try text("bad/report.html").contains("is not a finite number"))
  }
}

@Suite("TensorBoard's file")
struct TensorBoardFileTests {
  private func entry(_ step: Int, _ key: String = "loss") -> LogEntry {
    LogEntry(values: [(key, Double(step)), ("epoch", Double(step) / 4)], step: step)
  }

  private func scalars(_ step: Int, _ values: [(String, Double)]) -> [UInt8] {
    EventRecord(wallTime: 7, step: step, .scalars(values.map { .init(tag: $0.0, value: $0.1) }))
      .bytes
  }

  @Test("a resumed run goes on in the same folder and voids what was behind its checkpoint")
  func resume() throws {
    let folder = try TemporaryFolder()
    let first = TensorBoardFile(folder: folder.url.path) { 7 }
    first.begin(after: 0, log: [], recipe: "a: 1\nb: 2")
    first.append(entry(1))
    first.append(entry(2))
    first.append(entry(2, "eval_loss"))
    let runs = try FileManager.default.contentsOfDirectory(atPath: folder.url("runs").path)
    let path = folder.url("runs/" + (try #require(runs.first)))
    let name = try #require(FileManager.default.contentsOfDirectory(atPath: path.path).first)
    #expect(name.hasPrefix("events.out.tfevents.0000000007."))
    let start =
      EventRecord(wallTime: 7, step: 0, .fileVersion).bytes
      + EventRecord(wallTime: 7, step: 0, .text(tag: "args", "    a: 1\n    b: 2")).bytes
    let expected =
      start + scalars(1, [("train/loss", 1), ("train/epoch", 0.25)])
      + scalars(2, [("train/loss", 2), ("train/epoch", 0.5)])
      // The epoch of this step is there already.
      + scalars(2, [("eval/loss", 2)])
    #expect(try [UInt8](Data(contentsOf: path.appendingPathComponent(name))) == expected)
    let second = TensorBoardFile(folder: folder.url.path) { 8 }
    second.begin(after: 1, log: [entry(1)], recipe: "")
    second.append(entry(2))
    let names = try FileManager.default.contentsOfDirectory(atPath: path.path).sorted()
    #expect(names.count == 2)
    let bytes = try [UInt8](Data(contentsOf: path.appendingPathComponent(names[1])))
    let begin =
      EventRecord(wallTime: 8, step: 0, .fileVersion).bytes
      + EventRecord(wallTime: 8, step: 2, .sessionStart).bytes
    #expect(Array(bytes.prefix(begin.count)) == begin && bytes.count > begin.count)
  }

  @Test(
    "without an earlier file a resumed run writes its log again; what cannot be written stops nothing"
  )
  func anew() throws {
    let folder = try TemporaryFolder()
    let file = TensorBoardFile(folder: folder.url.path) { 7 }
    file.begin(after: 2, log: [entry(1), entry(2)], recipe: "")
    let runs = folder.url("runs")
    let name = try #require(
      FileManager.default.subpathsOfDirectory(atPath: runs.path).first { $0.contains("tfevents") })
    let expected =
      EventRecord(wallTime: 7, step: 0, .fileVersion).bytes
      + scalars(1, [("train/loss", 1), ("train/epoch", 0.25)])
      + scalars(2, [("train/loss", 2), ("train/epoch", 0.5)])
    #expect(try [UInt8](Data(contentsOf: runs.appendingPathComponent(name))) == expected)
    let nowhere = TensorBoardFile(folder: "/proc/self") { 7 }
    nowhere.begin(after: 0, log: [], recipe: "")
    nowhere.append(entry(1))
  }
}
