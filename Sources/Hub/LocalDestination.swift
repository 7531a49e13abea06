// A folder of the user's own, with notes as huggingface_hub keeps them in .cache/huggingface/download.

import Crypto
import Files
import FoundationEssentials

/// A commit in a folder of its own.
struct LocalDestination: FileDestination {
  let folder: String
  let commit: String
  /// The cache, whose contents are copied rather than fetched.
  let cached: CacheDestination

  func isPresent(_ file: HubFile) -> Bool {
    let path = FileSystem.join(folder, file.path)
    guard let content = file.content, isFile(path, of: file.byteCount),
      let text = try? FileSystem.readText(note(file), maximumByteCount: 4096)
    else { return false }
    let lines = text.split(separator: "\n")
    guard lines.count == 3, lines[1] == content.name, let noted = Double(lines[2]),
      let changed = FileSystem.modificationSeconds(of: path)
    else { return false }
    return changed - 1 <= noted
  }

  func prepare(_ file: HubFile, _ content: ContentID) throws(FileError) {
    try FileSystem.makeFolder(FileSystem.parent(of: FileSystem.join(folder, file.path)))
    try FileSystem.makeFolder(FileSystem.parent(of: note(file)))
    let own = FileSystem.join(folder, ".cache/huggingface")
    HubCache.tag(own)
    let ignored = FileSystem.join(own, ".gitignore")
    if FileSystem.kind(of: ignored) == nil { try AtomicFile.write("*", to: ignored) }
  }

  func lockPath(_ file: HubFile, _ content: ContentID) -> String {
    FileSystem.join(folder, ".cache/huggingface/download/\(file.path).lock")
  }

  func partialPath(_ file: HubFile, _ content: ContentID) -> String {
    let name = FileSystem.name(of: note(file))
    let digest = Data(Insecure.SHA1.hash(data: Array(name.utf8))).base64EncodedString()
    let short = digest.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }
    return FileSystem.join(
      FileSystem.parent(of: note(file)), "\(String(short)).\(content.name).incomplete")
  }

  func adopt(_ file: HubFile, _ content: ContentID) throws(FileError) -> Bool {
    let blob = cached.cache.blob(cached.repository, content)
    guard isFile(blob, of: file.byteCount) else { return false }
    try FileSystem.copyFile(blob, to: FileSystem.join(folder, file.path))
    try writeNote(file, content)
    return true
  }

  func publish(_ partial: PartialFile, _ file: HubFile, _ content: ContentID) throws(FileError) {
    try partial.publish(as: FileSystem.join(folder, file.path))
    try writeNote(file, content)
  }

  private func note(_ file: HubFile) -> String {
    FileSystem.join(folder, ".cache/huggingface/download/\(file.path).metadata")
  }

  private func writeNote(_ file: HubFile, _ content: ContentID) throws(FileError) {
    try AtomicFile.write(
      "\(commit)\n\(content.name)\n\(FileSystem.currentSeconds())\n", to: note(file))
  }
}
