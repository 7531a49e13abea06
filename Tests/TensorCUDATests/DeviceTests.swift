// What the device does when something fails, and how its memory, its kernels and its products come about.

import CUDAEmulator
import Crypto
import Files
import Foundation
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("The CUDA device", .serialized)
struct DeviceTests {
  private func device(hasBLAS: Bool = true) throws -> Device {
    Device(
      backend: try TestDevices.emulatedGPU(0, hasBLAS: hasBLAS), preferredComputeDType: .bfloat16)
  }

  @Test("a failure is kept, named with its call and kernel, and thrown by whatever waits")
  func stickyError() throws {
    let device = try device()
    let x = Tensor.ones([17], on: device)
    emulator_fail("cuLaunchKernel", 0, 719)
    let y = x.exponential()
    emulator_fail("cuLaunchKernel", -1, 0)
    let z = (y + x).sum()
    for _ in 0..<2 {
      let error = #expect(throws: DeviceError.self) { try z.item() }
      let text = error.map { "\($0)" } ?? ""
      #expect(text.contains("cuLaunchKernel(unary_f32)") && text.contains("719"), "\(text)")
    }
    #expect(throws: DeviceError.self) { try device.synchronize() }
  }

  @Test("memory that runs out is an error that says so")
  func outOfMemory() throws {
    let device = try device()
    let y = Tensor.zeros([1 << 33], on: device)  // 32 GiB of the stand-in's 8
    let error = #expect(throws: DeviceError.self) { try y.sum().item() }
    #expect(error.map { "\($0)" }?.contains("out of memory") == true)
  }

  @Test("an error while memory is sought is that error, not a lack of memory")
  func failureBesideOutOfMemory() throws {
    for (call, status) in [("cuStreamSynchronize", 700), ("cuMemPoolTrimTo", 1)] {
      let device = try device()
      emulator_fail(call, 0, Int32(status))
      defer { emulator_fail(call, -1, 0) }
      let y = Tensor.zeros([1 << 33], on: device)
      let text = (#expect(throws: DeviceError.self) { try y.sum().item() }).map { "\($0)" } ?? ""
      #expect(text.contains(call) && !text.contains("out of memory"), "\(text)")
    }
  }

  @Test("a GPU that is not there is named, and so is the number of those that are")
  func unknownOrdinal() throws {
    let error = #expect(throws: DeviceError.self) {
      try TestDevices.emulatedGPU(Int(emulator_device_count()))
    }
    #expect(error.map { "\($0)" }?.contains("there are 4 GPUs") == true)
  }

  @Test("a library without a function is an error that names both")
  func missingSymbol() throws {
    let source = SymbolSource(name: "libempty.so") { _ in nil }
    let error = #expect(throws: DeviceError.self) { try Driver(source) }
    #expect(error.map { "\($0)" }?.contains("libempty.so has no function cuInit") == true)
  }

  @Test("buffers are reused, and after the first round none is taken from the driver")
  func pool() throws {
    let device = try device()
    let round = {
      let x = Tensor.ones([1000], on: device)
      return try (x + x).sum().item()
    }
    #expect(try round() == 2000)
    let misses = device.memory.missCount
    for _ in 0..<5 { #expect(try round() == 2000) }
    #expect(device.memory.missCount == misses)
  }

  @Test(
    "products without cuBLASLt agree with their oracles",
    arguments: OpCases.kernels.filter {
      $0.name.contains("matmul")
    })
  func ownProducts(_ op: OpCase) throws {
    let device = try device(hasBLAS: false)
    for dtype in op.dtypes { try op.verify(dtype, on: device) }
    // Sizes that the kernel for tensor cores takes.
    for (m, n, k) in [(1, 1, 8), (65, 130, 40), (64, 64, 64), (3, 70, 72)] {
      try OpCases.matmul(m: m, n: n, k: k).verify(.bfloat16, on: device)
    }
  }

  @Test("random numbers, dropout and codes of 4 bits are those of the CPU to the bit")
  func bitEquality() throws {
    let stream = RandomStream(seed: 77, purpose: .dropout, index: 5, offset: 3)
    for gpu in TestDevices.emulatedGPUs {
      for dtype in [DType.float32, .float64, .bfloat16] {
        let values = { (device: Device) in
          let x = Tensor.uniform([1003], low: -2, high: 3, dtype: dtype, stream: stream, on: device)
          return try (
            x.doubles(), x.droppedOut(probability: 0.3, stream: stream).doubles(),
            Tensor.normal([77], dtype: dtype, stream: stream, on: device).doubles()
          )
        }
        #expect(try values(gpu) == values(.cpu))
      }
      for (count, blockSize) in [(64 * 300, 64), (1003, 32), (4096 + 17, 4096)] {
        for isDoubleQuantized in [false, true] {
          let x = Tensor.normal([count], stream: stream)
          let format = QuantizedTensor.Format(
            blockSize: blockSize, isDoubleQuantized: isDoubleQuantized)
          let host = QuantizedTensor(quantizing: x, as: format)
          let ours = QuantizedTensor(quantizing: try x.moved(to: gpu), as: format)
          #expect(try host.codes.bytes() == ours.codes.bytes())
          for dtype in [DType.float32, .bfloat16, .float64] {
            #expect(
              try host.dequantized(dtype: dtype).bytes() == ours.dequantized(dtype: dtype).bytes())
          }
        }
      }
    }
  }

  @Test("every kernel is launched by the table of operations and the conversions beside it")
  func coverage() throws {
    let device = try device(hasBLAS: false)
    for op in OpCases.kernels where op.update == nil {
      for dtype in op.dtypes { _ = op.kernel(op.tensors(dtype, on: device)) }
    }
    for op in OpCases.kernels {
      for dtype in op.dtypes {
        var tensors = op.tensors(dtype, on: device)
        op.update?(&tensors)
      }
    }
    for (from, targets) in [
      (DType.uint8, [DType.float32, .float64, .int32]), (.int32, [.float32, .float64]),
    ] {
      for target in targets {
        let x = Tensor.full([5], 3, dtype: from, on: device).cast(to: target)
        #expect(try x.doubles() == [3, 3, 3, 3, 3])
      }
    }
    let halves = (0...UInt16.max).map { Half(bitPattern: $0) }
    for target in [DType.float32, .float64, .bfloat16] {
      let ours = try Tensor(halves, shape: [halves.count], on: device).cast(to: target).doubles()
      let expected = try Tensor(halves, shape: [halves.count]).cast(to: target).doubles()
      #expect(
        zip(ours, expected).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN }, "\(target.rawValue)")
    }
    let bytes = Tensor((0..<6).map { UInt8($0) }, shape: [2, 3], on: device)
    #expect(try bytes.transposed().doubles() == [0, 3, 1, 4, 2, 5])
    #expect(try bytes.gatheredRows(Tensor([Int32(1)], on: device)).doubles() == [3, 4, 5])
    let quantized = QuantizedTensor(quantizing: Tensor.ones([8, 64], on: device))
    for dtype in [DType.float32, .float64, .bfloat16] {
      let x = Tensor.ones([2, 64], on: device).cast(to: dtype)
      let y = Tensor.matmul(x, packed: .nf4(quantized), transposeWeight: true)
      #expect(try y.doubles().allSatisfy { $0 == 64 })
      // Several in one go, one of them with a low-rank part.
      func ones(_ shape: Shape) -> Tensor { Tensor.ones(shape, on: device).cast(to: dtype) }
      let part = LowRankTerm(ones([2, 3]), ones([8, 3]), scale: 2)
      let together = Tensor.matmul(
        x, packed: [PackedTerm(.nf4(quantized), plus: part), PackedTerm(.narrow(ones([5, 64])))])
      #expect(try together[0].doubles() == Array(repeating: 70, count: 16))
      #expect(try together[1].doubles() == Array(repeating: 64, count: 10))
      // One that widens, joined to the product.
      let wide = Tensor.matmul(
        ones([9, 8]), packed: .nf4(quantized), transposeWeight: false,
        plus: LowRankTerm(ones([9, 8]), ones([8, 64]), scale: 2))
      #expect(try wide.doubles() == Array(repeating: 24, count: 9 * 64))
    }
    for dtype in [DType.float32, .bfloat16] {
      let x = Tensor.ones([64], on: device).cast(to: dtype)
      let ours = QuantizedTensor(quantizing: x)
      for target in [DType.float32, .float64, .bfloat16] {
        #expect(try ours.dequantized(dtype: target).doubles().allSatisfy { $0 == 1 })
      }
    }
    var sums = Tensor.zeros([3, 4], dtype: .bfloat16, on: device)
    sums.accumulateScattered(
      Tensor.ones([2, 4], dtype: .bfloat16, on: device), ids: Tensor([Int32(2), 2], on: device))
    #expect(try sums.sum().item() == 8)
    for k in [8, 64] {
      let x = Tensor.ones([3, k], dtype: .bfloat16, on: device)
      var y = Tensor.zeros([3, 3], on: device)
      y.accumulateMatmul(x, x, transposeB: true)
      #expect(try y.doubles().allSatisfy { $0 == Double(k) })
    }
    try device.synchronize()
    var unused: [String] = []
    while let name = emulator_unused_kernel(Int32(unused.count)) {
      unused.append(String(cString: name))
    }
    #expect(unused == [])
  }

  @Test("ids, positions and targets beyond their tables give NaN and touch nothing else")
  func outOfRange() throws {
    let device = try device()
    let table = Tensor.ones([3, 5], on: device)
    let rows = try table.gatheredRows(Tensor([Int32(1), 3, -1], on: device)).doubles()
    #expect(rows[..<5].allSatisfy { $0 == 1 } && rows[5...].allSatisfy(\.isNaN))
    let angles = Tensor.ones([2, 2], on: device)
    let turned = Tensor.ones([2, 1, 5], on: device).rotated(
      cos: angles, sin: angles, positions: Tensor([Int32(0), 2], on: device))
    let values = try turned.doubles()
    #expect(values[..<5].allSatisfy(\.isFinite) && values[5..<9].allSatisfy(\.isNaN))
  }
}

@Suite("Compiled kernels")
struct CompiledKernelsTests {
  @Test("the text of every kernel file is in the program")
  func embedded() {
    #expect(KernelFile.all.count >= 9)
    #expect(KernelFile.all.allSatisfy { $0.text.contains("#include \"prelude.cuh\"") })
    #expect(KernelFile.prelude.text.contains("__CUDACC_RTC__"))
  }

  @Test("without a compiler and without a portable form a kernel is an error with a hint")
  func noCompiler() throws {
    let kernels = CompiledKernels(nvrtc: nil, capability: 90, cacheFolder: nil)
    let error = #expect(throws: DeviceError.self) { try kernels.image(of: KernelFile.prelude) }
    #expect(error.map { "\($0)" }?.contains("pip install nvidia-cuda-nvrtc") == true)
  }

  @Test(
    "without a compiler the driver is given PTX of the kernels' present text that every driver of CUDA 12 reads",
    arguments: KernelFile.all.map(\.name))
  func portable(_ name: String) throws {
    let file = try #require(KernelFile.all.first { $0.name == name })
    let image = try CompiledKernels(nvrtc: nil, capability: 90, cacheFolder: nil).image(of: file)
    #expect(image.last == 0 && !image.dropLast().contains(0))
    let text = String(decoding: image.dropLast(), as: UTF8.self)
    var digest = SHA256()
    for part in [KernelFile.prelude.text, file.text] { digest.update(data: Array(part.utf8)) }
    let expected = digest.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    #expect(
      text.hasPrefix("// \(expected)\n"), "run Scripts/portable-kernels: a kernel has been changed")
    #expect(text.contains(".version 8.0\n") && text.contains(".target sm_80\n"))
    #expect(text.contains(".visible .entry "))
  }

  @Test("the portable form has every kernel")
  func portableKernels() throws {
    let texts = KernelFile.all.compactMap(\.portableImage).map {
      String(decoding: $0.dropLast(), as: UTF8.self)
    }
    let entries = texts.flatMap { $0.components(separatedBy: ".visible .entry ").dropFirst() }.map {
      String($0.prefix { $0 != "(" })
    }
    var count: Int32 = 0
    _ = emulator_kernels_run(&count)
    #expect(entries.count == Int(count) && Set(entries).count == entries.count)
  }

  @Test(
    "every kernel compiles for sm_80 and sm_90a without spills",
    .enabled(if: CompilerHere.nvrtc != nil, "NVRTC is not installed here"),
    arguments: KernelFile.all.map(\.name), ["sm_80", "sm_90a"])
  func compilation(_ name: String, _ architecture: String) throws {
    let nvrtc = try #require(CompilerHere.nvrtc)
    let file = try #require(KernelFile.all.first { $0.name == name })
    let (image, log) = try file.compile(
      with: nvrtc, architecture: architecture, reportsResources: true)
    #expect(image.starts(with: [0x7F, 0x45, 0x4C, 0x46]))
    let spills = log.split(separator: "\n").filter { $0.contains("bytes spill") }
    #expect(!spills.isEmpty)
    for line in spills {
      #expect(line.contains(" 0 bytes spill stores, 0 bytes spill loads"), "\(name): \(log)")
    }
  }

  @Test(
    "a compiled file is kept, found again without a compiler, and made anew when it is damaged",
    .enabled(if: CompilerHere.nvrtc != nil, "NVRTC is not installed here"))
  func cache() throws {
    let nvrtc = try #require(CompilerHere.nvrtc)
    let folder = "/tmp/" + FileSystem.temporaryName(prefix: "qwen-sft-cubins-")
    defer { try? FileSystem.remove(folder) }
    let file = try #require(KernelFile.all.first { $0.name == "norm.cu" })
    let compiled = CompiledKernels(nvrtc: nvrtc, capability: 80, cacheFolder: folder)
    let image = try compiled.image(of: file)
    let entries = try FileSystem.list(folder)
    #expect(entries.count == 1 && entries[0].name.contains("norm-sm_80-"))
    let alone = CompiledKernels(nvrtc: nil, capability: 80, cacheFolder: folder)
    #expect(try alone.image(of: file) == image)
    // Of another architecture there is none, and the portable form is taken.
    #expect(
      try CompiledKernels(nvrtc: nil, capability: 90, cacheFolder: folder).image(of: file)
        == file.portableImage)
    try AtomicFile.write([1, 2, 3], to: FileSystem.join(folder, entries[0].name))
    #expect(try compiled.image(of: file) == image)
  }
}

/// The compiler of this machine.
private enum CompilerHere {
  static let nvrtc: NVRTC? = CUDALibrary.nvrtc.open().flatMap { try? NVRTC($0) }
}
