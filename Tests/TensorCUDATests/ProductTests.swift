// Products by cuBLASLt: what is asked of it, what becomes of its failures, and how much of it is kept.

import CUDAEmulator
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("Products by cuBLASLt", .serialized)
struct ProductTests {
  private func device() throws -> Device {
    Device(backend: try TestDevices.emulatedGPU(0), preferredComputeDType: .bfloat16)
  }

  @Test("a product makes a description and three layouts once, and they go with the device")
  func handles() throws {
    let before = emulator_descriptions()
    do {
      let device = try device()
      let x = Tensor.ones([3, 4], on: device)
      #expect(try Tensor.matmul(x, x, transposeB: true).sum().item() == 36)
      #expect(try Tensor.matmul(x, x, transposeB: true).sum().item() == 36)
      #expect(emulator_descriptions() - before == 5)
    }
    #expect(emulator_descriptions() == before)
  }

  @Test(
    "a call that fails leaves the product to our own kernels and nothing behind",
    arguments: [
      "cublasLtMatmulDescCreate", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate",
      "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute",
      "cublasLtMatmulAlgoGetHeuristic",
    ], [0, 1, 2])
  func failures(_ call: String, _ number: Int) throws {
    let device = try device()
    let before = emulator_descriptions()
    let op = OpCases.matmul(m: 5, n: 7, k: 9, transposeA: true, transposeB: true)
    emulator_fail(call, Int32(number), 7)
    defer { emulator_fail(call, -1, 0) }
    try op.verify(.float32, on: device)
    let isOnce =
      call.hasSuffix("DescCreate") || call.hasSuffix("PreferenceCreate")
      || call.hasSuffix("Heuristic") || (number == 2 && call.hasSuffix("DescSetAttribute"))
    #expect(emulator_descriptions() - before == (isOnce && number > 0 ? 4 : 0))
  }

  @Test("plans are bounded, and those in use stay")
  func bounded() throws {
    let device = try device()
    let before = emulator_descriptions()
    let x = Tensor.ones([1, 1], on: device)
    let kept = Tensor.ones([2, 2], on: device)
    for n in 1...4500 {
      let y = Tensor.matmul(x, Tensor.zeros([1, n], on: device))
      if n % 500 == 0 {
        #expect(try Tensor.matmul(kept, kept).sum().item() == 8)
        #expect(y.shape == [1, n])
      }
    }
    let count = emulator_descriptions() - before
    #expect(count > 4 * 2000 && count <= 4 * 4096)
    try device.synchronize()
  }
}
