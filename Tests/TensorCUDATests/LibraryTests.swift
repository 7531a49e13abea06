// Which of NVIDIA's libraries are taken, and what becomes of a device and of the inventory where one does not work.

import CUDAEmulator
import Files
import Glibc
import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("NVIDIA's libraries", .serialized)
struct LibraryTests {
  @Test("libraries that are newer than the driver are not looked for")
  func names() {
    #expect(
      CUDALibrary.nvrtc.fileNames(upToMajor: 13)
        == ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"])
    #expect(CUDALibrary.nvrtc.fileNames(upToMajor: 12) == ["libnvrtc.so.12", "libnvrtc.so"])
    #expect(
      CUDALibrary.blasLt.fileNames(upToMajor: 12) == ["libcublasLt.so.12", "libcublasLt.so"])
    #expect(CUDALibrary.blasLt.fileNames(upToMajor: 11) == ["libcublasLt.so"])
    #expect(CUDALibrary.driver.fileNames(upToMajor: 12) == ["libcuda.so.1"])
  }

  @Test("a library without a version in its name is taken by the version that it gives")
  func versions() {
    // The stand-in's cuBLASLt is 13.1.
    for (major, fits) in [(14, true), (13, true), (12, false), (11, false)] {
      #expect(CUDALibrary.blasLt.fits(TestDevices.emulator, upToMajor: major) == fits)
    }
    let empty = SymbolSource(name: "libempty.so") { _ in nil }
    #expect(!CUDALibrary.blasLt.fits(empty, upToMajor: 13))
    #expect(!CUDALibrary.nvrtc.fits(empty, upToMajor: 13))
    let old: @convention(c) () -> Int = { 111_103 }
    let library = SymbolSource(name: "libcublasLt.so") { _ in unsafeBitCast(old, to: UInt.self) }
    #expect(!CUDALibrary.blasLt.fits(library, upToMajor: 13))
  }

  @Test(
    "a compiler that is too new is passed over, under whatever name",
    .enabled(if: CUDALibrary.nvrtc.open() != nil, "NVRTC is not installed here"))
  func realCompiler() throws {
    let source = try #require(CUDALibrary.nvrtc.open())
    let version = try NVRTC(source).version
    let major = try #require(Int(version.prefix { $0 != "." }))
    #expect(CUDALibrary.nvrtc.fits(source, upToMajor: major))
    #expect(!CUDALibrary.nvrtc.fits(source, upToMajor: major - 1))
    let name = source.name
    let older = SymbolSource(opening: [name]) {
      CUDALibrary.nvrtc.fits($0, upToMajor: major - 1)
    }
    #expect(older == nil)
    #expect(SymbolSource(opening: ["/nowhere/libnvrtc.so", name])?.name == name)
  }

  @Test(
    "packages are found beside the python of PATH, and beside what its environment was made from")
  func pythons() throws {
    let folder =
      try #require(FileSystem.canonicalPath("/tmp"))
      + "/" + FileSystem.temporaryName(prefix: "pythons")
    defer { try? FileSystem.remove(folder) }
    for part in [
      "base/bin", "base/lib/python3.12/site-packages/nvidia/cublas", "environment/bin",
      "environment/lib/python3.12/site-packages/nvidia/cu13", "other",
    ] {
      try FileSystem.makeFolder("\(folder)/\(part)")
    }
    try AtomicFile.write(Array("#!/bin/sh\n".utf8), to: "\(folder)/base/bin/python3.12")
    #expect(symlink("../../base/bin/python3.12", "\(folder)/environment/bin/python3") == 0)
    let roots = CUDALibrary.pythonRoots(
      path: "\(folder)/other::/nowhere:\(folder)/environment/bin/")
    #expect(roots == ["\(folder)/environment", "\(folder)/base"])
    #expect(
      CUDALibrary.wheelFolders(in: roots + roots + ["/nowhere"]) == [
        "\(folder)/environment/lib/python3.12/site-packages/nvidia/cu13/lib",
        "\(folder)/base/lib/python3.12/site-packages/nvidia/cublas/lib",
      ])
    #expect(CUDALibrary.pythonRoots(path: "").isEmpty)
  }

  @Test("devices of tests are opened by names, of which others are refused")
  func deviceNames() throws {
    for name in ["gpu", "", "cuda:", "cuda:-1", "cuda-fast", "cuda-plain:x", "cpu:0"] {
      let error = #expect(throws: DeviceError.self) { try TestDevices.named(name) }
      #expect(error.map { "\($0)" }?.contains("expected cpu") == true, "\(name)")
    }
    #expect(try TestDevices.named("emulated-plain", leastSaving: .max).count == 4)
  }

  @Test("what to install depends on the driver")
  func hints() {
    #expect(CUDALibrary.nvrtc.hint(driverMajor: 12).contains("nvidia-cuda-nvrtc-cu12"))
    #expect(CUDALibrary.blasLt.hint(driverMajor: 12).contains("nvidia-cublas-cu12"))
    for major in [nil, 13] {
      #expect(CUDALibrary.nvrtc.hint(driverMajor: major).contains("pip install nvidia-cuda-nvrtc;"))
      #expect(CUDALibrary.blasLt.hint(driverMajor: major).contains("pip install nvidia-cublas;"))
    }
  }

  @Test("libraries that lack a function are as those that are not there, with a remark each")
  func brokenLibraries() {
    let broken = CUDALibraries(driverMajor: 12) { kind in
      SymbolSource(name: "\(kind).so") { _ in nil }
    }
    #expect(broken.nvrtc == nil && broken.blas == nil && broken.remarks.count == 2)
    #expect(broken.remarks[0].contains("nvrtc.so has no function"))
    #expect(broken.remarks[1].contains("blasLt.so has no function cublasLtCreate"))
    let missing = CUDALibraries(driverMajor: 12) { _ in nil }
    #expect(missing.remarks.count == 2 && missing.remarks[1].contains("nvidia-cublas-cu12"))
  }

  @Test("cuBLASLt that does not start leaves the products to our own kernels, and says so")
  func failingStart() throws {
    emulator_fail("cublasLtCreate", 0, 1)
    let backend = try TestDevices.emulatedGPU(0)
    emulator_fail("cublasLtCreate", -1, 0)
    #expect(backend.remarks.count == 1 && backend.remarks[0].contains("cublasLtCreate"))
    let device = Device(backend: backend, preferredComputeDType: .bfloat16)
    let op = OpCases.matmul(m: 5, n: 7, k: 9)
    for dtype in op.dtypes { try op.verify(dtype, on: device) }
    #expect(try TestDevices.emulatedGPU(0).remarks.isEmpty)
  }

  private func inventory() -> CUDAInventory {
    CUDAInventory(driver: TestDevices.emulator) { major in
      #expect(major == 13)
      return CUDALibraries(driverMajor: major) { $0 == .blasLt ? TestDevices.emulator : nil }
    }
  }

  @Test("a GPU that cannot be used is the inventory's problem, in the words of opening it")
  func unusableGPU() throws {
    for (attribute, value, words) in [(75, 7, "compute capability 7.0"), (115, 0, "memory pools")] {
      emulator_attribute(Int32(attribute), Int32(value))
      defer { emulator_attribute(Int32(attribute), -1) }
      let inventory = inventory()
      let problem = try #require(inventory.problem)
      #expect(problem.contains(words))
      #expect(inventory.gpus.count == 4 && inventory.gpus[0].shortcoming == problem)
      let error = #expect(throws: DeviceError.self) { try TestDevices.emulatedGPU(0) }
      #expect(error.map { "\($0)" }?.hasSuffix(problem) == true)
    }
    let usable = inventory()
    #expect(usable.gpus.allSatisfy { $0.shortcoming == nil } && usable.driverVersion == "13.0")
    // The driver compiles what the program carries.
    #expect(usable.problem == nil && usable.nvrtc == nil)
    #expect(usable.remarks.count == 1 && usable.remarks[0].contains("without NVRTC"))
    #expect(usable.blasLt?.hasPrefix("130100") == true)
  }

  @Test("without a driver that is the problem")
  func noDriver() {
    let inventory = CUDAInventory(driver: nil) { major in
      #expect(major == nil)
      return CUDALibraries(driverMajor: major) { _ in nil }
    }
    #expect(inventory.problem?.contains("there is no libcuda.so.1") == true)
    #expect(inventory.gpus.isEmpty && inventory.remarks.isEmpty)
  }
}
