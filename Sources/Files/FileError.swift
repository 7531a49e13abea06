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

  /// What is wrong, in one line beginning with the path.
  public var description: String {
    switch self {
    case .system(let operation, let path, let code):
      "\(path): cannot \(operation): \(String(cString: strerror(code)))\(Self.hint(code))"
    case .notARegularFile(let path): "\(path): expected a regular file"
    case .tooLarge(let path, let maximum): "\(path): expected at most \(maximum) bytes, found more"
    case .lineTooLong(let path, let line, let maximum):
      "\(path):\(line): expected a line of at most \(maximum) bytes, found more (is it JSONL?)"
    case .damaged(let path, let line, let problem): "\(path):\(line): \(problem)"
    case .notUTF8(let path): "\(path): expected UTF-8 text (is the file in another encoding?)"
    case .invalidPath(let path):
      path.isEmpty ? "expected a path, found an empty one" : "\(path.debugDescription): not a path"
    case .alreadyExists(let path): "\(path): already exists"
    case .noWriter(let path): "\(path): expected a program that writes to this pipe, found none"
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
