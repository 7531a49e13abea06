// From a command line that names a recipe to one that needs none.

import Synchronization

/// A normalised command line with the options of its recipe.
struct RecipeExpansion {
  /// The arguments: the command, the recipe's options, those of the command line.
  let arguments: [String]
  /// The names of the command and of those above it.
  let path: [String]
  /// The command itself.
  let command: OptionCatalog.Command
  /// Where the recipe sets an option, by its name in hyphens.
  let places: [String: String]

  /// Expands `arguments`, which the normalizer has written.
  init(_ arguments: [String], catalog: OptionCatalog) throws {
    var command = catalog.root
    var count = 0
    while count < arguments.count, let next = command.subcommand(arguments[count]) {
      command = next
      count += 1
    }
    let path = Array(arguments.prefix(count))
    let own = Array(arguments.dropFirst(count))
    (self.path, self.command) = (path, command)
    let given = command.values(of: own)
    guard let files = given["config"], let file = files.last else {
      (self.arguments, places) = (arguments, [:])
      return
    }
    guard files.count == 1 else {
      throw UsageError.recipe(place: "--config", problem: "expected one recipe, found several")
    }
    let normalizer = ArgumentNormalizer(catalog: catalog)
    let recipe = try Recipe(
      RecipeFile(path: file), for: command, path: path, given: Set(given.keys),
      normalizer: normalizer)
    self.arguments = try normalizer.normalized(path + recipe.arguments) + own
    places = recipe.places.filter { given[$0.key] == nil }
  }

  /// What the process runs.
  static var current: RecipeExpansion? {
    get { stored.withLock { $0 } }
    set { stored.withLock { $0 = newValue } }
  }

  private static let stored = Mutex<RecipeExpansion?>(nil)

  /// `message` with the place where the recipe sets the option that it is about.
  func explained(_ message: String) -> String {
    guard message.hasPrefix("--"), let end = message.firstIndex(of: ":") else { return message }
    let name = ArgumentNormalizer.hyphenated(
      String(message[message.index(message.startIndex, offsetBy: 2)..<end]))
    guard let place = places[command.canonical(name)] else { return message }
    return "\(place): \(message.dropFirst(2))"
  }
}

extension OptionCatalog.Command {
  /// The values that normalised arguments give to each option, by its canonical name; truth values of switches as
  /// "true" and "false".
  func values(of arguments: [String]) -> [String: [String]] {
    var result: [String: [String]] = [:]
    var rest = arguments[...]
    while let token = rest.popFirst(), token != "--" {
      guard token.utf8.starts(with: "--".utf8) else { continue }
      let parts = token.dropFirst(2).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      let canonical = canonical(name)
      switch options[name] {
      case .toggle:
        let isNegative = name.hasPrefix("no-") && options[String(name.dropFirst(3))] != nil
        result[canonical] = [isNegative ? "false" : "true"]
      case .value, .optionalValue, .list:
        var value = parts.count > 1 ? String(parts[1]) : nil
        if value == nil, let next = rest.first, ArgumentNormalizer.isValue(next) {
          value = rest.removeFirst()
        }
        if options[name] == .list {
          result[canonical, default: []].append(value ?? "")
        } else if name == "config" {
          result[canonical, default: []].append(value ?? "")
        } else {
          result[canonical] = [value ?? "true"]
        }
      case nil: break
      }
    }
    return result
  }

  /// Arguments that give `values`, the form that ``values(of:)`` returns.
  func arguments(of values: [String: [String]]) -> [String] {
    order.flatMap { name -> [String] in
      guard let values = values[name] else { return [] }
      guard options[name] == .toggle else { return values.map { "--\(name)=\($0)" } }
      if values.last == "true" { return ["--\(name)"] }
      return options["no-\(name)"] == nil ? [] : ["--no-\(name)"]
    }
  }
}
