// One device with its context and its streams: what every call of the driver needs.

import Synchronization

package import Tensor

/// A device that is open: its primary context, its streams, and the first failure.
///
/// Safety: the handles are never changed after initialization, and the driver's functions may be called from any thread;
/// what changes is behind locks.
package final class CUDAContext: @unchecked Sendable {
  let driver: Driver
  let stream: Driver.Handle?
  /// A second stream, on which memory is taken while the first is recorded.
  private let sideStream: Driver.Handle?
  /// A third stream, on which weights are unpacked.
  let unpackingStream: Driver.Handle?
  /// The name of the device's model.
  package let model: String
  /// 90 for compute capability 9.0.
  package let capability: Int
  /// Bytes of shared memory that a block may ask for.
  let sharedMemoryPerBlock: Int
  /// Multiprocessors.
  let multiprocessorCount: Int
  private let context: Driver.Handle?
  private let memoryPool: Driver.Handle?
  private let failure = Mutex<DeviceError?>(nil)
  private let attempt = Mutex(Attempt.none)
  private let isBroken = Atomic(false)

  /// Opens device `ordinal`.
  package init(_ driver: Driver, ordinal: Int) throws(DeviceError) {
    let device = try CUDAContext.device(driver, ordinal)
    self.driver = driver
    model = try CUDAContext.name(of: device, driver)
    capability =
      try 10 * driver.attribute(.capabilityMajor, of: device)
      + driver.attribute(.capabilityMinor, of: device)
    if let reason = try CUDAContext.shortcoming(of: device, driver) {
      throw .unavailable(device: "cuda:\(ordinal)", reason: reason)
    }
    sharedMemoryPerBlock = try driver.attribute(.sharedMemoryPerBlock, of: device)
    multiprocessorCount = try driver.attribute(.multiprocessorCount, of: device)
    var context: Driver.Handle?
    try driver.check(driver.retainContext(&context, device), "cuDevicePrimaryCtxRetain")
    try driver.check(driver.setContext(context), "cuCtxSetCurrent")
    self.context = context
    stream = try CUDAContext.makeStream(driver)
    sideStream = try CUDAContext.makeStream(driver)
    unpackingStream = try CUDAContext.makeStream(driver)
    var pool: Driver.Handle?
    try driver.check(driver.defaultMemoryPool(&pool, device), "cuDeviceGetDefaultMemPool")
    // 4: keep what is freed, however much it is; our own pool decides what goes.
    var threshold = UInt64.max
    try driver.check(driver.setPoolAttribute(pool, 4, &threshold), "cuMemPoolSetAttribute")
    memoryPool = pool
  }

  /// A stream that does not wait for the default one.
  private static func makeStream(_ driver: Driver) throws(DeviceError) -> Driver.Handle? {
    var stream: Driver.Handle?
    try driver.check(driver.createStream(&stream, 1), "cuStreamCreate")
    return stream
  }

  /// The driver's number of a device; the driver is started.
  static func device(_ driver: Driver, _ ordinal: Int) throws(DeviceError) -> Int32 {
    let status = driver.initialize(0)
    guard status == 0 else {
      throw .unavailable(
        device: "cuda:\(ordinal)",
        reason: "the driver does not start: \(driver.failure(status, "cuInit"))")
    }
    var count: Int32 = 0
    try driver.check(driver.deviceCount(&count), "cuDeviceGetCount")
    guard ordinal < Int(count) else {
      throw .unavailable(
        device: "cuda:\(ordinal)",
        reason: count == 0 ? "the driver finds no GPU" : "there are \(count) GPUs, numbered from 0")
    }
    var device: Int32 = 0
    try driver.check(driver.deviceGet(&device, Int32(ordinal)), "cuDeviceGet")
    return device
  }

  /// The model of a device.
  static func name(of device: Int32, _ driver: Driver) throws(DeviceError) -> String {
    var text = [CChar](repeating: 0, count: 256)
    try driver.check(driver.deviceName(&text, 255, device), "cuDeviceGetName")
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Why a device cannot be used; nil where it can.
  static func shortcoming(of device: Int32, _ driver: Driver) throws(DeviceError) -> String? {
    let model = try name(of: device, driver)
    let major = try driver.attribute(.capabilityMajor, of: device)
    let minor = try driver.attribute(.capabilityMinor, of: device)
    if major < 8 {
      return
        "\(model) has compute capability \(major).\(minor); 8.0 (Ampere) or later is needed"
    }
    let hasPools = try driver.attribute(.memoryPoolsSupported, of: device) != 0
    return hasPools ? nil : "\(model) or its driver has no memory pools"
  }

  /// Makes the context that of the calling thread. Every entry does so: tasks of Swift change threads.
  func makeCurrent() { check(driver.setContext(context), "cuCtxSetCurrent") }

  // MARK: Failures

  /// Whether something failed; what is queued after it is void, and nothing more is queued.
  var hasFailed: Bool { isBroken.load(ordering: .relaxed) }

  /// What fails while work is recorded has not happened to the device: the recording is void and nothing else.
  private enum Attempt {
    case none, recording(DeviceError?)
  }

  /// From here to `endAttempt` errors are kept apart.
  func beginAttempt() { attempt.withLock { $0 = .recording(nil) } }

  /// The first error since `beginAttempt`.
  func endAttempt() -> DeviceError? {
    attempt.withLock { attempt in
      defer { attempt = .none }
      if case .recording(let error) = attempt { return error }
      return nil
    }
  }

  /// Keeps an error unless an earlier one is kept.
  func fail(_ error: DeviceError) {
    let isKeptApart = attempt.withLock { attempt in
      guard case .recording(let earlier) = attempt else { return false }
      attempt = .recording(earlier ?? error)
      return true
    }
    if isKeptApart { return }
    failure.withLock { if $0 == nil { $0 = error } }
    isBroken.store(true, ordering: .relaxed)
  }

  /// Keeps the error of a status, if it is one. True for success.
  @discardableResult
  func check(_ status: Driver.Status, _ call: @autoclosure () -> String) -> Bool {
    if status == 0 { return true }
    fail(driver.failure(status, call()))
    return false
  }

  /// Throws what has failed.
  func throwFailure() throws(DeviceError) {
    if hasFailed, let error = failure.withLock({ $0 }) { throw error }
  }

  // MARK: Waiting and memory

  /// The status of an allocation for which there is no memory.
  private static let outOfMemory: Driver.Status = 2

  /// Waits for the stream; `last` names the kernel that was queued last, which may be the one that failed.
  func synchronize(last: String) {
    check(
      driver.synchronizeStream(stream),
      "cuStreamSynchronize (last kernel queued: \(last))")
  }

  /// Bytes that are free; nil, and the error kept, where the driver does not say.
  var freeByteCount: Int? {
    guard !hasFailed else { return nil }
    makeCurrent()
    var (free, total) = (0, 0)
    return check(driver.memoryInformation(&free, &total), "cuMemGetInfo") ? free : nil
  }

  /// Fresh memory, nil where there is none left, and nil with the error kept where something else is wrong.
  func allocate(_ byteCount: Int) -> UInt? {
    makeCurrent()
    var address: UInt64 = 0
    var status = driver.allocate(&address, byteCount, stream)
    if status == Self.outOfMemory {
      // What is freed is kept by the driver's pool, in pieces that may be too small.
      guard check(driver.synchronizeStream(stream), "cuStreamSynchronize (for more memory)"),
        check(driver.trimPool(memoryPool, 0), "cuMemPoolTrimTo")
      else { return nil }
      status = driver.allocate(&address, byteCount, stream)
      if status == Self.outOfMemory { return nil }
    }
    return check(status, "cuMemAllocAsync(\(byteCount) bytes)") ? UInt(address) : nil
  }

  /// Gives back what the driver's pool keeps; work that uses it must be done.
  func trim() { check(driver.trimPool(memoryPool, 0), "cuMemPoolTrimTo") }

  /// Fresh memory taken beside the stream, which may be recorded meanwhile; nil where there is none left, and nil with the error
  /// kept where something else is wrong.
  func allocateBesideStream(_ byteCount: Int) -> UInt? {
    makeCurrent()
    var address: UInt64 = 0
    let status = driver.allocate(&address, byteCount, sideStream)
    if status == Self.outOfMemory { return nil }
    guard check(status, "cuMemAllocAsync(\(byteCount) bytes)"),
      check(driver.synchronizeStream(sideStream), "cuStreamSynchronize (for memory)")
    else { return nil }
    return UInt(address)
  }

  /// Gives memory back once the stream has got there.
  func free(_ address: UInt) {
    makeCurrent()
    check(driver.free(UInt64(address), stream), "cuMemFreeAsync")
  }
}
