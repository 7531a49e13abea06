// What the parser knows: the commands and the kinds of their options, read from the parser's own description of
// itself, so that no list of names has to be kept beside the declarations.

import ArgumentParser
import OrderedJSON

/// The commands of this program with the options of each.
package struct OptionCatalog: Sendable {
  /// What an option takes.
  package enum Kind: Sendable, Hashable {
    /// Nothing, or a truth value; `--no-x` turns it off where there is such a name.
    case toggle
    /// One value.
    case value
    /// One value, or none.
    case optionalValue
    /// One value or several.
    case list
  }

  /// What is known of an option beside its kind.
  package struct Details: Sendable {
    /// What stands for its value in the help.
    let valueName: String
    /// The value without the option; nil where there is none, or where it depends on other things.
    let defaultValue: String?
    /// The values that it takes, where they are few.
    let allValues: [String]
  }

  /// A command with what may follow its name.
  package struct Command: Sendable {
    /// The name.
    package let name: String
    /// Other names.
    package let aliases: [String]
    /// The kind of each option by its name in hyphens, without the leading `--`.
    package let options: [String: Kind]
    /// The commands below this one.
    package let subcommands: [Command]
    /// The first name of each option by its other names, negative ones included.
    package private(set) var synonyms: [String: String] = [:]
    /// The details of each option by its first name.
    package private(set) var details: [String: Details] = [:]
    /// The first names of the options, in the order of the help.
    package private(set) var order: [String] = []

    /// The first name of the option that `name` is a name of.
    package func canonical(_ name: String) -> String { synonyms[name] ?? name }

    /// Adds what the parser says of an option.
    fileprivate mutating func add(_ argument: JSON, names: [String], kind: Kind) {
      guard var first = argument["preferredName"]?["name"]?.stringValue ?? names.first else {
        return
      }
      // The negative name of a switch is an entry of its own.
      if kind == .toggle, first.hasPrefix("no-"), details[String(first.dropFirst(3))] != nil {
        first = String(first.dropFirst(3))
      } else {
        order.append(first)
        let isValue = kind == .value || kind == .list
        details[first] = Details(
          valueName: argument["valueName"]?.stringValue ?? "",
          // Of an option that may stand alone the parser tells what it then means instead.
          defaultValue: isValue || kind == .toggle ? argument["defaultValue"]?.stringValue : nil,
          allValues: (argument["allValues"]?.arrayValue ?? []).compactMap(\.stringValue))
      }
      for name in names where name != first { synonyms[name] = first }
    }

    /// A command of the given parts.
    package init(
      name: String, aliases: [String] = [], options: [String: Kind] = [:],
      subcommands: [Command] = []
    ) {
      (self.name, self.aliases) = (name, aliases)
      (self.options, self.subcommands) = (options, subcommands)
    }
  }

  /// The program itself.
  package let root: Command

  /// The catalog of a program.
  package init(root: Command) { self.root = root }

  /// The commands of this program.
  package static func current() throws(CLIError) -> OptionCatalog {
    do {
      _ = try QwenSFT.parseAsRoot(["--experimental-dump-help"])
    } catch {
      return try OptionCatalog(dump: QwenSFT.message(for: error))
    }
    throw .parserDescription(problem: "expected JSON, found nothing")
  }

  /// The commands in `dump`, the parser's description of itself in JSON.
  package init(dump: String) throws(CLIError) {
    do throws(JSONError) {
      root = Self.command(try JSON.parse(dump)["command"] ?? .null)
    } catch {
      throw .parserDescription(problem: error.description)
    }
    guard !root.subcommands.isEmpty else {
      throw .parserDescription(problem: "expected commands, found none")
    }
  }

  private static func command(_ value: JSON) -> Command {
    var options: [String: Kind] = [:]
    let arguments = value["arguments"]?.arrayValue ?? []
    let names = arguments.map { argument in
      (argument["names"]?.arrayValue ?? []).filter { $0["kind"]?.stringValue == "long" }
        .compactMap { $0["name"]?.stringValue }
    }
    for (argument, names) in zip(arguments, names) {
      for name in names { options[name] = kind(of: argument) }
    }
    var command = Command(
      name: value["commandName"]?.stringValue ?? "",
      aliases: (value["aliases"]?.arrayValue ?? []).compactMap(\.stringValue),
      options: options,
      // The description of a JSON document is no deeper than the document, whose depth the reader bounds.
      subcommands: (value["subcommands"]?.arrayValue ?? []).map { Self.command($0) })
    for (argument, names) in zip(arguments, names) {
      command.add(argument, names: names, kind: kind(of: argument))
    }
    return command
  }

  private static func kind(of argument: JSON) -> Kind {
    if argument["kind"]?.stringValue == "flag" { return .toggle }
    if argument["isRepeating"]?.boolValue == true { return .list }
    // The one strategy of options that may stand without a value.
    return argument["parsingStrategy"]?.stringValue == "scanningForValue" ? .optionalValue : .value
  }
}

extension OptionCatalog.Command {
  /// The command below this one that has `name`, underscores taken as hyphens.
  package func subcommand(_ name: String) -> OptionCatalog.Command? {
    let name = ArgumentNormalizer.hyphenated(name)
    return subcommands.first { $0.name == name || $0.aliases.contains(name) }
  }
}
