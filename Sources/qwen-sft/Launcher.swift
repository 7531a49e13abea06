// The one place where a command line becomes work, and an error one line and an exit code.

import ArgumentParser
import Export
import Glibc
import Hub
import QwenModel
import Tensor

/// Running a command line.
enum Launcher {
  /// The exit code for wrong usage.
  static let usageCode: Int32 = 64

  /// Runs `arguments`, without the program's name, and returns the exit code.
  static func run(_ arguments: [String]) -> Int32 {
    // A reader that goes away is an error of the write, not the end of a training run.
    signal(SIGPIPE, SIG_IGN)
    // A file that may grow no further is an error of the write too.
    signal(SIGXFSZ, SIG_IGN)
    keepStandardDescriptors()
    MemoryExhaustion.setEnding { byteCount in
      Diagnostics.error(
        "out of memory: the system has no \(memoryText(byteCount)) left; a smaller batch, shorter rows or prompts, weights in 4 bits (--use_qlora), in training --gradient_checkpointing full, and in serve a lower --max_concurrency and --max_model_len need less"
      )
      // Other threads are still at work: nothing is cleaned up, as after a kill.
      _exit(1)
    }
    let code: Int32
    do {
      let catalog = try OptionCatalog.current()
      let normalized = try ArgumentNormalizer(catalog: catalog).normalized(arguments)
      let expansion = try RecipeExpansion(normalized, catalog: catalog)
      RecipeExpansion.current = expansion
      var command = try QwenSFT.parseAsRoot(expansion.arguments)
      try command.run()
      code = 0
    } catch {
      code = report(error)
    }
    do throws(OutputError) {
      try StandardOutput.flush()
    } catch {
      return code == 0 ? report(error) : code
    }
    return code
  }

  /// Sees to it that no file of ours gets the number of a standard stream that was closed.
  private static func keepStandardDescriptors() {
    for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(number, F_GETFD) == -1 {
      // Results that nobody can get are an error; diagnostics are not.
      _ = open("/dev/null", number == STDERR_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// The parser's message with its list of values, which it writes one a line, as part of the sentence.
  private static func onOneLine(_ message: String) -> String {
    let parts = message.split(separator: "\n  - ", omittingEmptySubsequences: false)
    guard let sentence = parts.first, parts.count > 1 else { return message }
    return "\(sentence) \(parts.dropFirst().joined(separator: ", "))"
  }

  /// Writes the one line that `error` deserves and returns its exit code.
  private static func report(_ error: any Error) -> Int32 {
    switch error {
    case OutputError.readerGone: return 0
    case let code as ExitCode: return code.rawValue
    case CLIError.hub(.stopped), ExportError.stopped, ModelError.stopped:
      Diagnostics.notice("\(error)")
      return Interrupts.exitCode
    case let error as UsageError:
      Diagnostics.error(error.description)
      return usageCode
    default: break
    }
    let code = QwenSFT.exitCode(for: error)
    let message = QwenSFT.message(for: error)
    guard code != .success else {  // --help and --version
      do throws(OutputError) {
        try StandardOutput.write(line: message)
        return 0
      } catch {
        return report(error)
      }
    }
    if code == .validationFailure {
      Diagnostics.error(
        message.isEmpty
          ? "wrong usage (see 'qwen-sft --help')"
          : RecipeExpansion.current?.explained(onOneLine(message)) ?? onOneLine(message))
      return usageCode
    }
    Diagnostics.error(String(describing: error))
    return ExitCode.failure.rawValue
  }
}
