// The paths of the server. Every refusal is OpenAI's error object.

import Glibc
import HTTPTypes
import Hummingbird
import NIOCore
import OrderedJSON
import SFT
import Tokenizer

/// Answers requests.
struct Responder: HTTPResponder {
  typealias Context = ConnectionContext

  let engine: Engine
  let reader: RequestReader
  let access: AccessGuard
  let options: ServerOptions
  let page: Page
  private let threads = ReadingThreads()

  init(
    engine: Engine, reader: RequestReader, access: AccessGuard, options: ServerOptions, page: Page
  ) {
    (self.engine, self.reader, self.access) = (engine, reader, access)
    (self.options, self.page) = (options, page)
  }

  func respond(to request: Request, context: ConnectionContext) async throws -> Response {
    let path = Route.known.contains(request.uri.path) ? request.uri.path : "other"
    var response: Response
    do throws(APIError) {
      response = try await route(request, context.channel)
    } catch {
      response = Self.response(error)
      if error.closesConnection { response.headers[.connection] = "close" }
    }
    // ConnectionLimits sees to it.
    if request.method == .post { response.headers[.connection] = "close" }
    response.headers[.xContentTypeOptions] = "nosniff"
    // The fields are those of GET, the length of the body among them.
    if request.method == .head { response = response.createHeadResponse() }
    engine.metrics.countRequest(path, status: response.status.code)
    return response
  }

  private enum Route {
    static let known: Set<String> = [
      "/", "/health", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/completions",
    ]
  }

  private func route(_ request: Request, _ channel: any Channel) async throws(APIError) -> Response
  {
    try access.checkOrigin(request)
    let path = request.uri.path
    let isRead = request.method == .get || request.method == .head
    if path == "/health", isRead {
      if let problem = engine.failure {
        throw APIError(
          status: 503, type: "server_error", message: problem, code: "unavailable")
      }
      return Self.json(["status": "ok"])
    }
    if path == "/", isRead { return page.response() }
    try access.checkKey(request)
    switch path {
    case "/metrics" where isRead:
      return Self.response(
        .ok, "text/plain; version=0.0.4; charset=utf-8", Array(engine.metrics.text.utf8))
    case "/v1/models" where isRead: return Self.json(modelList)
    case "/v1/chat/completions" where request.method == .post:
      return try await generate(.chat, request, channel)
    case "/v1/completions" where request.method == .post:
      return try await generate(.completion, request, channel)
    default: break
    }
    if path.hasPrefix("/v1/models/"), isRead {
      let name = Self.percentDecoded(path.dropFirst("/v1/models/".count))
      return Self.json(Self.model(try reader.models.entry(name), reader))
    }
    if Route.known.contains(path) {
      throw APIError(
        status: 405, type: "invalid_request_error",
        message: "\(request.method.rawValue) is not possible for \(path)",
        code: "method_not_allowed")
    }
    throw .notFound("there is nothing at \(path.prefix(200))", code: "not_found")
  }

  // MARK: Models

  private var modelList: JSON {
    [
      "object": "list",
      "data": .array(reader.models.entries.map { Self.model($0, reader) }),
    ]
  }

  private static func model(_ entry: ServedModels.Entry, _ reader: RequestReader) -> JSON {
    [
      "id": .string(entry.name), "object": "model", "created": .integer(reader.models.created),
      "owned_by": "qwen-sft",
      "parent": entry.adapter == nil ? .null : .string(reader.models.entries[0].name),
      "max_model_len": .integer(reader.maximumLength),
    ]
  }

  // MARK: Answers

  private func generate(
    _ endpoint: AnswerFormat.Endpoint, _ request: Request, _ channel: any Channel
  ) async throws(APIError) -> Response {
    let bytes = try await body(of: request)
    let asked = try await threads.run { [reader] () throws(APIError) in
      let fields = try Fields(bytes)
      return try endpoint == .chat ? reader.chat(fields) : reader.completion(fields)
    }
    let tokenizer = reader.encoder.tokenizer
    let format = AnswerFormat(
      endpoint: endpoint, request: asked, tokenizer: tokenizer, id: Self.makeID(endpoint),
      created: Int(time(nil)))
    let run = try GenerationRun(
      asked, engine, tokenizer, timeout: .seconds(options.requestTimeoutSeconds))
    // A client that does not read what it has asked for.
    let seconds = Int64(options.requestTimeoutSeconds)
    let end = channel.eventLoop.scheduleTask(in: .seconds(seconds + min(seconds, 30))) {
      channel.close(promise: nil)
    }
    // Once a connection: POST is its last request.
    channel.closeFuture.whenComplete { _ in
      end.cancel()
      run.cancel()
    }
    let headers: HTTPFields = [.cacheControl: "no-store"]
    var response: Response
    if asked.isStreaming {
      response = Response(
        status: .ok, headers: [.contentType: "text/event-stream; charset=utf-8"],
        body: ResponseBody { writer in
          try await Self.write(run, format, to: &writer)
          try await writer.finish(nil)
        })
    } else {
      response = Self.json(try await Self.whole(run, format))
    }
    response.headers.append(contentsOf: headers)
    return response
  }

  private static func whole(_ run: GenerationRun, _ format: AnswerFormat) async throws(APIError)
    -> JSON
  {
    var answers = [AnswerFormat.Answer](repeating: .init(), count: format.request.answerCount)
    do {
      let generated = try await run.run { format.add($0, to: &answers[$0.choice]) }
      return format.response(answers, generated: generated)
    } catch let error as APIError {
      throw error
    } catch {
      // Nobody is there to read it.
      throw APIError(status: 499, type: "server_error", message: "the client has left")
    }
  }

  /// Server-sent events, a chunk an event.
  private static func write(
    _ run: GenerationRun, _ format: AnswerFormat, to writer: inout any ResponseBodyWriter
  ) async throws {
    func events(_ values: [JSON]) -> ByteBuffer {
      var buffer = ByteBuffer()
      for value in values {
        buffer.writeString("data: ")
        buffer.writeBytes(value.serializedBytes(style: .compact))
        buffer.writeString("\n\n")
      }
      return buffer
    }
    let count = format.request.answerCount
    var calls = [Int](repeating: 0, count: count)
    var offsets = [Int](repeating: 0, count: count)
    do {
      if format.endpoint == .chat {
        try await writer.write(events((0..<count).map { format.opening(choice: $0) }))
      }
      let generated = try await run.run { update in
        let chunks = format.chunks(
          update, callCount: &calls[update.choice], offset: &offsets[update.choice])
        try await writer.write(events(chunks))
      }
      if format.request.includesUsage {
        try await writer.write(events([format.usageChunk(generated)]))
      }
    } catch let error as APIError {
      try await writer.write(events([error.json]))
    }
    try await writer.write(ByteBuffer(string: "data: [DONE]\n\n"))
  }

  private func body(of request: Request) async throws(APIError) -> [UInt8] {
    let limit = options.maxBodyByteCount
    let tooLarge = APIError(
      status: 413, type: "invalid_request_error",
      message: "the body is larger than \(limit) bytes", code: "request_too_large",
      closesConnection: true)
    if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
      throw tooLarge
    }
    var bytes: [UInt8] = []
    do {
      for try await buffer in request.body {
        bytes.append(contentsOf: buffer.readableBytesView)
        if bytes.count > limit { break }
      }
    } catch {
      throw APIError(
        status: 400, type: "invalid_request_error", message: "the body cannot be read",
        closesConnection: true)
    }
    if bytes.count > limit { throw tooLarge }
    return bytes
  }

  /// The text that stands for itself and for bytes as %XX.
  private static func percentDecoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  // MARK: Responses

  private static func makeID(_ endpoint: AnswerFormat.Endpoint) -> String {
    let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
    let padded = String(repeating: "0", count: 16 - digits.utf8.count) + digits
    return (endpoint == .chat ? "chatcmpl-" : "cmpl-") + padded
  }

  static func json(_ value: JSON) -> Response {
    response(.ok, "application/json", value.serializedBytes(style: .compact))
  }

  static func response(_ error: APIError) -> Response {
    var response = response(
      .init(code: error.status), "application/json", error.json.serializedBytes(style: .compact))
    if let seconds = error.retryAfterSeconds { response.headers[.retryAfter] = "\(seconds)" }
    if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
    return response
  }

  static func response(_ status: HTTPResponse.Status, _ type: String, _ bytes: [UInt8]) -> Response
  {
    Response(
      status: status, headers: [.contentType: type],
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
  }
}
