// Copies to the device: what a caller frees at once has been read. The stand-in copies as late as the stream allows.

import CUDAEmulator
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("Copies to the device", .serialized)
struct StagingTests {
  private func device() throws -> Device {
    Device(backend: try TestDevices.emulatedGPU(0), preferredComputeDType: .float32)
  }

  /// Copies memory that is overwritten as soon as the call returns.
  private func copied(_ values: [Float], to device: Device) throws -> [Float] {
    var bytes = values.map { $0 }  // in memory of its own
    let tensor = Tensor(bytes, shape: [bytes.count], on: device)
    for index in bytes.indices { bytes[index] = .nan }
    return try tensor.array(of: Float.self)
  }

  @Test("what is copied is what was there, over several turns of the ring")
  func turns() throws {
    let device = try device()
    // 9, 23 and 41 MB of halves of 16 MB, with odd beginnings.
    var kept: [(Tensor, Float)] = []
    for (round, count) in [1, 7, 2_300_001, 3, 6_000_001, 10_700_001, 5].enumerated() {
      let values = (0..<count).map { Float($0 % 8191 + round) }
      #expect(try copied(values, to: device) == values)
      kept.append((Tensor([Float(round)], on: device), Float(round)))
    }
    for (tensor, value) in kept { #expect(try tensor.item() == Double(value)) }
  }

  @Test(
    "without page-locked memory or events copies are waited for",
    arguments: [("cuMemHostAlloc", 0), ("cuMemHostAlloc", 1), ("cuEventCreate", 1)])
  func withoutPageLockedMemory(_ call: String, _ number: Int) throws {
    let device = try device()
    emulator_fail(call, Int32(number), 2)
    defer { emulator_fail(call, -1, 0) }
    for count in [5, 100_000] {
      let values = (0..<count).map { Float($0) }
      #expect(try copied(values, to: device) == values)
    }
  }

  @Test("a failure of a copy, an event or a wait is kept and thrown")
  func failures() throws {
    for call in ["cuMemcpyHtoDAsync_v2", "cuEventRecord", "cuEventSynchronize"] {
      let device = try device()
      emulator_fail(call, 0, 700)
      defer { emulator_fail(call, -1, 0) }
      let values = [Float](repeating: 1, count: 13 << 20)
      let text =
        (#expect(throws: DeviceError.self) { try self.copied(values, to: device) }).map { "\($0)" }
        ?? ""
      #expect(text.contains(call.split(separator: "_")[0]), "\(text)")
    }
  }
}
