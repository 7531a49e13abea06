// Timing: repeats after a warm-up, and the two limits of the machine. The least time counts, since what disturbs a
// measurement only ever adds to it.

import Tensor
import TensorTestSupport

/// Times a piece of work on a device.
enum Stopwatch {
  /// The least and the middle time of one call, from at least three calls and `seconds` seconds.
  static func time(seconds: Double, on device: Device, _ body: () -> Void) throws(DeviceError) -> (
    least: Double, median: Double
  ) {
    let clock = ContinuousClock()
    body()
    try device.synchronize()
    var times: [Double] = []
    var total = 0.0
    while times.count < 3 || total < seconds {
      let start = clock.now
      body()
      try device.synchronize()
      let duration = (clock.now - start).components
      let elapsed = Double(duration.seconds) + Double(duration.attoseconds) * 1e-18
      times.append(elapsed)
      total += elapsed
    }
    times.sort()
    return (times[0], times[times.count / 2])
  }
}

/// An operation to be timed.
struct Benchmark {
  /// What is computed and at which sizes.
  let name: String
  /// Element types that the operation takes.
  let dtypes: [DType]
  /// Floating-point operations; 0 when memory is the limit.
  var flops = 0.0
  /// Elements of the type that must be read and written.
  var elementTraffic = 0.0
  /// Bytes of a weight that is read once, where these are what limits the operation.
  var weightByteCount: Double?
  /// Makes the inputs on a device, and gives the work that is timed. A weight is made there as well, and only when it is wanted.
  let prepare: (DType, Device) -> () -> Void

  /// The operation on inputs made once.
  func time(_ dtype: DType, seconds: Double, on device: Device) throws(DeviceError) -> (
    least: Double, median: Double
  ) {
    try Stopwatch.time(seconds: seconds, on: device, prepare(dtype, device))
  }
}

extension Benchmark {
  /// An operation of the common table.
  init(_ op: OpCase) {
    self.init(
      name: op.name, dtypes: op.dtypes, flops: op.flops, elementTraffic: op.elementTraffic
    ) { dtype, device in
      var inputs = op.tensors(dtype, on: device)
      if let update = op.update { return { update(&inputs) } }
      return { withExtendedLifetime(op.kernel(inputs)) {} }
    }
  }
}

/// What this machine can do, measured now.
struct Limits: Encodable {
  /// The best plain product of the element type.
  let gigaflopsPerSecond: Double
  /// A loop that reads half a gigabyte.
  let readGigabytesPerSecond: Double
  /// Copies of 2ⁿ bytes (read and written together), by n: what stays in a cache is copied faster.
  private(set) var copyGigabytesPerSecond: [Int: Double] = [:]

  private static let smallest = 16
  private static let largest = 29
  /// Elements of the sides of the products that are tried.
  private static let sides = (cpu: [1024, 2048, 3072], other: [4096, 8192])

  /// The rate of a copy that moves as many bytes, between memory that is in use already.
  func gigabytesPerSecond(moving bytes: Double) -> Double {
    var power = Limits.smallest
    while power < Limits.largest, Double(1 << power) < bytes { power += 1 }
    return copyGigabytesPerSecond[power] ?? 0
  }

  static func measure(seconds: Double, dtype: DType, on device: Device) throws(DeviceError)
    -> Limits
  {
    let isHost = device.name == Device.cpu.name
    var product: [Double] = []
    for side in isHost ? sides.cpu : sides.other {
      let op = OpCases.matmul(m: side, n: side, k: side)
      product.append(
        try op.flops
          / Benchmark(op).time(dtype, seconds: seconds, on: device).least)
    }
    let large = Tensor.ones([1 << 27], on: device)
    let read = try Stopwatch.time(seconds: seconds, on: device) {
      withExtendedLifetime(large.sum()) {}
    }.least
    var limits = Limits(
      gigaflopsPerSecond: (product.max() ?? 0) * 1e-9,
      readGigabytesPerSecond: Double(large.byteCount) / read * 1e-9)
    for power in smallest...largest {
      limits.copyGigabytesPerSecond[power] = try copyRate(
        count: (1 << power) / 8, seconds: seconds / 4, on: device)
    }
    return limits
  }

  /// Copies between two tensors that exist already, so that no page is touched for the first time.
  private static func copyRate(count: Int, seconds: Double, on device: Device)
    throws(DeviceError) -> Double
  {
    let (source, target) = (Tensor.ones([count], on: device), Tensor.zeros([count], on: device))
    let least = try Stopwatch.time(seconds: seconds, on: device) {
      launch(source, target) { target.backend.cast(source.operand, into: target.destination) }
    }.least
    return 2 * Double(source.byteCount) / least * 1e-9
  }
}
