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
    let warnings = faults.count { $0["usable"] == .bool(true) }
    #expect(warnings == 9 && report["warning_count"] == .integer(warnings))
    #expect(report["fault_count"] == .integer(expected.count - warnings))
    #expect(report["is_whole"] == true)
    #expect(report["rows_over"] == 2 && report["rows_cut_off"] == 1)
    #expect(
      report["warning_kinds"]?["duplicate"] == 1 && report["fault_kinds"]?["duplicate"] == nil)
    #expect(report["fault_kinds"]?["bad_json"] == 1 && report["warning_kinds"]?["bad_json"] == nil)
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
    let report = try JSON.parse(program.run(["data", "check", "--data", path, "--json"]).output)
    #expect(report["fault_count"] == 0 && report["warning_count"] == 1)
    #expect(report["fault_kinds"] == [:] && report["warning_kinds"] == ["duplicate": 1])
  }

  @Test("duplicates are found across files and a file given twice, each with its first place")
  func duplicates() throws {
    let rows = (0..<2000).map { turn("\"\($0 % 1500)\"") + "\n" }
    let first = try program.folder.write("\n" + rows.joined(), to: "a.jsonl")
    let second = try program.folder.write(turn(#""new""#) + "\n" + rows[7], to: "b.jsonl")
    let outcome = try program.run(["data", "check", "--json", "--data", first, second, second])
    let report = try JSON.parse(outcome.output)
    #expect(outcome.code == 0 && report["rows"] == 2004 && report["duplicate_rows"] == 503)
    let problems = try #require(report["faults"]?.arrayValue).map {
      "\($0["line"]?.integerValue ?? 0) \($0["problem"]?.stringValue ?? "")"
    }
    let expected =
      (0..<500).map { "\($0 + 1502) the same row as \(first):\($0 + 2)" } + [
        "2 the same row as \(first):9", "1 the same row as \(second):1",
        "2 the same row as \(first):9",
      ]
    #expect(problems == expected)
  }

  @Test("data that is damaged in the middle leaves a report on the rows before it, and the place")
  func damaged() throws {
    let good = try program.folder.write(turn(#""good""#) + "\n", to: "good.jsonl")
    let array = try program.folder.write("[\n\(turn(#""c""#)),\n]", to: "array.json")
    let packed = program.folder.url("cut.jsonl.gz")
    try Data(Self.packedRows.dropLast(12)).write(to: packed)
    for (path, rows, place) in [
      (array, 1, "array.json:3: bad JSON: "), ("missing.jsonl", 1, "missing.jsonl"),
      (packed.path, 3, "cut.jsonl.gz:3: the gzip data ends early, at byte 88 of the file (copy"),
    ] {
      let outcome = try program.run(["data", "check", "--json", "--data", good, path])
      #expect(outcome.code == 1 && outcome.faults.count == 1)
      #expect(outcome.faults.first?.contains(place) == true, "\(outcome.errors)")
      let report = try JSON.parse(outcome.output)
      #expect(report["rows"] == .integer(rows) && report["usable_rows"] == .integer(rows))
      #expect(report["is_whole"] == false && report["fault_kinds"] == ["unreadable_file": 1])
      let table = try program.run(["data", "check", "--data", good, path]).output
      #expect(table.contains(place) && table.contains("the rest was not read"))
    }
  }

  @Test("a last turn that the template leaves open is told once")
  func openTurns() throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "open")
    try program.folder.write(
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}"
        + "{% if not loop.last %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}",
      to: "open/chat_template.jinja")
    let rows = (0..<3).map { turn("\"answer \($0)\"") }
    let path = try program.folder.write(rows.joined(separator: "\n"), to: "a.jsonl")
    for command in [
      ["data", "check"], ["data", "check", "--json"], ["data", "tokenize"], ["evaluate"],
    ] {
      let outcome = try program.run(command + ["--model", model.path, "--data", path])
      #expect(outcome.code == 0)
      let told = outcome.errorLines.filter { $0.contains("<|im_end|> was appended") }
      #expect(told.count == 1 && told.first?.contains(" 3 rows") == true, "\(outcome.errors)")
      let whole = try program.run(command + ["--data", path])
      #expect(!whole.errors.contains("was appended"))
    }
  }

  @Test("a turn that is empty without its reasoning is a warning, and what trains nothing a fault")
  func emptied() throws {
    let rows = [
      turn(#""<think>\nx\n</think>\n\n""#), turn(#""<think>\nx\n</think>\n\ny""#),
      turn(#""<think>x</think>""#, #", "tool_calls": [{"name": "f", "arguments": {}}]"#),
    ]
    let path = try program.folder.write(rows.joined(separator: "\n"), to: "a.jsonl")
    let options = ["--train_thinking", "strip", "--data", path]
    let outcome = try program.run(["data", "check", "--json"] + options)
    #expect(outcome.code == 0)
    let found = try #require(JSON.parse(outcome.output)["faults"]?.arrayValue).filter {
      $0["kind"] == "emptied_turn"
    }
    #expect(found.map { $0["line"] } == [1])
    #expect(found.first?["problem"]?.stringValue?.hasPrefix("messages[1].content: ") == true)
    let plain = try program.run(["data", "check", "--json", "--data", path]).output
    #expect(!plain.contains("emptied_turn"))
    let model = try program.folder.copy("Fixtures/demo-model", to: "blocks")
    try program.folder.write(
      "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        + "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
      to: "blocks/chat_template.jinja")
    let one = try program.folder.write(rows[0], to: "one.jsonl")
    let blocks = ["--train_thinking", "strip", "--data", one, "--model", model.path]
    let checked = try program.run(["data", "check", "--json"] + blocks)
    #expect(checked.code == 1 && checked.output.contains("nothing_trained"))
    let output = program.folder.url("out").path
    let trained = try program.run(["train", "--output_dir", output] + blocks)
    #expect(trained.code == 1 && trained.errors.contains("one.jsonl:1: nothing trained"))
  }

  @Test("a template's fault names its file once, with line and expression")
  func templateFaults() throws {
    let path = try program.folder.write(turn(#""a""#), to: "a.jsonl")
    let fault = "\n{{ messages[0].content.nothing.at_all }}"
    func errors(_ file: String, _ text: String, _ name: String) throws -> String {
      let model = try program.folder.copy("Fixtures/demo-model", to: name)
      try FileManager.default.removeItem(at: model.appendingPathComponent("chat_template.jinja"))
      try program.folder.write(text, to: "\(name)/\(file)")
      let outcome = try program.run(["data", "render", "--model", model.path, "--data", path])
      #expect(outcome.code == 1 && outcome.faults.count == 1)
      return outcome.errors
    }
    #expect(
      try errors("chat_template.jinja", fault, "own").contains(
        "a.jsonl:1: chat_template.jinja:2: UndefinedError: "))
    let whole = JSON.object(["chat_template": .string(fault)]).serialized()
    #expect(
      try errors("tokenizer_config.json", whole, "one").contains(
        "a.jsonl:1: tokenizer_config.json, chat_template:2: UndefinedError: "))
    let list: JSON = ["chat_template": [["name": "default", "template": .string(fault)]]]
    #expect(
      try errors("tokenizer_config.json", list.serialized(), "list").contains(
        "a.jsonl:1: tokenizer_config.json, chat_template default:2: UndefinedError: "))
    #expect(
      try errors("chat_template.jinja", "\n\n{% if %}", "syntax").contains(
        "/syntax/chat_template.jinja:3: "))
  }

  @Test("variables that rendering sets itself are wrong usage")
  func reserved() throws {
    let path = try program.folder.write(turn(#""a""#), to: "a.jsonl")
    for name in ["messages", "tools", "documents", "add_generation_prompt"] {
      for command in [["data", "check"], ["data", "render"], ["evaluate"], ["train"]] {
        let outcome = try program.run(
          command + ["--data", path, "--template_kwargs", "{\"x\": 1, \"\(name)\": []}"])
        #expect(outcome.code == 64 && outcome.output.isEmpty)
        #expect(outcome.errors.contains("--template_kwargs: ") && outcome.errors.contains(name))
      }
    }
    let chat = try program.run(["chat", "--prompt", "a", "--template_kwargs", "{\"tools\": 1}"])
    #expect(chat.code == 64)
    let list = try program.run(["chat", "--prompt", "a", "--template_kwargs", "[1]"])
    #expect(list.code == 64)
  }

  @Test("rows of plain text need no chat template, and others say that there is none")
  func plainText() throws {
    let model = try program.folder.copy("Fixtures/demo-model", to: "base")
    try FileManager.default.removeItem(at: model.appendingPathComponent("chat_template.jinja"))
    let text = try program.folder.write(#"{"text": "once"}"#, to: "text.jsonl")
    for command in [["data", "check"], ["data", "tokenize"], ["data", "render"], ["evaluate"]] {
      let outcome = try program.run(
        command + ["--model", model.path, "--data", text, "--data_format", "text"])
      #expect(outcome.code == 0 && outcome.faults.isEmpty, "\(outcome.errors)")
    }
    let messages = try program.folder.write(turn(#""a""#), to: "a.jsonl")
    for command in [
      ["data", "check", "--data", messages], ["evaluate", "--data", messages],
      ["chat", "--prompt", "a"],
    ] {
      let outcome = try program.run(command + ["--model", model.path])
      #expect(outcome.code == 1 && outcome.errors.contains("expected chat_template.jinja"))
    }
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

  /// Three rows, packed by gzip.compress of Python.
  private static let packedRows: [UInt8] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 202, 77, 45, 46, 78, 76, 79, 45, 86, 178, 82, 136,
    174, 86, 42, 202, 207, 73, 5, 178, 148, 74, 139, 83, 139, 148, 116, 20, 148, 146, 243, 243,
    74, 82, 243, 74, 64, 66, 133, 74, 181, 58, 10, 8, 21, 137, 197, 197, 153, 197, 37, 137, 64,
    57, 84, 101, 249, 121, 169, 74, 181, 177, 181, 92, 213, 84, 55, 185, 164, 60, 159, 86, 38,
    103, 20, 165, 66, 92, 13, 0, 188, 23, 95, 174, 16, 1, 0, 0,
  ]
}
