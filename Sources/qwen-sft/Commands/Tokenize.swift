// `qwen-sft tokenize`: text to token ids and back, a line each.

import ArgumentParser
import Hub
import OrderedJSON
import Tokenizer

/// Turns JSON strings into token ids, or the reverse.
struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turns text into token ids, and back.",
    discussion: """
      Standard input is a JSON string a line; a JSON array of ids a line comes out. With --decode it is \
      the reverse.
      """)

  @OptionGroup var model: ModelOptions

  @Flag(help: "From ids to text.")
  var decode = false

  @Flag(help: "With --decode: leave special tokens out.")
  var skipSpecialTokens = false

  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    if skipSpecialTokens, !decode {
      throw ValidationError("--skip_special_tokens: expected --decode with it")
    }
  }

  mutating func run() throws {
    try common.startWithoutDevice()
    let tokenizer = try Tokenizer(directory: model.folder(.tokenizer))
    let (decode, skipsSpecialTokens) = (decode, skipSpecialTokens)
    var input = StandardInput()
    while let lines = try input.next() {
      let results = parallelMap(lines) { line in
        Result { () throws(CLIError) in
          decode
            ? try Self.decoded(line, tokenizer, skipsSpecialTokens: skipsSpecialTokens)
            : try Self.encoded(line, tokenizer)
        }
      }
      for result in results { try StandardOutput.write(try result.get() + [0x0A]) }
      try StandardOutput.flush()
    }
  }

  private static func encoded(_ line: StandardInput.Line, _ tokenizer: Tokenizer) throws(CLIError)
    -> [UInt8]
  {
    guard case .string(let text) = try value(of: line) else {
      throw try fault(line, expected: "a JSON string")
    }
    return JSON.array(tokenizer.encode(text).map { .integer(Int($0)) }).serializedBytes()
  }

  private static func decoded(
    _ line: StandardInput.Line, _ tokenizer: Tokenizer, skipsSpecialTokens: Bool
  ) throws(CLIError) -> [UInt8] {
    guard case .array(let items) = try value(of: line) else {
      throw try fault(line, expected: "a JSON array of token ids")
    }
    var ids: [Int32] = []
    ids.reserveCapacity(items.count)
    for (index, item) in items.enumerated() {
      guard let id = item.integerValue.flatMap(Int32.init(exactly:)), id >= 0 else {
        throw .line(
          input: StandardInput.name, line: line.number,
          problem: "[\(index)]: expected a token id, found \(item.kindDescription)"
            + (item.integerValue.map { " (\($0))" } ?? ""))
      }
      ids.append(id)
    }
    let text = tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens)
    return JSON.string(text).serializedBytes()
  }

  private static func value(of line: StandardInput.Line) throws(CLIError) -> JSON {
    do throws(JSONError) { return try JSON.parse(line.bytes) } catch {
      throw .line(
        input: StandardInput.name, line: line.number,
        problem: "bad JSON: \(error.message), column \(error.position.column)")
    }
  }

  private static func fault(_ line: StandardInput.Line, expected: String) throws(CLIError)
    -> CLIError
  {
    .line(
      input: StandardInput.name, line: line.number,
      problem: "expected \(expected), found \(try value(of: line).kindDescription)")
  }
}
