// What can go wrong in the commands themselves; the layers below have errors of their own.

package import Files
package import Hub

/// Why a command failed.
package enum CLIError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The parser's description of itself is not what this program can read.
  case parserDescription(problem: String)
  /// There is no such device here.
  case device(name: String, reason: String)
  /// There is no such model.
  case model(name: String, problem: String)
  /// A line of an input is not what the command takes.
  case line(input: String, line: Int, problem: String)
  /// An argument whose value only the work could judge.
  case argument(option: String, problem: String)
  /// A file or folder could not be read or written.
  case file(FileError)
  /// A repository could not be downloaded.
  case hub(HubError)
  /// Rows of a data set cannot be trained on.
  case unusableRows(count: Int, of: Int, first: String)
  /// No folder to keep files in is known.
  case noCacheFolder

  /// What is wrong, in one line.
  package var description: String {
    switch self {
    case .parserDescription(let problem):
      "the command-line parser does not describe itself as expected: \(problem) "
        + "(was it built with another swift-argument-parser?)"
    case .device(let name, let reason): "device \(name): \(reason)"
    case .model(let name, let problem): "\(name): \(problem)"
    case .line(let input, let line, let problem): "\(input):\(line): \(problem)"
    case .argument(let option, let problem): "--\(option): \(problem)"
    case .file(let error): error.description
    case .hub(let error): error.description
    case .unusableRows(let count, let all, let first):
      "\(count) of \(all) rows are unusable; the first: \(first)"
    case .noCacheFolder:
      "no folder for cached files: neither QWEN_SFT_CACHE nor XDG_CACHE_HOME nor HOME is set "
        + "(set one of them)"
    }
  }
}
