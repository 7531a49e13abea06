// Command lines that cannot be understood, before the parser sees them.

/// Why an argument list is wrong.
package enum UsageError: Error, Sendable, Hashable, CustomStringConvertible {
  /// No such command.
  case unknownCommand(name: String, parent: String, nearest: String?)
  /// The command has no such option.
  case unknownOption(name: String, command: String, nearest: String?)
  /// A switch was given a value that says neither yes nor no.
  case notABoolean(option: String, value: String)
  /// A recipe that cannot be used.
  case recipe(place: String, problem: String)

  /// What is wrong, in one line.
  package var description: String {
    switch self {
    case .unknownCommand(let name, let parent, let nearest):
      "unknown command '\(name)'\(Self.hint(nearest, prefix: "")) (see '\(parent) --help')"
    case .unknownOption(let name, let command, let nearest):
      "unknown option '--\(name)'\(Self.hint(nearest, prefix: "--")) (see '\(command) --help')"
    case .notABoolean(let option, let value):
      "--\(option): expected true or false, found '\(value)'"
    case .recipe(let place, let problem): "\(place): \(problem)"
    }
  }

  private static func hint(_ nearest: String?, prefix: String) -> String {
    nearest.map { "; did you mean '\(prefix)\($0)'?" } ?? ""
  }
}
