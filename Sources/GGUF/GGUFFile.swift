// One GGUF file, mapped. It knows the format and no model.

import Files

/// A GGUF file opened for reading; its head is checked in full by the initializer.
package final class GGUFFile: Sendable {
  /// The path.
  package let path: String
  /// Keys and values in their order.
  package let metadata: [(key: String, value: GGUFValue)]
  /// The tensors in their order.
  package let tensors: [GGUFTensorInfo]
  private let mappedFile: MappedFile
  private let indexOfKey: [String: Int]
  private let indexOfTensor: [String: Int]

  /// Opens and checks the file at `path`.
  package init(path: String) throws(GGUFError) {
    let file: MappedFile
    do throws(FileError) { file = try MappedFile(path: path) } catch { throw .file(error) }
    let header = try file.withUnsafeBytes { (bytes) throws(GGUFError) in
      try GGUFHeader(bytes, path: path)
    }
    mappedFile = file
    self.path = path
    (metadata, tensors) = (header.metadata, header.tensors)
    indexOfKey = Dictionary(
      uniqueKeysWithValues: header.metadata.enumerated().map { ($1.key, $0) })
    indexOfTensor = Dictionary(
      uniqueKeysWithValues: header.tensors.enumerated().map { ($1.name, $0) })
  }

  /// The value of `key`, nil where there is none.
  package func value(of key: String) -> GGUFValue? { indexOfKey[key].map { metadata[$0].value } }

  /// Type, shape and place of tensor `name`, nil where there is none.
  package func info(of name: String) -> GGUFTensorInfo? { indexOfTensor[name].map { tensors[$0] } }

  /// A copy of the bytes of tensor `name`.
  package func bytes(of name: String) throws(GGUFError) -> [UInt8] {
    let info = try requireInfo(of: name)
    return mappedFile.withUnsafeBytes { Array($0[info.fileRange]) }
  }

  /// The elements of tensor `name`, row-major.
  package func floats(of name: String) throws(GGUFError) -> [Float] {
    let info = try requireInfo(of: name)
    let values = mappedFile.withUnsafeBytes { bytes in
      BlockDecoding.decode(
        UnsafeRawBufferPointer(rebasing: bytes[info.fileRange]), as: info.type, count: info.count)
    }
    mappedFile.advise(.dontNeed, info.fileRange)
    return values
  }

  private func requireInfo(of name: String) throws(GGUFError) -> GGUFTensorInfo {
    guard let info = info(of: name) else {
      throw .tensor(path: path, name: name, problem: "there is none")
    }
    return info
  }
}
