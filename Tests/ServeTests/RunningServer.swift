// A server in this process, with limits that the command line does not have, and a client that does as it likes.

import Foundation
import QwenModel
import SFT
import Serve
import Tensor

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Servers for a test.
enum RunningServer {
  private static let model = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/demo-model").path

  /// Runs `client` beside a server of the demo model on a device of `device`, on a thread of its own: it may wait. Then the
  /// server is ended, or with `endsByItself` awaited.
  static func run(
    _ options: ServerOptions, device: @escaping @Sendable () throws -> Device = { .cpu },
    didLoad: @escaping @Sendable () -> Void = {}, endsByItself: Bool = false,
    client: @escaping @Sendable (Client) throws -> Void
  ) async throws {
    var options = options
    options.port = 0
    let server = try Server(
      options: options, encoder: ConversationEncoder(folder: model), names: ["demo"],
      defaults: SamplingOptions(temperature: 1, topP: 1, topK: 0))
    let (ports, port) = AsyncStream<Int>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { port.finish() }
        try await server.run {
          let network = try QwenModel.load(directory: model, on: device())
          didLoad()
          return Server.Model(
            decoder: BatchDecoder(model: network), vocabularySize: network.config.vocabSize,
            maximumLength: network.config.maxPositionEmbeddings, stopIDs: [])
        } onListening: {
          port.yield($0)
        }
      }
      for await number in ports {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
          Thread.detachNewThread {
            done.resume(with: Result { try client(Client(port: UInt16(number))) })
          }
        }
        break
      }
      if !endsByItself { group.cancelAll() }
      try await group.waitForAll()
    }
  }
}

/// A client of a server on this machine.
struct Client: Sendable {
  let port: UInt16

  /// A connection; `receiveBuffer` bounds what the system takes in for it.
  func connect(receiveBuffer: Int32? = nil) throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if var size = receiveBuffer {
      setsockopt(
        descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    var limit = timeval(tv_sec: 30, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let code = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code == 0 else { throw POSIXError(.ECONNREFUSED) }
    return descriptor
  }

  /// Sends all of `text`; false where the connection is gone.
  @discardableResult
  func send(_ text: String, on descriptor: Int32) -> Bool {
    let bytes = Array(text.utf8)
    return Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }

  /// The head of a request, with the length of a body where it has one.
  func head(_ method: String, _ path: String, length: Int? = nil) -> String {
    "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n"
      + (length.map { "Content-Length: \($0)\r\n" } ?? "") + "\r\n"
  }

  /// A request for a chat, whole.
  func chat(_ fields: String) -> String {
    let body = #"{"messages": [{"role": "user", "content": "What is your name?"}], \#(fields)}"#
    return head("POST", "/v1/chat/completions", length: body.utf8.count) + body
  }

  /// What comes until the server has nothing more to say.
  func read(_ descriptor: Int32) -> String {
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = recv(descriptor, &buffer, buffer.count, 0), count > 0 {
      received += buffer[..<count]
    }
    return String(decoding: received, as: UTF8.self)
  }

  /// What comes next, once there is something; nothing where the server has closed.
  func readSome(_ descriptor: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
  }

  /// Whether the server still holds its end of a connection.
  func isHeld(_ descriptor: Int32) throws -> Bool {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = getsockname(descriptor, $0, &size)
      }
    }
    func place(_ port: UInt16) -> String { String(format: "0100007F:%04X", port) }
    let pair = "\(place(port)) \(place(UInt16(bigEndian: address.sin_port))) "
    // Lines of "n: local remote state …"; 01 is established, 08 closed by the client alone.
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/net/tcp"))
    let table = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
    return table.contains(pair + "01") || table.contains(pair + "08")
  }
}
