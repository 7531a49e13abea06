// What the hub says of a file in the head of an answer.

/// Header fields of the hub about a file.
struct FileMetadata {
  /// The commit it is from.
  var commit: String?
  /// What its content is called.
  var content: ContentID?
  /// Its size in bytes.
  var byteCount: Int?
  /// Whether the hub gave a name that no file can have.
  var hasBadName = false

  /// Nothing.
  init() {}

  /// What `head` says. That of a redirection describes the file in the fields for links only.
  init(_ head: HTTPHead) {
    commit = head["X-Repo-Commit"]
    if let etag = head["X-Linked-Etag"] ?? (head.isRedirect && commit == nil ? nil : head["ETag"]) {
      content = ContentID(etag: etag)
      hasBadName = content == nil
    }
    let isWhole = !head.isRedirect && head["Content-Encoding"] == nil
    let size = head["X-Linked-Size"] ?? (isWhole ? head["Content-Length"] : nil)
    byteCount = size.flatMap { byteNumber($0) }
  }
}
