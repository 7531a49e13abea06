// Rows of data files, one after the other: JSONL, or a JSON array of rows. Lines end at byte 0x0A and nowhere
// else. JSONL is read in constant memory; an array is read whole.

import Files
import OrderedJSON

/// A reader of the rows of one or several files, in their order.
public final class ConversationReader {
  /// A row: a conversation, or why it is none.
  public struct Row: Sendable {
    /// The file.
    public let file: String
    /// The line on which the row begins, from 1.
    public let line: Int
    /// A usable conversation, or the row's fault.
    public let conversation: Result<Conversation, DataFault>
    /// What is odd about the row's text: a byte order mark before it, keys that stand twice.
    public let warnings: [RowProblem]
  }

  private var remainingPaths: ArraySlice<String>
  /// The file being read, nil between files.
  private var lines: LineReader?
  /// Whether a row of the file has been met.
  private var hasBegun = false
  /// The rows of an array that are left, last first.
  private var arrayRows: [(line: Int, value: JSON)] = []
  /// Whether the file begins with a byte order mark that no row has told of yet.
  private var hasByteOrderMark = false
  private let maximumArrayByteCount: Int
  private let isValidating: Bool
  private let format: DataFormat

  /// A reader of `paths`, each JSONL or a JSON array; blank lines are skipped. Only a file that is an array
  /// is held in memory, and is refused above `maximumArrayByteCount`. With `isValidating` a row must be fit for
  /// training; without, it must have messages.
  public init(
    paths: [String], format: DataFormat = .auto, maximumArrayByteCount: Int = 1 << 30,
    isValidating: Bool = true
  ) {
    self.isValidating = isValidating
    self.format = format
    remainingPaths = paths[...]
    self.maximumArrayByteCount = maximumArrayByteCount
  }

  /// The next row, usable or not; nil after the last.
  public func next() throws(DataError) -> Row? {
    while true {
      guard let reader = lines else {
        guard let path = remainingPaths.popFirst() else { return nil }
        do throws(FileError) { lines = try LineReader(path: path) } catch { throw .file(error) }
        (hasBegun, hasByteOrderMark) = (false, false)
        continue
      }
      if let (line, value) = arrayRows.popLast() {
        return row(value, file: reader.path, line: line)
      }
      guard let line = try Self.nextLine(reader) else {
        lines = nil
        continue
      }
      var bytes = line.bytes
      if line.number == 1, bytes.starts(with: Self.byteOrderMark) {
        bytes.removeFirst(Self.byteOrderMark.count)
        hasByteOrderMark = true
      }
      guard let first = bytes.first(where: { !Self.isWhitespace($0) }) else { continue }
      if first == 0x5B, !hasBegun {
        arrayRows = try readArray(from: bytes, line: line.number, reader).reversed()
      } else {
        hasBegun = true
        return row(bytes, file: reader.path, line: line.number)
      }
    }
  }

  /// All rows of `paths`, validated.
  ///
  /// - Throws: ``DataError`` at the first unusable row, or when there is none at all.
  public static func readAll(_ paths: [String], format: DataFormat = .auto) throws(DataError)
    -> [Conversation]
  {
    let reader = ConversationReader(paths: paths, format: format)
    var conversations: [Conversation] = []
    while let row = try reader.next() {
      switch row.conversation {
      case .success(let conversation): conversations.append(conversation)
      case .failure(let fault): throw .fault(fault)
      }
    }
    if conversations.isEmpty { throw .noRows(files: paths) }
    return conversations
  }

  // MARK: Rows

  private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private func row(_ bytes: [UInt8], file: String, line: Int) -> Row {
    do throws(JSONError) {
      let (value, duplicateKeys) = try JSON.parseNotingDuplicateKeys(bytes)
      return row(value, file: file, line: line, duplicateKeys: duplicateKeys)
    } catch {
      let fault = DataFault(file: file, line: line, problem: .badJSON(error))
      return Row(
        file: file, line: line, conversation: .failure(fault), warnings: takeWarnings([]))
    }
  }

  private func row(_ value: JSON, file: String, line: Int, duplicateKeys: [String] = []) -> Row {
    let warnings = takeWarnings(duplicateKeys)
    do throws(DataFault) {
      var conversation = try Conversation(row: value, format: format, file: file, line: line)
      if isValidating { conversation = try conversation.validated() }
      return Row(
        file: file, line: line, conversation: .success(conversation), warnings: warnings)
    } catch {
      return Row(file: file, line: line, conversation: .failure(error), warnings: warnings)
    }
  }

  /// The warnings of a row; the byte order mark belongs to the first.
  private func takeWarnings(_ duplicateKeys: [String]) -> [RowProblem] {
    defer { hasByteOrderMark = false }
    return (hasByteOrderMark ? [.byteOrderMark] : [])
      + duplicateKeys.prefix(1).map { .duplicateKey(key: RowProblem.shortened($0)) }
  }

  private static func nextLine(_ reader: LineReader) throws(DataError) -> LineReader.Line? {
    do throws(FileError) { return try reader.next() } catch { throw .file(error) }
  }

  // MARK: Arrays

  /// The rows of the array that begins with `first` on `line` and fills the rest of the file.
  private func readArray(from first: [UInt8], line firstLine: Int, _ reader: LineReader)
    throws(DataError) -> [(line: Int, value: JSON)]
  {
    var bytes = first
    while let line = try Self.nextLine(reader) {
      bytes.append(0x0A)
      bytes.append(contentsOf: line.bytes)
      guard bytes.count <= maximumArrayByteCount else {
        throw .file(.tooLarge(path: reader.path, maximumByteCount: maximumArrayByteCount))
      }
    }
    let value: JSON
    do throws(JSONError) { value = try JSON.parse(bytes) } catch {
      throw .badArray(
        file: reader.path, message: error.message, line: firstLine - 1 + error.position.line,
        column: error.position.column)
    }
    let lines = Self.linesOfElements(bytes, firstLine: firstLine)
    return zip(lines, value.arrayValue ?? []).map { (line: $0, value: $1) }
  }

  /// The line on which each element of a well-formed array begins.
  static func linesOfElements(_ bytes: [UInt8], firstLine: Int) -> [Int] {
    var lines: [Int] = []
    var (line, depth) = (firstLine, 0)
    var (isInString, isEscaped, expectsElement) = (false, false, false)
    for byte in bytes {
      if byte == 0x0A { line += 1 }
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if byte == 0x5C {
          isEscaped = true
        } else if byte == 0x22 {
          isInString = false
        }
        continue
      }
      if isWhitespace(byte) { continue }
      if byte == 0x5D, depth == 1 { break }
      if expectsElement {
        lines.append(line)
        expectsElement = false
      }
      switch byte {
      case 0x22: isInString = true
      case 0x5B, 0x7B:
        depth += 1
        if depth == 1 { expectsElement = true }
      case 0x5D, 0x7D: depth -= 1
      case 0x2C where depth == 1: expectsElement = true
      default: break
      }
    }
    return lines
  }

  private static func isWhitespace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
  }
}
