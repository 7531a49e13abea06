// Shares of a run in the place of numbers of steps, as transformers has them.

import Files
import OrderedJSON
import SFT
import Testing

@Suite("Intervals of steps")
struct StepIntervalTests {
  @Test("a share is rounded up, as transformers' math.ceil(max_steps * share)")
  func shares() {
    let cases: [(Double, Int, Int)] = [
      (0.1, 100, 10), (0.1, 101, 11), (0.25, 10, 3), (0.001, 10, 1), (0.999, 10, 10),
      (0.3, 10, 3), (1, 10, 1), (500, 10, 500),
    ]
    for (value, total, expected) in cases {
      #expect(StepInterval(value)?.steps(of: total) == expected, "\(value) of \(total)")
    }
    for value in [0, -1, 1.5, .nan, .infinity, 1e300] { #expect(StepInterval(value) == nil) }
    #expect(
      StepInterval.share(0.5).description == "0.5" && StepInterval.steps(20).description == "20")
  }

  @Test("settings take shares, and refuse what is neither a share nor a number of steps")
  func settings() throws {
    var config = TrainingConfig(outputDir: "x")
    (config.loggingSteps, config.saveSteps, config.evalSteps) = (0.1, 0.5, 0.25)
    config.evalStrategy = .steps
    config.loadBestModelAtEnd = true
    try config.validate()
    config.saveSteps = 0.3
    #expect(throws: TrainingError.self) { try config.validate() }
    config.saveSteps = 500
    #expect(throws: TrainingError.self) { try config.validate() }
    config.loadBestModelAtEnd = false
    for wrong in [StepInterval.steps(0), .share(0), .share(1.5), .share(.nan), .steps(-1)] {
      var other = config
      other.evalSteps = wrong
      #expect(throws: TrainingError.self) { try other.validate() }
    }
  }

  @Test("a run logs, evaluates and saves at the shares")
  func run() throws {
    try withTemporaryFolder { folder in
      // Ten steps.
      let run = try ControlTests.trainer(folder + "/out") {
        ($0.loggingSteps, $0.saveSteps, $0.evalSteps) = (0.25, 0.45, 0.3)
        ($0.evalStrategy, $0.saveStrategy) = (.steps, .steps)
      }
      _ = try run.trainer.run()
      #expect(
        run.recorder.steps { if case .logged(let entry) = $0 { entry.step } else { nil } } == [
          3, 6, 9,
        ])
      #expect(
        run.recorder.steps { if case .evaluated(let entry) = $0 { entry.step } else { nil } }
          == [3, 6, 9, 10])
      #expect(
        run.recorder.steps { if case .saved(_, let step) = $0 { step } else { nil } } == [5, 10])
      let state = try JSON.parse(FileSystem.readFile(folder + "/out/trainer_state.json"))
      #expect(state["logging_steps"] == 3 && state["save_steps"] == 5 && state["eval_steps"] == 3)
    }
  }
}
