// Tools and tool calls of a row, brought into the form that every chat template expects: arguments as values,
// not as JSON text.

import OrderedJSON

/// Reading tools and tool calls.
enum ToolForm {
  /// A message whose tool calls have their arguments as values, in their order.
  static func decodingArguments(_ message: JSONObject, place: String) throws(RowFault) -> JSONObject
  {
    guard case .array(var calls)? = message["tool_calls"] else {
      if let value = message["tool_calls"], !value.isNull {
        throw RowFault(
          .badToolCalls(
            place: place, problem: "tool_calls: expected a list, found \(value.kindDescription)"))
      }
      return message
    }
    for index in calls.indices {
      let path = "tool_calls[\(index)]"
      guard case .object(var call) = calls[index] else {
        throw RowFault(
          .badToolCalls(
            place: place,
            problem: "\(path): expected an object, found \(calls[index].kindDescription)"))
      }
      // {"function": {"name", "arguments"}}, or the inner object alone.
      if let inner = call["function"] {
        guard case .object(var function) = inner else {
          throw RowFault(
            .badToolCalls(
              place: place,
              problem: "\(path).function: expected an object, found \(inner.kindDescription)"))
        }
        try decode(&function, place: place, path: "\(path).function")
        call["function"] = .object(function)
      } else {
        try decode(&call, place: place, path: path)
      }
      calls[index] = .object(call)
    }
    var message = message
    message["tool_calls"] = .array(calls)
    return message
  }

  private static func decode(_ function: inout JSONObject, place: String, path: String)
    throws(RowFault)
  {
    guard case .string? = function["name"] else {
      let found = function["name"]?.kindDescription ?? "nothing"
      throw RowFault(
        .badToolCalls(place: place, problem: "\(path).name: expected a string, found \(found)"))
    }
    guard case .string(let text)? = function["arguments"] else { return }
    do throws(JSONError) {
      function["arguments"] = try JSON.parse(text)
    } catch {
      throw RowFault(
        .badArguments(
          place: place,
          problem: "\(path).arguments: expected JSON text: \(error.message), \(error.position)"))
    }
  }

  /// LLaMA-Factory's `function_call`: JSON text of {"name", "arguments"} or of a list of such.
  static func calls(_ value: JSON?, place: String) throws(RowFault) -> JSON {
    guard var value else {
      throw RowFault(.badToolCalls(place: place, problem: "expected a call, found nothing"))
    }
    if case .string(let text) = value {
      do throws(JSONError) { value = try JSON.parse(text) } catch {
        throw RowFault(
          .badArguments(place: place, problem: "expected JSON text of a call: \(error.message)"))
      }
    }
    let items = value.arrayValue ?? [value]
    guard !items.isEmpty else {
      throw RowFault(.badToolCalls(place: place, problem: "expected a call, found an empty list"))
    }
    var calls: [JSON] = []
    for item in items {
      guard case .object(let call) = item, case .string? = call["name"] else {
        throw RowFault(
          .badToolCalls(
            place: place,
            problem: "expected {\"name\": …, \"arguments\": …}, found \(item.kindDescription)"))
      }
      calls.append(["type": "function", "function": item])
    }
    return .array(calls)
  }

  /// The tools of a row, given as a list or as JSON text of one.
  static func tools(_ value: JSON?) throws(RowFault) -> JSON? {
    guard var value, !value.isNull else { return nil }
    if case .string(let text) = value {
      do throws(JSONError) { value = try JSON.parse(text) } catch {
        throw RowFault(.badTools(problem: "expected a list or JSON text of one: \(error.message)"))
      }
    }
    guard case .array(let items) = value else {
      throw RowFault(.badTools(problem: "expected a list, found \(value.kindDescription)"))
    }
    for (index, item) in items.enumerated() where item.objectValue == nil {
      throw RowFault(
        .badTools(problem: "[\(index)]: expected an object, found \(item.kindDescription)"))
    }
    return value
  }

  /// The tools of LLaMA-Factory's rows: empty text and an empty list are none, and a bare function is wrapped
  /// as {"type": "function", "function": …}.
  static func wrappedTools(_ value: JSON?) throws(RowFault) -> JSON? {
    if case .string(let text)? = value, text.utf8.allSatisfy({ $0 <= 0x20 }) { return nil }
    guard let items = try tools(value)?.arrayValue, !items.isEmpty else { return nil }
    return .array(
      items.map { item in
        item["type"]?.stringValue == "function" ? item : ["type": "function", "function": item]
      })
  }
}
