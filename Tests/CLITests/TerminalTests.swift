// What the dialogue leaves behind on a terminal, tried on a pseudo-terminal.

import Foundation
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

@Suite("Terminal")
struct TerminalTests {
  let program: Program

  init() throws { program = try Program() }

  @Test("a signal during the dialogue ends it with plain letters", arguments: [SIGINT, SIGTERM])
  func interruption(number: Int32) throws {
    var (terminal, other): (Int32, Int32) = (-1, -1)
    try #require(openpty(&terminal, &other, nil, nil, nil) == 0)
    defer { close(terminal) }
    let errors = program.folder.url("errors")
    try Data().write(to: errors)
    let process = program.process(["chat", "--max_new_tokens", "4"])
    process.standardInput = FileHandle(fileDescriptor: other)
    process.standardOutput = FileHandle(fileDescriptor: other)
    process.standardError = try FileHandle(forWritingTo: errors)
    // Threads of a test block all signals, and a process inherits that.
    var (signals, earlier) = (sigset_t(), sigset_t())
    sigfillset(&signals)
    pthread_sigmask(SIG_UNBLOCK, &signals, &earlier)
    defer { pthread_sigmask(SIG_SETMASK, &earlier, nil) }
    try process.run()
    close(other)
    func waitForPrompts(_ count: Int) throws {
      for _ in 0..<600 {
        let text = String(decoding: try Data(contentsOf: errors), as: UTF8.self)
        if text.components(separatedBy: "> ").count > count { return }
        usleep(50_000)
      }
      Issue.record("no prompt")
    }
    try waitForPrompts(1)
    let question = Array("hi\n".utf8)
    #expect(write(terminal, question, question.count) == question.count)
    try waitForPrompts(2)
    kill(process.processIdentifier, number)
    for _ in 0..<200 where process.isRunning { usleep(50_000) }
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == number)
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = read(terminal, &buffer, buffer.count), count > 0 {
      output += buffer[..<count]
    }
    #expect(output.suffix(4) == Array("\u{1B}[0m".utf8)[...])
  }

  @Test("questions of several lines, commands, and the end of the input")
  func dialogue() throws {
    var (terminal, other): (Int32, Int32) = (-1, -1)
    try #require(openpty(&terminal, &other, nil, nil, nil) == 0)
    defer { close(terminal) }
    let errors = program.folder.url("errors")
    try Data().write(to: errors)
    let process = program.process(["chat", "--max_new_tokens", "24", "--temperature", "0"])
    process.standardInput = FileHandle(fileDescriptor: other)
    process.standardOutput = FileHandle(fileDescriptor: other)
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    close(other)
    let lines = [
      "\"\"\"", "What is", "your name?", "\"\"\"", "What is \\", "your name?", "/adapter off",
      "/again", "/nonsense", "/system Be short.", "/again", "/thinking hide", "/help", "/quit",
    ]
    let input = Array((lines.joined(separator: "\n") + "\n").utf8)
    #expect(write(terminal, input, input.count) == input.count)
    for _ in 0..<1200 where process.isRunning { usleep(50_000) }
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    let said = try String(contentsOf: errors, encoding: .utf8)
    for text in [
      "There is no adapter", "no command /nonsense", "with this system message",
      "Nothing has been answered yet", "Reasoning: hide", "/adapter on|off",
    ] {
      #expect(said.contains(text), "\(text)")
    }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = read(terminal, &buffer, buffer.count), count > 0 {
      output += buffer[..<count]
    }
    // The terminal's echo, and three answers, the last two to one question.
    let text = String(decoding: output, as: UTF8.self)
    let answers = text.components(separatedBy: "/quit").last?.split(whereSeparator: \.isNewline)
    #expect(answers?.count == 3 && answers?[1] == answers?[2], "\(text)")
  }
}
