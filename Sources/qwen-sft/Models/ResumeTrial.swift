// The same short run again and again, killed and resumed, compared with one that nobody disturbed.

import Files
import Glibc
import OrderedJSON
import SFT

/// A trial of resuming.
final class ResumeTrial {
  /// What was done, and whether it went as promised.
  struct Check {
    let name: String
    let passed: Bool
    let detail: String
  }

  private let arguments: [String]
  private let folder: String
  private let say: (String) -> Void
  /// What has been found so far.
  private(set) var checks: [Check] = []
  private var runCount = 0
  /// Seconds that the last run from the beginning to the end took: kills come within it.
  private var seconds = 0.0

  /// A trial of `train` with `arguments`, which name no output folder, in `folder`.
  init(_ arguments: [String], in folder: String, say: @escaping (String) -> Void) {
    (self.arguments, self.folder, self.say) = (arguments, folder, say)
  }

  /// Runs undisturbed, then with `kills` kills at random moments and one SIGTERM.
  func run(kills: Int) throws(CLIError) {
    let whole = FileSystem.join(folder, "whole")
    let child = try start(output: whole, resume: false)
    guard let end = wait(for: child, seconds: .infinity), end.code == 0 else {
      return add("uninterrupted run", false, "it did not end as it should: \(lastLogLine)")
    }
    seconds = end.seconds
    add("uninterrupted run", true, "\(fixed(seconds, digits: 2)) s")
    var done = 0
    while done < kills {
      runCount += 1
      let output = FileSystem.join(folder, "run-\(runCount)")
      let before = done
      guard let resumptions = try disturb(output, kills: kills, &done) else {
        return
      }
      compare(
        output, with: whole, name: "run \(runCount)",
        "\(done - before) kills, \(resumptions) resumptions")
      try remove(output)
    }
    try stopAndResume(whole)
    try repeatFinished(whole)
  }

  /// Kills one run until it ends or there have been enough kills; the number of resumptions, nil after a failure.
  private func disturb(_ output: String, kills: Int, _ done: inout Int)
    throws(CLIError) -> Int?
  {
    var starts = 0
    while true {
      let child = try start(output: output, resume: true)
      starts += 1
      let moment = done < kills ? Double.random(in: 0..<seconds) : .infinity
      guard let end = wait(for: child, seconds: moment) else {
        child.send(SIGKILL)
        // It may have ended in this very moment.
        if child.wait() != 0 { done += 1 }
        continue
      }
      guard end.code == 0 else {
        add("run \(runCount)", false, "start \(starts) ended with \(end.code): \(lastLogLine)")
        return nil
      }
      // What a resumed run takes says nothing of the moments of a whole one.
      if starts == 1 { seconds = end.seconds }
      return starts - 1
    }
  }

  /// SIGTERM must give 143 and a checkpoint to go on from.
  private func stopAndResume(_ whole: String) throws(CLIError) {
    let output = FileSystem.join(folder, "stopped")
    let child = try start(output: output, resume: true)
    var code = wait(for: child, seconds: Double.random(in: 0.5..<0.9) * seconds)?.code
    if code == nil {
      child.send(SIGTERM)
      code = child.wait()
    }
    let rest = try start(output: output, resume: true).wait()
    guard code == 143 || code == 0, rest == 0 else {
      return add("SIGTERM", false, "exit codes \(code ?? -1), then \(rest): \(lastLogLine)")
    }
    compare(output, with: whole, name: "SIGTERM", "exit code \(code ?? -1), then resumed")
    try remove(output)
  }

  /// Resuming what has ended must change nothing.
  private func repeatFinished(_ whole: String) throws(CLIError) {
    let names = ["adapter_model.safetensors", "model.safetensors", "trainer_state.json"]
    let read = { names.map { try? FileSystem.readFile(FileSystem.join(whole, $0)) } }
    let before = read()
    let code = try start(output: whole, resume: true).wait()
    add(
      "finished run resumed", code == 0 && before == read(), "exit code \(code), files unchanged")
  }

  private func start(output: String, resume: Bool) throws(CLIError) -> ChildProcess {
    let options = ["--output-dir", output, "--resume-from-checkpoint", resume ? "true" : "false"]
    return try ChildProcess(["train"] + arguments + options, log: log)
  }

  private var log: String { FileSystem.join(folder, "log.txt") }

  private var lastLogLine: String {
    let lines = (try? FileSystem.readText(log))?.split(separator: "\n")
    return lines?.last.map { String($0) } ?? "no message"
  }

  /// Waits at most `limit` seconds; the exit code and the seconds it took, nil where it still runs.
  private func wait(for child: ChildProcess, seconds limit: Double) -> (
    code: Int32, seconds: Double
  )? {
    let clock = ContinuousClock()
    let start = clock.now
    while true {
      let past = (clock.now - start).inSeconds
      if let code = child.poll() { return (code, past) }
      if past >= limit { return nil }
      usleep(1000)
    }
  }

  /// Weights and samples to the bit, the log but for its times.
  private func compare(_ output: String, with whole: String, name: String, _ detail: String) {
    var differences: [String] = []
    for file in ["adapter_model.safetensors", "model.safetensors", "samples.jsonl"] {
      let a = try? FileSystem.readFile(FileSystem.join(whole, file))
      let b = try? FileSystem.readFile(FileSystem.join(output, file))
      if a != b { differences.append(file) }
    }
    if history(whole) != history(output) { differences.append("the log of trainer_state.json") }
    add(
      name, differences.isEmpty,
      detail
        + (differences.isEmpty ? ": same bits" : ": other " + differences.joined(separator: ", ")))
  }

  private func history(_ output: String) -> [[JSON?]] {
    let path = FileSystem.join(output, "trainer_state.json")
    let state = (try? FileSystem.readFile(path)).flatMap { try? JSON.parse($0) }
    let keys = [
      "step", "epoch", "loss", "grad_norm", "learning_rate", "num_tokens", "mean_token_accuracy",
      "eval_loss", "eval_mean_token_accuracy", "train_loss",
    ]
    return (state?["log_history"]?.arrayValue ?? []).map { entry in keys.map { entry[$0] } }
  }

  private func remove(_ path: String) throws(CLIError) {
    do throws(FileError) { try FileSystem.remove(path) } catch { throw .file(error) }
  }

  private func add(_ name: String, _ passed: Bool, _ detail: String) {
    checks.append(Check(name: name, passed: passed, detail: detail))
    say("\(passed ? "passed" : "FAILED"): \(name): \(detail)")
  }
}
