// What can go wrong between a name and a folder of files, each case with a way out where there is one.

package import Files

/// Why a repository could not be downloaded.
package enum HubError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The text names no repository.
  case invalidName(String)
  /// The text names no branch, tag or commit.
  case invalidRevision(String)
  /// A variable or option that says how to reach the hub is not what it should be.
  case invalidSetting(name: String, problem: String)
  /// The server lists a file that may not be written.
  case unsafeFileName(repository: String, file: String, problem: String)
  /// The network would be needed, and may not be used.
  case offline(repository: String, reason: String)
  /// The server wants to know who asks, or does not know the repository.
  case unauthorized(repository: String, hasToken: Bool)
  /// Access has to be asked for on the repository's page.
  case gated(repository: String, page: String, hasToken: Bool)
  /// The server refuses, whoever asks.
  case forbidden(repository: String, reason: String, hasToken: Bool)
  /// There is no such repository.
  case repositoryNotFound(repository: String, endpoint: String)
  /// The repository has no such branch, tag or commit.
  case revisionNotFound(repository: String, revision: String)
  /// The repository has no such file.
  case fileNotFound(repository: String, file: String)
  /// The server cannot be reached, or does not keep a connection, however often it is tried.
  case network(subject: String, problem: String, tries: Int)
  /// The server answers with something that it should not.
  case response(subject: String, problem: String)
  /// The server leads to a place that is not gone to.
  case redirect(subject: String, problem: String)
  /// The bytes that came are not those that the hub has.
  case content(file: String, expected: String, found: String)
  /// The file changed while it was fetched.
  case changed(file: String, expected: String, found: String)
  /// The device has too little room.
  case noSpace(folder: String, needed: Int, free: Int)
  /// No file of the repository is wanted.
  case nothingSelected(repository: String, reason: String)
  /// A file or folder of ours could not be read or written.
  case file(FileError)
  /// A signal came; what has been fetched is kept.
  case stopped

  /// What is wrong, in one line.
  package var description: String {
    switch self {
    case .invalidName(let name):
      "\(name.debugDescription): expected a repository such as Qwen/Qwen3-4B"
    case .invalidRevision(let revision):
      "\(revision.debugDescription): expected a branch, a tag or a commit"
    case .invalidSetting(let name, let problem): "\(name): \(problem)"
    case .unsafeFileName(let repository, let file, let problem):
      "\(repository): the server lists the file \(file.debugDescription), which is refused: \(problem)"
    case .offline(let repository, let reason):
      "\(repository): not (wholly) in the Hugging Face cache, and \(reason) "
        + "(download it first, or allow the network)"
    case .unauthorized(let repository, let hasToken):
      hasToken
        ? "\(repository): the hub does not accept the token, or there is no such repository "
          + "(check the name and the token: HF_TOKEN, --token or the token file)"
        : "\(repository): no such repository, or a private one "
          + "(check the name; for a private one set HF_TOKEN or give --token)"
    case .gated(let repository, let page, let hasToken):
      "\(repository): access has to be granted first: accept the terms on \(page)"
        + (hasToken ? " with the account of your token" : ", then set HF_TOKEN or give --token")
    case .forbidden(let repository, let reason, let hasToken):
      "\(repository): the hub refuses access\(reason.isEmpty ? "" : ": \(reason)") "
        + (hasToken ? "(may the token read this repository?)" : "(set HF_TOKEN or give --token)")
    case .repositoryNotFound(let repository, let endpoint):
      "\(repository): no such repository on \(endpoint) (check the name)"
    case .revisionNotFound(let repository, let revision):
      "\(repository): no branch, tag or commit \(revision.debugDescription) (check --revision)"
    case .fileNotFound(let repository, let file):
      "\(repository): no file \(file.debugDescription)"
    case .network(let subject, let problem, let tries):
      "\(subject): \(problem), after \(tries) \(tries == 1 ? "try" : "tries") "
        + "(run it again to go on from here)"
    case .response(let subject, let problem): "\(subject): \(problem)"
    case .redirect(let subject, let problem): "\(subject): \(problem)"
    case .content(let file, let expected, let found):
      "\(file): expected \(expected), found \(found): the file was not kept (try again later)"
    case .changed(let file, let expected, let found):
      "\(file): changed on the hub: expected \(expected), found \(found) (run it again)"
    case .noSpace(let folder, let needed, let free):
      "\(folder): expected room for \(byteText(needed)), found \(byteText(free)) "
        + "(free some space, or set HF_HOME to a folder elsewhere)"
    case .nothingSelected(let repository, let reason): "\(repository): \(reason)"
    case .file(let error): error.description
    case .stopped: "stopped; what has been fetched is kept (run it again to go on)"
    }
  }
}

/// `count` bytes for people: "312 B", "4.2 kB", "1.50 GB".
package func byteText(_ count: Int) -> String {
  guard count >= 1000 else { return "\(count) B" }
  var value = Double(count)
  for unit in ["kB", "MB", "GB", "TB", "PB"] {
    value /= 1000
    if value < 999.5 || unit == "PB" {
      let digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0
      let scale = digits == 2 ? 100.0 : digits == 1 ? 10.0 : 1.0
      let number = Int((value * scale).rounded())
      guard digits > 0 else { return "\(number) \(unit)" }
      let fraction = String(number % Int(scale))
      let zeros = String(repeating: "0", count: digits - fraction.utf8.count)
      return "\(number / Int(scale)).\(zeros)\(fraction) \(unit)"
    }
  }
  return "\(count) B"
}
