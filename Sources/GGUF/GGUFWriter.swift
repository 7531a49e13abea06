// Writing a GGUF file, tensor by tensor in the given order. The file appears on commit.

import Files

/// A GGUF file being written (version 3, little-endian, data aligned to 32 bytes).
package final class GGUFWriter {
  /// Name, type and shape of a tensor to be written.
  package struct Entry: Sendable, Hashable {
    /// The name.
    package let name: String
    /// How its elements are stored.
    package let type: GGMLType
    /// The extents, outermost first.
    package let shape: [Int]

    /// An entry; rows are multiples of the type's blocks.
    package init(name: String, type: GGMLType, shape: [Int]) {
      (self.name, self.type, self.shape) = (name, type, shape)
    }

    /// Bytes of the data.
    package var byteCount: Int {
      guard shape.last.map({ $0 % type.blockLength == 0 }) == true,
        let count = type.byteCount(of: shape.reduce(1, *))
      else { preconditionFailure("GGUFWriter: \(name): no size for \(shape) \(type.name)") }
      return count
    }
  }

  /// Where the file will appear.
  package let path: String
  private let file: AtomicFile
  private let entries: [Entry]
  private var current = 0
  private var writtenOfCurrent = 0

  /// Begins a file and writes its head.
  ///
  /// - Precondition: keys and names are distinct.
  package init(path: String, metadata: [(key: String, value: GGUFValue)], entries: [Entry])
    throws(GGUFError)
  {
    precondition(
      Set(metadata.map(\.key)).count == metadata.count
        && Set(entries.map(\.name)).count == entries.count,
      "GGUFWriter: a key or a tensor is there twice")
    self.path = path
    self.entries = entries
    var head = GGUFHeader.magic
    head.appendLittleEndian(UInt32(3))
    head.appendLittleEndian(UInt64(entries.count))
    head.appendLittleEndian(UInt64(metadata.count))
    for (key, value) in metadata {
      head.appendText(key)
      head.appendLittleEndian(value.code.rawValue)
      value.append(to: &head)
    }
    var offset = 0
    for entry in entries {
      head.appendText(entry.name)
      head.appendLittleEndian(UInt32(entry.shape.count))
      for extent in entry.shape.reversed() { head.appendLittleEndian(UInt64(extent)) }
      head.appendLittleEndian(entry.type.rawValue)
      head.appendLittleEndian(UInt64(offset))
      offset += entry.byteCount + Self.padding(after: entry.byteCount)
    }
    head.append(contentsOf: repeatElement(0, count: Self.padding(after: head.count)))
    do throws(FileError) {
      file = try AtomicFile(path: path)
      try file.write(head)
    } catch { throw .file(error) }
  }

  private static func padding(after count: Int) -> Int {
    let alignment = GGUFHeader.defaultAlignment
    return (alignment - count % alignment) % alignment
  }

  /// Appends a piece of the data of tensor `name`, whose turn it is.
  ///
  /// - Precondition: no more bytes than the tensor still lacks.
  package func write(_ bytes: [UInt8], of name: String) throws(GGUFError) {
    if bytes.isEmpty { return }
    precondition(
      current < entries.count && entries[current].name == name,
      "GGUFWriter: \(name) is not the tensor whose turn it is")
    let whole = entries[current].byteCount
    precondition(
      writtenOfCurrent + bytes.count <= whole, "GGUFWriter: \(name): more bytes than its shape has")
    writtenOfCurrent += bytes.count
    do throws(FileError) {
      try file.write(bytes)
      if writtenOfCurrent == whole {
        try file.write([UInt8](repeating: 0, count: Self.padding(after: whole)))
        current += 1
        writtenOfCurrent = 0
      }
    } catch { throw .file(error) }
  }

  /// Makes the file appear at its path.
  ///
  /// - Precondition: every tensor is complete.
  package func commit() throws(GGUFError) {
    precondition(current == entries.count, "GGUFWriter: \(entries[current].name) is not complete")
    do throws(FileError) { try file.commit() } catch { throw .file(error) }
  }
}
