// Packing: TRL's bins, and the same loss and gradients as without it.

import Autograd
import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Tensor
import Testing

@Suite("Packing")
struct PackingTests {
  @Test("bins are TRL's")
  func bins() throws {
    let goldens = try JSON.parse(
      FileSystem.readFile(TrainingParityTests.fixtures + "/packing/goldens.json"))
    let cases = try #require(goldens["cases"]?.arrayValue)
    #expect(cases.count == 5)
    for item in cases {
      let lengths = (item["lengths"]?.arrayValue ?? []).compactMap(\.integerValue)
      let capacity = try #require(item["capacity"]?.integerValue)
      let expected = (item["bins"]?.arrayValue ?? []).map {
        ($0.arrayValue ?? []).compactMap(\.integerValue)
      }
      #expect(RowPacking.bestFitDecreasing(lengths, capacity: capacity) == expected)
    }
  }

  @Test(
    "the loss and the gradient norm of packed rows are those of the same rows unpacked",
    arguments: TrainingParityTests.names)
  func loss(_ name: String) throws {
    try withTemporaryFolder { folder in
      let directory = TrainingParityTests.fixtures + "/" + name
      func firstStep(packing: Bool) throws -> StepRecord {
        var (rows, config, _) = try TrainingParityTests().setUp(name, folder + "/out")
        (config.packing, config.maxSteps, config.maxSeqLength) = (packing, 1, 24)
        config.gradientAccumulationSteps = rows.count
        let model = try QwenModel.load(directory: directory)
        let adapter = try AdapterFile.load(directory + "/adapter", into: model)
        var record: StepRecord?
        let trainer = try Trainer(
          model: model, rows: rows, config: config,
          artifacts: RunArtifacts(modelDirectory: directory, adapter: adapter),
          observe: { if case .step(let step) = $0 { record = step } })
        _ = try trainer.run()
        return try #require(record)
      }
      let (packed, plain) = (try firstStep(packing: true), try firstStep(packing: false))
      #expect(packed.trainedTokenCount == plain.trainedTokenCount)
      #expect(packed.tokenCount == plain.tokenCount)
      #expect(abs(packed.loss - plain.loss) < 1e-5 * plain.loss)
      #expect(abs(packed.gradientNorm - plain.gradientNorm) < 1e-5 * plain.gradientNorm)
    }
  }

  @Test(
    "every gradient of rows that go through together is the sum of those of each alone",
    arguments: TrainingParityTests.names)
  func gradients(_ name: String) throws {
    let directory = TrainingParityTests.fixtures + "/" + name
    let (rows, _, _) = try TrainingParityTests().setUp(name, "")
    let trained = rows.reduce(0) { $0 + $1.trainedTokenCount }
    func gradients(_ batches: [[EncodedRow]]) throws -> [(key: String, values: [Double])] {
      let model = try QwenModel.load(directory: directory)
      model.setTrainable(true)
      for batch in batches {
        let batch = try #require(TrainingBatch(batch, on: .cpu))
        TrainingPass(
          model, batch, randomness: Randomness(seed: 0, pass: 0), checkpointing: .off,
          scale: 1 / Double(trained)
        ).backward()
      }
      return try model.trainableParameters().map {
        ($0.key, try #require($0.parameter.gradient).doubles())
      }
    }
    let (packed, plain) = (try gradients([rows]), try gradients(rows.map { [$0] }))
    #expect(packed.map(\.key) == plain.map(\.key) && packed.count > 20)
    for (a, b) in zip(packed, plain) {
      let norm = b.values.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let difference = zip(a.values, b.values).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      #expect(norm > 0 && difference.squareRoot() < 1e-5 * norm, "\(a.key)")
    }
  }
}
