// Sizes of memory and of files as people write them.

import ArgumentParser

/// A number of bytes: 4GB, 512MB, 1.5GiB, 4000000000. Units of powers of 1000 end in B, those of 1024 in iB.
package struct MemorySize: Sendable, Hashable, ExpressibleByArgument, CustomStringConvertible {
  /// The number of bytes.
  package let byteCount: Int

  /// The size of its text, nil where it is none or nothing.
  package init?(argument: String) {
    let text = argument.lowercased().filter { $0 != " " }
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let factors: [String: Double] = [
      "": 1, "b": 1, "kb": 1e3, "k": 1e3, "mb": 1e6, "m": 1e6, "gb": 1e9, "g": 1e9, "tb": 1e12,
      "t": 1e12, "kib": 0x1p10, "mib": 0x1p20, "gib": 0x1p30, "tib": 0x1p40,
    ]
    guard let number = Double(digits), let factor = factors[String(text.dropFirst(digits.count))],
      number > 0, number * factor >= 1, number * factor < 0x1p62
    else { return nil }
    byteCount = Int(number * factor)
  }

  /// `byteCount` bytes.
  package init(byteCount: Int) { self.byteCount = byteCount }

  /// As Hugging Face's libraries write it: 50GB, 512MB, or the number.
  package var description: String {
    for (factor, unit) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")]
    where byteCount > 0 && byteCount % factor == 0 {
      return "\(byteCount / factor)\(unit)"
    }
    return "\(byteCount)"
  }

  package var defaultValueDescription: String { description }
}

/// `byteCount` with the unit that suits it: "1.23 GB", "45 MB", "0.1 MB", "12 KB".
package func memoryText(_ byteCount: Int) -> String {
  let bytes = Double(byteCount)
  if bytes.magnitude >= 999.5e6 { return fixed(bytes / 1e9, digits: 2) + " GB" }
  if bytes.magnitude < 99.5e3 { return fixed(bytes / 1e3, digits: 0) + " KB" }
  return fixed(bytes / 1e6, digits: bytes.magnitude < 9.95e6 ? 1 : 0) + " MB"
}
