// What can go wrong on a device; surfaces at the throwing sync points only.

/// A failure of a compute device.
public enum DeviceError: Error, Sendable, CustomStringConvertible {
  /// The device cannot be used here.
  case unavailable(device: String, reason: String)
  /// A call or kernel failed; later work on the device is void.
  case failed(call: String, detail: String)

  public var description: String {
    switch self {
    case .unavailable(let device, let reason): "device \(device) is not available: \(reason)"
    case .failed(let call, let detail): "\(call) failed: \(detail)"
    }
  }
}
