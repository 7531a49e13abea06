// Recipes: what they may say, what wins, and what each fault is told as.

import Foundation
import OrderedJSON
import Testing

@Suite("Recipes")
struct RecipeTests {
  let program: Program

  init() throws { program = try Program() }

  private func sample() throws -> String {
    try program.folder.copy("Fixtures/sample.jsonl", to: "sample.jsonl").path
  }

  private static let short = """
    max_steps: 2
    learning-rate: 2e-3
    lora_r: 2
    lora_dropout: 0.1
    target_modules: [q_proj, v_proj]
    shuffle: true
    gradient_accumulation_steps: 2
    save_strategy: no
    lr_scheduler_type: cosine_with_min_lr
    lr_scheduler_kwargs: {min_lr: 1e-5}
    logging_steps: 1

    """

  private func bytes(_ path: String) throws -> Data {
    try Data(contentsOf: program.folder.url(path))
  }

  @Test("a recipe sets options, the command line wins, and the resolved recipe makes the run again")
  func reproduces() throws {
    let recipe = try program.folder.write(Self.short + "output_dir: 'a: # b'\n", to: "r.yaml")
    let first = try program.run(["train", "--config", recipe, "--num_threads", "1"])
    #expect(first.code == 0, "\(first.errors)")
    let resolved = program.folder.url("a: # b/recipe.yaml").path
    let again = try program.run([
      "train", "--config", resolved, "--output_dir", "again", "--num_threads", "1",
    ])
    #expect(again.code == 0, "\(again.errors)")
    #expect(
      try bytes("a: # b/adapter_model.safetensors") == bytes("again/adapter_model.safetensors"))
    let other = try program.run([
      "train", "--config", resolved, "--output_dir", "other", "--seed=7", "--target_modules",
      "k_proj", "--no-shuffle",
    ])
    #expect(other.code == 0, "\(other.errors)")
    let text = String(decoding: try bytes("other/recipe.yaml"), as: UTF8.self)
    for line in [
      "seed: 7", "target_modules: [k_proj]", "shuffle: false", "learning_rate: 2e-3",
      "max_seq_length: 2048", "weight_decay: 0.0", "save_strategy: 'no'", "output_dir: other",
      "lr_scheduler_kwargs: '{\"min_lr\": 1e-05}'",
    ] { #expect(text.contains(line + "\n"), "\(line) in\n\(text)") }
  }

  @Test("JSON recipes work for every command, with lists for options that repeat")
  func json() throws {
    let data = try sample()
    let recipe = try program.folder.write(
      #"{"data_path": ["\#(data)", "\#(data)"], "json": true, "max-seq-length": 64}"#,
      to: "r.json")
    let outcome = try program.run(["data", "check", "--config", recipe])
    let report = try JSON.parse(outcome.output)
    #expect(report["rows"]?.integerValue == 112, "\(outcome.errors)")
    // An option of the command line takes the place of the whole list.
    let single = try program.run(["data", "check", "--config", recipe, "--data", data])
    #expect(try JSON.parse(single.output)["rows"]?.integerValue == 56)
    let nested = try program.folder.write(
      #"{"template_kwargs": {"enable_thinking": false, "a": [1, null]}, "data": "\#(data)"}"#,
      to: "n.json")
    #expect(try program.run(["data", "render", "--config", nested]).code == 0)
  }

  @Test(
    "an empty recipe says nothing",
    arguments: [
      "", "# only a comment\n", "---\n", "{}\n", "# NOTE: *do not* & so\n", "# it's - 'so'\n",
    ])
  func empty(_ text: String) throws {
    let recipe = try program.folder.write(text, to: "r.yaml")
    #expect(try program.run(["devices", "--config", recipe]).code == 0)
  }

  static let faults: [(String, String)] = [
    ("learning_rat: 1e-4", ":1: unknown key 'learning_rat'; did you mean 'learning_rate'?"),
    ("max_steps: 3\nlora-R: 4", ":2: unknown key 'lora-R'; did you mean 'lora_r'?"),
    ("modle: x", "did you mean 'model'?"),
    ("warmup_step: 3", "did you mean 'warmup_steps'?"),
    ("help: true", "unknown key 'help'"),
    ("config: other.yaml", "unknown key 'config'"),
    ("zzzzzzzzzzzz: 1", "unknown key 'zzzzzzzzzzzz' (see 'qwen-sft train --help')"),
    ("learning_rate: fast", ":1: learning_rate: expected a number, found 'fast'"),
    ("lora_r: 8.5", "lora_r: expected a whole number, found '8.5'"),
    ("max_steps: ten", "max_steps: expected a whole number, found 'ten'"),
    ("shuffle: maybe", "shuffle: expected true or false, found 'maybe'"),
    ("shuffle: [true]", "shuffle: expected true or false, found a list"),
    ("lr_scheduler_type: steep", "expected one of linear, cosine"),
    ("seed: [1, 2]", "seed: expected one value, found a list"),
    ("seed: {a: 1}", "seed: expected one value, found a mapping"),
    ("seed: null", "seed: null is no value"),
    ("seed:", "seed: null is no value"),
    ("seed: -1", "seed: expected a whole number, found '-1'"),
    ("output_dir: 5", "output_dir: expected text, found 5"),
    ("model: true", "model: expected text, found true"),
    ("target_modules: [q_proj, [v_proj]]", "target_modules: expected one value, found a list"),
    ("target_modules: [1]", "target_modules: expected text, found 1"),
    ("seed: 1\nseed: 2", ":1: 'seed' stands twice"),
    ("max_steps: 1\nmax-steps: 2", ":2: 'max-steps' stands twice, first on line 1"),
    ("model: a\nmodel_name_or_path: b", ":2: model_name_or_path: the same option is set already"),
    ("a: &x 1\nb: *x", ":1: anchors (&) and aliases (*) are not taken"),
    ("# it's\na: &x 1\nb: *x", ":2: anchors (&) and aliases (*) are not taken"),
    ("# - 'x\na: &x 1\nb: *x", ":2: anchors (&) and aliases (*) are not taken"),
    ("a: \"C:\\\\\"\nb: &x 1", ":2: anchors (&) and aliases (*) are not taken"),
    ("a: 'b\\'\nb: &x 1", ":2: anchors (&) and aliases (*) are not taken"),
    ("? [a, b]\n: 1", "expected an option's name, found a list or mapping"),
    ("- seed", "expected 'option: value' lines, found a list"),
    ("just words", "expected 'option: value' lines, found text"),
    ("seed: 1\n---\nseed: 2", "found another document"),
    ("seed: !!python/object 1", "the tag tag:yaml.org,2002:python/object is not taken"),
    ("seed: !own 1", "the tag !own is not taken"),
    ("seed: [1", "is not YAML"),
    ("seed: 1\n  lora_r: 2\n", "is not YAML"),
    ("\"a\u{1}b\": 1", "is not YAML"),
    (
      "lr_scheduler_kwargs: " + String(repeating: "[", count: 40)
        + String(repeating: "]", count: 40), "nested deeper than 32 levels"
    ),
    ("lr_scheduler_kwargs: " + String(repeating: "[", count: 100_000), "is not YAML"),
    ("lora_r: 0", ":1: lora_r: expected 1 to 65536, found 0"),
    ("learning_rate: .nan", ":1: learning_rate: expected 0 or more, found nan"),
    ("num_threads: 0", ":1: num_threads: expected 1 to 1024, found 0"),
  ]

  @Test("a fault is one line with the place, exit code 64, and nothing written", arguments: faults)
  func fault(_ text: String, _ expected: String) throws {
    let recipe = try program.folder.write(text, to: "r.yaml")
    let outcome = try program.run(["train", "--config", recipe, "--output_dir", "out"])
    #expect(outcome.code == 64, "\(outcome.errors)")
    #expect(outcome.faults.count == 1 && outcome.output.isEmpty)
    #expect(
      outcome.errors.contains("r.yaml") && outcome.errors.contains(expected), "\(outcome.errors)")
    #expect(!FileManager.default.fileExists(atPath: program.folder.url("out").path))
  }

  @Test(
    "faults of JSON recipes too",
    arguments: [
      ("{\n\"seed\": 1,\n\"sead\": 2}", "r.json:3: unknown key 'sead'; did you mean 'seed'?"),
      ("[1]", "r.json: expected an object of options, found"),
      ("{\"seed\": 1,\n \"seed\": 2}", "r.json:2: 'seed' stands twice"),
      ("{\"seed\": }", "r.json:1: is not JSON"), ("", "is not JSON"),
      ("{\"seed\": null}", "seed: null is no value"),
      ("{\"learning_rate\": \"fast\"}", "expected a number, found 'fast'"),
    ])
  func jsonFault(_ text: String, _ expected: String) throws {
    let recipe = try program.folder.write(text, to: "r.json")
    let outcome = try program.run(["train", "--config", recipe, "--output_dir", "out"])
    #expect(outcome.code == 64 && outcome.faults.count == 1)
    #expect(outcome.errors.contains(expected), "\(outcome.errors)")
  }

  @Test("a recipe that cannot be read is one line")
  func unreadable() throws {
    let missing = try program.run("train --config nowhere.yaml --output_dir out")
    #expect(missing.code == 1 && missing.faults.count == 1)
    #expect(missing.errors.contains("nowhere.yaml"))
    let twice = try program.run("train --config a.yaml --config b.yaml")
    #expect(twice.code == 64 && twice.faults.count == 1)
    try Data([0xFF, 0xFE, 0x00]).write(to: program.folder.url("bytes.yaml"))
    let bytes = try program.run("train --config bytes.yaml")
    #expect(bytes.code == 1 && bytes.faults.count == 1)
  }
}
