// Which modules adapter_config.json names. PEFT makes adapters for these and passes over tensors of all others, without a word.

import NN
package import OrderedJSON

/// The modules that `target_modules`, `exclude_modules`, `layers_to_transform` and `layers_pattern` name together.
package struct AdapterTargets: Sendable, Hashable {
  /// Names of modules, or an expression for their paths.
  private enum Names: Sendable, Hashable {
    /// Paths, or their last parts.
    case list([String])
    case pattern(ModulePattern)
    case everything

    func contains(_ path: String) -> Bool {
      switch self {
      case .list(let names): names.contains { path == $0 || path.hasSuffix("." + $0) }
      case .pattern(let pattern): pattern.matches(path)
      case .everything: true
      }
    }
  }

  private let targets: Names
  private let excluded: Names
  /// Numbers of layers; nil for all.
  private let layers: Set<Int>?
  /// What stands before the number of a layer; empty for any name.
  private let layerPatterns: [ModulePattern]

  /// Reads the four settings as they are in the file. What cannot be understood names everything.
  package init(targets: JSON, excluded: JSON, layers: JSON, layersPattern: JSON) {
    self.targets = AdapterTargets.names(targets) ?? .everything
    self.excluded = AdapterTargets.names(excluded) ?? .list([])
    let numbers = layers.integerValue.map { [$0] } ?? layers.arrayValue?.compactMap(\.integerValue)
    let sources =
      layersPattern.stringValue.map { $0.isEmpty ? [] : [$0] }
      ?? layersPattern.arrayValue?.compactMap(\.stringValue) ?? []
    // PEFT: re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", path), of which this is what stands before the number.
    layerPatterns = sources.compactMap {
      try? ModulePattern("(?:^|.*\\.)" + $0, wholePath: true)
    }
    let isUnderstood = layerPatterns.count == sources.count
    self.layers = isUnderstood ? numbers.flatMap { $0.isEmpty ? nil : Set($0) } : nil
  }

  private static func names(_ json: JSON) -> Names? {
    if let list = json.arrayValue { return .list(list.compactMap(\.stringValue)) }
    guard let source = json.stringValue, source != "all-linear" else { return nil }
    return (try? ModulePattern(source, wholePath: true)).map { .pattern($0) }
  }

  /// Whether the module at `path` is named (PEFT `check_target_module_exists`).
  package func contains(_ path: String) -> Bool {
    if excluded.contains(path) { return false }
    guard targets.contains(path) else { return false }
    // A path that stands there whole, or an expression, is of no layer.
    guard let layers, case .list(let names) = targets, !names.contains(path) else { return true }
    guard let layer = layer(of: path) else { return false }
    return layers.contains(layer)
  }

  /// The first number between two parts of a path, behind what the first pattern that has one matches.
  private func layer(of path: String) -> Int? {
    let parts = path.split(separator: ".", omittingEmptySubsequences: false)
    func number(behind isName: (String) -> Bool) -> Int? {
      for index in parts.indices.dropFirst().dropLast()
      where parts[index].utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
        guard let number = Int(parts[index]), isName(parts[..<index].joined(separator: "."))
        else { continue }
        return number
      }
      return nil
    }
    // Without a pattern any name will do that has something before it.
    if layerPatterns.isEmpty { return number { $0.contains(".") } }
    return layerPatterns.lazy.compactMap { pattern in number { pattern.matches($0) } }.first
  }
}
