// A GPU as a backend: kernels compiled at run time, matrix products by cuBLASLt, one stream and one for weights. What it asks
// of the machine is in CUDAContext and CUDALibrary; the operations are in the CUDA+….swift files, one for each protocol of
// Backend.swift.

import Synchronization

package import Tensor

/// Kernels on an NVIDIA GPU. Work is queued and runs in order; a failure is kept and thrown by what waits.
package final class CUDABackend: Backend {
  /// "cuda:0".
  package let name: String
  /// The device.
  package let context: CUDAContext
  let kernels: KernelLibrary
  let memorySource: any MemorySource
  let pool: BufferPool
  let products: MatrixProductPlans?
  /// What is missing and makes the device slower, a line each.
  package let remarks: [String]
  let attentionPlans: AttentionPlans
  let staging: StagingRing
  let dynamicMaps = DynamicMapTables()
  let recordedMemory = RecordedMemory()
  let unpackedWeights: UnpackedWeights
  /// Whether weights are unpacked beside the stream.
  private let unpacksAhead: Bool
  /// Elements that joining a low-rank part to a product has to save.
  let leastSaving: Int
  private let writes = Atomic(0)
  private let activeRecording = Mutex<ActiveRecording?>(nil)
  private let lastKernel = Mutex<Kernel?>(nil)

  /// The device `ordinal` of a driver.
  ///
  /// Without `blas`, or where it does not start, products go to kernels of our own. With `usesExactSizes` buffers are as long as asked for, so that
  /// a stand-in notices what reads beyond them. Unless `unpacksAhead` weights are unpacked in order with all else, to compare. `leastSaving`
  /// says from where on low-rank parts are joined to products, with `Int.max` nowhere.
  package init(
    driver: Driver, ordinal: Int, blas: BLASLt?, usesExactSizes: Bool = false,
    unpacksAhead: Bool = true, leastSaving: Int = CUDABackend.leastSaving,
    images: (CUDAContext) -> any KernelImages
  ) throws(DeviceError) {
    name = "cuda:\(ordinal)"
    let context = try CUDAContext(driver, ordinal: ordinal)
    self.context = context
    kernels = KernelLibrary(context, images: images(context))
    memorySource = DeviceMemory(context: context, usesExactSizes: usesExactSizes)
    let pool = BufferPool(source: memorySource)
    self.pool = pool
    var remarks: [String] = []
    var products: MatrixProductPlans?
    if let blas {
      do throws(DeviceError) {
        products = try MatrixProductPlans(blas, context: context, pool: pool)
      } catch {
        remarks.append("\(CUDALibraries.withoutProducts): \(CUDALibraries.reason(error))")
      }
    }
    self.products = products
    self.remarks = remarks
    attentionPlans = AttentionPlans()
    staging = StagingRing(context)
    unpackedWeights = UnpackedWeights(context)
    self.unpacksAhead = unpacksAhead
    self.leastSaving = leastSaving
  }

  deinit {
    // Tensors hold their backend, so what is left is our own.
    products?.releaseWorkspace()
    unpackedWeights.releaseMemory(to: self)
    for buffer in attentionPlans.removeAll() { pool.release(buffer) }
    if let tables = dynamicMaps.remove() { pool.release(tables) }
    pool.trim()
  }

  /// What is being recorded; nil when kernels run.
  var recording: ActiveRecording? { activeRecording.withLock { $0 } }

  /// Sets what is being recorded.
  func setRecording(_ recording: ActiveRecording?) { activeRecording.withLock { $0 = recording } }

  /// How often the main stream was given what may be the codes or scales of a weight in 4 bits: copies from the host and kernels that
  /// quantize. Whatever else comes to write such bytes has to count as well.
  var writeCount: Int { writes.load(ordering: .relaxed) }

  /// Counts such a write.
  func countWrite() { writes.add(1, ordering: .relaxed) }

  /// Where weights are unpacked; nil where that is done in order with all else.
  var weightUnpacking: UnpackedWeights? {
    unpacksAhead ? recording?.unpackedWeights ?? unpackedWeights : nil
  }

  /// Queues a kernel, on the main stream unless another is named. Arguments are what the kernel's parameters are, in their order
  /// and with their widths.
  package func launch<each A: BitwiseCopyable>(
    _ kernel: Kernel, grid: (x: Int, y: Int), block: (x: Int, y: Int) = (256, 1),
    sharedByteCount: Int = 0, on stream: Driver.Handle? = nil, _ arguments: repeat each A
  ) {
    guard grid.x > 0, grid.y > 0, !context.hasFailed else { return }
    context.makeCurrent()
    guard let function = kernels.function(kernel, sharedByteCount: sharedByteCount) else { return }
    note(kernel)
    let status = withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 16) { memory in
      withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 32) { pointers in
        var (index, offset) = (0, 0)
        func add<T: BitwiseCopyable>(_ value: T) {
          precondition(
            index < 32 && offset + MemoryLayout<T>.size <= 1024, "launch: too many arguments")
          let slot = memory.baseAddress.map { $0 + offset }
          slot?.storeBytes(of: value, as: T.self)
          pointers.initializeElement(at: index, to: slot)
          index += 1
          offset += (MemoryLayout<T>.size + 15) & ~15
        }
        repeat add(each arguments)
        return context.driver.launch(
          function, UInt32(grid.x), UInt32(grid.y), 1, UInt32(block.x), UInt32(block.y), 1,
          UInt32(sharedByteCount), stream ?? context.stream, pointers.baseAddress, nil)
      }
    }
    context.check(status, "cuLaunchKernel(\(kernel.name))")
  }

  /// Notes what is queued, for the message of a failure.
  func note(_ kernel: Kernel) { lastKernel.withLock { $0 = kernel } }

  /// The kernel that was queued last, "none" before the first.
  package var lastKernelName: String { lastKernel.withLock { $0 }?.name ?? "none" }

  /// Blocks of 256 threads for `count` elements of which a thread has `perThread`.
  func blocks(_ count: Int, perThread: Int = 1) -> (x: Int, y: Int) {
    (x: (count + 256 * perThread - 1) / (256 * perThread), y: 1)
  }

  /// Elements of a type in sixteen bytes: what a thread of an elementwise kernel has.
  func lanes(_ dtype: DType) -> Int { 16 / dtype.byteWidth }

  /// Threads of a block for a row of `columns`: each has sixteen bytes of it where `most` are enough, else as many rounds as all others.
  func threads(_ columns: Int, _ dtype: DType, most: Int) -> Int {
    let pieces = max(1, (columns + lanes(dtype) - 1) / lanes(dtype))
    let rounds = (pieces + most - 1) / most
    return ((pieces + rounds - 1) / rounds + 31) & ~31
  }

  /// Temporary memory, given back when it goes out of scope; the stream orders its reuse.
  func scratch(_ dtype: DType, _ count: Int) -> DeviceScratch {
    DeviceScratch(backend: self, dtype: dtype, count: count)
  }

  /// Traps unless the kernel is there for a type of floating-point numbers.
  func requireFloat(_ dtype: DType, _ operation: StaticString) {
    precondition(dtype.isFloatingPoint, "\(operation): no kernel for \(dtype.rawValue)")
  }
}

extension Operand {
  /// The address as kernels take it.
  var pointer: UInt64 { UInt64(address) }
}

extension Destination {
  /// The address as kernels take it.
  var pointer: UInt64 { UInt64(address) }
}

/// Temporary memory of a kernel.
struct DeviceScratch: ~Copyable {
  private let backend: CUDABackend
  private let buffer: Buffer
  private let dtype: DType
  private let count: Int

  init(backend: CUDABackend, dtype: DType, count: Int) {
    self.backend = backend
    self.dtype = dtype
    self.count = count
    buffer = backend.allocate(byteCount: count * dtype.byteWidth)
  }

  /// The memory, for kernels.
  var destination: Destination { Destination(address: buffer.address, dtype: dtype, count: count) }

  deinit { backend.release(buffer) }
}

/// The memory of a GPU.
private struct DeviceMemory: MemorySource {
  let context: CUDAContext
  let usesExactSizes: Bool

  func sizeClass(_ byteCount: Int) -> Int {
    usesExactSizes ? (max(byteCount, 1) + 15) & ~15 : BufferPool.sizeClass(byteCount)
  }
  func take(_ byteCount: Int) -> UInt? { context.hasFailed ? nil : context.allocate(byteCount) }
  func give(_ address: UInt, byteCount: Int) { context.free(address) }
}
