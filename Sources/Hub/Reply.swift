// Answers of a hub, and whoever takes them.

/// An answer after all redirections.
struct Reply {
  /// Status and header fields.
  let head: HTTPHead
  /// Who gave it.
  let address: WebAddress
  /// What the hub said of the file on the way.
  let metadata: FileMetadata
}

/// Whoever wants the answer after all redirections.
protocol ReplyReceiver: AnyObject {
  /// Takes the answer; whether its body is wanted too.
  func begin(_ reply: Reply) throws(Setback) -> Bool
  /// Takes the next bytes of the body.
  func take(_ bytes: [UInt8]) throws(Setback)
}

/// Keeps an answer, and its body where the status is 200.
final class ReplyKeeper: ReplyReceiver {
  /// The answer.
  private(set) var reply: Reply?
  /// The body.
  private(set) var bytes: [UInt8] = []
  private let subject: String
  private let maximum: Int

  /// Keeps at most `maximum` bytes; errors name `subject`.
  init(subject: String, maximum: Int = 0) { (self.subject, self.maximum) = (subject, maximum) }

  func begin(_ reply: Reply) throws(Setback) -> Bool {
    self.reply = reply
    bytes = []
    return reply.head.status == 200 && maximum > 0
  }

  func take(_ bytes: [UInt8]) throws(Setback) {
    guard self.bytes.count + bytes.count <= maximum else {
      throw .final(
        .response(
          subject: subject,
          problem: "expected an answer of at most \(byteText(maximum)), found more"))
    }
    self.bytes += bytes
  }
}
