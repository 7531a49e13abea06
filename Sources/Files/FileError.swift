// What can go wrong with files, each case naming the path and the operation. Bytes and their meaning are the
// business of others.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Why a file or folder could not be read, written or changed.
public enum FileError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The system refused `operation` ("open", "write", "rename to x") on `path` with the errno `code`.
  case system(operation: String, path: String, code: Int32)
  /// Something other than a regular file is where one was expected.
  case notARegularFile(path: String)
  /// The file is larger than the caller takes.
  case tooLarge(path: String, maximumByteCount: Int)
  /// A line is longer than the caller takes.
  case lineTooLong(path: String, line: Int, maximumByteCount: Int)
  /// Compressed data cannot be unpacked from `line` on.
  case damaged(path: String, line: Int, problem: String)
  /// The text of a file is not UTF-8.
  case notUTF8(path: String)
  /// The path is empty or holds a NUL byte.
  case invalidPath(path: String)
  /// Something is already at the path.
  case alreadyExists(path: String)
  /// The path is a pipe that no program writes to.
  case noWriter(path: String)

  /// The path at fault.
  public var path: String {
    switch self {
    case .system(_, let path, _), .notARegularFile(let path), .tooLarge(let path, _),
      .lineTooLong(let path, _, _), .notUTF8(let path), .invalidPath(let path),
      .alreadyExists(let path), .damaged(let path, _, _), .noWriter(let path):
      path
    }
  }

  /// Whether the fault is that nothing is at the path.
  public var isNotFound: Bool {
    if case .system(_, _, let code) = self { code == ENOENT || code == ENOTDIR } else { false }
  }

  /// The line at fault, from 1; nil where the fault is not one of a line.
  public var line: Int? {
    switch self {
    case .lineTooLong(_, let line, _), .damaged(_, let line, _): line
    default: nil
    }
  }

  /// What is wrong, in one line beginning with the path.
  public var description: String {
    if case .invalidPath(let path) = self {
      return path.isEmpty ? problem : "\(path.debugDescription): \(problem)"
    }
    return "\(path)\(line.map { ":\($0)" } ?? ""): \(problem)"
  }

  /// What is wrong, without the place.
  public var problem: String {
    switch self {
    case .system(let operation, _, let code):
      "cannot \(operation): \(String(cString: strerror(code)))\(Self.hint(code))"
    case .notARegularFile: "expected a regular file"
    case .tooLarge(_, let maximum): "expected at most \(maximum) bytes, found more"
    case .lineTooLong(_, _, let maximum):
      "expected a line of at most \(maximum) bytes, found more (is it JSONL?)"
    case .damaged(_, _, let problem): problem
    case .notUTF8: "expected UTF-8 text (is the file in another encoding?)"
    case .invalidPath(let path): path.isEmpty ? "expected a path, found an empty one" : "not a path"
    case .alreadyExists: "already exists"
    case .noWriter: "expected a program that writes to this pipe, found none"
    }
  }

  private static func hint(_ code: Int32) -> String {
    switch code {
    case ENOSPC, EDQUOT: " (free some space, or choose another folder)"
    case EMFILE, ENFILE: " (raise the limit with ulimit -n)"
    default: ""
    }
  }

  /// The fault of the call that has just set `errno`.
  static func last(_ operation: String, _ path: String) -> FileError {
    .system(operation: operation, path: path, code: errno)
  }
}
