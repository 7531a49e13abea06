// The tree of a model. One table lists children in checkpoint order and is the only place where key strings appear:
// no reflection, no property wrappers.

public import Autograd

/// Anything that has a place in the tree: a module or a parameter.
public protocol ModuleNode: AnyObject {}

extension Parameter: ModuleNode {}

/// A part of a model with named children.
public protocol Module: ModuleNode {
  /// The children by the names they have in checkpoints, in checkpoint order.
  var children: KeyValuePairs<String, any ModuleNode> { get }
}

/// Children by number, as `layers.0`, `layers.1`, ….
public final class ModuleList<Element: Module>: Module {
  /// The modules in order.
  public let elements: [Element]
  private let names: [String]

  /// A list of modules.
  public init(_ elements: [Element]) {
    self.elements = elements
    names = elements.indices.map { String($0) }
  }

  public var children: KeyValuePairs<String, any ModuleNode> { [:] }

  /// The modules with their numbers as names.
  package var numberedChildren: [(String, any ModuleNode)] { Array(zip(names, elements)) }
}

/// A list whose element type does not matter.
package protocol AnyModuleList: Module {
  var numberedChildren: [(String, any ModuleNode)] { get }
}

extension ModuleList: AnyModuleList {}

extension Module {
  /// Every node below this one with its dotted path, parents before children, in checkpoint order.
  public func descendants() -> [(path: String, node: any ModuleNode)] {
    var result: [(path: String, node: any ModuleNode)] = []
    collect(prefix: "", into: &result)
    return result
  }

  private func collect(prefix: String, into result: inout [(path: String, node: any ModuleNode)]) {
    let named =
      (self as? any AnyModuleList)?.numberedChildren ?? children.map { ($0.key, $0.value) }
    for (name, node) in named {
      let path = prefix.isEmpty ? name : prefix + "." + name
      result.append((path, node))
      (node as? any Module)?.collect(prefix: path, into: &result)
    }
  }

  /// Every parameter of the checkpoint with its key. Adapters are not part of the checkpoint.
  public func namedParameters() -> [(key: String, parameter: Parameter)] {
    descendants().compactMap { path, node in (node as? Parameter).map { (path, $0) } }
  }

  /// Every linear map with its path.
  public func namedLinears() -> [(path: String, linear: Linear)] {
    descendants().compactMap { path, node in (node as? Linear).map { (path, $0) } }
  }

  /// Marks every parameter of the checkpoint as trained or frozen.
  public func setTrainable(_ isTrainable: Bool) {
    for (_, parameter) in namedParameters() { parameter.isTrainable = isTrainable }
  }
}
