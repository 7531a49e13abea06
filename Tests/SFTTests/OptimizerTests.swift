// AdamW with moments in 8 bits, against bitsandbytes to the bit, and in whole runs.

import Autograd
import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import TensorTestSupport
import Testing

@Suite("AdamW in 8 bits")
struct OptimizerTests {
  /// The numbers of the fixture's script.
  private struct Generator {
    private var state: UInt32 = 1

    mutating func next() -> UInt32 {
      state = state &* 1_664_525 &+ 1_013_904_223
      return state >> 8
    }

    mutating func number(spread: UInt32) -> Float {
      let value = Float(Int(next() % 2001) - 1000)
      return value * Float(sign: .plus, exponent: -Int(10 + next() % spread), significand: 1)
    }
  }

  private static let folder = TrainingParityTests.fixtures + "/tiny-qwen3"

  @Test(
    "thirty steps have bitsandbytes' codes and scales to the bit, and its parameters",
    arguments: TestDevices.all)
  func goldens(on device: Device) throws {
    let goldens = try Checkpoint(
      file: TrainingParityTests.fixtures + "/optimizer/adamw_8bit.safetensors")
    #expect(DynamicMap.signed.values == (try goldens.floats(of: "signed")))
    #expect(DynamicMap.unsigned.values == (try goldens.floats(of: "unsigned")))
    var generator = Generator()
    let count = 4400
    let parameter = Parameter(shape: [count])
    parameter.value = Tensor((0..<count).map { _ in generator.number(spread: 1) }, on: device)
    let optimizer = AdamW(
      [("model.layers.0.mlp.up_proj.lora_A.weight", parameter)], beta1: 0.9, beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.1, kind: .adamw8Bit)
    let slot = optimizer.slots[0]
    for step in 1...30 {
      var gradient = (0..<count).map { _ in generator.number(spread: 14) }
      for i in 0..<512 where i >= 256 || step <= 4 { gradient[i] = 0 }
      parameter.gradient = Tensor(gradient, on: device)
      optimizer.step(learningRate: 0x1p-7 * (1 - Double(step - 1) / 30))
      guard goldens.contains("\(step).parameter") else { continue }
      for (name, moment) in [("first", slot.firstMoment), ("second", slot.secondMoment)] {
        let scales = try #require(moment.scales)
        let codes = try moment.values.array(of: UInt8.self)
        #expect(codes == (try goldens.bytes(of: "\(step).\(name)")), "\(name) of step \(step)")
        #expect(
          try scales.array(of: Float.self) == goldens.floats(of: "\(step).\(name).absmax"),
          "scales of \(name) of step \(step)")
      }
      // torch's square root is that of a vector library, in the last place not always the nearest.
      let expected = try goldens.floats(of: "\(step).parameter")
      for (ours, theirs) in zip(try parameter.value.array(of: Float.self), expected) {
        #expect((ours - theirs).magnitude <= 1e-6 * max(theirs.magnitude, 0.125))
      }
    }
    #expect(optimizer.stepCount == 30 && goldens.contains("30.parameter"))
  }

  @Test("embeddings and small tensors keep moments in float32")
  func kinds() {
    let kind = OptimizerKind.adamw8Bit
    #expect(kind.keeps8Bits(key: "x.lora_A.weight", count: 4096))
    #expect(!kind.keeps8Bits(key: "x.lora_A.weight", count: 4095))
    #expect(!kind.keeps8Bits(key: "model.embed_tokens.weight", count: 1 << 20))
    #expect(!OptimizerKind.adamw.keeps8Bits(key: "x.lora_A.weight", count: 4096))
    #expect(kind.momentByteCount(key: "x", count: 4097) == 2 * (4097 + 17 * 4))
    #expect(OptimizerKind.adamw.momentByteCount(key: "x", count: 4097) == 8 * 4097)
    #expect(OptimizerKind(name: "paged_adamw_8bit") == kind)
    #expect(OptimizerKind(name: "adamw_torch_fused") == .adamw)
    #expect(OptimizerKind(name: "adafactor") == nil)
  }

  /// A run on the tiny model, which is wide enough for moments in 8 bits by the rank of its adapter.
  private struct Run {
    var optim = OptimizerKind.adamw8Bit
    var steps = 12
    var quantization: QuantizedTensor.Format?
    var computeDType = DType.float32
    var stopAfter: Int?
    var resumesFrom: String?

    /// Trains, and returns the losses and the bytes of the adapter.
    func callAsFunction(_ output: String) throws -> (losses: [Double], adapter: [UInt8]) {
      var (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", output)
      config.maxSteps = steps
      config.optim = optim
      config.learningRate = 2e-3
      config.saveStrategy = .no
      var options = WeightOptions()
      options.quantization = quantization
      let model = try QwenModel.load(directory: folder, options: options)
      model.computeDType = computeDType
      let lora = LoRAConfig(rank: 128, alpha: 128, dropout: 0.1)
      let paths = try model.injectLoRA(lora)
      for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: 1, on: .cpu) }
      var losses: [Double] = []
      let trainer = try Trainer(
        model: model, rows: rows, config: config,
        artifacts: RunArtifacts(
          modelDirectory: folder, adapter: AdapterConfig(lora, paths: paths, baseModel: "tiny")),
        shouldStop: { stopAfter.map { losses.count >= $0 } ?? false },
        observe: { if case .step(let record) = $0 { losses.append(record.loss) } })
      if let resumesFrom { try trainer.resume(from: resumesFrom) }
      _ = try trainer.run()
      return (losses, try FileSystem.readFile(output + "/adapter_model.safetensors"))
    }
  }

  private func mean(_ values: some Collection<Double>) -> Double {
    values.reduce(0, +) / Double(values.count)
  }

  @Test("a run that is stopped and resumed ends with the same bits")
  func resume() throws {
    try withTemporaryFolder { folder in
      let whole = try Run()(folder + "/whole")
      #expect(throws: TrainingError.self) { _ = try Run(stopAfter: 5)(folder + "/parts") }
      let stored = try Checkpoint(file: folder + "/parts/checkpoint-5/optimizer.safetensors")
      let key = "first.model.layers.0.mlp.up_proj.lora_A.weight"
      #expect(try stored.dtype(of: key) == .u8 && stored.dtype(of: key + ".absmax") == .f32)
      let parts = try Run(resumesFrom: folder + "/parts/checkpoint-5")(folder + "/parts")
      #expect(whole.adapter == parts.adapter)
      // With float32 moments it would be another run.
      let error = #expect(throws: TrainingError.self) {
        _ = try Run(optim: .adamw, resumesFrom: folder + "/parts/checkpoint-5")(folder + "/other")
      }
      #expect(error?.description.contains("optim") == true)
    }
  }

  @Test("twelve steps on 4-bit weights stay within three percent of those with float32 moments")
  func quantizedWeights() throws {
    try withTemporaryFolder { folder in
      let run = Run(quantization: .init())
      let ours = try run(folder + "/8bit").losses
      let exact = try Run(optim: .adamw, quantization: .init())(folder + "/32bit").losses
      #expect(ours.count == 12 && ours != exact)
      for (a, b) in zip(ours, exact) { #expect((a - b).magnitude < 0.03 * b) }
      #expect(mean(ours.suffix(3)) < 0.97 * mean(ours.prefix(3)))
    }
  }

  @Test("fifty steps on 4-bit weights in bfloat16 arithmetic stay within one percent of float32")
  func narrowArithmetic() throws {
    try withTemporaryFolder { folder in
      var run = Run(optim: .adamw, steps: 50, quantization: .init())
      let exact = try run(folder + "/float32").losses
      run.computeDType = .bfloat16
      let rounded = try run(folder + "/bfloat16").losses
      #expect(exact.count == 50 && rounded.count == 50 && exact != rounded)
      #expect((mean(rounded) - mean(exact)).magnitude < 0.01 * mean(exact))
      #expect(mean(rounded.suffix(10)) < 0.97 * mean(rounded.prefix(10)))
    }
  }
}
