// Reads a whole small file. No mapping and no streaming: a tokenizer file is read once, front to back.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Reading of whole files.
enum FileBytes {
  /// No tokenizer file comes near this size; a greater one is not read.
  static let maximumByteCount = 1 << 30

  /// All bytes of a file, or nil if there is no such file.
  static func read(_ path: String) throws(TokenizerError) -> [UInt8]? {
    guard let stream = fopen(path, "rb") else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw .unreadable(file: path, reason: String(cString: strerror(errno)))
    }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = fread(&chunk, 1, chunk.count, stream)
      if count == chunk.count {
        bytes.append(contentsOf: chunk)
      } else {
        bytes.append(contentsOf: chunk[..<count])
        if ferror(stream) != 0 {
          throw .unreadable(file: path, reason: String(cString: strerror(errno)))
        }
        return bytes
      }
      if bytes.count > maximumByteCount {
        throw .unreadable(file: path, reason: "it is larger than \(maximumByteCount) bytes")
      }
    }
  }
}
