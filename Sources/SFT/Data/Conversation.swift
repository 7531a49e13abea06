// One training row in OpenAI's form: messages, and the tools that may be called. Reading it does what every
// template expects to be done: tool-call arguments given as JSON text become the value they spell.

public import OrderedJSON

/// A conversation with the place it came from.
///
/// Equality and hashing are those of messages and tools; the place does not count.
public struct Conversation: Sendable {
  /// The messages, in order, as the template sees them.
  public let messages: [JSONObject]
  /// The tools that may be called; nil where the row has none or null.
  public let tools: JSON?
  /// The file of the row.
  public let file: String
  /// The line on which the row begins, from 1.
  public let line: Int

  /// A conversation of ready messages, taken as they are.
  public init(messages: [JSONObject], tools: JSON? = nil, file: String = "", line: Int = 1) {
    (self.messages, self.tools, self.file, self.line) = (messages, tools, file, line)
  }

  /// A conversation of a row, without ``validated()``; only the form that rendering needs is asked for.
  public init(row: JSON, file: String, line: Int) throws(DataFault) {
    func fault(_ problem: RowProblem) -> DataFault {
      DataFault(file: file, line: line, problem: problem)
    }
    guard case .object(let object) = row else {
      throw fault(.notAnObject(found: row.kindDescription))
    }
    guard case .array(let items)? = object["messages"] else {
      let keys = object.keys.prefix(8).map(\.debugDescription).joined(separator: ", ")
      let found = object["messages"]?.kindDescription ?? (keys.isEmpty ? "nothing" : "only \(keys)")
      throw fault(.noMessages(found: found))
    }
    guard !items.isEmpty else { throw fault(.noMessages(found: "an empty list")) }
    var messages: [JSONObject] = []
    messages.reserveCapacity(items.count)
    for (index, item) in items.enumerated() {
      guard case .object(let message) = item else {
        throw fault(
          .badMessage(index: index, problem: "expected an object, found \(item.kindDescription)"))
      }
      do throws(ProblemText) { messages.append(try Self.decodingArguments(message)) } catch {
        throw fault(.badMessage(index: index, problem: error.text))
      }
    }
    do throws(ProblemText) { tools = try Self.tools(object["tools"]) } catch {
      throw fault(.badTools(problem: error.text))
    }
    (self.messages, self.file, self.line) = (messages, file, line)
  }

  /// A message whose tool calls have their arguments as values.
  private static func decodingArguments(_ message: JSONObject) throws(ProblemText) -> JSONObject {
    guard case .array(var calls)? = message["tool_calls"] else {
      if let value = message["tool_calls"], !value.isNull {
        throw ProblemText("tool_calls: expected a list, found \(value.kindDescription)")
      }
      return message
    }
    for index in calls.indices {
      guard case .object(var call) = calls[index] else {
        throw ProblemText(
          "tool_calls[\(index)]: expected an object, found \(calls[index].kindDescription)")
      }
      // {"function": {"name", "arguments"}}, or the inner object alone.
      if let inner = call["function"] {
        guard case .object(var function) = inner else {
          throw ProblemText(
            "tool_calls[\(index)].function: expected an object, found \(inner.kindDescription)")
        }
        try decodeArguments(of: &function, path: "tool_calls[\(index)].function.arguments")
        call["function"] = .object(function)
      } else {
        try decodeArguments(of: &call, path: "tool_calls[\(index)].arguments")
      }
      calls[index] = .object(call)
    }
    var message = message
    message["tool_calls"] = .array(calls)
    return message
  }

  private static func decodeArguments(of function: inout JSONObject, path: String)
    throws(ProblemText)
  {
    guard case .string(let text)? = function["arguments"] else { return }
    do throws(JSONError) {
      function["arguments"] = try JSON.parse(text)
    } catch {
      throw ProblemText(
        "\(path): expected JSON text ({} for no arguments): \(error.message), \(error.position)")
    }
  }

  /// The tools of a row, given as a list or as JSON text of one.
  private static func tools(_ value: JSON?) throws(ProblemText) -> JSON? {
    guard var value, !value.isNull else { return nil }
    if case .string(let text) = value {
      do throws(JSONError) { value = try JSON.parse(text) } catch {
        throw ProblemText("expected a list or JSON text of one: \(error.message)")
      }
    }
    guard case .array(let items) = value else {
      throw ProblemText("expected a list, found \(value.kindDescription)")
    }
    for (index, item) in items.enumerated() where item.objectValue == nil {
      throw ProblemText("[\(index)]: expected an object, found \(item.kindDescription)")
    }
    return value
  }
}

/// A fault in words, on its way to a case that names the place.
private struct ProblemText: Error {
  let text: String
  init(_ text: String) { self.text = text }
}

extension Conversation: Hashable {
  /// Whether messages and tools are the same.
  public static func == (left: Conversation, right: Conversation) -> Bool {
    left.messages == right.messages && left.tools == right.tools
  }

  /// Feeds messages and tools to `hasher`.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(messages)
    hasher.combine(tools)
  }
}
