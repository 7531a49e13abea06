// Lines of gzip data: members, padding, and every way in which a file can be damaged.

import Files
import Testing

@Suite("Gzip data")
struct GzipTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  /// gzip.compress(b"one\ntwo\xc3\xa9\n", mtime=0) of Python.
  static let lines: [UInt8] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 207, 75, 229, 42, 41, 207, 63, 188, 146, 11, 0, 214,
    206, 65, 223, 10, 0, 0, 0,
  ]
  /// gzip.compress(b"three", mtime=0).
  static let rest: [UInt8] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 43, 201, 40, 74, 77, 5, 0, 245, 216, 197, 70, 5, 0, 0, 0,
  ]
  /// gzip.compress(b"a" * 300000, mtime=0).
  static let long: [UInt8] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 237, 193, 1, 13, 0, 0, 0, 194, 160, 172, 239, 95, 194, 30,
    14, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 248, 49, 95, 242, 78, 244, 224, 147, 4, 0,
  ]

  /// The lines of a file of `bytes`.
  private func read(_ bytes: [UInt8], maximumByteCount: Int = 1 << 20) throws -> [String] {
    let path = folder("f.gz")
    try AtomicFile.write(bytes, to: path)
    let reader = try LineReader(path: path, maximumByteCount: maximumByteCount)
    var lines: [String] = []
    while let line = try reader.next() {
      #expect(line.number == lines.count + 1)
      lines.append(String(decoding: line.bytes, as: UTF8.self))
    }
    #expect(try reader.next() == nil)
    return lines
  }

  @Test("members are one text, and zeros after them are nothing")
  func members() throws {
    #expect(try read(Self.lines) == ["one", "twoé"])
    #expect(try read(Self.lines + Self.rest) == ["one", "twoé", "three"])
    #expect(try read(Self.rest + Self.lines) == ["threeone", "twoé"])
    #expect(try read(Self.lines + [UInt8](repeating: 0, count: 300_000)) == ["one", "twoé"])
    #expect(try read(Self.long) == [String(repeating: "a", count: 300_000)])
  }

  @Test("data in memory is unpacked as a whole, or refused")
  func whole() throws {
    #expect(
      try Gzip.unpacked(Self.long, maximumByteCount: 300_000)
        == [UInt8](repeating: UInt8(ascii: "a"), count: 300_000))
    #expect(
      try Gzip.unpacked(Self.rest + Self.rest, maximumByteCount: 100) == Array("threethree".utf8))
    for (bytes, words) in [
      (Self.long, "more than 299999 bytes"), (Array(Self.rest.dropLast()), "ends early"),
      ([], "ends early"), ([1, 2, 3], "damaged"), (Self.rest + [0, 7], "something follows"),
    ] {
      let error = #expect(throws: FileError.self) {
        try Gzip.unpacked(bytes, maximumByteCount: 299_999)
      }
      #expect(error?.description.contains(words) == true, "\(words): \(error?.description ?? "")")
    }
  }

  @Test("a file is gzip data by its first two bytes, not by its name")
  func plain() throws {
    #expect(try read([]) == [])
    #expect(try read([0x1F]) == ["\u{1F}"])
    #expect(try read(Array("a\nb".utf8)) == ["a", "b"])
  }

  @Test("data that ends early is an error at every length")
  func truncated() throws {
    for count in 2..<Self.lines.count {
      let error = #expect(throws: FileError.self) { try read(Array(Self.lines.prefix(count))) }
      #expect(error?.description.contains("f.gz:") == true)
      #expect(error?.description.contains("ends early") == true)
    }
    #expect(throws: FileError.self) { try read(Self.lines + Self.rest.dropLast()) }
  }

  @Test("a changed byte is an error or changes nothing")
  func damaged() throws {
    // The time, the system and what fills up the last byte do not concern the text.
    for index in 2..<Self.lines.count {
      for bit in 0..<8 {
        var bytes = Self.lines
        bytes[index] ^= 1 << bit
        do {
          #expect(try read(bytes) == ["one", "twoé"], "byte \(index), bit \(bit)")
        } catch let error as FileError {
          guard case .damaged(let path, let line, _) = error else {
            Issue.record("\(error)")
            continue
          }
          // What comes before the damage was read as lines.
          let reader = try LineReader(path: path)
          while (try? reader.next()) != nil {}
          #expect(line == reader.lineCount + 1)
        }
      }
    }
    for rest in ["x", "{}\n"] {
      #expect(throws: FileError.self) { try read(Self.lines + Array(rest.utf8)) }
      #expect(throws: FileError.self) { try read(Self.lines + [0, 0] + Array(rest.utf8)) }
    }
  }

  @Test("the lines before the damage are read, and the damage has its place in the file")
  func linesBefore() throws {
    // The first member is whole; in the second the type of the block is one that there is not.
    var bytes = Self.lines + Self.rest
    bytes[Self.lines.count + 10] |= 6
    let path = folder("f.gz")
    try AtomicFile.write(bytes, to: path)
    let reader = try LineReader(path: path)
    #expect(try reader.next()?.bytes == Array("one".utf8))
    #expect(try reader.next()?.bytes == Array("twoé".utf8))
    let error = #expect(throws: FileError.self) { try reader.next() }
    #expect(error?.line == 3)
    #expect(
      error?.description.contains("f.gz:3: the gzip data is damaged: invalid block type, at byte")
        == true)
    let offset = error?.problem.split(separator: " ").compactMap { Int($0) }.first ?? 0
    #expect((Self.lines.count + 10...bytes.count).contains(offset))
  }

  @Test("a line that grows without end stops at the limit")
  func bomb() throws {
    let error = #expect(throws: FileError.self) { try read(Self.long, maximumByteCount: 100_000) }
    guard case .lineTooLong(_, 1, 100_000) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }
}
