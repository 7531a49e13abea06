// Answers read token by token: stop strings, reasoning and tool calls, wherever the tokens end.

import SFT
import Testing
import Tokenizer

@Suite("Answer reader")
struct AnswerReaderTests {
  private let tokenizer: Tokenizer

  init() throws {
    tokenizer = try Tokenizer(directory: TrainingParityTests.fixtures + "/demo-model")
  }

  /// The parts of `text`, neighbours of one kind put together.
  private func read(_ text: String, _ change: (inout AnswerReader.Settings) -> Void) -> (
    parts: [AnswerReader.Part], isStopped: Bool
  ) {
    var settings = AnswerReader.Settings()
    change(&settings)
    var reader = AnswerReader(tokenizer: tokenizer, settings: settings)
    var parts = tokenizer.encode(text).flatMap { reader.push($0) }
    parts += reader.finish()
    var joined: [AnswerReader.Part] = []
    for part in parts {
      switch (joined.last, part) {
      case (.content(let a)?, .content(let b)): joined[joined.count - 1] = .content(a + b)
      case (.reasoning(let a)?, .reasoning(let b)): joined[joined.count - 1] = .reasoning(a + b)
      default: joined.append(part)
      }
    }
    return (joined, reader.isStopped)
  }

  @Test("text ends before a stop string, also one that many tokens make up")
  func stops() {
    let text = "My name is Quill. Ask me more! ééé 🙂 END and more"
    for (stops, expected) in [
      (["Quill"], "My name is "), (["zzz", "! é"], "My name is Quill. Ask me more"),
      (["🙂 END and"], "My name is Quill. Ask me more! ééé "), (["M"], ""),
      (["more", "me"], "My na"),
    ] {
      let (parts, isStopped) = read(text) { $0.stops = stops }
      #expect(parts == (expected.isEmpty ? [] : [.content(expected)]) && isStopped)
    }
    let (parts, isStopped) = read(text) { $0.stops = ["and more!", "ENDE"] }
    #expect(parts == [.content(text)] && !isStopped)
  }

  @Test("reasoning is told apart, begun by the prompt or by the answer")
  func reasoning() {
    let whole = read("<think>\nwell\n</think>\n\nyes") { $0.splitsReasoning = true }
    #expect(whole.parts == [.reasoning("\nwell\n"), .content("yes")])
    let begun = read("well</think>yes") {
      $0.splitsReasoning = true
      $0.beginsInReasoning = true
    }
    #expect(begun.parts == [.reasoning("well"), .content("yes")])
    #expect(read("<think>a</think>b") { _ in }.parts == [.content("<think>a</think>b")])
    #expect(AnswerReader.isInReasoning(Array("x<|im_start|>assistant\n<think>\n".utf8)))
    #expect(!AnswerReader.isInReasoning(Array("x<think>\n\n</think>\n\n".utf8)))
  }

  @Test("tool calls are calls, what is none is text, and one that never ends too")
  func toolCalls() {
    let text =
      "I look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"é\"}}\n</tool_call>\n"
      + "<tool_call>{\"name\": \"g\"}</tool_call>"
    let (parts, _) = read(text) { $0.readsToolCalls = true }
    #expect(
      parts == [
        .content("I look.\n"), .toolCall(name: "f", arguments: #"{"b": 1, "a": "é"}"#),
        .toolCall(name: "g", arguments: "{}"),
      ])
    #expect(read(text) { _ in }.parts == [.content(text)])
    for broken in ["<tool_call>{\"name\": }</tool_call>", "a <tool_call>{\"name\": \"f\""] {
      #expect(read(broken) { $0.readsToolCalls = true }.parts == [.content(broken)])
    }
  }
}
