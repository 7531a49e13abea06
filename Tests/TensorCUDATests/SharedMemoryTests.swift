// GPUs with 99 KB of shared memory for a block: attention takes the kernels that fit.

import CUDAEmulator
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("Attention by shared memory", .serialized)
struct SharedMemoryTests {
  /// The last kernels of attention and of its gradients in bfloat16.
  private func kernels(ordinal: Int, headDim: Int) throws -> [String] {
    let backend = try TestDevices.emulatedGPU(ordinal)
    let device = Device(backend: backend, preferredComputeDType: .bfloat16)
    let x = Tensor.ones([20, 2, headDim], dtype: .bfloat16, on: device)
    let (out, logSumExp) = Tensor.attention(
      q: x, k: x, v: x, scale: 0.1, documents: nil, keyOffset: 0)
    let forward = backend.lastKernelName
    let gradients = Tensor.attentionBackward(
      dOut: x, q: x, k: x, v: x, out: out, logSumExp: logSumExp, scale: 0.1, documents: nil)
    let backward = backend.lastKernelName
    withExtendedLifetime(gradients) {}
    try device.synchronize()
    return [forward, backward]
  }

  @Test("64 and 128 run on tensor cores everywhere, 256 forward in 99 KB and both ways in 227 KB")
  func choice() throws {
    let small = Int(emulator_device_count()) - 1
    for ordinal in [0, small] {
      #expect(try kernels(ordinal: ordinal, headDim: 64) == ["flash_64", "flash_dkv_64"])
      #expect(try kernels(ordinal: ordinal, headDim: 128) == ["flash_128", "flash_dkv_128"])
    }
    #expect(try kernels(ordinal: 0, headDim: 256) == ["flash_256", "flash_dkv_256"])
    #expect(try kernels(ordinal: small, headDim: 256) == ["flash_256", "attention_dkv_bf16"])
  }

  @Test("a kernel that asks for more than the device has is refused")
  func limit() throws {
    let ask = { (ordinal: Int) in
      let backend = try TestDevices.emulatedGPU(ordinal)
      let device = Device(backend: backend, preferredComputeDType: .float32)
      let x = Tensor.ones([128], on: device)
      let y = Tensor.zeros([4], on: device)
      launch(x, y) {
        backend.launch(
          Kernel("memory", "fault_uninitialized", .none), grid: (x: 1, y: 1), block: (x: 64, y: 1),
          sharedByteCount: (99 << 10) + 16, UInt64(x.operand.address), UInt64(y.operand.address),
          Int32(64))
      }
      try device.synchronize()
    }
    try ask(0)
    let error = #expect(throws: DeviceError.self) { try ask(Int(emulator_device_count()) - 1) }
    #expect(error.map { "\($0)" }?.contains("cuFuncSetAttribute") == true)
  }

  @Test("after a failure the table of operations goes on with the device opened anew")
  func conformance() throws {
    let open = {
      Device(backend: try TestDevices.emulatedGPU(0), preferredComputeDType: .bfloat16)
    }
    var conformance = Conformance(filter: "rms_norm")
    var lines: [String] = []
    var reopened = 0
    let device = try open()
    emulator_fail("cuLaunchKernel", 40, 719)
    defer { emulator_fail("cuLaunchKernel", -1, 0) }
    conformance.run(
      on: device,
      reopening: {
        reopened += 1
        return try open()
      }
    ) { lines.append($0) }
    #expect(conformance.differing == 1 && conformance.agreeing > 10 && !conformance.agrees)
    #expect(reopened == 1 && lines.count == 1 && lines[0].contains("719"), "\(lines)")
    var whole = Conformance(filter: "rms_norm")
    whole.run(on: try open(), reopening: open) { lines.append($0) }
    #expect(whole.agrees && whole.agreeing == conformance.agreeing + 1)
    var rest = Conformance(filter: "rms_norm")
    var begun: [Int] = []
    rest.run(
      on: .cpu, from: 10, reopening: { .cpu }, beginning: { number, _ in begun.append(number) }
    ) {
      lines.append($0)
    }
    #expect(begun == Array(10...rest.count) && rest.agreeing == begun.count)
    #expect(whole.agreeing == rest.count)
    var nothing = Conformance(filter: "no such operation")
    nothing.run(on: .cpu, reopening: { .cpu }) { lines.append($0) }
    #expect(!nothing.agrees && lines.count == 1)
  }
}
