// `--config FILE`: the options of a recipe, put before those of the command line, which win.

import ArgumentParser
import OrderedJSON

/// A recipe that has been compared with the options of a command.
struct Recipe {
  /// Its options as arguments, those left out that the command line gives too.
  private(set) var arguments: [String] = []
  /// Where each of them stands, by its name in hyphens.
  private(set) var places: [String: String] = [:]

  /// The options of `file` for the command at `path`; `given` are those of the command line.
  init(
    _ file: RecipeFile, for command: OptionCatalog.Command, path: [String], given: Set<String>,
    normalizer: ArgumentNormalizer
  ) throws {
    for entry in file.entries {
      let name = ArgumentNormalizer.hyphenated(entry.key)
      let place = entry.line.map { "\(file.path):\($0)" } ?? file.path
      func fault(_ problem: String) -> UsageError {
        RecipeFile.fault(file.path, entry.line, "\(entry.key): \(problem)")
      }
      let settings = command.options.keys.filter { !OptionCatalog.notSettings.contains($0) }
      guard let kind = command.options[name], !OptionCatalog.notSettings.contains(name) else {
        let nearest = NearestName.find(name, in: settings)
        throw RecipeFile.fault(
          file.path, entry.line,
          "unknown key '\(entry.key)'"
            + (nearest.map { "; did you mean '\(ArgumentNormalizer.underscored($0))'?" } ?? "")
            + " (see 'qwen-sft \(path.joined(separator: " ")) --help')")
      }
      let canonical = command.canonical(name)
      if let other = places[canonical] {
        throw fault("the same option is set already at \(other)")
      }
      places[canonical] = place
      let words = try Self.words(entry.value, name, kind, command, fault)
      try Self.check(try normalizer.normalized(path + words), canonical, command, fault)
      if !given.contains(canonical) { arguments += words }
    }
  }

  /// The arguments that say `value`.
  private static func words(
    _ value: RecipeValue, _ name: String, _ kind: OptionCatalog.Kind,
    _ command: OptionCatalog.Command, _ fault: (String) -> UsageError
  ) throws(UsageError) -> [String] {
    if case .null = value {
      throw fault("null is no value (leave the line out for the default)")
    }
    let valueName = command.details[command.canonical(name)]?.valueName ?? ""
    if kind == .toggle {
      let isOn: Bool? =
        switch value {
        case .bool(let isOn): isOn
        case .number(let text), .text(let text):
          text == "on" ? true : text == "off" ? false : ArgumentNormalizer.boolean(text)
        default: nil
        }
      guard let isOn else { throw fault("expected true or false, found \(value.description)") }
      return ["--\(name)=\(isOn)"]
    }
    if case .mapping = value {
      guard valueName == "json" else { throw fault("expected one value, found a mapping") }
      return ["--\(name)=\(value.json.serialized())"]
    }
    if case .list(let items) = value {
      guard kind == .list else { throw fault("expected one value, found a list") }
      var words: [String] = []
      for item in items { words.append("--\(name)=\(try scalar(item, valueName, fault))") }
      return words
    }
    let isLoose = kind == .optionalValue
    return ["--\(name)=\(try scalar(value, isLoose ? "" : valueName, fault))"]
  }

  /// The text of one value; paths and names must not be truth values or numbers.
  private static func scalar(
    _ value: RecipeValue, _ valueName: String, _ fault: (String) -> UsageError
  ) throws(UsageError) -> String {
    guard let text = value.scalar else {
      throw fault("expected one value, found \(value.description)")
    }
    guard ["dir", "file", "model", "text", "names"].contains(valueName) else { return text }
    switch value {
    case .bool, .number: throw fault("expected text, found \(text) (quote it where it is meant)")
    default: return text
    }
  }

  /// Lets the parser judge one option by itself, so that the message can name the place.
  private static func check(
    _ arguments: [String], _ canonical: String, _ command: OptionCatalog.Command,
    _ fault: (String) -> UsageError
  ) throws {
    do {
      _ = try QwenSFT.parseAsRoot(arguments)
    } catch {
      let message = QwenSFT.message(for: error)
      let own = "--\(ArgumentNormalizer.underscored(canonical)): "
      if message.hasPrefix(own) { throw fault(String(message.dropFirst(own.count))) }
      // Options that need others are judged together with them.
      guard message.hasPrefix("The value '") else { return }
      let value = command.values(of: arguments)[canonical]?.last ?? ""
      throw fault("expected \(command.expectation(of: canonical)), found '\(value.prefix(80))'")
    }
  }
}

extension OptionCatalog {
  /// Options that say nothing about the work.
  static let notSettings: Set<String> = ["help", "version", "config"]
}

extension OptionCatalog.Command {
  /// What `canonical` takes, in words.
  func expectation(of canonical: String) -> String {
    guard let details = details[canonical] else { return "another value" }
    if !details.allValues.isEmpty { return "one of " + details.allValues.joined(separator: ", ") }
    if let text = details.defaultValue {
      if Int(text) != nil { return "a whole number" }
      if Double(text) != nil { return "a number" }
    }
    return ["n", "tokens"].contains(details.valueName) ? "a whole number" : "another value"
  }
}
