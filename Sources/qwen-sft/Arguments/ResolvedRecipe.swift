// recipe.yaml: every setting that a run was made with, as a recipe that makes it again.

import Files
import OrderedJSON
import Report

/// The settings of a command line, defaults included.
struct ResolvedRecipe {
  /// Option names with underscores, and their values in YAML.
  private(set) var settings: [(key: String, value: String)] = []

  /// Options that belong to one run of the program, not to what it makes.
  private static let leftOut: Set<String> = ["resume-from-checkpoint", "verbose", "json"]

  /// The settings of `expansion`; `resolved` are values that stand for options without a default of their own.
  init(_ expansion: RecipeExpansion, resolved: [String: String]) {
    let command = expansion.command
    let given = command.values(of: Array(expansion.arguments.dropFirst(expansion.path.count)))
    for name in command.order
    where !OptionCatalog.notSettings.contains(name) && !Self.leftOut.contains(name) {
      let details = command.details[name]
      let key = ArgumentNormalizer.underscored(name)
      let kind = command.options[name]
      if let values = given[name] {
        let texts = values.map { kind == .toggle ? $0 : Self.scalar($0, details) }
        settings.append((key, kind == .list ? "[\(texts.joined(separator: ", "))]" : texts[0]))
      } else if let value = resolved[name] {
        settings.append((key, kind == .toggle ? value : Self.scalar(value, details)))
      } else if let value = details?.defaultValue {
        settings.append(
          (key, kind == .toggle ? "\(!value.hasPrefix("--no-"))" : Self.scalar(value, details)))
      }
    }
  }

  /// The file's content.
  var text: String {
    "# Every setting of this run. To make it again: qwen-sft train --config THIS_FILE --output_dir ELSEWHERE\n"
      + settings.map { "\($0.key): \($0.value)\n" }.joined()
  }

  /// Writes recipe.yaml into `folder`.
  func write(to folder: String) throws(CLIError) {
    do throws(FileError) {
      try FileSystem.makeFolder(folder)
      try AtomicFile.write(text, to: FileSystem.join(folder, "recipe.yaml"))
    } catch { throw .file(error) }
  }

  /// `text` as one value of YAML that is read back as the same text.
  static func scalar(_ text: String, _ details: OptionCatalog.Details? = nil) -> String {
    let isTextual = ["dir", "file", "model", "text", "names"].contains(details?.valueName)
    if case .number(let number) = RecipeValue(plain: text), number == text, !isTextual {
      return text
    }
    let isWord =
      !text.isEmpty
      && text.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
          || $0 == 0x5F || $0 == 0x2F || $0 == 0x2E
      }
    // Words that some reader takes for a truth value, a number or nothing are quoted.
    let reserved: Set<String> = ["yes", "no", "on", "off", "y", "n", "null", "true", "false"]
    if isWord, case .text = RecipeValue(plain: text), !reserved.contains(text.lowercased()),
      text.utf8.first.map({ (0x41...0x7A).contains($0) || $0 == 0x2F }) ?? false
    {
      return text
    }
    if text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) {
      return "'"
        + text.utf8.split(separator: 0x27, omittingEmptySubsequences: false)
        .map { String(decoding: $0, as: UTF8.self) }.joined(separator: "''") + "'"
    }
    return MarkdownText.yaml(text)
  }
}
