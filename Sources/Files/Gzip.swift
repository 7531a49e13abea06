// Gzip data that is in memory.

/// Unpacking of gzip data as a whole.
package enum Gzip {
  /// The plain bytes of gzip data.
  ///
  /// - Throws: ``FileError/damaged(path:line:problem:)`` where they are damaged or more than `maximumByteCount`.
  package static func unpacked(_ bytes: [UInt8], maximumByteCount: Int) throws(FileError)
    -> [UInt8]
  {
    var (result, part) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
    do throws(Inflater.Failure) {
      let inflater = try Inflater()
      var read = 0
      // What has been read may be more than what fitted into a part.
      while inflater.isInMember || read < bytes.count {
        let done = try inflater.inflate(bytes, read..<bytes.count, into: &part)
        read += done.read
        result += part[..<done.written]
        guard result.count <= maximumByteCount else {
          throw Inflater.Failure(problem: "the gzip data is more than \(maximumByteCount) bytes")
        }
        if done == (0, 0) { break }
      }
      if inflater.isInMember { throw Inflater.Failure(problem: "the gzip data ends early") }
    } catch { throw .damaged(path: "gzip data", line: 0, problem: error.problem) }
    return result
  }
}
