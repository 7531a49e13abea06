// The owner of one buffer. A tensor holds exactly one reference: to its storage.

/// Owns a buffer of a backend, or borrows the bytes of another owner (a mapped file).
///
/// Safety: bytes are written only by the operation that creates the storage, before anyone else can see it, or by
/// a mutating `Tensor` method that has just established unique ownership. Sharing across threads is read-only.
package final class Storage: @unchecked Sendable {
  /// Whose memory it is.
  package let backend: any Backend
  /// Where the bytes are.
  package let buffer: Buffer
  private let owner: (any Sendable & AnyObject)?

  /// Takes a fresh buffer from the backend's pool.
  package init(byteCount: Int, backend: any Backend) {
    self.backend = backend
    buffer = backend.allocate(byteCount: byteCount)
    owner = nil
  }

  /// Wraps bytes that `owner` keeps alive; they are never written and never released to the pool.
  package init(borrowing buffer: Buffer, owner: any Sendable & AnyObject, backend: any Backend) {
    self.backend = backend
    self.buffer = buffer
    self.owner = owner
  }

  /// Whether the bytes may be written by a unique holder.
  package var isWritable: Bool { owner == nil }

  deinit {
    if owner == nil { backend.release(buffer) }
  }
}
