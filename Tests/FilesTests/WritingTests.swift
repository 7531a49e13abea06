// Writing: atomic files, folders and their faults.

import Files
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@Suite("Writing files and folders")
struct WritingTests {
  @Test("a file appears on commit, replaces the old one, and leaves nothing beside it")
  func atomicFile() throws {
    let folder = try TestFolder()
    let path = folder("checkpoint-5")
    try AtomicFile.write("old", to: path)
    var file: AtomicFile? = try AtomicFile(path: path)
    try file?.write("new ")
    try file?.write([UInt8](repeating: 0x61, count: 1_000_000))
    try file?.write("!")
    #expect(file?.byteCount == 1_000_005)
    #expect(try FileSystem.readText(path) == "old")
    let names = try folder.names()
    #expect(names.count == 2)
    #expect(names.allSatisfy { $0 == "checkpoint-5" || $0.utf8.starts(with: ".partial-".utf8) })
    #expect(names.count { $0.contains("checkpoint-") } == 1)
    try file?.commit()
    #expect(try folder.names() == ["checkpoint-5"])
    #expect(try FileSystem.readFile(path).count == 1_000_005)
    file = nil
    #expect(try folder.names() == ["checkpoint-5"])
  }

  @Test("a pipe is written to and stays a pipe")
  func pipe() throws {
    let folder = try TestFolder()
    let path = folder("pipe")
    try #require(mkfifo(path, 0o600) == 0)
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    try #require(reader >= 0)
    defer { close(reader) }
    try AtomicFile.write("through\n", to: path)
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = read(reader, &bytes, bytes.count)
    #expect(count == 8 && String(decoding: bytes.prefix(8), as: UTF8.self) == "through\n")
    #expect(try folder.names() == ["pipe"] && FileSystem.kind(of: path) == .other)
  }

  @Test("a file in memory is replaced like any other, an open file's name is written through")
  func deviceFolder() throws {
    let name = FileSystem.temporaryName(prefix: "/dev/shm/qwen-sft-test-")
    guard FileSystem.kind(of: "/dev/shm") == .folder else { return }
    defer { unlink(name) }
    try AtomicFile.write("a longer text", to: name)
    try AtomicFile.write("short", to: name)
    #expect(try FileSystem.readText(name) == "short")
    let file = open(name, O_WRONLY | O_TRUNC)
    try #require(file >= 0)
    defer { close(file) }
    try AtomicFile.write("one ", to: "/dev/fd/\(file)")
    #expect(write(file, "two", 3) == 3)
    try AtomicFile.write(" three", to: "/proc/self/fd/\(file)")
    #expect(try FileSystem.readText(name) == "one two three")
  }

  @Test("a folder has one writer at a time")
  func lock() throws {
    let folder = try TestFolder()
    var first = FolderLock(folder.path)
    #expect(first != nil && FolderLock(folder.path) == nil)
    first = nil
    #expect(FolderLock(folder.path) != nil)
    #expect(try folder.names().isEmpty)
  }

  @Test("without a commit nothing is left")
  func abandoned() throws {
    let folder = try TestFolder()
    var file: AtomicFile? = try AtomicFile(path: folder("f"))
    try file?.write("half")
    #expect(try folder.names().count == 1)
    file = nil
    #expect(try folder.names() == [])
  }

  @Test("a full device is an error that says so")
  func noSpace() throws {
    let device = try Descriptor(opening: "/dev/full", flags: 1)
    let error = #expect(throws: FileError.self) {
      try [UInt8](repeating: 0, count: 10).withUnsafeBytes { bytes in try device.write(bytes) }
    }
    #expect(
      error?.description
        == "/dev/full: cannot write: No space left on device (free some space, or choose another folder)"
    )
  }

  @Test("a file in no folder, on a folder or in a file is an error naming the destination")
  func badDestinations() throws {
    let folder = try TestFolder()
    try AtomicFile.write("x", to: folder("file"))
    try FileSystem.makeFolder(folder("sub"))
    for path in [folder("none/f"), folder("sub"), folder("file/f"), "", folder("a\0b")] {
      let error = #expect(throws: FileError.self) { try AtomicFile.write("x", to: path) }
      #expect(error?.path == path)
    }
    #expect(try folder.names() == ["file", "sub"])
    #expect(throws: FileError.self) { try FileSystem.makeFolder(folder("file")) }
    #expect(throws: FileError.self) { try FileSystem.makeFolder(folder("file/sub")) }
    #expect(throws: FileError.self) { try FileSystem.list(folder("file")) }
    #expect(throws: FileError.self) { try FileSystem.rename(folder("none"), to: folder("x")) }
    #expect(throws: FileError.self) { try FileSystem.copyFile(folder("sub"), to: folder("x")) }
  }

  @Test("folders are made, listed in byte order, copied, renamed and removed")
  func folders() throws {
    let folder = try TestFolder()
    try FileSystem.makeFolder(folder("a/b/c"))
    try FileSystem.makeFolder(folder("a/b/c"))
    try AtomicFile.write("1", to: folder("a/z"))
    try AtomicFile.write("2", to: folder("a/Z"))
    try AtomicFile.write("3", to: folder("a/b/é"))
    let entries = try FileSystem.list(folder("a"))
    #expect(entries.map(\.name) == ["Z", "b", "z"])
    #expect(entries.map(\.kind) == [.file, .folder, .file])
    try FileSystem.copyFolder(folder("a"), to: folder("copy"))
    #expect(try FileSystem.readText(folder("copy/b/é")) == "3")
    #expect(FileSystem.kind(of: folder("copy/b/c")) == .folder)
    #expect(throws: FileError.alreadyExists(path: folder("copy"))) {
      try FileSystem.copyFolder(folder("a"), to: folder("copy"))
    }
    try FileSystem.rename(folder("copy"), to: folder("a/inner"))
    #expect(try FileSystem.readText(folder("a/inner/Z")) == "2")
    try FileSystem.remove(folder("a"))
    try FileSystem.remove(folder("a"))
    #expect(try folder.names() == [])
  }

  @Test("a folder that had stepped aside is put back where nothing is in its place")
  func restoring() throws {
    let folder = try TestFolder()
    for name in ["out", ".replaced-other"] {
      try FileSystem.makeFolder(folder(name))
      try AtomicFile.write("1", to: folder(name + "/state"))
    }
    try FileSystem.rename(folder("out"), to: folder(".replaced-out"))
    try FolderPublication.restoreReplaced(at: folder("out/"))
    #expect(try FileSystem.readText(folder("out/state")) == "1")
    #expect(FileSystem.kind(of: folder(".replaced-out")) == nil)
    #expect(FileSystem.kind(of: folder("other")) == nil)
    try FileSystem.makeFolder(folder("other"))
    try FolderPublication.restoreReplaced(at: folder("other"))
    #expect(FileSystem.kind(of: folder(".replaced-other/state")) == .file)
    try FolderPublication.restoreReplaced(at: folder("nothing"))
    #expect(FileSystem.kind(of: folder("nothing")) == nil)
  }

  @Test("a folder is published whole, and replaced only when asked")
  func publication() throws {
    let folder = try TestFolder()
    let path = folder("runs/checkpoint-10")
    var first: FolderPublication? = try FolderPublication(path: path)
    let temporary = try #require(first?.temporaryPath)
    #expect(!FileSystem.name(of: temporary).contains("checkpoint-"))
    try AtomicFile.write("1", to: FileSystem.join(temporary, "state"))
    try FileSystem.makeFolder(FileSystem.join(temporary, "sub"))
    #expect(FileSystem.kind(of: path) == nil)
    try first?.publish()
    first = nil
    #expect(try FileSystem.readText(path + "/state") == "1")

    let second = try FolderPublication(path: path)
    try AtomicFile.write("2", to: FileSystem.join(second.temporaryPath, "state"))
    #expect(throws: FileError.alreadyExists(path: path)) { try second.publish() }
    #expect(try FileSystem.readText(path + "/state") == "1")
    try second.publish(replacing: true)
    #expect(try FileSystem.readText(path + "/state") == "2")
    #expect(FileSystem.kind(of: path + "/sub") == nil)

    var abandoned: FolderPublication? = try FolderPublication(path: path)
    try AtomicFile.write("3", to: FileSystem.join(try #require(abandoned?.temporaryPath), "state"))
    abandoned = nil
    #expect(try FileSystem.list(folder("runs")).map(\.name) == ["checkpoint-10"])
  }

  @Test(
    "paths come apart and together",
    arguments: [
      ("a/b", "a", "b"), ("a", ".", "a"), ("/a", "/", "a"), ("/a/b/", "/a", "b"),
      ("a//b", "a", "b"),
      ("./a", ".", "a"), ("é/e\u{301}", "é", "e\u{301}"),
    ])
  func paths(_ path: String, _ parent: String, _ name: String) {
    #expect(FileSystem.parent(of: path) == parent)
    #expect(FileSystem.name(of: path) == name)
  }

  @Test("joining keeps absolute names and adds one slash")
  func joining() {
    #expect(FileSystem.join("a", "b") == "a/b")
    #expect(FileSystem.join("a/", "b") == "a/b")
    #expect(FileSystem.join("a", "/b") == "/b")
    #expect(FileSystem.join("", "b") == "b")
  }
}
