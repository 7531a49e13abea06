// The rewriting of argument lists, on a small catalog of its own.

import Testing
import qwen_sft

@Suite("Argument normalizer")
struct ArgumentNormalizerTests {
  let normalizer = ArgumentNormalizer(
    catalog: OptionCatalog(
      root: .init(
        name: "qwen-sft", options: ["help": .toggle, "version": .toggle],
        subcommands: [
          .init(
            name: "train",
            options: [
              "learning-rate": .value, "model": .value, "model-name-or-path": .value,
              "bf16": .toggle, "no-bf16": .toggle, "json": .toggle, "lora-r": .value,
              "target-modules": .list, "data-path": .list, "gradient-checkpointing": .optionalValue,
              "resume-from-checkpoint": .optionalValue, "max-steps": .value, "help": .toggle,
            ]),
          .init(name: "chat", aliases: ["infer"], options: ["prompt": .value]),
          .init(
            name: "data", subcommands: [.init(name: "check", options: ["json": .toggle])]),
          .init(name: "verify-resume"),
        ])))

  @Test(
    "one form comes out of every spelling",
    arguments: [
      ("train --learning_rate 2e-4", "train --learning-rate 2e-4"),
      ("train --learning-rate=2e-4", "train --learning-rate 2e-4"),
      ("train --learning_rate=2e-4", "train --learning-rate 2e-4"),
      ("train --model_name_or_path a_b", "train --model-name-or-path a_b"),
      ("train --model=a=b_c", "train --model a=b_c"),
      ("train --model=--bf_16", "train --model=--bf_16"),
      ("train --learning_rate -1e-3", "train --learning-rate=-1e-3"),
      ("train --lora_r -5", "train --lora-r=-5"),
      ("train --model - --bf16", "train --model=- --bf16"),
      ("train --model -a", "train --model=-a"),
      ("train --model -h", "train --model -h"),
      ("train --model --bf16", "train --model --bf16"),
      ("train --bf16", "train --bf16"),
      ("train --bf16 true", "train --bf16"),
      ("train --bf16 True --lora_r 4", "train --bf16 --lora-r 4"),
      ("train --bf16=yes", "train --bf16"),
      ("train --bf16 1", "train --bf16"),
      ("train --bf16 false", "train --no-bf16"),
      ("train --bf16=no", "train --no-bf16"),
      ("train --bf16 0 --json 0", "train --no-bf16"),
      ("train --no_bf16", "train --no-bf16"),
      ("train --no-bf16 true", "train --no-bf16"),
      ("train --no-bf16 false", "train --bf16"),
      ("train --json false", "train"),
      ("train --no-json", "train"),
      ("train --no-json false", "train --json"),
      (
        "train --target_modules q_proj v_proj --bf16",
        "train --target-modules q_proj --target-modules v_proj --bf16"
      ),
      ("train --target_modules q_proj,v_proj", "train --target-modules q_proj,v_proj"),
      (
        "train --data_path a.jsonl --data-path b_1.jsonl",
        "train --data-path a.jsonl --data-path b_1.jsonl"
      ),
      ("train --target_modules", "train --target-modules"),
      (
        "train --gradient_checkpointing --max_steps 3",
        "train --gradient-checkpointing --max-steps 3"
      ),
      ("train --gradient_checkpointing true", "train --gradient-checkpointing true"),
      ("train --gradient_checkpointing auto", "train --gradient-checkpointing auto"),
      ("train --no_gradient_checkpointing", "train --gradient-checkpointing false"),
      ("infer --prompt hi", "chat --prompt hi"),
      ("data check --json", "data check --json"),
      ("verify_resume", "verify-resume"),
      ("--version", "--version"),
      ("train --help", "train --help"),
      ("train -- --learning_rate", "train -- --learning_rate"),
      ("train stray --bf16", "train stray --bf16"),
      ("", ""),
    ])
  func normalizes(_ written: String, _ expected: String) throws {
    let words = written.split(separator: " ").map(String.init)
    let result = try normalizer.normalized(words)
    #expect(result == expected.split(separator: " ").map(String.init))
  }

  @Test("values are never touched")
  func values() throws {
    for value in [
      "", " ", "a b", "-- a b", "--not_an option", "true", "e\u{301}", "\u{301}x", "\u{FE0F}",
      "\r\n",
      "{\"a_b\": 1}", "-", "-1.5e3", "🙂", "a=b", "=", "_",
    ] {
      let result = try normalizer.normalized(["chat", "--prompt", value])
      let expected =
        value.utf8.first == 0x2D ? ["chat", "--prompt=" + value] : ["chat", "--prompt", value]
      #expect(result.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
    }
  }

  @Test("unknown options name the nearest, in the spelling used")
  func unknownOption() {
    #expect(
      throws: UsageError.unknownOption(
        name: "learning_rat", command: "qwen-sft train", nearest: "learning_rate")
    ) { try normalizer.normalized(["train", "--learning_rat", "1"]) }
    #expect(
      throws: UsageError.unknownOption(
        name: "max-stesp", command: "qwen-sft train", nearest: "max-steps")
    ) { try normalizer.normalized(["train", "--max-stesp=1"]) }
    #expect(
      throws: UsageError.unknownOption(name: "zzzzzz", command: "qwen-sft train", nearest: nil)
    ) { try normalizer.normalized(["train", "--zzzzzz"]) }
  }

  @Test("unknown commands name the nearest")
  func unknownCommand() {
    #expect(
      throws: UsageError.unknownCommand(name: "trian", parent: "qwen-sft", nearest: "train")
    ) { try normalizer.normalized(["trian"]) }
    #expect(
      throws: UsageError.unknownCommand(name: "chekc", parent: "qwen-sft data", nearest: "check")
    ) { try normalizer.normalized(["data", "chekc"]) }
  }

  @Test("a switch takes truth values only")
  func switchValue() {
    #expect(throws: UsageError.notABoolean(option: "bf16", value: "maybe")) {
      try normalizer.normalized(["train", "--bf16=maybe"])
    }
  }

  @Test("the distance of names counts insertions, deletions, replacements and swaps")
  func distance() {
    let cases = [
      ("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("max-stesp", "max-steps", 1),
      ("abc", "abc", 0), ("ab", "ba", 1),
    ]
    for (a, b, expected) in cases {
      #expect(NearestName.distance(Array(a.utf8), Array(b.utf8)) == expected)
    }
  }
}
