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
    for argument in value["arguments"]?.arrayValue ?? [] {
      for name in argument["names"]?.arrayValue ?? [] where name["kind"]?.stringValue == "long" {
        if let text = name["name"]?.stringValue { options[text] = kind(of: argument) }
      }
    }
    return Command(
      name: value["commandName"]?.stringValue ?? "",
      aliases: (value["aliases"]?.arrayValue ?? []).compactMap(\.stringValue),
      options: options,
      // The description of a JSON document is no deeper than the document, whose depth the reader bounds.
      subcommands: (value["subcommands"]?.arrayValue ?? []).map(command))
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
