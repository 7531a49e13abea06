// One content, from the hub to a file beside its final place: gathered over as many tries as it takes, each going on
// where the last one ended, and held against its digest before anybody sees it.

import Files

/// The fetching of one file.
final class BlobDownload: ReplyReceiver {
  private let context: HubContext
  private let transport: Transport
  private let api: HubAPI
  private let file: HubFile
  private let content: ContentID
  private let partial: PartialFile
  private let progress: TransferProgress
  private var hasher: ContentHasher
  /// The size, once somebody has said it.
  private var byteCount: Int?
  /// Whether ranges are not asked for, because the server got one wrong.
  private var avoidsRanges = false
  /// The answer of this try that holds no bytes of the file; nil where it holds some.
  private var refusal: Reply?
  /// The bytes when noticeable progress was last made: not those of a file that began anew.
  private var furthestByteCount = 0

  /// The fetching of `file`, whose content is called `content`, into `partial`.
  init(
    _ file: HubFile, _ content: ContentID, into partial: PartialFile, api: HubAPI,
    progress: TransferProgress
  ) {
    (context, transport, self.api) = (api.context, api.transport, api)
    (self.file, self.content, self.partial) = (file, content, partial)
    self.progress = progress
    hasher = ContentHasher(content)
    byteCount = file.byteCount
  }

  /// Fetches what is missing of the file at `address`; afterwards `partial` holds its content.
  func run(from address: WebAddress) throws(HubError) {
    var attempts = Attempts(context)
    var wasResumed = try takeUp()
    var mismatches = 0
    while true {
      do throws(Setback) {
        if byteCount == nil || partial.byteCount < byteCount ?? 0 { try fetch(address) }
      } catch {
        // One byte at a time is no progress worth starting the count anew.
        if partial.byteCount - furthestByteCount >= context.settings.progressByteCount {
          furthestByteCount = partial.byteCount
          attempts.noteProgress()
        }
        try attempts.wait(after: error, subject: file.path)
        continue
      }
      let found = try hasher.found(in: partial)
      if found == content { return }
      // Bytes of an earlier run may have been bad; bytes of one run are bad once more at most.
      try clear()
      guard wasResumed || mismatches == 0 else {
        throw .content(file: file.path, expected: content.summary, found: found.summary)
      }
      mismatches += wasResumed ? 0 : 1
      wasResumed = false
      avoidsRanges = true
    }
  }

  /// Takes up what an earlier run has left; whether it left anything.
  private func takeUp() throws(HubError) -> Bool {
    let isUseful = content.isVerifiable && partial.byteCount <= byteCount ?? .max
    guard isUseful, partial.byteCount > 0 else {
      do throws(FileError) { try partial.clear() } catch { throw .file(error) }
      return false
    }
    try partial.forEachPiece { (piece) throws(HubError) in
      guard !context.isStopped else { throw .stopped }
      hasher.update(piece)
    } failure: {
      .file($0)
    }
    furthestByteCount = partial.byteCount
    progress.add(partial.byteCount)
    return true
  }

  private func clear() throws(HubError) {
    progress.add(-partial.byteCount)
    hasher.reset()
    do throws(FileError) { try partial.clear() } catch { throw .file(error) }
  }

  private func restart() throws(Setback) {
    do throws(HubError) { try clear() } catch { throw .final(error) }
  }

  /// One try.
  private func fetch(_ address: WebAddress) throws(Setback) {
    // Without a digest nobody would notice that two halves do not belong together.
    if partial.byteCount > 0, avoidsRanges || !content.isVerifiable { try restart() }
    var headers: [(name: String, value: String)] = []
    if partial.byteCount > 0 { headers.append(("Range", "bytes=\(partial.byteCount)-")) }
    refusal = nil
    try transport.send(to: address, headers: headers, subject: file.path, receiver: self)
    if let refusal { throw api.refusal(refusal, revision: nil, file: file) }
    if let byteCount, partial.byteCount < byteCount {
      throw .transient(
        problem: "the connection ended after \(partial.byteCount) of \(byteCount) bytes",
        retryAfterSeconds: nil)
    }
  }

  func begin(_ reply: Reply) throws(Setback) -> Bool {
    let head = reply.head
    switch head.status {
    case 200:
      // The server does not know ranges, or the file is to come anew.
      if partial.byteCount > 0 { try restart() }
    case 206:
      try check(range: head)
    case 416:
      try restart()
      avoidsRanges = true
      throw .transient(
        problem: "\(reply.address.host): the server has no bytes from there on",
        retryAfterSeconds: nil)
    default:
      refusal = reply
      return false
    }
    if let found = reply.metadata.content, found.isVerifiable, content.isVerifiable,
      found != content
    {
      throw .final(.changed(file: file.path, expected: content.summary, found: found.summary))
    }
    if head["Content-Encoding"] == nil, let text = head["Content-Length"] {
      let (length, present) = (byteNumber(text), partial.byteCount)
      if byteCount == nil { byteCount = length.map { $0 + present } }
      guard let byteCount, length == byteCount - present else {
        throw .transient(
          problem: "expected \(byteCount.map { "\($0 - present)" } ?? "some") bytes, the server "
            + "announces \(length.map { "\($0)" } ?? "no number")", retryAfterSeconds: nil)
      }
    }
    return true
  }

  private func check(range head: HTTPHead) throws(Setback) {
    guard let range = head["Content-Range"].flatMap({ ContentRange($0) }),
      partial.byteCount > 0, range.bytes.lowerBound == partial.byteCount,
      head["Content-Encoding"] == nil,
      range.total == nil || byteCount == nil
        || range.total == byteCount
    else {
      avoidsRanges = true
      throw .transient(
        problem: "asked for the bytes from \(partial.byteCount) on, the server sends others",
        retryAfterSeconds: nil)
    }
    byteCount = byteCount ?? range.total
  }

  func take(_ bytes: [UInt8]) throws(Setback) {
    if let byteCount, bytes.count > byteCount - partial.byteCount {
      try restart()
      throw .final(
        .content(
          file: file.path, expected: "\(byteCount) bytes", found: "more"))
    }
    do throws(FileError) { try partial.append(bytes) } catch { throw .final(.file(error)) }
    hasher.update(bytes)
    progress.add(bytes.count)
  }
}
