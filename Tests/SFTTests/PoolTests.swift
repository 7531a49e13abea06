// After warm-up a training step takes nothing from the system, whatever the numbers and the weights are kept in.

import QwenModel
import SFT
import Tensor
import Testing

@Suite("Memory of training steps")
struct PoolTests {
  @Test("steps of equal length miss the pool only at first")
  func misses() async {
    // In a process of its own: other tests use the same pool at the same time.
    await #expect(processExitsWith: .success) {
      for (name, isBFloat16, isQuantized) in [
        ("tiny-qwen3", false, false), ("tiny-qwen3", true, false), ("tiny-qwen3", false, true),
        ("tiny-qwen2", true, true),
      ] {
        for checkpointing in [false, true] {
          var options = WeightOptions()
          options.dtype = isBFloat16 ? .bfloat16 : .float32
          options.quantization = isQuantized ? .init() : nil
          let model = try QwenModel.load(
            directory: TrainingParityTests.fixtures + "/" + name, options: options)
          if isBFloat16 { model.computeDType = .bfloat16 }
          var benchmark = TrainingBenchmark()
          benchmark.tokens = 96
          benchmark.steps = 6
          benchmark.gradientCheckpointing = checkpointing ? .full : .off
          let misses = try benchmark.run(model, on: .cpu).poolMisses
          precondition(misses.count == 6)
          precondition(
            misses.dropFirst(2).allSatisfy { $0 == 0 },
            "\(name) bf16 \(isBFloat16) nf4 \(isQuantized): misses \(misses)")
        }
      }
    }
  }
}
