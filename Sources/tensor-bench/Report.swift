// The results as a table and as JSON (one object; the keys are the property names).

import FoundationEssentials
import Tensor
import TensorTestSupport

/// All that was measured in one run.
struct Report: Encodable {
  let limits: Limits
  let threads: Int
  /// Kernel set of the BLAS library.
  let blas: String
  var lines: [Line] = []

  /// One operation.
  struct Line: Encodable {
    let model, name, dtype: String
    let milliseconds, medianMilliseconds: Double
    /// Arithmetic per second, for operations that are limited by it.
    let gigaflopsPerSecond: Double?
    /// Bytes that must move per second, for the others.
    let gigabytesPerSecond: Double?
    /// Share of the limit that applies.
    let fractionOfLimit: Double

    init(
      model: String, benchmark: Benchmark, dtype: DType, seconds: Double, limits: Limits,
      on device: Device
    ) throws(DeviceError) {
      let (least, median) = try benchmark.time(dtype, seconds: seconds, on: device)
      self.model = model
      name = benchmark.name
      self.dtype = dtype.rawValue
      milliseconds = least * 1e3
      medianMilliseconds = median * 1e3
      if let bytes = benchmark.weightByteCount {
        gigaflopsPerSecond = nil
        gigabytesPerSecond = bytes / least * 1e-9
        fractionOfLimit = bytes / least * 1e-9 / limits.readGigabytesPerSecond
        return
      }
      let bytes = benchmark.elementTraffic * Double(dtype.byteWidth)
      // A product with a vector moves more than it computes.
      let copyRate = limits.gigabytesPerSecond(moving: bytes)
      let memorySeconds = bytes / (copyRate * 1e9)
      if benchmark.flops / (limits.gigaflopsPerSecond * 1e9) >= memorySeconds {
        gigaflopsPerSecond = benchmark.flops / least * 1e-9
        gigabytesPerSecond = nil
        fractionOfLimit = benchmark.flops / least * 1e-9 / limits.gigaflopsPerSecond
      } else {
        gigaflopsPerSecond = nil
        gigabytesPerSecond = bytes / least * 1e-9
        fractionOfLimit = bytes / least * 1e-9 / copyRate
      }
    }

    /// The line of the table.
    var text: String {
      let rate =
        gigaflopsPerSecond.map { decimal($0, 10) + " GFLOP/s" }
        ?? decimal(gigabytesPerSecond ?? 0, 10) + " GB/s   "
      return padded(model, 5) + padded(name, 62) + decimal(milliseconds, 10) + " ms" + rate
        + decimal(100 * fractionOfLimit, 8) + " %"
    }
  }

  /// What stands above the table.
  var heading: String {
    """
    \(threads) threads, BLAS kernels \(blas)
    limits: products\(decimal(limits.gigaflopsPerSecond, 7)) GFLOP/s, reads\(decimal(limits.readGigabytesPerSecond, 7)) GB/s, copies\(copies) GB/s
    \(padded("model", 5))\(padded(" operation", 62))\(String(repeating: " ", count: 6))least         rate            of limit
    """
  }

  private var copies: String {
    limits.copyGigabytesPerSecond.sorted { $0.key < $1.key }.filter { $0.key % 3 == 2 }.map {
      decimal($0.value, 6)
        + ($0.key < 20 ? " (\(1 << ($0.key - 10)) KB)" : " (\(1 << ($0.key - 20)) MB)")
    }.joined(separator: ",")
  }

  /// The report as one JSON object.
  var json: String {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
  }
}

/// Two decimal places, right-aligned.
private func decimal(_ value: Double, _ width: Int) -> String {
  guard value.isFinite, value.magnitude < 1e12 else { return " \(value)" }
  let hundredths = Int((value * 100).rounded())
  let fraction = String(hundredths % 100)
  let text =
    "\(hundredths / 100)." + String(repeating: "0", count: 2 - fraction.count) + fraction
  return String(repeating: " ", count: max(1, width - text.count)) + text
}

private func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(1, width - text.count))
}
