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
