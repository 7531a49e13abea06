// What a download tells whoever watches it.

/// A step of a download. Events come from several threads, one at a time.
package enum HubEvent: Sendable, Hashable {
  /// What there is to do: files wanted, bytes in them, and bytes that are here already.
  case planned(fileCount: Int, byteCount: Int, presentByteCount: Int)
  /// Where it stands: bytes here, of all bytes, and files done.
  case progressed(byteCount: Int, of: Int, filesDone: Int)
  /// A try failed; the next one comes in so many seconds.
  case retrying(subject: String, problem: String, seconds: Double)
  /// Another program is fetching the same file.
  case waiting(file: String)
  /// The content of a file cannot be held against its name.
  case unverified(file: String)
}
