// Recorded work: what is replayed is what would have run, on new numbers, documents and random streams.

import CUDAEmulator
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("Recorded work", .serialized)
struct RecordingTests {
  /// A body that uses every kind of node: kernels, products, copies, scratch memory, attention and dropout.
  private struct Work {
    let documents: [Int]
    let x, weight: Tensor

    init(_ documents: [Int], seed: UInt64, _ dtype: DType, on device: Device) {
      self.documents = documents
      let stream = RandomStream(seed: seed, purpose: .test)
      x = Tensor.normal([documents.last ?? 0, 4, 64], dtype: dtype, stream: stream, on: device)
      weight = Tensor.normal(
        [64, 64], standardDeviation: 0.1, dtype: dtype, stream: stream, on: device)
    }

    /// Attention of a product with itself, its gradients, and dropout over all of it.
    func run(use: Int) -> [Tensor] {
      let stream = RandomStream(seed: 5, purpose: .dropout, index: 3, offset: use)
      let q = Tensor.matmul(x.reshaped([x.count / 64, 64]), weight).reshaped(x.shape)
      let (out, level) = Tensor.attention(
        q: q, k: x, v: x, scale: 0.125, documents: documents, keyOffset: 0)
      let gradients = Tensor.attentionBackward(
        dOut: out, q: q, k: x, v: x, out: out, logSumExp: level, scale: 0.125,
        documents: documents)
      var sum = out.droppedOut(probability: 0.25, stream: stream)
      sum.accumulate(gradients.dq)
      return [sum, gradients.dk.silu(), gradients.dv]
    }
  }

  private func recorder(_ device: Device) throws -> any WorkRecorder {
    try #require(device.backend.makeRecorder())
  }

  private func device(_ ordinal: Int = 0) throws -> Device {
    Device(backend: try TestDevices.emulatedGPU(ordinal), preferredComputeDType: .bfloat16)
  }

  @Test(
    "a replay gives what the same work gives when it runs, to the bit",
    arguments: [DType.float32, .bfloat16], [0, 1])
  func replay(_ dtype: DType, _ ordinal: Int) throws {
    let device = try device(ordinal)
    let recorder = try recorder(device)
    let first = Work([0, 30, 100], seed: 1, dtype, on: device)
    _ = first.run(use: 0)
    var results: [Tensor] = []
    let recorded = try #require(recorder.record { results = first.run(use: 7) })
    for (seed, documents, use) in [
      (1, [0, 30, 100], 7), (2, [0, 30, 100], 8), (3, [0, 1, 2, 65, 100], 9), (4, [0, 100], 3),
      (5, Array(0...20) + [100], 7),
    ] {
      let work = Work(documents, seed: UInt64(seed), dtype, on: device)
      let expected = try work.run(use: use).map { try $0.doubles() }
      for (new, old) in [(work.x, first.x), (work.weight, first.weight)] {
        launch(new, old) { device.backend.cast(new.operand, into: old.destination) }
      }
      #expect(
        recorded.replay(documents: documents, advance: UInt32(truncatingIfNeeded: use - 7)))
      #expect(try results.map { try $0.doubles() } == expected, "\(documents)")
    }
  }

  @Test("more documents than there is room for are refused, and nothing is queued")
  func room() throws {
    let device = try device()
    let work = Work([0, 100], seed: 1, .bfloat16, on: device)
    _ = work.run(use: 0)
    var results: [Tensor] = []
    let recorded = try #require(try recorder(device).record { results = work.run(use: 0) })
    #expect(recorded.replay(documents: [0, 100], advance: 0))
    let before = try results[0].doubles()
    #expect(!recorded.replay(documents: Array(0...100), advance: 1))
    #expect(try results[0].doubles() == before)
  }

  @Test("what replays write over is given to nobody else")
  func memory() throws {
    let device = try device()
    let work = Work([0, 100], seed: 1, .float32, on: device)
    let expected = try work.run(use: 0).map { try $0.doubles() }
    let before = device.memory
    var results: [Tensor] = []
    var recorded = try recorder(device).record { results = work.run(use: 0) }
    #expect(recorded != nil && device.memory.liveByteCount > before.liveByteCount)
    // As many buffers of the same sizes as the work takes, while it is replayed.
    let others = (0..<12).map { Tensor.full([100, 4, 64], Double($0), on: device) }
    for _ in 0..<3 { #expect(recorded?.replay(documents: [0, 100], advance: 0) == true) }
    for (index, other) in others.enumerated() {
      #expect(try other.doubles().allSatisfy { $0 == Double(index) })
    }
    #expect(try results.map { try $0.doubles() } == expected)
    // It goes with the recording and the last tensor that lies in it.
    recorded = nil
    results = []
    #expect(
      device.memory.liveByteCount == before.liveByteCount + others.reduce(0) { $0 + $1.byteCount })
  }

  @Test("a body that waits, copies or draws cannot be recorded, and the device goes on")
  func unrecordable() throws {
    let device = try device()
    let x = Tensor.full([100], 3, on: device)
    let recorder = try recorder(device)
    let bodies: [() -> Void] = [
      { _ = try? (x + x).sum().item() }, { try? device.synchronize() },
      { _ = Tensor([Float(1), 2], on: device) + Tensor.ones([2], on: device) },
      { _ = Tensor.uniform([5], stream: RandomStream(seed: 1, purpose: .test), on: device) },
    ]
    for body in bodies {
      #expect(recorder.record(body) == nil)
      #expect(try (x + x).sum().item() == 600)
    }
    // Those that can are recorded after that as well.
    var y = x
    let recorded = try #require(recorder.record { y = x * x })
    #expect(recorded.replay(documents: [], advance: 0))
    #expect(try y.doubles() == [Double](repeating: 9, count: 100))
  }

  @Test(
    "work that runs gets the memory of recordings where there is no other, and they are recorded again"
  )
  func reclaimed() throws {
    let device = try device()
    let work = Work([0, 100], seed: 1, .float32, on: device)
    let expected = try work.run(use: 0).map { try $0.doubles() }
    let recorder = try recorder(device)
    var results: [Tensor] = []
    var recorded = try #require(recorder.record { results = work.run(use: 0) })
    #expect(recorded.replay(documents: [0, 100], advance: 0))
    emulator_memory(0)
    defer { emulator_memory(-1) }
    // Less than the recording's scratch memory, more than anything else that waits.
    let other = Tensor.full([100, 4, 64], 3, on: device)
    #expect(try other.doubles().allSatisfy { $0 == 3 })
    #expect(!recorded.replay(documents: [0, 100], advance: 0))
    // There is no memory for it now, and nothing is lost by the attempt.
    let live = device.memory.liveByteCount
    #expect(recorder.record { results = work.run(use: 0) } == nil)
    #expect(
      device.memory.liveByteCount <= live + results.reduce(0) { $0 + ($1.byteCount + 15) / 16 * 16 }
    )
    #expect(try other.sum().item() == 3 * 25_600)
    emulator_memory(-1)
    recorded = try #require(recorder.record { results = work.run(use: 0) })
    #expect(recorded.replay(documents: [0, 100], advance: 0))
    #expect(try results.map { try $0.doubles() } == expected)
  }

  @Test("recordings keep to the limit of the device's memory")
  func limit() throws {
    let device = try device()
    let work = Work([0, 100], seed: 1, .float32, on: device)
    _ = try work.run(use: 0).map { try $0.doubles() }
    let recorder = try recorder(device)
    device.limitMemory(to: device.memory.liveByteCount + 200_000)
    #expect(recorder.record { _ = work.run(use: 0) } == nil)
    #expect(recorder.problem?.contains("out of memory") == true)
    device.limitMemory(to: .max)
    let recorded = try #require(recorder.record { _ = work.run(use: 0) })
    #expect(recorder.problem == nil && recorded.replay(documents: [0, 100], advance: 0))
    // Work that runs and would pass the limit together with it gets its memory.
    let limit = device.memory.liveByteCount + 50_000
    device.limitMemory(to: limit)
    let other = Tensor.full([100, 4, 64], 1, on: device)
    #expect(!recorded.replay(documents: [0, 100], advance: 0))
    #expect(try other.sum().item() == 25_600 && device.memory.reservedByteCount <= limit)
  }

  @Test("a failure while recording voids the recording alone; one of a replay is kept and named")
  func failures() throws {
    for call in [
      "cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags",
      "cuLaunchKernel", "cuMemAllocAsync", "cublasLtMatmul",
    ] {
      let device = try device()
      let x = Tensor.full([32, 32], 1, on: device)
      let recorder = try recorder(device)
      emulator_fail(call, 0, 2)
      #expect(recorder.record { _ = Tensor.matmul(x, x) + x } == nil, "\(call)")
      emulator_fail(call, -1, 0)
      #expect(try Tensor.matmul(x, x).sum().item() == 32 * 32 * 32, "\(call)")
    }
    let device = try device()
    let x = Tensor.full([32], 1, on: device)
    var y = x
    let recorded = try #require(try recorder(device).record { y = x + x })
    emulator_fail("cuGraphLaunch", 0, 719)
    defer { emulator_fail("cuGraphLaunch", -1, 0) }
    _ = recorded.replay(documents: [], advance: 0)
    let text = (#expect(throws: DeviceError.self) { try y.doubles() }).map { "\($0)" } ?? ""
    #expect(text.contains("cuGraphLaunch") && text.contains("719"), "\(text)")
  }

  @Test("the processor records nothing")
  func processor() { #expect(Device.cpu.backend.makeRecorder() == nil) }
}
