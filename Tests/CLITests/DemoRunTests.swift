// The demo model from question to trained answer, as a user meets it. The numbers are other tests' business.

import Foundation
import OrderedJSON
import Tensor
import Testing

@Suite(
  "Demo run",
  .enabled(
    if: FileManager.default.fileExists(
      atPath: Program.packageRoot.appendingPathComponent("Fixtures/demo-model/model.safetensors")
        .path),
    "Fixtures/demo-model has no weights"))
struct DemoRunTests {
  let program: Program

  init() throws { program = try Program() }

  @Test("weights that tokens are generated with take less than the file, where they are compressed")
  func weights() throws {
    let run = try program.run("bench --decode 2 --prompt_tokens 4 --json")
    let bytes = try #require(JSON.parse(run.output)["weight_bytes"]?.integerValue)
    for rate in ["decode_tokens_per_second", "prompt_tokens_per_second"] {
      #expect(try #require(JSON.parse(run.output)[rate]?.doubleValue) > 0)
    }
    let several = try program.run("bench --decode 3 --prompt_tokens 300 --batch 3 --json")
    #expect(try JSON.parse(several.output)["weight_bytes"]?.integerValue == bytes)
    let file = Program.packageRoot.appendingPathComponent("Fixtures/demo-model/model.safetensors")
    let size = try #require(try file.resourceValues(forKeys: [.fileSizeKey]).fileSize)
    let isCompressed = CompressedTensor(Tensor.zeros([1, 128]).cast(to: .bfloat16)) != nil
    #expect(isCompressed ? bytes < size * 9 / 10 : bytes >= size - 1 << 14, "\(bytes) of \(size)")
  }

  @Test("training lowers the loss of the sample data, in the spelling of the Python scripts")
  func train() throws {
    let before = try JSON.parse(program.run("evaluate --json").output)
    let run = try program.run(
      "train --output_dir out --max_steps 8 --per_device_train_batch_size 8 --learning_rate 5e-3 "
        + "--gradient_accumulation_steps 1 --lora_r 4 --target_modules q_proj v_proj down_proj "
        + "--logging_steps 1 --gradient_checkpointing --shuffle false --bf16 false --num_threads 1")
    #expect(run.code == 0 && run.output.isEmpty && run.faults.isEmpty, "\(run.errors)")
    #expect(run.errorLines.filter { $0.contains("step ") && $0.contains("loss ") }.count >= 8)
    #expect(!run.errors.contains("\r") && !run.errors.contains("\u{1B}"))
    let config = try JSON.parse(
      String(contentsOf: program.folder.url("out/adapter_config.json"), encoding: .utf8))
    #expect(config["r"] == 4)
    #expect(Set(config["target_modules"]?.arrayValue ?? []) == ["q_proj", "v_proj", "down_proj"])
    for option in ["adapter", "adapter_dir", "adapter-name-or-path"] {
      let after = try JSON.parse(program.run("evaluate --json --\(option) out").output)
      let (old, new) = (before["eval_loss"]?.doubleValue, after["eval_loss"]?.doubleValue)
      #expect(try #require(new) < #require(old))
      #expect(before["eval_trained_tokens"] == after["eval_trained_tokens"])
    }
    let names = try FileManager.default.subpathsOfDirectory(
      atPath: program.folder.url("out").path)
    #expect(!names.contains { $0.contains(".partial-") })
  }

  @Test(
    "kinds of adapters train, and what is written fits the unchanged model",
    arguments: [
      "--use_dora --use_rslora", "--init_lora_weights pissa",
      "--init_lora_weights olora --use_dora",
      "--rank_pattern {\"layers\\\\.0\\\\..*\":2} --alpha_pattern {\"up_proj\":8} --layers_to_transform 0,1",
      "--loraplus_lr_ratio 8 --neftune_noise_alpha 5 --init_lora_weights gaussian",
    ])
  func kinds(_ options: String) throws {
    let before = try JSON.parse(program.run("evaluate --json").output)
    let run = try program.run(
      "train --output_dir out --max_steps 6 --per_device_train_batch_size 8 --learning_rate 2e-3 "
        + "--gradient_accumulation_steps 1 --lora_r 4 --logging_steps 1 --num_threads 1 " + options)
    #expect(run.code == 0 && run.output.isEmpty && run.faults.isEmpty, "\(run.errors)")
    #expect(
      run.errors.contains("twice the rank")
        == (options.contains("pissa") || options.contains("olora")))
    let after = try JSON.parse(program.run("evaluate --json --adapter out").output)
    #expect(
      try #require(after["eval_loss"]?.doubleValue) < #require(before["eval_loss"]?.doubleValue))
    // It is found again in whatever trained it.
    let more = try program.run("train --output_dir out2 --max_steps 1 --adapter out")
    #expect(more.code == 0, "\(more.errors)")
  }

  @Test("a pattern or a layer that the model does not have is one line and exit code 1")
  func strangers() throws {
    for options in ["--rank_pattern {\"x_proj\":2}", "--layers_to_transform 99"] {
      let outcome = try program.run("train --output_dir out --max_steps 1 " + options)
      #expect(outcome.code == 1 && outcome.faults.count == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("takes in none of the modules"))
    }
  }

  @Test("a row that trains nothing has no log-probabilities and stops no evaluation")
  func questionWithoutAnswer() throws {
    let question = #"{"role": "user", "content": "a"}"#
    let data = try program.folder.write(
      """
      {"messages": [\(question)]}
      {"messages": [\(question), {"role": "assistant", "content": "b"}]}

      """, to: "rows.jsonl")
    let outcome = try program.run(
      ["evaluate", "--data", data, "--json", "--logprobs", "values.jsonl"])
    #expect(outcome.code == 0, "\(outcome.errors)")
    let lines = try String(contentsOf: program.folder.url("values.jsonl"), encoding: .utf8)
      .split(separator: "\n")
    #expect(lines.count == 2 && lines.first == "[]")
    let count = try JSON.parse(outcome.output)["eval_trained_tokens"]?.integerValue
    #expect(try JSON.parse(String(lines[1])).arrayValue?.count == count)
    // Training has no use for it.
    let training = try program.run(["train", "--data", data, "--output_dir", "out"])
    #expect(training.code == 1 && training.errors.contains("rows.jsonl:1: "))
  }

  @Test("-1 steps are none, as with transformers")
  func noSteps() throws {
    let outcome = try program.run(
      "train --output_dir out --max_steps -1 --num_train_epochs 0.01 --lora_r 2")
    #expect(outcome.code == 0, "\(outcome.errors)")
  }

  @Test("infer is chat, and --json is a line a conversation")
  func chat() throws {
    let outcome = try program.run(
      ["infer", "--prompt", "What is your name?", "--max_new_tokens", "4", "--json"])
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.output.utf8.filter { $0 == 0x0A }.count == 1)
    let answer = try JSON.parse(outcome.output)
    let ids = try #require(answer["ids"]?.arrayValue)
    #expect((1...4).contains(ids.count))
    let decoded = try program.run(
      "tokenize --decode --skip_special_tokens", input: JSON.array(ids).serialized() + "\n")
    #expect(try JSON.parse(decoded.output) == answer["text"])
  }

  @Test(
    "an answer beyond the model's positions is said once, before it is given; an empty file is an error"
  )
  func lengths() throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "model")
    let path = model.appendingPathComponent("config.json")
    let config = try String(contentsOf: path, encoding: .utf8)
    try Data(
      config.replacing(
        #""max_position_embeddings": 1024"#, with: #""max_position_embeddings": 16"#
      ).utf8
    ).write(to: path)
    let row = #"{"messages": [{"role": "user", "content": "Hello"}]}"# + "\n"
    try Data((row + row).utf8).write(to: program.folder.url("two.jsonl"))
    for (options, place) in [("--prompt Hello", "--prompt"), ("--messages two.jsonl", "two.jsonl")]
    {
      let run = try program.run("chat --model model \(options) --temperature 0 --max_new_tokens 12")
      #expect(run.code == 0 && !run.output.isEmpty && !run.output.contains("warning"))
      let lines = run.errorLines.filter { $0.contains("max_position_embeddings") }
      #expect(lines.count == 1 && lines[0].contains("warning: \(place): a prompt of "), "\(lines)")
    }
    let short = try program.run(
      "chat --model model --prompt Hello --temperature 0 --max_new_tokens 1")
    #expect(!short.errors.contains("max_position_embeddings"))
    let endless = try program.run(
      "chat --model model --prompt Hello --temperature 0 --max_new_tokens \(Int.max)")
    #expect(endless.code == 0 || endless.code == 64, "\(endless.errors)")
    try Data("\n".utf8).write(to: program.folder.url("empty.jsonl"))
    let empty = try program.run("chat --model model --messages empty.jsonl")
    #expect(empty.code == 1 && empty.output.isEmpty)
    #expect(empty.errors.contains("--messages: empty.jsonl: no conversation in it"))
  }

  @Test("the text of an answer leaves out the token that ended it, special or not")
  func ordinaryStop() throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "model")
    func answer(_ options: String = "") throws -> JSON {
      let outcome = try program.run(
        "chat --model model --prompt Hello --temperature 0 --json --max_new_tokens 12 " + options)
      #expect(outcome.code == 0, "\(outcome.errors)")
      return try JSON.parse(outcome.output)
    }
    let ids = try #require(try answer()["ids"]?.arrayValue?.compactMap(\.integerValue))
    let stop = try #require(ids.indices.dropFirst().first { !ids[..<$0].contains(ids[$0]) })
    let expected = try answer("--max_new_tokens \(stop)")
    try Data(#"{"eos_token_id": [1273, \#(ids[stop])]}"#.utf8).write(
      to: model.appendingPathComponent("generation_config.json"))
    let stopped = try answer()
    #expect(stopped["ids"]?.arrayValue?.count == stop + 1)
    #expect(stopped["text"] == expected["text"] && stopped["text"]?.stringValue?.isEmpty == false)
  }

  @Test(
    "a generation_config.json that makes no sense is one line with the key",
    arguments: [
      #"{"temperature": -3}"#, #"{"top_p": "x"}"#, #"{"repetition_penalty": 0}"#,
      #"{"eos_token_id": "a"}"#, #"{"eos_token_id": [5, -1]}"#, #"[]"#, #"{"top_k": 1e300}"#,
      #"{"top_k": 20.5}"#, #"{"do_sample": "no"}"#,
    ])
  func recommendations(_ text: String) throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "model")
    let file = model.appendingPathComponent("generation_config.json")
    try Data(text.utf8).write(to: file)
    let outcome = try program.run("serve --model model --port 0")
    #expect(outcome.code == 1 && outcome.faults.count == 1, "\(outcome.errors)")
    let key = text.split(separator: "\"").dropFirst().first ?? "expected an object"
    #expect(
      outcome.errors.contains("generation_config.json: \(key)"), "\(outcome.errors)")
  }

  @Test("a file of conversations is answered in its order, alike in batches of any size")
  func batches() throws {
    let sample = Program.packageRoot.appendingPathComponent("Fixtures/sample.jsonl").path
    let answers = try ["1", "8", "64"].map { size in
      let outcome = try program.run([
        "chat", "--messages", sample, "--temperature", "0", "--max_new_tokens", "8", "--json",
        "--batch_size", size,
      ])
      #expect(outcome.code == 0, "\(outcome.errors)")
      return try outcome.output.split(separator: "\n").map { try JSON.parse(String($0))["ids"] }
    }
    #expect(answers[0].count == 56 && Set(answers).count == 1)
    let text = try program.run(["chat", "--messages", sample, "--max_new_tokens", "2"])
    #expect(text.code == 0 && text.output.utf8.filter { $0 == 0x0A }.count >= 56)
  }

  @Test(
    "a damaged adapter is one line and exit code 1",
    arguments: ["adapter_config.json", "adapter_model.safetensors"])
  func adapter(_ file: String) throws {
    #expect(try program.run("train --output_dir out --max_steps 1").code == 0)
    let path = program.folder.url("out/\(file)")
    let whole = try Data(contentsOf: path)
    for damaged in [nil, Data(), whole.prefix(whole.count / 2), Data(count: whole.count)] {
      try? FileManager.default.removeItem(at: path)
      try damaged?.write(to: path)
      for command in ["evaluate --adapter out", "chat --prompt a --adapter out"] {
        let outcome = try program.run(command)
        #expect(outcome.code == 1 && outcome.output.isEmpty && outcome.faults.count == 1)
        #expect(outcome.errors.contains(file), "\(outcome.errors)")
      }
    }
  }
}
