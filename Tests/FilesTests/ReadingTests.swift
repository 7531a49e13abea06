// Reading: whole files, lines and mappings.

import Files
import Foundation
import Testing

@Suite("Reading files")
struct ReadingTests {
  @Test("a file reads back as written")
  func readFile() throws {
    let folder = try TestFolder()
    for count in [0, 1, 4095, 4096, 4097, 300_000] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try AtomicFile.write(bytes, to: folder("f"))
      #expect(try FileSystem.readFile(folder("f")) == bytes)
      #expect(try FileSystem.byteCount(of: folder("f")) == count)
    }
    // A file without a size.
    #expect(try FileSystem.readText("/proc/self/status").utf8.starts(with: "Name:".utf8))
  }

  @Test("faults name the path and what the system said")
  func faults() throws {
    let folder = try TestFolder()
    let missing = #expect(throws: FileError.self) { try FileSystem.readFile(folder("none")) }
    #expect(missing?.description == "\(folder("none")): cannot open: No such file or directory")
    #expect(missing?.isNotFound == true)
    #expect(throws: FileError.notARegularFile(path: folder.path)) {
      try FileSystem.readFile(folder.path)
    }
    #expect(throws: FileError.notARegularFile(path: folder.path)) {
      try LineReader(path: folder.path)
    }
    #expect(throws: FileError.notARegularFile(path: folder.path)) {
      try MappedFile(path: folder.path)
    }
    #expect(throws: FileError.notARegularFile(path: "/dev/zero")) {
      try MappedFile(path: "/dev/zero")
    }
    #expect(throws: FileError.invalidPath(path: "")) { try FileSystem.readFile("") }
    #expect(throws: FileError.invalidPath(path: "a\0b")) { try FileSystem.readFile("a\0b") }
    #expect(throws: FileError.notARegularFile(path: "/dev/zero")) {
      try FileSystem.readFile("/dev/zero")
    }
    try AtomicFile.write([UInt8](repeating: 0, count: 1001), to: folder("large"))
    #expect(throws: FileError.tooLarge(path: folder("large"), maximumByteCount: 1000)) {
      try FileSystem.readFile(folder("large"), maximumByteCount: 1000)
    }
    try AtomicFile.write([0x61, 0xFF], to: folder("latin"))
    #expect(throws: FileError.notUTF8(path: folder("latin"))) {
      try FileSystem.readText(folder("latin"))
    }
  }

  @Test("a pipe that nobody writes to is an error, not a wait for ever")
  func silentPipe() throws {
    let folder = try TestFolder()
    #expect(mkfifo(folder("pipe"), 0o600) == 0)
    #expect(throws: FileError.notARegularFile(path: folder("pipe"))) {
      try FileSystem.readFile(folder("pipe"))
    }
    #expect(throws: FileError.notARegularFile(path: folder("pipe"))) {
      try MappedFile(path: folder("pipe"))
    }
    #expect(throws: FileError.noWriter(path: folder("pipe"))) {
      try LineReader(path: folder("pipe"), patienceMilliseconds: 20).next()
    }
  }

  @Test("lines come through a pipe, however slowly its writer is")
  func slowPipe() throws {
    let folder = try TestFolder()
    #expect(mkfifo(folder("pipe"), 0o600) == 0)
    let path = folder("pipe")
    let writer = Thread {
      let descriptor = open(path, O_WRONLY)
      for text in ["one\ntw", "o\n", "three"] {
        usleep(30_000)
        _ = write(descriptor, text, text.utf8.count)
      }
      close(descriptor)
    }
    writer.start()
    let reader = try LineReader(path: path)
    var lines: [String] = []
    while let line = try reader.next() { lines.append(String(decoding: line.bytes, as: UTF8.self)) }
    #expect(lines == ["one", "two", "three"])
  }

  @Test("lines end at 0x0A and nowhere else")
  func lines() throws {
    let folder = try TestFolder()
    let content = "one\r\ntwo\rstill\u{2028}two\u{85}\u{c}\u{b}x\n\n\nlast"
    try AtomicFile.write(content, to: folder("f"))
    let reader = try LineReader(path: folder("f"))
    var lines: [LineReader.Line] = []
    while let line = try reader.next() { lines.append(line) }
    #expect(
      lines.map { String(decoding: $0.bytes, as: UTF8.self).unicodeScalars.count } == [
        4, 17, 0, 0, 4,
      ])
    #expect(lines.map(\.number) == [1, 2, 3, 4, 5])
    #expect(lines[0].bytes == Array("one\r".utf8))
    #expect(try reader.next() == nil)

    for (text, count) in [("", 0), ("\n", 1), ("a", 1), ("a\n", 1), ("a\n\n", 2)] {
      try AtomicFile.write(text, to: folder("g"))
      let reader = try LineReader(path: folder("g"))
      while try reader.next() != nil {}
      #expect(reader.lineCount == count, "\(text.debugDescription)")
    }
  }

  @Test("lines longer than the buffer arrive whole, and ones over the bound are an error")
  func longLines() throws {
    let folder = try TestFolder()
    let lengths = [131_071, 131_072, 131_073, 0, 400_000, 7]
    let content = lengths.map { [UInt8](repeating: 0x78, count: $0) + [0x0A] }.flatMap { $0 }
    try AtomicFile.write(content, to: folder("f"))
    let reader = try LineReader(path: folder("f"))
    for length in lengths { #expect(try reader.next()?.bytes.count == length) }
    #expect(try reader.next() == nil)

    let bounded = try LineReader(path: folder("f"), maximumByteCount: 131_072)
    #expect(try bounded.next()?.number == 1)
    #expect(try bounded.next()?.number == 2)
    #expect(
      throws: FileError.lineTooLong(path: folder("f"), line: 3, maximumByteCount: 131_072)
    ) { try bounded.next() }
    // A file without any line end uses no more memory than the bound.
    let endless = try LineReader(path: "/dev/zero", maximumByteCount: 1 << 20)
    #expect(throws: FileError.self) { try endless.next() }
  }

  @Test("a mapped file shows its bytes, and advice changes none")
  func mapping() throws {
    let folder = try TestFolder()
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try AtomicFile.write(bytes, to: folder("f"))
    let file = try MappedFile(path: folder("f"))
    #expect(file.byteCount == bytes.count)
    file.advise(.willNeed, 5000..<90_000)
    file.advise(.sequential)
    #expect(file.withUnsafeBytes { $0.elementsEqual(bytes) })
    file.advise(.dontNeed, 3..<4)
    file.advise(.dontNeed, 10..<1_000_000)
    file.advise(.dontNeed)
    file.advise(.willNeed, 200_000..<300_000)
    let last = file.withBytes { span in
      span.unsafeLoad(fromByteOffset: span.byteCount - 1, as: UInt8.self)
    }
    #expect(last == bytes[99_999])
    // Replacing the file leaves the mapping of the old one whole.
    try AtomicFile.write([1], to: folder("f"))
    #expect(file.withUnsafeBytes { $0.elementsEqual(bytes) })

    try AtomicFile.write([], to: folder("empty"))
    let empty = try MappedFile(path: folder("empty"))
    #expect(empty.byteCount == 0)
    #expect(empty.baseAddress == nil)
    #expect(empty.withBytes { $0.byteCount } == 0)
    empty.advise(.willNeed)
  }
}
