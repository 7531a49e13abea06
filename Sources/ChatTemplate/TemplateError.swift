// What can go wrong with a chat template: it does not parse, it fails or refuses while rendering, or it
// asks for more work than a chat template may. Not about JSON files or tokenizers.

/// An error of parsing or rendering a chat template.
public enum TemplateError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The template is not valid Jinja; `near` is the source text where parsing stopped.
  case syntax(template: String, line: Int, near: String, message: String)
  /// Rendering failed where Python's jinja2 raises; `kind` is Python's exception class.
  case runtime(template: String, line: Int, expression: String, kind: String, message: String)
  /// The template called `raise_exception(message)`: it does not accept this conversation.
  case raised(template: String, line: Int, message: String)
  /// The template asked for more than `maximum` of a resource.
  case limit(template: String, line: Int, expression: String, resource: String, maximum: Int)
  /// The conversation given to the template is not usable.
  case input(subject: String, expected: String, actual: String)

  /// One line naming the template, the line, the expression and the reason.
  public var description: String {
    switch self {
    case .syntax(let template, let line, let near, let message):
      return "\(template):\(line): \(message), near '\(Self.oneLine(near))'"
    case .runtime(let template, let line, let expression, let kind, let message):
      return
        "\(template):\(line): \(kind): \(Self.oneLine(message)), in '\(Self.oneLine(expression))'"
    case .raised(let template, let line, let message):
      return "\(template):\(line): the template refuses this conversation: \(Self.oneLine(message))"
    case .limit(let template, let line, let expression, let resource, let maximum):
      return
        "\(template):\(line): more than \(maximum) \(resource), in '\(Self.oneLine(expression))' "
        + "(a chat template should need far less; is the template damaged?)"
    case .input(let subject, let expected, let actual):
      return "\(subject): expected \(expected), found \(actual)"
    }
  }

  private static func oneLine(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(200) {
      switch scalar {
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

/// A failure inside the interpreter, before the line and expression are known.
struct Fault: Error {
  /// Which Python exception this would be, or one of our own resource limits.
  enum Kind: String {
    case assertion = "AssertionError"
    case filterArgument = "FilterArgumentError"
    case index = "IndexError"
    case key = "KeyError"
    case limit = "limit"
    case lookup = "LookupError"
    case notSupported = "NotSupported"
    case overflow = "OverflowError"
    case raised = "TemplateError"
    case runtime = "TemplateRuntimeError"
    case security = "SecurityError"
    case syntax = "TemplateSyntaxError"
    case type = "TypeError"
    case undefined = "UndefinedError"
    case value = "ValueError"
    case zeroDivision = "ZeroDivisionError"
  }

  let kind: Kind
  let message: String
  /// Only for `.limit`: the limit that was passed.
  var maximum = 0

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// A resource limit that was passed.
  static func limit(_ resource: String, _ maximum: Int) -> Fault {
    var fault = Fault(.limit, resource)
    fault.maximum = maximum
    return fault
  }

  static func type(_ message: String) -> Fault { Fault(.type, message) }
  static func value(_ message: String) -> Fault { Fault(.value, message) }
}
