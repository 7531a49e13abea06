// `plan`, `--gradient_checkpointing auto` and what is said about memory.

import OrderedJSON
import Testing
import qwen_sft

@Suite("Plan")
struct PlanTests {
  @Test("plan says the parts of the peak, the data, the steps and the time")
  func report() throws {
    let outcome = try Program().run("plan --json --max_steps 5 --gradient_checkpointing full")
    #expect(outcome.code == 0, "\(outcome.errors)")
    let json = try JSON.parse(outcome.output)
    let peak = try #require(json["memory"]?["peak_bytes"]?.integerValue)
    let parts = try #require(json["memory"]?["parts"]?.objectValue)
    #expect(peak == parts.reduce(0) { $0 + ($1.value.integerValue ?? 0) })
    #expect(peak > 20 << 20 && peak < 2 << 30)
    #expect(json["data"]?["rows"]?.integerValue == 56)
    let bins = try #require(json["data"]?["lengths"]?.arrayValue)
    #expect(bins.reduce(0) { $0 + ($1["rows"]?.integerValue ?? 0) } == 56)
    #expect(json["steps"]?["total"]?.integerValue == 5)
    #expect((json["time"]?["total_seconds"]?.doubleValue ?? 0) > 0)
    #expect(json["fit"] == nil)
  }

  @Test("the table names what the JSON has")
  func table() throws {
    let outcome = try Program().run("plan --no-probe")
    #expect(outcome.code == 0, "\(outcome.errors)")
    for word in ["model", "rows dropped", "lengths", "steps", "memory", "activations", "optimizer"]
    {
      #expect(outcome.output.contains(word))
    }
    #expect(!outcome.output.contains("tokens/s"))
  }

  @Test("what --fit proposes is a command line of train that plans to fit")
  func fit() throws {
    let program = try Program()
    let outcome = try program.run(
      "plan --no-probe --json --fit 1GB --num_train_epochs 2 --per_device_train_batch_size 4")
    #expect(outcome.code == 0, "\(outcome.errors)")
    let proposals = try #require(JSON.parse(outcome.output)["fit"]?.arrayValue)
    let line = try #require(proposals.first?["command_line"]?.stringValue)
    #expect(line.hasPrefix("qwen-sft train ") && line.contains("--num-train-epochs=2"))
    #expect((proposals.first?["peak_bytes"]?.integerValue ?? 0) <= 1_000_000_000)
    let words = line.split(separator: " ").dropFirst(2).joined(separator: " ")
    #expect(try program.run("plan --no-probe --json " + words).code == 0)
    let small = try program.run("plan --no-probe --fit 1MB")
    #expect(small.code == 1 && small.faults.count == 1)
    #expect(small.errors.contains("--fit: no settings were found"))
  }

  @Test("a budget that cannot be kept stops the run before anything is written, saying the least")
  func budget() throws {
    let program = try Program()
    let outcome = try program.run(
      "train --output_dir out --gradient_checkpointing auto --memory_budget 2MB")
    #expect(outcome.code == 1 && outcome.faults.count == 1)
    #expect(outcome.errors.contains("memory_budget is 2MB, expected at least"))
    #expect(try program.run(shell: "test ! -e out").code == 0)
  }

  @Test("auto trains to the bits of off, and recipe.yaml says what was chosen")
  func automatic() throws {
    let program = try Program()
    func train(_ options: String) throws -> Program.Outcome {
      try program.run("train --max_steps 2 --save_strategy no --num_threads 1 " + options)
    }
    #expect(try train("--output_dir off").code == 0)
    let auto = try train(
      "--output_dir auto --gradient_checkpointing auto --memory_budget 2GiB")
    #expect(auto.code == 0, "\(auto.errors)")
    let same = try program.run(
      shell: "cmp off/adapter_model.safetensors auto/adapter_model.safetensors && "
        + "grep -q 'gradient_checkpointing: auto' auto/recipe.yaml && "
        + "grep -q 'memory_budget: .*2GiB' auto/recipe.yaml")
    #expect(same.code == 0, "\(same.output) \(same.errors)")
  }

  @Test(
    "sizes of memory",
    arguments: [
      ("4GB", 4_000_000_000), ("1.5gib", 1_610_612_736), ("512 MB", 512_000_000), ("77", 77),
      ("2k", 2000),
    ])
  func sizes(_ text: String, _ expected: Int) {
    #expect(MemorySize(argument: text)?.byteCount == expected)
  }

  @Test("what is no size of memory", arguments: ["", "GB", "0", "-1GB", "1e99TB", "4XB", "nan"])
  func noSizes(_ text: String) { #expect(MemorySize(argument: text) == nil) }

  @Test("a run that needs more than there is is announced with its numbers")
  func forecast() throws {
    #expect(MemoryWatch.forecast(peak: 3 << 30, resident: 1 << 30, available: 2 << 30) == nil)
    let text = try #require(
      MemoryWatch.forecast(
        peak: 6_000_000_000, resident: 1_000_000_000, available: 3_000_000_000))
    #expect(text.contains("about 6.00 GB and 3.00 GB are free"))
    #expect(text.contains("plan --fit 4.00GB"))
  }

  @Test("the watch warns while there is less than the run will still take")
  func watch() throws {
    func warning(available: Int, resident: Int, planned: Int?) -> String? {
      MemoryWatch.warning(available: available, resident: resident, plannedPeak: planned)
    }
    // 2 GB are still to come, and 5 % of the peak for surprises.
    #expect(
      warning(available: 2_200_000_001, resident: 2_000_000_000, planned: 4_000_000_000) == nil)
    let text = try #require(
      warning(available: 2_100_000_000, resident: 2_000_000_000, planned: 4_000_000_000))
    #expect(text.contains("2.10 GB are left") && text.contains("is to reach 4.00 GB"))
    // Without a plan, and past it, what the run holds counts.
    #expect(warning(available: 101_000_000, resident: 2_000_000_000, planned: nil) == nil)
    #expect(warning(available: 99_000_000, resident: 2_000_000_000, planned: nil) != nil)
    #expect(warning(available: 99_000_000, resident: 2_000_000_000, planned: 1_000_000) != nil)
  }
}
