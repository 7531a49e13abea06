// An Ollama Modelfile beside an exported file. Ollama has templates of its own kind (Go's): for models whose own template
// renders ChatML one is written that renders the same; for others Ollama takes the template inside the file.

import ChatTemplate
import Files
import OrderedJSON
import SFT

/// The text of a Modelfile.
package struct Modelfile: Sendable {
  /// What `FROM` names, and `ADAPTER` where there is one.
  private let from: String, adapter: String?
  private let template: String?
  private let system: String?
  private let stops: [String]
  private let parameters: [(name: String, value: String)]

  /// The file for a model whose tokenizer, template and settings are in `folder`. `stops` are the texts that end an answer.
  package init(from: String, adapter: String?, folder: String, stops: [String]) {
    (self.from, self.adapter, self.stops) = (from, adapter, stops)
    let form = ChatForm(folder: folder)
    (template, system) = (form?.goTemplate, form?.defaultSystem)
    parameters = Self.parameters(folder)
  }

  /// Writes the file to `path`.
  package func write(to path: String) throws(ExportError) {
    do throws(FileError) { try AtomicFile.write(text, to: path) } catch { throw .file(error) }
  }

  /// The content.
  package var text: String {
    var lines = ["FROM \(Self.quotedPath(from))"]
    if let adapter { lines.append("ADAPTER \(Self.quotedPath(adapter))") }
    if let template { lines.append("TEMPLATE \"\"\"\(template)\"\"\"") }
    if let system { lines.append("SYSTEM \"\"\"\(system)\"\"\"") }
    for stop in stops where !stop.contains("\"") && !stop.contains("\n") {
      lines.append("PARAMETER stop \"\(stop)\"")
    }
    for (name, value) in parameters { lines.append("PARAMETER \(name) \(value)") }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func quotedPath(_ path: String) -> String {
    path.contains(" ") ? "\"\(path)\"" : path
  }

  /// What generation_config.json recommends, by Ollama's names.
  private static func parameters(_ folder: String) -> [(String, String)] {
    let path = FileSystem.join(folder, "generation_config.json")
    guard let bytes = try? FileSystem.readFile(path, maximumByteCount: 1 << 20),
      let json = try? JSON.parse(bytes)
    else { return [] }
    var result: [(String, String)] = []
    for (key, name) in [
      ("temperature", "temperature"), ("top_p", "top_p"), ("top_k", "top_k"), ("min_p", "min_p"),
      ("repetition_penalty", "repeat_penalty"),
    ] {
      guard let value = json[key], let number = value.doubleValue, number.isFinite else { continue }
      result.append((name, value.integerValue.map { "\($0)" } ?? "\(number)"))
    }
    return result
  }
}

/// How a ChatML template renders a dialogue, found out by rendering some.
private struct ChatForm {
  /// The system message that is there unasked; nil for none.
  let defaultSystem: String?
  /// What follows the header of the assistant's turn where the model is to answer.
  let answerStart: String
  /// Whether tools are rendered in Qwen's way.
  let hasTools: Bool

  private static let header = "<|im_start|>"
  private static let end = "<|im_end|>\n"

  /// Nil where the template of `folder` is none or renders something else.
  init?(folder: String) {
    guard let encoder = try? ConversationEncoder(folder: folder) else { return nil }
    func rendered(_ messages: [(String, String)], tools: JSON? = nil) -> String? {
      let conversation = Conversation(
        messages: messages.map {
          JSONObject([("role", .string($0.0)), ("content", .string($0.1))])
        }, tools: tools)
      return try? encoder.text(of: conversation, addGenerationPrompt: true)
    }
    func turn(_ role: String, _ text: String) -> String {
      "\(Self.header)\(role)\n\(text)\(Self.end)"
    }
    guard let plain = rendered([("user", "U-1")]),
      let user = plain.firstRange(of: turn("user", "U-1")),
      let whole = rendered([
        ("system", "S-1"), ("user", "U-1"), ("assistant", "A-1"), ("user", "U-2"),
      ])
    else { return nil }
    let answer = "\(Self.header)assistant\n"
    let tail = plain[user.upperBound...]
    let head = plain[..<user.lowerBound]
    guard tail.hasPrefix(answer) else { return nil }
    answerStart = String(tail.dropFirst(answer.count))
    let expected =
      turn("system", "S-1") + turn("user", "U-1") + turn("assistant", "A-1") + turn("user", "U-2")
    guard whole == expected + tail, !answerStart.contains("\"\"\""), !answerStart.contains("{{")
    else { return nil }
    if head.isEmpty {
      defaultSystem = nil
    } else {
      let start = "\(Self.header)system\n"
      guard head.hasPrefix(start), head.hasSuffix(Self.end), !head.contains("\"\"\"") else {
        return nil
      }
      defaultSystem = String(head.dropFirst(start.count).dropLast(Self.end.count))
    }
    let tool: JSON = [
      "type": "function",
      "function": ["name": "f", "description": "d", "parameters": ["type": "object"]],
    ]
    let withTools = rendered([("system", "S-1"), ("user", "U-1")], tools: .array([tool])) ?? ""
    hasTools =
      withTools.contains("<tools>\n{\"type\": \"function\", \"function\": {\"name\"")
      && withTools.contains("{\"name\": <function-name>, \"arguments\": <args-json-object>}")
  }

  /// The same form as a template of Ollama's. Line ends outside braces are text, so there are few.
  var goTemplate: String {
    let tools = """
      {{ if .Tools }}{{ if .System }}

      {{ end }}# Tools

      You may call one or more functions to assist with the user query.

      You are provided with function signatures within <tools></tools> XML tags:
      <tools>{{ range .Tools }}
      {"type": "function", "function": {{ .Function }}}{{ end }}
      </tools>

      For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
      <tool_call>
      {"name": <function-name>, "arguments": <args-json-object>}
      </tool_call>{{ end }}
      """
    let calls = """
      {{ range $j, $call := $m.ToolCalls }}{{ if or $j $m.Content }}
      {{ end }}<tool_call>
      {"name": "{{ $call.Function.Name }}", "arguments": {{ $call.Function.Arguments }}}
      </tool_call>{{ end }}
      """
    let response = """
      {{ else if eq $m.Role "tool" }}<|im_start|>user
      <tool_response>
      {{ $m.Content }}
      </tool_response><|im_end|>

      """
    return """
      {{- if \(hasTools ? "or .System .Tools" : ".System") }}<|im_start|>system
      {{ .System }}\(hasTools ? tools : "")<|im_end|>
      {{ end }}{{ range $i, $m := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 -}}
      {{ if eq $m.Role "user" }}<|im_start|>user
      {{ $m.Content }}<|im_end|>
      {{ else if eq $m.Role "assistant" }}<|im_start|>assistant
      {{ $m.Content }}\(hasTools ? calls : ""){{ if not $last }}<|im_end|>
      {{ end }}\(hasTools ? response : ""){{ end }}{{ if and $last (ne $m.Role "assistant") }}<|im_start|>assistant
      \(answerStart){{ end }}{{ end }}
      """
  }
}
