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
  }

  private var remainingPaths: ArraySlice<String>
  /// The file being read, nil between files.
  private var lines: LineReader?
  /// Whether a row of the file has been met.
  private var hasBegun = false
  /// The rows of an array that are left, last first.
  private var arrayRows: [(line: Int, value: JSON)] = []
  private let maximumArrayByteCount: Int
  private let isValidating: Bool

  /// A reader of `paths`, each JSONL or a JSON array; blank lines are skipped. Only a file that is an array
  /// is held in memory, and is refused above `maximumArrayByteCount`. With `isValidating` a row must be fit for
  /// training; without, it must have messages.
  public init(
    paths: [String], maximumArrayByteCount: Int = 1 << 30, isValidating: Bool = true
  ) {
    self.isValidating = isValidating
    remainingPaths = paths[...]
    self.maximumArrayByteCount = maximumArrayByteCount
  }

  /// The next row, usable or not; nil after the last.
  public func next() throws(DataError) -> Row? {
    while true {
      guard let reader = lines else {
        guard let path = remainingPaths.popFirst() else { return nil }
        do throws(FileError) { lines = try LineReader(path: path) } catch { throw .file(error) }
        hasBegun = false
        continue
      }
      if let (line, value) = arrayRows.popLast() {
        return row(value, file: reader.path, line: line)
      }
      guard let line = try Self.nextLine(reader) else {
        lines = nil
        continue
      }
      guard let first = line.bytes.first(where: { !Self.isWhitespace($0) }) else { continue }
      if first == 0x5B, !hasBegun {
        arrayRows = try readArray(from: line, reader).reversed()
      } else {
        hasBegun = true
        return row(line, file: reader.path)
      }
    }
  }

  /// All rows of `paths`, validated.
  ///
  /// - Throws: ``DataError`` at the first unusable row, or when there is none at all.
  public static func readAll(_ paths: [String]) throws(DataError) -> [Conversation] {
    let reader = ConversationReader(paths: paths)
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

  private func row(_ line: LineReader.Line, file: String) -> Row {
    let value: JSON
    do throws(JSONError) { value = try JSON.parse(line.bytes) } catch {
      let problem = RowProblem.badJSON(message: error.message, column: error.position.column)
      let fault = DataFault(file: file, line: line.number, problem: problem)
      return Row(file: file, line: line.number, conversation: .failure(fault))
    }
    return row(value, file: file, line: line.number)
  }

  private func row(_ value: JSON, file: String, line: Int) -> Row {
    do throws(DataFault) {
      var conversation = try Conversation(row: value, file: file, line: line)
      if isValidating { conversation = try conversation.validated() }
      return Row(file: file, line: line, conversation: .success(conversation))
    } catch {
      return Row(file: file, line: line, conversation: .failure(error))
    }
  }

  private static func nextLine(_ reader: LineReader) throws(DataError) -> LineReader.Line? {
    do throws(FileError) { return try reader.next() } catch { throw .file(error) }
  }

  // MARK: Arrays

  /// The rows of the array that begins on `first` and fills the rest of the file.
  private func readArray(from first: LineReader.Line, _ reader: LineReader) throws(DataError)
    -> [(line: Int, value: JSON)]
  {
    var bytes = first.bytes
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
        file: reader.path, message: error.message, line: first.number - 1 + error.position.line,
        column: error.position.column)
    }
    let lines = Self.linesOfElements(bytes, firstLine: first.number)
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
