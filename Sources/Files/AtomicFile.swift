// Files that appear whole or not at all: written under a temporary name in the same folder, brought to the
// device, renamed.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file being written, which appears at its path with ``commit()`` and not before.
///
/// Without a commit nothing is left behind: the temporary file goes when the object does. The temporary name
/// begins with `.partial-` and never contains the destination's name. A pipe, a device and an open file such as /dev/stdout are never
/// replaced: they are written to as the bytes come.
public final class AtomicFile {
  /// Where the file will appear.
  public let path: String
  /// The bytes written so far.
  public private(set) var byteCount = 0
  /// Nil for what is written to directly.
  private let temporaryPath: String?
  private let descriptor: Descriptor
  private var buffer: [UInt8] = []
  private var isOpen = true
  private static let bufferSize = 1 << 18
  /// What temporary names begin with.
  static let temporaryPrefix = ".partial-"

  /// Begins a file for `path`, replacing what is there on commit.
  public init(path: String) throws(FileError) {
    try checkPath(path)
    self.path = path
    if let number = Descriptor.number(named: path) {
      // Shared with whoever else writes to it, so that nobody overwrites the other.
      descriptor = try Descriptor(duplicating: number, shownPath: path)
      temporaryPath = nil
      return
    }
    switch FileSystem.kind(of: path) {
    case .folder: throw .system(operation: "create", path: path, code: EISDIR)
    case .other:
      descriptor = try Descriptor(opening: path, flags: O_WRONLY, waits: true)
      temporaryPath = nil
      return
    case .file, nil: break
    }
    var attempt = 0
    while true {
      let temporary = FileSystem.join(
        FileSystem.parent(of: path), FileSystem.temporaryName(prefix: Self.temporaryPrefix))
      do throws(FileError) {
        descriptor = try Descriptor(
          opening: temporary, flags: O_WRONLY | O_CREAT | O_EXCL, operation: "create",
          shownPath: path)
        temporaryPath = temporary
        break
      } catch {
        attempt += 1
        guard attempt < 8, case .system(_, _, EEXIST) = error else { throw error }
      }
    }
  }

  deinit {
    if isOpen, let temporaryPath { unlink(temporaryPath) }
  }

  /// Appends `bytes`.
  public func write(_ bytes: [UInt8]) throws(FileError) {
    try write(bytes.span.bytes)
  }

  /// Appends the UTF-8 of `text`.
  public func write(_ text: String) throws(FileError) {
    try write(Array(text.utf8))
  }

  /// Appends `bytes`.
  public func write(_ bytes: RawSpan) throws(FileError) {
    try bytes.withUnsafeBytes { (bytes) throws(FileError) in try write(contentsOf: bytes) }
  }

  /// Appends `bytes`: small pieces through a buffer, large ones directly.
  package func write(contentsOf bytes: UnsafeRawBufferPointer) throws(FileError) {
    precondition(isOpen, "AtomicFile: write after commit of \(path)")
    if bytes.count + buffer.count > Self.bufferSize { try flush() }
    if bytes.count >= Self.bufferSize {
      try descriptor.write(bytes)
    } else {
      buffer.append(contentsOf: bytes)
    }
    byteCount += bytes.count
  }

  /// Makes the file appear at its path: everything is on the device when this returns.
  public func commit() throws(FileError) {
    precondition(isOpen, "AtomicFile: second commit of \(path)")
    try flush()
    guard let temporaryPath else {
      try descriptor.finish()
      isOpen = false
      return
    }
    try descriptor.synchronize()
    try descriptor.finish()
    guard rename(temporaryPath, path) == 0 else { throw .last("rename to", path) }
    isOpen = false
    try FileSystem.synchronizeFolder(FileSystem.parent(of: path))
  }

  private func flush() throws(FileError) {
    let bytes = buffer
    try bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try descriptor.write(bytes)
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Removes the temporary files in `folder` that nobody has written to for an hour: those of processes that were killed.
  /// What cannot be removed stays.
  public static func removeAbandoned(in folder: String) {
    for entry in (try? FileSystem.list(folder)) ?? []
    where entry.kind == .file && entry.name.utf8.starts(with: temporaryPrefix.utf8) {
      let path = FileSystem.join(folder, entry.name)
      if let changed = FileSystem.modificationSeconds(of: path),
        changed < FileSystem.currentSeconds() - 3600
      {
        unlink(path)
      }
    }
  }

  /// Writes a whole file.
  public static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    let file = try AtomicFile(path: path)
    try file.write(bytes)
    try file.commit()
  }

  /// Writes a whole file of text.
  public static func write(_ text: String, to path: String) throws(FileError) {
    try write(Array(text.utf8), to: path)
  }
}
