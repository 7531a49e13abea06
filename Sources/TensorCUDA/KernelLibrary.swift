// Kernels that are loaded, by name. A file is loaded when the first of its kernels is asked for.

import Synchronization
import Tensor

/// The loaded kernels of a device.
///
/// Safety: modules and functions are the driver's handles, valid as long as the process, and kept behind a lock.
final class KernelLibrary: @unchecked Sendable {
  private struct State {
    var modules: [String: UInt] = [:]
    var functions: [Kernel: Function] = [:]
  }

  /// A loaded kernel, and the dynamic shared memory that it may have.
  private struct Function {
    let address: UInt
    var sharedByteCount = KernelLibrary.freeSharedByteCount
  }

  /// Dynamic shared memory that every kernel may have without being asked.
  private static let freeSharedByteCount = 48 << 10

  private let context: CUDAContext
  private let images: any KernelImages
  private let state = Mutex(State())

  init(_ context: CUDAContext, images: any KernelImages) {
    self.context = context
    self.images = images
  }

  /// The driver's handle of a kernel that is launched with so much dynamic shared memory; nil, and the error kept, where
  /// there is none.
  func function(_ kernel: Kernel, sharedByteCount: Int) -> Driver.Handle? {
    let address = state.withLock { state -> UInt? in
      if let known = state.functions[kernel], known.sharedByteCount >= sharedByteCount {
        return known.address
      }
      do throws(DeviceError) {
        var function =
          if let known = state.functions[kernel] { known } else { try load(kernel, into: &state) }
        if function.sharedByteCount < sharedByteCount {
          // 8: the most dynamic shared memory. Beyond 48 KB it has to be asked for.
          try context.driver.check(
            context.driver.setFunctionAttribute(
              UnsafeMutableRawPointer(bitPattern: function.address), 8, Int32(sharedByteCount)),
            "cuFuncSetAttribute(\(kernel.name), \(sharedByteCount) bytes of shared memory)")
          // 9: the share of the memory on chip that is shared memory, in percent. Left to itself the driver may give less than two blocks
          // need, and one block alone does not hide what it waits for.
          try context.driver.check(
            context.driver.setFunctionAttribute(
              UnsafeMutableRawPointer(bitPattern: function.address), 9, 100),
            "cuFuncSetAttribute(\(kernel.name), most shared memory)")
          function.sharedByteCount = sharedByteCount
        }
        state.functions[kernel] = function
        return function.address
      } catch {
        context.fail(error)
        return nil
      }
    }
    return address.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
  }

  private func load(_ kernel: Kernel, into state: inout State) throws(DeviceError) -> Function {
    let driver = context.driver
    let module = try module("\(kernel.file)", in: &state)
    var function: Driver.Handle?
    try driver.check(
      driver.moduleFunction(&function, UnsafeMutableRawPointer(bitPattern: module), kernel.name),
      "cuModuleGetFunction(\(kernel.name))")
    return Function(address: UInt(bitPattern: function))
  }

  private func module(_ name: String, in state: inout State) throws(DeviceError) -> UInt {
    if let known = state.modules[name] { return known }
    guard let file = KernelFile.named(name) else {
      preconditionFailure("no file of kernels is called \(name)")
    }
    let driver = context.driver
    var module: Driver.Handle?
    func load(_ image: [UInt8]) -> Driver.Status {
      image.withUnsafeBytes { bytes in
        bytes.baseAddress.map { driver.loadModule(&module, $0) } ?? 1
      }
    }
    var status = load(try images.image(of: file))
    // Code of a compiler that is newer than the driver: every driver of CUDA 12 reads the portable form.
    if status != 0, let portable = file.portableImage { status = load(portable) }
    try driver.check(status, "cuModuleLoadData(\(file.name))")
    let address = UInt(bitPattern: module)
    state.modules[name] = address
    return address
  }
}
