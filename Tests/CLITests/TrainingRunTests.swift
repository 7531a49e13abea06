// Training as a program: evaluation, samples, signals, full disks, and combinations that make no sense.

import Foundation
import OrderedJSON
import Testing

@Suite("Training runs")
struct TrainingRunTests {
  let program: Program

  init() throws { program = try Program() }

  private func json(_ path: String) throws -> JSON {
    try JSON.parse(Array(Data(contentsOf: program.folder.url(path))))
  }

  static let faults: [(String, String)] = [
    ("--eval_strategy steps", "--eval_strategy: expected --eval_data_path or --val_size"),
    ("--val_size 0.1 --eval_data_path x.jsonl", "--val_size: expected 0"),
    ("--val_size -1", "--val_size: expected a share below 1 or a whole number of rows"),
    ("--val_size 1.5", "--val_size: expected a share below 1"),
    ("--val_size nan", "--val_size: expected a share below 1"),
    (
      "--val_size 4 --eval_strategy steps --eval_steps 0",
      "--eval_steps: expected 1 or more, or a share"
    ),
    ("--val_size 4 --eval_strategy steps --eval_steps 1.5", "--eval_steps: expected 1 or more"),
    ("--save_steps 0", "--save_steps: expected 1 or more, or a share of all steps below 1"),
    ("--logging_steps often", "often"),
    ("--eval_strategy often", "often"),
    ("--early_stopping_patience 2", "--eval_strategy: expected steps or epoch"),
    (
      "--early_stopping_patience 0 --val_size 4 --eval_strategy epoch",
      "--early_stopping_patience: expected 1 or more"
    ),
    ("--load_best_model_at_end", "--eval_strategy: expected steps or epoch"),
    (
      "--load_best_model_at_end --val_size 4 --eval_strategy epoch",
      "--save_strategy: expected epoch, the same as eval_strategy"
    ),
    (
      "--load_best_model_at_end --val_size 4 --eval_strategy steps --eval_steps 3 --save_steps 4",
      "--save_steps: expected a multiple of eval_steps (3)"
    ),
    ("--sample_every 5", "--sample_every: expected --sample_prompts"),
    ("--sample_every 0 --sample_prompts x.txt", "--sample_every: expected 1 or more"),
    ("--save_total_limit 0", "--save_total_limit: expected 1 or more"),
    (
      "--lr_scheduler_kwargs {\"power\":2}", "--lr_scheduler_kwargs.power: expected no coefficients"
    ),
    (
      "--warmup_steps 1.5",
      "--warmup_steps: expected 0 or more, or a share of all steps below 1, found"
    ),
    ("--warmup_steps -0.5", "--warmup_steps: expected 0 or more, or a share of all steps below 1"),
    ("--warmup_steps 0.5 --warmup_ratio 0.9", "--warmup_steps: expected a number of steps beside"),
    ("--lr_scheduler_type cosine_with_min_lr", "expected either min_lr or min_lr_rate"),
    ("--lr_scheduler_kwargs [1]", "--lr_scheduler_kwargs: expected a JSON object"),
    ("--packing=perhaps", "expected true or false"),
    ("--sample_prompt x", "did you mean '--sample_prompts'?"),
    ("--eval_step 3", "did you mean '--eval_steps'?"),
    ("--early_stopping 3", "unknown option '--early_stopping'"),
  ]

  @Test("impossible combinations are one line, exit code 64, and write nothing", arguments: faults)
  func fault(_ options: String, _ expected: String) throws {
    let outcome = try program.run("train --output_dir out " + options)
    #expect(outcome.code == 64, "\(outcome.errors)")
    #expect(outcome.faults.count == 1 && outcome.output.isEmpty)
    #expect(outcome.errors.contains(expected), "\(outcome.errors)")
    #expect(!FileManager.default.fileExists(atPath: program.folder.url("out").path))
  }

  @Test(
    "warm-up as a share of all steps, from a recipe too, and epochs counted from the steps asked for"
  )
  func warmup() throws {
    let run = try program.run(
      "train --output_dir out --max_steps 5 --lora_r 2 --gradient_accumulation_steps 32 "
        + "--warmup_steps 0.3 --logging_steps 1")
    let again = try program.run("train --config out/recipe.yaml --output_dir again")
    for (outcome, folder) in [(run, "out"), (again, "again")] {
      #expect(outcome.code == 0, "\(outcome.errors)")
      let state = try JSON.parse(
        String(contentsOf: program.folder.url(folder + "/trainer_state.json"), encoding: .utf8))
      let rates = state["log_history"]?.arrayValue?.compactMap { $0["learning_rate"]?.doubleValue }
      #expect(rates?.count == 5)
      for (rate, expected) in zip(rates ?? [], [0, 1e-4, 2e-4, 4e-4 / 3, 2e-4 / 3]) {
        #expect(abs(rate - expected) < 1e-18, "\(rates ?? [])")
      }
      // Two steps an epoch.
      #expect(state["num_train_epochs"] == 3, "\(state["epoch"] ?? .null)")
    }
  }

  @Test("evaluation, samples and the best checkpoint in one run")
  func everything() throws {
    try program.folder.write("What is your name?\nWhat is 2 plus 3?\n", to: "prompts.txt")
    let run = try program.run(
      "train --output_dir out --max_steps 4 --lora_r 2 --val_size 0.1 --eval_strategy steps "
        + "--eval_steps 2 --save_steps 2 --load_best_model_at_end --sample_prompts prompts.txt "
        + "--sample_every 3 --packing --max_seq_length 256 --gradient_accumulation_steps 2 "
        + "--logging_steps 1")
    #expect(run.code == 0, "\(run.errors)")
    #expect(run.errors.contains("evaluation: loss ") && run.errors.contains("packed into"))
    let lines = try String(contentsOf: program.folder.url("out/samples.jsonl"), encoding: .utf8)
      .split(separator: "\n").map { try JSON.parse(String($0)) }
    #expect(lines.map { $0["step"]?.integerValue } == [0, 0, 3, 3, 4, 4])
    #expect(lines.map { $0["index"]?.integerValue } == [0, 1, 0, 1, 0, 1])
    #expect(lines.map { $0["final"]?.boolValue } == [false, false, false, false, true, true])
    #expect(lines[0]["prompt"] == "What is your name?" && lines[0]["text"] != "")
    let recipe = try String(contentsOf: program.folder.url("out/recipe.yaml"), encoding: .utf8)
    #expect(recipe.contains("\nbf16: false\n"), "\(recipe)")
    let state = try json("out/trainer_state.json")
    #expect(state["best_metric"]?.doubleValue != nil)
    #expect(state["eval_steps"] == 2)
    let metrics = try String(contentsOf: program.folder.url("out/metrics.jsonl"), encoding: .utf8)
    #expect(metrics.split(separator: "\n").count { $0.contains("\"eval_loss\"") } == 2)
  }

  @Test("what would overwrite the model, or train an adapter of its head, is refused")
  func refused() throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "model").path
    let full = try program.run("train --full --model \(model) --output_dir model/../model")
    #expect(full.code == 64 && full.faults.count == 1)
    #expect(full.errors.contains("is the model itself"), "\(full.errors)")
    let foreign = try program.run("train --output_dir model --max_steps 1")
    #expect(foreign.code == 64 && foreign.faults.count == 1)
    #expect(foreign.errors.contains("holds a model that no run has written"), "\(foreign.errors)")
    let head = try program.run(
      "train --target_modules lm_head q_proj --output_dir out --max_steps 1")
    #expect(head.code == 1 && head.faults.count == 1)
    #expect(head.errors.contains("lm_head"), "\(head.errors)")
    #expect(!FileManager.default.fileExists(atPath: program.folder.url("out").path))
  }

  @Test("a run into an output folder of another run leaves that one's checkpoints alone, saying so")
  func strangers() throws {
    let base = "train --output_dir out --lora_r 2 --save_steps 1 --max_steps "
    #expect(try program.run(base + "2").code == 0)
    try Data(#"{"run": "another", "finished": false, "total_steps": 3}"#.utf8)
      .write(to: program.folder.url("out/run_state.json"))
    let outcome = try program.run(base + "3 --resume_from_checkpoint true")
    #expect(outcome.code == 0)
    #expect(outcome.errors.contains("out/checkpoint-2 is of another run"), "\(outcome.errors)")
  }

  @Test("a checkpoint that is not there is one line with its path")
  func absentCheckpoint() throws {
    let outcome = try program.run(
      "train --output_dir out --lora_r 2 --max_steps 2 --resume_from_checkpoint nowhere")
    #expect(outcome.code == 1 && outcome.faults.count == 1)
    #expect(
      outcome.errors.contains("nowhere: expected the folder of a checkpoint, found nothing"),
      "\(outcome.errors)")
  }

  @Test("a resumed run with another setting is one line with both values")
  func changed() throws {
    let base = "train --output_dir out --lora_r 2 --max_steps 2 --save_steps 1"
    #expect(try program.run(base).code == 0)
    try FileManager.default.removeItem(at: program.folder.url("out/run_state.json"))
    let outcome = try program.run(base + " --resume_from_checkpoint true --lora_alpha 8")
    #expect(outcome.code == 1 && outcome.faults.count == 1)
    #expect(outcome.errors.contains("lora_alpha was 32, now it is 8"), "\(outcome.errors)")
  }

  @Test("killed and stopped runs end with the same bits", arguments: ["", " --packing"])
  func kills(_ option: String) throws {
    let outcome = try program.run(
      "verify-resume --kills 3 --lora_r 2 --gradient_accumulation_steps 2 --json" + option)
    #expect(outcome.code == 0, "\(outcome.errors)")
    let report = try JSON.parse(outcome.output)
    #expect(report["passed"] == true && report["kills"] == 3)
    #expect((report["checks"]?.arrayValue?.count ?? 0) >= 4)
  }

  @Test("a disk that is full is one line, and the last whole checkpoint is as it was")
  func fullDisk() throws {
    // No file may grow beyond 8 blocks, which is less than a checkpoint of this run needs.
    let program = Program.executablePath
    let line =
      "'\(program)' train --output_dir out --lora_r 1 --target_modules q_proj --max_steps 2 "
      + "--save_steps 1 && cp -r out/checkpoint-2 before && rm out/run_state.json && ulimit -f 8 && "
      + "exec '\(program)' train --output_dir out --lora_r 1 --target_modules q_proj --max_steps 4 "
      + "--save_steps 1 --resume_from_checkpoint true"
    let outcome = try self.program.run(shell: line)
    #expect(outcome.code == 1, "\(outcome.errors)")
    #expect(outcome.faults.count == 1, "\(outcome.errors)")
    #expect(outcome.errors.contains("File too large"), "\(outcome.errors)")
    let folders = try FileManager.default.contentsOfDirectory(
      atPath: self.program.folder.url("out").path)
    #expect(!folders.contains("checkpoint-3"))
    #expect(!folders.contains { $0.hasPrefix(".partial-") })
    for name in ["adapter_model.safetensors", "optimizer.safetensors", "training_progress.json"] {
      #expect(
        try Data(contentsOf: self.program.folder.url("out/checkpoint-2/\(name)"))
          == Data(contentsOf: self.program.folder.url("before/\(name)")))
    }
    let rest = try self.program.run(
      "train --output_dir out --lora_r 1 --target_modules q_proj --max_steps 4 --save_steps 1 "
        + "--resume_from_checkpoint true")
    #expect(rest.code == 0 && rest.errors.contains("continuing from out/checkpoint-2"))
  }
}
