// What a client is told when it does not get what it asked for: OpenAI's error object and the status that goes with it.

import OrderedJSON

/// A refusal with its HTTP status.
struct APIError: Error, Sendable, Hashable {
  /// The HTTP status.
  let status: Int
  /// OpenAI's kind, such as "invalid_request_error".
  let type: String
  /// What is wrong.
  let message: String
  /// The field that is wrong, nil where none is.
  var parameter: String?
  /// OpenAI's code, nil for none.
  var code: String?
  /// Seconds after which another try is worth it.
  var retryAfterSeconds: Int?
  /// Whether the rest of the request is not waited for.
  var closesConnection = false

  /// A request that asks for what cannot be.
  static func invalid(_ parameter: String?, _ message: String, code: String? = nil) -> APIError {
    APIError(
      status: 400, type: "invalid_request_error", message: message, parameter: parameter,
      code: code)
  }

  /// A path or a model that is not there.
  static func notFound(_ message: String, parameter: String? = nil, code: String? = nil)
    -> APIError
  {
    APIError(
      status: 404, type: "invalid_request_error", message: message, parameter: parameter,
      code: code)
  }

  /// More requests than can be taken.
  static let overloaded = APIError(
    status: 429, type: "rate_limit_error",
    message: "the server has as many requests as it takes; try again later",
    code: "rate_limit_exceeded", retryAfterSeconds: 2)

  /// A server that is about to stop.
  static let stopping = APIError(
    status: 503, type: "server_error", message: "the server is stopping", code: "unavailable",
    retryAfterSeconds: 10)

  /// A fault of the server or of its model.
  static func server(_ message: String) -> APIError {
    APIError(status: 500, type: "server_error", message: message)
  }

  /// An answer that took longer than allowed.
  static let timeout = APIError(
    status: 504, type: "server_error", message: "the answer took longer than the server allows",
    code: "timeout")

  /// OpenAI's object.
  var json: JSON {
    [
      "error": [
        "message": .string(message), "type": .string(type),
        "param": parameter.map { .string($0) } ?? .null, "code": code.map { .string($0) } ?? .null,
      ]
    ]
  }
}
