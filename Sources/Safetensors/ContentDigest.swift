// A checksum of the data of a file, fast enough to be taken at every start. It finds damage, not intent: it is not
// cryptographic.

package import Files
import Tensor

/// A 64-bit checksum of bytes that come in pieces.
///
/// Each piece is digested by itself, in parts that several threads can take, and the digests are chained.
package struct ContentDigest {
  private var value: UInt64 = 0x9E37_79B9_7F4A_7C15
  private static let prime: UInt64 = 0xD6E8_FEB8_6659_FD93
  private static let partSize = 1 << 20
  /// Bytes of a file that are digested at a time.
  private static let pieceSize = 1 << 26

  /// The digest as 8 bytes.
  var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } }

  /// Adds a piece.
  mutating func add(_ bytes: UnsafeRawBufferPointer) {
    let count = (bytes.count + Self.partSize - 1) / Self.partSize
    let parts = [UInt64](unsafeUninitializedCapacity: count) { parts, initialized in
      let base = parts.baseAddress
      parallelFor(count, grain: 4) { range in
        for part in range {
          let start = part * Self.partSize
          let end = min(start + Self.partSize, bytes.count)
          base?[part] = Self.digest(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        }
      }
      initialized = count
    }
    value = Self.mixed(value ^ UInt64(bytes.count))
    for part in parts { value = Self.mixed(value ^ part) }
  }

  /// Four independent lanes, so that multiplications overlap.
  private static func digest(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var (a, b, c, d) = (prime, prime &* 3, prime &* 5, prime &* 7)
    var offset = 0
    while offset + 32 <= bytes.count {
      a = mixed(a ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      b = mixed(b ^ bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
      c = mixed(c ^ bytes.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self))
      d = mixed(d ^ bytes.loadUnaligned(fromByteOffset: offset + 24, as: UInt64.self))
      offset += 32
    }
    for byte in bytes[offset...] { a = mixed(a ^ UInt64(byte)) }
    return mixed(a ^ mixed(b ^ mixed(c ^ d)))
  }

  @inline(__always)
  private static func mixed(_ value: UInt64) -> UInt64 {
    let product = value &* prime
    return product ^ (product >> 32)
  }
}

extension ContentDigest {
  /// The digest of a whole file, as 16 hexadecimal digits. Each byte is read once, in order.
  package static func text(ofFile path: String) throws(FileError) -> String {
    let file = try MappedFile(path: path)
    file.advise(.sequential)
    var digest = ContentDigest()
    for start in stride(from: 0, to: max(file.byteCount, 1), by: pieceSize) {
      let range = start..<min(start + pieceSize, file.byteCount)
      file.withBytes { bytes in
        bytes.withUnsafeBytes { digest.add(UnsafeRawBufferPointer(rebasing: $0[range])) }
      }
      // Pages of the file are memory of this process for as long as they are mapped.
      file.advise(.dontNeed, range)
    }
    return digest.bytes.map { byte in
      let digits = String(byte, radix: 16)
      return digits.utf8.count == 1 ? "0" + digits : digits
    }.joined()
  }
}

extension SafetensorsFile {
  /// The digest of all tensors but `last`, in the order of their data, as ``SafetensorsWriter/contentDigest`` gives it.
  package func contentDigest(without last: String) throws(SafetensorsError) -> [UInt8] {
    var digest = ContentDigest()
    for key in keys where !(key.utf8.elementsEqual(last.utf8)) {
      let bytes = try unsafeBytes(of: key)
      digest.add(bytes)
    }
    return withExtendedLifetime(mappedFile) { digest.bytes }
  }
}
