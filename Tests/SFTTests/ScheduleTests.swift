// Every schedule against transformers' own, over whole runs.

import Files
import OrderedJSON
import SFT
import Testing

@Suite("Learning-rate schedules")
struct ScheduleTests {
  @Test("every schedule gives transformers' rates")
  func goldens() throws {
    let goldens = try JSON.parse(
      FileSystem.readFile(TrainingParityTests.fixtures + "/schedules/goldens.json"))
    let peak = try #require(goldens["peak"]?.doubleValue)
    let cases = try #require(goldens["cases"]?.arrayValue)
    #expect(Set(cases.compactMap { $0["name"]?.stringValue }).count == 9)
    for golden in cases {
      let name = try #require(golden["name"]?.stringValue)
      let schedule = LearningRateSchedule(
        try #require(LearningRateSchedule.Kind(rawValue: name)), peak: peak,
        warmup: try #require(golden["warmup"]?.integerValue),
        total: try #require(golden["total"]?.integerValue),
        coefficients: try .init(json: try #require(golden["kwargs"]?.objectValue)))
      for (step, rate) in try #require(golden["rates"]?.arrayValue).enumerated() {
        let expected = try #require(rate.doubleValue)
        let found = schedule.learningRate(step: step)
        #expect(
          abs(found - expected) <= 1e-12 * peak,
          "\(name) \(golden["kwargs"] ?? .null), step \(step): \(found), expected \(expected)")
      }
    }
  }

  @Test("unknown and ill-typed coefficients are errors")
  func coefficients() {
    for text in [#"{"cycles": 1}"#, #"{"num_cycles": "one"}"#, #"{"decay_type": "steep"}"#] {
      #expect(throws: TrainingError.self) {
        try LearningRateSchedule.Coefficients(json: try #require(JSON.parse(text).objectValue))
      }
    }
  }

  @Test(
    "coefficients of another shape, and too few or too many of its own, are errors",
    arguments: [
      (LearningRateSchedule.Kind.linear, #"{"power": 2}"#), (.constant, #"{"power": 3}"#),
      (.cosine, #"{"min_lr": 1e-4}"#), (.cosineWithRestarts, #"{"lr_end": 0}"#),
      (.inverseSqrt, #"{"power": 2}"#), (.polynomial, #"{"num_cycles": 1}"#),
      (.warmupStableDecay, #"{"min_lr": 1e-5}"#), (.cosineWithMinLR, "{}"),
      (.cosineWithMinLR, #"{"num_cycles": 1}"#),
      (.cosineWithMinLR, #"{"min_lr": 1e-4, "min_lr_rate": 0.1}"#),
    ])
  func mismatch(_ kind: LearningRateSchedule.Kind, _ kwargs: String) throws {
    var config = TrainingConfig(outputDir: "out")
    config.lrSchedulerType = kind
    let object = try #require(JSON.parse(kwargs).objectValue)
    config.lrSchedulerKwargs = try .init(json: object)
    let error = #expect(throws: TrainingError.self) { try config.validate() }
    #expect(error?.description.contains(kind.rawValue) == true, "\(error?.description ?? "")")
  }

  @Test("keys are those of the schedule, by the name that it has for them")
  func keys() throws {
    for (kind, key) in [
      (LearningRateSchedule.Kind.warmupStableDecay, "min_lr_rate"),
      (.cosineWithMinLR, "min_lr_ratio"), (.linear, "min_lr_ratio"), (.polynomial, "cycles"),
    ] {
      let error = #expect(throws: TrainingError.self) {
        try LearningRateSchedule.Coefficients(json: [key: 0.1], for: kind)
      }
      #expect(
        error?.description.contains("kwargs.\(key) is 0.1, expected \(kind.expectedCoefficients)")
          == true, "\(error?.description ?? "")")
    }
  }

  @Test("steps at the peak are taken by their number, as in transformers")
  func stableSteps() throws {
    // get_wsd_schedule of transformers 5 with 2 steps of warm-up, 1 at the peak and 4 of decay, of 6 in all.
    let schedule = LearningRateSchedule(
      .warmupStableDecay, peak: 1, warmup: 2, total: 6,
      coefficients: try .init(json: ["num_stable_steps": 1, "num_decay_steps": 4]))
    let expected = [0, 0.5, 1, 1, 0.853553390593273737, 0.5, 0.146446609406726263, 0]
    for (step, factor) in expected.enumerated() {
      #expect(abs(schedule.factor(step: step) - factor) < 1e-15, "step \(step)")
    }
  }

  @Test("settings that would make the rate no number, or overflow, are errors")
  func hostileSettings() {
    func expectFault(
      _ change: (inout TrainingConfig) -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) {
      var config = TrainingConfig(outputDir: "out")
      change(&config)
      #expect(throws: TrainingError.self, sourceLocation: sourceLocation) { try config.validate() }
    }
    expectFault { ($0.lrSchedulerType, $0.learningRate) = (.polynomial, 0) }
    expectFault { ($0.lrSchedulerType, $0.learningRate) = (.polynomial, 1e-7) }
    expectFault {
      ($0.lrSchedulerType, $0.learningRate, $0.lrSchedulerKwargs.minLR) = (.cosineWithMinLR, 0, 0)
    }
    expectFault { ($0.lrSchedulerType, $0.lrSchedulerKwargs.timescale) = (.inverseSqrt, 0) }
    expectFault { ($0.lrSchedulerType, $0.lrSchedulerKwargs.numCycles) = (.cosine, 1e308) }
    for count in [-1, Int.max] {
      expectFault {
        ($0.lrSchedulerType, $0.lrSchedulerKwargs.numDecaySteps) = (.warmupStableDecay, count)
      }
      expectFault {
        ($0.lrSchedulerType, $0.lrSchedulerKwargs.numStableSteps) = (.warmupStableDecay, count)
      }
    }
    expectFault { $0.warmupSteps = .max }
    for kind in LearningRateSchedule.Kind.allCases {
      var config = TrainingConfig(outputDir: "out")
      config.lrSchedulerType = kind
      if kind == .warmupStableDecay { config.lrSchedulerKwargs.numDecaySteps = 1 << 53 }
      if kind == .cosineWithMinLR { config.lrSchedulerKwargs.minLR = 0 }
      #expect(throws: Never.self) { try config.validate() }
      let schedule = LearningRateSchedule(
        kind, peak: 1, warmup: 1 << 53, total: 3, coefficients: config.lrSchedulerKwargs)
      #expect((0...3).allSatisfy { schedule.learningRate(step: $0).isFinite })
    }
  }

  @Test("steps and epochs are counted as transformers counts them")
  func plan() {
    var config = TrainingConfig(outputDir: "out")
    config.perDeviceTrainBatchSize = 2
    config.gradientAccumulationSteps = 2
    config.shuffle = false
    // Seven rows: four micro-batches (the last of one row), two steps an epoch.
    var plan = BatchPlan(rowCount: 7, config: config)
    #expect(plan.totalSteps == 2 && plan.stepsPerEpoch == 2)
    #expect(plan.microBatches(step: 1, order: plan.order(epoch: 0)) == [[4, 5], [6]])
    #expect(plan.epoch(after: 0) == 0.5 && plan.epoch(after: 1) == 1)
    config.numTrainEpochs = 2.5
    #expect(BatchPlan(rowCount: 7, config: config).totalSteps == 5)
    config.maxSteps = 3
    #expect(BatchPlan(rowCount: 7, config: config).totalSteps == 3)
    config.shuffle = true
    plan = BatchPlan(rowCount: 7, config: config)
    #expect(plan.order(epoch: 0) != plan.order(epoch: 1))
    #expect(plan.order(epoch: 1) == plan.order(epoch: 1))
    #expect(plan.order(epoch: 1).sorted() == Array(0..<7))
  }
}
