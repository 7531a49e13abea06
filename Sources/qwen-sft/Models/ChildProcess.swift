// This program, run once more as a process of its own.

import Files
import Glibc

/// A running copy of this program.
struct ChildProcess {
  private let id: pid_t

  /// Starts this program with `arguments`, both outputs going to the end of the file at `log`.
  init(_ arguments: [String], log: String) throws(CLIError) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(
      &actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    let path = "/proc/self/exe"
    var words: [UnsafeMutablePointer<CChar>?] = (["qwen-sft"] + arguments).map { strdup($0) }
    words.append(nil)
    defer { for word in words { free(word) } }
    var id: pid_t = 0
    let code = posix_spawn(&id, path, &actions, nil, words, environ)
    guard code == 0 else {
      throw .file(.system(operation: "start", path: path, code: code))
    }
    self.id = id
  }

  /// Sends a signal.
  func send(_ signal: Int32) { kill(id, signal) }

  /// How it has ended: the exit code, or 128 + the signal's number, or -1 where nobody knows; nil while it runs.
  func poll() -> Int32? { result(options: WNOHANG) }

  /// Waits for its end.
  func wait() -> Int32 {
    while true {
      if let code = result(options: 0) { return code }
    }
  }

  private func result(options: Int32) -> Int32? {
    var status: Int32 = 0
    let ended = waitpid(id, &status, options)
    // Somebody has told the system not to keep ends: there is none to wait for.
    if ended < 0 && errno == ECHILD { return -1 }
    guard ended == id else { return nil }
    let signal = status & 0x7F
    return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
  }
}
