// What can be wrong with training data, each fault with the file and the line of its row.

public import Files
public import Tokenizer

/// A fault of one row, which leaves the other rows usable.
public enum RowProblem: Sendable, Hashable, CustomStringConvertible {
  /// The line is not JSON; `column` counts scalars from 1.
  case badJSON(message: String, column: Int)
  /// The row is JSON, but no object.
  case notAnObject(found: String)
  /// The row has no list of messages.
  case noMessages(found: String)
  /// A message is not what a message is.
  case badMessage(index: Int, problem: String)
  /// A message has a role that is none of system, user, assistant and tool.
  case unknownRole(index: Int, role: String)
  /// A message says nothing and calls no tool; `found` is "missing", "null" or "empty".
  case noContent(index: Int, role: String, found: String)
  /// The row's tools are not a list of objects.
  case badTools(problem: String)
  /// No message is the assistant's.
  case noAssistantTurn
  /// The rendered row has no trained token.
  case nothingTrained(tokenCount: Int)
  /// The same row was there before.
  case duplicate(file: String, line: Int)

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .badJSON(let message, let column): "bad JSON: \(message), column \(column)"
    case .notAnObject(let found): "expected an object with \"messages\", found \(found)"
    case .noMessages(let found): "messages: expected a list of messages, found \(found)"
    case .badMessage(let index, let problem): "messages[\(index)]: \(problem)"
    case .unknownRole(let index, let role):
      "messages[\(index)].role: unknown role \(role.debugDescription), "
        + "expected system, user, assistant or tool"
    case .noContent(let index, let role, let found):
      "messages[\(index)].content: \(found) content in \(role == "assistant" ? "an" : "a") \(role) turn"
        + (role == "assistant" ? " without tool_calls" : "")
    case .badTools(let problem): "tools: \(problem)"
    case .noAssistantTurn: "no assistant turn, so there is nothing to learn from"
    case .nothingTrained(let count):
      "nothing trained: none of the row's \(count) tokens belongs to an assistant turn "
        + "(does the chat template mark turns by <|im_start|>assistant, or by {% generation %}?)"
    case .duplicate(let file, let line): "the same row as \(file):\(line)"
    }
  }
}

/// A fault with its place.
public struct DataFault: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file of the row.
  public let file: String
  /// The line on which the row begins, from 1.
  public let line: Int
  /// What is wrong.
  public let problem: RowProblem

  /// A fault of the row at `file`:`line`.
  public init(file: String, line: Int, problem: RowProblem) {
    (self.file, self.line, self.problem) = (file, line, problem)
  }

  /// "data.jsonl:7: no assistant turn".
  public var description: String { "\(file):\(line): \(problem)" }
}

/// Why data cannot be read or encoded.
public enum DataError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The system refused.
  case file(FileError)
  /// A row is unusable.
  case fault(DataFault)
  /// A file that should be an array of rows is not.
  case badArray(file: String, message: String, line: Int, column: Int)
  /// There are no rows.
  case noRows(files: [String])
  /// The model folder has no usable tokenizer.
  case tokenizer(TokenizerError)
  /// The model folder has no usable chat template.
  case templateSource(path: String, problem: String)
  /// The template fails on a row.
  case rendering(file: String, line: Int, problem: String)
  /// A row is longer than allowed, and truncation was not.
  case tooLong(file: String, line: Int, tokenCount: Int, maximumLength: Int)
  /// Every row was dropped.
  case nothingLeft(droppedRowCount: Int, maximumLength: Int?)

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .fault(let fault): fault.description
    case .badArray(let file, let message, let line, let column):
      "\(file):\(line): bad JSON: \(message), column \(column)"
    case .noRows(let files):
      "\(files.joined(separator: ", ")): expected rows, found none (one JSON object a line)"
    case .tokenizer(let error): error.description
    case .templateSource(let path, let problem): "\(path): \(problem)"
    case .rendering(let file, let line, let problem): "\(file):\(line): chat template: \(problem)"
    case .tooLong(let file, let line, let count, let maximum):
      "\(file):\(line): expected at most \(maximum) tokens (--max_seq_length), found \(count)"
    case .nothingLeft(let count, let maximum):
      "all \(count) rows were dropped, since nothing trained is within "
        + "\(maximum.map { "\($0) tokens" } ?? "them") (raise --max_seq_length)"
    }
  }
}
