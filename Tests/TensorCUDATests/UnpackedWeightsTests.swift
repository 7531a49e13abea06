// Weights that are unpacked beside the stream: the same numbers as in order, every wait needed, recorded or not.

import CUDAEmulator
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("Weights unpacked ahead", .serialized)
struct UnpackedWeightsTests {
  /// Sixteen rows, more than what multiplies a weight as it is read.
  private static let rows = 16

  private func device(_ ordinal: Int, unpacksAhead: Bool = true) throws -> Device {
    Device(
      backend: try TestDevices.emulatedGPU(ordinal, unpacksAhead: unpacksAhead),
      preferredComputeDType: .bfloat16)
  }

  private func tensor(_ shape: Shape, _ seed: Int, _ dtype: DType, on device: Device) -> Tensor {
    Tensor.normal(
      shape, dtype: dtype, stream: RandomStream(seed: UInt64(seed), purpose: .test), on: device)
  }

  /// A weight [64, 64] of which the last kernel may not have run yet, in 4 bits or, for float32, in bfloat16.
  private func weight(_ seed: Int, isNarrow: Bool = false, rows: Int = 64, on device: Device)
    -> PackedWeight
  {
    if isNarrow { return .narrow(tensor([rows, 64], seed, .bfloat16, on: device)) }
    let format = QuantizedTensor.Format(blockSize: 64, isDoubleQuantized: false)
    return .nf4(
      QuantizedTensor(quantizing: tensor([rows, 64], seed, .float32, on: device), as: format))
  }

  /// Products with new weights and then with those again, forward and backward.
  private func products(_ dtype: DType, on device: Device) throws -> [[UInt8]] {
    let x = tensor([Self.rows, 64], 1, dtype, on: device)
    var results = [Tensor.matmul(x, packed: weight(2, on: device), transposeWeight: true)]
    var weights: [PackedWeight] = []
    for seed in 3..<7 {
      weights.append(
        weight(seed, isNarrow: dtype == .float32 && seed % 2 == 0, on: device))
      results.append(Tensor.matmul(x, packed: weights[seed - 3], transposeWeight: true))
    }
    for weight in weights {
      results.append(Tensor.matmul(x, packed: weight, transposeWeight: true))
    }
    for weight in weights.reversed() {
      results.append(Tensor.matmul(x, packed: weight, transposeWeight: false))
    }
    return try results.map { try $0.bytes() }
  }

  @Test(
    "products are those of weights unpacked in order, to the bit",
    arguments: [DType.bfloat16, .float32], [0, 1, 2, 3])
  func equality(_ dtype: DType, _ ordinal: Int) throws {
    let inOrder = try products(dtype, on: device(ordinal, unpacksAhead: false))
    #expect(Set(inOrder).count == 9)
    let ahead = try device(ordinal)
    for _ in 0..<2 { #expect(try products(dtype, on: ahead) == inOrder) }
  }

  @Test("each wait is needed: without it some order of the streams gives another result")
  func waits() throws {
    let expected = try products(.bfloat16, on: device(0, unpacksAhead: false))
    // Two for each product. The first weight that is read again needs none: the one before has waited for all products so far.
    for dropped in 0..<26 where dropped != 10 {
      let isNoticed = try (0..<Int(emulator_device_count())).contains { ordinal in
        let device = try device(ordinal)
        // Streams that have never waited for each other run at once.
        let x = tensor([Self.rows, 64], 8, .bfloat16, on: device)
        for seed in 9..<11 {
          _ = Tensor.matmul(x, packed: weight(seed, on: device), transposeWeight: true)
        }
        emulator_fail("cuStreamWaitEvent", Int32(dropped), -1)
        defer { emulator_fail("cuStreamWaitEvent", -1, 0) }
        return (try? products(.bfloat16, on: device)) != expected
      }
      #expect(isNoticed, "wait \(dropped)")
    }
  }

  @Test("memory in which a longer weight is unpacked later, and a weight in the place of another")
  func replacement() throws {
    for ordinal in 0..<Int(emulator_device_count()) {
      let results = try [false, true].map { unpacksAhead in
        let device = try device(ordinal, unpacksAhead: unpacksAhead)
        let x = tensor([Self.rows, 64], 1, .bfloat16, on: device)
        return try (0..<6).map { round in
          // The weight of the round before has been given back, and this one lies in its memory where it is no longer.
          let weight = weight(round, rows: 64 * (1 + round / 3), on: device)
          return Tensor.matmul(x, packed: weight, transposeWeight: true)
        }.map { try $0.bytes() }
      }
      #expect(results[0] == results[1], "cuda:\(ordinal)")
    }
  }

  @Test("a weight that is written over is read as it then is")
  func rewritten() throws {
    for ordinal in 0..<Int(emulator_device_count()) {
      let device = try device(ordinal)
      let x = tensor([Self.rows, 64], 1, .float32, on: device)
      let (first, second) = (
        tensor([64, 64], 2, .bfloat16, on: device), tensor([64, 64], 3, .bfloat16, on: device)
      )
      let (expected, bytes) = (
        try Tensor.matmul(x, packed: .narrow(second), transposeWeight: true).bytes(),
        try second.bytes()
      )
      for _ in 0..<3 { _ = Tensor.matmul(x, packed: .narrow(first), transposeWeight: true) }
      bytes.withUnsafeBytes {
        device.backend.copyIn($0, to: first.storage.buffer, byteOffset: 0)
      }
      let result = Tensor.matmul(x, packed: .narrow(first), transposeWeight: true)
      #expect(try result.bytes() == expected, "cuda:\(ordinal)")
      // By a kernel, in place.
      launch(second, first) {
        device.backend.scale(second.operand, by: 2, into: first.destination)
      }
      let doubled = Tensor.matmul(x, packed: .narrow(first), transposeWeight: true)
      #expect(
        try doubled.doubles() == result.doubles().map { 2 * $0 }, "cuda:\(ordinal)")
    }
  }

  @Test("recorded products give what they give when they run", arguments: [0, 1])
  func recorded(_ ordinal: Int) throws {
    let device = try device(ordinal)
    let x = tensor([Self.rows, 64], 1, .bfloat16, on: device)
    let weights = (2..<6).map { weight($0, rows: 64 * ($0 / 2), on: device) }
    let run = { weights.map { Tensor.matmul(x, packed: $0, transposeWeight: true) } }
    let expected = try run().map { try $0.bytes() }
    let recorder = try #require(device.backend.makeRecorder())
    var results: [Tensor] = []
    let recorded = try #require(recorder.record { results = run() }, "\(recorder.problem ?? "")")
    for _ in 0..<3 {
      // Work that runs between replays unpacks elsewhere.
      _ = run()
      #expect(recorded.replay(documents: [], advance: 0))
      #expect(try results.map { try $0.bytes() } == expected)
    }
  }

  @Test("without a wait a recording is void, or gives another result in some order of the streams")
  func recordedWaits() throws {
    // The second piece is new as well and waits for all so far, that is for no product but the first's, which then the third
    // need not wait for.
    for dropped in 0..<8 where dropped != 2 && dropped != 4 {
      let isNoticed = try (0..<2).contains { ordinal in
        let device = try device(ordinal)
        let x = tensor([Self.rows, 64], 1, .bfloat16, on: device)
        let weights = (2..<6).map { weight($0, on: device) }
        let run = { weights.map { Tensor.matmul(x, packed: $0, transposeWeight: true) } }
        let expected = try run().map { try $0.bytes() }
        let recorder = try #require(device.backend.makeRecorder())
        var results: [Tensor] = []
        emulator_fail("cuStreamWaitEvent", Int32(dropped), -1)
        defer { emulator_fail("cuStreamWaitEvent", -1, 0) }
        guard let recorded = recorder.record({ results = run() }) else { return true }
        return try (0..<2).contains { _ in
          #expect(recorded.replay(documents: [], advance: 0))
          return try results.map { try $0.bytes() } != expected
        }
      }
      #expect(isNoticed, "wait \(dropped)")
    }
  }

  @Test("one piece is enough where there is no memory for two, and none is an error that says so")
  func scarceMemory() throws {
    let device = try device(1)
    let x = tensor([Self.rows, 64], 1, .bfloat16, on: device)
    let weights = (2..<6).map { weight($0, on: device) }
    let run = {
      try weights.map { Tensor.matmul(x, packed: $0, transposeWeight: true) }.map { try $0.bytes() }
    }
    let expected = try run()
    device.limitMemory(to: .max)  // gives the pieces and all that waits back
    var results = weights.map { _ in Tensor.zeros([Self.rows, 64], dtype: .bfloat16, on: device) }
    emulator_memory(8192)
    defer { emulator_memory(-1) }
    for index in weights.indices {
      results[index].accumulateMatmul(x, packed: weights[index], transposeWeight: true, beta: 0)
    }
    #expect(try results.map { try $0.bytes() } == expected)
    device.limitMemory(to: .max)
    emulator_memory(0)
    let y = Tensor.matmul(x, packed: weights[0], transposeWeight: true)
    let text = (#expect(throws: DeviceError.self) { try y.bytes() }).map { "\($0)" } ?? ""
    #expect(text.contains("out of memory"), "\(text)")
  }

  @Test("a recording in which a call of the driver fails is void, and the device goes on")
  func recordedFailures() throws {
    for (call, number) in [
      ("cuEventRecord", 0), ("cuEventRecord", 1), ("cuStreamWaitEvent", 0),
      ("cuStreamWaitEvent", 1), ("cuEventCreate", 3),
    ] {
      let device = try device(1)
      let x = tensor([Self.rows, 64], 1, .bfloat16, on: device)
      let weights = (2..<4).map { weight($0, on: device) }
      let run = { weights.map { Tensor.matmul(x, packed: $0, transposeWeight: true) } }
      let expected = try run().map { try $0.bytes() }
      let recorder = try #require(device.backend.makeRecorder())
      emulator_fail(call, Int32(number), 2)
      #expect(recorder.record { _ = run() } == nil, "\(call)")
      emulator_fail(call, -1, 0)
      #expect(try run().map { try $0.bytes() } == expected, "\(call)")
      #expect(recorder.record { _ = run() } != nil, "\(recorder.problem ?? "")")
    }
  }

  @Test("what it holds is given back where there is no other memory, and taken again")
  func reclaimed() throws {
    let device = try device(0)
    let before = device.memory.liveByteCount
    let x = tensor([Self.rows, 64], 1, .bfloat16, on: device)
    let weight = weight(2, on: device)
    let product = { try Tensor.matmul(x, packed: weight, transposeWeight: true).bytes() }
    let expected = try product()
    #expect(try product() == expected)
    // The workspace of cuBLASLt stays, two pieces of 64 × 64 bfloat16 go.
    device.limitMemory(to: .max)  // nothing waits, and the pieces are taken anew
    #expect(try product() == expected && product() == expected)
    let live = device.memory.liveByteCount
    #expect(live - before > 2 * 8192)
    emulator_memory(0)
    do {
      defer { emulator_memory(-1) }
      let other = Tensor.full([8192], 3, dtype: .bfloat16, on: device)
      #expect(try other.doubles().allSatisfy { $0 == 3 })
      #expect(device.memory.liveByteCount == live)
    }
    #expect(try product() == expected)
  }

  @Test(
    "a failure of the driver is kept and named",
    arguments: ["cuEventCreate", "cuEventRecord", "cuStreamWaitEvent"])
  func failures(_ call: String) throws {
    let device = try device(0)
    let x = Tensor.ones([Self.rows, 64], dtype: .bfloat16, on: device)
    let weight = weight(2, on: device)
    try device.synchronize()
    emulator_fail(call, 1, 700)
    defer { emulator_fail(call, -1, 0) }
    let y = Tensor.matmul(x, packed: weight, transposeWeight: true)
    let text = (#expect(throws: DeviceError.self) { try y.bytes() }).map { "\($0)" } ?? ""
    #expect(text.contains(call) && text.contains("700"), "\(text)")
  }
}
