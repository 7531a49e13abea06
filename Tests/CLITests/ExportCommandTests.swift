// merge, export gguf, check-adapter and convert-adapter as a user meets them.

import Foundation
import OrderedJSON
import Testing

@Suite("Exports on the command line")
struct ExportCommandTests {
  let program: Program

  init() throws { program = try Program() }

  private func loss(_ line: String) throws -> Double {
    let outcome = try program.run("evaluate --json " + line)
    #expect(outcome.code == 0, "\(outcome.errors)")
    return try #require(JSON.parse(outcome.output)["eval_loss"]?.doubleValue)
  }

  /// The demo model's folder and an adapter on it, `out`.
  private func train() throws -> String {
    let model = try program.folder.copy("Fixtures/demo-model", to: "model").path
    let run = try program.run(
      "train --model \(model) --output_dir out --max_steps 6 --per_device_train_batch_size 8 "
        + "--learning_rate 5e-3 --gradient_accumulation_steps 1 --num_threads 1")
    #expect(run.code == 0, "\(run.errors)")
    return model
  }

  @Test(
    "a merged model answers as the adapter on its base, is sharded when asked, and never overwrites"
  )
  func merge() throws {
    let model = try train()
    let run = try program.run(
      "merge --model \(model) --adapter out --output_dir merged --dtype float32 --check 4")
    #expect(run.code == 0 && run.output.isEmpty, "\(run.errors)")
    #expect(run.errors.contains("change of the logits on"))
    let (merged, adapted) = (
      try loss("--model merged"), try loss("--model \(model) --adapter out")
    )
    #expect(abs(merged - adapted) < 1e-5)
    #expect(try abs(loss("--model \(model)") - merged) > 1e-3)
    for (options, word) in [
      ("--output_dir merged", "--overwrite_output_dir"),
      ("--output_dir \(model) --overwrite_output_dir", "which is read"),
      ("--output_dir \(program.folder.url.path) --overwrite_output_dir", "which is read"),
    ] {
      let outcome = try program.run("merge --model \(model) --adapter out " + options)
      #expect(outcome.code == 1 && outcome.faults.count == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains(word), "\(outcome.errors)")
    }
    let homeless = try program.run(
      "merge --model \(model) --adapter out --output_dir homeless",
      environment: ["HOME": "/dev/null/home", "XDG_CACHE_HOME": "/dev/null/cache"])
    #expect(
      homeless.code == 0 && homeless.errors.contains("nothing is compared"), "\(homeless.errors)")
    let shards = try program.run(
      "merge --model \(model) --adapter out --output_dir merged --overwrite_output_dir "
        + "--max_shard_size 500KB --check 0")
    #expect(shards.code == 0, "\(shards.errors)")
    let names = try FileManager.default.contentsOfDirectory(
      atPath: program.folder.url("merged").path)
    #expect(names.contains("model.safetensors.index.json") && !names.contains("model.safetensors"))
    #expect(names.contains("chat_template.jinja") && names.contains("generation_config.json"))
    #expect(try abs(loss("--model merged") - adapted) < 0.02)
    for line in ["", "--adapter out --max_shard_size 0", "--adapter out --dtype int8"] {
      let outcome = try program.run("merge --model \(model) --output_dir x " + line)
      #expect(outcome.code == 64 && outcome.faults.count == 1, "\(outcome.errors)")
    }
  }

  @Test(
    "a signal ends a merge, leaves nothing behind and what was there in its place",
    arguments: [SIGINT, SIGTERM])
  func interruption(number: Int32) throws {
    let model = try train()
    let row =
      #"{"messages": [{"role": "user", "content": "What is your name?"}, "#
      + #"{"role": "assistant", "content": "I have no name, and many words to say so."}]}"#
    try program.folder.write(String(repeating: row + "\n", count: 20_000), to: "rows.jsonl")
    // What a run that was killed between two renames leaves.
    try program.folder.write("mine", to: ".replaced-merged/note")
    let process = program.process([
      "merge", "--model", model, "--adapter", "out", "--output_dir", "merged", "--check", "20000",
      "--data", "rows.jsonl", "--overwrite_output_dir",
    ])
    process.standardError = FileHandle.nullDevice
    // Threads of a test block all signals, and a process inherits that.
    var (signals, earlier) = (sigset_t(), sigset_t())
    sigfillset(&signals)
    pthread_sigmask(SIG_UNBLOCK, &signals, &earlier)
    defer { pthread_sigmask(SIG_SETMASK, &earlier, nil) }
    try process.run()
    func names() throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: program.folder.url.path)
    }
    for _ in 0..<3000 {
      if !process.isRunning { break }
      if try names().contains(where: { $0.hasPrefix(".partial-") }) { break }
      usleep(10_000)
    }
    kill(process.processIdentifier, number)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 128 + number)
    #expect(try !names().contains { $0.hasPrefix(".partial-") || $0.hasPrefix(".replaced-") })
    let note = program.folder.url("merged/note")
    #expect(try String(contentsOf: note, encoding: .utf8) == "mine")
  }

  @Test("GGUF files are checked, have a Modelfile, and do not appear when they are too far off")
  func gguf() throws {
    let model = try train()
    for type in ["f32", "q4_k_m"] {
      let run = try program.run(
        "export gguf --model \(model) --adapter out --output_file \(type).gguf --type \(type) --check 6"
      )
      #expect(run.code == 0 && run.output.isEmpty, "\(run.errors)")
      #expect(run.errors.contains("KL divergence mean"))
      let text = try String(
        contentsOf: program.folder.url("\(type).gguf.Modelfile"), encoding: .utf8)
      #expect(text.hasPrefix("FROM ./\(type).gguf\n"))
    }
    let alone = try program.run(
      "export gguf --model \(model) --adapter out --adapter_only --output_file a.gguf --check 3")
    #expect(
      alone.code == 0 && alone.errors.contains("same first choice 100.00 %"), "\(alone.errors)")
    let text = try String(contentsOf: program.folder.url("a.gguf.Modelfile"), encoding: .utf8)
    #expect(text.contains("ADAPTER ./a.gguf\n"))
    let refused = try program.run(
      "export gguf --model \(model) --output_file no.gguf --type q4_k_m --check 3 --max_kl 1e-12")
    #expect(refused.code == 1 && refused.faults.count == 1 && refused.errors.contains("--max_kl"))
    let names = try FileManager.default.contentsOfDirectory(atPath: program.folder.url.path)
    #expect(!names.contains { $0.hasPrefix("no.gguf") || $0.hasPrefix(".partial-") })
    for line in [
      "--type q9", "--check -1", "--adapter_only", "--adapter out --adapter_only --type q4_k_m",
      "--min_agreement 2",
    ] {
      let outcome = try program.run("export gguf --model \(model) --output_file x.gguf " + line)
      #expect(outcome.code == 64 && outcome.faults.count == 1, "\(line): \(outcome.errors)")
    }
  }

  @Test("verdicts have reasons and an exit code, and conversions come back")
  func adapters() throws {
    _ = try train()
    for consumer in ["peft", "vllm", "llamacpp", "mlx"] {
      let outcome = try program.run("check-adapter --adapter out --for \(consumer) --json")
      #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
      #expect(try JSON.parse(outcome.output)["accepted"] == true)
    }
    let refused = try program.run("check-adapter --adapter out --for vllm --max_lora_rank 8")
    #expect(refused.code == 1 && refused.output.contains("problem: rank 16"))
    for (from, to, form) in [("out", "m", "mlx"), ("m", "back", "peft")] {
      let run = try program.run("convert-adapter --adapter \(from) --to \(form) --output_dir \(to)")
      #expect(run.code == 0 && run.output.isEmpty, "\(run.errors)")
    }
    let foreign = try program.run("chat --adapter m --prompt Hi")
    #expect(foreign.code == 1 && foreign.faults.count == 1)
    #expect(foreign.errors.contains("convert-adapter --to peft"), "\(foreign.errors)")
    try program.folder.write("mine", to: "other/adapter_config.json")
    for (options, word) in [
      ("--output_dir other", "--overwrite_output_dir"), ("--output_dir out", "which is read"),
      ("--output_dir out --overwrite_output_dir", "which is read"),
    ] {
      let run = try program.run("convert-adapter --adapter out --to mlx " + options)
      #expect(run.code == 1 && run.faults.count == 1 && run.errors.contains(word), "\(run.errors)")
    }
    let other = program.folder.url("other/adapter_config.json")
    #expect(try String(contentsOf: other, encoding: .utf8) == "mine")
    let replaced = try program.run(
      "convert-adapter --adapter out --to mlx --output_dir other --overwrite_output_dir")
    #expect(replaced.code == 0, "\(replaced.errors)")
    #expect(try String(contentsOf: other, encoding: .utf8) != "mine")
    for name in ["adapter_model.safetensors", "adapter_config.json"] {
      let files = try ["out", "back"].map {
        try Data(contentsOf: program.folder.url("\($0)/\(name)"))
      }
      #expect(files[0] == files[1], "\(name)")
    }
    let same = try program.run("convert-adapter --adapter out --to peft --output_dir x")
    #expect(same.code == 1 && same.faults.count == 1)
    let none = try program.run("check-adapter --adapter cache --for peft")
    #expect(none.code == 1 && none.faults.count == 1)
  }
}
