// Files that arrive in pieces over several runs: what is there is kept, and the file appears under its own name
// only when whoever writes it says that it is whole.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file that grows at its end, under a temporary name that stays from run to run.
public final class PartialFile {
  /// The temporary path.
  public let path: String
  /// The bytes that are there.
  public private(set) var byteCount: Int
  private let descriptor: Descriptor
  private static let pieceSize = 1 << 20

  /// Opens what is at `path`, or begins it. A link is not followed, and anything but a regular file is an error.
  public init(path: String) throws(FileError) {
    self.path = path
    descriptor = try Descriptor(opening: path, flags: O_RDWR | O_CREAT | O_NOFOLLOW)
    let status = try descriptor.status()
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile(path: path) }
    byteCount = Int(status.st_size)
    try descriptor.seek(to: byteCount)
  }

  /// Adds `bytes` at the end.
  public func append(_ bytes: [UInt8]) throws(FileError) {
    do throws(FileError) {
      try bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
        try descriptor.write(bytes)
      }
    } catch {
      // A part may have been written: the next run counts what is there.
      byteCount = (try? Int(descriptor.status().st_size)) ?? byteCount
      throw error
    }
    byteCount += bytes.count
  }

  /// Drops everything.
  public func clear() throws(FileError) {
    try descriptor.truncate(to: 0)
    try descriptor.seek(to: 0)
    byteCount = 0
  }

  /// Calls `body` with the bytes from the first on, in pieces of at most 1 MiB.
  public func forEachPiece<Failure: Error>(
    _ body: ([UInt8]) throws(Failure) -> Void, failure: (FileError) -> Failure
  ) throws(Failure) {
    do throws(FileError) { try descriptor.seek(to: 0) } catch { throw failure(error) }
    while true {
      var piece = [UInt8](repeating: 0, count: Self.pieceSize)
      let count: Int
      do throws(FileError) { count = try descriptor.read(into: &piece) } catch {
        throw failure(error)
      }
      if count == 0 { break }
      piece.removeLast(piece.count - count)
      try body(piece)
    }
    do throws(FileError) { try descriptor.seek(to: byteCount) } catch { throw failure(error) }
  }

  /// Gives the file its own name, replacing what is there: everything is on the device when this returns.
  public func publish(as destination: String) throws(FileError) {
    try descriptor.synchronize()
    try FileSystem.rename(path, to: destination)
  }
}
