// A small HTTP server on loopback, on plain sockets, that says exactly what it is told to: nonsense too.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

import Hub
import Synchronization

/// A server on a port of its own, one request a connection.
package final class LoopbackServer: Sendable {
  /// A request.
  package struct Request: Sendable {
    /// "GET" or "HEAD".
    package let method: String
    /// The path with its query, as it was sent.
    package let path: String
    /// Header fields by their names in small letters.
    package let headers: [String: String]
    /// How many requests of this method and path came before.
    package let earlierCount: Int

    /// The first byte that is asked for, 0 without a range.
    package var rangeStart: Int {
      guard let range = headers["range"], let start = range.split(separator: "=").last?.dropLast()
      else { return 0 }
      return Int(start) ?? 0
    }
  }

  /// A part of an answer.
  package enum Piece: Sendable {
    /// Bytes as they are.
    case bytes([UInt8])
    /// Silence, in seconds, or until the client goes.
    case pause(Double)
  }

  /// The address, without a slash at its end.
  package var address: String { "http://127.0.0.1:\(port)" }
  /// The port.
  package let port: Int
  private let socketNumber: Int32
  private let log = Mutex<[Request]>([])
  private let isOpen = Atomic(true)
  private let answer: @Sendable (Request) -> [Piece]

  /// A server that answers with `answer`; nil where there is no port.
  package init?(_ answer: @escaping @Sendable (Request) -> [Piece]) {
    self.answer = answer
    #if canImport(Glibc)
      let kind = Int32(SOCK_STREAM.rawValue)
    #else
      let kind = SOCK_STREAM
    #endif
    socketNumber = socket(AF_INET, kind, 0)
    guard socketNumber >= 0 else { return nil }
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let (number, length) = (socketNumber, size)
    let isBound = withUnsafeMutablePointer(to: &place) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(number, pointer, length) == 0 && listen(number, 64) == 0
          && getsockname(number, pointer, &size) == 0
      }
    }
    port = Int(UInt16(bigEndian: place.sin_port))
    guard isBound else {
      close(socketNumber)
      return nil
    }
    guard Threads.detach({ [weak self] in Self.accept(number) { self } }) else { return nil }
  }

  deinit { stop() }

  /// Takes no more requests.
  package func stop() {
    if isOpen.exchange(false, ordering: .relaxed) {
      shutdown(socketNumber, Int32(SHUT_RDWR))
      close(socketNumber)
    }
  }

  /// The requests so far.
  package var requests: [Request] { log.withLock { $0 } }

  private static func accept(_ number: Int32, _ server: () -> LoopbackServer?) {
    while true {
      let connection = systemAccept(number)
      guard connection >= 0 else { return }
      guard let server = server() else {
        close(connection)
        return
      }
      _ = Threads.detach {
        server.serve(connection)
        close(connection)
      }
    }
  }

  private func serve(_ connection: Int32) {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 8192)
    while !bytes.suffix(8196).contains([13, 10, 13, 10]) {
      let count = recv(connection, &buffer, buffer.count, 0)
      guard count > 0, bytes.count < 1 << 20 else { return }
      bytes += buffer[..<count]
    }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
    let words = (lines.first ?? "").split(separator: " ")
    guard words.count == 3 else { return }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = String(
        line[line.index(after: colon)...].drop { $0 == " " })
    }
    let request = log.withLock { log in
      let (method, path) = (String(words[0]), String(words[1]))
      let request = Request(
        method: method, path: path, headers: headers,
        earlierCount: log.count { $0.method == method && $0.path == path })
      log.append(request)
      return request
    }
    for piece in answer(request) {
      switch piece {
      case .bytes(let bytes): guard send(bytes, to: connection) else { return }
      case .pause(let seconds):
        var poll = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
        _ = systemPoll(&poll, Int32(seconds * 1000))
      }
    }
    // The client gets the end in order, even where it has not read all yet.
    shutdown(connection, Int32(SHUT_WR))
    var poll = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
    _ = systemPoll(&poll, 1000)
  }

  private func send(_ bytes: [UInt8], to connection: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemSend(connection, $0.baseAddress, $0.count) }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}

// The methods above hide functions of the C library.
private func systemAccept(_ number: Int32) -> Int32 { accept(number, nil, nil) }

private func systemPoll(_ request: inout pollfd, _ milliseconds: Int32) -> Int32 {
  poll(&request, 1, milliseconds)
}

private func systemSend(_ number: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  #if canImport(Glibc)
    send(number, bytes, count, Int32(MSG_NOSIGNAL))
  #else
    send(number, bytes, count, 0)
  #endif
}

extension Array where Element == LoopbackServer.Piece {
  /// An answer with a status, header fields and a body, whose length is announced unless told.
  package static func answer(
    _ status: Int = 200, _ headers: [String: String] = [:], body: [UInt8] = [],
    announcesLength: Bool = true
  ) -> Self {
    var text = "HTTP/1.1 \(status) Status\r\nConnection: close\r\n"
    if announcesLength, headers["Content-Length"] == nil {
      text += "Content-Length: \(body.count)\r\n"
    }
    for (name, value) in headers.sorted(by: { $0.key < $1.key }) { text += "\(name): \(value)\r\n" }
    return [.bytes(Array<UInt8>((text + "\r\n").utf8) + body)]
  }
}
