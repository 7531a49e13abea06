// 4-bit weights through the program: quantize, evaluate, train and chat, and the cache between two starts.

import Foundation
import OrderedJSON
import Testing

@Suite("Quantized weights on the command line")
struct QuantizeTests {
  let program: Program

  init() throws { program = try Program() }

  private func loss(_ line: String) throws -> Double {
    let outcome = try program.run("evaluate --json " + line)
    #expect(outcome.code == 0 && outcome.faults.isEmpty, "\(outcome.errors)")
    return try #require(JSON.parse(outcome.output)["eval_loss"]?.doubleValue)
  }

  private var cache: URL { program.folder.url("cache/qwen-sft/weights") }

  @Test("a quantized folder is a model of its own, and computes what --use_qlora does")
  func quantize() throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "model").path
    let companions = ["chat_template.json", "additional_chat_templates/tool_use.jinja"]
    for name in companions { try program.folder.write("{}", to: "model/\(name)") }
    let run = try program.run("quantize --model \(model) --output_dir q --bf16 --num_threads 2")
    #expect(run.code == 0 && run.output.isEmpty, "\(run.errors)")
    for name in companions + ["chat_template.jinja", "generation_config.json"] {
      #expect(FileManager.default.fileExists(atPath: program.folder.url("q/\(name)").path))
    }
    let settings = try #require(
      JSON.parse(String(contentsOf: program.folder.url("q/config.json"), encoding: .utf8))[
        "quantization_config"])
    #expect(settings["bnb_4bit_compute_dtype"] == "bfloat16")
    #expect(settings["bnb_4bit_use_double_quant"]?.boolValue == true)
    #expect(try loss("--model q") == loss("--model \(model) --use_qlora"))
    #expect(try loss("--model q") != loss("--model \(model)"))
    let (wide, narrow) = (try loss("--model q"), try loss("--model q --bf16"))
    #expect(narrow != wide && abs(narrow - wide) < 0.02 * wide)
    let plain = try program.run(
      "quantize --model \(model) --output_dir p --no-double_quant --block_size 256")
    #expect(plain.code == 0, "\(plain.errors)")
    #expect(try loss("--model p") != loss("--model q"))
    let onto = try program.run("quantize --model \(model) --output_dir p")
    #expect(onto.code == 1 && onto.errors.contains("p is not empty"), "\(onto.errors)")
    #expect(
      try program.run("quantize --model \(model) --output_dir p --overwrite_output_dir").code == 0)
    #expect(try loss("--model p") == loss("--model q"))
    let again = try program.run("quantize --model q --output_dir r")
    #expect(again.code == 1 && again.faults.count == 1)
    #expect(again.errors.contains("quantized already"))
    let full = try program.run("train --full --model q --output_dir out")
    #expect(full.code == 1 && full.faults.count == 1 && full.errors.contains("cannot be trained"))
    let answer = try program.run("chat --model q --prompt Hello --max_new_tokens 3 --json")
    #expect(answer.code == 0, "\(answer.errors)")
  }

  @Test("QLoRA trains an adapter, and the second start takes the weights from the cache")
  func train() throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "model").path
    let before = try loss("--model \(model) --use_qlora --no-weights_cache")
    #expect(!FileManager.default.fileExists(atPath: cache.path))
    let run = try program.run(
      "train --model \(model) --use_qlora --output_dir out --max_steps 8 --learning_rate 5e-3 "
        + "--per_device_train_batch_size 8 --gradient_accumulation_steps 1 --logging_steps 1 "
        + "--gradient_checkpointing --num_threads 1")
    #expect(run.code == 0 && run.faults.isEmpty, "\(run.errors)")
    #expect(!run.errors.contains("float32"))
    #expect(try loss("--model \(model) --use_qlora --adapter out") < before)
    let names = try FileManager.default.contentsOfDirectory(atPath: cache.path)
    #expect(names.count == 1)
    let entry = cache.appendingPathComponent(names[0])
    try Data("damage".utf8).write(to: entry)
    let mended = try program.run("evaluate --json --model \(model) --use_qlora")
    #expect(mended.code == 0, "\(mended.errors)")
    #expect(mended.errors.contains(names[0]) && mended.errors.contains("quantized again"))
    #expect(try JSON.parse(mended.output)["eval_loss"]?.doubleValue == before)
    #expect(try Data(contentsOf: entry).count > 1000)
  }
}
