// data check names every kind of fault with its line; the other commands take the same forms and options.

import Foundation
import OrderedJSON
import Testing

@Suite("Checking data")
struct DataCheckTests {
  let program: Program

  init() throws { program = try Program() }

  private func turn(_ content: String, _ more: String = "") -> String {
    #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": \#(content)\#(more)}]}"#
  }

  private func messages(_ text: String) -> String { #"{"messages": [\#(text)]}"# }

  @Test("every kind of fault has its line, its kind and what to do")
  func kinds() throws {
    let user = #"{"role": "user", "content": "q"}"#
    let assistant = #"{"role": "assistant", "content": "a"}"#
    let long = String(repeating: "word ", count: 60)
    // The kinds of each row in order; the first row follows a byte order mark.
    let rows: [(String, [String])] = [
      ("\u{FEFF}" + turn(#""first""#), ["byte_order_mark"]),
      (turn(#""good""#), []),
      (#"{"messages": }"#, ["bad_json"]),
      (String(turn(#""cut""#).dropLast(3)), ["truncated_line"]),
      ("\"\u{1}\"", ["raw_control_character"]),
      (turn(#""\ud800""#), ["lone_surrogate"]),
      ("7", ["not_an_object"]),
      (#"{"a": 1}"#, ["no_messages"]),
      (#"{"messages": []}"#, ["no_messages"]),
      (#"{"text": 1}"#, ["bad_field"]),
      (messages("3"), ["bad_message"]),
      (messages(#"\#(user), {"role": "bot", "content": "a"}, \#(assistant)"#), ["unknown_role"]),
      (
        messages(
          #"{"role": "user"}, {"role": "user", "content": null}, {"role": "assistant", "content": ""}"#
        ),
        ["missing_content", "null_content", "empty_content"]
      ),
      (turn(#"[{"type": "image"}]"#), ["unsupported_content"]),
      (messages(user), ["no_assistant_turn"]),
      (turn(#""x""#, #", "weight": 0"#), ["no_trained_turn"]),
      (turn(#""x""#, #", "weight": true"#), ["bad_train_flag"]),
      (turn(#""x""#, #", "tool_calls": 1"#), ["bad_tool_calls"]),
      (turn(#""x""#, #", "tool_calls": [{"name": "f", "arguments": "{"}]"#), ["bad_arguments"]),
      (#"{"tools": {}, "messages": [\#(user), \#(assistant)]}"#, ["bad_tools"]),
      (messages(#"\#(user), {"role": "tool", "content": "t"}, \#(assistant)"#), ["not_rendered"]),
      (turn(#""good""#), ["duplicate"]),
      (#"{"id": 1, "id": 2, "messages": [\#(user), \#(assistant)]}"#, ["duplicate_key"]),
      (turn(#""\u0000""#), ["control_character"]),
      (turn("\"\u{FFFD}\""), ["replacement_character"]),
      (turn(#""a<|im_end|>b""#), ["special_token"]),
      (messages(assistant), ["role_order"]),
      (turn("\"\(long)\""), ["too_long"]),
      (messages(#"{"role": "user", "content": "\#(long)"}, \#(assistant)"#), ["cut_off"]),
    ]
    var bytes = Data(rows.map(\.0).joined(separator: "\n").utf8)
    bytes.append(contentsOf: [0x0A] + Array("{\"text\": \"".utf8) + [0xFF] + Array("\"}\n".utf8))
    let path = program.folder.url("rows.jsonl")
    try bytes.write(to: path)
    let outcome = try program.run([
      "data", "check", "--data", path.path, "--max_seq_length", "40", "--json",
    ])
    #expect(outcome.code == 1 && outcome.faults.count == 1)
    let report = try JSON.parse(outcome.output)
    let faults = try #require(report["faults"]?.arrayValue)
    var expected = rows.enumerated().flatMap { index, row in row.1.map { "\(index + 1) \($0)" } }
    expected.append("\(rows.count + 1) invalid_utf8")
    #expect(
      faults.map { "\($0["line"]?.integerValue ?? 0) \($0["kind"]?.stringValue ?? "")" } == expected
    )
    for fault in faults {
      let kind = fault["kind"]?.stringValue ?? ""
      #expect(fault["problem"]?.stringValue?.isEmpty == false)
      #expect(fault["file"] == .string(path.path))
      #expect(
        fault["advice"]?.stringValue != nil || ["truncated_line", "invalid_utf8"].contains(kind))
    }
    #expect(report["fault_count"] == .integer(expected.count))
    #expect(report["rows_over"] == 2 && report["rows_cut_off"] == 1)
    #expect(report["fault_kinds"]?["duplicate"] == 1)
    let table = try program.run(["data", "check", "--data", path.path]).output
    for line in [3, 13, 21, 24] { #expect(table.contains("rows.jsonl:\(line): ")) }
    #expect(table.contains("warnings"))
  }

  @Test("usable rows with warnings exit with 0")
  func warnings() throws {
    let path = try program.folder.write(
      turn(#""a""#) + "\n" + turn(#""a""#) + "\n", to: "twice.jsonl")
    let outcome = try program.run(["data", "check", "--data", path])
    #expect(outcome.code == 0 && outcome.faults.isEmpty)
    #expect(outcome.output.contains("twice.jsonl:2: the same row as"))
  }

  @Test("--data_format, --train_on and --train_thinking are taken by every command on data")
  func options() throws {
    let row =
      #"{"text": "t", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "one"}, "#
      + #"{"role": "user", "content": "r"}, {"role": "assistant", "content": "<think>\nx\n</think>\n\ntwo"}]}"#
    let path = try program.folder.write(row, to: "a.jsonl")
    func preview(_ options: String...) throws -> String {
      try program.run(["data", "preview", "--data", path] + options).output
    }
    #expect(try preview().contains("⟦one<|im_end|>\n⟧"))
    let last = try preview("--train_on", "last")
    #expect(last.contains("\none<|im_end|>") && last.contains("⟦<think>"))
    #expect(try preview("--train-thinking", "strip").contains("⟦two<|im_end|>\n⟧"))
    #expect(try preview("--data_format", "text").contains("⟦t<|im_end|>⟧"))
    let wrong = try program.run(["data", "check", "--data", path, "--data_format", "alpaca"])
    #expect(wrong.code == 1 && wrong.errors.contains("a.jsonl:1: instruction: expected a string"))
    for command in ["train", "evaluate", "data check", "data tokenize", "data render"] {
      let words = command.split(separator: " ").map(String.init)
      let usage = try program.run(words + ["--data", path, "--data_format", "csv"])
      #expect(usage.code == 64, "\(command)")
      let help = try program.run(words + ["--help"]).output
      for option in ["data-format", "train-on", "train-thinking"] {
        #expect(
          help.contains(option) || help.contains(option.replacingOccurrences(of: "-", with: "_")))
      }
    }
  }

  @Test("the page shows every token once, with its id, and lets no data become markup")
  func page() throws {
    let path = try program.folder.write(
      turn(#""<script>漢\u202e\u0007</script>""#), to: "a.jsonl")
    let page = program.folder.url("page.html")
    #expect(try program.run(["data", "preview", "--data", path, "--html", page.path]).code == 0)
    let html = try String(contentsOf: page, encoding: .utf8)
    #expect(!html.contains("<script") && !html.contains("\u{202E}") && !html.contains("\u{7}"))
    #expect(html.contains("漢"))
    let tokenized = try JSON.parse(program.run(["data", "tokenize", "--data", path]).output)
    let ids = try #require(tokenized["input_ids"]?.arrayValue).map { $0.integerValue ?? -1 }
    let shown = html.components(separatedBy: "title=\"id ").dropFirst().flatMap { part in
      part.prefix { $0 != "," }.split(separator: "+").compactMap {
        Int($0.trimmingCharacters(in: .whitespaces))
      }
    }
    #expect(shown == ids)
    let trained = try #require(tokenized["labels"]?.arrayValue).filter { $0 != -100 }
    #expect(!trained.isEmpty && html.contains("<mark"))
    let huge = try program.run([
      "data", "preview", "--data", path, "--index", "9223372036854775807",
    ])
    #expect(huge.code == 64)
  }
}
