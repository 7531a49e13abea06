// The stand-in for the GPU notices what it is there to notice: kernels with one fault each.

import CUDAEmulator
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("The emulated GPU", .serialized)
struct EmulatorTests {
  /// What a faulty kernel gives with each order of threads: its result, nil where the launch fails.
  private func results(_ kernel: StaticString, threads: Int = 64, count: Int = 64) throws
    -> [Double?]
  {
    try (0..<Int(emulator_device_count())).map { ordinal in
      let backend = try TestDevices.emulatedGPU(ordinal)
      let device = Device(backend: backend, preferredComputeDType: .float32)
      let x = Tensor.ones([2 * count], on: device)
      let y = Tensor.zeros([4], on: device)
      launch(x, y) {
        backend.launch(
          Kernel("memory", kernel, .none), grid: (x: 1, y: 1), block: (x: threads, y: 1),
          sharedByteCount: 8 * count, UInt64(x.operand.address), UInt64(y.operand.address),
          Int32(count))
      }
      return try? y.doubles()[0]
    }
  }

  @Test("a missing barrier gives a wrong sum in some order of threads")
  func missingBarrier() throws {
    #expect(try results("fault_missing_barrier", threads: 64).contains { $0 != 64 })
  }

  @Test("a divergent barrier is an error in every order of threads")
  func divergentBarrier() throws {
    #expect(try results("fault_divergent_barrier").allSatisfy { $0 == nil })
    #expect(String(cString: emulator_last_error()).contains("__syncthreads"))
  }

  @Test("an access beyond a buffer is an error that names the kernel, not the end of the process")
  func outOfBounds() throws {
    #expect(try results("fault_out_of_bounds").allSatisfy { $0 == nil })
    #expect(
      String(cString: emulator_last_error()).contains("fault_out_of_bounds: illegal address"))
  }

  @Test("shared memory that nobody wrote is not a number")
  func uninitialized() throws {
    #expect(try results("fault_uninitialized", threads: 64).allSatisfy { $0?.isNaN == true })
  }

  @Test("a missing wait shows where copies land late")
  func missingWait() throws {
    #expect(try results("fault_missing_wait").contains { $0 != 64 })
  }

  @Test("a copy that overwrites what others read shows where copies land early")
  func earlyOverwrite() throws {
    // Both halves are ones: only copies that are under way could show, so the halves are told apart by value.
    let outcomes = try (0..<Int(emulator_device_count())).map { ordinal in
      let backend = try TestDevices.emulatedGPU(ordinal)
      let device = Device(backend: backend, preferredComputeDType: .float32)
      let x = Tensor(
        [Float](repeating: 1, count: 64) + [Float](repeating: 3, count: 64), on: device)
      let y = Tensor.zeros([4], on: device)
      launch(x, y) {
        backend.launch(
          Kernel("memory", "fault_early_overwrite", .none), grid: (x: 1, y: 1),
          block: (x: 64, y: 1), sharedByteCount: 1024, UInt64(x.operand.address),
          UInt64(y.operand.address),
          Int32(64))
      }
      return try y.doubles()
    }
    #expect(outcomes.contains { $0[0] != 256 || $0[1] != 256 })
  }
}
