// Fields of a request's body, each checked for its type and its range. null counts as absent, as with OpenAI.

import OrderedJSON

/// The body of a request.
struct Fields {
  private let object: JSONObject

  /// - Throws: ``APIError`` where `body` is no JSON object.
  init(_ body: [UInt8]) throws(APIError) {
    let value: JSON
    do { value = try JSON.parse(body, maximumDepth: 64) } catch {
      throw .invalid(nil, "the body is not JSON: \(error.description)")
    }
    guard case .object(let object) = value else {
      throw .invalid(nil, "the body is \(value.kindDescription), expected an object")
    }
    self.object = object
  }

  /// A field that is there and not null.
  subscript(name: String) -> JSON? {
    guard let value = object[name], !value.isNull else { return nil }
    return value
  }

  func string(_ name: String) throws(APIError) -> String? {
    guard let value = self[name] else { return nil }
    guard let text = value.stringValue else { throw wrongType(name, value, "a string") }
    return text
  }

  func bool(_ name: String) throws(APIError) -> Bool {
    guard let value = self[name] else { return false }
    guard let flag = value.boolValue else { throw wrongType(name, value, "a boolean") }
    return flag
  }

  func integer(_ name: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
    guard let value = self[name] else { return nil }
    guard let number = value.integerValue else {
      if case .bigInteger = value {
        throw .invalid(name, "\(name) is \(value.serialized()), expected an integer of 64 bits")
      }
      throw wrongType(name, value, "an integer")
    }
    guard range.contains(number) else {
      let expected =
        range.upperBound == .max
        ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
      throw .invalid(name, "\(name) is \(number), expected \(expected)")
    }
    return number
  }

  func number(_ name: String, _ range: ClosedRange<Double>) throws(APIError) -> Double? {
    guard let value = self[name] else { return nil }
    guard let number = value.doubleValue else { throw wrongType(name, value, "a number") }
    guard range.contains(number) else {
      throw .invalid(
        name, "\(name) is \(number), expected \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func object(_ name: String) throws(APIError) -> JSONObject? {
    guard let value = self[name] else { return nil }
    guard let object = value.objectValue else { throw wrongType(name, value, "an object") }
    return object
  }

  func array(_ name: String) throws(APIError) -> [JSON]? {
    guard let value = self[name] else { return nil }
    guard let array = value.arrayValue else { throw wrongType(name, value, "a list") }
    return array
  }

  /// `stop`: a string or a list of some.
  func stops() throws(APIError) -> [String] {
    guard let value = self["stop"] else { return [] }
    let values = value.arrayValue ?? [value]
    guard values.count <= 16 else { throw .invalid("stop", "stop has more than 16 strings") }
    var stops: [String] = []
    for value in values {
      guard let text = value.stringValue else {
        throw wrongType("stop", value, "a string or a list of strings")
      }
      guard (1...1024).contains(text.utf8.count) else {
        throw .invalid("stop", "stop has a string of \(text.utf8.count) bytes, expected 1 to 1024")
      }
      stops.append(text)
    }
    return stops
  }

  /// Refuses a field that has any value but those of `allowed`.
  func refuse(_ name: String, unless allowed: [JSON] = [], _ reason: String) throws(APIError) {
    guard let value = self[name], !allowed.contains(value) else { return }
    throw .invalid(name, reason)
  }

  private func wrongType(_ name: String, _ value: JSON, _ expected: String) -> APIError {
    .invalid(name, "\(name) is \(value.kindDescription), expected \(expected)")
  }
}
