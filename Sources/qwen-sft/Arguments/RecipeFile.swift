// Reading a recipe: YAML or JSON, one mapping from option names to values. Nothing of YAML that could make a
// small file large, or one line mean another, is taken: no anchors, no aliases, no tags of other programs.

import Files
import OrderedJSON
import Yams

/// The content of a recipe, not yet compared with any command's options.
struct RecipeFile: Sendable {
  /// A key with its value.
  struct Entry: Sendable {
    /// As it is written.
    let key: String
    /// From 1; nil where unknown.
    let line: Int?
    /// What stands behind it.
    let value: RecipeValue
  }

  /// The file.
  let path: String
  /// Its keys in order.
  let entries: [Entry]

  /// Bytes, and levels of nesting, that no recipe needs.
  private static let maximumByteCount = 1 << 20
  private static let maximumDepth = 32
  /// Values that no recipe has.
  private static let maximumValueCount = 100_000

  /// Reads the file at `path`: JSON where its name ends in .json, else YAML.
  init(path: String) throws {
    self.path = path
    var text: String
    do throws(FileError) {
      text = try FileSystem.readText(path, maximumByteCount: Self.maximumByteCount)
    } catch { throw CLIError.file(error) }
    if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
    let isJSON = path.lowercased().utf8.suffix(5).elementsEqual(".json".utf8)
    entries =
      isJSON ? try Self.jsonEntries(text, path) : try Self.yamlEntries(text, path)
    var lines: [String: Int?] = [:]
    for entry in entries {
      let name = ArgumentNormalizer.hyphenated(entry.key)
      if let first = lines.updateValue(entry.line, forKey: name) {
        throw Self.fault(
          path, entry.line,
          "'\(entry.key)' stands twice" + (first.map { ", first on line \($0)" } ?? ""))
      }
    }
  }

  /// An error at a place of the file.
  static func fault(_ path: String, _ line: Int?, _ problem: String) -> UsageError {
    .recipe(place: line.map { "\(path):\($0)" } ?? path, problem: problem)
  }

  // MARK: JSON

  private static func jsonEntries(_ text: String, _ path: String) throws(UsageError) -> [Entry] {
    let bytes = Array(text.utf8)
    let (json, duplicates): (JSON, [String])
    do throws(JSONError) {
      (json, duplicates) = try JSON.parseNotingDuplicateKeys(bytes, maximumDepth: maximumDepth)
    } catch {
      throw fault(path, error.position.line, "is not JSON: \(error.message)")
    }
    guard case .object(let object) = json else {
      throw fault(path, nil, "expected an object of options, found \(json.kindDescription)")
    }
    let lines = keyLines(bytes)
    if let key = duplicates.first {
      throw fault(path, lines[key], "'\(key)' stands twice")
    }
    return object.map { Entry(key: $0.key, line: lines[$0.key], value: RecipeValue($0.value)) }
  }

  /// The last line on which each key of the outermost object stands, of a document that is JSON.
  private static func keyLines(_ bytes: [UInt8]) -> [String: Int] {
    var lines: [String: Int] = [:]
    var (line, depth, i) = (1, 0, 0)
    while i < bytes.count {
      switch bytes[i] {
      case 0x0A: line += 1
      case 0x5B, 0x7B: depth += 1
      case 0x5D, 0x7D: depth -= 1
      case 0x22:
        let start = i
        i += 1
        while i < bytes.count, bytes[i] != 0x22 { i += bytes[i] == 0x5C ? 2 : 1 }
        let rest = bytes[min(i + 1, bytes.count)...].first {
          !($0 == 0x20 || (9...13).contains($0))
        }
        if depth == 1, rest == 0x3A, i < bytes.count,
          let key = (try? JSON.parse(Array(bytes[start...i])))?.stringValue
        {
          lines[key] = line
        }
      default: break
      }
      i += 1
    }
    return lines
  }

  // MARK: YAML

  private static func yamlEntries(_ text: String, _ path: String) throws(UsageError) -> [Entry] {
    if let line = lineOfAnchor(text) {
      throw fault(
        path, line, "anchors (&) and aliases (*) are not taken: write the value out, or quote it")
    }
    let root: Node?
    do {
      root = try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot()
    } catch {
      throw fault(of: error, path)
    }
    guard let root else { return [] }
    guard case .mapping(let mapping) = root else {
      if case .scalar(let scalar) = root, case .null = RecipeValue(plain: scalar.string) {
        return []
      }
      throw fault(
        path, root.mark?.line,
        "expected 'option: value' lines, found \(root.isList ? "a list" : "text")")
    }
    var entries: [Entry] = []
    var budget = maximumValueCount
    for (key, value) in mapping {
      entries.append(
        Entry(
          key: try name(key, path), line: key.mark?.line,
          value: try self.value(value, path, depth: 1, &budget)))
    }
    return entries
  }

  private static func name(_ node: Node, _ path: String) throws(UsageError) -> String {
    guard case .scalar(let scalar) = node else {
      throw fault(path, node.mark?.line, "expected an option's name, found a list or mapping")
    }
    return scalar.string
  }

  private static func value(
    _ node: Node, _ path: String, depth: Int, _ budget: inout Int
  ) throws(UsageError) -> RecipeValue {
    budget -= 1
    guard budget >= 0 else {
      throw fault(path, node.mark?.line, "more than \(maximumValueCount) values")
    }
    guard depth <= maximumDepth else {
      throw fault(path, node.mark?.line, "nested deeper than \(maximumDepth) levels")
    }
    let tag = node.tag.description
    let known = ["str", "int", "float", "bool", "null", "seq", "map"]
    guard tag.isEmpty || tag == "!" || known.contains(where: { tag == "tag:yaml.org,2002:" + $0 })
    else {
      throw fault(path, node.mark?.line, "the tag \(tag) is not taken")
    }
    switch node {
    case .scalar(let scalar):
      let isPlain = scalar.style == .plain || scalar.style == .any
      return isPlain ? RecipeValue(plain: scalar.string) : .text(scalar.string)
    case .sequence(let sequence):
      var values: [RecipeValue] = []
      for item in sequence { values.append(try value(item, path, depth: depth + 1, &budget)) }
      return .list(values)
    case .mapping(let mapping):
      var pairs: [(key: String, value: RecipeValue)] = []
      for (key, item) in mapping {
        pairs.append((try name(key, path), try value(item, path, depth: depth + 1, &budget)))
      }
      return .mapping(pairs)
    case .alias:
      throw fault(path, node.mark?.line, "aliases are not taken: write the value out")
    }
  }

  /// The first line on which a value begins with an anchor or an alias. They are looked for before the text is
  /// parsed: a few lines of them can stand for more than any memory holds.
  private static func lineOfAnchor(_ text: String) -> Int? {
    var line = 1
    var isStart = true  // whether a value or a key may begin here
    let bytes = Array(text.utf8)
    var i = 0
    while i < bytes.count {
      let byte = bytes[i]
      switch byte {
      case 0x0A:
        line += 1
        isStart = true
      case 0x23 where i == 0 || bytes[i - 1] <= 0x20:
        // A comment, to the end of its line.
        while i + 1 < bytes.count, bytes[i + 1] != 0x0A { i += 1 }
      case 0x5B, 0x7B, 0x2C, 0x2D, 0x3F, 0x3A: isStart = true
      case 0x20, 0x09, 0x0D: break
      case 0x22 where isStart, 0x27 where isStart:
        let end = endOfQuoted(bytes, from: i)
        line += bytes[i..<end].count { $0 == 0x0A }
        i = end - 1
        isStart = false
      case 0x26, 0x2A:
        let next = i + 1 < bytes.count ? bytes[i + 1] : 0x20
        if isStart, next > 0x20 { return line }
        isStart = false
      default: isStart = false
      }
      i += 1
    }
    return nil
  }

  /// The position behind the quoted text that begins at `start`: in double quotes \ takes the next byte along, in single
  /// ones two quotes stand for one.
  private static func endOfQuoted(_ bytes: [UInt8], from start: Int) -> Int {
    let quote = bytes[start]
    var i = start + 1
    while i < bytes.count {
      if quote == 0x22, bytes[i] == 0x5C {
        i += 1
      } else if bytes[i] == quote {
        guard quote == 0x27, i + 1 < bytes.count, bytes[i + 1] == quote else { return i + 1 }
        i += 1
      }
      i += 1
    }
    return bytes.count
  }

  /// The line and the words of what the YAML reader says.
  private static func fault(of error: any Error, _ path: String) -> UsageError {
    guard let error = error as? YamlError else { return fault(path, nil, "\(error)") }
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      return fault(path, mark.line, "is not YAML: \(problem)")
    case .reader(let problem, _, _, _): return fault(path, nil, "is not YAML: \(problem)")
    case .duplicatedKeysInMapping(let keys, let context):
      return fault(path, context.mark.line, "'\(keys.first ?? "")' stands twice")
    default: return fault(path, nil, "is not YAML")
    }
  }
}

extension Node {
  fileprivate var isList: Bool {
    if case .sequence = self { return true }
    return false
  }
}
