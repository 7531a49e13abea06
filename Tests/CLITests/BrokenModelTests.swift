// Model folders that are damaged or lie: each is one line on standard error and exit code 1, never a trap.

import Foundation
import Testing

@Suite("Broken models")
struct BrokenModelTests {
  /// A change that breaks a model folder.
  struct Damage: Sendable, CustomTestStringConvertible {
    /// The file that is changed.
    let file: String
    /// What becomes of its bytes; nil removes it.
    let change: @Sendable (Data) -> Data?
    /// What the error must say.
    let expected: String
    let testDescription: String

    init(
      _ description: String, _ file: String, expected: String,
      _ change: @escaping @Sendable (Data) -> Data?
    ) {
      (testDescription, self.file, self.expected, self.change) = (
        description, file, expected, change
      )
    }

    /// A setting of config.json replaced by other JSON text.
    static func config(_ key: String, _ value: String) -> Damage {
      Damage("\(key) = \(value)", "config.json", expected: "config.json") { data in
        let text = String(decoding: data, as: UTF8.self)
        return Data(
          text.replacingOccurrences(
            of: "\"\(key)\": [^,\n]*", with: "\"\(key)\": \(value)", options: .regularExpression
          ).utf8)
      }
    }
  }

  /// The weights of a fixture with the tokenizer of the demo model, whose ids the weights do not have.
  private func makeModel(_ program: Program) throws -> URL {
    let model = try program.folder.copy("Fixtures/tiny-qwen3", to: "model")
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
      try program.folder.copy("Fixtures/demo-model/\(name)", to: "model/\(name)")
    }
    return model
  }

  private func expectOneFault(
    _ outcome: Program.Outcome, _ expected: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(outcome.code == 1, "\(outcome.errors)", sourceLocation: sourceLocation)
    #expect(outcome.output.isEmpty, sourceLocation: sourceLocation)
    #expect(outcome.faults.count == 1, "\(outcome.errors)", sourceLocation: sourceLocation)
    #expect(
      outcome.faults.allSatisfy { $0.unicodeScalars.count < 1300 }, sourceLocation: sourceLocation)
    #expect(
      outcome.errorLines.last?.contains(expected) == true, "\(outcome.errors)",
      sourceLocation: sourceLocation)
  }

  @Test(
    "what is no model folder is named",
    arguments: ["tokenize", "data check", "data render", "evaluate", "train --output_dir out"])
  func noFolder(_ command: String) throws {
    let program = try Program()
    let words = command.split(separator: " ").map(String.init)
    let file = try program.folder.write("x", to: "file")
    expectOneFault(try program.run(words + ["--model", "/nonexistent/model"]), "no such folder")
    expectOneFault(
      try program.run(words + ["--model", "Qwen/Nothing", "--offline"]), "Hugging Face cache")
    expectOneFault(try program.run(words + ["--model", file]), "found a file")
    expectOneFault(try program.run(words + ["--model", ""]), "no such folder")
    let empty = program.folder.url("empty")
    try FileManager.default.createDirectory(at: empty, withIntermediateDirectories: true)
    expectOneFault(try program.run(words + ["--model", empty.path]), "tokenizer.json")
  }

  @Test(
    "damaged tokenizers and templates stop every command",
    arguments: [
      Damage("no tokenizer", "tokenizer.json", expected: "tokenizer.json") { _ in nil },
      Damage("empty tokenizer", "tokenizer.json", expected: "tokenizer.json") { _ in Data() },
      Damage("half a tokenizer", "tokenizer.json", expected: "tokenizer.json") {
        $0.prefix($0.count / 2)
      },
      Damage("a list for a tokenizer", "tokenizer.json", expected: "tokenizer.json") { _ in
        Data("[]".utf8)
      },
      Damage("deep nesting", "tokenizer.json", expected: "tokenizer.json") { _ in
        Data(repeating: 0x5B, count: 1_000_000)
      },
      Damage("binary zeros", "tokenizer.json", expected: "tokenizer.json") { _ in
        Data(count: 4096)
      },
      Damage("bad settings", "tokenizer_config.json", expected: "tokenizer_config.json") { _ in
        Data("{".utf8)
      },
      Damage("no template", "chat_template.jinja", expected: "chat_template") { _ in nil },
      Damage("bad template", "chat_template.jinja", expected: "chat_template.jinja") { _ in
        Data("{% for m in %}".utf8)
      },
      Damage("a template that fails", "chat_template.jinja", expected: "rows.jsonl:1: ") { _ in
        Data("{{ raise_exception('no\\nthanks') }}".utf8)
      },
      Damage("a template that never ends", "chat_template.jinja", expected: "rows.jsonl:1: ") { _ in
        Data("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}".utf8)
      },
    ])
  func tokenizer(_ damage: Damage) throws {
    let program = try Program()
    let model = try makeModel(program)
    let data = try program.folder.write(
      #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
      to: "rows.jsonl")
    try apply(damage, to: model)
    for command in [["data", "render"], ["data", "tokenize"], ["evaluate"]] {
      expectOneFault(
        try program.run(command + ["--model", model.path, "--data", data]), damage.expected)
    }
  }

  @Test(
    "damaged weights and settings that lie stop the commands that load them",
    arguments: [
      Damage("no config", "config.json", expected: "config.json") { _ in nil },
      Damage("half a config", "config.json", expected: "config.json") { $0.prefix(40) },
      Damage("a list for a config", "config.json", expected: "config.json") { _ in Data("[]".utf8)
      },
      .config("hidden_size", "null"), .config("hidden_size", "0"), .config("hidden_size", "-32"),
      .config("hidden_size", "1e30"), .config("hidden_size", "4611686018427387904"),
      .config("num_hidden_layers", "1000000000"), .config("num_attention_heads", "\"four\""),
      .config("num_key_value_heads", "3"), .config("head_dim", "0"), .config("vocab_size", "null"),
      .config("rms_norm_eps", "null"), .config("model_type", "\"llama\""),
      Damage("a larger model's config", "config.json", expected: "gate_proj.weight") {
        Data(
          String(decoding: $0, as: UTF8.self).replacingOccurrences(
            of: "\"intermediate_size\": [0-9]*", with: "\"intermediate_size\": 4096",
            options: .regularExpression
          ).utf8)
      },
      Damage("no weights", "model.safetensors", expected: "model.safetensors") { _ in nil },
      Damage("empty weights", "model.safetensors", expected: "model.safetensors") { _ in Data() },
      Damage("half the weights", "model.safetensors", expected: "model.safetensors") {
        $0.prefix($0.count / 2)
      },
      Damage("a byte too few", "model.safetensors", expected: "model.safetensors") {
        $0.dropLast()
      },
      Damage("a header of 2⁶³ bytes", "model.safetensors", expected: "model.safetensors") {
        Data([0, 0, 0, 0, 0, 0, 0, 0x80]) + $0.dropFirst(8)
      },
      Damage("a name of a million letters", "model.safetensors", expected: " … ") { _ in
        let name = String(repeating: "n", count: 1_000_000)
        let header = Data(#"{"\#(name)":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}"#.utf8)
        return Data((0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }) + header
      },
      Damage("zeros for weights", "model.safetensors", expected: "model.safetensors") {
        Data(count: $0.count)
      },
    ])
  func weights(_ damage: Damage) throws {
    let program = try Program()
    let model = try makeModel(program)
    try apply(damage, to: model)
    expectOneFault(try program.run(["evaluate", "--model", model.path]), damage.expected)
  }

  @Test("a tokenizer with more ids than the model is an error, not a trap")
  func foreignTokenizer() throws {
    let program = try Program()
    let model = try makeModel(program)
    expectOneFault(
      try program.run(["evaluate", "--model", model.path]), "is outside the model's vocabulary")
    expectOneFault(
      try program.run(["train", "--model", model.path, "--output_dir", "out"]),
      "is outside the model's vocabulary")
  }

  private func apply(_ damage: Damage, to model: URL) throws {
    let file = model.appendingPathComponent(damage.file)
    let changed = damage.change(try Data(contentsOf: file))
    try FileManager.default.removeItem(at: file)
    try changed?.write(to: file)
  }
}
