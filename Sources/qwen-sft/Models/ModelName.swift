// What to call a model that is known by its folder.

import Files

/// Names of models.
enum ModelName {
  /// The name of the model in `folder`: that of the folder, or of the repository where it is a snapshot in the Hugging Face
  /// cache; with the name of an adapter's folder behind it.
  static func name(ofFolder folder: String, adapter: String?) -> String {
    let path = FileSystem.canonicalPath(folder) ?? folder
    var name = FileSystem.name(of: path)
    let snapshots = FileSystem.parent(of: path)
    if FileSystem.name(of: snapshots) == "snapshots" {
      let repository = FileSystem.name(of: FileSystem.parent(of: snapshots))
      let parts = repository.split(separator: "-", omittingEmptySubsequences: false)
      // models--owner--name
      if let last = parts.lastIndex(of: "") {
        name = parts[(last + 1)...].joined(separator: "-")
      }
    }
    guard let adapter else { return name }
    return "\(name) \(FileSystem.name(of: FileSystem.canonicalPath(adapter) ?? adapter))"
  }
}
