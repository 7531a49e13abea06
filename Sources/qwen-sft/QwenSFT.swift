// The program: its commands, and nothing of what they do.

import ArgumentParser
import Glibc

/// `qwen-sft COMMAND [options]`.
@main
struct QwenSFT: ParsableCommand {
  /// The version of this program.
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "qwen-sft",
    abstract: "Fine-tunes Qwen chat models with LoRA and QLoRA, without Python.",
    discussion: """
      Options may be written with underscores too (--learning_rate); switches take true or false.
      """,
    version: version,
    subcommands: [
      Train.self, Chat.self, ServeCommand.self, Evaluate.self, DataCommand.self, Tokenize.self,
      Quantize.self, Merge.self, ExportCommand.self, CheckAdapter.self, ConvertAdapter.self,
      Download.self, Bench.self, Devices.self, Plan.self, VerifyResume.self,
    ])

  /// Runs the command line of this process.
  static func main() {
    // Settings that libraries read before anything of the program runs. Where the system does not let it start again, it
    // goes on as it is.
    let changes = [ThreadWaiting.shorten(), SystemAllocator.returnFreedMemory()]
    if changes.contains(true) { execv("/proc/self/exe", CommandLine.unsafeArgv) }
    let code = Launcher.run(Array(CommandLine.arguments.dropFirst()))
    fflush(nil)
    // Threads of libraries are not waited for: where address space is limited, one of OpenBLAS's asks for memory for ever.
    _exit(code)
  }
}
