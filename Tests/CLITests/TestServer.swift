// A server of its own for a test, and a client that says exactly what the test wants said.

import Foundation
import OrderedJSON
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// `qwen-sft serve` with the demo model on a port of the system's choice.
final class TestServer {
  /// What a server has answered.
  struct Answer {
    /// The status; 0 for a connection that was closed without one.
    let status: Int
    /// Header fields with small letters.
    let headers: [String: String]
    /// The body, chunks put together.
    let body: String

    /// The body as JSON, null where it is none.
    var json: JSON { (try? JSON.parse(body)) ?? .null }
    /// The JSON of each server-sent event.
    var events: [JSON] {
      body.components(separatedBy: "\n\n").compactMap { event in
        event.hasPrefix("data: ") ? try? JSON.parse(String(event.dropFirst(6))) : nil
      }
    }
  }

  /// The port.
  let port: UInt16
  /// The running program.
  let process: Process

  init(_ program: Program, _ arguments: String = "") throws {
    let output = program.folder.url("serve.out")
    let errors = program.folder.url("serve.err")
    for file in [output, errors] { try Data().write(to: file) }
    process = program.process(
      ["serve", "--port", "0"] + arguments.split(separator: " ").map(String.init))
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    for _ in 0..<1200 {
      let text = try String(contentsOf: output, encoding: .utf8)
      if text.hasSuffix("\n"), let port = UInt16(text.dropLast().split(separator: ":").last ?? "") {
        self.port = port
        return
      }
      if !process.isRunning { break }
      usleep(50_000)
    }
    process.terminate()
    throw CocoaError(
      .executableLoad,
      userInfo: ["errors": try String(contentsOf: errors, encoding: .utf8)])
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// Sends a signal and returns the exit code.
  func stop(_ number: Int32 = SIGTERM) -> Int32 {
    kill(process.processIdentifier, number)
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : -1
  }

  /// A connection to the server.
  func connect() throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let code = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(code == 0, "cannot connect")
    var limit = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return descriptor
  }

  /// Sends bytes as they are, with `isLast` saying that no more will come, and reads until the server closes.
  func send(raw bytes: [UInt8], isLast: Bool = false) throws -> Answer {
    let descriptor = try connect()
    defer { close(descriptor) }
    _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    if isLast { shutdown(descriptor, Int32(SHUT_WR)) }
    return read(descriptor)
  }

  /// Sends bytes as they are and returns all that comes until the server closes.
  func text(raw bytes: [UInt8]) throws -> String {
    let descriptor = try connect()
    defer { close(descriptor) }
    _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    return String(decoding: Self.received(descriptor), as: UTF8.self)
  }

  /// Reads an answer until the server closes.
  func read(_ descriptor: Int32) -> Answer { Self.parse(Self.received(descriptor)) }

  /// All bytes until the server closes.
  static func received(_ descriptor: Int32) -> [UInt8] {
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = recv(descriptor, &buffer, buffer.count, 0), count > 0 {
      received += buffer[..<count]
    }
    return received
  }

  /// The bytes of a request.
  func bytes(
    _ method: String, _ path: String, headers: [String: String] = [:], body: String? = nil
  ) -> [UInt8] {
    var fields = ["Host": "127.0.0.1:\(port)", "Connection": "close"].merging(headers) { $1 }
    if let body { fields["Content-Length"] = "\(body.utf8.count)" }
    let head = fields.map { "\($0.key): \($0.value)\r\n" }.joined()
    return Array("\(method) \(path) HTTP/1.1\r\n\(head)\r\n\(body ?? "")".utf8)
  }

  /// A request and its answer.
  func send(
    _ method: String, _ path: String, headers: [String: String] = [:], body: String? = nil
  ) throws -> Answer {
    try send(raw: bytes(method, path, headers: headers, body: body))
  }

  /// A request to the chat endpoint.
  func chat(_ body: JSON, headers: [String: String] = [:]) throws -> Answer {
    try send("POST", "/v1/chat/completions", headers: headers, body: body.serialized())
  }

  private static func parse(_ bytes: [UInt8]) -> Answer {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let end = text.range(of: "\r\n\r\n") else {
      return Answer(status: 0, headers: [:], body: "")
    }
    let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
    }
    var body = String(text[end.upperBound...])
    if headers["transfer-encoding"] == "chunked" { body = unchunked(Array(body.utf8)) }
    let status = lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return Answer(status: status, headers: headers, body: body)
  }

  private static func unchunked(_ bytes: [UInt8]) -> String {
    var rest = bytes[...]
    var body: [UInt8] = []
    while let end = rest.firstIndex(of: 0x0D),
      let size = Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16), size > 0,
      rest.count >= size + 4
    {
      rest = rest[(end + 2)...]
      body += rest.prefix(size)
      rest = rest.dropFirst(size + 2)
    }
    return String(decoding: body, as: UTF8.self)
  }
}
