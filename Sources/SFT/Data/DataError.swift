// Why data cannot be read or encoded, each fault with the file and the line of its row.

public import ChatTemplate
public import Files
public import Tokenizer

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

  /// "data.jsonl:7: no assistant turn … (add the answer, or remove the row)".
  public var description: String { "\(file):\(line): \(problem.text)" }
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
  /// A chat template does not parse.
  case template(TemplateError)
  /// The template fails on a row.
  case rendering(file: String, line: Int, problem: String)
  /// A row is longer than allowed, and truncation was not.
  case tooLong(file: String, line: Int, tokenCount: Int, maximumLength: Int)
  /// Every row was dropped.
  case nothingLeft(droppedRowCount: Int, maximumLength: Int?)

  /// Whether it was met while rows were read, so that there are more which nobody has seen.
  public var isOfReading: Bool {
    switch self {
    case .file, .badArray: true
    default: false
    }
  }

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
    case .template(let error): error.description
    case .rendering(let file, let line, let problem): "\(file):\(line): \(problem)"
    case .tooLong(let file, let line, let count, let maximum):
      "\(file):\(line): expected at most \(maximum) tokens (--max_seq_length), found \(count)"
    case .nothingLeft(let count, let maximum):
      "all \(count) rows were dropped, since nothing trained is within "
        + "\(maximum.map { "\($0) tokens" } ?? "them") (raise --max_seq_length)"
    }
  }
}
