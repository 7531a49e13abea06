// Rewrites an argument list, once, into the one form that the parser takes: option names in hyphens, switches
// without values, lists as repeated options. Values are never changed.

/// Turns command lines in the spelling of Hugging Face's scripts into the parser's.
///
/// Which token is a value follows Python's argparse: one that begins with a hyphen is an option, unless it is a
/// number, a lone hyphen or has white space; `--name=value` takes any value. Unlike argparse a token that begins
/// with a single hyphen and is no known option is a value too.
package struct ArgumentNormalizer: Sendable {
  private let catalog: OptionCatalog

  /// A normalizer for the commands of `catalog`.
  package init(catalog: OptionCatalog) { self.catalog = catalog }

  /// `arguments`, without the program's name, as the parser takes them.
  package func normalized(_ arguments: [String]) throws(UsageError) -> [String] {
    var state = State(command: catalog.root, path: catalog.root.name, rest: arguments[...])
    while let token = state.rest.popFirst() {
      if token == "--" {
        state.output += [token] + state.rest
        break
      }
      if token.utf8.starts(with: "--".utf8) {
        if Self.isOwnedByParser(token) {
          state.output += [token] + state.rest
          break
        }
        try state.takeOption(token)
      } else if token.utf8.first == 0x2D || state.command.subcommands.isEmpty {
        state.output.append(token)
      } else {
        try state.takeCommand(token)
      }
    }
    return state.output
  }

  /// `name` with hyphens for underscores.
  package static func hyphenated(_ name: String) -> String {
    String(decoding: name.utf8.map { $0 == 0x5F ? 0x2D : $0 }, as: UTF8.self)
  }

  /// `name` with underscores for hyphens.
  package static func underscored(_ name: String) -> String {
    String(decoding: name.utf8.map { $0 == 0x2D ? 0x5F : $0 }, as: UTF8.self)
  }

  /// Whether a token that follows an option is its value.
  static func isValue(_ token: String) -> Bool {
    let bytes = Array(token.utf8)
    guard bytes.first == 0x2D, bytes.count > 1 else { return true }
    if bytes.contains(where: { $0 == 0x20 || (0x09...0x0D).contains($0) }) { return true }
    if bytes[1] == 0x2D { return false }
    return token != "-h"
  }

  /// The truth value that `token` spells, as transformers reads it.
  static func boolean(_ token: String) -> Bool? {
    switch token.lowercased() {
    case "true", "yes", "t", "y", "1": true
    case "false", "no", "f", "n", "0": false
    default: nil
    }
  }

  /// Options that the parser has of itself and does not describe.
  private static func isOwnedByParser(_ token: String) -> Bool {
    ["--experimental-", "--generate-completion-script", "--help-hidden"].contains {
      token.utf8.starts(with: $0.utf8)
    }
  }
}

/// What has been read and written so far.
private struct State {
  var command: OptionCatalog.Command
  var path: String
  var rest: ArraySlice<String>
  var output: [String] = []

  mutating func takeCommand(_ token: String) throws(UsageError) {
    guard let next = command.subcommand(token) else {
      let known = command.subcommands.flatMap { [$0.name] + $0.aliases }
      throw .unknownCommand(
        name: token, parent: path, nearest: NearestName.find(token, in: known))
    }
    command = next
    path += " " + next.name
    output.append(next.name)
  }

  mutating func takeOption(_ token: String) throws(UsageError) {
    let body = token.utf8.dropFirst(2)
    let split = body.firstIndex(of: 0x3D)
    let written = String(decoding: body[..<(split ?? body.endIndex)], as: UTF8.self)
    let attached = split.map { String(decoding: body[body.index(after: $0)...], as: UTF8.self) }
    let name = ArgumentNormalizer.hyphenated(written)
    switch command.options[name] {
    case .toggle: setToggle(name, try truth(written, attached))
    case .value, .optionalValue:
      emit(name, value: attached ?? popValue())
    case .list:
      if let attached {
        emit(name, value: attached)
      } else {
        var value = popValue()
        repeat {
          emit(name, value: value)
          value = popValue()
        } while value != nil
      }
    case nil:
      guard let (positive, kind) = withoutNo(name) else {
        let nearest = NearestName.find(name, in: command.options.keys)
        throw .unknownOption(
          name: written, command: path,
          nearest: nearest.map {
            written.utf8.contains(0x5F) ? ArgumentNormalizer.underscored($0) : $0
          })
      }
      let isOff = try truth(written, attached)
      if kind == .toggle {
        setToggle(positive, !isOff)
      } else {
        emit(positive, value: isOff ? "false" : "true")
      }
    }
  }

  /// The option that `no-x` turns off, for options without such a name of their own.
  private func withoutNo(_ name: String) -> (name: String, kind: OptionCatalog.Kind)? {
    guard name.utf8.starts(with: "no-".utf8) else { return nil }
    let positive = String(decoding: name.utf8.dropFirst(3), as: UTF8.self)
    guard let kind = command.options[positive], kind == .toggle || kind == .optionalValue else {
      return nil
    }
    return (positive, kind)
  }

  /// The value of a switch: attached, or the next token where that is a truth value, else true.
  private mutating func truth(_ written: String, _ attached: String?) throws(UsageError) -> Bool {
    if let attached {
      guard let value = ArgumentNormalizer.boolean(attached) else {
        throw .notABoolean(option: written, value: attached)
      }
      return value
    }
    guard let next = rest.first, let value = ArgumentNormalizer.boolean(next) else { return true }
    rest.removeFirst()
    return value
  }

  /// Writes a switch; one that cannot be turned off is left out instead.
  private mutating func setToggle(_ name: String, _ isOn: Bool) {
    if isOn {
      output.append("--" + name)
    } else if command.options["no-" + name] != nil {
      output.append("--no-" + name)
    } else if let (positive, _) = withoutNo(name) {
      output.append("--" + positive)
    }
  }

  private mutating func popValue() -> String? {
    guard let next = rest.first, ArgumentNormalizer.isValue(next) else { return nil }
    return rest.removeFirst()
  }

  /// Writes an option: attached to its name only where the value could be taken for an option.
  private mutating func emit(_ name: String, value: String?) {
    guard let value else {
      output.append("--" + name)
      return
    }
    if value.utf8.first == 0x2D {
      output.append("--\(name)=\(value)")
    } else {
      output += ["--" + name, value]
    }
  }
}
