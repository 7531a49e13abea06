// Where text came from: the template itself, a field of a message, or another variable. Interpreter values
// carry small numbers; the tree behind them is turned into paths only for text that reaches the output.

/// Where a stretch of rendered text came from.
public enum TextOrigin: Sendable, Hashable {
  /// Written by the template: its data, literals, and what it made of numbers of its own.
  case template
  /// From field `path` of message `index`, such as "content", "content[0].text" or
  /// "tool_calls[0].function.name"; an empty path is the message as a whole.
  case message(index: Int, path: String)
  /// From another variable, such as "tools" or "bos_token".
  case other(variable: String)
}

/// A stretch of rendered text with one origin.
public struct SourceSpan: Sendable, Hashable {
  /// UTF-8 offsets in the rendered text.
  public let range: Range<Int>
  /// Where this text came from.
  public let origin: TextOrigin

  /// A span of `range` from `origin`.
  public init(range: Range<Int>, origin: TextOrigin) {
    self.range = range
    self.origin = origin
  }
}

/// A place in the inputs, as an index into the rendering's `OriginTable`.
struct OriginID: Hashable, Sendable {
  let index: UInt32
  /// The template's own text.
  static let template = OriginID(index: 0)
  var isTemplate: Bool { index == 0 }
}

/// The tree of places in the inputs.
struct OriginTable {
  private enum Node {
    case template
    case variable(String)
    case key([UInt8], parent: OriginID)
    case element(Int, parent: OriginID)
  }

  private var nodes: [Node] = [.template]

  /// The place of a whole variable.
  mutating func variable(_ name: String) -> OriginID { add(.variable(name)) }
  /// The place of a key's value in a dict.
  mutating func key(_ key: [UInt8], of parent: OriginID) -> OriginID {
    add(.key(key, parent: parent))
  }
  /// The place of an element of a list.
  mutating func element(_ index: Int, of parent: OriginID) -> OriginID {
    add(.element(index, parent: parent))
  }

  private mutating func add(_ node: Node) -> OriginID {
    guard nodes.count < Int(UInt32.max) else { return .template }
    nodes.append(node)
    return OriginID(index: UInt32(nodes.count - 1))
  }

  /// The place in words. Elements of `messages` are messages; every other variable is named whole.
  func resolve(_ id: OriginID) -> TextOrigin {
    var steps: [Node] = []
    var current = id
    while true {
      let node = nodes[Int(current.index)]
      switch node {
      case .template: return .template
      case .variable(let name):
        guard name == ChatTemplate.messagesName, case .element(let index, _)? = steps.popLast()
        else { return .other(variable: name) }
        var path: [UInt8] = []
        for step in steps.reversed() {
          switch step {
          case .key(let key, _):
            if !path.isEmpty { path.append(0x2E) }
            path += key
          case .element(let index, _): path += Array("[\(index)]".utf8)
          default: break
          }
        }
        return .message(index: index, path: String(decoding: path, as: UTF8.self))
      case .key(_, let parent), .element(_, let parent):
        steps.append(node)
        current = parent
      }
    }
  }

  /// Spans that cover the text in order, neighbours of one origin joined.
  func spans(_ runs: [Run]) -> [SourceSpan] {
    var spans: [SourceSpan] = []
    var known: [OriginID: TextOrigin] = [:]
    var start = 0
    for run in runs {
      let origin: TextOrigin
      if let found = known[run.origin] {
        origin = found
      } else {
        origin = resolve(run.origin)
        known[run.origin] = origin
      }
      if let last = spans.last, last.origin == origin {
        spans[spans.count - 1] = SourceSpan(range: last.range.lowerBound..<run.end, origin: origin)
      } else {
        spans.append(SourceSpan(range: start..<run.end, origin: origin))
      }
      start = run.end
    }
    return spans
  }
}
