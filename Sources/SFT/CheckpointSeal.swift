// Checksums of a checkpoint's files, so that damage anywhere in them is found before anything is taken from them.

package import Files
import OrderedJSON
import Safetensors

/// The seal of a checkpoint folder: sizes and checksums of the files that a run goes on from, in `checksums.json`.
///
/// It finds damage (a bad disk, a copy that broke off), not intent: whoever can change the files can change the seal.
package enum CheckpointSeal {
  /// The file that holds the checksums.
  package static let fileName = "checksums.json"

  /// The files that are sealed, where they are there: weights, moments and state. A user may edit the others.
  private static let sealedFiles = [
    "adapter_model.safetensors", "adapter_config.json", Checkpoint.fileName,
    "optimizer.safetensors", "trainer_state.json", "training_progress.json",
  ]

  /// Seals the files of `directory`.
  package static func write(in directory: String) throws(FileError) {
    var files = JSONObject()
    for name in sealedFiles {
      let path = FileSystem.join(directory, name)
      guard FileSystem.kind(of: path) == .file else { continue }
      files[name] = .string(try ContentDigest.text(ofFile: path))
    }
    try AtomicFile.write(
      JSON.object(files).serialized(style: .indented(2)) + "\n",
      to: FileSystem.join(directory, fileName))
  }

  /// Throws unless `directory` is a folder that was sealed.
  package static func requireFolder(_ directory: String) throws(TrainingError) {
    let found: String
    switch FileSystem.kind(of: directory) {
    case .folder:
      if FileSystem.kind(of: FileSystem.join(directory, fileName)) == .file { return }
      found = "one without \(fileName)"
    case .file, .other: found = "a file"
    case nil: found = "nothing"
    }
    throw .checkpoint(
      path: directory, problem: "expected the folder of a checkpoint, found \(found)")
  }

  /// Checks that the files of `directory` are those that were sealed.
  ///
  /// - Throws: ``TrainingError/checkpoint(path:problem:)`` naming the first that is not.
  package static func verify(_ directory: String) throws(TrainingError) {
    let bytes: [UInt8]
    do { bytes = try FileSystem.readFile(FileSystem.join(directory, fileName)) } catch {
      throw .file(error)
    }
    guard let json = try? JSON.parse(bytes), let sealed = json.objectValue else {
      throw .checkpoint(path: directory, problem: "\(fileName) is damaged")
    }
    for (name, digest) in sealed {
      // The name comes from a file: it leads nowhere but to the files that are sealed.
      guard sealedFiles.contains(name) else {
        throw .checkpoint(path: directory, problem: "\(fileName) names \(name)")
      }
      let found: String
      do { found = try ContentDigest.text(ofFile: FileSystem.join(directory, name)) } catch {
        throw .file(error)
      }
      guard digest.stringValue == found else {
        throw .checkpoint(
          path: directory, problem: "\(name) is damaged (its checksum is not that of \(fileName))")
      }
    }
    for name in sealedFiles.suffix(3) where sealed[name] == nil {
      throw .checkpoint(path: directory, problem: "\(fileName) has no checksum of \(name)")
    }
  }
}
