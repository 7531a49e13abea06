// What the hub says of a repository: nothing of it is believed before it is checked.

package import OrderedJSON

/// What a repository holds at a commit.
package struct RepositoryListing: Sendable, Hashable {
  /// The commit.
  package let commit: String
  /// The files, in the server's order.
  package let files: [HubFile]

  /// A list of the given parts, its paths already checked.
  package init(commit: String, files: [HubFile]) { (self.commit, self.files) = (commit, files) }

  /// Reads the hub's description of `repository`. A file that may not be written refuses the whole list.
  package init(_ value: JSON, of repository: RepositoryName) throws(HubError) {
    func fault(_ problem: String) -> HubError {
      .response(
        subject: repository.description,
        problem: "the hub's list of files: \(problem) (is HF_ENDPOINT a hub?)")
    }
    guard let commit = value["sha"]?.stringValue, isCommitName(commit) else {
      throw fault("expected the commit in \"sha\", found none")
    }
    guard let siblings = value["siblings"]?.arrayValue else {
      throw fault("expected files in \"siblings\", found none")
    }
    var files: [HubFile] = []
    var names: Set<String> = []
    for sibling in siblings {
      guard let path = sibling["rfilename"]?.stringValue else {
        throw fault("expected the name of a file in \"rfilename\", found none")
      }
      if let problem = HubFile.problem(withPath: path) {
        throw .unsafeFileName(repository: repository.description, file: path, problem: problem)
      }
      guard names.insert(path).inserted else {
        throw .unsafeFileName(
          repository: repository.description, file: path, problem: "it is listed twice")
      }
      files.append(Self.file(path, sibling))
    }
    (self.commit, self.files) = (commit, files)
  }

  private static func file(_ path: String, _ value: JSON) -> HubFile {
    var file = HubFile(path: path)
    let lfs = value["lfs"] ?? .null
    if let sha256 = lfs["sha256"]?.stringValue ?? lfs["oid"]?.stringValue {
      if case .sha256(let name)? = ContentID(name: sha256) { file.content = .sha256(name) }
      file.byteCount = lfs["size"]?.integerValue ?? value["size"]?.integerValue
    } else if let blob = value["blobId"]?.stringValue {
      if case .gitSHA1(let name)? = ContentID(name: blob) { file.content = .gitSHA1(name) }
      file.byteCount = value["size"]?.integerValue
    }
    if let count = file.byteCount, count < 0 || count > HubFile.maximumByteCount {
      file.byteCount = nil
    }
    return file
  }
}
