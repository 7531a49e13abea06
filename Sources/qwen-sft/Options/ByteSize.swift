// Sizes on the command line.

import ArgumentParser

/// A number of bytes: "5GB", "800MB", "200KB" or "4096".
struct ByteSize: ExpressibleByArgument, CustomStringConvertible {
  /// The number.
  let bytes: Int

  /// So many bytes.
  init(bytes: Int) { self.bytes = bytes }

  /// Units are decimal, as in Hugging Face's libraries, or binary with an i.
  init?(argument: String) {
    let text = Array(argument.utf8)
    let digits = text.prefix { (0x30...0x39).contains($0) || $0 == 0x2E }
    guard let number = Double(String(decoding: digits, as: UTF8.self)), number > 0 else {
      return nil
    }
    let units: [String: Double] = [
      "": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 1024, "MIB": 0x1p20,
      "GIB": 0x1p30, "TIB": 0x1p40,
    ]
    let unit = String(decoding: text.dropFirst(digits.count), as: UTF8.self).uppercased()
    guard let factor = units[unit], number * factor >= 1, number * factor < 0x1p60 else {
      return nil
    }
    bytes = Int(number * factor)
  }

  var defaultValueDescription: String { description }

  var description: String {
    for (factor, unit) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")]
    where bytes % factor == 0 && bytes > 0 {
      return "\(bytes / factor)\(unit)"
    }
    return "\(bytes)"
  }
}
