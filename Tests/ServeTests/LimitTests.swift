// Clients that take their time, and devices that fail: no connection is held for ever, and nobody waits in vain.
//
// Each test has a process of its own: other tests keep the threads busy that the server runs on.

import CUDAEmulator
import Foundation
import Serve
import Tensor
import TensorTestSupport
import Testing

/// What a client has found wrong; it ends the process of the test.
struct Finding: Error {
  let text: String
}

/// Throws where `condition` does not hold.
func require(_ condition: Bool, _ text: @autoclosure () -> String) throws {
  if !condition { throw Finding(text: text()) }
}

/// Requires that each connection refuses what `send` sends within some seconds.
func requireClosed(_ connections: [Int32], _ send: (Int32) -> Bool) throws {
  var open = connections
  for _ in 0..<150 where !open.isEmpty {
    usleep(200_000)
    open = open.filter(send)
  }
  try require(open.isEmpty, "\(open.count) of \(connections.count) are still open")
}

@Suite("Limits of the server")
struct LimitTests {
  @Test("a request that comes a byte at a time is given up")
  func slowRequest() async {
    await #expect(processExitsWith: .success) {
      var options = ServerOptions()
      options.idleTimeoutSeconds = 1
      try await RunningServer.run(options) { client in
        let connections = try [
          ("POST", "/v1/chat/completions"), ("GET", "/health"), ("POST", "/nothing"),
        ].map { method, path in
          let connection = try client.connect()
          client.send(client.head(method, path, length: 100_000), on: connection)
          return connection
        }
        try requireClosed(connections) { client.send("{", on: $0) }
      }
    }
  }

  @Test("the word to close is kept, whatever the client still sends")
  func closing() async {
    await #expect(processExitsWith: .success) {
      var options = ServerOptions()
      options.maxBodyByteCount = 1000
      options.apiKey = "k"
      try await RunningServer.run(options) { client in
        let key = "Authorization: Bearer k\r\n\r\n"
        let cases = [
          (client.head("POST", "/v1/chat/completions", length: 1 << 20).dropLast() + key, "413"),
          (client.head("POST", "/v1/chat/completions", length: 1 << 20)[...], "401"),
          (client.head("GET", "/v1/models", length: 1 << 20)[...], "401"),
          (client.head("POST", "/v1/completions", length: 2).dropLast() + key + "{}", "400"),
        ]
        let connections = try cases.map { request, status in
          let connection = try client.connect()
          client.send(String(request), on: connection)
          let answer = client.readSome(connection)
          try require(answer.hasPrefix("HTTP/1.1 \(status) "), answer)
          try require(answer.lowercased().contains("connection: close"), answer)
          return connection
        }
        try requireClosed(connections) { client.send(String(repeating: " ", count: 99), on: $0) }
      }
    }
  }

  @Test("a client that does not read its answer is let go")
  func neverReading() async {
    await #expect(processExitsWith: .success) {
      var options = ServerOptions()
      options.requestTimeoutSeconds = 2
      try await RunningServer.run(options) { client in
        let connection = try client.connect(receiveBuffer: 4096)
        client.send(
          client.chat(
            #""n": 16, "max_tokens": 900, "ignore_eos": true, "stream": true, "logprobs": true, "top_logprobs": 20"#
          ), on: connection)
        try require(try client.isHeld(connection), "the server has no such connection")
        for _ in 0..<150 where try client.isHeld(connection) { usleep(200_000) }
        try require(try !client.isHeld(connection), "it is still held")
      }
    }
  }

  @Test("a device that fails ends the server, after it has told those who wait")
  func failedDevice() async {
    await #expect(processExitsWith: .success) {
      do {
        try await RunningServer.run(
          ServerOptions(),
          device: {
            Device(backend: try TestDevices.emulatedGPU(0), preferredComputeDType: .float32)
          },
          // The thread that loads is the one that decodes.
          didLoad: { emulator_fail("cuLaunchKernel", 100, 719) }, endsByItself: true
        ) { client in
          let connection = try client.connect()
          client.send(client.chat(#""max_tokens": 50"#), on: connection)
          let answer = client.read(connection)
          try require(answer.hasPrefix("HTTP/1.1 500 ") && answer.contains("failed"), answer)
          // The server may be gone by now; it must not say that it is well.
          guard let other = try? client.connect() else { return }
          client.send(client.head("GET", "/health"), on: other)
          let health = client.readSome(other)
          try require(health.isEmpty || health.hasPrefix("HTTP/1.1 503 "), health)
        }
        try require(false, "the server has ended as if nothing were wrong")
      } catch ServeError.engine(let problem) {
        try require(problem.contains("failed"), problem)
      }
    }
  }
}
