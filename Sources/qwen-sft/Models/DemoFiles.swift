// The demo model and the sample data, which are inside the program, unpacked once into the cache folder.

import DemoAssets
import Files

/// The files that ship with the program.
package enum DemoFiles {
  /// The folder of the demo model.
  package static func modelFolder(environment: Environment = .current) throws(CLIError) -> String {
    FileSystem.join(try unpackedFolder(environment: environment), "model")
  }

  /// The sample data.
  package static func samplePath(environment: Environment = .current) throws(CLIError) -> String {
    FileSystem.join(try unpackedFolder(environment: environment), "sample.jsonl")
  }

  /// The folder that holds the files, unpacked now unless they are there, whole.
  static func unpackedFolder(environment: Environment) throws(CLIError) -> String {
    let assets = (0..<demo_asset_count()).map(demo_asset)
    let digest = assets.reduce(into: Digest()) { $0.add($1) }
    let folder = FileSystem.join(
      try environment.cacheFolder(), "demo-" + String(digest.value, radix: 16))
    if isWhole(folder, assets) { return folder }
    do throws(FileError) {
      let publication = try FolderPublication(path: folder)
      for asset in assets {
        let path = FileSystem.join(publication.temporaryPath, String(cString: asset.path))
        try FileSystem.makeFolder(FileSystem.parent(of: path))
        let file = try AtomicFile(path: path)
        try file.write(contentsOf: bytes(of: asset))
        try file.commit()
      }
      try publication.publish(replacing: true)
    } catch {
      // Another process may have been faster.
      guard isWhole(folder, assets) else { throw .file(error) }
    }
    return folder
  }

  private static func isWhole(_ folder: String, _ assets: [DemoAsset]) -> Bool {
    assets.allSatisfy { asset in
      let path = FileSystem.join(folder, String(cString: asset.path))
      return (try? FileSystem.byteCount(of: path)) == asset.byteCount
    }
  }

  private static func bytes(of asset: DemoAsset) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: asset.bytes, count: asset.byteCount)
  }

  /// A 64-bit digest (FNV-1a over words) that tells versions of the files apart; no protection from anybody.
  private struct Digest {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ asset: DemoAsset) {
      for byte in String(cString: asset.path).utf8 { add(UInt64(byte)) }
      let bytes = DemoFiles.bytes(of: asset)
      add(UInt64(bytes.count))
      let wordEnd = bytes.count / 8 * 8
      for offset in stride(from: 0, to: wordEnd, by: 8) {
        add(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      }
      for byte in bytes[wordEnd...] { add(UInt64(byte)) }
    }

    private mutating func add(_ word: UInt64) { value = (value ^ word) &* 0x0000_0100_0000_01B3 }
  }
}
