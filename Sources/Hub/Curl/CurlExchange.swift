// What libcurl hands over while a request runs: lines of the head, then bytes of the body.

/// Whoever wants an answer.
protocol BodyReceiver: AnyObject {
  /// Takes the head; whether the body is wanted too.
  func begin(_ head: HTTPHead) throws(Setback) -> Bool
  /// Takes the next bytes of the body.
  func take(_ bytes: [UInt8]) throws(Setback)
}

/// The state of one request while it runs.
final class CurlExchange {
  /// Why the receiver wants no more.
  private(set) var failure: Setback?
  /// Whether the head is whole.
  private(set) var hasHead = false
  /// Whether the rest of an unwanted body is not worth reading.
  private(set) var hasEnough = false
  /// Bytes of the body so far.
  private(set) var byteCount = 0
  private let receiver: any BodyReceiver
  private var head = HTTPHead()
  private var headByteCount = 0
  private var isWanted = false
  /// The longest head taken, in bytes.
  private static let maximumHeadByteCount = 1 << 18
  /// The longest unwanted body read, so that its connection can be used again, in bytes.
  private static let maximumUnwantedByteCount = 1 << 16

  init(_ receiver: any BodyReceiver) { self.receiver = receiver }

  /// A line of the head; false ends the transfer.
  private func take(line: UnsafeRawBufferPointer) -> Bool {
    guard !hasHead else { return true }  // What follows the body is of no interest.
    headByteCount += line.count
    guard headByteCount <= Self.maximumHeadByteCount else {
      failure = .transient(problem: "the head of the answer is too long", retryAfterSeconds: nil)
      return false
    }
    var bytes = line[...]
    while let last = bytes.last, last == 0x0A || last == 0x0D || last == 0x20 { bytes.removeLast() }
    let text = String(decoding: bytes, as: UTF8.self)
    if text.hasPrefix("HTTP/") {
      head = HTTPHead(statusLine: text)
    } else if !text.isEmpty {
      head.add(line: text)
    } else if head.status >= 200 {
      hasHead = true
      do throws(Setback) { isWanted = try receiver.begin(head) } catch {
        failure = error
        return false
      }
    }
    return true
  }

  /// Bytes of the body; false ends the transfer.
  private func take(bytes: UnsafeRawBufferPointer) -> Bool {
    byteCount += bytes.count
    guard isWanted else {
      hasEnough = byteCount > Self.maximumUnwantedByteCount
      return !hasEnough
    }
    do throws(Setback) { try receiver.take(Array(bytes)) } catch {
      failure = error
      return false
    }
    return true
  }

  // Safety: the pointer is that of the exchange, which outlives the transfer; the bytes are valid during the call.

  /// Takes a line of a head for libcurl.
  static let takeHeader:
    @convention(c) (UnsafeMutablePointer<CChar>?, Int, Int, UnsafeMutableRawPointer?) -> Int = {
      bytes, size, count, context in
      guard let context else { return 0 }
      let exchange = Unmanaged<CurlExchange>.fromOpaque(context).takeUnretainedValue()
      let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
      return exchange.take(line: line) ? size * count : 0
    }

  /// Takes bytes of a body for libcurl.
  static let takeBody:
    @convention(c) (UnsafeMutablePointer<CChar>?, Int, Int, UnsafeMutableRawPointer?) -> Int = {
      bytes, size, count, context in
      guard let context else { return 0 }
      let exchange = Unmanaged<CurlExchange>.fromOpaque(context).takeUnretainedValue()
      let body = UnsafeRawBufferPointer(start: bytes, count: size * count)
      return exchange.take(bytes: body) ? size * count : 0
    }
}
