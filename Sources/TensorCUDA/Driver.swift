// The functions of CUDA's driver that the device uses. Names with a version are those that drivers 12 and 13 have.

package import Tensor

/// CUDA's driver API as a table of functions.
package struct Driver: Sendable {
  /// An opaque handle of the driver's: a context, a stream, a module, a function.
  package typealias Handle = UnsafeMutableRawPointer
  typealias Status = Int32

  /// The library.
  package let source: SymbolSource

  let initialize: @convention(c) @Sendable (UInt32) -> Status
  let driverVersion: @convention(c) @Sendable (UnsafeMutablePointer<Int32>) -> Status
  let errorString:
    @convention(c) @Sendable (Status, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status
  let deviceCount: @convention(c) @Sendable (UnsafeMutablePointer<Int32>) -> Status
  let deviceGet: @convention(c) @Sendable (UnsafeMutablePointer<Int32>, Int32) -> Status
  let deviceName: @convention(c) @Sendable (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
  let deviceAttribute:
    @convention(c) @Sendable (UnsafeMutablePointer<Int32>, Int32, Int32) -> Status
  let deviceMemory: @convention(c) @Sendable (UnsafeMutablePointer<Int>, Int32) -> Status
  let memoryInformation:
    @convention(c) @Sendable (UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Status
  let retainContext: @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, Int32) -> Status
  let setContext: @convention(c) @Sendable (Handle?) -> Status
  let defaultMemoryPool: @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, Int32) -> Status
  let setPoolAttribute: @convention(c) @Sendable (Handle?, Int32, UnsafeMutableRawPointer) -> Status
  let trimPool: @convention(c) @Sendable (Handle?, Int) -> Status
  let loadModule:
    @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, UnsafeRawPointer) -> Status
  let moduleFunction:
    @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, Handle?, UnsafePointer<CChar>) ->
      Status
  let setFunctionAttribute: @convention(c) @Sendable (Handle?, Int32, Int32) -> Status
  let launch:
    @convention(c) @Sendable (
      Handle?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle?,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> Status
  let allocate: @convention(c) @Sendable (UnsafeMutablePointer<UInt64>, Int, Handle?) -> Status
  let free: @convention(c) @Sendable (UInt64, Handle?) -> Status
  let copyIn: @convention(c) @Sendable (UInt64, UnsafeRawPointer, Int, Handle?) -> Status
  let copyOut: @convention(c) @Sendable (UnsafeMutableRawPointer, UInt64, Int, Handle?) -> Status
  let copy: @convention(c) @Sendable (UInt64, UInt64, Int, Handle?) -> Status
  let allocateHost: @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, Int, UInt32) -> Status
  let freeHost: @convention(c) @Sendable (Handle?) -> Status
  let createEvent: @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, UInt32) -> Status
  let destroyEvent: @convention(c) @Sendable (Handle?) -> Status
  let recordEvent: @convention(c) @Sendable (Handle?, Handle?) -> Status
  let synchronizeEvent: @convention(c) @Sendable (Handle?) -> Status
  let waitForEvent: @convention(c) @Sendable (Handle?, Handle?, UInt32) -> Status
  let beginCapture: @convention(c) @Sendable (Handle?, Int32) -> Status
  let endCapture: @convention(c) @Sendable (Handle?, UnsafeMutablePointer<Handle?>) -> Status
  let instantiateGraph:
    @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, Handle?, UInt64) -> Status
  let uploadGraph: @convention(c) @Sendable (Handle?, Handle?) -> Status
  let launchGraph: @convention(c) @Sendable (Handle?, Handle?) -> Status
  let destroyGraph: @convention(c) @Sendable (Handle?) -> Status
  let destroyExecutableGraph: @convention(c) @Sendable (Handle?) -> Status
  let createStream: @convention(c) @Sendable (UnsafeMutablePointer<Handle?>, UInt32) -> Status
  let synchronizeStream: @convention(c) @Sendable (Handle?) -> Status

  /// Looks all functions up.
  package init(_ source: SymbolSource) throws(DeviceError) {
    self.source = source
    initialize = try source.function("cuInit")
    driverVersion = try source.function("cuDriverGetVersion")
    errorString = try source.function("cuGetErrorString")
    deviceCount = try source.function("cuDeviceGetCount")
    deviceGet = try source.function("cuDeviceGet")
    deviceName = try source.function("cuDeviceGetName")
    deviceAttribute = try source.function("cuDeviceGetAttribute")
    deviceMemory = try source.function("cuDeviceTotalMem_v2")
    memoryInformation = try source.function("cuMemGetInfo_v2")
    retainContext = try source.function("cuDevicePrimaryCtxRetain")
    setContext = try source.function("cuCtxSetCurrent")
    defaultMemoryPool = try source.function("cuDeviceGetDefaultMemPool")
    setPoolAttribute = try source.function("cuMemPoolSetAttribute")
    trimPool = try source.function("cuMemPoolTrimTo")
    loadModule = try source.function("cuModuleLoadData")
    moduleFunction = try source.function("cuModuleGetFunction")
    setFunctionAttribute = try source.function("cuFuncSetAttribute")
    launch = try source.function("cuLaunchKernel")
    allocate = try source.function("cuMemAllocAsync")
    free = try source.function("cuMemFreeAsync")
    copyIn = try source.function("cuMemcpyHtoDAsync_v2")
    copyOut = try source.function("cuMemcpyDtoHAsync_v2")
    copy = try source.function("cuMemcpyDtoDAsync_v2")
    allocateHost = try source.function("cuMemHostAlloc")
    freeHost = try source.function("cuMemFreeHost")
    createEvent = try source.function("cuEventCreate")
    destroyEvent = try source.function("cuEventDestroy_v2")
    recordEvent = try source.function("cuEventRecord")
    synchronizeEvent = try source.function("cuEventSynchronize")
    waitForEvent = try source.function("cuStreamWaitEvent")
    beginCapture = try source.function("cuStreamBeginCapture_v2")
    endCapture = try source.function("cuStreamEndCapture")
    instantiateGraph = try source.function("cuGraphInstantiateWithFlags")
    uploadGraph = try source.function("cuGraphUpload")
    launchGraph = try source.function("cuGraphLaunch")
    destroyGraph = try source.function("cuGraphDestroy")
    destroyExecutableGraph = try source.function("cuGraphExecDestroy")
    createStream = try source.function("cuStreamCreate")
    synchronizeStream = try source.function("cuStreamSynchronize")
  }

  /// The newest CUDA that the driver knows, 12080 for 12.8. It needs no device.
  func version() throws(DeviceError) -> Int {
    var version: Int32 = 0
    try check(driverVersion(&version), "cuDriverGetVersion")
    return Int(version)
  }

  /// Throws what `status` says unless it is success; `call` names the function, and the kernel where there is one.
  func check(_ status: Status, _ call: @autoclosure () -> String) throws(DeviceError) {
    if status != 0 { throw failure(status, call()) }
  }

  /// The error of a status that is not success.
  func failure(_ status: Status, _ call: String) -> DeviceError {
    var text: UnsafePointer<CChar>?
    let isKnown = errorString(status, &text) == 0
    let words = isKnown ? text.map { String(cString: $0) } ?? "unknown error" : "unknown error"
    return .failed(call: call, detail: "\(words) (CUDA error \(status))")
  }

  /// Numbers of device attributes.
  enum Attribute: Int32 {
    case multiprocessorCount = 16, capabilityMajor = 75, capabilityMinor = 76
    case sharedMemoryPerBlock = 97, memoryPoolsSupported = 115
  }

  /// The value of an attribute of a device.
  func attribute(_ attribute: Attribute, of device: Int32) throws(DeviceError) -> Int {
    var value: Int32 = 0
    try check(
      deviceAttribute(&value, attribute.rawValue, device), "cuDeviceGetAttribute(\(attribute))")
    return Int(value)
  }
}
