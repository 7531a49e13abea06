// Quantized weights kept between runs. An entry is a safetensors file with bitsandbytes' names, written whole or not at
// all; it is mapped, so that the next start reads nothing twice. Entries can be deleted at any time.

import Crypto
import Files
package import Safetensors
package import Tensor

/// A folder of quantized weights.
public struct WeightsCache: Sendable {
  /// The folder; made when the first entry is written.
  public let folder: String

  /// The entries in `folder`.
  public init(folder: String) { self.folder = folder }

  /// The entry of a checkpoint whose files are what they are now.
  package func entry(for checkpoint: Checkpoint, format: QuantizedTensor.Format) -> Entry {
    var text =
      "nf4 version 1, blocks of \(format.blockSize)"
      + (format.isDoubleQuantized ? ", scales in 8 bits" : "")
    for file in checkpoint.files { text += "; " + Self.identity(of: file) }
    let name = Self.hexadecimal(SHA256.hash(data: Array(text.utf8)).prefix(16))
    return Entry(
      path: FileSystem.join(folder, "nf4-\(name).safetensors"), source: text)
  }

  /// Size and header of a file, and when it was changed; for a file of the Hugging Face cache the name of its content.
  private static func identity(of file: SafetensorsFile) -> String {
    let header = file.mappedFile.withUnsafeBytes { Array($0.prefix(file.headerByteCount)) }
    let digest = hexadecimal(SHA256.hash(data: header))
    let size = "\(file.mappedFile.byteCount) bytes, header \(digest)"
    if let target = FileSystem.linkTarget(of: file.path),
      FileSystem.name(of: FileSystem.parent(of: target)).utf8.elementsEqual("blobs".utf8)
    {
      return "\(size), blob \(FileSystem.name(of: target))"
    }
    return "\(size), changed \(file.mappedFile.modificationTime)"
  }

  private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
  }
}

extension WeightsCache {
  /// The weights of one checkpoint.
  package struct Entry: Sendable {
    /// The file.
    package let path: String
    /// What it was made from.
    package let source: String

    /// The name of the last tensor: a digest of all others.
    private static let digestKey = "content_digest"

    /// What is there.
    package enum Content {
      case found([QuantizedTensor])
      case absent
      /// Something that cannot be used.
      case damaged(String)
    }

    /// The weights `keys`, mapped, if all of them are there and whole; `checksContent` reads all of the file for that.
    package func read(
      _ keys: [(key: String, shape: [Int])], format: QuantizedTensor.Format,
      checksContent: Bool = true, on device: Device
    ) -> Content {
      guard FileSystem.kind(of: path) != nil else { return .absent }
      do throws(SafetensorsError) {
        let checkpoint = try Checkpoint(file: path)
        guard checkpoint.files[0].metadataValue(of: "source") == source else {
          return .damaged("\(path): made from another checkpoint")
        }
        if checksContent {
          guard
            try checkpoint.bytes(of: Self.digestKey)
              == checkpoint.files[0].contentDigest(without: Self.digestKey)
          else { return .damaged("\(path): the content is not what was written") }
        }
        var tensors: [QuantizedTensor] = []
        for (key, shape) in keys {
          let tensor = try checkpoint.nf4Tensor(key, shape: shape, on: device)
          guard tensor.format == format else {
            return .damaged("\(path): tensor \(key) is quantized otherwise")
          }
          tensors.append(tensor)
        }
        return .found(tensors)
      } catch {
        return .damaged(error.description)
      }
    }

    /// Writes the weights; returns why that is not possible.
    package func write(_ tensors: [(key: String, tensor: QuantizedTensor)]) -> String? {
      let entries = tensors.flatMap { key, tensor in
        SafetensorsWriter.Entry.quantized(
          key, shape: tensor.shape.dimensions, format: tensor.format)
      }
      do {
        try FileSystem.makeFolder(FileSystem.parent(of: path))
        AtomicFile.removeAbandoned(in: FileSystem.parent(of: path))
        let writer = try SafetensorsWriter(
          path: path, entries: entries + [.init(key: Self.digestKey, dtype: .u8, shape: [8])],
          metadata: [("source", source)], digestsContent: true)
        for (key, tensor) in tensors { try writer.write(tensor, as: key) }
        try writer.write(writer.contentDigest, of: Self.digestKey)
        try writer.commit()
        return nil
      } catch {
        return "\(error)"
      }
    }
  }
}
