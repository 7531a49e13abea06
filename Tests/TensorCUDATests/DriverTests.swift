// What the driver does that is not a kernel's: code that it refuses, and memory that its pool keeps.

import CUDAEmulator
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("The driver")
struct DriverTests {
  @Test("code that the driver refuses is replaced by the portable form")
  func refusedCode() throws {
    let device = Device(backend: try TestDevices.emulatedGPU(0), preferredComputeDType: .bfloat16)
    // The first call is the refused one; that of the portable form succeeds.
    emulator_fail("cuModuleLoadData", 0, 222)
    defer { emulator_fail("cuModuleLoadData", -1, 0) }
    #expect(try Tensor.full([3], 2, on: device).doubles() == [2, 2, 2])
  }

  @Test("what the driver's pool keeps of what was freed counts as free once memory is planned")
  func keptMemory() async {
    // In a process of its own: other tests use the memory of the same devices.
    await #expect(processExitsWith: .success) {
      let backend = try TestDevices.emulatedGPU(1)
      let free = backend.freeByteCount ?? 0
      let byteCount = 1 << 20
      let buffer = backend.allocate(byteCount: byteCount)
      precondition(backend.freeByteCount == free - byteCount, "what is in use")
      backend.release(buffer)
      backend.limitMemory(to: 0)
      precondition(backend.memory.reservedByteCount == 0, "what waits")
      precondition(free > byteCount && backend.freeByteCount == free, "what was freed")
    }
  }
}
