// Models in 4 bits against transformers, bitsandbytes and PEFT: their checkpoints here, ours bit for bit, and whole runs.

import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import Testing

@Suite("QLoRA parity with bitsandbytes and PEFT")
struct QLoRAParityTests {
  static let names = ["tiny-qwen2", "tiny-qwen3"]

  private static func folder(_ name: String) -> String {
    TrainingParityTests.fixtures + "/qlora/" + name
  }

  private static func plainFolder(_ name: String) -> String {
    TrainingParityTests.fixtures + "/" + name
  }

  /// The model quantized here, or as bitsandbytes has quantized it.
  private func model(_ name: String, isPeers: Bool) throws -> QwenModel {
    var options = WeightOptions()
    if !isPeers { options.quantization = QuantizedTensor.Format() }
    return try QwenModel.load(
      directory: isPeers ? Self.folder(name) : Self.plainFolder(name), options: options)
  }

  @Test(
    "log-probabilities are those of transformers, whoever has quantized", arguments: names,
    [false, true])
  func evaluation(_ name: String, isPeers: Bool) throws {
    let goldens = try Checkpoint(file: Self.folder(name) + "/goldens.safetensors")
    let (rows, _, _) = try TrainingParityTests().setUp("qlora/" + name, "")
    let network = try model(name, isPeers: isPeers)
    #expect(network.isQuantized)
    for key in ["logprobs", "lora.logprobs"] {
      if key.hasPrefix("lora") {
        _ = try AdapterFile.load(Self.plainFolder(name) + "/adapter", into: network, dropout: 0)
      }
      var ours: [Double] = []
      _ = try Evaluator(model: network, on: .cpu).evaluate(rows) { ours += $1 }
      let theirs = try goldens.tensor(key, dtype: .float32).doubles()
      #expect(ours.count == theirs.count && !ours.isEmpty)
      for (a, b) in zip(ours, theirs) { #expect((a - b).magnitude < 2e-5, "\(key)") }
    }
  }

  @Test("a checkpoint written here has the bits of bitsandbytes' own", arguments: names)
  func bits(_ name: String) throws {
    try withTemporaryFolder { folder in
      let summary = try NF4Export().write(
        Self.plainFolder(name), to: folder + "/out", companions: [])
      #expect(summary.quantizedCount == 14)
      let ours = try Checkpoint(file: folder + "/out/model.safetensors")
      let theirs = try Checkpoint(file: Self.folder(name) + "/model.safetensors")
      #expect(Set(ours.keys) == Set(theirs.keys))
      for key in theirs.keys {
        let (a, b) = (try ours.bytes(of: key), try theirs.bytes(of: key))
        if key.hasSuffix("bitsandbytes__nf4") {
          // Settings as JSON: the same values.
          #expect(try JSON.parse(a) == JSON.parse(b), "\(key)")
        } else {
          #expect(a == b, "\(key)")
        }
      }
    }
  }

  @Test(
    "twelve steps give PEFT's losses, norms and tensors", arguments: names,
    [GradientCheckpointing.off, .full])
  func training(_ name: String, keeping: GradientCheckpointing) throws {
    try withTemporaryFolder { folder in
      var (rows, config, goldens) = try TrainingParityTests().setUp(
        "qlora/" + name, folder + "/out")
      config.gradientCheckpointing = keeping
      let network = try model(name, isPeers: keeping == .full)
      let plain = Self.plainFolder(name)
      let adapter = try AdapterFile.load(plain + "/adapter", into: network)
      var records: [StepRecord] = []
      let trainer = try Trainer(
        model: network, rows: rows, config: config,
        artifacts: RunArtifacts(modelDirectory: plain, adapter: adapter),
        observe: { if case .step(let record) = $0 { records.append(record) } })
      _ = try trainer.run()
      #expect(records.count == 12)
      try TrainingParityTests().compare(
        records, try #require(goldens["lora"]?["train"]?.arrayValue))
      let expected = try Checkpoint(file: Self.folder(name) + "/goldens.safetensors")
      let written = try Checkpoint(file: folder + "/out/adapter_model.safetensors")
      #expect(written.keys.count == 28)
      for key in written.keys {
        let ours = try written.tensor(key, dtype: .float32).doubles()
        let theirs = try expected.tensor("lora.final." + key, dtype: .float32).doubles()
        let norm = theirs.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let difference = zip(ours, theirs).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        #expect(difference.squareRoot() < 1e-4 * norm, "\(key)")
      }
    }
  }
}
